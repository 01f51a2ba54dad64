//! The filters of `ValueSet.compose.include.filter`
//! (<https://hl7.org/fhir/R4/valueset-filter-operator.html>, <https://hl7.org/fhir/R4/codesystem.html#filters>).

use std::ops::ControlFlow;

use regex_lite::{Regex, RegexBuilder};
use rustc_hash::FxHashSet;

use super::code_system::{Concept, Content, Steps};
use super::value_set::Membership;
use super::{NotChecked, TerminologyError, model};

type Result<T> = std::result::Result<T, TerminologyError>;

const SNOMED_CT: &str = "http://snomed.info/sct";
/// Largest compiled pattern, bytes.
const MAX_PATTERN: usize = 1 << 16;

/// Codes below one.
pub(super) type Below = FxHashSet<Box<str>>;

/// A filter, ready to be applied.
pub(super) struct Filter {
    property: Box<str>,
    rule: Rule,
}

enum Rule {
    IsA(Box<str>),
    DescendentOf(Box<str>),
    IsNotA(Box<str>),
    Generalizes(Box<str>),
    Equal(Box<str>),
    In(FxHashSet<Box<str>>),
    NotIn(FxHashSet<Box<str>>),
    Matches(Regex),
    Exists(bool),
}

impl Filter {
    /// What a definition states.
    ///
    /// # Errors
    /// An operator that FHIR does not have, a pattern that is none.
    pub(super) fn new(stated: &model::Filter) -> Result<Filter> {
        let value = stated.value.as_str();
        let list = || value.split(',').map(|value| value.trim().into()).collect();
        let wrong = |why: &str| TerminologyError::Filter {
            filter: format!("{} {} {value}", stated.property, stated.op),
            why: why.to_owned(),
        };
        let rule = match stated.op.as_str() {
            "is-a" => Rule::IsA(value.into()),
            "descendent-of" => Rule::DescendentOf(value.into()),
            "is-not-a" => Rule::IsNotA(value.into()),
            "generalizes" => Rule::Generalizes(value.into()),
            // RxNorm's relations are asked for with the kind of identifier (<https://hl7.org/fhir/R4/rxnorm.html#filters>).
            "=" => Rule::Equal(value.strip_prefix("CUI:").unwrap_or(value).into()),
            "in" => Rule::In(list()),
            "not-in" => Rule::NotIn(list()),
            "regex" => {
                let whole = format!("^(?:{value})$");
                let pattern = RegexBuilder::new(&whole).size_limit(MAX_PATTERN).build();
                Rule::Matches(
                    pattern.map_err(|_| wrong("the value is no regular expression, or too large a one"))?,
                )
            }
            "exists" => match value {
                "true" => Rule::Exists(true),
                "false" => Rule::Exists(false),
                _ => return Err(wrong("the value of exists is true or false")),
            },
            _ => return Err(wrong("FHIR R4 has no such operator")),
        };
        Ok(Filter { property: stated.property.as_str().into(), rule })
    }

    /// The code that everything which can pass is, or is below.
    pub(super) fn root(&self) -> Option<&str> {
        match &self.rule {
            Rule::IsA(code) | Rule::DescendentOf(code) => Some(code),
            _ => None,
        }
    }

    /// Everything that is below the code that the filter is about, for a list of codes.
    pub(super) fn below(&self, system: &dyn Content) -> Result<Option<Below>> {
        let (Rule::IsA(code) | Rule::DescendentOf(code) | Rule::IsNotA(code)) = &self.rule else {
            return Ok(None);
        };
        let mut below = Below::default();
        if let Some(concept) = system.find(code)? {
            system.each_below(&concept, &mut |concept| {
                below.insert(concept.code.clone());
                ControlFlow::Continue(())
            })?;
        }
        Ok(Some(below))
    }

    /// Whether a concept passes a filter about a hierarchy: what [`Self::passes`] says, for many concepts.
    pub(super) fn passes_by(&self, below: &Below, concept: &Concept) -> bool {
        match &self.rule {
            Rule::IsA(code) => *concept.code == **code || below.contains(&concept.code),
            Rule::DescendentOf(_) => below.contains(&concept.code),
            Rule::IsNotA(code) => *concept.code != **code && !below.contains(&concept.code),
            _ => false,
        }
    }

