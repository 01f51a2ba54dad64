//! Browser sessions, and the authorization that a browser is in the middle of. A session gets a new secret at each login.

use super::AuthorizationServer;
use super::error::ServerError;
use crate::message::{Reply, Request};
use crate::record::{Pending, Session, SessionUser};
use crate::secret::{digested, new_secret, same};
use crate::storage::{Condition, Stored as _};

/// A session that is there, with what it is kept under.
pub(super) struct Browser {
    pub key: String,
    pub session: Session,
    /// The secret, if it was made just now: the browser must be told.
    pub fresh: Option<String>,
}

impl Browser {
    /// Whether a form brings back what the page had.
    pub fn sent_form(&self, request: &Request) -> bool {
        request.post && request.get("csrf").is_some_and(|csrf| same(csrf, &self.session.csrf))
    }
}

impl AuthorizationServer {
    /// The cookie that keeps a session. Its `__Host-` prefix keeps other hosts and plain http from setting it.
    pub fn cookie_name(&self) -> &'static str {
        if self.config.secure { "__Host-vesta-session" } else { "vesta-session" }
    }

    /// The browser's session; a new one if it has none.
    pub(super) async fn browser(&self, request: &Request) -> Result<Browser, ServerError> {
        if let Some(browser) = self.known_browser(request).await? {
            return Ok(browser);
        }
        self.new_browser(None).await
    }

    pub(super) async fn known_browser(&self, request: &Request) -> Result<Option<Browser>, ServerError> {
        let Some(secret) = request.session.as_deref().filter(|secret| secret.len() == 43) else {
            return Ok(None);
        };
        let key = digested(secret);
        let session = self.records().get::<Session>(&key).await?;
        Ok(session.map(|session| Browser { key, session, fresh: None }))
    }

    /// A session, of nobody or of a user who proved who they are at a time.
    pub(super) async fn new_browser(&self, user: Option<(SessionUser, i64)>) -> Result<Browser, ServerError> {
        let (secret, now_s) = (new_secret()?, self.now_s());
        let expires_s = now_s + self.config.session_lifetime_s;
        let (user, authenticated_s) = user.map_or((None, now_s), |(user, proved_s)| (Some(user), proved_s));
        let session = Session { csrf: new_secret()?, user, authenticated_s, expires_s };
        let key = digested(&secret);
        self.records().put(&key, &session, Condition::Always).await?;
        Ok(Browser { key, session, fresh: Some(secret) })
    }

    pub(super) async fn end(&self, browser: &Browser) -> Result<(), ServerError> {
        self.services.storage.take(Session::TABLE, &browser.key).await?;
        Ok(())
    }

    /// Adds the cookie if the browser does not have it yet.
    pub(super) fn keep(&self, browser: &Browser, reply: Reply) -> Reply {
        match &browser.fresh {
            Some(secret) => reply.with("Set-Cookie", self.cookie(secret, self.config.session_lifetime_s)),
            None => reply,
        }
    }

    pub(super) fn cookie(&self, secret: &str, age_s: i64) -> String {
        let secure = if self.config.secure { "; Secure" } else { "" };
        let name = self.cookie_name();
        format!("{name}={secret}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax{secure}")
    }

    /// The authorization that the parameter `request` names, if it is this browser's.
    pub(super) async fn pending(
        &self,
        request: &Request,
        browser: &Browser,
    ) -> Result<Option<(String, Pending)>, ServerError> {
        self.pending_of(request.get("request"), browser).await
    }

    /// The authorization of a secret, if it is this browser's.
    pub(super) async fn pending_of(
        &self,
        secret: Option<&str>,
        browser: &Browser,
    ) -> Result<Option<(String, Pending)>, ServerError> {
        let Some(secret) = secret else { return Ok(None) };
        let pending = self.records().get::<Pending>(&digested(secret)).await?;
        let own = pending.filter(|pending| same(&pending.session, &browser.key));
        Ok(own.map(|pending| (secret.to_owned(), pending)))
    }

    pub(super) async fn put_pending(&self, secret: &str, pending: &Pending) -> Result<(), ServerError> {
        self.records().put(&digested(secret), pending, Condition::Always).await?;
        Ok(())
    }
}
