//! Commits a group of batches: evaluates their preconditions, stages their writes, and appends one record to the log.
//! That record decides; before it nothing is seen, after it everything.
//!
//! A batch that cannot be committed leaves the group: what it staged is taken back. If that is not sure (an answer was
//! lost, or taking back failed), the whole transaction is given up, and the others begin a new one: what is left of a
//! transaction that never enters the log is seen by nobody, and taken away by whoever meets it.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::group::{Job, Replayed};
use super::log::Appended;
use super::precondition::{self, Touched};
use super::record::{Entry, Letter, Record};
use super::settle::Held;
use super::shard::Shard;
use super::stage::{self, Attempt, Pending, Staged};
use super::tail::{Snapshot, Tail};
use super::timings::ms;
use crate::units::Ledger;
use crate::{CommitError, StoreError, Timestamp, Version, Write};
use futures_util::{FutureExt as _, StreamExt as _, stream};

/// Documents of one group written at a time.
const STAGING: usize = 64;

/// Batches whose preconditions are evaluated at a time.
const EVALUATING: usize = 16;

/// Commits what can be; answers every job, but for those it gives back to be tried again.
pub(super) async fn commit(shard: &Shard, jobs: Vec<Job>) -> Vec<Job> {
    let shared = Ledger::new(false);
    let ledgers: Vec<Ledger> = jobs.iter().filter_map(|job| job.ledger.clone()).collect();
    let batches = jobs.len();
    let mut group = Group { shard, members: jobs, again: Vec::new(), answered: Vec::new(), evaluated: 0 };
    if let Err(error) = shared.scope(group.run()).await {
        group.fail(&error);
    }
    for ledger in ledgers {
        ledger.share(shared.units(), batches);
    }
    // Not before the ledgers are whole: callers read them when they have their answers. A caller that is gone does not
    // wait for its answer; its batch is committed all the same.
    for (job, answer) in group.answered {
        let _ = job.reply.send(answer);
    }
    group.again
}

/// Runs a future; what it costs is a job's own.
async fn charged<F: Future>(ledger: Option<&Ledger>, future: F) -> F::Output {
    match ledger {
        Some(ledger) => ledger.scope(future).await,
        None => future.await,
    }
}

struct Group<'s> {
    shard: &'s Shard,
    members: Vec<Job>,
    again: Vec<Job>,
    /// Those that left, with what to tell their callers.
    answered: Vec<(Job, Result<Vec<Version>, CommitError>)>,
    /// The slot up to which the preconditions of all members hold.
    evaluated: u64,
}

/// Why a member leaves the group.
enum Leave {
    Refused(CommitError),
    Again(Option<Held>),
}

