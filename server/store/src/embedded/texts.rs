//! Texts of resources: those that the index of texts is told of, and the hits that it gives as sets of ordinals. What was
//! committed after the index was last written is read and compared here, so that a search finds what its snapshot has.

use bytes::Bytes;
use heed::RoTxn;
use rustc_hash::{FxHashMap, FxHashSet};
use text::{Position, Snapshot, TextQuery, Texts};

use super::changes::Changes;
use super::forward::damaged;
use super::plan::Context;
use super::records::Records;
use super::set::Sets;
use crate::texts::{LATE, Latest, Resource};
use crate::{Filter, StoreError, units};

/// Most changes that a search reads itself: more than it waits for, since some may come in between.
const MOST: usize = 4 * LATE;

/// The index of texts, and what came later.
pub(crate) struct Late<'s> {
    index: &'s Snapshot,
    /// Each resource that has changed since, with its texts if it is not deleted.
    changed: Vec<(u32, Option<Texts>)>,
}

impl<'s> Late<'s> {
    /// Reads what came later.
    pub(super) fn new(
        txn: &RoTxn<'_>,
        changes: &Changes,
        records: &Records,
        index: &'s Snapshot,
    ) -> Result<Late<'s>, StoreError> {
        let mut seen = FxHashSet::default();
        let mut changed = Vec::new();
        for (read, item) in changes.later(txn, index.position().sequence)?.enumerate() {
            let (_, change) = item?;
            if read >= MOST {
                return Err(StoreError::TextBehind {
                    indexed: index.resources(),
                    resources: u64::from(change.ordinal),
                });
            }
            if seen.insert(change.ordinal) {
                let head = records.head_ref(txn, change.ordinal)?;
                let head = head.ok_or_else(|| damaged("a change of no resource"))?;
                let texts = (!head.is_deleted()).then(|| text::texts(head.body)).transpose();
                let texts = texts.map_err(|error| StoreError::Damaged(format!("{}: {error}", head.key)))?;
                changed.push((change.ordinal, texts));
            }
        }
        Ok(Late { index, changed })
    }
}

/// The resources that fulfil a query.
pub(super) fn found(context: &Context<'_>, query: &TextQuery) -> Result<Sets, StoreError> {
    let late = late(context)?;
    let mut ordinals = late.index.numbers(query)?;
    context.spend(ordinals.len() as u64)?;
    ordinals.sort_unstable();
    let mut sets = Sets::of_sorted(&ordinals);
    for (ordinal, texts) in &late.changed {
        sets.remove(*ordinal);
        if texts.as_ref().is_some_and(|texts| query.score_of(texts).is_some()) {
            sets.insert(*ordinal);
        }
    }
    units::charge(0.0, 0, || {
        format!("index of texts; {} resources that changed later were read beside it", late.changed.len())
    });
    Ok(sets)
}

/// How relevant the resources are that fulfil all queries of a filter, by ordinal. Of others it says nothing to go by.
pub(super) fn ranked(context: &Context<'_>, filter: &Filter) -> Result<FxHashMap<u32, f32>, StoreError> {
    let late = late(context)?;
    let mut each: FxHashMap<u32, Vec<f32>> = FxHashMap::default();
    for query in filter.texts() {
        for (ordinal, score) in late.index.scores(query)? {
            each.entry(ordinal).or_default().push(score);
        }
    }
    for (ordinal, texts) in &late.changed {
        let scores = texts
            .iter()
            .flat_map(|texts| filter.texts().into_iter().filter_map(|query| query.score_of(texts)));
        each.insert(*ordinal, scores.collect());
    }
    let together = |(ordinal, scores): (u32, Vec<f32>)| Some((ordinal, TextQuery::together(scores)?));
    Ok(each.into_iter().filter_map(together).collect())
}

fn late<'c>(context: &Context<'c>) -> Result<&'c Late<'c>, StoreError> {
    context.late.ok_or_else(|| StoreError::TooCostly("texts cannot be a condition of a write".to_owned()))
}

/// The resources whose current versions were committed after a commit, oldest first: whole commits until `limit` or more
/// changes were read.
pub(super) fn latest(
    txn: &RoTxn<'_>,
    changes: &Changes,
    records: &Records,
    after: u64,
    limit: usize,
) -> Result<Latest, StoreError> {
    let mut latest = Latest::default();
    for item in changes.later(txn, after)? {
        let (position, change) = item?;
        if latest.read >= limit && position.sequence != latest.position.sequence {
            break;
        }
        latest.position = Position { sequence: position.sequence, mark: change.last_updated.0 };
        latest.read += 1;
        let head =
            records.head_ref(txn, change.ordinal)?.ok_or_else(|| damaged("a change of no resource"))?;
        // What was replaced since comes again, with the change that replaced it.
        if head.version == change.version {
            let body = (!head.is_deleted()).then(|| Bytes::copy_from_slice(head.body));
            latest.resources.push(Resource { key: head.key.into(), number: change.ordinal, body });
        }
    }
    Ok(latest)
}
