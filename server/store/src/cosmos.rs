//! The engine on Azure Cosmos DB. See [`layout`] for documents, keys and the protocol of a commit.
//!
//! | module | its one job |
//! |---|---|
//! | `account` | what the engine is opened with: accounts, credentials, tenants |
//! | `connect` | connects to accounts, opens containers |
//! | `init` | makes databases and containers |
//! | `fault` | what a fault of the service means |
//! | `session` | how far each partition was seen |
//! | `container` | point operations, batches and queries on one container, with their charges and faults |
//! | `codec` | a body as text in its document: plain, compressed, encrypted, or kept in Azure Blob |
//! | `document` | the documents, to and from versions |
//! | `transaction` | names transactions |
//! | `record` | the records of the log |
//! | `tail` | what is known of the log: what is committed, up to where, and what was killed |
//! | `log` | reads the log into the tail, and appends to it |
//! | `shard` | a tenant as this process has it open |
//! | `timings` | how long the engine waits for what |
//! | `tenants` | the tenants that are open |
//! | `meta` | format, secret and watermark of a tenant |
//! | `read` | single resources as they are committed |
//! | `intake` | makes jobs of batches, and of another store's commits |
//! | `group` | which batches are committed together |
//! | `sequencer` | the task that commits |
//! | `precondition` | whether preconditions hold, and what affects them |
//! | `stage` | stages documents, and takes them back |
//! | `settle` | decides the transactions that others left open |
//! | `commit` | turns a group into staged documents and one record of the log |
//! | `sweep` | discards what dead processes staged, strips superseded versions, moves the watermark |
//! | `terms` | the index fields of a document |
//! | `texts` | what the index of texts is told, and what it finds |
//! | `plan` | a filter made ready: what it asks of one resource |
//! | `sql` | a plan as the condition of a query |
//! | `order` | the order of matches, and cursors |
//! | `walk` | reads documents in the order of one of their fields |
//! | `search` | runs queries, checks and orders what comes back |
//! | `history` | history and changes |
//! | `erase` | takes the bodies off superseded versions |
//! | `check` | compares everything with everything else |

mod account;
mod check;
mod codec;
mod commit;
mod connect;
mod container;
mod document;
mod erase;
mod fault;
mod group;
mod history;
mod init;
mod intake;
pub mod layout;
mod log;
mod meta;
#[cfg(test)]
mod model;
mod order;
mod plan;
mod precondition;
#[cfg(test)]
mod processes;
mod read;
mod record;
mod search;
mod sequencer;
mod session;
mod settle;
mod shard;
mod sql;
mod stage;
#[cfg(test)]
mod stop;
mod sweep;
mod tail;
mod tenants;
mod terms;
mod texts;
mod timings;
mod transaction;
mod walk;

pub use account::{AccountOptions, CosmosOptions, Credential, Patience, TenantHome};
pub use codec::{BlobContainer, Bodies, BodyOptions, Codec, Encoded};
pub use init::{Made, Throughput, init};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use text::Snapshot;

use self::record::Kind;
use self::tenants::Tenants;
use self::timings::Settings;
use crate::own::of_query;
use crate::texts::Latest;
use crate::{
    Access, Batch, Change, CheckReport, Commit, CommitError, Erasure, HistoryPage, HistoryQuery, Indexer,
    Key, OwnParameter, OwnParameters, Page, ParameterId, Query, StoreError, Tenant, Version,
};

/// The engine.
pub(crate) struct Cosmos {
    tenants: Tenants,
    indexer: Arc<dyn Indexer>,
    secret: [u8; 32],
    text_directory: Option<PathBuf>,
}

impl Cosmos {
    pub(crate) async fn open(
        options: CosmosOptions,
        indexer: Arc<dyn Indexer>,
    ) -> Result<Cosmos, StoreError> {
        Cosmos::open_with(&options, indexer, Settings::default()).await
    }

    async fn open_with(
        options: &CosmosOptions,
        indexer: Arc<dyn Indexer>,
        settings: Settings,
    ) -> Result<Cosmos, StoreError> {
        let tenants = Tenants::new(options, indexer.clone(), settings).await?;
        let secret = tenants.get(&Tenant::default_tenant()).await?.shard.secret;
        Ok(Cosmos { tenants, indexer, secret, text_directory: options.text_directory.clone() })
    }

    /// See [`crate::Store::set_tenants`].
    pub(crate) async fn set_tenants(
        &self,
        tenants: BTreeMap<Tenant, TenantHome>,
        accounts: BTreeMap<String, AccountOptions>,
    ) -> Result<(), StoreError> {
        self.tenants.set(tenants, accounts).await
    }

    /// See [`crate::Store::ready`].
    pub(crate) async fn ready(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let shard = &self.tenants.get(tenant).await?.shard;
        shard.refresh().await?;
        shard.writable()
    }

    pub(crate) async fn read(
        &self,
        tenant: &Tenant,
        access: &Access,
        key: &Key,
    ) -> Result<Option<Version>, StoreError> {
        read::read(&self.tenants.get(tenant).await?.shard, access, key).await
    }

