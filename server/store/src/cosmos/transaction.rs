//! Names transactions. Knows nothing of what they write.
//!
//! A transaction's id is 24 lower-case hex digits: 12 of the wall clock's milliseconds when its staging began, 6 of
//! the process (random), 6 of a counter. Ids of one process rise strictly; so ids sort by time, and two
//! processes never give the same.

use std::sync::{Mutex, PoisonError};

use crate::StoreError;

/// Digits of a transaction's id.
const DIGITS: usize = 24;

/// Digits of its time.
const TIME: usize = 12;

/// Digits of its process.
const PROCESS: usize = 6;

/// The id of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TransactionId(Box<str>);

impl TransactionId {
    /// The id in a document's order key (`o`), in `to`, or alone; `None` if the text does not begin with one.
    pub(super) fn of(text: &str) -> Option<TransactionId> {
        let id = text.get(..DIGITS)?;
        let hex = id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        hex.then(|| TransactionId(id.into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// When its staging began, ms since 1970 by the clock of its process.
    pub(super) fn ms(&self) -> i64 {
        self.0.get(..TIME).and_then(|hex| i64::from_str_radix(hex, 16).ok()).unwrap_or(i64::MAX)
    }

    /// The order key of its write with this index.
    pub(super) fn order(&self, index: usize) -> String {
        format!("{}{index:05x}", self.0)
    }
}

/// What is above the order keys of all transactions that began at `ms` or before, and below those of later ones.
pub(super) fn order_after(ms: i64) -> String {
    // Above every hex digit.
    format!("{ms:012x}~")
}

/// Gives the ids of one process.
#[derive(Debug)]
pub(super) struct Transactions {
    process: u32,
    last: Mutex<(i64, u32)>,
}

impl Transactions {
    /// With a new random number for this process.
    pub(super) fn new() -> Result<Transactions, StoreError> {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Transactions { process: u32::from_be_bytes(bytes) & 0xff_ffff, last: Mutex::new((0, 0)) })
    }

    /// Whether an id is of this process.
    pub(super) fn gave(&self, id: &TransactionId) -> bool {
        let process = id.0.get(TIME..TIME + PROCESS).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        process == Some(self.process)
    }

    /// The next id, for staging that begins now.
    pub(super) fn next(&self, now_ms: i64) -> TransactionId {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (ms, count) = *last;
        let full = count == 0xff_ffff;
        let ms = now_ms.max(if full { ms.saturating_add(1) } else { ms }).max(0);
        let count = if full { 0 } else { count + 1 };
        *last = (ms, count);
        TransactionId(format!("{ms:012x}{:06x}{count:06x}", self.process).into_boxed_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_and_tell_their_time() {
        let transactions = Transactions::new().unwrap();
        let mut before = transactions.next(5);
        assert_eq!((before.ms(), before.as_str().len()), (5, DIGITS));
        for now in [5, 4, 9, 9, 1] {
            let next = transactions.next(now);
            assert!(next > before, "{next:?} after {before:?}");
            assert!(next.ms() >= now);
            before = next;
        }
        assert_eq!(before.ms(), 9);
        assert!(transactions.gave(&before));
        assert!(
            !Transactions { process: transactions.process ^ 1, ..Transactions::new().unwrap() }.gave(&before)
        );
        *transactions.last.lock().unwrap() = (9, 0xff_ffff);
        assert!(transactions.next(9) > before);
    }

    #[test]
    fn order_keys_name_their_transaction() {
        let id = Transactions::new().unwrap().next(1_795_313_433_123);
        let order = id.order(0x1f);
        assert_eq!(order, format!("{}0001f", id.as_str()));
        assert_eq!(TransactionId::of(&order), Some(id.clone()));
        assert!(order_after(id.ms()) > order && order_after(id.ms() - 1) < order);
        for wrong in ["", "12", "zz00000000000000000000zz", "01A000000000000000000000"] {
            assert_eq!(TransactionId::of(wrong), None, "{wrong}");
        }
    }
}
