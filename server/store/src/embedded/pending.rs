//! Changes to the index that a commit gathers and writes at once: each posting is read and written once, in the
//! order of the keys. Decides nothing of what a resource's entries are.
#![allow(clippy::indexing_slicing, reason = "hot; a change's range lies within the bytes it was made from")]

use std::ops::Range;

use heed::RwTxn;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::encoding::{self, LongHash};
use super::forward::ForwardWriter;
use super::postings::{IndexDatabases, LAST_UPDATED, TYPE, micros};
use super::records::Table;
use super::set::{Posting, Set, chunk_of, offset_of};
use crate::{Entries, Key, ParameterId, StoreError, Timestamp, Value};

/// What becomes of the resources of one posting, in the order it was said: the offset, and whether it was put in.
type Members = SmallVec<[(u16, bool); 4]>;

/// The changes to one posting.
#[derive(Debug)]
struct Change {
    /// The first 16 bytes of the key: most comparisons end here.
    prefix: u128,
    /// Where in the bytes the key is.
    key: Range<usize>,
    members: Members,
}

/// The changes to one database, by key.
#[derive(Debug, Default)]
struct Changes {
    bytes: Vec<u8>,
    list: Vec<Change>,
    /// By the hash of a key, where in the list it is. Keys whose hashes are taken by another have the next free one.
    places: FxHashMap<u64, usize>,
}

impl Changes {
    /// Enters a member under the key that was begun at `at` of the bytes. Where that key is from now on.
    fn end(&mut self, at: usize, offset: u16, added: bool) -> Range<usize> {
        let mut hash = xxh3_64(&self.bytes[at..]);
        loop {
            let place = *self.places.entry(hash).or_insert(self.list.len());
            let Some(change) = self.list.get_mut(place) else { break };
            if self.bytes[change.key.clone()] == self.bytes[at..] {
                change.members.push((offset, added));
                self.bytes.truncate(at);
                return change.key.clone();
            }
            hash = hash.wrapping_add(1);
        }
        let key = &self.bytes[at..];
        debug_assert!(key.len() <= 511, "an LMDB key");
        let mut prefix = [0; 16];
        let shared = key.len().min(16);
        prefix[..shared].copy_from_slice(&key[..shared]);
        let key = at..self.bytes.len();
        let members = SmallVec::from_slice(&[(offset, added)]);
        self.list.push(Change { prefix: u128::from_be_bytes(prefix), key: key.clone(), members });
        key
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        let whole = |change: &Change| &bytes[change.key.clone()];
        self.list.sort_unstable_by(|a, b| a.prefix.cmp(&b.prefix).then_with(|| whole(a).cmp(whole(b))));
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
        self.places.clear();
    }

    /// Each key, once sorted, and what becomes of each offset.
    fn each(
        &mut self,
        mut visit: impl FnMut(&[u8], &[(u16, bool)]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.sort();
        let mut net = Vec::new();
        for change in &mut self.list {
            net.clear();
            // Stable: of one offset, the first and the last stay so.
            change.members.sort_by_key(|member| member.0);
            for same in change.members.chunk_by(|a, b| a.0 == b.0) {
                // What comes first tells how it was: only what was there is taken out, only what was not is put in.
                let (first, last) = (same[0], same[same.len() - 1]);
                if first.1 == last.1 {
                    net.push(last);
                }
            }
            if !net.is_empty() {
                visit(&self.bytes[change.key.clone()], &net)?;
            }
        }
        Ok(())
    }
}

/// Changes to the index that are not in the databases yet.
pub(crate) struct Pending {
    postings: Changes,
    presence: Changes,
    /// Of each resource, where its record is in `records`; `None` if it has none any more.
    forward: Vec<(u32, Option<Range<usize>>)>,
    records: Vec<u8>,
    writer: ForwardWriter,
    /// What `long` must hold. For values that went, the key of their posting without the chunk.
    long: FxHashMap<(u16, LongHash), Vec<u8>>,
    gone: FxHashMap<(u16, LongHash), Vec<u8>>,
}

impl Pending {
    /// None.
    pub(crate) fn new() -> Self {
        Pending {
            postings: Changes::default(),
            presence: Changes::default(),
            forward: Vec::new(),
            records: Vec::new(),
            writer: ForwardWriter::default(),
            long: FxHashMap::default(),
            gone: FxHashMap::default(),
        }
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.forward.is_empty()
    }

    /// A resource got these entries.
    pub(crate) fn add(&mut self, ordinal: u32, key: &Key, last_updated: Timestamp, entries: &Entries) {
        let start = self.records.len();
        self.change(ordinal, key, last_updated, entries, true);
        self.writer.end(&mut self.records, last_updated);
        self.forward.push((ordinal, Some(start..self.records.len())));
    }

    /// A resource lost these entries.
    pub(crate) fn remove(&mut self, ordinal: u32, key: &Key, last_updated: Timestamp, entries: &Entries) {
        self.change(ordinal, key, last_updated, entries, false);
        self.forward.push((ordinal, None));
    }

    fn change(&mut self, ordinal: u32, key: &Key, time: Timestamp, entries: &Entries, added: bool) {
        for name in ["", key.resource_type()] {
            self.present(ordinal, TYPE, name, added);
        }
        let time = micros(time);
        self.posting(ordinal, LAST_UPDATED, &Value::Date { lo: time, hi: time }, added);
        let mut all: Vec<_> = entries.iter().collect();
        all.sort_by_key(|entry| entry.0);
        for group in all.chunk_by(|a, b| a.0 == b.0) {
            let parameter = group[0].0;
            self.present(ordinal, parameter, "", added);
            for (_, value) in group {
                let key = self.posting(ordinal, parameter, value, added);
                if added {
                    self.writer.value(value, &self.postings.bytes[key.start + 2..key.end]);
                }
            }
            if added {
                self.writer.end_parameter(parameter);
            }
        }
    }

