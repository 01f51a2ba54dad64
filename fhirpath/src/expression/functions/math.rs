//! Math (<https://hl7.org/fhirpath/N1/#math>). What has no result in the range of decimals is empty.

use super::super::EvaluationError;
use super::super::decimal::Decimal;
use super::super::evaluate::{Call, Result};
use super::super::item::{Item, Items, Quantity};

/// The one number of the input, if there is one.
fn number<'t>(call: &Call<'_, 't>, input: &Items<'t>) -> Result<Option<Decimal>> {
    let Some(item) = call.single(input)? else { return Ok(None) };
    match item.value().as_deref().and_then(super::super::operators::decimal) {
        Some(value) => Ok(Some(value)),
        None => Err(EvaluationError::new(format!("{}() needs a number", call.function.name))),
    }
}

fn decimal<'t>(value: Option<Decimal>) -> Result<Items<'t>> {
    Ok(value.map(Item::Decimal).into_iter().collect())
}

fn integer<'t>(value: Option<Decimal>) -> Result<Items<'t>> {
    let value = value.and_then(Decimal::to_integer).filter(|value| i32::try_from(*value).is_ok());
    Ok(value.map(Item::Integer).into_iter().collect())
}

/// By binary fractions: the result is right to 15 digits.
fn approximate<'t>(
    call: &Call<'_, 't>,
    input: &Items<'t>,
    function: impl Fn(f64) -> f64,
) -> Result<Items<'t>> {
    decimal(number(call, input)?.and_then(|value| Decimal::from_f64(function(value.to_f64()))))
}

pub(super) fn abs<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let positive = |value: Decimal| if value < Decimal::from(0) { value.negate() } else { value };
    let Some(item) = call.single(&input)? else { return Ok(Items::new()) };
    let found = match item.value_or_quantity().as_deref() {
        Some(Item::Integer(value)) => Item::Integer(value.abs()),
        Some(Item::Decimal(value)) => Item::Decimal(positive(*value)),
        Some(Item::Quantity(quantity)) => {
            let value = positive(quantity.value);
            Item::Quantity(Box::new(Quantity { value, ..Quantity::clone(quantity) }))
        }
        _ => return Err(EvaluationError::new("abs() needs a number or a quantity")),
    };
    Ok(Items::from_iter([found]))
}

pub(super) fn ceiling<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    integer(number(call, &input)?.and_then(|value| Some(value.negate().floor()?.negate())))
}

pub(super) fn floor<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    integer(number(call, &input)?.and_then(Decimal::floor))
}

pub(super) fn truncate<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    integer(number(call, &input)?.and_then(Decimal::truncate))
}

pub(super) fn round<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let precision = match call.integer(0)? {
        None => 0,
        Some(precision) => u32::try_from(precision)
            .map_err(|_| EvaluationError::new("round() needs a precision of 0 or more"))?,
    };
    let rounded =
        |value: Decimal| if value.scale() <= precision { Some(value) } else { value.rescaled(precision) };
    decimal(number(call, &input)?.and_then(rounded))
}

pub(super) fn exp<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    approximate(call, &input, f64::exp)
}

pub(super) fn ln<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    approximate(call, &input, f64::ln)
}

pub(super) fn log<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    match number(call, &call.argument(0)?)? {
        Some(base) => approximate(call, &input, |value| value.log(base.to_f64())),
        None => Ok(Items::new()),
    }
}

pub(super) fn sqrt<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    approximate(call, &input, f64::sqrt)
}

/// Of integers with a positive exponent an Integer, else a Decimal.
pub(super) fn power<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let exponent = call.argument(0)?;
    let integers = |items: &Items<'t>| match items.as_slice() {
        [item] => match item.value().as_deref() {
            Some(Item::Integer(value)) => Some(*value),
            _ => None,
        },
        _ => None,
    };
    if let (Some(base), Some(count)) =
        (integers(&input), integers(&exponent).and_then(|n| u32::try_from(n).ok()))
    {
        return integer(base.checked_pow(count).map(Decimal::from));
    }
    match number(call, &exponent)? {
        Some(exponent) => approximate(call, &input, |value| value.powf(exponent.to_f64())),
        None => Ok(Items::new()),
    }
}
