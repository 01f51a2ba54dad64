//! The requests of Bulk Data export (<https://hl7.org/fhir/uv/bulkdata/STU2/export.html>): the kick-off, which is an operation below the
//! base, and the status and files of a job, at paths of their own: `/fhir/bulk/JOB` and `/fhir/bulk/JOB/FILE`.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bulk::{Job, Kickoff, State};
use bytes::Bytes;
use fhirpath::{Issue, IssueType};
use interaction::{Caller, Handling};
use store::{Access, Permission, Timestamp};

use super::bearer::Known;
use super::headers::Prefer;
use super::negotiate::Format;
use super::refusal::Refusal;
use super::route::{self, Interaction, Shape, Target};
use super::{App, Exchange, audited, bearer, browser, date, file, respond};
use crate::authorization::Holder;
use crate::export::{self, Found};
use crate::tenants::Site;

/// Below the base.
pub(super) const JOB: &str = "/bulk/{job}";
/// Below the base.
pub(super) const FILE: &str = "/bulk/{job}/{file}";
/// Below the base: what is published.
pub(super) const PUBLISHED: &str = "/$bulk-publish";
/// The same as some clients write it.
pub(super) const PUBLISHED_ENCODED: &str = "/%24bulk-publish";
/// In place of a file: what an export of views came to.
const RESULT: &str = "result";

/// When to ask again for a job under way, seconds.
pub(super) const POLL_S: u32 = 1;
/// When to come again for one that may not begin yet, seconds.
pub(super) const BUSY_S: u32 = 10;
pub(super) const PROGRESS: HeaderName = HeaderName::from_static("x-progress");

/// Who asks.
pub(super) struct Who<'r> {
    /// As whom.
    pub(super) caller: &'r Caller,
    /// By whose token; `None` on a server that is open to all, and for the program's own commands.
    pub(super) holder: Option<&'r Holder>,
}

/// As whom a request about jobs of an operation is answered: `None` on a server that is open to all. It is told to the audit log.
///
/// # Errors
/// As [`bearer::caller`] and [`bearer::held`].
pub(super) async fn known<'s>(
    app: &App,
    site: &'s Arc<Site>,
    head: &Parts,
    exchange: &mut Exchange,
    operation: &str,
) -> Result<Option<Known<'s>>, Refusal> {
    exchange.interaction = Some(Interaction::Operation);
    if app.audit.is_some() {
        let target = Target { shape: Shape::SystemOperation, resource_type: "", id: "", last: operation };
        exchange.asked = audited::Asked::of(site, Interaction::Operation, &target, head);
    }
    let Some(authority) = &site.authority else { return Ok(None) };
    let known = bearer::caller(app, site, authority, &head.headers).await?;
    if let (Some(asked), Some(holder)) = (&mut exchange.asked, known.holder()) {
        asked.holder = Some(Arc::clone(holder));
    }
    bearer::held(&known)?;
    Ok(Some(known))
}

impl<'r> Who<'r> {
    /// Of a request at a site.
    pub(super) fn of(site: &'r Site, known: Option<&'r Known<'_>>) -> Who<'r> {
        let holder = known.and_then(|known| known.holder()).map(|holder| &**holder);
        Who { caller: known.map_or(&site.caller, |known| known), holder }
    }

    /// Who has to ask again for a job to see it. Nobody says who they are on a server that is open to all.
    pub(super) fn owner(&self) -> String {
        self.holder.map(|holder| holder.rights.owner()).unwrap_or_default()
    }

    /// As whom groups are looked at. A backend service asks for the scopes of what it exports, seldom for Group's: which groups
    /// there are and who is in them is then no secret to it, as it may see all patients alike.
    fn of_groups(&self) -> Caller {
        let is_backend = self.holder.is_some_and(|holder| holder.user.is_none());
        let caller = self.caller.clone();
        match is_backend && !caller.access.permits(Permission::Read, "Group") {
            true => Caller { access: Access::unrestricted(), ..caller },
            false => caller,
        }
    }

    /// What the job may see when this process is gone, and as whom it writes.
    pub(super) fn rights(&self) -> Option<String> {
        // Rights that cannot be read are none.
        self.holder.map(|holder| serde_json::to_string(&holder.rights).unwrap_or_default())
    }
}

/// A kick-off request.
pub(super) struct Asked<'r> {
    /// The operation's name.
    pub(super) operation: &'r str,
    /// The type and id that it is of.
    pub(super) target: (&'r str, &'r str),
    /// The URL's parameters.
    pub(super) parameters: Vec<(String, String)>,
    /// A POST's Parameters, JSON.
    pub(super) body: Option<Vec<u8>>,
    /// Path and query as they were sent.
    pub(super) address: &'r str,
}

