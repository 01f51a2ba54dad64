//! The posting lists: which resources have a value.

use heed::{Env, RoTxn, RwTxn, WithoutTls};

use super::records::Records;
use crate::{CheckReport, Entries, Indexer, Key, StoreError, Timestamp};

/// The databases of the index.
#[derive(Clone, Copy)]
pub(crate) struct IndexDatabases {}

impl IndexDatabases {
    /// Opens them, made if they are missing.
    pub(crate) fn open(env: &Env<WithoutTls>, txn: &mut RwTxn<'_>) -> Result<Self, StoreError> {
        let _ = (env, txn);
        todo!()
    }

    /// Empties them.
    pub(crate) fn clear(&self, txn: &mut RwTxn<'_>) -> Result<(), StoreError> {
        let _ = txn;
        todo!()
    }
}

/// Changes to the index that are not in the databases yet.
pub(crate) struct Pending {}

impl Pending {
    /// None.
    pub(crate) fn new() -> Self {
        Pending {}
    }

    /// A resource got these entries.
    pub(crate) fn add(&mut self, ordinal: u32, key: &Key, last_updated: Timestamp, entries: &Entries) {
        let _ = (ordinal, key, last_updated, entries);
        todo!()
    }

    /// A resource lost these entries.
    pub(crate) fn remove(&mut self, ordinal: u32, key: &Key, last_updated: Timestamp, entries: &Entries) {
        let _ = (ordinal, key, last_updated, entries);
        todo!()
    }

    /// Writes all of it and forgets it.
    pub(crate) fn flush(
        &mut self,
        txn: &mut RwTxn<'_>,
        databases: &IndexDatabases,
    ) -> Result<(), StoreError> {
        let _ = (txn, databases);
        todo!()
    }
}

/// Computes the entries of every current resource again and compares them with the databases; counts postings
/// and adds faults to the report. `progress` hears of each resource done.
pub(crate) fn compare(
    txn: &RoTxn<'_>,
    databases: &IndexDatabases,
    records: &Records,
    indexer: &dyn Indexer,
    report: &mut CheckReport,
    progress: &dyn Fn(u64),
) -> Result<(), StoreError> {
    let _ = (txn, databases, records, indexer, report, progress);
    todo!()
}
