//! The element schema: which types there are, and which properties each has.
//!
//! Built once at start from [`TypeDefinition`]s (which `conformance` reads out of packages) and shared.
//! Choice elements are expanded: `value[x]` of type Quantity or string is two properties, `valueQuantity`
//! and `valueString`, both named `value`.

use std::ops::Range;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::primitive::Primitive;

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

impl TypeId {
    /// Its number: types are numbered from 0 in the order they were defined, so that tables can be kept by it.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl PropertyId {
    /// Its number: properties are numbered from 0, those of a type one after another.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The range of it alone, for [`crate::Element::children_in`].
    #[inline]
    pub fn only(self) -> Range<PropertyId> {
        self..PropertyId(self.0 + 1)
    }
}

/// One element of one type, with one of its types where it is a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name in FHIRPath: `value` for `valueQuantity`.
    pub name: String,
    /// Its name in JSON: `valueQuantity`.
    pub json_name: String,
    /// The type it belongs to.
    pub owner: TypeId,
    /// The type of its values. `Resource` where any resource may stand.
    pub type_id: TypeId,
    /// Whether JSON writes it as an array.
    pub is_list: bool,
    /// Least number of values; for a choice, of all its properties together.
    pub min: u32,
    /// Largest number of values; `None` is `*`.
    pub max: Option<u32>,
    /// Whether `_summary=true` includes it.
    pub is_summary: bool,
    /// Whether it changes the meaning of what surrounds it.
    pub is_modifier: bool,
    /// Whether its element is a choice (`value[x]`).
    pub is_choice: bool,
    /// For Reference and canonical: the resource types it may point to; empty for any.
    pub targets: Vec<String>,
}

/// Types and properties, resolved.
pub struct Schema {
    types: Vec<Type>,
    properties: Vec<Property>,
    facts: Vec<Facts>,
    /// The JSON names of the properties.
    keys: Vec<Key>,
    by_name: FxHashMap<String, TypeId>,
}

#[derive(Debug)]
struct Type {
    name: String,
    kind: TypeKind,
    is_abstract: bool,
    base: Option<TypeId>,
    primitive: Option<Primitive>,
    properties: Range<u32>,
    by_json_name: Names,
    by_name: Names,
}

/// What the parser and the writer ask of a property, packed so that they stay in the nearest cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) type_id: TypeId,
    /// Set where the values are primitive.
    pub(crate) primitive: Option<Primitive>,
    pub(crate) is_list: bool,
    pub(crate) is_resource: bool,
    /// Whether `_name` may stand beside it. Not beside `id` and `Extension.url`, which are attributes in XML.
    pub(crate) may_extend: bool,
    /// How many properties of the same element come before it: 0 unless it is a choice.
    pub(crate) alternative: u8,
    /// How many properties the element has.
    pub(crate) alternatives: u8,
}

impl Schema {
    /// Builds a schema.
    ///
    /// # Errors
    /// A type that is named but not defined, a type defined twice, a primitive type that R4 does not have, or
    /// more types than fit.
    pub fn build(definitions: &[TypeDefinition]) -> Result<Schema, SchemaError> {
        let mut by_name = FxHashMap::default();
        for (index, definition) in definitions.iter().enumerate() {
            let id = TypeId(u16::try_from(index).map_err(|_| SchemaError::TooLarge)?);
            if by_name.insert(definition.name.clone(), id).is_some() {
                return Err(SchemaError::Duplicate(definition.name.clone()));
            }
        }
        let (types, properties, facts, keys) = Default::default();
        let mut schema = Schema { types, properties, facts, keys, by_name };
        for definition in definitions {
            schema.add_type(definition, definitions)?;
        }
        schema.keys =
            schema.properties.iter().map(|property| Key::new(property.json_name.as_bytes())).collect();
        schema.facts = (0..schema.properties.len()).filter_map(|index| schema.facts_of(index)).collect();
        Ok(schema)
    }

    fn add_type(
        &mut self,
        definition: &TypeDefinition,
        definitions: &[TypeDefinition],
    ) -> Result<(), SchemaError> {
        let owner = self.resolve(&definition.name, &definition.name)?;
        let base = definition.base.as_deref().map(|base| self.resolve(&definition.name, base)).transpose()?;
        let primitive = match definition.kind {
            TypeKind::PrimitiveType => Some(primitive_of(definition, definitions)?),
            TypeKind::ComplexType | TypeKind::Resource => None,
        };
        let first = self.properties.len();
        for element in definition.elements.iter().filter(|element| element.max != Some(0)) {
            self.add_element(owner, &definition.name, element)?;
        }
        let new = self.properties.get(first..).unwrap_or_default();
        let by_json_name = Names::new(new.iter().map(|property| property.json_name.as_str()));
        let by_name = Names::new(new.iter().map(|property| property.name.as_str()));
        let range = |n: usize| u32::try_from(n).map_err(|_| SchemaError::TooLarge);
        self.types.push(Type {
            name: definition.name.clone(),
            kind: definition.kind,
            is_abstract: definition.is_abstract,
            base,
            primitive,
            properties: range(first)?..range(self.properties.len())?,
            by_json_name,
            by_name,
        });
        Ok(())
    }

