//! Finds code systems, value sets and concept maps by canonical, and keeps what it made of them: first in the library,
//! then among the stored resources.

use std::sync::{Arc, PoisonError, RwLock};

use fhirpath::Tree;
use rustc_hash::FxHashMap;

use super::builtin;
use super::code_system::{Content, InMemory};
use super::filter::Filter;
use super::library::{Definition, Kind};
use super::value_set::{Codes, Import, Listed, Part, System, ValueSet};
use super::{NotChecked, Terminology, TerminologyError, model};

type Result<T> = std::result::Result<T, TerminologyError>;

/// Most answers that a cache holds: names come from outside.
const MAX_CACHED: usize = 10_000;
/// Longest chain of value sets that import one another.
const MAX_IMPORTS: usize = 32;
/// Most includes and excludes of a value set, those of its imports counted each time they are imported.
const MAX_PARTS: usize = 2_000;

/// What was found by canonical.
#[derive(Default)]
pub(super) struct Cache {
    systems: Answers<System>,
    value_sets: Answers<Import>,
}

/// Answers by canonical, each with the generation of the stored resources that it was found in.
struct Answers<T>(RwLock<FxHashMap<Box<str>, (u64, T)>>);

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Answers(RwLock::default())
    }
}

impl<T: Clone> Answers<T> {
    fn get(&self, canonical: &str, generation: u64) -> Option<T> {
        let answers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        answers.get(canonical).filter(|(of, _)| *of == generation).map(|(_, answer)| answer.clone())
    }

    fn put(&self, canonical: &str, generation: u64, answer: T) {
        let mut answers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MAX_CACHED {
            answers.clear();
        }
        answers.insert(canonical.into(), (generation, answer));
    }
}

/// An answer, and whether stored resources had a say in it.
struct Found<T> {
    answer: T,
    uses_store: bool,
}

/// A canonical's URL and version.
pub(super) fn split_canonical(canonical: &str) -> (&str, Option<&str>) {
    canonical.split_once('|').map_or((canonical, None), |(url, version)| (url, Some(version)))
}

fn join_canonical(url: &str, version: Option<&str>) -> String {
    version.map_or_else(|| url.to_owned(), |version| format!("{url}|{version}"))
}

impl Terminology {
    fn generation(&self) -> u64 {
        self.resources.as_ref().map_or(0, |resources| resources.generation())
    }

    /// The code system of a URL.
    pub(super) fn system(&self, url: &str, version: Option<&str>) -> Result<System> {
        Ok(self.find_system(url, version)?.answer)
    }

    fn find_system(&self, url: &str, version: Option<&str>) -> Result<Found<System>> {
        let canonical = join_canonical(url, version);
        if let Some(answer) = self.shared.systems.get(&canonical, 0) {
            return Ok(Found { answer, uses_store: false });
        }
        let generation = self.generation();
        if let Some(answer) = self.own.systems.get(&canonical, generation) {
            return Ok(Found { answer, uses_store: true });
        }
        let found = self.make_system(url, version, &canonical)?;
        match found.uses_store {
            true => self.own.systems.put(&canonical, generation, found.answer.clone()),
            false => self.shared.systems.put(&canonical, 0, found.answer.clone()),
        }
        Ok(found)
    }

    fn make_system(&self, url: &str, version: Option<&str>, canonical: &str) -> Result<Found<System>> {
        let known: Option<model::CodeSystem> = self.library.find(url, version);
        if known.is_none()
            && let Some(system) = builtin::code_system(url)?
        {
            return Ok(Found { answer: Ok(system), uses_store: false });
        }
        let is_whole = |system: &model::CodeSystem| system.content == "complete";
        if let Some(system) = known.as_ref().filter(|system| is_whole(system)) {
            return Ok(Found { answer: in_memory(system.clone(), canonical), uses_store: false });
        }
        let uses_store = self.resources.is_some();
        let stored: Option<model::CodeSystem> = self.stored(url, version)?;
        let best = stored.filter(has_concepts).or(known.filter(has_concepts));
        let answer = match best {
            Some(system) => in_memory(system, canonical),
            None => Err(NotChecked::UnknownSystem { url: canonical.to_owned() }),
        };
        Ok(Found { answer, uses_store })
    }

