//! A code system as operations look at it: codes to concepts, a concept's parents and children, all concepts in order.
//! What holds the concepts, memory, a table in the store or a grammar, is the affair of each [`Content`].

use std::ops::ControlFlow;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::TerminologyError;
use super::model;

type Result<T> = std::result::Result<T, TerminologyError>;

/// Deepest hierarchy that is read. The deepest known, SNOMED CT, has less than 40 levels.
const MAX_DEPTH: usize = 200;
/// Most concepts that a walk down a hierarchy looks at.
const MAX_VISITED: usize = 1_000_000;
/// Most steps for a question about one code. Concepts of SNOMED CT have some hundred above them at most.
const MAX_STEPS: usize = 100_000;
/// Most steps for a list of codes.
const MAX_STEPS_OF_LIST: usize = 4_000_000;

/// Steps that an answer may still take: up hierarchies, through parts of value sets and their filters.
pub(super) struct Steps {
    left: usize,
    limit: usize,
}

impl Steps {
    /// For a question about one code.
    pub(super) fn of_question() -> Steps {
        Steps { left: MAX_STEPS, limit: MAX_STEPS }
    }

    /// For a list of codes.
    pub(super) fn of_list() -> Steps {
        Steps { left: MAX_STEPS_OF_LIST, limit: MAX_STEPS_OF_LIST }
    }

    /// Takes one; `what` names what the steps are taken in.
    pub(super) fn take(&mut self, what: impl FnOnce() -> String) -> Result<()> {
        let left = self.left.checked_sub(1);
        self.left = left.ok_or_else(|| TerminologyError::TooCostly { what: what(), limit: self.limit })?;
        Ok(())
    }
}

/// What is said of a code system besides its concepts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Description {
    /// Canonical URL.
    pub url: String,
    /// Its version, when it states one.
    pub version: Option<String>,
    /// Name for people or programs.
    pub name: Option<String>,
    /// Language of the displays.
    pub language: Option<String>,
    /// Whether a code that is not found is no code of it: false of a fragment or an example.
    pub is_complete: bool,
    /// Whether codes that differ in case differ.
    pub case_sensitive: bool,
    /// Whether a parent subsumes its children.
    pub is_a: bool,
    /// The properties its concepts may have.
    pub properties: Vec<model::PropertyDefinition>,
}

/// A concept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Concept {
    /// The code.
    pub code: Box<str>,
    /// Text for people.
    pub display: Option<Box<str>>,
    /// What it means.
    pub definition: Option<Box<str>>,
    /// Other texts.
    pub designations: Vec<model::Designation>,
    /// Values of properties, those that state the hierarchy left out.
    pub properties: Vec<model::Property>,
    /// Codes right above it.
    pub parents: Vec<Box<str>>,
    /// Codes right below it.
    pub children: Vec<Box<str>>,
    /// A heading, not a choice.
    pub is_abstract: bool,
    /// No longer in use.
    pub inactive: bool,
}

/// The concepts of a code system.
pub(super) trait Content: Send + Sync {
    /// What is said of it besides its concepts.
    fn description(&self) -> &Description;

    /// The concept of a code.
    ///
    /// # Errors
    /// What holds the concepts cannot be read.
    fn find(&self, code: &str) -> Result<Option<Arc<Concept>>>;

    /// How many concepts it has; `None` when they are a grammar's and cannot be counted.
    fn count(&self) -> Option<usize>;

    /// Shows all concepts, parents before children where it has the order, until told to stop. Shows none when they
    /// cannot be counted.
    ///
    /// # Errors
    /// What holds the concepts cannot be read.
    fn each(&self, visit: &mut dyn FnMut(&Arc<Concept>) -> ControlFlow<()>) -> Result<()>;
}

/// What could not be read yet, where a walk goes on without it: it fails at its end, when all of it got known.
#[derive(Default)]
pub(super) struct Gaps(Option<TerminologyError>);

impl Gaps {
    /// Passes over what is not there yet.
    ///
    /// # Errors
    /// All others.
    pub(super) fn pass<T>(&mut self, found: Result<Option<T>>) -> Result<Option<T>> {
        match found {
            Err(error @ TerminologyError::Unavailable(_)) => {
                self.0.get_or_insert(error);
                Ok(None)
            }
            found => found,
        }
    }

