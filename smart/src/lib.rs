//! SMART App Launch 2.2.0 (<https://hl7.org/fhir/smart-app-launch/STU2.2/>) and the standards below it: who may see what, and
//! how a token that says so is come by. Knows no HTTP server, no store and no FHIR resource: it stands on traits.
//!
//! | module | its one job |
//! |---|---|
//! | `scope` | scopes: reading, comparing, narrowing |
//! | `access` | what scopes permit, compiled once per token |
//! | `jwt` | signed tokens and sets of keys |
//! | `memory` | in-memory implementations of the traits |

mod access;
pub mod jwt;
pub mod memory;
mod scope;

pub use access::{Access, Allowance, Compartment, Context, Decision, Interaction};
pub use scope::{
    Level, MAX_SCOPE_LENGTH, MAX_SCOPES, Meaning, Permissions, ResourceScope, Scope, ScopeError, ScopeSet,
};
