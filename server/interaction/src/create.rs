//! create (<https://hl7.org/fhir/R4/http.html#create>) and conditional create (<https://hl7.org/fhir/R4/http.html#ccreate>).

use store::{Key, Method, Precondition, Version};

use crate::criteria::Criteria;
use crate::{Caller, Failure, Outcome, Return, Service, Status, commit};

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
    service.known_type(resource_type)?;
    let mut tree = commit::parse(service, resource_type, body)?;
    let criteria = match if_none_exist {
        Some(query) => Some(Criteria::of_query(service, resource_type, query)?),
        None => None,
    };
    for _ in 0..commit::ATTEMPTS {
        let (key, precondition) = match target(service, caller, resource_type, criteria.as_ref()).await? {
            Target::Found(version) => return Ok(commit::answer(Status::Ok, version, prefer)),
            Target::New(key, precondition) => (key, precondition),
        };
        let write = commit::put(service, &mut tree, &key, None, Method::Post)?
            .ok_or_else(|| Failure::internal(&"a new resource equals one that is not there"))?;
        if let Some(version) = commit::one(service, caller, write, precondition).await? {
            return Ok(commit::answer(Status::Created, version, prefer));
        }
    }
    Err(commit::contended())
}

/// Where a create leads.
pub(crate) enum Target {
    /// To a resource that is there.
    Found(Version),
    /// To a new one, if this holds.
    New(Key, Option<Precondition>),
}

pub(crate) async fn target(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    criteria: Option<&Criteria>,
) -> Result<Target, Failure> {
    let mut precondition = None;
    if let Some(criteria) = criteria {
        if let Some(version) = criteria.find(service, caller).await? {
            return Ok(Target::Found(version));
        }
        precondition = Some(criteria.none());
    }
    Ok(Target::New(Key::new(resource_type, &(service.new_id)()), precondition))
}
