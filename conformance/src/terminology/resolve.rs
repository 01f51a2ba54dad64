//! Finds code systems, value sets and concept maps by canonical, and keeps what it made of them: first in the library,
//! then among the stored resources.

use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::builtin;
use super::code_system::{Content, InMemory};
use super::code_table::tabled::Tabled;
use super::filter::Filter;
use super::library::Definition;
use super::value_set::{Codes, Import, Listed, Part, System, ValueSet};
use super::{NotChecked, Terminology, TerminologyError, model};

type Result<T> = std::result::Result<T, TerminologyError>;

/// Most answers that a cache holds: names come from outside.
const MAX_CACHED: usize = 10_000;
/// Longest chain of value sets that import one another.
const MAX_IMPORTS: usize = 32;
/// Most filters of an include.
const MAX_FILTERS: usize = 64;
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
        let resources = self.resources.as_ref().map_or(0, |resources| resources.generation());
        let tables = self.tables.as_ref().map_or(0, |tables| tables.generation());
        // Two counters that only grow: their sum changes when one does.
        resources.wrapping_add(tables)
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
        // Also where there is no store yet: others that share the library may have one.
        let uses_store = true;
        if let Some(tables) = &self.tables
            && let Some(system) = Tabled::open(tables, url, version)?
        {
            return Ok(Found { answer: Ok(Arc::new(system)), uses_store });
        }
        let stored: Option<model::CodeSystem> = self.stored(url, version)?;
        let best = stored.filter(has_concepts).or(known.filter(has_concepts));
        let answer = match best {
            Some(system) => in_memory(system, canonical),
            None => Err(NotChecked::UnknownSystem { url: canonical.to_owned() }),
        };
        Ok(Found { answer, uses_store })
    }

    /// A code system that is handed in, or that an operation is called on: one whose content is elsewhere stands for what is
    /// known of its URL and version.
    pub(super) fn given_system(&self, system: &model::CodeSystem) -> Result<System> {
        match system.content == "not-present" && !system.url.is_empty() {
            true => self.system(&system.url, system.version.as_deref()),
            false => Ok(Ok(Arc::new(InMemory::new(system.clone())?))),
        }
    }

    /// The stored definition of a URL.
    pub(super) fn stored<T: Definition>(&self, url: &str, version: Option<&str>) -> Result<Option<T>> {
        let Some(resources) = &self.resources else { return Ok(None) };
        let tree = resources.by_canonical(T::KIND.resource_type(), url, version)?;
        tree.map(|tree| T::of_tree(&tree)).transpose()
    }

    /// The value set of a canonical.
    pub(super) fn value_set(&self, canonical: &str) -> Result<Import> {
        if let Some(answer) = self.shared.value_sets.get(canonical, 0) {
            return Ok(answer);
        }
        if let Some(answer) = self.own.value_sets.get(canonical, self.generation()) {
            return Ok(answer);
        }
        Ok(Composer::new(self, &Versions::default()).find(canonical)?.answer)
    }

    /// The definition of a canonical, as the library or the store has it.
    pub(super) fn definition<T: Definition>(&self, canonical: &str) -> Result<Option<T>> {
        let (url, version) = split_canonical(canonical);
        match self.library.find(url, version) {
            Some(found) => Ok(Some(found)),
            None => self.stored(url, version),
        }
    }
}

/// Which versions of code systems count (<https://hl7.org/fhir/R4/valueset-operation-expand.html>).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    /// For includes that state none: canonicals with versions.
    pub default: Vec<String>,
    /// Whatever includes state.
    pub force: Vec<String>,
    /// What includes must have come to.
    pub check: Vec<String>,
}

impl Versions {
    fn is_empty(&self) -> bool {
        self.default.is_empty() && self.force.is_empty() && self.check.is_empty()
    }

    /// The version of a code system for an include that states `version`.
    fn choose<'v>(&'v self, url: &str, version: Option<&'v str>) -> Result<Option<&'v str>> {
        let said = |list: &'v [String]| {
            list.iter()
                .map(|it| split_canonical(it))
                .find(|(of, _)| *of == url)
                .and_then(|(_, version)| version)
        };
        let chosen = said(&self.force).or(version).or_else(|| said(&self.default));
        match (said(&self.check), chosen) {
            (Some(wanted), Some(chosen)) if wanted != chosen => Err(TerminologyError::Version {
                url: url.to_owned(),
                wanted: wanted.to_owned(),
                found: chosen.to_owned(),
            }),
            (Some(wanted), None) => Ok(Some(wanted)),
            _ => Ok(chosen),
        }
    }
}

