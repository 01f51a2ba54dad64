//! Values in a resource, along the paths that must-support elements and search parameters are named by: `name.given`,
//! `effective[x]`, `effectiveDateTime`, `component:systolic.code`, `extension.where(url='..').valueDateTime`. Judges nothing.

use serde_json::Value;

use crate::guide::{Discriminator, MustSupport};
use crate::http::text;

/// An element whose value is missing for a stated reason.
pub(crate) const DATA_ABSENT: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";

/// What elements of a choice of types may be called after.
const CHOICES: &[&str] = &[
    "DateTime",
    "Period",
    "Date",
    "Instant",
    "Timing",
    "Age",
    "Range",
    "String",
    "CodeableConcept",
    "Reference",
    "Quantity",
    "Boolean",
    "Integer",
    "Ratio",
    "Time",
    "SampledData",
    "Attachment",
    "Coding",
    "Identifier",
    "Uri",
    "Code",
    "Decimal",
];

/// All values at a path, lists one by one.
pub(crate) fn values<'v>(from: &'v Value, path: &str, must: &MustSupport) -> Vec<&'v Value> {
    let mut found = vec![from];
    for segment in segments(path) {
        found = found.into_iter().flat_map(|value| step(value, segment, must)).collect();
    }
    found
}

/// The parts of a path: a dot in parentheses or quotes divides nothing.
pub(crate) fn segments(path: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0_u32, 0, Vec::new());
    for (at, letter) in path.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '.' if depth == 0 => {
                out.push(path.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(path.get(start..).unwrap_or_default());
    out.retain(|segment| !segment.is_empty());
    out
}

fn step<'v>(value: &'v Value, segment: &str, must: &MustSupport) -> Vec<&'v Value> {
    if let Some(url) = segment.strip_prefix("where(url='").and_then(|rest| rest.strip_suffix("')")) {
        return if text(value, "url") == Some(url) { vec![value] } else { Vec::new() };
    }
    if let Some((_, field)) = segment.split_once("[x]:") {
        return list(value.get(field));
    }
    if let Some(prefix) = segment.strip_suffix("[x]") {
        return choice(value, prefix);
    }
    if let Some(name) = segment.strip_prefix("extension:") {
        let suffix = format!("extension:{name}");
        let url = must.extensions.iter().find(|one| one.id.ends_with(&suffix)).map(|one| one.url.as_str());
        let all = list(value.get("extension"));
        return all.into_iter().filter(|one| url.is_some() && text(one, "url") == url).collect();
    }
    if let Some((element, slice)) = segment.split_once(':') {
        let Some(slice) = must.slices.iter().find(|one| one.name == slice) else { return Vec::new() };
        let all = list(value.get(element));
        return all.into_iter().filter(|one| in_slice(one, &slice.discriminator)).collect();
    }
    let found = match value.get(segment) {
        Some(_) => list(value.get(segment)),
        None => choice(value, segment),
    };
    // The extensions of a primitive value stand beside it.
    found
        .into_iter()
        .chain(list(value.get(format!("_{segment}"))).into_iter().filter(|one| one.is_object()))
        .collect()
}

/// The element of a choice of types, whichever it is.
fn choice<'v>(value: &'v Value, prefix: &str) -> Vec<&'v Value> {
    let Value::Object(members) = value else { return Vec::new() };
    let is = |name: &str| name.strip_prefix(prefix).is_some_and(|rest| CHOICES.contains(&rest));
    members.iter().filter(|(name, _)| is(name)).flat_map(|(_, value)| list(Some(value))).collect()
}

/// A value, or those of a list.
pub(crate) fn list(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Array(all)) => all.iter().collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(one) => vec![one],
    }
}

/// Whether an element is of a slice.
pub(crate) fn in_slice(element: &Value, discriminator: &Discriminator) -> bool {
    let nothing = MustSupport::default();
    let at = |path: &str| values(element, path, &nothing);
    let is = |coding: &&Value, system: &str, code: &str| {
        text(coding, "system") == Some(system) && text(coding, "code") == Some(code)
    };
    match discriminator {
        Discriminator::Concept { path, system, code } => {
            at(path).into_iter().flat_map(|one| list(one.get("coding"))).any(|one| is(&one, system, code))
        }
        Discriminator::Coding { path, system, code } => at(path).iter().any(|one| is(one, system, code)),
        Discriminator::Identifier { path, system } => {
            at(path).into_iter().any(|one| text(one, "system") == Some(system))
        }
        Discriminator::Values(all) => {
            all.iter().all(|(path, value)| at(path).into_iter().any(|one| one.as_str() == Some(value)))
        }
        Discriminator::Type { path, name } => at(path).into_iter().any(|one| is_of_type(one, name)),
        Discriminator::Binding { path, codes } => {
            let codings = at(path).into_iter().flat_map(|one| match one.get("coding") {
                Some(codings) => list(Some(codings)),
                None => vec![one],
            });
            codings.into_iter().any(|one| codes.iter().any(|(system, code)| is(&one, system, code)))
        }
    }
}

/// The types that slices are told apart by, as far as JSON tells them.
fn is_of_type(value: &Value, name: &str) -> bool {
    let has = |names: &[&str]| names.iter().any(|name| value.get(*name).is_some());
    match name {
        "Date" | "DateTime" => {
            value.as_str().is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()))
        }
        "String" => value.is_string(),
        "Boolean" => value.is_boolean(),
        "Period" => has(&["start", "end"]),
        "Quantity" => has(&["value", "unit", "code"]),
        "CodeableConcept" => has(&["coding", "text"]),
        "Reference" => has(&["reference", "identifier", "display"]),
        _ => value.is_object(),
    }
}