    /// Whether nothing was passed over.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The end of the walk.
    ///
    /// # Errors
    /// Something was passed over.
    pub(super) fn end(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

impl dyn Content + '_ {
    /// Whether `ancestor` is above `code`, at any distance.
    ///
    /// # Errors
    /// What holds the concepts cannot be read, or too much is above the code.
    pub(super) fn is_below(&self, code: &Concept, ancestor: &str, steps: &mut Steps) -> Result<bool> {
        let mut found = false;
        self.each_above(code, steps, &mut |above| {
            found = above == ancestor;
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(found)
    }

    /// Everything above a concept.
    ///
    /// # Errors
    /// As [`Self::is_below`].
    pub(super) fn above(&self, code: &Concept, steps: &mut Steps) -> Result<FxHashSet<Box<str>>> {
        let mut all = FxHashSet::default();
        self.each_above(code, steps, &mut |above| {
            all.insert(above.into());
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    fn each_above(
        &self,
        code: &Concept,
        steps: &mut Steps,
        visit: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut gaps = Gaps::default();
        // What was seen stays held, so that an address is one concept's.
        let mut seen: FxHashSet<*const Concept> = FxHashSet::default();
        let mut held: Vec<Arc<Concept>> = Vec::new();
        let mut next = 0;
        let mut current;
        let mut parents = code.parents.as_slice();
        loop {
            for parent in parents {
                let what =
                    || format!("the way up the hierarchy of the code system {}", self.description().url);
                steps.take(what)?;
                let Some(concept) = gaps.pass(self.find(parent))? else { continue };
                if !seen.insert(Arc::as_ptr(&concept)) {
                    continue;
                }
                if visit(parent).is_break() {
                    return Ok(());
                }
                held.push(concept);
            }
            let Some(concept) = held.get(next) else { return gaps.end() };
            next += 1;
            // Cloned to let what is held grow meanwhile.
            current = concept.clone();
            parents = &current.parents;
        }
    }

    /// Shows everything below a concept, each once, parents before children, until told to stop.
    ///
    /// # Errors
    /// As [`Self::is_below`].
    pub(super) fn each_below(
        &self,
        concept: &Concept,
        visit: &mut dyn FnMut(&Arc<Concept>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut gaps = Gaps::default();
        let mut seen: FxHashSet<Box<str>> = FxHashSet::from_iter([concept.code.clone()]);
        let mut pending: Vec<Box<str>> = concept.children.iter().rev().cloned().collect();
        while let Some(code) = pending.pop() {
            if !seen.insert(code.clone()) {
                continue;
            }
            self.bound(seen.len())?;
            let Some(found) = gaps.pass(self.find(&code))? else { continue };
            if visit(&found).is_break() {
                return Ok(());
            }
            pending.extend(found.children.iter().rev().cloned());
        }
        gaps.end()
    }

    fn bound(&self, visited: usize) -> Result<()> {
        if visited >= MAX_VISITED {
            let what = format!("the hierarchy of the code system {}", self.description().url);
            return Err(TerminologyError::TooCostly { what, limit: MAX_VISITED });
        }
        Ok(())
    }
}

/// A code system that is held in memory.
pub(super) struct InMemory {
    description: Description,
    concepts: Vec<Arc<Concept>>,
    index: FxHashMap<Box<str>, u32>,
}

impl InMemory {
    /// Of a definition.
    ///
    /// # Errors
    /// A hierarchy that is too deep.
    pub(super) fn new(system: model::CodeSystem) -> Result<InMemory> {
        let description = Description {
            is_complete: system.content == "complete",
            case_sensitive: system.case_sensitive.unwrap_or(true),
            is_a: system.hierarchy_meaning.as_deref().is_none_or(|meaning| meaning == "is-a"),
            url: system.url,
            version: system.version,
            name: system.title.or(system.name),
            language: system.language,
            properties: system.property,
        };
        let hierarchy = Hierarchy::of(&description.properties);
        let mut concepts = Vec::new();
        flatten(system.concept, None, 0, &hierarchy, &mut concepts)?;
        InMemory::of_concepts(description, concepts)
    }

    /// Of concepts whose parents, or children, are told.
    ///
    /// # Errors
    /// More concepts than are held in memory.
    pub(super) fn of_concepts(description: Description, mut concepts: Vec<Concept>) -> Result<InMemory> {
        let fold = |code: &str| fold(code, description.case_sensitive);
        let mut index: FxHashMap<Box<str>, u32> = FxHashMap::default();
        for (at, concept) in concepts.iter().enumerate() {
            let at = u32::try_from(at).map_err(|_| TerminologyError::TooCostly {
                what: format!("the code system {}", description.url),
                limit: u32::MAX as usize,
            })?;
            index.entry(fold(&concept.code)).or_insert(at);
        }
        link(&mut concepts, |code| index.get(&fold(code)).map(|&at| at as usize));
        Ok(InMemory { description, concepts: concepts.into_iter().map(Arc::new).collect(), index })
    }
}

impl Content for InMemory {
    fn description(&self) -> &Description {
        &self.description
    }

    fn find(&self, code: &str) -> Result<Option<Arc<Concept>>> {
        let at = match self.description.case_sensitive {
            true => self.index.get(code),
            false => self.index.get(&fold(code, false)),
        };
        Ok(at.and_then(|&at| self.concepts.get(at as usize)).cloned())
    }

    fn count(&self) -> Option<usize> {
        Some(self.concepts.len())
    }

    fn each(&self, visit: &mut dyn FnMut(&Arc<Concept>) -> ControlFlow<()>) -> Result<()> {
        let _ = self.concepts.iter().try_for_each(visit);
        Ok(())
    }
}

fn fold(code: &str, case_sensitive: bool) -> Box<str> {
    if case_sensitive { code.into() } else { code.to_lowercase().into() }
}

/// The properties of a code system that state its hierarchy, besides the nesting of concepts: `parent`, `child`
/// (<https://hl7.org/fhir/R4/codesystem.html#hierarchy>) and HL7 V3's `subsumedBy`, by code or by URI.
struct Hierarchy {
    parent: Vec<String>,
    child: Vec<String>,
}

impl Hierarchy {
    fn of(definitions: &[model::PropertyDefinition]) -> Hierarchy {
        let named = |names: &[&str]| {
            let is = |property: &&model::PropertyDefinition| {
                let uri = property.uri.as_deref().and_then(|uri| uri.split_once("concept-properties#"));
                property.kind == "code"
                    && (names.contains(&property.code.as_str())
                        || uri.is_some_and(|(_, name)| names.contains(&name)))
            };
            definitions.iter().filter(is).map(|property| property.code.clone()).collect()
        };
        Hierarchy { parent: named(&["parent", "subsumedBy"]), child: named(&["child"]) }
    }
}

/// Appends concepts and those nested in them, parents before children.
fn flatten(
    nested: Vec<model::Concept>,
    parent: Option<&str>,
    depth: usize,
    hierarchy: &Hierarchy,
    out: &mut Vec<Concept>,
) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(TerminologyError::TooCostly { what: "a nested hierarchy".to_owned(), limit: MAX_DEPTH });
    }
    for concept in nested {
        let mut flat = Concept {
            code: concept.code.into(),
            display: concept.display.map(Into::into),
            definition: concept.definition.map(Into::into),
            designations: concept.designation,
            parents: parent.into_iter().map(Into::into).collect(),
            ..Concept::default()
        };
        for property in concept.property {
            take_property(&mut flat, property, hierarchy);
        }
        let code = flat.code.clone();
        out.push(flat);
        flatten(concept.concept, Some(&code), depth + 1, hierarchy, out)?;
    }
    Ok(())
}

/// Puts a property where it belongs. `notSelectable`, `abstract`, `inactive`, `status` and the date of a deprecation say
/// what kind of code it is (<https://hl7.org/fhir/R4/codesystem-concept-properties.html>).
fn take_property(concept: &mut Concept, property: model::Property, hierarchy: &Hierarchy) {
    if let Some(code) = &property.value_code {
        let list = if hierarchy.parent.contains(&property.code) {
            Some(&mut concept.parents)
        } else if hierarchy.child.contains(&property.code) {
            Some(&mut concept.children)
        } else {
            None
        };
        if let Some(list) = list {
            list.push(code.as_str().into());
            return;
        }
    }
    let said = property.value_boolean == Some(true)
        || property.value_code.as_deref().or(property.value_string.as_deref()) == Some("true");
    match property.code.as_str() {
        "notSelectable" | "abstract" => concept.is_abstract |= said,
        "inactive" => concept.inactive |= said,
        "status" => {
            let status = property.value_code.as_deref().or(property.value_string.as_deref());
            concept.inactive |= matches!(status, Some("retired" | "inactive" | "withdrawn"));
        }
        _ => {}
    }
    concept.properties.push(property);
}

/// Makes parents and children say the same, each once.
fn link(concepts: &mut [Concept], find: impl Fn(&str) -> Option<usize>) {
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (at, concept) in concepts.iter().enumerate() {
        pairs.extend(concept.parents.iter().filter_map(|parent| Some((find(parent)?, at))));
        pairs.extend(concept.children.iter().filter_map(|child| Some((at, find(child)?))));
    }
    let mut seen = FxHashSet::default();
    pairs.retain(|pair| pair.0 != pair.1 && seen.insert(*pair));
    for concept in concepts.iter_mut() {
        concept.parents.clear();
        concept.children.clear();
    }
    for (parent, child) in pairs {
        let code = |at: usize| concepts.get(at).map(|concept| concept.code.clone());
        let (Some(parent_code), Some(child_code)) = (code(parent), code(child)) else { continue };
        if let Some(concept) = concepts.get_mut(child) {
            concept.parents.push(parent_code);
        }
        if let Some(concept) = concepts.get_mut(parent) {
            concept.children.push(child_code);
        }
    }
}
