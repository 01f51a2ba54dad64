//! What the identity provider says of itself, and the exchange of its code for an id_token that counts (OpenID Connect Discovery
//! section 4, Core section 3.1.3). The protocol is the crate `openidconnect`; requests go the way of all others ([`crate::Fetch`]).

use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use openidconnect::core::{
    CoreClient, CoreClientAuthMethod, CoreErrorResponseType, CoreIdToken, CoreJsonWebKeySet,
    CoreJwsSigningAlgorithm, CoreProviderMetadata,
};
use openidconnect::http::{Response, header};
use openidconnect::{
    AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, Nonce, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, SignatureVerificationError, StandardErrorResponse, TokenResponse as _,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config::Upstream;
use crate::event::cleaned;
use crate::fetch::{self, Fetch, FetchError};
use crate::record::SigningIn;
use crate::server::{AuthorizationServer, Route};

/// The longest answer of a provider that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How long what a provider says of itself is used without asking again, in seconds.
const LASTS_S: i64 = 3600;
/// How long nothing is asked again for a token whose key is not known.
const PAUSE_S: i64 = 60;
/// How far the provider's clock may be behind, in seconds.
const SKEW_S: i64 = 60;

/// What may sign an id_token: public keys only. A shared secret, and no signature at all, count for nothing.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// Why a provider is of no use now, or what it said counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProviderError {
    /// It gives no answer.
    #[error("{0} could not be had: {1}")]
    Silent(&'static str, FetchError),
    /// Its answer is not what it should be.
    #[error("{0} cannot be read: {1}")]
    Unreadable(&'static str, String),
    /// It is another than was configured.
    #[error("it calls itself '{0}', which is not the issuer that is configured")]
    Issuer(String),
    /// It takes no codes.
    #[error("it has no token endpoint")]
    NoTokens,
    /// It refused the code.
    #[error("it refused the code: {0}")]
    Refused(String),
    /// There is no id_token.
    #[error("it answered without an id_token")]
    NoIdToken,
    /// The id_token does not count.
    #[error("its id_token does not count: {0}")]
    IdToken(String),
}

/// A client of the provider, whose authorization endpoint is known.
type ProviderClient = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What the provider said, and when.
pub(in crate::server) type Kept = Option<(i64, Arc<CoreProviderMetadata>)>;

impl AuthorizationServer {
    /// This server as a client of the provider. `lasts_s` is how old what is known of it may be.
    async fn provider(&self, upstream: &Upstream, lasts_s: i64) -> Result<ProviderClient, ProviderError> {
        let metadata = self.metadata(upstream, lasts_s).await?;
        let methods = metadata.token_endpoint_auth_methods_supported();
        let takes = |method| methods.is_some_and(|methods| methods.contains(&method));
        let in_form =
            takes(CoreClientAuthMethod::ClientSecretPost) && !takes(CoreClientAuthMethod::ClientSecretBasic);
        let redirect = RedirectUrl::new(self.url(Route::UpstreamReturn));
        let redirect =
            redirect.map_err(|error| ProviderError::Unreadable("our own URL", error.to_string()))?;
        let secret = upstream.client_secret.clone().map(ClientSecret::new);
        let id = ClientId::new(upstream.client_id.clone());
        Ok(CoreClient::from_provider_metadata((*metadata).clone(), id, secret)
            .set_auth_type(if in_form { AuthType::RequestBody } else { AuthType::BasicAuth })
            .set_redirect_uri(redirect))
    }

    /// This server as a client of the provider, to send browsers there.
    pub(super) async fn known_provider(&self, upstream: &Upstream) -> Result<ProviderClient, ProviderError> {
        let client = self.provider(upstream, LASTS_S).await?;
        let checked = fetch::checked(client.auth_uri().as_str(), self.config.private_fetches);
        checked.map_err(|error| ProviderError::Silent("its authorization endpoint", error))?;
        Ok(client)
    }

    async fn metadata(
        &self,
        upstream: &Upstream,
        lasts_s: i64,
    ) -> Result<Arc<CoreProviderMetadata>, ProviderError> {
        let now_s = self.now_s();
        let kept = self.provider.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, metadata)) = kept.filter(|(at_s, _)| now_s - at_s < lasts_s) {
            return Ok(metadata);
        }
        let what = "its configuration";
        let metadata: CoreProviderMetadata = self.document(what, &upstream.configuration_url()).await?;
        let issuer = metadata.issuer().as_str();
        if issuer != upstream.issuer {
            return Err(ProviderError::Issuer(cleaned(issuer)));
        }
        let keys: CoreJsonWebKeySet = self.document("its keys", metadata.jwks_uri().as_str()).await?;
        let metadata = Arc::new(metadata.set_jwks(keys));
        let known = Some((now_s, Arc::clone(&metadata)));
        *self.provider.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(metadata)
    }

    /// The JSON at a URL.
    async fn document<T: DeserializeOwned>(&self, what: &'static str, url: &str) -> Result<T, ProviderError> {
        let private = self.config.private_fetches;
        let silent = |error| ProviderError::Silent(what, error);
        let url = fetch::checked(url, private).map_err(silent)?;
        let answer = self.services.fetch.get(&url, MAX_ANSWER_BYTES, fetch::may_ask(private)).await;
        serde_json::from_slice(&answer.map_err(silent)?.body)
            .map_err(|error| ProviderError::Unreadable(what, error.to_string()))
    }

    /// What the provider says of the person: the claims of an id_token whose signature, issuer, audience, times and nonce are
    /// right.
    pub(super) async fn claims(
        &self,
        upstream: &Upstream,
        code: &str,
        signing_in: &SigningIn,
    ) -> Result<Map<String, Value>, ProviderError> {
        let client = self.provider(upstream, LASTS_S).await?;
        let token = self.id_token_for(&client, code, signing_in).await?;
        let nonce = Nonce::new(signing_in.nonce.clone());
        match self.check(&client, &token, &nonce) {
            Ok(()) => {}
            // The provider may have keys that it did not have when it was asked.
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey,
            )) => {
                let client = self.provider(upstream, PAUSE_S).await?;
                self.check(&client, &token, &nonce).map_err(not_counting)?;
            }
            Err(error) => return Err(not_counting(error)),
        }
        payload(&token.to_string())
    }

    async fn id_token_for(
        &self,
        client: &ProviderClient,
        code: &str,
        signing_in: &SigningIn,
    ) -> Result<CoreIdToken, ProviderError> {
        let (fetch, private) = (Arc::clone(&self.services.fetch), self.config.private_fetches);
        let send = move |request| sent(Arc::clone(&fetch), private, request);
        let exchange = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        let exchange = exchange.map_err(|_| ProviderError::NoTokens)?;
        let exchange = exchange.set_pkce_verifier(PkceCodeVerifier::new(signing_in.verifier.clone()));
        // A type of its own: the compiler cannot see through the one of the crate that it can be sent between threads.
        let exchanged: Pin<Box<dyn Future<Output = _> + Send + '_>> = Box::pin(exchange.request_async(&send));
        let tokens = exchanged.await.map_err(refused)?;
        tokens.id_token().cloned().ok_or(ProviderError::NoIdToken)
    }

    fn check(
        &self,
        client: &ProviderClient,
        token: &CoreIdToken,
        nonce: &Nonce,
    ) -> Result<(), ClaimsVerificationError> {
        let now = DateTime::from_timestamp(self.now_s() - SKEW_S, 0).unwrap_or_default();
        let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS).set_time_fn(move || now);
        token.claims(&verifier, nonce).map(|_| ())
    }
}

