//! Makes jobs for the sequencer of what callers hand in: batches, and commits of another store's journal. Checks what
//! can be checked without the store.

use rustc_hash::FxHashSet;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::document::IndexFields;
use super::group::{Job, Replayed, TRANSACTION_WRITES};
use super::plan::Resource;
use super::search;
use super::shard::Shard;
use super::stage::Pending;
use super::terms;
use crate::{
    Access, Batch, Commit, CommitError, Entries, Filter, Indexer, Method, StoreError, Timestamp, Version,
    Write, units,
};

/// Where a job's answer comes.
pub(super) type Answer = oneshot::Receiver<Result<Vec<Version>, CommitError>>;

/// The job of a batch.
///
/// # Errors
/// A batch of more writes than one commit takes.
pub(super) fn batch(
    indexer: &dyn Indexer,
    access: &Access,
    batch: Batch,
) -> Result<(Job, Answer), StoreError> {
    if batch.writes.len() > TRANSACTION_WRITES {
        return Err(StoreError::TooCostly(format!(
            "{} writes are more than one commit takes: {TRANSACTION_WRITES}; commit them in parts",
            batch.writes.len()
        )));
    }
    let flaw = flaw(&batch.writes);
    let writes = batch.writes.into_iter().map(|write| pending(indexer, write)).collect();
    let (job, answer) = job(access, writes);
    Ok((Job { preconditions: batch.preconditions, flaw, ..job }, answer))
}

/// The job of a commit of another store.
///
/// # Errors
/// A version that is not a resource, or follows none.
pub(super) fn replayed(indexer: &dyn Indexer, commit: Commit) -> Result<(Job, Answer), StoreError> {
    let replayed = Replayed { sequence: commit.sequence, last_updated: commit.last_updated };
    let writes: Result<Vec<Pending>, StoreError> =
        commit.versions.into_iter().map(|version| repeated(indexer, version)).collect();
    let (job, answer) = job(&Access::unrestricted(), writes?);
    Ok((Job { replayed: Some(replayed), ..job }, answer))
}

fn job(access: &Access, writes: Vec<Pending>) -> (Job, Answer) {
    let (reply, answer) = oneshot::channel();
    let job = Job {
        access: access.clone(),
        preconditions: Vec::new(),
        writes,
        flaw: None,
        replayed: None,
        ledger: units::open(),
        since: Instant::now(),
        after: None,
        reply,
    };
    (job, answer)
}

/// Why a batch can never be committed: it writes a resource twice, or a body has no room for the commit's time.
fn flaw(writes: &[Write]) -> Option<CommitError> {
    let mut keys = FxHashSet::default();
    for (index, write) in writes.iter().enumerate() {
        let (Write::Put { key, previous, .. } | Write::Delete { key, previous }) = write;
        if !keys.insert(key.as_str()) {
            return Some(CommitError::Conflict { write: index, found: previous + 1 });
        }
        if let Write::Put { body, stamp, .. } = write
            && stamp.checked_add(Write::STAMP_LENGTH).is_none_or(|end| end > body.len())
        {
            return Some(StoreError::Damaged("a body has no room for the commit's time".into()).into());
        }
    }
    None
}

/// Refuses what the access decision does not permit to be there after a write. What is there before is asked when the write
/// is staged.
///
/// # Errors
/// [`CommitError::Forbidden`], or the store failed.
pub(super) async fn permit(shard: &Shard, access: &Access, writes: &[Write]) -> Result<(), CommitError> {
    for (index, write) in writes.iter().enumerate() {
        let Write::Put { key, entries, .. } = write else { continue };
        let rule = access.filter(write.permission(), key.resource_type());
        // Rules ask of no texts.
        let resource = Resource { key, last_updated: Timestamp::now(), entries, body: &[] };
        if *rule != Filter::All && !search::fulfils(shard, &shard.snapshot(), rule, &resource).await? {
            return Err(CommitError::Forbidden { write: index });
        }
    }
    Ok(())
}

fn pending(indexer: &dyn Indexer, write: Write) -> Pending {
    match write {
        Write::Put { key, previous, method, body, stamp, entries } => {
            let index = terms::fields(indexer.parameters(), &entries);
            Pending { key, previous, method, body, stamp: Some(stamp), index }
        }
        Write::Delete { key, previous } => {
            let index = IndexFields::default();
            Pending { key, previous, method: Method::Delete, body: Vec::new(), stamp: None, index }
        }
    }
}

fn repeated(indexer: &dyn Indexer, version: Version) -> Result<Pending, StoreError> {
    let Version { key, version, method, body, .. } = version;
    let previous = version
        .checked_sub(1)
        .ok_or_else(|| StoreError::Damaged(format!("the journal has a version 0 of {}", key.as_str())))?;
    // A deletion, or erased.
    let index = match body.is_empty() {
        true => IndexFields::default(),
        false => terms::fields(indexer.parameters(), &entries(indexer, &key, &body)?),
    };
    Ok(Pending { key, previous, method, body: body.into(), stamp: None, index })
}

/// The entries of a stored body.
pub(super) fn entries(indexer: &dyn Indexer, key: &crate::Key, body: &[u8]) -> Result<Entries, StoreError> {
    let mut entries = Entries::new();
    indexer.entries(key.resource_type(), body, &mut entries).map_err(|error| {
        StoreError::Damaged(format!("the stored body of {} has no entries: {error}", key.as_str()))
    })?;
    Ok(entries)
}
