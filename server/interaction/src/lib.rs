//! FHIR's interactions (<https://hl7.org/fhir/R4/http.html>), one file each, without HTTP types: every
//! function takes the [`Service`], the [`Caller`] and typed arguments, and gives an [`Outcome`] or a [`Failure`].
//!
//! Bodies arrive as bytes and are parsed here; parameters arrive decoded, in the order received, without
//! `_format` and `_pretty`, which are the transport's.

mod bundle;
mod capabilities;
pub mod code_tables;
mod commit;
mod conditions;
mod contained;
mod create;
mod criteria;
mod delete;
mod erase;
mod history;
mod import;
mod include;
mod json;
mod outcome;
mod own_parameters;
mod page;
mod page_link;
mod parameters;
mod patch;
mod permission;
mod projection;
mod provenance;
mod read;
mod search;
mod stored_definitions;
mod time;
mod update;
mod validation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::search::SearchIndex;
use conformance::Definitions;
use fhirpath::IssueType;
use store::{Access, Key, Store, Tenant, Timestamp};

pub use ::search::Handling;
pub use bundle::bundle;
pub use capabilities::{INTERACTIONS, Interaction, OperationDescriptor, capabilities};
pub use conditions::{ReadConditions, Return, VersionMatch, WriteConditions};
pub use create::create;
pub use criteria::criteria;
pub use delete::{conditional_delete, delete};
pub use erase::{delete_history, delete_history_version};
pub use history::history;
pub use import::{Imported, Loading, Prepared, import, prepare};
pub use outcome::{Failure, Outcome, OutcomeBody, Status, outcome_body};
pub use own_parameters::StoredParameter;
pub use page::{Mode, PageWriter};
pub use page_link::Pages;
pub use patch::{PATCH_FORMATS, PatchDocument, PatchFormat, conditional_patch, patch};
pub use projection::Projection;
pub use read::{read, vread};
pub use search::search;
pub use update::{conditional_update, update};
pub use validation::{Validation, ValidationLevel};

/// What the interactions run on. Cheap to clone: a tenant has one with its own base URL.
#[derive(Clone)]
pub struct Service {
    /// The record.
    pub store: Store,
    /// Schema, parameters, compartments.
    pub definitions: Arc<Definitions>,
    /// Index entries and parameters.
    pub index: Arc<SearchIndex>,
    /// What is validated before it is written, and by what.
    pub validation: Validation,
    /// The name of the organization on whose behalf is written, where every commit is to say where its versions came from.
    pub provenance: Option<Arc<str>>,
    /// Told of what access is decided by.
    pub rulings: Rulings,
    /// Bounds.
    pub limits: Limits,
    /// FHIR base URL for links and Location (`http://127.0.0.1:8080/fhir`), no slash at the end.
    pub base: String,
    /// The time; injected so that tests are repeatable.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Ids of new resources; injected so that tests are repeatable.
    pub new_id: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Counts the writes of what access is decided by: Consents, and the roles that say for whom people act. What was decided under
/// another count may not hold any more. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Rulings(Arc<AtomicU64>);

impl Rulings {
    const TYPES: [&str; 2] = ["Consent", "PractitionerRole"];

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Whether access is decided by any of some resources.
    pub fn are_among<'k>(keys: impl IntoIterator<Item = &'k Key>) -> bool {
        keys.into_iter().any(|key| Rulings::TYPES.contains(&key.resource_type()))
    }

    /// Some were written or removed.
    pub fn changed(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// For which tenant.
    pub tenant: Tenant,
    /// With which rights.
    pub access: Access,
    /// As whom writes are told to come.
    pub agent: Agent,
}

/// Who writes, and through which app.
#[derive(Debug, Clone, Default)]
pub struct Agent {
    /// The user's resource, `Practitioner/1`.
    pub user: Option<Arc<str>>,
    /// The client_id of the app.
    pub client: Option<Arc<str>>,
}

impl Caller {
    /// Nobody in particular, with these rights.
    pub fn new(tenant: Tenant, access: Access) -> Caller {
        Caller { tenant, access, agent: Agent::default() }
    }
}

/// Bounds on what one call may ask.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bounds on a body.
    pub body: fhirpath::tree::Limits,
    /// Most entries of a batch or transaction.
    pub bundle_entries: usize,
    /// Page size without `_count`.
    pub default_count: usize,
    /// Largest page size.
    pub max_count: usize,
    /// Most resources that `_include` and `_revinclude` add to a page.
    pub includes: usize,
    /// Whether a call may erase versions, which nothing brings back.
    pub erasure: bool,
}

impl Service {
    /// Refuses a type that there is not.
    pub(crate) fn known_type(&self, resource_type: &str) -> Result<(), Failure> {
        match self.definitions.schema.is_resource(resource_type) {
            true => Ok(()),
            false => Err(Failure::unknown_type(resource_type)),
        }
    }

    /// The key of a resource that a URL names. An id that no resource can have is one that is not found.
    pub(crate) fn key(&self, resource_type: &str, id: &str) -> Result<Key, Failure> {
        self.known_type(resource_type)?;
        Key::parse(&format!("{resource_type}/{id}")).ok_or_else(|| {
            let details = "No resource has such an id: ids have 1 to 64 characters, each of A-Z, a-z, 0-9, '-' and '.'.";
            Failure::new(Status::NotFound, IssueType::NotFound, details)
        })
    }
}
