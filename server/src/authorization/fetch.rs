//! Asking where clients have their keys, where else a URL of theirs leads, and the identity provider, as [`smart::Fetch`] says: hosts
//! are resolved here, every address is asked about, and only those that
//! were are connected to; no redirect, no proxy, no credentials, five seconds.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::time::Duration;

use async_trait::async_trait;
use smart::fetch::Form;
use smart::{Fetch, FetchError, Fetched};
use ureq::config::ConfigBuilder;
use ureq::http::Uri;
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use url::Url;

/// Altogether.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The HTTP client.
pub struct Fetcher;

/// Gives the addresses of a host, if all of them may be asked.
#[derive(Debug)]
struct Checked(fn(IpAddr) -> bool);

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let mut addresses = self.empty();
        let room = 16;
        for address in (host, uri.port_u16().unwrap_or(default)).to_socket_addrs()?.take(room) {
            if !(self.0)(address.ip()) {
                return Err(ureq::Error::HostNotFound);
            }
            addresses.push(address);
        }
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}

#[async_trait]
impl Fetch for Fetcher {
    async fn get(
        &self,
        url: &Url,
        max_bytes: usize,
        may_ask: fn(IpAddr) -> bool,
    ) -> Result<Fetched, FetchError> {
        match asked(url, None, max_bytes, may_ask).await? {
            (200, fetched) => Ok(fetched),
            (status, _) => Err(FetchError::Failed(format!("status {status}"))),
        }
    }

    async fn post(
        &self,
        url: &Url,
        form: Form,
        max_bytes: usize,
        may_ask: fn(IpAddr) -> bool,
    ) -> Result<(u16, Vec<u8>), FetchError> {
        let (status, fetched) = asked(url, Some(form), max_bytes, may_ask).await?;
        Ok((status, fetched.body))
    }
}

/// A client that connects only to addresses that may be asked, follows no redirect, and knows no proxy.
pub(crate) fn agent(config: ConfigBuilder<AgentScope>, may_ask: fn(IpAddr) -> bool) -> ureq::Agent {
    let config = config.http_status_as_error(false).max_redirects(0).proxy(None).build();
    ureq::Agent::with_parts(config, DefaultConnector::default(), Checked(may_ask))
}

/// Asks on a thread that answers no requests.
async fn asked(
    url: &Url,
    form: Option<Form>,
    max_bytes: usize,
    may_ask: fn(IpAddr) -> bool,
) -> Result<(u16, Fetched), FetchError> {
    let url = url.to_string();
    let fetched = tokio::task::spawn_blocking(move || exchanged(&url, form, max_bytes, may_ask));
    let timed = tokio::time::timeout(TIMEOUT, fetched).await;
    let failed = |text: &str| FetchError::Failed(text.to_owned());
    timed.map_err(|_| failed("it took too long"))?.map_err(|_| failed("the request was given up"))?
}

fn exchanged(
    url: &str,
    form: Option<Form>,
    max_bytes: usize,
    may_ask: fn(IpAddr) -> bool,
) -> Result<(u16, Fetched), FetchError> {
    let agent = agent(ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)), may_ask);
    let failed = |error: ureq::Error| match error {
        ureq::Error::HostNotFound => FetchError::NotPublic,
        ureq::Error::BodyExceedsLimit(_) => FetchError::TooLong(max_bytes),
        error => FetchError::Failed(error.to_string()),
    };
    let answer = match form {
        None => agent.get(url).header("accept", "application/json").call(),
        Some(form) => {
            let request = agent.post(url).header("accept", "application/json");
            let request = request.content_type("application/x-www-form-urlencoded");
            let request = match &form.authorization {
                Some(authorization) => request.header("authorization", authorization),
                None => request,
            };
            request.send(form.body.as_slice())
        }
    };
    let mut response = answer.map_err(failed)?;
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
    let body = response.body_mut().with_config().limit(limit).read_to_vec().map_err(failed)?;
    let said = response.headers().get_all("cache-control").iter().filter_map(|value| value.to_str().ok());
    let max_age_s = said.filter_map(smart::fetch::max_age_s).min();
    Ok((response.status().as_u16(), Fetched { body, max_age_s }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// Answers every request with `answer`; its URL.
    fn serving(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        format!("http://{address}/jwks")
    }

    fn any(_: IpAddr) -> bool {
        true
    }

    async fn check(url: &str, may_ask: fn(IpAddr) -> bool, expected: Result<&str, &str>) {
        let found = Fetcher.get(&Url::parse(url).unwrap(), 20, may_ask).await;
        let found =
            found.map(|found| String::from_utf8(found.body).unwrap()).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{url}");
    }

    #[tokio::test]
    async fn only_what_may_be_asked_is_asked() {
        let keys = serving("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nkeys");
        check(&keys, any, Ok("keys")).await;
        check(&keys, smart::fetch::is_public, Err("it is in a network that is not public")).await;
        let named = keys.replace("127.0.0.1", "localhost");
        check(&named, smart::fetch::is_public, Err("it is in a network that is not public")).await;
    }

    #[tokio::test]
    async fn how_long_an_answer_may_be_used() {
        for (said, expected) in [
            ("", None),
            ("cache-control: public\r\n", None),
            ("cache-control: public, Max-Age=20\r\n", Some(20)),
            ("cache-control: max-age=20\r\ncache-control: no-store\r\n", Some(0)),
            ("cache-control: no-cache=\"set-cookie\"\r\n", Some(0)),
            ("cache-control: max-age=soon\r\n", Some(0)),
        ] {
            let answer =
                format!("HTTP/1.1 200 OK\r\n{said}content-length: 4\r\nconnection: close\r\n\r\nkeys");
            let url = serving(answer.leak());
            let found = Fetcher.get(&Url::parse(&url).unwrap(), 20, any).await.unwrap();
            assert_eq!(found.max_age_s, expected, "{said}");
        }
    }

    #[tokio::test]
    async fn redirects_errors_and_long_answers_give_nothing() {
        let elsewhere = serving(
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        );
        check(&elsewhere, any, Err("no answer: status 302")).await;
        let missing = serving("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        check(&missing, any, Err("no answer: status 404")).await;
        let long = serving("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n012345678901234567890123456789");
        check(&long, any, Err("the answer is longer than 20 bytes")).await;
    }
}