    fn add_element(
        &mut self,
        owner: TypeId,
        owner_name: &str,
        element: &ElementDefinition,
    ) -> Result<(), SchemaError> {
        if element.types.len() > usize::from(u8::MAX) || self.properties.len() >= MAX_PROPERTIES {
            return Err(SchemaError::TooLarge);
        }
        for reference in &element.types {
            let type_id = self.resolve(&format!("{owner_name}.{}", element.name), &reference.code)?;
            let json_name = match element.is_choice {
                true => format!("{}{}", element.name, capitalised(&reference.code)),
                false => element.name.clone(),
            };
            self.properties.push(Property {
                name: element.name.clone(),
                json_name,
                owner,
                type_id,
                is_list: element.max.is_none_or(|max| max > 1),
                min: element.min,
                max: element.max,
                is_summary: element.is_summary,
                is_modifier: element.is_modifier,
                is_choice: element.is_choice,
                targets: reference.targets.clone(),
            });
        }
        Ok(())
    }

    fn resolve(&self, owner: &str, name: &str) -> Result<TypeId, SchemaError> {
        self.type_id(name)
            .ok_or_else(|| SchemaError::Undefined { owner: owner.to_owned(), name: name.to_owned() })
    }

    fn facts_of(&self, index: usize) -> Option<Facts> {
        let property = self.properties.get(index)?;
        let same = |other: &&Property| other.owner == property.owner && other.name == property.name;
        let before = self.properties.get(..index)?.iter().rev().take_while(same).count();
        let after = self.properties.get(index..)?.iter().take_while(same).count();
        let of_extension = property.name == "url" && self.type_name(property.owner) == "Extension";
        Some(Facts {
            type_id: property.type_id,
            primitive: self.primitive(property.type_id),
            is_list: property.is_list,
            is_resource: self.kind(property.type_id) == TypeKind::Resource,
            may_extend: property.name != "id" && !of_extension,
            alternative: u8::try_from(before).unwrap_or(u8::MAX),
            alternatives: u8::try_from(before + after).unwrap_or(u8::MAX),
        })
    }

