//! Responses.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use interaction::{Outcome, OutcomeBody};

use super::negotiate::Format;
use super::refusal::Refusal;
use super::{App, Exchange, date, headers, json, long, xml};
use crate::page;

const NO_CACHE: HeaderValue = HeaderValue::from_static("private, no-cache");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const VARY: HeaderValue = HeaderValue::from_static("accept, accept-encoding, origin");
/// Pages hold no script, and nothing from elsewhere.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// A response of a body and its type.
pub fn body(status: StatusCode, content_type: HeaderValue, bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let map = response.headers_mut();
    map.insert(header::CONTENT_TYPE, content_type);
    common(map);
    response
}

/// A response without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    common(response.headers_mut());
    response
}

fn common(map: &mut HeaderMap) {
    map.insert(header::CACHE_CONTROL, NO_CACHE);
    map.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    map.insert(header::VARY, VARY);
}

/// Plain text.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    body(status, HeaderValue::from_static("text/plain; charset=utf-8"), text.into())
}

/// A page.
pub fn page(status: StatusCode, markup: maud::Markup) -> Response {
    let mut response = body(status, Format::Html.content_type(), markup.into_string().into());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    response
}

/// Sends a resource in the form the exchange asks for.
pub fn resource(app: &App, exchange: &Exchange, status: StatusCode, bytes: Bytes) -> Response {
    if exchange.format == Format::Html {
        return page(status, page::resource(exchange.base(app), &exchange.address, status.as_u16(), &bytes));
    }
    if !exchange.format.is_xml() {
        return as_json(exchange, exchange.format, status, bytes);
    }
    let is_long = bytes.len() > long::BODY;
    match long::block(is_long, || xml::of_json(exchange.schema(app), &bytes, exchange.pretty)) {
        Ok(xml) => body(status, exchange.format.content_type(), xml),
        Err(refusal) if exchange.is_safe && status.is_success() => self::refusal(app, exchange, refusal),
        // What was done, or why not, has to be told, though not as it was asked for.
        Err(_) => as_json(exchange, Format::Json, status, bytes),
    }
}

fn as_json(exchange: &Exchange, format: Format, status: StatusCode, bytes: Bytes) -> Response {
    let bytes = match (exchange.pretty, std::str::from_utf8(&bytes)) {
        (true, Ok(text)) => json::pretty(text).into(),
        _ => bytes,
    };
    body(status, format.content_type(), bytes)
}

/// The response to an interaction's outcome. `writes` says whether it is one that names the version it made.
pub fn outcome(app: &App, exchange: &Exchange, outcome: Outcome, writes: bool) -> Response {
    let status = StatusCode::from_u16(outcome.status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match outcome.body {
        OutcomeBody::Resource(bytes) => resource(app, exchange, status, bytes),
        OutcomeBody::Other { media_type, bytes } => body(status, HeaderValue::from_static(media_type), bytes),
        OutcomeBody::Empty => empty(status),
    };
    if response.status() != status {
        // Refused after all: the headers would be of what is not sent.
        return response;
    }
    let map = response.headers_mut();
    if let Some(time) = outcome.last_modified.and_then(date::header) {
        map.insert(header::LAST_MODIFIED, time);
    }
    // A page is another representation: its tag must not answer for the resource's.
    if exchange.format != Format::Html
        && let Some(tag) = outcome.version.and_then(headers::etag)
    {
        map.insert(header::ETAG, tag);
    }
    if let Some(location) = outcome.location.filter(|_| writes)
        && let Ok(value) = HeaderValue::try_from(format!("{}/{location}", exchange.base(app).url))
    {
        map.insert(header::LOCATION, value.clone());
        map.insert(header::CONTENT_LOCATION, value);
    }
    response
}

/// The response to a request that is refused.
pub fn refusal(app: &App, exchange: &Exchange, refusal: Refusal) -> Response {
    let bytes = interaction::outcome_body(&refusal.issues);
    let mut response = resource(app, exchange, refusal.status, bytes);
    let allow = match (refusal.status, refusal.allow) {
        (StatusCode::METHOD_NOT_ALLOWED, None) => Some("POST".to_owned()),
        (_, allow) => allow,
    };
    if let Some(value) = allow.and_then(|methods| HeaderValue::try_from(methods).ok()) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    if let Some(value) = refusal.accept_patch.and_then(|formats| HeaderValue::try_from(formats).ok()) {
        response.headers_mut().insert(ACCEPT_PATCH, value);
    }
    if let Some(challenge) = refusal.challenge {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(seconds) = refusal.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The name of the header that lists the formats of patches (RFC 5789).
pub const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// The name of the header that says what a request cost, in request units.
pub const REQUEST_CHARGE: HeaderName = HeaderName::from_static("x-vesta-request-charge");

/// The name of the header that tells requests apart in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
