//! update (<https://hl7.org/fhir/R4/http.html#update>), update as create (<https://hl7.org/fhir/R4/http.html#upsert>)
//! and conditional update (<https://hl7.org/fhir/R4/http.html#cond-update>).

use crate::{Caller, Failure, Outcome, Return, Service, WriteConditions};

/// Stores the next version of a resource, or its first (Created). Content equal to the current version's makes no new
/// version.
///
/// # Errors
/// NotFound for an unknown type, BadRequest for a body that is not JSON, of another type or with another id,
/// Unprocessable for one that breaks the schema, PreconditionFailed when a condition does not hold.
pub async fn update(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
    body: Vec<u8>,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let _ = (service, caller, resource_type, id, body, conditions, prefer);
    todo!()
}

/// Updates the one resource that the parameters match, or creates one if none does.
///
/// # Errors
/// Those of [`update`]; PreconditionFailed when several match, BadRequest without parameters or when the body's id is not
/// that of the match.
pub async fn conditional_update(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    parameters: &[(String, String)],
    body: Vec<u8>,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let _ = (service, caller, resource_type, parameters, body, conditions, prefer);
    todo!()
}
