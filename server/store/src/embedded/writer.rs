//! The writer: one thread that takes every batch that waits, applies them to one transaction, makes it
//! durable and answers them all. Never reads a body's elements; index entries come with a batch.
//!
//! A batch is checked as a whole before any of it is written, against the state the batches before it leave,
//! so that a refused batch leaves nothing behind and does not hold up the others. Nobody is answered before
//! the disk has it, not even those that are refused, for what they were refused for could still be lost.

mod erase;
mod own_parameters;
mod replay;

use std::sync::{Arc, OnceLock};

use heed::{Env, RoTxn, RwTxn, WithoutTls};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::{mpsc, oneshot};

pub(super) use self::replay::{Replay, with_entries};
use super::changes::ChangeRecord;
use super::environment::Databases;
use super::meta::State;
use super::own::{self, Own};
use super::postings::Pending;
use super::records::RecordRef;
use super::search;
use super::visible::View;
use crate::cursor::Position;
use crate::own::of_filter;
use crate::{
    Access, Batch, CommitError, Entries, Erasure, Filter, Indexer, Key, Method, OwnParameter, Precondition,
    StoreError, Timestamp, Version, Write,
};

/// Most writes of one transaction; a larger batch has one for itself.
const GROUP_WRITES: usize = 4096;

/// Most bytes of bodies of one transaction; a larger batch has one for itself.
const GROUP_BYTES: usize = 16 << 20;

