//! The authorization endpoint (RFC 6749 section 4.1.1, SMART App Launch section 2.0.9). Until client and redirect URI are known to
//! belong together, errors are shown to the user; from then on the app is told.

use url::form_urlencoded;

use super::error::{Refusal, ServerError, Stop};
use super::session::Browser;
use super::{AuthorizationServer, Route};
use crate::event::{EventKind, cleaned};
use crate::message::{Reply, Request};
use crate::page;
use crate::record::{Client, Launch, LaunchContext, Pending};
use crate::scope::{Level, Meaning, Scope, ScopeSet};
use crate::secret::{digested, new_secret};

/// The longest `state` and `nonce` that are kept, in bytes.
const MAX_OPAQUE_BYTES: usize = 2048;

impl AuthorizationServer {
    pub(super) async fn authorize(&self, request: &Request) -> Result<Reply, ServerError> {
        let mut event = self.event(EventKind::Authorize, request);
        event.client = request.get("client_id").map(cleaned);
        let (client, redirect_uri) = match self.redirect_of(request).await? {
            Ok(known) => known,
            Err(sentence) => {
                event.failure = Some(sentence.to_owned());
                self.record(event);
                return Ok(page::refusal(self, 400, "This app cannot be authorized", sentence));
            }
        };
        match self.begin(request, &client, &redirect_uri).await {
            Ok(reply) => {
                self.record(event);
                Ok(reply)
            }
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Refused(refusal)) => {
                event.failure = Some(refusal.description.clone());
                self.record(event);
                Ok(self.refused(&redirect_uri, request.get("state"), &refusal))
            }
        }
    }

    /// The client, and the redirect URI if it is one of the client's, letter by letter.
    async fn redirect_of(
        &self,
        request: &Request,
    ) -> Result<Result<(Client, String), &'static str>, ServerError> {
        if request.unfit().is_some() {
            return Ok(Err("The app sent a parameter twice."));
        }
        let Some(id) = request.get("client_id") else {
            return Ok(Err("The app did not say which one it is (client_id)."));
        };
        let client = self.records().get::<Client>(id).await?.filter(|client| client.enabled);
        let Some(client) = client else { return Ok(Err("The app is not registered here.")) };
        match request.get("redirect_uri") {
            Some(uri) if client.redirect_uris.iter().any(|own| own == uri) => {
                let uri = uri.to_owned();
                Ok(Ok((client, uri)))
            }
            Some(_) => Ok(Err("The address to return to (redirect_uri) is not one that the app registered.")),
            None => Ok(Err("The app did not say where to return to (redirect_uri).")),
        }
    }

    async fn begin(&self, request: &Request, client: &Client, redirect_uri: &str) -> Result<Reply, Stop> {
        let state = check_form(request)?;
        let audience = request.get("aud").or(request.get("resource")).unwrap_or_default();
        if audience.trim_end_matches('/') != self.config.fhir_base {
            return Err(Refusal::new("invalid_request", "aud is not the FHIR base of this server").into());
        }
        let challenge = challenge(request)?;
        let launch = self.launch_of(request, client).await?;
        let scopes = self.scopes_of(request, client, launch.is_some())?;
        let prompt = Prompt::read(request)?;
        let browser = self.browser(request).await?;
        if prompt.none {
            let error =
                if browser.session.user.is_some() { "interaction_required" } else { "login_required" };
            return Err(Refusal::new(error, "the user must be asked").into());
        }
        let (launch_key, launch) = launch.unzip();
        let pending = Pending {
            client_id: client.id.clone(),
            client_name: client.name.clone(),
            redirect_uri: redirect_uri.to_owned(),
            state: state.to_owned(),
            scopes: scopes.to_string(),
            nonce: request.get("nonce").map(str::to_owned),
            challenge: challenge.to_owned(),
            login_hint: request.get("login_hint").map(cleaned),
            login_after_s: prompt.login_after_s(self.now_s()),
            session: browser.key.clone(),
            launch: launch_key,
            launch_user: launch.as_ref().and_then(|launch| launch.user_sub.clone()),
            context: launch.map_or_else(LaunchContext::default, |launch| launch.context),
            patient_name: None,
            expires_s: self.now_s() + self.config.pending_lifetime_s,
        };
        let secret = new_secret()?;
        self.put_pending(&secret, &pending).await?;
        let reply = self.go_on(&secret, pending, &browser).await?;
        Ok(self.keep(&browser, reply))
    }

    /// The launch that the app was opened with, and what it is kept under.
    async fn launch_of(&self, request: &Request, client: &Client) -> Result<Option<(String, Launch)>, Stop> {
        let Some(secret) = request.get("launch") else { return Ok(None) };
        let key = digested(secret);
        let launch = self.records().get::<Launch>(&key).await?;
        let own = |launch: &Launch| launch.client_id.as_ref().is_none_or(|id| *id == client.id);
        match launch.filter(own) {
            Some(launch) => Ok(Some((key, launch))),
            None => Err(Refusal::new("invalid_request", "launch is unknown, was used or has expired").into()),
        }
    }

    fn scopes_of(&self, request: &Request, client: &Client, launched: bool) -> Result<ScopeSet, Refusal> {
        let text = request.get("scope").unwrap_or_default();
        let (asked, _) =
            ScopeSet::read(text).map_err(|error| Refusal::new("invalid_scope", error.to_string()))?;
        let scopes = asked.narrowed(&client.permitted()).filtered(|scope| match scope.meaning() {
            Meaning::Launch => launched,
            Meaning::Resources(resources) => resources.level != Level::System && self.can_hold_to(scope),
            _ => true,
        });
        let opens_nothing = |scope: &Scope| {
            use Meaning::{Launch, LaunchEncounter, LaunchPatient, OfflineAccess, OnlineAccess};
            matches!(scope.meaning(), Launch | LaunchPatient | LaunchEncounter | OfflineAccess | OnlineAccess)
        };
        if scopes.iter().all(opens_nothing) {
            return Err(Refusal::new("invalid_scope", "none of the scopes can be granted to this app"));
        }
        Ok(scopes)
    }

    /// Whether type and filter of a scope are ones that requests can be held to.
    pub(super) fn can_hold_to(&self, scope: &Scope) -> bool {
        let Some(resources) = scope.resources() else { return true };
        let directory = &self.services.directory;
        let query = resources.query();
        match (&resources.resource_type, query) {
            (None, None) => true,
            // Parameters of all resources only.
            (None, Some(query)) => directory.knows_filter("Resource", &query),
            (Some(name), None) => directory.knows_type(name),
            (Some(name), Some(query)) => directory.knows_type(name) && directory.knows_filter(name, &query),
        }
    }

    /// Sends the browser to the next page that this authorization needs.
    pub(super) async fn go_on(
        &self,
        secret: &str,
        mut pending: Pending,
        browser: &Browser,
    ) -> Result<Reply, Stop> {
        let user = browser.session.user.as_ref();
        let Some(user) = user.filter(|_| browser.session.authenticated_s >= pending.login_after_s) else {
            return Ok(self.page_of(Route::Login, secret));
        };
        if pending.launch_user.as_ref().is_some_and(|sub| *sub != user.sub) {
            let refusal = Refusal::new("access_denied", "the app was launched for another user");
            return Ok(self.refused(&pending.redirect_uri, Some(&pending.state), &refusal));
        }
        let step = self.settle(&mut pending, user).await;
        match step {
            Ok(settled) => {
                self.put_pending(secret, &pending).await?;
                Ok(self.page_of(if settled { Route::Consent } else { Route::Pick }, secret))
            }
            Err(Stop::Refused(refusal)) => {
                Ok(self.refused(&pending.redirect_uri, Some(&pending.state), &refusal))
            }
            Err(failed) => Err(failed),
        }
    }

    fn page_of(&self, route: Route, secret: &str) -> Reply {
        Reply::see_other(format!("{}?request={secret}", self.path(route)))
    }

    /// RFC 6749 section 4.1.2.1.
    pub(super) fn refused(&self, redirect_uri: &str, state: Option<&str>, refusal: &Refusal) -> Reply {
        let described = [("error", refusal.error), ("error_description", &refusal.description)];
        self.return_to(redirect_uri, state, &described)
    }

    /// Sends the browser back to the app, telling it who answers (RFC 9207).
    pub(super) fn return_to(
        &self,
        redirect_uri: &str,
        state: Option<&str>,
        answer: &[(&str, &str)],
    ) -> Reply {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(answer);
        query.extend_pairs(state.map(|state| ("state", state)));
        query.append_pair("iss", &self.config.issuer);
        let separator = if redirect_uri.contains('?') { '&' } else { '?' };
        Reply::see_other(format!("{redirect_uri}{separator}{}", query.finish()))
    }
}

