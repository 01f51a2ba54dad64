//! FHIR packages in; the element schema, the SearchParameters and the compartments out.
//!
//! The tables of R4 4.0.1 and US Core 6.1.0, 7.0.0 and 8.0.0 are compiled from the official packages by
//! `cargo run -p conformance --bin compile-package`, written under `ig/`, and embedded. A package may be added at start.

mod compartment;
mod compile;
mod definitions;
mod expressions;
mod package;
mod registry;
pub mod resources;
mod search_parameter;
mod shorts;
mod structure_definition;
pub mod table;
pub mod terminology;
mod union;
mod us_core;
pub mod validation;

pub use compartment::Compartments;
pub use compile::compile_package;
pub use definitions::{Definitions, DefinitionsError, Package};
pub use package::{DefinitionRule, Limits, PackageError};
pub use search_parameter::{
    Component, Notice, NoticeKind, SearchParameter, SearchParameterType, SearchParameters,
};
pub use shorts::{compile_shorts, short};
pub use us_core::UsCore;
