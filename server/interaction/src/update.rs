//! update (<https://hl7.org/fhir/R4/http.html#update>), update as create (<https://hl7.org/fhir/R4/http.html#upsert>)
//! and conditional update (<https://hl7.org/fhir/R4/http.html#cond-update>).

use std::borrow::Cow;

use fhirpath::{Issue, IssueType, Tree};
use store::{Key, Method, Permission, Precondition, Version};

use crate::criteria::Criteria;
use crate::{Caller, Failure, Outcome, Return, Service, Status, WriteConditions, commit, create};

/// Stores the next version of a resource, or its first (Created). Content equal to the current version's makes no new
/// version.
///
/// # Errors
/// NotFound for an unknown type, BadRequest for a body that is not JSON, of another type or with another id,
/// Unprocessable for one that breaks the schema, PreconditionFailed when a condition does not hold.
pub async fn update(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
    body: Vec<u8>,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    service.known_type(resource_type)?;
    let key = writable(resource_type, id)?;
    let tree = commit::parse(service, resource_type, body)?;
    same_id(tree.id().as_deref(), &key)?;
    update_tree(service, caller, &key, tree, conditions, prefer).await
}

/// The same, of a body that is parsed and has the id of the key, or none.
pub(crate) async fn update_tree(
    service: &Service,
    caller: &Caller,
    key: &Key,
    mut tree: Tree,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    for _ in 0..commit::ATTEMPTS {
        let target = Target::to_update(service, caller, key.clone()).await?;
        target.check(conditions)?;
        if let Some(outcome) = store_at(service, caller, &mut tree, target, prefer).await? {
            return Ok(outcome);
        }
    }
    Err(commit::contended())
}

/// Updates the one resource that the parameters match, or creates one if none does.
///
/// # Errors
/// Those of [`update`]; PreconditionFailed when several match, BadRequest without parameters or when the body's id is not
/// that of the match, Conflict when nothing matches but the body's id is taken.
pub async fn conditional_update(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    parameters: &[(String, String)],
    body: Vec<u8>,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    service.known_type(resource_type)?;
    let criteria = Criteria::new(service, resource_type, parameters)?;
    let tree = commit::parse(service, resource_type, body)?;
    conditional_update_tree(service, caller, &criteria, tree, conditions, prefer).await
}

/// The same, of a body that is parsed.
pub(crate) async fn conditional_update_tree(
    service: &Service,
    caller: &Caller,
    criteria: &Criteria,
    mut tree: Tree,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    // Writing gives the tree an id; what counts is the one it came with.
    let id = tree.id().map(Cow::into_owned);
    caller.require(Permission::Update, tree.resource_type())?;
    for _ in 0..commit::ATTEMPTS {
        let found = criteria.find(service, caller).await?;
        let target = target_of(service, caller, tree.resource_type(), criteria, found, id.as_deref()).await?;
        target.check(conditions)?;
        if let Some(outcome) = store_at(service, caller, &mut tree, target, prefer).await? {
            return Ok(outcome);
        }
    }
    Err(commit::contended())
}

/// Where an update leads.
pub(crate) struct Target {
    pub(crate) key: Key,
    /// What is there, a deletion included.
    pub(crate) current: Option<Version>,
    pub(crate) precondition: Option<Precondition>,
    pub(crate) method: Method,
}

impl Target {
    /// The resource of a key, whether it is there or not, for one who is to do something with it.
    ///
    /// # Errors
    /// Forbidden for a type that this is permitted for none of.
    pub(crate) async fn at(
        service: &Service,
        caller: &Caller,
        key: Key,
        permission: Permission,
    ) -> Result<Target, Failure> {
        caller.require(permission, key.resource_type())?;
        let current = service.store.read(&caller.tenant, &caller.access.to(permission), &key).await?;
        Ok(Target { key, current, precondition: None, method: Method::Put })
    }

    /// The resource of a key that is to be replaced, or made. Who may change some resources of the type only makes none so:
    /// the answer would tell whether the id is one of the others.
    ///
    /// # Errors
    /// NotFound for such a caller.
    pub(crate) async fn to_update(service: &Service, caller: &Caller, key: Key) -> Result<Target, Failure> {
        let target = Target::at(service, caller, key, Permission::Update).await?;
        if target.current.is_none() && caller.is_held_to_some(Permission::Update, target.key.resource_type())
        {
            let details = format!(
                "There is no resource {} that this access permits to change, nor does it permit to choose the id of a \
                 new one; create it by POST.",
                target.key.as_str()
            );
            return Err(Failure::new(Status::NotFound, IssueType::NotFound, details));
        }
        Ok(target)
    }

