//! A server without HTTP: a request's text to an interaction, and its outcome to a text.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use conformance::Definitions;
use expect_test::Expect;
use interaction::{
    Caller, Failure, Handling, Limits, Outcome, OutcomeBody, PATCH_FORMATS, PatchDocument, PatchFormat,
    Projection, ReadConditions, Return, Service, Validation, ValidationLevel, VersionMatch, WriteConditions,
};
use search::SearchIndex;
use store::{Access, HistoryScope, Key, Tenant, Timestamp};

pub static DEFINITIONS: LazyLock<Arc<Definitions>> =
    LazyLock::new(|| Arc::new(Definitions::embedded().expect("the embedded tables are whole")));

pub struct Server {
    pub service: Arc<Service>,
    pub caller: Caller,
    _opened: engines::Opened,
}

pub const BASE: &str = "http://127.0.0.1:8080/fhir";

impl Server {
    pub async fn new() -> Server {
        Server::with_limits(|_| {}).await
    }

    pub async fn with_limits(change: impl FnOnce(&mut Limits)) -> Server {
        Server::with(change, ValidationLevel::Base).await
    }

    pub async fn with(change: impl FnOnce(&mut Limits), level: ValidationLevel) -> Server {
        let definitions = Arc::clone(&DEFINITIONS);
        let index = Arc::new(SearchIndex::new(Arc::clone(&definitions), vec![BASE.to_owned()]));
        let opened = crate::ENGINE.open(Arc::clone(&index) as _).await;
        let ids = AtomicU64::new(0);
        let mut limits = Limits {
            body: fhirpath::tree::Limits::DEFAULT,
            bundle_entries: 10_000,
            default_count: 20,
            max_count: 1000,
            includes: 1000,
            erasure: false,
        };
        change(&mut limits);
        let service = Service {
            store: opened.store.clone(),
            validation: Validation::embedded(level, &DEFINITIONS),
            provenance: None,
            rulings: interaction::Rulings::default(),
            definitions,
            index,
            limits,
            base: BASE.to_owned(),
            clock: Arc::new(|| Timestamp(1_795_313_433_123)),
            new_id: Arc::new(move || format!("n{}", ids.fetch_add(1, Ordering::Relaxed) + 1)),
        };
        let caller = Caller::new(Tenant::default_tenant(), Access::unrestricted());
        Server { service: Arc::new(service), caller, _opened: opened }
    }

    /// Sends a request and compares the answer, times replaced.
    pub async fn check(&self, request: &str, expected: Expect) {
        expected.assert_eq(&show(self.send(request).await));
    }

    /// Sends a request that is to succeed; its body as JSON.
    pub async fn json(&self, request: &str) -> serde_json::Value {
        let outcome = self.send(request).await;
        let outcome = outcome.unwrap_or_else(|failure| panic!("{request}: {failure:?}"));
        match outcome.body {
            OutcomeBody::Resource(bytes) | OutcomeBody::Other { bytes, .. } => {
                serde_json::from_slice(&bytes).expect("JSON")
            }
            OutcomeBody::Empty => serde_json::Value::Null,
        }
    }

