//! Cleans up, beside the commits: takes back what dead processes staged, sums up the log, and takes the index fields off
//! superseded versions that no search can need any more. Each process does it; what another did already, it finds done.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde::Deserialize;

use super::container::{Item, Place, Scope, Sql};
use super::document::{Document, Mark};
use super::meta;
use super::shard::Shard;
use super::stage;
use super::tail::Seen;
use super::timings::ms;
use super::transaction::{TransactionId, order_after};
use crate::StoreError;

/// Documents worked on at a time.
const AT_A_TIME: usize = 16;

/// Sweeps again and again until the tenant is closed.
pub(super) async fn run(held: Weak<Shard>) {
    while let Some(shard) = held.upgrade() {
        let pause = shard.timings.sweep;
        if let Err(error) = once(&shard).await {
            tracing::warn!(tenant = shard.tenant.as_str(), %error, "a sweep failed; the next one does its work");
        }
        drop(shard);
        tokio::time::sleep(pause).await;
    }
}

/// One sweep.
pub(super) async fn once(shard: &Arc<Shard>) -> Result<(), StoreError> {
    decide(shard).await?;
    strip(shard).await
}

/// A document as the sweep's queries tell of it.
#[derive(Debug, Deserialize)]
struct Found {
    id: String,
    ty: String,
    rid: String,
    #[serde(flatten)]
    mark: Mark,
}

impl Found {
    fn place(&self, shard: &Shard) -> Place {
        Place { tenant: shard.tenant.as_str().to_owned(), ty: self.ty.clone(), rid: self.rid.clone() }
    }
}

async fn find(
    shard: &Shard,
    condition: &str,
    parameters: Vec<(String, serde_json::Value)>,
) -> Result<Vec<Found>, StoreError> {
    let text = format!("SELECT c.id, c.ty, c.rid, {} FROM c WHERE {condition}", Mark::FIELDS);
    let mut found = Vec::new();
    let sql = Sql { text, parameters };
    let scope = Scope::Tenant(shard.tenant.as_str().to_owned());
    shard
        .container
        .query::<Found>(&scope, &sql, |page| {
            found.extend(page);
            true
        })
        .await?;
    Ok(found)
}

/// Has all transactions decided that began so long ago that none of them can still enter the log, and sums up.
async fn decide(shard: &Shard) -> Result<(), StoreError> {
    let Some(Item { document: known, etag }) = meta::read(&shard.container, &shard.tenant).await? else {
        return Err(StoreError::Damaged("the tenant's meta document is gone".to_owned()));
    };
    shard.erased.fetch_or(known.has_erased(), Ordering::AcqRel);
    let now = shard.now_ms();
    let until = now.saturating_sub(ms(shard.timings.grace));
    // What was appended before the meta document said so must be absorbed before it is believed.
    shard.refresh().await?;
    shard.log.tail_mut().decide(known.decided());
    if until < known.decided().saturating_add(ms(shard.timings.sweep) / 2) {
        return Ok(());
    }
    discard(shard, known.decided(), until).await?;
    let sum = {
        let mut tail = shard.log.tail_mut();
        tail.decide(until);
        let (sum, _) = tail.base();
        sum.clone()
    };
    let meta = known.with_base(&sum, until, now);
    if meta::replace(&shard.container, &shard.tenant, &meta, &etag).await?
        && let Some(item) = meta::read(&shard.container, &shard.tenant).await?
    {
        shard.compare_clocks(&item.document);
    }
    Ok(())
}

/// Kills and takes back all that was staged in a span of time and is not committed.
async fn discard(shard: &Shard, after: i64, until: i64) -> Result<(), StoreError> {
    let parameters = vec![
        ("@after".to_owned(), order_after(after).into()),
        ("@until".to_owned(), order_after(until).into()),
    ];
    let staged = find(shard, "c.o > @after AND c.o < @until AND NOT IS_DEFINED(c.to)", parameters).await?;
    let left: Vec<(Found, TransactionId)> = staged
        .into_iter()
        .filter(|found| shard.log.tail().knows(&found.mark) != Seen::Yes)
        .filter_map(|found| TransactionId::of(&found.mark.o).map(|transaction| (found, transaction)))
        .collect();
    if left.is_empty() {
        return Ok(());
    }
    let mut open: Vec<TransactionId> = left.iter().map(|(_, transaction)| transaction.clone()).collect();
    open.sort_unstable();
    open.dedup();
    shard.kill(&open).await?;
    tracing::info!(
        tenant = shard.tenant.as_str(),
        documents = left.len(),
        "what a process left staged is taken back"
    );
    let mut tasks = Vec::new();
    for (found, transaction) in left {
        let known = shard.log.tail().knows(&found.mark);
        if known == Seen::No {
            let place = found.place(shard);
            tasks.push(async move { stage::unstage(shard, &place, &transaction).await }.boxed());
        }
    }
    all(tasks).await
}

async fn all(tasks: Vec<BoxFuture<'_, Result<(), StoreError>>>) -> Result<(), StoreError> {
    let done: Vec<_> = stream::iter(tasks).buffer_unordered(AT_A_TIME).collect().await;
    done.into_iter().collect()
}

/// Takes the index fields off versions that were superseded so long ago that no search still runs that can see them.
async fn strip(shard: &Shard) -> Result<(), StoreError> {
    let until = shard.now_ms().saturating_sub(ms(shard.timings.snapshot_life));
    let parameters = vec![("@until".to_owned(), until.into())];
    let old = find(shard, "c.l = 1 AND c.te < @until", parameters).await?;
    let snapshot = shard.snapshot();
    let mut tasks = Vec::new();
    for found in old {
        if snapshot.superseded(&found.mark) == Seen::Yes {
            tasks.push(strip_one(shard, found.place(shard), found.id).boxed());
        }
    }
    all(tasks).await
}

async fn strip_one(shard: &Shard, place: Place, id: String) -> Result<(), StoreError> {
    let Some(Item { document, etag }) = shard.container.read::<Document>(&place, &id).await? else {
        return Ok(());
    };
    // Another process that was quicker did the same.
    shard.container.replace(&place, &id, &document.stripped(), &etag).await.map(drop)
}
