//! Versions, transactions and index.
//!
//! Offers versions and index, not queries in text: a commit is one [`Batch`], a search is one [`Query`] whose
//! filter is a tree of typed predicates. Engines: embedded (LMDB), cosmos (Azure Cosmos DB). Every call takes the [`Tenant`] it is for
//! and the [`Access`] decision it runs under.

// The tests inside the crate share what those outside write.
#[cfg(test)]
extern crate self as store;

mod access;
mod batch;
pub mod cosmos;
mod cursor;
mod embedded;
mod entries;
mod error;
#[cfg(test)]
#[path = "../tests/fixture/mod.rs"]
mod fixture;
mod journal;
mod own;
mod query;
mod stamp;
mod texts;
pub mod units;
mod version;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

pub use access::{Access, Permission, Rules, Tenant};
pub use batch::{Batch, Precondition, Write};
pub use entries::{Entries, IndexError, Indexer, Parameter, ParameterId, Value};
pub use error::{CommitError, StoreError};
pub use own::{MAX_OWN_PARAMETERS, OwnParameter, OwnParameters};
pub use query::{Comparison, Cursor, Filter, Page, Predicate, Query, SortBy, SortKey, StringMatch};
pub use text::{Part, QueryError, TextQuery, fold};
pub use version::{
    Change, Commit, Erasure, HistoryPage, HistoryQuery, HistoryScope, Key, Method, Timestamp, Version,
};

/// A store with one of the engines behind it. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    texts: Arc<texts::Indexes>,
}

#[derive(Clone)]
enum Engine {
    Embedded(Arc<embedded::Embedded>),
    Cosmos(Arc<cosmos::Cosmos>),
}

/// How to open the embedded engine.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Directory of the data; made if it is missing.
    pub directory: PathBuf,
}

/// What [`Store::check`] found.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// Current resources read.
    pub resources: u64,
    /// Versions read, current ones included.
    pub versions: u64,
    /// Index postings compared.
    pub postings: u64,
    /// Each disagreement, in a sentence; the first thousand.
    pub faults: Vec<String>,
}

