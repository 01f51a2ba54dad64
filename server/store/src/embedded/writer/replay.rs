//! Replays commits of a journal: the same work as a batch's, but sequence numbers, times and versions are given. Checks that
//! they follow what is there.

use heed::RwTxn;
use tokio::sync::oneshot;

use super::{Found, Position, Writer, entries_of, no_head};
use crate::{Commit, Entries, Indexer, StoreError, Version};

/// Commits on their way.
pub(in crate::embedded) struct Replay {
    pub commits: Vec<WithEntries>,
    pub reply: oneshot::Sender<Result<(), StoreError>>,
}

/// A commit, and the entries of each of its versions that is no deletion.
pub(in crate::embedded) struct WithEntries {
    commit: Commit,
    entries: Vec<Option<Entries>>,
}

/// Computes the entries of all versions, on all processors.
pub(in crate::embedded) fn with_entries(
    commits: Vec<Commit>,
    indexer: &dyn Indexer,
) -> Result<Vec<WithEntries>, StoreError> {
    let versions: Vec<&Version> = commits.iter().flat_map(|commit| &commit.versions).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = versions.len().div_ceil(threads).max(1);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let started: Vec<_> = versions
            .chunks(share)
            .map(|part| scope.spawn(|| part.iter().map(|version| entries(indexer, version)).collect()))
            .collect();
        started.into_iter().map(|part| part.join().unwrap_or_else(|_| Err(panicked()))).collect()
    });
    let parts: Vec<Vec<Option<Entries>>> = parts.into_iter().collect::<Result<_, StoreError>>()?;
    let mut all = parts.into_iter().flatten();
    let with = |commit: Commit| {
        let entries = all.by_ref().take(commit.versions.len()).collect();
        WithEntries { commit, entries }
    };
    Ok(commits.into_iter().map(with).collect())
}

fn entries(indexer: &dyn Indexer, version: &Version) -> Result<Option<Entries>, StoreError> {
    match version.is_deleted() {
        true => Ok(None),
        false => entries_of(indexer, &version.key, &version.body).map(Some),
    }
}

fn panicked() -> StoreError {
    StoreError::Storage("the search index of a stored body cannot be computed".into())
}

impl Writer {
    /// One transaction: all of the commits, or after an error none.
    pub(super) fn replay(&mut self, commits: Vec<WithEntries>) -> Result<(), StoreError> {
        let answer = self.replayed(commits);
        if answer.is_err() {
            self.forget();
        }
        answer
    }

    fn replayed(&mut self, commits: Vec<WithEntries>) -> Result<(), StoreError> {
        if let Some(tenant) = &self.sealed {
            return Err(StoreError::Moving(tenant.clone()));
        }
        let env = self.env.clone();
        let mut txn = self.begin(&env)?;
        let mut state = self.state;
        for WithEntries { commit, entries } in commits {
            if commit.sequence != state.sequence + 1 {
                return Err(StoreError::NotNext { last: state.sequence, given: commit.sequence });
            }
            state.sequence = commit.sequence;
            state.last_updated = state.last_updated.max(commit.last_updated);
            for ((version, entries), write) in commit.versions.iter().zip(entries).zip(0..) {
                let found = self.before(&txn, version)?;
                let position = Position { sequence: commit.sequence, write };
                self.put(&mut txn, &mut state, position, version, entries, found)?;
            }
        }
        self.finish(txn, state)
    }

    /// What a version finds, which must be the version before it.
    fn before(&self, txn: &RwTxn<'_>, version: &Version) -> Result<Option<Found>, StoreError> {
        let (records, key) = (self.databases.records, &version.key);
        let Some(ordinal) = records.ordinal(txn, key.as_str())? else {
            return if version.version == 1 { Ok(None) } else { Err(gap(version, 0)) };
        };
        let head = records.head_ref(txn, ordinal)?.ok_or_else(|| no_head(key))?;
        match head.version.checked_add(1) == Some(version.version) {
            true => self.found(ordinal, key, &head, None).map(Some),
            false => Err(gap(version, head.version)),
        }
    }
}

fn gap(version: &Version, found: u64) -> StoreError {
    let (key, number) = (version.key.as_str(), version.version);
    StoreError::Damaged(format!("the journal has version {number} of {key} after version {found}"))
}
