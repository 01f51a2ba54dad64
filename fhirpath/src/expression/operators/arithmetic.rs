//! `+ - * / div mod &` (<https://hl7.org/fhirpath/N1/#math>). What overflows, and a division by zero, is empty.

use super::super::EvaluationError;
use super::super::ast::Operator;
use super::super::decimal::Decimal;
use super::super::evaluate::{Machine, Result, one};
use super::super::item::{Item, Items, Quantity};
use super::super::temporal::{Date, DateTime, Time, civil_from_days, days_in_month};
use super::super::ucum;

/// The result of an operator of arithmetic.
pub(super) fn arithmetic<'t>(
    machine: &Machine<'t>,
    operator: Operator,
    left: &[Item<'t>],
    right: &[Item<'t>],
) -> Result<Option<Item<'t>>> {
    if operator == Operator::Concatenate {
        let (left, right) = (super::text("&", left)?, super::text("&", right)?);
        let joined = left.unwrap_or_default() + right.unwrap_or_default();
        machine.step(joined.len())?;
        return Ok(Some(Item::String(joined)));
    }
    let (Some(left), Some(right)) = (one(operator.text(), left)?, one(operator.text(), right)?) else {
        return Ok(None);
    };
    let (Some(left), Some(right)) = (left.value_or_quantity(), right.value_or_quantity()) else {
        return Err(refused(operator));
    };
    match (left.as_ref(), right.as_ref()) {
        (Item::Integer(a), Item::Integer(b)) => Ok(integers(operator, *a, *b)),
        (Item::String(a), Item::String(b)) if operator == Operator::Add => {
            machine.step(a.len() + b.len())?;
            Ok(Some(Item::String(format!("{a}{b}").into())))
        }
        (Item::Date(_) | Item::DateTime(_) | Item::Time(_), Item::Quantity(quantity)) => {
            let quantity = match operator {
                Operator::Add => Quantity::clone(quantity),
                Operator::Subtract => {
                    Quantity { value: quantity.value.negate(), ..Quantity::clone(quantity) }
                }
                _ => return Err(refused(operator)),
            };
            moved(&left, &quantity)
        }
        (Item::Quantity(a), Item::Quantity(b)) => quantities(operator, a, b),
        (Item::Quantity(a), Item::Integer(_) | Item::Decimal(_)) => match decimal(&right) {
            Some(b) => quantities(operator, a, &Quantity::plain(b)),
            None => Err(refused(operator)),
        },
        (Item::Integer(_) | Item::Decimal(_), Item::Quantity(b)) => match decimal(&left) {
            Some(a) => quantities(operator, &Quantity::plain(a), b),
            None => Err(refused(operator)),
        },
        (a, b) => match (decimal(a), decimal(b)) {
            (Some(a), Some(b)) => Ok(decimals(operator, a, b)),
            _ => Err(refused(operator)),
        },
    }
}

fn refused(operator: Operator) -> EvaluationError {
    EvaluationError::new(format!("'{}' is not defined for values of these types", operator.text()))
}

/// An Integer or Decimal as a decimal.
pub(in super::super) fn decimal(item: &Item<'_>) -> Option<Decimal> {
    match item {
        Item::Integer(value) => Some(Decimal::from(*value)),
        Item::Decimal(value) => Some(*value),
        _ => None,
    }
}

/// The language's Integer has 32 bits.
fn integer<'t>(value: Option<i64>) -> Option<Item<'t>> {
    value.filter(|value| i32::try_from(*value).is_ok()).map(Item::Integer)
}

fn integers<'t>(operator: Operator, a: i64, b: i64) -> Option<Item<'t>> {
    match operator {
        Operator::Add => integer(a.checked_add(b)),
        Operator::Subtract => integer(a.checked_sub(b)),
        Operator::Multiply => integer(a.checked_mul(b)),
        Operator::Div => integer(a.checked_div(b)),
        Operator::Mod => integer(a.checked_rem(b)),
        _ => Decimal::from(a).divide(Decimal::from(b)).map(Item::Decimal),
    }
}

fn decimals<'t>(operator: Operator, a: Decimal, b: Decimal) -> Option<Item<'t>> {
    match operator {
        Operator::Add => a.plus(b).map(Item::Decimal),
        Operator::Subtract => a.minus(b).map(Item::Decimal),
        Operator::Multiply => a.multiply(b).map(Item::Decimal),
        Operator::Div => integer(a.divide_whole(b)?.to_integer()),
        Operator::Mod => a.remainder(b).map(Item::Decimal),
        _ => a.divide(b).map(Item::Decimal),
    }
}

/// What cannot be had, as a sum of metres and grams, is empty.
fn quantities<'t>(operator: Operator, a: &Quantity, b: &Quantity) -> Result<Option<Item<'t>>> {
    let times = |power: i32, value: Option<Decimal>| {
        let (unit, calendar) = ucum::product(a, b, power)?;
        Some(Quantity { value: value?, unit, calendar })
    };
    let found = match operator {
        Operator::Add => ucum::sum(a, b),
        Operator::Subtract => ucum::sum(a, &Quantity { value: b.value.negate(), ..b.clone() }),
        Operator::Multiply => times(1, a.value.multiply(b.value)),
        Operator::Divide => times(-1, a.value.divide(b.value)),
        _ => return Err(refused(operator)),
    };
    Ok(found.map(|quantity| Item::Quantity(Box::new(quantity))))
}

