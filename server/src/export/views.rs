//! `$viewdefinition-export` (<https://build.fhir.org/ig/FHIR/sql-on-fhir-v2/OperationDefinition-ViewDefinitionExport.html>): what is
//! asked, and the tables that views make of an export's resources. The views come with the request: R4 has no type ViewDefinition
//! that could be stored.

use std::sync::Arc;

use bulk::{ExportError, Job, Level, Request, Section, Table, Tables, Types};
use fhirpath::expression::{DateTime, Environment};
use fhirpath::{Issue, IssueType, Schema, Tree, primitive};
use interaction::{Failure, Service, Status};
use serde_json::{Value, json};
use store::Timestamp;
use views::View;
use views::write::{Format, Writer};

/// The operation's name, without `$`.
pub const VIEWS_NAME: &str = "viewdefinition-export";
/// Most views of one export.
const MAX_VIEWS: usize = 100;
/// Most patients that are named.
const MAX_PATIENTS: usize = 10_000;

/// Reads a Parameters resource.
///
/// # Errors
/// What is missing, unknown, given twice or not of its type: 400; a view that does not compile: 422.
pub fn read(service: &Service, body: &[u8], types: &Types<'_>) -> Result<Request, Failure> {
    let json: Value = serde_json::from_slice(body)
        .map_err(|_| Failure::new(Status::BadRequest, IssueType::Structure, "The body is no JSON."))?;
    if json.get("resourceType").and_then(Value::as_str) != Some("Parameters") {
        let details = "The body is to be a Parameters resource.";
        return Err(Failure::new(Status::BadRequest, IssueType::Invalid, details));
    }
    let mut asked = Asked::default();
    let list = json.get("parameter").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (number, parameter) in list.iter().enumerate() {
        asked.take(service, parameter, &format!("Parameters.parameter[{number}]"))?;
    }
    asked.request(types)
}

#[derive(Default)]
struct Asked {
    /// The views, with their types and where they stand.
    views: Vec<(bulk::View, String, String)>,
    format: Option<String>,
    header: Option<bool>,
    tracking: Option<String>,
    since_ms: Option<i64>,
    patients: Vec<String>,
    group: Option<String>,
}

impl Asked {
    fn take(&mut self, service: &Service, parameter: &Value, place: &str) -> Result<(), Failure> {
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
        let bad = |code: IssueType, details: &str| refuse(code, format!("{name} {details}."), place);
        let members = parameter.as_object().into_iter().flatten();
        let value = members.clone().find_map(|(key, value)| key.starts_with("value").then_some(value));
        let text = || value.and_then(Value::as_str).ok_or_else(|| bad(IssueType::Value, "needs a text"));
        let reference = || {
            let text = value.and_then(|value| value.get("reference")?.as_str().or(value.as_str()));
            text.ok_or_else(|| bad(IssueType::Value, "needs a reference"))
        };
        let given_before = match name {
            "view" => {
                if self.views.len() >= MAX_VIEWS {
                    let details = format!("is taken at most {MAX_VIEWS} times");
                    return Err(bad(IssueType::TooCostly, &details));
                }
                self.view(service, parameter, place)?;
                false
            }
            "_format" => {
                let code = text()?;
                let known = ["ndjson", "csv", "json", "parquet"].contains(&code);
                if !known {
                    return Err(bad(IssueType::NotSupported, "is one of ndjson, csv, json, parquet"));
                }
                self.format.replace(code.to_owned()).is_some()
            }
            "header" => {
                let truth = value.and_then(Value::as_bool);
                let truth = truth.ok_or_else(|| bad(IssueType::Value, "is true or false"))?;
                self.header.replace(truth).is_some()
            }
            "clientTrackingId" => self.tracking.replace(text()?.to_owned()).is_some(),
            "_since" => {
                let span = primitive::span(text()?);
                let (since_us, _) = span.ok_or_else(|| bad(IssueType::Value, "is an instant"))?;
                self.since_ms.replace(since_us.div_euclid(1000)).is_some()
            }
            "patient" => {
                if self.patients.len() >= MAX_PATIENTS {
                    let details = format!("is taken at most {MAX_PATIENTS} times");
                    return Err(bad(IssueType::TooCostly, &details));
                }
                self.patients.push(reference()?.to_owned());
                false
            }
            "group" => {
                let key =
                    service.index.local_target(reference()?).filter(|key| key.resource_type() == "Group");
                let key =
                    key.ok_or_else(|| bad(IssueType::Value, "is a reference to a Group of this server"))?;
                self.group.replace(key.id().to_owned()).is_some()
            }
            _ => {
                let name: String = name.chars().take(64).collect();
                let details = format!("'{name}' is no parameter of this operation.");
                return Err(refuse(IssueType::NotSupported, details, place));
            }
        };
        match given_before {
            true => Err(bad(IssueType::Invalid, "is taken once")),
            false => Ok(()),
        }
    }

