//! What each resource has, by resource: the other way round than postings. Serves sorting, checking a few candidates
//! against a range, and the targets of references. Not useful for finding resources.
//!
//! A record is the time of the last commit (milliseconds, i64 LE), how many fields there are (u16 LE), a heading for
//! each, parameters ascending, and then their bytes. That the headings stand together spares reading most of a record.
//! A heading is the parameter's number (u16 LE), a byte that says what the field holds, and its length (u32 LE):
//! - 0: all values that are dates, numbers, quantities or references, packed as in [`crate::Entries`], as they came;
//! - 1: of the texts and codes the least and the largest, as sort components ([`encoding::sort_text`]); if these are
//!   the same, only one.

use heed::RoTxn;
use heed::types::Bytes as Raw;

use super::encoding::{self, sort_value};
use super::postings::{IndexDatabases, LAST_UPDATED, micros};
use super::set::{CHUNK_BITS, ordinal_at};
use crate::{ParameterId, Predicate, StoreError, Timestamp, Value};

const VALUES: u8 = 0;
const TEXTS: u8 = 1;
/// Bytes of a heading.
const HEADING: usize = 7;
/// A gap between two ordinals up to which stepping is cheaper than seeking.
const STEPS: u32 = 16;

/// Builds records.
#[derive(Debug, Default)]
pub(super) struct ForwardWriter {
    headings: Vec<u8>,
    fields: Vec<u8>,
    values: Vec<u8>,
    texts: Vec<u8>,
    scratch: Vec<u8>,
    least: Vec<u8>,
    largest: Vec<u8>,
}

impl ForwardWriter {
    /// Takes a value of the parameter that is next. `key` is the value's key.
    pub(super) fn value(&mut self, value: &Value<'_>, key: &[u8]) {
        match value {
            Value::Date { .. } | Value::Number { .. } | Value::Quantity { .. } | Value::Reference(_) => {
                value.pack(&mut self.values);
            }
            Value::Token { .. } | Value::String(_) | Value::Uri(_) => {
                self.scratch.clear();
                let sorts = encoding::Stored::take(key)
                    .and_then(|(stored, _)| stored.sort_component(&mut self.scratch))
                    .is_some();
                debug_assert!(sorts, "a text's key was just written");
                if self.least.is_empty() || self.scratch < self.least {
                    self.least.clone_from(&self.scratch);
                }
                if self.scratch > self.largest {
                    self.largest.clone_from(&self.scratch);
                }
            }
            Value::Composite(_) => (),
        }
    }

    /// Ends a parameter.
    pub(super) fn end_parameter(&mut self, parameter: ParameterId) {
        self.texts.extend_from_slice(&self.least);
        if self.largest != self.least {
            self.texts.extend_from_slice(&self.largest);
        }
        for (what, bytes) in [(VALUES, &mut self.values), (TEXTS, &mut self.texts)] {
            if let (false, Ok(length)) = (bytes.is_empty(), u32::try_from(bytes.len())) {
                self.headings.extend_from_slice(&parameter.0.to_le_bytes());
                self.headings.push(what);
                self.headings.extend_from_slice(&length.to_le_bytes());
                self.fields.append(bytes);
            }
        }
        self.least.clear();
        self.largest.clear();
    }

    /// Ends the record: appends it to `out`.
    pub(super) fn end(&mut self, out: &mut Vec<u8>, last_updated: Timestamp) {
        let count = u16::try_from(self.headings.len() / HEADING).unwrap_or(u16::MAX);
        out.extend_from_slice(&last_updated.0.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.append(&mut self.headings);
        out.append(&mut self.fields);
    }
}

/// A record, read in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forward<'t> {
    /// Of the last commit.
    pub last_updated: Timestamp,
    headings: &'t [[u8; HEADING]],
    fields: &'t [u8],
}

impl<'t> Forward<'t> {
    /// Reads a record.
    pub(super) fn decode(bytes: &'t [u8]) -> Result<Self, StoreError> {
        Self::decoded(bytes).ok_or_else(|| damaged("a forward record is too short"))
    }

    fn decoded(bytes: &'t [u8]) -> Option<Self> {
        let (last_updated, rest) = bytes.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (headings, fields) = rest.split_at_checked(usize::from(u16::from_le_bytes(*count)) * HEADING)?;
        let last_updated = Timestamp(i64::from_le_bytes(*last_updated));
        Some(Forward { last_updated, headings: headings.as_chunks().0, fields })
    }

