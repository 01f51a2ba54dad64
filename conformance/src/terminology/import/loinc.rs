//! LOINC, from its release (<https://loinc.org/downloads/>): `LoincTable/Loinc.csv`, and if at hand the hierarchy of
//! components and the answer lists. Which properties there are is what FHIR says (<https://hl7.org/fhir/R4/loinc.html>).

use std::io::BufRead;

use super::super::code_table::CodeTable;
use super::{ImportError, Lines, Rows, code_property, columns, description, designation, text_property};

/// Columns of the table that are properties.
const PROPERTIES: [&str; 10] = [
    "STATUS",
    "COMPONENT",
    "PROPERTY",
    "TIME_ASPCT",
    "SYSTEM",
    "SCALE_TYP",
    "METHOD_TYP",
    "CLASS",
    "CLASSTYPE",
    "ORDER_OBS",
];

/// The files of a release.
pub struct LoincFiles<R> {
    /// `LoincTable/Loinc.csv`.
    pub table: R,
    /// `AccessoryFiles/ComponentHierarchyBySystem/ComponentHierarchyBySystem.csv`, before 2.70 `MultiAxialHierarchy.csv`.
    pub hierarchy: Option<R>,
    /// `AccessoryFiles/AnswerFile/AnswerList.csv`.
    pub answers: Option<R>,
}

/// Reads a release. `version` is its number (`2.77`).
///
/// # Errors
/// A file cannot be read, or a line is not in the format.
pub fn loinc<R: BufRead>(files: LoincFiles<R>, version: &str) -> Result<CodeTable, ImportError> {
    let mut properties: Vec<(&str, &str)> = PROPERTIES.iter().map(|name| (*name, "string")).collect();
    properties.push(("answer-list", "code"));
    let mut table = CodeTable::new(description("http://loinc.org", version, "LOINC", &properties));
    add_table(&mut table, files.table)?;
    if let Some(file) = files.hierarchy {
        add_hierarchy(&mut table, file)?;
    }
    if let Some(file) = files.answers {
        add_answers(&mut table, file)?;
    }
    Ok(table)
}

fn add_table(table: &mut CodeTable, file: impl BufRead) -> Result<(), ImportError> {
    let mut needed = vec!["LOINC_NUM", "LONG_COMMON_NAME"];
    needed.extend(PROPERTIES);
    let mut rows = Rows::new("Loinc.csv", file, csv, &needed, &["SHORTNAME", "CONSUMER_NAME"])?;
    while let Some(row) = rows.next()? {
        let texts = row.get(needed.len()..).unwrap_or_default();
        let [code, name] = columns(row.iter().take(2).cloned().collect());
        if code.is_empty() {
            return Err(rows.lines.wrong("has no LOINC_NUM"));
        }
        let concept = table.concept(&code)?;
        concept.display = Some(name.into());
        let values = PROPERTIES.iter().zip(row.iter().skip(2));
        concept.properties.extend(values.clone().filter_map(|(name, value)| text_property(name, value)));
        concept.inactive = values.clone().any(|(name, value)| *name == "STATUS" && value == "DEPRECATED");
        concept.designations.extend(texts.iter().filter(|it| !it.is_empty()).map(|it| designation("en", it)));
    }
    Ok(())
}

fn add_hierarchy(table: &mut CodeTable, file: impl BufRead) -> Result<(), ImportError> {
    let needed = ["IMMEDIATE_PARENT", "CODE", "CODE_TEXT"];
    let mut rows = Rows::new("hierarchy", file, csv, &needed, &[])?;
    while let Some(row) = rows.next()? {
        let [parent, code, text] = columns(row);
        let concept = table.concept(&code)?;
        if concept.display.is_none() {
            concept.display = Some(text.into());
        }
        if !parent.is_empty() {
            concept.parents.push(parent.into());
        }
    }
    Ok(())
}

fn add_answers(table: &mut CodeTable, file: impl BufRead) -> Result<(), ImportError> {
    let needed = ["AnswerListId", "AnswerListName", "AnswerStringId", "DisplayText"];
    let mut rows = Rows::new("AnswerList.csv", file, csv, &needed, &[])?;
    while let Some(row) = rows.next()? {
        let [list, name, answer, text] = columns(row);
        table.concept(&list)?.display = Some(name.into());
        // Lists that are defined elsewhere have a row without an answer.
        if answer.is_empty() {
            continue;
        }
        let concept = table.concept(&answer)?;
        if concept.display.is_none() {
            concept.display = Some(text.into());
        }
        concept.properties.push(code_property("answer-list", &list));
    }
    Ok(())
}

/// A row of comma-separated values (RFC 4180): values in quotes may have commas, quotes twice, and ends of lines.
fn csv<R: BufRead>(lines: &mut Lines<R>, mut line: String) -> Result<Vec<String>, ImportError> {
    let mut values = Vec::new();
    let mut rest = line.as_str();
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (value, more) =
                rest.split_once(',').map_or((rest, None), |(value, more)| (value, Some(more)));
            values.push(value.to_owned());
            match more {
                Some(more) => rest = more,
                None => return Ok(values),
            }
            continue;
        };
        let Some((value, more)) = unquote(quoted) else {
            // The value goes on in the next line.
            let at = line.len() - rest.len();
            let next = lines.next()?.ok_or_else(|| lines.wrong("a quote is never closed"))?;
            if line.len() + next.len() > super::MAX_LINE {
                return Err(lines.wrong("a quote is never closed"));
            }
            line.push('\n');
            line.push_str(&next);
            rest = line.get(at..).unwrap_or_default();
            continue;
        };
        values.push(value);
        match more.strip_prefix(',') {
            Some(more) => rest = more,
            None if more.is_empty() => return Ok(values),
            None => return Err(lines.wrong("there is text behind a closing quote")),
        }
    }
}

/// The value up to the closing quote, and what is behind.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        value.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}
