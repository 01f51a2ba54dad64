//! Compiles the CodeSystems, ValueSets and ConceptMaps of a FHIR package to lines, sorted, without prose, one definition
//! each. A line starts with what an index of it needs, so that only the definitions that are asked for are ever parsed.

use std::io::Read;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::model::{CodeSystem, Concept, ConceptMap, ValueSet};
use crate::package::{Limits, PackageError, each_file};

/// A line: [`super::library`] reads it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Line<'t> {
    CodeSystem(&'t CodeSystem),
    ValueSet(&'t ValueSet),
    ConceptMap(&'t ConceptMap),
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "resourceType")]
    resource_type: Option<String>,
    url: Option<String>,
}

/// Compiles a package, a gzipped tar, to the text that [`super::Library::add`] takes.
///
/// # Errors
/// An archive beyond the bounds or broken, a definition that is broken, with the file's name.
pub fn compile_terminology(archive: impl Read, limits: &Limits) -> Result<String, PackageError> {
    let mut lines = Vec::new();
    each_file(archive, limits, |file, bytes| {
        let head: Head = parse(file, bytes)?;
        if head.url.is_some() {
            lines.extend(line(head.resource_type.as_deref().unwrap_or_default(), file, bytes)?);
        }
        Ok(())
    })?;
    lines.sort_unstable();
    lines.push(String::new());
    Ok(lines.join("\n"))
}

fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, PackageError> {
    serde_json::from_slice(bytes).map_err(|cause| PackageError::Json { file: file.to_owned(), cause })
}

/// The line of a file, if it is about terminology.
fn line(resource_type: &str, file: &str, bytes: &[u8]) -> Result<Option<String>, PackageError> {
    let text = match resource_type {
        "CodeSystem" => {
            let mut system: CodeSystem = parse(file, bytes)?;
            system.property.iter_mut().for_each(|property| property.description = None);
            system.concept.iter_mut().for_each(without_prose);
            serde_json::to_string(&Line::CodeSystem(&system))
        }
        "ValueSet" => {
            let mut set: ValueSet = parse(file, bytes)?;
            if set.compose.is_some() {
                set.expansion = None;
            }
            serde_json::to_string(&Line::ValueSet(&set))
        }
        "ConceptMap" => serde_json::to_string(&Line::ConceptMap(&parse(file, bytes)?)),
        _ => return Ok(None),
    };
    text.map(Some).map_err(|cause| PackageError::Json { file: file.to_owned(), cause })
}

fn without_prose(concept: &mut Concept) {
    concept.definition = None;
    concept.concept.iter_mut().for_each(without_prose);
}
