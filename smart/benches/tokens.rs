//! What a request pays for its token, and what a token costs: without the password's hash and without a store's time.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a benchmark that cannot run should stop

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use divan::{Bencher, black_box};
use serde_json::{Value, json};
use smart::jwt::{Algorithm, Signer as _, published, sign};
use smart::memory::{MemoryKey, MemoryStorage};
use smart::{
    Authentication, AuthorizationServer, Body, Choice, Client, Clock, Config, Directory, Event, Events,
    Fetch, FetchError, Fetched, Job, Jobs, Passwords, Request, Route, Services, SessionUser, StorageError,
};

const NOW: i64 = 1_800_000_000;

fn main() {
    divan::main();
}

struct Nothing;

impl Clock for Nothing {
    fn now_s(&self) -> i64 {
        NOW
    }
}

impl Jobs for Nothing {
    fn all(&self) -> Result<Vec<Job>, StorageError> {
        Ok(Vec::new())
    }

    fn cancel(&self, _: &str) -> Result<bool, StorageError> {
        Ok(false)
    }
}

impl Events for Nothing {
    fn record(&self, event: Event) {
        black_box(event);
    }
}

#[async_trait]
impl Passwords for Nothing {
    async fn verify(&self, _: String, _: String) -> bool {
        false
    }
}

#[async_trait]
impl Fetch for Nothing {
    async fn get(&self, _: &url::Url, _: usize, _: fn(IpAddr) -> bool) -> Result<Fetched, FetchError> {
        Err(FetchError::Url)
    }

    async fn post(
        &self,
        _: &url::Url,
        _: smart::fetch::Form,
        _: usize,
        _: fn(IpAddr) -> bool,
    ) -> Result<(u16, Vec<u8>), FetchError> {
        Err(FetchError::Url)
    }
}

#[async_trait]
impl Directory for Nothing {
    async fn patients(
        &self,
        _: &SessionUser,
        _: Option<&smart::Policy>,
        _: &str,
        _: usize,
    ) -> Result<Vec<Choice>, StorageError> {
        Ok(Vec::new())
    }

    async fn patient(
        &self,
        _: &SessionUser,
        _: Option<&smart::Policy>,
        _: &str,
    ) -> Result<Option<Choice>, StorageError> {
        Ok(None)
    }

    async fn encounters(
        &self,
        _: &SessionUser,
        _: Option<&smart::Policy>,
        _: &str,
        _: usize,
    ) -> Result<Vec<Choice>, StorageError> {
        Ok(Vec::new())
    }

    fn knows_type(&self, _: &str) -> bool {
        true
    }

    fn knows_filter(&self, _: &str, _: &str) -> bool {
        true
    }
}

fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("nothing waits in memory"),
    }
}

static KEY: LazyLock<Arc<MemoryKey>> =
    LazyLock::new(|| Arc::new(MemoryKey::generate("k", Algorithm::Es384).expect("a key")));

fn server() -> AuthorizationServer {
    let services = Services {
        storage: Arc::new(MemoryStorage::default()),
        directory: Arc::new(Nothing),
        jobs: Arc::new(Nothing),
        signer: KEY.clone(),
        es256: KEY.clone(),
        fetch: Arc::new(Nothing),
        passwords: Arc::new(Nothing),
        clock: Arc::new(Nothing),
        events: Arc::new(Nothing),
    };
    let server = AuthorizationServer::new(
        Config::new("https://ehr.example/auth", "https://ehr.example/fhir"),
        services,
    );
    let types =
        ["Patient", "Condition", "Encounter", "Goal", "Procedure", "Immunization", "MedicationRequest"];
    let scopes: Vec<String> = types.iter().map(|name| format!("system/{name}.rs")).collect();
    let client = Client {
        authentication: Authentication::Keys(published(&KEY.published())),
        scopes: format!(
            "{} system/Observation.rs?category=laboratory system/Observation.rs?category=vital-signs",
            scopes.join(" ")
        ),
        backend: true,
        ..Client::new("service", "A service")
    };
    now(server.put_client(&client)).expect("a store").expect("a client");
    server
}

fn request(jti: u64) -> Request {
    let claims = json!({
        "iss": "service", "sub": "service", "aud": "https://ehr.example/auth/token", "exp": NOW + 300, "jti": jti.to_string()
    });
    let assertion = sign(&**KEY, "JWT", &claims).expect("a signature");
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "system/*.rs"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion),
    ];
    let parameters = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Request { post: true, parameters, ..Request::default() }
}

fn token(server: &AuthorizationServer, jti: u64) -> String {
    let reply = now(server.answer(Route::Token, &request(jti))).expect("a store");
    match reply.body {
        Body::Json(Value::Object(fields)) => fields["access_token"].as_str().expect("a token").to_owned(),
        other => panic!("no token: {other:?}"),
    }
}

/// A token of nine scopes, looked up and compiled.
#[divan::bench]
fn verify(bencher: Bencher) {
    let server = server();
    let token = token(&server, 1);
    bencher.bench_local(|| now(server.verify(black_box(&token))).expect("alive"));
}

/// client_credentials with an ES384 assertion: its verification and all records.
#[divan::bench]
fn token_request(bencher: Bencher) {
    let server = server();
    let mut jti = 0;
    bencher
        .with_inputs(|| {
            jti += 1;
            request(jti)
        })
        .bench_local_values(|request| now(server.answer(Route::Token, &request)).expect("a store").status);
}
