//! The compact table that a package is compiled to: one JSON object per line, sorted, without prose. It is written by
//! `compile-package`, kept under `ig/`, and read at start.

use std::fmt::Write as _;

use fhirpath::schema::TypeDefinition;
use serde::{Deserialize, Serialize};

/// What a package defines, as far as a server runs on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The package itself.
    pub package: PackageName,
    /// Types, backbone elements included, by name.
    pub types: Vec<TypeDefinition>,
    /// SearchParameters by URL.
    pub search_parameters: Vec<SearchParameterDefinition>,
    /// CompartmentDefinitions by URL.
    pub compartments: Vec<CompartmentDefinition>,
    /// Profiles on resources by URL.
    pub profiles: Vec<ProfileDefinition>,
    /// CapabilityStatements that lay down requirements for servers, by URL.
    pub capability_statements: Vec<CapabilityStatementDefinition>,
    /// ImplementationGuides by URL.
    pub implementation_guides: Vec<CanonicalName>,
    /// OperationDefinitions by URL.
    pub operations: Vec<OperationDefinition>,
}

/// A package's name and version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageName {
    /// `hl7.fhir.us.core`.
    pub name: String,
    /// `6.1.0`.
    pub version: String,
}

/// A canonical URL with the version its definition states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanonicalName {
    /// The URL.
    pub url: String,
    /// The version, when it states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// CapabilityStatement (<https://hl7.org/fhir/R4/capabilitystatement.html>), as much as another refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityStatementDefinition {
    /// Canonical URL.
    pub url: String,
    /// Its version, when it states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The searches with several parameters that it asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub searches: Vec<CombinedSearches>,
}

/// Searches of a type with several parameters
/// (<https://hl7.org/fhir/R4/extension-capabilitystatement-search-parameter-combination.html>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CombinedSearches {
    /// The type.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The codes of the parameters that are given together.
    pub combinations: Vec<Vec<String>>,
}

/// SearchParameter (<https://hl7.org/fhir/R4/searchparameter.html>) as its package states it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchParameterDefinition {
    /// Canonical URL.
    pub url: String,
    /// What a query writes.
    pub code: String,
    /// Resource types it applies to; a few of R4's state none and so apply to nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base: Vec<String>,
    /// The code of its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// FHIRPath, a union over all bases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// Resource types a reference may point to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target: Vec<String>,
    /// Parts of a composite.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub component: Vec<ComponentDefinition>,
    /// Whether several values may be joined by commas, when stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiple_or: Option<bool>,
    /// Whether it may be repeated, when stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiple_and: Option<bool>,
    /// Modifiers, when stated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modifier: Vec<String>,
    /// Prefixes, when stated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparator: Vec<String>,
    /// Codes that may be chained, when stated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
}

/// A part of a composite SearchParameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentDefinition {
    /// Canonical URL of the parameter it takes its type from.
    pub definition: String,
    /// FHIRPath from an element that the composite selects.
    pub expression: String,
}

/// CompartmentDefinition (<https://hl7.org/fhir/R4/compartmentdefinition.html>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompartmentDefinition {
    /// Canonical URL.
    pub url: String,
    /// The type it is about (`Patient`).
    pub code: String,
    /// Types with parameters that put them into it; types without any are left out.
    pub resource: Vec<CompartmentResource>,
}

/// A resource type in a compartment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompartmentResource {
    /// The type.
    pub code: String,
    /// Codes of its reference parameters, or `{def}`.
    #[serde(default)]
    pub param: Vec<String>,
}