    /// `METHOD url`, headers, an empty line, the body.
    pub async fn send(&self, request: &str) -> Result<Outcome, Failure> {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let mut lines = head.lines();
        let (method, url) = lines.next().expect("a request").split_once(' ').expect("METHOD url");
        let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").expect("a header")).collect();
        let header = |name: &str| headers.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
        let versions = |name: &str| header(name).map(|text| VersionMatch::parse(name, text)).transpose();
        let write =
            WriteConditions { if_match: versions("If-Match")?, if_none_match: versions("If-None-Match")? };
        let read = ReadConditions {
            if_none_match: write.if_none_match.clone(),
            if_modified_since: header("If-Modified-Since").map(|ms| Timestamp(ms.parse().expect("a number"))),
        };
        let prefer = header("Prefer").map(|text| match text {
            "return=minimal" => Return::Minimal,
            "return=representation" => Return::Representation,
            "return=OperationOutcome" => Return::OperationOutcome,
            other => panic!("{other}"),
        });
        let handling =
            if header("Handling") == Some("lenient") { Handling::Lenient } else { Handling::Strict };
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let parameters: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.replace("%3A", ":"), value.replace("%7C", "|").replace("%2C", ",")))
            .collect();
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let service = self.service.with_own_parameters(&self.caller.tenant).await?;
        let (service, caller) = (&*service, &self.caller);
        let bytes = body.as_bytes().to_vec();
        let projection = || Projection::from_parameters(&parameters);
        let preferred = prefer.unwrap_or_default();
        match (method, segments.as_slice()) {
            ("GET", ["_history"]) => {
                interaction::history(service, caller, HistoryScope::System, &parameters).await
            }
            ("GET", [kind, "_history"]) => {
                interaction::history(service, caller, HistoryScope::Type((*kind).into()), &parameters).await
            }
            ("GET", [kind, id, "_history"]) => {
                let scope = HistoryScope::Instance(Key::new(kind, id));
                interaction::history(service, caller, scope, &parameters).await
            }
            ("GET", [kind, id, "_history", version]) => {
                let outcome = interaction::vread(service, caller, kind, id, version, &read).await?;
                projection()?.apply(service, outcome)
            }
            ("GET", []) => interaction::search(service, caller, None, None, &parameters, handling).await,
            ("GET", [kind]) => {
                interaction::search(service, caller, Some(*kind), None, &parameters, handling).await
            }
            ("GET", [kind, id]) => {
                let outcome = interaction::read(service, caller, kind, id, &read).await?;
                projection()?.apply(service, outcome)
            }
            ("GET", [owner, id, kind]) => {
                let kind = Some(*kind).filter(|kind| *kind != "*");
                interaction::search(service, caller, kind, Some((*owner, *id)), &parameters, handling).await
            }
            ("POST", []) => interaction::bundle(service, caller, bytes, prefer).await,
            ("POST", [kind]) => {
                interaction::create(service, caller, kind, bytes, header("If-None-Exist"), preferred).await
            }
            ("PUT", [kind, id]) => {
                interaction::update(service, caller, kind, id, bytes, &write, preferred).await
            }
            ("PUT", [kind]) => {
                interaction::conditional_update(service, caller, kind, &parameters, bytes, &write, preferred)
                    .await
            }
            ("PATCH", [kind, id]) => {
                let document = document(header("Content-Type"), bytes);
                interaction::patch(service, caller, kind, id, document, &write, preferred).await
            }
            ("PATCH", [kind]) => {
                let document = document(header("Content-Type"), bytes);
                interaction::conditional_patch(
                    service,
                    caller,
                    kind,
                    &parameters,
                    document,
                    &write,
                    preferred,
                )
                .await
            }
            ("DELETE", [kind, id, "_history"]) => {
                interaction::delete_history(service, caller, kind, id, preferred).await
            }
            ("DELETE", [kind, id, "_history", version]) => {
                interaction::delete_history_version(service, caller, kind, id, version, preferred).await
            }
            ("DELETE", [kind, id]) => interaction::delete(service, caller, kind, id, &write, preferred).await,
            ("DELETE", [kind]) => {
                interaction::conditional_delete(service, caller, kind, &parameters, &write, preferred).await
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Without a Content-Type, Parameters are taken for a FHIRPath Patch.
fn document(content_type: Option<&str>, body: Vec<u8>) -> PatchDocument {
    let named = |(name, _): &&(&str, PatchFormat)| Some(*name) == content_type;
    let format = PATCH_FORMATS.iter().find(named).map_or(PatchFormat::FhirPathPatch, |(_, format)| *format);
    PatchDocument { format, body }
}

/// Status, location, version, and the body on a line of its own.
pub fn show(answer: Result<Outcome, Failure>) -> String {
    let (status, location, version, body) = match answer {
        Ok(outcome) => {
            let body = match outcome.body {
                OutcomeBody::Resource(bytes) | OutcomeBody::Other { bytes, .. } => Some(bytes),
                OutcomeBody::Empty => None,
            };
            (outcome.status, outcome.location, outcome.version, body)
        }
        Err(failure) => (failure.status, None, None, Some(failure.body())),
    };
    let mut text = status.code().to_string();
    if let Some(location) = location {
        text.push_str(&format!(" {location}"));
    }
    if let Some(version) = version {
        text.push_str(&format!(" v{version}"));
    }
    if let Some(body) = body {
        let body = String::from_utf8(body.to_vec()).expect("UTF-8");
        serde_json::from_str::<serde_json::Value>(&body).expect("JSON");
        text.push('\n');
        text.push_str(&without_times(&body));
    }
    text
}

/// Replaces `2026-11-22T02:10:33.123Z` and whatever else is in its form.
pub fn without_times(text: &str) -> String {
    let form = b"0000-00-00T00:00:00.000Z";
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let here = rest.as_bytes().get(..form.len());
        let matches = here.is_some_and(|here| {
            here.iter().zip(form).all(|(a, b)| if *b == b'0' { a.is_ascii_digit() } else { a == b })
        });
        let length = if matches { form.len() } else { rest.chars().next().map_or(1, char::len_utf8) };
        let (taken, tail) = rest.split_at(length);
        out.push_str(if matches { "TIME" } else { taken });
        rest = tail;
    }
    out
}
