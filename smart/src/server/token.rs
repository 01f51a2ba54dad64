//! The token endpoint (RFC 6749 sections 4.1.3, 4.4.2 and 6, SMART App Launch sections 2.0.14 to 2.0.17). Access tokens are opaque: a
//! lookup costs no more than a signature's check would, and what is removed is worthless at once.

mod response;

pub(super) use response::context;

use super::AuthorizationServer;
use super::error::{Refusal, ServerError, Stop};
use crate::event::{Event, EventKind, cleaned};
use crate::message::{Reply, Request};
use crate::record::{AccessToken, Authentication, Client, Code, Grant, RefreshToken, Session};
use crate::scope::{Level, Meaning, Scope, ScopeSet};
use crate::secret::{digested, new_secret, same};
use crate::storage::{Condition, Stored as _};

impl AuthorizationServer {
    pub(super) async fn token(&self, request: &Request) -> Result<Reply, ServerError> {
        let mut event = self.event(EventKind::Token, request);
        event.client = request.get("client_id").map(cleaned);
        match self.exchange(request, &mut event).await {
            Ok(reply) => {
                self.record(event);
                Ok(reply)
            }
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Refused(refusal)) => {
                event.failure = Some(refusal.description.clone());
                self.record(event);
                Ok(refusal.reply())
            }
        }
    }

    async fn exchange(&self, request: &Request, event: &mut Event) -> Result<Reply, Stop> {
        if let Some(name) = request.unfit() {
            let description = format!("{} is there twice", cleaned(name));
            return Err(Refusal::new("invalid_request", description).into());
        }
        let grant_type = request.get("grant_type");
        let known = ["authorization_code", "refresh_token", "client_credentials"];
        match grant_type {
            None => return Err(Refusal::new("invalid_request", "grant_type is missing").into()),
            Some(name) if !known.contains(&name) => {
                return Err(Refusal::new("unsupported_grant_type", "grant_type is not known").into());
            }
            Some(_) => {}
        }
        let client = match self.public_client_of_refresh(request).await? {
            Some(client) => client,
            None => self.client_of(request).await?,
        };
        event.client = Some(client.id.clone());
        match grant_type {
            Some("authorization_code") => self.redeem(request, &client, event).await,
            Some("refresh_token") => self.refresh(request, &client, event).await,
            _ => self.client_credentials(request, &client).await,
        }
    }

    /// The public client that a refresh token is of, where a request for another says nothing else: RFC 6749 section 6 asks a
    /// public client for no more, and SMART's own library sends no more.
    async fn public_client_of_refresh(&self, request: &Request) -> Result<Option<Client>, Stop> {
        let says_who =
            ["client_id", "client_secret", "client_assertion"].map(|name| request.get(name).is_some());
        let refreshes = request.get("grant_type") == Some("refresh_token");
        let (true, None, false, Some(secret)) =
            (refreshes, &request.authorization, says_who.contains(&true), request.get("refresh_token"))
        else {
            return Ok(None);
        };
        let Some(token) = self.records().get::<RefreshToken>(&digested(secret)).await? else {
            return Ok(None);
        };
        let client = self.records().get::<Client>(&token.client_id).await?;
        Ok(client.filter(|client| client.enabled && client.authentication == Authentication::Public))
    }

    /// A code for tokens.
    async fn redeem(&self, request: &Request, client: &Client, event: &mut Event) -> Result<Reply, Stop> {
        let invalid = |description: &str| Refusal::new("invalid_grant", description);
        let secret = request.get("code").ok_or_else(|| Refusal::new("invalid_request", "code is missing"))?;
        let key = digested(secret);
        let known = self.records().versioned::<Code>(&key).await?;
        let (mut code, version) = known.ok_or_else(|| invalid("code is unknown or has expired"))?;
        event.user = Some(code.grant.user.username.clone());
        event.patient.clone_from(&code.grant.context.patient);
        // Whoever comes second, or with another's code, ends it for all.
        let first = !code.used;
        code.used = true;
        if !first || !self.records().put(&key, &code, Condition::Version(version)).await? {
            // The code goes first: whoever is just redeeming it looks for it last.
            self.services.storage.take(Code::TABLE, &key).await?;
            self.revoke_replayed(&code.grant_id, event).await?;
            return Err(invalid("code was used before").into());
        }
        if code.grant.client_id != client.id {
            return Err(invalid("code is of another client").into());
        }
        if request.get("redirect_uri") != Some(code.redirect_uri.as_str()) {
            return Err(invalid("redirect_uri is another than at the authorization").into());
        }
        let verifier = request.get("code_verifier").ok_or_else(|| invalid("code_verifier is missing"))?;
        if !is_verifier(verifier) || !same(&digested(verifier), &code.challenge) {
            return Err(invalid("code_verifier does not fit the code_challenge").into());
        }
        self.records().put(&code.grant_id, &code.grant, Condition::Absent).await?;
        let scopes = read(&code.grant.scopes);
        let mut answer = self.answer_of(&code.grant_id, &code.grant, &scopes).await?;
        if scopes.has(&Meaning::OfflineAccess) || code.grant.session.is_some() {
            answer.refresh_token = Some(self.new_refresh_token(&code.grant_id, client).await?);
        }
        if scopes.has(&Meaning::OpenId) {
            answer.id_token = Some(self.id_token(&code, &scopes)?);
        }
        // A replay that came in between may have found no grant to revoke yet.
        if self.services.storage.get(Code::TABLE, &key).await?.is_none() {
            self.services.storage.take(Grant::TABLE, &code.grant_id).await?;
            return Err(invalid("code was used twice").into());
        }
        Ok(answer.reply())
    }

    /// A refresh token for new tokens; the old one is never taken again (RFC 9700 section 4.14.2).
    async fn refresh(&self, request: &Request, client: &Client, event: &mut Event) -> Result<Reply, Stop> {
        let invalid = |description: &str| Refusal::new("invalid_grant", description);
        let secret = request.get("refresh_token");
        let secret = secret.ok_or_else(|| Refusal::new("invalid_request", "refresh_token is missing"))?;
        let key = digested(secret);
        let known = self.records().versioned::<RefreshToken>(&key).await?;
        let own = known.filter(|(token, _)| token.client_id == client.id);
        let (mut token, version) = own.ok_or_else(|| invalid("refresh_token is unknown or has expired"))?;
        let grant = self.records().get::<Grant>(&token.grant).await?;
        let mut grant = grant.ok_or_else(|| invalid("refresh_token was revoked"))?;
        event.user = Some(grant.user.username.clone());
        event.patient.clone_from(&grant.context.patient);
        if token.used {
            self.revoke_replayed(&token.grant, event).await?;
            return Err(invalid("refresh_token was used before").into());
        }
        if let Some(session) = &grant.session
            && self.records().get::<Session>(session).await?.is_none()
        {
            return Err(invalid("the user's session has ended").into());
        }
        let scopes = narrower(request, &grant)?;
        token.used = true;
        if !self.records().put(&key, &token, Condition::Version(version)).await? {
            self.revoke_replayed(&token.grant, event).await?;
            return Err(invalid("refresh_token was used before").into());
        }
        let mut answer = self.answer_of(&token.grant, &grant, &scopes).await?;
        answer.refresh_token = Some(self.new_refresh_token(&token.grant, client).await?);
        self.prolong(&token.grant, &mut grant).await?;
        Ok(answer.reply())
    }

    /// Keeps a grant that is in use, unless it was revoked meanwhile.
    async fn prolong(&self, id: &str, grant: &mut Grant) -> Result<(), ServerError> {
        let Some((_, version)) = self.records().versioned::<Grant>(id).await? else { return Ok(()) };
        grant.expires_s = self.now_s() + self.config.refresh_lifetime_s;
        self.records().put(id, grant, Condition::Version(version)).await?;
        Ok(())
    }

    /// A backend service's own token (SMART App Launch section 3).
    async fn client_credentials(&self, request: &Request, client: &Client) -> Result<Reply, Stop> {
        if !client.backend {
            return Err(Refusal::new("unauthorized_client", "the client is no backend service").into());
        }
        let text = request.get("scope").ok_or_else(|| Refusal::new("invalid_scope", "scope is missing"))?;
        let (asked, _) =
            ScopeSet::read(text).map_err(|error| Refusal::new("invalid_scope", error.to_string()))?;
        let system = |scope: &Scope| scope.resources().is_some_and(|scope| scope.level == Level::System);
        let scopes = asked.narrowed(&client.permitted());
        let scopes = scopes.filtered(|scope| system(scope) && self.can_hold_to(scope));
        if scopes.is_empty() {
            let description = "none of the scopes are system/ scopes that the client may have";
            return Err(Refusal::new("invalid_scope", description).into());
        }
        let lifetime_s = self.config.backend_lifetime_s;
        let access_token = self.new_access_token(None, client.id.clone(), &scopes, lifetime_s).await?;
        Ok(response::Answer::backend(access_token, lifetime_s, &scopes).reply())
    }

    async fn new_access_token(
        &self,
        grant: Option<String>,
        client_id: String,
        scopes: &ScopeSet,
        lifetime_s: i64,
    ) -> Result<String, ServerError> {
        let (secret, issued_s) = (new_secret()?, self.now_s());
        let expires_s = issued_s + lifetime_s;
        let token = AccessToken { grant, client_id, scopes: scopes.to_string(), issued_s, expires_s };
        self.records().put(&digested(&secret), &token, Condition::Absent).await?;
        Ok(secret)
    }

    async fn new_refresh_token(&self, grant: &str, client: &Client) -> Result<String, ServerError> {
        let secret = new_secret()?;
        let expires_s = self.now_s() + self.config.refresh_lifetime_s;
        let token =
            RefreshToken { grant: grant.to_owned(), client_id: client.id.clone(), used: false, expires_s };
        self.records().put(&digested(&secret), &token, Condition::Absent).await?;
        Ok(secret)
    }

    async fn revoke_replayed(&self, grant: &str, event: &Event) -> Result<(), ServerError> {
        self.services.storage.take(Grant::TABLE, grant).await?;
        self.record(Event { kind: EventKind::Replay, ..event.clone() });
        Ok(())
    }
}

/// RFC 7636 section 4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn read(scopes: &str) -> ScopeSet {
    ScopeSet::read(scopes).map(|(scopes, _)| scopes).unwrap_or_default()
}

/// The scopes of a refreshed token: those of the grant, or the ones asked for if the grant has them all.
fn narrower(request: &Request, grant: &Grant) -> Result<ScopeSet, Refusal> {
    let granted = read(&grant.scopes);
    let Some(text) = request.get("scope") else { return Ok(granted) };
    let (asked, unread) =
        ScopeSet::read(text).map_err(|error| Refusal::new("invalid_scope", error.to_string()))?;
    if asked.is_empty() || !unread.is_empty() || !asked.iter().all(|scope| granted.covers(scope)) {
        return Err(Refusal::new("invalid_scope", "scope has more than was granted"));
    }
    Ok(asked)
}
