//! create (<https://hl7.org/fhir/R4/http.html#create>) and conditional create (<https://hl7.org/fhir/R4/http.html#ccreate>).

use crate::{Caller, Failure, Outcome, Return, Service};

/// Stores a new resource under an id of the server's. `if_none_exist` is the text of `If-None-Exist`
/// (`identifier=http://x|y`, URL-encoded): if one resource matches it, that is answered with Ok and nothing is stored.
///
/// # Errors
/// NotFound for an unknown type, BadRequest for a body that is not JSON or of another type, Unprocessable for one
/// that breaks the schema, PreconditionFailed when several resources match `if_none_exist`.
pub async fn create(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    body: Vec<u8>,
    if_none_exist: Option<&str>,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let _ = (service, caller, resource_type, body, if_none_exist, prefer);
    todo!()
}
