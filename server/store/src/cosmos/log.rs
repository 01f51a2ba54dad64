//! The log of a tenant: reads its records into the tail, and appends to it. Decides nothing about what is
//! appended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::container::{Container, Item, Scope, Sql, Written};
use super::record::{Record, place};
use super::tail::{Snapshot, Tail};
use super::timings::Timings;
use crate::StoreError;

/// Records read one by one before the rest of a segment is queried.
const ONE_BY_ONE: usize = 3;

/// Between two questions whether an append happened; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Most between two questions.
const MOST_PAUSE: Duration = Duration::from_millis(500);

/// The log of one tenant.
pub(super) struct Log {
    tenant: String,
    container: Container,
    timings: Timings,
    tail: Arc<RwLock<Tail>>,
    refreshing: tokio::sync::Mutex<()>,
    /// Refreshes begun, and which of them was the last to succeed.
    begun: AtomicU64,
    succeeded: AtomicU64,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appended {
    /// The record stands at its slot.
    Yes,
    /// Another record does.
    Taken,
}

impl Log {
    pub(super) fn new(tenant: &str, container: Container, timings: Timings, tail: Tail) -> Log {
        Log {
            tenant: tenant.to_owned(),
            container,
            timings,
            tail: Arc::new(RwLock::new(tail)),
            refreshing: tokio::sync::Mutex::new(()),
            begun: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
        }
    }

    /// The state as it is known now; costs nothing.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.tail)
    }

    /// The tail.
    pub(super) fn tail(&self) -> RwLockReadGuard<'_, Tail> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tail, to be changed.
    pub(super) fn tail_mut(&self) -> RwLockWriteGuard<'_, Tail> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the log has got since; the state with all that was appended before the call. Calls at one time
    /// share their reads.
    pub(super) async fn refresh(&self) -> Result<Snapshot, StoreError> {
        let asked = self.begun.load(Ordering::Acquire);
        let _refreshing = self.refreshing.lock().await;
        if self.succeeded.load(Ordering::Acquire) > asked {
            return Ok(self.snapshot());
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        self.catch_up().await?;
        self.succeeded.store(number, Ordering::Release);
        Ok(self.snapshot())
    }

    async fn catch_up(&self) -> Result<(), StoreError> {
        for one in 0.. {
            let next = self.tail().now().slot + 1;
            match self.record(next).await? {
                Some(record) => self.absorb(record)?,
                None => break,
            }
            if one % ONE_BY_ONE == ONE_BY_ONE - 1 {
                self.segment().await?;
            }
        }
        Ok(())
    }

    /// The rest of the segment that the next slot is in.
    async fn segment(&self) -> Result<(), StoreError> {
        let (place, id) = place(&self.tenant, self.tail().now().slot + 1);
        let text = "SELECT * FROM c WHERE c.id >= @id ORDER BY c.id ASC".to_owned();
        let sql = Sql { text, parameters: vec![("@id".to_owned(), id.into())] };
        let mut failed = Ok(());
        self.container
            .query::<Record>(&Scope::One(place), &sql, |records| {
                failed = records.into_iter().try_for_each(|record| self.absorb(record));
                failed.is_ok()
            })
            .await?;
        failed
    }

    fn absorb(&self, record: Record) -> Result<(), StoreError> {
        // Whoever knows the record finds the documents it is about.
        if let Some(token) = &record.st {
            self.container.learn(token);
        }
        self.tail_mut().absorb(Arc::new(record))
    }

    /// The record at a slot.
    pub(super) async fn record(&self, slot: u64) -> Result<Option<Record>, StoreError> {
        let (place, id) = place(&self.tenant, slot);
        Ok(self.container.read::<Record>(&place, &id).await?.map(|Item { document, .. }| document))
    }

    /// Appends a record at the slot after `after`, the last that its writer knows; absorbs it if it stands there.
    /// Where the service does not say whether it does, it is asked until it says so.
    ///
    /// # Errors
    /// [`StoreError::Unsettled`] if it did not say so in time. Every other error means that the record does not
    /// stand there, nor will.
    pub(super) async fn append(&self, record: &Record, after: u64) -> Result<Appended, StoreError> {
        let slot = after + 1;
        let record = record.clone().at(&self.tenant, slot);
        let (place, id) = place(&self.tenant, slot);
        let until = Instant::now() + self.timings.settle;
        let mut pause = FIRST_PAUSE;
        let mut unsettled = false;
        loop {
            let failure = match self.container.create(&place, &id, &record).await {
                Ok(Written::Yes(_)) => break,
                // What stands there may be what an earlier attempt wrote.
                Ok(Written::No) => match self.record(slot).await {
                    Ok(Some(found)) if found.t == record.t => break,
                    Ok(Some(_)) => return Ok(Appended::Taken),
                    Ok(None) => StoreError::Unsettled(format!("slot {slot} of the log is not there yet")),
                    Err(error) => StoreError::Unsettled(error.to_string()),
                },
                Err(error) => error,
            };
            unsettled |= matches!(failure, StoreError::Unsettled(_));
            let again = unsettled || matches!(failure, StoreError::Throttled { .. });
            if !again || Instant::now() + pause > until {
                let lost = unsettled && !matches!(failure, StoreError::Unsettled(_));
                return Err(if lost { StoreError::Unsettled(failure.to_string()) } else { failure });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MOST_PAUSE);
        }
        self.absorb(record)?;
        Ok(Appended::Yes)
    }
}