    /// The type of a name (`Patient`, `Patient.contact`, `string`).
    pub fn type_id(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// The name of a type.
    pub fn type_name(&self, id: TypeId) -> &str {
        &self.get(id).name
    }

    /// What a type is.
    pub fn kind(&self, id: TypeId) -> TypeKind {
        self.get(id).kind
    }

    /// The type a type specialises.
    pub fn base(&self, id: TypeId) -> Option<TypeId> {
        self.get(id).base
    }

    /// Whether a type has no instances of its own.
    pub fn is_abstract(&self, id: TypeId) -> bool {
        self.get(id).is_abstract
    }

    /// Which of FHIR's primitives a type is, if it is one.
    pub fn primitive(&self, id: TypeId) -> Option<Primitive> {
        self.get(id).primitive
    }

    /// Whether `id` is `ancestor` or specialises it, directly or not.
    pub fn is_subtype(&self, id: TypeId, ancestor: TypeId) -> bool {
        // A package's chain of bases may be circular; no honest one is longer than the number of types.
        let chain = std::iter::successors(Some(id), |&id| self.base(id));
        chain.take(self.types.len()).any(|id| id == ancestor)
    }

    /// Whether `name` is a resource type that can have instances.
    pub fn is_resource(&self, name: &str) -> bool {
        self.type_id(name).is_some_and(|id| self.kind(id) == TypeKind::Resource && !self.is_abstract(id))
    }

    /// All types, in the order they were defined.
    pub fn type_ids(&self) -> impl Iterator<Item = TypeId> + use<> {
        (0..u16::try_from(self.types.len()).unwrap_or(u16::MAX)).map(TypeId)
    }

    /// The names of the resource types that can have instances, in the order they were defined.
    pub fn resource_types(&self) -> impl Iterator<Item = &str> {
        let concrete = |t: &&Type| t.kind == TypeKind::Resource && !t.is_abstract;
        self.types.iter().filter(concrete).map(|t| t.name.as_str())
    }

    /// The properties of a type, inherited ones too, in the order of the specification.
    pub fn properties(&self, id: TypeId) -> &[Property] {
        let range = &self.get(id).properties;
        self.properties.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    /// The identifiers of [`Schema::properties`], in the same order.
    pub fn property_ids(&self, id: TypeId) -> impl Iterator<Item = PropertyId> + use<> {
        self.get(id).properties.clone().map(PropertyId)
    }

    /// A property.
    ///
    /// # Panics
    /// When the identifier is another schema's.
    #[allow(clippy::indexing_slicing)] // identifiers are made by `build`, one for each property
    pub fn definition(&self, id: PropertyId) -> &Property {
        &self.properties[id.0 as usize]
    }

    /// The properties of an element by its FHIRPath name: one, or for a choice one for each type.
    pub fn property(&self, owner: TypeId, name: &str) -> Option<Range<PropertyId>> {
        let first = self.get(owner).properties.start;
        let named = |index: u32| self.definition(PropertyId(index)).name == name;
        let start =
            first + self.get(owner).by_name.find(Key::new(name.as_bytes()), |index| named(first + index))?;
        let count = u32::from(self.facts(PropertyId(start)).alternatives);
        Some(PropertyId(start)..PropertyId(start + count))
    }

    #[inline]
    pub(crate) fn first_property(&self, owner: TypeId) -> u32 {
        self.get(owner).properties.start
    }

    /// The property by its JSON name, trying `guess` first.
    #[inline]
    pub(crate) fn json_property(&self, owner: TypeId, name: &[u8], guess: u32) -> Option<PropertyId> {
        let owner = self.get(owner);
        let key = Key::new(name);
        let named = |index: u32| {
            self.keys.get(index as usize) == Some(&key)
                && (key.is_whole() || self.definition(PropertyId(index)).json_name.as_bytes() == name)
        };
        if owner.properties.contains(&guess) && named(guess) {
            return Some(PropertyId(guess));
        }
        let first = owner.properties.start;
        owner.by_json_name.find(key, |index| named(first + index)).map(|index| PropertyId(first + index))
    }

    #[inline]
    #[allow(clippy::indexing_slicing)] // identifiers are made by `build`, one for each property
    pub(crate) fn facts(&self, id: PropertyId) -> Facts {
        self.facts[id.0 as usize]
    }

    #[inline]
    #[allow(clippy::indexing_slicing)] // identifiers are made by `build`, one for each type
    fn get(&self, id: TypeId) -> &Type {
        &self.types[usize::from(id.0)]
    }
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Schema({} types, {} properties)", self.types.len(), self.properties.len())
    }
}

/// A node keeps its property in 24 bits; the last value means "none".
const MAX_PROPERTIES: usize = 0x00FF_FF00;

fn capitalised(code: &str) -> String {
    let mut chars = code.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

/// The primitive that a type is, by its own name or that of a type it specialises.
fn primitive_of(
    definition: &TypeDefinition,
    definitions: &[TypeDefinition],
) -> Result<Primitive, SchemaError> {
    let base = |of: &&TypeDefinition| {
        let name = of.base.as_deref()?;
        definitions.iter().find(|other| other.name == name)
    };
    std::iter::successors(Some(definition), base)
        .take(definitions.len())
        .find_map(|candidate| Primitive::from_name(&candidate.name))
        .ok_or_else(|| SchemaError::UnknownPrimitive(definition.name.clone()))
}

/// Names to their position among a type's properties: a small open-addressed table.
#[derive(Debug)]
struct Names {
    /// Position + 1, 0 where free; a power of two long and at least half free.
    slots: Box<[u16]>,
}

impl Names {
    /// Of equal names the first is found.
    fn new<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Names {
        let size = (names.clone().count() * 2).next_power_of_two().max(2);
        let mut slots = vec![0; size].into_boxed_slice();
        for (position, name) in names.enumerate() {
            let start = Key::new(name.as_bytes()).hash() & (size - 1);
            let free = (start..size).chain(0..start).find(|&slot| slots.get(slot) == Some(&0));
            if let (Some(slot), Ok(entry)) =
                (free.and_then(|at| slots.get_mut(at)), u16::try_from(position + 1))
            {
                *slot = entry;
            }
        }
        Names { slots }
    }

    #[inline]
    fn find(&self, key: Key, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = key.hash() & mask;
        loop {
            let position = u32::from(*self.slots.get(at)?).checked_sub(1)?;
            if is(position) {
                return Some(position);
            }
            at = (at + 1) & mask;
        }
    }
}

/// Length, first and last eight bytes of a name: nearly always enough to tell it from others, in three words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    first: u64,
    last: u64,
    length: u64,
}

impl Key {
    #[inline]
    fn new(name: &[u8]) -> Key {
        let (first, last) = if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
        } else {
            (name.iter().fold(0, |sum, &byte| (sum << 8) | u64::from(byte)), 0)
        };
        Key { first, last, length: name.len() as u64 }
    }

    /// Whether no byte of the name is missing.
    #[inline]
    fn is_whole(self) -> bool {
        self.length <= 16
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the high half of the product is what is wanted
    fn hash(self) -> usize {
        let mixed = self.first ^ self.last.rotate_left(23) ^ (self.length << 56);
        (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize
    }
}

/// Why a [`Schema`] cannot be built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
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
    /// A primitive type that is none of R4's and specialises none of them.
    #[error("the primitive type {0} is not one of R4's")]
    UnknownPrimitive(String),
    /// More than fits the identifiers.
    #[error("too many types or properties")]
    TooLarge,
}

#[cfg(test)]
mod tests;
