//! Slices (<https://hl7.org/fhir/R4/profiling.html#slicing>): what tells an element of one slice from those of others,
//! read out of the definition once. Which elements are in which slice is the walk's to say.

use std::sync::Arc;

use fhirpath::Schema;
use fhirpath::schema::TypeId;

use super::library::type_url;
use super::pattern::Pattern;
use super::profile::ProfileReference;
use super::snapshot::{Snapshot, Structures};
use super::structure::{Discriminator, ElementRule};
use super::terms::BindingRule;

/// Deepest nesting of what a value is made of, looked for below a discriminator.
const MAX_DEPTH: usize = 4;
/// Most definitions looked into for one discriminator.
const MAX_PLACES: usize = 64;

/// The slices of an element.
pub(super) struct SlicingRules {
    pub is_closed: bool,
    pub is_open_at_end: bool,
    pub is_ordered: bool,
    /// The node of each slice, and what is in it.
    pub slices: Box<[(usize, Matcher)]>,
}

/// What elements of a slice have in common.
pub(super) struct Matcher {
    /// All must hold. None at all: it cannot be told.
    pub tests: Box<[Test]>,
    /// A discriminator that says nothing of this slice.
    pub is_undecided: bool,
}

/// Something to find in an element.
pub(super) struct Test {
    pub path: Box<[PathStep]>,
    pub check: Check,
}

/// A step of the restricted FHIRPath of discriminators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathStep {
    Child(Box<str>),
    Extension(Box<str>),
    Resolve,
    OfType(TypeId),
}

/// What is asked of what is found.
pub(super) enum Check {
    Fixed(Pattern),
    Pattern(Pattern),
    Bound(Arc<BindingRule>),
    Exists(bool),
    Types(Box<[TypeId]>),
    Conforms(Box<[ProfileReference]>),
}

/// An element of a definition.
#[derive(Clone)]
struct Place {
    snapshot: Arc<Snapshot>,
    at: usize,
    /// The definition of which it is the root.
    url: Option<String>,
}

struct Finder<'f> {
    schema: &'f Schema,
    library: &'f dyn Structures,
}

impl Matcher {
    /// What tells the slice at `slice` from others.
    pub fn new(
        schema: &Schema,
        library: &dyn Structures,
        snapshot: &Arc<Snapshot>,
        slice: usize,
        discriminators: &[Discriminator],
    ) -> Matcher {
        let finder = Finder { schema, library };
        let mut tests = Vec::new();
        let mut is_undecided = discriminators.is_empty();
        for discriminator in discriminators {
            let found = steps(schema, &discriminator.path)
                .map(|steps| finder.tests(snapshot, slice, discriminator, &steps))
                .unwrap_or_default();
            is_undecided |= found.is_empty();
            tests.extend(found);
        }
        Matcher { tests: tests.into(), is_undecided }
    }
}

/// `code.coding`, `$this`, `extension('x').value`, `resolve().code`, `value.ofType(Quantity)`; `None` for anything else.
fn steps(schema: &Schema, path: &str) -> Option<Vec<PathStep>> {
    let mut steps = Vec::new();
    let mut rest = path.trim();
    while !rest.is_empty() {
        let quoted = rest.find('(').filter(|open| rest.find('.').is_none_or(|dot| *open < dot));
        let end = match quoted {
            Some(_) => rest.find(')')? + 1,
            None => rest.find('.').unwrap_or(rest.len()),
        };
        let (step, later) = rest.split_at_checked(end)?;
        rest = later.strip_prefix('.').unwrap_or(later);
        let argument = |name: &str| {
            let inner = step.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')?;
            Some(inner.trim().trim_matches(|c| c == '\'' || c == '"').to_owned())
        };
        if let Some(url) = argument("extension") {
            steps.push(PathStep::Extension(url.into()));
        } else if argument("resolve").is_some() {
            steps.push(PathStep::Resolve);
        } else if let Some(name) = argument("ofType") {
            steps.push(PathStep::OfType(schema.type_id(&name)?));
        } else if step.contains('(') {
            return None;
        } else if step != "$this" {
            steps.push(PathStep::Child(step.trim_end_matches("[x]").into()));
        }
    }
    Some(steps)
}

