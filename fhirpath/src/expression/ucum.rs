//! Units of quantities: which are of the same kind, and how they convert (<https://ucum.org/ucum>,
//! <https://hl7.org/fhirpath/N1/#time-valued-quantities>).
//!
//! The tables and the arithmetic of units are those of the crate `octofhir-ucum`, to 28 digits. A unit that it does not
//! know is of the same kind as itself alone.

use std::cmp::Ordering;

use octofhir_ucum::{Number, UnitExpr, evaluate, get_canonical_units, parse_expression};

use super::decimal::Decimal;
use super::item::Quantity;

/// Longest unit that is looked at, bytes.
const MAX_UNIT: usize = 256;
/// Digits that a converted value is right to; what differs beyond them is the same.
const DIGITS: u32 = 24;
const SECONDS: [(&str, &str, i64); 8] = [
    ("year", "a", 31_557_600),
    ("month", "mo", 2_629_800),
    ("week", "wk", 604_800),
    ("day", "d", 86_400),
    ("hour", "h", 3600),
    ("minute", "min", 60),
    ("second", "s", 1),
    ("millisecond", "ms", 0),
];

/// A unit as a multiple of the base units of its kind: a value is `value * factor + offset` of them.
#[derive(Clone)]
struct Unit {
    /// The base units (`g.m.s-2`).
    kind: String,
    factor: Number,
    offset: Number,
}

/// How calendar years and months relate to the units of UCUM.
#[derive(Clone, Copy, PartialEq)]
enum Calendar {
    /// Not at all, as equality has it.
    Apart,
    /// A year is about `a`, a month about `mo`, as equivalence has it.
    About,
}

fn ucum_unit(text: &str) -> Option<Unit> {
    let expr = parsed(text)?;
    // The evaluation alone, first: what fails below looks for suggestions in all units.
    evaluate(&expr).ok()?;
    let canonical = get_canonical_units(text).ok()?;
    Some(Unit { kind: canonical.unit, factor: canonical.factor, offset: canonical.offset })
}

/// Whether a text is a unit of UCUM.
pub fn is_unit(text: &str) -> bool {
    parsed(text).is_some_and(|expr| evaluate(&expr).is_ok())
}

/// The base units of a unit of UCUM (`g.m.s-2` for `N`); `None` when it is none, or a special one, which has no others.
pub fn canonical_unit(text: &str) -> Option<String> {
    ucum_unit(text).map(|unit| unit.kind)
}

fn parsed(text: &str) -> Option<UnitExpr> {
    if text.len() > MAX_UNIT {
        return None;
    }
    parse_expression(text).ok()
}

/// A calendar duration in seconds.
fn calendar_unit(name: &str, length: impl Fn(&str) -> Option<i64>) -> Option<Unit> {
    let factor = match (length(name), SECONDS.iter().find(|(known, ..)| *known == name)?.2) {
        (Some(days), _) => Number::from_i64(days).checked_mul(Number::from_i64(86_400))?,
        (None, 0) => Number::ONE.checked_div(Number::from_i64(1000))?,
        (None, seconds) => Number::from_i64(seconds),
    };
    Some(Unit { kind: "s".to_owned(), factor, offset: Number::ZERO })
}

fn is_long(quantity: &Quantity) -> bool {
    quantity.calendar && matches!(quantity.unit.as_str(), "year" | "month")
}

/// The units of two quantities, when they are of one kind.
fn units(a: &Quantity, b: &Quantity, calendar: Calendar) -> Option<(Unit, Unit)> {
    if a.unit == b.unit && a.calendar == b.calendar {
        let same = Unit { kind: String::new(), factor: Number::ONE, offset: Number::ZERO };
        return Some((same.clone(), same));
    }
    let months = |quantity: &Quantity| if quantity.unit == "year" { 12 } else { 1 };
    let (left, right) = match (a.calendar, b.calendar) {
        (false, false) => (ucum_unit(&a.unit)?, ucum_unit(&b.unit)?),
        (true, true) if is_long(a) && is_long(b) => {
            let unit = |months| Unit {
                kind: "month".to_owned(),
                factor: Number::from_i64(months),
                offset: Number::ZERO,
            };
            (unit(months(a)), unit(months(b)))
        }
        (true, true) => {
            let days = |name: &str| match name {
                "year" => Some(365),
                "month" => Some(30),
                _ => None,
            };
            (calendar_unit(&a.unit, days)?, calendar_unit(&b.unit, days)?)
        }
        _ if (is_long(a) || is_long(b)) && calendar == Calendar::Apart => return None,
        _ => {
            let unit = |quantity: &Quantity| match quantity.calendar {
                true => calendar_unit(&quantity.unit, |_| None),
                false => ucum_unit(&quantity.unit),
            };
            (unit(a)?, unit(b)?)
        }
    };
    (left.kind == right.kind).then_some((left, right))
}

