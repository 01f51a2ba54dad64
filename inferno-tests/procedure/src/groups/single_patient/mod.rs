//! The records of patients, one by one: groups 10 (US Core 6.1.0) and 12 (7.0.0) of the kit. What is asked is read from the
//! guide; this module knows only the order in which the kit asks.

mod capability;
mod guidance;
mod references;
mod search;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use super::{Run, ehr};
use crate::guide::{Guide, Profile};
use crate::hello;
use crate::http::{Checked, Http, Wrong, ensure, text};
use crate::inputs::Inputs;
use crate::judge::Judge;
use crate::navigation::{DATA_ABSENT, list, values as at};
use crate::present;
use crate::report::{Outcome, Report};

/// Most pages of a search that are looked at.
const MAX_PAGES: usize = 20;

/// Follows group 10 or 12 with the token of a launch from the EHR.
///
/// # Errors
/// There is no HTTP client; what is wrong with a test stands in the report.
pub async fn single_patient(inputs: &Inputs, guide: &Guide, judge: &dyn Judge) -> Result<Report, Wrong> {
    let mut report = Report::default();
    let http = Http::new(inputs.authority.as_deref())?;
    let mut launches = Report::default();
    let token = ehr::token(&mut Run { inputs, http: http.clone(), report: &mut launches }).await;
    let major = guide.version.split('.').next().unwrap_or_default();
    let top = format!("g10_single_patient_us_core_{major}_api");
    let mut api = Api {
        http,
        inputs,
        guide,
        judge,
        bearer: String::new(),
        top,
        report: &mut report,
        answers: BTreeMap::new(),
        judged: BTreeMap::new(),
        resolved: BTreeMap::new(),
        found: BTreeMap::new(),
        provenances: Vec::new(),
        referred: BTreeMap::new(),
        absent: Absent::default(),
    };
    api.capability().await;
    match token {
        Ok(token) => {
            api.bearer = token.bearer();
            api.records().await;
        }
        Err(wrong) => {
            api.report
                .group_of(&api.top, &guide.option())
                .found("g10_patient_id_setup", Outcome::Failed(wrong));
        }
    }
    Ok(report)
}

/// The procedure under way.
struct Api<'a> {
    http: Http,
    inputs: &'a Inputs,
    guide: &'a Guide,
    judge: &'a dyn Judge,
    bearer: String,
    /// How the ids of the kit's group begin.
    top: String,
    report: &'a mut Report,
    /// What searches found, by URL: profiles of one type ask the same again and again.
    answers: BTreeMap<String, Rc<Vec<Value>>>,
    /// Errors by profile and resource.
    judged: BTreeMap<(String, String), Rc<Vec<String>>>,
    /// What references lead to.
    resolved: BTreeMap<String, Option<Rc<Value>>>,
    /// What the first searches found, by the profile's name and the patient.
    found: BTreeMap<String, Vec<(String, Vec<Value>)>>,
    provenances: Vec<Value>,
    /// References to resources that are found by references alone, by type.
    referred: BTreeMap<String, BTreeSet<String>>,
    absent: Absent,
}

/// How missing data was seen to be told.
#[derive(Default)]
struct Absent {
    by_extension: bool,
    by_code: bool,
}

