//! Values of uri parameters (<https://hl7.org/fhir/R4/search.html#uri>): the uri as written; a canonical with a
//! version (`meta.profile`) also without it.

use fhirpath::Element;
use store::Value;

use super::Source;
use super::reference::unversioned;
use super::shape::Shape;

pub(super) fn values(source: Source<'_>, element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    let shape = source.shapes.of(element);
    if !matches!(shape, Some(Shape::Text | Shape::Canonical)) {
        return;
    }
    if let Some(uri) = element.value() {
        found(Value::Uri(&uri));
    }
    if shape == Some(Shape::Canonical) {
        unversioned(element, &mut |url| found(Value::Uri(url)));
    }
}
