//! The databases of the index and their keys. Decides neither what a value's key is nor what a query means.
//!
//! | database | key | value |
//! |---|---|---|
//! | `postings` | parameter u16 BE, value ([`super::encoding`]), chunk u32 BE | posting ([`super::set`]) |
//! | `presence` | chunk u32 BE, parameter u16 BE | posting: the resources with any value of the parameter |
//! | `presence` | chunk u32 BE, [`TYPE`], name of a type | posting: the resources of the type; with no name, all |
//! | `long` | parameter u16 BE, hash 16 bytes | a value whose key does not tell it, packed |
//! | `forward` | ordinal u32 BE | what the resource has ([`super::forward`]) |

use heed::{Env, RoTxn, RwTxn, WithoutTls};

pub(crate) use super::compare::compare;
pub(crate) use super::pending::Pending;
use super::records::Table;
use super::set::{CHUNK_BITS, Posting};
use crate::{ParameterId, StoreError, Timestamp};

/// Engine's parameter: the time of the last commit, a date. Every resource has it; `presence` does not keep it.
pub(super) const LAST_UPDATED: ParameterId = ParameterId(0xfffe);
/// Engine's parameter: type membership, in `presence`.
pub(super) const TYPE: ParameterId = ParameterId(0xffff);

/// A commit's time as dates have it.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.0.saturating_mul(1_000)
}

/// The databases of the index.
#[derive(Clone, Copy)]
pub(crate) struct IndexDatabases {
    pub(super) postings: Table,
    pub(super) presence: Table,
    pub(super) long: Table,
    pub(super) forward: Table,
}

/// `presence`'s key of a parameter in a chunk, or, with the name of a type after it, of the type.
pub(super) fn presence_key(chunk: u32, parameter: ParameterId, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(6 + name.len());
    key.extend_from_slice(&chunk.to_be_bytes());
    key.extend_from_slice(&parameter.0.to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key
}

/// Splits a key of `postings` into the value and the chunk.
pub(super) fn split_key(key: &[u8]) -> Option<(&[u8], u32)> {
    let (rest, chunk) = key.split_last_chunk()?;
    Some((rest.get(2..)?, u32::from_be_bytes(*chunk)))
}

impl IndexDatabases {
    /// Opens them, made if they are missing.
    pub(crate) fn open(env: &Env<WithoutTls>, txn: &mut RwTxn<'_>) -> Result<Self, StoreError> {
        Ok(IndexDatabases {
            postings: env.create_database(txn, Some("postings"))?,
            presence: env.create_database(txn, Some("presence"))?,
            long: env.create_database(txn, Some("long"))?,
            forward: env.create_database(txn, Some("forward"))?,
        })
    }

    /// Empties them.
    pub(crate) fn clear(&self, txn: &mut RwTxn<'_>) -> Result<(), StoreError> {
        for database in [self.postings, self.presence, self.long, self.forward] {
            database.clear(txn)?;
        }
        Ok(())
    }

    /// How many chunks there are: all of them, from 0, have a number below this.
    pub(super) fn chunks(&self, txn: &RoTxn<'_>) -> Result<u32, StoreError> {
        let last = self.forward.last(txn)?;
        let ordinal = last.and_then(|(key, _)| key.try_into().ok()).map(u32::from_be_bytes);
        Ok(ordinal.map_or(0, |ordinal| (ordinal >> CHUNK_BITS) + 1))
    }

    /// How many current resources there are of each type, by name.
    pub(super) fn types(&self, txn: &RoTxn<'_>) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        let mut counts = std::collections::BTreeMap::<Box<str>, u64>::new();
        for chunk in 0..self.chunks(txn)? {
            let prefix = presence_key(chunk, TYPE, "");
            for found in self.presence.prefix_iter(txn, &prefix)? {
                let (key, posting) = found?;
                let name = key.get(prefix.len()..).and_then(|name| std::str::from_utf8(name).ok());
                let name = name.filter(|name| !name.is_empty());
                if let Some(name) = name {
                    *counts.entry(name.into()).or_default() += Posting(posting).len() as u64;
                }
            }
        }
        Ok(counts.into_iter().collect())
    }
}
