//! Utility functions, logic and aggregates
//! (<https://hl7.org/fhirpath/N1/#utility-functions>, <https://hl7.org/fhirpath/N1/#aggregates>).

use super::super::evaluate::{Call, Result, truth};
use super::super::item::{Item, Items};

/// The input itself: there is no log that may hold what a resource says.
pub(super) fn trace<'t>(_: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    Ok(input)
}

pub(super) fn not<'t>(_: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    Ok(truth(&input)?.map(|value| Item::Boolean(!value)).into_iter().collect())
}

pub(super) fn aggregate<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let mut total = call.argument(1)?;
    for (index, item) in input.iter().enumerate() {
        total = call.each_with(0, item, index, &total)?;
    }
    Ok(total)
}
