//! The consent page: what the app asks for, each part of which the user can refuse or narrow; and the code that follows. What
//! is granted is always one of the offers, compared letter by letter.

mod offer;

use super::error::{Refusal, ServerError, Stop};
use super::session::Browser;
use super::{AuthorizationServer, Route};
use crate::event::EventKind;
use crate::message::{Reply, Request};
use crate::page::{self, Consenting};
use crate::record::{Code, Grant, Launch, Pending, SessionUser};
use crate::scope::{Meaning, ScopeSet};
use crate::secret::{digested, new_secret};
use crate::storage::{Condition, Stored as _};

pub use offer::{Offer, Part};

impl AuthorizationServer {
    pub(super) async fn consent(&self, request: &Request) -> Result<Reply, ServerError> {
        match self.consented(request).await {
            Ok(reply) => Ok(reply),
            Err(Stop::Refused(refusal)) => {
                Ok(page::refusal(self, refusal.status, "Not possible", &refusal.description))
            }
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    async fn consented(&self, request: &Request) -> Result<Reply, Stop> {
        let Some(browser) = self.known_browser(request).await? else { return Ok(page::lost(self)) };
        let Some((secret, mut pending)) = self.pending(request, &browser).await? else {
            return Ok(page::lost(self));
        };
        // Nobody skips a step by typing this page's address.
        let settled = match self.ready_user(&browser, &pending) {
            Some(user) => self.settle(&mut pending, user).await?,
            None => false,
        };
        let Some(user) = browser.session.user.clone().filter(|_| settled) else {
            return self.go_on(&secret, pending, &browser).await;
        };
        let scopes = ScopeSet::read(&pending.scopes).map(|(scopes, _)| scopes).unwrap_or_default();
        let offer = Offer::of(&scopes, &self.config.consent_types, |scope| self.can_hold_to(scope));
        if !request.post {
            let consenting = Consenting {
                secret: &secret,
                pending: &pending,
                user: &user,
                csrf: &browser.session.csrf,
                offer: &offer,
                path: self.path(Route::Consent),
            };
            return Ok(page::consent(self, &consenting));
        }
        if !browser.sent_form(request) {
            return Ok(page::forged(self));
        }
        // Taken, so that a form sent twice gives one code.
        self.services
            .storage
            .take(Pending::TABLE, &digested(&secret))
            .await?
            .ok_or_else(|| Refusal::new("invalid_request", "This was already answered."))?;
        let granted = if request.get("decision") == Some("allow") {
            offer.chosen(request)
        } else {
            ScopeSet::default()
        };
        self.decide(request, &pending, &browser, &user, granted).await
    }

    fn ready_user<'b>(&self, browser: &'b Browser, pending: &Pending) -> Option<&'b SessionUser> {
        let fresh = browser.session.authenticated_s >= pending.login_after_s;
        let meant = |user: &&SessionUser| pending.launch_user.as_ref().is_none_or(|sub| *sub == user.sub);
        browser.session.user.as_ref().filter(|_| fresh).filter(meant)
    }

    async fn decide(
        &self,
        request: &Request,
        pending: &Pending,
        browser: &Browser,
        user: &SessionUser,
        granted: ScopeSet,
    ) -> Result<Reply, Stop> {
        let mut event = self.event(EventKind::Consent, request);
        event.client = Some(pending.client_id.clone());
        event.user = Some(user.username.clone());
        event.patient.clone_from(&pending.context.patient);
        let launch_gone = match &pending.launch {
            Some(key) => self.services.storage.take(Launch::TABLE, key).await?.is_none(),
            None => false,
        };
        let refusal = if granted.is_empty() {
            Some(Refusal::new("access_denied", "the user did not allow it"))
        } else if launch_gone {
            Some(Refusal::new("access_denied", "launch was used"))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            event.failure = Some(refusal.description.clone());
            self.record(event);
            return Ok(self.refused(&pending.redirect_uri, Some(&pending.state), &refusal));
        }
        let code = self.new_code(pending, browser, user, &granted).await?;
        self.record(event);
        Ok(self.return_to(&pending.redirect_uri, Some(&pending.state), &[("code", &code)]))
    }

    async fn new_code(
        &self,
        pending: &Pending,
        browser: &Browser,
        user: &SessionUser,
        granted: &ScopeSet,
    ) -> Result<String, ServerError> {
        let now_s = self.now_s();
        let online = granted.has(&Meaning::OnlineAccess) && !granted.has(&Meaning::OfflineAccess);
        let grant = Grant {
            client_id: pending.client_id.clone(),
            client_name: pending.client_name.clone(),
            user: user.clone(),
            scopes: granted.to_string(),
            context: pending.context.clone(),
            patient_name: pending.patient_name.clone(),
            session: online.then(|| browser.key.clone()),
            launched: pending.launch.is_some(),
            granted_s: now_s,
            expires_s: now_s + self.config.refresh_lifetime_s,
        };
        let code = Code {
            redirect_uri: pending.redirect_uri.clone(),
            challenge: pending.challenge.clone(),
            nonce: pending.nonce.clone(),
            authenticated_s: browser.session.authenticated_s,
            grant_id: new_secret()?,
            grant,
            used: false,
            expires_s: now_s + self.config.code_lifetime_s,
        };
        let secret = new_secret()?;
        self.records().put(&digested(&secret), &code, Condition::Absent).await?;
        Ok(secret)
    }
}
