//! What a commit is made of.

use crate::{Entries, Filter, Key, Method, Permission};

/// Writes that happen together or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    /// What must hold besides each write's `previous`.
    pub preconditions: Vec<Precondition>,
    /// The writes; at most one for a key.
    pub writes: Vec<Write>,
}

/// A condition on the state that a commit finds.
#[derive(Debug, Clone)]
pub enum Precondition {
    /// No current resource of the type matches (conditional create).
    NoMatch {
        /// The type.
        resource_type: Box<str>,
        /// What must not match.
        filter: Filter,
    },
    /// The resource exists and is not deleted (a reference that was resolved by a search).
    Exists(Key),
}

/// One write. `previous` is the number of the version it follows, deletions counted, 0 for none: it fails
/// with a conflict if the store finds another. The new version is `previous + 1`.
#[derive(Debug)]
pub enum Write {
    /// A new version.
    Put {
        /// Of which resource.
        key: Key,
        /// The version it follows.
        previous: u64,
        /// How it came.
        method: Method,
        /// Canonical JSON, with `meta.versionId` set to `previous + 1` and a `meta.lastUpdated` of
        /// [`Write::STAMP_LENGTH`] characters, which the commit overwrites with its time.
        body: Vec<u8>,
        /// Byte offset of the text of `meta.lastUpdated` in `body`.
        stamp: usize,
        /// Its index entries.
        entries: Entries,
    },
    /// A deletion.
    Delete {
        /// Of which resource.
        key: Key,
        /// The version it follows.
        previous: u64,
    },
}

impl Write {
    /// Length of `2026-11-22T02:10:33.123Z`.
    pub const STAMP_LENGTH: usize = 24;

    /// The resource it writes.
    pub fn key(&self) -> &Key {
        match self {
            Write::Put { key, .. } | Write::Delete { key, .. } => key,
        }
    }

    /// What it does, as far as access is concerned.
    pub(crate) fn permission(&self) -> Permission {
        match self {
            Write::Put { method, .. } => method.permission(),
            Write::Delete { .. } => Permission::Delete,
        }
    }
}
