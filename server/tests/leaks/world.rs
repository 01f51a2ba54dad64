//! Two who must not meet, and a client that speaks for either.

use std::sync::{Arc, LazyLock};

use axum::http::Method;
use conformance::Definitions;
use engines::Engine;
use search::SearchIndex;
use vesta::http::route::{self, Interaction};

use super::in_process::InProcess;
use super::over_http::OverHttp;
use super::requests::Request;
use super::seeds::{self, Cast, Seed, Words};

pub const BASE: &str = "http://127.0.0.1:8080/fhir";

pub static DEFINITIONS: LazyLock<Arc<Definitions>> =
    LazyLock::new(|| Arc::new(Definitions::embedded().unwrap()));
pub static INDEX: LazyLock<Arc<SearchIndex>> =
    LazyLock::new(|| Arc::new(SearchIndex::new(Arc::clone(&DEFINITIONS), vec![BASE.to_owned()])));

/// For whom a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The one whose answers are looked at.
    Asking,
    /// The one who must not show; of patients, who may do everything in their tenant.
    Other,
}

/// By what way requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the interactions, in this process.
    InProcess,
    /// The same, held by an access policy instead of scopes.
    ByPolicy,
    /// To a server, over HTTP.
    Http,
}

/// A store with both tenants, and what answers their requests.
pub struct World {
    face: Face,
    cast: Cast,
}

enum Face {
    InProcess(Box<InProcess>),
    Http(Box<OverHttp>),
}

/// An answer as it came.
pub struct Said {
    pub status: u16,
    /// What the head says of the resource.
    pub head: String,
    pub body: String,
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
    /// Seeds the one who asks, and the other before and after.
    pub async fn new(engine: Engine, way: Way, cast: Cast, with_other: bool) -> World {
        let face = match way {
            Way::InProcess | Way::ByPolicy => {
                let by_policy = way == Way::ByPolicy;
                Face::InProcess(Box::new(InProcess::new(engine, cast, by_policy).await))
            }
            Way::Http => Face::Http(Box::new(OverHttp::new(engine))),
        };
        let world = World { face, cast };
        let seeder = world.open();
        // The other is older and younger than the one who asks.
        let others = seeds::others(cast);
        let (first, last) = others.split_at(others.len() / 2);
        if with_other {
            world.seed(Who::Other, first).await;
        }
        world.seed(seeder, &seeds::own(cast)).await;
        world.delete(seeder, seeds::DELETED_BY_ASKING).await;
        if cast == Cast::Patients {
            world.seed_moving(&seeds::MOVED).await;
        }
        if with_other {
            world.seed(Who::Other, last).await;
            world.delete(Who::Other, seeds::deleted_by_other(cast)).await;
            if cast == Cast::Patients {
                world.seed_moving(&seeds::LEFT).await;
            }
        }
        world
    }

    /// Who may do everything in the tenant that is asked.
    fn open(&self) -> Who {
        match self.cast {
            Cast::Tenants => Who::Asking,
            Cast::Patients => Who::Other,
        }
    }

    async fn seed(&self, who: Who, seeds: &[Seed]) {
        for Seed { key, members, words } in seeds {
            for number in 0..words.versions {
                self.put(who, key, words.version(key, members, number)).await;
            }
        }
    }

    async fn seed_moving(&self, versions: &[(&str, &str, &Words)]) {
        for (key, members, words) in versions {
            self.put(self.open(), key, words.resource(key, members)).await;
        }
    }

    async fn put(&self, who: Who, key: &str, body: String) {
        let request = Request::new("PUT", &format!("/{key}")).with_body(body);
        let answer = self.send(who, &request).await;
        assert!([200, 201].contains(&answer.status), "{request}: {}", answer.excerpt());
    }

    async fn delete(&self, who: Who, key: &str) {
        let answer = self.send(who, &Request::new("DELETE", &format!("/{key}"))).await;
        assert_eq!(answer.status, 204, "{key}: {}", answer.excerpt());
    }

    /// Everything that is stored of one of them.
    pub async fn state(&self, who: Who) -> String {
        let text = match &self.face {
            Face::InProcess(face) => face.state(who).await,
            Face::Http(face) => face.state(who),
        };
        without_times(&text)
    }

    /// How many versions there are in the store of the tenant that is asked.
    pub async fn versions(&self) -> u64 {
        let who = self.open();
        let count = Request::new("GET", "/_history").with("_summary", "count");
        let answer = self.send(who, &count).await;
        let (_, total) =
            answer.text.split_once("\"total\":").unwrap_or_else(|| panic!("{}", answer.excerpt()));
        total.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap()
    }

    /// What is served to whoever runs the server; nothing in this process.
    pub fn site(&self) -> Vec<(&'static str, String)> {
        match &self.face {
            Face::InProcess(_) => Vec::new(),
            Face::Http(face) => face.site(),
        }
    }

    /// Sends a request.
    pub async fn send(&self, who: Who, request: &Request) -> Answer {
        if request.method != "GET" {
            // No two writes in the same millisecond: their order by time would be chance.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        let Said { status, head, body } = match &self.face {
            Face::InProcess(face) => face.send(who, request).await,
            Face::Http(face) => face.send(who, request),
        };
        let next = cursors(&body).next().map(str::to_owned);
        Answer { status, text: without_cursors(&without_times(&format!("{head} {body}"))), next }
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
