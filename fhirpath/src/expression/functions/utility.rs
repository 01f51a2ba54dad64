//! Utility functions, logic, aggregates and types (<https://hl7.org/fhirpath/N1/#utility-functions>,
//! <https://hl7.org/fhirpath/N1/#aggregates>, <https://hl7.org/fhirpath/N1/#types>).

use super::super::EvaluationError;
use super::super::evaluate::{Call, Result, truth};
use super::super::item::{Item, Items, TypeInfo};
use super::super::temporal::DateTime;
use super::super::types::Type;

/// The input itself: there is no log that may hold what a resource says.
pub(super) fn trace<'t>(_: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    Ok(input)
}

fn clock(call: &Call<'_, '_>) -> Result<DateTime> {
    let message =
        || EvaluationError::new(format!("{}() has no meaning here: there is no clock", call.function.name));
    call.machine.now.ok_or_else(message)
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

pub(super) fn not<'t>(_: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    Ok(truth(&input)?.map(|value| Item::Boolean(!value)).into_iter().collect())
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
