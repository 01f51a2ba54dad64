//! Stages writes into the documents of their resources, and takes them back. A staged version is seen by nobody
//! until the log has its transaction. Decides nothing about what enters the log.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::container::{Container, Item, Operation, Place, Written};
use super::document::{CURRENT, Document, ERASED, IndexFields, method_name, superseded};
use super::read::{self, Fate};
use super::settle::{Held, Settled};
use super::shard::Shard;
use super::transaction::TransactionId;
use crate::{Access, Key, Method, StoreError, Timestamp};

/// A write on its way: what does not change when it is staged again.
pub(super) struct Pending {
    pub key: Key,
    /// The version it follows.
    pub previous: u64,
    pub method: Method,
    /// With the time of the latest attempt; empty for a deletion.
    pub body: Vec<u8>,
    /// Where the time stands in the body; `None` where the body has its time already.
    pub stamp: Option<usize>,
    pub index: IndexFields,
}

/// One attempt to commit a group.
pub(super) struct Attempt {
    pub transaction: TransactionId,
    pub last_updated: Timestamp,
    /// What staging writes through: it tells afterwards how far the partitions must be seen.
    pub container: Container,
    /// Set when the service did not say whether a write happened: it may happen yet, so what was staged
    /// cannot be taken back for sure while the transaction may still be committed.
    pub uncertain: AtomicBool,
}

/// What became of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Staged {
    /// It is staged; by how much the number of current resources changes with it.
    Yes(i8),
    /// This version is current, not the one it follows.
    Conflict(u64),
    /// The access decision does not permit to change what is current.
    Forbidden,
    /// To be tried again in another transaction; where an earlier one holds a place, after that is free.
    Again(Option<Held>),
}

/// Stages a write as the one with this index in its transaction.
///
/// # Errors
/// The store failed; the document may have been staged all the same if the attempt is marked uncertain.
pub(super) async fn stage(
    shard: &Shard,
    attempt: &Attempt,
    access: &Access,
    write: &Pending,
    index: usize,
) -> Result<Staged, StoreError> {
    let place = shard.place(&write.key);
    let order = attempt.transaction.order(index);
    let mut document = document(shard, attempt, write, order).await?;
    // Until when it is tried again where an answer was lost, or reads do not show yet what was written.
    let until = Instant::now() + shard.timings.settle;
    // Whether the version it follows is there to be found; known when that was read.
    let mut replaces = false;
    loop {
        if write.previous == 0 {
            let answer = attempt.container.create(&place, CURRENT, &document).await;
            if let Some(Written::Yes(_)) = asked(attempt, answer, until)? {
                return Ok(Staged::Yes(delta(write, false)));
            }
        }
        let Some(current) = shard.container.read::<Document>(&place, CURRENT).await? else {
            if write.previous > 0 {
                return Ok(Staged::Conflict(0));
            }
            if Instant::now() > until {
                let why = format!("{} is neither there nor to be made", write.key.as_str());
                return Err(StoreError::Unavailable(why));
            }
            continue;
        };
        if current.document.o == document.o {
            return Ok(Staged::Yes(delta(write, replaces)));
        }
        match meet(shard, attempt, &place, &current.document).await? {
            Met::Committed => {}
            Met::Gone => continue,
            Met::Earlier(held) => return Ok(Staged::Again(Some(held))),
        }
        if current.document.v != write.previous {
            return Ok(Staged::Conflict(current.document.v));
        }
        let rule = access.filter(write.method.permission(), write.key.resource_type());
        if !read::fulfils(shard, rule, &current.document, None).await? {
            return Ok(Staged::Forbidden);
        }
        if current.document.lu > attempt.last_updated.0 {
            return Ok(Staged::Again(None));
        }
        replaces = !current.document.is_deleted();
        document.b.clone_from(&current.document.b);
        if asked(attempt, replace(attempt, &place, &current, &document).await, until)? == Some(true) {
            return Ok(Staged::Yes(delta(write, replaces)));
        }
    }
}

/// The answer of a write, or `None` where it was lost: then the document must be read again.
fn asked<T>(
    attempt: &Attempt,
    answer: Result<T, StoreError>,
    until: Instant,
) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(StoreError::Unsettled(why)) => {
            attempt.uncertain.store(true, Ordering::Release);
            if Instant::now() > until { Err(StoreError::Unavailable(why)) } else { Ok(None) }
        }
        Err(error) => Err(error),
    }
}

