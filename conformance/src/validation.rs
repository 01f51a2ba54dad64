//! Judges resources by the definitions of FHIR and of profiles (<https://hl7.org/fhir/R4/validation.html>).
//!
//! What FHIR itself says of each type, and each profile, is compiled to a table when it is first met; a resource is then
//! walked once for FHIR's own rules, and along each profile only where that asks for more. Reads nothing but the tree, the
//! definitions at hand and what [`Resources`] finds; it never changes a resource, and follows no reference out of it.

mod bundle;
mod codes;
mod conform;
mod definitions;
mod extension;
mod invariant;
mod library;
mod measure;
mod pattern;
mod profile;
mod questionnaire;
mod reference;
mod rules;
mod slices;
mod slicing;
mod snapshot;
mod structure;
mod terms;
mod walk;

use std::path::Path;
use std::sync::{Arc, RwLock};

use fhirpath::expression::{Coding, DateTime};
use fhirpath::{Element, Issue, IssueType, Limits as TreeLimits, Schema, Severity, Tree};
use rustc_hash::{FxHashMap, FxHashSet};

pub use library::{Library, compile_structures};
pub use profile::ProfileError;
pub use snapshot::{MAX_BASES, Snapshot, SnapshotError, Structures};
pub use structure::{
    Binding, Constraint, Context, Discriminator, ElementRule, MANY, MAX_ELEMENTS, Slicing, Structure,
    StructureError, TypeRule,
};
pub use walk::MAX_STEPS;

use crate::resources::Resources;
use crate::terminology::{self, Terminology};
use crate::{DefinitionsError, Limits, PackageError};
use profile::{Compiler, Profile, ProfileReference};
use rules::BaseRules;
use terms::{CodeTypes, Known};
use walk::Walk;

/// Judges resources. Cheap to clone; clones share what they compiled.
#[derive(Clone)]
pub struct Validator {
    shared: Arc<Shared>,
    terminology: Terminology,
    /// Profiles that users stored.
    stored: Option<Stored>,
}

struct Shared {
    schema: Arc<Schema>,
    library: Library,
    base: BaseRules,
    code_types: CodeTypes,
    /// Codes that their system has.
    known_codes: Known,
    profiles: Profiles,
}

/// What was made of the profiles of some canonicals.
type Made = FxHashMap<Box<str>, Result<Option<Arc<Profile>>, ProfileError>>;
type Profiles = RwLock<Made>;

#[derive(Clone)]
struct Stored {
    resources: Arc<dyn Resources>,
    /// Codes that are right, with their value sets, under the generation that was asked.
    known: Arc<RwLock<(u64, FxHashSet<Box<str>>)>>,
    /// What was compiled, under the generation of the resources that it was compiled from.
    profiles: Arc<RwLock<(u64, Made)>>,
}

/// How to judge.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether the profiles that resources claim (`meta.profile`) count.
    pub claimed_profiles: bool,
    /// Whether elements that must be supported and are not there are told, as information.
    pub must_support: bool,
    /// Whether rules that are only good practice are told, as warnings.
    pub best_practice: bool,
    /// Whether information is told, not only warnings and errors.
    pub information: bool,
    /// The moment that invariants call `now()`.
    pub now: Option<DateTime>,
    /// Most issues of one resource.
    pub issues: usize,
}

impl Default for Options {
    /// Claimed profiles count; warnings and errors, 100 at most; no clock.
    fn default() -> Options {
        Options {
            claimed_profiles: true,
            must_support: false,
            best_practice: false,
            information: false,
            now: None,
            issues: 100,
        }
    }
}

impl Validator {
    /// With definitions for the types of `schema`, and terminology for bindings.
    pub fn new(schema: Arc<Schema>, library: Library, terminology: Terminology) -> Validator {
        let shared = Shared {
            base: BaseRules::new(&schema),
            code_types: CodeTypes::new(&schema),
            schema,
            library,
            known_codes: Known::default(),
            profiles: Profiles::default(),
        };
        Validator { shared: Arc::new(shared), terminology, stored: None }
    }

