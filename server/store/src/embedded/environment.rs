//! One tenant's LMDB environment: opens it, with its databases and its writer. Says nothing of what they hold.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use heed::{Env, EnvOpenOptions, RoTxn, RwTxn, WithoutTls};
use tokio::sync::{mpsc, oneshot};

use super::changes::Changes;
use super::meta::{FORMAT, Meta};
use super::own::Own;
use super::postings::IndexDatabases;
use super::rebuild;
use super::records::{Records, Table};
use super::visible::View;
use super::writer::{self, Failed, Job, Replay, Writer, entries_of, previous};
use crate::{
    Access, Batch, Commit, CommitError, Entries, Erasure, Indexer, OwnParameter, StoreError, Version, Write,
};

/// Sizes of the address space to map, tried in turn: a sparse reservation, and what a system without so much
/// room for it may still give. It bounds the size of the file.
const MAP_BYTES: [usize; 4] = [1 << 40, 1 << 38, 1 << 36, 1 << 34];

/// Most reads at one time.
const MAX_READERS: u32 = 1024;

/// Room for named databases.
const MAX_DATABASES: u32 = 32;

/// Batches that may wait for the writer; more wait to get in.
const QUEUE: usize = 1024;

/// All databases of an environment.
#[derive(Clone, Copy)]
pub(super) struct Databases {
    pub meta: Meta,
    pub records: Records,
    pub changes: Changes,
    pub index: IndexDatabases,
}

/// A tenant's environment and its writer. Dropping it waits for the commit that is under way.
pub(super) struct Environment {
    env: Env<WithoutTls>,
    pub databases: Databases,
    pub indexer: Arc<dyn Indexer>,
    pub secret: [u8; 32],
    failed: Arc<OnceLock<Failed>>,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Environment {
    /// Opens (or makes) the environment in a directory, and rebuilds its index if it is another indexer's.
    pub(super) fn open(
        directory: &Path,
        indexer: Arc<dyn Indexer>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Environment, StoreError> {
        std::fs::create_dir_all(directory)?;
        let env = map(directory)?;
        // Readers of a process that was killed would keep pages from being used again.
        env.clear_stale_readers()?;
        refuse_other_formats(&env)?;
        let databases = Databases::open(&env, &*indexer)?;
        rebuild::if_needed(&env, &databases, &*indexer, progress)?;
        let txn = env.read_txn()?;
        let secret = databases.meta.secret(&txn)?;
        let state = databases.meta.state(&txn)?;
        drop(txn);
        let own = own_parameters(&env, &databases, &*indexer, progress)?;
        let failed = Arc::new(OnceLock::new());
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(env.clone(), databases, indexer.clone(), failed.clone(), state, own);
        let thread =
            std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(queue))?;
        Ok(Environment { env, databases, indexer, secret, failed, jobs: Some(jobs), thread: Some(thread) })
    }

    /// A snapshot to read from; to be dropped soon, for it keeps replaced pages from being used again.
    pub(super) fn read(&self) -> Result<RoTxn<'_, WithoutTls>, StoreError> {
        Ok(self.env.read_txn()?)
    }

