//! The login page. Whoever logs in gets a new session; that somebody exists cannot be told from answers or their time.

use super::error::{ServerError, Stop};
use super::session::Browser;
use super::{AuthorizationServer, Route};
use crate::event::{EventKind, cleaned};
use crate::message::{Reply, Request};
use crate::page::{self, LoggingIn};
use crate::password;
use crate::record::{Pending, SessionUser, Used, User};
use crate::secret::digested;
use crate::storage::Condition;

/// The longest user name that is looked up, in bytes.
const MAX_USERNAME_BYTES: usize = 256;

impl AuthorizationServer {
    pub(super) async fn login(&self, request: &Request) -> Result<Reply, ServerError> {
        let browser = self.browser(request).await?;
        let pending = self.pending(request, &browser).await?;
        if pending.is_none() && request.get("request").is_some() {
            return Ok(page::lost(self));
        }
        if !request.post {
            let reply = self.login_page(&browser, pending.as_ref(), None, 200);
            return Ok(self.keep(&browser, reply));
        }
        if !browser.sent_form(request) {
            return Ok(self.keep(&browser, page::forged(self)));
        }
        let Some(user) = self.authenticated(request).await? else {
            let reply = self.login_page(&browser, pending.as_ref(), request.get("username"), 401);
            return Ok(self.keep(&browser, reply));
        };
        self.logged_in(user.session_user(), self.now_s(), &browser, pending).await
    }

    /// Gives a user who proved who they are, at a time, a new session, and goes on with what the browser was in the middle of.
    pub(super) async fn logged_in(
        &self,
        user: SessionUser,
        proved_s: i64,
        browser: &Browser,
        pending: Option<(String, Pending)>,
    ) -> Result<Reply, ServerError> {
        let known = self.new_browser(Some((user, proved_s))).await?;
        self.end(browser).await?;
        let reply = match pending {
            None => Reply::see_other(self.path(Route::Manage)),
            Some((secret, mut pending)) => {
                pending.session.clone_from(&known.key);
                self.put_pending(&secret, &pending).await?;
                match self.go_on(&secret, pending, &known).await {
                    Ok(reply) => reply,
                    Err(Stop::Refused(refusal)) => {
                        page::refusal(self, refusal.status, "Not possible", &refusal.description)
                    }
                    Err(Stop::Failed(error)) => return Err(error),
                }
            }
        };
        Ok(self.keep(&known, reply))
    }

    fn login_page(
        &self,
        browser: &Browser,
        pending: Option<&(String, Pending)>,
        failed: Option<&str>,
        status: u16,
    ) -> Reply {
        let logging_in = LoggingIn {
            secret: pending.map(|(secret, _)| secret.as_str()),
            pending: pending.map(|(_, pending)| pending),
            csrf: &browser.session.csrf,
            failed: status == 401,
            username: failed.or(pending.and_then(|(_, pending)| pending.login_hint.as_deref())),
            path: self.path(Route::Login),
            upstream: self.config.upstream.as_ref().map(|upstream| upstream.name.as_str()),
            upstream_path: self.path(Route::Upstream),
        };
        Reply { status, ..page::login(self, &logging_in) }
    }

    /// The user whose name, password and one-time code were sent. One password is hashed whatever is wrong, unless too many
    /// were tried.
    async fn authenticated(&self, request: &Request) -> Result<Option<User>, ServerError> {
        let mut event = self.event(EventKind::Login, request);
        let username = request.get("username").unwrap_or_default();
        event.user = Some(cleaned(username));
        let result = self.checked(request, username).await;
        event.failure = match &result {
            Ok(Ok(_)) => None,
            Ok(Err(reason)) => Some((*reason).to_owned()),
            Err(error) => Some(error.to_string()),
        };
        self.record(event);
        Ok(result?.ok())
    }

    async fn checked(
        &self,
        request: &Request,
        username: &str,
    ) -> Result<Result<User, &'static str>, ServerError> {
        if username.is_empty() || username.len() > MAX_USERNAME_BYTES {
            return Ok(Err("no user name"));
        }
        if self.is_locked(username, &request.address).await? {
            return Ok(Err("too many failures"));
        }
        self.count_attempt(username, &request.address).await?;
        let user = self.records().get::<User>(&User::key(username)).await?.filter(|user| user.enabled);
        // Who has no password signs in with the identity provider.
        let hash = user.as_ref().map(|user| user.password_hash.clone()).filter(|hash| !hash.is_empty());
        let hash = hash.unwrap_or_else(|| password::nobodys().to_owned());
        let password = request.all("password").next().unwrap_or_default().to_owned();
        let right = self.services.passwords.verify(hash, password).await;
        let Some(user) = user else { return Ok(Err("no such user")) };
        if !right {
            return Ok(Err("wrong password"));
        }
        if !self.one_time_code_counts(&user, request).await? {
            return Ok(Err("wrong one-time code"));
        }
        self.forget_failures(username).await?;
        Ok(Ok(user))
    }

    /// Each code counts once (RFC 6238 section 5.2).
    async fn one_time_code_counts(&self, user: &User, request: &Request) -> Result<bool, ServerError> {
        let Some(secret) = &user.totp_secret else { return Ok(true) };
        let code: String = request.get("code").unwrap_or_default().split(' ').collect();
        let Some(step) = password::totp_step(secret, &code, self.now_s()) else { return Ok(false) };
        let key = digested(&format!("totp {} {step}", user.sub));
        let used = Used { expires_s: self.now_s() + 600 };
        Ok(self.records().put(&key, &used, Condition::Absent).await?)
    }

    pub(super) async fn logout(&self, request: &Request) -> Result<Reply, ServerError> {
        let Some(browser) = self.known_browser(request).await? else { return Ok(page::lost(self)) };
        if !browser.sent_form(request) {
            return Ok(page::forged(self));
        }
        self.end(&browser).await?;
        let mut event = self.event(EventKind::Logout, request);
        event.user = browser.session.user.map(|user| user.username);
        self.record(event);
        let reply = Reply::see_other(self.path(Route::Login));
        Ok(reply.with("Set-Cookie", self.cookie("", 0)))
    }
}
