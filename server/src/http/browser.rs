//! What keeps web pages away from a server that asks nobody who they are: a request must be addressed to a name of this server
//! (against DNS rebinding), and a change must not come from a page of another origin. CORS opens it to configured origins.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use fhirpath::IssueType;

use super::refusal::Refusal;
use super::router::Place;
use super::{negotiate, respond};
use crate::config::Config;

/// The rules of one server.
pub struct Guard {
    /// Host names a request may be addressed to; `None` when any may (the address is open to others anyway).
    names: Option<Vec<String>>,
    origins: Vec<String>,
    /// Whether requests to the API need a token: then no page can send one that its user did not give it.
    needs_token: bool,
}

impl Guard {
    /// The rules for a configuration.
    pub fn new(config: &Config, address: SocketAddr, base: &str) -> Guard {
        let own = ["localhost".to_owned(), host_name(authority(base)).to_ascii_lowercase()];
        Guard {
            names: address.ip().is_loopback().then(|| own.to_vec()),
            origins: config
                .cors_origins
                .iter()
                .map(|origin| origin.trim_end_matches('/').to_owned())
                .collect(),
            needs_token: config.authorization,
        }
    }

    /// Whether a request may be looked at. `is_tenants` says whether a host name is one of the table of tenants.
    ///
    /// # Errors
    /// 421 for a host name that is not this server's, 403 for a change from a page of another origin.
    pub fn check<B>(
        &self,
        request: &Request<B>,
        place: Place,
        is_tenants: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        let host = request.headers().get(header::HOST);
        if let (Some(names), Some(host)) = (&self.names, host)
            && !is_known(names, host)
            && !is_tenants(&host_name(host.to_str().unwrap_or_default()).to_ascii_lowercase())
        {
            let details = "The Host header names another server. Use localhost or an address, or set base_url to the URL that clients use.";
            return Err(
                Refusal::new(StatusCode::MISDIRECTED_REQUEST, IssueType::Security, details).at("http.Host")
            );
        }
        // The forms of the authorization server have secrets of their own; what else it answers stands on no cookie.
        if self.needs_token
            && matches!(place, Place::Fhir | Place::Export | Place::Import | Place::Authorization(_))
        {
            return Ok(());
        }
        let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if changes && !self.allows(origin) && !same_origin(origin, host) {
            let details = "Pages of this origin may not call the server; cors_origins lists those that may.";
            return Err(Refusal::new(StatusCode::FORBIDDEN, IssueType::Security, details).at("http.Origin"));
        }
        Ok(())
    }

    /// The `Access-Control-Allow-Origin` for a request, if it comes from a page that may read the answer.
    pub fn cors(&self, headers: &HeaderMap, place: Place) -> Option<HeaderValue> {
        match (place, self.origins.is_empty()) {
            // Its routes say so themselves.
            (Place::Authorization(_), _) => return None,
            (Place::Fhir | Place::Export | Place::Import, true) if self.needs_token => {
                return headers.get(header::ORIGIN).map(|_| HeaderValue::from_static("*"));
            }
            (_, true) => return None,
            (_, false) => {}
        }
        headers.get(header::ORIGIN).filter(|origin| self.allows(origin)).cloned()
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
    }
}

/// An IP address cannot be rebound; a name must be one of ours.
fn is_known(names: &[String], host: &HeaderValue) -> bool {
    let name = host_name(host.to_str().unwrap_or_default());
    name.parse::<IpAddr>().is_ok() || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// `host:port` of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

/// The name of `name:port`.
pub(super) fn host_name(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(name, _)| name),
    }
}

fn same_origin(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), host.map(HeaderValue::to_str)) else { return false };
    origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host))
}

/// Adds what lets a page of this origin read the response.
pub fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("etag, last-modified, location, content-location, retry-after, x-request-id, x-vesta-request-charge"),
    );
}

/// Answers OPTIONS: the methods of a path, and for a page of an allowed origin what it may send.
pub fn options(methods: &str) -> Response {
    let mut response = respond::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(methods) {
        if methods.contains("PATCH") {
            let formats = HeaderValue::try_from(negotiate::patch_formats());
            headers.extend(formats.ok().map(|formats| (respond::ACCEPT_PATCH, formats)));
        }
        headers.insert(header::ALLOW, value.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, value);
    }
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "accept, authorization, break-the-glass, content-type, if-match, if-modified-since, if-none-exist, if-none-match, prefer, x-request-id",
        ),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(bind: &str, origins: &str) -> Guard {
        let environment = [("VESTA_CORS_ORIGINS".to_owned(), origins.to_owned())];
        let config = crate::config::load(None, &environment, &[]).unwrap();
        Guard::new(&config, bind.parse().unwrap(), "https://ehr.example.org/fhir")
    }

    fn check(guard: &Guard, method: &str, host: &str, origin: &str) -> u16 {
        let mut request = Request::builder().method(method).uri("/fhir").header("host", host);
        if !origin.is_empty() {
            request = request.header("origin", origin);
        }
        guard
            .check(&request.body(()).unwrap(), Place::Fhir, |host| host == "acme.example.org")
            .map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn names_and_origins() {
        let local = guard("127.0.0.1:8080", "https://app.example.org/");
        let cases = [
            ("GET", "127.0.0.1:8080", "", 200),
            ("GET", "localhost:8080", "", 200),
            ("GET", "[::1]:8080", "", 200),
            ("GET", "EHR.example.org", "", 200),
            ("GET", "evil.example.org:8080", "", 421),
            ("GET", "Acme.example.org:8080", "", 200),
            ("POST", "localhost:8080", "", 200),
            ("POST", "localhost:8080", "http://localhost:8080", 200),
            ("POST", "localhost:8080", "https://app.example.org", 200),
            ("POST", "localhost:8080", "https://evil.example.org", 403),
            ("DELETE", "localhost:8080", "null", 403),
            ("GET", "localhost:8080", "https://evil.example.org", 200),
        ];
        for (method, host, origin, expected) in cases {
            assert_eq!(check(&local, method, host, origin), expected, "{method} {host} {origin}");
        }
        let open = guard("0.0.0.0:8080", "*");
        assert_eq!(check(&open, "POST", "any.example.org", "https://other.example.org"), 200);
    }

    #[test]
    fn only_configured_origins_may_read() {
        let headers: HeaderMap =
            [(header::ORIGIN, HeaderValue::from_static("https://a.example.org"))].into_iter().collect();
        assert_eq!(guard("127.0.0.1:1", "").cors(&headers, Place::Fhir), None);
        assert_eq!(guard("127.0.0.1:1", "https://b.example.org").cors(&headers, Place::Fhir), None);
        assert!(guard("127.0.0.1:1", "https://a.example.org").cors(&headers, Place::Fhir).is_some());
        assert!(guard("127.0.0.1:1", "*").cors(&headers, Place::Fhir).is_some());
    }
}
