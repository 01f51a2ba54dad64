//! Signing in with an identity provider instead of a password: the browser goes there with a state, a nonce and a PKCE challenge of
//! its own session (OpenID Connect Core section 3.1.2, RFC 7636), and comes back once.

mod account;
mod provider;

use openidconnect::core::{CoreAuthPrompt, CoreAuthenticationFlow};
use openidconnect::{CsrfToken, LoginHint, Nonce, PkceCodeChallenge, PkceCodeVerifier, Scope};

use super::AuthorizationServer;
use super::error::ServerError;
use super::session::Browser;
use crate::config::Upstream;
use crate::event::{EventKind, cleaned};
use crate::message::{Reply, Request};
use crate::page;
use crate::record::{SessionUser, SigningIn};
use crate::secret::{digested, new_secret, same};
use crate::storage::{Condition, Stored as _};

use account::Unknown;
pub(super) use provider::Kept;
use provider::ProviderError;

/// How long a person may take at the provider, in seconds.
const LASTS_S: i64 = 900;
/// The longest code that is sent back to the provider, in bytes.
const MAX_CODE_BYTES: usize = 8192;

/// Why somebody who came back from the provider is not logged in.
#[derive(Debug, thiserror::Error)]
enum NotSignedIn {
    /// The provider, or the person there, refused.
    #[error("the identity provider refused: {0}")]
    Refused(String),
    /// Another provider answered (RFC 9207).
    #[error("another identity provider answered")]
    Another,
    /// There is no code.
    #[error("the identity provider sent no code")]
    NoCode,
    /// What the provider says counts for nothing.
    #[error("the identity provider: {0}")]
    Provider(#[from] ProviderError),
    /// Nobody here is that person.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// Something inside failed.
    #[error(transparent)]
    Failed(#[from] ServerError),
}

impl NotSignedIn {
    /// For the log: nothing that names a person.
    fn logged(&self) -> String {
        match self {
            NotSignedIn::Refused(_) => "the identity provider refused".to_owned(),
            NotSignedIn::Unknown(Unknown::NotLinked(..)) => "nobody is linked with that person".to_owned(),
            other => other.to_string(),
        }
    }
}

impl AuthorizationServer {
    /// Sends the browser to the provider.
    pub(super) async fn upstream(&self, request: &Request) -> Result<Reply, ServerError> {
        let Some(upstream) = &self.config.upstream else { return Ok(page::no_upstream(self)) };
        let browser = self.browser(request).await?;
        let pending = self.pending(request, &browser).await?;
        if pending.is_none() && request.get("request").is_some() {
            return Ok(page::lost(self));
        }
        let client = match self.known_provider(upstream).await {
            Ok(client) => client,
            Err(error) => {
                let mut event = self.event(EventKind::Login, request);
                event.failure = Some(error.to_string());
                self.record(event);
                let secret = pending.as_ref().map(|(secret, _)| secret.as_str());
                let reply = page::not_signed_in(self, &upstream.name, secret, &sentence(&error));
                return Ok(self.keep(&browser, reply));
            }
        };
        let (state, nonce, verifier) = (new_secret()?, new_secret()?, new_secret()?);
        let challenge =
            PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier.clone()));
        let (sent_state, sent_nonce) = (state.clone(), nonce.clone());
        let mut asked = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(sent_state),
                move || Nonce::new(sent_nonce),
            )
            .add_scopes(upstream.scopes.iter().filter(|name| *name != "openid").cloned().map(Scope::new))
            .set_pkce_challenge(challenge);
        if let Some((_, pending)) = &pending {
            if pending.login_after_s > 0 {
                asked = asked.add_prompt(CoreAuthPrompt::Login);
            }
            if let Some(hint) = &pending.login_hint {
                asked = asked.set_login_hint(LoginHint::new(hint.clone()));
            }
        }
        let (url, ..) = asked.url();
        let signing_in = SigningIn {
            session: browser.key.clone(),
            request: pending.map(|(secret, _)| secret),
            nonce,
            verifier,
            expires_s: self.now_s() + LASTS_S,
        };
        self.records().put(&digested(&state), &signing_in, Condition::Absent).await?;
        Ok(self.keep(&browser, Reply::see_other(url.into())))
    }

    /// Takes the browser that comes back.
    pub(super) async fn upstream_return(&self, request: &Request) -> Result<Reply, ServerError> {
        let Some(upstream) = &self.config.upstream else { return Ok(page::no_upstream(self)) };
        let Some(browser) = self.known_browser(request).await? else { return Ok(page::lost(self)) };
        let Some(signing_in) = self.begun(request, &browser).await? else { return Ok(page::lost(self)) };
        let mut event = self.event(EventKind::Login, request);
        match self.signed_in(upstream, request, &signing_in).await {
            Ok((user, authenticated_s)) => {
                event.user = Some(cleaned(&user.username));
                self.record(event);
                let pending = self.pending_of(signing_in.request.as_deref(), &browser).await?;
                self.logged_in(user, authenticated_s, &browser, pending).await
            }
            Err(NotSignedIn::Failed(error)) => Err(error),
            Err(error) => {
                event.failure = Some(error.logged());
                self.record(event);
                let said = match &error {
                    NotSignedIn::Provider(error) => sentence(error),
                    other => format!("{other}."),
                };
                let secret = signing_in.request.as_deref();
                Ok(page::not_signed_in(self, &upstream.name, secret, &said))
            }
        }
    }

    /// What this browser began with the state that comes back; each counts once.
    async fn begun(&self, request: &Request, browser: &Browser) -> Result<Option<SigningIn>, ServerError> {
        let (Some(state), None) = (request.get("state"), request.unfit()) else { return Ok(None) };
        let key = digested(state);
        let begun = self.records().get::<SigningIn>(&key).await?;
        let own = begun.filter(|begun| same(&begun.session, &browser.key));
        let Some(own) = own else { return Ok(None) };
        let first = self.services.storage.take(SigningIn::TABLE, &key).await?.is_some();
        Ok(first.then_some(own))
    }

    /// Who the person is here, and when they proved it.
    async fn signed_in(
        &self,
        upstream: &Upstream,
        request: &Request,
        signing_in: &SigningIn,
    ) -> Result<(SessionUser, i64), NotSignedIn> {
        if request.get("iss").is_some_and(|issuer| issuer != upstream.issuer) {
            return Err(NotSignedIn::Another);
        }
        if let Some(error) = request.get("error") {
            let description =
                request.get("error_description").map(|text| format!(" ({text})")).unwrap_or_default();
            return Err(NotSignedIn::Refused(cleaned(&format!("{error}{description}"))));
        }
        let code = request.get("code").filter(|code| code.len() <= MAX_CODE_BYTES);
        let code = code.ok_or(NotSignedIn::NoCode)?;
        let claims = self.claims(upstream, code, signing_in).await?;
        let now_s = self.now_s();
        let proved_s = claims.get("auth_time").and_then(serde_json::Value::as_i64).unwrap_or(now_s);
        let user = self.account_of(upstream, &claims).await??;
        Ok((user, proved_s.min(now_s)))
    }
}

/// What the person at the browser is told of a provider that is of no use.
fn sentence(error: &ProviderError) -> String {
    format!("What was said there cannot be relied on, or nothing was said: {error}.")
}
