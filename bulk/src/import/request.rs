//! What an import is asked: the manifest, as JSON or as a Parameters resource. What is not offered is refused by name.

use fhirpath::{Issue, IssueType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most sources of one import.
const MAX_INPUTS: usize = 10_000;
/// Most characters of the client's that a message repeats.
const SHOWN: usize = 64;

/// By what a line finds the resource that it updates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpsertBy {
    /// By its id.
    #[default]
    Id,
    /// By its first identifier with system and value; without one by its id.
    Identifier,
}

/// A source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// What each of its lines is to be; anything if none is said.
    pub resource_type: Option<String>,
    /// Where it is; none for what came with the request.
    pub url: Option<String>,
    /// The ETag that it must have.
    pub etag: Option<String>,
}

impl Input {
    /// What errors call it: its URL without the query, which may hold a secret.
    pub fn name(&self) -> &str {
        let url = self.url.as_deref().unwrap_or("the body of the request");
        url.split(['?', '#']).next().unwrap_or_default()
    }
}

/// A request, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRequest {
    /// What to read, in this order.
    pub inputs: Vec<Input>,
    /// By what lines find what they update.
    pub upsert_by: UpsertBy,
    /// Whether lines are only checked.
    pub validate_only: bool,
}

impl ImportRequest {
    /// Reads a body, JSON: the manifest itself, or Parameters.
    ///
    /// # Errors
    /// Every fault, with the expression of the parameter.
    pub fn read(body: &[u8], types: &[&str]) -> Result<ImportRequest, Vec<Issue>> {
        let value: Value = serde_json::from_slice(body).map_err(|error| {
            vec![Issue::error(IssueType::Structure, format!("The body is no JSON: {error}."))]
        })?;
        let manifest = match value.get("resourceType") {
            None => value,
            Some(name) if name == "Parameters" => manifest(&value)?,
            Some(_) => {
                let details = "The body is a resource; send Parameters, a manifest, or the lines themselves as application/fhir+ndjson.";
                return Err(vec![Issue::error(IssueType::Invalid, details).at("resourceType")]);
            }
        };
        let Value::Object(members) = manifest else {
            return Err(vec![Issue::error(IssueType::Structure, "The body is no JSON object.")]);
        };
        let (mut request, mut faults) = (ImportRequest::default(), Vec::new());
        for (name, value) in &members {
            faults.extend(request.take(name, value, types).err());
        }
        if !members.contains_key("inputFormat") {
            let details = "inputFormat is missing: application/fhir+ndjson.";
            faults.push(Issue::error(IssueType::Required, details).at("inputFormat"));
        }
        if !members.contains_key("input") {
            let details =
                "input is missing: each has the type of its resources and the url of an NDJSON file.";
            faults.push(Issue::error(IssueType::Required, details).at("input"));
        }
        if faults.is_empty() { Ok(request) } else { Err(faults) }
    }

    /// An import of the body of a request: with the URL's parameters, decoded.
    ///
    /// # Errors
    /// Every fault, with the expression `http.<parameter>`.
    pub fn uploaded(parameters: &[(String, String)], types: &[&str]) -> Result<ImportRequest, Vec<Issue>> {
        let (mut request, mut faults) = (ImportRequest::default(), Vec::new());
        let mut input = Input::default();
        for (name, value) in parameters {
            let text = Value::String(value.clone());
            let taken = match name.as_str() {
                "type" => known_type(&text, types).map(|kind| input.resource_type = Some(kind)),
                "upsertBy" => request.take(name, &text, types),
                "validateOnly" => match value.as_str() {
                    "true" | "false" => request.take(name, &Value::Bool(value == "true"), types),
                    _ => Err(fault(name, IssueType::Value, "validateOnly is true or false.")),
                },
                _ => Err(not_offered(name)),
            };
            let at_parameter = |issue: Issue| {
                let place = format!("http.{name}");
                issue.at(place)
            };
            faults.extend(taken.err().map(at_parameter));
        }
        request.inputs.push(input);
        if faults.is_empty() { Ok(request) } else { Err(faults) }
    }