impl Finder<'_> {
    fn tests(
        &self,
        snapshot: &Arc<Snapshot>,
        slice: usize,
        discriminator: &Discriminator,
        steps: &[PathStep],
    ) -> Vec<Test> {
        let Some(rule) = snapshot.node(slice).map(|node| &node.rule) else { return Vec::new() };
        if let Some(url) = extension_url(rule, snapshot, slice, &discriminator.path) {
            let check = Check::Fixed(Pattern::Text(url.into()));
            return vec![Test { path: steps.into(), check }];
        }
        let mut places = vec![Place { snapshot: snapshot.clone(), at: slice, url: None }];
        for step in steps {
            places = places.iter().flat_map(|place| self.step(place, step)).take(MAX_PLACES).collect();
        }
        let kind = discriminator.kind.as_str();
        if kind == "exists" {
            let is_there = |place: &Place| place.rule().is_some_and(|it| it.max != Some(0));
            let exists = places.iter().any(is_there);
            return vec![Test { path: steps.into(), check: Check::Exists(exists) }];
        }
        let mut tests = Vec::new();
        match kind {
            "type" => {
                let types: Vec<TypeId> = places.iter().flat_map(|place| self.types(place, steps)).collect();
                if !types.is_empty() {
                    tests.push(Test { path: steps.into(), check: Check::Types(types.into()) });
                }
            }
            "profile" => {
                let urls: Vec<String> = places.iter().flat_map(profiles).collect();
                if !urls.is_empty() {
                    let references = urls.iter().map(|url| ProfileReference::new(url)).collect();
                    tests.push(Test { path: steps.into(), check: Check::Conforms(references) });
                }
            }
            _ => {
                for place in &places {
                    self.values(place, steps.to_vec(), 0, &mut tests);
                }
            }
        }
        tests
    }

    /// The elements that a step leads to; slices of which there must be one count too.
    fn step(&self, place: &Place, step: &PathStep) -> Vec<Place> {
        match step {
            PathStep::Child(name) => self.children(place, name, 0),
            PathStep::Extension(url) => self
                .children(place, "extension", 0)
                .into_iter()
                .filter(|found| {
                    found.rule().is_some_and(|rule| {
                        rule.types
                            .iter()
                            .any(|it| it.profile.iter().any(|known| known.as_str() == url.as_ref()))
                            || extension_fixed(&found.snapshot, found.at).as_deref() == Some(url.as_ref())
                    })
                })
                .collect(),
            PathStep::Resolve => {
                let Some(rule) = place.rule() else { return Vec::new() };
                let urls = rule.types.iter().flat_map(|it| &it.target_profile);
                urls.filter_map(|url| self.root(url)).take(MAX_PLACES).collect()
            }
            PathStep::OfType(_) => vec![place.clone()],
        }
    }

    fn children(&self, place: &Place, name: &str, depth: usize) -> Vec<Place> {
        let own = place.snapshot.child(place.at, name);
        if let Some(child) = own {
            let mut found = vec![place.with(child)];
            let slices = place.snapshot.node(child).map_or(&[][..], |node| &node.slices);
            let is_needed = |slice: &&usize| {
                let rule = place.snapshot.node(**slice).map(|node| &node.rule);
                name == "extension" || rule.is_some_and(|rule| rule.min.unwrap_or(0) > 0)
            };
            let needed: Vec<Place> =
                slices.iter().filter(is_needed).map(|&slice| place.with(slice)).collect();
            // Of a choice with a slice that must be there, nothing else can be.
            let is_choice = place.snapshot.node(child).is_some_and(|node| node.name.ends_with("[x]"));
            if is_choice && !needed.is_empty() {
                found.clear();
            }
            found.extend(needed);
            return found;
        }
        if depth > 2 {
            return Vec::new();
        }
        let Some(rule) = place.rule() else { return Vec::new() };
        let mut found = Vec::new();
        for stated in rule.types.iter().take(MAX_PLACES) {
            let urls: Vec<String> = match stated.profile.as_slice() {
                [] => vec![type_url(&stated.code)],
                profiles => profiles.to_vec(),
            };
            for root in urls.iter().filter_map(|url| self.root(url)) {
                found.extend(self.children(&root, name, depth + 1));
            }
        }
        found
    }

    fn root(&self, url: &str) -> Option<Place> {
        let structure = self.library.structure(url)?;
        let snapshot = Snapshot::of(self.library, &structure).ok()?;
        Some(Place { snapshot: Arc::new(snapshot), at: 0, url: Some(structure.url.clone()) })
    }

    /// The types of an element; of what is resolved, the types of the resources.
    fn types(&self, place: &Place, steps: &[PathStep]) -> Vec<TypeId> {
        if let Some(PathStep::OfType(id)) = steps.last() {
            return vec![*id];
        }
        if let Some(url) = &place.url {
            let structure = self.library.structure(url);
            return structure.and_then(|it| self.schema.type_id(&it.type_name)).into_iter().collect();
        }
        let types = place.rule().map_or(&[][..], |rule| &rule.types);
        types.iter().filter_map(|it| self.schema.type_id(&it.code)).collect()
    }

    /// What an element's value must be: its own fixed value, pattern or binding, or those of what it is made of.
    fn values(&self, place: &Place, path: Vec<PathStep>, depth: usize, tests: &mut Vec<Test>) {
        let Some(rule) = place.rule() else { return };
        let types: Vec<TypeId> = match &place.url {
            Some(_) => self.types(place, &[]),
            None => rule.types.iter().filter_map(|it| self.schema.type_id(&it.code)).collect(),
        };
        let pattern = |value: &Option<serde_json::Value>| {
            let value = value.as_ref()?;
            types.iter().find_map(|&id| Pattern::new(self.schema, id, value))
        };
        if let Some(fixed) = pattern(&rule.fixed) {
            tests.push(Test { path: path.into(), check: Check::Fixed(fixed) });
            return;
        }
        if let Some(pattern) = pattern(&rule.pattern) {
            tests.push(Test { path: path.into(), check: Check::Pattern(pattern) });
            return;
        }
        let before = tests.len();
        if depth < MAX_DEPTH {
            let children =
                place.snapshot.node(place.at).map(|node| node.children.clone()).unwrap_or_default();
            for child in children {
                let Some(node) = place.snapshot.node(child) else { continue };
                let name = node.name.trim_end_matches("[x]");
                let is_out = node.rule.max == Some(0) || (name == "extension" || name == "id");
                if is_out {
                    continue;
                }
                let mut inner = path.clone();
                inner.push(PathStep::Child(name.into()));
                let slices = node.slices.iter().copied().filter(|&slice| {
                    place.snapshot.node(slice).is_some_and(|it| it.rule.min.unwrap_or(0) > 0)
                });
                self.values(&place.with(child), inner.clone(), depth + 1, tests);
                for slice in slices {
                    self.values(&place.with(slice), inner.clone(), depth + 1, tests);
                }
            }
        }
        let bound = rule.binding.as_ref().filter(|it| it.strength == "required").and_then(BindingRule::new);
        if let Some(bound) = bound.filter(|_| tests.len() == before && depth == 0) {
            tests.push(Test { path: path.into(), check: Check::Bound(Arc::new(bound)) });
            return;
        }
        // A profile on the element's type may say what this definition leaves open.
        let profiles = rule.types.iter().flat_map(|it| &it.profile);
        if tests.len() == before && depth < MAX_DEPTH && place.url.is_none() {
            for root in profiles.filter_map(|url| self.root(url)).take(1) {
                self.values(&root, path.clone(), depth + 1, tests);
            }
        }
    }
}

