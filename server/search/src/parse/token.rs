//! Token values (<https://hl7.org/fhir/R4/search.html#token>): `code`, `system|code`, `|code`, `system|`.

use store::Predicate;

use super::fault::{Fault, shown};
use super::split::{split, unescape};
use crate::index::IMPLIED_SYSTEM;

/// What a value asks for, alternatives. A code element has no system of its own to compare, so `system|code` finds
/// it by its code, whatever the system.
pub(super) fn predicates(text: &str) -> Result<Vec<Predicate>, Fault> {
    let mut parts = split(text, b'|').map(|part| Box::<str>::from(unescape(part)));
    let token = |system, code| Predicate::Token { system, code };
    match (parts.next().filter(|part| !part.is_empty()), parts.next(), parts.next()) {
        (Some(code), None, None) => Ok(vec![token(None, Some(code))]),
        (Some(system), Some(code), None) if code.is_empty() => Ok(vec![token(Some(system), None)]),
        (Some(system), Some(code), None) => {
            Ok(vec![token(Some(system), Some(code.clone())), token(Some(IMPLIED_SYSTEM.into()), Some(code))])
        }
        (None, Some(code), None) if !code.is_empty() => Ok(vec![token(Some(Box::default()), Some(code))]),
        _ => Err(Fault::value(format!("{} is not code, system|code, |code or system|.", shown(text)))),
    }
}
