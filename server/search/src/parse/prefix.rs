//! The prefixes of ordered values (<https://hl7.org/fhir/R4/search.html#prefix>).

use store::Comparison;

use super::fault::{Fault, shown};

const PREFIXES: [(&str, Comparison); 9] = [
    ("eq", Comparison::Equal),
    ("ne", Comparison::NotEqual),
    ("gt", Comparison::Greater),
    ("lt", Comparison::Less),
    ("ge", Comparison::GreaterOrEqual),
    ("le", Comparison::LessOrEqual),
    ("sa", Comparison::StartsAfter),
    ("eb", Comparison::EndsBefore),
    ("ap", Comparison::Approximately),
];

/// Takes the prefix off a value; `eq` without one.
pub(super) fn prefix(text: &str) -> Result<(Comparison, &str), Fault> {
    if !text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Ok((Comparison::Equal, text));
    }
    let known = PREFIXES.iter().find_map(|(name, comparison)| Some((*comparison, text.strip_prefix(name)?)));
    known.ok_or_else(|| {
        let names: Vec<&str> = PREFIXES.iter().map(|(name, _)| *name).collect();
        Fault::value(format!("{} begins with none of the prefixes {}.", shown(text), names.join(", ")))
    })
}