    fn take(&mut self, name: &str, value: &Value, types: &[&str]) -> Result<(), Issue> {
        match name {
            "inputFormat" => match text(name, value)? {
                "application/fhir+ndjson" | "application/ndjson" | "application/x-ndjson" | "ndjson" => {
                    Ok(())
                }
                other => Err(fault(
                    name,
                    IssueType::NotSupported,
                    format!("inputFormat {} is not offered; application/fhir+ndjson is.", shown(other)),
                )),
            },
            // Whose server it was is not asked; the URLs say from where.
            "inputSource" => text(name, value).map(|_| ()),
            "storageDetail" => storage(value),
            // Both update what is there, and pass over what is the same.
            "mode" => match text(name, value)? {
                "InitialLoad" | "IncrementalLoad" => Ok(()),
                other => Err(fault(
                    name,
                    IssueType::NotSupported,
                    format!("mode {} is not offered; InitialLoad and IncrementalLoad are.", shown(other)),
                )),
            },
            "upsertBy" => {
                self.upsert_by = match text(name, value)? {
                    "id" => UpsertBy::Id,
                    "identifier" => UpsertBy::Identifier,
                    other => {
                        let details =
                            format!("upsertBy {} is not offered; id and identifier are.", shown(other));
                        return Err(fault(name, IssueType::NotSupported, details));
                    }
                };
                Ok(())
            }
            "validateOnly" => {
                self.validate_only = value
                    .as_bool()
                    .ok_or_else(|| fault(name, IssueType::Value, "validateOnly is true or false."))?;
                Ok(())
            }
            "input" => self.take_inputs(value, types),
            _ => Err(not_offered(name)),
        }
    }

    fn take_inputs(&mut self, value: &Value, types: &[&str]) -> Result<(), Issue> {
        let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
            return Err(fault("input", IssueType::Value, "input is a list of at least one source."));
        };
        if list.len() > MAX_INPUTS {
            let details = format!("There are more than {MAX_INPUTS} sources; send several imports.");
            return Err(fault("input", IssueType::TooCostly, details));
        }
        for (number, value) in list.iter().enumerate() {
            let place = |issue: Issue| {
                let below = issue.expression.clone().unwrap_or_default();
                issue.at(format!("input[{number}].{below}"))
            };
            self.inputs.push(input(value, types).map_err(place)?);
        }
        Ok(())
    }
}

fn input(value: &Value, types: &[&str]) -> Result<Input, Issue> {
    let empty = Map::new();
    let mut input = Input::default();
    for (name, value) in value.as_object().unwrap_or(&empty) {
        match name.as_str() {
            "type" => input.resource_type = Some(known_type(value, types)?),
            "url" => input.url = Some(text("url", value)?.to_owned()),
            "etag" => input.etag = Some(text("etag", value)?.to_owned()),
            _ => return Err(not_offered(name)),
        }
    }
    match input.url {
        Some(_) => Ok(input),
        None => Err(fault("url", IssueType::Required, "A source has a url.")),
    }
}

fn known_type(value: &Value, types: &[&str]) -> Result<String, Issue> {
    let name = text("type", value)?;
    match types.contains(&name) {
        true => Ok(name.to_owned()),
        false => {
            Err(fault("type", IssueType::NotSupported, format!("{} is no resource type of R4.", shown(name))))
        }
    }
}

fn storage(value: &Value) -> Result<(), Issue> {
    let empty = Map::new();
    for (name, value) in value.as_object().unwrap_or(&empty) {
        let at = format!("storageDetail.{name}");
        let offered: &[&str] = match name.as_str() {
            // A blob with a signed URL is had like any other.
            "type" => &["https", "azure-blob"],
            "contentEncoding" => &["gzip", "none"],
            _ => return Err(not_offered(&at)),
        };
        let found = text(&at, value)?;
        if !offered.contains(&found) {
            let details = format!("{at} {} is not offered; {} are.", shown(found), offered.join(" and "));
            return Err(fault(&at, IssueType::NotSupported, details));
        }
    }
    Ok(())
}

