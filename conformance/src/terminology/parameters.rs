//! Parameters of operations (<https://hl7.org/fhir/R4/parameters.html>): read from a query or a Parameters resource, each
//! taken by the operation that knows it, so that what nobody takes is refused by name; and the Parameters of answers.

use fhirpath::Tree;
use fhirpath::expression::Coding;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::model::Code;
use super::operation::OperationError;

type Result<T, E = OperationError> = std::result::Result<T, E>;

/// How often a primitive may be repeated.
const MAX_REPEATED: usize = 100;
/// Most parameters of one request.
const MAX_PARAMETERS: usize = 10_000;

/// The parameters of a request. What an operation understands is taken out.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<(String, Given)>);

/// A parameter's value.
#[derive(Debug, Clone)]
enum Given {
    /// A primitive, as text.
    Text(String),
    /// A data type or a resource, as JSON.
    Json(Value),
    /// Parameters inside.
    Parts(Parameters),
}

fn wrong(name: &str, why: &str) -> OperationError {
    OperationError::Parameter { name: name.to_owned(), why: why.to_owned() }
}

impl Parameters {
    /// Of a query: names and values, decoded.
    pub fn from_query(pairs: impl IntoIterator<Item = (String, String)>) -> Parameters {
        Parameters(pairs.into_iter().map(|(name, value)| (name, Given::Text(value))).collect())
    }

    /// Of a Parameters resource.
    ///
    /// # Errors
    /// It is another resource, has too many parameters, or one without a name or a value.
    pub fn from_tree(tree: &Tree) -> Result<Parameters> {
        if tree.resource_type() != "Parameters" {
            return Err(wrong("resource", "must be a Parameters resource"));
        }
        let mut json = Vec::new();
        tree.write_json(&mut json);
        let value: Value =
            serde_json::from_slice(&json).map_err(|_| wrong("resource", "must be a Parameters resource"))?;
        Parameters::from_json(&value, "parameter")
    }

    fn from_json(value: &Value, list: &str) -> Result<Parameters> {
        let entries = value.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if entries.len() > MAX_PARAMETERS {
            return Err(wrong(list, "is there too many times"));
        }
        entries.iter().map(given).collect::<Result<_>>().map(Parameters)
    }

    /// Adds what the URL of an instance says, for instance.
    pub fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), Given::Text(value.to_owned())));
    }

    fn take(&mut self, name: &str) -> Result<Option<Given>> {
        let mut all = self.take_all(name);
        match (all.pop(), all.is_empty()) {
            (found, true) => Ok(found),
            (_, false) => Err(wrong(name, "may be there once")),
        }
    }

    fn take_all(&mut self, name: &str) -> Vec<Given> {
        let (taken, rest) = std::mem::take(&mut self.0).into_iter().partition(|(it, _)| it == name);
        self.0 = rest;
        let taken: Vec<(String, Given)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// Takes a primitive.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>> {
        self.take(name)?.map(|value| value.text(name)).transpose()
    }

    /// Takes a primitive that may be repeated.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>> {
        let given = self.0.iter().filter(|(it, _)| it == name).count();
        if given > MAX_REPEATED {
            return Err(wrong(name, &format!("may be there {MAX_REPEATED} times")));
        }
        self.take_all(name).into_iter().map(|value| value.text(name)).collect()
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>> {
        match self.text(name)?.as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(wrong(name, "must be true or false")),
        }
    }

    pub(super) fn count(&mut self, name: &str) -> Result<Option<usize>> {
        let text = self.text(name)?;
        text.map(|text| text.parse().map_err(|_| wrong(name, "must be a number, not negative"))).transpose()
    }

    /// Takes a Coding.
    pub(super) fn coding(&mut self, name: &str) -> Result<Option<Code>> {
        self.take(name)?.map(|value| value.read(name)).transpose()
    }

    pub(super) fn codings(&mut self, name: &str) -> Result<Vec<Code>> {
        self.take_all(name).into_iter().map(|value| value.read(name)).collect()
    }

    /// Takes a CodeableConcept: its codings.
    pub(super) fn codeable_concept(&mut self, name: &str) -> Result<Option<Vec<Code>>> {
        let Some(given) = self.take(name)? else { return Ok(None) };
        let mut concept: Map<String, Value> = given.read(name)?;
        let codings = concept.remove("coding").unwrap_or(Value::Array(Vec::new()));
        Given::Json(codings).read(name).map(Some)
    }

    /// Takes a resource.
    pub(super) fn resource<T: DeserializeOwned>(
        &mut self,
        name: &str,
        resource_type: &str,
    ) -> Result<Option<T>> {
        let Some(given) = self.take(name)? else { return Ok(None) };
        match &given {
            Given::Json(json) if json.get("resourceType").and_then(Value::as_str) == Some(resource_type) => {
                given.read(name).map(Some)
            }
            _ => Err(wrong(name, &format!("must be a {resource_type}"))),
        }
    }

    pub(super) fn parts(&mut self, name: &str) -> Result<Vec<Parameters>> {
        let parts = |value| match value {
            Given::Parts(parts) => Ok(parts),
            Given::Text(_) | Given::Json(_) => Err(wrong(name, "must have parts")),
        };
        self.take_all(name).into_iter().map(parts).collect()
    }

    /// Refuses a parameter that the operation has and this server does not serve.
    pub(super) fn refuse(&mut self, names: &[&str]) -> Result<()> {
        match self.0.iter().find(|(name, _)| names.contains(&name.as_str())) {
            Some((name, _)) => Err(wrong(name, "is not served here")),
            None => Ok(()),
        }
    }

    /// Refuses what nobody took. `_format` and the like are HTTP's affair.
    pub(super) fn finish(self) -> Result<()> {
        match self.0.iter().find(|(name, _)| !name.starts_with('_')) {
            Some((name, _)) => Err(wrong(name, "is not one of this operation's")),
            None => Ok(()),
        }
    }
}

