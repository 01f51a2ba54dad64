//! Date values (<https://hl7.org/fhir/R4/search.html#date>): a prefix and a date, which means all that it leaves out.

use fhirpath::primitive::span;
use store::Comparison;

use super::fault::{Fault, shown};
use super::prefix::prefix;
use super::split::unescape;
/// First and last microsecond since 1970 in UTC, both included.
type Span = (i64, i64);

/// The comparison and the span to compare with. A `+` that a URL's decoding turned into a space is understood. For `ap` the span is widened on both sides by a tenth of its
/// distance from `now`.
pub(super) fn comparison(text: &str, now: i64) -> Result<(Comparison, Span), Fault> {
    let text = unescape(text);
    let (comparison, date) = prefix(&text)?;
    let Some((lo, hi)) = span(&date.replace(' ', "+")) else {
        let form = "YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss[.fff]] with Z or an offset";
        return Err(Fault::value(format!("{} is not a date of the form {form}.", shown(&text))));
    };
    if comparison != Comparison::Approximately {
        return Ok((comparison, (lo, hi)));
    }
    let distance = if now < lo { lo - now } else { now.saturating_sub(hi).max(0) };
    Ok((comparison, (lo.saturating_sub(distance / 10), hi.saturating_add(distance / 10))))
}
