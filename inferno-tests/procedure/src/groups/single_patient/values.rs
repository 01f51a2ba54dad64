//! What to search for: values out of resources, in the form of a search; and whether a resource has what was searched for.

use serde_json::Value;

use crate::dates;
use crate::guide::{MustSupport, Parameter};
use crate::http::text;
use crate::navigation::{list, values};

/// A value that finds the resource, if it has one.
pub(super) fn value_of(
    parameter: &Parameter,
    resource: &Value,
    must: &MustSupport,
    with_system: bool,
) -> Option<String> {
    let all = parameter.paths.iter().flat_map(|path| values(resource, path, must));
    let found = all.filter_map(|value| one_value(parameter, value, with_system, resource));
    found.into_iter().find(|value| !value.is_empty()).map(|value| value.replace(',', "\\,"))
}

fn one_value(parameter: &Parameter, value: &Value, with_system: bool, resource: &Value) -> Option<String> {
    let own = |name: &str| text(value, name).map(str::to_owned);
    if let Some(plain) = value.as_str() {
        return Some(date(parameter, value, plain, resource).unwrap_or_else(|| plain.to_owned()));
    }
    match parameter.kind.as_str() {
        "Identifier" => token(text(value, "system"), text(value, "value"), with_system),
        "Coding" => token(text(value, "system"), text(value, "code"), with_system),
        "HumanName" => own("family").or_else(|| first(value, "given")).or_else(|| own("text")),
        "Address" => ["text", "city", "state", "postalCode", "country"].iter().find_map(|name| own(name)),
        _ if value.get("reference").is_some() => own("reference"),
        _ if value.get("coding").is_some() => coding(value, with_system),
        _ if value.get("start").is_some() => dates::moved(value, -1).map(|date| format!("gt{date}")),
        _ if value.get("end").is_some() => dates::moved(value, 1).map(|date| format!("lt{date}")),
        _ => None,
    }
}

/// A date of less precision than a time is searched for as later than the day before.
fn date(parameter: &Parameter, value: &Value, plain: &str, resource: &Value) -> Option<String> {
    let is_compared = parameter.kind == "date" && !parameter.comparators.is_empty();
    let is_goal = text(resource, "resourceType") == Some("Goal");
    let is_rough = matches!(plain.len(), 4 | 7) || (plain.len() == 10 && !is_goal);
    if !is_compared || !is_rough {
        return None;
    }
    dates::moved(value, -1).map(|date| format!("gt{date}"))
}

fn first(value: &Value, name: &str) -> Option<String> {
    list(value.get(name)).first().and_then(|one| one.as_str()).map(str::to_owned)
}

fn token(system: Option<&str>, code: Option<&str>, with_system: bool) -> Option<String> {
    let code = code.filter(|code| !code.is_empty())?;
    if with_system { Some(format!("{}|{code}", system?)) } else { Some(code.to_owned()) }
}

/// Of several codings, one of a system that everybody knows.
fn coding(concept: &Value, with_system: bool) -> Option<String> {
    const KNOWN: [&str; 4] = [
        "http://loinc.org",
        "http://snomed.info/sct",
        "http://terminology.hl7.org/CodeSystem",
        "http://hl7.org/fhir/us/core/CodeSystem",
    ];
    let all = list(concept.get("coding"));
    let is_known = |one: &&&Value| {
        text(one, "system").is_some_and(|system| KNOWN.iter().any(|known| system.starts_with(known)))
    };
    let value = |one: &Value| token(text(one, "system"), text(one, "code"), with_system);
    let known = all.iter().filter(is_known).find_map(|one| value(one));
    known.or_else(|| all.into_iter().find_map(value))
}

/// Whether a resource has what was searched for.
pub(super) fn matches(
    parameter: &Parameter,
    resource: &Value,
    searched: &str,
    must: &MustSupport,
    base: &str,
) -> bool {
    let searched = searched.replace("\\,", ",");
    let all = parameter.paths.iter().flat_map(|path| values(resource, path, must));
    all.into_iter().any(|value| match parameter.kind.as_str() {
        "Period" | "date" | "instant" | "dateTime" => dates::finds(&searched, value),
        "HumanName" => starts(value, &["text", "family", "given", "prefix", "suffix"], &searched),
        "Address" => starts(value, &["text", "line", "city", "state", "postalCode", "country"], &searched),
        "Identifier" => is_token(value, "value", &searched, false),
        "Coding" => is_token(value, "code", &searched, true),
        _ if value.get("coding").is_some() => {
            list(value.get("coding")).into_iter().any(|one| is_token(one, "code", &searched, true))
        }
        _ if value.get("reference").is_some() => is_reference(value, &searched, base),
        "string" => {
            let (own, searched) =
                (value.as_str().unwrap_or_default().to_lowercase(), searched.to_lowercase());
            own.starts_with(&searched)
        }
        _ => value.as_str().is_some_and(|own| searched.split(',').any(|one| one == own)),
    })
}

fn starts(value: &Value, names: &[&str], searched: &str) -> bool {
    let searched = searched.to_lowercase();
    let texts = names.iter().flat_map(|name| list(value.get(*name))).filter_map(Value::as_str);
    texts.into_iter().any(|own| own.to_lowercase().starts_with(&searched))
}

fn is_token(value: &Value, name: &str, searched: &str, any_case: bool) -> bool {
    let (system, code) = match searched.split_once('|') {
        Some((system, code)) => (Some(system), code),
        None => (None, searched),
    };
    let own = text(value, name).unwrap_or_default();
    let is_code = if any_case { own.eq_ignore_ascii_case(code) } else { own == code };
    is_code && system.is_none_or(|system| text(value, "system") == Some(system))
}

fn is_reference(value: &Value, searched: &str, base: &str) -> bool {
    let own = text(value, "reference").unwrap_or_default();
    let own = own.strip_prefix(base).map_or(own, |rest| rest.trim_start_matches('/'));
    own == searched || own.rsplit('/').next() == Some(searched)
}
