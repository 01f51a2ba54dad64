//! Number values (<https://hl7.org/fhir/R4/search.html#number>): a prefix and a number.
//!
//! `eq`, `ne` and `ap` take the precision that is written into account; for the others the number is exact.

use store::Comparison;

use super::fault::{Fault, shown};
use super::prefix::prefix;
use crate::number::number;

/// The comparison and the span to compare with. For `ap` it reaches a tenth of the value to both sides, and at least as far as
/// the precision.
pub(super) fn comparison(text: &str) -> Result<(Comparison, f64, f64), Fault> {
    let (comparison, written) = prefix(text)?;
    let Some(number) = number(written) else {
        return Err(Fault::value(format!("{} is not a number.", shown(written))));
    };
    Ok(match comparison {
        Comparison::Equal | Comparison::NotEqual => (comparison, number.lo, number.hi),
        Comparison::Approximately => {
            let tenth = number.value.abs() / 10.0;
            (comparison, number.lo.min(number.value - tenth), number.hi.max(number.value + tenth))
        }
        _ => (comparison, number.value, number.value),
    })
}
