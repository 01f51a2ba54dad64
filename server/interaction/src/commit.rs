//! What the writing interactions share: a body to a [`Tree`], a tree to a [`Write`], a commit of one write, and the answer of
//! `Prefer: return`. Decides about no condition; each interaction does.

use fhirpath::{Issue, IssueType, Severity, Tree};
use store::{Batch, CommitError, Entries, Key, Method, Precondition, Version, Write};

use crate::read::location;
use crate::{
    Caller, Failure, Outcome, OutcomeBody, Return, Rulings, Service, Status, outcome_body, own_parameters,
    provenance, stored_definitions, validation,
};

/// How often a write looks again when others changed what it found.
pub(crate) const ATTEMPTS: usize = 16;

/// Holds the place of the time that the commit writes.
const STAMP: &str = "1970-01-01T00:00:00.000Z";

/// Parses a body that is to be a resource of a type.
///
/// # Errors
/// BadRequest for a text that is no JSON or a resource of another type, Unprocessable for one that breaks the schema.
pub(crate) fn parse(service: &Service, resource_type: &str, body: Vec<u8>) -> Result<Tree, Failure> {
    let tree = parse_any(service, body)?;
    let found = tree.resource_type();
    if found != resource_type {
        let details = format!("The body is a resource of type {found}, but the URL is for {resource_type}.");
        let issue = Issue::error(IssueType::Invalid, details).at("resourceType");
        return Err(Failure::of(Status::BadRequest, vec![issue]));
    }
    Ok(tree)
}

/// Parses a body that is to be some resource.
///
/// # Errors
/// Those of [`parse`] but for the type.
pub(crate) fn parse_any(service: &Service, body: Vec<u8>) -> Result<Tree, Failure> {
    Tree::parse_json(&service.definitions.schema, body, &service.limits.body).map_err(|issues| {
        let of = |code| issues.iter().any(|issue: &Issue| issue.code == code);
        let status = match () {
            () if of(IssueType::TooLong) => Status::PayloadTooLarge,
            () if of(IssueType::Invalid) => Status::BadRequest,
            () => Status::Unprocessable,
        };
        Failure::of(status, issues)
    })
}

/// The version after `current`, to be written; `None` when its content is that of `current`. Every body that is written
/// passes here, so here it is validated.
///
/// # Errors
/// Unprocessable for a body that breaks the rules.
pub(crate) async fn put(
    service: &Service,
    caller: &Caller,
    tree: &mut Tree,
    key: &Key,
    current: Option<&Version>,
    method: Method,
) -> Result<Option<Write>, Failure> {
    let previous = current.map_or(0, |version| version.version);
    tree.set_id(key.id());
    if let Some(current) = current.filter(|version| !version.is_deleted()) {
        let (same, stamp) = write(tree, previous)?;
        if equal_but_for_stamp(&same, &current.body, stamp) {
            return Ok(None);
        }
    }
    validation::check(service, caller, tree).await?;
    own_parameters::check(service, caller, key, tree).await?;
    let (body, stamp) = write(tree, previous + 1)?;
    let mut entries = Entries::new();
    service.index.tree_entries(tree, &mut entries);
    Ok(Some(Write::Put { key: key.clone(), previous, method, body, stamp, entries }))
}

pub(crate) fn write(tree: &mut Tree, version: u64) -> Result<(Vec<u8>, usize), Failure> {
    tree.set_meta(&version.to_string(), STAMP);
    let mut body = Vec::new();
    let stamp = tree
        .write_stamped(&mut body)
        .ok_or_else(|| Failure::internal(&"a resource was written without a stamp"))?;
    Ok((body, stamp))
}

fn equal_but_for_stamp(one: &[u8], other: &[u8], stamp: usize) -> bool {
    let end = stamp + Write::STAMP_LENGTH;
    one.len() == other.len() && one.get(..stamp) == other.get(..stamp) && one.get(end..) == other.get(end..)
}

/// Commits one write. `None` when the record was not as the write expects it: look again.
pub(crate) async fn one(
    service: &Service,
    caller: &Caller,
    write: Write,
    precondition: Option<Precondition>,
) -> Result<Option<Version>, Failure> {
    let batch = Batch { preconditions: precondition.into_iter().collect(), writes: vec![write] };
    Ok(many(service, caller, batch).await?.and_then(|mut versions| versions.pop()))
}

/// Commits a batch. `None` when the record was not as the batch expects it: look again.
pub(crate) async fn many(
    service: &Service,
    caller: &Caller,
    batch: Batch,
) -> Result<Option<Vec<Version>>, Failure> {
    for write in &batch.writes {
        service.validation.may_write(write.key().resource_type())?;
    }
    let (batch, told) = provenance::told(service, caller, batch)?;
    let access = caller.access.creating(&told);
    let defines = stored_definitions::defines(&batch.writes);
    let parameters = own_parameters::defines(&batch.writes);
    let rules = Rulings::are_among(batch.writes.iter().map(Write::key));
    let committed = service.store.commit(&caller.tenant, &access, batch).await;
    if rules {
        service.rulings.changed();
    }
    if defines {
        service.validation.forget(&caller.tenant);
    }
    if parameters {
        service.validation.own().forget(&caller.tenant);
    }
    match committed {
        Ok(mut versions) => {
            versions.truncate(versions.len().saturating_sub(told.len()));
            Ok(Some(versions))
        }
        Err(CommitError::Conflict { .. } | CommitError::Precondition { .. }) => Ok(None),
        Err(error @ (CommitError::Forbidden { .. } | CommitError::Store(_))) => Err(error.into()),
    }
}

/// What is said when [`ATTEMPTS`] were not enough.
pub(crate) fn contended() -> Failure {
    let details = "Others kept changing the same resources; nothing was changed. Try again.";
    Failure::new(Status::Conflict, IssueType::Conflict, details)
}

/// The answer to a write that left `version` as the current one.
pub(crate) fn answer(status: Status, version: Version, prefer: Return) -> Outcome {
    let body = match prefer {
        Return::Minimal => OutcomeBody::Empty,
        Return::Representation => OutcomeBody::Resource(version.body.clone()),
        Return::OperationOutcome => {
            let done = match status {
                Status::Created => "was created",
                _ => "is stored",
            };
            said(format!("{} {done} as version {}.", version.key.as_str(), version.version))
        }
    };
    Outcome {
        status,
        body,
        version: Some(version.version),
        last_modified: Some(version.last_updated),
        location: Some(location(&version.key, version.version)),
    }
}

/// An OperationOutcome that only informs.
pub(crate) fn said(details: String) -> OutcomeBody {
    let issue = Issue::error(IssueType::Informational, details).severity(Severity::Information);
    OutcomeBody::Resource(outcome_body(&[issue]))
}
