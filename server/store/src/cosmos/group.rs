//! Which batches are committed by one record of the log: those that cannot tell in which order they came. Commits
//! nothing.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::precondition::{Touched, affects};
use super::settle::Held;
use super::stage::Pending;
use crate::units::Ledger;
use crate::{Access, CommitError, Key, Precondition, Timestamp, Version};

/// Most writes of one record, and so of one batch.
pub(crate) const TRANSACTION_WRITES: usize = 10_000;

/// Most bytes of bodies of one group; a larger batch is one by itself.
const GROUP_BYTES: usize = 64 << 20;

/// A batch on its way.
pub(super) struct Job {
    pub access: Access,
    pub preconditions: Vec<Precondition>,
    pub writes: Vec<Pending>,
    /// Why it is refused, if its preconditions hold.
    pub flaw: Option<CommitError>,
    /// The commit of another store that it repeats.
    pub replayed: Option<Replayed>,
    /// Of its caller.
    pub ledger: Option<Ledger>,
    /// Since when it is on its way.
    pub since: Instant,
    /// What is to be free before it is tried again.
    pub after: Option<Held>,
    pub reply: oneshot::Sender<Result<Vec<Version>, CommitError>>,
}

/// A commit as another store had it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replayed {
    pub sequence: u64,
    pub last_updated: Timestamp,
}

impl Job {
    fn bytes(&self) -> usize {
        self.writes.iter().map(|write| write.body.len()).sum()
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.writes.iter().map(|write| &write.key)
    }

    /// Whether what another writes could change the outcome of this one's preconditions.
    pub(super) fn is_affected<'t>(&self, touched: impl Iterator<Item = Touched<'t>>) -> bool {
        if self.preconditions.is_empty() {
            return false;
        }
        let mut touched = touched;
        touched.any(|touched| self.preconditions.iter().any(|p| affects(&touched, &self.access, p)))
    }

    fn is_apart_from(&self, other: &Job) -> bool {
        !self.is_affected(other.keys().map(Touched::of_key))
            && !other.is_affected(self.keys().map(Touched::of_key))
    }
}

/// Takes the next group: the first job, and those right after it that fit.
pub(super) fn take(waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let mut group: Vec<Job> = Vec::new();
    let mut keys: FxHashSet<Box<str>> = FxHashSet::default();
    let (mut writes, mut bytes) = (0, 0);
    while let Some(job) = waiting.pop_front_if(|job| {
        group.is_empty()
            || (job.replayed.is_none()
                && group.iter().all(|other| other.replayed.is_none() && job.is_apart_from(other))
                && writes + job.writes.len() <= TRANSACTION_WRITES
                && bytes + job.bytes() <= GROUP_BYTES
                && !job.keys().any(|key| keys.contains(key.as_str())))
    }) {
        writes += job.writes.len();
        bytes += job.bytes();
        keys.extend(job.keys().map(|key| Box::from(key.as_str())));
        group.push(job);
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosmos::document::IndexFields;
    use crate::{Filter, Method};

    fn job(preconditions: Vec<Precondition>, keys: &[&str]) -> Job {
        let write = |key: &&str| Pending {
            key: Key::parse(key).unwrap(),
            previous: 0,
            method: Method::Put,
            body: vec![0; if key.ends_with("big") { GROUP_BYTES } else { 1 }],
            stamp: None,
            index: IndexFields::default(),
        };
        Job {
            access: Access::unrestricted(),
            preconditions,
            writes: keys.iter().map(write).collect(),
            flaw: None,
            replayed: None,
            ledger: None,
            since: Instant::now(),
            after: None,
            reply: oneshot::channel().0,
        }
    }

    fn groups(jobs: Vec<Job>) -> Vec<usize> {
        let mut waiting = VecDeque::from(jobs);
        let mut groups = Vec::new();
        while !waiting.is_empty() {
            groups.push(take(&mut waiting).len());
        }
        groups
    }

    #[test]
    fn batches_that_could_tell_their_order_are_apart() {
        let none = || Precondition::NoMatch { resource_type: "Patient".into(), filter: Filter::All };
        let exists = |key: &str| Precondition::Exists(Key::parse(key).unwrap());
        let many: Vec<String> = (0..TRANSACTION_WRITES).map(|n| format!("Group/{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let replayed = Replayed { sequence: 1, last_updated: Timestamp(0) };
        for (jobs, expected) in [
            (vec![job(vec![], &["Patient/a"]), job(vec![], &["Patient/b"])], vec![2]),
            (vec![job(vec![], &["Patient/a"]), job(vec![], &["Group/a", "Patient/a"])], vec![1, 1]),
            (vec![job(vec![none()], &["Patient/a"]), job(vec![none()], &["Patient/b"])], vec![1, 1]),
            (vec![job(vec![none()], &["Patient/a"]), job(vec![none()], &["Group/b"])], vec![1, 1]),
            (vec![job(vec![none()], &["Group/a"]), job(vec![none()], &["Group/b"])], vec![2]),
            (vec![job(vec![exists("Patient/a")], &[]), job(vec![], &["Patient/a"])], vec![1, 1]),
            (vec![job(vec![exists("Patient/a")], &[]), job(vec![], &["Patient/b"])], vec![2]),
            (vec![job(vec![], &many), job(vec![], &["Patient/a"])], vec![1, 1]),
            (vec![job(vec![], &["Patient/big"]), job(vec![], &["Patient/a"])], vec![1, 1]),
            (
                vec![
                    Job { replayed: Some(replayed), ..job(vec![], &["Patient/a"]) },
                    job(vec![], &["Patient/b"]),
                ],
                vec![1, 1],
            ),
        ] {
            assert_eq!(groups(jobs), expected);
        }
    }
}