    /// The fields of a parameter: what they hold, bytes.
    fn fields(&self, parameter: ParameterId) -> impl Iterator<Item = (u8, &'t [u8])> + use<'t> {
        let (headings, fields) = (self.headings, self.fields);
        let mut start = 0;
        headings
            .iter()
            .map(move |&[low, high, what, a, b, c, d]| {
                let from = start;
                start += usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                (u16::from_le_bytes([low, high]), what, from..start)
            })
            .take_while(move |heading| heading.0 <= parameter.0)
            .filter(move |heading| heading.0 == parameter.0)
            .map(move |(_, what, range)| (what, fields.get(range).unwrap_or_default()))
    }

    /// The values of a parameter that are dates, numbers, quantities or references, as they came.
    pub(super) fn values(&self, parameter: ParameterId) -> impl Iterator<Item = Value<'t>> + use<'t> {
        let mut rest = self
            .fields(parameter)
            .find_map(|(what, bytes)| (what == VALUES).then_some(bytes))
            .unwrap_or_default();
        std::iter::from_fn(move || {
            let (value, after) = Value::unpack(rest)?;
            rest = after;
            Some(value)
        })
    }

    /// Whether some value of a parameter fulfils a predicate of dates, numbers, quantities or references.
    pub(super) fn matches(&self, parameter: ParameterId, predicate: &Predicate) -> bool {
        if parameter == LAST_UPDATED {
            let point = micros(self.last_updated);
            return predicate.matches(&Value::Date { lo: point, hi: point });
        }
        self.values(parameter).any(|value| predicate.matches(&value))
    }

    /// Appends the sort component of the least (or the largest) value of a parameter; whether there is one.
    pub(super) fn sort_component(&self, parameter: ParameterId, largest: bool, out: &mut Vec<u8>) -> bool {
        if parameter == LAST_UPDATED {
            let ordered = encoding::ordered_i64(micros(self.last_updated));
            encoding::sort_number(out, encoding::DATE, ordered);
            return true;
        }
        let start = out.len();
        for (what, bytes) in self.fields(parameter) {
            best_of(what, bytes, largest, start, out);
        }
        out.len() > start
    }
}

/// Puts the least (or largest) component of a field at `start` of `out`, if it is better than what is there.
fn best_of(what: u8, bytes: &[u8], largest: bool, start: usize, out: &mut Vec<u8>) {
    if what == TEXTS {
        let mut texts = bytes.split_inclusive(|byte| *byte == 0);
        let text = if largest { texts.next_back() } else { texts.next() };
        out.extend_from_slice(text.unwrap_or_default());
        keep_best(out, start, out.len() - text.map_or(0, <[u8]>::len), largest);
        return;
    }
    let mut rest = bytes;
    while let Some((value, after)) = Value::unpack(rest) {
        rest = after;
        let middle = out.len();
        sort_value(out, &value);
        keep_best(out, start, middle, largest);
    }
}

/// Of the two parts of `out` from `start`, keeps the better.
fn keep_best(out: &mut Vec<u8>, start: usize, middle: usize, largest: bool) {
    if middle == start {
        return;
    }
    let (Some(old), Some(new)) = (out.get(start..middle), out.get(middle..)) else { return };
    let better = !new.is_empty() && if largest { new > old } else { new < old };
    if better {
        out.drain(start..middle);
    } else {
        out.truncate(middle);
    }
}

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.into())
}

/// Reads records of ordinals that ascend, or nearly.
pub(super) struct ForwardReader<'t> {
    txn: &'t RoTxn<'t>,
    databases: IndexDatabases,
    steps: Option<heed::RoRange<'t, Raw, Raw>>,
    at: u32,
}

impl<'t> ForwardReader<'t> {
    /// A reader that is nowhere yet.
    pub(super) fn new(txn: &'t RoTxn<'_>, databases: &IndexDatabases) -> Self {
        ForwardReader { txn, databases: *databases, steps: None, at: 0 }
    }

    /// The record of a resource; it is an error if there is none.
    pub(super) fn get(&mut self, ordinal: u32) -> Result<Forward<'t>, StoreError> {
        let near = ordinal > self.at && ordinal - self.at <= STEPS;
        self.at = ordinal;
        let key = ordinal.to_be_bytes();
        if !near {
            self.steps = None;
            let bytes = self.databases.forward.get(self.txn, &key)?;
            return Forward::decode(bytes.ok_or_else(missing)?);
        }
        let steps = match &mut self.steps {
            Some(steps) => steps,
            none => {
                let from = (std::ops::Bound::Included(key.as_slice()), std::ops::Bound::Unbounded);
                none.insert(self.databases.forward.range(self.txn, &from)?)
            }
        };
        for step in steps {
            let (found, bytes) = step?;
            if found >= key.as_slice() {
                return if found == key { Forward::decode(bytes) } else { Err(missing()) };
            }
        }
        Err(missing())
    }

    /// The record of the resource at an offset of a chunk.
    pub(super) fn at(&mut self, chunk: u32, offset: u16) -> Result<Forward<'t>, StoreError> {
        debug_assert!(chunk >> (32 - CHUNK_BITS) == 0);
        self.get(ordinal_at(chunk, offset))
    }
}

fn missing() -> StoreError {
    damaged("a resource is in postings and has no forward record")
}
