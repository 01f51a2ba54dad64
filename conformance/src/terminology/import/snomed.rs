//! SNOMED CT, from a snapshot in Release Format 2 (<https://confluence.ihtsdotools.org/display/DOCRELFMT>): concepts,
//! descriptions, relationships, and if at hand language and simple reference sets. Which properties there are is what FHIR
//! says (<https://hl7.org/fhir/R4/snomedct.html>).

use std::io::BufRead;

use rustc_hash::{FxHashMap, FxHashSet};

use super::super::code_table::CodeTable;
use super::{ImportError, Rows, boolean_property, code_property, columns, description, tabs};
use crate::terminology::model::{Code, Designation, PropertyDefinition};

const SYSTEM: &str = "http://snomed.info/sct";
/// `is a`: what makes the hierarchy.
const IS_A: &str = "116680003";
const FULLY_SPECIFIED_NAME: &str = "900000000000003001";
const SYNONYM: &str = "900000000000013009";
const PREFERRED: &str = "900000000000548007";
const FULLY_DEFINED: &str = "900000000000073002";
const INFERRED: &str = "900000000000011006";

/// The files of a release, of its folder `Snapshot`.
pub struct SnomedFiles<R> {
    /// `Terminology/sct2_Concept_Snapshot_*.txt`.
    pub concepts: R,
    /// `Terminology/sct2_Description_Snapshot-*.txt`.
    pub descriptions: R,
    /// `Terminology/sct2_Relationship_Snapshot_*.txt`: the inferred ones.
    pub relationships: R,
    /// `Refset/Language/der2_cRefset_LanguageSnapshot-*.txt`: which descriptions are preferred.
    pub languages: Option<R>,
    /// `Refset/Content/der2_Refset_SimpleSnapshot_*.txt`: which concepts are in which reference set.
    pub refsets: Option<R>,
}

/// Reads a release. `version` is that of FHIR: `http://snomed.info/sct/731000124108/version/20240301`.
///
/// # Errors
/// A file cannot be read, or a line is not in the format.
pub fn snomed<R: BufRead>(files: SnomedFiles<R>, version: &str) -> Result<CodeTable, ImportError> {
    let properties = [
        ("inactive", "boolean"),
        ("sufficientlyDefined", "boolean"),
        ("moduleId", "code"),
        ("effectiveTime", "string"),
        ("refset", "code"),
    ];
    let mut table = CodeTable::new(description(SYSTEM, version, "SNOMED CT", &properties));
    add_concepts(&mut table, files.concepts)?;
    let preferred = files.languages.map(preferred).transpose()?.unwrap_or_default();
    add_descriptions(&mut table, files.descriptions, &preferred)?;
    let attributes = add_relationships(&mut table, files.relationships)?;
    if let Some(file) = files.refsets {
        add_refsets(&mut table, file)?;
    }
    table.describe(attributes);
    Ok(table)
}

fn add_concepts(table: &mut CodeTable, file: impl BufRead) -> Result<(), ImportError> {
    let needed = ["id", "effectiveTime", "active", "moduleId", "definitionStatusId"];
    let mut rows = Rows::new("concepts", file, tabs, &needed, &[])?;
    while let Some(row) = rows.next()? {
        let [id, time, active, module, status] = columns(row);
        let inactive = !flag(&rows, &active)?;
        let concept = table.concept(&id)?;
        concept.inactive = inactive;
        concept.properties = vec![
            boolean_property("inactive", inactive),
            boolean_property("sufficientlyDefined", status == FULLY_DEFINED),
            code_property("moduleId", &module),
        ];
        concept.properties.extend(super::text_property("effectiveTime", &time));
    }
    Ok(())
}

fn flag<R: BufRead>(rows: &Rows<R>, value: &str) -> Result<bool, ImportError> {
    match value {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(rows.lines.wrong("active is neither 0 nor 1")),
    }
}

