//! Values of string parameters (<https://hl7.org/fhir/R4/search.html#string>): the text of a primitive, and of a
//! HumanName or an Address every part that is a text, each a value of its own.

use fhirpath::Element;
use store::Value;

use super::Source;
use super::shape::Shape;

const OF_NAME: [&str; 5] = ["text", "family", "given", "prefix", "suffix"];
const OF_ADDRESS: [&str; 7] = ["text", "line", "city", "district", "state", "postalCode", "country"];

pub(super) fn values(source: Source<'_>, element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    match source.shapes.of(element) {
        Some(Shape::Text | Shape::Code | Shape::Canonical) => text(element, found),
        Some(Shape::HumanName) => parts(element, &OF_NAME, found),
        Some(Shape::Address) => parts(element, &OF_ADDRESS, found),
        _ => {}
    }
}

fn text(element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    if let Some(text) = element.value() {
        found(Value::String(&text));
    }
}

fn parts(element: Element<'_>, names: &[&str], found: &mut dyn FnMut(Value<'_>)) {
    for name in names {
        element.all(name).for_each(|part| text(part, found));
    }
}
