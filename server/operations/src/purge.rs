//! `Patient/ID/$purge` (<https://hl7.org/fhir/6.0.0-snapshot1/patient-operation-purge.html>; R4 has none): deletes the resources
//! of a patient's compartment and the patient, and erases all that they were. Nothing brings them back. Offered only where the
//! server's configuration says so.
//!
//! What stays: that there were resources of these ids, and when they were deleted; AuditEvents, which say who did what;
//! what is in another patient's compartment as well (a group of several patients), which the answer names; and
//! older versions of what is now of another patient, which delete-history erases.
//!
//! Everything is deleted before the patient, page by page. What was interrupted is gone on with by asking again: what was
//! deleted, now or long ago, is found by its last version that has content.

use std::collections::BTreeSet;

use fhirpath::{Issue, IssueType, Severity};
use interaction::{Caller, Failure, OperationDescriptor, Outcome, Rulings, Service, Status, outcome_body};
use store::{
    Batch, CommitError, Entries, Erasure, Filter, Indexer as _, Key, Method, Query, StoreError, Value,
    Version, Write,
};

use crate::everything::{compartment_has, in_compartment};
use crate::parameters::{refuse, shown, simple};
use crate::{Invocation, Operation, Running};

pub(crate) const PURGE: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "purge",
        definition: "http://hl7.org/fhir/OperationDefinition/Patient-purge",
        resource_types: &["Patient"],
        system: false,
        type_level: false,
        instance: true,
        affects_state: true,
    },
    handler: |service, caller, invocation| Box::pin(purge(service, caller, invocation)) as Running<'_>,
};

/// Resources deleted by one commit.
const STEP: usize = 200;
/// Changes looked through at once.
const CHANGES: usize = 5_000;
/// How often a page is looked at again when others change what is on it, and the whole compartment when they add to it.
const ATTEMPTS: usize = 16;
/// Most names of what stays that the answer lists.
const NAMED: usize = 100;

async fn purge(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    let types = types(service);
    service.require_erasure(caller, types.iter().copied())?;
    if let Some((name, _)) = simple(service, &invocation)?.first() {
        let name = shown(name);
        let details = format!("The operation $purge has no parameter {name}.");
        return Err(refuse(IssueType::NotSupported, details, format!("http.{name}")));
    }
    let id = invocation.id.unwrap_or_default();
    let unknown = || {
        let details = format!("There is no resource Patient/{}.", shown(&id));
        Failure::new(Status::NotFound, IssueType::NotFound, details)
    };
    let patient = Key::parse(&format!("Patient/{id}")).ok_or_else(unknown)?;
    service.store.read(&caller.tenant, &caller.access, &patient).await?.ok_or_else(unknown)?;
    let mut work = Purge { service, caller, patient, types, done: Done::default() };
    work.compartment().await?;
    work.patient().await?;
    work.deleted_before().await?;
    Ok(Outcome::resource(work.answer()))
}

/// The types of the compartment that are purged.
fn types(service: &Service) -> Vec<&str> {
    let all = service.definitions.compartments.resource_types("Patient").into_iter();
    all.filter(|name| *name != "AuditEvent" && compartment_has(service, "Patient", name)).collect()
}

/// What was done.
#[derive(Default)]
struct Done {
    deleted: usize,
    erased: u64,
    /// What stays because it is of other patients too.
    shared: BTreeSet<Key>,
}

struct Purge<'a> {
    service: &'a Service,
    caller: &'a Caller,
    patient: Key,
    types: Vec<&'a str>,
    done: Done,
}

/// Whose a resource is.
#[derive(PartialEq)]
enum Owner {
    /// Only this patient's.
    This,
    /// Another's as well.
    Others,
    /// Not this one's.
    None,
}

