//! search (<https://hl7.org/fhir/R4/http.html#search>) over a type, everything, or a compartment.

use ::search::Handling;

use crate::{Caller, Failure, Outcome, Service};

/// A searchset Bundle. `resource_type` is `None` for all types; `compartment` is `("Patient", "123")`.
///
/// # Errors
/// NotFound for an unknown type or compartment, BadRequest for a parameter that is not understood or a cursor that is not this
/// search's.
pub async fn search(
    service: &Service,
    caller: &Caller,
    resource_type: Option<&str>,
    compartment: Option<(&str, &str)>,
    parameters: &[(String, String)],
    handling: Handling,
) -> Result<Outcome, Failure> {
    let _ = (service, caller, resource_type, compartment, parameters, handling);
    todo!()
}
