//! The embedded engine: LMDB through `heed`, one environment for each tenant, `DIR/<tenant>/data.mdb`. Knows
//! keys and bytes, not FHIR's elements.
//!
//! Each resource has a dense ordinal (u32), over all types, never given again; a deleted resource keeps its own.
//! All databases, in the order of their keys' bytes, numbers big-endian:
//!
//! | database | key | value | module |
//! |---|---|---|---|
//! | meta | name | format, state, secret, fingerprint or how far a rebuild is, own parameters | `meta` |
//! | ids | `Type/id` | ordinal u32 | `records` |
//! | heads | ordinal u32 | the current version: header, `Type/id`, body | `records` |
//! | versions | ordinal u32, version u64 | an older version, the same record | `records` |
//! | changes | sequence u64, write u32 | ordinal, version, last updated, method, count | `changes` |
//! | type_changes | `Type`, 0, sequence u64, write u32 | the same, counted by type | `changes` |
//! | postings | parameter u16, value, chunk u32 (ordinal >> 12) | the ordinals of the chunk that have it | `postings` |
//! | presence | chunk u32, parameter u16 | the ordinals of the chunk that have any value of it | `postings` |
//! | long | parameter u16, hash u128 | the whole text of a value that a key has no room for | `postings` |
//! | forward | ordinal u32 | for each sortable parameter, what to sort by | `forward` |
//!
//! An erased version keeps its record, its body aside: the change log and the journal go on without gaps.
//!
//! `meta` has the format's number. A store of another format is refused, and left as it is.
//!
//! Reads take a snapshot and no lock. Writes go through one thread for each tenant (`writer`), which makes
//! many batches durable at once. A file `DIR/lock` keeps a second process out.

mod changes;
mod check;
mod compare;
mod component;
pub(crate) mod encoding;
mod environment;
mod forward;
mod history;
mod journal;
mod meta;
#[cfg(test)]
pub(crate) mod model;
mod own;
mod pending;
mod plan;
mod postings;
mod rebuild;
mod records;
mod search;
mod set;
mod sort;
mod texts;
mod visible;
mod writer;

#[cfg(test)]
mod damage;

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;
use text::Snapshot;

use self::environment::Environment;
use self::plan::Context;
use self::texts::Late;
use crate::own::of_query;
use crate::texts::Latest;
use crate::{
    Access, Batch, Change, CheckReport, Commit, CommitError, EmbeddedOptions, Erasure, HistoryPage,
    HistoryQuery, Indexer, Key, OwnParameter, OwnParameters, Page, ParameterId, Query, StoreError, Tenant,
    Version,
};

/// The engine: the tenants' environments, each opened when it is first asked for.
pub(crate) struct Embedded {
    directory: PathBuf,
    indexer: Arc<dyn Indexer>,
    default: Arc<Environment>,
    others: RwLock<Others>,
    /// Dropped last: the directory is free when all environments are closed.
    _lock: File,
}

/// The environments of all tenants but the default one.
#[derive(Default)]
struct Others {
    open: FxHashMap<Tenant, Arc<Environment>>,
    /// Those that may be opened; any until it is said.
    known: Option<BTreeSet<Tenant>>,
}

