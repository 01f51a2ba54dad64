//! A storage in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::storage::{Condition, Put, Record, Storage, StorageError, Table};

/// A storage in memory.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    records: BTreeMap<(Table, String), (Record, u64)>,
    version: u64,
}

impl MemoryStorage {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that is kept, as one text: to look for what must not be in it.
    pub fn dump(&self) -> String {
        let inner = self.lock();
        let line = |((table, key), (record, _)): (&(Table, String), &(Record, u64))| {
            format!("{table:?} {key} {}\n", String::from_utf8_lossy(&record.value))
        };
        inner.records.iter().map(line).collect()
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn get(&self, table: Table, key: &str) -> Result<Option<(Record, u64)>, StorageError> {
        Ok(self.lock().records.get(&(table, key.to_owned())).cloned())
    }

    async fn put(&self, puts: Vec<Put>) -> Result<bool, StorageError> {
        let mut inner = self.lock();
        let holds = |put: &Put| {
            let known = inner.records.get(&(put.table, put.key.clone())).map(|(_, version)| *version);
            match put.condition {
                Condition::Always => true,
                Condition::Absent => known.is_none(),
                Condition::Version(version) => known == Some(version),
            }
        };
        if !puts.iter().all(holds) {
            return Ok(false);
        }
        for Put { table, key, record, .. } in puts {
            inner.version += 1;
            let version = inner.version;
            inner.records.insert((table, key), (record, version));
        }
        Ok(true)
    }

    async fn take(&self, table: Table, key: &str) -> Result<Option<Record>, StorageError> {
        Ok(self.lock().records.remove(&(table, key.to_owned())).map(|(record, _)| record))
    }

    async fn group(&self, table: Table, group: &str) -> Result<Vec<(String, Record)>, StorageError> {
        let inner = self.lock();
        let named = inner.records.iter().filter(|((own, _), (record, _))| {
            *own == table && record.groups.iter().any(|name| name == group)
        });
        Ok(named.map(|((_, key), (record, _))| (key.clone(), record.clone())).collect())
    }
}
