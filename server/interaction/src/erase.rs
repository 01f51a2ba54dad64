//! delete-history and delete-history-version of R6 (<https://hl7.org/fhir/6.0.0-ballot3/http.html#delete-history>): erases what a
//! resource was before. R4 has neither, so they are offered only where the server's configuration says so; the current version
//! stays as it is.

use fhirpath::IssueType;
use store::{Erasure, Filter, Key, Permission, Version};

use crate::{Caller, Failure, Outcome, OutcomeBody, Return, Service, Status, commit, read};

/// Erases all versions of a resource but the current one. NoContent, or Ok with an OperationOutcome where that is preferred.
///
/// # Errors
/// MethodNotAllowed where the server erases nothing, Forbidden but for those who may delete all of the type, NotFound for an
/// unknown type or id.
pub async fn delete_history(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let (key, _) = erasable(service, caller, resource_type, id).await?;
    erase(service, caller, Erasure { key, version: None }, prefer).await
}

/// Erases one version of a resource. `version` is the text of the URL. One that is erased already is left so.
///
/// # Errors
/// Those of [`delete_history`]; NotFound for an unknown version, Conflict for the current one.
pub async fn delete_history_version(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
    version: &str,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let (key, current) = erasable(service, caller, resource_type, id).await?;
    let number = match version.parse::<u64>() {
        Ok(number) if (1..current.version).contains(&number) => number,
        Ok(number) if number == current.version => {
            let details = format!(
                "Version {number} of {} is the current one; DELETE {} deletes it, and keeps it in the history.",
                key.as_str(),
                key.as_str()
            );
            return Err(Failure::new(Status::Conflict, IssueType::Conflict, details));
        }
        _ => return Err(read::no_version(&key, version)),
    };
    erase(service, caller, Erasure { key, version: Some(number) }, prefer).await
}

/// The resource, if it may be erased from.
async fn erasable(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
) -> Result<(Key, Version), Failure> {
    let key = service.key(resource_type, id)?;
    service.require_erasure(caller, [resource_type])?;
    service.validation.may_write(resource_type)?;
    let current = service.store.read(&caller.tenant, &caller.access, &key).await?;
    let current = current.ok_or_else(|| read::unknown(&key))?;
    Ok((key, current))
}

async fn erase(
    service: &Service,
    caller: &Caller,
    erasure: Erasure,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let name = erasure.key.as_str().to_owned();
    let erased = service.store.erase(&caller.tenant, vec![erasure]).await?;
    let (status, body) = match prefer {
        Return::OperationOutcome => {
            let said = format!("{erased} versions of {name} were erased for good.");
            (Status::Ok, commit::said(said))
        }
        Return::Minimal | Return::Representation => (Status::NoContent, OutcomeBody::Empty),
    };
    Ok(Outcome { status, body, version: None, last_modified: None, location: None })
}

impl Service {
    /// Refuses to erase versions of resources of some types: where the server erases nothing, and all but those who may read,
    /// find and delete every resource of these types and every patient. No access to one patient's records does.
    ///
    /// # Errors
    /// MethodNotAllowed or Forbidden.
    pub fn require_erasure<'t>(
        &self,
        caller: &Caller,
        resource_types: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), Failure> {
        if !self.limits.erasure {
            let details = "This server erases nothing: every version stays in the history. \
                           Its configuration may change that (irrevocable_erasure).";
            return Err(Failure::new(Status::MethodNotAllowed, IssueType::NotSupported, details));
        }
        let needed = [Permission::Read, Permission::Search, Permission::Delete];
        let all_of = |name: &str| needed.iter().all(|it| *caller.access.filter(*it, name) == Filter::All);
        match ["Patient"].into_iter().chain(resource_types).find(|name| !all_of(name)) {
            None => Ok(()),
            Some(name) => {
                let details = format!(
                    "This access does not permit to erase: that is for those who may read, search and delete every {name}."
                );
                Err(Failure::new(Status::Forbidden, IssueType::Forbidden, details))
            }
        }
    }
}
