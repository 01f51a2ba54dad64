//! Reads single resources as they are committed. Each read sees all that was committed before it.

use super::container::Item;
use super::document::{CURRENT, Document, superseded};
use super::intake;
use super::plan::Resource;
use super::search;
use super::shard::Shard;
use super::tail::Seen;
use crate::{Access, Entries, Filter, Key, StoreError, Timestamp, Version};

/// Rounds of one read; each is spoilt only by a transaction that was taken back in between.
const ROUNDS: usize = 16;

/// What is known of a document's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is committed.
    Committed,
    /// It will never be.
    Never,
    /// Neither is decided yet.
    Open,
}

/// What became of the transaction that wrote a document. Asks the log where that is not known.
pub(super) async fn fate(shard: &Shard, document: &Document) -> Result<Fate, StoreError> {
    let mark = document.mark();
    // Asked of what is known at this moment: to a snapshot, what was committed since would be as if it never were.
    let mut seen = shard.log.tail().knows(&mark);
    if seen == Seen::Unknown {
        shard.refresh().await?;
        seen = shard.log.tail().knows(&mark);
    }
    Ok(match seen {
        Seen::Yes => Fate::Committed,
        Seen::No => Fate::Never,
        Seen::Unknown => Fate::Open,
    })
}

/// The document of a resource's current version, a deletion included. 1 RU, but where another process is writing it.
pub(super) async fn current(shard: &Shard, key: &Key) -> Result<Option<Document>, StoreError> {
    let place = shard.place(key);
    for _ in 0..ROUNDS {
        let Some(Item { document, .. }) = shard.container.read::<Document>(&place, CURRENT).await? else {
            return Ok(None);
        };
        if fate(shard, &document).await? == Fate::Committed {
            return Ok(Some(document));
        }
        if document.v == 1 {
            return Ok(None);
        }
        let older = shard.container.read::<Document>(&place, &superseded(document.v - 1)).await?;
        if let Some(Item { document, .. }) = older {
            return Ok(Some(document));
        }
    }
    Err(unsteady(key))
}

/// The document of one version.
pub(super) async fn version(shard: &Shard, key: &Key, number: u64) -> Result<Option<Document>, StoreError> {
    let place = shard.place(key);
    for _ in 0..ROUNDS {
        let Some(current) = current(shard, key).await? else { return Ok(None) };
        if current.v == number {
            return Ok(Some(current));
        }
        if number == 0 || current.v < number {
            return Ok(None);
        }
        if let Some(older) = shard.container.read::<Document>(&place, &superseded(number)).await? {
            return Ok(Some(older.document));
        }
    }
    Err(unsteady(key))
}

fn unsteady(key: &Key) -> StoreError {
    StoreError::Unavailable(format!("{} changes faster than it can be read", key.as_str()))
}

/// Whether a version fulfils a rule of the access decision. Under one other than all, a deletion is not to be seen.
pub(super) async fn fulfils(
    shard: &Shard,
    rule: &Filter,
    document: &Document,
    version: Option<&Version>,
) -> Result<bool, StoreError> {
    if *rule == Filter::All {
        return Ok(true);
    }
    if *rule == Filter::None || document.is_deleted() {
        return Ok(false);
    }
    let key = document.key();
    let mut entries = Entries::new();
    if !matches!(rule, Filter::Ids(_)) {
        let body = match version {
            Some(version) => version.body.clone(),
            None => shard.version(document).await?.body,
        };
        entries = intake::entries(&*shard.indexer, &key, &body)?;
    }
    // Rules ask of no texts.
    let resource = Resource { key: &key, last_updated: Timestamp(document.lu), entries: &entries, body: &[] };
    search::fulfils(shard, &shard.snapshot(), rule, &resource).await
}

/// Whether the current version of a resource is there and fulfils a rule of the access decision.
pub(super) async fn visible(shard: &Shard, rule: &Filter, key: &Key) -> Result<bool, StoreError> {
    match current(shard, key).await? {
        Some(document) => fulfils(shard, rule, &document, None).await,
        None => Ok(false),
    }
}

/// A read: <https://hl7.org/fhir/R4/http.html#read>.
pub(super) async fn read(shard: &Shard, access: &Access, key: &Key) -> Result<Option<Version>, StoreError> {
    let Some(document) = current(shard, key).await? else { return Ok(None) };
    let version = shard.version(&document).await?;
    let rule = access.looked_at(key.resource_type());
    Ok(fulfils(shard, rule, &document, Some(&version)).await?.then_some(version))
}

/// A read of one version: <https://hl7.org/fhir/R4/http.html#vread>.
pub(super) async fn vread(
    shard: &Shard,
    access: &Access,
    key: &Key,
    number: u64,
) -> Result<Option<Version>, StoreError> {
    let Some(document) = version(shard, key, number).await? else { return Ok(None) };
    let version = shard.version(&document).await?;
    let rule = access.looked_at(key.resource_type());
    // Where the rule is none that all fulfil, the current version decides as well.
    let seen = *rule == Filter::All
        || fulfils(shard, rule, &document, Some(&version)).await? && visible(shard, rule, key).await?;
    Ok(seen.then_some(version))
}
