//! `<`, `<=`, `>`, `>=` (<https://hl7.org/fhirpath/N1/#comparison>).

use std::cmp::Ordering;

use super::super::EvaluationError;
use super::super::ast::Operator;
use super::super::decimal::Decimal;
use super::super::evaluate::{Result, one};
use super::super::item::{Item, Quantity};
use super::super::temporal::DateTime;
use super::super::ucum;

/// Whether one item stands to another as `operator` says.
pub(super) fn ordered(operator: Operator, left: &[Item<'_>], right: &[Item<'_>]) -> Result<Option<bool>> {
    let (Some(left), Some(right)) = (one(operator.text(), left)?, one(operator.text(), right)?) else {
        return Ok(None);
    };
    Ok(compare(left, right)?.map(|order| match operator {
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        _ => order.is_ge(),
    }))
}

/// The order of two items; `None` when precision or units leave it open.
///
/// # Errors
/// Items that have no order among them.
pub(in super::super) fn compare(left: &Item<'_>, right: &Item<'_>) -> Result<Option<Ordering>> {
    let (Some(left), Some(right)) = (left.value_or_quantity(), right.value_or_quantity()) else {
        return Err(EvaluationError::new(
            "only values of numbers, texts, dates, times and quantities have an order",
        ));
    };
    let quantities = ucum::compare;
    Ok(match (left.as_ref(), right.as_ref()) {
        (Item::Integer(a), Item::Integer(b)) => Some(a.cmp(b)),
        (Item::Integer(a), Item::Decimal(b)) => Some(Decimal::from(*a).cmp(b)),
        (Item::Decimal(a), Item::Integer(b)) => Some(a.cmp(&Decimal::from(*b))),
        (Item::Decimal(a), Item::Decimal(b)) => Some(a.cmp(b)),
        (Item::String(a), Item::String(b)) => Some(a.cmp(b)),
        (Item::Date(a), Item::Date(b)) => DateTime::from(*a).compare(DateTime::from(*b)),
        (Item::DateTime(a), Item::DateTime(b)) => a.compare(*b),
        (Item::Date(a), Item::DateTime(b)) => DateTime::from(*a).compare(*b),
        (Item::DateTime(a), Item::Date(b)) => a.compare(DateTime::from(*b)),
        (Item::Time(a), Item::Time(b)) => a.compare(*b),
        (Item::Quantity(a), Item::Quantity(b)) => quantities(a, b),
        (Item::Quantity(a), Item::Integer(b)) => quantities(a, &Quantity::plain(Decimal::from(*b))),
        (Item::Integer(a), Item::Quantity(b)) => quantities(&Quantity::plain(Decimal::from(*a)), b),
        (Item::Quantity(a), Item::Decimal(b)) => quantities(a, &Quantity::plain(*b)),
        (Item::Decimal(a), Item::Quantity(b)) => quantities(&Quantity::plain(*a), b),
        _ => return Err(EvaluationError::new("values of these types have no order among them")),
    })
}
