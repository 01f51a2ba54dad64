//! What an interaction gives back.

use bytes::Bytes;
use fhirpath::{Issue, IssueType};
use store::Timestamp;

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
}

/// A refusal: nothing was changed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which refusal.
    pub status: Status,
    /// Why, at least one.
    pub issues: Vec<Issue>,
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
        Failure { status, issues: vec![Issue::error(code, details)] }
    }

    /// The OperationOutcome to send.
    pub fn body(&self) -> Bytes {
        outcome_body(&self.issues)
    }
}

/// The bytes of an OperationOutcome (<https://hl7.org/fhir/R4/operationoutcome.html>) with these issues, canonical JSON.
pub fn outcome_body(issues: &[Issue]) -> Bytes {
    let _ = issues;
    todo!()
}
