//! Takes the bodies off superseded versions, for good. Commits nothing: the log stays as it is. Each document is replaced by
//! itself, so what was interrupted is gone on with by asking again.

use std::sync::atomic::Ordering;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use super::container::{Item, Scope, Sql, Written};
use super::document::{Document, superseded};
use super::shard::Shard;
use super::{meta, read};
use crate::{Erasure, Key, StoreError};

/// Documents worked on at a time.
const AT_A_TIME: usize = 16;

/// Rounds of replacing one document; each is spoilt only by the sweep, or another process that erases it.
const ROUNDS: usize = 16;

/// Erases what it can; how many versions had content.
pub(super) async fn erase(shard: &Shard, erasures: &[Erasure]) -> Result<u64, StoreError> {
    shard.refresh().await?;
    shard.writable()?;
    if !shard.has_erased() {
        meta::set_erased(&shard.container, &shard.tenant).await?;
        shard.erased.store(true, Ordering::Release);
    }
    let found: Vec<_> = erasures.iter().map(|erasure| to_erase(shard, erasure).boxed()).collect();
    let found: Vec<Vec<(Key, u64)>> = stream::iter(found).buffer_unordered(AT_A_TIME).try_collect().await?;
    let each: Vec<_> =
        found.into_iter().flatten().map(|(key, version)| one(shard, key, version).boxed()).collect();
    let done: Vec<bool> = stream::iter(each).buffer_unordered(AT_A_TIME).try_collect().await?;
    Ok(done.into_iter().map(u64::from).sum())
}

/// The versions that an erasure takes of its resource: what is superseded by what is committed stays so.
async fn to_erase(shard: &Shard, erasure: &Erasure) -> Result<Vec<(Key, u64)>, StoreError> {
    #[derive(serde::Deserialize)]
    struct Row {
        v: u64,
        #[serde(default)]
        g: Option<u8>,
    }
    let Some(current) = read::current(shard, &erasure.key).await? else { return Ok(Vec::new()) };
    let text = "SELECT c.v, c.g FROM c WHERE c.v < @current".to_owned();
    let sql = Sql { text, parameters: vec![("@current".to_owned(), current.v.into())] };
    let mut found = Vec::new();
    shard
        .container
        .query::<Row>(&Scope::One(shard.place(&erasure.key)), &sql, |rows| {
            let taken = rows.iter().filter(|row| row.g != Some(1) && erasure.takes(row.v, current.v));
            found.extend(taken.map(|row| (erasure.key.clone(), row.v)));
            true
        })
        .await?;
    Ok(found)
}

/// Erases one version; whether it had content.
async fn one(shard: &Shard, key: Key, version: u64) -> Result<bool, StoreError> {
    let (place, id) = (shard.place(&key), superseded(version));
    for _ in 0..ROUNDS {
        let Some(Item { document, etag }) = shard.container.read::<Document>(&place, &id).await? else {
            return Ok(false);
        };
        if document.is_deleted() {
            return Ok(false);
        }
        // The blob first: nothing would name it afterwards.
        if let Some(text) = &document.z {
            shard.codec.remove(&key, version, text, document.e.as_deref()).await?;
        }
        if shard.container.replace(&place, &id, &document.erased(), &etag).await? != Written::No {
            return Ok(true);
        }
    }
    Err(StoreError::Unavailable(format!("others are at the same version of {}", key.as_str())))
}
