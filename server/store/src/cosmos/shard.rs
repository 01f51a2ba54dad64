//! One tenant as this process has it open: its container, log, indexer, codec and clock. Knows where a tenant's
//! documents are, and how to read a version out of one; decides nothing about commits.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::codec::Codec;
use super::container::{Container, Place};
use super::document::Document;
use super::log::Log;
use super::meta::{self, Meta};
use super::tail::{Snapshot, Tail};
use super::timings::{Settings, ms};
use super::transaction::{TransactionId, Transactions};
use crate::{
    Entries, Indexer, Key, OwnParameter, OwnParameters, ParameterId, StoreError, Tenant, Timestamp, Version,
};

/// The tenant's own parameters, as this process knows them: they have no index fields, so what they find is decided on the
/// bodies that the rest of a query finds.
#[derive(Default, Clone)]
struct Own {
    parameters: Vec<OwnParameter>,
    indexer: Option<Arc<dyn Indexer>>,
}

/// A tenant.
pub(super) struct Shard {
    pub tenant: Tenant,
    pub container: Container,
    pub indexer: Arc<dyn Indexer>,
    own: RwLock<Own>,
    pub codec: Codec,
    pub log: Log,
    pub timings: super::timings::Timings,
    pub transactions: Transactions,
    /// When open transactions of others were first met.
    pub met: Mutex<FxHashMap<TransactionId, Instant>>,
    /// Signs cursors.
    pub secret: [u8; 32],
    clock: fn() -> i64,
    /// By how much this process's clock is ahead of the service's, ms.
    ahead: AtomicI64,
    /// Whether any version is known to have been erased. Of what another process erases it is known after its next sweep.
    pub erased: AtomicBool,
    #[cfg(test)]
    pub stop: super::stop::Stop,
}

impl Shard {
    /// Opens a tenant: reads what its log adds up to, and what came since.
    pub(super) async fn open(
        tenant: &Tenant,
        container: Container,
        indexer: Arc<dyn Indexer>,
        codec: Codec,
        settings: &Settings,
    ) -> Result<Shard, StoreError> {
        let meta = meta::open(&container, tenant, (settings.clock)()).await?;
        let (sum, decided) = meta.base();
        let tail = Tail::new(sum, decided, &settings.timings);
        let shard = Shard {
            tenant: tenant.clone(),
            log: Log::new(tenant.as_str(), container.clone(), settings.timings, tail),
            container,
            indexer,
            own: RwLock::default(),
            codec,
            timings: settings.timings,
            transactions: Transactions::new()?,
            met: Mutex::default(),
            secret: meta.secret()?,
            clock: settings.clock,
            ahead: AtomicI64::new(0),
            erased: AtomicBool::new(meta.has_erased()),
            #[cfg(test)]
            stop: super::stop::Stop::default(),
        };
        shard.compare_clocks(&meta);
        shard.refresh().await?;
        Ok(shard)
    }

    /// From now on these are the tenant's own parameters; they with their numbers.
    pub(super) fn set_own(&self, wanted: &[(String, String)]) -> Result<Vec<OwnParameter>, StoreError> {
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        let parameters = OwnParameter::number(&own.parameters, wanted)?;
        if parameters != own.parameters {
            let indexer = match parameters.is_empty() {
                true => None,
                false => {
                    let made = self.indexer.own(&parameters);
                    Some(made.map_err(|error| StoreError::Parameters(error.to_string()))?)
                }
            };
            *own = Own { parameters: parameters.clone(), indexer };
        }
        Ok(parameters)
    }

    /// The tenant's own parameters: all of them answer.
    pub(super) fn own(&self) -> OwnParameters {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        let parameters = own.parameters.iter().map(|parameter| (parameter.clone(), true)).collect();
        OwnParameters { parameters, progress: None }
    }

    /// Refuses what asks by parameters that the tenant has no more: they would find nothing.
    pub(super) fn refuse_unknown(&self, asked: &[ParameterId]) -> Result<(), StoreError> {
        if asked.is_empty() {
            return Ok(());
        }
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        let known = |id: &ParameterId| own.parameters.iter().any(|parameter| parameter.id == *id);
        match asked.iter().all(known) {
            true => Ok(()),
            false => Err(StoreError::NotIndexed { parameter: None, done: 0, total: 0 }),
        }
    }

    /// Computes the entries of a resource, those of the tenant's own parameters included.
    pub(super) fn entries(&self, key: &Key, body: &[u8], out: &mut Entries) -> Result<(), StoreError> {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner).indexer.clone();
        let all = self.indexer.entries(key.resource_type(), body, out);
        let all = all.and_then(|()| own.map_or(Ok(()), |own| own.entries(key.resource_type(), body, out)));
        all.map_err(|error| StoreError::Damaged(format!("{}: {error}", key.as_str())))
    }

    /// Where a resource's documents are.
    pub(super) fn place(&self, key: &Key) -> Place {
        Place {
            tenant: self.tenant.as_str().to_owned(),
            ty: key.resource_type().to_owned(),
            rid: key.id().to_owned(),
        }
    }

    /// The state as this process knows it; costs nothing.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.log.snapshot()
    }

    /// The state with all that was committed before the call, by any process; 1 RU where there is nothing new.
    pub(super) async fn refresh(&self) -> Result<Snapshot, StoreError> {
        self.log.refresh().await
    }

    /// This process's clock, ms since 1970.
    pub(super) fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// Takes in how far this process's clock is from the service's, from a document that it just wrote.
    pub(super) fn compare_clocks(&self, meta: &Meta) {
        self.ahead.store(meta.ahead_ms(), Ordering::Release);
    }

    /// Whether any version is known to have been erased.
    pub(super) fn has_erased(&self) -> bool {
        self.erased.load(Ordering::Acquire)
    }

    /// Whether this process may write.
    ///
    /// # Errors
    /// Why not: the tenant is being moved, or clocks differ.
    pub(super) fn writable(&self) -> Result<(), StoreError> {
        let ahead = self.ahead.load(Ordering::Acquire);
        if ahead.saturating_abs() > ms(self.timings.skew) {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            return Err(StoreError::Unavailable(format!(
                "this server's clock is {} s {way} the store's, and nothing is written while it is; set the clock",
                ahead.saturating_abs() / 1000
            )));
        }
        if self.log.tail().is_sealed() {
            return Err(StoreError::Moving(self.tenant.as_str().into()));
        }
        Ok(())
    }

    /// Puts a body into its document.
    pub(super) async fn encode(&self, document: &mut Document, body: &[u8]) -> Result<(), StoreError> {
        let encoded = self.codec.encode(&document.key(), document.v, body).await?;
        document.z = Some(encoded.z);
        document.e = encoded.e;
        Ok(())
    }

    /// The version that a document is of.
    pub(super) async fn version(&self, document: &Document) -> Result<Version, StoreError> {
        let key = document.key();
        let body = match &document.z {
            Some(text) => self.codec.decode(&key, document.v, text, document.e.as_deref()).await?,
            None => Bytes::new(),
        };
        Ok(Version {
            key,
            version: document.v,
            last_updated: Timestamp(document.lu),
            method: document.method()?,
            body,
        })
    }
}
