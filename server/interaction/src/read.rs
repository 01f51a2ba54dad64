//! read and vread (<https://hl7.org/fhir/R4/http.html#read>, <https://hl7.org/fhir/R4/http.html#vread>), with the conditions
//! of <https://hl7.org/fhir/R4/http.html#cread>. Gives stored bytes; parses none.

use fhirpath::IssueType;
use store::{Key, Permission, Version};

use crate::{Caller, Failure, Outcome, OutcomeBody, ReadConditions, Service, Status};

/// The current version of a resource.
///
/// # Errors
/// NotFound for an unknown type or id, Gone for a deleted resource, Forbidden for a type of which none may be read.
pub async fn read(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
    conditions: &ReadConditions,
) -> Result<Outcome, Failure> {
    let key = service.key(resource_type, id)?;
    caller.require(Permission::Read, resource_type)?;
    let found = service.store.read(&caller.tenant, &caller.access, &key).await?;
    answer(found.ok_or_else(|| unknown(&key))?, conditions)
}

/// One version of a resource. `version` is the text of the URL.
///
/// # Errors
/// NotFound for an unknown type, id or version, Gone for a version that is a deletion or was erased, Forbidden for a type of which none may
/// be read.
pub async fn vread(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
    version: &str,
    conditions: &ReadConditions,
) -> Result<Outcome, Failure> {
    let key = service.key(resource_type, id)?;
    caller.require(Permission::Read, resource_type)?;
    let found = match version.parse() {
        Ok(number) => service.store.vread(&caller.tenant, &caller.access, &key, number).await?,
        Err(_) => None,
    };
    answer(found.ok_or_else(|| no_version(&key, version))?, conditions)
}

fn answer(version: Version, conditions: &ReadConditions) -> Result<Outcome, Failure> {
    if version.is_deleted() {
        return Err(gone(&version));
    }
    let unchanged = match (&conditions.if_none_match, conditions.if_modified_since) {
        (Some(versions), _) => versions.holds(version.version),
        (None, Some(since)) => version.last_updated.0.div_euclid(1000) <= since.0.div_euclid(1000),
        (None, None) => false,
    };
    Ok(match unchanged {
        true => Outcome { status: Status::NotModified, body: OutcomeBody::Empty, ..whole(version) },
        false => whole(version),
    })
}

/// Ok with a version's own bytes.
pub(crate) fn whole(version: Version) -> Outcome {
    Outcome {
        status: Status::Ok,
        version: Some(version.version),
        last_modified: Some(version.last_updated),
        location: Some(location(&version.key, version.version)),
        body: OutcomeBody::Resource(version.body),
    }
}

/// `Patient/1/_history/2`.
pub(crate) fn location(key: &Key, version: u64) -> String {
    format!("{}/_history/{version}", key.as_str())
}

/// There is no version of this text.
pub(crate) fn no_version(key: &Key, version: &str) -> Failure {
    let shown: String = version.chars().take(64).collect();
    let details = format!("There is no version {shown} of {}.", key.as_str());
    Failure::new(Status::NotFound, IssueType::NotFound, details)
}

pub(crate) fn gone(version: &Version) -> Failure {
    let (name, number) = (version.key.as_str(), version.version);
    let details = match version.is_erased() {
        true => format!("Version {number} of {name} was erased for good."),
        false => format!("{name} was deleted; that is its version {number}."),
    };
    Failure::new(Status::Gone, IssueType::Deleted, details)
}

pub(crate) fn unknown(key: &Key) -> Failure {
    let details = format!("There is no resource {}.", key.as_str());
    Failure::new(Status::NotFound, IssueType::NotFound, details)
}