/// Finds what value sets are made of.
pub(super) struct Composer<'t> {
    terminology: &'t Terminology,
    versions: &'t Versions,
    /// The URLs of the value sets that are being made, each imported by the one before.
    importers: Vec<String>,
}

impl<'t> Composer<'t> {
    pub(super) fn new(terminology: &'t Terminology, versions: &'t Versions) -> Composer<'t> {
        Composer { terminology, versions, importers: Vec::new() }
    }

    fn find(&mut self, canonical: &str) -> Result<Found<Import>> {
        let terminology = self.terminology;
        if !self.versions.is_empty() {
            return self.make(canonical);
        }
        if let Some(answer) = terminology.shared.value_sets.get(canonical, 0) {
            return Ok(Found { answer, uses_store: false });
        }
        let generation = terminology.generation();
        if let Some(answer) = terminology.own.value_sets.get(canonical, generation) {
            return Ok(Found { answer, uses_store: true });
        }
        let found = self.make(canonical)?;
        match found.uses_store {
            true => terminology.own.value_sets.put(canonical, generation, found.answer.clone()),
            false => terminology.shared.value_sets.put(canonical, 0, found.answer.clone()),
        }
        Ok(found)
    }

    fn make(&mut self, canonical: &str) -> Result<Found<Import>> {
        let (url, version) = split_canonical(canonical);
        let mut uses_store = false;
        let mut definition: Option<model::ValueSet> = self.terminology.library.find(url, version);
        if definition.is_none() {
            uses_store = true;
            definition = self.terminology.stored(url, version)?;
        }
        let Some(definition) = definition.or_else(|| implicit(url)) else {
            let answer = Err(NotChecked::UnknownValueSet { url: canonical.to_owned() });
            return Ok(Found { answer, uses_store });
        };
        let mut set = self.compose(&definition)?;
        set.uses_store |= uses_store;
        let uses_store = set.uses_store;
        Ok(Found { answer: Ok(Arc::new(set)), uses_store })
    }

    /// Finds what a value set is made of.
    ///
    /// # Errors
    /// A definition that breaks a rule, that imports itself, or that is too large.
    pub(super) fn compose(&mut self, definition: &model::ValueSet) -> Result<ValueSet> {
        if !definition.url.is_empty() && self.importers.contains(&definition.url) {
            return Err(TerminologyError::Cycle(definition.url.clone()));
        }
        if self.importers.len() >= MAX_IMPORTS {
            let what = format!("the chain of imports of the value set {}", definition.url);
            return Err(TerminologyError::TooCostly { what, limit: MAX_IMPORTS });
        }
        self.importers.push(definition.url.clone());
        let mut set = ValueSet {
            url: definition.url.clone(),
            includes: Vec::new(),
            excludes: Vec::new(),
            inactive: true,
            uses_store: false,
            weight: 1,
        };
        if let Some(compose) = &definition.compose {
            set.inactive = compose.inactive.unwrap_or(true);
            for include in &compose.include {
                let part = self.part(include, &mut set)?;
                set.includes.push(part);
            }
            for exclude in &compose.exclude {
                let part = self.part(exclude, &mut set)?;
                set.excludes.push(part);
            }
        } else if let Some(expansion) = &definition.expansion {
            let codes = Codes::Stated(self.stated(&expansion.contains, &mut set)?);
            set.includes.push(Part { codes, value_sets: Vec::new() });
        }
        self.importers.pop();
        Ok(set)
    }

    fn part(&mut self, include: &model::Include, set: &mut ValueSet) -> Result<Part> {
        let codes = self.codes(include, set)?;
        let mut value_sets = Vec::new();
        for canonical in &include.value_set {
            let found = self.find(canonical)?;
            set.uses_store |= found.uses_store;
            set.weight += found.answer.as_ref().map_or(0, |import| import.weight);
            value_sets.push(found.answer);
        }
        set.weight += 1;
        if set.weight > MAX_PARTS {
            let what = format!("the value set {}", set.url);
            return Err(TerminologyError::TooCostly { what, limit: MAX_PARTS });
        }
        Ok(Part { codes, value_sets })
    }

    fn codes(&self, include: &model::Include, set: &mut ValueSet) -> Result<Codes> {
        let broken = |why: &str| TerminologyError::Definition {
            resource_type: "ValueSet",
            url: set.url.clone(),
            why: why.to_owned(),
        };
        let Some(url) = include.system.as_deref() else {
            return match (
                include.concept.is_empty() && include.filter.is_empty(),
                include.value_set.is_empty(),
            ) {
                (false, _) => Err(broken("an include or exclude has codes without a system (vsd-2)")),
                (true, true) => {
                    Err(broken("an include or exclude has neither a system nor a value set (vsd-1)"))
                }
                (true, false) => Ok(Codes::Any),
            };
        };
        if !include.concept.is_empty() && !include.filter.is_empty() {
            return Err(broken("an include or exclude has both codes and filters (vsd-3)"));
        }
        if include.filter.len() > MAX_FILTERS {
            let what = format!("an include of the value set {}", set.url);
            return Err(TerminologyError::TooCostly { what, limit: MAX_FILTERS });
        }
        let (mut url, mut version) = (url, self.versions.choose(url, include.version.as_deref())?);
        let mut system = self.system(url, version, set)?;
        if let (Err(_), (stem, Some(joined))) = (&system, split_canonical(url)) {
            // A few code systems have such a URL; else the version was joined to it, as a canonical has it. It does not stand
            // where versions do: where that one is not here, another is as good.
            for joined in [Some(joined), None] {
                if system.is_err() {
                    (url, version) = (stem, self.versions.choose(stem, joined)?);
                    system = self.system(url, version, set)?;
                }
            }
        }
        Ok(match include.concept.is_empty() {
            false => Codes::Listed(Listed::new(url, version, system, include.concept.clone())?),
            true => Codes::System {
                url: url.into(),
                version: version.map(Into::into),
                system,
                filters: include.filter.iter().map(Filter::new).collect::<Result<_>>()?,
            },
        })
    }

    fn system(&self, url: &str, version: Option<&str>, set: &mut ValueSet) -> Result<System> {
        let found = self.terminology.find_system(url, version)?;
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
            if lists.len() >= MAX_PARTS {
                let what = format!("the expansion of the value set {}", set.url);
                return Err(TerminologyError::TooCostly { what, limit: MAX_PARTS });
            }
            match lists.iter_mut().find(|(of, version, _)| of == system && *version == entry.version) {
                Some((_, _, list)) => list.push(concept),
                None => lists.push((system.clone(), entry.version.clone(), vec![concept])),
            }
        }
        let listed = lists.into_iter().map(|(url, version, concepts)| {
            let system = self.system(&url, None, set)?;
            Listed::new(&url, version.as_deref(), system, concepts)
        });
        listed.collect()
    }
}

