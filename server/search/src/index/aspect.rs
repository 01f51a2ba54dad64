//! What modifiers ask of: values kept beside a parameter's own, each under a number that follows those of all parameters.
//!
//! | aspect | of | values |
//! |---|---|---|
//! | text | token | strings: `text` and `display` of a CodeableConcept, `display` of a Coding, `type.text` of an Identifier |
//! | | reference | strings: `display` |
//! | identifier | reference | tokens: `identifier` |
//! | of-type | token | composites: each coding of an Identifier's `type`, with its `value` |
//! | canonical | quantity, and composites with one | the same in the base units of UCUM, if its unit is one |

use conformance::{SearchParameter, SearchParameterType};
use fhirpath::Element;
use store::{Parameter, ParameterId, Value};

use super::shape::Shape;
use super::{Source, child_text, token};

/// What a modifier asks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aspect {
    Text,
    Identifier,
    OfType,
    Canonical,
}

/// How many there are; [`OwnParameter::NUMBERS`](store::OwnParameter::NUMBERS) has room for each.
const COUNT: usize = 4;

static ALL: [(Aspect, &str); COUNT] = [
    (Aspect::Text, "text"),
    (Aspect::Identifier, "identifier"),
    (Aspect::OfType, "of-type"),
    (Aspect::Canonical, "canonical"),
];

/// The numbers of one parameter's aspects.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Aspects([Option<ParameterId>; COUNT]);

impl Aspects {
    /// Those of all parameters; what the store must know of them follows in `stored`.
    pub(super) fn of_all(parameters: &[SearchParameter], stored: &mut Vec<Parameter>) -> Vec<Aspects> {
        let of_one = |parameter: &SearchParameter| {
            let mut aspects = Aspects::default();
            for ((aspect, name), place) in ALL.iter().zip(&mut aspects.0) {
                let number = u16::try_from(stored.len()).ok().filter(|n| *n < ParameterId::RESERVED);
                if aspect.is_of(parameter) {
                    *place = number.map(ParameterId);
                    stored.push(Parameter { name: format!("{}.{}:{name}", parameter.base, parameter.code) });
                }
            }
            aspects
        };
        parameters.iter().map(of_one).collect()
    }

    /// Those of a tenant's own parameter: the numbers after its own.
    pub(super) fn of_own(parameter: &SearchParameter, id: ParameterId) -> Aspects {
        let mut aspects = Aspects::default();
        for (((aspect, _), place), number) in ALL.iter().zip(&mut aspects.0).zip(id.0 + 1..) {
            if aspect.is_of(parameter) {
                *place = Some(ParameterId(number));
            }
        }
        aspects
    }

    pub(super) fn get(&self, aspect: Aspect) -> Option<ParameterId> {
        ALL.iter().zip(self.0).find(|((known, _), _)| *known == aspect).and_then(|(_, number)| number)
    }

    /// Each with its number.
    pub(super) fn iter(self) -> impl Iterator<Item = (Aspect, ParameterId)> {
        ALL.iter().zip(self.0).filter_map(|((aspect, _), number)| Some((*aspect, number?)))
    }
}

impl Aspect {
    /// Whether a parameter can have values of it.
    fn is_of(self, parameter: &SearchParameter) -> bool {
        let Some(expression) = parameter.expression.as_ref().filter(|_| parameter.is_indexed()) else {
            return false;
        };
        let selects = |names: &[&str]| {
            let types = expression.result_types();
            types.iter().any(|name| names.contains(&name.as_str()) || name == "Any" || name == "Element")
        };
        match (self, parameter.kind) {
            (Aspect::Text, SearchParameterType::Token) => {
                selects(&["CodeableConcept", "Coding", "Identifier"])
            }
            (Aspect::OfType, SearchParameterType::Token) => selects(&["Identifier"]),
            (Aspect::Text | Aspect::Identifier, SearchParameterType::Reference) => selects(&["Reference"]),
            (Aspect::Canonical, SearchParameterType::Quantity) => true,
            (Aspect::Canonical, SearchParameterType::Composite) => {
                parameter.components.iter().any(|part| part.kind == SearchParameterType::Quantity)
            }
            _ => false,
        }
    }
}

/// Hands the texts of an element to `found`.
pub(super) fn texts(source: Source<'_>, element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    let mut text = |element: Element<'_>, name: &str| {
        child_text(element, name, |text| found(Value::String(text)));
    };
    match source.shapes.of(element) {
        Some(Shape::CodeableConcept) => {
            text(element, "text");
            element.all("coding").for_each(|coding| text(coding, "display"));
        }
        Some(Shape::Coding | Shape::Reference) => text(element, "display"),
        Some(Shape::Identifier) => {
            element.all("type").for_each(|of_type| text(of_type, "text"));
        }
        _ => {}
    }
}

/// Hands the identifier of a Reference to `found`.
pub(super) fn identifier(source: Source<'_>, element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    if source.shapes.of(element) == Some(Shape::Reference) {
        element.all("identifier").for_each(|identifier| token::pair(identifier, "value", found));
    }
}

/// Hands the types of an Identifier, each with its value, to `found`.
pub(super) fn of_type(source: Source<'_>, element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    if source.shapes.of(element) != Some(Shape::Identifier) {
        return;
    }
    let Some(value) = element.get("value").and_then(Element::value) else { return };
    for coding in element.all("type").flat_map(|of_type| of_type.all("coding")) {
        token::pair(coding, "code", &mut |of_type| {
            found(Value::Composite(vec![of_type, Value::Token { system: "", code: &value }]));
        });
    }
}
