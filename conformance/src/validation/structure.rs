//! StructureDefinition (<https://hl7.org/fhir/R4/structuredefinition.html>) as validation needs it: the rules of its
//! elements, without prose. It never judges instances, nor fills in what a differential leaves out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const FHIR_TYPE: &str = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type";
const BEST_PRACTICE: &str = "http://hl7.org/fhir/StructureDefinition/elementdefinition-bestpractice";
const MAX_VALUE_SET: &str = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet";

/// Most elements of one StructureDefinition; the largest of R4's own have 800.
pub const MAX_ELEMENTS: usize = 20_000;

/// `*` as a largest number of values.
pub const MANY: u32 = u32::MAX;

/// A StructureDefinition: a type's or a profile's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Structure {
    /// Canonical URL.
    pub url: String,
    /// Business version, when it states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `resource`, `complex-type`, `primitive-type`, `logical`.
    pub kind: String,
    /// The type it defines or constrains.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Canonical URL of what it derives from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Whether it constrains a type rather than defines one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_profile: bool,
    /// Where an extension may stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<Context>,
    /// Expressions that hold where an extension stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context_invariant: Vec<String>,
    /// All elements, in order. Empty where the package has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshot: Vec<ElementRule>,
    /// The elements it changes; kept only where there is no snapshot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differential: Vec<ElementRule>,
}

/// `StructureDefinition.context`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// `element`, `extension`, `fhirpath`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A path, a URL or an expression.
    pub expression: String,
}

/// ElementDefinition (<https://hl7.org/fhir/R4/elementdefinition.html>): what is said is set, the rest is inherited.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ElementRule {
    /// `Patient.name`.
    pub path: String,
    /// `Patient.extension:race.url`; kept in differentials, where it says which slice is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name of the slice it defines; `a/b` for a slice of a slice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// Least number of values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Largest number of values; [`MANY`] is `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Types it may have; empty where nothing is said.
    #[serde(rename = "type", skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<TypeRule>,
    /// The element whose content it has: `#Questionnaire.item`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_reference: Option<String>,
    /// How its repetitions or types are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slicing: Option<Slicing>,
    /// The one value it may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Value>,
    /// What its value must at least have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Value>,
    /// The codes it may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// Rules as expressions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraint: Vec<Constraint>,
    /// Whether systems must support it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub must_support: Option<bool>,
    /// Whether it changes the meaning of what surrounds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_modifier: Option<bool>,
    /// Most characters of its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    /// Least value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_value: Option<Value>,
    /// Largest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_value: Option<Value>,
}

/// `ElementDefinition.type`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TypeRule {
    /// Name of the type.
    pub code: String,
    /// Profiles of which its value must meet one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profile: Vec<String>,
    /// Profiles of which the resource referred to must meet one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target_profile: Vec<String>,
    /// `contained`, `referenced`, `bundled`: how a reference may be made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aggregation: Vec<String>,
}

/// `ElementDefinition.slicing`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slicing {
    /// What tells the slices apart.
    pub discriminator: Vec<Discriminator>,
    /// `open`, `closed`, `openAtEnd`.
    pub rules: String,
    /// Whether instances follow the order of the slices.
    #[serde(skip_serializing_if = "is_false")]
    pub ordered: bool,
}

/// `ElementDefinition.slicing.discriminator`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Discriminator {
    /// `value`, `pattern`, `exists`, `type`, `profile`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where to look, as the restricted FHIRPath of discriminators.
    pub path: String,
}

/// `ElementDefinition.binding`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Binding {
    /// `required`, `extensible`, `preferred`, `example`.
    pub strength: String,
    /// Canonical URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_set: Option<String>,
    /// Value set that a code must be in whatever the strength.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_value_set: Option<String>,
}

/// `ElementDefinition.constraint`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Constraint {
    /// `obs-6`.
    pub key: String,
    /// Whether it only warns.
    #[serde(skip_serializing_if = "is_false")]
    pub is_warning: bool,
    /// Whether it is only good practice.
    #[serde(skip_serializing_if = "is_false")]
    pub is_best_practice: bool,
    /// What it says, for a person.
    pub human: String,
    /// FHIRPath; without one it is for people only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape serde asks for
