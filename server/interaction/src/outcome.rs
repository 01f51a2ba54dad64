//! What an interaction gives back.

use bytes::Bytes;
use fhirpath::{Issue, IssueType};
use store::{CommitError, StoreError, Timestamp};

use crate::json::Object;
use crate::permission;

/// The outcome, as FHIR's RESTful API words it; HTTP maps it one to one, and a Bundle's
/// `entry.response.status` is written from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // https://hl7.org/fhir/R4/http.html#Status-Codes
pub enum Status {
    Ok,
    Created,
    NoContent,
    NotModified,
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    Conflict,
    Gone,
    PreconditionFailed,
    PayloadTooLarge,
    UnsupportedMediaType,
    Unprocessable,
    TooManyRequests,
    Internal,
    Unavailable,
}

/// Success.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Ok, Created, NoContent or NotModified.
    pub status: Status,
    /// What to send.
    pub body: OutcomeBody,
    /// Version for the ETag.
    pub version: Option<u64>,
    /// For Last-Modified.
    pub last_modified: Option<Timestamp>,
    /// `Patient/1/_history/2`, relative to the base; for Location.
    pub location: Option<String>,
}

/// What to send.
#[derive(Debug, Clone)]
pub enum OutcomeBody {
    /// Nothing.
    Empty,
    /// A resource, canonical JSON.
    Resource(Bytes),
    /// What is no resource.
    Other {
        /// Its media type, for `Content-Type`.
        media_type: &'static str,
        /// It.
        bytes: Bytes,
    },
}

/// A refusal: nothing was changed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which refusal.
    pub status: Status,
    /// Why, at least one.
    pub issues: Vec<Issue>,
    /// When the same request may be tried again, seconds.
    pub retry_after_s: Option<u32>,
}

impl Status {
    /// The number.
    pub fn code(self) -> u16 {
        match self {
            Status::Ok => 200,
            Status::Created => 201,
            Status::NoContent => 204,
            Status::NotModified => 304,
            Status::BadRequest => 400,
            Status::Unauthorized => 401,
            Status::Forbidden => 403,
            Status::NotFound => 404,
            Status::MethodNotAllowed => 405,
            Status::NotAcceptable => 406,
            Status::Conflict => 409,
            Status::Gone => 410,
            Status::PreconditionFailed => 412,
            Status::PayloadTooLarge => 413,
            Status::UnsupportedMediaType => 415,
            Status::Unprocessable => 422,
            Status::TooManyRequests => 429,
            Status::Internal => 500,
            Status::Unavailable => 503,
        }
    }
}

impl Failure {
    /// A refusal for one reason.
    pub fn new(status: Status, code: IssueType, details: impl Into<String>) -> Failure {
        Failure::of(status, vec![Issue::error(code, details)])
    }

    /// A refusal for these reasons.
    pub fn of(status: Status, issues: Vec<Issue>) -> Failure {
        Failure { status, issues, retry_after_s: None }
    }

    /// The same refusal, of a request that may be tried again after a time.
    #[must_use]
    pub fn retry_after(mut self, after: std::time::Duration) -> Failure {
        let whole = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.retry_after_s = Some(u32::try_from(whole).unwrap_or(u32::MAX).max(1));
        self
    }

    /// The OperationOutcome to send.
    pub fn body(&self) -> Bytes {
        outcome_body(&self.issues)
    }
}

/// When to ask again for a store that cannot be reached.
const UNAVAILABLE: std::time::Duration = std::time::Duration::from_secs(5);
/// When to ask again by a parameter that is being indexed.
const INDEXING: std::time::Duration = std::time::Duration::from_secs(5);
/// When to ask again for data that is on its way to another home.
const MOVING: std::time::Duration = std::time::Duration::from_secs(2);

/// The bytes of an OperationOutcome (<https://hl7.org/fhir/R4/operationoutcome.html>) with these issues, canonical JSON.
pub fn outcome_body(issues: &[Issue]) -> Bytes {
    let mut out = Vec::with_capacity(128 + issues.len() * 192);
    write_outcome(&mut out, issues);
    out.into()
}

/// Appends an OperationOutcome.
pub(crate) fn write_outcome(out: &mut Vec<u8>, issues: &[Issue]) {
    let mut outcome = Object::open(out);
    outcome.text("resourceType", "OperationOutcome");
    outcome.objects("issue", issues, |issue, out| {
        if issue.position.is_some() || issue.message_id.is_some() {
            out.array("extension", extensions(issue), |(url, value), out| {
                let mut extension = Object::open(out);
                extension.text("url", url);
                match value {
                    ExtensionValue::Integer(value) => extension.number("valueInteger", value.into()),
                    ExtensionValue::Code(value) => extension.text("valueCode", value),
                };
                extension.close();
            });
        }
        out.text("severity", issue.severity.as_str()).text("code", issue.code.as_str());
        out.object("details", |details| {
            details.text("text", &issue.details);
        });
        if let Some((line, column)) = issue.position {
            out.text("diagnostics", &format!("line {line}, column {column}"));
        }
        if let Some(expression) = &issue.expression {
            out.texts("expression", [expression]);
        }
    });
    outcome.close();
}