impl Api<'_> {
    async fn records(&mut self) {
        let (guide, option) = (self.guide, self.guide.option());
        let is_there = ensure(!self.inputs.patients.is_empty(), || "no patients are named".to_owned());
        let tls = hello::check(&self.http, &self.inputs.base).await;
        let mut group = self.report.group_of(&self.top, &option);
        group.found("g10_patient_id_setup", is_there.into());
        group.found("g10_incorrectly_permitted_tls_versions_messages_setup", tls.into());
        let groups = || guide.profiles.iter().filter(|one| one.kind != "Medication");
        for profile in groups().filter(|one| !one.is_referred) {
            self.searches(profile).await;
            self.read(profile).await;
            self.provenance(profile).await;
            self.rest(profile).await;
        }
        for profile in groups().filter(|one| one.is_referred) {
            self.referred(profile).await;
            self.searches(profile).await;
            self.rest(profile).await;
        }
        self.guidance().await;
        let told = [
            ("us_core_311_data_absent_reason_extension", self.absent.by_extension),
            ("us_core_311_data_absent_reason_code_system", self.absent.by_code),
        ];
        let group = format!("{}-us_core_311_data_absent_reason", self.top);
        let mut group = self.report.group_of(&group, &option);
        for (test, seen) in told {
            let lacking = || Outcome::Lacking(Wrong("no resource tells missing data so".to_owned()));
            group.found(test, if seen { Outcome::Passed } else { lacking() });
        }
    }

    /// Takes how a test of a profile ended: `must_support_test`.
    fn saw(&mut self, profile: &Profile, test: &str, outcome: Outcome) {
        let outcome = match outcome {
            // Such a server need not have it.
            Outcome::Lacking(why) if profile.is_optional => Outcome::Omitted(why),
            outcome => outcome,
        };
        let prefix = self.guide.prefix();
        let group = format!("{}-{prefix}_{}", self.top, profile.name);
        let test = format!("{prefix}_{}_{test}", profile.name);
        self.report.group_of(&group, &self.guide.option()).found(&test, outcome);
    }

    /// All that the first searches found of a profile.
    fn all(&self, profile: &Profile) -> Vec<Value> {
        let by_patient = self.found.get(&profile.name).map_or(&[][..], Vec::as_slice);
        by_patient.iter().flat_map(|(_, all)| all.iter().cloned()).collect()
    }

    /// Reads the first resource that was found.
    async fn read(&mut self, profile: &Profile) {
        let first = self.all(profile).first().and_then(|one| text(one, "id")).map(str::to_owned);
        let outcome = match first {
            None => none_found(profile),
            Some(id) => self.read_one(&profile.kind, &id).await.map(|_| ()).into(),
        };
        self.saw(profile, "read_test", outcome);
    }

    async fn read_one(&self, kind: &str, id: &str) -> Checked<Value> {
        let url = format!("{}/{kind}/{id}", self.inputs.base);
        let found = self.get(&url).await?.resource(kind)?;
        let own = text(&found, "id").unwrap_or_default();
        ensure(own == id, || format!("{url} has the id {own}"))?;
        Ok(found)
    }

    async fn get(&self, url: &str) -> Checked<crate::http::Answer> {
        let headers = [("authorization", self.bearer.as_str()), ("accept", "application/fhir+json")];
        self.http.get(url, &headers).await
    }

    /// Reads all that others refer to.
    async fn referred(&mut self, profile: &Profile) {
        if profile.kind == "Provenance" {
            self.found.insert(profile.name.clone(), vec![(String::new(), self.provenances.clone())]);
            self.read(profile).await;
            return;
        }
        let references = self.referred.get(&profile.kind).cloned().unwrap_or_default();
        let (mut found, mut wrong) = (Vec::new(), None);
        for reference in &references {
            let id = reference.rsplit('/').next().unwrap_or_default();
            match self.read_one(&profile.kind, id).await {
                Ok(one) => found.push(one),
                Err(error) => wrong = Some(error),
            }
        }
        let outcome = match wrong {
            Some(wrong) => Outcome::Failed(wrong),
            None if found.is_empty() => none_found(profile),
            None => Outcome::Passed,
        };
        self.found.insert(profile.name.clone(), vec![(String::new(), found)]);
        self.saw(profile, "read_test", outcome);
    }

    /// Conformance, must-support elements and references of what was found.
    async fn rest(&mut self, profile: &Profile) {
        let all = self.all(profile);
        let canonical = format!("{}|{}", profile.url, profile.version);
        let outcome = if all.is_empty() { none_found(profile) } else { self.conform(&all, &canonical) };
        self.saw(profile, "validation_test", outcome);
        if matches!(profile.kind.as_str(), "MedicationRequest") {
            self.medications(profile, &all).await;
        }
        let missing = present::missing(&profile.must, &all);
        let outcome = match (all.is_empty(), missing.is_empty()) {
            (true, _) => none_found(profile),
            (_, true) => Outcome::Passed,
            _ => Outcome::Lacking(Wrong(format!("{} in no {}", missing.join(", "), profile.kind))),
        };
        self.saw(profile, "must_support_test", outcome);
        if profile.must.elements.iter().any(|one| one.is_reference) {
            let outcome = self.references(profile, &all).await;
            self.saw(profile, "reference_resolution_test", outcome);
        }
    }

    /// Refuses resources that do not conform to a profile.
    fn conform(&mut self, all: &[Value], canonical: &str) -> Outcome {
        let (mut wrong, mut first) = (0, None);
        for one in all {
            self.absent.look(one);
            let errors = self.errors(one, canonical);
            if let Some(error) = errors.first() {
                wrong += 1;
                first = first.or_else(|| Some(format!("{}: {error}", name(one))));
            }
        }
        match first {
            None => Outcome::Passed,
            Some(first) => Outcome::Failed(Wrong(format!(
                "{wrong} of {} do not conform to {canonical}; {first}",
                all.len()
            ))),
        }
    }

    fn errors(&mut self, resource: &Value, canonical: &str) -> Rc<Vec<String>> {
        let key = (canonical.to_owned(), name(resource));
        if let Some(known) = self.judged.get(&key) {
            return known.clone();
        }
        let errors = Rc::new(self.judge.errors(resource, canonical));
        self.judged.insert(key, errors.clone());
        errors
    }

    /// The medications that prescriptions refer to, contained or included.
    async fn medications(&mut self, profile: &Profile, requests: &[Value]) {
        let contained = requests.iter().flat_map(|one| list(one.get("contained")));
        let mut all: Vec<Value> =
            contained.filter(|one| text(one, "resourceType") == Some("Medication")).cloned().collect();
        let references: BTreeSet<String> = requests
            .iter()
            .filter_map(|one| one.pointer("/medicationReference/reference").and_then(Value::as_str))
            .filter(|reference| !reference.starts_with('#'))
            .map(str::to_owned)
            .collect();
        for reference in &references {
            all.extend(self.resolve(reference).await.map(|found| (*found).clone()));
        }
        let Some(url) = self.guide.named("medication").map(|one| format!("{}|{}", one.url, one.version))
        else {
            return;
        };
        let outcome = match all.is_empty() {
            true => Outcome::Omitted(Wrong("no prescription refers to a Medication".to_owned())),
            false => self.conform(&all, &url),
        };
        let prefix = self.guide.prefix();
        let group = format!("{}-{prefix}_{}", self.top, profile.name);
        let test = format!("{prefix}_medication_validation_test");
        self.report.group_of(&group, &self.guide.option()).found(&test, outcome);
    }

    /// Keeps the references of a profile's resources to what is found by references alone.
    fn refer(&mut self, profile: &Profile, all: &[Value]) {
        for refers in &profile.refers {
            let found = all.iter().flat_map(|one| at(one, &refers.path, &profile.must));
            for reference in found.filter_map(|one| text(one, "reference")) {
                let mut parts = reference.rsplit('/');
                let (_, kind) = (parts.next(), parts.next().unwrap_or_default());
                if refers.kinds.iter().any(|known| known == kind) {
                    self.referred.entry(kind.to_owned()).or_default().insert(reference.to_owned());
                }
            }
        }
    }
}

impl Absent {
    fn look(&mut self, resource: &Value) {
        const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
        match resource {
            Value::Object(members) => {
                let own = |name: &str| members.get(name).and_then(Value::as_str);
                self.by_extension |= own("url") == Some(DATA_ABSENT);
                self.by_code |= own("system") == Some(SYSTEM) && own("code") == Some("unknown");
                members.values().for_each(|one| self.look(one));
            }
            Value::Array(all) => all.iter().for_each(|one| self.look(one)),
            _ => {}
        }
    }
}

fn none_found(profile: &Profile) -> Outcome {
    Outcome::Lacking(Wrong(format!("there is no {} of {}", profile.kind, profile.url)))
}

/// `Patient/355`
fn name(resource: &Value) -> String {
    let part = |name| text(resource, name).unwrap_or_default();
    format!("{}/{}", part("resourceType"), part("id"))
}
