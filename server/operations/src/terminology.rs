//! What the terminology operations (<https://hl7.org/fhir/R4/terminology-service.html>) share: parameters in, the instance that one
//! is called on, refusals out. The logic is `conformance`'s.

use conformance::terminology::{OperationError, Parameters, TerminologyError};
use fhirpath::{Issue, IssueType, Tree};
use interaction::{Caller, Failure, Outcome, OutcomeBody, ReadConditions, Service, Status};
use serde::de::DeserializeOwned;
use store::Permission;

use crate::Invocation;

/// The parameters of a call: those of the URL, or of the body; never both.
pub(crate) fn parameters(service: &Service, invocation: &Invocation) -> Result<Parameters, Failure> {
    let query = || Parameters::from_query(invocation.parameters.iter().cloned());
    let Some(body) = invocation.body.as_ref().filter(|body| !body.is_empty()) else { return Ok(query()) };
    let tree = Tree::parse_json(&service.definitions.schema, body.clone(), &service.limits.body)
        .map_err(|issues| Failure::of(Status::BadRequest, issues))?;
    if tree.root().get("parameter").is_none() && tree.resource_type() == "Parameters" {
        return Ok(query());
    }
    if let Some((name, _)) = invocation.parameters.first() {
        let name: String = name.chars().take(64).collect();
        let issue =
            Issue::error(IssueType::Invalid, "Give the parameters in the URL or in the body, not both.");
        return Err(Failure::of(Status::BadRequest, vec![issue.at(format!("http.{name}"))]));
    }
    Parameters::from_tree(&tree).map_err(refuse)
}

/// The stored resource that the operation is called on, if it is called on one. On a type, resources of it may be read: the
/// definitions that the operation then follows hold for all callers.
pub(crate) async fn instance<T: DeserializeOwned>(
    service: &Service,
    caller: &Caller,
    invocation: &Invocation,
) -> Result<Option<T>, Failure> {
    let (Some(resource_type), Some(id)) = (&invocation.resource_type, &invocation.id) else {
        if let Some(resource_type) = &invocation.resource_type {
            caller.require(Permission::Read, resource_type)?;
        }
        return Ok(None);
    };
    let outcome = interaction::read(service, caller, resource_type, id, &ReadConditions::default()).await?;
    let unreadable =
        || Failure::new(Status::Internal, IssueType::Exception, "A stored resource cannot be read.");
    let OutcomeBody::Resource(bytes) = outcome.body else { return Err(unreadable()) };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| unreadable())
}

/// What there is no answer for.
pub(crate) fn refuse(error: OperationError) -> Failure {
    let status = match &error {
        OperationError::NotKnown(_) | OperationError::UnknownConceptMap(_) => Status::NotFound,
        OperationError::UnknownCode { .. } => Status::NotFound,
        OperationError::Parameter { .. } => Status::BadRequest,
        OperationError::NotListable(_) => Status::Unprocessable,
        OperationError::Failed(TerminologyError::Unavailable(_)) => Status::Internal,
        OperationError::Failed(_) => Status::Unprocessable,
    };
    let place = match &error {
        OperationError::Parameter { name, .. } => {
            Some(format!("http.{}", name.chars().take(64).collect::<String>()))
        }
        _ => None,
    };
    let mut issue = Issue::from(error);
    issue.expression = place.or(issue.expression);
    Failure::of(status, vec![issue])
}

/// The answer, or the refusal.
pub(crate) fn answer(result: Result<Vec<u8>, OperationError>) -> Result<Outcome, Failure> {
    result.map(Outcome::resource).map_err(refuse)
}
