//! The router: which path of the site goes where. The FHIR base is one route with a wildcard; what is below it is taken apart
//! by the table of interactions ([`super::route`]), which also knows what a path cannot be.

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, any, on};

use super::{App, admin, export, import, oauth};
use crate::authorization::AUTH_PATH;
use crate::brand;
use crate::open::BASE_PATH;
use crate::page;

/// Where a request belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The FHIR base, of the host's tenant or below /t/TENANT, and all below it.
    Fhir,
    /// A route of an authorization server, below /auth or /t/TENANT/auth.
    Authorization(smart::Route),
    /// An export job below the base, or a file of one; what is published.
    Export,
    /// The kick-off of an import below the base, a job, or a file of one.
    Import,
    /// A path of the site.
    Site(Part),
    /// A path of the site with a method that it does not take.
    WrongMethod(Part),
    /// No path of ours.
    Nowhere,
}

/// What is served outside the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The first page.
    Root,
    /// Its search box.
    Find,
    /// The page that evaluates FHIRPath.
    Fhirpath,
    /// The page for testers.
    Inferno,
    /// The list of base URLs.
    ServiceBaseUrls,
    /// Whether the process lives.
    Healthz,
    /// Whether it takes requests.
    Readyz,
    /// The counters.
    Metrics,
    /// Backup, for `vesta backup`.
    Backup,
    /// How far a backup is behind, for `vesta drill`.
    Lag,
    /// Check, for `vesta check`.
    Check,
    /// Clients and users, for `vesta client` and `vesta user`.
    Registry,
    /// The audit log, for `vesta audit verify`.
    Audit,
    /// Jobs, for `vesta jobs`.
    Jobs,
}

impl Part {
    const ALL: [Part; 14] = [
        Part::Root,
        Part::Find,
        Part::Fhirpath,
        Part::Inferno,
        Part::ServiceBaseUrls,
        Part::Healthz,
        Part::Readyz,
        Part::Metrics,
        Part::Backup,
        Part::Lag,
        Part::Check,
        Part::Registry,
        Part::Audit,
        Part::Jobs,
    ];

    /// Its path, which is also its name in the log.
    pub(super) fn path(self) -> &'static str {
        match self {
            Part::Root => "/",
            Part::Find => "/find",
            Part::Fhirpath => page::FHIRPATH,
            Part::Inferno => page::INFERNO,
            Part::ServiceBaseUrls => brand::PATH,
            Part::Healthz => "/healthz",
            Part::Readyz => "/readyz",
            Part::Metrics => "/metrics",
            Part::Backup => admin::BACKUP,
            Part::Lag => admin::LAG,
            Part::Check => admin::CHECK,
            Part::Registry => admin::REGISTRY,
            Part::Audit => admin::AUDIT,
            Part::Jobs => admin::JOBS,
        }
    }

    /// The methods it takes, for `Allow`.
    pub(super) fn methods(self) -> &'static str {
        match self {
            Part::Backup | Part::Lag | Part::Check | Part::Registry | Part::Audit | Part::Jobs => "POST",
            Part::Fhirpath => "GET, HEAD, POST",
            _ => "GET, HEAD",
        }
    }

    fn routes(self, app: &Arc<App>) -> MethodRouter {
        let filter = match self {
            Part::Backup | Part::Lag | Part::Check | Part::Registry | Part::Audit | Part::Jobs => {
                MethodFilter::POST
            }
            Part::Fhirpath => MethodFilter::GET.or(MethodFilter::POST),
            // HEAD goes where GET goes.
            _ => MethodFilter::GET,
        };
        let at = |place| Endpoint { app: Arc::clone(app), place };
        on(filter, at(Place::Site(self))).fallback(at(Place::WrongMethod(self)))
    }
}

/// The routes of a server.
pub(super) fn router(app: &Arc<App>) -> Router {
    let site =
        Part::ALL.into_iter().fold(Router::new(), |router, part| router.route(part.path(), part.routes(app)));
    let at = |place| Endpoint { app: Arc::clone(app), place };
    let fhir = || any(at(Place::Fhir));
    let site = oauth::routes().fold(site, |router, route| {
        let path = format!("{AUTH_PATH}{}", route.path());
        let answered = || any(at(Place::Authorization(route)));
        router.route(&path, answered()).route(&format!("/t/{{tenant}}{path}"), answered())
    });
    let exports = || any(at(Place::Export));
    let imports = || any(at(Place::Import));
    let bases = [BASE_PATH.to_owned(), format!("/t/{{tenant}}{BASE_PATH}")];
    bases
        .iter()
        .fold(site, |router, base| {
            router
                .route(base, fhir())
                .route(&format!("{base}/"), fhir())
                .route(&format!("{base}{}", export::JOB), exports())
                .route(&format!("{base}{}", export::FILE), exports())
                .route(&format!("{base}{}", export::PUBLISHED), exports())
                .route(&format!("{base}{}", export::PUBLISHED_ENCODED), exports())
                .route(&format!("{base}{}", import::KICK_OFF), imports())
                .route(&format!("{base}{}", import::KICK_OFF_ENCODED), imports())
                .route(&format!("{base}{}", import::JOB), imports())
                .route(&format!("{base}{}", import::FILE), imports())
                .route(&format!("{base}/{{*below}}"), fhir())
        })
        .fallback(at(Place::Nowhere))
        // Handlers become services here, once, instead of with each request.
        .with_state(())
}

/// A route. Each is answered by [`App::answer`], refusals too, so that all are counted, logged and guarded alike.
#[derive(Clone)]
struct Endpoint {
    app: Arc<App>,
    place: Place,
}

impl Handler<(), ()> for Endpoint {
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn call(self, request: Request, (): ()) -> Self::Future {
        Box::pin(async move { self.app.answer(self.place, request).await })
    }
}
