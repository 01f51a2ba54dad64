//! FHIR's interactions (<https://hl7.org/fhir/R4/http.html>), one file each, without HTTP types: every
//! function takes the [`Service`], the [`Caller`] and typed arguments, and gives an [`Outcome`] or a [`Failure`].

mod outcome;

use std::sync::Arc;

use conformance::Definitions;
use search::SearchIndex;
use store::{Access, Store, Tenant, Timestamp};

pub use outcome::{Failure, Outcome, OutcomeBody, Status};

/// What the interactions run on.
pub struct Service {
    /// The record.
    pub store: Store,
    /// Schema, parameters, compartments.
    pub definitions: Arc<Definitions>,
    /// Index entries and parameters.
    pub index: Arc<SearchIndex>,
    /// Bounds.
    pub limits: Limits,
    /// FHIR base URL for links and Location (`http://127.0.0.1:8080/fhir`), no slash at the end.
    pub base: String,
    /// The time; injected so that tests are repeatable.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Ids of new resources; injected so that tests are repeatable.
    pub new_id: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// For which tenant.
    pub tenant: Tenant,
    /// With which rights.
    pub access: Access,
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
}
