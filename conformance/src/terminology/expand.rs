//! `$expand` (<https://hl7.org/fhir/R4/valueset-operation-expand.html>): the codes of a value set, listed.
//!
//! A value set is listed wholly or not at all: what cannot be told of a code system that is not here is an error, never a
//! shorter list.

mod parameters;

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use fhirpath::expression::Coding;
use rustc_hash::{FxHashMap, FxHashSet};

use super::code_system::{Concept, Content, Steps};
use super::filter::{Below, Filter};
use super::operation::{OperationError, ValueSetSource};
use super::resolve::{Composer, Versions};
use super::value_set::{Codes, Listed, Membership, Part, ValueSet};
use super::{Terminology, TerminologyError, model};

type Result<T, E = OperationError> = std::result::Result<T, E>;

/// Most codes in an answer that is not asked for by pages.
pub const MAX_EXPANSION: usize = 50_000;
/// Most codes that are looked at for an answer, those of other pages and those that are left out included.
pub const MAX_LOOKED_AT: usize = 1_000_000;

/// What to expand, and how.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::struct_excessive_bools)] // the operation's own parameters
pub struct ExpandRequest {
    /// The value set.
    pub value_set: ValueSetSource,
    /// Words that each code, or one of its texts, must have.
    pub filter: Option<String>,
    /// How many codes to pass over.
    pub offset: Option<usize>,
    /// How many codes to list at most.
    pub count: Option<usize>,
    /// Whether to leave out inactive codes.
    pub active_only: bool,
    /// Whether to list other texts.
    pub include_designations: bool,
    /// Of which languages or uses (`system|code`); all when empty.
    pub designations: Vec<String>,
    /// Whether to repeat what the value set is made of.
    pub include_definition: bool,
    /// Whether the list must be flat.
    pub exclude_nested: bool,
    /// Whether to leave out headings.
    pub exclude_not_for_ui: bool,
    /// The language of displays.
    pub display_language: Option<String>,
    /// Code systems to leave out.
    pub exclude_systems: Vec<String>,
    /// Versions of code systems.
    pub versions: Versions,
}

impl ExpandRequest {
    /// All codes of a value set, nested as their code system has them.
    pub fn new(value_set: ValueSetSource) -> ExpandRequest {
        ExpandRequest {
            value_set,
            filter: None,
            offset: None,
            count: None,
            active_only: false,
            include_designations: false,
            designations: Vec::new(),
            include_definition: false,
            exclude_nested: false,
            exclude_not_for_ui: false,
            display_language: None,
            exclude_systems: Vec::new(),
            versions: Versions::default(),
        }
    }

    fn is_paged(&self) -> bool {
        self.offset.is_some() || self.count.is_some()
    }
}

/// The codes of a value set.
#[derive(Debug, Clone, PartialEq)]
pub struct Expansion {
    /// The value set; its `expansion` is left alone.
    pub value_set: model::ValueSet,
    /// How many codes there are on all pages.
    pub total: usize,
    /// The codes of this page.
    pub contains: Vec<Contained>,
    /// The code systems, with versions, that they come from.
    pub systems: Vec<String>,
}

/// A code of an expansion.
#[derive(Debug, Clone, PartialEq)]
pub struct Contained {
    /// URL of its code system.
    pub system: Arc<str>,
    /// The code.
    pub code: Box<str>,
    /// Text for people, in the language asked for when there is one.
    pub display: Option<String>,
    /// A heading, not a choice.
    pub is_abstract: bool,
    /// No longer in use.
    pub inactive: bool,
    /// Other texts, when asked for.
    pub designations: Vec<model::Designation>,
    /// Codes right below it that are in the value set.
    pub contains: Vec<Contained>,
}

impl Terminology {
    /// Lists the codes of a value set.
    ///
    /// # Errors
    /// The value set, or a code system it uses, is not here; it is too large, or broken.
    pub fn expand(&self, request: &ExpandRequest) -> Result<Expansion> {
        let definition = self.value_set_definition(&request.value_set)?;
        let set = self.source_set(&request.value_set, &definition, &request.versions)?;
        let mut listing = Listing::new(&set, request);
        listing.list(&set)?;
        let (total, systems) = (listing.total, std::mem::take(&mut listing.systems));
        let contains = match request.is_paged() || request.exclude_nested || request.filter.is_some() {
            true => listing.entries.into_iter().map(|entry| entry.contained).collect(),
            false => nest(listing.entries),
        };
        Ok(Expansion { value_set: definition, total, contains, systems })
    }