impl Group<'_> {
    /// On an error nothing is committed, and every member left is to be told.
    async fn run(&mut self) -> Result<(), StoreError> {
        self.prepare().await?;
        if self.members.is_empty() {
            return Ok(());
        }
        let attempt = self.attempt();
        let deltas = self.stage(&attempt).await?;
        if self.members.is_empty() {
            return Ok(());
        }
        #[cfg(test)]
        self.shard.at(super::stop::Step::Staged).await;
        self.append(&attempt, deltas).await
    }

    /// Refuses what can be refused before anything is written.
    async fn prepare(&mut self) -> Result<(), StoreError> {
        let asks = self.members.iter().any(|job| !job.preconditions.is_empty());
        // A tenant that was sealed may take commits again.
        let snapshot = if asks || self.shard.log.tail().is_sealed() {
            self.shard.refresh().await?
        } else {
            self.shard.snapshot()
        };
        self.shard.writable()?;
        self.evaluated = snapshot.sum().slot;
        let failing = self.evaluate(&snapshot, |_| true).await;
        let mut leaving = Vec::new();
        for (job, failing) in self.members.iter_mut().zip(failing) {
            let flaw = job.flaw.take().or_else(|| outdated(&self.shard.log.tail(), &job.writes));
            leaving.push(failing.or_else(|| flaw.map(Leave::Refused)));
        }
        self.leave(leaving);
        // What only asks is answered by having asked.
        for job in self.members.extract_if(.., |job| job.writes.is_empty()) {
            self.answered.push((job, Ok(Vec::new())));
        }
        Ok(())
    }

    /// For each member whether its preconditions fail, where `which` says that they are to be evaluated.
    async fn evaluate(&self, snapshot: &Snapshot, which: impl Fn(&Job) -> bool) -> Vec<Option<Leave>> {
        let evaluations: Vec<_> = self
            .members
            .iter()
            .map(|job| {
                let asked = !job.preconditions.is_empty() && which(job);
                async move {
                    if !asked {
                        return None;
                    }
                    let failing =
                        precondition::first_failing(self.shard, snapshot, &job.access, &job.preconditions);
                    match charged(job.ledger.as_ref(), failing).await {
                        Ok(None) => None,
                        Ok(Some(precondition)) => {
                            Some(Leave::Refused(CommitError::Precondition { precondition }))
                        }
                        Err(error) => Some(Leave::Refused(error.into())),
                    }
                }
                .boxed()
            })
            .collect();
        stream::iter(evaluations).buffered(EVALUATING).collect().await
    }

    /// A new transaction, its time stamped into the bodies.
    fn attempt(&mut self) -> Attempt {
        let now = self.shard.now_ms();
        let replayed = self.members.iter().find_map(|job| job.replayed);
        let last_updated = match replayed {
            Some(replayed) => replayed.last_updated,
            None => Timestamp(now.max(self.shard.snapshot().sum().last_updated)),
        };
        let text = last_updated.text();
        for write in self.members.iter_mut().flat_map(|job| &mut job.writes) {
            let Some(stamp) = write.stamp else { continue };
            if let Some(room) = write.body.get_mut(stamp..stamp + Write::STAMP_LENGTH) {
                room.copy_from_slice(&text);
            }
        }
        Attempt {
            transaction: self.shard.transactions.next(now),
            last_updated,
            container: self.shard.container.recording(),
            uncertain: AtomicBool::new(false),
        }
    }

    /// Stages all writes; members of which one cannot be staged leave. For each of the others, by how much each write
    /// changes the number of current resources.
    async fn stage(&mut self, attempt: &Attempt) -> Result<Vec<Vec<i8>>, StoreError> {
        let outcomes = self.stage_all(attempt).await;
        let mut leaving = Vec::new();
        let mut staged = Vec::new();
        for outcomes in outcomes {
            match verdict(outcomes) {
                Ok(deltas) => {
                    staged.push(deltas);
                    leaving.push(None);
                }
                Err(leave) => leaving.push(Some(leave)),
            }
        }
        self.take_back(attempt, leaving).await?;
        Ok(staged)
    }

    async fn stage_all(&self, attempt: &Attempt) -> Vec<Vec<Option<Result<Staged, StoreError>>>> {
        let failed: Vec<AtomicUsize> = self.members.iter().map(|_| AtomicUsize::new(usize::MAX)).collect();
        let mut index = 0;
        let mut tasks = Vec::new();
        for (job, failed) in self.members.iter().zip(&failed) {
            for (number, write) in job.writes.iter().enumerate() {
                tasks.push(self.stage_one(attempt, job, failed, number, write, index).boxed());
                index += 1;
            }
        }
        let mut outcomes = stream::iter(tasks).buffered(STAGING).collect::<Vec<_>>().await.into_iter();
        self.members.iter().map(|job| outcomes.by_ref().take(job.writes.len()).collect()).collect()
    }

    /// `None` where an earlier write of the same batch failed: then this one does not matter.
    async fn stage_one(
        &self,
        attempt: &Attempt,
        job: &Job,
        failed: &AtomicUsize,
        number: usize,
        write: &Pending,
        index: usize,
    ) -> Option<Result<Staged, StoreError>> {
        if failed.load(Ordering::Acquire) < number {
            return None;
        }
        #[cfg(test)]
        self.shard.at(super::stop::Step::Staging(index)).await;
        let staging = stage::stage(self.shard, attempt, &job.access, write, index);
        let outcome = charged(job.ledger.as_ref(), staging).await;
        if !matches!(outcome, Ok(Staged::Yes(_))) {
            failed.fetch_min(number, Ordering::AcqRel);
        }
        Some(outcome)
    }

    /// Has members leave and takes back what they staged. Where it is not sure that nothing of them is left, the
    /// transaction is given up and all begin again.
    async fn take_back(&mut self, attempt: &Attempt, leaving: Vec<Option<Leave>>) -> Result<(), StoreError> {
        if leaving.iter().all(Option::is_none) {
            return Ok(());
        }
        let writes = self.members.iter().zip(&leaving).filter(|(_, leave)| leave.is_some());
        let clean = self.unstage(attempt, writes.flat_map(|(job, _)| &job.writes)).await;
        self.leave(leaving);
        if !clean || attempt.uncertain.load(Ordering::Acquire) {
            self.give_up(attempt).await;
        }
        Ok(())
    }

    /// Takes back what writes staged; whether all of it is gone.
    async fn unstage<'w>(&self, attempt: &Attempt, writes: impl Iterator<Item = &'w Pending>) -> bool {
        let tasks: Vec<_> = writes
            .map(|write| {
                async move {
                    let place = self.shard.place(&write.key);
                    stage::unstage(self.shard, &place, &attempt.transaction).await
                }
                .boxed()
            })
            .collect();
        let left: Vec<StoreError> =
            stream::iter(tasks).buffer_unordered(STAGING).filter_map(async |done| done.err()).collect().await;
        if let Some(error) = left.first() {
            tracing::warn!(documents = left.len(), %error, "staged documents were left to the sweep");
        }
        left.is_empty()
    }

    /// Gives the transaction up: all members begin again in another.
    async fn give_up(&mut self, attempt: &Attempt) {
        self.unstage(attempt, self.writes()).await;
        let leaving = self.members.iter().map(|_| Some(Leave::Again(None))).collect();
        self.leave(leaving);
    }

    /// Appends the record. Returns an error only where it is sure that it does not stand in the log.
    async fn append(&mut self, attempt: &Attempt, mut deltas: Vec<Vec<i8>>) -> Result<(), StoreError> {
        loop {
            let snapshot = self.shard.snapshot();
            if let Err(error) = self.may_append(&snapshot) {
                self.unstage(attempt, self.writes()).await;
                return Err(error);
            }
            if self.is_over(attempt) {
                self.give_up(attempt).await;
                return Ok(());
            }
            self.evaluate_again(attempt, &snapshot, &mut deltas).await?;
            if self.members.is_empty() {
                return Ok(());
            }
            let record = self.record(attempt, &snapshot, &deltas);
            let slot = snapshot.sum().slot;
            match self.shard.log.append(&record, slot).await {
                Ok(Appended::Yes) => break,
                Ok(Appended::Taken) => {
                    if let Err(error) = self.shard.refresh().await {
                        tracing::warn!(%error, "the log cannot be read; its next record is awaited");
                    }
                }
                Err(error @ StoreError::Unsettled(_)) => {
                    self.fail(&error);
                    return Ok(());
                }
                Err(error) => {
                    self.unstage(attempt, self.writes()).await;
                    return Err(error);
                }
            }
        }
        #[cfg(test)]
        self.shard.at(super::stop::Step::Appended).await;
        for mut job in std::mem::take(&mut self.members) {
            let writes = std::mem::take(&mut job.writes);
            let versions = writes.into_iter().map(|write| version(write, attempt.last_updated)).collect();
            self.answered.push((job, Ok(versions)));
        }
        Ok(())
    }

    fn writes(&self) -> impl Iterator<Item = &Pending> {
        self.members.iter().flat_map(|job| &job.writes)
    }

    /// Whether a record may be appended after what a snapshot knows.
    fn may_append(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.shard.writable()?;
        let last = snapshot.sum().sequence;
        match self.members.iter().find_map(|job| job.replayed) {
            Some(Replayed { sequence, .. }) if sequence != last + 1 => {
                Err(StoreError::NotNext { last, given: sequence })
            }
            _ => Ok(()),
        }
    }

    /// Whether the transaction can no longer be committed: it was killed, or is so old that others may take it for dead.
    fn is_over(&self, attempt: &Attempt) -> bool {
        let age = self.shard.now_ms().saturating_sub(attempt.transaction.ms());
        age > ms(self.shard.timings.stage_life) || self.shard.log.tail().is_killed(&attempt.transaction)
    }

    /// Evaluates the preconditions again that commits since could have changed.
    async fn evaluate_again(
        &mut self,
        attempt: &Attempt,
        snapshot: &Snapshot,
        deltas: &mut Vec<Vec<i8>>,
    ) -> Result<(), StoreError> {
        if snapshot.sum().slot == self.evaluated {
            return Ok(());
        }
        let since = self.shard.log.tail().since(self.evaluated);
        let affected = |job: &Job| match &since {
            Some(records) => records.iter().any(|record| job.is_affected(Touched::of_record(record))),
            None => true,
        };
        let leaving = self.evaluate(snapshot, affected).await;
        self.evaluated = snapshot.sum().slot;
        let mut kept = leaving.iter().map(Option::is_none);
        deltas.retain(|_| kept.next().unwrap_or(true));
        self.take_back(attempt, leaving).await
    }

    fn record(&self, attempt: &Attempt, snapshot: &Snapshot, deltas: &[Vec<i8>]) -> Record {
        let batches = self.members.iter().zip(deltas).map(|(job, deltas)| {
            let entries = job.writes.iter().zip(deltas).map(|(write, delta)| {
                let letter = Letter::from(write.method);
                Entry(write.key.as_str().to_owned(), write.previous + 1, letter, *delta)
            });
            entries.collect()
        });
        let first = snapshot.sum().sequence + 1;
        let record = Record::commit(&attempt.transaction, attempt.last_updated.0, first, batches.collect());
        Record { st: attempt.container.written(), ..record }
    }

    /// Has members leave: answers those that are refused, and keeps those that are to be tried again.
    fn leave(&mut self, leaving: Vec<Option<Leave>>) {
        let members = std::mem::take(&mut self.members);
        for (mut job, leave) in members.into_iter().zip(leaving) {
            match leave {
                None => self.members.push(job),
                Some(Leave::Refused(error)) => self.answered.push((job, Err(error))),
                Some(Leave::Again(_)) if job.since.elapsed() > self.shard.timings.stage_life => {
                    let why = "other commits keep coming first, or the store is too slow for one this large";
                    self.answered.push((job, Err(StoreError::Unavailable(why.to_owned()).into())));
                }
                Some(Leave::Again(after)) => {
                    job.after = after;
                    self.again.push(job);
                }
            }
        }
    }

    /// Answers all members with an error.
    fn fail(&mut self, error: &StoreError) {
        for job in std::mem::take(&mut self.members) {
            self.answered.push((job, Err(of_all(error).into())));
        }
    }
}

