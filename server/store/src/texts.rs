//! Keeps an index of texts for each tenant that asks for one, fed from the changes of the store. Nothing is indexed before
//! the first search of a tenant; what there is then is indexed first, and from then on what has changed since.
//!
//! A search never waits for what changed a moment ago: it gets the index as it is, if that is at most [`LATE`] changes
//! behind, and reads these few itself. While more are missing it waits, and after [`PATIENCE`] says how far the index is.
//! Following goes on when its caller is gone, and ends when it is done or the store is closed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use text::{Change, Index, Position, Snapshot, TextQuery, Writer};
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout};

use crate::{Access, Engine, Filter, StoreError, Tenant, Version};

/// Changes that a search reads itself rather than wait for the index.
pub(crate) const LATE: usize = 500;
/// Changes after which the index follows, while searches go on.
const SOON: usize = 50;
/// Changes read at once.
const STEP: usize = 2_000;
/// Changes after which the index is made durable while it follows many.
const DURABLE: usize = 100_000;
/// How long a search waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// Resources that an index is to learn of.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    /// As they are now; deletions too.
    pub resources: Vec<Resource>,
    /// The last commit that was read.
    pub position: Position,
    /// Changes that were read.
    pub read: usize,
}

/// A resource as it is now.
#[derive(Debug)]
pub(crate) struct Resource {
    /// `Type/id`.
    pub key: Box<str>,
    /// The engine's number of it; 0 if it finds resources by their keys.
    pub number: u32,
    /// `None` if it is deleted.
    pub body: Option<Bytes>,
}

/// How relevant matches are, by what a filter asks of their texts; none if it asks nothing.
pub(crate) fn scores(filter: &Filter, matches: &[Version]) -> Result<Vec<f32>, StoreError> {
    let queries = filter.texts();
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    matches.iter().map(|version| Ok(score(&queries, &version.body)?.unwrap_or(f32::MIN_POSITIVE))).collect()
}

/// How relevant a resource is that fulfils some queries.
pub(crate) fn score(queries: &[&TextQuery], body: &[u8]) -> Result<Option<f32>, StoreError> {
    let texts = text::texts(body).map_err(|error| StoreError::Damaged(error.to_string()))?;
    Ok(TextQuery::together(queries.iter().filter_map(|query| query.score_of(&texts))))
}

/// The indexes of a store.
#[derive(Default)]
pub(crate) struct Indexes {
    tenants: Mutex<FxHashMap<Tenant, Arc<Followed>>>,
}

/// The index of a tenant.
#[derive(Default)]
struct Followed {
    /// Once it is open.
    index: Mutex<Option<Arc<Index>>>,
    /// Held by who follows.
    following: Arc<tokio::sync::Mutex<()>>,
    /// Why following ended last.
    failed: Mutex<Option<StoreError>>,
}

impl Indexes {
    /// The index of a tenant, at most [`LATE`] changes behind.
    ///
    /// # Errors
    /// [`StoreError::TextBehind`] after [`PATIENCE`], or the store or the index failed.
    pub(crate) async fn ready(&self, engine: &Engine, tenant: &Tenant) -> Result<Snapshot, StoreError> {
        let (snapshot, behind) = self.at_most_behind(engine, tenant, LATE).await?;
        if behind >= SOON {
            let followed = self.of(tenant);
            if let Ok(guard) = Arc::clone(&followed.following).try_lock_owned() {
                follow(engine, tenant, followed, guard)?;
            }
        }
        Ok(snapshot)
    }

