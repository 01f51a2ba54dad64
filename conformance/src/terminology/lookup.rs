//! `$lookup` (<https://hl7.org/fhir/R4/codesystem-operation-lookup.html>): what a code system says of a code.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Terminology;
use super::code_system::{Concept, Content};
use super::expand::is_language;
use super::model::{self, Code, Property};
use super::operation::OperationError;
use super::parameters::{Answer, Parameters, coding_or_code};

type Result<T, E = OperationError> = std::result::Result<T, E>;

/// A code to look up.
#[derive(Debug, Clone, PartialEq)]
pub struct LookupRequest {
    /// The code, with its system unless it is handed in.
    pub code: Code,
    /// The code system, when the operation is called on one.
    pub instance: Option<Box<model::CodeSystem>>,
    /// The language of the display.
    pub display_language: Option<String>,
    /// The properties to tell; all when empty.
    pub properties: Vec<String>,
}

/// What a code system says of a code.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    /// The code system's name.
    pub name: String,
    /// The code system's version.
    pub version: Option<String>,
    /// The display.
    pub display: String,
    /// The concept.
    pub concept: Arc<Concept>,
    /// The properties to tell; all when empty.
    wanted: Vec<String>,
}

impl LookupRequest {
    /// Of the operation's parameters.
    ///
    /// # Errors
    /// A parameter that is missing, unknown, or not what it must be.
    pub fn read(mut parameters: Parameters, instance: Option<model::CodeSystem>) -> Result<LookupRequest> {
        parameters.refuse(&["date"])?;
        let code = coding_or_code(&mut parameters, "coding", "code", "version")?.ok_or_else(|| {
            OperationError::Parameter { name: "code".to_owned(), why: "or coding is needed".to_owned() }
        })?;
        let request = LookupRequest {
            code,
            instance: instance.map(Box::new),
            display_language: parameters.text("displayLanguage")?,
            properties: parameters.texts("property")?,
        };
        parameters.finish()?;
        Ok(request)
    }
}

impl Terminology {
    /// What a code system says of a code.
    ///
    /// # Errors
    /// The code system is not here, or does not have the code.
    pub fn lookup(&self, request: &LookupRequest) -> Result<Lookup> {
        let code = &request.code;
        let system: Arc<dyn Content> = match (&request.instance, code.system.as_deref()) {
            (Some(system), _) => self.given_system(system)??,
            (None, Some(url)) => self.system(url, code.version.as_deref())??,
            (None, None) => {
                return Err(OperationError::Parameter {
                    name: "system".to_owned(),
                    why: "is needed".to_owned(),
                });
            }
        };
        let description = system.description();
        let text = code.code.as_deref().unwrap_or_default();
        let unknown =
            || OperationError::UnknownCode { code: text.to_owned(), system: description.url.clone() };
        let concept = system.find(text)?.ok_or_else(unknown)?;
        let translated = request.display_language.as_deref().and_then(|wanted| {
            let is_wanted = |it: &&model::Designation| {
                it.language.as_deref().is_some_and(|language| is_language(language, wanted))
            };
            concept.designations.iter().find(is_wanted).map(|it| it.value.as_str())
        });
        let display = translated.or(concept.display.as_deref()).unwrap_or(&concept.code).to_owned();
        Ok(Lookup {
            name: description.name.clone().unwrap_or_else(|| description.url.clone()),
            version: description.version.clone(),
            display,
            wanted: request.properties.clone(),
            concept,
        })
    }
}

impl Lookup {
    fn wants(&self, property: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == property || wanted == "*")
    }

    /// The Parameters resource.
    pub fn to_json(&self) -> Vec<u8> {
        let mut answer = Answer::default();
        answer.add("name", "valueString", self.name.as_str());
        answer.add_text("version", "valueString", self.version.as_deref());
        answer.add("display", "valueString", self.display.as_str());
        if self.wants("designation") {
            for designation in &self.concept.designations {
                answer.add_parts("designation", designation_parts(designation));
            }
        }
        let mut property = |code: &str, kind: &str, value: Value| {
            if self.wants(code) {
                let mut parts = Answer::default();
                parts.add("code", "valueCode", code).add("value", kind, value);
                answer.add_parts("property", parts);
            }
        };
        if let Some(definition) = self.concept.definition.as_deref() {
            property("definition", "valueString", definition.into());
        }
        if self.concept.inactive || self.wanted.iter().any(|wanted| wanted == "inactive") {
            property("inactive", "valueBoolean", self.concept.inactive.into());
        }
        for parent in &self.concept.parents {
            property("parent", "valueCode", parent.as_ref().into());
        }
        for child in &self.concept.children {
            property("child", "valueCode", child.as_ref().into());
        }
        for own in self.concept.properties.iter().filter(|own| own.code != "inactive") {
            if let Some((kind, value)) = own.value() {
                property(&own.code, kind, value);
            }
        }
        answer.into_json()
    }
}

fn designation_parts(designation: &model::Designation) -> Answer {
    let mut parts = Answer::default();
    parts.add_text("language", "valueCode", designation.language.as_deref());
    if let Some(usage) = &designation.usage {
        parts.add("use", "valueCoding", json!(usage));
    }
    parts.add("value", "valueString", designation.value.as_str());
    parts
}

impl Property {
    /// The name of `value[x]`, and the value.
    fn value(&self) -> Option<(&'static str, Value)> {
        let text = |kind, value: &Option<String>| value.as_deref().map(|value| (kind, Value::from(value)));
        text("valueCode", &self.value_code)
            .or_else(|| text("valueString", &self.value_string))
            .or_else(|| text("valueDateTime", &self.value_date_time))
            .or_else(|| self.value_boolean.map(|value| ("valueBoolean", value.into())))
            .or_else(|| self.value_integer.map(|value| ("valueInteger", value.into())))
            .or_else(|| self.value_decimal.clone().map(|value| ("valueDecimal", Value::Number(value))))
            .or_else(|| self.value_coding.as_ref().map(|value| ("valueCoding", json!(value))))
    }
}