/// The manifest that a Parameters resource holds.
fn manifest(parameters: &Value) -> Result<Value, Vec<Issue>> {
    let (mut members, mut faults) = (Map::new(), Vec::new());
    let list = parameters.get("parameter").and_then(Value::as_array);
    for parameter in list.into_iter().flatten() {
        match member(parameter) {
            Ok((name, value)) if name == "input" => {
                let all = members.entry("input").or_insert_with(|| Value::Array(Vec::new()));
                if let Some(all) = all.as_array_mut() {
                    all.push(value);
                }
            }
            Ok((name, value)) => {
                if members.insert(name.clone(), value).is_some() {
                    faults.push(fault(&name, IssueType::Value, format!("{} is there twice.", shown(&name))));
                }
            }
            Err(issue) => faults.push(issue),
        }
    }
    if faults.is_empty() { Ok(Value::Object(members)) } else { Err(faults) }
}

/// The name and value of a parameter; parts become an object.
fn member(parameter: &Value) -> Result<(String, Value), Issue> {
    let name = parameter.get("name").and_then(Value::as_str);
    let name = name.ok_or_else(|| fault("parameter", IssueType::Required, "A parameter has no name."))?;
    if let Some(parts) = parameter.get("part").and_then(Value::as_array) {
        let parts: Result<Map<String, Value>, Issue> = parts.iter().map(member).collect();
        return Ok((name.to_owned(), Value::Object(parts?)));
    }
    let members = parameter.as_object().into_iter().flatten();
    let mut values = members.filter(|(member, _)| member.starts_with("value"));
    match values.next() {
        Some((_, value)) => Ok((name.to_owned(), value.clone())),
        None => Err(fault(name, IssueType::Required, format!("{} has no value.", shown(name)))),
    }
}

fn text<'v>(name: &str, value: &'v Value) -> Result<&'v str, Issue> {
    let found = value.as_str().filter(|text| !text.is_empty());
    found.ok_or_else(|| fault(name, IssueType::Value, format!("{name} is a text.")))
}

fn not_offered(name: &str) -> Issue {
    let details = format!("$import has no parameter {}.", shown(name));
    fault(&shown(name), IssueType::NotSupported, details)
}

fn fault(name: &str, code: IssueType, details: impl Into<String>) -> Issue {
    Issue::error(code, details).at(name)
}

fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TYPES: [&str; 2] = ["Patient", "Observation"];

    fn check(body: &Value, expected: Result<&ImportRequest, &[&str]>) {
        let found = ImportRequest::read(body.to_string().as_bytes(), &TYPES);
        let said = |issue: &Issue| {
            format!(
                "{} {}: {}",
                issue.code.as_str(),
                issue.expression.as_deref().unwrap_or_default(),
                issue.details
            )
        };
        let found = found.map_err(|issues| issues.iter().map(said).collect::<Vec<_>>());
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, *expected, "{body}"),
            (Err(found), Err(expected)) => assert_eq!(found, expected, "{body}"),
            (found, _) => panic!("{body}: {found:?}"),
        }
    }

    fn source(kind: Option<&str>, url: &str, etag: Option<&str>) -> Input {
        Input {
            resource_type: kind.map(str::to_owned),
            url: Some(url.to_owned()),
            etag: etag.map(str::to_owned),
        }
    }

    #[test]
    fn both_shapes() {
        let inputs = vec![
            source(Some("Patient"), "https://a.example/p?sig=1", Some("0x8")),
            source(None, "https://a.example/o", None),
        ];
        let mut expected = ImportRequest { inputs, ..ImportRequest::default() };
        let json = json!({
            "inputFormat": "application/fhir+ndjson",
            "inputSource": "https://a.example/fhir",
            "storageDetail": {"type": "https", "contentEncoding": "gzip"},
            "input": [{"type": "Patient", "url": "https://a.example/p?sig=1", "etag": "0x8"}, {"url": "https://a.example/o"}]
        });
        check(&json, Ok(&expected));
        expected.upsert_by = UpsertBy::Identifier;
        expected.validate_only = true;
        let parameters = json!({"resourceType": "Parameters", "parameter": [
            {"name": "inputFormat", "valueString": "application/fhir+ndjson"},
            {"name": "mode", "valueString": "InitialLoad"},
            {"name": "upsertBy", "valueCode": "identifier"},
            {"name": "validateOnly", "valueBoolean": true},
            {"name": "input", "part": [{"name": "type", "valueString": "Patient"},
                {"name": "url", "valueUri": "https://a.example/p?sig=1"}, {"name": "etag", "valueUri": "0x8"}]},
            {"name": "input", "part": [{"name": "url", "valueUri": "https://a.example/o"}]}
        ]});
        check(&parameters, Ok(&expected));
        assert_eq!(expected.inputs[0].name(), "https://a.example/p");
    }

    #[test]
    fn what_is_not_offered_is_refused_by_name() {
        let with = |name: &str, value: Value| {
            let mut body = json!({"inputFormat": "ndjson", "input": [{"url": "https://a.example/p"}]});
            body[name] = value;
            body
        };
        check(
            &json!({}),
            Err(&[
                "required inputFormat: inputFormat is missing: application/fhir+ndjson.",
                "required input: input is missing: each has the type of its resources and the url of an NDJSON file.",
            ]),
        );
        check(
            &json!({"resourceType": "Patient"}),
            Err(&[
                "invalid resourceType: The body is a resource; send Parameters, a manifest, or the lines themselves as application/fhir+ndjson.",
            ]),
        );
        for (name, value, expected) in [
            ("colour", json!("red"), "not-supported colour: $import has no parameter colour."),
            (
                "inputFormat",
                json!("text/csv"),
                "not-supported inputFormat: inputFormat text/csv is not offered; application/fhir+ndjson is.",
            ),
            (
                "mode",
                json!("Replace"),
                "not-supported mode: mode Replace is not offered; InitialLoad and IncrementalLoad are.",
            ),
            (
                "upsertBy",
                json!("name"),
                "not-supported upsertBy: upsertBy name is not offered; id and identifier are.",
            ),
            ("validateOnly", json!("yes"), "value validateOnly: validateOnly is true or false."),
            (
                "storageDetail",
                json!({"type": "ftp"}),
                "not-supported storageDetail.type: storageDetail.type ftp is not offered; https and azure-blob are.",
            ),
            ("input", json!([]), "value input: input is a list of at least one source."),
            ("input", json!([{"type": "Patient"}]), "required input[0].url: A source has a url."),
            (
                "input",
                json!([{"type": "Pet", "url": "https://a.example/p"}]),
                "not-supported input[0].type: Pet is no resource type of R4.",
            ),
            ("input", json!([{"url": 1}]), "value input[0].url: url is a text."),
        ] {
            check(&with(name, value), Err(&[expected]));
        }
    }

    #[test]
    fn parameters_of_an_upload() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            ImportRequest::uploaded(&pairs, &TYPES)
        };
        let request =
            read(&[("type", "Patient"), ("validateOnly", "true"), ("upsertBy", "identifier")]).unwrap();
        assert_eq!(request.inputs[0].resource_type.as_deref(), Some("Patient"));
        assert!(request.validate_only && request.upsert_by == UpsertBy::Identifier);
        let faults = read(&[("type", "Pet"), ("validateOnly", "1"), ("colour", "red")]).unwrap_err();
        let places: Vec<_> = faults.iter().map(|issue| issue.expression.as_deref().unwrap()).collect();
        assert_eq!(places, ["http.type", "http.validateOnly", "http.colour"]);
    }
}