/// `-x`
pub(in super::super) fn negate<'t>(items: Items<'t>) -> Result<Option<Item<'t>>> {
    let Some(item) = one("-", &items)? else { return Ok(None) };
    let Some(value) = item.value_or_quantity() else {
        return Err(EvaluationError::new("only a number or a quantity has a sign"));
    };
    match value.as_ref() {
        Item::Integer(value) => Ok(Some(Item::Integer(-value))),
        Item::Decimal(value) => Ok(Some(Item::Decimal(value.negate()))),
        Item::Quantity(quantity) => {
            let value = quantity.value.negate();
            Ok(Some(Item::Quantity(Box::new(Quantity { value, ..Quantity::clone(quantity) }))))
        }
        _ => Err(EvaluationError::new("only a number or a quantity has a sign")),
    }
}

/// A date, date-time or time moved by a duration (<https://hl7.org/fhirpath/N1/#datetime-arithmetic>).
fn moved<'t>(item: &Item<'t>, by: &Quantity) -> Result<Option<Item<'t>>> {
    let Some((unit, count)) = duration(by) else {
        return Err(EvaluationError::new(format!("a date or time cannot be moved by '{}'", by.unit)));
    };
    Ok(match item {
        Item::Date(date) => moved_date(*date, unit, count).map(Item::Date),
        Item::DateTime(moment) => moved_moment(*moment, unit, count).map(Item::DateTime),
        Item::Time(time) => moved_time(*time, unit, count).map(Item::Time),
        _ => None,
    })
}

/// What a duration counts.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Month,
    Day,
    Millisecond,
}

/// A duration as a whole number of months, days or milliseconds; fractions are dropped but for seconds.
fn duration(by: &Quantity) -> Option<(Unit, i64)> {
    let (unit, factor) = match by.unit.as_str() {
        "year" => (Unit::Month, 12),
        "month" => (Unit::Month, 1),
        "week" | "wk" => (Unit::Day, 7),
        "day" | "d" => (Unit::Day, 1),
        "hour" | "h" => (Unit::Millisecond, 3_600_000),
        "minute" | "min" => (Unit::Millisecond, 60_000),
        "second" | "s" => {
            let milliseconds = by.value.multiply(Decimal::from(1000))?.truncate()?.to_integer()?;
            return Some((Unit::Millisecond, milliseconds));
        }
        "millisecond" | "ms" => (Unit::Millisecond, 1),
        _ => return None,
    };
    Some((unit, by.value.truncate()?.to_integer()?.checked_mul(factor)?))
}

fn moved_date(date: Date, unit: Unit, count: i64) -> Option<Date> {
    let (Some(month), precision) = (date.month.or(Some(1)), date) else { return None };
    let cut = |whole: Date| Date {
        month: whole.month.filter(|_| precision.month.is_some()),
        day: whole.day.filter(|_| precision.day.is_some()),
        ..whole
    };
    let unit_count = match (unit, date.day, date.month) {
        (Unit::Month, ..) => Some(count),
        // Finer than what is known: as many whole months or years as it makes.
        (Unit::Day, None, Some(_)) => Some(count / 30),
        (Unit::Day, None, None) => Some(count / 365 * 12),
        (Unit::Millisecond, None, Some(_)) => Some(count / 86_400_000 / 30),
        (Unit::Millisecond, None, None) => Some(count / 86_400_000 / 365 * 12),
        (Unit::Day | Unit::Millisecond, Some(_), _) => None,
    };
    if let Some(months) = unit_count {
        let months = if date.month.is_none() { months / 12 * 12 } else { months };
        let total = (i64::from(date.year) * 12 + i64::from(month) - 1).checked_add(months)?;
        let year = u16::try_from(total.div_euclid(12)).ok().filter(|year| (1..=9999).contains(year))?;
        let month = u8::try_from(total.rem_euclid(12) + 1).ok()?;
        let day = date.day.map(|day| day.min(days_in_month(year, month)));
        return Some(cut(Date { year, month: Some(month), day }));
    }
    let days = if unit == Unit::Day { count } else { count / 86_400_000 };
    civil_from_days(date.days().checked_add(days)?).map(cut)
}

fn moved_moment(moment: DateTime, unit: Unit, count: i64) -> Option<DateTime> {
    let Some(time) = moment.time.filter(|_| unit == Unit::Millisecond) else {
        return Some(DateTime { date: moved_date(moment.date, unit, count)?, ..moment });
    };
    let total = time.milliseconds_of_day().checked_add(count)?;
    let date = civil_from_days(moment.date.days().checked_add(total.div_euclid(86_400_000))?)?;
    Some(DateTime { date, time: Some(with_milliseconds(time, total)?), ..moment })
}

fn moved_time(time: Time, unit: Unit, count: i64) -> Option<Time> {
    match unit {
        Unit::Millisecond => with_milliseconds(time, time.milliseconds_of_day().checked_add(count)?),
        Unit::Month | Unit::Day => None,
    }
}

/// The time of day so many milliseconds after midnight, as precise as `time`.
fn with_milliseconds(time: Time, milliseconds: i64) -> Option<Time> {
    let of_day = milliseconds.rem_euclid(86_400_000);
    Some(Time {
        hour: u8::try_from(of_day / 3_600_000).ok()?,
        minute: time.minute.and(u8::try_from(of_day / 60_000 % 60).ok()),
        milliseconds: time.milliseconds.and(u16::try_from(of_day % 60_000).ok()),
        has_fraction: time.has_fraction,
    })
}