    /// The stored definition of a URL.
    pub(super) fn stored<T: Definition>(&self, url: &str, version: Option<&str>) -> Result<Option<T>> {
        let Some(resources) = &self.resources else { return Ok(None) };
        let tree = resources.by_canonical(T::KIND.resource_type(), url, version)?;
        tree.map(|tree| read(&tree, T::KIND, url)).transpose()
    }

    /// The value set of a canonical.
    pub(super) fn value_set(&self, canonical: &str) -> Result<Import> {
        if let Some(answer) = self.shared.value_sets.get(canonical, 0) {
            return Ok(answer);
        }
        if self.resources.is_some()
            && let Some(answer) = self.own.value_sets.get(canonical, self.generation())
        {
            return Ok(answer);
        }
        Ok(self.find_value_set(canonical, &mut Vec::new())?.answer)
    }

    fn find_value_set(&self, canonical: &str, importers: &mut Vec<String>) -> Result<Found<Import>> {
        if let Some(answer) = self.shared.value_sets.get(canonical, 0) {
            return Ok(Found { answer, uses_store: false });
        }
        let generation = self.generation();
        if let Some(answer) = self.own.value_sets.get(canonical, generation) {
            return Ok(Found { answer, uses_store: true });
        }
        let found = self.make_value_set(canonical, importers)?;
        match found.uses_store {
            true => self.own.value_sets.put(canonical, generation, found.answer.clone()),
            false => self.shared.value_sets.put(canonical, 0, found.answer.clone()),
        }
        Ok(found)
    }

    fn make_value_set(&self, canonical: &str, importers: &mut Vec<String>) -> Result<Found<Import>> {
        let (url, version) = split_canonical(canonical);
        let mut uses_store = false;
        let mut definition: Option<model::ValueSet> = self.library.find(url, version);
        if definition.is_none() {
            uses_store = self.resources.is_some();
            definition = self.stored(url, version)?;
        }
        let Some(definition) = definition else {
            let answer = Err(NotChecked::UnknownValueSet { url: canonical.to_owned() });
            return Ok(Found { answer, uses_store });
        };
        if importers.iter().any(|importer| importer == url) {
            return Err(TerminologyError::Cycle(url.to_owned()));
        }
        importers.push(url.to_owned());
        let set = self.compose(&definition, importers);
        importers.pop();
        let mut set = set?;
        set.uses_store |= uses_store;
        let uses_store = set.uses_store;
        Ok(Found { answer: Ok(Arc::new(set)), uses_store })
    }

    /// Finds what a value set is made of. `importers` are the URLs of those that import it, itself last.
    ///
    /// # Errors
    /// A definition that breaks a rule, or that is too large.
    pub(super) fn compose(
        &self,
        definition: &model::ValueSet,
        importers: &mut Vec<String>,
    ) -> Result<ValueSet> {
        if importers.len() > MAX_IMPORTS {
            let what = format!("the chain of imports of the value set {}", definition.url);
            return Err(TerminologyError::TooCostly { what, limit: MAX_IMPORTS });
        }
        let mut set = ValueSet {
            url: definition.url.clone(),
            version: definition.version.clone(),
            includes: Vec::new(),
            excludes: Vec::new(),
            inactive: true,
            uses_store: false,
            weight: 1,
        };
        if let Some(compose) = &definition.compose {
            set.inactive = compose.inactive.unwrap_or(true);
            for include in &compose.include {
                let part = self.part(definition, include, importers, &mut set)?;
                set.includes.push(part);
            }
            for exclude in &compose.exclude {
                let part = self.part(definition, exclude, importers, &mut set)?;
                set.excludes.push(part);
            }
        } else if let Some(expansion) = &definition.expansion {
            let codes = Codes::Stated(self.stated(&expansion.contains, &mut set)?);
            set.includes.push(Part { codes, value_sets: Vec::new() });
        }
        Ok(set)
    }