    pub(crate) async fn vread(
        &self,
        tenant: &Tenant,
        access: &Access,
        key: &Key,
        version: u64,
    ) -> Result<Option<Version>, StoreError> {
        read::vread(&self.tenants.get(tenant).await?.shard, access, key, version).await
    }

    pub(crate) async fn commit(
        &self,
        tenant: &Tenant,
        access: &Access,
        batch: Batch,
    ) -> Result<Vec<Version>, CommitError> {
        let opened = self.tenants.get(tenant).await?;
        if !access.sees_everything() {
            intake::permit(&opened.shard, access, &batch.writes).await?;
        }
        let (job, answer) = intake::batch(&*self.indexer, access, batch)?;
        opened.commit(job, answer).await
    }

    /// Each commit is atomic, all of them together are not: a version that follows another of the same call needs that
    /// one committed. After an error the tenant's last commit says where to go on.
    pub(crate) async fn replay(&self, tenant: &Tenant, commits: Vec<Commit>) -> Result<(), StoreError> {
        let opened = self.tenants.get(tenant).await?;
        for commit in commits {
            let (job, answer) = intake::replayed(&*self.indexer, commit)?;
            opened.commit(job, answer).await.map_err(|error| match error {
                CommitError::Store(error) => error,
                conflict => StoreError::Damaged(format!("a commit of the journal does not fit: {conflict}")),
            })?;
        }
        Ok(())
    }

    /// See [`crate::Store::erase`].
    pub(crate) async fn erase(&self, tenant: &Tenant, erasures: &[Erasure]) -> Result<u64, StoreError> {
        erase::erase(&self.tenants.get(tenant).await?.shard, erasures).await
    }

    /// See [`crate::Store::seal`].
    pub(crate) async fn seal(&self, tenant: &Tenant) -> Result<u64, StoreError> {
        let shard = &self.tenants.get(tenant).await?.shard;
        shard.append_unless(Kind::Sealed, |shard| (!shard.log.tail().is_sealed()).then(Vec::new)).await?;
        Ok(shard.snapshot().sum().sequence)
    }

    /// See [`crate::Store::unseal`].
    pub(crate) async fn unseal(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let shard = &self.tenants.get(tenant).await?.shard;
        shard.append_unless(Kind::Unsealed, |shard| shard.log.tail().is_sealed().then(Vec::new)).await
    }

    pub(crate) async fn search(
        &self,
        tenant: &Tenant,
        access: &Access,
        query: &Query,
        texts: Option<&Snapshot>,
    ) -> Result<Page, StoreError> {
        let shard = &self.tenants.get(tenant).await?.shard;
        shard.refuse_unknown(&of_query(query))?;
        // What other processes write shows in the documents that a search meets; a total may come from the log alone.
        let snapshot = if query.total { shard.refresh().await? } else { shard.snapshot() };
        search::run(shard, &snapshot, access, query, texts).await
    }

    /// See [`crate::texts`].
    pub(crate) async fn latest(
        &self,
        tenant: &Tenant,
        after: u64,
        limit: usize,
    ) -> Result<Latest, StoreError> {
        texts::latest(&self.tenants.get(tenant).await?.shard, after, limit).await
    }

    /// Where indexes of texts are.
    pub(crate) fn text_directory(&self) -> Option<&Path> {
        self.text_directory.as_deref()
    }

    pub(crate) async fn references(
        &self,
        tenant: &Tenant,
        access: &Access,
        from: &[Key],
        parameters: &[ParameterId],
    ) -> Result<Vec<Box<str>>, StoreError> {
        let shard = &self.tenants.get(tenant).await?.shard;
        search::references(shard, &shard.snapshot(), access, from, parameters).await
    }

    pub(crate) async fn history(
        &self,
        tenant: &Tenant,
        access: &Access,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, StoreError> {
        history::page(&self.tenants.get(tenant).await?.shard, access, query).await
    }

    pub(crate) async fn changes(
        &self,
        tenant: &Tenant,
        access: &Access,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        history::changes(&self.tenants.get(tenant).await?.shard, access, after, limit).await
    }

    pub(crate) async fn counts(
        &self,
        tenant: &Tenant,
        access: &Access,
    ) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        history::counts(&self.tenants.get(tenant).await?.shard, access).await
    }

    /// See [`crate::Store::set_own_parameters`].
    pub(crate) async fn set_own_parameters(
        &self,
        tenant: &Tenant,
        wanted: &[(String, String)],
    ) -> Result<Vec<OwnParameter>, StoreError> {
        self.tenants.get(tenant).await?.shard.set_own(wanted)
    }

    /// See [`crate::Store::own_parameters`].
    pub(crate) async fn own_parameters(&self, tenant: &Tenant) -> Result<OwnParameters, StoreError> {
        Ok(self.tenants.get(tenant).await?.shard.own())
    }

    pub(crate) fn secret(&self) -> [u8; 32] {
        self.secret
    }

    pub(crate) async fn check(
        &self,
        tenant: &Tenant,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<CheckReport, StoreError> {
        check::run(&self.tenants.get(tenant).await?.shard, progress).await
    }
}
