//! The records of many patients: group 8 of the kit, by Bulk Data 2.0.0
//! (<https://hl7.org/fhir/uv/bulkdata/STU2/export.html>).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{Span, Timestamp};
use reqwest::Method;
use serde_json::Value;

use crate::guide::{Guide, Profile};
use crate::hello;
use crate::http::{Answer, Checked, Http, Wrong, ensure, required, text};
use crate::inputs::{Bulk, Inputs, Secret};
use crate::judge::Judge;
use crate::launch::{Endpoints, Token, now_s, random};
use crate::navigation::{list, values};
use crate::present;
use crate::report::{Outcome, Report};

const TOP: &str = "multi_patient_api_stu2";
const NDJSON: &str = "application/fhir+ndjson";
/// Longest that an export may take.
const EXPORT_S: u64 = 180;
/// Longest pause between two looks at it.
const MAX_PAUSE_MS: u64 = 2_000;

/// The tests about each type of resource; the others have an id by the type's name.
const BY_NUMBER: &[(&str, &str)] = &[
    ("Patient", "Test03"),
    ("AllergyIntolerance", "Test06"),
    ("CarePlan", "Test07"),
    ("CareTeam", "Test08"),
    ("Condition", "Test09"),
    ("Device", "Test10"),
    ("DiagnosticReport", "Test11"),
    ("DocumentReference", "Test12"),
    ("Goal", "Test13"),
    ("Immunization", "Test14"),
    ("MedicationRequest", "Test15"),
    ("Observation", "Test16"),
    ("Procedure", "Test17"),
    ("Encounter", "Test18"),
    ("Organization", "Test19"),
    ("Practitioner", "Test20"),
    ("Provenance", "Test21"),
    ("Medication", "Test26"),
    ("Location", "location"),
    ("ServiceRequest", "service_request"),
    ("RelatedPerson", "related_person"),
    ("QuestionnaireResponse", "questionnaire_response"),
    ("PractitionerRole", "practitioner_role"),
    ("Coverage", "coverage"),
    ("MedicationDispense", "medication_dispense"),
    ("Specimen", "specimen"),
];

/// Follows group 8: exports once, and judges what came by each guide.
///
/// # Errors
/// There is no HTTP client, or nothing is known of exports; what is wrong with a test stands in the report.
pub async fn bulk(inputs: &Inputs, guides: &[(&Guide, &dyn Judge)]) -> Result<Report, Wrong> {
    let mut report = Report::default();
    let http = Http::new(inputs.authority.as_deref())?;
    let bulk = inputs.bulk.as_ref().ok_or_else(|| Wrong("no export is described".to_owned()))?;
    let mut export = Export { http, inputs, bulk, bearer: String::new(), report: &mut report };
    if export.authorize().await.is_none() {
        return Ok(report);
    }
    if let Some((files, open)) = export.export().await {
        export.files(&files, open, guides).await;
    }
    export.cancel().await;
    export.parameters().await;
    Ok(report)
}

/// The procedure under way.
struct Export<'a> {
    http: Http,
    inputs: &'a Inputs,
    bulk: &'a Bulk,
    bearer: String,
    report: &'a mut Report,
}

/// A file of the manifest.
struct File {
    kind: String,
    url: String,
}

