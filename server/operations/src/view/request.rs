//! What a run of a view is asked: by the URL, or by a Parameters resource. That is read as plain JSON, because the schema of R4
//! has no ViewDefinition.

use std::collections::BTreeSet;

use fhirpath::{Issue, IssueType, Tree, primitive};
use interaction::{Failure, Service, Status};
use serde_json::Value;
use store::Key;
use views::View;
use views::write::Format;

use crate::Invocation;
use crate::parameters::{refuse, shown};

/// A run of a view.
pub(super) struct Request {
    pub(super) view: View,
    pub(super) format: Format,
    /// Most rows.
    pub(super) limit: Option<u64>,
    pub(super) source: Source,
}

/// What rows are made of.
pub(super) enum Source {
    /// Resources that came with the request.
    Sent(Vec<Tree>),
    /// Those stored.
    Stored {
        /// Only of these patients, and
        patients: BTreeSet<Key>,
        /// of the patients of these groups; of all, where both are empty.
        groups: Vec<Key>,
        /// Only what was committed since, microseconds.
        since: Option<i64>,
    },
}

/// A parameter, where it stands, and its value: a text from the URL, JSON from a body.
struct Parameter {
    name: String,
    place: String,
    value: Value,
}

impl Request {
    /// Reads it.
    ///
    /// # Errors
    /// What is missing, given twice, unknown or not of its type; a view that does not compile.
    pub(super) fn read(service: &Service, invocation: &Invocation) -> Result<Request, Failure> {
        let mut asked = Asked::default();
        for parameter in parameters(invocation)? {
            asked.take(service, &parameter)?;
        }
        let Some(view) = asked.view else {
            let details = "Send the view: POST a Parameters resource whose parameter viewResource holds it.";
            return Err(refuse(IssueType::Required, details.to_owned(), "viewResource".to_owned()));
        };
        let view = View::compile(&service.definitions.schema, &view)
            .map_err(|issue| Failure::of(Status::Unprocessable, vec![issue]))?;
        let format = asked.format.or_else(|| accepted(invocation.accept.as_deref()));
        let format = match format.unwrap_or(Format::Ndjson) {
            Format::Csv if asked.header == Some(false) => Format::CsvWithoutHeader,
            format => format,
        };
        let narrowed = !asked.patients.is_empty() || !asked.groups.is_empty() || asked.since.is_some();
        let source = match asked.resources.is_empty() {
            false if narrowed => {
                let details =
                    "patient, group and _since are about stored resources; with resource they mean nothing.";
                return Err(refuse(IssueType::Invalid, details.to_owned(), "resource".to_owned()));
            }
            false => Source::Sent(asked.resources),
            true => {
                let Asked { patients, groups, since, .. } = asked;
                Source::Stored { patients, groups, since }
            }
        };
        Ok(Request { view, format, limit: asked.limit, source })
    }
}

/// The first format of ours that `Accept` names.
fn accepted(accept: Option<&str>) -> Option<Format> {
    let names = accept?.split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
    names.into_iter().find_map(Format::from_code)
}

fn parameters(invocation: &Invocation) -> Result<Vec<Parameter>, Failure> {
    let of_url = invocation.parameters.iter().map(|(name, value)| Parameter {
        name: name.clone(),
        place: format!("http.{}", shown(name)),
        value: Value::String(value.clone()),
    });
    let mut all: Vec<Parameter> = of_url.collect();
    if let Some(body) = &invocation.body {
        all.extend(of_body(body)?);
    }
    Ok(all)
}

