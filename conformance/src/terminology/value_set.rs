//! A value set, made ready to be asked whether codes are in it (<https://hl7.org/fhir/R4/valueset.html#compositions>).
//! What cannot be told, because a code system or another value set is not there, is said so.

use std::borrow::Cow;
use std::sync::Arc;

use fhirpath::expression::Coding;
use rustc_hash::FxHashMap;

use super::code_system::{Concept, Content, Gaps, Steps};
use super::filter::Filter;
use super::{NotChecked, TerminologyError, model};

type Result<T> = std::result::Result<T, TerminologyError>;

/// A value set whose code systems and imports have been found.
pub(super) struct ValueSet {
    pub(super) url: String,
    pub(super) includes: Vec<Part>,
    pub(super) excludes: Vec<Part>,
    /// Whether inactive codes are in it.
    pub(super) inactive: bool,
    /// Whether stored resources had a say in it.
    pub(super) uses_store: bool,
    /// Its includes and excludes, with those of its imports, and one.
    pub(super) weight: usize,
}

/// An include or an exclude: codes that are in `codes` and in all of `value_sets`.
pub(super) struct Part {
    pub(super) codes: Codes,
    pub(super) value_sets: Vec<Import>,
}

/// An imported value set, or why it is not there.
pub(super) type Import = std::result::Result<Arc<ValueSet>, NotChecked>;

/// A code system, or why it is not there.
pub(super) type System = std::result::Result<Arc<dyn Content>, NotChecked>;

/// The codes of a part.
pub(super) enum Codes {
    /// Any: the part is the intersection of its value sets.
    Any,
    /// Those listed.
    Listed(Listed),
    /// Those of a code system that pass all filters.
    System { url: Box<str>, version: Option<Box<str>>, system: System, filters: Vec<Filter> },
    /// Those of an expansion that someone made.
    Stated(Vec<Listed>),
}

/// Listed codes of a code system.
pub(super) struct Listed {
    pub(super) url: Box<str>,
    pub(super) version: Option<Box<str>>,
    pub(super) system: System,
    pub(super) concepts: Vec<model::ListedConcept>,
    pub(super) index: FxHashMap<Box<str>, u32>,
}

/// Whether a code is in a value set, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Membership {
    In,
    Out,
    Unknown(NotChecked),
}

impl ValueSet {
    /// Whether a code is in it.
    pub(super) fn membership(&self, coding: &Coding<'_>, steps: &mut Steps) -> Result<Membership> {
        match any(&self.includes, coding, steps)? {
            Membership::In => {}
            other => return Ok(other),
        }
        Ok(match any(&self.excludes, coding, steps)? {
            Membership::In => Membership::Out,
            Membership::Out if !self.inactive && self.is_inactive(coding)? => Membership::Out,
            Membership::Out => Membership::In,
            unknown => unknown,
        })
    }

    fn is_inactive(&self, coding: &Coding<'_>) -> Result<bool> {
        Ok(self.concept(coding)?.is_some_and(|concept| concept.inactive))
    }

    /// The concept of a code that is in it, from its code system.
    pub(super) fn concept(&self, coding: &Coding<'_>) -> Result<Option<Arc<Concept>>> {
        for part in &self.includes {
            for system in part.codes.systems(coding) {
                if let Some(concept) = system.find(&coding.code)? {
                    return Ok(Some(concept));
                }
            }
            for import in part.value_sets.iter().flatten() {
                if let Some(concept) = import.concept(coding)? {
                    return Ok(Some(concept));
                }
            }
        }
        Ok(None)
    }

    /// The text that the value set itself gives a code.
    pub(super) fn listed(&self, coding: &Coding<'_>) -> Option<&model::ListedConcept> {
        self.includes.iter().find_map(|part| {
            let listed = part.codes.lists().iter().find_map(|listed| listed.get(coding));
            listed.or_else(|| part.value_sets.iter().flatten().find_map(|import| import.listed(coding)))
        })
    }
}

fn any(parts: &[Part], coding: &Coding<'_>, steps: &mut Steps) -> Result<Membership> {
    let mut found = Membership::Out;
    for part in parts {
        match part.membership(coding, steps)? {
            Membership::In => return Ok(Membership::In),
            Membership::Out => {}
            unknown => found = unknown,
        }
    }
    Ok(found)
}