/// Sends what `openidconnect` made.
async fn sent(
    fetch: Arc<dyn Fetch>,
    private: bool,
    request: HttpRequest,
) -> Result<HttpResponse, FetchError> {
    let url = fetch::checked(&request.uri().to_string(), private)?;
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let form = fetch::Form {
        authorization: text(header::AUTHORIZATION).map(str::to_owned),
        body: request.body().clone(),
    };
    let (status, body) = fetch.post(&url, form, MAX_ANSWER_BYTES, fetch::may_ask(private)).await?;
    Response::builder().status(status).body(body).map_err(|error| FetchError::Failed(error.to_string()))
}

fn not_counting(error: ClaimsVerificationError) -> ProviderError {
    let why = match &error {
        ClaimsVerificationError::SignatureVerification(why) => why.to_string(),
        other => other.to_string(),
    };
    ProviderError::IdToken(cleaned(&why))
}

fn refused(
    error: RequestTokenError<FetchError, StandardErrorResponse<CoreErrorResponseType>>,
) -> ProviderError {
    let what = "its answer to the code";
    match error {
        RequestTokenError::ServerResponse(response) => ProviderError::Refused(cleaned(&response.to_string())),
        RequestTokenError::Request(error) => ProviderError::Silent(what, error),
        RequestTokenError::Parse(error, _) => ProviderError::Unreadable(what, cleaned(&error.to_string())),
        RequestTokenError::Other(error) => ProviderError::Unreadable(what, cleaned(&error)),
    }
}

/// All claims of a token that was verified: which ones are asked about is configuration.
fn payload(token: &str) -> Result<Map<String, Value>, ProviderError> {
    let part = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    part.and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| ProviderError::IdToken("it has no claims".to_owned()))
}
