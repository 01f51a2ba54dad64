//! Validation of what is written (<https://hl7.org/fhir/R4/validation.html>), and the way of operations to validation and
//! terminology: both see the definitions of the program, of packages, and those that the tenant stored. The rules are
//! `conformance`'s.

use std::sync::{Arc, PoisonError, RwLock};

use conformance::resources::Resources;
use conformance::terminology::{CodeTables, Terminology};
use conformance::validation::{Options, Validator};
use fhirpath::expression::DateTime;
use fhirpath::{IssueType, Severity, Tree};
use rustc_hash::FxHashMap;
use store::{Access, Tenant};

use crate::own_parameters::OwnSearchParameters;
use crate::stored_definitions::StoredDefinitions;
use crate::{Caller, Failure, Service, Status, time};

/// What is validated before it is written. What breaks the schema is refused at each level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidationLevel {
    /// Nothing more.
    Off,
    /// FHIR's own rules: cardinality, types, required bindings, invariants, references.
    Base,
    /// These, and those of the profiles that a resource claims, as far as they are known.
    Profiles,
}

/// What resources are validated by. Cheap to clone; clones share what was compiled.
#[derive(Clone)]
pub struct Validation {
    level: ValidationLevel,
    /// The profile that all resources of a type must meet.
    required: Arc<FxHashMap<String, String>>,
    /// A type that only the server writes.
    reserved: Option<&'static str>,
    validator: Validator,
    terminology: Terminology,
    tenants: Arc<RwLock<FxHashMap<Tenant, Arc<OfTenant>>>>,
    own: OwnSearchParameters,
}

/// With the definitions that a tenant stored.
struct OfTenant {
    stored: Arc<StoredDefinitions>,
    validator: Validator,
    terminology: Terminology,
}

impl Validation {
    /// `validator` is one of `terminology`.
    pub fn new(level: ValidationLevel, validator: Validator, terminology: Terminology) -> Validation {
        let (required, tenants, own) = (Arc::default(), Arc::default(), OwnSearchParameters::default());
        Validation { level, required, reserved: None, validator, terminology, tenants, own }
    }

    /// With profiles, by type, that every resource written must meet whether it claims them or not.
    #[must_use]
    pub fn requiring(self, profiles: impl IntoIterator<Item = (String, String)>) -> Validation {
        Validation { required: Arc::new(profiles.into_iter().collect()), ..self }
    }

    /// With another level.
    #[must_use]
    pub fn at_level(self, level: ValidationLevel) -> Validation {
        Validation { level, ..self }
    }

    /// With a type that nobody may write: the server does, past the interactions.
    #[must_use]
    pub fn reserving(self, resource_type: Option<&'static str>) -> Validation {
        Validation { reserved: resource_type, ..self }
    }

    /// Refuses to write resources of a type that only the server writes.
    pub(crate) fn may_write(&self, resource_type: &str) -> Result<(), Failure> {
        match self.reserved {
            Some(reserved) if reserved == resource_type => {
                let details = format!(
                    "Each {reserved} here is a record of this server's log: it can be read, and not be written."
                );
                Err(Failure::new(Status::MethodNotAllowed, IssueType::NotSupported, details))
            }
            _ => Ok(()),
        }
    }

    /// The profile that all resources of a type must meet, where there is one.
    pub fn required(&self, resource_type: &str) -> Option<&str> {
        self.required.get(resource_type).map(String::as_str)
    }

    /// By the definitions that are embedded in the program.
    pub fn embedded(level: ValidationLevel, definitions: &conformance::Definitions) -> Validation {
        let terminology = Terminology::embedded();
        let library = conformance::validation::Library::embedded();
        let validator = Validator::new(Arc::clone(&definitions.schema), library, terminology.clone());
        Validation::new(level, validator, terminology)
    }

    /// The definitions of types and profiles that the program and its packages bring along.
    pub fn library(&self) -> &conformance::validation::Library {
        self.validator.library()
    }

    /// The tenants' own search parameters.
    pub(crate) fn own(&self) -> &OwnSearchParameters {
        &self.own
    }

    /// With what a tenant stored.
    fn of(&self, tenant: &Tenant) -> Arc<OfTenant> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = tenants.get(tenant) {
            return Arc::clone(found);
        }
        drop(tenants);
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        let made = tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(self.with_stored()));
        Arc::clone(made)
    }

    fn with_stored(&self) -> OfTenant {
        let stored = Arc::new(StoredDefinitions::default());
        let resources: Arc<dyn Resources> = Arc::<StoredDefinitions>::clone(&stored);
        let tables: Arc<dyn CodeTables> = Arc::<StoredDefinitions>::clone(&stored);
        let terminology = self.terminology.with_resources(Arc::clone(&resources)).with_tables(tables);
        let validator = self.validator.with_resources(resources).with_terminology(terminology.clone());
        OfTenant { stored, validator, terminology }
    }

    /// Has the definitions that a tenant stored be read again.
    pub(crate) fn forget(&self, tenant: &Tenant) {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_tenant) = tenants.get(tenant) {
            of_tenant.stored.forget();
        }
    }
}

impl Service {
    /// Asks validation or terminology, with what the caller's tenant stored: definitions hold for all callers alike, whether
    /// they may read them or not, and are nobody's record. The question may be asked several times.
    ///
    /// # Errors
    /// The store failed, or the definitions name others without end.
    pub async fn ask<T>(
        &self,
        caller: &Caller,
        question: impl Fn(&Validator, &Terminology) -> T,
    ) -> Result<T, Failure> {
        let server = Caller::new(caller.tenant.clone(), Access::unrestricted());
        let of_tenant = self.validation.of(&server.tenant);
        let question = || question(&of_tenant.validator, &of_tenant.terminology);
        of_tenant.stored.ask(self, &server, question).await
    }

    /// How to validate at this moment: claimed profiles count.
    pub fn validation_options(&self) -> Options {
        Options {
            now: DateTime::parse(&time::instant((self.clock)())),
            issues: self.limits.body.issues,
            ..Options::default()
        }
    }
}

/// Refuses a resource that is to be written and breaks the rules.
///
/// # Errors
/// Unprocessable with all that was found.
pub(crate) async fn check(service: &Service, caller: &Caller, tree: &Tree) -> Result<(), Failure> {
    let claimed_profiles = match service.validation.level {
        ValidationLevel::Off => return Ok(()),
        ValidationLevel::Base => false,
        ValidationLevel::Profiles => true,
    };
    let options = Options { claimed_profiles, ..service.validation_options() };
    let required = service.validation.required(tree.resource_type());
    let question = |validator: &Validator, _: &Terminology| {
        validator.validate(tree.root(), required.as_slice(), &options)
    };
    let issues = service.ask(caller, question).await?;
    match issues.iter().any(|issue| issue.severity <= Severity::Error) {
        true => Err(Failure::of(Status::Unprocessable, issues)),
        false => Ok(()),
    }
}
