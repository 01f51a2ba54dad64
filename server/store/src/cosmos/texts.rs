//! Texts of resources: those that the index of texts is told of, and the keys that it gives for a search. What was committed
//! after the index was last written is among these keys as well; each resource found is asked again, by its body.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use rustc_hash::FxHashMap;
use text::{Position, Snapshot, TextQuery};

use super::plan::Keys;
use super::shard::Shard;
use super::{history, read};
use crate::texts::{LATE, Latest, Resource};
use crate::{Access, Key, StoreError, units};

/// Most resources that the index may find: each is read.
const MOST: usize = 5_000;
/// Most changes that a search takes along: more than it waits for, since some may come in between.
const MOST_LATE: usize = 4 * LATE;
/// Resources read at a time.
const AT_ONCE: usize = 16;

/// What may fulfil a query: more than does, never less.
pub(super) async fn found(
    shard: &Shard,
    index: Option<&Snapshot>,
    resource_type: Option<&str>,
    query: &TextQuery,
) -> Result<Keys, StoreError> {
    let index =
        index.ok_or_else(|| StoreError::TooCostly("texts cannot be a condition of a write".to_owned()))?;
    let hits = index.keys(query, resource_type, MOST)?;
    let changes =
        history::changes(shard, &Access::unrestricted(), index.position().sequence, MOST_LATE).await?;
    if changes.len() >= MOST_LATE {
        let resources = shard.snapshot().sum().counts.values().map(|count| count.current).sum();
        return Err(StoreError::TextBehind { indexed: index.resources(), resources });
    }
    units::charge(0.0, 0, || format!("index of texts; {} changes came later", changes.len()));
    let of_type = |key: &&Key| resource_type.is_none_or(|name| name == key.resource_type());
    let later = changes.iter().map(|change| &change.key).filter(of_type).map(|key| Box::from(key.as_str()));
    Ok(Arc::new(hits.into_iter().map(Box::from).chain(later).collect()))
}

/// The resources changed after a commit as they are now: of whole commits until `limit` or more changes were read.
pub(super) async fn latest(shard: &Shard, after: u64, limit: usize) -> Result<Latest, StoreError> {
    let changes = history::changes(shard, &Access::unrestricted(), after, limit).await?;
    let mut latest = Latest { read: changes.len(), ..Latest::default() };
    let mut keys = FxHashMap::default();
    for change in changes {
        latest.position = Position { sequence: change.sequence, mark: change.last_updated.0 };
        keys.insert(change.key, ());
    }
    let each = stream::iter(keys.into_keys().map(|key| current(shard, key))).buffer_unordered(AT_ONCE);
    latest.resources = each.try_collect().await?;
    Ok(latest)
}

async fn current(shard: &Shard, key: Key) -> Result<Resource, StoreError> {
    let version = match read::current(shard, &key).await? {
        Some(document) => Some(shard.version(&document).await?).filter(|version| !version.is_deleted()),
        None => None,
    };
    Ok(Resource { key: key.as_str().into(), number: 0, body: version.map(|version| version.body) })
}
