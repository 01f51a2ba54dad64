//! What a reference points to, as far as it says so itself
//! (<https://hl7.org/fhir/R4/references.html>): nothing is read but the resource that holds it.

use crate::schema::{Schema, TypeId};
use crate::tree::Element;

use super::item::Item;

/// The type of the resource that a Reference, canonical or uri points to: from the URL, from what is contained or in
/// the same Bundle, or else from `Reference.type`.
pub(super) fn target(item: &Item<'_>) -> Option<TypeId> {
    let element = item.element();
    let schema = element?.tree().schema();
    if let Some(text) = location(item) {
        let found = type_in(schema, &text).or_else(|| Some(inside(element?, &text)?.type_id()));
        if found.is_some() {
            return found;
        }
    }
    let stated = element?.get("type")?.value()?;
    let name = stated.strip_prefix("http://hl7.org/fhir/StructureDefinition/").unwrap_or(&stated);
    resource_type(schema, name)
}

/// The type of the resource that a Reference, canonical or uri points to, as far as the tree that holds it tells: from the
/// URL, from what is contained or in the same Bundle, or else from `Reference.type`.
pub fn referred_type(reference: Element<'_>) -> Option<TypeId> {
    target(&Item::Element(reference))
}

/// The resource that a Reference, canonical or uri points to when that is contained, or in the same Bundle.
pub fn referred(reference: Element<'_>) -> Option<Element<'_>> {
    resolve(&Item::Element(reference))
}

/// The resource that holds an element, or that it is: `%resource`.
pub(super) fn resource(element: Element<'_>) -> Element<'_> {
    if element.is_resource() { element } else { element.enclosing_resource().unwrap_or(element) }
}

/// The resource that contains `%resource` when that is a contained one, else itself: `%rootResource`.
pub(super) fn root_resource(element: Element<'_>) -> Element<'_> {
    let mut resource = resource(element);
    while resource.property_id().is_some() && resource.name() == "contained" {
        let Some(outer) = resource.enclosing_resource() else { break };
        resource = outer;
    }
    resource
}

/// The resource it points to when that is contained, or in the same Bundle.
pub(super) fn resolve<'t>(item: &Item<'t>) -> Option<Element<'t>> {
    inside(item.element()?, &location(item)?)
}

/// The URL it points to and the element it stands in, when it has one and that is not inside the resource.
pub(super) fn elsewhere<'t>(item: &Item<'t>) -> Option<(Element<'t>, std::borrow::Cow<'t, str>)> {
    let url = location(item).filter(|url| !url.starts_with('#'))?;
    Some((item.element()?, url))
}

/// The URL: `Reference.reference`, or the value of a canonical or uri.
fn location<'t>(item: &Item<'t>) -> Option<std::borrow::Cow<'t, str>> {
    item.text().or_else(|| item.element()?.get("reference")?.value())
}

/// The type of the resource that a URL names (`Patient/1`), as far as the URL tells.
pub fn type_of_url(schema: &Schema, url: &str) -> Option<TypeId> {
    type_in(schema, url)
}

fn resource_type(schema: &Schema, name: &str) -> Option<TypeId> {
    schema.type_id(name).filter(|_| schema.is_resource(name))
}

/// `Patient` of `Patient/1`, `http://example.org/fhir/Patient/1/_history/2`, `Patient?identifier=x`.
fn type_in(schema: &Schema, url: &str) -> Option<TypeId> {
    if let Some((before, _)) = url.split_once('?') {
        return resource_type(schema, before.rsplit('/').next()?);
    }
    let url = url.split(['#', '|']).next()?;
    let mut parts = url.rsplit('/');
    parts.next()?;
    let last = parts.next()?;
    let name = if last == "_history" { (parts.next(), parts.next()).1? } else { last };
    resource_type(schema, name)
}

/// The resource of a fragment (`#p1`) or of a Bundle's `fullUrl`, in the tree of `element`.
fn inside<'t>(element: Element<'t>, url: &str) -> Option<Element<'t>> {
    if let Some(id) = url.strip_prefix('#') {
        let root = root_resource(element);
        if id.is_empty() {
            return Some(root);
        }
        let has_id = |resource: &Element<'t>| {
            resource.get("id").and_then(Element::value).is_some_and(|found| found == id)
        };
        return root.all("contained").find(has_id);
    }
    let root = element.tree().root();
    let has_url = |entry: &Element<'t>| {
        let full = entry.get("fullUrl").and_then(Element::value);
        full.is_some_and(|full| full == url || full.strip_suffix(url).is_some_and(|base| base.ends_with('/')))
    };
    let bundled = root.type_name() == "Bundle";
    bundled.then(|| root.all("entry").find(has_url))??.get("resource")
}