/// Begins an export: 202, and where to ask for it.
///
/// # Errors
/// 400 for what is asked wrongly, 404 for a group that there is not, 429 for one export too many.
pub(super) async fn kick_off(
    app: &App,
    site: &Site,
    who: &Who<'_>,
    headers: &HeaderMap,
    asked: Asked<'_>,
) -> Result<Response, Refusal> {
    if !prefers_async(headers) {
        let details = "An export runs in the background: send the header Prefer: respond-async.";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, IssueType::Required, details).at("http.Prefer"));
    }
    if asked.operation == export::VIEWS_NAME {
        return kick_off_views(app, site, who, asked).await;
    }
    let level = export::level(asked.operation, asked.target.0, asked.target.1)?;
    let is_post = asked.body.is_some();
    let mut parameters = asked.parameters;
    if let Some(body) = &asked.body {
        let json = serde_json::from_slice(body).map_err(|_| {
            Refusal::new(StatusCode::BAD_REQUEST, IssueType::Structure, "The body is no JSON.")
        })?;
        parameters.extend(bulk::of_body(&json).map_err(Refusal::bad_request)?);
    }
    let lenient = Prefer::read(headers).handling == Handling::Lenient;
    let types = export::types(&site.service);
    let documented = asked.operation == export::EHI_NAME;
    let kickoff = Kickoff { level, parameters, is_post, lenient, documented, types: &types };
    let request = kickoff.read().map_err(Refusal::bad_request)?;
    let (job, status_url) = begin(app, site, who, request, asked.address).await?;
    Ok(located(accepted(&job.request.ignored), &status_url))
}

/// The same for the rows of views.
async fn kick_off_views(
    app: &App,
    site: &Site,
    who: &Who<'_>,
    asked: Asked<'_>,
) -> Result<Response, Refusal> {
    if let Some((name, _)) = asked.parameters.first() {
        let details = format!("{name} is taken in a Parameters resource, by POST.");
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, IssueType::NotSupported, details);
        return Err(refusal.at(&format!("http.{name}")));
    }
    let types = export::types(&site.service);
    let body = asked.body.as_deref().unwrap_or(br#"{"resourceType":"Parameters"}"#);
    let request = export::read_views(&site.service, body, &types)?;
    let (job, status_url) = begin(app, site, who, request, asked.address).await?;
    let views = job.request.views.as_ref().ok_or_else(Refusal::internal)?;
    let body = export::views_accepted(&job.id, views, &status_url).to_string().into();
    Ok(located(respond::body(StatusCode::ACCEPTED, Format::Json.content_type(), body), &status_url))
}

/// Begins a job: it, and the URL of its status.
async fn begin(
    app: &App,
    site: &Site,
    who: &Who<'_>,
    request: bulk::Request,
    address: &str,
) -> Result<(Job, String), Refusal> {
    let (id, url) = (uuid::Uuid::new_v4().simple().to_string(), request_url(site, address));
    let (caller, of_groups) = (who.caller, who.of_groups());
    let (job, patients) = export::begin(&site.service, caller, &of_groups, request, url, id.clone()).await?;
    let job = Job { owner: who.owner(), rights: who.rights(), ..job };
    let begun = app.exporter.begin(&site.service, who.caller, job.clone(), patients).map_err(broken)?;
    if let Err(too_many) = begun {
        let details = format!(
            "{} exports of yours are under way, and more are not begun (max_exports); wait for one, or DELETE it.",
            too_many.most
        );
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, IssueType::Throttled, details);
        return Err(refusal.retry_after(BUSY_S));
    }
    let status_url = export::files_url(&site.service.base, &id);
    Ok((job, status_url))
}

/// With where to ask how it is going.
fn located(mut response: Response, status_url: &str) -> Response {
    let location = HeaderValue::try_from(status_url);
    response.headers_mut().extend(location.map(|location| (header::CONTENT_LOCATION, location)));
    response
}

/// Whether the client asks for a job.
pub(super) fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|text| text.split([',', ';'])).map(str::trim);
    preferences.any(|preference| preference.eq_ignore_ascii_case("respond-async"))
}