/// What validators say of an issue in extensions.
enum ExtensionValue<'i> {
    Integer(u32),
    Code(&'i str),
}

/// The line and column of an issue and the id of its message, by URL
/// (<https://hl7.org/fhir/extensions/StructureDefinition-operationoutcome-message-id.html>).
fn extensions(issue: &Issue) -> impl Iterator<Item = (&'static str, ExtensionValue<'_>)> {
    let number = |url, value: Option<u32>| value.map(|value| (url, ExtensionValue::Integer(value)));
    let id = issue.message_id.as_deref();
    [
        number(ISSUE_LINE, issue.position.map(|(line, _)| line)),
        number(ISSUE_COLUMN, issue.position.map(|(_, column)| column)),
        id.map(|id| (MESSAGE_ID, ExtensionValue::Code(id))),
    ]
    .into_iter()
    .flatten()
}

const ISSUE_LINE: &str = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line";
const ISSUE_COLUMN: &str = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col";
const MESSAGE_ID: &str = "http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id";

impl Outcome {
    /// Ok with a resource that no version stands behind.
    pub fn resource(body: impl Into<Bytes>) -> Outcome {
        Outcome {
            status: Status::Ok,
            body: OutcomeBody::Resource(body.into()),
            version: None,
            last_modified: None,
            location: None,
        }
    }

    /// Ok with JSON that is no resource.
    pub fn json(body: impl Into<Bytes>) -> Outcome {
        Outcome::other("application/json", body)
    }

    /// Success with a body of another type.
    pub fn other(media_type: &'static str, body: impl Into<Bytes>) -> Outcome {
        let body = OutcomeBody::Other { media_type, bytes: body.into() };
        Outcome { body, ..Outcome::resource(Bytes::new()) }
    }
}

impl Failure {
    /// The same refusal of an entry's request, told of the Bundle: `http.x` becomes the entry's request, `Patient.name` what
    /// is in its resource.
    #[must_use]
    pub(crate) fn within(mut self, entry: &str) -> Failure {
        for issue in &mut self.issues {
            issue.expression = Some(match issue.expression.as_deref().map(|place| place.split_once('.')) {
                None => entry.to_owned(),
                Some(Some(("http", _))) => format!("{entry}.request"),
                Some(Some((_, inner))) => format!("{entry}.resource.{inner}"),
                Some(None) => format!("{entry}.resource"),
            });
        }
        self
    }

    /// The same refusal without lines: of a text that is not the one sent, or only a part of it.
    #[must_use]
    pub(crate) fn without_positions(mut self) -> Failure {
        for issue in &mut self.issues {
            issue.position = None;
        }
        self
    }

    /// What a client is told when something broke that is no fault of its request; the cause goes to the log.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Failure {
        tracing::error!(%cause, "an interaction failed");
        let details = "The server failed to do this; its log says why.";
        Failure::new(Status::Internal, IssueType::Exception, details)
    }

    /// A resource type that there is not.
    pub(crate) fn unknown_type(resource_type: &str) -> Failure {
        let shown: String = resource_type.chars().take(64).collect();
        let details = format!("{shown} is not a resource type of FHIR R4.");
        Failure::new(Status::NotFound, IssueType::NotSupported, details)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        match error {
            StoreError::TooCostly(what) => Failure::new(Status::BadRequest, IssueType::TooCostly, what),
            StoreError::Cursor => Failure::of(
                Status::BadRequest,
                vec![
                    Issue::error(IssueType::Value, "This page link belongs to another query.")
                        .at("http._cursor"),
                ],
            ),
            StoreError::NotIndexed { parameter, done, total } => {
                let details = match parameter {
                    Some(name) => format!(
                        "The search parameter {name} is new; the index has {done} of {total} resources by it. Try again later."
                    ),
                    None => {
                        "A search parameter of this search is not in the index: it is new, or was just taken away. Try again later."
                            .to_owned()
                    },
                };
                Failure::new(Status::Unavailable, IssueType::Transient, details).retry_after(INDEXING)
            }
            StoreError::Throttled { after } => Failure::new(
                Status::TooManyRequests,
                IssueType::Throttled,
                "The store is at its limit; nothing was done. Try again after the time in Retry-After.",
            )
            .retry_after(after),
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "the store is not available");
                let details = "The store is not available at the moment; nothing was done. Try again later.";
                Failure::new(Status::Unavailable, IssueType::Transient, details).retry_after(UNAVAILABLE)
            }
            StoreError::Moving(_) => {
                let details = "The data is being moved; it can be read and written again in a moment. Nothing was done.";
                Failure::new(Status::Unavailable, IssueType::Transient, details).retry_after(MOVING)
            }
            StoreError::TextBehind { indexed, resources } => {
                // Not how many there are: whoever asks may see few of them.
                let percent = indexed.saturating_mul(100) / resources.max(1);
                let details = format!(
                    "The index that _text and _content are searched in is being built: it has {}% of the resources. Try again later.",
                    percent.min(99)
                );
                Failure::new(Status::Unavailable, IssueType::Transient, details).retry_after(UNAVAILABLE)
            }
            StoreError::Full(_) => {
                tracing::error!(%error, "no room to write");
                let details = "The server has no room for more, so nothing was stored; what was stored before can be read.";
                Failure::new(Status::Unavailable, IssueType::NoStore, details)
            }
            StoreError::Unsettled(_) => {
                tracing::warn!(%error, "a write is unsettled");
                let details = "The store did not confirm the change, and it may have been made; look before repeating it.";
                Failure::new(Status::Unavailable, IssueType::Transient, details)
            }
            StoreError::TooLarge { .. } => {
                Failure::new(Status::PayloadTooLarge, IssueType::TooLong, error.to_string())
            }
            StoreError::NoTenant(_) => Failure::new(Status::NotFound, IssueType::NotFound, error.to_string()),
            StoreError::Storage(_)
            | StoreError::Damaged(_)
            | StoreError::InUse(_)
            | StoreError::Parameters(_)
            | StoreError::NotNext { .. }
            | StoreError::Format { .. } => Failure::internal(&error),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Failure {
        match error {
            CommitError::Store(error) => error.into(),
            CommitError::Forbidden { .. } => permission::not_permitted(),
            CommitError::Conflict { .. } | CommitError::Precondition { .. } => Failure::new(
                Status::Conflict,
                IssueType::Conflict,
                "Others changed the same resources meanwhile, again and again; try again.",
            ),
        }
    }
}

