//! The answer: data, or errors (<https://hl7.org/fhir/R4/graphql.html#errors>). Each error carries an OperationOutcome.

use fhirpath::{Issue, IssueType};
use serde_json::{Map, Value, json};

use crate::document::Place;

/// Where in the answer: a response key, or the number of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPart {
    /// A response key.
    Key(String),
    /// A number in a list, from 0.
    Index(usize),
}

/// Why a request is refused: the finding, and where in the answer and in the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong; its position is that in the query.
    pub issue: Issue,
    /// Where in the answer it would have been.
    pub path: Vec<PathPart>,
}

impl Refusal {
    /// One without a place.
    pub(crate) fn new(code: IssueType, details: impl Into<String>) -> Refusal {
        Refusal { issue: Issue::error(code, details), path: Vec::new() }
    }

    /// The same, at a place of the query.
    pub(crate) fn at(mut self, place: Place) -> Refusal {
        self.issue.position = Some(place);
        self
    }

    /// The same, at a path of the answer.
    pub(crate) fn path(mut self, path: &[PathPart]) -> Refusal {
        self.path = path.to_vec();
        self
    }
}

impl From<Issue> for Refusal {
    fn from(issue: Issue) -> Refusal {
        Refusal { issue, path: Vec::new() }
    }
}

/// What a request comes to. An error anywhere leaves no data: the page knows no answer in part.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The data; `None` where there are errors.
    pub data: Option<Value>,
    /// Why there are none.
    pub errors: Vec<Refusal>,
}

impl From<Result<Value, Refusal>> for Response {
    fn from(outcome: Result<Value, Refusal>) -> Response {
        match outcome {
            Ok(data) => Response { data: Some(data), errors: Vec::new() },
            Err(refusal) => Response { data: None, errors: vec![refusal] },
        }
    }
}

impl Response {
    /// The body, `application/json`.
    pub fn to_json(&self) -> Vec<u8> {
        let mut body = Map::new();
        body.insert("data".to_owned(), self.data.clone().unwrap_or(Value::Null));
        if !self.errors.is_empty() {
            body.insert("errors".to_owned(), self.errors.iter().map(error).collect());
        }
        Value::Object(body).to_string().into_bytes()
    }
}

fn error(refusal: &Refusal) -> Value {
    let issue = &refusal.issue;
    let mut error = Map::new();
    error.insert("message".to_owned(), json!(issue.details));
    if let Some((line, column)) = issue.position {
        error.insert("locations".to_owned(), json!([{ "line": line, "column": column }]));
    }
    if !refusal.path.is_empty() {
        let part = |part: &PathPart| match part {
            PathPart::Key(key) => json!(key),
            PathPart::Index(index) => json!(index),
        };
        error.insert("path".to_owned(), refusal.path.iter().map(part).collect());
    }
    let mut told = json!({
        "severity": issue.severity.as_str(),
        "code": issue.code.as_str(),
        "details": { "text": issue.details },
    });
    if let (Some(told), Some(expression)) = (told.as_object_mut(), &issue.expression) {
        told.insert("expression".to_owned(), json!([expression]));
    }
    let outcome = json!({ "resource": { "resourceType": "OperationOutcome", "issue": [told] } });
    error.insert("extensions".to_owned(), outcome);
    Value::Object(error)
}