impl Part {
    /// Whether a code is in it.
    pub(super) fn membership(&self, coding: &Coding<'_>, steps: &mut Steps) -> Result<Membership> {
        steps.take(|| "the question whether a code is in a value set".to_owned())?;
        let mut found = self.codes.membership(coding, steps)?;
        for import in &self.value_sets {
            if found == Membership::Out {
                break;
            }
            match import {
                Ok(set) => match set.membership(coding, steps)? {
                    Membership::In => {}
                    other => found = other,
                },
                Err(why) => found = Membership::Unknown(why.clone()),
            }
        }
        Ok(found)
    }
}

impl Codes {
    pub(super) fn lists(&self) -> &[Listed] {
        match self {
            Codes::Listed(listed) => std::slice::from_ref(listed),
            Codes::Stated(lists) => lists,
            Codes::Any | Codes::System { .. } => &[],
        }
    }

    /// The code systems, as far as they are there, that a code may be of.
    fn systems(&self, coding: &Coding<'_>) -> Vec<&Arc<dyn Content>> {
        let of = |url: &str| is_of(coding, url, None);
        match self {
            Codes::System { url, system: Ok(system), .. } if of(url) => vec![system],
            Codes::Any | Codes::System { .. } => Vec::new(),
            Codes::Listed(_) | Codes::Stated(_) => {
                let lists = self.lists().iter().filter(|listed| of(&listed.url));
                lists.filter_map(|listed| listed.system.as_ref().ok()).collect()
            }
        }
    }

    fn membership(&self, coding: &Coding<'_>, steps: &mut Steps) -> Result<Membership> {
        match self {
            Codes::Any => Ok(Membership::In),
            Codes::Listed(_) | Codes::Stated(_) => {
                let found = self.lists().iter().any(|listed| listed.get(coding).is_some());
                Ok(if found { Membership::In } else { Membership::Out })
            }
            Codes::System { url, version, .. } if !is_of(coding, url, version.as_deref()) => {
                Ok(Membership::Out)
            }
            Codes::System { system: Err(why), .. } => Ok(Membership::Unknown(why.clone())),
            Codes::System { system: Ok(system), filters, .. } => in_system(system, filters, coding, steps),
        }
    }
}

impl Listed {
    /// Codes that the code system, where the whole of it is here, does not have are left out.
    pub(super) fn new(
        url: &str,
        version: Option<&str>,
        system: System,
        concepts: Vec<model::ListedConcept>,
    ) -> Result<Listed> {
        let whole = system.as_ref().ok().filter(|system| system.description().is_complete).cloned();
        let mut listed = Listed {
            url: url.into(),
            version: version.map(Into::into),
            system,
            concepts: Vec::with_capacity(concepts.len()),
            index: FxHashMap::default(),
        };
        let mut gaps = Gaps::default();
        for concept in concepts {
            let exists = match &whole {
                Some(system) => gaps.pass(system.find(&concept.code))?.is_some(),
                None => true,
            };
            if exists {
                let at = u32::try_from(listed.concepts.len()).unwrap_or(u32::MAX);
                listed.index.entry(listed.folded(&concept.code).into()).or_insert(at);
                listed.concepts.push(concept);
            }
        }
        gaps.end()?;
        Ok(listed)
    }

    /// A code as it is compared.
    fn folded<'c>(&self, code: &'c str) -> Cow<'c, str> {
        match &self.system {
            Ok(system) if !system.description().case_sensitive => Cow::Owned(code.to_lowercase()),
            _ => Cow::Borrowed(code),
        }
    }

    pub(super) fn get(&self, coding: &Coding<'_>) -> Option<&model::ListedConcept> {
        if !is_of(coding, &self.url, self.version.as_deref()) {
            return None;
        }
        self.index.get(self.folded(&coding.code).as_ref()).and_then(|&at| self.concepts.get(at as usize))
    }
}

/// Whether a coding is of a code system. A lone code may be of any; versions differ only where both say one.
fn is_of(coding: &Coding<'_>, url: &str, version: Option<&str>) -> bool {
    coding.system.as_deref().is_none_or(|system| system == url)
        && match (coding.version.as_deref(), version) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
}

fn in_system(
    system: &Arc<dyn Content>,
    filters: &[Filter],
    coding: &Coding<'_>,
    steps: &mut Steps,
) -> Result<Membership> {
    let description = system.description();
    let Some(concept) = system.find(&coding.code)? else {
        return Ok(match description.is_complete {
            true => Membership::Out,
            false => Membership::Unknown(NotChecked::IncompleteSystem { url: description.url.clone() }),
        });
    };
    for filter in filters {
        steps.take(|| "the question whether a code passes filters".to_owned())?;
        match filter.passes(&**system, &concept, steps)? {
            Membership::In => {}
            other => return Ok(other),
        }
    }
    Ok(Membership::In)
}