    /// With the definitions embedded in the program and those of packages (.tgz): profiles, code systems, value sets.
    ///
    /// # Errors
    /// A package that cannot be read.
    pub fn with_packages(schema: Arc<Schema>, packages: &[&Path]) -> Result<Validator, DefinitionsError> {
        let mut library = Library::embedded();
        let mut terms = terminology::Library::embedded();
        for path in packages {
            let failed = |cause| DefinitionsError::Package { path: path.display().to_string(), cause };
            let open = || std::fs::File::open(path).map_err(|error| failed(PackageError::Archive(error)));
            library.add_package(open()?, &Limits::default()).map_err(failed)?;
            terms.add(terminology::compile_terminology(open()?, &Limits::default()).map_err(failed)?);
        }
        Ok(Validator::new(schema, library, Terminology::new(terms)))
    }

    /// The terminology that bindings are checked with.
    pub fn terminology(&self) -> &Terminology {
        &self.terminology
    }

    /// The same with profiles, code systems and value sets that users stored. They count where the definitions at hand
    /// do not have the URL.
    #[must_use]
    pub fn with_resources(&self, resources: Arc<dyn Resources>) -> Validator {
        let terminology = self.terminology.with_resources(resources.clone());
        let stored = Stored { resources, known: Arc::default(), profiles: Arc::default() };
        Validator { shared: self.shared.clone(), terminology, stored: Some(stored) }
    }

    /// The same, checking bindings with another terminology.
    #[must_use]
    pub fn with_terminology(&self, terminology: Terminology) -> Validator {
        Validator { terminology, ..self.clone() }
    }

    /// What is wrong with a resource: by FHIR's own rules, by the profiles it claims if the options say so, and by those
    /// named (canonical URLs, perhaps with `|version`). Nothing, when it is valid.
    pub fn validate(&self, resource: Element<'_>, profiles: &[&str], options: &Options) -> Vec<Issue> {
        Walk::judge(self, resource, profiles, options, 0)
    }

    /// Parses JSON and judges it: what is wrong with the text, or else with the resource.
    pub fn validate_json(&self, text: &[u8], profiles: &[&str], options: &Options) -> Vec<Issue> {
        let limits = TreeLimits { issues: options.issues, ..TreeLimits::DEFAULT };
        match Tree::parse_json(&self.shared.schema, text.to_vec(), &limits) {
            Ok(tree) => self.validate(tree.root(), profiles, options),
            Err(issues) => issues,
        }
    }

    /// The definitions at hand.
    pub fn library(&self) -> &Library {
        &self.shared.library
    }

    /// Whether a profile can be checked. `Ok(false)`: there is none of this URL.
    ///
    /// # Errors
    /// Its definition is broken.
    pub fn has_profile(&self, canonical: &str) -> Result<bool, ProfileError> {
        self.profile(canonical).map(|found| found.is_some())
    }

    /// The compiled profile of a URL.
    fn profile(&self, canonical: &str) -> Result<Option<Arc<Profile>>, ProfileError> {
        let known = self.shared.profiles.read().ok().and_then(|known| known.get(canonical).cloned());
        match known {
            Some(Ok(None)) => self.stored_profile(canonical),
            Some(known) => known,
            None => {
                let library = &self.shared.library;
                let found = library.get(canonical);
                let made = found.map(|found| self.compile(library, &found)).transpose();
                if let Ok(mut known) = self.shared.profiles.write() {
                    // A URL that nobody defines comes from a request: it must not fill the memory.
                    if !matches!(made, Ok(None)) {
                        known.insert(canonical.into(), made.clone());
                    }
                }
                match made {
                    Ok(None) => self.stored_profile(canonical),
                    made => made,
                }
            }
        }
    }

    fn compile(&self, library: &dyn Structures, structure: &Structure) -> Result<Arc<Profile>, ProfileError> {
        Compiler::compile(&self.shared.schema, library, &self.shared.base, structure).map(Arc::new)
    }

