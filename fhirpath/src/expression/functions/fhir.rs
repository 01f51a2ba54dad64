//! FHIR's additional functions (<https://hl7.org/fhir/R4/fhirpath.html#functions>).

use super::super::evaluate::{Call, Result};
use super::super::item::{Item, Items};
use super::super::types::TypeTest;
use super::super::{EvaluationError, reference};
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

/// Whether the input is one primitive that has a value, not only extensions.
pub(super) fn has_value<'t>(_: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let found = matches!(input.as_slice(), [item] if item.value().is_some());
    Ok(Items::from_iter([Item::Boolean(found)]))
}

/// The contained resources, and those of the same Bundle, that the input refers to; others are not read.
pub(super) fn resolve<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    call.machine.step(input.len())?;
    Ok(input.iter().filter_map(reference::resolve).map(Item::Element).collect())
}

/// Whether the input is a resource or element of the type that a StructureDefinition of FHIR itself defines.
///
/// # Errors
/// Another StructureDefinition: profiles are not judged here.
pub(super) fn conforms_to<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let (Some(item), Some(url)) = (call.single(&input)?, call.text(0)?) else { return Ok(Items::new()) };
    let wanted = url.strip_prefix("http://hl7.org/fhir/StructureDefinition/");
    let Some(wanted) = wanted.and_then(|name| call.machine.schema.type_id(name)) else {
        return Err(EvaluationError::new(format!("conformsTo() knows the types of FHIR only, not '{url}'")));
    };
    let found = TypeTest::of_type(wanted).accepts(call.machine.schema, item.type_of());
    Ok(Items::from_iter([Item::Boolean(found)]))
}
