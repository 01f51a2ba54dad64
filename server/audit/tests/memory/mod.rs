//! A store in memory that can be tampered with, and a log that writes into it.
#![allow(dead_code)] // each test uses another part of it

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use audit::{CODES, Event, Interaction, Kind, Log, Outcome, Record, Report, Settings, Storage, StorageError};
use audit::{Stored, Verifier};
use smart::jwt::{Algorithm, Signer};
use smart::memory::{MemoryKey, MemorySigner};

pub const TENANT: &str = "acme";
/// The time that the store gives every commit.
const STAMP: &str = "2026-11-22T02:10:33.123Z";

/// Ids and bodies.
pub type Records = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
pub struct Memory {
    pub tenants: Mutex<HashMap<String, Records>>,
    pub kept: Mutex<Option<String>>,
    pub is_down: AtomicBool,
}

impl Memory {
    pub fn records(&self) -> Records {
        self.all().get(TENANT).cloned().unwrap_or_default()
    }

    pub fn set(&self, records: Records) {
        self.all().insert(TENANT.to_owned(), records);
    }

    pub fn kept(&self) -> Option<String> {
        self.kept.lock().unwrap().clone()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Records>> {
        self.tenants.lock().unwrap()
    }

    fn up(&self) -> Result<(), StorageError> {
        match self.is_down.load(SeqCst) {
            true => Err(StorageError::Failed("down".to_owned())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Storage for Memory {
    async fn append(&self, tenant: &str, records: &[Record]) -> Result<(), StorageError> {
        self.up()?;
        let mut all = self.all();
        let stored = all.entry(tenant.to_owned()).or_default();
        if records.iter().any(|record| stored.contains_key(&record.id)) {
            return Err(StorageError::Taken);
        }
        for record in records {
            let mut body = record.body.clone();
            body.get_mut(record.stamp..record.stamp + STAMP.len()).unwrap().copy_from_slice(STAMP.as_bytes());
            stored.insert(record.id.clone(), body);
        }
        Ok(())
    }

    async fn read(&self, tenant: &str, id: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.up()?;
        Ok(self.all().get(tenant).and_then(|records| records.get(id).cloned()))
    }

    async fn checkpoints(&self, tenant: &str, limit: usize) -> Result<Vec<Vec<u8>>, StorageError> {
        self.up()?;
        let code = format!(r#"{{"system":"{CODES}","code":"checkpoint"}}"#);
        let is_checkpoint = |body: &&Vec<u8>| String::from_utf8_lossy(body).contains(&code);
        let all = self.all();
        let found = all.get(tenant).into_iter().flat_map(|records| records.values().rev());
        Ok(found.filter(is_checkpoint).take(limit).cloned().collect())
    }

    async fn keep(&self, _: &str, checkpoint: &str) -> Result<(), StorageError> {
        self.up()?;
        *self.kept.lock().unwrap() = Some(checkpoint.to_owned());
        Ok(())
    }
}

/// A store, and the processes that write to it.
pub struct World {
    pub memory: Arc<Memory>,
    pub signer: Arc<MemorySigner>,
    pub settings: Settings,
    chains: Arc<AtomicU64>,
    clock: Arc<AtomicI64>,
}

impl World {
    pub fn new() -> World {
        let settings = Settings {
            delay: Duration::from_millis(1),
            patience: Duration::from_millis(20),
            stop: Duration::from_millis(200),
            checkpoint_every: Duration::from_secs(3600),
            ..Settings::default()
        };
        World {
            memory: Arc::default(),
            signer: Arc::new(MemorySigner::new(MemoryKey::generate("one", Algorithm::Es256).unwrap())),
            settings,
            chains: Arc::default(),
            clock: Arc::default(),
        }
    }

    /// A process.
    pub fn log(&self) -> Log {
        let chains = Arc::clone(&self.chains);
        let clock = Arc::clone(&self.clock);
        Log::start(
            Arc::<Memory>::clone(&self.memory),
            Arc::<MemorySigner>::clone(&self.signer),
            self.settings,
            Arc::new(move || 1_795_313_433_000 + clock.fetch_add(1, SeqCst)),
            Arc::new(move || format!("{:032x}", chains.fetch_add(1, SeqCst) + 1)),
        )
    }

    /// A process that writes so many events and stops.
    pub async fn session(&self, events: usize) {
        let log = self.log();
        for number in 0..events {
            log.record(&TENANT.into(), read(number)).await;
        }
        log.stop().await;
    }

    pub fn verify(&self) -> Report {
        self.verify_with(self.memory.kept().as_deref())
    }

    pub fn verify_with(&self, kept: Option<&str>) -> Report {
        let records = self.memory.records();
        self.verify_these(records.iter(), kept)
    }

    pub fn verify_these<'r>(
        &self,
        records: impl Iterator<Item = (&'r String, &'r Vec<u8>)>,
        kept: Option<&str>,
    ) -> Report {
        let mut verifier = Verifier::new(TENANT, self.signer.published());
        for (id, body) in records {
            verifier.take(&Stored { id, version: 1, last_updated: STAMP, body });
        }
        verifier.finish(kept)
    }
}

/// Somebody reads a patient.
pub fn read(number: usize) -> Event {
    Event {
        kind: Kind::Interaction(Interaction::Read),
        at_ms: 1_795_313_433_123,
        outcome: Outcome::Success,
        failure: None,
        client: Some("app".to_owned()),
        user: None,
        address: "192.0.2.1".to_owned(),
        server: "https://ehr.example.org/fhir".to_owned(),
        request: Some(format!("r{number}")),
        resource: Some(format!("Patient/{number}")),
        patient: Some(number.to_string()),
        query: None,
        purpose: None,
    }
}

/// The id of a record of a chain.
pub fn id(chain: u64, sequence: u64) -> String {
    format!("{chain:032x}-{sequence:012}")
}
