//! The element schema: which types there are, and which properties each has.
//!
//! Built once at start from [`TypeDefinition`]s (which `conformance` reads out of packages) and shared.
//! Choice elements are expanded: `value[x]` of type Quantity or string is two properties, `valueQuantity`
//! and `valueString`, both named `value`.

use serde::{Deserialize, Serialize};

/// A type as a table holds it. Backbone elements are types of their own, named by their path
/// (`Patient.contact`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeDefinition {
    /// `Patient`, `Patient.contact`, `HumanName`, `string`.
    pub name: String,
    /// What it is.
    pub kind: TypeKind,
    /// The type it specialises (`DomainResource`, `BackboneElement`, `string`), if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Whether it has no instances of its own (`Resource`, `DomainResource`, `Element`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_abstract: bool,
    /// All its elements, inherited ones too, in the order of the specification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<ElementDefinition>,
}

/// What a type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TypeKind {
    /// Has a value in JSON (`string`, `date`, `xhtml`).
    PrimitiveType,
    /// An object inside a resource.
    ComplexType,
    /// A resource.
    Resource,
}

/// An element of a [`TypeDefinition`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElementDefinition {
    /// Name without `[x]`.
    pub name: String,
    /// Its types; a `contentReference` names the type it refers to (`Questionnaire.item`).
    pub types: Vec<TypeReference>,
    /// Least number of values.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min: u32,
    /// Largest number of values; `None` is `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Whether its name is written with a type (`value[x]`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_choice: bool,
    /// Whether `_summary=true` includes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_summary: bool,
    /// Whether it changes the meaning of what surrounds it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_modifier: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape serde asks for
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A type an element may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeReference {
    /// Name of the type.
    pub code: String,
    /// For Reference and canonical: the resource types it may point to; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
}

/// A type of a [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub(crate) u16);

/// A property of a [`Schema`]: one element of one type, with one of its types where it is a choice. Within
/// a type they ascend in the order of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PropertyId(pub(crate) u32);

/// Types and properties, resolved.
#[derive(Debug)]
pub struct Schema {}

impl Schema {
    /// Builds a schema.
    ///
    /// # Errors
    /// A type that is named but not defined, a type defined twice, or more types than fit.
    pub fn build(definitions: &[TypeDefinition]) -> Result<Schema, SchemaError> {
        let _ = definitions;
        todo!()
    }

    /// The type of a name (`Patient`, `Patient.contact`, `string`).
    pub fn type_id(&self, name: &str) -> Option<TypeId> {
        let _ = name;
        todo!()
    }

    /// Whether `name` is a resource type that can have instances.
    pub fn is_resource(&self, name: &str) -> bool {
        let _ = name;
        todo!()
    }
}

/// Why a [`Schema`] cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// An element's or a base's type is not defined.
    #[error("{owner} uses the type {name}, which no package defines")]
    Undefined {
        /// The type or element that names it.
        owner: String,
        /// The missing type.
        name: String,
    },
    /// Two definitions of one type.
    #[error("the type {0} is defined twice")]
    Duplicate(String),
    /// More than fits the identifiers.
    #[error("too many types or properties")]
    TooLarge,
}
