//! batch and transaction (<https://hl7.org/fhir/R4/http.html#transaction>), by the Bundle's type.

use crate::{Caller, Failure, Outcome, Return, Service};

/// Processes a Bundle of type `batch` or `transaction`. Always Ok: a batch reports each entry's own failure in its response
/// entry; a transaction fails as a whole. Where `prefer` says nothing, response entries carry no resources.
///
/// # Errors
/// BadRequest for a body that is not JSON or not such a Bundle, Unprocessable for one that breaks the schema,
/// PayloadTooLarge for more entries than [`crate::Limits::bundle_entries`]; for a transaction any entry's failure.
pub async fn bundle(
    service: &Service,
    caller: &Caller,
    body: Vec<u8>,
    prefer: Option<Return>,
) -> Result<Outcome, Failure> {
    let _ = (service, caller, body, prefer);
    todo!()
}
