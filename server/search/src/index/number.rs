//! Values of number parameters (<https://hl7.org/fhir/R4/search.html#number>): a number as it stands, its written
//! precision ignored; of a Range its ends, open where one is absent.

use fhirpath::Element;
use store::Value;

use super::Source;
use super::quantity::{decimal, range};
use super::shape::Shape;

pub(super) fn values(source: Source<'_>, element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    let ends = match source.shapes.of(element) {
        Some(Shape::Number) => decimal(element).map(|value| (value, value)),
        Some(Shape::Range) => range(element),
        _ => None,
    };
    if let Some((lo, hi)) = ends {
        found(Value::Number { lo, hi });
    }
}
