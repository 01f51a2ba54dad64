//! The requests of bulk import: the kick-off `POST /fhir/$import`, whose body is a manifest of sources or the lines themselves, and the
//! status and errors of a job, at paths of their own: `/fhir/import/JOB` and `/fhir/import/JOB/FILE`. What `bulk::import` follows is
//! said there.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bulk::State;
use bulk::import::{ImportJob, ImportRequest, status as told};
use bytes::Bytes;
use fhirpath::IssueType;
use http_body_util::BodyExt as _;
use store::{Permission, Timestamp};

use super::export::{self, BUSY_S, POLL_S, PROGRESS, Who, prefers_async};
use super::negotiate::Format;
use super::parameters::Parameters;
use super::refusal::Refusal;
use super::route;
use super::{App, Exchange, browser, date, file, respond};
use crate::bulk_import::{self, Found};
use crate::tenants::Site;

/// Below the base.
pub(super) const KICK_OFF: &str = "/$import";
/// The same, as some clients write it.
pub(super) const KICK_OFF_ENCODED: &str = "/%24import";
/// Below the base.
pub(super) const JOB: &str = "/import/{job}";
/// Below the base.
pub(super) const FILE: &str = "/import/{job}/{file}";

/// A body that sends nothing for so long is given up.
const IDLE: Duration = Duration::from_secs(60);
/// Pieces of a body that wait to be written.
const WAITING: usize = 16;
const NDJSON: [&str; 3] = ["application/fhir+ndjson", "application/ndjson", "application/x-ndjson"];
const JSON: [&str; 2] = ["application/fhir+json", "application/json"];

/// Answers a request for an import.
///
/// # Errors
/// 401 without a token where one is needed, 403 for one that permits no changes, 404 for a job that is not there (any more), or is
/// another's, 429 for one import too many, and what is wrong with the request.
pub(super) async fn answer(
    app: &App,
    request: Request,
    exchange: &mut Exchange,
) -> Result<Response, Refusal> {
    let (head, incoming) = request.into_parts();
    let path = head.uri.path().to_owned();
    let (tenant, below) = route::below_base(&path);
    let place = Place::of(below);
    exchange.template = place.template();
    exchange.is_safe = matches!(head.method, Method::GET | Method::HEAD);
    let site = app.site(tenant, &head.headers)?;
    exchange.site = Some(Arc::clone(&site));
    let methods = place.methods();
    if head.method == Method::OPTIONS {
        return Ok(browser::options(methods));
    }
    let known = export::known(app, &site, &head, exchange, bulk_import::NAME).await?;
    let who = Who::of(&site, known.as_ref());
    let owner = who.owner();
    match (head.method.as_str(), place) {
        ("POST", Place::KickOff) => kick_off(app, &site, &who, &head, incoming).await,
        ("GET" | "HEAD", Place::Job(id)) => status(app, &site, &who, id),
        ("DELETE", Place::Job(id)) => {
            match app.importer.remove(&who.caller.tenant, &owner, id).map_err(broken)? {
                true => Ok(respond::empty(StatusCode::ACCEPTED)),
                false => Err(no_job()),
            }
        }
        ("GET" | "HEAD", Place::File(id, name)) => {
            let opened = app.importer.open(&who.caller.tenant, &owner, id, name).map_err(broken)?;
            let (reading, length) = opened.ok_or_else(no_job)?;
            file::send(reading, (length, file::NDJSON), &head.method, &head.headers).map_err(broken)
        }
        _ => {
            let details = format!("{} takes {methods}.", exchange.template);
            let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, IssueType::NotSupported, details);
            Err(refusal.allow(methods.to_owned()))
        }
    }
}

#[derive(Clone, Copy)]
enum Place<'p> {
    KickOff,
    Job(&'p str),
    File(&'p str, &'p str),
}