/// What the writer is asked.
pub(super) enum Job {
    Commit(Commit),
    Replay(Replay),
    /// Takes batches no more, as those of a tenant of this name that is being moved; `None`: takes them again. The
    /// answer is the last commit's sequence number: every batch handed over before is in it or refused.
    Seal {
        tenant: Option<Box<str>>,
        reply: oneshot::Sender<u64>,
    },
    /// Begins to bring the index to the tenant's own parameters, given by name and definition.
    SetOwn {
        wanted: Vec<(String, String)>,
        reply: oneshot::Sender<Result<Vec<OwnParameter>, StoreError>>,
    },
    /// Does a step of that; whether something is left to do.
    StepOwn {
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    /// Erases versions; how many had content.
    Erase {
        erasures: Vec<Erasure>,
        reply: oneshot::Sender<Result<u64, StoreError>>,
    },
}

/// A batch on its way.
pub(super) struct Commit {
    pub access: Access,
    pub batch: Batch,
    /// For each write, the entries of the version it says it follows, if the caller found it.
    pub replaced: Vec<Option<Entries>>,
    pub reply: oneshot::Sender<Result<Vec<Version>, CommitError>>,
}

type Answer = (oneshot::Sender<Result<Vec<Version>, CommitError>>, Result<Vec<Version>, CommitError>);

/// The thread's state.
pub(super) struct Writer {
    env: Env<WithoutTls>,
    databases: Databases,
    indexer: Arc<dyn Indexer>,
    failed: Arc<OnceLock<Failed>>,
    state: State,
    /// The name of the tenant while it is being moved.
    sealed: Option<Box<str>>,
    pending: Pending,
    /// The tenant's own parameters, as the index has them.
    own: Own,
    /// How many changes each type has, as far as known.
    type_counts: FxHashMap<Box<str>, u64>,
    record: Vec<u8>,
    scratch: Vec<u8>,
}

/// What a write finds: the resource it is about, if there was one before.
struct Found {
    ordinal: u32,
    /// The version it replaces, if that is not a deletion.
    replaced: Option<(Timestamp, Entries)>,
}

impl Writer {
    pub(super) fn new(
        env: Env<WithoutTls>,
        databases: Databases,
        indexer: Arc<dyn Indexer>,
        failed: Arc<OnceLock<Failed>>,
        state: State,
        own: Own,
    ) -> Writer {
        Writer {
            env,
            databases,
            indexer,
            failed,
            state,
            sealed: None,
            pending: Pending::new(),
            own,
            type_counts: FxHashMap::default(),
            record: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Commits what comes until the environment closes.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut after = None;
        while let Some(job) = after.take().or_else(|| jobs.blocking_recv()) {
            // A caller that is gone does not wait for its answer; what it asked is done all the same.
            match job {
                Job::Commit(first) => after = self.commit(first, &mut jobs),
                Job::Replay(job) => {
                    let answer = self.replay(job.commits);
                    let _ = job.reply.send(answer);
                }
                Job::Seal { tenant, reply } => {
                    self.sealed = tenant;
                    let _ = reply.send(self.state.sequence);
                }
                Job::SetOwn { wanted, reply } => {
                    let answer = self.set_own(&wanted);
                    let _ = reply.send(answer);
                }
                Job::StepOwn { reply } => {
                    let answer = self.step_own();
                    let _ = reply.send(answer);
                }
                Job::Erase { erasures, reply } => {
                    let answer = self.erase(&erasures);
                    let _ = reply.send(answer);
                }
            }
        }
    }

    /// Commits and answers a batch and those that wait behind it; the job after them, if it came to one that is no batch.
    fn commit(&mut self, first: Commit, jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
        let (mut answers, mut after) = (Vec::new(), None);
        let mut next = || match jobs.try_recv().ok()? {
            Job::Commit(batch) => Some(batch),
            other => {
                after = Some(other);
                None
            }
        };
        if let Err(error) = self.group(first, &mut next, &mut answers) {
            self.forget();
            fail(&mut answers, &error);
        }
        for (reply, answer) in answers {
            let _ = reply.send(answer);
        }
        after
    }

    /// One transaction: the first batch and those that wait. After an error nothing of it is written.
    fn group(
        &mut self,
        first: Commit,
        waiting: &mut dyn FnMut() -> Option<Commit>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), StoreError> {
        let env = self.env.clone();
        let mut next = Some(first);
        let (mut writes, mut bytes) = (0, 0);
        let mut state = self.state;
        let mut txn = match self.begin(&env) {
            Ok(txn) => txn,
            Err(error) => {
                answers.extend(next.map(|job| (job.reply, Ok(Vec::new()))));
                return Err(error);
            }
        };
        while let Some(job) = next {
            let Commit { access, batch, replaced, reply } = job;
            writes += batch.writes.len();
            bytes += batch.writes.iter().map(body_length).sum::<usize>();
            let found = self.check(&mut txn, &access, &batch, replaced);
            // Until it is written, a batch counts as one that failed with the rest.
            let written = match found {
                Ok(found) => self.apply(&mut txn, &mut state, batch.writes, found),
                Err(refusal) => {
                    answers.push((reply, Err(refusal)));
                    next = within(writes, bytes).then(&mut *waiting).flatten();
                    continue;
                }
            };
            match written {
                Ok(versions) => answers.push((reply, Ok(versions))),
                Err(error) => {
                    answers.push((reply, Ok(Vec::new())));
                    return Err(error);
                }
            }
            next = within(writes, bytes).then(&mut *waiting).flatten();
        }
        self.finish(txn, state)
    }

    fn begin<'e>(&self, env: &'e Env<WithoutTls>) -> Result<RwTxn<'e>, StoreError> {
        if let Some(failed) = self.failed.get() {
            return Err(failed.error());
        }
        Ok(env.write_txn()?)
    }

    /// Flushes the index and makes the transaction durable.
    fn finish(&mut self, mut txn: RwTxn<'_>, state: State) -> Result<(), StoreError> {
        if state == self.state {
            return Ok(());
        }
        self.flush(&mut txn)?;
        self.databases.meta.set_state(&mut txn, state)?;
        if let Err(error) = txn.commit() {
            // Whether the disk has it is not known, nor whether a later sync would say so.
            tracing::error!(%error, "a commit failed; the store refuses writes until it is opened again");
            let error = commit_error(error);
            let failed = self.failed.get_or_init(|| Failed::of(&error));
            return Err(failed.error());
        }
        self.state = state;
        Ok(())
    }