/// An entry of `Parameters.parameter` or of a `part`.
fn given(entry: &Value) -> Result<(String, Given)> {
    let entry = entry.as_object().ok_or_else(|| wrong("parameter", "must be an object"))?;
    let name = entry.get("name").and_then(Value::as_str).ok_or_else(|| wrong("parameter", "needs a name"))?;
    let value = entry.iter().find(|(key, _)| key.starts_with("value") || *key == "resource");
    let given = match value {
        Some((_, Value::String(text))) => Given::Text(text.clone()),
        Some((_, value @ (Value::Bool(_) | Value::Number(_)))) => Given::Text(value.to_string()),
        Some((_, value)) => Given::Json(value.clone()),
        None if entry.contains_key("part") => {
            Given::Parts(Parameters::from_json(&Value::Object(entry.clone()), "part")?)
        }
        None => return Err(wrong(name, "has no value")),
    };
    Ok((name.to_owned(), given))
}

impl Given {
    fn text(self, name: &str) -> Result<String> {
        match self {
            Given::Text(text) => Ok(text),
            Given::Json(_) | Given::Parts(_) => Err(wrong(name, "must be a single value")),
        }
    }

    fn read<T: DeserializeOwned>(self, name: &str) -> Result<T> {
        match self {
            Given::Json(json) => serde_json::from_value(json).map_err(|_| wrong(name, "is of another type")),
            Given::Text(_) | Given::Parts(_) => Err(wrong(name, "is of another type")),
        }
    }
}

impl Code {
    /// As questions about codes want it.
    pub(super) fn as_coding(&self) -> Coding<'_> {
        Coding {
            system: self.system.as_deref().map(Into::into),
            version: self.version.as_deref().map(Into::into),
            code: self.code.as_deref().unwrap_or_default().into(),
            display: self.display.as_deref().map(Into::into),
        }
    }
}

/// A concept that a request gives as a Coding, or as code, system, version and display.
pub(super) fn coding_or_code(
    parameters: &mut Parameters,
    coding: &str,
    code: &str,
    version: &str,
) -> Result<Option<Code>> {
    let given = parameters.coding(coding)?;
    let Some(code) = parameters.text(code)? else { return Ok(given) };
    if given.is_some() {
        return Err(wrong(coding, "and a code may not be there both"));
    }
    let (system, version) = (parameters.text("system")?, parameters.text(version)?);
    Ok(Some(Code { system, version, code: Some(code), display: parameters.text("display")? }))
}

/// An answer as a Parameters resource.
#[derive(Debug, Default)]
pub(super) struct Answer(Vec<Value>);

impl Answer {
    /// Adds a value: `kind` is the name of `value[x]`.
    pub(super) fn add(&mut self, name: &str, kind: &str, value: impl Into<Value>) -> &mut Answer {
        self.0.push(json!({ "name": name, kind: value.into() }));
        self
    }

    pub(super) fn add_text(&mut self, name: &str, kind: &str, value: Option<&str>) -> &mut Answer {
        if let Some(value) = value {
            self.add(name, kind, value);
        }
        self
    }

    pub(super) fn add_parts(&mut self, name: &str, parts: Answer) -> &mut Answer {
        self.0.push(json!({ "name": name, "part": parts.0 }));
        self
    }

    pub(super) fn into_json(self) -> Vec<u8> {
        json!({ "resourceType": "Parameters", "parameter": self.0 }).to_string().into_bytes()
    }
}
