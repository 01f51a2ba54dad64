//! A server with two tenants, and a client that speaks for either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use conformance::Definitions;
use engines::{Engine, Opened};
use interaction::{
    Caller, Failure, Handling, Limits, Outcome, OutcomeBody, ReadConditions, Return, Service, VersionMatch,
    WriteConditions,
};
use operations::Invocation;
use search::SearchIndex;
use store::{Access, HistoryScope, Key, Tenant, Timestamp};
use vesta::http::route::{self, Interaction, Shape};

use super::requests::Request;
use super::seeds::{self, WORDS_ASKING, WORDS_OTHER, Words};

const BASE: &str = "http://127.0.0.1:8080/fhir";

/// For whom a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The tenant whose answers are looked at.
    Asking,
    /// The tenant that must not show.
    Other,
}

/// A store with both tenants, and the interactions on it.
pub struct World {
    pub service: Service,
    asking: Caller,
    other: Caller,
    _opened: Opened,
}

/// All of an answer that a client sees.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Location, version and body; times and what follows from the store's secret replaced.
    pub text: String,
    /// The cursor of the next page.
    pub next: Option<String>,
}

impl Answer {
    /// Where they first differ, if they do.
    pub fn differs(&self, other: &Answer) -> Option<String> {
        if self.status == other.status && self.text == other.text {
            return None;
        }
        let same = self.text.bytes().zip(other.text.bytes()).take_while(|(a, b)| a == b).count();
        let from = same.saturating_sub(200);
        let part = |answer: &Answer| {
            let bytes = answer.text.as_bytes();
            String::from_utf8_lossy(&bytes[from..bytes.len().min(same + 200)]).into_owned()
        };
        Some(format!(
            "\n   alone: {} ..{}\n  beside: {} ..{}",
            self.status,
            part(self),
            other.status,
            part(other)
        ))
    }

    pub fn excerpt(&self) -> String {
        format!("{} {}", self.status, self.text.chars().take(600).collect::<String>())
    }
}

impl World {
    /// Seeds the first tenant, and the other before and after it.
    pub async fn new(engine: Engine, with_other: bool) -> World {
        let definitions = Arc::new(Definitions::embedded().unwrap());
        let index = Arc::new(SearchIndex::new(Arc::clone(&definitions), vec![BASE.to_owned()]));
        let opened = engine.open(Arc::clone(&index) as _).await;
        let ids = AtomicU64::new(0);
        let limits = Limits {
            body: fhirpath::tree::Limits::DEFAULT,
            bundle_entries: 10_000,
            default_count: 50,
            max_count: 1000,
            includes: 1000,
        };
        let service = Service {
            store: opened.store.clone(),
            definitions,
            index,
            limits,
            base: BASE.to_owned(),
            clock: Arc::new(|| Timestamp(1_795_313_433_123)),
            new_id: Arc::new(move || format!("n{}", ids.fetch_add(1, Ordering::Relaxed) + 1)),
        };
        let caller = |name| Caller { tenant: Tenant::new(name).unwrap(), access: Access::unrestricted() };
        let world = World { service, asking: caller("asking"), other: caller("other"), _opened: opened };
        // The other is older and younger than the tenant that asks.
        let (first, last) = seeds::BOTH.split_at(seeds::BOTH.len() / 2);
        if with_other {
            world.seed(Who::Other, &WORDS_OTHER, first).await;
        }
        world.seed(Who::Asking, &WORDS_ASKING, seeds::BOTH).await;
        world.delete(Who::Asking, seeds::DELETED_BY_ASKING).await;
        if with_other {
            world.seed(Who::Other, &WORDS_OTHER, last).await;
            world.seed(Who::Other, &WORDS_OTHER, seeds::ONLY_OTHER).await;
            world.delete(Who::Other, seeds::DELETED_BY_OTHER).await;
        }
        world
    }

    async fn seed(&self, who: Who, words: &Words, resources: &[(&str, &str)]) {
        for (key, members) in resources {
            for number in 0..words.versions {
                let request =
                    Request::new("PUT", &format!("/{key}")).with_body(words.version(key, members, number));
                let answer = self.send(who, &request).await;
                assert!([200, 201].contains(&answer.status), "{request}: {}", answer.excerpt());
            }
        }
    }

    async fn delete(&self, who: Who, key: &str) {
        let answer = self.send(who, &Request::new("DELETE", &format!("/{key}"))).await;
        assert_eq!(answer.status, 204, "{key}: {}", answer.excerpt());
    }

    pub fn caller(&self, who: Who) -> &Caller {
        match who {
            Who::Asking => &self.asking,
            Who::Other => &self.other,
        }
    }

    /// Everything that a tenant's store holds: counts, and each change with its version.
    pub async fn state(&self, who: Who) -> String {
        let Caller { tenant, access } = self.caller(who);
        let store = &self.service.store;
        let mut counts = store.counts(tenant, access).await.unwrap();
        counts.sort();
        let mut text = format!("{counts:?}\n");
        for change in store.changes(tenant, access, 0, usize::MAX).await.unwrap() {
            let version = store.vread(tenant, access, &change.key, change.version).await.unwrap();
            let version = version.expect("each change has its version");
            let body = String::from_utf8_lossy(&version.body).into_owned();
            let (sequence, key) = (change.sequence, change.key.as_str());
            text.push_str(&format!("{sequence} {key} {} {:?} {body}\n", change.version, change.method));
        }
        without_times(&text)
    }