impl Status {
    /// `201 Created`, as `Bundle.entry.response.status` has it.
    pub(crate) fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::Created => "201 Created",
            Status::NoContent => "204 No Content",
            Status::NotModified => "304 Not Modified",
            Status::BadRequest => "400 Bad Request",
            Status::Unauthorized => "401 Unauthorized",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::NotAcceptable => "406 Not Acceptable",
            Status::Conflict => "409 Conflict",
            Status::Gone => "410 Gone",
            Status::PreconditionFailed => "412 Precondition Failed",
            Status::PayloadTooLarge => "413 Content Too Large",
            Status::UnsupportedMediaType => "415 Unsupported Media Type",
            Status::Unprocessable => "422 Unprocessable Content",
            Status::TooManyRequests => "429 Too Many Requests",
            Status::Internal => "500 Internal Server Error",
            Status::Unavailable => "503 Service Unavailable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_outcome() {
        let place = Issue::error(IssueType::Structure, "Say \"x\".").at("Patient.name[0]").line(3, 9);
        let known =
            Issue::error(IssueType::Required, "Missing.").message_id("Validation_VAL_Profile_Minimum");
        let bare = Issue::error(IssueType::NotFound, "No.");
        expect_test::expect![[r#"{"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":3},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":9}],"severity":"error","code":"structure","details":{"text":"Say \"x\"."},"diagnostics":"line 3, column 9","expression":["Patient.name[0]"]},{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id","valueCode":"Validation_VAL_Profile_Minimum"}],"severity":"error","code":"required","details":{"text":"Missing."}},{"severity":"error","code":"not-found","details":{"text":"No."}}]}"#]]
        .assert_eq(std::str::from_utf8(&outcome_body(&[place, known, bare])).unwrap());
    }

    #[test]
    fn causes_stay_in_the_log() {
        let failure = Failure::from(StoreError::Damaged("/secret/path".into()));
        assert_eq!(failure.status, Status::Internal);
        assert!(failure.issues.iter().all(|issue| !issue.details.contains("secret")));
    }

    #[test]
    fn the_time_to_try_again_is_whole_seconds() {
        let after = std::time::Duration::from_millis(1500);
        let failure = Failure::from(StoreError::Throttled { after });
        assert_eq!((failure.status, failure.retry_after_s), (Status::TooManyRequests, Some(2)));
        let moving = Failure::from(StoreError::Moving("a".into()));
        assert_eq!((moving.status, moving.retry_after_s), (Status::Unavailable, Some(2)));
        assert_eq!(Failure::from(StoreError::Unavailable("secret".into())).retry_after_s, Some(5));
        assert_eq!(Failure::from(StoreError::Full("disk".into())).retry_after_s, None);
    }

    #[test]
    fn status_lines_begin_with_their_code() {
        for status in
            [Status::Ok, Status::Gone, Status::Unprocessable, Status::Unavailable, Status::NotModified]
        {
            assert!(status.line().starts_with(&status.code().to_string()));
        }
    }
}
