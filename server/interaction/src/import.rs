//! Many updates at once, for loading: each resource is an update (as create) of the id in its body
//! (<https://hl7.org/fhir/R4/http.html#upsert>) or, where that is asked, of the one that has its identifier
//! (<https://hl7.org/fhir/R4/http.html#cond-update>), and a list of them is one commit. What takes time is [`prepare`], which any
//! thread may do; the order of commits is the caller's.

use std::borrow::Cow;

use fhirpath::{Issue, IssueType, Tree};
use rustc_hash::FxHashSet;
use sha2::{Digest as _, Sha256};
use store::{Batch, Key, Method, Precondition, Write};

use crate::criteria::Criteria;
use crate::update::{Target, target_of};
use crate::{Caller, Failure, Service, Status, commit};

/// A resource that is ready to be written.
pub struct Prepared {
    key: Key,
    /// The identifier that it was looked for by, if nothing has it.
    identifier: Option<String>,
    /// That nothing has it, still.
    precondition: Option<Precondition>,
    /// Nothing when the content is that of the current version.
    write: Option<Write>,
    existed: bool,
}

/// What a resource that is loaded is to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Loading<'a> {
    /// Its type; any if none is said.
    pub resource_type: Option<&'a str>,
    /// Whether it updates the resource that has its first identifier with system and value, where it has one.
    pub by_identifier: bool,
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
/// BadRequest for a body that is not JSON, is of another type or has no id of its own, Unprocessable for one that breaks the schema
/// or, when it is validated, the rules; what an update is refused for.
pub async fn prepare(
    service: &Service,
    caller: &Caller,
    body: Vec<u8>,
    loading: Loading<'_>,
) -> Result<Prepared, Failure> {
    let mut tree = match loading.resource_type {
        Some(expected) => of_type(commit::parse_any(service, body)?, expected)?,
        None => commit::parse_any(service, body)?,
    };
    service.validation.may_write(tree.resource_type())?;
    let identifier = loading.by_identifier.then(|| identifier(&tree)).flatten();
    let target = match &identifier {
        Some(identifier) => identified(service, caller, &tree, identifier).await?,
        None => Target::to_update(service, caller, own_key(&tree)?).await?,
    };
    let existed = target.alive().is_some();
    let Target { key, current, precondition, .. } = target;
    let write = commit::put(service, caller, &mut tree, &key, current.as_ref(), Method::Put).await?;
    Ok(Prepared { key, identifier: identifier.filter(|_| !existed), precondition, write, existed })
}

fn of_type(tree: Tree, expected: &str) -> Result<Tree, Failure> {
    let found = tree.resource_type();
    if found == expected {
        return Ok(tree);
    }
    let details = format!("The resource is of type {found}, but {expected} was announced.");
    Err(Failure::of(Status::BadRequest, vec![Issue::error(IssueType::Invalid, details).at("resourceType")]))
}

fn own_key(tree: &Tree) -> Result<Key, Failure> {
    let key = tree.id().and_then(|id| Key::parse(&format!("{}/{id}", tree.resource_type())));
    key.ok_or_else(|| {
        let details = "A resource that is loaded needs an id, of 1 to 64 of A-Z, a-z, 0-9, '-' and '.'.";
        let issue = Issue::error(IssueType::Required, details).at(format!("{}.id", tree.resource_type()));
        Failure::of(Status::BadRequest, vec![issue])
    })
}

/// The first identifier with system and value, as the search parameter `identifier` takes it.
fn identifier(tree: &Tree) -> Option<String> {
    let mut tokens = tree.root().all("identifier").filter_map(|identifier| {
        let (system, value) = (identifier.get("system")?.value()?, identifier.get("value")?.value()?);
        Some(format!("{}|{}", escaped(&system), escaped(&value)))
    });
    tokens.next()
}

/// A text in which nothing has a meaning to a search (<https://hl7.org/fhir/R4/search.html#escaping>).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | ',' | '|' | '$') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// The resource that has an identifier. If nothing has it, a new one: of the body's id, or else of an id that follows from the
/// identifier, so that the same line, loaded again, is the same resource.
async fn identified(
    service: &Service,
    caller: &Caller,
    tree: &Tree,
    identifier: &str,
) -> Result<Target, Failure> {
    let resource_type = tree.resource_type();
    let parameter = ("identifier".to_owned(), identifier.to_owned());
    let criteria = Criteria::new(service, resource_type, &[parameter])?;
    caller.require(store::Permission::Update, resource_type)?;
    if let Some(version) = criteria.find(service, caller).await? {
        let key = version.key.clone();
        return Ok(Target { key, current: Some(version), precondition: None, method: Method::Put });
    }
    let id = tree.id().unwrap_or_else(|| Cow::Owned(derived(resource_type, identifier)));
    target_of(service, caller, resource_type, &criteria, None, Some(&id)).await
}

fn derived(resource_type: &str, identifier: &str) -> String {
    let hash = Sha256::digest(format!("{resource_type}/{identifier}"));
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
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
    let (mut keys, mut identifiers) = (FxHashSet::default(), FxHashSet::default());
    let is_once = |resource: &Prepared| {
        let identifier = resource.identifier.as_deref();
        keys.insert(resource.key.clone())
            && identifier
                .is_none_or(|it| identifiers.insert((resource.key.resource_type().to_owned(), it.to_owned())))
    };
    if !prepared.iter().all(is_once) {
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
    let (mut writes, mut preconditions) = (Vec::with_capacity(prepared.len()), Vec::new());
    for resource in prepared {
        writes.extend(resource.write);
        preconditions.extend(resource.precondition);
    }
    if writes.is_empty() {
        return Ok(Some(outcomes));
    }
    let done = commit::many(service, caller, Batch { preconditions, writes }).await?;
    Ok(done.map(|_| outcomes))
}