    /// Has the index of a tenant, if there is one, take out now what is no more: it has words of what was there. After
    /// [`PATIENCE`] it goes on by itself.
    pub(crate) async fn forget(&self, engine: &Engine, tenant: &Tenant) -> Result<(), StoreError> {
        if engine.text_directory(tenant).is_none_or(|directory| !directory.is_dir()) {
            return Ok(());
        }
        match self.at_most_behind(engine, tenant, 1).await {
            Err(StoreError::TextBehind { .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Compares the index with the store, if there is one: the faults, in sentences.
    pub(crate) async fn check(&self, engine: &Engine, tenant: &Tenant) -> Result<Vec<String>, StoreError> {
        let Some(directory) = engine.text_directory(tenant).filter(|directory| directory.is_dir()) else {
            return Ok(Vec::new());
        };
        let (snapshot, _) = self.at_most_behind(engine, tenant, 1).await?;
        let resources = resources(engine, tenant).await?;
        if snapshot.resources() == resources {
            return Ok(Vec::new());
        }
        Ok(vec![format!(
            "the index of texts has {} resources, the store {resources}; remove {} while no server runs, and it is built anew",
            snapshot.resources(),
            directory.display()
        )])
    }

    /// Forgets tenants that are no more.
    pub(crate) fn keep(&self, tenants: &BTreeSet<Tenant>) {
        let keep = |tenant: &Tenant| tenant.is_default() || tenants.contains(tenant);
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).retain(|tenant, _| keep(tenant));
    }

    fn of(&self, tenant: &Tenant) -> Arc<Followed> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tenants.entry(tenant.clone()).or_default())
    }

    /// The index, fewer than so many changes behind, and how many.
    async fn at_most_behind(
        &self,
        engine: &Engine,
        tenant: &Tenant,
        most: usize,
    ) -> Result<(Snapshot, usize), StoreError> {
        let followed = self.of(tenant);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let snapshot = followed.index().map(|index| index.snapshot());
            if let Some(snapshot) = &snapshot {
                let behind = engine.behind(tenant, snapshot.position().sequence, most).await?;
                if behind < most {
                    return Ok((snapshot.clone(), behind));
                }
            }
            if let Ok(guard) = timeout(LOOK, Arc::clone(&followed.following).lock_owned()).await {
                if let Some(error) = followed.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    return Err(error);
                }
                follow(engine, tenant, Arc::clone(&followed), guard)?;
            }
            if Instant::now() >= deadline {
                let indexed = snapshot.map_or(0, |snapshot| snapshot.resources());
                return Err(StoreError::TextBehind { indexed, resources: resources(engine, tenant).await? });
            }
        }
    }
}

async fn resources(engine: &Engine, tenant: &Tenant) -> Result<u64, StoreError> {
    let counts = engine.counts(tenant, &Access::unrestricted()).await?;
    Ok(counts.iter().map(|(_, count)| count).sum())
}

impl Followed {
    fn index(&self) -> Option<Arc<Index>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Has the index of a tenant follow until it is done, on a thread of its own.
fn follow(
    engine: &Engine,
    tenant: &Tenant,
    followed: Arc<Followed>,
    guard: OwnedMutexGuard<()>,
) -> Result<(), StoreError> {
    let directory = engine
        .text_directory(tenant)
        .ok_or_else(|| StoreError::Unavailable("there is no directory for the index of texts".to_owned()))?;
    let follower = Follower { engine: engine.downgrade(), tenant: tenant.clone(), directory };
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = runtime.block_on(follower.run(&followed)) {
            tracing::warn!(%error, "the index of texts did not follow");
            *followed.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            // Opened anew, its files are looked at.
            followed.index.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        drop(guard);
    });
    Ok(())
}

struct Follower {
    engine: WeakEngine,
    tenant: Tenant,
    directory: PathBuf,
}

