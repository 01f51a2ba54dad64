//! Who calls the token endpoint and its neighbours: a secret by Basic or in the form (RFC 6749 section 2.3), an assertion signed with
//! a registered key (RFC 7523, SMART's asymmetric authentication), or a public client's mere id.

use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;

use super::discovery::ASSERTION_ALGORITHMS;
use super::error::{Refusal, ServerError, Stop};
use super::{AuthorizationServer, KeysAt, Route};
use crate::event::cleaned;
use crate::fetch;
use crate::jwt::{Expected, Jwks, JwtError, MAX_JWKS_BYTES, MAX_SKEW_S, Token};
use crate::message::Request;
use crate::record::{Authentication, Client, Used};
use crate::secret::{digested, same};
use crate::storage::{Condition, Put, put};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// SMART App Launch section 5.1.6: `exp` is at most five minutes away.
const MAX_ASSERTION_S: i64 = 300;
/// How long fetched keys are used without asking again, in seconds, at most: less where the answer's `Cache-Control` says so.
const KEYS_LAST_S: i64 = 3600;
/// How long nothing is asked again after an answer without the key, or no answer.
const KEYS_PAUSE_S: i64 = 60;
/// The most URLs whose keys are remembered.
const MAX_KEPT: usize = 1000;
/// The longest `jti`, in bytes.
const MAX_JTI_BYTES: usize = 512;

/// What a request says of its client.
enum Credentials {
    None(String),
    Secret { id: String, secrets: Vec<String> },
    Assertion(String),
}

impl AuthorizationServer {
    /// The client that a request proves to be of.
    pub(super) async fn client_of(&self, request: &Request) -> Result<Client, Stop> {
        let (client, proof) = self.proven(request).await?;
        self.spend(proof).await?;
        Ok(client)
    }

    /// Remembers an assertion for as long as it would count; refuses one that was seen.
    pub(super) async fn spend(&self, proof: Option<Put>) -> Result<(), Stop> {
        let Some(proof) = proof else { return Ok(()) };
        match self.services.storage.put(vec![proof]).await? {
            true => Ok(()),
            false => Err(spent().into()),
        }
    }

    /// The client that a request proves to be of, and what remembers the assertion that proves it: to be written before, or
    /// with, whatever stands on it.
    pub(super) async fn proven(&self, request: &Request) -> Result<(Client, Option<Put>), Stop> {
        match credentials(request)? {
            Credentials::None(id) => {
                let client = self.enabled_client(&id).await?;
                let public = client.filter(|client| client.authentication == Authentication::Public);
                let unknown = || Refusal::client("the client is unknown, or must prove who it is");
                Ok((public.ok_or_else(unknown)?, None))
            }
            Credentials::Secret { id, secrets } => {
                let client = self.enabled_client(&id).await?;
                // An unknown client is compared too.
                let (client, own) = match client {
                    Some(client) => match &client.authentication {
                        Authentication::Secret(own) => (Some(client.clone()), own.clone()),
                        _ => (None, digested("")),
                    },
                    None => (None, digested("")),
                };
                let right = secrets.iter().any(|secret| same(&digested(secret), &own));
                let unknown = || Refusal::client("the client is unknown, or the secret is wrong");
                Ok((client.filter(|_| right).ok_or_else(unknown)?, None))
            }
            Credentials::Assertion(assertion) => {
                let (client, proof) = self.client_of_assertion(request, &assertion).await?;
                Ok((client, Some(proof)))
            }
        }
    }

    async fn enabled_client(&self, id: &str) -> Result<Option<Client>, ServerError> {
        Ok(self.records().get::<Client>(id).await?.filter(|client| client.enabled))
    }

    async fn client_of_assertion(&self, request: &Request, assertion: &str) -> Result<(Client, Put), Stop> {
        let refused = |error: JwtError| Refusal::client(&format!("client_assertion: {error}"));
        let token = Token::read(assertion).map_err(refused)?;
        if !ASSERTION_ALGORITHMS.contains(&token.algorithm()) {
            return Err(refused(JwtError::Algorithm).into());
        }
        let id = token.claimed_issuer().ok_or_else(|| refused(JwtError::Claim("iss")))?;
        if request.get("client_id").is_some_and(|other| other != id) {
            return Err(Refusal::client("client_id is another than that of client_assertion").into());
        }
        let unknown = || Refusal::client("the client is unknown, or has no keys registered");
        let client = self.enabled_client(&id).await?.ok_or_else(unknown)?;
        let keys = self.keys_of(&client, &token).await?.ok_or_else(unknown)?;
        let claims = token.verified(&keys, "JWT").map_err(refused)?;
        let url = self.url(Route::Token);
        let expected = Expected {
            issuer: &id,
            subject: &id,
            audiences: &[&url, &self.config.issuer],
            now_s: self.now_s(),
            max_lifetime_s: MAX_ASSERTION_S,
        };
        let (jti, expires_s) = claims.check(&expected).map_err(refused)?;
        let proof = proof(&id, jti, expires_s)?;
        Ok((client, proof))
    }

    async fn keys_of(&self, client: &Client, token: &Token<'_>) -> Result<Option<Jwks>, Stop> {
        match &client.authentication {
            Authentication::Keys(keys) => Ok(Jwks::read(keys.to_string().as_bytes()).ok()),
            Authentication::KeysAt(url) => self.keys_at(url, token).await.map(Some),
            Authentication::Public | Authentication::Secret(_) => Ok(None),
        }
    }

