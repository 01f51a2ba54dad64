//! HTTP (<https://hl7.org/fhir/R4/http.html>): a request is taken apart, given to an interaction, and its outcome sent.
//! Decides nothing about resources.
//!
//! A read passes through: `router` (which part of the site), `App::answer` (number, metrics, panics, guard), `fhir` (which
//! interaction), `respond` (headers and the stored bytes).

pub(crate) mod admin;
mod audited;
mod bearer;
mod body;
mod browser;
mod date;
mod encoding;
mod evaluate;
mod export;
mod fhir;
mod file;
mod headers;
mod import;
pub mod json;
mod limit;
pub mod listen;
pub mod log;
pub(crate) mod long;
pub mod metrics;
mod negotiate;
mod oauth;
pub mod parameters;
mod proxy;
mod ready;
mod refusal;
mod respond;
pub mod route;
mod router;
mod site;
pub mod tls;
mod xml;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{HeaderMap, HeaderValue};
use axum::response::Response;
use conformance::UsCore;
use fhirpath::{IssueType, Schema};
use interaction::Service;
use store::units::Ledger;

use crate::audit::Audit;
use crate::authorization::Authorization;
use crate::brand::Brand;
use crate::bulk_import::Importer;
use crate::config::{Config, Networks};
use crate::export::Exporter;
use crate::open::BASE_PATH;
use crate::page;
use crate::tenants::directory::Evidence;
use crate::tenants::watch::Alarm;
use crate::tenants::{Directory, Site, Table};
use metrics::Metrics;
use negotiate::Format;
use refusal::Refusal;
use route::Interaction;
use router::Place;

/// The server as requests see it.
pub struct App {
    /// What is served.
    pub directory: Directory,
    /// Rung when a tenant may have moved.
    pub alarm: Alarm,
    /// For what is answered before it is known whose records a request is about.
    schema: Arc<Schema>,
    /// Whether requests cost request units.
    is_metered: bool,
    readiness: ready::Readiness,
    /// The counters.
    pub metrics: Metrics,
    /// What is told of every interaction.
    pub audit: Option<Audit>,
    /// The export jobs.
    pub exporter: Arc<Exporter>,
    /// The import jobs.
    pub importer: Arc<Importer>,
    guard: browser::Guard,
    brand: Option<Brand>,
    us_core: UsCore,
    proxies: Networks,
    limits: limit::Limits,
    admin: admin::Secret,
    max_body_bytes: usize,
    bodies: body::Budget,
    max_url_bytes: usize,
    request_timeout: Duration,
    stopping: AtomicBool,
    started: Instant,
    /// Request ids: random for the process, then counted.
    request_prefix: u32,
    request_count: AtomicU64,
}

/// What is known of a request while it is answered.
pub(crate) struct Exchange {
    /// Once it is known whose records it is about.
    site: Option<Arc<Site>>,
    /// What it costs, where that is counted.
    meter: Option<Meter>,
    interaction: Option<Interaction>,
    /// Whether nothing is changed by it, whatever comes.
    is_safe: bool,
    template: &'static str,
    format: Format,
    pretty: bool,
    /// Path and query, for pages.
    address: String,
    /// For the audit log, where there is one.
    asked: Option<Box<audited::Asked>>,
}

/// What a request costs. Counted when it is dropped, also where the client has gone before the answer.
struct Meter {
    ledger: Ledger,
    site: Arc<Site>,
    interaction: Interaction,
}

impl Drop for Meter {
    fn drop(&mut self) {
        let Site { usage, budget, service, .. } = &*self.site;
        usage.charge(self.interaction, self.ledger.units(), *budget, (service.clock)());
    }
}

impl Exchange {
    /// The FHIR base URL of the tenant, and its path on this server.
    fn base<'e>(&'e self, app: &'e App) -> page::Base<'e> {
        match &self.site {
            Some(site) => page::Base { url: &site.service.base, path: &site.path },
            None => page::Base { url: app.base(), path: BASE_PATH },
        }
    }

    /// The schema of the tenant.
    fn schema<'e>(&'e self, app: &'e App) -> &'e Arc<Schema> {
        self.site.as_ref().map_or(&app.schema, |site| &site.service.definitions.schema)
    }
}

