//! Where resources go: the interactions of this process over an open store, or a server's FHIR base over HTTP.

use std::sync::Arc;

use bulk::import::Imported;
use fhirpath::{Issue, IssueType};
use interaction::{Caller, Failure, Outcome, OutcomeBody, Return, Service};
use serde::Deserialize;

use super::LoadError;

/// Where resources go.
pub enum Destination {
    /// Straight into the store of a stopped server.
    Store(Box<InProcess>),
    /// To a running server.
    Server(Remote),
}

/// The interactions in this process.
pub struct InProcess {
    /// What they run on.
    pub service: Arc<Service>,
    /// As whom.
    pub caller: Caller,
    /// What the record of loaded files calls the store.
    pub name: String,
    /// What waits for the store's commits.
    pub runtime: tokio::runtime::Runtime,
}

/// A server.
pub struct Remote {
    /// Its FHIR base URL, no slash at the end.
    pub base: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// Refused: what was sent was not stored.
#[derive(Debug)]
pub enum Refused {
    /// For these reasons.
    Issues(Vec<Issue>),
    /// There is nobody to send it to.
    Gone(LoadError),
}

/// A response entry of a batch or transaction.
#[derive(Debug, Deserialize)]
pub struct ResponseEntry {
    response: ResponseStatus,
    /// What was read.
    #[serde(default)]
    pub resource: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct ResponseStatus {
    status: String,
    #[serde(default)]
    outcome: Option<OperationOutcome>,
}

#[derive(Debug, Deserialize)]
struct ResponseBundle {
    #[serde(default)]
    entry: Vec<ResponseEntry>,
}

#[derive(Debug, Deserialize)]
struct OperationOutcome {
    #[serde(default)]
    issue: Vec<OutcomeIssue>,
}

#[derive(Debug, Deserialize)]
struct OutcomeIssue {
    #[serde(default)]
    details: Option<CodeableText>,
    #[serde(default)]
    diagnostics: Option<String>,
    #[serde(default)]
    expression: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct CodeableText {
    #[serde(default)]
    text: Option<String>,
}

impl ResponseEntry {
    /// What became of the entry.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn imported(&self) -> Result<Imported, Vec<Issue>> {
        match self.response.status.get(..3) {
            Some("201") => Ok(Imported::Created),
            Some("200" | "204" | "304") => Ok(Imported::Updated),
            _ => Err(match &self.response.outcome {
                Some(outcome) => outcome.issues(),
                None => vec![Issue::error(
                    IssueType::Processing,
                    format!("refused with {}", self.response.status),
                )],
            }),
        }
    }
}

impl OperationOutcome {
    fn issues(&self) -> Vec<Issue> {
        self.issue
            .iter()
            .map(|issue| {
                let text = issue.details.as_ref().and_then(|details| details.text.clone());
                let text = text.or_else(|| issue.diagnostics.clone()).unwrap_or_default();
                let found = Issue::error(IssueType::Processing, text);
                match issue.expression.first() {
                    Some(expression) => found.at(expression.clone()),
                    None => found,
                }
            })
            .collect()
    }
}

impl Destination {
    /// What the record of loaded files calls it.
    pub fn name(&self) -> &str {
        match self {
            Destination::Store(here) => &here.name,
            Destination::Server(remote) => &remote.base,
        }
    }

    /// Processes a Bundle.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn bundle(&self, body: Vec<u8>) -> Result<Vec<ResponseEntry>, Refused> {
        let answer = match self {
            Destination::Store(here) => here.bundle(body)?,
            Destination::Server(remote) => remote.post(&body)?,
        };
        let bundle: ResponseBundle = serde_json::from_slice(&answer)
            .map_err(|error| unreadable(&format!("the answer is no response Bundle: {error}")))?;
        Ok(bundle.entry)
    }
}

/// A Bundle (`transaction` or `batch`) of updates: the URL and the JSON of each.
pub(crate) fn updates_of<'b>(form: &str, updates: impl Iterator<Item = (String, &'b [u8])>) -> Vec<u8> {
    let mut out = format!("{{\"resourceType\":\"Bundle\",\"type\":\"{form}\",\"entry\":[").into_bytes();
    for (at, (url, body)) in updates.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"resource\":");
        out.extend_from_slice(body.trim_ascii());
        let url = serde_json::Value::String(url);
        out.extend_from_slice(format!(",\"request\":{{\"method\":\"PUT\",\"url\":{url}}}}}").as_bytes());
    }
    out.extend_from_slice(b"]}");
    out
}

