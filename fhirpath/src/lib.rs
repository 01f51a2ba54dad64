//! The typed FHIR element tree, and FHIRPath compiled over it.
//!
//! A resource is parsed once into a [`tree::Tree`]: an arena of small nodes that know their place in the
//! [`schema::Schema`]. Everything else in Vesta reads and writes resources through it. This crate does no
//! input or output and knows nothing of packages, search or storage.

pub mod expression;
#[cfg(test)]
mod fixture;
pub mod issue;
pub mod patch;
pub mod primitive;
pub mod schema;
pub mod tree;

pub use expression::Expression;
pub use issue::{Issue, IssueType, Severity};
pub use patch::Patch;
pub use primitive::Primitive;
pub use schema::Schema;
pub use tree::{Element, Limits, Tree};