impl App {
    /// A server of these parts, listening on `address`.
    pub fn new(
        service: Service,
        table: Option<&Table>,
        authorization: Option<Authorization>,
        audit: Option<Audit>,
        exporter: Exporter,
        config: &Config,
        address: SocketAddr,
    ) -> App {
        let guard = browser::Guard::new(config, address, &service.base);
        let random = uuid::Uuid::new_v4().as_u128();
        let exporter = Arc::new(exporter);
        let importer = Arc::new(Importer::new(config));
        let authorization =
            authorization.map(|server| server.showing(Arc::clone(&exporter), Arc::clone(&importer)));
        App {
            schema: Arc::clone(&service.definitions.schema),
            is_metered: service.store.is_metered(),
            directory: Directory::new(service, table, authorization),
            alarm: Alarm::default(),
            readiness: ready::Readiness::default(),
            metrics: Metrics::default(),
            audit,
            exporter,
            importer,
            guard,
            brand: Brand::of(config),
            us_core: config.us_core,
            proxies: config.trusted_proxies.clone(),
            limits: limit::Limits::new(config),
            admin: admin::Secret::new(),
            max_body_bytes: config.max_body_bytes,
            bodies: body::Budget::new(config.max_bodies_bytes),
            max_url_bytes: config.max_url_bytes,
            request_timeout: Duration::from_secs(config.request_timeout_s),
            stopping: AtomicBool::new(false),
            started: Instant::now(),
            request_prefix: u32::try_from(random >> 96).unwrap_or_default(),
            request_count: AtomicU64::new(0),
        }
    }

    /// The FHIR base URL.
    pub fn base(&self) -> &str {
        self.directory.base()
    }

    /// The tenant's site that a request is for: `path` names the tenant, where the URL does.
    fn site(&self, path: Option<&str>, headers: &HeaderMap) -> Result<Arc<Site>, Refusal> {
        let host = headers.get(axum::http::header::HOST).and_then(|host| host.to_str().ok());
        let evidence = Evidence { path, host: host.map(browser::host_name), claim: None };
        Ok(self.directory.site(evidence)?)
    }

    /// What authorises the commands of this program on the same data directory.
    pub fn admin_token(&self) -> &str {
        self.admin.token()
    }

