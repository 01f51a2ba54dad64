//! Reads single resources as they are committed. Each read sees all that was committed before it.

use super::container::Item;
use super::document::{CURRENT, Document, superseded};
use super::search;
use super::shard::Shard;
use super::tail::Seen;
use crate::{Access, Filter, Key, StoreError, Version};

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

/// Whether a caller may see a resource: if its current version fulfils the access filter. Under a filter other than
/// all, a deleted resource is not to be seen.
pub(super) async fn visible(shard: &Shard, access: &Access, key: &Key) -> Result<bool, StoreError> {
    match access.filter(key.resource_type()) {
        Filter::All => Ok(true),
        Filter::None => Ok(false),
        _ => {
            let this = Filter::Ids(vec![key.id().into()]);
            search::any_match(shard, &shard.snapshot(), access, key.resource_type(), &this).await
        }
    }
}

/// A read: <https://hl7.org/fhir/R4/http.html#read>.
pub(super) async fn read(shard: &Shard, access: &Access, key: &Key) -> Result<Option<Version>, StoreError> {
    let Some(document) = current(shard, key).await? else { return Ok(None) };
    if !visible(shard, access, key).await? {
        return Ok(None);
    }
    shard.version(&document).await.map(Some)
}

/// A read of one version: <https://hl7.org/fhir/R4/http.html#vread>.
pub(super) async fn vread(
    shard: &Shard,
    access: &Access,
    key: &Key,
    number: u64,
) -> Result<Option<Version>, StoreError> {
    let Some(document) = version(shard, key, number).await? else { return Ok(None) };
    if !visible(shard, access, key).await? {
        return Ok(None);
    }
    shard.version(&document).await.map(Some)
}