    /// Sends a request, as `http/fhir.rs` does.
    pub async fn send(&self, who: Who, request: &Request) -> Answer {
        if request.method != "GET" {
            // No two writes in the same millisecond: their order by time would be chance.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        let (status, mut text, body) = match self.call(who, request).await {
            Ok(outcome) => {
                let text = format!("{:?} {:?} ", outcome.location, outcome.version);
                let body = match outcome.body {
                    OutcomeBody::Resource(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                    OutcomeBody::Empty => String::new(),
                };
                (outcome.status.code(), text, body)
            }
            Err(failure) => {
                (failure.status.code(), String::new(), String::from_utf8(failure.body().to_vec()).unwrap())
            }
        };
        text.push_str(&without_times(&body));
        let next = cursors(&text).next().map(str::to_owned);
        let text = without_cursors(&text);
        Answer { status, text, next }
    }

    async fn call(&self, who: Who, request: &Request) -> Result<Outcome, Failure> {
        let (service, caller) = (&self.service, self.caller(who));
        let target = route::target(&request.path).expect("requests have paths of the table");
        let (kind, id, last) = (target.resource_type, target.id, target.last);
        let versions =
            |name: &str| request.header(name).map(|text| VersionMatch::parse(name, text)).transpose();
        let write =
            WriteConditions { if_match: versions("If-Match")?, if_none_match: versions("If-None-Match")? };
        let body = || request.body.clone().unwrap_or_default().into_bytes();
        let (parameters, returns) = (&request.parameters, Return::default());
        match request.interaction() {
            Interaction::Read => {
                interaction::read(service, caller, kind, id, &ReadConditions::default()).await
            }
            Interaction::Vread => {
                interaction::vread(service, caller, kind, id, last, &ReadConditions::default()).await
            }
            Interaction::Create => {
                interaction::create(service, caller, kind, body(), request.header("If-None-Exist"), returns)
                    .await
            }
            Interaction::Update => {
                interaction::update(service, caller, kind, id, body(), &write, returns).await
            }
            Interaction::ConditionalUpdate => {
                interaction::conditional_update(service, caller, kind, parameters, body(), &write, returns)
                    .await
            }
            Interaction::Delete => interaction::delete(service, caller, kind, id, &write, returns).await,
            Interaction::ConditionalDelete => {
                interaction::conditional_delete(service, caller, kind, parameters, &write, returns).await
            }
            Interaction::HistoryInstance => {
                interaction::history(service, caller, HistoryScope::Instance(Key::new(kind, id)), parameters)
                    .await
            }
            Interaction::HistoryType => {
                interaction::history(service, caller, HistoryScope::Type(kind.into()), parameters).await
            }
            Interaction::HistorySystem => {
                interaction::history(service, caller, HistoryScope::System, parameters).await
            }
            Interaction::SearchType | Interaction::SearchSystem | Interaction::SearchCompartment => {
                let (kind, compartment) = match target.shape {
                    Shape::Compartment | Shape::CompartmentSearch => {
                        (Some(last).filter(|last| *last != "*"), Some((kind, id)))
                    }
                    Shape::System | Shape::SystemSearch => (None, None),
                    _ => (Some(kind), None),
                };
                interaction::search(service, caller, kind, compartment, parameters, Handling::Strict).await
            }
            Interaction::Bundle => interaction::bundle(service, caller, body(), None).await,
            Interaction::Capabilities => {
                let bytes = interaction::capabilities(service, &operations::descriptors());
                let (status, body) = (interaction::Status::Ok, OutcomeBody::Resource(bytes));
                Ok(Outcome { status, body, version: None, last_modified: None, location: None })
            }
            Interaction::Operation => {
                let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
                let invocation = Invocation {
                    resource_type: some(kind),
                    id: some(id),
                    parameters: parameters.clone(),
                    body: request.body.clone().map(String::into_bytes),
                };
                operations::invoke(service, caller, last, invocation).await
            }
        }
    }
}

impl Request {
    /// Which interaction it is.
    pub fn interaction(&self) -> Interaction {
        let method = Method::from_bytes(self.method.as_bytes()).unwrap();
        route::interaction(self.shape(), &method).unwrap_or_else(|| panic!("{self} is not in the table"))
    }
}

/// The cursors of page links.
fn cursors(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("_cursor=").skip(1);
    after.map(|rest| rest.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or_default())
}

fn without_cursors(text: &str) -> String {
    cursors(text).fold(text.to_owned(), |text, cursor| text.replace(cursor, "CURSOR"))
}

/// Replaces `2026-11-22T02:10:33.123Z` and whatever else is in its form.
fn without_times(text: &str) -> String {
    let form = b"0000-00-00T00:00:00.000Z";
    let is_time = |at: &[u8]| {
        at.len() == form.len()
            && at.iter().zip(form).all(|(a, b)| if *b == b'0' { a.is_ascii_digit() } else { a == b })
    };
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    // A time ends with the Z that is looked for.
    for (end, _) in text.match_indices('Z') {
        let Some(start) = (end + 1).checked_sub(form.len()).filter(|start| *start >= from) else { continue };
        if is_time(&text.as_bytes()[start..=end]) {
            out.push_str(&text[from..start]);
            out.push_str("TIME");
            from = end + 1;
        }
    }
    out.push_str(&text[from..]);
    out
}
