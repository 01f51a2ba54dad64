//! Fetching the keys of clients from where they said (`jwks_uri`), and asking an identity provider, without becoming anyone's way into the network behind
//! this server: which URLs and addresses may be asked. The HTTP client is the server's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;
use url::{Host, Url};

/// Why nothing was fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not https, with a user name, without a host, or longer than 2,000 characters.
    #[error("it must be an https URL with a host and without a user name")]
    Url,
    /// The host is this machine or in a network that is not public.
    #[error("it is in a network that is not public")]
    NotPublic,
    /// The answer has more bytes than are read.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// No answer, or one of another status than 200, with the reason for the log.
    #[error("no answer: {0}")]
    Failed(String),
}

/// What a GET answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The body.
    pub body: Vec<u8>,
    /// How long it may be used, seconds, where the answer said so ([`max_age_s`]).
    pub max_age_s: Option<i64>,
}

/// How long an answer may be used without asking again, in seconds, by its `Cache-Control` (RFC 9111, section 5.2.2): the
/// shortest time that it names.
pub fn max_age_s(cache_control: &str) -> Option<i64> {
    let directives = cache_control.split(',').map(|directive| directive.trim().to_ascii_lowercase());
    let ages = directives.filter_map(|directive| match directive.split_once('=') {
        // A time that cannot be read is none at all.
        Some(("max-age", age)) => Some(age.trim_matches('"').parse::<i64>().unwrap_or(0).max(0)),
        Some(("no-cache", _)) => Some(0),
        Some(_) => None,
        None => matches!(directive.as_str(), "no-store" | "no-cache").then_some(0),
    });
    ages.min()
}

/// An HTTP client that does what it is told and no more.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// What a GET answers with 200. The implementation
    /// - resolves the host itself, asks `may_ask` of every address, and connects to one of those it asked about;
    /// - follows no redirect, sends no credentials or cookies;
    /// - reads at most `max_bytes`, and waits at most five seconds altogether.
    ///
    /// # Errors
    /// Any of that cannot be kept, or there is no such answer.
    async fn get(
        &self,
        url: &Url,
        max_bytes: usize,
        may_ask: fn(IpAddr) -> bool,
    ) -> Result<Fetched, FetchError>;

    /// Status and body of what a POST of a form answers, whatever the status; with the same care.
    ///
    /// # Errors
    /// Any of that cannot be kept, or there is no answer.
    async fn post(
        &self,
        url: &Url,
        form: Form,
        max_bytes: usize,
        may_ask: fn(IpAddr) -> bool,
    ) -> Result<(u16, Vec<u8>), FetchError>;
}

/// A form that is sent (`application/x-www-form-urlencoded`).
#[derive(Clone)]
pub struct Form {
    /// `Authorization`: the only credentials there are.
    pub authorization: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Reads a URL that a client gave. `private` says that private networks may be asked too, for tests and closed networks.
///
/// # Errors
/// It must not be asked.
pub fn checked(url: &str, private: bool) -> Result<Url, FetchError> {
    let url = Url::parse(url).ok().filter(|_| url.len() <= 2000).ok_or(FetchError::Url)?;
    let scheme = url.scheme() == "https" || (private && url.scheme() == "http");
    if !scheme || !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::Url);
    }
    let public = match url.host().ok_or(FetchError::Url)? {
        Host::Ipv4(address) => is_public(address.into()),
        Host::Ipv6(address) => is_public(address.into()),
        Host::Domain(name) => is_public_name(name),
    };
    if public || private { Ok(url) } else { Err(FetchError::NotPublic) }
}

/// Which addresses may be asked. `private` is as for [`checked`].
pub(crate) fn may_ask(private: bool) -> fn(IpAddr) -> bool {
    if private { any_address } else { is_public }
}

fn any_address(_: IpAddr) -> bool {
    true
}

fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let closed = ["localhost", "local", "internal", "intranet", "lan", "home", "corp", "localdomain"];
    name.contains('.') && !closed.iter().any(|end| name.rsplit('.').next() == Some(end))
}

/// Whether an address is one of the public Internet (IANA's special-purpose registries).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, _, _)
    );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let bytes = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match (a, b, c, d, e, f) {
        // Mapped, compatible and translated addresses are what they stand for.
        (0, 0, 0, 0, 0, 0 | 0xffff) => is_public_v4(bytes(g, h)),
        (0x64, 0xff9b, 0, 0, 0, 0) => is_public_v4(bytes(g, h)),
        (0x2002, high, low, ..) => is_public_v4(bytes(high, low)),
        // Teredo, documentation, ORCHID and benchmarks are below 2001:200::.
        (0x2001, 0..=0x1ff | 0xdb8, ..) => false,
        (0x3fff, 0..=0xfff, ..) => false,
        _ => (0x2000..=0x3fff).contains(&a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Result<(), FetchError>) {
        assert_eq!(checked(url, false).map(|_| ()), expected, "{url}");
    }

    #[test]
    fn only_public_https_may_be_asked() {
        for url in [
            "https://app.example.com/jwks.json",
            "https://8.8.8.8/",
            "https://[2606:4700::1]/k",
            "https://a.io:8443/",
        ] {
            check(url, Ok(()));
        }
        for url in
            ["http://app.example.com/", "file:///etc/passwd", "gopher://a.example/", "https://", "jwks", ""]
        {
            check(url, Err(FetchError::Url));
        }
        check("https://user@app.example.com/", Err(FetchError::Url));
        check("https://:secret@app.example.com/", Err(FetchError::Url));
        check(&format!("https://app.example.com/{}", "a".repeat(2000)), Err(FetchError::Url));
    }

    #[test]
    fn no_way_of_writing_an_inner_address_is_asked() {
        for host in [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "printer.local",
            "metadata.google.internal",
            "intranet",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[::7f00:1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:a00:1::]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd12::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[2001::1]",
            "[100::1]",
            "１２７.0.0.1",
        ] {
            check(&format!("https://{host}/jwks"), Err(FetchError::NotPublic));
        }
        assert!(checked("http://localhost:9000/jwks", true).is_ok());
    }

    #[test]
    fn addresses_that_a_public_name_resolves_to_are_judged_too() {
        assert!(is_public("93.184.215.14".parse().unwrap()) && is_public("172.32.0.1".parse().unwrap()));
        assert!(!is_public("10.0.0.1".parse().unwrap()) && !is_public("::ffff:10.0.0.1".parse().unwrap()));
    }
}