/// The descriptions that a language reference set prefers.
fn preferred(file: impl BufRead) -> Result<FxHashSet<Box<str>>, ImportError> {
    let needed = ["active", "referencedComponentId", "acceptabilityId"];
    let mut rows = Rows::new("language reference set", file, tabs, &needed, &[])?;
    let mut found = FxHashSet::default();
    while let Some(row) = rows.next()? {
        let [active, description, acceptability] = columns(row);
        if flag(&rows, &active)? && acceptability == PREFERRED {
            found.insert(description.into());
        }
    }
    Ok(found)
}

fn add_descriptions(
    table: &mut CodeTable,
    file: impl BufRead,
    preferred: &FxHashSet<Box<str>>,
) -> Result<(), ImportError> {
    let needed = ["id", "active", "conceptId", "languageCode", "typeId", "term"];
    let mut rows = Rows::new("descriptions", file, tabs, &needed, &[])?;
    // How good the display of a concept is that it has.
    let mut ranks: FxHashMap<Box<str>, u8> = FxHashMap::default();
    while let Some(row) = rows.next()? {
        let [id, active, concept_id, language, kind, term] = columns(row);
        if !flag(&rows, &active)? {
            continue;
        }
        let Some(concept) = table.known(&concept_id) else {
            return Err(rows.lines.wrong(format!("there is no concept {concept_id}")));
        };
        let rank = match (kind.as_str(), preferred.contains(id.as_str())) {
            (SYNONYM, true) => 3,
            (SYNONYM, false) => 2,
            _ => 1,
        };
        let best = ranks.entry(concept_id.into()).or_default();
        if rank > *best {
            *best = rank;
            concept.display = Some(term.as_str().into());
        }
        let usage = Code {
            system: Some(SYSTEM.to_owned()),
            code: Some(kind.clone()),
            display: match kind.as_str() {
                FULLY_SPECIFIED_NAME => Some("Fully specified name".to_owned()),
                SYNONYM => Some("Synonym".to_owned()),
                _ => None,
            },
            version: None,
        };
        concept.designations.push(Designation { language: Some(language), usage: Some(usage), value: term });
    }
    Ok(())
}

/// Adds parents and attributes; returns the attributes that there are.
fn add_relationships(table: &mut CodeTable, file: impl BufRead) -> Result<Vec<Box<str>>, ImportError> {
    let needed = ["active", "sourceId", "destinationId", "typeId", "characteristicTypeId"];
    let mut rows = Rows::new("relationships", file, tabs, &needed, &[])?;
    let mut attributes = FxHashSet::default();
    while let Some(row) = rows.next()? {
        let [active, source, destination, kind, characteristic] = columns(row);
        if !flag(&rows, &active)? || characteristic != INFERRED {
            continue;
        }
        let Some(concept) = table.known(&source) else {
            return Err(rows.lines.wrong(format!("there is no concept {source}")));
        };
        if kind == IS_A {
            concept.parents.push(destination.into());
            continue;
        }
        let property = code_property(&kind, &destination);
        if !concept.properties.contains(&property) {
            concept.properties.push(property);
        }
        attributes.insert(Box::from(kind));
    }
    let mut attributes: Vec<Box<str>> = attributes.into_iter().collect();
    attributes.sort_unstable();
    Ok(attributes)
}

fn add_refsets(table: &mut CodeTable, file: impl BufRead) -> Result<(), ImportError> {
    let needed = ["active", "refsetId", "referencedComponentId"];
    let mut rows = Rows::new("reference sets", file, tabs, &needed, &[])?;
    while let Some(row) = rows.next()? {
        let [active, refset, component] = columns(row);
        if flag(&rows, &active)?
            && let Some(concept) = table.known(&component)
        {
            concept.properties.push(code_property("refset", &refset));
        }
    }
    Ok(())
}

impl CodeTable {
    /// Adds attributes to the properties that concepts may have.
    fn describe(&mut self, attributes: Vec<Box<str>>) {
        let property = |code: Box<str>| PropertyDefinition {
            code: code.into(),
            kind: "code".to_owned(),
            ..PropertyDefinition::default()
        };
        self.description_mut().properties.extend(attributes.into_iter().map(property));
    }
}
