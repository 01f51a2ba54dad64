//! Many updates at once, for loading: each resource is an update (as create) of the id in its body
//! (<https://hl7.org/fhir/R4/http.html#upsert>), and a list of them is one commit. What takes time is [`prepare`], which any
//! thread may do; the order of commits is the caller's.

use fhirpath::{Issue, IssueType};
use rustc_hash::FxHashSet;
use store::{Batch, Key, Method, Write};

use crate::{Caller, Failure, Service, Status, commit};

/// A resource that is ready to be written.
pub struct Prepared {
    key: Key,
    /// Nothing when the content is that of the current version.
    write: Option<Write>,
    existed: bool,
}

/// What became of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It is new.
    Created,
    /// It has a new version.
    Updated,
    /// It was stored already, with the same content.
    Unchanged,
}

impl Prepared {
    /// The resource it will be.
    pub fn key(&self) -> &Key {
        &self.key
    }
}

/// Reads a resource and makes it ready, with its index entries, to follow the version that is current now.
///
/// # Errors
/// BadRequest for a body that is not JSON or has no id of its own, Unprocessable for one that breaks the schema or, when it
/// is validated, the rules.
pub async fn prepare(service: &Service, caller: &Caller, body: Vec<u8>) -> Result<Prepared, Failure> {
    let mut tree = commit::parse_any(service, body)?;
    let key = tree.id().and_then(|id| Key::parse(&format!("{}/{id}", tree.resource_type())));
    let Some(key) = key else {
        let details = "A resource that is loaded needs an id, of 1 to 64 of A-Z, a-z, 0-9, '-' and '.'.";
        let issue = Issue::error(IssueType::Required, details).at(format!("{}.id", tree.resource_type()));
        return Err(Failure::of(Status::BadRequest, vec![issue]));
    };
    let current = service.store.read(&caller.tenant, &caller.access, &key).await?;
    let existed = current.as_ref().is_some_and(|version| !version.is_deleted());
    let write = commit::put(service, caller, &mut tree, &key, current.as_ref(), Method::Put).await?;
    Ok(Prepared { key, write, existed })
}

/// Writes them in one commit. `None`, and nothing written, when a resource is there twice or has changed since it was prepared:
/// prepare them again.
///
/// # Errors
/// The store failed.
pub async fn import(
    service: &Service,
    caller: &Caller,
    prepared: Vec<Prepared>,
) -> Result<Option<Vec<Imported>>, Failure> {
    let mut keys = FxHashSet::default();
    if !prepared.iter().all(|resource| keys.insert(resource.key.as_str())) {
        return Ok(None);
    }
    let outcomes = prepared
        .iter()
        .map(|resource| match (&resource.write, resource.existed) {
            (None, _) => Imported::Unchanged,
            (Some(_), true) => Imported::Updated,
            (Some(_), false) => Imported::Created,
        })
        .collect();
    let writes: Vec<Write> = prepared.into_iter().filter_map(|resource| resource.write).collect();
    if writes.is_empty() {
        return Ok(Some(outcomes));
    }
    let done = commit::many(service, caller, Batch { preconditions: Vec::new(), writes }).await?;
    Ok(done.map(|_| outcomes))
}
