//! CodeSystem, ValueSet and ConceptMap (<https://hl7.org/fhir/R4/terminology-module.html>), as much of them as answers
//! questions about codes. Read from FHIR's JSON, and from the compact lines under `ig/`, which are the same with less.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A CodeSystem.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CodeSystem {
    /// Canonical URL.
    pub url: String,
    /// Its version, when it states one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `complete`, `fragment`, `example`, `not-present` or `supplement`.
    pub content: String,
    /// Computable name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Language of the displays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Whether codes that differ in case differ; true when it doesn't say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case_sensitive: Option<bool>,
    /// Canonical URL of the value set of all its codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_set: Option<String>,
    /// What the hierarchy means: `is-a` when it doesn't say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hierarchy_meaning: Option<String>,
    /// Canonical URL of the code system that a supplement adds to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supplements: Option<String>,
    /// The properties its concepts may have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub property: Vec<PropertyDefinition>,
    /// Its concepts; those in the hierarchy stand in their parents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub concept: Vec<Concept>,
}

/// `CodeSystem.property`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PropertyDefinition {
    /// Its code.
    pub code: String,
    /// Canonical identification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// What it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `code`, `Coding`, `string`, `integer`, `boolean`, `dateTime` or `decimal`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `CodeSystem.concept`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Concept {
    /// The code.
    pub code: String,
    /// Text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// What it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Other texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub designation: Vec<Designation>,
    /// Values of properties.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub property: Vec<Property>,
    /// Concepts below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub concept: Vec<Concept>,
}

/// A text for a concept, in a language or for a use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Designation {
    /// Its language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What it is used for.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<Code>,
    /// The text.
    pub value: String,
}

/// A Coding, owned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Code {
    /// URL of its code system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Version of its code system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its display.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
}

/// A value of a property of a concept: exactly one of the values is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // `code` names the property; the others are `value[x]` by type
pub struct Property {
    pub code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_coding: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_string: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_integer: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_boolean: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_date_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_decimal: Option<serde_json::Number>,
}

/// A ValueSet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ValueSet {
    /// Canonical URL; one that is handed in may have none.
    pub url: String,
    /// Its version, when it states one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Computable name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// `active`, `draft`, `retired` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What it is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compose: Option<Compose>,
    /// Its codes, as someone found them; used where there is no `compose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expansion: Option<StatedExpansion>,
}

/// `ValueSet.compose`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Compose {
    /// Whether inactive codes are in it; they are when it doesn't say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inactive: Option<bool>,
    /// What is in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<Include>,
    /// What is taken out again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Include>,
}

/// `ValueSet.compose.include` and `.exclude`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Include {
    /// URL of the code system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Version of the code system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The codes, listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub concept: Vec<ListedConcept>,
    /// Rules that the codes obey, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<Filter>,
    /// Canonicals of value sets that the codes are in, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub value_set: Vec<String>,
}

/// `ValueSet.compose.include.concept`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListedConcept {
    /// The code.
    pub code: String,
    /// Text for people in this value set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// Other texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub designation: Vec<Designation>,
}

/// `ValueSet.compose.include.filter`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// The property that it looks at.
    pub property: String,
    /// How.
    pub op: String,
    /// What for.
    pub value: String,
}

/// `ValueSet.expansion`, as a definition brings it along.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatedExpansion {
    /// How many codes it has; more than are there when it is a page of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Its codes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contains: Vec<StatedContains>,
}

/// `ValueSet.expansion.contains`, as a definition brings it along.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatedContains {
    /// URL of the code system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// A heading, not a choice.
    #[serde(rename = "abstract", skip_serializing_if = "Option::is_none")]
    pub is_abstract: Option<bool>,
    /// No longer in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inactive: Option<bool>,
    /// Version of the code system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The code; a mere heading has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// Other texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub designation: Vec<Designation>,
    /// Codes below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contains: Vec<StatedContains>,
}

/// A ConceptMap.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConceptMap {
    /// Canonical URL.
    pub url: String,
    /// Its version, when it states one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Computable name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Value set that the mapped codes come from.
    #[serde(alias = "sourceCanonical", skip_serializing_if = "Option::is_none")]
    pub source_uri: Option<String>,
    /// Value set that they are mapped to.
    #[serde(alias = "targetCanonical", skip_serializing_if = "Option::is_none")]
    pub target_uri: Option<String>,
    /// Mappings by code systems.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<MapGroup>,
}

/// `ConceptMap.group`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MapGroup {
    /// Code system of the codes that are mapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_version: Option<String>,
    /// Code system that they are mapped to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_version: Option<String>,
    /// The mappings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub element: Vec<MapElement>,
    /// What to do with codes that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmapped: Option<Unmapped>,
}

/// `ConceptMap.group.element`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MapElement {
    /// The code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its display.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// What it is mapped to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target: Vec<MapTarget>,
}

/// `ConceptMap.group.element.target`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MapTarget {
    /// The code; none when there is no match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its display.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// How near it is to the code that is mapped.
    pub equivalence: String,
    /// Other elements that must have a value for this mapping to hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<MapDependency>,
    /// Other elements that the mapping gives a value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub product: Vec<MapDependency>,
}

/// `ConceptMap.group.element.target.dependsOn` and `.product`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MapDependency {
    /// The element.
    pub property: String,
    /// Code system of its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Its value.
    pub value: String,
    /// Display of the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
}

/// `ConceptMap.group.unmapped`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unmapped {
    /// `provided`, `fixed` or `other-map`.
    pub mode: String,
    /// The code for all of them, when fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its display.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// The map to ask instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Property {
    /// The value as text: the code, of a Coding too; `true`; `1.10`.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        let text = self.value_code.as_ref().or(self.value_string.as_ref()).or(self.value_date_time.as_ref());
        let text = text.or(self.value_coding.as_ref().and_then(|coding| coding.code.as_ref()));
        let owned = || {
            let number = self.value_integer.map(|value| value.to_string());
            let boolean = || self.value_boolean.map(|value| value.to_string());
            number.or_else(boolean).or_else(|| self.value_decimal.as_ref().map(ToString::to_string))
        };
        text.map(|text| Cow::Borrowed(text.as_str())).or_else(|| owned().map(Cow::Owned))
    }
}