    /// What single resources are asked by, as they are now: what is pending is not in it.
    fn view<'t>(&'t self, txn: &'t RoTxn<'t>) -> View<'t> {
        View { txn, databases: &self.databases, indexer: &*self.indexer }
    }

    fn flush(&mut self, txn: &mut RwTxn<'_>) -> Result<(), StoreError> {
        self.pending.flush(txn, &self.databases.index)
    }

    /// Forgets what a transaction that was not committed left here.
    fn forget(&mut self) {
        self.pending = Pending::new();
        self.type_counts.clear();
    }

    /// Whether a batch can be written; what its writes find.
    fn check(
        &mut self,
        txn: &mut RwTxn<'_>,
        access: &Access,
        batch: &Batch,
        replaced: Vec<Option<Entries>>,
    ) -> Result<Vec<Option<Found>>, CommitError> {
        if let Some(tenant) = &self.sealed {
            return Err(StoreError::Moving(tenant.clone()).into());
        }
        for (precondition, condition) in batch.preconditions.iter().enumerate() {
            if !self.holds(txn, access, condition)? {
                return Err(CommitError::Precondition { precondition });
            }
        }
        let mut keys = FxHashSet::default();
        let mut found = Vec::with_capacity(batch.writes.len());
        let replaced = replaced.into_iter().chain(std::iter::repeat_with(|| None));
        if !access.sees_everything() {
            // What is permitted is asked of the index.
            self.flush(txn)?;
        }
        for (index, (write, replaced)) in batch.writes.iter().zip(replaced).enumerate() {
            if batch.writes.len() > 1 && !keys.insert(write.key().as_str()) {
                return Err(CommitError::Conflict { write: index, found: previous(write) + 1 });
            }
            found.push(self.find(txn, access, write, index, replaced)?);
        }
        Ok(found)
    }

    fn holds(
        &mut self,
        txn: &mut RwTxn<'_>,
        access: &Access,
        condition: &Precondition,
    ) -> Result<bool, StoreError> {
        let databases = self.databases;
        match condition {
            Precondition::NoMatch { resource_type, filter } => {
                let mut asked = Vec::new();
                of_filter(filter, &mut asked);
                own::refuse_unindexed(txn, &databases, &asked)?;
                self.flush(txn)?;
                search::any_match(txn, &databases.index, &databases.records, access, resource_type, filter)
                    .map(|any| !any)
            }
            Precondition::Exists(key) => {
                let rule = access.seen(key.resource_type());
                if *rule != Filter::All {
                    self.flush(txn)?;
                }
                let Some(ordinal) = databases.records.ordinal(txn, key.as_str())? else { return Ok(false) };
                let head = databases.records.head_ref(txn, ordinal)?;
                Ok(head.is_some_and(|head| !head.is_deleted())
                    && self.view(txn).current(rule, ordinal, key.as_str())?)
            }
        }
    }

    /// The resource of a write, which must have the version the write follows, and a body with room for the
    /// commit's time.
    fn find(
        &self,
        txn: &RwTxn<'_>,
        access: &Access,
        write: &Write,
        index: usize,
        replaced: Option<Entries>,
    ) -> Result<Option<Found>, CommitError> {
        if let Write::Put { body, stamp, .. } = write
            && stamp.checked_add(Write::STAMP_LENGTH).is_none_or(|end| end > body.len())
        {
            return Err(StoreError::Damaged("a body has no room for the commit's time".into()).into());
        }
        let previous = previous(write);
        let key = write.key();
        let rule = access.filter(write.permission(), key.resource_type());
        if let Write::Put { entries, .. } = write
            && !self.view(txn).written(rule, key, entries)?
        {
            return Err(CommitError::Forbidden { write: index });
        }
        let records = self.databases.records;
        let Some(ordinal) = records.ordinal(txn, key.as_str())? else {
            return if previous == 0 {
                Ok(None)
            } else {
                Err(CommitError::Conflict { write: index, found: 0 })
            };
        };
        let head = records.head_ref(txn, ordinal)?.ok_or_else(|| no_head(key))?;
        if head.version != previous {
            return Err(CommitError::Conflict { write: index, found: head.version });
        }
        if !self.view(txn).current(rule, ordinal, key.as_str())? {
            return Err(CommitError::Forbidden { write: index });
        }
        Ok(Some(self.found(ordinal, key, &head, replaced)?))
    }

    /// What a write finds that replaces this version. `entries` are those of its body, if they are known.
    fn found(
        &self,
        ordinal: u32,
        key: &Key,
        head: &RecordRef<'_>,
        entries: Option<Entries>,
    ) -> Result<Found, StoreError> {
        if head.is_deleted() {
            return Ok(Found { ordinal, replaced: None });
        }
        let mut entries = match entries {
            Some(entries) => entries,
            None => entries_of(&*self.indexer, key, head.body)?,
        };
        self.own.append(ordinal, key, head.body, &mut entries)?;
        Ok(Found { ordinal, replaced: Some((head.last_updated, entries)) })
    }

    /// Writes a batch that was found to be writable. After an error the transaction must not be committed.
    fn apply(
        &mut self,
        txn: &mut RwTxn<'_>,
        state: &mut State,
        writes: Vec<Write>,
        found: Vec<Option<Found>>,
    ) -> Result<Vec<Version>, StoreError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        state.sequence += 1;
        state.last_updated = state.last_updated.max(Timestamp::now());
        let stamp_text = state.last_updated.text();
        let mut versions = Vec::with_capacity(writes.len());
        for ((write, found), number) in writes.into_iter().zip(found).zip(0..) {
            let (version, entries) = new_version(write, state.last_updated, &stamp_text);
            let position = Position { sequence: state.sequence, write: number };
            self.put(txn, state, position, &version, entries, found)?;
            versions.push(version);
        }
        Ok(versions)
    }

    fn put(
        &mut self,
        txn: &mut RwTxn<'_>,
        state: &mut State,
        position: Position,
        version: &Version,
        entries: Option<Entries>,
        found: Option<Found>,
    ) -> Result<(), StoreError> {
        let key = &version.key;
        let record = RecordRef {
            version: version.version,
            sequence: position.sequence,
            last_updated: version.last_updated,
            method: version.method,
            key: key.as_str(),
            body: &version.body,
        };
        record.encode(&mut self.record);
        if record.is_erased() {
            self.databases.meta.add_erased(txn, key.resource_type(), 1)?;
        }
        let records = self.databases.records;
        let ordinal = match found {
            Some(Found { ordinal, replaced }) => {
                let older = version.version - 1;
                records.replace(txn, ordinal, older, &self.record, &mut self.scratch)?;
                if let Some((last_updated, entries)) = replaced {
                    self.pending.remove(ordinal, key, last_updated, &entries);
                }
                ordinal
            }
            None => {
                let ordinal = state.next_ordinal;
                state.next_ordinal = ordinal.checked_add(1).ok_or_else(full)?;
                records.create(txn, ordinal, key.as_str(), &self.record)?;
                ordinal
            }
        };
        if let Some(mut entries) = entries {
            self.own.append(ordinal, key, &version.body, &mut entries)?;
            self.pending.add(ordinal, key, version.last_updated, &entries);
        }
        self.log(txn, position, ordinal, version)
    }

    fn log(
        &mut self,
        txn: &mut RwTxn<'_>,
        position: Position,
        ordinal: u32,
        version: &Version,
    ) -> Result<(), StoreError> {
        let changes = self.databases.changes;
        let resource_type = version.key.resource_type();
        if !self.type_counts.contains_key("") {
            self.type_counts.insert("".into(), changes.count(txn, None)?);
        }
        if !self.type_counts.contains_key(resource_type) {
            self.type_counts.insert(resource_type.into(), changes.count(txn, Some(resource_type))?);
        }
        let mut next = |name: &str| {
            let count = self.type_counts.get_mut(name);
            count.map_or(0, |count| {
                *count += 1;
                *count
            })
        };
        let record = ChangeRecord {
            ordinal,
            version: version.version,
            last_updated: version.last_updated,
            method: version.method,
            count: next(""),
        };
        changes.push(txn, position, record, resource_type, next(resource_type))
    }
}

