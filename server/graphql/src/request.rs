//! A request (<https://graphql.org/learn/serving-over-http/>): a query, the operation to run and the values of variables.

use fhirpath::{Issue, IssueType};
use serde_json::{Map, Value};

use crate::limits::MAX_QUERY;

/// A request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The text of a document.
    pub query: String,
    /// The operation of the document to run; `None` where there is one.
    pub operation_name: Option<String>,
    /// The values of variables, by name.
    pub variables: Map<String, Value>,
}

impl Request {
    /// A query alone, as a GET's parameter or a body of `application/graphql` has it.
    pub fn of(query: impl Into<String>) -> Request {
        Request { query: query.into(), ..Request::default() }
    }

    /// Reads a body of `application/json`: `query`, and perhaps `operationName` and `variables`.
    ///
    /// # Errors
    /// No JSON object, no query, another name, or more than [`MAX_QUERY`] bytes four times over.
    pub fn from_json(body: &[u8]) -> Result<Request, Issue> {
        if body.len() > 4 * MAX_QUERY {
            let details = format!("The body has {} bytes; at most {} are taken.", body.len(), 4 * MAX_QUERY);
            return Err(Issue::error(IssueType::TooLong, details));
        }
        let broken = || Issue::error(IssueType::Invalid, "The body is to be a JSON object with a query.");
        let fields: Map<String, Value> = serde_json::from_slice(body).map_err(|_| broken())?;
        let mut request = Request::default();
        let mut has_query = false;
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("query", Value::String(query)) => {
                    request.query = query;
                    has_query = true;
                }
                ("operationName", Value::String(name)) => request.operation_name = Some(name),
                ("variables", Value::Object(variables)) => request.variables = variables,
                ("operationName" | "variables" | "extensions", Value::Null) => {}
                ("extensions", Value::Object(extensions)) if extensions.is_empty() => {}
                _ => {
                    let shown: String = name.chars().take(64).collect();
                    let details = format!(
                        "A body has query (a text), operationName (a text) and variables (an object); {shown} is none of these."
                    );
                    return Err(Issue::error(IssueType::Invalid, details));
                }
            }
        }
        if has_query { Ok(request) } else { Err(broken()) }
    }
}