    fn view(&mut self, service: &Service, parameter: &Value, place: &str) -> Result<(), Failure> {
        let (mut name, mut definition) = (None, None);
        let parts = parameter.get("part").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (number, part) in parts.iter().enumerate() {
            let place = format!("{place}.part[{number}]");
            match part.get("name").and_then(Value::as_str).unwrap_or_default() {
                "name" => name = part.get("valueString").and_then(Value::as_str),
                "viewResource" => definition = part.get("resource").map(|resource| (resource, place)),
                "viewReference" => {
                    let details = "viewReference is not offered: R4 has no type ViewDefinition that could be stored. Send viewResource.";
                    return Err(refuse(IssueType::NotSupported, details.to_owned(), &place));
                }
                _ => {
                    let details = "A view has the parts name and viewResource.";
                    return Err(refuse(IssueType::NotSupported, details.to_owned(), &place));
                }
            }
        }
        let Some((definition, place)) = definition else {
            let details = "A view needs the part viewResource, with a ViewDefinition as its resource.";
            return Err(refuse(IssueType::Required, details.to_owned(), place));
        };
        let compiled = View::compile(&service.definitions.schema, definition).map_err(|issue| {
            let below = issue.expression.as_deref().and_then(|path| path.strip_prefix("ViewDefinition"));
            let place = format!("{place}.resource{}", below.unwrap_or_default());
            Failure::of(Status::Unprocessable, vec![Issue { expression: None, ..issue }.at(place)])
        })?;
        let number = self.views.len() + 1;
        let name = name.or(compiled.name()).map_or_else(|| format!("view{number}"), str::to_owned);
        let view = bulk::View { name, definition: definition.clone() };
        self.views.push((view, compiled.resource().to_owned(), place));
        Ok(())
    }

    fn request(self, types: &Types<'_>) -> Result<Request, Failure> {
        let level = match (self.group, self.patients.is_empty()) {
            (Some(_), false) => {
                let details = "Name patients or a group, not both.".to_owned();
                return Err(refuse(IssueType::Invalid, details, "Parameters.parameter"));
            }
            (Some(group), true) => Level::Group(group),
            (None, false) => Level::Patient,
            (None, true) => Level::System,
        };
        if self.views.is_empty() {
            let details = "Name one or more views: a parameter view with the part viewResource.".to_owned();
            return Err(refuse(IssueType::Required, details, "Parameters.parameter"));
        }
        for (_, kind, place) in &self.views {
            if level != Level::System && !types.of_patients.contains(&kind.as_str()) {
                let details = format!("A {kind} is of no patient; leave patient and group out.");
                return Err(refuse(IssueType::NotSupported, details, place));
            }
        }
        let types = self.views.iter().map(|(_, kind, _)| kind.clone()).collect();
        let views = bulk::Views {
            views: self.views.into_iter().map(|(view, ..)| view).collect(),
            format: self.format.unwrap_or_else(|| "ndjson".to_owned()),
            header: self.header.unwrap_or(true),
            tracking: self.tracking,
        };
        Ok(Request {
            level,
            types,
            referred: Some(Vec::new()),
            since_ms: self.since_ms,
            until_ms: None,
            elements: Vec::new(),
            filters: Vec::new(),
            patients: self.patients,
            lenient: false,
            ignored: Vec::new(),
            documented: false,
            organized: false,
            views: Some(views),
        })
    }
}

fn refuse(code: IssueType, details: String, place: &str) -> Failure {
    Failure::of(Status::BadRequest, vec![Issue::error(code, details).at(place)])
}

/// Makes the tables of an export's views.
pub struct Compiled {
    views: Vec<View>,
    format: Format,
    schema: Arc<Schema>,
    /// The snapshot: whenever a file is made, `now()` is the same.
    now: Option<DateTime>,
}

