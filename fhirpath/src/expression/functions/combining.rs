//! Combining (<https://hl7.org/fhirpath/N1/#combining>).

use super::super::evaluate::{Call, Result};
use super::super::item::Items;
use super::super::operators;

pub(super) fn union<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let mut out = Items::new();
    operators::distinct(call.machine, combine(call, input)?, &mut out)?;
    Ok(out)
}

pub(super) fn combine<'t>(call: &Call<'_, 't>, mut input: Items<'t>) -> Result<Items<'t>> {
    input.extend(call.argument(0)?);
    Ok(input)
}