fn number(value: Decimal) -> Option<Number> {
    Number::parse(&value.to_string())
}

/// Rounded to the digits that are sure.
fn decimal(value: Number) -> Option<Decimal> {
    let (mut digits, mut exponent) = value.to_integer_and_exponent();
    let surplus = digits.unsigned_abs().checked_ilog10().map_or(0, |n| (n + 1).saturating_sub(DIGITS));
    if surplus > 0 {
        let rounded = Decimal::new(digits, surplus).mantissa_at(0)?;
        digits = rounded;
        exponent = exponent.checked_add(i32::try_from(surplus).ok()?)?;
    }
    match u32::try_from(exponent.checked_neg()?) {
        Ok(scale) if scale <= 28 => Some(Decimal::new(digits, scale).normalized()),
        Ok(scale) => {
            let dropped = 10i128.checked_pow(scale - 28);
            Some(Decimal::new(dropped.map_or(0, |by| digits / by), 28).normalized())
        }
        Err(_) => {
            let by = 10i128.checked_pow(exponent.unsigned_abs())?;
            Some(Decimal::new(digits.checked_mul(by)?, 0))
        }
    }
}

/// The order of two quantities; `None` when their units are not of one kind.
pub(super) fn compare(a: &Quantity, b: &Quantity) -> Option<Ordering> {
    if a.unit == b.unit && a.calendar == b.calendar {
        return Some(a.value.cmp(&b.value));
    }
    let (left, right) = units(a, b, Calendar::Apart)?;
    let in_base =
        |value: Decimal, unit: &Unit| number(value)?.checked_mul(unit.factor)?.checked_add(unit.offset);
    let (left, right) = (in_base(a.value, &left)?, in_base(b.value, &right)?);
    let apart = left.checked_sub(right)?.abs();
    let scale = if left.abs() > right.abs() { left.abs() } else { right.abs() };
    let nothing = scale.checked_mul(Number::power_of_ten(-i32::try_from(DIGITS).ok()?))?;
    Some(if apart <= nothing { Ordering::Equal } else { left.cmp(&right) })
}

/// Whether the units are of one kind.
pub(super) fn is_comparable(a: &Quantity, b: &Quantity) -> bool {
    let is_known = |quantity: &Quantity| quantity.calendar || ucum_unit(&quantity.unit).is_some();
    let is_same = a.unit == b.unit && a.calendar == b.calendar;
    is_same || is_known(a) && is_known(b) && units(a, b, Calendar::Apart).is_some()
}

/// Both values in the larger one of their units, as equivalence compares them.
pub(super) fn in_larger(a: &Quantity, b: &Quantity) -> Option<(Decimal, Decimal)> {
    let (left, right) = units(a, b, Calendar::About)?;
    if left.factor >= right.factor {
        Some((a.value, converted(b.value, &right, &left)?))
    } else {
        Some((converted(a.value, &left, &right)?, b.value))
    }
}

fn converted(value: Decimal, from: &Unit, to: &Unit) -> Option<Decimal> {
    let base = number(value)?.checked_mul(from.factor)?.checked_add(from.offset)?;
    decimal(base.checked_sub(to.offset)?.checked_div(to.factor)?)
}

/// A quantity in another unit, a UCUM code or a calendar duration; `None` when it is of another kind.
pub(super) fn to_unit(quantity: &Quantity, unit: &str, calendar: bool) -> Option<Quantity> {
    let mut wanted = Quantity { value: quantity.value, unit: unit.to_owned(), calendar };
    if quantity.unit == unit && quantity.calendar == calendar {
        return Some(wanted);
    }
    let (from, to) = units(quantity, &wanted, Calendar::About)?;
    wanted.value = converted(quantity.value, &from, &to)?;
    Some(wanted)
}

/// The sum in the smaller one of the units; `None` when they are not of one kind, for unlike temperatures, and for years
/// and months with another unit.
pub(super) fn sum(a: &Quantity, b: &Quantity) -> Option<Quantity> {
    if a.unit == b.unit && a.calendar == b.calendar {
        return Some(Quantity { value: a.value.plus(b.value)?, ..a.clone() });
    }
    if is_long(a) || is_long(b) {
        return None;
    }
    let (left, right) = units(a, b, Calendar::Apart)?;
    if !left.offset.is_zero() || !right.offset.is_zero() {
        return None;
    }
    let (value, smaller) = if left.factor <= right.factor {
        (a.value.plus(converted(b.value, &right, &left)?)?, a)
    } else {
        (converted(a.value, &left, &right)?.plus(b.value)?, b)
    };
    let mut out = Quantity { value, ..smaller.clone() };
    if a.calendar != b.calendar && !smaller.calendar {
        let (name, ..) = SECONDS.iter().find(|(_, code, _)| *code == smaller.unit)?;
        out = Quantity { unit: (*name).to_owned(), calendar: true, ..out };
    }
    Some(out)
}