/// A profile on a resource type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileDefinition {
    /// Canonical URL.
    pub url: String,
    /// The type it constrains.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its version, when it states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// OperationDefinition (<https://hl7.org/fhir/R4/operationdefinition.html>), as much as routing needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationDefinition {
    /// Canonical URL.
    pub url: String,
    /// Name without `$`.
    pub code: String,
    /// Resource types it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource: Vec<String>,
    /// Whether it is called on the system.
    pub system: bool,
    /// Whether it is called on a type.
    #[serde(rename = "type")]
    pub on_type: bool,
    /// Whether it is called on an instance.
    pub instance: bool,
    /// Whether it changes anything; false when it doesn't say so.
    #[serde(default)]
    pub affects_state: bool,
}

/// One line, read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Package(PackageName),
    Type(TypeDefinition),
    SearchParameter(SearchParameterDefinition),
    Compartment(CompartmentDefinition),
    Profile(ProfileDefinition),
    CapabilityStatement(CapabilityStatementDefinition),
    ImplementationGuide(CanonicalName),
    Operation(OperationDefinition),
}

/// One line, to write: [`Line`] without ownership.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum LineRef<'t> {
    Package(&'t PackageName),
    Type(&'t TypeDefinition),
    SearchParameter(&'t SearchParameterDefinition),
    Compartment(&'t CompartmentDefinition),
    Profile(&'t ProfileDefinition),
    CapabilityStatement(&'t CapabilityStatementDefinition),
    ImplementationGuide(&'t CanonicalName),
    Operation(&'t OperationDefinition),
}

/// A table that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {cause}")]
pub struct TableError {
    /// 1-based.
    pub line: usize,
    /// What is wrong in it.
    pub cause: serde_json::Error,
}

impl Table {
    /// Reads what [`Table::write`] wrote.
    ///
    /// # Errors
    /// A line that is not one of a table's.
    pub fn read(text: &str) -> Result<Table, TableError> {
        let mut table = Table::default();
        for (at, line) in text.lines().enumerate() {
            match serde_json::from_str(line).map_err(|cause| TableError { line: at + 1, cause })? {
                Line::Package(it) => table.package = it,
                Line::Type(it) => table.types.push(it),
                Line::SearchParameter(it) => table.search_parameters.push(it),
                Line::Compartment(it) => table.compartments.push(it),
                Line::Profile(it) => table.profiles.push(it),
                Line::CapabilityStatement(it) => table.capability_statements.push(it),
                Line::ImplementationGuide(it) => table.implementation_guides.push(it),
                Line::Operation(it) => table.operations.push(it),
            }
        }
        Ok(table)
    }

    /// The text of the table: package, types, SearchParameters, compartments, profiles, CapabilityStatements,
    /// ImplementationGuides, operations.
    ///
    /// # Errors
    /// None that a table can bring about; serde's signature has one.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        let lines = std::iter::once(LineRef::Package(&self.package))
            .chain(self.types.iter().map(LineRef::Type))
            .chain(self.search_parameters.iter().map(LineRef::SearchParameter))
            .chain(self.compartments.iter().map(LineRef::Compartment))
            .chain(self.profiles.iter().map(LineRef::Profile))
            .chain(self.capability_statements.iter().map(LineRef::CapabilityStatement))
            .chain(self.implementation_guides.iter().map(LineRef::ImplementationGuide))
            .chain(self.operations.iter().map(LineRef::Operation));
        let mut text = String::new();
        for line in lines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}", serde_json::to_string(&line)?);
        }
        Ok(text)
    }

    /// Puts every list in its order: by name or URL, so that the same package gives the same text.
    pub(crate) fn sort(&mut self) {
        self.types.sort_by(|a, b| a.name.cmp(&b.name));
        self.search_parameters.sort_by(|a, b| a.url.cmp(&b.url));
        self.compartments.sort_by(|a, b| a.url.cmp(&b.url));
        self.profiles.sort_by(|a, b| a.url.cmp(&b.url));
        self.capability_statements.sort_by(|a, b| a.url.cmp(&b.url));
        self.implementation_guides.sort_by(|a, b| a.url.cmp(&b.url));
        self.operations.sort_by(|a, b| a.url.cmp(&b.url));
    }
}