    /// What a request names or hands in, made ready.
    pub(super) fn source_set(
        &self,
        source: &ValueSetSource,
        definition: &model::ValueSet,
        versions: &Versions,
    ) -> Result<Arc<ValueSet>> {
        match source {
            ValueSetSource::Canonical(canonical) if *versions == Versions::default() => {
                Ok(self.value_set(canonical)??)
            }
            _ => Ok(Arc::new(Composer::new(self, versions).compose(definition)?)),
        }
    }
}

/// A code on its way into the list.
struct Entry {
    contained: Contained,
    parents: Vec<Box<str>>,
}

/// The list as it grows.
struct Listing<'r> {
    set: &'r ValueSet,
    request: &'r ExpandRequest,
    words: Vec<String>,
    entries: Vec<Entry>,
    seen: FxHashSet<(Arc<str>, Box<str>)>,
    /// Codes that are in the list, other pages included.
    total: usize,
    looked_at: usize,
    steps: Steps,
    systems: Vec<String>,
}

impl<'r> Listing<'r> {
    fn new(set: &'r ValueSet, request: &'r ExpandRequest) -> Listing<'r> {
        let words = request.filter.as_deref().unwrap_or_default().split_whitespace();
        Listing {
            set,
            request,
            words: words.map(str::to_lowercase).collect(),
            entries: Vec::new(),
            seen: FxHashSet::default(),
            total: 0,
            looked_at: 0,
            steps: Steps::of_list(),
            systems: Vec::new(),
        }
    }

    /// Adds the codes of the includes of `set`: of the value set itself, or of one that it imports.
    fn list(&mut self, set: &ValueSet) -> Result<()> {
        set.includes.iter().try_for_each(|part| self.list_part(part, &[]))
    }

    /// Adds the codes of a part that are also in all of `and`.
    fn list_part(&mut self, part: &Part, and: &[&ValueSet]) -> Result<()> {
        let mut sets: Vec<&ValueSet> = and.to_vec();
        for import in &part.value_sets {
            sets.push(import.as_ref().map_err(|why| OperationError::NotKnown(why.clone()))?);
        }
        match &part.codes {
            Codes::Any => {
                let Some(position) = sets.len().checked_sub(part.value_sets.len()) else { return Ok(()) };
                let Some(first) = sets.get(position).copied() else { return Ok(()) };
                // The import's own excludes count too, which membership in it tells.
                first.includes.iter().try_for_each(|part| self.list_part(part, &sets))
            }
            Codes::Listed(_) | Codes::Stated(_) => {
                part.codes.lists().iter().try_for_each(|listed| self.list_listed(listed, &sets))
            }
            Codes::System { system, filters, .. } => {
                let system = system.as_ref().map_err(|why| OperationError::NotKnown(why.clone()))?;
                self.list_system(&**system, filters, &sets)
            }
        }
    }

    fn list_listed(&mut self, listed: &Listed, sets: &[&ValueSet]) -> Result<()> {
        let url: Arc<str> = listed.url.as_ref().into();
        match &listed.system {
            Ok(system) => self.uses(&**system),
            Err(_) => self.uses_name(&listed.url, listed.version.as_deref()),
        }
        for stated in &listed.concepts {
            let found = match &listed.system {
                Ok(system) => system.find(&stated.code)?,
                Err(_) => None,
            };
            let concept = found.unwrap_or_else(|| {
                Arc::new(Concept { code: stated.code.as_str().into(), ..Concept::default() })
            });
            self.add(&url, &concept, Some(stated), sets)?;
        }
        Ok(())
    }

    fn list_system(&mut self, system: &dyn Content, filters: &[Filter], sets: &[&ValueSet]) -> Result<()> {
        let description = system.description();
        if system.count().is_none() {
            return Err(OperationError::NotListable(description.url.clone()));
        }
        if !description.is_complete {
            return Err(OperationError::NotKnown(super::NotChecked::IncompleteSystem {
                url: description.url.clone(),
            }));
        }
        self.uses(system);
        let url: Arc<str> = description.url.as_str().into();
        let mut failure = None;
        let mut below = Vec::with_capacity(filters.len());
        for filter in filters {
            below.push((filter, filter.below(system)?));
        }
        let mut visit = |concept: &Arc<Concept>| {
            let added = self.passes_all(system, &below, concept);
            match added.and_then(|passes| if passes { self.add(&url, concept, None, sets) } else { Ok(()) }) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        match filters.iter().find_map(Filter::root) {
            // All that can pass stands below one code.
            Some(code) => {
                if let Some(concept) = system.find(code)?
                    && visit(&concept).is_continue()
                {
                    system.each_below(&concept, &mut visit)?;
                }
            }
            None => system.each(&mut visit)?,
        }
        failure.map_or(Ok(()), Err)
    }

    fn passes_all(
        &mut self,
        system: &dyn Content,
        filters: &[(&Filter, Option<Below>)],
        concept: &Concept,
    ) -> Result<bool> {
        for (filter, below) in filters {
            self.steps.take(|| "the question which codes pass filters".to_owned())?;
            let passes = match below {
                Some(below) if filter.passes_by(below, concept) => Membership::In,
                Some(_) => Membership::Out,
                None => filter.passes(system, concept, &mut self.steps)?,
            };
            match passes {
                Membership::In => {}
                Membership::Out => return self.looked_at().map(|()| false),
                Membership::Unknown(why) => return Err(OperationError::NotKnown(why)),
            }
        }
        Ok(true)
    }

    fn looked_at(&mut self) -> Result<()> {
        self.looked_at += 1;
        if self.looked_at > MAX_LOOKED_AT {
            let what = format!("the search for codes of the value set {}", self.set.url);
            return Err(TerminologyError::TooCostly { what, limit: MAX_LOOKED_AT }.into());
        }
        Ok(())
    }

    /// Adds a code unless something keeps it out.
    fn add(
        &mut self,
        url: &Arc<str>,
        concept: &Arc<Concept>,
        listed: Option<&model::ListedConcept>,
        sets: &[&ValueSet],
    ) -> Result<()> {
        self.looked_at()?;
        let is_kept_out = (concept.inactive && (self.request.active_only || !self.set.inactive))
            || (concept.is_abstract && self.request.exclude_not_for_ui)
            || self.request.exclude_systems.iter().any(|system| **system == **url)
            || !self.matches(concept, listed);
        if is_kept_out || !self.is_in(url, concept, sets)? {
            return Ok(());
        }
        if !self.seen.insert((url.clone(), concept.code.clone())) {
            return Ok(());
        }
        let position = self.total;
        self.total += 1;
        let first = self.request.offset.unwrap_or(0);
        let count = self.request.count.unwrap_or(usize::MAX);
        if position < first || position - first >= count {
            return Ok(());
        }
        if self.entries.len() >= MAX_EXPANSION {
            let what = format!("the expansion of the value set {}", self.set.url);
            return Err(TerminologyError::TooCostly { what, limit: MAX_EXPANSION }.into());
        }
        let contained = self.contained(url, concept, listed);
        self.entries.push(Entry { contained, parents: concept.parents.clone() });
        Ok(())
    }

    /// Whether a code is in all of `sets` and not excluded.
    fn is_in(&mut self, url: &str, concept: &Concept, sets: &[&ValueSet]) -> Result<bool> {
        if sets.is_empty() && self.set.excludes.is_empty() {
            return Ok(true);
        }
        let coding = Coding {
            system: Some(Cow::Borrowed(url)),
            code: Cow::Borrowed(&concept.code),
            ..Coding::default()
        };
        for set in sets {
            match set.membership(&coding, &mut self.steps)? {
                Membership::In => {}
                Membership::Out => return Ok(false),
                Membership::Unknown(why) => return Err(OperationError::NotKnown(why)),
            }
        }
        for exclude in &self.set.excludes {
            match exclude.membership(&coding, &mut self.steps)? {
                Membership::In => return Ok(false),
                Membership::Out => {}
                Membership::Unknown(why) => return Err(OperationError::NotKnown(why)),
            }
        }
        Ok(true)
    }

    /// Whether a code or its texts have the words of the filter.
    fn matches(&self, concept: &Concept, listed: Option<&model::ListedConcept>) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let mut text = concept.code.to_lowercase();
        let listed_texts = listed.into_iter().flat_map(|listed| {
            listed.display.as_deref().into_iter().chain(listed.designation.iter().map(|it| it.value.as_str()))
        });
        let own = concept.display.as_deref().into_iter();
        let own = own.chain(concept.designations.iter().map(|it| it.value.as_str()));
        for other in own.chain(listed_texts) {
            text.push('\n');
            text.push_str(&other.to_lowercase());
        }
        self.words.iter().all(|word| text.contains(word.as_str()))
    }

    fn contained(
        &self,
        url: &Arc<str>,
        concept: &Concept,
        listed: Option<&model::ListedConcept>,
    ) -> Contained {
        let own_designations = listed.into_iter().flat_map(|listed| &listed.designation);
        let designations = || own_designations.clone().chain(&concept.designations);
        let display = listed.and_then(|listed| listed.display.as_deref()).or(concept.display.as_deref());
        let wanted = self.request.display_language.as_deref();
        let translated = wanted.and_then(|wanted| {
            let is_wanted = |it: &&model::Designation| {
                it.language.as_deref().is_some_and(|language| is_language(language, wanted))
            };
            designations().find(is_wanted).map(|it| it.value.as_str())
        });
        let shown = |it: &&model::Designation| {
            let tokens = &self.request.designations;
            tokens.is_empty() || tokens.iter().any(|token| is_designation(it, token))
        };
        Contained {
            system: url.clone(),
            code: concept.code.clone(),
            display: translated.or(display).map(str::to_owned),
            is_abstract: concept.is_abstract,
            inactive: concept.inactive,
            designations: match self.request.include_designations {
                true => designations().filter(shown).cloned().collect(),
                false => Vec::new(),
            },
            contains: Vec::new(),
        }
    }

    fn uses(&mut self, system: &dyn Content) {
        let description = system.description();
        self.uses_name(&description.url, description.version.as_deref());
    }

    fn uses_name(&mut self, url: &str, version: Option<&str>) {
        let Some(version) = version else { return };
        let name = format!("{url}|{version}");
        if !self.systems.contains(&name) {
            self.systems.push(name);
        }
    }
}

