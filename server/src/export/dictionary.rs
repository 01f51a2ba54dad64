//! The data dictionary of an `$ehi-export`: what the elements of the exported types are, by R4's definitions, the profiles of the
//! server and its packages, and those that are stored and the caller may see. A table (CSV, RFC 4180) with a line for each element.

use std::collections::BTreeSet;

use bulk::ExportError;
use bytes::Bytes;
use conformance::validation::{ElementRule, MANY, Structure};
use serde_json::Value;
use store::{Cursor, Permission};

use super::source::{Records, all_of};

const HEADER: &str = "definition,path,slice,type,cardinality,description\r\n";
/// Stored definitions that are read at once.
const STEP: usize = 100;
const DEFINITION: &str = "StructureDefinition";

/// Lines, and the types that they speak of.
struct Dictionary {
    text: String,
    types: BTreeSet<String>,
}

/// The dictionary of some types of resources.
///
/// # Errors
/// The store failed.
pub(super) async fn of(records: &Records, types: &[String]) -> Result<Bytes, ExportError> {
    let library = records.service.validation.library();
    let mut dictionary = Dictionary { text: HEADER.to_owned(), types: BTreeSet::new() };
    for name in types {
        dictionary.types.insert(name.clone());
        if let Some(structure) = library.of_type(name) {
            dictionary.structure(name, &structure);
        }
    }
    // The types of elements, and those of their elements in turn.
    let mut told: BTreeSet<String> = types.iter().cloned().collect();
    while let Some(name) = dictionary.types.iter().find(|name| !told.contains(*name)).cloned() {
        if let Some(structure) = library.of_type(&name).filter(|it| it.kind != "resource") {
            dictionary.structure(&name, &structure);
        }
        told.insert(name);
    }
    for name in types {
        for url in records.service.definitions.profiles(name) {
            if let Some(structure) = library.get(url) {
                dictionary.structure(url, &structure);
            }
        }
    }
    for profile in stored(records, types).await? {
        dictionary.profile(&profile);
    }
    Ok(dictionary.text.into())
}

/// The stored profiles of some types, as they are now.
async fn stored(records: &Records, types: &[String]) -> Result<Vec<Value>, ExportError> {
    let mut found = Vec::new();
    let access = &records.caller.access;
    if !access.permits(Permission::Search, DEFINITION) || !access.permits(Permission::Read, DEFINITION) {
        return Ok(found);
    }
    let mut query = all_of(DEFINITION, STEP);
    loop {
        let page = records.search(&query).await?;
        for version in &page.matches {
            let Ok(json) = serde_json::from_slice::<Value>(&version.body) else { continue };
            let of = text(&json, "type").is_some_and(|name| types.iter().any(|known| known == name));
            if of && text(&json, "derivation") == Some("constraint") {
                found.push(json);
            }
        }
        let Some(Cursor(next)) = page.next else { return Ok(found) };
        query.after = Some(Cursor(next));
    }
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

impl Dictionary {
    /// The elements of a type or a profile of the program or a package.
    fn structure(&mut self, name: &str, structure: &Structure) {
        let elements =
            if structure.snapshot.is_empty() { &structure.differential } else { &structure.snapshot };
        for ElementRule { path, slice, min, max, types, .. } in elements {
            let codes: Vec<&str> = types.iter().map(|rule| rule.code.as_str()).collect();
            let max = max.map(|max| if max == MANY { "*".to_owned() } else { max.to_string() });
            self.line(Line {
                definition: name,
                path,
                slice: slice.as_deref().unwrap_or_default(),
                types: &codes,
                cardinality: (min.map(|min| min.to_string()), max),
                short: None,
            });
        }
    }

    /// Those of a stored profile.
    fn profile(&mut self, profile: &Value) {
        let elements = ["/snapshot/element", "/differential/element"];
        let elements = elements.into_iter().find_map(|place| profile.pointer(place)?.as_array());
        for element in elements.into_iter().flatten() {
            let types = element.get("type").and_then(Value::as_array).into_iter().flatten();
            let codes: Vec<&str> = types.filter_map(|rule| text(rule, "code")).collect();
            self.line(Line {
                definition: text(profile, "url").unwrap_or_default(),
                path: text(element, "path").unwrap_or_default(),
                slice: text(element, "sliceName").unwrap_or_default(),
                types: &codes,
                cardinality: (
                    element.get("min").map(Value::to_string),
                    text(element, "max").map(str::to_owned),
                ),
                short: text(element, "short"),
            });
        }
    }

    fn line(&mut self, line: Line<'_>) {
        let Line { definition, path, slice, types, cardinality: (min, max), short } = line;
        self.types.extend(types.iter().map(|code| (*code).to_owned()));
        let cardinality = match (min, max) {
            (None, None) => String::new(),
            (min, max) => format!("{}..{}", min.unwrap_or_default(), max.unwrap_or_default()),
        };
        let description = short.or_else(|| conformance::short(path)).unwrap_or_default();
        let cells = [definition, path, slice, &types.join(" | "), &cardinality, description];
        for (number, cell) in cells.into_iter().enumerate() {
            if number > 0 {
                self.text.push(',');
            }
            write_cell(&mut self.text, cell);
        }
        self.text.push_str("\r\n");
    }
}

struct Line<'l> {
    definition: &'l str,
    path: &'l str,
    slice: &'l str,
    types: &'l [&'l str],
    cardinality: (Option<String>, Option<String>),
    short: Option<&'l str>,
}

fn write_cell(out: &mut String, cell: &str) {
    let is_plain = !cell.contains([',', '"', '\r', '\n']);
    // No program that shows tables takes it for a formula.
    let mark = if cell.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    match is_plain {
        true => out.extend([mark, cell]),
        false => out.extend(["\"", mark, &cell.replace('"', "\"\""), "\""]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells() {
        for (cell, expected) in [
            ("Account number", "Account number"),
            ("a, b", "\"a, b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("", ""),
        ] {
            let mut out = String::new();
            write_cell(&mut out, cell);
            assert_eq!(out, expected, "{cell}");
        }
    }

    #[test]
    fn elements_of_a_stored_profile() {
        let mut dictionary = Dictionary { text: String::new(), types: BTreeSet::new() };
        let profile = serde_json::json!({"url": "http://example.org/p", "differential": {"element": [
            {"path": "Patient.name", "sliceName": "legal", "min": 1, "max": "1", "type": [{"code": "HumanName"}]},
            {"path": "Patient.active", "short": "Always, here"},
        ]}});
        dictionary.profile(&profile);
        assert_eq!(
            dictionary.text,
            "http://example.org/p,Patient.name,legal,HumanName,1..1,A name associated with the patient\r\n\
             http://example.org/p,Patient.active,,,,\"Always, here\"\r\n"
        );
        assert!(dictionary.types.contains("HumanName"));
    }
}
