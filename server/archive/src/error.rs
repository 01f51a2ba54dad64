//! Why an archive cannot be written, read or restored, or a tenant moved.

use std::io;
use std::path::PathBuf;

use store::{StoreError, Timestamp};

/// What was asked was not done.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The disk refuses.
    #[error("cannot write {}: {error}; the archive is whole up to commit {last}", path.display())]
    Write {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
        /// The last commit it holds; 0 for none.
        last: u64,
    },
    /// The disk does not give what is there.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process appends to it.
    #[error("another backup is being written to {}", .0.display())]
    InUse(PathBuf),
    /// There is nothing in it.
    #[error("there is no archive in {}", .0.display())]
    Empty(PathBuf),
    /// It is of a version whose format this one cannot read.
    #[error("{} has format {found}; this version reads format {known}", path.display())]
    Format {
        /// Which segment.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Known here.
        known: u32,
    },
    /// A block is not as it was written.
    #[error("{} is damaged: block {block} (byte {offset}): {what}; {}", path.display(), whole(*last, *last_updated))]
    Damaged {
        /// Which segment.
        path: PathBuf,
        /// Which of its blocks, from 0.
        block: u64,
        /// Where the block begins.
        offset: u64,
        /// What is wrong.
        what: String,
        /// The last commit before it; 0 if there is none.
        last: u64,
        /// That commit's time.
        last_updated: Timestamp,
    },
    /// The archive is of another tenant.
    #[error("{} is the archive of tenant {found}, not of {expected}; name another directory", path.display())]
    OtherTenant {
        /// The archive.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose was to be written.
        expected: String,
    },
    /// The tenant's history is not the one that the archive holds the beginning of.
    #[error(
        "{} has another history: its commit {sequence} is not the store's (was the store restored to an earlier time, or were versions erased from it?); \
         name another directory",
        path.display()
    )]
    OtherHistory {
        /// The archive.
        path: PathBuf,
        /// The archive's last commit.
        sequence: u64,
    },
    /// The archive begins after the time asked for.
    #[error("the first commit in the archive is of {first}, after the time asked for")]
    TooEarly {
        /// The time of the first commit.
        first: Timestamp,
    },
    /// The tenant to restore or move into has commits that are not a beginning of what is restored or moved.
    #[error("the tenant has other data there, and only an empty one can be restored or moved into")]
    NotEmpty,
    /// What was restored or copied is not what it was made of.
    #[error("the copy differs: {0}")]
    Differs(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn whole(last: u64, last_updated: Timestamp) -> String {
    match last {
        0 => "nothing before it can be restored".to_owned(),
        _ => format!("what comes before, up to commit {last}, can be restored by --until {last_updated}"),
    }
}