    /// What single resources are asked by, at a snapshot.
    pub(super) fn view<'t>(&'t self, txn: &'t RoTxn<'t>) -> View<'t> {
        View { txn, databases: &self.databases, indexer: &*self.indexer }
    }

    /// The environment itself, to be damaged.
    #[cfg(test)]
    pub(super) fn raw(&self) -> &Env<WithoutTls> {
        &self.env
    }

    /// As after a commit that failed.
    #[cfg(test)]
    pub(super) fn poison(&self) {
        let _ = self.failed.set(Failed::of(&StoreError::Storage("a test says so".into())));
    }

    /// Whether it takes writes.
    pub(super) fn writable(&self) -> Result<(), StoreError> {
        self.failed.get().map_or(Ok(()), |failed| Err(failed.error()))
    }

    /// Hands a batch to the writer and waits for its answer.
    pub(super) async fn commit(&self, access: &Access, batch: Batch) -> Result<Vec<Version>, CommitError> {
        self.writable()?;
        let replaced = self.replaced(&batch)?;
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Commit(writer::Commit { access: access.clone(), batch, replaced, reply })).await?;
        answer.await.map_err(|_| stopped())?
    }

    /// Hands commits of a journal to the writer and waits until they are durable.
    pub(super) async fn replay(&self, commits: Vec<Commit>) -> Result<(), StoreError> {
        let indexer = self.indexer.clone();
        let indexed = tokio::task::spawn_blocking(move || writer::with_entries(commits, &*indexer));
        let commits = indexed.await.map_err(|_| stopped())??;
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Replay(Replay { commits, reply })).await?;
        answer.await.map_err(|_| stopped())?
    }

    /// Has the writer take no more batches, as those of a tenant of this name that is being moved; or take them again.
    /// The last commit's sequence number.
    pub(super) async fn seal(&self, tenant: Option<&str>) -> Result<u64, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Seal { tenant: tenant.map(Into::into), reply }).await?;
        answer.await.map_err(|_| stopped())
    }

    /// Has the writer erase versions; how many had content.
    pub(super) async fn erase(&self, erasures: Vec<Erasure>) -> Result<u64, StoreError> {
        self.writable()?;
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Erase { erasures, reply }).await?;
        answer.await.map_err(|_| stopped())?
    }

    /// Has the writer begin to bring the index to the tenant's own parameters. They with their numbers.
    pub(super) async fn set_own_parameters(
        &self,
        wanted: Vec<(String, String)>,
    ) -> Result<Vec<OwnParameter>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::SetOwn { wanted, reply }).await?;
        answer.await.map_err(|_| stopped())?
    }

    /// Has the writer do a step of that; whether something is left to do.
    pub(super) async fn step_own_parameters(&self) -> Result<bool, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::StepOwn { reply }).await?;
        answer.await.map_err(|_| stopped())?
    }

    async fn ask(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job).await.map_err(|_| stopped())
    }

    /// The entries of the versions that a batch replaces, computed here to spare the writer. A version never
    /// changes, so they hold whenever the writer finds that version current.
    fn replaced(&self, batch: &Batch) -> Result<Vec<Option<Entries>>, StoreError> {
        if batch.writes.iter().all(|write| previous(write) == 0) {
            return Ok(Vec::new());
        }
        let txn = self.read()?;
        batch.writes.iter().map(|write| self.entries_before(&txn, write)).collect()
    }

    fn entries_before(&self, txn: &RoTxn<'_>, write: &Write) -> Result<Option<Entries>, StoreError> {
        let records = &self.databases.records;
        let Some(ordinal) = records.ordinal(txn, write.key().as_str())? else { return Ok(None) };
        match records.head_ref(txn, ordinal)? {
            Some(head) if head.version == previous(write) && !head.is_deleted() => {
                entries_of(&*self.indexer, write.key(), head.body).map(Some)
            }
            _ => Ok(None),
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}

impl Databases {
    /// Opens them all, made if they are missing, and begins a new store.
    fn open(env: &Env<WithoutTls>, indexer: &dyn Indexer) -> Result<Databases, StoreError> {
        let mut txn = env.write_txn()?;
        let databases = Databases {
            meta: Meta(table(env, &mut txn, "meta")?),
            records: Records {
                ids: table(env, &mut txn, "ids")?,
                heads: table(env, &mut txn, "heads")?,
                versions: table(env, &mut txn, "versions")?,
            },
            changes: Changes {
                all: table(env, &mut txn, "changes")?,
                by_type: table(env, &mut txn, "type_changes")?,
            },
            index: IndexDatabases::open(env, &mut txn)?,
        };
        if databases.meta.format(&txn)?.is_none() {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|error| StoreError::Storage(error.to_string()))?;
            databases.meta.begin(&mut txn, indexer.fingerprint(), &secret)?;
        }
        txn.commit()?;
        Ok(databases)
    }
}

/// The tenant's own parameters as the index has them. If they cannot be understood any more, as the program's own are others
/// now, the index is built anew without them.
fn own_parameters(
    env: &Env<WithoutTls>,
    databases: &Databases,
    indexer: &dyn Indexer,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Own, StoreError> {
    let read = || Own::read(&*env.read_txn()?, &databases.meta, indexer);
    match read() {
        Err(StoreError::Parameters(why)) => {
            tracing::warn!(why, "the tenant's own search parameters are taken out of the index");
            rebuild::anew(env, databases, indexer, progress)?;
            read()
        }
        own => own,
    }
}

fn table(env: &Env<WithoutTls>, txn: &mut RwTxn<'_>, name: &str) -> Result<Table, StoreError> {
    Ok(env.create_database(txn, Some(name))?)
}

/// Maps the environment's file into memory.
fn map(directory: &Path) -> Result<Env<WithoutTls>, StoreError> {
    let mut refused = None;
    for bytes in MAP_BYTES {
        match map_sized(directory, bytes) {
            Ok(env) => return Ok(env),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.map_or_else(|| StoreError::Storage("no map size is known".into()), StoreError::from))
}

/// `unsafe` because what is mapped must not be changed by others while it is. The data directory's lock keeps
/// other processes of ours away, and this engine opens each environment once and writes through LMDB only.
#[allow(unsafe_code)]
fn map_sized(directory: &Path, bytes: usize) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(bytes).max_readers(MAX_READERS).max_dbs(MAX_DATABASES);
    unsafe { options.open(directory) }
}

/// Looks at the format before anything is written.
fn refuse_other_formats(env: &Env<WithoutTls>) -> Result<(), StoreError> {
    let txn = env.read_txn()?;
    let Some(meta) = env.open_database(&txn, Some("meta"))? else { return Ok(()) };
    match Meta(meta).format(&txn)? {
        Some(found) if found != FORMAT => Err(StoreError::Format { found, known: FORMAT }),
        _ => Ok(()),
    }
}

fn stopped() -> StoreError {
    StoreError::Storage("the store's writer has stopped".into())
}
