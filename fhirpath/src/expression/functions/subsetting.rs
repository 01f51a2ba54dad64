//! Subsetting (<https://hl7.org/fhirpath/N1/#subsetting>).

use super::super::distinct::Distinct;
use super::super::evaluate::{Call, Result};
use super::super::item::Items;

pub(super) fn single<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    call.single(&input)?;
    Ok(input)
}

pub(super) fn first<'t>(_: &Call<'_, 't>, mut input: Items<'t>) -> Result<Items<'t>> {
    input.truncate(1);
    Ok(input)
}

pub(super) fn last<'t>(_: &Call<'_, 't>, mut input: Items<'t>) -> Result<Items<'t>> {
    Ok(input.pop().into_iter().collect())
}

pub(super) fn tail<'t>(_: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    Ok(input.into_iter().skip(1).collect())
}

pub(super) fn skip<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let count = count(call)?;
    Ok(input.into_iter().skip(count).collect())
}

pub(super) fn take<'t>(call: &Call<'_, 't>, mut input: Items<'t>) -> Result<Items<'t>> {
    input.truncate(count(call)?);
    Ok(input)
}

/// The argument; none when it is negative.
fn count(call: &Call<'_, '_>) -> Result<usize> {
    Ok(call.integer(0)?.and_then(|count| usize::try_from(count).ok()).unwrap_or(0))
}

pub(super) fn intersect<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let other = Distinct::of(call.machine, call.argument(0)?)?;
    let mut common = Distinct::new();
    for item in input {
        if other.contains(call.machine, &item)? {
            common.insert(call.machine, item)?;
        }
    }
    Ok(common.into_items())
}

pub(super) fn exclude<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let other = Distinct::of(call.machine, call.argument(0)?)?;
    let mut out = Items::new();
    for item in input {
        if !other.contains(call.machine, &item)? {
            out.push(item);
        }
    }
    Ok(out)
}
