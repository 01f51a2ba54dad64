//! How exact a value is, and what it can at least and at most be (<https://hl7.org/fhirpath/#lowboundary>; in the official
//! suite, though later than N1).

use super::super::EvaluationError;
use super::super::decimal::Decimal;
use super::super::evaluate::{Call, Result};
use super::super::item::{Item, Items, Quantity};
use super::super::temporal::{Date, DateTime, Time, days_in_month};
use super::super::ucum;

/// Digits after the point that a boundary has when none are asked for.
const DECIMAL_DIGITS: u32 = 8;
/// Digits of a whole date, of a date and time to the millisecond, and of such a time.
const DATE_DIGITS: u32 = 8;
const DATE_TIME_DIGITS: u32 = 17;
const TIME_DIGITS: u32 = 9;
/// Minutes east of UTC of the first and the last place to see a day.
const FIRST_OFFSET: i16 = 14 * 60;
const LAST_OFFSET: i16 = -12 * 60;

/// Which end of what a value can be.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Low,
    High,
}

pub(super) fn low_boundary<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    boundary(call, &input, End::Low)
}

pub(super) fn high_boundary<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    boundary(call, &input, End::High)
}

/// Empty for a precision that there is not.
fn boundary<'t>(call: &Call<'_, 't>, input: &Items<'t>, end: End) -> Result<Items<'t>> {
    let Some(item) = call.single(input)? else { return Ok(Items::new()) };
    let wanted = match call.integer(0)? {
        None => None,
        Some(digits) => match u32::try_from(digits) {
            Ok(digits) => Some(digits),
            Err(_) => return Ok(Items::new()),
        },
    };
    let digits = |most: u32| wanted.unwrap_or(most);
    let found = match item.value_or_quantity().as_deref() {
        Some(Item::Integer(value)) => {
            number(Decimal::from(*value), digits(DECIMAL_DIGITS), end).map(Item::Decimal)
        }
        Some(Item::Decimal(value)) => number(*value, digits(DECIMAL_DIGITS), end).map(Item::Decimal),
        Some(Item::Quantity(quantity)) => number(quantity.value, digits(DECIMAL_DIGITS), end)
            .map(|value| Item::Quantity(Box::new(Quantity { value, ..Quantity::clone(quantity) }))),
        Some(Item::Date(value)) => date(*value, digits(DATE_DIGITS), end).map(Item::Date),
        Some(Item::DateTime(value)) => moment(*value, digits(DATE_TIME_DIGITS), end).map(Item::DateTime),
        Some(Item::Time(value)) => time(*value, digits(TIME_DIGITS), end).map(Item::Time),
        _ => return Err(refused(call)),
    };
    Ok(found.into_iter().collect())
}

fn refused(call: &Call<'_, '_>) -> EvaluationError {
    let name = call.function.name;
    EvaluationError::new(format!("{name}() needs a number, a quantity, a date or a time"))
}

/// Half a unit of the last digit away, and outwards to the digits wanted.
fn number(value: Decimal, digits: u32, end: End) -> Option<Decimal> {
    let half = Decimal::new(5, value.scale().checked_add(1)?);
    match end {
        End::Low => value.minus(half)?.floor_at(digits),
        End::High => Some(value.plus(half)?.negate().floor_at(digits)?.negate()),
    }
}

fn date(value: Date, digits: u32, end: End) -> Option<Date> {
    let (first, last) = (end == End::Low, end == End::High);
    let month = value.month.or(if first { Some(1) } else { Some(12) });
    let last_day = days_in_month(value.year, month.unwrap_or(1));
    let day = value.day.or(if last { Some(last_day) } else { Some(1) });
    match digits {
        4 => Some(Date { month: None, day: None, ..value }),
        6 => Some(Date { month, day: None, ..value }),
        DATE_DIGITS => Some(Date { month, day, ..value }),
        _ => None,
    }
}

fn time(value: Time, digits: u32, end: End) -> Option<Time> {
    let limit = |high: u16| if end == End::Low { 0 } else { high };
    let minute = value.minute.or(Some(if end == End::Low { 0 } else { 59 }));
    let known = if value.has_fraction { value.milliseconds } else { None };
    let whole = value.milliseconds.map(|known| known + limit(999));
    let milliseconds = known.or(whole).or(Some(limit(59_999)));
    let seconds = milliseconds.map(|found| found / 1000 * 1000);
    match digits {
        2 => Some(Time { minute: None, milliseconds: None, has_fraction: false, ..value }),
        4 => Some(Time { minute, milliseconds: None, has_fraction: false, ..value }),
        6 => Some(Time { minute, milliseconds: seconds, has_fraction: false, ..value }),
        TIME_DIGITS => Some(Time { minute, milliseconds, has_fraction: true, ..value }),
        _ => None,
    }
}

/// Where the offset from UTC is not known, the first place to see the moment, or the last.
fn moment(value: DateTime, digits: u32, end: End) -> Option<DateTime> {
    if digits <= DATE_DIGITS {
        return Some(DateTime::from(date(value.date, digits, end)?));
    }
    let (hour, offset) = if end == End::Low { (0, FIRST_OFFSET) } else { (23, LAST_OFFSET) };
    let open = Time { hour, minute: None, milliseconds: None, has_fraction: false };
    Some(DateTime {
        date: date(value.date, DATE_DIGITS, end)?,
        time: Some(time(value.time.unwrap_or(open), digits.checked_sub(DATE_DIGITS)?, end)?),
        offset: value.offset.or(Some(offset)),
    })
}

/// Digits of a date or time, and digits after the point of a number.
pub(super) fn precision<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let Some(item) = call.single(&input)? else { return Ok(Items::new()) };
    let of_date = |date: Date| 4 + 2 * u32::from(date.month.is_some()) + 2 * u32::from(date.day.is_some());
    let of_time = |time: Time| {
        let seconds = 2 * u32::from(time.milliseconds.is_some());
        2 + 2 * u32::from(time.minute.is_some()) + seconds + 3 * u32::from(time.has_fraction)
    };
    let digits = match item.value().as_deref() {
        Some(Item::Integer(_)) => 0,
        Some(Item::Decimal(value)) => value.scale(),
        Some(Item::Date(value)) => of_date(*value),
        Some(Item::DateTime(value)) => of_date(value.date) + value.time.map_or(0, of_time),
        Some(Item::Time(value)) => of_time(*value),
        _ => return Err(refused(call)),
    };
    Ok(Items::from_iter([Item::Integer(i64::from(digits))]))
}

/// Whether two quantities are in units of the same kind (<https://hl7.org/fhirpath/#fn-comparable>).
pub(super) fn comparable<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let quantity = |items: &Items<'t>| match items.as_slice() {
        [item] => match item.value_or_quantity().as_deref() {
            Some(Item::Quantity(quantity)) => Some(Quantity::clone(quantity)),
            Some(Item::Integer(value)) => Some(Quantity::plain(Decimal::from(*value))),
            Some(Item::Decimal(value)) => Some(Quantity::plain(*value)),
            _ => None,
        },
        _ => None,
    };
    let (Some(left), Some(right)) = (quantity(&input), quantity(&call.argument(0)?)) else {
        return Ok(Items::new());
    };
    Ok(Items::from_iter([Item::Boolean(ucum::is_comparable(&left, &right))]))
}
