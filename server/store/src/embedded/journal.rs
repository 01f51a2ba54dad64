//! The journal: commits with the bodies of their versions, read from the change log and the records. Writes nothing; `writer`
//! replays.

use heed::RoTxn;

use super::environment::Databases;
use crate::{Commit, StoreError};

/// The commits after a sequence number, in order, until their bodies have `bytes` or more.
pub(super) fn commits(
    txn: &RoTxn<'_>,
    databases: &Databases,
    after: u64,
    bytes: usize,
) -> Result<Vec<Commit>, StoreError> {
    let mut commits: Vec<Commit> = Vec::new();
    let mut read = 0;
    for item in databases.changes.later(txn, after)? {
        let (position, record) = item?;
        let version = databases.records.version_ref(txn, record.ordinal, record.version)?;
        let version = version.ok_or_else(|| lost(position.sequence))?.to_version()?;
        let size = version.stored_size();
        match commits.last_mut() {
            Some(commit) if commit.sequence == position.sequence => commit.versions.push(version),
            Some(_) if read >= bytes => break,
            _ => commits.push(Commit {
                sequence: position.sequence,
                last_updated: version.last_updated,
                versions: vec![version],
            }),
        }
        read += size;
    }
    Ok(commits)
}

fn lost(sequence: u64) -> StoreError {
    StoreError::Damaged(format!("a version that commit {sequence} wrote is not there"))
}
