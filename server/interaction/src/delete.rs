//! delete (<https://hl7.org/fhir/R4/http.html#delete>) and conditional delete (<https://hl7.org/fhir/R4/http.html#cdelete>).

use crate::{Caller, Failure, Outcome, Return, Service, WriteConditions};

/// Deletes a resource; one that is not there is left so. NoContent, or Ok with an OperationOutcome where that is preferred.
///
/// # Errors
/// NotFound for an unknown type, PreconditionFailed when a condition does not hold.
pub async fn delete(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let _ = (service, caller, resource_type, id, conditions, prefer);
    todo!()
}

/// Deletes the one resource that the parameters match, if there is one.
///
/// # Errors
/// NotFound for an unknown type, BadRequest without parameters, PreconditionFailed when several match.
pub async fn conditional_delete(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    parameters: &[(String, String)],
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let _ = (service, caller, resource_type, parameters, conditions, prefer);
    todo!()
}
