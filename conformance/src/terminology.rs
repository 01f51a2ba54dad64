//! Terminology (<https://hl7.org/fhir/R4/terminology-service.html>): which codes there are, which are in a value set, how
//! they relate. Definitions come from R4, US Core and packages, and from what users stored.
//!
//! A code system or a value set that is not there is answered "not checked", never "valid". Nothing here does HTTP, and
//! the store is asked only through [`crate::resources::Resources`].

mod builtin;
mod closure;
mod code_system;
mod code_table;
mod expand;
mod filter;
pub mod import;
mod library;
mod lookup;
pub mod model;
mod operation;
mod package;
mod parameters;
mod resolve;
mod subsumes;
#[cfg(test)]
mod tests;
mod translate;
mod validate;
mod validate_code;
mod value_set;

use std::sync::Arc;

pub use closure::{ClosureRequest, ClosureTable, MAX_CLOSURE, MAX_PAIRS};
pub use code_system::{Concept, Description};
pub use code_table::{CodeTable, CodeTables, PIECE_BYTES};
pub use expand::{Contained, ExpandRequest, Expansion, MAX_EXPANSION, MAX_LOOKED_AT};
pub use library::Library;
pub use lookup::{Lookup, LookupRequest};
pub use operation::{OperationError, ValueSetSource};
pub use package::compile_terminology;
pub use parameters::Parameters;

use crate::resources::{Resources, Unavailable};
use resolve::Cache;
pub use resolve::Versions;
pub use subsumes::{SubsumesRequest, Subsumption};
pub use translate::{Match, TranslateRequest, Translation};
pub use validate_code::{CodeSystemSource, CodeValidation, ValidateCodeRequest};

/// Answers questions about codes. Cheap to clone; clones share what they found.
#[derive(Clone)]
pub struct Terminology {
    library: Arc<Library>,
    /// What was made of the library alone; shared by all that stored resources are added to.
    shared: Arc<Cache>,
    /// What stored resources had a say in.
    own: Arc<Cache>,
    resources: Option<Arc<dyn Resources>>,
    tables: Option<Arc<dyn CodeTables>>,
}

/// What is to be said of a code, or of the codings of a concept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeCheck {
    /// It is right.
    Valid {
        /// Its display is not one that the code has.
        display_issue: Option<DisplayIssue>,
    },
    /// It is wrong.
    Invalid {
        /// Why.
        why: InvalidCode,
    },
    /// Nobody here can tell: a warning, never a silent pass.
    NotChecked {
        /// Why.
        why: NotChecked,
    },
}

/// A display that the code does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the code {code} is displayed as \"{expected}\", not \"{given}\"")]
pub struct DisplayIssue {
    /// The code.
    pub code: String,
    /// The display that was given.
    pub given: String,
    /// The display it has.
    pub expected: String,
}

/// Why a code is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCode {
    /// There is no code to look at.
    #[error("there is no code from the value set {value_set}")]
    NoCode {
        /// The value set.
        value_set: String,
    },
    /// The value set does not have it.
    #[error("the code {code} is not in the value set {value_set}")]
    NotInValueSet {
        /// The code, with its system when it has one: `system#code`.
        code: String,
        /// The value set.
        value_set: String,
    },
    /// The code system does not have it.
    #[error("the code system {system} has no code {code}")]
    UnknownCode {
        /// The code.
        code: String,
        /// The code system.
        system: String,
    },
}

/// Why a code could not be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotChecked {
    /// The code system is not here.
    #[error("the code system {url} is not known here")]
    UnknownSystem {
        /// Its URL, with the version when that is what is not known.
        url: String,
    },
    /// Only a part of the code system is here, and the code is not in it.
    #[error("only a part of the code system {url} is known here")]
    IncompleteSystem {
        /// Its URL.
        url: String,
    },
    /// The value set is not here.
    #[error("the value set {url} is not known here")]
    UnknownValueSet {
        /// Its URL, with the version when that is what is not known.
        url: String,
    },
    /// A value set filters by a property that is not known of the codes.
    #[error("of the codes of {url} the property {property} is not known here")]
    UnknownProperty {
        /// The code system.
        url: String,
        /// The property.
        property: String,
    },
    /// A code alone, and nothing says of which system.
    #[error("the code {code} has no system")]
    NoSystem {
        /// The code.
        code: String,
    },
    /// The definitions are broken, too large, or cannot be read.
    #[error("{0}")]
    Failed(TerminologyError),
}

/// Why a question cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TerminologyError {
    /// A bound is exceeded.
    #[error("{what} has more than {limit} parts; ask for less of it")]
    TooCostly {
        /// What is too large.
        what: String,
        /// How large it may be.
        limit: usize,
    },
    /// Value sets include one another.
    #[error("the value set {0} includes itself")]
    Cycle(String),
    /// A filter that cannot be applied.
    #[error("the filter {filter}: {why}")]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        why: String,
    },
    /// A value set wants another version of a code system than is asked for.
    #[error("{url} is wanted in version {wanted} and used in version {found}")]
    Version {
        /// The code system.
        url: String,
        /// What is asked for.
        wanted: String,
        /// What the value set states.
        found: String,
    },
    /// A definition that is no such definition.
    #[error("the {resource_type} {url} cannot be read: {why}")]
    Definition {
        /// Its type.
        resource_type: &'static str,
        /// Its URL.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Terminology {
    /// Of the definitions of R4 and US Core that are embedded in the program.
    pub fn embedded() -> Terminology {
        Terminology::new(Library::embedded())
    }

    /// Of the definitions of a library.
    pub fn new(library: Library) -> Terminology {
        Terminology {
            library: Arc::new(library),
            shared: Arc::default(),
            own: Arc::default(),
            resources: None,
            tables: None,
        }
    }

    /// The same with stored resources: they count where the library does not have the whole of a definition.
    #[must_use]
    pub fn with_resources(&self, resources: Arc<dyn Resources>) -> Terminology {
        Terminology { resources: Some(resources), own: Arc::default(), ..self.clone() }
    }

    /// The same with the tables of imported code systems.
    #[must_use]
    pub fn with_tables(&self, tables: Arc<dyn CodeTables>) -> Terminology {
        Terminology { tables: Some(tables), own: Arc::default(), ..self.clone() }
    }
}

impl std::fmt::Debug for Terminology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Terminology({:?}, stored resources: {})", self.library, self.resources.is_some())
    }
}