fn is_false(value: &bool) -> bool {
    !*value
}

/// Why a StructureDefinition cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StructureError {
    /// It lacks what every StructureDefinition has.
    #[error("the StructureDefinition has no {0}")]
    Missing(&'static str),
    /// It has neither a snapshot nor a differential.
    #[error("the StructureDefinition {0} has no elements")]
    NoElements(String),
    /// More elements than [`MAX_ELEMENTS`].
    #[error("the StructureDefinition {0} has more than {MAX_ELEMENTS} elements")]
    TooManyElements(String),
    /// An element says something that cannot be read.
    #[error("the element {path} has a {field} that is none")]
    Element {
        /// Its path.
        path: String,
        /// What cannot be read.
        field: &'static str,
    },
}

type Result<T> = std::result::Result<T, StructureError>;

impl Structure {
    /// Reads the JSON of a StructureDefinition.
    ///
    /// # Errors
    /// A part that is missing or cannot be read, or too many elements.
    pub fn from_json(json: &Value) -> Result<Structure> {
        let required = |name: &'static str| text(json, name).ok_or(StructureError::Missing(name));
        let url = required("url")?;
        let elements = |part: &str| match json.get(part).and_then(|part| part.get("element")) {
            Some(Value::Array(list)) if list.len() > MAX_ELEMENTS => {
                Err(StructureError::TooManyElements(url.clone()))
            }
            Some(Value::Array(list)) => list.iter().map(ElementRule::from_json).collect(),
            _ => Ok(Vec::new()),
        };
        let mut snapshot: Vec<ElementRule> = elements("snapshot")?;
        snapshot.iter_mut().for_each(|element| element.id = None);
        let differential = if snapshot.is_empty() { elements("differential")? } else { Vec::new() };
        if snapshot.is_empty() && differential.is_empty() && text(json, "baseDefinition").is_none() {
            return Err(StructureError::NoElements(url));
        }
        let context = list(json, "context")
            .filter_map(|it| Some(Context { kind: text(it, "type")?, expression: text(it, "expression")? }));
        Ok(Structure {
            version: text(json, "version"),
            kind: required("kind")?,
            type_name: last_segment(&required("type")?).to_owned(),
            base: text(json, "baseDefinition"),
            is_profile: text(json, "derivation").as_deref() == Some("constraint"),
            context: context.collect(),
            context_invariant: texts(json, "contextInvariant"),
            snapshot,
            differential,
            url,
        })
    }

    /// The same as if the package had no snapshot. `None` when the JSON has no differential.
    ///
    /// # Errors
    /// As [`Structure::from_json`].
    pub fn differential_from_json(json: &Value) -> Result<Option<Structure>> {
        if json.pointer("/differential/element").is_none() {
            return Ok(None);
        }
        let mut json = json.clone();
        if let Some(fields) = json.as_object_mut() {
            fields.remove("snapshot");
        }
        Structure::from_json(&json).map(Some)
    }

    /// Leaves out what every element's type says anyway, to keep the tables small.
    #[must_use]
    pub fn compact(mut self) -> Structure {
        for element in self.snapshot.iter_mut().skip(1) {
            element.constraint.retain(|it| it.key != "ele-1" && it.key != "ext-1");
        }
        self
    }
}

