//! From the token of a request to its caller. What a token permits is compiled once and remembered; what is remembered counts until
//! anything is revoked in this process, and where other processes write to the same store, for [`HOLDS_S`].

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use interaction::{Caller, Failure};
use sha2::{Digest as _, Sha256};
use smart::{Clock as _, StorageError, TokenError};

use super::process::SystemClock;
use super::{Authority, Rights, decision};
use crate::tenants::Site;

/// How long a token that another process revoked may still count, seconds.
pub(super) const HOLDS_S: u64 = 5;
/// The most tokens that are remembered.
const MAX_KNOWN: usize = 10_000;

/// What is remembered, by the digests of the tokens.
#[derive(Default)]
pub struct Decided(RwLock<HashMap<[u8; 32], Known>>);

#[derive(Clone)]
struct Known {
    holder: Arc<Holder>,
    expires_s: i64,
    /// [`super::Records::revocations`] and [`interaction::Rulings`] before the token was looked up.
    revocations: u64,
    at: Instant,
}

/// Who has a token, and what it permits.
pub struct Holder {
    /// As whom requests with it are answered.
    pub caller: Caller,
    /// As whom they are answered in an emergency, if the user's policy may be put aside then.
    pub emergency: Option<Caller>,
    /// `client_id`.
    pub client: String,
    /// The user's resource, `Practitioner/1`; `None` for a backend service's own token.
    pub user: Option<String>,
    /// The id of the patient in context.
    pub patient: Option<String>,
    /// What it permits, for work that outlives the request.
    pub rights: Rights,
}

/// Why a token opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefused {
    /// It does not count.
    #[error("the access token is unknown, has expired or was revoked")]
    Invalid,
    /// What it permits cannot be held to.
    #[error("what the token permits cannot be held to")]
    Decision(Failure),
    /// The store failed.
    #[error("{0}")]
    Failed(smart::ServerError),
}

impl Authority {
    /// As whom a request with this token is answered.
    ///
    /// # Errors
    /// The token does not count, or that cannot be known.
    pub async fn caller(&self, site: &Site, token: &str) -> Result<Arc<Holder>, TokenRefused> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        // Both only grow: where one of them did, so did their sum.
        let revocations = self.records.revocations() + site.service.rulings.count();
        let is_shared = site.service.store.is_metered();
        if let Some(known) = self.decided.get(&digest, revocations, is_shared) {
            return Ok(known);
        }
        let verified = self.server.verify(token).await.map_err(|error| match error {
            TokenError::Invalid => TokenRefused::Invalid,
            TokenError::Failed(error) => TokenRefused::Failed(error),
        })?;
        let tenant = &site.caller.tenant;
        let user = verified.user.as_ref().map(|user| user.fhir_user.as_str());
        let asked = self.consents.withheld(&site.service, tenant, user, Some(&verified.client_id));
        let withheld = asked.await;
        let (withheld, until_s) =
            withheld.map_err(|error| TokenRefused::Failed(StorageError(error.to_string()).into()))?;
        let access =
            decision::compile(&site.service, &verified, &withheld).map_err(TokenRefused::Decision)?;
        let emergency = decision::emergency(&site.service, &verified).map_err(TokenRefused::Decision)?;
        let rights = Rights::of(&verified, withheld);
        let caller = |access| Caller { tenant: site.caller.tenant.clone(), access, agent: rights.agent() };
        let (caller, emergency) = (caller(access), emergency.map(caller));
        let user = verified.user.map(|user| user.fhir_user);
        let holder =
            Holder { caller, emergency, client: verified.client_id, user, patient: verified.patient, rights };
        let holder = Arc::new(holder);
        let expires_s = until_s.map_or(verified.expires_s, |until_s| until_s.min(verified.expires_s));
        let at = Instant::now();
        self.decided.put(digest, Known { holder: Arc::clone(&holder), expires_s, revocations, at });
        Ok(holder)
    }
}

impl Decided {
    fn get(&self, digest: &[u8; 32], revocations: u64, is_shared: bool) -> Option<Arc<Holder>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(digest)?;
        let is_fresh = !is_shared || found.at.elapsed() < Duration::from_secs(HOLDS_S);
        let counts = found.revocations == revocations && is_fresh && SystemClock.now_s() < found.expires_s;
        counts.then(|| Arc::clone(&found.holder))
    }

    fn put(&self, digest: [u8; 32], decided: Known) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            let revocations = decided.revocations;
            let now_s = SystemClock.now_s();
            known.retain(|_, other| other.revocations == revocations && other.expires_s > now_s);
        }
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(digest, decided);
    }
}