    /// The version that is current, unless the resource is deleted.
    pub(crate) fn alive(&self) -> Option<&Version> {
        self.current.as_ref().filter(|version| !version.is_deleted())
    }

    /// Whether the conditions hold here (<https://hl7.org/fhir/R4/http.html#concurrency>).
    pub(crate) fn check(&self, conditions: &WriteConditions) -> Result<(), Failure> {
        let found = self.alive().map(|version| version.version);
        if let Some(wanted) = &conditions.if_match
            && !found.is_some_and(|version| wanted.holds(version))
        {
            return Err(self.refuse("If-Match", found));
        }
        match (&conditions.if_none_match, found) {
            (Some(unwanted), Some(version)) if unwanted.holds(version) => {
                Err(self.refuse("If-None-Match", found))
            }
            _ => Ok(()),
        }
    }

    fn refuse(&self, header: &str, found: Option<u64>) -> Failure {
        let state = match found {
            Some(version) => format!("its current version is {version}"),
            None => "it does not exist".to_owned(),
        };
        let details = format!("{header} does not hold for {}: {state}.", self.key.as_str());
        let issue = Issue::error(IssueType::Conflict, details).at(format!("http.{header}"));
        Failure::of(Status::PreconditionFailed, vec![issue])
    }
}

/// The resource that a conditional update writes. `found` is what its criteria match, `id` what its body has.
pub(crate) async fn target_of(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    criteria: &Criteria,
    found: Option<Version>,
    id: Option<&str>,
) -> Result<Target, Failure> {
    if let Some(version) = found {
        same_id(id, &version.key)?;
        let key = version.key.clone();
        return Ok(Target { key, current: Some(version), precondition: None, method: Method::Put });
    }
    let precondition = Some(criteria.none());
    let Some(id) = id else {
        caller.require(Permission::Create, resource_type)?;
        return Ok(Target { precondition, ..create::new_target(service, resource_type) });
    };
    let target = Target::to_update(service, caller, writable(resource_type, id)?).await?;
    if target.alive().is_some() {
        let details = format!(
            "Nothing matches the criteria, but {}, which has the body's id, exists.",
            target.key.as_str()
        );
        return Err(Failure::new(Status::Conflict, IssueType::Conflict, details));
    }
    Ok(Target { precondition, ..target })
}

/// Writes the tree there. `None` when the record changed meanwhile.
pub(crate) async fn store_at(
    service: &Service,
    caller: &Caller,
    tree: &mut Tree,
    target: Target,
    prefer: Return,
) -> Result<Option<Outcome>, Failure> {
    let existed = target.alive().is_some();
    let Some(write) =
        commit::put(service, caller, tree, &target.key, target.current.as_ref(), target.method).await?
    else {
        return Ok(target.current.map(|version| commit::answer(Status::Ok, version, prefer)));
    };
    let status = if existed { Status::Ok } else { Status::Created };
    let version = commit::one(service, caller, write, target.precondition).await?;
    Ok(version.map(|version| commit::answer(status, version, prefer)))
}

/// The key of an id that a client chose.
pub(crate) fn writable(resource_type: &str, id: &str) -> Result<Key, Failure> {
    Key::parse(&format!("{resource_type}/{id}")).ok_or_else(|| {
        let details = "An id has 1 to 64 characters, each of A-Z, a-z, 0-9, '-' and '.'.";
        Failure::new(Status::BadRequest, IssueType::Value, details)
    })
}

/// A body may leave its id out, but not have another.
pub(crate) fn same_id(id: Option<&str>, key: &Key) -> Result<(), Failure> {
    match id {
        Some(id) if id != key.id() => {
            let details = format!("The body's id is not that of {}, which it is to update.", key.as_str());
            let issue = Issue::error(IssueType::Value, details).at(format!("{}.id", key.resource_type()));
            Err(Failure::of(Status::BadRequest, vec![issue]))
        }
        _ => Ok(()),
    }
}