async fn replace(
    attempt: &Attempt,
    place: &Place,
    current: &Item<Document>,
    document: &Document,
) -> Result<bool, StoreError> {
    let older = current.document.superseded_by(&attempt.transaction, attempt.last_updated.0);
    let operations = [
        Operation::Create(&older),
        Operation::Replace { id: CURRENT.to_owned(), document, etag: current.etag.clone() },
    ];
    attempt.container.batch(place, &operations).await
}

async fn document(
    shard: &Shard,
    attempt: &Attempt,
    write: &Pending,
    order: String,
) -> Result<Document, StoreError> {
    let version = write.previous + 1;
    let mut document = Document {
        id: CURRENT.to_owned(),
        tn: shard.tenant.as_str().to_owned(),
        ty: write.key.resource_type().to_owned(),
        rid: write.key.id().to_owned(),
        v: version,
        m: method_name(write.method).to_owned(),
        lu: attempt.last_updated.0,
        b: order.clone(),
        o: order,
        to: None,
        te: None,
        d: None,
        g: None,
        l: None,
        index: IndexFields::default(),
        z: None,
        e: None,
        ts: None,
    };
    if write.method != Method::Delete && write.body.is_empty() {
        document.g = Some(1);
        document.index.x.push(ERASED.to_owned());
    } else if write.method != Method::Delete {
        document.l = Some(1);
        document.index = write.index.clone();
        shard.encode(&mut document, &write.body).await?;
    }
    Ok(document)
}

fn delta(write: &Pending, replaces: bool) -> i8 {
    // A deletion has no body, and of another store's commits none that was erased there.
    match (replaces, write.body.is_empty()) {
        (false, true) | (true, false) => 0,
        (false, false) => 1,
        (true, true) => -1,
    }
}

/// What a write finds where its resource is.
enum Met {
    /// A committed version.
    Committed,
    /// One that was not and never will be; it was taken away.
    Gone,
    /// One of a transaction that began before this one and is not decided.
    Earlier(Held),
}

/// Has the fate of a document decided. Of two transactions that meet, the later steps back and the earlier waits:
/// so two that write the same resources in another order never wait for each other.
async fn meet(
    shard: &Shard,
    attempt: &Attempt,
    place: &Place,
    document: &Document,
) -> Result<Met, StoreError> {
    let held = Held { place: place.clone(), by: document.transaction()? };
    let mut free = false;
    match read::fate(shard, document).await? {
        Fate::Committed => return Ok(Met::Committed),
        Fate::Open if held.by < attempt.transaction => return Ok(Met::Earlier(held)),
        Fate::Open => free = shard.settle(&held, Some(&attempt.transaction)).await? == Settled::Free,
        Fate::Never => {}
    }
    match read::fate(shard, document).await? {
        Fate::Committed => Ok(Met::Committed),
        Fate::Open if free => Ok(Met::Gone),
        // Its own transaction was killed meanwhile: step back.
        Fate::Open => Ok(Met::Earlier(held)),
        Fate::Never => {
            unstage(shard, place, &held.by).await?;
            Ok(Met::Gone)
        }
    }
}

/// Rounds of taking one document back; each is spoilt only by another process that does the same.
const ROUNDS: usize = 8;

/// Takes back what a transaction that will never be committed staged at a place: the version before is current
/// again, or there is no resource.
///
/// # Errors
/// The store failed; the document may still be there.
pub(super) async fn unstage(
    shard: &Shard,
    place: &Place,
    transaction: &TransactionId,
) -> Result<(), StoreError> {
    let mut lost = None;
    for _ in 0..ROUNDS {
        let Some(current) = shard.container.read::<Document>(place, CURRENT).await? else { return Ok(()) };
        if current.document.transaction()? != *transaction {
            return Ok(());
        }
        match take_back(shard, place, &current).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(StoreError::Unsettled(why)) => lost = Some(why),
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Unavailable(lost.unwrap_or_else(|| "others are at the same document".to_owned())))
}

async fn take_back(shard: &Shard, place: &Place, current: &Item<Document>) -> Result<bool, StoreError> {
    if current.document.v == 1 {
        let deleted = shard.container.delete(place, CURRENT, &current.etag).await?;
        return Ok(deleted != Written::No);
    }
    let id = superseded(current.document.v - 1);
    let Some(older) = shard.container.read::<Document>(place, &id).await? else { return Ok(false) };
    let restored = older.document.restored();
    let operations = [
        Operation::Replace { id: CURRENT.to_owned(), document: &restored, etag: current.etag.clone() },
        Operation::Delete { id },
    ];
    shard.container.batch(place, &operations).await
}