/// The error that one member of a group is told.
fn of_all(error: &StoreError) -> StoreError {
    match error {
        StoreError::Throttled { after } => StoreError::Throttled { after: *after },
        StoreError::Unavailable(why) => StoreError::Unavailable(why.clone()),
        StoreError::Unsettled(why) => StoreError::Unsettled(why.clone()),
        StoreError::Moving(tenant) => StoreError::Moving(tenant.clone()),
        StoreError::NotNext { last, given } => StoreError::NotNext { last: *last, given: *given },
        StoreError::Damaged(what) => StoreError::Damaged(what.clone()),
        other => StoreError::Storage(other.to_string()),
    }
}

/// The first write that follows a version which is known to have been superseded: no need to find out by staging it.
fn outdated(tail: &Tail, writes: &[Pending]) -> Option<CommitError> {
    writes.iter().enumerate().find_map(|(index, write)| {
        let found = tail.latest_version(write.key.as_str()).filter(|latest| *latest > write.previous)?;
        Some(CommitError::Conflict { write: index, found })
    })
}

/// What the outcomes of a batch's writes, in order, make of it: the first that is not staged decides.
fn verdict(outcomes: Vec<Option<Result<Staged, StoreError>>>) -> Result<Vec<i8>, Leave> {
    let mut deltas = Vec::with_capacity(outcomes.len());
    for (write, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Some(Ok(Staged::Yes(delta))) => deltas.push(delta),
            Some(Ok(Staged::Conflict(found))) => {
                return Err(Leave::Refused(CommitError::Conflict { write, found }));
            }
            Some(Ok(Staged::Forbidden)) => return Err(Leave::Refused(CommitError::Forbidden { write })),
            Some(Ok(Staged::Again(after))) => return Err(Leave::Again(after)),
            Some(Err(error)) => return Err(Leave::Refused(error.into())),
            // Only after one that was not staged.
            None => return Err(Leave::Again(None)),
        }
    }
    Ok(deltas)
}

fn version(write: Pending, last_updated: Timestamp) -> Version {
    Version {
        key: write.key,
        version: write.previous + 1,
        last_updated,
        method: write.method,
        body: write.body.into(),
    }
}
