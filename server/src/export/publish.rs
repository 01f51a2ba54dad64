//! `$bulk-publish` (<https://build.fhir.org/ig/HL7/bulk-data/publish.html>): reference data that anyone may have whole, as files that
//! stand ready. They are made by export jobs of the server's own, and only of types that are no patient's.

use std::sync::Arc;

use bulk::{Job, Kickoff, Level, State};
use fhirpath::Issue;
use interaction::Service;
use store::Tenant;

use super::exporter::{Exporter, asked_again};
use super::kickoff;
use crate::authorization::decision::RESTRICTED;
use crate::config::Config;

/// The operation's name, without `$`.
pub const PUBLISH_NAME: &str = "bulk-publish";
/// What the ids of its jobs begin with.
pub const PUBLISHED: &str = "published-";
/// Who asks for its jobs: no client, whose owners' names begin with an id.
const PUBLISHER: &str = " publisher";
/// The types that can be published: directories, formularies, free times, and definitions.
const PUBLIC: [&str; 22] = [
    "ActivityDefinition",
    "CodeSystem",
    "ConceptMap",
    "Endpoint",
    "HealthcareService",
    "InsurancePlan",
    "Library",
    "Location",
    "Measure",
    "MedicationKnowledge",
    "NamingSystem",
    "Organization",
    "OrganizationAffiliation",
    "PlanDefinition",
    "Practitioner",
    "PractitionerRole",
    "Questionnaire",
    "Schedule",
    "SearchParameter",
    "Slot",
    "StructureDefinition",
    "ValueSet",
];

/// What is published, and how often.
#[derive(Debug, Clone)]
pub struct Published {
    types: Vec<String>,
    every_ms: i64,
}

impl Published {
    /// As configured; nothing where no types are named.
    ///
    /// # Errors
    /// A type that cannot be published, in a sentence.
    pub fn new(config: &Config) -> Result<Published, String> {
        let mut types = config.publish_types.clone();
        types.sort();
        types.dedup();
        match types.iter().find(|name| !PUBLIC.contains(&name.as_str())) {
            Some(other) => {
                Err(format!("{other} is not among the types that can be published: {}", PUBLIC.join(", ")))
            }
            None => {
                let every_ms = i64::try_from(config.publish_every_s.saturating_mul(1000)).unwrap_or(i64::MAX);
                Ok(Published { types, every_ms })
            }
        }
    }

    /// Whether anything is.
    pub fn is_any(&self) -> bool {
        !self.types.is_empty()
    }

    /// Seconds between one and the next.
    pub fn every_s(&self) -> i64 {
        self.every_ms / 1000
    }

    /// How much longer than other jobs those are kept that are published: until after the next two.
    pub(super) fn keep_ms(&self, job: &Job) -> i64 {
        if job.owner == PUBLISHER { self.every_ms.saturating_mul(2) } else { 0 }
    }

    fn is_of(&self, job: &Job) -> bool {
        job.owner == PUBLISHER && job.request.types == self.types
    }
}

impl Exporter {
    /// Makes the files of a tenant anew, where those that there are have become old.
    pub(super) async fn publish(self: &Arc<Self>, service: &Service, tenant: &Tenant) -> std::io::Result<()> {
        let published = self.published();
        let now_ms = (service.clock)().0;
        let is_enough = |job: &Job| {
            let is_young = job.created_ms.saturating_add(published.every_ms) > now_ms;
            published.is_of(job) && (is_young || job.state == State::Active)
        };
        if !published.is_any() || self.place(tenant).all()?.iter().any(is_enough) {
            return Ok(());
        }
        let asked = asked_again(service, tenant, &service.base, None).await;
        let (service, caller) = asked.map_err(|failure| refused(&failure.issues))?;
        let types = kickoff::types(&service);
        let mut parameters = vec![("_type".to_owned(), published.types.join(","))];
        // What is labelled restricted is not for everyone.
        let labelled = RESTRICTED.replacen('=', ":not=", 1);
        parameters.extend(
            published.types.iter().map(|name| ("_typeFilter".to_owned(), format!("{name}?{labelled}"))),
        );
        let kickoff = Kickoff {
            level: Level::System,
            parameters,
            is_post: false,
            lenient: false,
            documented: false,
            types: &types,
        };
        let request = kickoff.read().map_err(|issues| refused(&issues))?;
        let url = format!("{}/${PUBLISH_NAME}", service.base);
        let id = format!("{PUBLISHED}{}", uuid::Uuid::new_v4().simple());
        let begun = kickoff::begin(&service, &caller, &caller, request, url, id).await;
        let (job, _) = begun.map_err(|failure| refused(&failure.issues))?;
        let job = Job { owner: PUBLISHER.to_owned(), ..job };
        // One too many is one that was begun meanwhile.
        self.begin(&service, &caller, job, None).map(|_| ())
    }

    /// The newest complete job that is published.
    ///
    /// # Errors
    /// The jobs cannot be read.
    pub fn newest_published(&self, tenant: &Tenant) -> std::io::Result<Option<Job>> {
        let jobs = self.place(tenant).all()?.into_iter();
        let complete = jobs.filter(|job| self.published().is_of(job) && job.state == State::Complete);
        Ok(complete.max_by_key(|job| job.created_ms))
    }

    /// A file of a published job, and its length.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open_published(
        &self,
        tenant: &Tenant,
        id: &str,
        name: &str,
    ) -> std::io::Result<Option<(Box<dyn bulk::Reading>, u64)>> {
        // What is not published any more is nobody's from then on.
        let is_published = self.place(tenant).load(id)?.is_some_and(|job| self.published().is_of(&job));
        if is_published { self.open(tenant, PUBLISHER, id, name) } else { Ok(None) }
    }
}

/// Why there is nothing to publish.
fn refused(issues: &[Issue]) -> std::io::Error {
    let said: Vec<&str> = issues.iter().map(|issue| issue.details.as_str()).collect();
    std::io::Error::other(said.join(" "))
}
