//! What the authorization server needs of the process: the time, threads to hash passwords on, and the log.

use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use smart::{Clock, Event, Events, Passwords};
use store::Tenant;
use tokio::sync::Semaphore;

/// Passwords that are hashed at a time: each takes 19 MiB and a core.
const HASHES: usize = 4;

/// The clock of the system.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_s(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }
}

/// Hashes on threads that answer no requests, a few at a time.
pub struct Hashing(Semaphore);

impl Default for Hashing {
    fn default() -> Hashing {
        Hashing(Semaphore::new(HASHES))
    }
}

#[async_trait]
impl Passwords for Hashing {
    async fn verify(&self, hash: String, password: String) -> bool {
        let Ok(_turn) = self.0.acquire().await else { return false };
        tokio::task::spawn_blocking(move || smart::password::verify(&hash, &password)).await.unwrap_or(false)
    }
}

/// Tells the audit log what happened, and the program's log, without patients' ids and users' names.
pub struct Log {
    pub tenant: Tenant,
    /// FHIR base URL.
    pub base: String,
    pub audit: Option<audit::Log>,
}

impl Events for Log {
    fn record(&self, event: Event) {
        if let Some(log) = &self.audit {
            let told = audit::Event { server: self.base.clone(), ..event.clone().into() };
            log.offer(&self.tenant.as_str().into(), told);
        }
        let (tenant, kind) = (self.tenant.as_str(), event.kind);
        let (client, address) = (event.client.unwrap_or_default(), event.address);
        match event.failure {
            None => tracing::info!(tenant, ?kind, client, address, "authorization"),
            Some(failure) => tracing::warn!(tenant, ?kind, client, address, failure, "authorization refused"),
        }
    }
}