    fn stored_profile(&self, canonical: &str) -> Result<Option<Arc<Profile>>, ProfileError> {
        let Some(stored) = &self.stored else { return Ok(None) };
        let generation = stored.resources.generation();
        if let Ok(known) = stored.profiles.read()
            && known.0 == generation
            && let Some(known) = known.1.get(canonical)
        {
            return known.clone();
        }
        let both = LibraryAndStored { library: &self.shared.library, stored };
        let made = match both.stored(canonical) {
            Ok(found) => found.map(|found| self.compile(&both, &found)).transpose(),
            Err(error) => Err(error),
        };
        if let Ok(mut known) = stored.profiles.write() {
            if known.0 != generation {
                *known = (generation, FxHashMap::default());
            }
            if !matches!(made, Ok(None)) {
                known.1.insert(canonical.into(), made.clone());
            }
        }
        made
    }

    /// Whether a code was found right before: in the value set of a binding, or (`value_set` empty) in its system.
    fn knows(&self, known: &Known, value_set: &str, coding: &Coding<'_>, buffer: &mut String) -> bool {
        let Some(stored) = &self.stored else {
            terms::key("", coding, buffer);
            return known.has(buffer);
        };
        terms::key(value_set, coding, buffer);
        let generation = stored.resources.generation();
        stored.known.read().is_ok_and(|known| known.0 == generation && known.1.contains(buffer.as_str()))
    }

    /// Remembers that a code is right.
    fn learns(&self, known: &Known, value_set: &str, coding: &Coding<'_>) {
        let mut text = String::new();
        let Some(stored) = &self.stored else {
            terms::key("", coding, &mut text);
            return known.add(&text);
        };
        terms::key(value_set, coding, &mut text);
        let generation = stored.resources.generation();
        if let Ok(mut known) = stored.known.write() {
            if known.0 != generation {
                *known = (generation, FxHashSet::default());
            }
            if known.1.len() < terms::MAX_KNOWN {
                known.1.insert(text.into());
            }
        }
    }

    /// The profile that a definition refers to, remembered with the reference where it cannot change.
    fn referred(&self, reference: &ProfileReference) -> Result<Option<Arc<Profile>>, ProfileError> {
        if let Some(found) = reference.found.get().and_then(std::sync::Weak::upgrade) {
            return Ok(Some(found));
        }
        let found = self.profile(&reference.canonical)?;
        if let Some(found) = &found
            && self.shared.profiles.read().is_ok_and(|known| {
                matches!(known.get(&reference.canonical), Some(Ok(Some(known))) if Arc::ptr_eq(known, found))
            })
        {
            let _ = reference.found.set(Arc::downgrade(found));
        }
        Ok(found)
    }
}

/// The definitions at hand, then those stored.
struct LibraryAndStored<'l> {
    library: &'l Library,
    stored: &'l Stored,
}

impl LibraryAndStored<'_> {
    fn stored(&self, canonical: &str) -> Result<Option<Arc<Structure>>, ProfileError> {
        let (url, version) = match canonical.split_once('|') {
            Some((url, version)) => (url, Some(version)),
            None => (canonical, None),
        };
        let broken = |why: String| ProfileError::Broken { url: url.to_owned(), why };
        let found = self.stored.resources.by_canonical("StructureDefinition", url, version);
        let Some(tree) = found.map_err(|error| broken(error.to_string()))? else { return Ok(None) };
        let mut text = Vec::new();
        tree.write_json(&mut text);
        let json = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        let structure = Structure::from_json(&json).map_err(|error| broken(error.to_string()))?;
        Ok(Some(Arc::new(structure)))
    }
}

impl Structures for LibraryAndStored<'_> {
    fn structure(&self, canonical: &str) -> Option<Arc<Structure>> {
        self.library.get(canonical).or_else(|| self.stored(canonical).ok().flatten())
    }
}

impl std::fmt::Debug for Validator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Validator({:?}, {:?})", self.shared.library, self.terminology)
    }
}

/// An issue without a place.
fn issue(severity: Severity, code: IssueType, details: String) -> Issue {
    Issue::error(code, details).severity(severity)
}

#[cfg(test)]
mod tests;
