//! FHIR's additional functions (<https://hl7.org/fhir/R4/fhirpath.html#functions>).

use std::borrow::Cow;

use super::super::evaluate::{Call, Result};
use super::super::item::{Item, Items};
use super::super::types::TypeTest;
use super::super::{EvaluationError, markup, operators, reference};
use crate::primitive::Primitive;
use crate::tree::Element;

pub(super) fn extension<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let Some(url) = call.text(0)? else { return Ok(Items::new()) };
    let mut out = Items::new();
    for element in input.iter().filter_map(Item::element) {
        let is_wanted =
            |found: &Element<'t>| found.get("url").and_then(Element::value).is_some_and(|found| found == url);
        out.extend(element.all("extension").filter(is_wanted).map(Item::Element));
    }
    Ok(out)
}

pub(super) fn has_extension<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let found = !extension(call, input)?.is_empty();
    Ok(Items::from_iter([Item::Boolean(found)]))
}

/// The value of a primitive, of the type of the namespace System.
pub(super) fn get_value<'t>(_: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    Ok(match input.as_slice() {
        [item] => item.value().map(Cow::into_owned).into_iter().collect(),
        _ => Items::new(),
    })
}

/// The contained resources, and those of the same Bundle, that the input refers to; others are not read.
pub(super) fn resolve_inside<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    count_lookups(call, &input)?;
    Ok(input.iter().filter_map(reference::resolve).map(Item::Element).collect())
}

/// Each item costs as many steps as there are entries to look through.
fn count_lookups<'t>(call: &Call<'_, 't>, input: &Items<'t>) -> Result<()> {
    let root = call.machine.input.tree().root();
    let places = root.all("entry").count() + root.all("contained").count();
    call.machine.step(input.len().saturating_mul(1 + places))
}

/// The resources that the input refers to. What is not found is passed over.
///
/// # Errors
/// A reference to somewhere else, when there is no resolver.
pub(super) fn resolve<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    count_lookups(call, &input)?;
    let mut out = Items::new();
    for item in &input {
        if let Some(found) = reference::resolve(item) {
            out.push(Item::Element(found));
        } else if let Some((element, url)) = reference::elsewhere(item) {
            let Some(resolver) = call.machine.environment.resolver else {
                return Err(missing("resolve", "resolver"));
            };
            out.extend(resolver.resolve(&url, element)?.map(Item::Element));
        }
    }
    Ok(out)
}

/// Something that the environment does not provide.
pub(super) fn missing(function: &str, hook: &str) -> EvaluationError {
    EvaluationError::not_supported(format!("{function}() needs a {hook}, and there is none here"))
}

/// Whether the input conforms to a StructureDefinition. Types of FHIR itself are answered by the schema.
///
/// # Errors
/// A profile, when nothing knows profiles here.
pub(super) fn conforms_to<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let (Some(item), Some(url)) = (call.single(&input)?, call.text(0)?) else { return Ok(Items::new()) };
    let wanted = url.strip_prefix("http://hl7.org/fhir/StructureDefinition/");
    if let Some(wanted) = wanted.and_then(|name| call.machine.schema.type_id(name)) {
        let found = TypeTest::of_type(wanted).accepts(call.machine.schema, item.type_of());
        return Ok(Items::from_iter([Item::Boolean(found)]));
    }
    let Some(profiles) = call.machine.environment.profiles else {
        return Err(missing("conformsTo", "source of profiles"));
    };
    let Some(element) = item.element() else { return Ok(Items::new()) };
    Ok(profiles.conforms_to(element, &url)?.map(Item::Boolean).into_iter().collect())
}

pub(super) fn element_definition<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let Some(profiles) = call.machine.environment.profiles else {
        return Err(missing("elementDefinition", "source of profiles"));
    };
    let mut out = Items::new();
    for element in input.iter().filter_map(Item::element) {
        call.machine.step(1)?;
        out.extend(profiles.element_definition(element)?.map(Item::Element));
    }
    Ok(out)
}

/// The items that are in a slice of a StructureDefinition.
pub(super) fn slice<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let (Some(structure), Some(name)) = (call.text(0)?, call.text(1)?) else { return Ok(Items::new()) };
    let Some(profiles) = call.machine.environment.profiles else {
        return Err(missing("slice", "source of profiles"));
    };
    let mut out = Items::new();
    for item in input {
        call.machine.step(1)?;
        let Some(element) = item.element() else { continue };
        if profiles.slice(element, &structure, &name)? {
            out.push(item);
        }
    }
    Ok(out)
}

/// The input, when it has no modifier extensions but those named.
///
/// # Errors
/// Another modifier extension, or no name given.
pub(super) fn check_modifiers<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let mut known = Vec::new();
    for number in 0..call.count() {
        for item in call.argument(number)? {
            known.extend(operators::text("checkModifiers", &[item])?);
        }
    }
    if known.is_empty() {
        return Err(EvaluationError::new("checkModifiers() needs the URL of a modifier extension"));
    }
    for element in input.iter().filter_map(Item::element) {
        for modifier in element.all("modifierExtension") {
            call.machine.step(1)?;
            let url = modifier.get("url").and_then(Element::value);
            if url.is_none_or(|url| !known.contains(&url)) {
                return Err(EvaluationError::new(
                    "checkModifiers() found a modifier extension that is not named",
                ));
            }
        }
    }
    Ok(input)
}

/// The keys of resources: type and id, so that those of different types never meet.
pub(super) fn get_resource_key<'t>(_: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let key = |element: Element<'t>| {
        let id = element.get("id")?.value()?;
        element.is_resource().then(|| Item::String(format!("{}/{id}", element.type_name()).into()))
    };
    Ok(input.iter().filter_map(Item::element).filter_map(key).collect())
}

/// The keys of the resources that References name by type and id (`Patient/1`), of one type where it is given; others have
/// none.
pub(super) fn get_reference_key<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let wanted = if call.count() == 0 { None } else { call.text(0)? };
    let key = |element: Element<'t>| {
        let reference = element.get("reference")?.value()?;
        let mut parts = reference.split('/');
        let (name, id) = (parts.next()?, parts.next()?);
        let is_whole = matches!((parts.next(), parts.next()), (None, _) | (Some("_history"), Some(_)));
        let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted == name);
        (is_whole && is_wanted && element.tree().schema().is_resource(name))
            .then(|| Item::String(format!("{name}/{id}").into()))
    };
    Ok(input.iter().filter_map(Item::element).filter_map(key).collect())
}

/// Whether a narrative keeps FHIR's rules of XHTML; empty for anything else.
pub(super) fn html_checks<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let Some(element) = call.single(&input)?.and_then(Item::element) else { return Ok(Items::new()) };
    if call.machine.schema.primitive(element.type_id()) != Some(Primitive::Xhtml) {
        return Ok(Items::new());
    }
    let Some(text) = element.value() else { return Ok(Items::new()) };
    call.machine.step(text.len())?;
    Ok(Items::from_iter([Item::Boolean(markup::is_narrative(&text))]))
}
