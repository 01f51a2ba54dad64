//! The search parameters that a tenant stored (<https://hl7.org/fhir/R4/searchparameter.html>): which are active, and the
//! service that knows them. One with the status `active` is judged before it is written, and refused with what is wrong; it
//! is active from then on, and answers when the store's index has it. Runs no search.
//!
//! What is active is read from the stored resources themselves, so every process on one store comes to the same; one that
//! did not write them itself, where others may, within [`FRESH_MS`].

mod judge;

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use ::search::SearchIndex;
use fhirpath::tree::Limits;
use fhirpath::{IssueType, Tree};
use rustc_hash::FxHashMap;
use store::{Access, Key, Tenant, Timestamp, Write};

use crate::criteria::Criteria;
use crate::{Caller, Failure, Service, Status};
use judge::Candidate;

/// The type that defines them.
const SEARCH_PARAMETER: &str = "SearchParameter";
/// Most stored SearchParameters that are looked at.
const MAX_STORED: usize = 2_000;
/// How long what is known counts where other servers write to the same store, milliseconds.
const FRESH_MS: i64 = 30_000;

/// What is known of the tenants' own parameters. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub(crate) struct OwnSearchParameters(Arc<RwLock<FxHashMap<Tenant, Known>>>);

#[derive(Default)]
struct Known {
    /// None until it is read, and when it is to be read again.
    active: Option<Arc<Active>>,
    since: Option<Timestamp>,
    /// How often it was forgotten: what was read before is not kept after.
    epoch: u64,
}

/// A tenant's own parameters at one time.
struct Active {
    /// The index that knows them; none without any.
    index: Option<Arc<SearchIndex>>,
    stored: Vec<StoredParameter>,
}

/// A stored SearchParameter whose status is `active`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredParameter {
    /// The resource.
    pub key: Key,
    /// Its canonical URL.
    pub url: String,
    /// `Patient.eye-colour`, for each type it is for; none if the server has it without this resource, or cannot use it.
    pub names: Vec<String>,
    /// Why it is not active, if it is not.
    pub inactive: Option<String>,
}

impl OwnSearchParameters {
    fn known(&self, tenant: &Tenant) -> (Option<Arc<Active>>, Option<Timestamp>, u64) {
        let tenants = self.0.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(tenant).map_or((None, None, 0), |known| (known.active.clone(), known.since, known.epoch))
    }

    /// Has them be read again.
    pub(crate) fn forget(&self, tenant: &Tenant) {
        let mut tenants = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = tenants.entry(tenant.clone()).or_default();
        *known = Known { epoch: known.epoch + 1, ..Known::default() };
    }

    /// Whether this call is the one that reads them again: for others what is known counts until it has.
    fn takes(&self, tenant: &Tenant, since: Option<Timestamp>, now: Timestamp) -> bool {
        let mut tenants = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = tenants.get_mut(tenant).filter(|known| known.since == since) else { return false };
        known.since = Some(now);
        true
    }

    async fn active(&self, service: &Service, tenant: &Tenant) -> Result<Arc<Active>, Failure> {
        let (active, since, epoch) = self.known(tenant);
        let now = (service.clock)();
        let is_old = since.is_none_or(|since| now.0.saturating_sub(since.0) > FRESH_MS);
        if let Some(active) = active
            && !(service.store.is_metered() && is_old && self.takes(tenant, since, now))
        {
            return Ok(active);
        }
        let read = Arc::new(read(service, tenant).await?);
        let mut tenants = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = tenants.entry(tenant.clone()).or_default();
        if known.epoch == epoch {
            *known = Known { active: Some(Arc::clone(&read)), since: Some(now), epoch };
        }
        Ok(read)
    }
}