impl Place<'_> {
    fn of(below: &str) -> Place<'_> {
        match below.strip_prefix("/import/").map(|rest| rest.split_once('/').ok_or(rest)) {
            None => Place::KickOff,
            Some(Ok((id, name))) => Place::File(id, name),
            Some(Err(id)) => Place::Job(id),
        }
    }

    fn template(self) -> &'static str {
        match self {
            Place::KickOff => KICK_OFF,
            Place::Job(_) => JOB,
            Place::File(..) => FILE,
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Place::KickOff => "POST",
            Place::Job(_) => "DELETE, GET, HEAD",
            Place::File(..) => "GET, HEAD",
        }
    }
}

/// Begins an import: 202, and where to ask for it.
async fn kick_off(
    app: &App,
    site: &Arc<Site>,
    who: &Who<'_>,
    head: &Parts,
    incoming: Body,
) -> Result<Response, Refusal> {
    if !prefers_async(&head.headers) {
        let details = "An import runs in the background: send the header Prefer: respond-async.";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, IssueType::Required, details).at("http.Prefer"));
    }
    let is_upload = is_upload(&head.headers)?;
    let own = site.with_own_parameters().await?;
    let types: Vec<&str> = own.service.definitions.resource_types().iter().map(String::as_str).collect();
    let parameters = Parameters::read(head.uri.query())?.others;
    let (request, body) = if is_upload {
        (ImportRequest::uploaded(&parameters, &types).map_err(Refusal::bad_request)?, Some(incoming))
    } else {
        if let Some((name, _)) = parameters.first() {
            let details = "A manifest has its parameters in its body.";
            let refusal = Refusal::new(StatusCode::BAD_REQUEST, IssueType::NotSupported, details);
            return Err(refusal.at(&format!("http.{name}")));
        }
        let (bytes, _share) = app.bodies.collect(incoming, app.max_body_bytes).await?;
        (ImportRequest::read(&bytes, &types).map_err(Refusal::bad_request)?, None)
    };
    permitted(app, who, &request)?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let tenant = &who.caller.tenant;
    let admitted = app.importer.admit(tenant, &who.owner(), &id).map_err(|too_many| {
        let details = format!(
            "{} imports of yours are under way, and more are not begun (max_imports); wait for one, or DELETE it.",
            too_many.most
        );
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, IssueType::Throttled, details);
        refusal.retry_after(BUSY_S)
    })?;
    if let Some(incoming) = body {
        let file = admitted.receive().map_err(broken)?;
        receive(incoming, file, app.importer.max_source_bytes()).await?;
    }
    let url = format!("{}{KICK_OFF}", site.service.base);
    let now_ms = (site.service.clock)().0;
    let mut job = ImportJob::new(id.clone(), tenant.as_str().to_owned(), url, request, now_ms);
    (job.owner, job.rights, job.base) = (who.owner(), who.rights(), site.service.base.clone());
    admitted.begin(&own.service, who.caller, job).map_err(broken)?;
    let mut response = respond::empty(StatusCode::ACCEPTED);
    if let Ok(location) = HeaderValue::try_from(format!("{}/import/{id}", site.service.base)) {
        response.headers_mut().insert(header::CONTENT_LOCATION, location);
    }
    Ok(response)
}

/// Whether the body is lines; otherwise it is a manifest.
fn is_upload(headers: &HeaderMap) -> Result<bool, Refusal> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let coding = headers.get(header::CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
    let is_upload = NDJSON.contains(&media.as_str());
    if !is_upload && !JSON.contains(&media.as_str()) {
        let details = "Send the lines as application/fhir+ndjson, or a manifest of where they are as application/fhir+json.";
        let refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, IssueType::NotSupported, details);
        return Err(refusal.at("http.Content-Type"));
    }
    let is_plain = coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    // What is compressed so is known by its first bytes.
    if is_plain || (is_upload && coding.eq_ignore_ascii_case(b"gzip")) {
        return Ok(is_upload);
    }
    let details = "Lines may be sent in gzip; a manifest is sent as it is.";
    let refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, IssueType::NotSupported, details);
    Err(refusal.at("http.Content-Encoding"))
}

