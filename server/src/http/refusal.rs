//! A request that is not served: a status and the issues of its OperationOutcome.

use axum::http::StatusCode;
use fhirpath::{Issue, IssueType};
use interaction::Failure;

/// Why a request is not served.
#[derive(Debug)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// At least one.
    pub issues: Vec<Issue>,
    /// `Allow`, with 405.
    pub allow: Option<String>,
    /// `Accept-Patch`, with 415 for a patch.
    pub accept_patch: Option<String>,
    /// `Retry-After`, seconds.
    pub retry_after_s: Option<u32>,
    /// `WWW-Authenticate`, with 401.
    pub challenge: Option<&'static str>,
}

impl Refusal {
    /// For one reason.
    pub fn new(status: StatusCode, code: IssueType, details: impl Into<String>) -> Refusal {
        Refusal::of(status, vec![Issue::error(code, details)])
    }

    /// 400 for several reasons.
    pub fn bad_request(issues: Vec<Issue>) -> Refusal {
        Refusal::of(StatusCode::BAD_REQUEST, issues)
    }

    /// For some reasons.
    pub(super) fn of(status: StatusCode, issues: Vec<Issue>) -> Refusal {
        Refusal { status, issues, allow: None, accept_patch: None, retry_after_s: None, challenge: None }
    }

    /// 500: what happened is in the log only.
    pub fn internal() -> Refusal {
        let details =
            "The server failed to answer. Its log has the reason, under this response's X-Request-Id.";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, IssueType::Exception, details)
    }

    /// The same refusal, its issues placed.
    #[must_use]
    pub fn at(mut self, expression: &str) -> Refusal {
        for issue in &mut self.issues {
            issue.expression = Some(expression.to_owned());
        }
        self
    }

    /// The same refusal with an `Allow` header.
    #[must_use]
    pub fn allow(mut self, methods: String) -> Refusal {
        self.allow = Some(methods);
        self
    }

    /// The same refusal with an `Accept-Patch` header.
    #[must_use]
    pub fn accept_patch(mut self, formats: String) -> Refusal {
        self.accept_patch = Some(formats);
        self
    }

    /// 401: a token is needed, or another one.
    pub fn unauthorized(challenge: &'static str, details: &str) -> Refusal {
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED, IssueType::Login, details);
        Refusal { challenge: Some(challenge), ..refusal }
    }

    /// The same refusal with a `Retry-After` header.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Refusal {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        let status = StatusCode::from_u16(failure.status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Refusal { retry_after_s: failure.retry_after_s, ..Refusal::of(status, failure.issues) }
    }
}
