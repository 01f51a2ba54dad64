//! Existence (<https://hl7.org/fhirpath/N1/#existence>).

use super::super::EvaluationError;
use super::super::distinct::Distinct;
use super::super::evaluate::{Call, Result};
use super::super::item::{Item, Items};
use super::super::operators;

fn boolean<'t>(value: bool) -> Result<Items<'t>> {
    Ok(Items::from_iter([Item::Boolean(value)]))
}

pub(super) fn exists<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    for (index, item) in input.iter().enumerate() {
        if call.test(0, item, index)? == Some(true) {
            return boolean(true);
        }
    }
    boolean(false)
}

/// Whether an item is `wanted`.
///
/// # Errors
/// An item that is no Boolean.
fn each<'t>(input: &Items<'t>, wanted: bool) -> impl Iterator<Item = Result<bool>> {
    input.iter().map(move |item| match item.value().as_deref() {
        Some(Item::Boolean(value)) => Ok(*value == wanted),
        _ => Err(EvaluationError::new("only Booleans are true or false")),
    })
}

pub(super) fn all_true<'t>(_: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    boolean(each(&input, true).collect::<Result<Vec<_>>>()?.into_iter().all(|found| found))
}

pub(super) fn any_true<'t>(_: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    boolean(each(&input, true).collect::<Result<Vec<_>>>()?.into_iter().any(|found| found))
}

pub(super) fn all_false<'t>(_: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    boolean(each(&input, false).collect::<Result<Vec<_>>>()?.into_iter().all(|found| found))
}

pub(super) fn any_false<'t>(_: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    boolean(each(&input, false).collect::<Result<Vec<_>>>()?.into_iter().any(|found| found))
}

pub(super) fn subset_of<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    boolean(is_subset(call, &input, &call.argument(0)?)?)
}

pub(super) fn superset_of<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    boolean(is_subset(call, &call.argument(0)?, &input)?)
}

fn is_subset<'t>(call: &Call<'_, 't>, small: &Items<'t>, large: &Items<'t>) -> Result<bool> {
    let large = Distinct::of(call.machine, large.iter().cloned())?;
    for item in small {
        if !large.contains(call.machine, item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn distinct<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let mut out = Items::new();
    operators::distinct(call.machine, input, &mut out)?;
    Ok(out)
}

pub(super) fn is_distinct<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let mut found = Distinct::new();
    for item in input {
        if !found.insert(call.machine, item)? {
            return boolean(false);
        }
    }
    boolean(true)
}
