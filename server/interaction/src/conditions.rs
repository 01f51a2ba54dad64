//! What a request makes its answer depend on (<https://hl7.org/fhir/R4/http.html#concurrency>,
//! <https://hl7.org/fhir/R4/http.html#cread>), and what it wants back
//! (<https://hl7.org/fhir/R4/http.html#ops>). Only the typed arguments; the interactions decide by them.

use fhirpath::{Issue, IssueType};
use store::Timestamp;

use crate::{Failure, Status};

/// Versions named by `If-Match` or `If-None-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionMatch {
    /// `*`: whichever is current.
    Any,
    /// One of these.
    Versions(Vec<u64>),
}

impl VersionMatch {
    /// Reads `*`, or entity tags of this server separated by commas: `W/"3"`, `"3"`; a bare `3` is taken too.
    ///
    /// # Errors
    /// [`Status::BadRequest`] for any other text, at `http.<header>`.
    pub fn parse(header: &str, text: &str) -> Result<VersionMatch, Failure> {
        if text.trim() == "*" {
            return Ok(VersionMatch::Any);
        }
        let tags: Option<Vec<u64>> = text.split(',').map(|tag| version_of_tag(tag.trim())).collect();
        tags.map(VersionMatch::Versions).ok_or_else(|| {
            let issue = Issue::error(
                IssueType::Value,
                format!(
                    "{header} is neither * nor the ETag of a version of this server, which reads W/\"3\"."
                ),
            );
            Failure::of(Status::BadRequest, vec![issue.at(format!("http.{header}"))])
        })
    }

    /// Whether a current version is among those named.
    pub fn holds(&self, version: u64) -> bool {
        match self {
            VersionMatch::Any => true,
            VersionMatch::Versions(versions) => versions.contains(&version),
        }
    }
}

fn version_of_tag(tag: &str) -> Option<u64> {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let bare = match tag.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => tag,
    };
    bare.bytes().all(|byte| byte.is_ascii_digit()).then(|| bare.parse().ok())?
}

/// Conditions of a read (<https://hl7.org/fhir/R4/http.html#cread>).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadConditions {
    /// `If-None-Match`: answer [`Status::NotModified`] if the version is one of these.
    pub if_none_match: Option<VersionMatch>,
    /// `If-Modified-Since`, whole seconds; not considered where `if_none_match` is given (RFC 9110 13.1.3).
    pub if_modified_since: Option<Timestamp>,
}

/// Conditions of an update or a deletion (<https://hl7.org/fhir/R4/http.html#concurrency>).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteConditions {
    /// `If-Match`: the current version must be one of these.
    pub if_match: Option<VersionMatch>,
    /// `If-None-Match`: the current version must be none of these; with `*` there must be none.
    pub if_none_match: Option<VersionMatch>,
}

/// `Prefer: return=` (<https://hl7.org/fhir/R4/http.html#return>).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Return {
    /// No body.
    Minimal,
    /// The resource as it is now; the default, except that a deletion then has no body.
    #[default]
    Representation,
    /// An OperationOutcome.
    OperationOutcome,
}
