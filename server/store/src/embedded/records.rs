//! The databases of versions: which ordinal a resource has, its current version, and its older ones. Encodes
//! and decodes their records; decides nothing.
//!
//! A record is a header, the resource's key and the body:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | version, u64 BE |
//! | 8..16 | sequence number of its commit, u64 BE |
//! | 16..24 | last updated, milliseconds, i64 BE |
//! | 24 | method |
//! | 25 | length of the key |
//! | 26.. | `Type/id`, then the body up to the end (empty for a deletion, and where it was erased) |

use std::ops::Bound;

use heed::types::Bytes as Raw;
use heed::{Database, PutFlags, RoTxn, RwTxn};

use crate::{Erasure, Key, Method, StoreError, Timestamp, Version};

/// A database as the engine uses them all: bytes to bytes, in the order of the bytes.
pub(crate) type Table = Database<Raw, Raw>;

/// The databases `ids`, `heads` and `versions`.
#[derive(Clone, Copy)]
pub(crate) struct Records {
    pub(super) ids: Table,
    pub(super) heads: Table,
    pub(super) versions: Table,
}

/// A stored version, read in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordRef<'t> {
    /// 1, 2, 3 ..
    pub version: u64,
    /// Of the commit that wrote it.
    pub sequence: u64,
    /// When.
    pub last_updated: Timestamp,
    /// How.
    pub method: Method,
    /// `Type/id`.
    pub key: &'t str,
    /// Canonical JSON; empty for a deletion, and where it was erased.
    pub body: &'t [u8],
}

/// Length of the part of a record before the key.
const HEADER: usize = 26;

impl<'t> RecordRef<'t> {
    /// Reads a record.
    pub(crate) fn decode(bytes: &'t [u8]) -> Result<Self, StoreError> {
        Self::decoded(bytes).ok_or_else(|| StoreError::Damaged("a version's record cannot be read".into()))
    }

    fn decoded(bytes: &'t [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (last_updated, rest) = rest.split_first_chunk()?;
        let (&[method, length], rest) = rest.split_first_chunk()?;
        let (key, body) = rest.split_at_checked(usize::from(length))?;
        Some(RecordRef {
            version: u64::from_be_bytes(*version),
            sequence: u64::from_be_bytes(*sequence),
            last_updated: Timestamp(i64::from_be_bytes(*last_updated)),
            method: method_of(method)?,
            key: std::str::from_utf8(key).ok()?,
            body,
        })
    }

    /// Writes a record into `out`, replacing what is there.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.reserve(HEADER + self.key.len() + self.body.len());
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.last_updated.0.to_be_bytes());
        out.push(method_code(self.method));
        debug_assert!(self.key.len() <= 255, "Key::new bounds a key's length");
        out.push(u8::try_from(self.key.len()).unwrap_or(0));
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(self.body);
    }

    /// Whether this version has no content: it is a deletion, or was erased.
    pub(crate) fn is_deleted(&self) -> bool {
        self.method == Method::Delete || self.is_erased()
    }

    /// Whether its content was erased.
    pub(crate) fn is_erased(&self) -> bool {
        self.method != Method::Delete && self.body.is_empty()
    }

    /// The version on its own, its body copied once.
    pub(crate) fn to_version(self) -> Result<Version, StoreError> {
        Ok(Version {
            key: stored_key(self.key)?,
            version: self.version,
            last_updated: self.last_updated,
            method: self.method,
            body: bytes::Bytes::copy_from_slice(self.body),
        })
    }
}

/// The key of a stored `Type/id`.
pub(crate) fn stored_key(text: &str) -> Result<Key, StoreError> {
    Key::parse(text).ok_or_else(|| StoreError::Damaged("a stored key is not of the form Type/id".into()))
}

/// How a method is stored.
pub(crate) fn method_code(method: Method) -> u8 {
    match method {
        Method::Post => 1,
        Method::Put => 2,
        Method::Patch => 3,
        Method::Delete => 4,
    }
}

/// The method stored so.
pub(crate) fn method_of(code: u8) -> Option<Method> {
    match code {
        1 => Some(Method::Post),
        2 => Some(Method::Put),
        3 => Some(Method::Patch),
        4 => Some(Method::Delete),
        _ => None,
    }
}

/// Key of an older version.
pub(crate) fn version_key(ordinal: u32, version: u64) -> [u8; 12] {
    let mut key = [0; 12];
    let (first, rest) = key.split_at_mut(4);
    first.copy_from_slice(&ordinal.to_be_bytes());
    rest.copy_from_slice(&version.to_be_bytes());
    key
}

