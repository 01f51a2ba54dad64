//! Values of token parameters (<https://hl7.org/fhir/R4/search.html#token>).
//!
//! | element | system | code |
//! |---|---|---|
//! | Coding, each coding of a CodeableConcept | `system` | `code` |
//! | Identifier | `system` | `value` |
//! | `code` | implied ([`IMPLIED_SYSTEM`]) | its value |
//! | ContactPoint | none | `value` |
//! | boolean, id, string, uri and their like | none | its value |
//!
//! Codes are compared as they are written: R4 leaves their case open, and identifiers of two patients may differ
//! in nothing else. Displays and texts are not values; `:text` asks of them ([`super::aspect`]).

use fhirpath::{Element, Expression};
use store::Value;

use super::shape::Shape;
use super::{Source, child_text};

/// The system of a `code` element, which its binding implies and the resource does not write. No uri begins with
/// a space, so no system of a resource equals it; a query for any system and a code asks for this one too.
pub(crate) const IMPLIED_SYSTEM: &str = " implied";

/// Which systems the values of a parameter or component can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Systems {
    /// Those that resources write, or none.
    Written,
    /// Only implied ones: all its values are of the type `code`.
    Implied,
    /// Either.
    Both,
}

impl Systems {
    /// Those of the values an expression selects.
    pub(super) fn of(expression: &Expression) -> Systems {
        let types = expression.result_types();
        if types.iter().all(|name| name == "code") {
            return Systems::Implied;
        }
        let maybe = |name: &String| matches!(name.as_str(), "code" | "Element" | "Any");
        if types.iter().any(maybe) { Systems::Both } else { Systems::Written }
    }
}

pub(super) fn values(source: Source<'_>, element: Element<'_>, found: &mut dyn FnMut(Value<'_>)) {
    match source.shapes.of(element) {
        Some(Shape::Coding) => pair(element, "code", found),
        Some(Shape::CodeableConcept) => {
            element.all("coding").for_each(|coding| pair(coding, "code", found));
        }
        Some(Shape::Identifier) => pair(element, "value", found),
        Some(Shape::ContactPoint) => {
            child_text(element, "value", |code| found(Value::Token { system: "", code }));
        }
        Some(Shape::Code) => plain(element, IMPLIED_SYSTEM, found),
        Some(Shape::Text | Shape::Canonical | Shape::Number | Shape::Date) => plain(element, "", found),
        _ => {}
    }
}

fn plain(element: Element<'_>, system: &str, found: &mut dyn FnMut(Value<'_>)) {
    if let Some(code) = element.value() {
        found(Value::Token { system, code: &code });
    }
}

/// A system and a code, either of which may be absent, but not both.
pub(super) fn pair(element: Element<'_>, code: &str, found: &mut dyn FnMut(Value<'_>)) {
    let system = element.get("system").and_then(Element::value);
    let code = element.get(code).and_then(Element::value);
    if system.is_some() || code.is_some() {
        found(Value::Token {
            system: system.as_deref().unwrap_or_default(),
            code: code.as_deref().unwrap_or_default(),
        });
    }
}
