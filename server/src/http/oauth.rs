//! The routes of the authorization server: requests and answers of HTTP to those of crate `smart` and back. Decides nothing.

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use fhirpath::IssueType;
use smart::{Reply, Route};

use super::parameters::Parameters;
use super::refusal::Refusal;
use super::{App, Exchange, negotiate, respond};
use crate::authorization::{AUTH_PATH, Authority};

/// Longest body, bytes.
const MAX_BODY: usize = 256 << 10;
/// Longest time that what a browser may do is remembered, seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("600");

/// The address of the client's end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// The routes below an issuer. SMART's configuration is below the FHIR base.
pub fn routes() -> impl Iterator<Item = Route> {
    Route::all().filter(|route| *route != Route::SmartConfiguration)
}

/// Answers a request for a route below an issuer.
///
/// # Errors
/// No such tenant; authorization is off; a body that cannot be read.
pub async fn answer(
    app: &App,
    route: Route,
    request: Request,
    exchange: &mut Exchange,
) -> Result<Response, Refusal> {
    exchange.template = route.path();
    exchange.address = route.path().to_owned();
    let path = request.uri().path().to_owned();
    let tenant = path.strip_prefix("/t/").and_then(|rest| rest.split_once('/')).map(|(tenant, _)| tenant);
    let site = app.site(tenant, request.headers())?;
    exchange.site = Some(std::sync::Arc::clone(&site));
    let Some(authority) = &site.authority else {
        let details = format!("Authorization is off on this server; nothing is below {AUTH_PATH}.");
        return Err(Refusal::new(StatusCode::NOT_FOUND, IssueType::NotFound, details));
    };
    replied(app, authority, route, request).await
}

/// Answers a request for a route of the authorization server, wherever it is.
///
/// # Errors
/// A body that cannot be read.
pub async fn replied(
    app: &App,
    authority: &Authority,
    route: Route,
    request: Request,
) -> Result<Response, Refusal> {
    if request.method() == Method::OPTIONS {
        return Ok(options(route));
    }
    let post = request.method() == Method::POST;
    if !post && !matches!(*request.method(), Method::GET | Method::HEAD) {
        let methods = route.methods().join(", ");
        let details = format!("{} takes {methods}.", route.path());
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, IssueType::NotSupported, details);
        return Err(refusal.allow(methods));
    }
    let asked = read(app, authority, route, request).await?;
    match authority.server.answer(route, &asked).await {
        Ok(reply) => Ok(response(reply)),
        Err(error) => {
            tracing::error!(%error, route = route.path(), "the authorization server failed");
            Err(Refusal::internal())
        }
    }
}

async fn read(
    app: &App,
    authority: &Authority,
    route: Route,
    request: Request,
) -> Result<smart::Request, Refusal> {
    let (head, incoming) = request.into_parts();
    let text =
        |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let peer = head.extensions.get::<Peer>();
    let mut asked = smart::Request {
        post: head.method == Method::POST,
        authorization: text(header::AUTHORIZATION),
        session: cookie(&head.headers, authority.server.cookie_name()),
        address: peer.map(|peer| peer.0.to_string()).unwrap_or_default(),
        ..smart::Request::default()
    };
    if !asked.post {
        asked.parameters = Parameters::pairs(head.uri.query().unwrap_or_default().as_bytes())?;
        return Ok(asked);
    }
    if route != Route::Register {
        negotiate::check_form(head.headers.get(header::CONTENT_TYPE))?;
    }
    let (body, _share) = app.bodies.collect(incoming, MAX_BODY).await?;
    match route {
        Route::Register => asked.body = body,
        _ => asked.parameters = Parameters::pairs(&body)?,
    }
    Ok(asked)
}

/// The value of a cookie; of one that is there twice, the first.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(own, _)| *own == name).map(|(_, value)| value.to_owned())
}

fn response(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (content_type, body) = match reply.body {
        smart::Body::Empty => (None, Body::empty()),
        smart::Body::Json(value) => (Some("application/json"), Body::from(value.to_string())),
        smart::Body::Html(text) => (Some("text/html; charset=utf-8"), Body::from(text)),
        smart::Body::Css(text) => (Some("text/css; charset=utf-8"), Body::from(text)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let map = response.headers_mut();
    map.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    map.extend(content_type.map(|text| (header::CONTENT_TYPE, HeaderValue::from_static(text))));
    for (name, value) in reply.headers {
        // What cannot stand in a header is left out; `smart` writes ASCII.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            map.insert(name, value);
        }
    }
    response
}

/// What scripts of other origins may send to a route: everything that is not about a browser's session.
fn options(route: Route) -> Response {
    let mut response = respond::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    let Ok(methods) = HeaderValue::try_from(format!("{}, OPTIONS", route.methods().join(", "))) else {
        return response;
    };
    headers.insert(header::ALLOW, methods.clone());
    if route.is_for_any_origin() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let sent = HeaderValue::from_static("authorization, content-type");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, sent);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies() {
        let headers = |values: &[&'static str]| -> HeaderMap {
            values.iter().map(|value| (header::COOKIE, HeaderValue::from_static(value))).collect()
        };
        let check = |values: &[&'static str], expected: Option<&str>| {
            assert_eq!(cookie(&headers(values), "s").as_deref(), expected, "{values:?}");
        };
        check(&[], None);
        check(&["a=1; s=2"], Some("2"));
        check(&["a=1", "s=x=y"], Some("x=y"));
        check(&["ss=1; as=2; s"], None);
        check(&["s=1; s=2"], Some("1"));
    }
}
