//! history (<https://hl7.org/fhir/R4/http.html#history>) of a resource, a type or everything.

use store::HistoryScope;

use crate::{Caller, Failure, Outcome, Service};

/// A history Bundle, newest first. Parameters: `_since`, `_at`, `_count`, `_summary`, `_elements`, and the `_cursor` of page links.
///
/// # Errors
/// NotFound for an unknown type or id, BadRequest for an unknown parameter or a bad value.
pub async fn history(
    service: &Service,
    caller: &Caller,
    scope: HistoryScope,
    parameters: &[(String, String)],
) -> Result<Outcome, Failure> {
    let _ = (service, caller, scope, parameters);
    todo!()
}