/// Whether one more batch fits into a transaction.
fn within(writes: usize, bytes: usize) -> bool {
    writes < GROUP_WRITES && bytes < GROUP_BYTES
}

/// The version a write makes, and its entries.
fn new_version(
    write: Write,
    last_updated: Timestamp,
    stamp_text: &[u8; Write::STAMP_LENGTH],
) -> (Version, Option<Entries>) {
    match write {
        Write::Put { key, previous, method, mut body, stamp, entries } => {
            for (to, from) in body.iter_mut().skip(stamp).zip(stamp_text) {
                *to = *from;
            }
            let body = body.into();
            (Version { key, version: previous + 1, last_updated, method, body }, Some(entries))
        }
        Write::Delete { key, previous } => {
            let body = bytes::Bytes::new();
            (Version { key, version: previous + 1, last_updated, method: Method::Delete, body }, None)
        }
    }
}

/// The entries of a stored body.
pub(super) fn entries_of(indexer: &dyn Indexer, key: &Key, body: &[u8]) -> Result<Entries, StoreError> {
    let mut entries = Entries::new();
    indexer.entries(key.resource_type(), body, &mut entries).map_err(|error| {
        StoreError::Damaged(format!("the stored body of {} has no entries: {error}", key.as_str()))
    })?;
    Ok(entries)
}