    /// From now on the server is not ready.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.exporter.stop();
        self.importer.stop();
    }

    /// Answers a request, whatever happens.
    async fn answer(&self, place: Place, mut request: Request) -> Response {
        let started = Instant::now();
        if !self.proxies.is_empty()
            && let Some(&oauth::Peer(peer)) = request.extensions().get()
        {
            let origin = proxy::origin(&self.proxies, peer, request.headers());
            request.extensions_mut().insert(oauth::Peer(origin));
        }
        let id = self.request_id(request.headers());
        let cors = self.guard.cors(request.headers(), place);
        // Pages that log in hold secrets beside what a request said: their length must not tell of either.
        let coding = match place {
            Place::Authorization(_) => None,
            _ => encoding::accepted(request.headers()),
        };
        let mut exchange = Exchange {
            site: None,
            meter: None,
            interaction: None,
            is_safe: false,
            template: "",
            format: Format::Json,
            pretty: false,
            address: String::new(),
            asked: None,
        };
        let answered = catch(self.dispatch(place, request, &mut exchange)).await;
        let mut response = match answered {
            Some(Ok(response)) => response,
            Some(Err(refusal)) => respond::refusal(self, &exchange, refusal),
            None => {
                self.metrics.panics.fetch_add(1, Ordering::Relaxed);
                respond::refusal(self, &exchange, Refusal::internal())
            }
        };
        if let Some(coding) = coding {
            response = Box::pin(encoding::encode(coding, response)).await;
        }
        if let Some(origin) = cors {
            browser::allow(response.headers_mut(), origin);
        }
        if let Some(meter) = &exchange.meter
            && let Ok(charge) = HeaderValue::try_from(format!("{:.2}", meter.ledger.units()))
        {
            response.headers_mut().insert(respond::REQUEST_CHARGE, charge);
        }
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            // The tenant may be elsewhere by now.
            self.alarm.ring();
        }
        if let Some(id) = id {
            response.headers_mut().insert(respond::REQUEST_ID, id);
        }
        if let (Some(audit), Some(asked)) = (&self.audit, exchange.asked.take()) {
            let (tenant, event) = asked.event(&response, (self.directory.service().clock)().0);
            Box::pin(audit.log.record(&tenant, event)).await;
        }
        let took = started.elapsed();
        self.metrics.count(exchange.interaction, response.status(), took);
        record(&exchange, &response, took);
        response
    }

    /// The client's id for the request, if it is a plain one, else ours.
    fn request_id(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if let Some(given) = headers.get(respond::REQUEST_ID)
            && (1..=64).contains(&given.len())
            && given.as_bytes().iter().all(plain)
        {
            return Some(given.clone());
        }
        let count = self.request_count.fetch_add(1, Ordering::Relaxed);
        let number = (u64::from(self.request_prefix) << 32) | (count & 0xffff_ffff);
        let mut text = [0_u8; 16];
        for (slot, shift) in text.iter_mut().zip((0..16).rev()) {
            let digit = u32::try_from((number >> (shift * 4)) & 15).unwrap_or(0);
            *slot = char::from_digit(digit, 16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(b'0');
        }
        HeaderValue::from_bytes(&text).ok()
    }

    async fn dispatch(
        &self,
        place: Place,
        request: Request,
        exchange: &mut Exchange,
    ) -> Result<Response, Refusal> {
        let uri = request.uri();
        let length = uri.path().len() + uri.query().map_or(0, str::len);
        if length > self.max_url_bytes {
            let details = format!(
                "The URL has {length} bytes; {} are read. Search with POST to _search instead.",
                self.max_url_bytes
            );
            return Err(Refusal::new(StatusCode::URI_TOO_LONG, IssueType::TooLong, details));
        }
        self.guard.check(&request, place, |host| self.directory.has_host(host))?;
        if let (Place::Fhir | Place::Authorization(_) | Place::Export | Place::Import, Some(peer)) =
            (place, request.extensions().get::<oauth::Peer>())
        {
            self.limits.address(peer.0)?;
        }
        // Futures but a read's are boxed, so that what is made for each request stays small.
        match place {
            Place::Fhir => fhir::answer(self, request, exchange).await,
            Place::Site(part) => Box::pin(site::answer(self, part, request, exchange)).await,
            Place::Authorization(route) => {
                let answered = Box::pin(oauth::answer(self, route, request, exchange));
                let timed = tokio::time::timeout(self.request_timeout, answered).await;
                timed.unwrap_or_else(|_| Err(Refusal::internal()))
            }
            Place::Export => Box::pin(export::answer(self, request, exchange)).await,
            Place::Import => Box::pin(import::answer(self, request, exchange)).await,
            Place::WrongMethod(_) | Place::Nowhere => Err(site::refuse(place, &request, exchange)),
        }
    }
}

/// Runs a future to its end; `None` if it panics. What it shares with others is behind locks that do not outlive a panic, or
/// atomic.
async fn catch<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// A line of the log: the route's form, never the URL itself.
fn record(exchange: &Exchange, response: &Response, took: Duration) {
    let status = response.status();
    let level_is_error = status.is_server_error();
    if !level_is_error && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let id = response.headers().get(respond::REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    let interaction = exchange.interaction.map_or("none", Interaction::name);
    let route = exchange.template;
    let (status, us) = (status.as_u16(), took.as_micros());
    if level_is_error {
        tracing::error!(interaction, route, status, us, id, "request");
    } else {
        tracing::debug!(interaction, route, status, us, id, "request");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_caught() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(catch(async { 1 })), Some(1));
        std::panic::set_hook(Box::new(|_| ()));
        let broken: Option<u8> = runtime.block_on(catch(async {
            tokio::task::yield_now().await;
            panic!("in a test")
        }));
        let _ = std::panic::take_hook();
        assert_eq!(broken, None);
    }
}
