//! Requests and answers, without any type of an HTTP library.

use serde_json::Value;

/// A request to one route.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Whether it is a POST; else it is a GET.
    pub post: bool,
    /// Decoded, in order: of the query for GET, of the `application/x-www-form-urlencoded` body for POST. A POST's query is
    /// not among them.
    pub parameters: Vec<(String, String)>,
    /// The body as it came, for the one route that takes JSON.
    pub body: Vec<u8>,
    /// `Authorization`.
    pub authorization: Option<String>,
    /// The value of the cookie that [`crate::AuthorizationServer::cookie_name`] names.
    pub session: Option<String>,
    /// The client's address, as far as the server trusts it.
    pub address: String,
}

/// The longest value of a parameter that is read, in bytes.
pub const MAX_PARAMETER_BYTES: usize = 32 * 1024;
/// The most parameters that are read.
pub const MAX_PARAMETERS: usize = 600;

impl Request {
    /// The value of a parameter; an empty one counts as absent (RFC 6749 section 3.1).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let first = self.parameters.iter().find(|(own, _)| own == name);
        first.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub(crate) fn all<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r str> {
        self.parameters.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The first parameter that is there twice, or is too long (RFC 6749 section 3.1: no parameter more than once).
    pub(crate) fn unfit(&self) -> Option<&str> {
        let mut names: Vec<&str> = self.parameters.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let twice = names.windows(2).find_map(|pair| match pair {
            [one, two] if one == two => Some(*one),
            _ => None,
        });
        twice.or_else(|| self.over_limits())
    }

    /// The first parameter that is too long or one too many.
    pub(crate) fn over_limits(&self) -> Option<&str> {
        let long = |value: &str| value.len() > MAX_PARAMETER_BYTES;
        let too_long = self.parameters.iter().find(|(name, value)| long(value) || long(name));
        too_long.or(self.parameters.get(MAX_PARAMETERS)).map(|(name, _)| name.as_str())
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// All headers but `Content-Type`, `Content-Length` and `Date`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
}

/// A body, with its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// None.
    Empty,
    /// `application/json`.
    Json(Value),
    /// `text/html; charset=utf-8`.
    Html(String),
    /// `text/css; charset=utf-8`.
    Css(&'static str),
}

impl Reply {
    pub(crate) fn json(status: u16, value: Value) -> Reply {
        Reply { status, headers: Vec::new(), body: Body::Json(value) }
    }

    /// 303: whatever the method was, go on with GET, and do not send a form with a password on (RFC 9700 section 4.12).
    pub(crate) fn see_other(location: String) -> Reply {
        let headers = vec![("Location", location), ("Referrer-Policy", "no-referrer".into())];
        Reply { status: 303, headers, body: Body::Empty }.uncached()
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    /// RFC 6749 section 5.1.
    pub(crate) fn uncached(self) -> Reply {
        self.with("Cache-Control", "no-store").with("Pragma", "no-cache")
    }

    /// For scripts of any origin: nothing that such a route answers stands on cookies.
    pub(crate) fn for_any_origin(self) -> Reply {
        self.with("Access-Control-Allow-Origin", "*")
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}
