//! What is wrong with an input, in the terms of `OperationOutcome.issue`
//! (<https://hl7.org/fhir/R4/operationoutcome.html>).

use std::borrow::Cow;

/// `OperationOutcome.issue.severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing was done because of it.
    Fatal,
    /// The input was refused because of it.
    Error,
    /// Accepted, but someone should look.
    Warning,
    /// For the reader's information.
    Information,
}

/// `OperationOutcome.issue.code` (<https://hl7.org/fhir/R4/valueset-issue-type.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the code list documents each
pub enum IssueType {
    Invalid,
    Structure,
    Required,
    Value,
    Invariant,
    Security,
    Login,
    Forbidden,
    Processing,
    NotSupported,
    Duplicate,
    MultipleMatches,
    NotFound,
    Deleted,
    TooLong,
    CodeInvalid,
    Extension,
    TooCostly,
    BusinessRule,
    Conflict,
    Transient,
    Exception,
    NoStore,
    Throttled,
    Informational,
}

/// One finding. `details` is a sentence a person can act on; it never carries more of the input than the
/// few characters that show the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// How grave it is.
    pub severity: Severity,
    /// Of what kind it is.
    pub code: IssueType,
    /// A sentence a person can act on.
    pub details: String,
    /// Where, as FHIRPath (`Patient.name[0].given[1]`), or as `http.<parameter>` for a URL's parameter or header.
    pub expression: Option<String>,
    /// Where in the source text, 1-based line and column (in characters), when it came from text.
    pub position: Option<(u32, u32)>,
    /// The id of the reference validator's message for the same finding (`Validation_VAL_Profile_Minimum`), where it has one.
    pub message_id: Option<Cow<'static, str>>,
}

impl Severity {
    /// The code as FHIR writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Fatal => "fatal",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Information => "information",
        }
    }
}

impl IssueType {
    /// The code as FHIR writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            IssueType::Invalid => "invalid",
            IssueType::Structure => "structure",
            IssueType::Required => "required",
            IssueType::Value => "value",
            IssueType::Invariant => "invariant",
            IssueType::Security => "security",
            IssueType::Login => "login",
            IssueType::Forbidden => "forbidden",
            IssueType::Processing => "processing",
            IssueType::NotSupported => "not-supported",
            IssueType::Duplicate => "duplicate",
            IssueType::MultipleMatches => "multiple-matches",
            IssueType::NotFound => "not-found",
            IssueType::Deleted => "deleted",
            IssueType::TooLong => "too-long",
            IssueType::CodeInvalid => "code-invalid",
            IssueType::Extension => "extension",
            IssueType::TooCostly => "too-costly",
            IssueType::BusinessRule => "business-rule",
            IssueType::Conflict => "conflict",
            IssueType::Transient => "transient",
            IssueType::Exception => "exception",
            IssueType::NoStore => "no-store",
            IssueType::Throttled => "throttled",
            IssueType::Informational => "informational",
        }
    }
}

impl Issue {
    /// An error of a kind, without a place yet.
    pub fn error(code: IssueType, details: impl Into<String>) -> Issue {
        Issue {
            severity: Severity::Error,
            code,
            details: details.into(),
            expression: None,
            position: None,
            message_id: None,
        }
    }

    /// The same issue, at a place given as FHIRPath.
    #[must_use]
    pub fn at(mut self, expression: impl Into<String>) -> Issue {
        self.expression = Some(expression.into());
        self
    }

    /// The same issue, at a line and column of the source.
    #[must_use]
    pub fn line(mut self, line: u32, column: u32) -> Issue {
        self.position = Some((line, column));
        self
    }

    /// The same issue with the id of the reference validator's message.
    #[must_use]
    pub fn message_id(mut self, id: impl Into<Cow<'static, str>>) -> Issue {
        self.message_id = Some(id.into());
        self
    }

    /// The same issue with another severity.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Issue {
        self.severity = severity;
        self
    }
}
