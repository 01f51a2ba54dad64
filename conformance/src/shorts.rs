//! What each element of R4 means, in a few words: `ElementDefinition.short` of the types' own elements, for documentation that is
//! generated. A table of paths and texts, sorted; read when it is first asked for.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::OnceLock;

use serde_json::Value;

use crate::package::{Limits, PackageError, each_file};

/// The table of R4 in the program, under `ig/`.
const R4: &str = include_str!("../../ig/r4-4.0.1.shorts.tsv");

/// The types that elements come from which a definition does not state itself: those of a type, and those further in.
const INHERITED: [[&str; 2]; 2] = [["DomainResource", "Resource"], ["BackboneElement", "Element"]];

/// The text of an element: `Patient.name`. Elements that a type inherits have the text of where they come from.
pub fn short(path: &str) -> Option<&'static str> {
    if let Some(text) = of_path(path) {
        return Some(text);
    }
    let (parent, name) = path.rsplit_once('.')?;
    let from = INHERITED.iter().skip(usize::from(parent.contains('.'))).flatten();
    from.filter_map(|base| of_path(&format!("{base}.{name}"))).next()
}

fn of_path(path: &str) -> Option<&'static str> {
    static LINES: OnceLock<Vec<(&str, &str)>> = OnceLock::new();
    let lines = LINES.get_or_init(|| R4.lines().filter_map(|line| line.split_once('\t')).collect());
    let at = lines.binary_search_by(|(known, _)| (*known).cmp(path)).ok()?;
    lines.get(at).map(|(_, text)| *text)
}

/// The table of a package: what it says of the elements of types that it defines, sorted by path.
///
/// # Errors
/// An archive that is broken or beyond the bounds, or a file that is no JSON.
pub fn compile_shorts(archive: impl Read, limits: &Limits) -> Result<String, PackageError> {
    let mut found = BTreeMap::new();
    each_file(archive, limits, |file, bytes| {
        let json: Value = serde_json::from_slice(bytes)
            .map_err(|cause| PackageError::Json { file: file.to_owned(), cause })?;
        let says = |name: &str, text: &str| json.get(name).and_then(Value::as_str) == Some(text);
        if says("resourceType", "StructureDefinition")
            && !says("derivation", "constraint")
            && !says("kind", "logical")
        {
            let elements = json.pointer("/differential/element").and_then(Value::as_array);
            for element in elements.into_iter().flatten() {
                let text = |name: &str| element.get(name).and_then(Value::as_str);
                if let (Some(path), Some(short)) = (text("path"), text("short")) {
                    found.insert(path.to_owned(), short.split_whitespace().collect::<Vec<_>>().join(" "));
                }
            }
        }
        Ok(())
    })?;
    Ok(found.into_iter().map(|(path, text)| format!("{path}\t{text}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_texts() {
        for (path, expected) in [
            ("Account", Some("Tracks balance, charges, for patient or cost center")),
            ("Account.status", Some("active | inactive | entered-in-error | on-hold | unknown")),
            ("Account.meta", Some("Metadata about the resource")),
            ("Account.text", Some("Text summary of the resource, for human interpretation")),
            (
                "Account.coverage.modifierExtension",
                Some("Extensions that cannot be ignored even if unrecognized"),
            ),
            ("Account.coverage.id", Some("Unique id for inter-element referencing")),
            ("Account.colour", None),
            ("Colour", None),
        ] {
            assert_eq!(short(path), expected, "{path}");
        }
    }
}
