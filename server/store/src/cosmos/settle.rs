//! Frees places that transactions of others hold: waits a while until those are decided or step back, then kills them in
//! the log. Whoever comes first in the log wins: a killed transaction is never committed, a committed one never killed.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::container::{Item, Place};
use super::document::{CURRENT, Document};
use super::log::Appended;
use super::record::{Kind, Record};
use super::shard::Shard;
use super::timings::ms;
use super::transaction::TransactionId;
use crate::StoreError;

/// Between two looks at the log; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Most between two looks.
const MOST_PAUSE: Duration = Duration::from_millis(100);

/// A resource whose current document another transaction staged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub place: Place,
    pub by: TransactionId,
}

/// How a wait for a held place ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// The transaction is decided.
    Decided,
    /// It is not, but what it staged there is gone: it stepped back, which no log tells.
    Free,
    /// The one for which it is waited was killed itself.
    Killed,
}

impl Shard {
    /// Returns when a place is no longer held by an open transaction, at the latest some time after this process first
    /// met that; or when `own`, for which it is waited, was killed itself.
    ///
    /// # Errors
    /// The store failed; nothing is decided.
    pub(super) async fn settle(
        &self,
        held: &Held,
        own: Option<&TransactionId>,
    ) -> Result<Settled, StoreError> {
        let until = self.first_met(&held.by) + self.timings.in_flight;
        let mut pause = FIRST_PAUSE;
        let settled = loop {
            self.refresh().await?;
            if self.log.tail().is_decided(&held.by) {
                break Settled::Decided;
            }
            if own.is_some_and(|own| self.log.tail().is_killed(own)) {
                break Settled::Killed;
            }
            if self.is_free(held).await? {
                break Settled::Free;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.kill(std::slice::from_ref(&held.by)).await?;
                break Settled::Decided;
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(MOST_PAUSE);
        };
        self.met.lock().unwrap_or_else(PoisonError::into_inner).remove(&held.by);
        Ok(settled)
    }

    /// Whether what the transaction staged at the place is no longer there.
    async fn is_free(&self, held: &Held) -> Result<bool, StoreError> {
        let current = self.container.read::<Document>(&held.place, CURRENT).await?;
        current.map_or(Ok(true), |Item { document, .. }| Ok(document.transaction()? != held.by))
    }

    fn first_met(&self, transaction: &TransactionId) -> Instant {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        *met.entry(transaction.clone()).or_insert_with(Instant::now)
    }

    /// Has transactions never be committed, but for those that are.
    ///
    /// # Errors
    /// The store failed; they are as open as before, or killed.
    pub(super) async fn kill(&self, transactions: &[TransactionId]) -> Result<(), StoreError> {
        self.append_unless(Kind::Kill, |shard| {
            let tail = shard.log.tail();
            let open = transactions.iter().filter(|t| !tail.is_decided(t));
            let kills: Vec<String> = open.map(|t| t.as_str().to_owned()).collect();
            (!kills.is_empty()).then_some(kills)
        })
        .await
    }

    /// Appends a record that commits nothing, with what `kills` gives, unless that is `None` once all before it
    /// is known.
    pub(super) async fn append_unless(
        &self,
        kind: Kind,
        kills: impl Fn(&Shard) -> Option<Vec<String>>,
    ) -> Result<(), StoreError> {
        self.refresh().await?;
        let now = self.now_ms();
        let transaction = self.transactions.next(now);
        let until = Instant::now() + self.timings.settle;
        while Instant::now() < until {
            let snapshot = self.snapshot();
            let Some(kills) = kills(self) else { return Ok(()) };
            let last_updated = now.max(snapshot.sum().last_updated);
            let record = Record { kills, ..Record::of(kind, &transaction, last_updated) };
            match self.log.append(&record, snapshot.sum().slot).await? {
                Appended::Yes => return Ok(()),
                Appended::Taken => self.refresh().await?,
            };
        }
        Err(StoreError::Unavailable(format!(
            "the log of {} is written to without pause for {} ms",
            self.tenant.as_str(),
            ms(self.timings.settle)
        )))
    }
}