impl Store {
    /// Opens (or makes) an embedded store. If it was indexed with other definitions (by
    /// [`Indexer::fingerprint`]), its index is built anew first, reported by `progress(done, total)`.
    ///
    /// # Errors
    /// A directory that cannot be used, or is in use by another process; a format this version cannot open.
    pub fn open_embedded(
        options: &EmbeddedOptions,
        indexer: Arc<dyn Indexer>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Store, StoreError> {
        let engine = embedded::Embedded::open(options, indexer, progress)?;
        Ok(Store { engine: Engine::Embedded(Arc::new(engine)), texts: Arc::default() })
    }

    /// Opens a store on Azure Cosmos DB. Its databases and containers exist ([`cosmos`]).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with what is wrong: an account that cannot be reached or refuses the credential, a
    /// container that does not exist or has another partition key.
    pub async fn open_cosmos(
        options: cosmos::CosmosOptions,
        indexer: Arc<dyn Indexer>,
    ) -> Result<Store, StoreError> {
        let engine = cosmos::Cosmos::open(options, indexer).await?;
        Ok(Store { engine: Engine::Cosmos(Arc::new(engine)), texts: Arc::default() })
    }

    /// Whether calls cost request units, charged to the open [`units::Ledger`].
    pub fn is_metered(&self) -> bool {
        matches!(self.engine, Engine::Cosmos(_))
    }

    /// From now on these are the tenants, each with its home (Cosmos engine only; the embedded engine keeps each in an
    /// environment of its own). Calls for another answer [`StoreError::NoTenant`]. Before the first call the embedded engine
    /// opens any tenant, and the Cosmos engine those it was opened with. `accounts` are those the homes name; one that is
    /// known already stays connected.
    ///
    /// # Errors
    /// An account that cannot be reached or a home that does not exist; then the tenants are those of before.
    pub async fn set_tenants(
        &self,
        tenants: BTreeMap<Tenant, Option<cosmos::TenantHome>>,
        accounts: BTreeMap<String, cosmos::AccountOptions>,
    ) -> Result<(), StoreError> {
        self.texts.keep(&tenants.keys().cloned().collect());
        match &self.engine {
            Engine::Embedded(engine) => engine.set_tenants(tenants.into_keys().collect()),
            Engine::Cosmos(engine) => {
                let homes = tenants.into_iter().filter_map(|(tenant, home)| Some((tenant, home?))).collect();
                apart(engine.set_tenants(homes, accounts)).await
            }
        }
    }

    /// Whether a tenant can be read and written at the moment.
    ///
    /// # Errors
    /// Why not, in a sentence: the store cannot be reached or refuses the credential, is throttled, clocks differ, an
    /// earlier commit failed, the disk is full, the tenant is being moved.
    pub async fn ready(&self, tenant: &Tenant) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.ready(tenant),
            Engine::Cosmos(engine) => apart(engine.ready(tenant)).await,
        }
    }

    /// The current version of a resource, or its deletion. `None` if it never existed (or is not visible).
    ///
    /// # Errors
    /// The store failed.
    pub async fn read(
        &self,
        tenant: &Tenant,
        access: &Access,
        key: &Key,
    ) -> Result<Option<Version>, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.read(tenant, access, key),
            Engine::Cosmos(engine) => apart(engine.read(tenant, access, key)).await,
        }
    }

    /// One version of a resource; of one that was erased ([`Version::is_erased`]) only that there was one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn vread(
        &self,
        tenant: &Tenant,
        access: &Access,
        key: &Key,
        version: u64,
    ) -> Result<Option<Version>, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.vread(tenant, access, key, version),
            Engine::Cosmos(engine) => apart(engine.vread(tenant, access, key, version)).await,
        }
    }

    /// Commits a batch: all of it or nothing, durable when it returns. The versions written, in the order of
    /// the batch's writes, with their final bytes.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] or [`CommitError::Precondition`] when a precondition does not hold (nothing was
    /// written; the caller may look again and retry), or the store failed.
    pub async fn commit(
        &self,
        tenant: &Tenant,
        access: &Access,
        batch: Batch,
    ) -> Result<Vec<Version>, CommitError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.commit(tenant, access, batch).await,
            Engine::Cosmos(engine) => apart(engine.commit(tenant, access, batch)).await,
        }
    }

    /// Runs a query. One that asks of texts sees every write that was finished before, like any other.
    ///
    /// # Errors
    /// [`StoreError::TooCostly`], [`StoreError::TextBehind`], or the store failed.
    pub async fn search(&self, tenant: &Tenant, access: &Access, query: &Query) -> Result<Page, StoreError> {
        let texts = match query.filter.asks_texts() {
            true => Some(apart(self.texts.ready(&self.engine, tenant)).await?),
            false => None,
        };
        match &self.engine {
            Engine::Embedded(engine) => engine.search(tenant, access, query, texts.as_ref()),
            Engine::Cosmos(engine) => apart(engine.search(tenant, access, query, texts.as_ref())).await,
        }
    }

    /// About how many resources a query finds, from a sample of them; exactly, if there are few. `None` if the engine would
    /// have to count: the Cosmos engine always, the embedded one where no condition says how many resources it leaves.
    ///
    /// # Errors
    /// The same as of [`Store::search`].
    pub async fn estimate(
        &self,
        tenant: &Tenant,
        access: &Access,
        query: &Query,
    ) -> Result<Option<u64>, StoreError> {
        let Engine::Embedded(engine) = &self.engine else { return Ok(None) };
        let texts = match query.filter.asks_texts() {
            true => Some(apart(self.texts.ready(&self.engine, tenant)).await?),
            false => None,
        };
        engine.estimate(tenant, access, query, texts.as_ref())
    }

    /// The values of a reference parameter on the current versions of some resources, each once, in the
    /// order met: `Patient/1`, or an absolute URL. For `_include`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn references(
        &self,
        tenant: &Tenant,
        access: &Access,
        from: &[Key],
        parameters: &[ParameterId],
    ) -> Result<Vec<Box<str>>, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.references(tenant, access, from, parameters),
            Engine::Cosmos(engine) => apart(engine.references(tenant, access, from, parameters)).await,
        }
    }

    /// Versions in reverse order of their commits.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        tenant: &Tenant,
        access: &Access,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.history(tenant, access, query),
            Engine::Cosmos(engine) => apart(engine.history(tenant, access, query)).await,
        }
    }

    /// The changes after a sequence number, in order, about `limit` of them and never part of a commit. From 0: all.
    ///
    /// # Errors
    /// The store failed.
    pub async fn changes(
        &self,
        tenant: &Tenant,
        access: &Access,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.changes(tenant, access, after, limit),
            Engine::Cosmos(engine) => apart(engine.changes(tenant, access, after, limit)).await,
        }
    }

    /// The journal: commits after a sequence number with the bodies of their versions, in order, until these have `bytes` or
    /// more; at least one, if there is any. From 0: all. It is the server's own work, and sees everything.
    ///
    /// # Errors
    /// The store failed.
    pub async fn commits(
        &self,
        tenant: &Tenant,
        after: u64,
        bytes: usize,
    ) -> Result<Vec<Commit>, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.commits(tenant, after, bytes),
            Engine::Cosmos(_) => journal::commits(self, tenant, after, bytes).await,
        }
    }

    /// Writes commits of another store's journal, each with its own sequence number, time and version numbers: all of
    /// them or none. The tenant must be just before the first of them.
    ///
    /// # Errors
    /// [`StoreError::NotNext`] when the tenant has other commits, or the store failed.
    pub async fn replay(&self, tenant: &Tenant, commits: Vec<Commit>) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.replay(tenant, commits).await,
            Engine::Cosmos(engine) => apart(engine.replay(tenant, commits)).await,
        }
    }

    /// Erases the content of versions, for good: no search, history or journal has it from then on, and nothing brings it back
    /// but an archive that was written before. That there were such versions, and when, stays, so that commits count without
    /// gaps and what follows the journal goes on. How many versions had content. What was interrupted may be asked again. It
    /// is the server's own work, and asks for no permission; the disk's blocks are given free, not overwritten.
    ///
    /// # Errors
    /// [`StoreError::Moving`], or the store failed: then some may be erased (Cosmos engine) or none (embedded).
    pub async fn erase(&self, tenant: &Tenant, erasures: Vec<Erasure>) -> Result<u64, StoreError> {
        let erased = match &self.engine {
            Engine::Embedded(engine) => engine.erase(tenant, erasures).await,
            Engine::Cosmos(engine) => apart(engine.erase(tenant, &erasures)).await,
        }?;
        apart(self.texts.forget(&self.engine, tenant)).await?;
        Ok(erased)
    }

    /// Has a tenant take no more commits: they answer [`StoreError::Moving`], while reads go on. Its last commit's
    /// sequence number, behind which nothing comes any more.
    ///
    /// # Errors
    /// The store failed.
    pub async fn seal(&self, tenant: &Tenant) -> Result<u64, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.seal(tenant).await,
            Engine::Cosmos(engine) => apart(engine.seal(tenant)).await,
        }
    }

    /// Has a tenant that was sealed take commits again.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unseal(&self, tenant: &Tenant) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.unseal(tenant).await,
            Engine::Cosmos(engine) => apart(engine.unseal(tenant)).await,
        }
    }

    /// From now on these are the tenant's own search parameters, by name and definition: the index is brought to them by
    /// [`Store::step_own_parameters`], called until nothing is left to do. Each with its number. While the index is
    /// being brought to others, these are numbered only, and to be given again afterwards.
    ///
    /// # Errors
    /// [`StoreError::Parameters`] for a definition that gives no entries, or the store failed.
    pub async fn set_own_parameters(
        &self,
        tenant: &Tenant,
        wanted: Vec<(String, String)>,
    ) -> Result<Vec<OwnParameter>, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.set_own_parameters(tenant, wanted).await,
            Engine::Cosmos(engine) => apart(engine.set_own_parameters(tenant, &wanted)).await,
        }
    }

    /// The tenant's own search parameters, and how far the index has them.
    ///
    /// # Errors
    /// The store failed.
    pub async fn own_parameters(&self, tenant: &Tenant) -> Result<OwnParameters, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.own_parameters(tenant),
            Engine::Cosmos(engine) => apart(engine.own_parameters(tenant)).await,
        }
    }

    /// Does a part of bringing the index to the tenant's own parameters; whether something is left to do. The Cosmos engine
    /// has nothing to do: it evaluates them on what it reads.
    ///
    /// # Errors
    /// The store failed.
    pub async fn step_own_parameters(&self, tenant: &Tenant) -> Result<bool, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.step_own_parameters(tenant).await,
            Engine::Cosmos(_) => Ok(false),
        }
    }

    /// How many current resources there are of each type, by name of the type.
    ///
    /// # Errors
    /// The store failed.
    pub async fn counts(&self, tenant: &Tenant, access: &Access) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        match &self.engine {
            Engine::Embedded(engine) => engine.counts(tenant, access),
            Engine::Cosmos(engine) => apart(engine.counts(tenant, access)).await,
        }
    }

    /// A 32-byte secret of this store, made when it was made; signs paging cursors.
    pub fn secret(&self) -> [u8; 32] {
        match &self.engine {
            Engine::Embedded(engine) => engine.secret(),
            Engine::Cosmos(engine) => engine.secret(),
        }
    }

    /// Reads everything and compares: versions without gaps, index entries computed again against the index,
    /// the change log against the versions. An index of texts, if there is one, is brought up to date and counted.
    ///
    /// # Errors
    /// The store failed.
    pub async fn check(
        &self,
        tenant: &Tenant,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<CheckReport, StoreError> {
        let mut report = match &self.engine {
            Engine::Embedded(engine) => engine.check(tenant, progress),
            Engine::Cosmos(engine) => apart(engine.check(tenant, progress)).await,
        }?;
        report.faults.extend(apart(self.texts.check(&self.engine, tenant)).await?);
        Ok(report)
    }
}

/// The future of a call to the service, on the heap: those of the SDK are large and of deep types, which callers, the
/// embedded engine's above all, shall not carry.
fn apart<'a, T>(call: impl Future<Output = T> + Send + 'a) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    Box::pin(call)
}