/// The unit of a product, or of a quotient when `power` is -1. `None` for what is no unit, and for special units, which
/// have no products.
pub(super) fn product(a: &Quantity, b: &Quantity, power: i32) -> Option<(String, bool)> {
    if b.unit == "1" && !b.calendar {
        return Some((a.unit.clone(), a.calendar));
    }
    if a.unit == "1" && !a.calendar && power == 1 {
        return Some((b.unit.clone(), b.calendar));
    }
    if a.calendar || b.calendar {
        let is_ratio = a.calendar && b.calendar && a.unit == b.unit && power == -1;
        return is_ratio.then(|| ("1".to_owned(), false));
    }
    let mut factors = Vec::new();
    gather(&parsed(&a.unit)?, 1, &mut factors);
    gather(&parsed(&b.unit)?, power, &mut factors);
    let text = written(&factors);
    evaluate(&parsed(&text)?).ok()?;
    Some((text, false))
}

/// The factors of a unit and their powers, equal ones together.
fn gather(expr: &UnitExpr, power: i32, out: &mut Vec<(String, i32)>) {
    match expr {
        UnitExpr::Product(terms) => terms.iter().for_each(|term| gather(term, power, out)),
        UnitExpr::Quotient(above, below) => {
            gather(above, power, out);
            gather(below, -power, out);
        }
        UnitExpr::Reciprocal(below) => gather(below, -power, out),
        UnitExpr::Power(base, exponent) => gather(base, power.saturating_mul(*exponent), out),
        UnitExpr::Symbol(_) | UnitExpr::Numeric(_) | UnitExpr::Annotation(_) | UnitExpr::Annotated(..) => {
            let text = expr.to_string();
            match out.iter_mut().find(|(known, _)| *known == text) {
                Some((_, known)) => *known = known.saturating_add(power),
                None => out.push((text, power)),
            }
        }
    }
}

