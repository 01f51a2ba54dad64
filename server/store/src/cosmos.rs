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
//! | `commit` | turns batches into staged documents and one record of the journal |
//! | `sweep` | discards what dead processes staged, strips superseded versions, moves the watermark |
//! | `terms` | the index fields of a document |
//! | `sql` | a filter as the condition of a query |
//! | `search` | runs a query's plan, checks and orders what comes back |
//! | `history` | history and changes |
//! | `check` | compares everything with everything else |

mod account;
mod codec;
mod connect;
mod container;
mod document;
mod fault;
mod init;
pub mod layout;
mod log;
mod record;
mod search;
mod session;
mod shard;
mod tail;
mod terms;
mod timings;
mod transaction;

pub use account::{AccountOptions, CosmosOptions, Credential, Patience, TenantHome};
pub use init::{Made, Throughput, init};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    Access, Batch, Change, CheckReport, Commit, CommitError, HistoryPage, HistoryQuery, Indexer, Key, Page,
    ParameterId, Query, StoreError, Tenant, Version,
};

/// The engine.
pub(crate) struct Cosmos {
    accounts: connect::Accounts,
    /// Of the default tenant.
    container: container::Container,
    indexer: Arc<dyn Indexer>,
}

impl Cosmos {
    pub(crate) async fn open(
        options: CosmosOptions,
        indexer: Arc<dyn Indexer>,
    ) -> Result<Cosmos, StoreError> {
        let accounts = connect::Accounts::new(&options).await?;
        let container = accounts.container(&options.default).await?;
        Ok(Cosmos { accounts, container, indexer })
    }

    /// See [`crate::Store::set_tenants`].
    pub(crate) async fn set_tenants(
        &self,
        tenants: BTreeMap<Tenant, TenantHome>,
        accounts: BTreeMap<String, AccountOptions>,
    ) -> Result<(), StoreError> {
        let _ = (tenants, accounts);
        Err(StoreError::Unavailable("not built".into()))
    }

    /// See [`crate::Store::ready`].
    pub(crate) async fn ready(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let _ = tenant;
        Err(StoreError::Unavailable("not built".into()))
    }

    pub(crate) async fn read(
        &self,
        tenant: &Tenant,
        access: &Access,
        key: &Key,
    ) -> Result<Option<Version>, StoreError> {
        let _ = (tenant, access, key, &self.indexer);
        Err(StoreError::Unavailable("not built".into()))
    }

    pub(crate) async fn vread(
        &self,
        tenant: &Tenant,
        access: &Access,
        key: &Key,
        version: u64,
    ) -> Result<Option<Version>, StoreError> {
        let _ = (tenant, access, key, version);
        Err(StoreError::Unavailable("not built".into()))
    }

    pub(crate) async fn commit(
        &self,
        tenant: &Tenant,
        access: &Access,
        batch: Batch,
    ) -> Result<Vec<Version>, CommitError> {
        let _ = (tenant, access, batch);
        Err(StoreError::Unavailable("not built".into()).into())
    }

    pub(crate) async fn replay(&self, tenant: &Tenant, commits: Vec<Commit>) -> Result<(), StoreError> {
        let _ = (tenant, commits);
        Err(StoreError::Unavailable("not built".into()))
    }

    pub(crate) async fn seal(&self, tenant: &Tenant) -> Result<u64, StoreError> {
        let _ = tenant;
        Err(StoreError::Unavailable("not built".into()))
    }

    pub(crate) async fn unseal(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let _ = tenant;
        Err(StoreError::Unavailable("not built".into()))
    }

    pub(crate) async fn search(
        &self,
        tenant: &Tenant,
        access: &Access,
        query: &Query,
    ) -> Result<Page, StoreError> {
        let _ = (tenant, access, query);
        Err(StoreError::Unavailable("not built".into()))
    }

    pub(crate) async fn references(
        &self,
        tenant: &Tenant,
        access: &Access,
        from: &[Key],
        parameters: &[ParameterId],
    ) -> Result<Vec<Box<str>>, StoreError> {
        let _ = (tenant, access, from, parameters);
        Err(StoreError::Unavailable("not built".into()))
    }

    pub(crate) async fn history(
        &self,
        tenant: &Tenant,
        access: &Access,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, StoreError> {
        let _ = (tenant, access, query);
        Err(StoreError::Unavailable("not built".into()))
    }

    pub(crate) async fn changes(
        &self,
        tenant: &Tenant,
        access: &Access,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        let _ = (tenant, access, after, limit);
        Err(StoreError::Unavailable("not built".into()))
    }

    pub(crate) async fn counts(
        &self,
        tenant: &Tenant,
        access: &Access,
    ) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        let _ = (tenant, access);
        Err(StoreError::Unavailable("not built".into()))
    }

    pub(crate) fn secret(&self) -> [u8; 32] {
        [0; 32]
    }

    pub(crate) async fn check(
        &self,
        tenant: &Tenant,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<CheckReport, StoreError> {
        let _ = (tenant, progress);
        Err(StoreError::Unavailable("not built".into()))
    }
}
