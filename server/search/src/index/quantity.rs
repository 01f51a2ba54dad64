//! Values of quantity parameters (<https://hl7.org/fhir/R4/search.html#quantity>).
//!
//! | element | span | unit |
//! |---|---|---|
//! | Quantity and its specialisations | `value`, open where `comparator` says | `system`, `code`, `unit` |
//! | Money | `value` | `urn:iso:std:iso:4217`, `currency` |
//! | Range | `low` to `high`, open where one is absent | that of `low`, or of `high` |
//! | SampledData | the bounds of its data, after `factor` and `origin` | that of `origin` |
//!
//! In base units ([`Source::canonical`]) each is converted by its unit; one whose unit is not of UCUM gives none.

use std::borrow::Cow;
use std::sync::Arc;

use fhirpath::Element;
use store::Value;

use super::Source;
use super::shape::Shape;
use super::units::{BaseUnits, UCUM};

/// The system of currencies, which Money implies.
const CURRENCIES: &str = "urn:iso:std:iso:4217";

pub(super) fn values(source: Source<'_>, element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    match source.shapes.of(element) {
        Some(Shape::Quantity) => quantity(source, element, found),
        Some(Shape::Money) if source.canonical => {}
        Some(Shape::Money) => of_money(element, found),
        Some(Shape::Range) => {
            if let Some(unit) = element.get("low").or_else(|| element.get("high")) {
                in_unit_of(source, unit, range(element), found);
            }
        }
        Some(Shape::SampledData) => {
            if let Some(origin) = element.get("origin") {
                in_unit_of(source, origin, of_samples(element, origin), found);
            }
        }
        _ => {}
    }
}

/// The number a primitive stands for, if it fits.
pub(super) fn decimal(element: Element<'_>) -> Option<f64> {
    element.value()?.parse().ok().filter(|value: &f64| value.is_finite())
}

fn child_decimal(element: Element<'_>, name: &str) -> Option<f64> {
    element.get(name).and_then(decimal)
}

/// The ends of a Range, infinite where one is absent; `None` without ends and for an empty range.
pub(super) fn range(element: Element<'_>) -> Option<(f64, f64)> {
    let low = element.get("low").and_then(|low| child_decimal(low, "value"));
    let high = element.get("high").and_then(|high| child_decimal(high, "value"));
    if low.is_none() && high.is_none() {
        return None;
    }
    let ends = (low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY));
    (ends.0 <= ends.1).then_some(ends)
}

fn quantity(source: Source<'_>, element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    let Some(value) = child_decimal(element, "value") else { return };
    let comparator = element.get("comparator").and_then(Element::value);
    let ends = |value: f64| match comparator.as_deref() {
        Some("<") => (f64::NEG_INFINITY, value.next_down()),
        Some("<=") => (f64::NEG_INFINITY, value),
        Some(">") => (value.next_up(), f64::INFINITY),
        Some(">=") => (value, f64::INFINITY),
        _ => (value, value),
    };
    if !source.canonical {
        in_unit_of(source, element, Some(ends(value)), found);
    } else if let Some(base) = base(source, element)
        && let Some(value) = base.value(value)
    {
        let (lo, hi) = ends(value);
        found(Value::Quantity { lo, hi, system: "", code: base.name(), unit: "" });
    }
}

/// The base units of a quantity's unit, if it is one of UCUM.
fn base(source: Source<'_>, quantity: Element<'_>) -> Option<Arc<BaseUnits>> {
    let is_ucum = quantity.get("system").and_then(Element::value).is_some_and(|system| system == UCUM);
    let code = quantity.get("code").and_then(Element::value).filter(|_| is_ucum)?;
    source.units.base(&code)
}

fn of_money(element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    let Some(value) = child_decimal(element, "value") else { return };
    let currency = element.get("currency").and_then(Element::value).unwrap_or_default();
    let system = if currency.is_empty() { "" } else { CURRENCIES };
    found(Value::Quantity { lo: value, hi: value, system, code: &currency, unit: "" });
}

/// Least and largest sample. `E` (error) is none; `L` and `U` are the limits of detection.
fn of_samples(element: Element<'_>, origin: Element<'_>) -> Option<(f64, f64)> {
    let zero = child_decimal(origin, "value")?;
    let factor = child_decimal(element, "factor").unwrap_or(1.0);
    let limits = (child_decimal(element, "lowerLimit"), child_decimal(element, "upperLimit"));
    let data = element.get("data").and_then(Element::value)?;
    let samples = data.split_ascii_whitespace().filter_map(|sample| match sample {
        "E" => None,
        "L" => limits.0,
        "U" => limits.1,
        number => number.parse::<f64>().ok().map(|raw| raw * factor + zero),
    });
    let finite = samples.filter(|sample| sample.is_finite());
    finite.fold(None, |ends: Option<(f64, f64)>, sample| {
        Some(ends.map_or((sample, sample), |(lo, hi)| (lo.min(sample), hi.max(sample))))
    })
}

fn in_unit_of(
    source: Source<'_>,
    quantity: Element<'_>,
    ends: Option<(f64, f64)>,
    found: &mut dyn FnMut(Value<'_>),
) {
    let Some((lo, hi)) = ends else { return };
    if source.canonical {
        let Some(base) = base(source, quantity) else { return };
        let converted = |end: f64| if end.is_finite() { base.value(end) } else { Some(end) };
        if let (Some(lo), Some(hi)) = (converted(lo), converted(hi)) {
            found(Value::Quantity { lo, hi, system: "", code: base.name(), unit: "" });
        }
        return;
    }
    let text = |name| -> Cow<'_, str> { quantity.get(name).and_then(Element::value).unwrap_or_default() };
    let (system, code, unit) = (text("system"), text("code"), text("unit"));
    found(Value::Quantity { lo, hi, system: &system, code: &code, unit: &unit });
}
