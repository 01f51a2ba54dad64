//! The base units of UCUM (<https://ucum.org/ucum>) that quantities are compared in. The tables and the arithmetic are those of
//! the crate `octofhir-ucum`; what is asked of it is remembered by unit.

use std::sync::{Arc, PoisonError, RwLock};

use octofhir_ucum::{Number, evaluate, get_canonical_units, parse_expression};
use rustc_hash::FxHashMap;

/// The system of UCUM's units.
pub(crate) const UCUM: &str = "http://unitsofmeasure.org";

/// Most units that are remembered: they come from resources and requests.
const MAX_UNITS: usize = 4_096;
/// Longest unit that is looked at, bytes.
const MAX_UNIT: usize = 256;
/// Digits that a converted value is right to; what differs beyond them is the same.
const DIGITS: u32 = 24;

/// The base units of a unit, and how values convert to them.
#[derive(Debug)]
pub(crate) struct BaseUnits {
    name: String,
    factor: Number,
    offset: Number,
}

impl BaseUnits {
    /// Those of a unit. `None` for a text that is none, and for the special units that have none; those of temperature have.
    fn of(unit: &str) -> Option<BaseUnits> {
        if unit.len() > MAX_UNIT {
            return None;
        }
        // The evaluation alone, first: what fails below looks for suggestions in all units.
        evaluate(&parse_expression(unit).ok()?).ok()?;
        let found = get_canonical_units(unit).ok()?;
        Some(BaseUnits { name: found.unit, factor: found.factor, offset: found.offset })
    }

    /// Their name: `g.m.s-2` for those of the newton.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A value in them, converted as the decimal that it is the nearest to; `None` if it is out of range.
    pub(crate) fn value(&self, value: f64) -> Option<f64> {
        let converted = Number::from_f64(value)?.checked_mul(self.factor)?.checked_add(self.offset)?;
        let (mut digits, mut exponent) = converted.to_integer_and_exponent();
        let count = digits.unsigned_abs().checked_ilog10().map_or(0, |log| log + 1);
        let surplus = count.saturating_sub(DIGITS);
        if surplus > 0 {
            let unit = 10_i128.checked_pow(surplus)?;
            digits = (digits + digits.signum() * (unit / 2)) / unit;
            exponent = exponent.checked_add(i32::try_from(surplus).ok()?)?;
        }
        format!("{digits}e{exponent}").parse().ok().filter(|number: &f64| number.is_finite())
    }
}

/// What is known of units.
#[derive(Default)]
pub(crate) struct Units(RwLock<FxHashMap<Box<str>, Option<Arc<BaseUnits>>>>);

impl Units {
    /// The base units of a unit; `None` for one that has none.
    pub(crate) fn base(&self, unit: &str) -> Option<Arc<BaseUnits>> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(unit) {
            return known.clone();
        }
        let found = BaseUnits::of(unit).map(Arc::new);
        let mut units = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if units.len() < MAX_UNITS {
            units.insert(unit.into(), found.clone());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::Units;

    #[test]
    fn one_kind_has_one_unit() {
        let units = Units::default();
        for (a, b) in [
            ((5.0, "mg"), (0.005, "g")),
            ((4.0, "g"), (4000.0, "mg")),
            ((1.0, "[in_i]"), (2.54, "cm")),
            ((5.5, "mmol/L"), (5500.0, "umol/L")),
            ((1.0, "/min"), (60.0, "/h")),
            ((1.0, "%"), (0.01, "1")),
            ((0.0, "kg"), (0.0, "g")),
            ((-5.0, "mm"), (-0.5, "cm")),
        ] {
            let in_base = |(value, unit): (f64, &str)| {
                let base = units.base(unit).unwrap_or_else(|| panic!("{unit} is a unit"));
                (base.value(value).unwrap_or_else(|| panic!("{value} {unit}")), base.name().to_owned())
            };
            assert_eq!(in_base(a), in_base(b), "{a:?} {b:?}");
        }
        for unit in ["", "foo", "[pH]", &"m".repeat(300)] {
            assert!(units.base(unit).is_none(), "{unit}");
        }
    }
}
