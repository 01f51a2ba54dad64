//! The change log, in the order of commits, over all types and for each type. Decides nothing about what a
//! commit writes.
//!
//! | bytes of a record | what |
//! |---|---|
//! | 0..4 | ordinal, u32 BE |
//! | 4..12 | version, u64 BE |
//! | 12..20 | last updated, milliseconds, i64 BE |
//! | 20 | method |
//! | 21..29 | how many changes the log (of the type) has up to here, u64 BE |

use std::ops::Bound;

use heed::{PutFlags, RoTxn, RwTxn};

use super::records::{Records, Table, method_code, method_of, stored_key};
use crate::cursor::{POSITION, Position};
use crate::{Change, Method, StoreError, Timestamp};

/// The databases `changes` and `type_changes`.
#[derive(Clone, Copy)]
pub(crate) struct Changes {
    pub(super) all: Table,
    pub(super) by_type: Table,
}

/// A change as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangeRecord {
    pub ordinal: u32,
    pub version: u64,
    pub last_updated: Timestamp,
    pub method: Method,
    /// How many changes the log has up to here.
    pub count: u64,
}

impl ChangeRecord {
    fn encode(&self) -> [u8; 29] {
        let mut bytes = [0; 29];
        let parts: [&[u8]; 5] = [
            &self.ordinal.to_be_bytes(),
            &self.version.to_be_bytes(),
            &self.last_updated.0.to_be_bytes(),
            &[method_code(self.method)],
            &self.count.to_be_bytes(),
        ];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<ChangeRecord> {
        let (ordinal, rest) = bytes.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (last_updated, rest) = rest.split_first_chunk()?;
        let (&[method], rest) = rest.split_first_chunk()?;
        Some(ChangeRecord {
            ordinal: u32::from_be_bytes(*ordinal),
            version: u64::from_be_bytes(*version),
            last_updated: Timestamp(i64::from_be_bytes(*last_updated)),
            method: method_of(method)?,
            count: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

/// Reads an entry of either log.
pub(crate) fn entry(item: heed::Result<(&[u8], &[u8])>) -> Result<(Position, ChangeRecord), StoreError> {
    let (key, value) = item?;
    Position::decode(key)
        .zip(ChangeRecord::decode(value))
        .ok_or_else(|| StoreError::Damaged("a change cannot be read".into()))
}

/// What the keys of a type begin with in `type_changes`.
pub(crate) fn type_prefix(resource_type: &str) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(resource_type.len() + 1 + POSITION);
    prefix.extend_from_slice(resource_type.as_bytes());
    prefix.push(0);
    prefix
}

impl Changes {
    /// The entries before a position, newest first, of a type or of all.
    pub(crate) fn before<'t>(
        &self,
        txn: &'t RoTxn<'_>,
        resource_type: Option<&str>,
        end: Option<Position>,
    ) -> Result<impl Iterator<Item = Result<(Position, ChangeRecord), StoreError>> + use<'t>, StoreError>
    {
        let (table, prefix) = match resource_type {
            None => (self.all, Vec::new()),
            Some(name) => (self.by_type, type_prefix(name)),
        };
        let mut last = prefix.clone();
        match end {
            Some(position) => last.extend_from_slice(&position.encode()),
            None => last.extend_from_slice(&[0xff; POSITION]),
        }
        let range = (Bound::Included(prefix.as_slice()), Bound::Excluded(last.as_slice()));
        Ok(table.rev_range(txn, &range)?.map(entry))
    }

    /// How many entries there are, of a type or of all.
    pub(crate) fn count(&self, txn: &RoTxn<'_>, resource_type: Option<&str>) -> Result<u64, StoreError> {
        let newest = self.before(txn, resource_type, None)?.next().transpose()?;
        Ok(newest.map_or(0, |(_, record)| record.count))
    }

    /// The position after the last commit at `time` or before.
    pub(crate) fn end_of(&self, txn: &RoTxn<'_>, time: Timestamp) -> Result<Position, StoreError> {
        let newest = self.before(txn, None, None)?.next().transpose()?;
        let (mut low, mut high) = (1, newest.map_or(0, |(position, _)| position.sequence) + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let key = Position { sequence: middle, write: 0 }.encode();
            let found = self.all.get_greater_than_or_equal_to(txn, &key)?;
            let later = match found {
                Some(found) => entry(Ok(found))?.1.last_updated > time,
                None => true,
            };
            if later {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(Position { sequence: low, write: 0 })
    }

    /// Enters a change; `count` of the record is that of the whole log.
    pub(super) fn push(
        &self,
        txn: &mut RwTxn<'_>,
        position: Position,
        record: ChangeRecord,
        resource_type: &str,
        type_count: u64,
    ) -> Result<(), StoreError> {
        let key = position.encode();
        self.all.put_with_flags(txn, PutFlags::APPEND, &key, &record.encode())?;
        let mut type_key = type_prefix(resource_type);
        type_key.extend_from_slice(&key);
        let of_type = ChangeRecord { count: type_count, ..record };
        self.by_type.put(txn, &type_key, &of_type.encode())?;
        Ok(())
    }

    /// The entries after a commit, oldest first.
    pub(crate) fn later<'t>(
        &self,
        txn: &'t RoTxn<'_>,
        sequence: u64,
    ) -> Result<impl Iterator<Item = Result<(Position, ChangeRecord), StoreError>> + use<'t>, StoreError>
    {
        let key = Position { sequence, write: u32::MAX }.encode();
        let range = (Bound::Excluded(key.as_slice()), Bound::Unbounded);
        Ok(self.all.range(txn, &range)?.map(entry))
    }

    /// The changes after a commit, oldest first: whole commits until there are `limit` or more.
    pub(crate) fn after(
        &self,
        txn: &RoTxn<'_>,
        records: &Records,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        let mut changes = Vec::new();
        let mut current = 0;
        for item in self.later(txn, sequence)? {
            let (position, record) = item?;
            if changes.len() >= limit && position.sequence != current {
                break;
            }
            current = position.sequence;
            let key = records.head_key(txn, record.ordinal)?;
            let key = key.ok_or_else(|| StoreError::Damaged("a change of no resource".into()))?;
            changes.push(Change {
                sequence: position.sequence,
                key: stored_key(key)?,
                version: record.version,
                last_updated: record.last_updated,
                method: record.method,
            });
        }
        Ok(changes)
    }
}