/// Whether a language is, or is a kind of, the one that is wanted: `de-CH` is wanted by `de`.
pub(super) fn is_language(language: &str, wanted: &str) -> bool {
    let (language, wanted) = (language.to_ascii_lowercase(), wanted.to_ascii_lowercase());
    language.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Whether a token names a designation: its language (`urn:ietf:bcp:47|de`) or its use.
fn is_designation(designation: &model::Designation, token: &str) -> bool {
    let (system, code) = token.split_once('|').map_or((None, token), |(system, code)| (Some(system), code));
    let is_use = designation.usage.as_ref().is_some_and(|usage| {
        usage.code.as_deref() == Some(code)
            && system.is_none_or(|system| usage.system.as_deref() == Some(system))
    });
    let is_language = system.is_none_or(|system| system == "urn:ietf:bcp:47")
        && designation.language.as_deref().is_some_and(|language| is_language(language, code));
    is_use || is_language
}

/// Puts codes below the first of their parents that is in the list before them.
fn nest(entries: Vec<Entry>) -> Vec<Contained> {
    let mut positions: FxHashMap<(Arc<str>, Box<str>), usize> = FxHashMap::default();
    let mut parents: Vec<Option<usize>> = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let system = &entry.contained.system;
        let parent = entry.parents.iter().find_map(|code| positions.get(&(system.clone(), code.clone())));
        parents.push(parent.copied());
        positions.insert((system.clone(), entry.contained.code.clone()), at);
    }
    let mut nodes: Vec<Option<Contained>> = entries.into_iter().map(|entry| Some(entry.contained)).collect();
    let mut roots = Vec::new();
    // A parent stands before its children, so that from the end each is whole when it is put into its parent.
    for at in (0..nodes.len()).rev() {
        let Some(node) = nodes.get_mut(at).and_then(Option::take) else { continue };
        let parent = parents.get(at).copied().flatten();
        match parent.and_then(|parent| nodes.get_mut(parent)).and_then(Option::as_mut) {
            Some(parent) => parent.contains.push(node),
            None => roots.push(node),
        }
    }
    reverse(&mut roots);
    roots
}

/// Children were put in from the last to the first.
fn reverse(contains: &mut [Contained]) {
    contains.reverse();
    contains.iter_mut().for_each(|contained| reverse(&mut contained.contains));
}