impl Compiled {
    /// Of the views of a job that was read before.
    ///
    /// # Errors
    /// One that does not compile any more.
    pub fn new(service: &Service, asked: &bulk::Views, snapshot_ms: i64) -> Result<Compiled, Issue> {
        let schema = Arc::clone(&service.definitions.schema);
        let views = asked.views.iter().map(|view| View::compile(&schema, &view.definition));
        let format = match (Format::from_code(&asked.format), asked.header) {
            (Some(Format::Csv), false) => Format::CsvWithoutHeader,
            (Some(format), _) => format,
            (None, _) => return Err(Issue::error(IssueType::NotSupported, "The format is not known.")),
        };
        let now = DateTime::parse(&Timestamp(snapshot_ms).to_string());
        Ok(Compiled { views: views.collect::<Result<_, _>>()?, format, schema, now })
    }
}

impl Tables for Compiled {
    fn begin(&self, view: usize) -> Result<Box<dyn Table + '_>, ExportError> {
        let Some(view) = self.views.get(view) else {
            return Err(Issue::error(IssueType::Exception, "There is no such view.").into());
        };
        let writer = Writer::new(view.columns(), self.format)?;
        Ok(Box::new(Rows { of: self, view, writer }))
    }
}

/// The rows of a view, for one file.
struct Rows<'c> {
    of: &'c Compiled,
    view: &'c View,
    writer: Writer<'c>,
}

impl Table for Rows<'_> {
    fn add(&mut self, resource: &[u8]) -> Result<(), ExportError> {
        let tree = Tree::parse_json(&self.of.schema, resource.to_vec(), &fhirpath::tree::Limits::DEFAULT);
        let tree =
            tree.map_err(|_| Issue::error(IssueType::Exception, "A stored resource cannot be read."))?;
        let environment = Environment { now: self.of.now, ..Environment::default() };
        let rows = self.view.rows(&tree, &environment).map_err(|issue| {
            let id = tree.root().get("id").and_then(|id| id.value()).unwrap_or_default();
            let details = format!("{}/{id}: {}", tree.resource_type(), issue.details);
            Issue { details, ..issue }
        })?;
        for row in rows {
            self.writer.row(&row)?;
        }
        Ok(())
    }

    fn rows(&self) -> u64 {
        self.writer.rows()
    }

    fn held(&self) -> usize {
        self.writer.held()
    }

    fn take(&mut self) -> Vec<u8> {
        self.writer.take()
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, ExportError> {
        Ok(self.writer.finish()?)
    }
}

/// What is told when an export of views is accepted.
pub fn accepted(job: &str, views: &bulk::Views, status_url: &str) -> Value {
    let mut list = vec![json!({"name": "exportId", "valueString": job})];
    list.extend(views.tracking.iter().map(|id| json!({"name": "clientTrackingId", "valueString": id})));
    list.push(json!({"name": "status", "valueCode": "accepted"}));
    list.push(json!({"name": "location", "valueUri": status_url}));
    json!({"resourceType": "Parameters", "parameter": list})
}

/// What is told of a complete export of views; its files are below `files_url`.
pub fn result(job: &Job, views: &bulk::Views, files_url: &str) -> Value {
    let ended_ms = job.ended_ms.unwrap_or(job.created_ms);
    let instant = |ms: i64| Timestamp(ms).to_string();
    let mut list = vec![json!({"name": "exportId", "valueString": job.id})];
    list.extend(views.tracking.iter().map(|id| json!({"name": "clientTrackingId", "valueString": id})));
    list.extend([
        json!({"name": "status", "valueCode": "completed"}),
        json!({"name": "_format", "valueCode": views.format}),
        json!({"name": "exportStartTime", "valueInstant": instant(job.created_ms)}),
        json!({"name": "exportEndTime", "valueInstant": instant(ended_ms)}),
        json!({"name": "exportDuration", "valueInteger": (ended_ms - job.created_ms).max(0) / 1000}),
    ]);
    for (number, view) in views.views.iter().enumerate() {
        let files = job.files.iter();
        let files = files.filter(|file| file.section == Section::Output && file.view == Some(number));
        let mut parts = vec![json!({"name": "name", "valueString": view.name})];
        parts.extend(
            files.map(|file| json!({"name": "location", "valueUri": format!("{files_url}/{}", file.name)})),
        );
        list.push(json!({"name": "output", "part": parts}));
    }
    json!({"resourceType": "Parameters", "parameter": list})
}
