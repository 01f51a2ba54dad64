//! FHIR packages in; the element schema, the SearchParameters and the compartments out.
//!
//! The tables of R4 4.0.1 and US Core 6.1.0 are compiled from the official packages by
//! `cargo run -p conformance --bin compile-package`, written under `ig/`, and embedded. A package may be added at start.

use std::path::Path;
use std::sync::Arc;

use fhirpath::{Expression, Schema};

/// All definitions a server runs on.
pub struct Definitions {
    /// Types and properties.
    pub schema: Arc<Schema>,
    /// Search parameters by resource type and code.
    pub search_parameters: SearchParameters,
    /// Which parameters put a resource into a compartment.
    pub compartments: Compartments,
    /// The packages these came from.
    pub packages: Vec<Package>,
}

/// A package that was read.
#[derive(Debug, Clone)]
pub struct Package {
    /// `hl7.fhir.us.core`.
    pub name: String,
    /// `6.1.0`.
    pub version: String,
    /// Canonical URLs of the profiles on resources it defines, with the type each constrains.
    pub profiles: Vec<(String, String)>,
    /// Canonical URLs of its ImplementationGuide(s) or CapabilityStatements to list as `instantiates`.
    pub capability_statements: Vec<String>,
}

/// All search parameters.
pub struct SearchParameters {}

/// `SearchParameter.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // https://hl7.org/fhir/R4/valueset-search-param-type.html
pub enum SearchParameterType {
    Number,
    Date,
    String,
    Token,
    Reference,
    Composite,
    Quantity,
    Uri,
    Special,
}

/// One search parameter as it applies to one resource type.
#[derive(Debug)]
pub struct SearchParameter {
    /// Position in [`SearchParameters::all`]; dense from 0. Parameters of `Resource` and `DomainResource` (`_tag`) exist once.
    pub index: u16,
    /// The type it applies to (`Observation`), or `Resource` / `DomainResource` for those of every type.
    pub base: String,
    /// What a query writes (`code-value-quantity`).
    pub code: String,
    /// Canonical URLs, the first package's first.
    pub urls: Vec<String>,
    /// How its values are indexed and matched.
    pub kind: SearchParameterType,
    /// The expression, compiled for `base`; for a composite, selects the elements that its components start from.
    /// `None` for special ones and those that a package defines without one.
    pub expression: Option<Expression>,
    /// The expression's text, as far as it concerns `base`.
    pub expression_text: String,
    /// For a reference: the types it may point to.
    pub targets: Vec<String>,
    /// For a composite: the parameters to combine, each with its expression compiled for the selected element.
    pub components: Vec<Component>,
}

/// A part of a composite parameter.
#[derive(Debug)]
pub struct Component {
    /// The code of the parameter it takes its type from.
    pub code: String,
    /// How its values are indexed and matched.
    pub kind: SearchParameterType,
    /// Selects the values, from an element that the composite's expression selects.
    pub expression: Expression,
    /// For a reference: the types it may point to.
    pub targets: Vec<String>,
}

/// All compartments.
pub struct Compartments {}

impl Definitions {
    /// Those of R4 and US Core that are embedded in the program.
    ///
    /// # Errors
    /// When the embedded tables are broken; a test builds them, so this is a fault of the build.
    pub fn embedded() -> Result<Definitions, DefinitionsError> {
        Definitions::with_packages(&[])
    }

    /// The embedded ones and those of the packages (.tgz) named.
    ///
    /// # Errors
    /// A package that cannot be read, or that contradicts what is there.
    pub fn with_packages(packages: &[&Path]) -> Result<Definitions, DefinitionsError> {
        let _ = packages;
        todo!()
    }
}

impl SearchParameters {
    /// The parameter of a code for a resource type, those of `Resource` and `DomainResource` included.
    pub fn get(&self, resource_type: &str, code: &str) -> Option<&SearchParameter> {
        let _ = (resource_type, code);
        todo!()
    }

    /// All, by index.
    pub fn all(&self) -> &[SearchParameter] {
        todo!()
    }

    /// Those that apply to a resource type, by code.
    pub fn of(&self, resource_type: &str) -> impl Iterator<Item = &SearchParameter> {
        let _ = resource_type;
        std::iter::empty()
    }
}

impl Compartments {
    /// The codes of the reference parameters that put a resource of `resource_type` into a compartment
    /// (`Patient`, `Encounter`, `Practitioner`, `RelatedPerson`, `Device`); `{def}` is returned as it stands. `None` when
    /// there is no such compartment, empty when the type is never in it.
    pub fn parameters(&self, compartment: &str, resource_type: &str) -> Option<&[String]> {
        let _ = (compartment, resource_type);
        todo!()
    }
}

/// Why definitions cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsError {
    /// A package cannot be read.
    #[error("package {path}: {message}")]
    Package {
        /// Its file.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// The types do not fit together.
    #[error(transparent)]
    Schema(#[from] fhirpath::schema::SchemaError),
}
