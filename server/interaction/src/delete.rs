//! delete (<https://hl7.org/fhir/R4/http.html#delete>) and conditional delete (<https://hl7.org/fhir/R4/http.html#cdelete>).

use store::{Key, Version, Write};

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
    for _ in 0..commit::ATTEMPTS {
        let target = Target::at(service, caller, key.clone()).await?;
        target.check(conditions)?;
        let Some(write) = removal(&target) else {
            return Ok(answer(&key, None, prefer));
        };
        if let Some(version) = commit::one(service, caller, write, None).await? {
            return Ok(answer(&key, Some(&version), prefer));
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
    for _ in 0..commit::ATTEMPTS {
        let Some(target) = matched(service, caller, &criteria).await? else {
            return Ok(nothing_matched(prefer));
        };
        target.check(conditions)?;
        let Some(write) = removal(&target) else { continue };
        if let Some(version) = commit::one(service, caller, write, None).await? {
            return Ok(answer(&target.key, Some(&version), prefer));
        }
    }
    Err(commit::contended())
}

/// The resource that a conditional delete removes.
pub(crate) async fn matched(
    service: &Service,
    caller: &Caller,
    criteria: &Criteria,
) -> Result<Option<Target>, Failure> {
    let found = criteria.find(service, caller).await?;
    Ok(found.map(|version| Target {
        key: version.key.clone(),
        current: Some(version),
        precondition: None,
        method: store::Method::Delete,
    }))
}

/// The deletion of what is there; `None` when nothing is.
pub(crate) fn removal(target: &Target) -> Option<Write> {
    let alive = target.alive()?;
    Some(Write::Delete { key: target.key.clone(), previous: alive.version })
}

/// The answer when no resource matched the criteria.
pub(crate) fn nothing_matched(prefer: Return) -> Outcome {
    done(None, "Nothing matched the criteria, so nothing was deleted.".to_owned(), prefer)
}

/// The answer when a resource is no longer there: by this deletion, or before.
pub(crate) fn answer(key: &Key, deletion: Option<&Version>, prefer: Return) -> Outcome {
    let said = match deletion {
        Some(version) => format!("{} was deleted as version {}.", key.as_str(), version.version),
        None => format!("{} did not exist, so nothing was deleted.", key.as_str()),
    };
    done(deletion, said, prefer)
}

fn done(deletion: Option<&Version>, said: String, prefer: Return) -> Outcome {
    let (status, body) = match prefer {
        Return::OperationOutcome => (Status::Ok, commit::said(said)),
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