/// The request's URL as its client knows it.
fn request_url(site: &Site, address: &str) -> String {
    let (_, below) = route::below_base(address);
    format!("{}{below}", site.service.base)
}

/// 202, with warnings of what was left out.
fn accepted(ignored: &[String]) -> Response {
    if ignored.is_empty() {
        return respond::empty(StatusCode::ACCEPTED);
    }
    let warning = |details: &String| Issue {
        severity: fhirpath::Severity::Warning,
        ..Issue::error(IssueType::NotSupported, details.clone())
    };
    let issues: Vec<Issue> = ignored.iter().map(warning).collect();
    let body = interaction::outcome_body(&issues);
    respond::body(StatusCode::ACCEPTED, Format::Json.content_type(), body)
}

fn broken(error: std::io::Error) -> Refusal {
    tracing::error!(%error, "an export's files cannot be used");
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            let details = "The server has no room for an export.";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::NoStore, details).retry_after(BUSY_S)
        }
        _ if bulk::is_unreachable(&error) => {
            let details = "The store of the files of exports cannot be reached now; ask again.";
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::Transient, details);
            refusal.retry_after(BUSY_S)
        }
        _ => Refusal::internal(),
    }
}

/// Answers a request for a job or a file.
///
/// # Errors
/// 401 without a token where one is needed, 404 for what is not there (any more), or is another's.
pub(super) async fn answer(
    app: &App,
    request: Request,
    exchange: &mut Exchange,
) -> Result<Response, Refusal> {
    let (head, _) = request.into_parts();
    let path = head.uri.path().to_owned();
    let (tenant, below) = route::below_base(&path);
    let mut parts = below.trim_start_matches("/bulk/").split('/');
    let is_manifest = [PUBLISHED, PUBLISHED_ENCODED].contains(&below);
    let (id, name) = (parts.next().unwrap_or_default(), parts.next());
    let is_published = is_manifest || id.starts_with(export::PUBLISHED);
    exchange.template = match name {
        _ if is_manifest => PUBLISHED,
        Some(_) => FILE,
        None => JOB,
    };
    exchange.is_safe = head.method != Method::DELETE;
    let site = app.site(tenant, &head.headers)?;
    exchange.site = Some(Arc::clone(&site));
    let methods = if name.is_some() || is_published { "GET, HEAD" } else { "DELETE, GET, HEAD" };
    if head.method == Method::OPTIONS {
        return Ok(browser::options(methods));
    }
    if is_published {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return Err(wrong_method(exchange.template, methods));
        }
        exchange.interaction = Some(Interaction::Operation);
        return match name {
            _ if is_manifest => published(app, &site, &head.headers),
            Some(name) => {
                let opened = app.exporter.open_published(&site.caller.tenant, id, name).map_err(broken)?;
                let (reading, length) = opened.ok_or_else(no_job)?;
                file::send(reading, (length, file::media_type(name)), &head.method, &head.headers)
                    .map_err(broken)
            }
            None => Err(no_job()),
        };
    }
    let known = known(app, &site, &head, exchange, export::NAME).await?;
    let who = Who::of(&site, known.as_ref());
    let tenant = &who.caller.tenant;
    match (head.method.as_str(), name) {
        ("GET" | "HEAD", None) => status(app, &site, &who, id, false),
        ("GET" | "HEAD", Some(RESULT)) => status(app, &site, &who, id, true),
        ("DELETE", None) => match app.exporter.remove(tenant, &who.owner(), id).map_err(broken)? {
            true => Ok(respond::empty(StatusCode::ACCEPTED)),
            false => Err(no_job()),
        },
        ("GET" | "HEAD", Some(name)) => {
            let opened = app.exporter.open(tenant, &who.owner(), id, name).map_err(broken)?;
            let (reading, length) = opened.ok_or_else(no_job)?;
            file::send(reading, (length, file::media_type(name)), &head.method, &head.headers).map_err(broken)
        }
        _ => Err(wrong_method(exchange.template, methods)),
    }
}

fn wrong_method(template: &str, methods: &str) -> Refusal {
    let details = format!("{template} takes {methods}.");
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, IssueType::NotSupported, details);
    refusal.allow(methods.to_owned())
}

