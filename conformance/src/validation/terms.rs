//! Bindings and codes: what terminology says of an element's codes, remembered where it is "right".

use std::sync::RwLock;

use fhirpath::Element;
use fhirpath::Schema;
use fhirpath::expression::Coding;
use fhirpath::schema::TypeId;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::structure::Binding;

/// Most codes that are remembered for one binding.
pub(super) const MAX_KNOWN: usize = 10_000;

/// `ElementDefinition.binding.strength`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    Preferred,
    Extensible,
    Required,
}

/// A binding that is checked.
pub(super) struct BindingRule {
    pub strength: Strength,
    pub value_set: Box<str>,
    /// The value set that a code must be in whatever the strength.
    pub max: Option<Box<str>>,
    /// Whether the definition also names the one code: that it is not in an extensible value set then is the definition's own
    /// choice, and nobody who writes a resource can do otherwise.
    pub is_beside_code: bool,
    pub known: Known,
}

impl BindingRule {
    /// `None` for examples, and where no value set is named.
    pub fn new(binding: &Binding) -> Option<BindingRule> {
        let strength = match binding.strength.as_str() {
            "required" => Strength::Required,
            "extensible" => Strength::Extensible,
            "preferred" => Strength::Preferred,
            _ if binding.max_value_set.is_some() => Strength::Preferred,
            _ => return None,
        };
        Some(BindingRule {
            strength,
            value_set: binding.value_set.as_deref()?.into(),
            max: binding.max_value_set.as_deref().map(Into::into),
            is_beside_code: false,
            known: Known::default(),
        })
    }

    /// Whether a definition says the same.
    pub fn is_of(&self, binding: &Binding) -> bool {
        BindingRule::new(binding).is_some_and(|other| {
            other.strength == self.strength && other.value_set == self.value_set && other.max == self.max
        })
    }
}

/// Whether values of a type have codes.
pub(super) fn is_bindable(type_name: &str) -> bool {
    matches!(
        type_name,
        "code" | "Coding" | "CodeableConcept" | "Quantity" | "string" | "uri" | "Age" | "Duration"
    )
}

/// Codes that are right.
#[derive(Default)]
pub(super) struct Known(RwLock<FxHashSet<Box<str>>>);

impl Known {
    #[inline]
    pub fn has(&self, key: &str) -> bool {
        self.0.read().is_ok_and(|known| known.contains(key))
    }

    pub fn add(&self, key: &str) {
        if let Ok(mut known) = self.0.write()
            && known.len() < MAX_KNOWN
        {
            known.insert(key.into());
        }
    }
}

/// The types that have codes.
#[derive(Clone, Copy)]
pub(super) struct CodeTypes {
    coding: Option<TypeId>,
    concept: Option<TypeId>,
    quantity: Option<TypeId>,
}

/// The codes of an element.
pub(super) enum Codes<'t> {
    /// It is one: `code`, `string`, `uri`.
    Lone(Coding<'t>),
    /// Those of a Coding, a CodeableConcept or a Quantity, with where each stands.
    Codings(SmallVec<[(Element<'t>, Coding<'t>); 2]>),
}

impl CodeTypes {
    pub fn new(schema: &Schema) -> CodeTypes {
        let id = |name| schema.type_id(name);
        CodeTypes { coding: id("Coding"), concept: id("CodeableConcept"), quantity: id("Quantity") }
    }

    pub fn is_concept(&self, id: TypeId) -> bool {
        self.concept == Some(id)
    }

    pub fn codes<'t>(&self, element: Element<'t>) -> Codes<'t> {
        let id = element.type_id();
        let with = |element: Element<'t>| Some((element, coding(element)?));
        if self.concept == Some(id) {
            return Codes::Codings(element.all("coding").filter_map(with).collect());
        }
        let schema = element.tree().schema();
        let is_quantity = || self.quantity.is_some_and(|quantity| schema.is_subtype(id, quantity));
        if self.coding == Some(id) || is_quantity() {
            return Codes::Codings(with(element).into_iter().collect());
        }
        Codes::Lone(Coding { code: element.value().unwrap_or_default(), ..Coding::default() })
    }
}

/// The code of a Coding or Quantity, if it has one.
pub(super) fn coding(element: Element<'_>) -> Option<Coding<'_>> {
    let mut found = Coding::default();
    let mut has_code = false;
    for child in element.children() {
        match child.name() {
            "system" => found.system = child.value(),
            "version" => found.version = child.value(),
            "code" => {
                found.code = child.value()?;
                has_code = true;
            }
            "display" => found.display = child.value(),
            _ => {}
        }
    }
    has_code.then_some(found)
}

/// A text that tells one coding in a value set from others.
pub(super) fn key(value_set: &str, coding: &Coding<'_>, buffer: &mut String) {
    buffer.clear();
    buffer.push_str(value_set);
    buffer.push('\u{1}');
    for part in
        [coding.system.as_deref(), Some(&coding.code), coding.version.as_deref(), coding.display.as_deref()]
    {
        buffer.push_str(part.unwrap_or_default());
        buffer.push('\u{1}');
    }
}
