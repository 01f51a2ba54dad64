//! What an evaluation may ask of its caller: the clock, other resources, terminology, profiles, a trace. Each is
//! optional; a function that needs one that is missing is an error that names it, never an empty result.

use std::borrow::Cow;

use super::EvaluationError;
use super::item::Item;
use super::temporal::DateTime;
use crate::tree::Element;

type Result<T, E = EvaluationError> = std::result::Result<T, E>;

/// What a caller provides. Cheap to copy.
#[derive(Clone, Copy, Default)]
pub struct Environment<'t> {
    /// The moment that `now()`, `today()` and `timeOfDay()` tell.
    pub now: Option<DateTime>,
    /// What `%resource` is, where it is not the resource that the input is or stands in: a rule of a Bundle's or a
    /// resource's definition about a resource inside is asked of that resource, and is about the outer one.
    pub resource: Option<Element<'t>>,
    /// For `resolve()` of references to other resources.
    pub resolver: Option<&'t dyn Resolver<'t>>,
    /// For `memberOf()`, `subsumes()` and `subsumedBy()`.
    pub terminology: Option<&'t dyn Terminology>,
    /// For `conformsTo()`, `elementDefinition()` and `slice()`.
    pub profiles: Option<&'t dyn Profiles<'t>>,
    /// Where `trace()` reports; without one it is silent.
    pub trace: Option<&'t dyn Trace>,
}

/// Finds resources (<https://hl7.org/fhir/R4/fhirpath.html#functions>, `resolve()`).
pub trait Resolver<'t> {
    /// The resource that `url`, the text of a Reference, canonical or uri inside `from`'s resource, points to. Contained
    /// resources and those of the same Bundle are never asked for. `None`: there is none, and the reference is passed over.
    ///
    /// # Errors
    /// The store cannot be read.
    fn resolve(&self, url: &str, from: Element<'t>) -> Result<Option<Element<'t>>>;
}

/// A code and what it is a code of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coding<'a> {
    /// The code system's URL; `None` for a lone code, whose system the value set implies.
    pub system: Option<Cow<'a, str>>,
    /// The code system's version.
    pub version: Option<Cow<'a, str>>,
    /// The code.
    pub code: Cow<'a, str>,
    /// Its display, as the data has it.
    pub display: Option<Cow<'a, str>>,
}

/// Answers questions about codes. `None` is "cannot tell", which the language turns into empty.
pub trait Terminology {
    /// Whether a code is in a value set, given by its canonical URL.
    ///
    /// # Errors
    /// The value set is not known.
    fn member_of(&self, coding: &Coding<'_>, value_set: &str) -> Result<Option<bool>>;

    /// Whether `ancestor` is `descendant` or subsumes it.
    ///
    /// # Errors
    /// The code system is not known.
    fn subsumes(&self, ancestor: &Coding<'_>, descendant: &Coding<'_>) -> Result<Option<bool>>;
}

/// Answers questions about profiles.
pub trait Profiles<'t> {
    /// Whether an element conforms to a StructureDefinition, given by its canonical URL. `None` is "cannot tell".
    ///
    /// # Errors
    /// The StructureDefinition is not known.
    fn conforms_to(&self, element: Element<'t>, structure: &str) -> Result<Option<bool>>;

    /// The ElementDefinition of an element, if there is one.
    ///
    /// # Errors
    /// The definitions cannot be read.
    fn element_definition(&self, element: Element<'t>) -> Result<Option<Element<'t>>>;

    /// Whether an element is in the slice `name` of the StructureDefinition `structure`.
    ///
    /// # Errors
    /// The StructureDefinition or the slice is not known.
    fn slice(&self, element: Element<'t>, structure: &str, name: &str) -> Result<bool>;
}

/// Hears what `trace()` says. It may be shown to the user who owns the data, and never logged.
pub trait Trace {
    /// The name and the items of a trace.
    fn trace(&self, name: &str, items: &[Item<'_>]);
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let has = [
            ("now", self.now.is_some()),
            ("resolver", self.resolver.is_some()),
            ("terminology", self.terminology.is_some()),
            ("profiles", self.profiles.is_some()),
            ("trace", self.trace.is_some()),
        ];
        f.debug_set().entries(has.iter().filter(|(_, is)| *is).map(|(name, _)| name)).finish()
    }
}
