//! Brings the sources of an import here: over https from public networks, or from hosts that the configuration names. No redirect, no
//! credentials; every address of a host is looked at before one is connected to.

use std::io::{Read as _, Write};
use std::net::IpAddr;
use std::time::Duration;

use bulk::Control;
use bulk::import::{Fetch, ImportError, Input, Unfetched};
use fhirpath::{Issue, IssueType};
use smart::FetchError;
use smart::fetch::{checked, is_public};
use ureq::http::header;

use crate::authorization::fetch::agent;

/// Bytes read at once.
const BUFFER: usize = 256 << 10;
/// For one source altogether.
const TIMEOUT: Duration = Duration::from_secs(6 * 3600);
/// For the beginning of its answer, and between one piece of it and the next.
const IDLE: Duration = Duration::from_secs(60);

/// Downloads for one job.
pub struct Downloads<'j> {
    /// Hosts that may be asked wherever they are, also by plain http: `files.example` or `127.0.0.1:9000`.
    pub hosts: &'j [String],
    /// Most bytes of a source, as it is sent.
    pub max_bytes: u64,
    /// Asked now and then.
    pub control: &'j (dyn Fn() -> Control + Sync),
}

/// Whether a URL may be asked, with what may be asked of the addresses behind it.
///
/// # Errors
/// It may not, with `url`.
pub fn permitted(url: &str, hosts: &[String]) -> Result<fn(IpAddr) -> bool, Issue> {
    let parsed = url::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    let with_port = parsed.as_ref().and_then(|url| Some(format!("{host}:{}", url.port_or_known_default()?)));
    let is_named = hosts.iter().any(|named| named == host || Some(named) == with_port.as_ref());
    match checked(url, is_named) {
        Ok(_) if is_named => Ok(|_| true),
        Ok(_) => Ok(is_public),
        Err(FetchError::NotPublic) => Err(not_public()),
        Err(_) => {
            let details = "A source's url is https, with a host and without a user name.";
            Err(Issue::error(IssueType::Value, details).at("url"))
        }
    }
}

fn not_public() -> Issue {
    let details =
        "The source is in a network that is not public, and its host is none that import_hosts names.";
    Issue::error(IssueType::Forbidden, details).at("url")
}

fn refused(issue: Issue) -> Unfetched {
    Unfetched::Refused(Box::new(issue))
}

fn failed(details: impl Into<String>) -> Unfetched {
    refused(Issue::error(IssueType::NotFound, details))
}

impl Fetch for Downloads<'_> {
    fn fetch(&mut self, input: &Input, to: &mut dyn Write) -> Result<(), Unfetched> {
        let Some(url) = &input.url else {
            return Err(failed("The body of the request is not there any more."));
        };
        let may_ask = permitted(url, self.hosts).map_err(refused)?;
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(IDLE))
            .timeout_per_read(Some(IDLE))
            .timeout_global(Some(TIMEOUT));
        let agent = agent(config, may_ask);
        let asked = agent.get(url).header("accept", "application/fhir+ndjson, */*;q=0.5");
        let mut response = asked.header("accept-encoding", "gzip, identity").call().map_err(told)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(failed(format!("The source answers {status}, not 200.")));
        }
        let found = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
        if let Some(wanted) = &input.etag
            && found.is_none_or(|found| plain(found) != plain(wanted))
        {
            let details = "The source has another ETag than the request gives: it was changed.";
            return Err(refused(Issue::error(IssueType::Conflict, details).at("etag")));
        }
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let (mut buffer, mut bytes) = (vec![0; BUFFER], 0_u64);
        loop {
            let read = reader.read(&mut buffer).map_err(|error| {
                tracing::info!(%error, "a source of an import broke off");
                failed("The source broke off before its end; nothing of it was imported.")
            })?;
            match (self.control)() {
                Control::Go => {}
                Control::Stop => return Err(Unfetched::Ended(ImportError::Stopping)),
                Control::Cancel => return Err(Unfetched::Ended(ImportError::Cancelled)),
            }
            let part = buffer.get(..read).unwrap_or_default();
            if part.is_empty() {
                return Ok(());
            }
            bytes += part.len() as u64;
            if bytes > self.max_bytes {
                let details = format!(
                    "The source has more than {} bytes, the most that is read (import_source_bytes).",
                    self.max_bytes
                );
                return Err(refused(Issue::error(IssueType::TooLong, details)));
            }
            to.write_all(part)?;
        }
    }
}

/// An ETag without its quotes.
fn plain(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

fn told(error: ureq::Error) -> Unfetched {
    match error {
        ureq::Error::HostNotFound => {
            let details = "The source's host is not known, or in a network that is not public.";
            refused(Issue::error(IssueType::NotFound, details).at("url"))
        }
        error => {
            tracing::info!(%error, "a source of an import cannot be reached");
            failed("The source cannot be reached.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_asked() {
        let hosts = ["127.0.0.1:9000".to_owned(), "files.internal".to_owned()];
        for (url, expected) in [
            ("https://files.example.org/p.ndjson?sig=1", None),
            ("http://127.0.0.1:9000/p", None),
            ("https://files.internal/p", None),
            ("http://files.example.org/p", Some(IssueType::Value)),
            ("ftp://files.example.org/p", Some(IssueType::Value)),
            ("https://user@files.example.org/p", Some(IssueType::Value)),
            ("file:///etc/passwd", Some(IssueType::Value)),
            ("https://127.0.0.1:9001/p", Some(IssueType::Forbidden)),
            ("https://169.254.169.254/latest", Some(IssueType::Forbidden)),
            ("https://[::1]/p", Some(IssueType::Forbidden)),
            ("https://other.internal/p", Some(IssueType::Forbidden)),
            ("https://localhost/p", Some(IssueType::Forbidden)),
        ] {
            assert_eq!(permitted(url, &hosts).err().map(|issue| issue.code), expected, "{url}");
        }
        assert!(!permitted("https://a.example.org/", &hosts).unwrap()([10, 0, 0, 1].into()));
    }
}
