//! What the journal of a tenant is good for besides the store it is in: an archive, the same whichever engine it comes from or
//! goes to; a content hash; a move to another store. Never changes a segment of an archive that is there, and no commit.
//!
//! An archive is a directory of segments. A segment `<number of its first commit, 16 digits>.segment` is a row of blocks (`block` has their bytes):
//!
//! | block | payload |
//! |---|---|
//! | H, the first | JSON: format, tenant, when it was made, and where the segment before it ended: commit, checksum, content hash |
//! | C, one or more | whole commits with the bodies of their versions, compressed (`journal`) |
//! | F, the last | JSON: last commit and its time, how many commits, versions and bytes, content hash |
//!
//! Each block has the SHA-256 of itself and of the checksum before it, over all segments: what is missing, changed or
//! exchanged is found. A segment is written under another name, and has its own when it is whole and on the disk: whatever
//! ends a backup, the archive ends with a whole segment.

mod append;
mod block;
mod content;
mod current;
mod error;
mod journal;
mod moving;
mod reader;
mod restore;
mod segment;

use std::path::{Path, PathBuf};

pub use append::Appended;
pub use content::{Content, Lag, content, lag};
pub use current::{Survey, survey};
pub use error::ArchiveError;
pub use moving::{MoveError, Moved, move_tenant};

/// The archive of one tenant: a directory, there or not.
#[derive(Debug, Clone)]
pub struct Archive {
    directory: PathBuf,
    segment_bytes: u64,
}

/// Where an archive ends.
#[derive(Debug, Clone)]
pub struct End {
    /// What it holds.
    pub content: Content,
    /// When its last segment was written.
    pub written: std::time::SystemTime,
}

/// Bytes after which a segment is ended and the next begun: what is lost when a backup is killed is written again.
const SEGMENT_BYTES: u64 = 64 << 20;

impl Archive {
    /// The archive in a directory.
    pub fn at(directory: impl Into<PathBuf>) -> Archive {
        Archive { directory: directory.into(), segment_bytes: SEGMENT_BYTES }
    }

    /// With segments of about this size.
    pub fn with_segment_bytes(self, segment_bytes: u64) -> Archive {
        Archive { segment_bytes, ..self }
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