    fn part(
        &self,
        definition: &model::ValueSet,
        include: &model::Include,
        importers: &mut Vec<String>,
        set: &mut ValueSet,
    ) -> Result<Part> {
        let broken = |why: &str| TerminologyError::Definition {
            resource_type: "ValueSet",
            url: definition.url.clone(),
            why: why.to_owned(),
        };
        let codes = match (&include.system, include.concept.is_empty(), include.filter.is_empty()) {
            (None, true, true) if include.value_set.is_empty() => {
                return Err(broken("an include or exclude has neither a system nor a value set (vsd-1)"));
            }
            (None, true, true) => Codes::Any,
            (None, _, _) => return Err(broken("an include or exclude has codes without a system (vsd-2)")),
            (Some(_), false, false) => {
                return Err(broken("an include or exclude has both codes and filters (vsd-3)"));
            }
            (Some(url), false, true) => {
                let system = self.used_system(url, include.version.as_deref(), set)?;
                Codes::Listed(Listed::new(url, include.version.as_deref(), system, include.concept.clone()))
            }
            (Some(url), true, _) => Codes::System {
                url: url.as_str().into(),
                version: include.version.as_deref().map(Into::into),
                system: self.used_system(url, include.version.as_deref(), set)?,
                filters: include.filter.iter().map(Filter::new).collect::<Result<_>>()?,
            },
        };
        let mut value_sets = Vec::new();
        for canonical in &include.value_set {
            let found = self.find_value_set(canonical, importers)?;
            set.uses_store |= found.uses_store;
            set.weight += found.answer.as_ref().map_or(0, |import| import.weight);
            value_sets.push(found.answer);
        }
        set.weight += 1;
        if set.weight > MAX_PARTS {
            let what = format!("the value set {}", definition.url);
            return Err(TerminologyError::TooCostly { what, limit: MAX_PARTS });
        }
        Ok(Part { codes, value_sets })
    }

    fn used_system(&self, url: &str, version: Option<&str>, set: &mut ValueSet) -> Result<System> {
        let found = self.find_system(url, version)?;
        set.uses_store |= found.uses_store;
        Ok(found.answer)
    }

    /// The codes of an expansion that a definition brings along, by system.
    fn stated(&self, contains: &[model::StatedContains], set: &mut ValueSet) -> Result<Vec<Listed>> {
        let mut lists: Vec<(String, Option<String>, Vec<model::ListedConcept>)> = Vec::new();
        let mut pending: Vec<&model::StatedContains> = contains.iter().rev().collect();
        while let Some(entry) = pending.pop() {
            pending.extend(entry.contains.iter().rev());
            let (Some(system), Some(code)) = (&entry.system, &entry.code) else { continue };
            let concept = model::ListedConcept {
                code: code.clone(),
                display: entry.display.clone(),
                designation: entry.designation.clone(),
            };
            match lists.iter_mut().find(|(of, version, _)| of == system && *version == entry.version) {
                Some((_, _, list)) => list.push(concept),
                None => lists.push((system.clone(), entry.version.clone(), vec![concept])),
            }
        }
        let listed = lists.into_iter().map(|(url, version, concepts)| {
            let system = self.used_system(&url, None, set)?;
            Ok(Listed::new(&url, version.as_deref(), system, concepts))
        });
        listed.collect()
    }
}

fn has_concepts(system: &model::CodeSystem) -> bool {
    match system.content.as_str() {
        "complete" => true,
        "fragment" | "example" => !system.concept.is_empty(),
        _ => false,
    }
}

fn in_memory(system: model::CodeSystem, canonical: &str) -> System {
    match InMemory::new(system) {
        Ok(system) => Ok(Arc::new(system) as Arc<dyn Content>),
        Err(error) => {
            let why = error.to_string();
            let url = canonical.to_owned();
            Err(NotChecked::Failed(TerminologyError::Definition { resource_type: "CodeSystem", url, why }))
        }
    }
}

fn read<T: Definition>(tree: &Tree, kind: Kind, url: &str) -> Result<T> {
    let mut json = Vec::new();
    tree.write_json(&mut json);
    serde_json::from_slice(&json).map_err(|error| TerminologyError::Definition {
        resource_type: kind.resource_type(),
        url: url.to_owned(),
        why: error.to_string(),
    })
}