impl ElementRule {
    fn from_json(json: &Value) -> Result<ElementRule> {
        let path = text(json, "path").ok_or(StructureError::Missing("path of an element"))?;
        let fail = |field| StructureError::Element { path: path.clone(), field };
        let number = |name: &'static str| match json.get(name) {
            None => Ok(None),
            Some(value) => {
                value.as_u64().and_then(|n| u32::try_from(n).ok()).map(Some).ok_or_else(|| fail(name))
            }
        };
        let max = match json.get("max") {
            None => None,
            Some(Value::String(max)) if max == "*" => Some(MANY),
            Some(Value::String(max)) => Some(max.parse().map_err(|_| fail("max"))?),
            Some(_) => return Err(fail("max")),
        };
        Ok(ElementRule {
            id: text(json, "id"),
            slice: text(json, "sliceName"),
            min: number("min")?,
            max,
            types: list(json, "type").filter_map(TypeRule::from_json).collect(),
            content_reference: text(json, "contentReference"),
            slicing: json.get("slicing").map(Slicing::from_json),
            fixed: choice(json, "fixed"),
            pattern: choice(json, "pattern"),
            binding: json.get("binding").map(Binding::from_json),
            constraint: list(json, "constraint").filter_map(Constraint::from_json).collect(),
            must_support: json.get("mustSupport").and_then(Value::as_bool),
            is_modifier: json.get("isModifier").and_then(Value::as_bool).filter(|&is| is),
            max_length: number("maxLength")?,
            min_value: choice(json, "minValue"),
            max_value: choice(json, "maxValue"),
            path,
        })
    }

    /// The last part of its path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit_once('.').map_or(self.path.as_str(), |(_, name)| name)
    }
}

impl TypeRule {
    fn from_json(json: &Value) -> Option<TypeRule> {
        let code = text(json, "code")?;
        let stated = list(json, "extension").find(|it| text(it, "url").as_deref() == Some(FHIR_TYPE));
        let code = match code.strip_prefix("http://hl7.org/fhirpath/System.") {
            Some(_) => stated
                .and_then(|it| text(it, "valueUrl").or_else(|| text(it, "valueUri")))
                .unwrap_or_else(|| "string".to_owned()),
            None => last_segment(&code).to_owned(),
        };
        Some(TypeRule {
            code,
            profile: texts(json, "profile"),
            target_profile: texts(json, "targetProfile"),
            aggregation: texts(json, "aggregation"),
        })
    }
}

impl Slicing {
    fn from_json(json: &Value) -> Slicing {
        let discriminator = list(json, "discriminator").map(|it| Discriminator {
            kind: text(it, "type").unwrap_or_default(),
            path: text(it, "path").unwrap_or_default(),
        });
        Slicing {
            discriminator: discriminator.collect(),
            rules: text(json, "rules").unwrap_or_else(|| "open".to_owned()),
            ordered: json.get("ordered").and_then(Value::as_bool) == Some(true),
        }
    }
}

impl Binding {
    fn from_json(json: &Value) -> Binding {
        let max = list(json, "extension").find(|it| text(it, "url").as_deref() == Some(MAX_VALUE_SET));
        Binding {
            strength: text(json, "strength").unwrap_or_else(|| "example".to_owned()),
            value_set: text(json, "valueSet"),
            max_value_set: max.and_then(|it| text(it, "valueCanonical").or_else(|| text(it, "valueUri"))),
        }
    }
}

impl Constraint {
    fn from_json(json: &Value) -> Option<Constraint> {
        Some(Constraint {
            key: text(json, "key")?,
            is_warning: text(json, "severity").as_deref() == Some("warning"),
            is_best_practice: list(json, "extension")
                .any(|it| text(it, "url").as_deref() == Some(BEST_PRACTICE)),
            human: text(json, "human").unwrap_or_default(),
            expression: text(json, "expression"),
        })
    }
}

fn text(json: &Value, name: &str) -> Option<String> {
    json.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn list<'j>(json: &'j Value, name: &str) -> impl Iterator<Item = &'j Value> + use<'j> {
    json.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn texts(json: &Value, name: &str) -> Vec<String> {
    list(json, name).filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The value of a choice element (`fixedUri` for `fixed`).
fn choice(json: &Value, name: &str) -> Option<Value> {
    let is_typed = |key: &str| {
        key.strip_prefix(name).is_some_and(|kind| kind.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    let fields: &Map<String, Value> = json.as_object()?;
    fields.iter().find(|(key, _)| is_typed(key)).map(|(_, value)| value.clone())
}

/// `Patient` of `http://hl7.org/fhir/StructureDefinition/Patient`.
pub(crate) fn last_segment(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, last)| last)
}
