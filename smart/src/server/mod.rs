//! The authorization server: one route at a time, each in a file of its own.

mod admin;
mod apps;
mod authorize;
mod client_authentication;
mod consent;
mod discovery;
mod error;
mod introspect;
mod launch;
mod login;
mod manage;
mod pick;
mod policy;
mod register;
mod revoke;
mod route;
mod session;
mod throttle;
mod token;
mod upstream;
mod verify;

use std::collections::HashMap;
use std::sync::Mutex;

use crate::config::Config;
use crate::event::{Event, EventKind, cleaned};
use crate::jwt::Jwks;
use crate::message::{Reply, Request};
use crate::services::Services;
use crate::storage::Records;

pub use apps::NO_ENCOUNTER;
pub use consent::{Offer, Part};
pub use discovery::CAPABILITIES;
pub use error::ServerError;
pub use launch::{LaunchError, LaunchRequest, Launched};
pub use manage::Granted;
pub use policy::Policies;
pub use route::Route;
pub use verify::{TokenError, Verified};

/// An authorization server for one FHIR base. It keeps nothing itself but what it fetched.
pub struct AuthorizationServer {
    config: Config,
    services: Services,
    /// By URL.
    fetched: Mutex<HashMap<String, KeysAt>>,
    /// What the identity provider says of itself.
    provider: Mutex<upstream::Kept>,
}

/// What a URL of keys gave.
#[derive(Clone, Default)]
struct KeysAt {
    /// When it was asked last, whatever came.
    asked_s: i64,
    /// What it gave last, and until when that is used without asking again.
    keys: Option<(i64, Jwks)>,
}

impl AuthorizationServer {
    /// Sets one up.
    pub fn new(config: Config, services: Services) -> AuthorizationServer {
        AuthorizationServer { config, services, fetched: Mutex::default(), provider: Mutex::default() }
    }

    /// How it is set up.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Answers a request. What fails inside is told to the log by [`ServerError`], and to the caller as 500.
    ///
    /// # Errors
    /// The store, the signer or the random numbers fail; nothing was granted then.
    pub async fn answer(&self, route: Route, request: &Request) -> Result<Reply, ServerError> {
        if !route.takes(request.post) {
            return Ok(Reply { status: 405, headers: Vec::new(), body: crate::message::Body::Empty }
                .with("Allow", route.methods().join(", ")));
        }
        if let Some(name) = request.over_limits() {
            let sentence = format!("The parameter {} is too long, or there are too many.", cleaned(name));
            return Ok(error::oauth(400, "invalid_request", &sentence));
        }
        match route {
            Route::SmartConfiguration => Ok(self.smart_configuration()),
            Route::OpenIdConfiguration => Ok(self.openid_configuration()),
            Route::Jwks => Ok(self.jwks()),
            Route::Style => Ok(crate::page::style()),
            Route::SmartStyle => Ok(crate::page::smart_style()),
            Route::Authorize => self.authorize(request).await,
            Route::Login => self.login(request).await,
            Route::Logout => self.logout(request).await,
            Route::Pick => self.pick(request).await,
            Route::Consent => self.consent(request).await,
            Route::Token => self.token(request).await,
            Route::Revoke => self.revoke(request).await,
            Route::Introspect => self.introspect(request).await,
            Route::Register => self.register(request).await,
            Route::Manage => self.manage(request).await,
            Route::Apps => self.apps(request).await,
            Route::Admin => self.admin(request).await,
            Route::Upstream => self.upstream(request).await,
            Route::UpstreamReturn => self.upstream_return(request).await,
        }
    }

    fn now_s(&self) -> i64 {
        self.services.clock.now_s()
    }

    fn records(&self) -> Records<'_> {
        Records { storage: &*self.services.storage, now_s: self.now_s() }
    }

    /// The URL of a route.
    fn url(&self, route: Route) -> String {
        format!("{}{}", self.config.issuer, route.path())
    }

    /// The path of a route, for links on pages.
    fn path(&self, route: Route) -> String {
        format!("{}{}", self.config.path(), route.path())
    }

    fn event(&self, kind: EventKind, request: &Request) -> Event {
        Event {
            kind,
            failure: None,
            client: None,
            user: None,
            patient: None,
            order: None,
            address: cleaned(&request.address),
            at_s: self.now_s(),
        }
    }

    fn record(&self, event: Event) {
        self.services.events.record(event);
    }
}
