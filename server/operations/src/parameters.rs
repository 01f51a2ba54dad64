//! Simple parameters of an operation: names and texts, from the URL or from a Parameters resource
//! (<https://hl7.org/fhir/R4/operations.html#request>). Knows no parameter's meaning.

use fhirpath::{Issue, IssueType, Tree};
use interaction::{Failure, Service, Status};

use crate::Invocation;

/// Most parameters of one call.
const MAX_PARAMETERS: usize = 1_000;

/// The parameters of a call, in order: those of the URL, or of the body; never both.
pub(crate) fn simple(service: &Service, invocation: &Invocation) -> Result<Vec<(String, String)>, Failure> {
    let Some(tree) = resource(service, invocation)? else { return Ok(invocation.parameters.clone()) };
    let mut found = Vec::new();
    for (number, parameter) in tree.root().all("parameter").enumerate() {
        let place = || format!("Parameters.parameter[{number}]");
        if number >= MAX_PARAMETERS {
            let details = format!("An operation takes {MAX_PARAMETERS} parameters.");
            return Err(refuse(IssueType::TooCostly, details, place()));
        }
        let name = parameter.get("name").and_then(|name| name.value());
        let value = parameter.get("value").and_then(|value| value.value());
        let (Some(name), Some(value)) = (name, value) else {
            let details = "This parameter needs a name and a value of a primitive type.";
            return Err(refuse(IssueType::Value, details.to_owned(), place()));
        };
        found.push((name.into_owned(), value.into_owned()));
    }
    Ok(found)
}

/// The Parameters resource of the body, if it has parameters; then the URL has none.
pub(crate) fn resource(service: &Service, invocation: &Invocation) -> Result<Option<Tree>, Failure> {
    let Some(body) = invocation.body.as_ref().filter(|body| !body.is_empty()) else { return Ok(None) };
    let tree = Tree::parse_json(&service.definitions.schema, body.clone(), &service.limits.body)
        .map_err(|issues| Failure::of(Status::BadRequest, issues))?;
    if tree.resource_type() != "Parameters" {
        let details = format!("An operation takes a Parameters resource, not a {}.", tree.resource_type());
        return Err(Failure::new(Status::BadRequest, IssueType::Invalid, details));
    }
    if tree.root().get("parameter").is_none() {
        return Ok(None);
    }
    match invocation.parameters.first() {
        None => Ok(Some(tree)),
        Some((name, _)) => {
            let details = "Give the parameters in the URL or in the body, not both.".to_owned();
            Err(refuse(IssueType::Invalid, details, format!("http.{}", shown(name))))
        }
    }
}

/// A refusal of what stands at a place.
pub(crate) fn refuse(code: IssueType, details: String, place: String) -> Failure {
    Failure::of(Status::BadRequest, vec![Issue::error(code, details).at(place)])
}

/// As much of a client's text as a message holds.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