/// The value sets that the URL of a code system implies: of SNOMED CT
/// (<https://hl7.org/fhir/R4/snomedct.html#implicit>) and LOINC (<https://hl7.org/fhir/R4/loinc.html#alias>).
pub(super) fn implicit(url: &str) -> Option<model::ValueSet> {
    let of = |system: &str, filter: Option<(&str, &str, &str)>| {
        let filter = filter.map(|(property, op, value)| model::Filter {
            property: property.to_owned(),
            op: op.to_owned(),
            value: value.to_owned(),
        });
        let filter = filter.into_iter().collect();
        let include = model::Include { system: Some(system.to_owned()), filter, ..Default::default() };
        let compose = model::Compose { include: vec![include], ..Default::default() };
        Some(model::ValueSet { url: url.to_owned(), compose: Some(compose), ..Default::default() })
    };
    if url == "http://loinc.org/vs" {
        return of("http://loinc.org", None);
    }
    if let Some(list) = url.strip_prefix("http://loinc.org/vs/LL") {
        return of("http://loinc.org", Some(("answer-list", "=", &format!("LL{list}"))));
    }
    if let Some(parent) = url.strip_prefix("http://loinc.org/vs/LP") {
        return of("http://loinc.org", Some(("concept", "is-a", &format!("LP{parent}"))));
    }
    let query = url.strip_prefix("http://snomed.info/sct?fhir_vs")?;
    let sct = "http://snomed.info/sct";
    if query.is_empty() {
        return of(sct, None);
    }
    match query.strip_prefix('=')?.split_once('/')? {
        ("isa", code) => of(sct, Some(("concept", "is-a", code))),
        // Which reference set a concept is in is a property of it that the importer writes.
        ("refset", code) => of(sct, Some(("refset", "=", code))),
        _ => None,
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
