//! Slowing down who guesses passwords: failures are counted per user name, known or not, and per address.

use super::AuthorizationServer;
use super::error::ServerError;
use crate::record::{Failures, User};
use crate::storage::{Condition, Stored as _};

/// Failures until a user name is locked.
const MAX_PER_USER: u32 = 5;
/// Failures until an address is locked: many people may share one.
const MAX_PER_ADDRESS: u32 = 50;
/// How long the first lock lasts; each further failure doubles it.
const LOCK_S: i64 = 60;
/// The longest lock.
const MAX_LOCK_S: i64 = 3600;
/// How long failures are remembered after the last one.
const MEMORY_S: i64 = 24 * 3600;
/// How often counting is tried when others count at the same time.
const ATTEMPTS: u32 = 20;

impl AuthorizationServer {
    /// Whether a login must not even be tried now.
    pub(super) async fn is_locked(&self, username: &str, address: &str) -> Result<bool, ServerError> {
        for key in [by_user(username), by_address(address)] {
            let failures = self.records().get::<Failures>(&key).await?;
            if failures.is_some_and(|failures| failures.locked_until_s > self.now_s()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counts a login that is about to be tried: before the password is looked at, so that trying many at once gains nothing.
    pub(super) async fn count_attempt(&self, username: &str, address: &str) -> Result<(), ServerError> {
        self.count(&by_user(username), MAX_PER_USER).await?;
        self.count(&by_address(address), MAX_PER_ADDRESS).await
    }

    /// Forgets the failures of a user who logged in. Those of the address stay.
    pub(super) async fn forget_failures(&self, username: &str) -> Result<(), ServerError> {
        self.services.storage.take(Failures::TABLE, &by_user(username)).await?;
        Ok(())
    }

    async fn count(&self, key: &str, max: u32) -> Result<(), ServerError> {
        for _ in 0..ATTEMPTS {
            let known = self.services.storage.get(Failures::TABLE, key).await?;
            let condition = known.map_or(Condition::Absent, |(_, version)| Condition::Version(version));
            let mut failures = self.records().get::<Failures>(key).await?.unwrap_or_default();
            failures.count = failures.count.saturating_add(1);
            failures.expires_s = self.now_s() + MEMORY_S;
            if failures.count >= max {
                let doublings = (failures.count - max).min(10);
                failures.locked_until_s = self.now_s() + (LOCK_S << doublings).min(MAX_LOCK_S);
            }
            if self.records().put(key, &failures, condition).await? {
                break;
            }
        }
        Ok(())
    }
}

fn by_user(username: &str) -> String {
    format!("user:{}", crate::secret::digested(&User::key(username)))
}

fn by_address(address: &str) -> String {
    format!("address:{}", crate::secret::digested(address))
}