/// A transaction of updates by id.
pub(crate) fn transaction_of(resources: &[serde_json::Value]) -> Vec<u8> {
    let text =
        |resource: &serde_json::Value, name| resource.get(name).and_then(|it| it.as_str()).map(str::to_owned);
    let url = |resource| {
        let (kind, id) = (text(resource, "resourceType"), text(resource, "id"));
        format!("{}/{}", kind.unwrap_or_default(), id.unwrap_or_default())
    };
    let updates: Vec<(String, String)> = resources.iter().map(|it| (url(it), it.to_string())).collect();
    updates_of("transaction", updates.iter().map(|(url, body)| (url.clone(), body.as_bytes())))
}

fn unreadable(details: &str) -> Refused {
    Refused::Issues(vec![Issue::error(IssueType::Exception, details)])
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        Refused::Issues(failure.issues)
    }
}

impl InProcess {
    fn bundle(&self, body: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let work = interaction::bundle(&self.service, &self.caller, body, Some(Return::Minimal));
        let Outcome { body, .. } = self.runtime.handle().block_on(work)?;
        match body {
            OutcomeBody::Resource(bytes) => Ok(bytes.to_vec()),
            OutcomeBody::Empty | OutcomeBody::Other { .. } => {
                Err(unreadable("the Bundle was answered with no resource"))
            }
        }
    }
}

impl Remote {
    /// A server at a base URL.
    pub fn new(base: &str) -> Remote {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(std::time::Duration::from_secs(10)))
            .timeout_global(Some(std::time::Duration::from_secs(600)))
            .build();
        Remote { base: base.trim_end_matches('/').to_owned(), token: None, agent: config.into() }
    }

    /// The same server, sent a token with every request.
    #[must_use]
    pub fn with_token(self, token: &str) -> Remote {
        Remote { token: Some(format!("Bearer {token}")), ..self }
    }

    /// Whether somebody speaks FHIR there.
    ///
    /// # Errors
    /// What there is instead, with what to do.
    pub fn check(&self) -> Result<(), LoadError> {
        let url = format!("{}/metadata?_summary=true", self.base);
        let mut request = self.agent.get(&url).header("accept", "application/fhir+json");
        if let Some(token) = &self.token {
            request = request.header("authorization", token);
        }
        match request.call() {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(LoadError::Destination(format!(
                "{url} answers {}; give the FHIR base URL, such as http://127.0.0.1:8080/fhir",
                response.status()
            ))),
            Err(error) => Err(self.gone(&error)),
        }
    }

    fn gone(&self, error: &ureq::Error) -> LoadError {
        LoadError::Destination(format!(
            "cannot reach {}: {error}; is the server running? The same command goes on where this stopped",
            self.base
        ))
    }

    fn post(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let request = self
            .agent
            .post(&self.base)
            .header("content-type", "application/fhir+json")
            .header("accept", "application/fhir+json")
            .header("prefer", "return=minimal");
        let sent = match &self.token {
            Some(token) => request.header("authorization", token).send(body),
            None => request.send(body),
        };
        let mut response = sent.map_err(|error| Refused::Gone(self.gone(&error)))?;
        let status = response.status();
        let read = response.body_mut().with_config().limit(1 << 30).read_to_vec();
        let answer = read.map_err(|error| Refused::Gone(self.gone(&error)))?;
        if status.is_success() {
            return Ok(answer);
        }
        let issues = serde_json::from_slice::<OperationOutcome>(&answer).map(|outcome| outcome.issues());
        match issues {
            Ok(issues) if !issues.is_empty() => Err(Refused::Issues(issues)),
            _ => Err(unreadable(&format!("the server answered {status}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_become_updates() {
        let update = ("Patient/1\"".to_owned(), b"{\"id\":\"1\\\"\"}\n".as_slice());
        let text = updates_of("batch", [update.clone(), update].into_iter());
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value.pointer("/entry/1/request/url").unwrap(), "Patient/1\"");
        assert_eq!(value.pointer("/type").unwrap(), "batch");
    }
}
