//! Conversion (<https://hl7.org/fhirpath/N1/#conversion>). What cannot be converted is empty.

use super::super::EvaluationError;
use super::super::decimal::Decimal;
use super::super::evaluate::{Call, Result, truth};
use super::super::item::{Item, Items, Quantity};
use super::super::parser::calendar_unit;
use super::super::temporal::{Date, DateTime, Time};
use super::super::ucum;

/// Converts one item; `None` when it cannot be.
type Conversion = for<'t> fn(&Item<'t>) -> Option<Item<'t>>;

fn convert<'t>(call: &Call<'_, 't>, input: &Items<'t>, conversion: Conversion) -> Result<Items<'t>> {
    let found = call.single(input)?.and_then(|item| conversion(item.value_or_quantity()?.as_ref()));
    Ok(found.into_iter().collect())
}

fn converts<'t>(call: &Call<'_, 't>, input: &Items<'t>, conversion: Conversion) -> Result<Items<'t>> {
    let Some(item) = call.single(input)? else { return Ok(Items::new()) };
    let found = item.value_or_quantity().and_then(|value| conversion(value.as_ref())).is_some();
    Ok(Items::from_iter([Item::Boolean(found)]))
}

/// `$to` and `$converts` by `$conversion`.
macro_rules! conversions {
    ($($to:ident $converts:ident $conversion:ident;)*) => {$(
        pub(super) fn $to<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
            convert(call, &input, $conversion)
        }
        pub(super) fn $converts<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
            converts(call, &input, $conversion)
        }
    )*};
}

conversions! {
    to_boolean converts_to_boolean boolean;
    to_integer converts_to_integer integer;
    to_decimal converts_to_decimal decimal;
    to_string converts_to_string string;
    to_date converts_to_date date;
    to_date_time converts_to_date_time date_time;
    to_time converts_to_time time;
}

fn boolean<'t>(item: &Item<'t>) -> Option<Item<'t>> {
    let value = match item {
        Item::Boolean(value) => *value,
        Item::Integer(1) => true,
        Item::Integer(0) => false,
        Item::Decimal(value) if *value == Decimal::from(1) => true,
        Item::Decimal(value) if *value == Decimal::from(0) => false,
        Item::String(text) => match text.to_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" | "1.0" => true,
            "false" | "f" | "no" | "n" | "0" | "0.0" => false,
            _ => return None,
        },
        _ => return None,
    };
    Some(Item::Boolean(value))
}

fn integer<'t>(item: &Item<'t>) -> Option<Item<'t>> {
    let value = match item {
        Item::Integer(value) => *value,
        Item::Boolean(value) => i64::from(*value),
        Item::String(text) => i64::from(text.parse::<i32>().ok()?),
        _ => return None,
    };
    Some(Item::Integer(value))
}

fn decimal<'t>(item: &Item<'t>) -> Option<Item<'t>> {
    let value = match item {
        Item::Decimal(value) => *value,
        Item::Integer(value) => Decimal::from(*value),
        Item::Boolean(value) => Decimal::from(i64::from(*value)),
        Item::String(text) if !text.contains(['e', 'E']) => Decimal::parse(text)?,
        _ => return None,
    };
    Some(Item::Decimal(value))
}

fn string<'t>(item: &Item<'t>) -> Option<Item<'t>> {
    let text = match item {
        Item::String(text) => return Some(Item::String(text.clone())),
        Item::Boolean(value) => value.to_string(),
        Item::Integer(value) => value.to_string(),
        Item::Decimal(value) => value.to_string(),
        Item::Date(value) => value.to_string(),
        Item::DateTime(value) => value.to_string(),
        Item::Time(value) => value.to_string(),
        Item::Quantity(value) => value.to_string(),
        Item::Element(_) | Item::TypeInfo(_) => return None,
    };
    Some(Item::String(text.into()))
}

fn date<'t>(item: &Item<'t>) -> Option<Item<'t>> {
    let date = match item {
        Item::Date(date) => *date,
        Item::DateTime(moment) => moment.date,
        Item::String(text) => Date::parse(text)?,
        _ => return None,
    };
    Some(Item::Date(date))
}

fn date_time<'t>(item: &Item<'t>) -> Option<Item<'t>> {
    let moment = match item {
        Item::DateTime(moment) => *moment,
        Item::Date(date) => DateTime::from(*date),
        Item::String(text) => DateTime::parse(text)?,
        _ => return None,
    };
    Some(Item::DateTime(moment))
}

fn time<'t>(item: &Item<'t>) -> Option<Item<'t>> {
    let time = match item {
        Item::Time(time) => *time,
        Item::String(text) => Time::parse(text.strip_prefix('T').unwrap_or(text))?,
        _ => return None,
    };
    Some(Item::Time(time))
}

fn quantity<'t>(item: &Item<'t>) -> Option<Item<'t>> {
    let quantity = match item {
        Item::Quantity(quantity) => Quantity::clone(quantity),
        Item::Integer(_) | Item::Decimal(_) | Item::Boolean(_) => match decimal(item)? {
            Item::Decimal(value) => Quantity::plain(value),
            _ => return None,
        },
        Item::String(text) => parse_quantity(text)?,
        _ => return None,
    };
    Some(Item::Quantity(Box::new(quantity)))
}

/// `4 days`, `1.5 'mg'`, `7`.
fn parse_quantity(text: &str) -> Option<Quantity> {
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let value = Decimal::parse(number)?;
    let unit = match unit.trim() {
        "" => return Some(Quantity::plain(value)),
        trimmed if trimmed.len() < unit.len() || trimmed.starts_with('\'') => trimmed,
        _ => return None,
    };
    if let Some(word) = calendar_unit(unit) {
        return Some(Quantity { value, unit: word.to_owned(), calendar: true });
    }
    let unit = unit.strip_prefix('\'')?.strip_suffix('\'').filter(|unit| !unit.is_empty())?;
    Some(Quantity { value, unit: unit.to_owned(), calendar: false })
}

/// With an argument the quantity is converted to that unit, a UCUM code or a calendar duration.
pub(super) fn to_quantity<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let found = convert(call, &input, quantity)?;
    let Some(wanted) = call.text(0)? else { return Ok(found) };
    let (unit, calendar) = match calendar_unit(&wanted) {
        Some(name) => (name, true),
        None => (wanted.as_ref(), false),
    };
    let converted = |item: &Item<'t>| match item {
        Item::Quantity(quantity) => {
            ucum::to_unit(quantity, unit, calendar).map(|it| Item::Quantity(Box::new(it)))
        }
        _ => None,
    };
    Ok(found.iter().filter_map(converted).collect())
}

pub(super) fn converts_to_quantity<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    if input.is_empty() {
        return Ok(input);
    }
    let found = !to_quantity(call, input)?.is_empty();
    Ok(Items::from_iter([Item::Boolean(found)]))
}

/// Only the branch that is taken is evaluated.
pub(super) fn iif<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let item = call.single(&input)?;
    let argument = |number| match item {
        Some(item) => call.within(number, item),
        None => call.argument(number),
    };
    let criterion = argument(0)?;
    let is_boolean = |item: &Item<'t>| matches!(item.value().as_deref(), Some(Item::Boolean(_)));
    if !criterion.iter().all(is_boolean) {
        return Err(EvaluationError::new("the criterion of iif() is no Boolean"));
    }
    argument(if truth(&criterion)? == Some(true) { 1 } else { 2 })
}