impl Follower {
    async fn run(&self, followed: &Followed) -> Result<(), StoreError> {
        let index = match followed.index() {
            Some(index) => index,
            None => {
                let Some(index) = self.open().await? else { return Ok(()) };
                *followed.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&index));
                index
            }
        };
        let mut position = index.snapshot().position();
        let mut writer = None;
        let mut pending = 0;
        loop {
            let Some(engine) = self.engine.upgrade() else { return Ok(()) };
            let latest = engine.latest(&self.tenant, position.sequence, STEP).await?;
            drop(engine);
            let last = latest.read < STEP;
            if latest.read > 0 {
                position = latest.position;
                pending += latest.read;
                let writer = open_writer(&mut writer, &index)?;
                for Resource { key, number, body } in &latest.resources {
                    writer.change(&Change { key, number: *number, body: body.as_deref() })?;
                }
                if last || pending >= DURABLE {
                    writer.commit(position)?;
                    pending = 0;
                }
            }
            if last && latest.read < SOON {
                return Ok(writer.map(Writer::finish).transpose().map(drop)?);
            }
        }
    }

    /// Opens the index; one of another history than the store's is made anew. `None` if the store is closed.
    async fn open(&self) -> Result<Option<Arc<Index>>, StoreError> {
        let index = Index::open(&self.directory)?;
        let position = index.snapshot().position();
        let Some(engine) = self.engine.upgrade() else { return Ok(None) };
        if position == Position::default()
            || engine.mark(&self.tenant, position.sequence).await? == Some(position.mark)
        {
            return Ok(Some(Arc::new(index)));
        }
        drop(index);
        Index::remove(&self.directory)?;
        Ok(Some(Arc::new(Index::open(&self.directory)?)))
    }
}

fn open_writer<'w>(writer: &'w mut Option<Writer>, index: &Arc<Index>) -> Result<&'w mut Writer, StoreError> {
    match writer {
        Some(writer) => Ok(writer),
        none => Ok(none.insert(index.writer()?)),
    }
}

/// An engine that this does not keep open.
enum WeakEngine {
    Embedded(Weak<crate::embedded::Embedded>),
    Cosmos(Weak<crate::cosmos::Cosmos>),
}

impl WeakEngine {
    fn upgrade(&self) -> Option<Engine> {
        match self {
            WeakEngine::Embedded(engine) => engine.upgrade().map(Engine::Embedded),
            WeakEngine::Cosmos(engine) => engine.upgrade().map(Engine::Cosmos),
        }
    }
}

impl Engine {
    fn downgrade(&self) -> WeakEngine {
        match self {
            Engine::Embedded(engine) => WeakEngine::Embedded(Arc::downgrade(engine)),
            Engine::Cosmos(engine) => WeakEngine::Cosmos(Arc::downgrade(engine)),
        }
    }

    fn text_directory(&self, tenant: &Tenant) -> Option<PathBuf> {
        match self {
            Engine::Embedded(engine) => Some(engine.text_directory(tenant)),
            Engine::Cosmos(engine) => {
                engine.text_directory().map(|directory: &Path| directory.join(tenant.as_str()))
            }
        }
    }

    async fn latest(&self, tenant: &Tenant, after: u64, limit: usize) -> Result<Latest, StoreError> {
        match self {
            Engine::Embedded(engine) => engine.latest(tenant, after, limit),
            Engine::Cosmos(engine) => crate::apart(engine.latest(tenant, after, limit)).await,
        }
    }

    /// How many changes there are after a commit: so many, or at least as many as are of interest.
    async fn behind(&self, tenant: &Tenant, after: u64, interest: usize) -> Result<usize, StoreError> {
        Ok(self.changes(tenant, after, interest).await?.len())
    }

    /// The time of a commit.
    async fn mark(&self, tenant: &Tenant, sequence: u64) -> Result<Option<i64>, StoreError> {
        let changes = self.changes(tenant, sequence.saturating_sub(1), 1).await?;
        let of_it = changes.first().filter(|change| change.sequence == sequence);
        Ok(of_it.map(|change| change.last_updated.0))
    }

    async fn changes(
        &self,
        tenant: &Tenant,
        after: u64,
        limit: usize,
    ) -> Result<Vec<crate::Change>, StoreError> {
        let access = Access::unrestricted();
        match self {
            Engine::Embedded(engine) => engine.changes(tenant, &access, after, limit),
            Engine::Cosmos(engine) => crate::apart(engine.changes(tenant, &access, after, limit)).await,
        }
    }

    async fn counts(&self, tenant: &Tenant, access: &Access) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        match self {
            Engine::Embedded(engine) => engine.counts(tenant, access),
            Engine::Cosmos(engine) => crate::apart(engine.counts(tenant, access)).await,
        }
    }
}
