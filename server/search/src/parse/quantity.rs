//! Quantity values (<https://hl7.org/fhir/R4/search.html#quantity>): `number`, `number|system|code`, `number||code`.

use store::Predicate;

use super::fault::{Fault, shown};
use super::number::comparison;
use super::split::{split, unescape};

pub(super) fn predicate(text: &str) -> Result<Predicate, Fault> {
    let mut parts = split(text, b'|').map(unescape);
    let number = parts.next().unwrap_or_default();
    let unit: Option<(Box<str>, Box<str>)> = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => None,
        (Some(system), Some(code), None) => Some((system.into(), code.into())),
        _ => {
            return Err(Fault::value(format!(
                "{} is not number, number|system|code or number||code.",
                shown(text)
            )));
        }
    };
    let (comparison, lo, hi) = comparison(&number)?;
    let (system, code) = unit.unwrap_or_default();
    let named = |part: Box<str>| Some(part).filter(|part| !part.is_empty());
    Ok(Predicate::Quantity { comparison, lo, hi, system: named(system), code: named(code) })
}