    /// Whether a concept passes.
    pub(super) fn passes(
        &self,
        system: &dyn Content,
        concept: &Concept,
        steps: &mut Steps,
    ) -> Result<Membership> {
        let url = &system.description().url;
        let is_hierarchy = matches!(
            self.rule,
            Rule::IsA(_) | Rule::DescendentOf(_) | Rule::IsNotA(_) | Rule::Generalizes(_)
        );
        if is_hierarchy && !matches!(&*self.property, "concept" | "code") {
            let why = format!("the hierarchy is that of concepts, not of {}", self.property);
            return Err(TerminologyError::Filter { filter: self.property.to_string(), why });
        }
        if &*self.property == "ancestor" && !matches!(self.rule, Rule::Equal(_)) {
            let why = "ancestors can be asked for with = alone".to_owned();
            return Err(TerminologyError::Filter { filter: self.property.to_string(), why });
        }
        if !is_hierarchy && !self.is_defined(system) {
            let property = self.property.to_string();
            return Ok(Membership::Unknown(NotChecked::UnknownProperty { url: url.clone(), property }));
        }
        let passes = match &self.rule {
            Rule::Equal(code) if &*self.property == "ancestor" => system.is_below(concept, code, steps)?,
            // How FHIR asks for the members of a reference set (<https://hl7.org/fhir/R4/snomedct.html#filters>).
            Rule::In(sets) if url == SNOMED_CT && &*self.property == "concept" => {
                let sets_of = concept.properties.iter().filter(|property| property.code == "refset");
                let mut sets_of = sets_of.filter_map(|property| property.value_code.as_deref());
                sets_of.any(|of| sets.contains(of))
            }
            Rule::IsA(code) => *concept.code == **code || system.is_below(concept, code, steps)?,
            Rule::DescendentOf(code) => system.is_below(concept, code, steps)?,
            Rule::IsNotA(code) => *concept.code != **code && !system.is_below(concept, code, steps)?,
            Rule::Generalizes(code) => {
                *concept.code == **code
                    || match system.find(code)? {
                        Some(below) => system.is_below(&below, &concept.code, steps)?,
                        None => false,
                    }
            }
            Rule::Equal(value) => self.values(concept).iter().any(|it| **it == **value),
            Rule::In(values) => self.values(concept).iter().any(|it| values.contains(it.as_ref())),
            Rule::NotIn(values) => !self.values(concept).iter().any(|it| values.contains(it.as_ref())),
            Rule::Matches(pattern) => self.values(concept).iter().any(|it| pattern.is_match(it)),
            Rule::Exists(wanted) => *wanted != self.values(concept).is_empty(),
        };
        Ok(if passes { Membership::In } else { Membership::Out })
    }

    /// Whether concepts of a code system can have the property.
    fn is_defined(&self, system: &dyn Content) -> bool {
        matches!(
            &*self.property,
            "code" | "concept" | "display" | "parent" | "ancestor" | "child" | "inactive"
        ) || system.description().properties.iter().any(|property| *property.code == *self.property)
    }

    /// The values of the property.
    fn values<'c>(&self, concept: &'c Concept) -> Vec<std::borrow::Cow<'c, str>> {
        let texts = |codes: &'c [Box<str>]| codes.iter().map(|code| code.as_ref().into()).collect();
        match &*self.property {
            "code" | "concept" => vec![concept.code.as_ref().into()],
            "display" => concept.display.as_deref().map(Into::into).into_iter().collect(),
            "parent" => texts(&concept.parents),
            "child" => texts(&concept.children),
            name => {
                let own = concept.properties.iter().filter(|property| property.code == name);
                let values: Vec<_> = own.filter_map(model::Property::text).collect();
                match (name, values.is_empty()) {
                    ("inactive", true) => vec![concept.inactive.to_string().into()],
                    _ => values,
                }
            }
        }
    }
}
