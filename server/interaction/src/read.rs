//! read and vread (<https://hl7.org/fhir/R4/http.html#read>, <https://hl7.org/fhir/R4/http.html#vread>).

use crate::{Caller, Failure, Outcome, ReadConditions, Service};

/// The current version of a resource.
///
/// # Errors
/// NotFound for an unknown type or id, Gone for a deleted resource.
pub async fn read(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
    conditions: &ReadConditions,
) -> Result<Outcome, Failure> {
    let _ = (service, caller, resource_type, id, conditions);
    todo!()
}

/// One version of a resource. `version` is the text of the URL.
///
/// # Errors
/// NotFound for an unknown type, id or version, Gone for a version that is a deletion.
pub async fn vread(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
    version: &str,
    conditions: &ReadConditions,
) -> Result<Outcome, Failure> {
    let _ = (service, caller, resource_type, id, version, conditions);
    todo!()
}
