//! Values of date parameters (<https://hl7.org/fhir/R4/search.html#date>): the span a date stands for; of a Period its
//! ends, open where one is absent; of a Timing the outer limits of its events and of its bounding period.

use fhirpath::Element;
use fhirpath::primitive::span;
use store::Value;

use super::Source;
use super::shape::Shape;

/// First and last microsecond since 1970 in UTC, both included.
type Span = (i64, i64);

pub(super) fn values(source: Source<'_>, element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    let span = match source.shapes.of(element) {
        Some(Shape::Date) => of_date(element),
        Some(Shape::Period) => of_period(element),
        Some(Shape::Timing) => of_timing(source, element),
        _ => None,
    };
    if let Some((lo, hi)) = span {
        found(Value::Date { lo, hi });
    }
}

fn of_date(element: Element<'_>) -> Option<Span> {
    span(&element.value()?)
}

/// `None` for a period without ends, and for one whose end lies before its start.
fn of_period(element: Element<'_>) -> Option<Span> {
    let start = element.get("start").and_then(of_date);
    let end = element.get("end").and_then(of_date);
    if start.is_none() && end.is_none() {
        return None;
    }
    let (lo, hi) = (start.map_or(i64::MIN, |span| span.0), end.map_or(i64::MAX, |span| span.1));
    (lo <= hi).then_some((lo, hi))
}

fn of_timing(source: Source<'_>, element: Element<'_>) -> Option<Span> {
    let bounds = element.get("repeat").and_then(|repeat| repeat.get("bounds"));
    let bounds = bounds.filter(|bounds| source.shapes.of(*bounds) == Some(Shape::Period)).and_then(of_period);
    let spans = element.all("event").filter_map(of_date).chain(bounds);
    spans.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
}