/// Checks what is not about this server's records; gives `state`.
fn check_form(request: &Request) -> Result<&str, Refusal> {
    let refuse = |error, description: &str| Err(Refusal::new(error, description));
    for (name, error) in [("request", "request_not_supported"), ("request_uri", "request_uri_not_supported")]
    {
        if request.get(name).is_some() {
            return refuse(error, "request objects are not read");
        }
    }
    match request.get("response_type") {
        Some("code") => {}
        Some(_) => return refuse("unsupported_response_type", "response_type must be code"),
        None => return refuse("invalid_request", "response_type is missing"),
    }
    if request.get("response_mode").is_some_and(|mode| mode != "query") {
        return refuse("invalid_request", "response_mode must be query");
    }
    if request.get("nonce").is_some_and(|nonce| nonce.len() > MAX_OPAQUE_BYTES) {
        return refuse("invalid_request", "nonce is too long");
    }
    match request.get("state") {
        Some(state) if state.len() <= MAX_OPAQUE_BYTES => Ok(state),
        Some(_) => refuse("invalid_request", "state is too long"),
        None => refuse("invalid_request", "state is missing"),
    }
}

/// RFC 7636 section 4.3; of all clients, not just public ones.
fn challenge(request: &Request) -> Result<&str, Refusal> {
    let refuse = |description: &str| Err(Refusal::new("invalid_request", description));
    if request.get("code_challenge_method") != Some("S256") {
        return refuse("code_challenge_method must be S256");
    }
    let sound = |text: &&str| {
        text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    match request.get("code_challenge").filter(sound) {
        Some(challenge) => Ok(challenge),
        None => refuse("code_challenge must be a SHA-256 in base64url"),
    }
}

/// `prompt` and `max_age` of OpenID Connect Core section 3.1.2.1.
struct Prompt {
    none: bool,
    login: bool,
    max_age_s: Option<i64>,
}

impl Prompt {
    fn read(request: &Request) -> Result<Prompt, Refusal> {
        let words: Vec<&str> = request.get("prompt").unwrap_or_default().split(' ').collect();
        let known = ["none", "login", "consent", "select_account", ""];
        let none = words.contains(&"none");
        if words.iter().any(|word| !known.contains(word)) || (none && words.len() > 1) {
            return Err(Refusal::new(
                "invalid_request",
                "prompt is none, or of login, consent, select_account",
            ));
        }
        let max_age_s = request.get("max_age").map(|age| age.parse::<u32>().map(i64::from)).transpose();
        let max_age_s = max_age_s.map_err(|_| Refusal::new("invalid_request", "max_age must be seconds"))?;
        let login = words.contains(&"login") || words.contains(&"select_account");
        Ok(Prompt { none, login, max_age_s })
    }

    fn login_after_s(&self, now_s: i64) -> i64 {
        let age_s = if self.login { Some(0) } else { self.max_age_s };
        age_s.map_or(0, |age_s| now_s - age_s)
    }
}