/// Refuses who may change nothing, sources of types that may not be changed, and URLs that may not be asked. What else is not
/// permitted is refused by line.
fn permitted(app: &App, who: &Who<'_>, request: &ImportRequest) -> Result<(), Refusal> {
    if !who.caller.access.permits_any(Permission::Update) {
        let details =
            "This access does not permit to change resources; an import needs a scope such as system/*.cu.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, IssueType::Forbidden, details));
    }
    let mut faults = Vec::new();
    for (number, input) in request.inputs.iter().enumerate() {
        if let Some(kind) = &input.resource_type {
            who.caller.require(Permission::Update, kind)?;
        }
        if let Some(url) = &input.url {
            let fault = bulk_import::permitted(url, app.importer.hosts()).err();
            faults.extend(fault.map(|issue| issue.at(format!("input[{number}].url"))));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Refusal::bad_request(faults)) }
}

/// Writes a body to a file, piece by piece.
async fn receive(mut incoming: Body, mut file: std::fs::File, max_bytes: u64) -> Result<(), Refusal> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Bytes>(WAITING);
    let writing = tokio::task::spawn_blocking(move || {
        while let Some(piece) = receiver.blocking_recv() {
            file.write_all(&piece)?;
        }
        file.sync_all()
    });
    let mut bytes = 0_u64;
    loop {
        let next = tokio::time::timeout(IDLE, incoming.frame()).await;
        let next = next.map_err(|_| ended("The body sent nothing for a minute."))?;
        let Some(frame) = next else { break };
        let frame = frame.map_err(|_| ended("The body ended before its announced length."))?;
        let Ok(piece) = frame.into_data() else { continue };
        bytes += piece.len() as u64;
        if bytes > max_bytes {
            let details = format!(
                "The body has more than the {max_bytes} bytes that are read (import_source_bytes); send several imports."
            );
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, IssueType::TooLong, details));
        }
        if sender.send(piece).await.is_err() {
            break;
        }
    }
    drop(sender);
    writing.await.map_err(|_| Refusal::internal())?.map_err(broken)
}

fn ended(details: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, IssueType::Invalid, details)
}

fn broken(error: std::io::Error) -> Refusal {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    tracing::error!(%error, "an import's files cannot be used");
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            let details = "The server has no room for this import; nothing of it was imported.";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::NoStore, details).retry_after(BUSY_S)
        }
        _ => Refusal::internal(),
    }
}

fn no_job() -> Refusal {
    let details =
        "There is no such import, or file of one: it was cancelled, its time is over, or it never was.";
    Refusal::new(StatusCode::NOT_FOUND, IssueType::NotFound, details)
}

fn status(app: &App, site: &Site, who: &Who<'_>, id: &str) -> Result<Response, Refusal> {
    let found = app.importer.find(&who.caller.tenant, &who.owner(), id).map_err(broken)?;
    let job = match found.ok_or_else(no_job)? {
        Found::Active(dealt_with) => {
            let mut response = respond::empty(StatusCode::ACCEPTED);
            let map = response.headers_mut();
            map.insert(header::RETRY_AFTER, POLL_S.into());
            if let Ok(progress) = HeaderValue::try_from(format!("{dealt_with} resources read")) {
                map.insert(PROGRESS, progress);
            }
            return Ok(response);
        }
        Found::Ended(job) => job,
    };
    let mut response = match job.state {
        State::Complete => {
            let base = format!("{}/import/{id}", site.service.base);
            let body = told(&job, &base, &Timestamp(job.created_ms).to_string());
            let json = HeaderValue::from_static("application/json");
            respond::body(StatusCode::OK, json, body.to_string().into())
        }
        State::Active | State::Failed => {
            let bytes = Bytes::from(job.outcome.clone().unwrap_or_default());
            respond::body(StatusCode::INTERNAL_SERVER_ERROR, Format::Json.content_type(), bytes)
        }
    };
    let expires = job.ended_ms.map(|ended| Timestamp(ended.saturating_add(app.importer.keep_ms())));
    if let Some(expires) = expires.and_then(date::header) {
        response.headers_mut().insert(header::EXPIRES, expires);
    }
    Ok(response)
}