impl Purge<'_> {
    /// Deletes and erases what is in the compartment, but for the patient, until nothing is left that may be.
    async fn compartment(&mut self) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS {
            let before = self.done.deleted;
            self.pass().await?;
            if self.done.deleted == before {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Goes through the compartment once.
    async fn pass(&mut self) -> Result<(), Failure> {
        let mut filters = Vec::new();
        for name in &self.types {
            let members = in_compartment(self.service, &self.patient, name)?;
            filters.push(Filter::And(vec![Filter::Type((*name).into()), members]));
        }
        let filter = Filter::Or(filters);
        let mut query =
            Query { resource_type: None, filter, sort: Vec::new(), after: None, limit: STEP, total: false };
        loop {
            let (tenant, access) = (&self.caller.tenant, &self.caller.access);
            let page = self.service.store.search(tenant, access, &query).await?;
            let mut keys = Vec::new();
            for version in page.matches {
                match self.owner(&version)? {
                    Owner::This if version.key != self.patient => keys.push(version.key),
                    Owner::Others => _ = self.done.shared.insert(version.key),
                    Owner::This | Owner::None => {}
                }
            }
            self.remove(keys).await?;
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn patient(&mut self) -> Result<(), Failure> {
        self.remove(vec![self.patient.clone()]).await
    }

    /// Deletes resources that are not deleted, by one commit, and erases all that they were.
    async fn remove(&mut self, keys: Vec<Key>) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            let mut writes = Vec::with_capacity(keys.len());
            for key in &keys {
                let found = self.service.store.read(&self.caller.tenant, &self.caller.access, key).await?;
                if let Some(version) = found.filter(|version| !version.is_deleted()) {
                    // One that was given to another patient meanwhile is that one's.
                    if version.key == self.patient || self.owner(&version)? == Owner::This {
                        writes.push(Write::Delete { key: key.clone(), previous: version.version });
                    }
                }
            }
            let gone: Vec<Key> = writes.iter().map(|write| write.key().clone()).collect();
            let batch = Batch { preconditions: Vec::new(), writes };
            let committed = self.service.store.commit(&self.caller.tenant, &self.caller.access, batch).await;
            if Rulings::are_among(&gone) {
                self.service.rulings.changed();
            }
            match committed {
                Ok(_) => {
                    self.done.deleted += gone.len();
                    return self.erase(gone).await;
                }
                Err(CommitError::Conflict { .. } | CommitError::Precondition { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended())
    }

    async fn erase(&mut self, keys: Vec<Key>) -> Result<(), Failure> {
        let erasures: Vec<Erasure> = keys.into_iter().map(|key| Erasure { key, version: None }).collect();
        if !erasures.is_empty() {
            self.done.erased += self.service.store.erase(&self.caller.tenant, erasures).await?;
        }
        Ok(())
    }

    /// Erases what was in the compartment when it was deleted: long ago, or by a purge that was interrupted.
    async fn deleted_before(&mut self) -> Result<(), Failure> {
        let (mut after, mut seen) = (0, BTreeSet::new());
        loop {
            let (tenant, access) = (&self.caller.tenant, &self.caller.access);
            let changes = self.service.store.changes(tenant, access, after, CHANGES).await?;
            let Some(last) = changes.last() else { return Ok(()) };
            after = last.sequence;
            let mut keys = Vec::new();
            for change in changes.into_iter().filter(|change| change.method == Method::Delete) {
                let of_type = self.types.contains(&change.key.resource_type());
                if of_type && seen.insert(change.key.clone()) && self.was_its(&change.key).await? {
                    keys.push(change.key);
                }
            }
            self.erase(keys).await?;
        }
    }

    /// Whether a resource is deleted, and was only this patient's in its last version that has content.
    async fn was_its(&mut self, key: &Key) -> Result<bool, Failure> {
        let (store, tenant, access) = (&self.service.store, &self.caller.tenant, &self.caller.access);
        let Some(current) = store.read(tenant, access, key).await?.filter(Version::is_deleted) else {
            return Ok(false);
        };
        for number in (1..current.version).rev() {
            let found = store.vread(tenant, access, key, number).await?;
            let Some(version) = found.filter(|version| !version.is_deleted()) else { continue };
            return match self.owner(&version)? {
                Owner::This => Ok(true),
                Owner::Others => {
                    self.done.shared.insert(key.clone());
                    Ok(false)
                }
                Owner::None => Ok(false),
            };
        }
        Ok(false)
    }

    /// Whose compartments a version is in.
    fn owner(&self, version: &Version) -> Result<Owner, Failure> {
        let resource_type = version.key.resource_type();
        let (definitions, index) = (&self.service.definitions, &self.service.index);
        let codes = definitions.compartments.parameters("Patient", resource_type).unwrap_or_default();
        let parameters =
            codes.iter().filter_map(|code| definitions.search_parameters.get(resource_type, code));
        let parameters: Vec<_> = parameters.map(|parameter| index.id(parameter)).collect();
        let mut entries = Entries::new();
        index
            .entries(resource_type, &version.body, &mut entries)
            .map_err(|error| StoreError::Damaged(format!("{}: {error}", version.key.as_str())))?;
        let itself = (resource_type == "Patient").then(|| version.key.as_str());
        let referred = entries.iter().filter_map(|(id, value)| match value {
            Value::Reference(target) if parameters.contains(&id) && target.starts_with("Patient/") => {
                Some(target)
            }
            _ => None,
        });
        let owners: BTreeSet<&str> = itself.into_iter().chain(referred).collect();
        Ok(match owners.contains(self.patient.as_str()) {
            false => Owner::None,
            // What a patient refers to does not make the patient another's.
            true if itself == Some(self.patient.as_str()) || owners.len() == 1 => Owner::This,
            true => Owner::Others,
        })
    }

    fn answer(&self) -> bytes::Bytes {
        let information =
            |details: String| Issue::error(IssueType::Informational, details).severity(Severity::Information);
        let Done { deleted, erased, shared } = &self.done;
        let mut issues = vec![information(format!(
            "{} is purged: {deleted} resources were deleted, and {erased} versions erased for good. Archives that were written \
             before have them.",
            self.patient.as_str()
        ))];
        let stays = |key: &Key| {
            let details = format!("{} stays: it is of another patient too.", key.as_str());
            Issue::error(IssueType::BusinessRule, details).severity(Severity::Warning)
        };
        issues.extend(shared.iter().take(NAMED).map(stays));
        if let Some(more) = shared.len().checked_sub(NAMED).filter(|more| *more > 0) {
            issues.push(information(format!("So do {more} more.")));
        }
        outcome_body(&issues)
    }
}

fn contended() -> Failure {
    let details = "Others keep changing the patient's records; some are purged. Ask again for the rest.";
    Failure::new(Status::Conflict, IssueType::Conflict, details)
}
