//! Compiles a FHIR package to a [`Table`]: picks the definitions a server runs on and leaves out all prose,
//! terminology and examples.

use std::io::Read;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::package::{Limits, PackageError, each_file};
use crate::structure_definition::StructureDefinition;
use crate::table::{
    CapabilityStatementDefinition, CombinedSearches, CompartmentDefinition, OperationDefinition, PackageName,
    ProfileDefinition, SearchParameterDefinition, Table,
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
    #[serde(default)]
    resource: Vec<RestResource>,
}

#[derive(Deserialize)]
struct RestResource {
    #[serde(rename = "type")]
    resource_type: String,
    #[serde(default)]
    extension: Vec<Extension>,
}

#[derive(Deserialize)]
struct Extension {
    url: String,
    #[serde(default)]
    extension: Vec<Extension>,
    #[serde(rename = "valueString")]
    value: Option<String>,
}

const COMBINATION: &str =
    "http://hl7.org/fhir/StructureDefinition/capabilitystatement-search-parameter-combination";

impl RestResource {
    /// Its searches with several parameters, if it asks for any.
    fn searches(self) -> Option<CombinedSearches> {
        let combinations = self.extension.into_iter().filter(|it| it.url == COMBINATION).map(|combination| {
            let parameters = combination.extension.into_iter().filter(|it| it.url == "required");
            parameters.filter_map(|it| it.value).collect()
        });
        let combinations: Vec<Vec<String>> = combinations.collect();
        let resource_type = self.resource_type;
        (!combinations.is_empty()).then_some(CombinedSearches { resource_type, combinations })
    }
}

impl CapabilityStatement {
    /// What it asks, if it lays down what servers must do.
    fn server_requirements(self) -> Option<CapabilityStatementDefinition> {
        let url = self.url.filter(|_| self.kind == "requirements")?;
        let rest = self.rest.into_iter().find(|rest| rest.mode == "server")?;
        let searches = rest.resource.into_iter().filter_map(RestResource::searches).collect();
        Some(CapabilityStatementDefinition { url, version: self.version, searches })
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

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn compile(files: &[(&str, &str)]) -> Result<String, String> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, format!("package/{name}"), text.as_bytes()).unwrap();
        }
        let archive = builder.into_inner().unwrap().finish().unwrap();
        let table =
            compile_package(archive.as_slice(), &Limits::default()).map_err(|error| error.to_string())?;
        Ok(table.write().unwrap())
    }

    const MANIFEST: (&str, &str) =
        ("package.json", r#"{"name":"a.b","version":"1","fhirVersions":["4.0.1"]}"#);

    #[test]
    fn a_package_becomes_lines_sorted_and_without_prose() {
        let table = compile(&[
            (
                "SearchParameter-b.json",
                r#"{"resourceType":"SearchParameter","url":"http://b","code":"b","base":["Patient"],
                "type":"reference","description":"prose","expression":"Patient.link.other","target":["Patient","Group"]}"#,
            ),
            (
                "SearchParameter-a.json",
                r#"{"resourceType":"SearchParameter","url":"http://a","code":"a","type":"special",
                "component":[{"definition":"http://b","expression":"x","id":"1"}],"multipleOr":false}"#,
            ),
            (
                "CompartmentDefinition-x.json",
                r#"{"resourceType":"CompartmentDefinition","url":"http://c","code":"Device",
                "resource":[{"code":"Patient"},{"code":"Account","param":["subject"],"documentation":"prose"}]}"#,
            ),
            (
                "StructureDefinition-p.json",
                r#"{"resourceType":"StructureDefinition","url":"http://p","version":"2","kind":
                "resource","abstract":false,"type":"Patient","derivation":"constraint"}"#,
            ),
            (
                "StructureDefinition-e.json",
                r#"{"resourceType":"StructureDefinition","url":"http://e","kind":
                "complex-type","abstract":false,"type":"Extension","derivation":"constraint"}"#,
            ),
            (
                "CapabilityStatement-s.json",
                r#"{"resourceType":"CapabilityStatement","url":"http://s","kind":
                "requirements","rest":[{"mode":"server","resource":[{"type":"Group"},{"type":"Patient","extension":[
                {"url":"http://hl7.org/fhir/StructureDefinition/capabilitystatement-search-parameter-combination",
                "extension":[{"url":"expectation","valueCode":"SHALL"},{"url":"required","valueString":"name"},
                {"url":"required","valueString":"gender"}]}]}]}]}"#,
            ),
            (
                "CapabilityStatement-c.json",
                r#"{"resourceType":"CapabilityStatement","url":"http://s","kind":
                "requirements","rest":[{"mode":"client"}]}"#,
            ),
            ("ValueSet-v.json", r#"{"resourceType":"ValueSet"}"#),
            ("other.json", r#"{"no":"resource"}"#),
            MANIFEST,
        ]);
        let expected = concat!(
            r#"{"package":{"name":"a.b","version":"1"}}"#,
            "\n",
            r#"{"searchParameter":{"url":"http://a","code":"a","type":"special","#,
            r#""component":[{"definition":"http://b","expression":"x"}],"multipleOr":false}}"#,
            "\n",
            r#"{"searchParameter":{"url":"http://b","code":"b","base":["Patient"],"type":"reference","#,
            r#""expression":"Patient.link.other","target":["Group","Patient"]}}"#,
            "\n",
            r#"{"compartment":{"url":"http://c","code":"Device","resource":[{"code":"Account","param":["subject"]}]}}"#,
            "\n",
            r#"{"profile":{"url":"http://p","type":"Patient","version":"2"}}"#,
            "\n",
            r#"{"capabilityStatement":{"url":"http://s","searches":[{"type":"Patient","combinations":[["name","gender"]]}]}}"#,
            "\n",
        );
        assert_eq!(table.as_deref(), Ok(expected));
    }

    #[test]
    fn broken_packages_are_refused_with_the_file() {
        let check =
            |files: &[(&str, &str)], message: &str| assert_eq!(compile(files), Err(message.to_owned()));
        check(&[("x.json", "{}")], "not a FHIR package: it has no package/package.json");
        check(
            &[("package.json", r#"{"name":"a","version":"1","fhirVersions":["5.0.0"]}"#)],
            "made for FHIR 5.0.0, not for 4.0",
        );
        check(
            &[("package.json", r#"{"name":"a","version":"1"}"#)],
            "made for FHIR an unnamed version, not for 4.0",
        );
        check(
            &[("package.json", r#"{"name":"a"}"#)],
            "package/package.json: missing field `version` at line 1 column 12",
        );
        check(
            &[MANIFEST, ("a.json", r#"{"resourceType":"#)],
            "package/a.json: EOF while parsing a value at line 1 column 16",
        );
        let deep = "[".repeat(100_000);
        let deep = format!(r#"{{"resourceType":"ValueSet","x":{deep}"#);
        check(
            &[MANIFEST, ("deep.json", &deep)],
            "package/deep.json: EOF while parsing a list at line 1 column 100031",
        );
        check(
            &[
                MANIFEST,
                (
                    "s.json",
                    r#"{"resourceType":"StructureDefinition","url":"http://x","kind":"resource",
                "abstract":false,"type":"X","derivation":"specialization"}"#,
                ),
            ],
            "package/s.json: a StructureDefinition of a type needs a snapshot with elements",
        );
    }
}
