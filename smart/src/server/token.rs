//! The token endpoint (RFC 6749 sections 4.1.3, 4.4.2 and 6, SMART App Launch sections 2.0.14 to 2.0.17). Access tokens are opaque: a
//! lookup costs no more than a signature's check would, and what is removed is worthless at once.

mod response;

pub(super) use response::context;

use super::AuthorizationServer;
use super::client_authentication::spent;
use super::error::{Refusal, ServerError, Stop};
use crate::event::{Event, EventKind, cleaned};
use crate::message::{Reply, Request};
use crate::record::{AccessToken, Authentication, Client, Code, Grant, RefreshToken, Session};
use crate::scope::{Level, Meaning, Scope, ScopeSet};
use crate::secret::{digested, new_secret, same};
use crate::storage::{Condition, Put, Stored as _, put};

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
        let (client, proof) = match self.public_client_of_refresh(request).await? {
            Some(client) => (client, None),
            None => self.proven(request).await?,
        };
        event.client = Some(client.id.clone());
        match grant_type {
            Some("client_credentials") => self.client_credentials(request, &client, proof).await,
            of_user => {
                self.spend(proof).await?;
                match of_user {
                    Some("authorization_code") => self.redeem(request, &client, event).await,
                    _ => self.refresh(request, &client, event).await,
                }
            }
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
        let secret = request.get("code").ok_or_else(|| Refusal::new("invalid_request", "code is missing"))?;
        let key = digested(secret);
        let known = self.records().versioned::<Code>(&key).await?;
        let (mut code, version) = known.ok_or_else(|| invalid("code is unknown or has expired"))?;
        event.user = Some(code.grant.user.username.clone());
        event.patient.clone_from(&code.grant.context.patient);
        // Whoever comes second, or with another's code, ends it for all.
        if code.used {
            return Err(self.replayed(&key, &code, event).await?);
        }
        code.used = true;
        let spent = put(&key, &code, Condition::Version(version))?;
        if let Err(refusal) = fits(request, client, &code) {
            return match self.services.storage.put(vec![spent]).await? {
                true => Err(refusal.into()),
                false => Err(self.replayed(&key, &code, event).await?),
            };
        }
        let scopes = read(&code.grant.scopes);
        let mut puts = vec![spent, put(&code.grant_id, &code.grant, Condition::Absent)?];
        let mut answer = self.answer_of(&code.grant_id, &code.grant, &scopes, &mut puts)?;
        if scopes.has(&Meaning::OfflineAccess) || code.grant.session.is_some() {
            answer.refresh_token = Some(self.new_refresh_token(&code.grant_id, client, &mut puts)?);
        }
        if scopes.has(&Meaning::OpenId) {
            answer.id_token = Some(self.id_token(client, &code, &scopes)?);
        }
        // All at once: whoever comes second finds the grant to revoke.
        match self.services.storage.put(puts).await? {
            true => Ok(answer.reply()),
            false => Err(self.replayed(&key, &code, event).await?),
        }
    }

    /// Revokes what stands on a code that came a second time.
    async fn replayed(&self, key: &str, code: &Code, event: &Event) -> Result<Stop, ServerError> {
        self.services.storage.take(Code::TABLE, key).await?;
        self.revoke_replayed(&code.grant_id, event).await?;
        Ok(invalid("code was used before").into())
    }

    /// A refresh token for new tokens; the old one is never taken again (RFC 9700 section 4.14.2).
    async fn refresh(&self, request: &Request, client: &Client, event: &mut Event) -> Result<Reply, Stop> {
        let secret = request.get("refresh_token");
        let secret = secret.ok_or_else(|| Refusal::new("invalid_request", "refresh_token is missing"))?;
        let key = digested(secret);
        let known = self.records().versioned::<RefreshToken>(&key).await?;
        let own = known.filter(|(token, _)| token.client_id == client.id);
        let (mut token, version) = own.ok_or_else(|| invalid("refresh_token is unknown or has expired"))?;
        let grant = self.records().versioned::<Grant>(&token.grant).await?;
        let (mut grant, grant_version) = grant.ok_or_else(|| invalid("refresh_token was revoked"))?;
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
        grant.expires_s = self.now_s() + self.config.refresh_lifetime_s;
        let mut puts = vec![
            put(&key, &token, Condition::Version(version))?,
            put(&token.grant, &grant, Condition::Version(grant_version))?,
        ];
        let mut answer = self.answer_of(&token.grant, &grant, &scopes, &mut puts)?;
        answer.refresh_token = Some(self.new_refresh_token(&token.grant, client, &mut puts)?);
        if !self.services.storage.put(puts).await? {
            self.revoke_replayed(&token.grant, event).await?;
            return Err(invalid("refresh_token was used before").into());
        }
        Ok(answer.reply())
    }

    /// A backend service's own token (SMART App Launch section 3). `proof` is what remembers its assertion.
    async fn client_credentials(
        &self,
        request: &Request,
        client: &Client,
        proof: Option<Put>,
    ) -> Result<Reply, Stop> {
        let scopes = match self.system_scopes(request, client) {
            Ok(scopes) => scopes,
            Err(refusal) => {
                self.spend(proof).await?;
                return Err(refusal.into());
            }
        };
        let lifetime_s = self.config.backend_lifetime_s;
        let mut puts: Vec<Put> = proof.into_iter().collect();
        let access_token = self.new_access_token(None, client.id.clone(), &scopes, lifetime_s, &mut puts)?;
        if !self.services.storage.put(puts).await? {
            return Err(spent().into());
        }
        Ok(response::Answer::backend(access_token, lifetime_s, &scopes).reply())
    }

    fn system_scopes(&self, request: &Request, client: &Client) -> Result<ScopeSet, Refusal> {
        if !client.backend {
            return Err(Refusal::new("unauthorized_client", "the client is no backend service"));
        }
        // Who names none asks for all that was registered (RFC 6749 section 3.3).
        let permitted = client.permitted();
        let asked = match request.get("scope") {
            None => permitted.clone(),
            Some(text) => {
                ScopeSet::read(text).map_err(|error| Refusal::new("invalid_scope", error.to_string()))?.0
            }
        };
        let system = |scope: &Scope| scope.resources().is_some_and(|scope| scope.level == Level::System);
        let scopes = asked.narrowed(&permitted);
        let scopes = scopes.filtered(|scope| system(scope) && self.can_hold_to(scope));
        if scopes.is_empty() {
            let description = "none of the scopes are system/ scopes that the client may have";
            return Err(Refusal::new("invalid_scope", description));
        }
        Ok(scopes)
    }

    /// A new access token, and what keeps it.
    fn new_access_token(
        &self,
        grant: Option<String>,
        client_id: String,
        scopes: &ScopeSet,
        lifetime_s: i64,
        puts: &mut Vec<Put>,
    ) -> Result<String, ServerError> {
        let (secret, issued_s) = (new_secret()?, self.now_s());
        let expires_s = issued_s + lifetime_s;
        let token = AccessToken { grant, client_id, scopes: scopes.to_string(), issued_s, expires_s };
        puts.push(put(&digested(&secret), &token, Condition::Absent)?);
        Ok(secret)
    }

    fn new_refresh_token(
        &self,
        grant: &str,
        client: &Client,
        puts: &mut Vec<Put>,
    ) -> Result<String, ServerError> {
        let secret = new_secret()?;
        let expires_s = self.now_s() + self.config.refresh_lifetime_s;
        let token =
            RefreshToken { grant: grant.to_owned(), client_id: client.id.clone(), used: false, expires_s };
        puts.push(put(&digested(&secret), &token, Condition::Absent)?);
        Ok(secret)
    }

    async fn revoke_replayed(&self, grant: &str, event: &Event) -> Result<(), ServerError> {
        self.services.storage.take(Grant::TABLE, grant).await?;
        self.record(Event { kind: EventKind::Replay, ..event.clone() });
        Ok(())
    }
}

fn invalid(description: &str) -> Refusal {
    Refusal::new("invalid_grant", description)
}

/// Whether a code is exchanged by the client that it was given to, and as it was asked for.
fn fits(request: &Request, client: &Client, code: &Code) -> Result<(), Refusal> {
    if code.grant.client_id != client.id {
        return Err(invalid("code is of another client"));
    }
    if request.get("redirect_uri") != Some(code.redirect_uri.as_str()) {
        return Err(invalid("redirect_uri is another than at the authorization"));
    }
    let verifier = request.get("code_verifier").ok_or_else(|| invalid("code_verifier is missing"))?;
    match is_verifier(verifier) && same(&digested(verifier), &code.challenge) {
        true => Ok(()),
        false => Err(invalid("code_verifier does not fit the code_challenge")),
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
