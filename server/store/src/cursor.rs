//! What cursors hold, on either engine: a version, a position in the log, or a place in the order of a query. One that was
//! made for something else is refused.

use xxhash_rust::xxh3::xxh3_64;

use crate::{Cursor, Key, Query, SortBy, StoreError};

const OF_INSTANCE: u8 = 1;
const OF_LOG: u8 = 2;

/// Where a change stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The commit.
    pub sequence: u64,
    /// Which write of the commit.
    pub write: u32,
}

/// Length of a position.
pub(crate) const POSITION: usize = 12;

impl Position {
    /// Its bytes, in order.
    pub(crate) fn encode(self) -> [u8; POSITION] {
        let [a, b, c, d, e, f, g, h] = self.sequence.to_be_bytes();
        let [i, j, k, l] = self.write.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    /// Reads it from the end of a key.
    pub(crate) fn decode(key: &[u8]) -> Option<Position> {
        let (sequence, write) = key.last_chunk::<POSITION>()?.split_first_chunk::<8>()?;
        let write = write.first_chunk::<4>()?;
        Some(Position { sequence: u64::from_be_bytes(*sequence), write: u32::from_be_bytes(*write) })
    }
}

/// The cursor after a version of an instance's history.
pub(crate) fn of_version(version: u64) -> Cursor {
    Cursor([&[OF_INSTANCE], version.to_be_bytes().as_slice()].concat().into_boxed_slice())
}

/// The version of [`of_version`].
pub(crate) fn version(cursor: &Cursor) -> Result<u64, StoreError> {
    match cursor.0.split_first() {
        Some((&OF_INSTANCE, rest)) => rest.try_into().map(u64::from_be_bytes).map_err(|_| StoreError::Cursor),
        _ => Err(StoreError::Cursor),
    }
}

/// The cursor after a change.
pub(crate) fn of_position(position: Position) -> Cursor {
    Cursor([&[OF_LOG], position.encode().as_slice()].concat().into_boxed_slice())
}

/// The position of [`of_position`].
pub(crate) fn position(cursor: &Cursor) -> Result<Position, StoreError> {
    match cursor.0.split_first() {
        Some((&OF_LOG, rest)) if rest.len() == POSITION => Position::decode(rest).ok_or(StoreError::Cursor),
        _ => Err(StoreError::Cursor),
    }
}

/// The cursor after a place in a query's order.
pub(crate) fn of_place(query: &Query, place: &[u8]) -> Cursor {
    Cursor([&mark(query), place].concat().into_boxed_slice())
}

/// The place of [`of_place`], if the cursor is of a query in the same order.
pub(crate) fn place<'c>(query: &Query, cursor: &'c Cursor) -> Result<&'c [u8], StoreError> {
    match cursor.0.split_first_chunk() {
        Some((found, place)) if *found == mark(query) => Ok(place),
        _ => Err(StoreError::Cursor),
    }
}

/// What a cursor begins with: it tells orders apart.
fn mark(query: &Query) -> [u8; 8] {
    let mut text = query.resource_type.as_deref().unwrap_or_default().as_bytes().to_vec();
    for key in &query.sort {
        text.extend_from_slice(&[0, u8::from(key.descending)]);
        mark_key(&key.by, &mut text);
    }
    xxh3_64(&text).to_be_bytes()
}

fn mark_key(by: &SortBy, text: &mut Vec<u8>) {
    match by {
        SortBy::Parameter(parameter) => {
            text.push(0);
            text.extend_from_slice(&parameter.0.to_be_bytes());
        }
        SortBy::LastUpdated => text.push(1),
        SortBy::Id => text.push(2),
        SortBy::Score => text.push(3),
        SortBy::Chain { parameter, targets } => {
            text.push(4);
            text.extend_from_slice(&parameter.0.to_be_bytes());
            for (name, by) in targets {
                text.push(5);
                text.extend_from_slice(name.as_bytes());
                text.push(0);
                mark_key(by, text);
            }
            text.push(6);
        }
    }
}

/// A version that the log has and the store has not.
pub(crate) fn missing(key: &Key, version: u64) -> StoreError {
    StoreError::Damaged(format!("version {version} of {} is missing", key.as_str()))
}