/// The manifest of what is published now; who has it already is told so. Needs no token.
fn published(app: &App, site: &Site, headers: &HeaderMap) -> Result<Response, Refusal> {
    let published = app.exporter.published();
    if !published.is_any() {
        let details = "This server publishes nothing (publish_types).";
        return Err(Refusal::new(StatusCode::NOT_FOUND, IssueType::NotSupported, details));
    }
    let Some(job) = app.exporter.newest_published(&site.caller.tenant).map_err(broken)? else {
        let details = "What is to be published is being made; ask again.";
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::Transient, details);
        return Err(refusal.retry_after(POLL_S));
    };
    let etag = format!("W/\"{}\"", job.id);
    let known = headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|text| text.split(',')).any(|tag| tag.trim() == etag);
    let mut response = match is_known {
        true => respond::empty(StatusCode::NOT_MODIFIED),
        false => {
            let base = export::files_url(&site.service.base, &job.id);
            let mut manifest = bulk::manifest(&job, &base, &Timestamp(job.snapshot_ms).to_string(), false);
            if let Some(members) = manifest.as_object_mut() {
                let cadence = format!("PT{}S", published.every_s());
                members.insert("updateCadence".to_owned(), cadence.into());
                members.insert("request".to_owned(), format!("{}{PUBLISHED}", site.service.base).into());
            }
            let json = HeaderValue::from_static("application/json");
            respond::body(StatusCode::OK, json, manifest.to_string().into())
        }
    };
    let map = response.headers_mut();
    map.extend(HeaderValue::try_from(etag).map(|etag| (header::ETAG, etag)));
    map.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=10"));
    Ok(response)
}

fn no_job() -> Refusal {
    let details =
        "There is no such export, or file of one: it was cancelled, its time is over, or it never was.";
    Refusal::new(StatusCode::NOT_FOUND, IssueType::NotFound, details)
}

/// 202, with how far it is.
fn under_way(written: u64, is_waiting: bool) -> Response {
    let mut response = respond::empty(StatusCode::ACCEPTED);
    let (waits, pause_s) = match is_waiting {
        true => ("waiting until its files can be written again, ", BUSY_S),
        false => ("", POLL_S),
    };
    let map = response.headers_mut();
    map.insert(header::RETRY_AFTER, pause_s.into());
    let progress = HeaderValue::try_from(format!("{waits}{written} resources written"));
    map.extend(progress.map(|progress| (PROGRESS, progress)));
    response
}

/// How a job stands, or what it came to: of an export of views that is elsewhere.
fn status(app: &App, site: &Site, who: &Who<'_>, id: &str, is_result: bool) -> Result<Response, Refusal> {
    let found = app.exporter.find(&who.caller.tenant, &who.owner(), id).map_err(broken)?;
    let job = match found.ok_or_else(no_job)? {
        Found::Active { .. } if is_result => return Err(no_job()),
        Found::Active { written, is_waiting } => return Ok(under_way(written, is_waiting)),
        Found::Ended(job) => job,
    };
    let base = export::files_url(&site.service.base, id);
    let mut response = match (job.state, &job.outcome) {
        _ if job.request.views.is_some() != is_result => {
            if is_result {
                return Err(no_job());
            }
            let mut response = respond::empty(StatusCode::SEE_OTHER);
            let location = HeaderValue::try_from(format!("{base}/{RESULT}"));
            response.headers_mut().extend(location.map(|location| (header::LOCATION, location)));
            response
        }
        (State::Complete, _) if is_result => {
            let views = job.request.views.as_ref().ok_or_else(Refusal::internal)?;
            let body = export::views_result(&job, views, &base).to_string().into();
            respond::body(StatusCode::OK, Format::Json.content_type(), body)
        }
        (State::Complete, _) => {
            let time = Timestamp(job.snapshot_ms).to_string();
            let manifest = bulk::manifest(&job, &base, &time, site.authority.is_some());
            let json = HeaderValue::from_static("application/json");
            respond::body(StatusCode::OK, json, manifest.to_string().into())
        }
        (_, outcome) => {
            let bytes = Bytes::from(outcome.clone().unwrap_or_default());
            respond::body(StatusCode::INTERNAL_SERVER_ERROR, Format::Json.content_type(), bytes)
        }
    };
    let expires = job.ended_ms.map(|ended| Timestamp(ended.saturating_add(app.exporter.keep_ms())));
    if let Some(expires) = expires.and_then(date::header) {
        response.headers_mut().insert(header::EXPIRES, expires);
    }
    Ok(response)
}
