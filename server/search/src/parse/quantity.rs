//! Quantity values (<https://hl7.org/fhir/R4/search.html#quantity>): `number`, `number|system|code`, `number||code`.

use store::{Comparison, Predicate};

use super::fault::{Fault, shown};
use super::number::comparison;
use super::split::{split, unescape};
use crate::index::{UCUM, Units};

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

/// The same in the base units of UCUM, if its unit is one of these.
pub(super) fn canonical(predicate: &Predicate, units: &Units) -> Option<Predicate> {
    let Predicate::Quantity { comparison, lo, hi, system: Some(system), code: Some(code) } = predicate else {
        return None;
    };
    let base = units.base(code).filter(|_| **system == *UCUM)?;
    let (lo, hi) = match comparison {
        // The upper end is the last number below a round one: that is what is converted.
        Comparison::Equal | Comparison::NotEqual => (base.value(*lo)?, base.value(hi.next_up())?.next_down()),
        _ => (base.value(*lo)?, base.value(*hi)?),
    };
    let code = Some(base.name().into());
    Some(Predicate::Quantity { comparison: *comparison, lo, hi, system: None, code })
}