impl Place {
    fn rule(&self) -> Option<&ElementRule> {
        self.snapshot.node(self.at).map(|node| &node.rule)
    }

    fn with(&self, at: usize) -> Place {
        Place { snapshot: self.snapshot.clone(), at, url: None }
    }
}

/// The profiles that an element, or what it refers to, must meet one of.
fn profiles(place: &Place) -> Vec<String> {
    if let Some(url) = &place.url {
        return vec![url.clone()];
    }
    let types = place.rule().map_or(&[][..], |rule| &rule.types);
    types.iter().flat_map(|it| it.profile.iter().chain(&it.target_profile)).cloned().collect()
}

/// The URL of the extensions of a slice by `url`, from the profile that it names.
fn extension_url(rule: &ElementRule, snapshot: &Snapshot, slice: usize, path: &str) -> Option<String> {
    if path != "url" {
        return None;
    }
    extension_fixed(snapshot, slice).or_else(|| match rule.types.as_slice() {
        [one] if one.code == "Extension" => match one.profile.as_slice() {
            [url] => Some(url.split('|').next().unwrap_or(url).to_owned()),
            _ => None,
        },
        _ => None,
    })
}

fn extension_fixed(snapshot: &Snapshot, at: usize) -> Option<String> {
    let url = snapshot.node(snapshot.child(at, "url")?)?;
    url.rule.fixed.as_ref()?.as_str().map(str::to_owned)
}
