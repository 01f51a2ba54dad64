//! delete (<https://hl7.org/fhir/R4/http.html#delete>) and conditional delete (<https://hl7.org/fhir/R4/http.html#cdelete>).

use store::{Key, Method, Permission, Version, Write};

use crate::criteria::Criteria;
use crate::update::Target;
use crate::{Caller, Failure, Outcome, OutcomeBody, Return, Service, Status, WriteConditions, commit};

/// Deletes a resource; one that is not there is left so. NoContent, or Ok with an OperationOutcome where that is preferred.
///
/// # Errors
/// NotFound for an unknown type, PreconditionFailed when a condition does not hold.
pub async fn delete(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    service.known_type(resource_type)?;
    let key = crate::update::writable(resource_type, id)?;
    delete_key(service, caller, &key, conditions, prefer).await
}

/// The same, of a key.
pub(crate) async fn delete_key(
    service: &Service,
    caller: &Caller,
    key: &Key,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    for _ in 0..commit::ATTEMPTS {
        let target = Target::at(service, caller, key.clone(), Permission::Delete).await?;
        target.check(conditions)?;
        let Some(write) = removal(&target) else {
            return Ok(answer(Some(key), None, prefer));
        };
        if let Some(version) = commit::one(service, caller, write, None).await? {
            return Ok(answer(Some(key), Some(&version), prefer));
        }
    }
    Err(commit::contended())
}

/// Deletes the one resource that the parameters match, if there is one.
///
/// # Errors
/// NotFound for an unknown type, BadRequest without parameters, PreconditionFailed when several match or a condition does
/// not hold.
pub async fn conditional_delete(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    parameters: &[(String, String)],
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    service.known_type(resource_type)?;
    let criteria = Criteria::new(service, resource_type, parameters)?;
    delete_matched(service, caller, &criteria, conditions, prefer).await
}

/// The same, of criteria that are read.
pub(crate) async fn delete_matched(
    service: &Service,
    caller: &Caller,
    criteria: &Criteria,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    caller.require(Permission::Delete, criteria.resource_type())?;
    for _ in 0..commit::ATTEMPTS {
        let Some(version) = criteria.find(service, caller).await? else {
            return Ok(answer(None, None, prefer));
        };
        let target = target_of(version);
        target.check(conditions)?;
        let Some(write) = removal(&target) else { continue };
        if let Some(version) = commit::one(service, caller, write, None).await? {
            return Ok(answer(Some(&target.key), Some(&version), prefer));
        }
    }
    Err(commit::contended())
}

/// The resource that criteria matched.
pub(crate) fn target_of(version: Version) -> Target {
    let key = version.key.clone();
    Target { key, current: Some(version), precondition: None, method: Method::Delete }
}

/// The deletion of what is there; `None` when nothing is.
pub(crate) fn removal(target: &Target) -> Option<Write> {
    let alive = target.alive()?;
    Some(Write::Delete { key: target.key.clone(), previous: alive.version })
}

/// The answer when a resource is no longer there: by this deletion, or before. No key where no criteria matched one.
pub(crate) fn answer(key: Option<&Key>, deletion: Option<&Version>, prefer: Return) -> Outcome {
    let said = || match (key, deletion) {
        (Some(key), Some(version)) => format!("{} was deleted as version {}.", key.as_str(), version.version),
        (Some(key), None) => format!("{} did not exist, so nothing was deleted.", key.as_str()),
        (None, _) => "Nothing matched the criteria, so nothing was deleted.".to_owned(),
    };
    let (status, body) = match prefer {
        Return::OperationOutcome => (Status::Ok, commit::said(said())),
        Return::Minimal | Return::Representation => (Status::NoContent, OutcomeBody::Empty),
    };
    Outcome {
        status,
        body,
        version: deletion.map(|version| version.version),
        last_modified: deletion.map(|version| version.last_updated),
        location: None,
    }
}