impl Export<'_> {
    /// Tokens of a backend service, and requests that must not get one.
    async fn authorize(&mut self) -> Option<()> {
        let endpoints = Endpoints::discover(&self.http, &self.inputs.base).await;
        let id = format!("{TOP}-bulk_data_authorization");
        let url = match endpoints {
            Ok(endpoints) => endpoints.token,
            Err(wrong) => {
                self.report
                    .group(&id)
                    .found("smart_backend_services_auth_request_success", Outcome::Failed(wrong));
                return None;
            }
        };
        let tls = hello::check(&self.http, &url).await;
        let client = self.bulk.client.id.as_str();
        const GRANT: &str = "client_credentials";
        const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let grant = self.ask(&url, client, "not_a_grant_type", ASSERTION).await;
        let kind = self.ask(&url, client, GRANT, "not_an_assertion_type").await;
        let other = self.ask(&url, "nobody", GRANT, ASSERTION).await;
        let asked = self.ask(&url, client, GRANT, ASSERTION).await;
        let refused = |found: Checked<Answer>, statuses: &[u16]| -> Outcome {
            found.and_then(|answer| answer.expect(statuses).map(|_| ())).into()
        };
        let mut group = self.report.group(&id);
        group.found("g10_bulk_token_tls_version", tls.clone().into());
        group.found("smart_backend_services_invalid_grant_type", refused(grant, &[400]));
        group.found("smart_backend_services_invalid_client_assertion", refused(kind, &[400, 401]));
        group.found("smart_backend_services_invalid_jwt", refused(other, &[400, 401]));
        let answer = asked.and_then(|answer| answer.expect(&[200, 201]).cloned());
        let answer = group.saw("smart_backend_services_auth_request_success", answer);
        let token = answer
            .and_then(|answer| group.saw("smart_backend_services_auth_response_body", Token::read(&answer)));
        self.report.group(TOP).found("g10_bulk_auth_tls_messages_setup", tls.into());
        self.bearer = token?.bearer();
        Some(())
    }

    /// Asks for a token.
    async fn ask(&self, url: &str, issuer: &str, grant: &str, kind: &str) -> Checked<Answer> {
        let Secret::Key(key) = &self.bulk.client.secret else {
            return Err(Wrong("the backend service has no key".to_owned()));
        };
        let assertion = key.assertion(issuer, url, now_s(), &random())?;
        let form = [
            ("scope", self.bulk.scope.as_str()),
            ("grant_type", grant),
            ("client_assertion_type", kind),
            ("client_assertion", assertion.as_str()),
        ];
        self.http.post_form(url, &[("accept", "application/json")], &form).await
    }

    /// Starts an export of the Group.
    async fn start(&self, query: &str, with_token: bool) -> Checked<Answer> {
        let url = format!("{}/Group/{}/$export{query}", self.inputs.base, self.bulk.group);
        let mut headers = vec![("accept", "application/fhir+json"), ("prefer", "respond-async")];
        if with_token {
            headers.push(("authorization", &self.bearer));
        }
        self.http.get(&url, &headers).await
    }

    /// Starts an export that is accepted: where it is looked at.
    async fn accepted(&self, query: &str) -> Checked<String> {
        let answer = self.start(query, true).await?;
        let location = answer.expect(&[202])?.header("content-location").unwrap_or_default();
        ensure(location.starts_with("http"), || format!("Content-Location '{location}'"))?;
        Ok(location.to_owned())
    }

    /// One export: its files, and whether they are to be had without a token.
    async fn export(&mut self) -> Option<(Vec<File>, bool)> {
        let base = self.inputs.base.clone();
        let tls = hello::check(&self.http, &base).await;
        let statement =
            self.http.get(&format!("{base}/metadata"), &[("accept", "application/fhir+json")]).await;
        let declared = statement.and_then(|answer| answer.resource("CapabilityStatement")).and_then(declares);
        let open = self.start("", false).await.and_then(|answer| answer.expect(&[400, 401]).map(|_| ()));
        let accepted = self.accepted("").await;
        let manifest = match &accepted {
            Ok(location) => Some(self.done(location).await),
            Err(_) => None,
        };
        let mut group = self.report.group(&format!("{TOP}-bulk_data_group_export_stu2"));
        group.found("g10_bulk_data_server_tls_version", tls.clone().into());
        group.found("Test02", declared.into());
        group.found("Test03", open.into());
        group.saw("Test04", accepted)?;
        let manifest = group.saw("Test05", manifest?)?;
        let files = group.saw("Test06", files(&manifest))?;
        self.report.group(TOP).found("g10_bulk_group_export_tls_messages_setup", tls.into());
        let open = manifest.get("requiresAccessToken").and_then(Value::as_bool) == Some(false);
        Some((files, open))
    }

    /// Waits for the manifest.
    async fn done(&self, location: &str) -> Checked<Value> {
        let started = std::time::Instant::now();
        let mut pause_ms = 100;
        loop {
            let headers = [("authorization", self.bearer.as_str()), ("accept", "application/json")];
            let answer = self.http.get(location, &headers).await?;
            if answer.status.as_u16() != 202 {
                let kind = answer.expect(&[200])?.header("content-type").unwrap_or_default();
                ensure(kind.contains("application/json"), || format!("Content-Type {kind} of the manifest"))?;
                let manifest = answer.json()?;
                for name in ["transactionTime", "request", "requiresAccessToken", "output", "error"] {
                    ensure(manifest.get(name).is_some(), || format!("the manifest has no {name}"))?;
                }
                return Ok(manifest);
            }
            ensure(started.elapsed().as_secs() < EXPORT_S, || {
                format!("the export is not done after {EXPORT_S} s")
            })?;
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(MAX_PAUSE_MS);
        }
    }

    /// What is in the files.
    async fn files(&mut self, files: &[File], open: bool, guides: &[(&Guide, &dyn Judge)]) {
        let id = format!("{TOP}-bulk_data_group_export_validation");
        let Some(first) = files.first() else {
            let nothing = Wrong("the export has no files".to_owned());
            self.report.group(&id).found("Test03", Outcome::Failed(nothing));
            return;
        };
        let tls = hello::check(&self.http, &first.url).await;
        let refused = match open {
            true => Outcome::Omitted(Wrong("files are to be had without a token".to_owned())),
            false => {
                let answer = self.http.get(&first.url, &[("accept", NDJSON)]).await;
                answer.and_then(|answer| answer.expect(&[400, 401]).map(|_| ())).into()
            }
        };
        let mut by_kind: BTreeMap<&str, Checked<Vec<Value>>> = BTreeMap::new();
        for file in files {
            let found = self.lines(file, open).await;
            let all = by_kind.entry(&file.kind).or_insert_with(|| Ok(Vec::new()));
            match (all.as_mut(), found) {
                (Ok(all), Ok(found)) => all.extend(found),
                (Ok(_), Err(wrong)) => *all = Err(wrong),
                (Err(_), _) => {}
            }
        }
        let ids: BTreeSet<&str> = match by_kind.get("Patient") {
            Some(Ok(all)) => all.iter().filter_map(|one| text(one, "id")).collect(),
            _ => BTreeSet::new(),
        };
        let expected: BTreeSet<&str> = self.bulk.patients.iter().map(String::as_str).collect();
        let as_expected = match expected.is_empty() {
            true => Outcome::Omitted(Wrong("no patients of the Group are named".to_owned())),
            false => ensure(ids == expected, || format!("the patients {ids:?}, not {expected:?}")).into(),
        };
        let mut group = self.report.group(&id);
        group.found("g10_bulk_file_server_tls_version", tls.clone().into());
        group.found("Test02", refused);
        group.found("Test04", ensure(ids.len() >= 2, || "fewer than two patients".to_owned()).into());
        group.found("Test05", as_expected);
        for (guide, judge) in guides {
            let mut group = self.report.group_of(&id, &guide.option());
            for (kind, test) in BY_NUMBER {
                let outcome = match by_kind.get(kind) {
                    None => absent(guide, kind),
                    Some(Err(wrong)) => Outcome::Failed(wrong.clone()),
                    Some(Ok(all)) => conform(guide, kind, all, *judge),
                };
                match test.starts_with("Test") {
                    true => group.found(test, outcome),
                    false => group.found(&format!("g10_bulk_{test}_validation"), outcome),
                }
            }
        }
        self.report.group(TOP).found("g10_bulk_group_export_validation_messages_setup", tls.into());
    }

    /// The resources of a file.
    async fn lines(&self, file: &File, open: bool) -> Checked<Vec<Value>> {
        let mut headers = vec![("accept", NDJSON)];
        if !open {
            headers.push(("authorization", &self.bearer));
        }
        let answer = self.http.get(&file.url, &headers).await?;
        let kind = answer.expect(&[200])?.header("content-type").unwrap_or_default();
        ensure(kind.starts_with(NDJSON), || format!("Content-Type {kind} of a file"))?;
        let lines = answer.text.lines().filter(|line| !line.is_empty());
        lines.enumerate().map(|(place, line)| resource(file, place + 1, line)).collect()
    }

    /// An export that is not wanted any more.
    async fn cancel(&mut self) {
        let cancelled = self.cancelled("").await;
        let gone = match &cancelled {
            Ok(location) => Some(self.gone(location).await),
            Err(_) => None,
        };
        let mut group = self.report.group(&format!("{TOP}-g10_bulk_data_export_cancel_stu2"));
        group.saw("g10_bulk_export_cancel", cancelled);
        if let Some(gone) = gone {
            group.found("bulk_data_poll_cancelled_export", gone.into());
        }
    }

    /// Starts an export and takes it back: where it was looked at.
    async fn cancelled(&self, query: &str) -> Checked<String> {
        let location = self.accepted(query).await?;
        let headers = [("authorization", self.bearer.as_str()), ("accept", "application/json")];
        self.http.send(Method::DELETE, &location, &headers, None).await?.expect(&[202])?;
        Ok(location)
    }

    async fn gone(&self, location: &str) -> Checked {
        let headers = [("authorization", self.bearer.as_str()), ("accept", "application/json")];
        let outcome = self.http.get(location, &headers).await?.expect(&[404])?.json()?;
        let kind = required(&outcome, "resourceType")?;
        ensure(kind == "OperationOutcome", || format!("{kind} where an OperationOutcome belongs"))
    }

    /// Parameters that an export takes.
    async fn parameters(&mut self) {
        let formats = async {
            for format in ["application%2Ffhir%2Bndjson", "application%2Fndjson", "ndjson"] {
                self.cancelled(&format!("?_outputFormat={format}")).await?;
            }
            Ok(())
        };
        let formats: Checked = formats.await;
        let week = Timestamp::now().checked_sub(Span::new().hours(7 * 24)).unwrap_or_default();
        let since = self.cancelled(&format!("?_since={}", week.strftime("%Y-%m-%dT%H:%M:%SZ"))).await;
        let mut group = self.report.group(&format!("{TOP}-g10_bulk_data_export_parameters"));
        group.found("output_format_in_export_response", formats.into());
        group.saw("g10_since_in_export_response", since);
    }
}

