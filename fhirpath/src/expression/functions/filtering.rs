//! Filtering and projection (<https://hl7.org/fhirpath/N1/#filtering-and-projection>).

use super::super::EvaluationError;
use super::super::evaluate::{Call, Result};
use super::super::item::Items;
use super::super::operators;

pub(super) fn filter<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let mut out = Items::new();
    for (index, item) in input.into_iter().enumerate() {
        if call.test(0, &item, index)? == Some(true) {
            out.push(item);
        }
    }
    Ok(out)
}

pub(super) fn select<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let mut out = Items::new();
    for (index, item) in input.iter().enumerate() {
        out.extend(call.each(0, item, index)?);
    }
    Ok(out)
}

/// Each item found is projected again; none is taken twice.
pub(super) fn repeat<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let mut out = Items::new();
    let mut pending = input;
    while !pending.is_empty() {
        let mut found = Items::new();
        for (index, item) in pending.iter().enumerate() {
            found.extend(call.each(0, item, index)?);
        }
        let known = out.len();
        operators::distinct(call.machine, found, &mut out)?;
        pending = out.iter().skip(known).cloned().collect();
    }
    Ok(out)
}

/// `ofType`, `as` and `is` are compiled to operations of their own.
pub(super) fn of_type<'t>(call: &Call<'_, 't>, _: Items<'t>) -> Result<Items<'t>> {
    Err(EvaluationError::new(format!("{}() was met out of place", call.function.name)))
}
