//! create (<https://hl7.org/fhir/R4/http.html#create>) and conditional create (<https://hl7.org/fhir/R4/http.html#ccreate>).

use fhirpath::Tree;
use store::{Key, Method, Permission};

use crate::criteria::Criteria;
use crate::update::Target;
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
    let tree = commit::parse(service, resource_type, body)?;
    let criteria = match if_none_exist {
        Some(query) => Some(Criteria::of_query(service, resource_type, query)?),
        None => None,
    };
    create_tree(service, caller, tree, criteria.as_ref(), prefer).await
}

/// The same, of a body that is parsed.
pub(crate) async fn create_tree(
    service: &Service,
    caller: &Caller,
    mut tree: Tree,
    criteria: Option<&Criteria>,
    prefer: Return,
) -> Result<Outcome, Failure> {
    caller.require(Permission::Create, tree.resource_type())?;
    for _ in 0..commit::ATTEMPTS {
        if let Some(criteria) = criteria
            && let Some(version) = criteria.find(service, caller).await?
        {
            return Ok(commit::answer(Status::Ok, version, prefer));
        }
        let target = new_target(service, tree.resource_type());
        let write = commit::put(service, caller, &mut tree, &target.key, None, target.method)
            .await?
            .ok_or_else(|| Failure::internal(&"a new resource equals one that is not there"))?;
        if let Some(version) = commit::one(service, caller, write, criteria.map(Criteria::none)).await? {
            return Ok(commit::answer(Status::Created, version, prefer));
        }
    }
    Err(commit::contended())
}

/// A new resource, under an id of the server's.
pub(crate) fn new_target(service: &Service, resource_type: &str) -> Target {
    let key = Key::new(resource_type, &(service.new_id)());
    Target { key, current: None, precondition: None, method: Method::Post }
}
