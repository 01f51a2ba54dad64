//! Utility functions, logic, aggregates and types (<https://hl7.org/fhirpath/N1/#utility-functions>,
//! <https://hl7.org/fhirpath/N1/#aggregates>, <https://hl7.org/fhirpath/N1/#types>).

use super::super::EvaluationError;
use super::super::evaluate::{Call, Machine, Result};
use super::super::item::{Item, Items, TypeInfo};
use super::super::temporal::DateTime;
use super::super::types::Type;

/// The input itself. What is traced goes to the caller's trace alone: no log may hold what a resource says.
pub(super) fn trace<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let Some(trace) = call.machine.environment.trace else { return Ok(input) };
    let name = call.text(0)?.unwrap_or_default();
    if !call.has(1) {
        trace.trace(&name, &input);
        return Ok(input);
    }
    let mut shown = Items::new();
    for (index, item) in input.iter().enumerate() {
        shown.extend(call.each(1, item, index)?);
        Machine::bounded(&shown)?;
    }
    trace.trace(&name, &shown);
    Ok(input)
}

fn clock(call: &Call<'_, '_>) -> Result<DateTime> {
    let message = || {
        EvaluationError::not_supported(format!(
            "{}() has no meaning here: there is no clock",
            call.function.name
        ))
    };
    call.machine.environment.now.ok_or_else(message)
}

pub(super) fn now<'t>(call: &Call<'_, 't>, _: Items<'t>) -> Result<Items<'t>> {
    Ok(Items::from_iter([Item::DateTime(clock(call)?)]))
}

pub(super) fn today<'t>(call: &Call<'_, 't>, _: Items<'t>) -> Result<Items<'t>> {
    Ok(Items::from_iter([Item::Date(clock(call)?.date)]))
}

pub(super) fn time_of_day<'t>(call: &Call<'_, 't>, _: Items<'t>) -> Result<Items<'t>> {
    Ok(clock(call)?.time.map(Item::Time).into_iter().collect())
}

pub(super) fn aggregate<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let mut total = call.argument(1)?;
    for (index, item) in input.iter().enumerate() {
        total = call.each_with(0, item, index, &total)?;
    }
    Ok(total)
}

pub(super) fn type_of<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let info = |item: &Item<'t>| match item.type_of() {
        Type::Fhir(id) => TypeInfo { namespace: "FHIR", name: call.machine.schema.type_name(id).to_owned() },
        Type::System(system) => TypeInfo { namespace: "System", name: system.name().to_owned() },
    };
    Ok(input.iter().map(|item| Item::TypeInfo(Box::new(info(item)))).collect())
}
