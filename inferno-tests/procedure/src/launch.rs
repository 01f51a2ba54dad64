//! An app: authorization requests with PKCE, the redirect back, tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use crate::browser::{Browser, Choices, Visit};
use crate::http::{Answer, Checked, Http, Wrong, ensure, required, text};
use crate::inputs::{Client, Secret};

/// Where a server says that its endpoints are.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints {
    pub configuration: Value,
    pub authorize: String,
    pub token: String,
}

impl Endpoints {
    /// Those of `.well-known/smart-configuration`.
    pub async fn discover(http: &Http, base: &str) -> Checked<Endpoints> {
        let url = format!("{base}/.well-known/smart-configuration");
        let answer = http.get(&url, &[("accept", "application/json")]).await?;
        let configuration = answer.expect(&[200])?.json()?;
        let kind = answer.header("content-type").unwrap_or_default();
        ensure(kind.starts_with("application/json"), || format!("Content-Type {kind} of {url}"))?;
        let at = |name: &str| required(&configuration, name).map(str::to_owned);
        let (authorize, token) = (at("authorization_endpoint")?, at("token_endpoint")?);
        Ok(Endpoints { authorize, token, configuration })
    }
}

/// A launch under way.
#[derive(Debug, Clone)]
pub(crate) struct Request<'l> {
    pub client: &'l Client,
    pub redirect_uri: &'l str,
    pub aud: &'l str,
    pub scope: &'l str,
    /// Of an EHR launch.
    pub launch: Option<&'l str>,
    /// Whether the authorization request is a POST.
    pub post: bool,
    pub state: String,
    pub verifier: String,
}

impl<'l> Request<'l> {
    pub fn new(client: &'l Client, redirect_uri: &'l str, aud: &'l str, scope: &'l str) -> Request<'l> {
        Request {
            client,
            redirect_uri,
            aud,
            scope,
            launch: None,
            post: false,
            state: random(),
            verifier: format!("{}{}", random(), random()),
        }
    }

    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()))
    }

    /// What the browser opens.
    pub fn visit(&self, endpoints: &Endpoints) -> Checked<Visit> {
        let mut form = vec![
            ("response_type", "code".to_owned()),
            ("client_id", self.client.id.clone()),
            ("redirect_uri", self.redirect_uri.to_owned()),
            ("scope", self.scope.to_owned()),
            ("state", self.state.clone()),
            ("aud", self.aud.to_owned()),
            ("code_challenge", self.challenge()),
            ("code_challenge_method", "S256".to_owned()),
        ];
        form.extend(self.launch.map(|launch| ("launch", launch.to_owned())));
        let form: Vec<(String, String)> =
            form.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut url = Url::parse(&endpoints.authorize)
            .map_err(|_| Wrong(format!("{} is no URL", endpoints.authorize)))?;
        if self.post {
            return Ok(Visit::post(url, &form));
        }
        url.query_pairs_mut().extend_pairs(&form);
        Ok(Visit::get(url))
    }

    /// Lets the user authorize it: the query that the app is sent back with.
    pub async fn authorize(
        &self,
        browser: &mut Browser<'_>,
        endpoints: &Endpoints,
        choices: &Choices<'_>,
    ) -> Checked<Vec<(String, String)>> {
        let back = browser.authorize(self.visit(endpoints)?, self.redirect_uri, choices).await?;
        Ok(back.query_pairs().into_owned().collect())
    }

    /// Exchanges a code.
    pub async fn exchange(&self, http: &Http, endpoints: &Endpoints, code: &str) -> Checked<Answer> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.redirect_uri),
            ("code_verifier", &self.verifier),
        ];
        token(http, endpoints, self.client, &form).await
    }
}

/// Asks for a token as a client.
pub(crate) async fn token(
    http: &Http,
    endpoints: &Endpoints,
    client: &Client,
    form: &[(&str, &str)],
) -> Checked<Answer> {
    let mut form: Vec<(&str, &str)> = form.to_vec();
    let assertion;
    let basic;
    let mut headers = vec![("accept", "application/json"), ("origin", ORIGIN)];
    match &client.secret {
        Secret::Public => form.push(("client_id", &client.id)),
        Secret::Basic(secret) => {
            basic = format!("Basic {}", STANDARD.encode(format!("{}:{secret}", client.id)));
            headers.push(("authorization", &basic));
        }
        Secret::Key(key) => {
            assertion = key.assertion(&client.id, &endpoints.token, now_s(), &random())?;
            form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
            form.push(("client_assertion", &assertion));
        }
    }
    http.post_form(&endpoints.token, &headers, &form).await
}

/// The origin that an app in a browser has.
pub(crate) const ORIGIN: &str = "http://127.0.0.1:4567";

/// The value of a parameter that the app is sent back with.
pub(crate) fn parameter<'q>(query: &'q [(String, String)], name: &str) -> Option<&'q str> {
    query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
}

/// The code of a redirect that has no error, for the state that was sent.
pub(crate) fn code<'q>(query: &'q [(String, String)], state: &str) -> Checked<&'q str> {
    if let Some(error) = parameter(query, "error") {
        let description = parameter(query, "error_description").unwrap_or_default();
        return Err(Wrong(format!("the server answers {error}: {description}")));
    }
    ensure(parameter(query, "state") == Some(state), || "another state than was sent".to_owned())?;
    parameter(query, "code").filter(|code| !code.is_empty()).ok_or_else(|| Wrong("no code".to_owned()))
}

/// A token response.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub body: Value,
}

impl Token {
    /// Reads one, and refuses what is missing or of the wrong type.
    pub fn read(answer: &Answer) -> Checked<Token> {
        let body = answer.expect(&[200])?.json()?;
        required(&body, "access_token")?;
        required(&body, "scope")?;
        let kind = required(&body, "token_type")?;
        ensure(kind.eq_ignore_ascii_case("bearer"), || format!("token_type {kind}"))?;
        ensure(body.get("expires_in").is_some_and(Value::is_number), || "no number `expires_in`".to_owned())?;
        let strings = ["access_token", "token_type", "scope", "refresh_token", "patient", "encounter"];
        for name in strings {
            let fine = body.get(name).is_none_or(Value::is_string);
            ensure(fine, || format!("`{name}` is no string"))?;
        }
        if let Some(context) = body.get("fhirContext") {
            let items = context.as_array().ok_or_else(|| Wrong("`fhirContext` is no list".to_owned()))?;
            for item in items {
                let named =
                    ["reference", "canonical", "identifier"].iter().any(|name| item.get(name).is_some());
                ensure(named, || "an item of `fhirContext` names nothing".to_owned())?;
            }
        }
        Ok(Token { body })
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        text(&self.body, name)
    }

    pub fn access(&self) -> &str {
        self.text("access_token").unwrap_or_default()
    }

    pub fn scopes(&self) -> Vec<&str> {
        self.text("scope").unwrap_or_default().split_whitespace().collect()
    }

    /// The header that shows it.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.access())
    }
}

/// Seconds of the Unix epoch.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A text that nobody guesses.
pub(crate) fn random() -> String {
    let mut bytes = [0; 24];
    // Without randomness the server would refuse what is sent twice.
    let _ = SystemRandom::new().fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
