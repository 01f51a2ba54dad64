//! `memberOf`, `subsumes`, `subsumedBy` (<https://hl7.org/fhir/R4/fhirpath.html#functions>), asked of the caller's
//! terminology. What it cannot tell is empty, never false.

use std::borrow::Cow;

use super::super::evaluate::{Call, Result};
use super::super::item::{Item, Items};
use super::super::{Coding, EvaluationError, Terminology};
use super::fhir::missing;
use crate::tree::Element;

fn terminology<'t>(call: &Call<'_, 't>) -> Result<&'t dyn Terminology> {
    call.machine.environment.terminology.ok_or_else(|| missing(call.function.name, "terminology"))
}

/// The codings that an item is or has: of a code, a Coding, a CodeableConcept, a Quantity.
fn codings<'t>(call: &Call<'_, '_>, item: &Item<'t>) -> Result<Vec<Coding<'t>>> {
    if let Some(code) = item.text() {
        return Ok(vec![Coding { code, ..Coding::default() }]);
    }
    let coding = |element: Element<'t>| {
        let value = |name| element.get(name).and_then(Element::value);
        let (system, version, display) = (value("system"), value("version"), value("display"));
        value("code").map(|code| Coding { system, version, code, display })
    };
    let element = item.element();
    match element.map(|element| (element, element.type_name())) {
        Some((element, "Coding" | "Quantity")) => Ok(coding(element).into_iter().collect()),
        Some((element, "CodeableConcept")) => Ok(element.all("coding").filter_map(coding).collect()),
        _ => {
            let name = call.function.name;
            Err(EvaluationError::new(format!(
                "{name}() needs a code, a Coding, a CodeableConcept or a Quantity"
            )))
        }
    }
}

/// Whether one is true; `None` when none is but one is not known.
fn any(answers: impl Iterator<Item = Result<Option<bool>>>) -> Result<Option<bool>> {
    let mut all = Some(false);
    for answer in answers {
        match answer? {
            Some(true) => return Ok(Some(true)),
            Some(false) => {}
            None => all = None,
        }
    }
    Ok(all)
}

pub(super) fn member_of<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let terminology = terminology(call)?;
    let (Some(item), Some(value_set)) = (call.single(&input)?, call.text(0)?) else {
        return Ok(Items::new());
    };
    let codings = codings(call, item)?;
    call.machine.step(codings.len())?;
    let found = any(codings.iter().map(|coding| terminology.member_of(coding, &value_set)))?;
    Ok(found.map(Item::Boolean).into_iter().collect())
}

pub(super) fn subsumes<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    relation(call, &input, &call.argument(0)?)
}

pub(super) fn subsumed_by<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    relation(call, &call.argument(0)?, &input)
}

/// Whether a code of `above` subsumes one of `below`.
fn relation<'t>(call: &Call<'_, 't>, above: &Items<'t>, below: &Items<'t>) -> Result<Items<'t>> {
    let terminology = terminology(call)?;
    let (Some(above), Some(below)) = (call.single(above)?, call.single(below)?) else {
        return Ok(Items::new());
    };
    let (above, below) = (codings(call, above)?, codings(call, below)?);
    call.machine.step(above.len().saturating_mul(below.len()))?;
    let pairs = above.iter().flat_map(|above| below.iter().map(move |below| (above, below)));
    let found = any(pairs.map(|(above, below)| match is_same(above, below) {
        true => Ok(Some(true)),
        false => terminology.subsumes(above, below),
    }))?;
    Ok(found.map(Item::Boolean).into_iter().collect())
}

/// A code subsumes itself.
fn is_same(a: &Coding<'_>, b: &Coding<'_>) -> bool {
    let system = |coding: &Coding<'_>| coding.system.as_ref().map(Cow::to_string);
    a.code == b.code && system(a) == system(b)
}