    fn present(&mut self, ordinal: u32, parameter: ParameterId, name: &str, added: bool) {
        let at = self.presence.bytes.len();
        self.presence.bytes.extend_from_slice(&chunk_of(ordinal).to_be_bytes());
        self.presence.bytes.extend_from_slice(&parameter.0.to_be_bytes());
        self.presence.bytes.extend_from_slice(name.as_bytes());
        self.presence.end(at, offset_of(ordinal), added);
    }

    /// Enters a value's keys; where the first is.
    fn posting(
        &mut self,
        ordinal: u32,
        parameter: ParameterId,
        value: &Value<'_>,
        added: bool,
    ) -> Range<usize> {
        let (chunk, offset) = (chunk_of(ordinal).to_be_bytes(), offset_of(ordinal));
        let changes = &mut self.postings;
        let at = changes.bytes.len();
        changes.bytes.extend_from_slice(&parameter.0.to_be_bytes());
        let whole = encoding::put_value(&mut changes.bytes, value);
        if !whole {
            let mut packed = Vec::new();
            value.pack(&mut packed);
            let hash = encoding::long_hash(&packed);
            if added {
                self.long.insert((parameter.0, hash), packed);
            } else {
                self.gone.insert((parameter.0, hash), changes.bytes[at..].to_vec());
            }
        }
        changes.bytes.extend_from_slice(&chunk);
        let first = changes.end(at, offset, added);
        let second = changes.bytes.len();
        changes.bytes.extend_from_slice(&parameter.0.to_be_bytes());
        if encoding::put_second(&mut changes.bytes, value) {
            changes.bytes.extend_from_slice(&chunk);
            changes.end(second, offset, added);
        } else {
            changes.bytes.truncate(second);
        }
        first
    }

    /// The changes so far, for comparing rather than writing: each key of `postings`, then of `presence`, with its
    /// members.
    pub(super) fn each_added(
        &mut self,
        mut visit: impl FnMut(bool, &[u8], &[(u16, bool)]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.postings.each(|key, net| visit(true, key, net))?;
        self.presence.each(|key, net| visit(false, key, net))
    }

    /// The forward records so far.
    pub(super) fn each_forward(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.forward.iter().filter_map(|(ordinal, range)| Some((*ordinal, &self.records[range.clone()?])))
    }

    /// The long values so far: parameter, hash, value.
    pub(super) fn each_long(&self) -> impl Iterator<Item = (u16, &LongHash, &[u8])> {
        self.long.iter().map(|((parameter, hash), packed)| (*parameter, hash, packed.as_slice()))
    }

    /// Writes all of it and forgets it.
    pub(crate) fn flush(
        &mut self,
        txn: &mut RwTxn<'_>,
        databases: &IndexDatabases,
    ) -> Result<(), StoreError> {
        if self.is_empty() {
            return Ok(());
        }
        let mut scratch = Vec::new();
        for (changes, database) in
            [(&mut self.postings, databases.postings), (&mut self.presence, databases.presence)]
        {
            changes.each(|key, net| write(txn, database, key, net, &mut scratch))?;
            changes.clear();
        }
        self.flush_forward(txn, databases)?;
        self.flush_long(txn, databases)
    }

    fn flush_forward(&mut self, txn: &mut RwTxn<'_>, databases: &IndexDatabases) -> Result<(), StoreError> {
        self.forward.sort_by_key(|entry| entry.0);
        for group in self.forward.chunk_by(|a, b| a.0 == b.0) {
            let (ordinal, range) = &group[group.len() - 1];
            let key = ordinal.to_be_bytes();
            match range {
                Some(range) => databases.forward.put(txn, &key, &self.records[range.clone()])?,
                None => drop(databases.forward.delete(txn, &key)?),
            }
        }
        self.forward.clear();
        self.records.clear();
        Ok(())
    }

    /// After the postings: a value goes when no posting has it any more.
    fn flush_long(&mut self, txn: &mut RwTxn<'_>, databases: &IndexDatabases) -> Result<(), StoreError> {
        for ((parameter, hash), packed) in self.long.drain() {
            databases.long.put(txn, &long_key(parameter, &hash), &packed)?;
        }
        for ((parameter, hash), prefix) in self.gone.drain() {
            if databases.postings.prefix_iter(txn, &prefix)?.next().transpose()?.is_none() {
                databases.long.delete(txn, &long_key(parameter, &hash))?;
            }
        }
        Ok(())
    }
}

/// `long`'s key.
pub(super) fn long_key(parameter: u16, hash: &LongHash) -> [u8; 18] {
    let mut key = [0; 18];
    key[..2].copy_from_slice(&parameter.to_be_bytes());
    key[2..].copy_from_slice(hash);
    key
}

/// Changes one posting. A key that is new, the common case in a load, is looked up once.
fn write(
    txn: &mut RwTxn<'_>,
    database: Table,
    key: &[u8],
    net: &[(u16, bool)],
    scratch: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let mut set = Set::default();
    if net.iter().all(|change| change.1) {
        net.iter().for_each(|change| set.insert(change.0));
        set.encode(scratch);
        match database.get_or_put(txn, key, scratch)? {
            None => return Ok(()),
            Some(stored) => set.or_posting(Posting(stored)),
        }
    } else {
        if let Some(stored) = database.get(txn, key)? {
            set = Set::from(Posting(stored));
        }
        for (offset, added) in net {
            if *added { set.insert(*offset) } else { set.remove(*offset) }
        }
    }
    if set.is_empty() {
        database.delete(txn, key)?;
    } else {
        set.encode(scratch);
        database.put(txn, key, scratch)?;
    }
    Ok(())
}
