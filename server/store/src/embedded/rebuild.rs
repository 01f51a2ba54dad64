//! Builds the index anew from the current versions, when it holds another indexer's entries. It goes in
//! steps, each a transaction that also says how far it is: a rebuild that was interrupted goes on from there. The tenant's own
//! parameters are not in it; they are indexed again while the tenant is served.

use std::ops::Bound;

use heed::{Env, WithoutTls};

use super::environment::Databases;
use super::meta::Rebuilding;
use super::postings::Pending;
use super::records::{RecordRef, ordinal_of, stored_key};
use super::writer::entries_of;
use crate::{Indexer, StoreError};

/// Most resources of one step.
const STEP_RESOURCES: usize = 16_384;

/// Most bytes of bodies of one step.
const STEP_BYTES: usize = 64 << 20;

/// Rebuilds the index if it is not the indexer's.
pub(super) fn if_needed(
    env: &Env<WithoutTls>,
    databases: &Databases,
    indexer: &dyn Indexer,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(), StoreError> {
    let fingerprint = indexer.fingerprint();
    let txn = env.read_txn()?;
    let current = databases.meta.fingerprint(&txn)?;
    let mark = databases.meta.rebuilding(&txn)?.filter(|mark| mark.fingerprint == fingerprint);
    drop(txn);
    if current == Some(fingerprint) {
        return Ok(());
    }
    let mark = match mark {
        Some(mark) => mark,
        None => begin(env, databases, fingerprint)?,
    };
    finish(env, databases, indexer, mark, progress)
}

/// Rebuilds the index whatever it holds.
pub(super) fn anew(
    env: &Env<WithoutTls>,
    databases: &Databases,
    indexer: &dyn Indexer,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(), StoreError> {
    let mark = begin(env, databases, indexer.fingerprint())?;
    finish(env, databases, indexer, mark, progress)
}

fn finish(
    env: &Env<WithoutTls>,
    databases: &Databases,
    indexer: &dyn Indexer,
    mut mark: Rebuilding,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(), StoreError> {
    let total = databases.records.heads.len(&*env.read_txn()?)?;
    progress(mark.next.into(), total);
    while let Some(next) = step(env, databases, indexer, mark)? {
        mark = next;
        progress(mark.next.into(), total);
    }
    progress(total, total);
    Ok(())
}

fn begin(env: &Env<WithoutTls>, databases: &Databases, fingerprint: u64) -> Result<Rebuilding, StoreError> {
    let mark = Rebuilding { fingerprint, next: 0 };
    let mut txn = env.write_txn()?;
    databases.index.clear(&mut txn)?;
    databases.meta.forget_own(&mut txn)?;
    databases.meta.set_rebuilding(&mut txn, mark)?;
    txn.commit()?;
    Ok(mark)
}

/// Does some resources; the mark after them, or `None` when all are done.
fn step(
    env: &Env<WithoutTls>,
    databases: &Databases,
    indexer: &dyn Indexer,
    mark: Rebuilding,
) -> Result<Option<Rebuilding>, StoreError> {
    let mut txn = env.write_txn()?;
    let mut pending = Pending::new();
    let (mut resources, mut bytes, mut next) = (0, 0, None);
    let first = mark.next.to_be_bytes();
    let range = (Bound::Included(first.as_slice()), Bound::Unbounded);
    for item in databases.records.heads.range(&txn, &range)? {
        let (ordinal, record) = item?;
        let (ordinal, record) = (ordinal_of(ordinal)?, RecordRef::decode(record)?);
        if resources == STEP_RESOURCES || bytes >= STEP_BYTES {
            next = Some(Rebuilding { next: ordinal, ..mark });
            break;
        }
        resources += 1;
        bytes += record.body.len();
        if !record.is_deleted() {
            let key = stored_key(record.key)?;
            let entries = entries_of(indexer, &key, record.body)?;
            pending.add(ordinal, &key, record.last_updated, &entries);
        }
    }
    pending.flush(&mut txn, &databases.index)?;
    match next {
        Some(mark) => databases.meta.set_rebuilding(&mut txn, mark)?,
        None => databases.meta.set_fingerprint(&mut txn, mark.fingerprint)?,
    }
    txn.commit()?;
    Ok(next)
}
