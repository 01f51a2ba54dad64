//! What an element is to the index: its type, reduced to the few forms that values are read from.

use conformance::SearchParameterType;
use fhirpath::schema::TypeId;
use fhirpath::{Element, Schema};
use rustc_hash::FxHashMap;

/// A form of element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Coding,
    CodeableConcept,
    Identifier,
    ContactPoint,
    /// The primitive `code`, whose system the binding implies.
    Code,
    Canonical,
    /// Any other primitive that is compared as text.
    Text,
    /// `date`, `dateTime`, `instant`.
    Date,
    Period,
    Timing,
    /// `decimal` and the integers.
    Number,
    Range,
    Quantity,
    Money,
    SampledData,
    Reference,
    HumanName,
    Address,
}

const OF_TYPES: [(&str, Shape); 35] = [
    ("Coding", Shape::Coding),
    ("CodeableConcept", Shape::CodeableConcept),
    ("Identifier", Shape::Identifier),
    ("ContactPoint", Shape::ContactPoint),
    ("code", Shape::Code),
    ("canonical", Shape::Canonical),
    ("boolean", Shape::Text),
    ("id", Shape::Text),
    ("markdown", Shape::Text),
    ("oid", Shape::Text),
    ("string", Shape::Text),
    ("uri", Shape::Text),
    ("url", Shape::Text),
    ("uuid", Shape::Text),
    ("date", Shape::Date),
    ("dateTime", Shape::Date),
    ("instant", Shape::Date),
    ("Period", Shape::Period),
    ("Timing", Shape::Timing),
    ("decimal", Shape::Number),
    ("integer", Shape::Number),
    ("positiveInt", Shape::Number),
    ("unsignedInt", Shape::Number),
    ("Range", Shape::Range),
    ("Quantity", Shape::Quantity),
    ("Age", Shape::Quantity),
    ("Count", Shape::Quantity),
    ("Distance", Shape::Quantity),
    ("Duration", Shape::Quantity),
    ("SimpleQuantity", Shape::Quantity),
    ("Money", Shape::Money),
    ("SampledData", Shape::SampledData),
    ("Reference", Shape::Reference),
    ("HumanName", Shape::HumanName),
    ("Address", Shape::Address),
];

/// Whether elements of a type can have values of a type of parameter. Of an element whose type is not known, everything can
/// come.
pub(super) fn gives_values(kind: SearchParameterType, name: &str) -> bool {
    if matches!(name, "Any" | "Element" | "BackboneElement" | "DataType") {
        return true;
    }
    let shape = OF_TYPES.iter().find(|(known, _)| *known == name).map(|(_, shape)| *shape);
    let Some(shape) = shape else {
        // Contained and referred resources have ids.
        return kind == SearchParameterType::Composite
            || kind == SearchParameterType::Reference && name.starts_with(char::is_uppercase);
    };
    match kind {
        SearchParameterType::Token => matches!(
            shape,
            Shape::Coding
                | Shape::CodeableConcept
                | Shape::Identifier
                | Shape::ContactPoint
                | Shape::Code
                | Shape::Text
                | Shape::Canonical
                | Shape::Number
                | Shape::Date
        ),
        SearchParameterType::String => {
            matches!(shape, Shape::Text | Shape::Code | Shape::Canonical | Shape::HumanName | Shape::Address)
        }
        SearchParameterType::Date => matches!(shape, Shape::Date | Shape::Period | Shape::Timing),
        SearchParameterType::Number => matches!(shape, Shape::Number | Shape::Range),
        SearchParameterType::Quantity => {
            matches!(shape, Shape::Quantity | Shape::Money | Shape::Range | Shape::SampledData)
        }
        SearchParameterType::Reference => {
            matches!(shape, Shape::Reference | Shape::Canonical | Shape::Text)
        }
        SearchParameterType::Uri => matches!(shape, Shape::Text | Shape::Canonical),
        SearchParameterType::Composite => true,
        SearchParameterType::Special => false,
    }
}

/// The forms of a schema's types.
pub(super) struct Shapes(FxHashMap<TypeId, Shape>);

impl Shapes {
    pub(super) fn new(schema: &Schema) -> Shapes {
        let known = OF_TYPES.iter().filter_map(|(name, shape)| Some((schema.type_id(name)?, *shape)));
        Shapes(known.collect())
    }

    /// The form of an element; `None` for one that values are never read from.
    pub(super) fn of(&self, element: Element<'_>) -> Option<Shape> {
        self.0.get(&element.type_id()).copied()
    }
}