/// `g/m`, `cm2`, `1`.
fn written(factors: &[(String, i32)]) -> String {
    let part = |(text, power): &(String, i32)| {
        let count = power.unsigned_abs();
        // Only a plain symbol can be written with an exponent.
        let is_symbol = !text.ends_with('}') && !text.bytes().all(|byte| byte.is_ascii_digit());
        match (count, is_symbol) {
            (1, _) => text.clone(),
            (_, true) => format!("{text}{count}"),
            (_, false) => format!("({})", vec![text.as_str(); count.min(16) as usize].join(".")),
        }
    };
    let is_one = |text: &str| text == "1";
    let above: Vec<String> =
        factors.iter().filter(|(text, power)| *power > 0 && !is_one(text)).map(part).collect();
    let below = factors.iter().filter(|(text, power)| *power < 0 && !is_one(text));
    let below: String = below.map(|factor| format!("/{}", part(factor))).collect();
    match (above.is_empty(), below.is_empty()) {
        (true, true) => "1".to_owned(),
        (true, false) => below,
        _ => above.join(".") + &below,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        let (value, unit) = text.split_once(' ').unwrap();
        let calendar = !unit.starts_with('\'');
        Quantity { value: Decimal::parse(value).unwrap(), unit: unit.trim_matches('\'').to_owned(), calendar }
    }

    #[test]
    fn quantities_have_an_order_across_units() {
        use Ordering::*;
        for (a, b, expected) in [
            ("4.0000 'g'", "4000.0 'mg'", Some(Equal)),
            ("1 '[in_i]'", "2.54 'cm'", Some(Equal)),
            ("1 '[lb_av]'", "0.45359237 'kg'", Some(Equal)),
            ("5.5 'mmol/L'", "5500 'umol/L'", Some(Equal)),
            ("1 '/min'", "60 '/h'", Some(Equal)),
            ("120 'mm[Hg]'", "16 'kPa'", Some(Less)),
            ("37 'Cel'", "98.6 '[degF]'", Some(Equal)),
            ("1 'L'", "1 'dm3'", Some(Equal)),
            ("1 'mol'", "6.02214076 '10*23'", Some(Equal)),
            ("1 '%'", "0.01 '1'", Some(Equal)),
            ("1 '[IU]'", "1 '[arb'U]'", None),
            ("1 'g'", "1 'm'", None),
            ("1 'foo'", "1 'foo'", Some(Equal)),
            ("1 'foo'", "1 'g'", None),
            ("7 day", "1 'wk'", Some(Equal)),
            ("1 year", "12 month", Some(Equal)),
            ("1 year", "365 day", Some(Equal)),
            ("1 year", "1 'a'", None),
            ("1 year", "12 'mo'", None),
            ("1 day", "23 'h'", Some(Greater)),
            ("1 second", "1000 'ms'", Some(Equal)),
        ] {
            let (a, b) = (quantity(a), quantity(b));
            assert_eq!(compare(&a, &b), expected, "{a} {b}");
            assert_eq!(compare(&b, &a), expected.map(Ordering::reverse), "{b} {a}");
        }
    }

    #[test]
    fn quantities_convert_and_add() {
        let converted =
            |text: &str, unit: &str| to_unit(&quantity(text), unit, false).map(|it| it.to_string());
        assert_eq!(converted("1 '/min'", "/h").as_deref(), Some("60 '/h'"));
        assert_eq!(converted("98.6 '[degF]'", "Cel").as_deref(), Some("37 'Cel'"));
        assert_eq!(converted("1 'm'", "[in_i]").as_deref(), Some("39.3700787401574803149606 '[in_i]'"));
        assert_eq!(converted("7 day", "wk").as_deref(), Some("1 'wk'"));
        assert_eq!(converted("1 'g'", "m"), None);
        let summed = |a: &str, b: &str| sum(&quantity(a), &quantity(b)).map(|it| it.to_string());
        assert_eq!(summed("3 'm'", "3 'cm'").as_deref(), Some("303 'cm'"));
        assert_eq!(summed("1 'wk'", "2 day").as_deref(), Some("9 days"));
        assert_eq!(summed("60 's'", "2 minute").as_deref(), Some("180 seconds"));
        assert_eq!(summed("1 year", "12 month"), None);
        assert_eq!(summed("1 'g'", "1 'm'"), None);
        assert_eq!(summed("1 'Cel'", "1 'K'"), None);
    }

    #[test]
    fn products_of_units_are_units() {
        for (a, b, power, expected) in [
            ("cm", "cm", 1, Some("cm2")),
            ("cm2", "cm", -1, Some("cm")),
            ("g", "m", -1, Some("g/m")),
            ("m", "m", -1, Some("1")),
            ("1", "s", -1, Some("/s")),
            ("kg.m/s2", "m", 1, Some("kg.m2/s2")),
            ("10", "10", 1, Some("(10.10)")),
            ("Cel", "m", 1, None),
            ("foo", "m", 1, None),
        ] {
            let quantity =
                |unit: &str| Quantity { value: Decimal::from(1), unit: unit.to_owned(), calendar: false };
            let found = product(&quantity(a), &quantity(b), power).map(|(unit, _)| unit);
            assert_eq!(found.as_deref(), expected, "{a} {b}");
        }
    }

    /// The table of UCUM itself: each unit is as many of its defining unit as the table says.
    #[test]
    fn the_essence_of_ucum_holds() {
        let test = "the_essence_of_ucum_holds";
        let Some(files) = testdata::archive(test, "terminology.tar.gz") else { return };
        let file = files.iter().find(|file| file.path.ends_with("ucum/ucum-essence.xml")).unwrap();
        let xml = std::str::from_utf8(&file.bytes).unwrap().replace("&lt;", "<").replace("&quot;", "\"");
        let attribute = |text: &str, name: &str| {
            let start = format!(" {name}=\"");
            text.replace('\n', " ")
                .split_once(&start)
                .map(|(_, rest)| rest.split('"').next().unwrap().to_owned())
        };
        let (mut proper, mut others) = (0, 0);
        for unit in xml.split("<unit ").skip(1) {
            let unit = format!(" {}", unit.split("</unit>").next().unwrap());
            let code = attribute(&unit, "Code").unwrap();
            let parsed = evaluate(&parsed(&code).unwrap()).unwrap();
            if unit.contains("isSpecial=\"yes\"") || !parsed.arbitrary.is_empty() {
                assert!(
                    parsed.special.is_some()
                        || unit.contains("isArbitrary=\"yes\"")
                        || !parsed.arbitrary.is_empty(),
                    "{code}"
                );
                others += 1;
                continue;
            }
            let value = format!(" {}", unit.split("<value ").nth(1).unwrap());
            let defining = ucum_unit(&attribute(&value, "Unit").unwrap()).unwrap();
            let expected = Number::parse(&attribute(&value, "value").unwrap()).unwrap();
            let expected = expected.checked_mul(defining.factor).unwrap();
            let found = ucum_unit(&code).unwrap();
            assert_eq!(found.kind, defining.kind, "{code}");
            let apart = found.factor.checked_sub(expected).unwrap().abs();
            let nothing = expected.abs().checked_mul(Number::power_of_ten(-24)).unwrap();
            assert!(apart <= nothing, "{code} is {} and not {expected}", found.factor);
            proper += 1;
        }
        assert!(proper > 230 && others > 40, "{proper} {others}");
    }
}
