//! The tenants that this process has open, each opened when it is first asked for. Knows which there are; a tenant that is
//! not in the table does not exist.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustc_hash::FxHashMap;
use tokio::sync::{OnceCell, mpsc, oneshot};

use super::account::{AccountOptions, CosmosOptions, TenantHome};
use super::codec::Bodies;
use super::connect::Accounts;
use super::group::Job;
use super::sequencer;
use super::shard::Shard;
use super::sweep;
use super::timings::Settings;
use crate::{CommitError, Indexer, StoreError, Tenant, Version};

/// A tenant with the task that commits for it.
pub(super) struct Opened {
    pub shard: Arc<Shard>,
    jobs: mpsc::Sender<Job>,
}

impl Opened {
    fn new(shard: Shard) -> Opened {
        let shard = Arc::new(shard);
        let (jobs, queue) = mpsc::channel(sequencer::QUEUE);
        tokio::spawn(sequencer::run(shard.clone(), queue));
        tokio::spawn(sweep::run(Arc::downgrade(&shard)));
        Opened { shard, jobs }
    }

    /// Hands a batch to the sequencer and waits for its answer. A caller that goes away does not take it back.
    pub(super) async fn commit(
        &self,
        job: Job,
        answer: oneshot::Receiver<Result<Vec<Version>, CommitError>>,
    ) -> Result<Vec<Version>, CommitError> {
        let ended = |_| StoreError::Unavailable("the store is being closed".to_owned());
        self.jobs
            .send(job)
            .await
            .map_err(|_| StoreError::Unavailable("the store is being closed".to_owned()))?;
        answer.await.map_err(ended)?
    }
}

type Cell = Arc<OnceCell<Arc<Opened>>>;

/// All tenants.
pub(super) struct Tenants {
    accounts: Accounts,
    /// What they were last connected with.
    configured: Mutex<BTreeMap<String, AccountOptions>>,
    indexer: Arc<dyn Indexer>,
    settings: Settings,
    bodies: Bodies,
    homes: RwLock<BTreeMap<Tenant, TenantHome>>,
    open: Mutex<FxHashMap<Tenant, Cell>>,
}

impl Tenants {
    pub(super) async fn new(
        options: &CosmosOptions,
        indexer: Arc<dyn Indexer>,
        settings: Settings,
    ) -> Result<Tenants, StoreError> {
        let mut homes = options.tenants.clone();
        homes.insert(Tenant::default_tenant(), options.default.clone());
        Ok(Tenants {
            accounts: Accounts::new(options).await?,
            configured: Mutex::new(options.accounts.clone()),
            indexer,
            settings,
            bodies: options.bodies.clone(),
            homes: RwLock::new(homes),
            open: Mutex::default(),
        })
    }

    /// A tenant, opened if it is not yet.
    pub(super) async fn get(&self, tenant: &Tenant) -> Result<Arc<Opened>, StoreError> {
        let home = self.homes.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned();
        let home = home.ok_or_else(|| StoreError::NoTenant(tenant.as_str().into()))?;
        let cell = self
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(tenant.clone())
            .or_default()
            .clone();
        let opened = cell.get_or_try_init(|| async {
            let container = self.accounts.container(&home).await?;
            let codec = self.bodies.codec(tenant).await?;
            let shard = Shard::open(tenant, container, self.indexer.clone(), codec, &self.settings).await?;
            Ok(Arc::new(Opened::new(shard)))
        });
        opened.await.cloned()
    }

    /// Another table. Tenants that it leaves out, or has elsewhere, are closed; what they have under way ends by itself.
    pub(super) async fn set(
        &self,
        homes: BTreeMap<Tenant, TenantHome>,
        accounts: BTreeMap<String, AccountOptions>,
    ) -> Result<(), StoreError> {
        let before = self.configured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all = before.clone();
        all.extend(accounts);
        self.accounts.configure(all.clone());
        for home in homes.values() {
            if let Err(error) = self.accounts.container(home).await {
                self.accounts.configure(before);
                return Err(error);
            }
        }
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = all;
        let mut known = self.homes.write().unwrap_or_else(PoisonError::into_inner);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|tenant, _| known.get(tenant) == homes.get(tenant));
        *known = homes;
        Ok(())
    }
}
