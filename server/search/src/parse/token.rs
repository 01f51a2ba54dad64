//! Token values (<https://hl7.org/fhir/R4/search.html#token>): `code`, `system|code`, `|code`, `system|`.

use store::Predicate;

use super::fault::{Fault, shown};
use super::split::{split, unescape};
use crate::index::{IMPLIED_SYSTEM, Systems};

/// What a value asks for, alternatives. A code element has no system of its own to compare, so `system|code` finds
/// it by its code, whatever the system.
pub(super) fn predicates(text: &str, systems: Systems) -> Result<Vec<Predicate>, Fault> {
    let mut parts = split(text, b'|').map(|part| Box::<str>::from(unescape(part)));
    let (first, second, more) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let named = |part: Box<str>| Some(part).filter(|part| !part.is_empty());
    let (system, code) = match second {
        None => (None, named(first)),
        Some(code) => (Some(first), named(code)),
    };
    // `|` and the empty text ask for nothing.
    if more.is_some() || (code.is_none() && system.as_deref().is_none_or(str::is_empty)) {
        return Err(Fault::value(format!("{} is not code, system|code, |code or system|.", shown(text))));
    }
    Ok(of(system, code, systems))
}

/// What a system and a code ask for where values have these systems.
pub(super) fn of(system: Option<Box<str>>, code: Option<Box<str>>, systems: Systems) -> Vec<Predicate> {
    let implied = || Predicate::Token { system: Some(IMPLIED_SYSTEM.into()), code: code.clone() };
    let written = || Predicate::Token { system: system.clone(), code: code.clone() };
    let asks_for_system = system.as_deref().is_some_and(|system| !system.is_empty());
    match systems {
        Systems::Implied if asks_for_system => vec![implied()],
        Systems::Both if asks_for_system => vec![written(), implied()],
        _ => vec![written()],
    }
}

/// `system|code|value`, of an identifier's type and value.
pub(super) fn of_type(text: &str) -> Result<Predicate, Fault> {
    let parts: Vec<Box<str>> = split(text, b'|').map(|part| Box::from(unescape(part))).collect();
    let [system, code, value] = parts.as_slice() else {
        return Err(Fault::value(format!("{} is not system|code|value.", shown(text))));
    };
    if parts.iter().any(|part| part.is_empty()) {
        return Err(Fault::value(format!("{} is not system|code|value; each is needed.", shown(text))));
    }
    Ok(Predicate::Composite(vec![
        Predicate::Token { system: Some(system.clone()), code: Some(code.clone()) },
        Predicate::Token { system: None, code: Some(value.clone()) },
    ]))
}
