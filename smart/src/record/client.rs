//! A registered app.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::jwt::{Jwks, JwksError};
use crate::scope::{ScopeError, ScopeSet};
use crate::secret::digested;
use crate::storage::{EVERYONE, Stored, Table};

/// The shortest secret that a client may have, in characters: it is kept as a plain digest, so it must not be guessable.
const MIN_SECRET_LENGTH: usize = 16;

/// A registered app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// What users read on the consent page.
    pub name: String,
    /// How it proves who it is.
    pub authentication: Authentication,
    /// Where codes may be sent: compared letter by letter.
    pub redirect_uris: Vec<String>,
    /// Where an EHR launch opens it.
    pub launch_uri: Option<String>,
    /// All scopes that it may ever have.
    pub scopes: String,
    /// Whether it gets tokens of its own (client_credentials).
    pub backend: bool,
    /// Whether it may ask what tokens of other clients are worth (RFC 7662): a resource server.
    pub introspects: bool,
    /// Whether it may do anything.
    pub enabled: bool,
    /// The name of the policy that all its tokens are held to.
    #[serde(default)]
    pub policy: Option<String>,
    /// `id_token_signed_response_alg`.
    #[serde(default)]
    pub id_token_algorithm: IdTokenAlgorithm,
}

/// How the id_tokens of a client are signed (OpenID Connect Dynamic Client Registration section 2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdTokenAlgorithm {
    /// As SMART asks of everybody.
    #[default]
    #[serde(rename = "RS256")]
    Rs256,
    /// Smaller, for clients that ask for it.
    #[serde(rename = "ES256")]
    Es256,
}

impl IdTokenAlgorithm {
    /// All there are.
    pub const ALL: [IdTokenAlgorithm; 2] = [IdTokenAlgorithm::Rs256, IdTokenAlgorithm::Es256];

    /// The `alg` of RFC 7518.
    pub fn name(self) -> &'static str {
        match self {
            IdTokenAlgorithm::Rs256 => "RS256",
            IdTokenAlgorithm::Es256 => "ES256",
        }
    }

    /// Of its `alg`.
    pub fn of_name(name: &str) -> Option<IdTokenAlgorithm> {
        IdTokenAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// How a client proves who it is at the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authentication {
    /// Not at all: a public client, held by PKCE alone.
    Public,
    /// `client_secret_basic` and `client_secret_post`: the SHA-256 of a secret.
    Secret(String),
    /// `private_key_jwt` with keys that were registered.
    Keys(Value),
    /// `private_key_jwt` with keys that are fetched.
    KeysAt(String),
}

/// Why a client cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The id is empty, over 200 characters, or has others than letters, digits and `-._~:/`.
    #[error("a client id has 1 to 200 letters, digits and -._~:/")]
    Id,
    /// No redirect URI, and it is no backend service.
    #[error("an app that users authorize needs a redirect URI")]
    NoRedirect,
    /// A redirect URI is not absolute, has a fragment, or is plain http to another machine.
    #[error(
        "'{0}' must be an absolute URI without a fragment: https, http to this machine, or a scheme of the app's own"
    )]
    Redirect(String),
    /// The launch URI is no http(s) URL.
    #[error("'{0}' is no URL that an app can be launched at")]
    Launch(String),
    /// The secret is short.
    #[error("a client secret has at least {MIN_SECRET_LENGTH} characters")]
    Secret,
    /// A backend service must use keys.
    #[error("a backend service proves who it is by keys, not by a secret")]
    Backend,
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] JwksError),
    /// A scope cannot be read.
    #[error("the scope '{0}' cannot be granted: {1}")]
    Scope(String, ScopeError),
    /// The URL of keys must not be asked.
    #[error("the URL of keys is not one that may be asked: {0}")]
    KeysAt(#[from] crate::fetch::FetchError),
}

impl Authentication {
    /// A secret, kept as its digest.
    ///
    /// # Errors
    /// It is short.
    pub fn secret(secret: &str) -> Result<Authentication, ClientError> {
        if secret.chars().count() < MIN_SECRET_LENGTH {
            return Err(ClientError::Secret);
        }
        Ok(Authentication::Secret(digested(secret)))
    }
}

impl Client {
    /// A public app with nothing registered yet.
    pub fn new(id: &str, name: &str) -> Client {
        Client {
            id: id.to_owned(),
            name: name.to_owned(),
            authentication: Authentication::Public,
            redirect_uris: Vec::new(),
            launch_uri: None,
            scopes: String::new(),
            backend: false,
            introspects: false,
            enabled: true,
            policy: None,
            id_token_algorithm: IdTokenAlgorithm::default(),
        }
    }

    /// Whether all of it can be used. `private_fetches` is [`crate::Config::private_fetches`].
    ///
    /// # Errors
    /// The first thing that cannot.
    pub fn check(&self, private_fetches: bool) -> Result<(), ClientError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/".contains(c);
        if self.id.is_empty() || self.id.len() > 200 || !self.id.chars().all(allowed) {
            return Err(ClientError::Id);
        }
        if self.redirect_uris.is_empty() && !self.backend && !self.introspects {
            return Err(ClientError::NoRedirect);
        }
        if let Some(uri) = self.redirect_uris.iter().find(|uri| !is_redirect(uri)) {
            return Err(ClientError::Redirect(uri.clone()));
        }
        if let Some(uri) = self.launch_uri.iter().find(|uri| !is_redirect(uri) || !uri.starts_with("http")) {
            return Err(ClientError::Launch(uri.clone()));
        }
        match &self.authentication {
            Authentication::Keys(keys) => drop(Jwks::read(keys.to_string().as_bytes())?),
            Authentication::KeysAt(uri) => drop(crate::fetch::checked(uri, private_fetches)?),
            Authentication::Public | Authentication::Secret(_) if self.backend => {
                return Err(ClientError::Backend);
            }
            Authentication::Public | Authentication::Secret(_) => {}
        }
        self.check_scopes()
    }

    fn check_scopes(&self) -> Result<(), ClientError> {
        let too_long = |error| ClientError::Scope(String::new(), error);
        let (_, unread) = ScopeSet::read(&self.scopes).map_err(too_long)?;
        match unread.first() {
            Some((scope, error)) => Err(ClientError::Scope((*scope).to_owned(), error.clone())),
            None => Ok(()),
        }
    }

    /// The scopes that it may have.
    pub(crate) fn permitted(&self) -> ScopeSet {
        ScopeSet::read(&self.scopes).map(|(scopes, _)| scopes).unwrap_or_default()
    }
}

fn is_redirect(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    let plain = !uri.contains(['#', '\\', '*', ' ']) && uri.len() <= 2000 && uri.is_ascii();
    let secure = match url.scheme() {
        "https" => url.host_str().is_some(),
        "http" => matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")),
        // RFC 8252 section 7.1: a scheme of the app's own has the app's domain in reverse.
        scheme => scheme.contains('.'),
    };
    plain && secure && url.username().is_empty() && url.password().is_none()
}

impl Stored for Client {
    const TABLE: Table = Table::Client;

    fn groups(&self) -> Vec<String> {
        vec![EVERYONE.to_owned()]
    }
}