/// The version a write follows.
pub(super) fn previous(write: &Write) -> u64 {
    match write {
        Write::Put { previous, .. } | Write::Delete { previous, .. } => *previous,
    }
}

fn body_length(write: &Write) -> usize {
    match write {
        Write::Put { body, .. } => body.len(),
        Write::Delete { .. } => 0,
    }
}

/// Turns the answers of a transaction that failed into its failure.
fn fail(answers: &mut [Answer], error: &StoreError) {
    for (_, answer) in answers {
        *answer = Err(again(error).into());
    }
}

fn no_head(key: &Key) -> StoreError {
    StoreError::Damaged(format!("{} has an ordinal but no version", key.as_str()))
}

fn full() -> StoreError {
    StoreError::Storage("the store holds as many resources as it can number".into())
}

/// What a commit failed of.
fn commit_error(error: heed::Error) -> StoreError {
    /// LMDB's answer to a write that the system cut short, as it does at the end of a disk.
    const EIO: i32 = 5;
    match error {
        heed::Error::Io(error) if error.raw_os_error() == Some(EIO) => {
            StoreError::Full("the disk took a part of a commit only; it is full, or it fails".into())
        }
        error => error.into(),
    }
}

/// Why an environment takes no writes any more: a commit failed, and whether the disk has it is not known.
#[derive(Debug)]
pub(super) struct Failed {
    full: bool,
    why: String,
}

impl Failed {
    /// After this error of a commit.
    pub(super) fn of(error: &StoreError) -> Failed {
        match error {
            StoreError::Full(why) => Failed { full: true, why: why.clone() },
            StoreError::Storage(why) => Failed { full: false, why: why.clone() },
            error => Failed { full: false, why: error.to_string() },
        }
    }

    /// The error of every write.
    pub(super) fn error(&self) -> StoreError {
        match self.full {
            true => StoreError::Full(format!("{}; make room and start the server again", self.why)),
            false => StoreError::Storage(format!(
                "a commit failed ({}); start the server again to write",
                self.why
            )),
        }
    }
}

/// The same error for another caller.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full(why) => StoreError::Full(why.clone()),
        StoreError::Storage(why) => StoreError::Storage(why.clone()),
        error => StoreError::Storage(error.to_string()),
    }
}