/// Refuses a server that says nothing of operations on Groups.
fn declares(statement: Value) -> Checked {
    let resources = list(statement.get("rest")).into_iter().flat_map(|rest| list(rest.get("resource")));
    let groups = resources.filter(|one| text(one, "type") == Some("Group"));
    let has = groups.into_iter().any(|one| !list(one.get("operation")).is_empty());
    ensure(has, || "the CapabilityStatement names no operation of Group".to_owned())
}

fn files(manifest: &Value) -> Checked<Vec<File>> {
    let all = manifest.get("output").and_then(Value::as_array);
    let all = all.ok_or_else(|| Wrong("`output` is no list".to_owned()))?;
    let file = |one: &Value| {
        let (kind, url) = (required(one, "type")?.to_owned(), required(one, "url")?.to_owned());
        ensure(url.starts_with("http"), || format!("the URL {url} is not absolute"))?;
        Ok(File { kind, url })
    };
    all.iter().map(file).collect()
}

fn resource(file: &File, line: usize, json: &str) -> Checked<Value> {
    let bad = |what: &str| Wrong(format!("line {line} of a file of {}: {what}", file.kind));
    let found: Value = serde_json::from_str(json).map_err(|_| bad("no JSON"))?;
    let kind = text(&found, "resourceType").unwrap_or_default();
    if kind == file.kind { Ok(found) } else { Err(bad(&format!("is a {kind}"))) }
}

