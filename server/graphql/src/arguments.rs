//! Arguments and variables: values as they are written to values that fields can use.

use fhirpath::IssueType;
use serde_json::{Map, Value as Json};

use crate::document::{Argument, Document, Operation, Place, Value};
use crate::response::Refusal;

type Result<T, E = Refusal> = std::result::Result<T, E>;

/// The values of an operation's variables: those sent, else their defaults.
pub(crate) fn variables(operation: &Operation, sent: &Map<String, Json>) -> Result<Map<String, Json>> {
    let mut out = Map::new();
    for variable in &operation.variables {
        let default = || variable.default.as_ref().map(|value| resolve(value, &Map::new(), variable.place));
        let value = match sent.get(&variable.name) {
            Some(value) => Some(value.clone()),
            None => default().transpose()?,
        };
        if variable.required && value.as_ref().is_none_or(Json::is_null) {
            let details = format!("The variable ${} needs a value.", variable.name);
            return Err(Refusal::new(IssueType::Required, details).at(variable.place));
        }
        out.insert(variable.name.clone(), value.unwrap_or(Json::Null));
    }
    Ok(out)
}

/// A value with its variables put in.
fn resolve(value: &Value, variables: &Map<String, Json>, place: Place) -> Result<Json> {
    Ok(match value {
        Value::Variable(name) => variables.get(name).cloned().ok_or_else(|| {
            let details = format!("The operation declares no variable ${name}.");
            Refusal::new(IssueType::NotFound, details).at(place)
        })?,
        Value::Null => Json::Null,
        Value::Boolean(value) => Json::Bool(*value),
        Value::Number(text) => serde_json::from_str(text)
            .map_err(|_| Refusal::new(IssueType::Value, format!("{text} is no number of JSON.")).at(place))?,
        Value::Text(text) => Json::String(text.clone()),
        Value::List(items) => {
            items.iter().map(|item| resolve(item, variables, place)).collect::<Result<Vec<Json>>>()?.into()
        }
        Value::Object(fields) => {
            let field =
                |(name, value): &(String, Value)| Ok((name.clone(), resolve(value, variables, place)?));
            fields.iter().map(field).collect::<Result<Map<String, Json>>>()?.into()
        }
    })
}

/// The arguments of a field or a directive: each is taken by who knows it; what is left over is refused by name.
pub(crate) struct Arguments<'d> {
    /// The field or directive, for messages.
    owner: &'d str,
    given: Vec<(&'d str, Json)>,
    place: Place,
}

impl<'d> Arguments<'d> {
    /// Those with a value; one that is null counts as not given.
    pub fn new(
        owner: &'d str,
        arguments: &'d [Argument],
        variables: &Map<String, Json>,
        place: Place,
    ) -> Result<Arguments<'d>> {
        let mut given = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let value = resolve(&argument.value, variables, place)?;
            if !value.is_null() {
                given.push((argument.name.as_str(), value));
            }
        }
        Ok(Arguments { owner, given, place })
    }

    pub fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.given.iter().position(|(given, _)| *given == name)?;
        Some(self.given.swap_remove(at).1)
    }

    fn wrong(&self, name: &str, expected: &str) -> Refusal {
        let details = format!("The argument {name} of {} takes {expected}.", self.owner);
        Refusal::new(IssueType::Value, details).at(self.place)
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        scalar(&value).map(Some).ok_or_else(|| self.wrong(name, "a text"))
    }

    pub fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(name, "true or false"))
    }

    pub fn number(&mut self, name: &str) -> Result<Option<usize>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number.map(Some).ok_or_else(|| self.wrong(name, "a whole number of 0 or more"))
    }

    pub fn object(&mut self, name: &str) -> Result<Map<String, Json>> {
        match self.take(name) {
            Some(Json::Object(object)) => Ok(object),
            Some(_) => Err(self.wrong(name, "a resource")),
            None => Err(self.missing(name)),
        }
    }

    pub fn missing(&self, name: &str) -> Refusal {
        let details = format!("{} needs the argument {name}.", self.owner);
        Refusal::new(IssueType::Required, details).at(self.place)
    }

    /// The values of a search parameter, as a URL has them: those of a list are alternatives.
    pub fn alternatives(&self, name: &str, value: &Json) -> Result<String> {
        let one = |value: &Json| {
            let text = scalar(value).ok_or_else(|| self.wrong(name, "a value or a list of values"));
            text.map(|text| without_commas(&text))
        };
        match value {
            Json::Array(values) => Ok(values.iter().map(one).collect::<Result<Vec<_>>>()?.join(",")),
            value => one(value),
        }
    }

    /// What is left, to be taken one by one.
    pub fn rest(&mut self) -> Vec<(&'d str, Json)> {
        std::mem::take(&mut self.given)
    }

    /// Refuses what nobody took.
    pub fn finish(self) -> Result<()> {
        match self.given.first() {
            None => Ok(()),
            Some((name, _)) => {
                let details = format!("{} has no argument {name}.", self.owner);
                Err(Refusal::new(IssueType::NotSupported, details).at(self.place))
            }
        }
    }
}

/// The text of a value that is one.
pub(crate) fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// A comma in a value is a part of it: alternatives are lists here.
fn without_commas(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut escaped = false;
    for char in text.chars() {
        if char == ',' && !escaped {
            out.push('\\');
        }
        escaped = char == '\\' && !escaped;
        out.push(char);
    }
    out
}

/// The operation to run: the one named, or the only one.
pub(crate) fn operation<'d>(document: &'d Document, name: Option<&str>) -> Result<&'d Operation> {
    let refuse = |details: String| Refusal::new(IssueType::NotFound, details);
    match name {
        Some(name) => document
            .operations
            .iter()
            .find(|operation| operation.name.as_deref() == Some(name))
            .ok_or_else(|| refuse(format!("The query has no operation named {name}."))),
        None => match document.operations.as_slice() {
            [only] => Ok(only),
            [] => Err(refuse("The query has no operation.".to_owned())),
            several => Err(refuse(format!(
                "The query has {} operations; name the one to run as operationName.",
                several.len()
            ))),
        },
    }
}