/// Reads what is stored, and tells the store which parameters are wanted.
async fn read(service: &Service, tenant: &Tenant) -> Result<Active, Failure> {
    let service = &*service.without_own_parameters();
    let caller = Caller::new(tenant.clone(), Access::unrestricted());
    let criteria = [("status".to_owned(), "active".to_owned())];
    let criteria = Criteria::new(service, SEARCH_PARAMETER, &criteria)?;
    let mut versions = criteria.find_all(service, &caller, MAX_STORED).await?;
    // The same order in every process: of two that clash the first one stored stays.
    versions.sort_by(|one, other| one.key.as_str().cmp(other.key.as_str()));
    let (mut stored, mut wanted) = (Vec::new(), Vec::new());
    for version in versions {
        let tree = Tree::parse_json(&service.definitions.schema, version.body.to_vec(), &Limits::DEFAULT)
            .map_err(|_| Failure::internal(&"a stored SearchParameter cannot be read"))?;
        let candidate = Candidate::of(&tree)?;
        let judged = candidate.judge(&service.index, &stored);
        let (names, inactive) = match judged {
            Ok(parameters) => {
                let names = parameters.iter().map(|(name, _)| name.clone()).collect();
                wanted.extend(parameters);
                (names, None)
            }
            Err(issues) => {
                let why = issues.into_iter().map(|issue| issue.details).collect::<Vec<_>>().join(" ");
                (Vec::new(), Some(why))
            }
        };
        if let Some(why) = &inactive {
            tracing::warn!(key = version.key.as_str(), why, "a stored search parameter is not active");
        }
        stored.push(StoredParameter { key: version.key, url: candidate.url().to_owned(), names, inactive });
    }
    let numbered = service.store.set_own_parameters(tenant, wanted).await?;
    let index = match numbered.is_empty() {
        true => None,
        false => {
            Some(Arc::new(service.index.with_own(&numbered).map_err(|error| Failure::internal(&error))?))
        }
    };
    Ok(Active { index, stored })
}

/// Whether one of the writes is of a SearchParameter.
pub(crate) fn defines(writes: &[Write]) -> bool {
    writes.iter().any(|write| write.key().resource_type() == SEARCH_PARAMETER)
}

/// Refuses an active SearchParameter that cannot be used.
///
/// # Errors
/// Unprocessable with what is wrong: its code, type, bases, expression; or Conflict of its code with another's.
pub(crate) async fn check(service: &Service, caller: &Caller, key: &Key, tree: &Tree) -> Result<(), Failure> {
    let status = tree.root().get("status").and_then(|status| status.value());
    if tree.resource_type() != SEARCH_PARAMETER || status.as_deref() != Some("active") {
        return Ok(());
    }
    let service = service.without_own_parameters();
    let active = service.validation.own().active(&service, &caller.tenant).await?;
    let others: Vec<StoredParameter> =
        active.stored.iter().filter(|stored| stored.key != *key).cloned().collect();
    let judged = Candidate::of(tree)?.judge(&service.index, &others);
    judged.map(drop).map_err(|issues| Failure::of(Status::Unprocessable, issues))
}

impl Service {
    /// The service that knows a tenant's own search parameters.
    ///
    /// # Errors
    /// The store failed.
    pub async fn with_own_parameters(&self, tenant: &Tenant) -> Result<Cow<'_, Service>, Failure> {
        let active = self.validation.own().active(self, tenant).await?;
        Ok(match &active.index {
            None => Cow::Borrowed(self),
            Some(index) => {
                let definitions = Arc::clone(index.definitions());
                Cow::Owned(Service { definitions, index: Arc::clone(index), ..self.clone() })
            }
        })
    }

    /// The service that knows only the parameters of all tenants.
    fn without_own_parameters(&self) -> Cow<'_, Service> {
        match self.index.shared() {
            None => Cow::Borrowed(self),
            Some(index) => {
                let definitions = Arc::clone(index.definitions());
                Cow::Owned(Service { definitions, index: Arc::clone(index), ..self.clone() })
            }
        }
    }

    /// Does a part of bringing a tenant's index to its own search parameters; whether something is left to do. To be called
    /// from time to time while the tenant is served.
    ///
    /// # Errors
    /// The store failed.
    pub async fn index_own_parameters(&self, tenant: &Tenant) -> Result<bool, Failure> {
        let own = self.validation.own();
        own.active(self, tenant).await?;
        let before = self.store.own_parameters(tenant).await?.progress.is_some();
        let left = self.store.step_own_parameters(tenant).await?;
        if before && !left {
            // Others may be wanted by now than those that the work was begun for.
            own.forget(tenant);
            own.active(self, tenant).await?;
            return Ok(self.store.own_parameters(tenant).await?.progress.is_some());
        }
        Ok(left)
    }

    /// The stored SearchParameters that say they are active. `anew` reads them again.
    ///
    /// # Errors
    /// The store failed.
    pub async fn stored_parameters(
        &self,
        tenant: &Tenant,
        anew: bool,
    ) -> Result<Vec<StoredParameter>, Failure> {
        let service = self.without_own_parameters();
        let own = service.validation.own();
        if anew {
            own.forget(tenant);
        }
        Ok(own.active(&service, tenant).await?.stored.clone())
    }
}

/// A code of the specification, as a text of the tree.
fn unreadable(why: &dyn std::fmt::Display) -> Failure {
    let details = format!("The SearchParameter cannot be read: {why}.");
    Failure::new(Status::Unprocessable, IssueType::Structure, details)
}
