//! Operators over whole collections (<https://hl7.org/fhirpath/N1/#operations>).

mod arithmetic;
mod boolean;
mod comparison;
mod equality;

use std::borrow::Cow;

use super::EvaluationError;
use super::ast::Operator;
use super::evaluate::{Machine, Result, one};
use super::item::Item;

pub(super) use arithmetic::{decimal, negate};
pub(super) use boolean::logic;
pub(super) use comparison::compare;
pub(super) use equality::{contains, distinct, equal, equal_items, equivalent};

/// Any operator but those of logic.
pub(super) fn binary<'t>(
    machine: &Machine<'t>,
    operator: Operator,
    left: &[Item<'t>],
    right: &[Item<'t>],
) -> Result<Option<Item<'t>>> {
    let boolean = |value: Option<bool>| Ok(value.map(Item::Boolean));
    match operator {
        Operator::Equal => boolean(equal(machine, left, right)?),
        Operator::NotEqual => boolean(equal(machine, left, right)?.map(|value| !value)),
        Operator::Equivalent => boolean(Some(equivalent(machine, left, right)?)),
        Operator::NotEquivalent => boolean(Some(!equivalent(machine, left, right)?)),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            boolean(comparison::ordered(operator, left, right)?)
        }
        Operator::In => boolean(member(machine, left, right)?),
        Operator::Contains => boolean(member(machine, right, left)?),
        Operator::Multiply
        | Operator::Divide
        | Operator::Div
        | Operator::Mod
        | Operator::Add
        | Operator::Subtract
        | Operator::Concatenate => arithmetic::arithmetic(machine, operator, left, right),
        Operator::And | Operator::Or | Operator::Xor | Operator::Implies => {
            Err(EvaluationError::new("an operator of logic was met out of place"))
        }
    }
}

/// `item in collection`
fn member<'t>(machine: &Machine<'t>, item: &[Item<'t>], collection: &[Item<'t>]) -> Result<Option<bool>> {
    let Some(item) = one("membership", item)? else { return Ok(None) };
    contains(machine, collection, item).map(Some)
}

/// The one String of a collection.
pub(super) fn text<'t>(name: &str, items: &[Item<'t>]) -> Result<Option<Cow<'t, str>>> {
    let Some(item) = one(name, items)? else { return Ok(None) };
    if item.element().is_some_and(|element| {
        !element.has_value() && element.tree().schema().primitive(element.type_id()).is_some()
    }) {
        return Ok(None);
    }
    match item.text() {
        Some(text) => Ok(Some(text)),
        None => Err(EvaluationError::new(format!("{name} needs a String"))),
    }
}

/// The one Integer of a collection.
pub(super) fn integer(name: &str, items: &[Item<'_>]) -> Result<Option<i64>> {
    let Some(item) = one(name, items)? else { return Ok(None) };
    match item.value().as_deref() {
        Some(Item::Integer(value)) => Ok(Some(*value)),
        _ => Err(EvaluationError::new(format!("{name} needs an Integer"))),
    }
}
