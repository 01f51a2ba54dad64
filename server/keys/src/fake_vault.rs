//! For tests: a Key Vault behind the client's transport, which checks all that it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use azure_core::base64;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::http::headers::{AUTHORIZATION, HeaderName, Headers};
use azure_core::http::{
    AsyncRawResponse, Body, ClientOptions, HttpClient, Method, Request, StatusCode, Transport,
};
use azure_core::time::{Duration, OffsetDateTime};
use serde_json::{Value, json};

use crate::seal;

const TOKEN: &str = "token for https://vault.azure.net/.default";

/// The vault. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct FakeVault {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Texts of the versions v1, v2 .. of each secret.
    secrets: BTreeMap<String, Vec<String>>,
    forbidden: Vec<String>,
    /// The newest version of the one key is `k` and this.
    wrapping: usize,
    log: Vec<String>,
}

impl FakeVault {
    pub(crate) fn new(url: &str) -> FakeVault {
        let state = State { wrapping: 1, ..State::default() };
        FakeVault { url: url.to_owned(), state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn client(&self) -> ClientOptions {
        ClientOptions { transport: Some(Transport::new(Arc::new(self.clone()))), ..ClientOptions::default() }
    }

    pub(crate) fn credential(&self) -> Arc<dyn TokenCredential> {
        Arc::new(FakeCredential)
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        self.state().secrets.entry(name.to_owned()).or_default().push(text.to_owned());
    }

    pub(crate) fn forbid(&self, name: &str) {
        self.state().forbidden.push(name.to_owned());
    }

    pub(crate) fn rotate_wrapping_key(&self) {
        self.state().wrapping += 1;
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.state().secrets.get(name).cloned().unwrap_or_default()
    }

    /// What was asked, and answered.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn answer(&self, request: &Request) -> (u16, Value) {
        let url = request.url();
        assert_eq!(url.scheme(), "https");
        assert_eq!(url.origin().ascii_serialization(), self.url);
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let version = pairs.iter().find(|(name, _)| name == "api-version").expect("an api-version");
        assert!(version.1.starts_with("20") || version.1.starts_with("7."), "{version:?}");
        let body = match request.body() {
            Body::Bytes(bytes) => bytes.clone(),
            other => panic!("a streamed body: {other:?}"),
        };
        let Some(token) = request.headers().get_optional_str(&AUTHORIZATION) else {
            assert!(body.is_empty(), "a body is not sent to a vault that has not said who it is");
            return (401, Value::Null);
        };
        assert_eq!(token, format!("Bearer {TOKEN}"));
        let segments: Vec<&str> = url.path_segments().unwrap().filter(|part| !part.is_empty()).collect();
        let sent: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        let mut state = self.state();
        match (request.method(), segments.as_slice()) {
            (Method::Get, ["secrets", name]) => state.secret(&self.url, name, None),
            (Method::Get, ["secrets", name, "versions"]) => state.versions(&self.url, name),
            (Method::Get, ["secrets", name, version]) => state.secret(&self.url, name, Some(version)),
            (Method::Put, ["secrets", name]) => {
                let text = sent.get("value").and_then(Value::as_str).expect("a value").to_owned();
                state.secrets.entry((*name).to_owned()).or_default().push(text);
                state.secret(&self.url, name, None)
            }
            (Method::Post, ["keys", "kek", "wrapkey"]) => {
                let version = format!("k{}", state.wrapping);
                let wrapped = seal::seal(&wrapping_key(&version), "wrap", &value(&sent)).unwrap();
                result(&self.url, &version, &wrapped)
            }
            (Method::Post, ["keys", "kek", version, "unwrapkey"]) => {
                match seal::open(&wrapping_key(version), "wrap", &value(&sent)) {
                    Ok(plain) => result(&self.url, version, &plain),
                    Err(_) => (400, json!({"error": {"code": "BadParameter"}})),
                }
            }
            other => panic!("not an operation of Key Vault: {other:?}"),
        }
    }
}

impl State {
    fn secret(&self, url: &str, name: &str, version: Option<&str>) -> (u16, Value) {
        if self.forbidden.iter().any(|forbidden| forbidden == name) {
            return (403, json!({"error": {"code": "Forbidden"}}));
        }
        let texts = self.secrets.get(name).map(Vec::as_slice).unwrap_or_default();
        let number = match version {
            None => texts.len(),
            Some(version) => version.strip_prefix('v').unwrap().parse().unwrap(),
        };
        match number.checked_sub(1).and_then(|i| texts.get(i)) {
            Some(text) => (200, json!({"value": text, "id": format!("{url}/secrets/{name}/v{number}")})),
            None => (404, json!({"error": {"code": "SecretNotFound"}})),
        }
    }

    fn versions(&self, url: &str, name: &str) -> (u16, Value) {
        let texts = self.secrets.get(name).map(Vec::as_slice).unwrap_or_default();
        // The newest first, to show that the order of the list is not relied on.
        let listed: Vec<Value> = (1..=texts.len())
            .rev()
            .map(|n| {
                let attributes = json!({"enabled": true, "created": 1_700_000_000 + n});
                json!({"id": format!("{url}/secrets/{name}/v{n}"), "attributes": attributes})
            })
            .collect();
        (200, json!({"value": listed, "nextLink": null}))
    }
}

fn value(sent: &Value) -> Vec<u8> {
    assert_eq!(sent.get("alg").and_then(Value::as_str), Some("RSA-OAEP-256"));
    let value = base64::decode_url_safe(sent.get("value").and_then(Value::as_str).expect("a value")).unwrap();
    assert!(value.len() <= 190, "RSA-OAEP-256 of 2048 bits takes no more");
    value
}

fn result(url: &str, version: &str, bytes: &[u8]) -> (u16, Value) {
    (200, json!({"kid": format!("{url}/keys/kek/{version}"), "value": base64::encode_url_safe(bytes)}))
}

fn wrapping_key(version: &str) -> [u8; 32] {
    [*version.as_bytes().last().unwrap(); 32]
}

#[async_trait::async_trait]
impl HttpClient for FakeVault {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let (status, body) = self.answer(request);
        let line = format!("{} {} -> {status}", request.method(), request.url().path());
        self.state().log.push(line);
        let mut headers = Headers::new();
        if status == 401 {
            headers.insert(
                HeaderName::from_static("www-authenticate"),
                r#"Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net""#,
            );
        }
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(status), headers, body))
    }
}

#[derive(Debug)]
struct FakeCredential;

#[async_trait::async_trait]
impl TokenCredential for FakeCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let token = format!("token for {}", scopes.join(" "));
        Ok(AccessToken::new(token, OffsetDateTime::now_utc() + Duration::hours(1)))
    }
}