impl Embedded {
    pub(crate) fn open(
        options: &EmbeddedOptions,
        indexer: Arc<dyn Indexer>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Self, StoreError> {
        let directory = options.directory.clone();
        std::fs::create_dir_all(&directory)?;
        let lock = lock(&directory)?;
        let tenant = Tenant::default_tenant();
        let default = Environment::open(&directory.join(tenant.as_str()), indexer.clone(), progress)?;
        Ok(Embedded {
            directory,
            indexer,
            default: Arc::new(default),
            others: RwLock::default(),
            _lock: lock,
        })
    }

    /// The environment of a tenant.
    fn environment(&self, tenant: &Tenant) -> Result<Arc<Environment>, StoreError> {
        if tenant.is_default() {
            return Ok(self.default.clone());
        }
        let known = self.others.read().unwrap_or_else(PoisonError::into_inner).open.get(tenant).cloned();
        if let Some(environment) = known {
            return Ok(environment);
        }
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(environment) = others.open.get(tenant) {
            return Ok(environment.clone());
        }
        if others.known.as_ref().is_some_and(|known| !known.contains(tenant)) {
            return Err(StoreError::NoTenant(tenant.as_str().into()));
        }
        let directory = self.directory.join(tenant.as_str());
        let environment = Arc::new(Environment::open(&directory, self.indexer.clone(), &|_, _| {})?);
        others.open.insert(tenant.clone(), environment.clone());
        Ok(environment)
    }

    /// See [`crate::Store::set_tenants`]. Those that are no more are closed when the calls under way end.
    pub(crate) fn set_tenants(&self, tenants: BTreeSet<Tenant>) -> Result<(), StoreError> {
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        others.open.retain(|tenant, _| tenants.contains(tenant));
        others.known = Some(tenants);
        Ok(())
    }

    /// See [`crate::Store::ready`].
    pub(crate) fn ready(&self, tenant: &Tenant) -> Result<(), StoreError> {
        self.environment(tenant)?.writable()
    }

    pub(crate) fn read(
        &self,
        tenant: &Tenant,
        access: &Access,
        key: &Key,
    ) -> Result<Option<Version>, StoreError> {
        let environment = self.environment(tenant)?;
        let databases = &environment.databases;
        let txn = environment.read()?;
        let Some(ordinal) = databases.records.ordinal(&txn, key.as_str())? else { return Ok(None) };
        let rule = access.looked_at(key.resource_type());
        if !environment.view(&txn).current(rule, ordinal, key.as_str())? {
            return Ok(None);
        }
        databases.records.head(&txn, ordinal)
    }

    pub(crate) fn vread(
        &self,
        tenant: &Tenant,
        access: &Access,
        key: &Key,
        version: u64,
    ) -> Result<Option<Version>, StoreError> {
        let environment = self.environment(tenant)?;
        let databases = &environment.databases;
        let txn = environment.read()?;
        let Some(ordinal) = databases.records.ordinal(&txn, key.as_str())? else { return Ok(None) };
        let (view, rule) = (environment.view(&txn), access.looked_at(key.resource_type()));
        if !view.current(rule, ordinal, key.as_str())? {
            return Ok(None);
        }
        match databases.records.version_ref(&txn, ordinal, version)? {
            Some(record) if view.version(rule, &record)? => record.to_version().map(Some),
            _ => Ok(None),
        }
    }

    pub(crate) async fn commit(
        &self,
        tenant: &Tenant,
        access: &Access,
        batch: Batch,
    ) -> Result<Vec<Version>, CommitError> {
        self.environment(tenant)?.commit(access, batch).await
    }

    pub(crate) fn search(
        &self,
        tenant: &Tenant,
        access: &Access,
        query: &Query,
        texts: Option<&Snapshot>,
    ) -> Result<Page, StoreError> {
        self.over_index(tenant, access, query, texts, |context| search::run(context, query))
    }

    /// See [`crate::Store::estimate`].
    pub(crate) fn estimate(
        &self,
        tenant: &Tenant,
        access: &Access,
        query: &Query,
        texts: Option<&Snapshot>,
    ) -> Result<Option<u64>, StoreError> {
        self.over_index(tenant, access, query, texts, |context| search::estimate(context, query))
    }

    /// Does what asks of the index as it is now.
    fn over_index<T>(
        &self,
        tenant: &Tenant,
        access: &Access,
        query: &Query,
        texts: Option<&Snapshot>,
        ask: impl FnOnce(&Context<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let environment = self.environment(tenant)?;
        let databases = &environment.databases;
        let txn = environment.read()?;
        own::refuse_unindexed(&txn, databases, &of_query(query))?;
        let late =
            texts.map(|texts| Late::new(&txn, &databases.changes, &databases.records, texts)).transpose()?;
        let mut context = Context::new(&txn, &databases.index, &databases.records, access);
        context.parameters = environment.indexer.parameters();
        context.indexer = Some(&*environment.indexer);
        context.late = late.as_ref();
        ask(&context)
    }

    /// See [`crate::Store::set_own_parameters`].
    pub(crate) async fn set_own_parameters(
        &self,
        tenant: &Tenant,
        wanted: Vec<(String, String)>,
    ) -> Result<Vec<OwnParameter>, StoreError> {
        self.environment(tenant)?.set_own_parameters(wanted).await
    }

    /// See [`crate::Store::own_parameters`].
    pub(crate) fn own_parameters(&self, tenant: &Tenant) -> Result<OwnParameters, StoreError> {
        let environment = self.environment(tenant)?;
        own::report(&*environment.read()?, &environment.databases)
    }

    /// See [`crate::Store::step_own_parameters`].
    pub(crate) async fn step_own_parameters(&self, tenant: &Tenant) -> Result<bool, StoreError> {
        self.environment(tenant)?.step_own_parameters().await
    }

    /// See [`crate::texts`].
    pub(crate) fn latest(&self, tenant: &Tenant, after: u64, limit: usize) -> Result<Latest, StoreError> {
        let environment = self.environment(tenant)?;
        let databases = &environment.databases;
        texts::latest(&*environment.read()?, &databases.changes, &databases.records, after, limit)
    }

    /// Where the index of a tenant's texts is.
    pub(crate) fn text_directory(&self, tenant: &Tenant) -> PathBuf {
        self.directory.join(tenant.as_str()).join("text")
    }

    pub(crate) fn references(
        &self,
        tenant: &Tenant,
        access: &Access,
        from: &[Key],
        parameters: &[ParameterId],
    ) -> Result<Vec<Box<str>>, StoreError> {
        let environment = self.environment(tenant)?;
        let databases = &environment.databases;
        let txn = environment.read()?;
        let asked: Vec<ParameterId> =
            parameters.iter().filter_map(|id| OwnParameter::first_number(*id)).collect();
        own::refuse_unindexed(&txn, databases, &asked)?;
        let (mut seen, view) = (Vec::with_capacity(from.len()), environment.view(&txn));
        for key in from {
            if view.of_key(access.seen(key.resource_type()), key.as_str())? {
                seen.push(key.clone());
            }
        }
        search::references(&txn, &databases.index, &databases.records, &seen, parameters)
    }

    pub(crate) fn history(
        &self,
        tenant: &Tenant,
        access: &Access,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, StoreError> {
        let environment = self.environment(tenant)?;
        let txn = environment.read()?;
        history::page(&environment.view(&txn), access, query)
    }

    pub(crate) fn changes(
        &self,
        tenant: &Tenant,
        access: &Access,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        let environment = self.environment(tenant)?;
        let databases = &environment.databases;
        let txn = environment.read()?;
        let (mut after, mut seen) = (after, Vec::new());
        let view = environment.view(&txn);
        // None that may be seen is not the end yet.
        while seen.is_empty() {
            let changes = databases.changes.after(&txn, &databases.records, after, limit)?;
            let Some(last) = changes.last() else { break };
            after = last.sequence;
            for change in changes {
                let rule = access.searched(change.key.resource_type());
                if view.of_key(rule, change.key.as_str())? {
                    seen.push(change);
                }
            }
        }
        Ok(seen)
    }

    pub(crate) fn counts(
        &self,
        tenant: &Tenant,
        access: &Access,
    ) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        let environment = self.environment(tenant)?;
        visible::counts(&*environment.read()?, &environment.databases, access)
    }

    pub(crate) fn secret(&self) -> [u8; 32] {
        self.default.secret
    }

    pub(crate) fn check(
        &self,
        tenant: &Tenant,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<CheckReport, StoreError> {
        let environment = self.environment(tenant)?;
        check::run(&*environment.read()?, &environment.databases, &*environment.indexer, progress)
    }

    pub(crate) fn commits(
        &self,
        tenant: &Tenant,
        after: u64,
        bytes: usize,
    ) -> Result<Vec<Commit>, StoreError> {
        let environment = self.environment(tenant)?;
        journal::commits(&*environment.read()?, &environment.databases, after, bytes)
    }

    pub(crate) async fn replay(&self, tenant: &Tenant, commits: Vec<Commit>) -> Result<(), StoreError> {
        self.environment(tenant)?.replay(commits).await
    }

    /// See [`crate::Store::erase`].
    pub(crate) async fn erase(&self, tenant: &Tenant, erasures: Vec<Erasure>) -> Result<u64, StoreError> {
        self.environment(tenant)?.erase(erasures).await
    }

    pub(crate) async fn seal(&self, tenant: &Tenant) -> Result<u64, StoreError> {
        self.environment(tenant)?.seal(Some(tenant.as_str())).await
    }

    pub(crate) async fn unseal(&self, tenant: &Tenant) -> Result<(), StoreError> {
        self.environment(tenant)?.seal(None).await.map(drop)
    }
}

/// Takes the data directory for this process; the system gives it back when the process ends, however it does.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let file = File::options().write(true).create(true).truncate(false).open(directory.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