fn of_body(body: &[u8]) -> Result<Vec<Parameter>, Failure> {
    let json: Value = serde_json::from_slice(body).map_err(|error| {
        let issue = Issue::error(IssueType::Structure, "The body is no JSON.");
        let issue = match (u32::try_from(error.line()), u32::try_from(error.column())) {
            (Ok(line), Ok(column)) => issue.line(line, column),
            _ => issue,
        };
        Failure::of(Status::BadRequest, vec![issue])
    })?;
    if json.get("resourceType").and_then(Value::as_str) != Some("Parameters") {
        let details = "The body is to be a Parameters resource.";
        return Err(Failure::new(Status::BadRequest, IssueType::Invalid, details));
    }
    let list = match json.get("parameter") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => {
            let details = "Parameters.parameter is to be a list.".to_owned();
            return Err(refuse(IssueType::Structure, details, "Parameters.parameter".to_owned()));
        }
    };
    let each = list.iter().enumerate().map(|(number, item)| {
        let place = format!("Parameters.parameter[{number}]");
        let name = item.get("name").and_then(Value::as_str);
        let value = item.as_object().and_then(|members| {
            members
                .iter()
                .find_map(|(key, value)| (key == "resource" || key.starts_with("value")).then_some(value))
        });
        match (name, value) {
            (Some(name), Some(value)) => Ok(Parameter { name: name.to_owned(), place, value: value.clone() }),
            _ => {
                let details = "This parameter needs a name, and a value or a resource.".to_owned();
                Err(refuse(IssueType::Structure, details, place))
            }
        }
    });
    each.collect()
}

#[derive(Default)]
struct Asked {
    view: Option<Value>,
    format: Option<Format>,
    header: Option<bool>,
    limit: Option<u64>,
    since: Option<i64>,
    patients: BTreeSet<Key>,
    groups: Vec<Key>,
    resources: Vec<Tree>,
}

impl Asked {
    fn take(&mut self, service: &Service, parameter: &Parameter) -> Result<(), Failure> {
        let Parameter { name, place, value } = parameter;
        let bad = |code: IssueType, details: String| {
            refuse(code, format!("{} {details}.", shown(name)), place.clone())
        };
        let wrong = |details: &str| bad(IssueType::Value, details.to_owned());
        let text = || match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(truth) => Ok(truth.to_string()),
            _ => Err(wrong("is to be a value of a primitive type")),
        };
        let key = |resource_type: &str| {
            let reference = value.get("reference").and_then(Value::as_str).or(value.as_str());
            let key = reference.and_then(|text| service.index.local_target(text));
            key.filter(|key| key.resource_type() == resource_type)
                .ok_or_else(|| wrong(&format!("is to be a reference to a {resource_type} of this server")))
        };
        let given_twice = match name.as_str() {
            "viewResource" if value.is_object() => self.view.replace(value.clone()).is_some(),
            "viewResource" => return Err(wrong("is to be a resource, ViewDefinition; a GET cannot send it")),
            "viewReference" => {
                let details =
                    "is not offered: R4 has no type ViewDefinition that could be stored. Send viewResource";
                return Err(bad(IssueType::NotSupported, details.to_owned()));
            }
            "_format" => {
                let format = Format::from_code(&text()?).ok_or_else(|| {
                    bad(IssueType::NotSupported, "is one of ndjson, json, csv, parquet".to_owned())
                })?;
                self.format.replace(format).is_some()
            }
            "header" => {
                let header = text()?.parse().map_err(|_| wrong("is true or false"))?;
                self.header.replace(header).is_some()
            }
            "_limit" => {
                let limit = text()?.parse().ok().filter(|limit| *limit > 0);
                let limit = limit.ok_or_else(|| wrong("is a whole number, at least 1"))?;
                self.limit.replace(limit).is_some()
            }
            "_since" => {
                let span = primitive::span(&text()?);
                let (since, _) = span.ok_or_else(|| wrong("is a time with a zone, or a date"))?;
                self.since.replace(since).is_some()
            }
            "patient" => !self.patients.insert(key("Patient")?),
            "group" => {
                self.groups.push(key("Group")?);
                false
            }
            "resource" if value.is_object() => {
                let limits = &service.limits.body;
                let tree =
                    Tree::parse_json(&service.definitions.schema, value.to_string().into_bytes(), limits);
                self.resources.push(tree.map_err(|issues| Failure::of(Status::BadRequest, issues))?);
                false
            }
            "resource" => return Err(wrong("is to be a resource; a GET cannot send it")),
            _ => return Err(bad(IssueType::NotSupported, "is no parameter of this operation".to_owned())),
        };
        match given_twice {
            true => Err(wrong("is given twice")),
            false => Ok(()),
        }
    }
}