/// How a type stands that was not exported.
fn absent(guide: &Guide, kind: &str) -> Outcome {
    let why = Wrong(format!("there is no {kind}"));
    match guide.profiles.iter().any(|one| one.kind == kind && !one.is_optional && kind != "Medication") {
        true => Outcome::Lacking(why),
        false => Outcome::Omitted(why),
    }
}

/// Judges the resources of a type by the profiles that each is of.
fn conform(guide: &Guide, kind: &str, all: &[Value], judge: &dyn Judge) -> Outcome {
    let profiles: Vec<&Profile> = guide.profiles.iter().filter(|one| one.kind == kind).collect();
    if profiles.is_empty() {
        let first = all.iter().find_map(|one| judge.errors(one, "").first().map(|error| wrong(one, error)));
        return first.map_or(Outcome::Passed, Outcome::Failed);
    }
    let mut lacking = None;
    for profile in &profiles {
        let own: Vec<Value> = all.iter().filter(|one| is_of(one, profile, &profiles)).cloned().collect();
        let canonical = format!("{}|{}", profile.url, profile.version);
        for one in &own {
            if let Some(error) = judge.errors(one, &canonical).first() {
                return Outcome::Failed(wrong(one, error));
            }
        }
        let missing = present::missing(&profile.must, &own);
        let why = match (own.is_empty(), missing.is_empty()) {
            (true, _) => format!("there is no {kind} of {}", profile.url),
            (_, false) => format!("{} in no {kind} of {}", missing.join(", "), profile.url),
            _ => continue,
        };
        lacking = lacking.or(Some(why));
    }
    lacking.map_or(Outcome::Passed, |why| Outcome::Lacking(Wrong(why)))
}

fn wrong(resource: &Value, error: &str) -> Wrong {
    let part = |name| text(resource, name).unwrap_or_default();
    Wrong(format!("{}/{}: {error}", part("resourceType"), part("id")))
}

/// Whether a resource is of a profile: of the one of its type, or by the category or the code that the profile is searched by.
fn is_of(resource: &Value, profile: &Profile, all: &[&Profile]) -> bool {
    if all.len() == 1 {
        return true;
    }
    if profile.name == "diagnostic_report_note" {
        return !all.iter().any(|one| one.name == "diagnostic_report_lab" && has_value(resource, one));
    }
    has_value(resource, profile)
}

fn has_value(resource: &Value, profile: &Profile) -> bool {
    let names = profile.searches.first().map_or(&[][..], |search| search.names.as_slice());
    let by = profile.parameters.iter().find(|one| one.name != "patient" && names.contains(&one.name));
    let Some(by) = by else { return false };
    let found = by.paths.iter().flat_map(|path| values(resource, path, &profile.must));
    let mut codes = found.flat_map(|one| list(one.get("coding"))).filter_map(|one| text(one, "code"));
    codes.any(|code| by.values.iter().any(|value| value == code))
}