/// Reads an ordinal.
pub(crate) fn ordinal_of(bytes: &[u8]) -> Result<u32, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Damaged("an ordinal is not four bytes".into()))?;
    Ok(u32::from_be_bytes(bytes))
}

impl Records {
    /// The ordinal of a resource, deleted or not, by `Type/id`.
    pub(crate) fn ordinal(&self, txn: &RoTxn<'_>, key: &str) -> Result<Option<u32>, StoreError> {
        self.ids.get(txn, key.as_bytes())?.map(ordinal_of).transpose()
    }

    /// The current version, read in place.
    pub(crate) fn head_ref<'t>(
        &self,
        txn: &'t RoTxn<'_>,
        ordinal: u32,
    ) -> Result<Option<RecordRef<'t>>, StoreError> {
        self.heads.get(txn, &ordinal.to_be_bytes())?.map(RecordRef::decode).transpose()
    }

    /// The current version, its body copied.
    pub(crate) fn head(&self, txn: &RoTxn<'_>, ordinal: u32) -> Result<Option<Version>, StoreError> {
        self.head_ref(txn, ordinal)?.map(RecordRef::to_version).transpose()
    }

    /// `Type/id` of a resource, deleted or not.
    pub(crate) fn head_key<'t>(
        &self,
        txn: &'t RoTxn<'_>,
        ordinal: u32,
    ) -> Result<Option<&'t str>, StoreError> {
        Ok(self.head_ref(txn, ordinal)?.map(|record| record.key))
    }

    /// An older version, read in place; not the current one.
    pub(crate) fn older_ref<'t>(
        &self,
        txn: &'t RoTxn<'_>,
        ordinal: u32,
        version: u64,
    ) -> Result<Option<RecordRef<'t>>, StoreError> {
        self.versions.get(txn, &version_key(ordinal, version))?.map(RecordRef::decode).transpose()
    }

    /// A version, current or older, read in place.
    pub(crate) fn version_ref<'t>(
        &self,
        txn: &'t RoTxn<'_>,
        ordinal: u32,
        version: u64,
    ) -> Result<Option<RecordRef<'t>>, StoreError> {
        match self.head_ref(txn, ordinal)? {
            Some(head) if head.version == version => Ok(Some(head)),
            Some(head) if head.version > version => self.older_ref(txn, ordinal, version),
            _ => Ok(None),
        }
    }

    /// The numbers of the older versions that an erasure takes of a resource, and that have content.
    pub(super) fn erasable(
        &self,
        txn: &RoTxn<'_>,
        ordinal: u32,
        erasure: &Erasure,
    ) -> Result<Vec<u64>, StoreError> {
        let Some(head) = self.head_ref(txn, ordinal)? else { return Ok(Vec::new()) };
        let (first, end) = (version_key(ordinal, 0), version_key(ordinal, head.version));
        let range = (Bound::Included(first.as_slice()), Bound::Excluded(end.as_slice()));
        let mut numbers = Vec::new();
        for item in self.versions.range(txn, &range)? {
            let record = RecordRef::decode(item?.1)?;
            if erasure.takes(record.version, head.version) && !record.is_deleted() {
                numbers.push(record.version);
            }
        }
        Ok(numbers)
    }

    /// Takes the body off an older version.
    pub(super) fn erase(
        &self,
        txn: &mut RwTxn<'_>,
        ordinal: u32,
        version: u64,
        scratch: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let Some(record) = self.older_ref(txn, ordinal, version)? else { return Ok(()) };
        RecordRef { body: &[], ..record }.encode(scratch);
        self.versions.put(txn, &version_key(ordinal, version), scratch)?;
        Ok(())
    }

    /// Enters a new resource: its id and its first version, whose ordinal is the largest so far.
    pub(super) fn create(
        &self,
        txn: &mut RwTxn<'_>,
        ordinal: u32,
        key: &str,
        record: &[u8],
    ) -> Result<(), StoreError> {
        self.ids.put(txn, key.as_bytes(), &ordinal.to_be_bytes())?;
        self.heads.put_with_flags(txn, PutFlags::APPEND, &ordinal.to_be_bytes(), record)?;
        Ok(())
    }

    /// Makes a record the current version of a resource and moves the one it replaces to the older ones.
    /// `scratch` is for the copy.
    pub(super) fn replace(
        &self,
        txn: &mut RwTxn<'_>,
        ordinal: u32,
        replaced: u64,
        record: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        scratch.clear();
        let key = ordinal.to_be_bytes();
        scratch.extend_from_slice(self.heads.get(txn, &key)?.unwrap_or_default());
        self.versions.put(txn, &version_key(ordinal, replaced), scratch)?;
        self.heads.put(txn, &key, record)?;
        Ok(())
    }
}
