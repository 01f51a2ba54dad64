//! Searches made of the values that resources have.

use std::collections::BTreeSet;

use conformance::SearchParameter;
use store::{Entries, Indexer as _, Value};

use super::seeds::{self, Cast, Seed};
use super::world::{DEFINITIONS, INDEX};

/// The first finds every value by what it begins with, a period of days too.
const PREFIXES: [&str; 10] = ["ge", "", "eq", "ne", "gt", "lt", "le", "sa", "eb", "ap"];

/// A criterion: the type, the parameter's code, and how the query writes both sides.
pub struct Criterion {
    pub resource_type: String,
    pub code: String,
    pub name: String,
    pub value: String,
    /// Whether it asks for a value, and not for whether there is one.
    pub is_value: bool,
}

/// The index entries of resources.
fn entries(seeds: &[Seed]) -> Vec<(&'static str, Entries)> {
    let made = seeds.iter().map(|seed| {
        let resource_type = seed.resource_type();
        let mut entries = Entries::new();
        INDEX.entries(resource_type, seed.resource().as_bytes(), &mut entries).unwrap();
        (resource_type, entries)
    });
    made.collect()
}

/// The parameter of an entry; for one that a modifier asks of, with the modifier, which the index names behind a colon.
fn parameter(index: u16) -> (&'static SearchParameter, &'static str) {
    let parameters = &DEFINITIONS.search_parameters;
    if let Some(parameter) = parameters.by_index(index) {
        return (parameter, "");
    }
    let name = INDEX.parameters()[usize::from(index)].name.as_str();
    let (parameter, modifier) = name.split_once(':').expect("a parameter and a modifier");
    let (base, code) = parameter.split_once('.').expect("a type and a code");
    let parameter = parameters.all().iter().find(|it| it.base == base && it.code == code);
    (parameter.expect("entries have known parameters"), modifier)
}

/// The types and parameters that the resources of the one who asks have values of.
pub fn with_values(cast: Cast) -> Vec<(&'static str, &'static SearchParameter)> {
    let mut kept = seeds::own(cast);
    kept.retain(|seed| seed.key != seeds::DELETED_BY_ASKING);
    let mut all = Vec::new();
    for (resource_type, entries) in entries(&kept) {
        all.extend(entries.iter().map(|(id, _)| (resource_type, parameter(id.0).0)));
    }
    all
}

/// For each parameter of each seeded type: whether it is there, and the values of both in every form.
pub fn all(cast: Cast) -> Vec<Criterion> {
    let mut all = Vec::new();
    let (own, others) = (seeds::own(cast), seeds::others(cast));
    let types: BTreeSet<&str> = own.iter().chain(&others).map(Seed::resource_type).collect();
    for resource_type in types {
        for parameter in DEFINITIONS.search_parameters.of(resource_type).filter(|it| it.is_indexed()) {
            for value in ["true", "false"] {
                all.push(criterion(resource_type, parameter, "missing", value.to_owned()));
            }
        }
    }
    for (resource_type, entries) in entries(&own).iter().chain(&entries(&others)) {
        for (id, value) in entries.iter() {
            let (parameter, aspect) = parameter(id.0);
            match aspect {
                "" => {
                    for (modifier, text) in forms(&value) {
                        all.push(criterion(resource_type, parameter, modifier, text));
                    }
                }
                // What the quantity itself is asked by asks of its base units, too.
                "canonical" => {}
                "of-type" => {
                    let text = plain_parts(&value).join("|");
                    all.push(criterion(resource_type, parameter, aspect, text));
                }
                _ => all.push(criterion(resource_type, parameter, aspect, plain(&value))),
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|it| seen.insert((it.resource_type.clone(), it.name.clone(), it.value.clone())));
    all
}

fn criterion(resource_type: &str, parameter: &SearchParameter, modifier: &str, value: String) -> Criterion {
    let colon = if modifier.is_empty() { "" } else { ":" };
    let (resource_type, code) = (resource_type.to_owned(), parameter.code.clone());
    Criterion {
        resource_type,
        name: format!("{code}{colon}{modifier}"),
        code,
        value,
        is_value: modifier != "missing",
    }
}

/// Modifier and text of the queries that a value answers to, or nearly.
fn forms(value: &Value<'_>) -> Vec<(&'static str, String)> {
    let prefixed = |text: String| PREFIXES.iter().map(|prefix| ("", format!("{prefix}{text}"))).collect();
    match value {
        Value::Token { system, code } => {
            let mut forms = vec![("", code.to_string()), ("not", code.to_string()), ("", format!("|{code}"))];
            if !system.is_empty() {
                forms.push(("", format!("{system}|{code}")));
                forms.push(("", format!("{system}|")));
            }
            forms.retain(|(_, text)| !text.trim_matches('|').is_empty());
            forms
        }
        Value::String(text) => {
            let middle: String = text.chars().skip(1).take(5).collect();
            vec![("", (*text).to_owned()), ("exact", (*text).to_owned()), ("contains", middle)]
        }
        Value::Uri(text) => vec![("", (*text).to_owned())],
        Value::Reference(target) => {
            let id = target.rsplit('/').next().unwrap_or_default();
            vec![("", (*target).to_owned()), ("", id.to_owned())]
        }
        Value::Date { lo, hi } => prefixed(date(*lo, *hi)),
        Value::Number { .. } | Value::Quantity { .. } => prefixed(plain(value)),
        Value::Composite(_) => vec![("", plain_parts(value).join("$"))],
    }
}

/// The texts that find the parts of a composite.
fn plain_parts(value: &Value<'_>) -> Vec<String> {
    match value {
        Value::Composite(parts) => parts.iter().map(plain).collect(),
        _ => panic!("this is no composite"),
    }
}

/// The one text that finds just the value.
fn plain(value: &Value<'_>) -> String {
    match value {
        Value::Token { system: "", code } => (*code).to_owned(),
        Value::Token { system, code } => format!("{system}|{code}"),
        Value::String(text) | Value::Uri(text) | Value::Reference(text) => (*text).to_owned(),
        Value::Date { lo, hi } => date(*lo, *hi),
        Value::Number { lo, .. } => lo.to_string(),
        Value::Quantity { lo, system, code, .. } => format!("{lo}|{system}|{code}"),
        Value::Composite(_) => panic!("a composite has no composites"),
    }
}

/// A day where the span is one, else its first moment.
fn date(lo: i64, hi: i64) -> String {
    const DAY_US: i64 = 86_400_000_000;
    let from = if lo == i64::MIN { hi } else { lo };
    let moment = jiff::Timestamp::from_microsecond(from).unwrap();
    let form = if hi.checked_sub(lo).is_some_and(|length| length >= DAY_US - 1) {
        "%Y-%m-%d"
    } else {
        "%Y-%m-%dT%H:%M:%SZ"
    };
    moment.strftime(form).to_string()
}
