//! What the guide asks of several profiles together: clinical notes, screening and assessments, who keeps documents, where
//! practitioners are reached.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Api, name, none_found};
use crate::guide::{MustSupport, Profile, Supported};
use crate::http::{Checked, Wrong, ensure, text};
use crate::navigation::list;
use crate::present;
use crate::report::Outcome;

/// The kinds of notes that there must be, in LOINC.
const NOTES: [&str; 8] =
    ["11488-4", "18842-5", "34117-2", "28570-0", "11506-3", "18748-4", "11502-2", "11526-1"];
/// The categories of reports that there must be: cardiology, pathology, radiology.
const REPORTS: [&str; 3] = ["LP29708-2", "LP7839-6", "LP29684-5"];
const US_CORE_CATEGORY: &str = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category";
const OBSERVATION_CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

/// System and code.
type Category = (&'static str, &'static str);

impl Api<'_> {
    pub(super) async fn guidance(&mut self) {
        self.custodians();
        self.addresses().await;
        self.notes().await;
        self.screening().await;
    }

    /// Each document says who keeps it, itself or by its Provenance.
    fn custodians(&mut self) {
        let Some(profile) = self.guide.named("document_reference") else { return };
        let has_agent = |document: &Value| {
            let end = name(document);
            self.provenances.iter().any(|one| {
                let targets = list(one.get("target")).into_iter().filter_map(|to| text(to, "reference"));
                let agents = list(one.get("agent"));
                targets.into_iter().any(|to| to.ends_with(&end))
                    && agents
                        .iter()
                        .any(|agent| agent.get("who").or_else(|| agent.get("onBehalfOf")).is_some())
            })
        };
        let all = self.all(profile);
        let without = all.iter().find(|one| one.get("custodian").is_none() && !has_agent(one));
        let outcome = match without {
            _ if all.is_empty() => none_found(profile),
            None => Outcome::Passed,
            Some(one) => Outcome::Failed(Wrong(format!("nobody keeps {}", name(one)))),
        };
        let group = format!("{}-{}_{}", self.top, self.guide.prefix(), profile.name);
        let mut group = self.report.group_of(&group, &self.guide.option());
        group.found("us_core_v400_document_reference_custodian_test", outcome);
    }

    /// Practitioners have addresses, or roles that have them.
    async fn addresses(&mut self) {
        let Some(profile) = self.guide.named("practitioner") else { return };
        let outcome = self.address(profile).await.unwrap_or_else(Outcome::Failed);
        self.saw(profile, "address_test", outcome);
    }

    async fn address(&mut self, profile: &Profile) -> Checked<Outcome> {
        let paths = ["", ".line", ".city", ".state", ".postalCode", ".country"];
        let element = |path: &str| Supported { path: format!("address{path}"), ..Supported::default() };
        let must = MustSupport { elements: paths.map(element).to_vec(), ..MustSupport::default() };
        let all = self.all(profile);
        let missing = present::missing(&must, &all);
        if missing.is_empty() {
            return Ok(Outcome::Passed);
        }
        let role = self.guide.named("practitioner_role").map(|one| format!("{}|{}", one.url, one.version));
        let role = role.unwrap_or_default();
        for practitioner in &all {
            let id = text(practitioner, "id").unwrap_or_default().to_owned();
            let found = self.answer("PractitionerRole", &vec![("practitioner".to_owned(), id)]).await?;
            for one in found.iter().filter(|one| text(one, "resourceType") == Some("PractitionerRole")) {
                if self.errors(one, &role).is_empty() {
                    return Ok(Outcome::Passed);
                }
            }
        }
        let missing = missing.join(", ");
        Ok(Outcome::Lacking(Wrong(format!(
            "no PractitionerRole is valid, and no Practitioner has {missing}"
        ))))
    }

    /// All kinds of notes, and reports whose files documents have too.
    async fn notes(&mut self) {
        let kinds = self.note_kinds().await;
        let group = format!("{}-us_core_v400_clinical_notes_guidance", self.top);
        let option = self.guide.option();
        let (kinds, attachments) = match kinds {
            Ok((kinds, attachments)) => (kinds, attachments),
            Err(wrong) => (Outcome::Failed(wrong.clone()), Outcome::Failed(wrong)),
        };
        let mut group = self.report.group_of(&group, &option);
        group.found("us_core_clinical_note_types", kinds);
        group.found("us_core_clinical_note_attachments", attachments);
    }

    async fn note_kinds(&mut self) -> Checked<(Outcome, Outcome)> {
        let (mut codes, mut files, mut reported) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for patient in self.inputs.patients.clone() {
            let query = vec![("patient".to_owned(), patient.clone())];
            for one in self.answer("DocumentReference", &query).await?.iter() {
                codes.extend(codings(one.get("type")).into_iter().filter_map(code));
                let attached = list(one.get("content")).into_iter().filter_map(|one| one.get("attachment"));
                files.extend(attached.filter_map(|one| Some((patient.clone(), url(one)?))));
            }
            for one in self.answer("DiagnosticReport", &query).await?.iter() {
                let own: Vec<String> = codings(one.get("category")).into_iter().filter_map(code).collect();
                if own.iter().any(|code| REPORTS.contains(&code.as_str())) {
                    let forms = list(one.get("presentedForm")).into_iter();
                    reported.extend(forms.filter_map(|one| Some((patient.clone(), url(one)?))));
                }
                codes.extend(own);
            }
        }
        let missing: Vec<&str> =
            NOTES.iter().chain(&REPORTS).copied().filter(|code| !codes.contains(*code)).collect();
        let kinds = match missing.is_empty() {
            true => Outcome::Passed,
            false => Outcome::Lacking(Wrong(format!("no note or report of {}", missing.join(", ")))),
        };
        let attachments = match (files.is_empty() || reported.is_empty(), reported.difference(&files).next())
        {
            (true, _) => Outcome::Lacking(Wrong("no document or no report has a file by URL".to_owned())),
            (_, Some((_, url))) => {
                Outcome::Failed(Wrong(format!("no document has the file {url} of a report")))
            }
            _ => Outcome::Passed,
        };
        Ok((kinds, attachments))
    }

    /// All categories of screening and assessments.
    async fn screening(&mut self) {
        let observations: &[Category] = match self.guide.version.starts_with("6.") {
            true => &SCREENING_6,
            false => &SCREENING_7,
        };
        let outcome = async {
            let conditions = [(US_CORE_CATEGORY, "sdoh")];
            let mut missing =
                self.categories("Condition", &["health-concern", "problem-list-item"], &conditions).await?;
            missing.extend(self.categories("Observation", &["survey"], observations).await?);
            ensure(missing.is_empty(), || format!("no resource has the category {}", missing.join(", ")))
        };
        let outcome = match outcome.await {
            Ok(()) => Outcome::Passed,
            Err(wrong) => Outcome::Lacking(wrong),
        };
        let group = format!("{}-{}_screening_assessment", self.top, self.guide.prefix());
        let mut group = self.report.group_of(&group, &self.guide.option());
        group.found("us_core_screening_assessment_category", outcome);
    }

    /// The categories that nothing found by others has.
    async fn categories(&mut self, kind: &str, by: &[&str], asked: &[Category]) -> Checked<Vec<String>> {
        let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
        for patient in self.inputs.patients.clone() {
            for category in by {
                let category = ("category".to_owned(), (*category).to_owned());
                let query = vec![("patient".to_owned(), patient.clone()), category];
                let found = self.answer(kind, &query).await?;
                let all = found.iter().flat_map(|one| codings(one.get("category")));
                let pair = |one: &Value| Some((text(one, "system")?.to_owned(), code(one)?));
                seen.extend(all.filter_map(pair));
            }
        }
        let is_missing = |(system, code): &&Category| !seen.contains(&((*system).into(), (*code).into()));
        let missing = asked.iter().filter(is_missing);
        Ok(missing.map(|(system, code)| format!("{system}|{code} ({kind})")).collect())
    }
}

const SCREENING_6: [Category; 4] = [
    (US_CORE_CATEGORY, "sdoh"),
    (US_CORE_CATEGORY, "functional-status"),
    (US_CORE_CATEGORY, "disability-status"),
    (US_CORE_CATEGORY, "cognitive-status"),
];
const SCREENING_7: [Category; 6] = [
    (US_CORE_CATEGORY, "sdoh"),
    (US_CORE_CATEGORY, "functional-status"),
    (US_CORE_CATEGORY, "disability-status"),
    (US_CORE_CATEGORY, "cognitive-status"),
    (OBSERVATION_CATEGORY, "activity"),
    (OBSERVATION_CATEGORY, "social-history"),
];

fn codings(concepts: Option<&Value>) -> Vec<&Value> {
    list(concepts).into_iter().flat_map(|one| list(one.get("coding"))).collect()
}

fn code(coding: &Value) -> Option<String> {
    text(coding, "code").map(str::to_owned)
}

fn url(attachment: &Value) -> Option<String> {
    text(attachment, "url").map(str::to_owned)
}
