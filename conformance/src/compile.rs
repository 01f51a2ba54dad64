//! Compiles a FHIR package to a [`Table`]: picks the definitions a server runs on and leaves out all prose,
//! terminology and examples.

use std::io::Read;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::package::{Limits, PackageError, each_file};
use crate::structure_definition::StructureDefinition;
use crate::table::{
    CanonicalName, CompartmentDefinition, OperationDefinition, PackageName, ProfileDefinition,
    SearchParameterDefinition, Table,
};

/// `package/package.json` (<https://hl7.org/fhir/packages.html>).
#[derive(Deserialize)]
struct Manifest {
    name: String,
    version: String,
    #[serde(rename = "fhirVersions", alias = "fhir-version-list", default)]
    fhir_versions: Vec<String>,
}

#[derive(Deserialize)]
struct ResourceType {
    #[serde(rename = "resourceType")]
    resource_type: Option<String>,
}

#[derive(Deserialize)]
struct CapabilityStatement {
    /// Missing in an example of R4's own.
    url: Option<String>,
    version: Option<String>,
    kind: String,
    #[serde(default)]
    rest: Vec<Rest>,
}

#[derive(Deserialize)]
struct Rest {
    mode: String,
}

impl CapabilityStatement {
    /// Its name, if it lays down what servers must do.
    fn server_requirements(self) -> Option<CanonicalName> {
        let for_servers = self.kind == "requirements" && self.rest.iter().any(|rest| rest.mode == "server");
        self.url.filter(|_| for_servers).map(|url| CanonicalName { url, version: self.version })
    }
}

/// Compiles a package, a gzipped tar.
///
/// # Errors
/// An archive beyond the bounds or broken, a package for another version of FHIR, a definition that is broken, each
/// with the file's name.
pub fn compile_package(archive: impl Read, limits: &Limits) -> Result<Table, PackageError> {
    let mut table = Table::default();
    let mut has_manifest = false;
    each_file(archive, limits, |file, bytes| {
        if file.ends_with("package/package.json") {
            table.package = package_name(file, bytes)?;
            has_manifest = true;
            return Ok(());
        }
        add_definition(&mut table, file, bytes)
    })?;
    if !has_manifest {
        return Err(PackageError::NoManifest);
    }
    table.sort();
    Ok(table)
}

fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, PackageError> {
    serde_json::from_slice(bytes).map_err(|cause| PackageError::Json { file: file.to_owned(), cause })
}

fn package_name(file: &str, bytes: &[u8]) -> Result<PackageName, PackageError> {
    let manifest: Manifest = parse(file, bytes)?;
    if !manifest.fhir_versions.iter().any(|version| version.starts_with("4.0")) {
        let found = manifest.fhir_versions.join(", ");
        let found = if found.is_empty() { "an unnamed version".to_owned() } else { found };
        return Err(PackageError::FhirVersion { found });
    }
    Ok(PackageName { name: manifest.name, version: manifest.version })
}

/// Adds what one file defines. Kinds of resources that a server doesn't run on are passed over.
fn add_definition(table: &mut Table, file: &str, bytes: &[u8]) -> Result<(), PackageError> {
    let resource: ResourceType = parse(file, bytes)?;
    match resource.resource_type.as_deref() {
        Some("StructureDefinition") => add_structure(table, file, &parse(file, bytes)?)?,
        Some("SearchParameter") => {
            let mut parameter: SearchParameterDefinition = parse(file, bytes)?;
            parameter.target.sort_unstable();
            table.search_parameters.push(parameter);
        }
        Some("CompartmentDefinition") => {
            let mut compartment: CompartmentDefinition = parse(file, bytes)?;
            compartment.resource.retain(|resource| !resource.param.is_empty());
            table.compartments.push(compartment);
        }
        Some("CapabilityStatement") => {
            let statement: CapabilityStatement = parse(file, bytes)?;
            table.capability_statements.extend(statement.server_requirements());
        }
        Some("ImplementationGuide") => table.implementation_guides.push(parse(file, bytes)?),
        Some("OperationDefinition") => table.operations.push(parse::<OperationDefinition>(file, bytes)?),
        _ => {}
    }
    Ok(())
}

fn add_structure(table: &mut Table, file: &str, structure: &StructureDefinition) -> Result<(), PackageError> {
    if let Some(kind) = structure.type_kind() {
        let types = structure.types(kind);
        table.types.extend(types.map_err(|rule| PackageError::Definition { file: file.to_owned(), rule })?);
    } else if structure.kind == "resource" {
        table.profiles.push(ProfileDefinition {
            url: structure.url.clone(),
            type_name: structure.type_name.clone(),
            version: structure.version.clone(),
        });
    }
    Ok(())
}
