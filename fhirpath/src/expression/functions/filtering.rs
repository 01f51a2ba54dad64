//! Filtering and projection (<https://hl7.org/fhirpath/N1/#filtering-and-projection>).

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::super::EvaluationError;
use super::super::distinct::Distinct;
use super::super::evaluate::{Call, Machine, Result};
use super::super::item::{Item, Items};
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
        Machine::bounded(&out)?;
    }
    Ok(out)
}

/// Each item found is projected again; none is taken twice, so a cycle ends.
pub(super) fn repeat<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let mut out = Distinct::new();
    let mut pending = input;
    while !pending.is_empty() {
        let known = out.items().len();
        for (index, item) in pending.iter().enumerate() {
            for found in call.each(0, item, index)? {
                out.insert(call.machine, found)?;
            }
        }
        pending = out.items().iter().skip(known).cloned().collect();
    }
    Ok(out.into_items())
}

/// By the keys that the arguments yield, or by the items themselves; `-key` and `key desc` count downwards. An empty key
/// comes first (<https://hl7.org/fhirpath/#fn-sort>).
///
/// # Errors
/// Keys that have no order among them.
pub(super) fn sort<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let mut rows: Vec<Row<'t>> = Vec::with_capacity(input.len());
    for item in input {
        let keys = (0..call.count().max(1)).map(|number| call.key(number, &item)).collect::<Result<_>>()?;
        rows.push((keys, item));
    }
    merge_sort(rows, &|left, right| {
        call.machine.step(1)?;
        order(left, right)
    })
    .map(|rows| rows.into_iter().map(|(_, item)| item).collect())
}

/// The sort keys of an item, each with whether it counts downwards, and the item.
type Row<'t> = (SmallVec<[(Option<Item<'t>>, bool); 1]>, Item<'t>);

fn order(left: &Row<'_>, right: &Row<'_>) -> Result<Ordering> {
    for ((left, descends), (right, _)) in left.0.iter().zip(&right.0) {
        let order = match (left, right) {
            (Some(left), Some(right)) => operators::compare(left, right)?.ok_or_else(|| {
                EvaluationError::new(
                    "sort() cannot order values of unlike precision or of units that do not convert",
                )
            })?,
            _ => left.is_some().cmp(&right.is_some()),
        };
        if order.is_ne() {
            return Ok(if *descends { order.reverse() } else { order });
        }
    }
    Ok(Ordering::Equal)
}

/// Stable. The standard library's sort may panic where a comparison fails or is no order; this one ends.
fn merge_sort<T>(mut rows: Vec<T>, compare: &impl Fn(&T, &T) -> Result<Ordering>) -> Result<Vec<T>> {
    if rows.len() < 2 {
        return Ok(rows);
    }
    let upper = rows.split_off(rows.len() / 2);
    let mut lower = merge_sort(rows, compare)?.into_iter().peekable();
    let mut upper = merge_sort(upper, compare)?.into_iter().peekable();
    let mut out = Vec::with_capacity(lower.len() + upper.len());
    while let (Some(left), Some(right)) = (lower.peek(), upper.peek()) {
        out.extend(if compare(left, right)?.is_le() { lower.next() } else { upper.next() });
    }
    out.extend(lower);
    out.extend(upper);
    Ok(out)
}

/// `ofType`, `as`, `is`, `children`, `descendants`, `all` and the questions (`empty`, `count`, ..) are compiled to codes of their own.
pub(super) fn compiled_away<'t>(call: &Call<'_, 't>, _: Items<'t>) -> Result<Items<'t>> {
    Err(EvaluationError::new(format!("{}() was met out of place", call.function.name)))
}
