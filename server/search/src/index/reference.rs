//! Values of reference parameters (<https://hl7.org/fhir/R4/search.html#reference>).
//!
//! | element | values |
//! |---|---|
//! | Reference | the target of `reference`; none for a contained one, and for an identifier or a display alone |
//! | canonical | the target as written and, where a version is written, without it |
//! | uri, url and their like | the target |
//! | a resource inside the resource (`Bundle.composition`) | its `Type/id`, if it has an id |

use fhirpath::Element;
use store::Value;

use super::Source;
use super::shape::Shape;
use crate::reference::target;

pub(super) fn values(source: Source<'_>, element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    match source.shapes.of(element) {
        Some(Shape::Reference) => {
            if let Some(reference) = element.get("reference") {
                literal(source, reference, found);
            }
        }
        Some(Shape::Canonical) => {
            literal(source, element, found);
            unversioned(element, &mut |url| pointing_to(source, url, found));
        }
        Some(Shape::Text) => literal(source, element, found),
        None if source.schema.is_resource(element.type_name()) => {
            let id = element.get("id").and_then(Element::value);
            if let Some(id) = id {
                found(Value::Reference(&format!("{}/{id}", element.type_name())));
            }
        }
        _ => {}
    }
}

/// Hands over a canonical without its version, if it has one.
pub(super) fn unversioned(canonical: Element<'_>, found: &mut dyn FnMut(&str)) {
    let text = canonical.value().unwrap_or_default();
    if let Some((url, _version)) = text.split_once('|').filter(|(url, _)| !url.is_empty()) {
        found(url);
    }
}

fn literal(source: Source<'_>, element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    if let Some(text) = element.value() {
        pointing_to(source, &text, found);
    }
}

fn pointing_to(source: Source<'_>, text: &str, found: &mut dyn FnMut(Value<'_>)) {
    if let Some(target) = target(source.schema, source.bases, text) {
        found(Value::Reference(target));
    }
}
