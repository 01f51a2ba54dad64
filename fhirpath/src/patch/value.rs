//! The value of an operation, as an element of the property that it becomes a value of
//! (<https://hl7.org/fhir/R4/fhirpatch.html>): a `value[x]`, a resource, or parts named as the children of its type.
//!
//! A primitive takes the property's type where JSON writes both alike (a string that is a code, a date that is a dateTime); any
//! other value must be of the property's type.

use std::ops::Range;

use super::operation::{name_of, refuse};
use crate::issue::{Issue, IssueType};
use crate::schema::{PropertyId, Schema, TypeId, TypeKind};
use crate::tree::{Element, NewElement, excerpt, nearest};

/// The properties that a name means: by its FHIRPath name (`value`, all types of a choice) or by its JSON name
/// (`valueQuantity`).
pub(super) fn named(
    schema: &Schema,
    owner: TypeId,
    name: &str,
    part: Element<'_>,
) -> Result<Range<PropertyId>, Issue> {
    if let Some(found) = schema.property(owner, name) {
        return Ok(found);
    }
    let of_json = schema.property_ids(owner).find(|id| schema.definition(*id).json_name == name);
    of_json.map(|id| id..PropertyId(id.0 + 1)).ok_or_else(|| {
        let names = schema.properties(owner).iter().map(|property| property.name.as_str());
        let details = format!(
            "{} has no element '{}'{}.",
            schema.type_name(owner),
            excerpt(name),
            nearest(name, names)
        );
        refuse(part, IssueType::Structure, details)
    })
}

/// The value of a part, as one of `targets`: the property, or where it is a choice the properties, that may take it.
pub(super) fn typed(part: Element<'_>, targets: Range<PropertyId>) -> Result<NewElement, Issue> {
    let schema = part.tree().schema();
    let parts: Vec<Element<'_>> = part.all("part").collect();
    match (part.get("value"), part.get("resource"), parts.is_empty()) {
        (Some(value), None, true) => {
            let target = accepting(schema, value, targets)?;
            copied(value, target)
        }
        (None, Some(resource), true) => copied(resource, targets.start),
        (None, None, false) => assembled(part, &parts, targets),
        (None, None, true) => {
            Err(refuse(part, IssueType::Required, "It needs a value[x], a resource or parts."))
        }
        _ => Err(refuse(part, IssueType::Structure, "It has one of value[x], resource and parts.")),
    }
}

/// The property among `targets` that takes a value: that of its own type, or else the only one there is.
fn accepting(schema: &Schema, value: Element<'_>, targets: Range<PropertyId>) -> Result<PropertyId, Issue> {
    let ids = (targets.start.0..targets.end.0).map(PropertyId);
    if let Some(same) = ids.clone().find(|id| schema.definition(*id).type_id == value.type_id()) {
        return Ok(same);
    }
    if targets.end.0 - targets.start.0 == 1 {
        return Ok(targets.start);
    }
    let types: Vec<&str> = ids.take(8).map(|id| schema.type_name(schema.definition(id).type_id)).collect();
    let more = if targets.end.0 - targets.start.0 > 8 { " and so on" } else { "" };
    let property = schema.definition(targets.start);
    let details = format!(
        "{}.{} takes {}{more}; a value of type {} is none of them.",
        schema.type_name(property.owner),
        property.name,
        types.join(", "),
        value.type_name()
    );
    Err(refuse(value, IssueType::Structure, details))
}

/// An element as a value of a property.
fn copied(source: Element<'_>, property: PropertyId) -> Result<NewElement, Issue> {
    let schema = source.tree().schema();
    let target = schema.definition(property).type_id;
    if source.is_resource() {
        if !schema.is_subtype(source.type_id(), target) {
            return Err(mismatch(source, property));
        }
        let children = children(source, source.type_id())?;
        return Ok(NewElement { property, text: None, resource: Some(source.type_id()), children });
    }
    let text = match (schema.primitive(source.type_id()), schema.primitive(target)) {
        (None, None) if related(schema, source.type_id(), target) => None,
        (Some(one), Some(other)) if one.json_type() == other.json_type() => checked(source, property)?,
        _ => return Err(mismatch(source, property)),
    };
    Ok(NewElement { property, text, resource: None, children: children(source, target)? })
}

/// The text of a primitive, found to be one of the property's type.
fn checked(source: Element<'_>, property: PropertyId) -> Result<Option<String>, Issue> {
    let schema = source.tree().schema();
    let target = schema.definition(property).type_id;
    let Some(text) = source.value() else { return Ok(None) };
    if let Some(Err(error)) = schema.primitive(target).map(|primitive| primitive.check(&text)) {
        let details = format!("'{}' {error}.", excerpt(&text));
        return Err(refuse(source, IssueType::Value, details));
    }
    Ok(Some(text.into_owned()))
}

fn children(source: Element<'_>, target: TypeId) -> Result<Vec<NewElement>, Issue> {
    let schema = source.tree().schema();
    let same = source.type_id() == target;
    let copy = |child: Element<'_>| {
        let own = child.property_id().filter(|_| same);
        match own {
            Some(property) => copied(child, property),
            None => copied(child, named(schema, target, child.json_name(), child)?.start),
        }
    };
    source.children().map(copy).collect()
}

/// Whether one type specialises the other: an Age is a Quantity.
fn related(schema: &Schema, one: TypeId, other: TypeId) -> bool {
    schema.is_subtype(one, other) || schema.is_subtype(other, one)
}

fn mismatch(source: Element<'_>, property: PropertyId) -> Issue {
    let schema = source.tree().schema();
    let definition = schema.definition(property);
    let details = format!(
        "{}.{} is of type {}; a value of type {} is none.",
        schema.type_name(definition.owner),
        definition.name,
        schema.type_name(definition.type_id),
        source.type_name()
    );
    refuse(source, IssueType::Structure, details)
}

/// An element put together from parts, each named as a child of its type.
fn assembled(
    whole: Element<'_>,
    parts: &[Element<'_>],
    targets: Range<PropertyId>,
) -> Result<NewElement, Issue> {
    let schema = whole.tree().schema();
    let property = targets.start;
    let definition = schema.definition(property);
    if targets.end.0 - targets.start.0 > 1 {
        let details = format!(
            "{} may have several types; parts can be given for one, named with it ({}).",
            definition.name, definition.json_name
        );
        return Err(refuse(whole, IssueType::Structure, details));
    }
    if schema.kind(definition.type_id) != TypeKind::ComplexType {
        let details = format!(
            "{}.{} is of type {}, which has no parts.",
            schema.type_name(definition.owner),
            definition.name,
            schema.type_name(definition.type_id)
        );
        return Err(refuse(whole, IssueType::Structure, details));
    }
    let mut children: Vec<NewElement> = Vec::with_capacity(parts.len());
    let mut single: Vec<Range<PropertyId>> = Vec::new();
    for part in parts {
        let choices = named(schema, definition.type_id, &name_of(*part)?, *part)?;
        let child = typed(*part, choices)?;
        let found = schema.definition(child.property);
        if !found.is_list {
            let all =
                schema.property(definition.type_id, &found.name).unwrap_or(child.property..child.property);
            if single.contains(&all) {
                let details = format!("There is one value at most of {}.", found.name);
                return Err(refuse(*part, IssueType::Structure, details));
            }
            single.push(all);
        }
        children.push(child);
    }
    Ok(NewElement { property, text: None, resource: None, children })
}
