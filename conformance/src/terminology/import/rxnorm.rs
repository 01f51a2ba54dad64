//! RxNorm, from the Rich Release Format of the NLM (<https://www.nlm.nih.gov/research/umls/rxnorm/docs/techdoc.html>):
//! `RXNCONSO.RRF`, and if at hand `RXNREL.RRF` and `RXNSTY.RRF`. Values are between bars, without names of columns. Which
//! properties there are is what FHIR says (<https://hl7.org/fhir/R4/rxnorm.html>).

use std::io::BufRead;

use super::super::code_table::CodeTable;
use super::{ImportError, Lines, code_property, description, designation, text_property};
use crate::terminology::model::PropertyDefinition;

/// Term types that only name a concept in another way.
const SYNONYMS: [&str; 4] = ["SY", "TMSY", "PSN", "ET"];

/// The files of a release, of its folder `rrf`.
pub struct RxNormFiles<R> {
    /// `RXNCONSO.RRF`: concepts and names.
    pub concepts: R,
    /// `RXNREL.RRF`: relations.
    pub relations: Option<R>,
    /// `RXNSTY.RRF`: semantic types.
    pub types: Option<R>,
}

/// Reads a release. `version` is its date (`03042024`).
///
/// # Errors
/// A file cannot be read, or a line is not in the format.
pub fn rxnorm<R: BufRead>(files: RxNormFiles<R>, version: &str) -> Result<CodeTable, ImportError> {
    let url = "http://www.nlm.nih.gov/research/umls/rxnorm";
    let mut described = description(url, version, "RxNorm", &[("TTY", "string"), ("STY", "string")]);
    let mut relations = Vec::new();
    if let Some(file) = files.relations {
        read(Lines::new("RXNREL.RRF", file), 16, |row| {
            // "concept 2 has the relation to concept 1" is how a row reads.
            if let [one, _, "CUI", relation, two, _, "CUI", attribute, _, _, "RXNORM", ..] = row {
                let name = if attribute.is_empty() { *relation } else { *attribute };
                relations.push(((*two).to_owned(), name.to_owned(), (*one).to_owned()));
            }
            Ok(())
        })?;
    }
    for (_, name, _) in &relations {
        if !described.properties.iter().any(|property| property.code == *name) {
            let (code, kind) = (name.clone(), "code".to_owned());
            described.properties.push(PropertyDefinition { code, kind, ..PropertyDefinition::default() });
        }
    }
    let mut table = CodeTable::new(described);
    read(Lines::new("RXNCONSO.RRF", files.concepts), 18, |row| add_name(&mut table, row))?;
    if let Some(file) = files.types {
        read(Lines::new("RXNSTY.RRF", file), 6, |row| {
            if let [code, _, _, name, ..] = row
                && let Some(concept) = table.known(code)
            {
                concept.properties.extend(text_property("STY", name));
            }
            Ok(())
        })?;
    }
    for (from, name, to) in &relations {
        if let Some(concept) = table.known(from) {
            concept.properties.push(code_property(name, to));
        }
    }
    Ok(table)
}

/// Adds a name of a concept; those of other vocabularies are passed over.
fn add_name(table: &mut CodeTable, row: &[&str]) -> Result<(), ImportError> {
    let [code, language, .., vocabulary, kind, _, text, _, suppressed, _] = row else { return Ok(()) };
    if *vocabulary != "RXNORM" {
        return Ok(());
    }
    let language = if *language == "ENG" { "en" } else { language };
    let concept = table.concept(code)?;
    if SYNONYMS.contains(kind) {
        concept.designations.push(designation(language, text));
        return Ok(());
    }
    if let Some(other) = concept.display.replace((*text).into()) {
        concept.designations.push(designation(language, &other));
    }
    // `O` is obsolete; `E` and `Y` only keep a name from being shown.
    concept.inactive |= *suppressed == "O";
    concept.properties.extend(text_property("TTY", kind));
    Ok(())
}

/// Hands each row of `width` values to `take`.
fn read<R: BufRead>(
    mut lines: Lines<R>,
    width: usize,
    mut take: impl FnMut(&[&str]) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    while let Some(line) = lines.next()? {
        if line.is_empty() {
            continue;
        }
        let row: Vec<&str> = line.strip_suffix('|').unwrap_or(&line).split('|').collect();
        if row.len() != width {
            return Err(lines.wrong(format!("has {} values, not {width}", row.len())));
        }
        take(&row)?;
    }
    Ok(())
}