    /// Keys from where the client said: those that are remembered, if the token's is among them, else asked for again, but
    /// not all the time.
    async fn keys_at(&self, url: &str, token: &Token<'_>) -> Result<Jwks, Stop> {
        let now_s = self.now_s();
        let kept = self.kept(url);
        if let Some(KeysAt { asked_s, keys }) = &kept {
            match keys.as_ref().filter(|(_, keys)| token.has_key_in(keys)) {
                Some((until_s, keys)) if now_s < *until_s => return Ok(keys.clone()),
                // Out of date, and for nothing else: asked for again at once.
                Some(_) => {}
                None if now_s - asked_s < KEYS_PAUSE_S => {
                    return Err(Refusal::client("the keys of the client were asked for just now").into());
                }
                None => {}
            }
        }
        // Before the answer: others do not ask meanwhile, and not again at once if none comes.
        let usable = kept.and_then(|kept| kept.keys).filter(|(until_s, _)| now_s < *until_s);
        self.keep_keys(url, KeysAt { asked_s: now_s, keys: usable });
        let private = self.config.private_fetches;
        let refused = |why: String| Refusal::client(&format!("the keys of the client: {}", cleaned(&why)));
        let checked = fetch::checked(url, private).map_err(|error| refused(error.to_string()))?;
        let answer = self.services.fetch.get(&checked, MAX_JWKS_BYTES, fetch::may_ask(private)).await;
        let answer = answer.map_err(|error| refused(error.to_string()))?;
        let keys = Jwks::read(&answer.body).map_err(|error| refused(error.to_string()))?;
        // Where they may not be kept at all, the requests of the same second share them.
        let lasts_s = answer.max_age_s.unwrap_or(KEYS_LAST_S).clamp(1, KEYS_LAST_S);
        self.keep_keys(url, KeysAt { asked_s: now_s, keys: Some((now_s + lasts_s, keys.clone())) });
        Ok(keys)
    }

    fn kept(&self, url: &str) -> Option<KeysAt> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner).get(url).cloned()
    }

    fn keep_keys(&self, url: &str, entry: KeysAt) {
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if fetched.len() >= MAX_KEPT && !fetched.contains_key(url) {
            fetched.retain(|_, kept| entry.asked_s - kept.asked_s < KEYS_PAUSE_S);
        }
        if fetched.len() < MAX_KEPT || fetched.contains_key(url) {
            fetched.insert(url.to_owned(), entry);
        }
    }
}

/// What remembers an assertion.
fn proof(client: &str, jti: &str, expires_s: i64) -> Result<Put, Stop> {
    if jti.len() > MAX_JTI_BYTES {
        return Err(Refusal::client("client_assertion: jti is too long").into());
    }
    let used = Used { expires_s: expires_s.saturating_add(MAX_SKEW_S) };
    Ok(put(&digested(&format!("jti {client} {jti}")), &used, Condition::Absent)?)
}

/// An assertion that came before.
pub(super) fn spent() -> Refusal {
    Refusal::client("client_assertion: jti was used before")
}

/// One way to prove who the client is, and no more than one (RFC 6749 section 2.3).
fn credentials(request: &Request) -> Result<Credentials, Refusal> {
    let several = || Refusal::new("invalid_request", "the client proves who it is in several ways");
    let id = request.get("client_id").map(str::to_owned);
    let form_secret = request.get("client_secret");
    let assertion = request.get("client_assertion");
    if request.get("client_assertion_type").is_some_and(|name| name != ASSERTION_TYPE) {
        return Err(Refusal::client("client_assertion_type is not known"));
    }
    if let Some(header) = request.authorization.as_deref() {
        if form_secret.is_some() || assertion.is_some() {
            return Err(several());
        }
        let (basic_id, secrets) =
            basic(header).ok_or_else(|| Refusal::client("Authorization is no Basic credentials"))?;
        if id.is_some_and(|id| id != basic_id) {
            return Err(Refusal::client("client_id is another than that of Authorization"));
        }
        return Ok(Credentials::Secret { id: basic_id, secrets });
    }
    match (form_secret, assertion) {
        (Some(_), Some(_)) => Err(several()),
        (None, Some(assertion)) if request.get("client_assertion_type").is_some() => {
            Ok(Credentials::Assertion(assertion.to_owned()))
        }
        (None, Some(_)) => Err(Refusal::client("client_assertion_type is missing")),
        (Some(secret), None) => {
            let id = id.ok_or_else(|| Refusal::client("client_id is missing"))?;
            Ok(Credentials::Secret { id, secrets: vec![secret.to_owned()] })
        }
        (None, None) => Ok(Credentials::None(id.ok_or_else(|| Refusal::client("client_id is missing"))?)),
    }
}

/// The client id, and the secret as it stands and decoded: RFC 6749 wants it form-encoded, many clients do not encode it.
fn basic(header: &str) -> Option<(String, Vec<String>)> {
    let (scheme, text) = header.split_once(' ')?;
    let text = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(text.trim()).ok())??;
    let text = String::from_utf8(text).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decoded = |text: &str| {
        let pair = format!("x={text}");
        form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    let safe = |text: &str| !text.contains('&');
    let mut secrets = vec![secret.to_owned()];
    secrets.extend(decoded(secret).filter(|_| safe(secret)));
    let id = decoded(id).filter(|_| safe(id) && id.contains('%')).unwrap_or_else(|| id.to_owned());
    (!id.is_empty()).then_some((id, secrets))
}
