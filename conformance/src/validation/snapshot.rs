//! All elements of a StructureDefinition as a tree: read from its snapshot, or made from its differential and the
//! definition it derives from (<https://hl7.org/fhir/R4/profiling.html#snapshot>). It never judges instances.

use std::sync::Arc;

use super::library::Library;
use super::structure::{
    Discriminator, ElementRule, MAX_ELEMENTS, Slicing, Structure, TypeRule, last_segment,
};

/// Longest chain of definitions that derive from one another, or stand inside one another while a snapshot is made.
pub const MAX_BASES: usize = 32;

/// The elements of a definition. The first is its root.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Each after its parent.
    pub nodes: Vec<Node>,
}

/// An element, or a slice of one.
#[derive(Debug, Clone)]
pub struct Node {
    /// What is said of it.
    pub rule: ElementRule,
    /// Its name, with `[x]` for a choice.
    pub name: String,
    /// Its elements.
    pub children: Vec<usize>,
    /// Its slices.
    pub slices: Vec<usize>,
}

/// Why there is no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A definition it derives from is not at hand.
    #[error("{url} derives from {base}, which is not known")]
    MissingBase {
        /// The definition.
        url: String,
        /// What it derives from.
        base: String,
    },
    /// It derives from nothing, and has only a differential.
    #[error("{0} has no snapshot and no baseDefinition")]
    NoBase(String),
    /// It derives from itself, or the chain is longer than [`MAX_BASES`].
    #[error("{0} derives from itself, or through more than {MAX_BASES} others")]
    Cycle(String),
    /// Its differential names an element that the type does not have.
    #[error("{url} constrains {path}, and there is no such element")]
    NoElement {
        /// The definition.
        url: String,
        /// The element's path or id.
        path: String,
    },
    /// More elements than [`MAX_ELEMENTS`].
    #[error("{0} has more than {MAX_ELEMENTS} elements")]
    TooManyElements(String),
}

type Result<T> = std::result::Result<T, SnapshotError>;

impl Snapshot {
    /// The elements of a structure.
    ///
    /// # Errors
    /// A differential that cannot be completed.
    pub fn of(library: &dyn Structures, structure: &Structure) -> Result<Snapshot> {
        Maker { library, url: &structure.url }.snapshot(structure, 0)
    }

    /// The root.
    pub fn root(&self) -> Option<&Node> {
        self.nodes.first()
    }

    /// An element.
    pub fn node(&self, at: usize) -> Option<&Node> {
        self.nodes.get(at)
    }

    /// The child of a name; `value[x]` is found by `value`, too.
    pub fn child(&self, at: usize, name: &str) -> Option<usize> {
        let is = |&child: &usize| {
            let found = self.nodes.get(child).map_or("", |node| node.name.as_str());
            found == name || found.strip_suffix("[x]") == Some(name)
        };
        self.nodes.get(at)?.children.iter().copied().find(is)
    }

    /// All elements in the order that a StructureDefinition lists them in, each with its id.
    pub fn listed(&self) -> Vec<(String, &ElementRule)> {
        let mut found = Vec::with_capacity(self.nodes.len());
        if let Some(root) = self.nodes.first() {
            self.list(0, root.name.clone(), &mut found);
        }
        found
    }

    fn list<'s>(&'s self, at: usize, id: String, found: &mut Vec<(String, &'s ElementRule)>) {
        let Some(node) = self.nodes.get(at) else { return };
        found.push((id.clone(), &node.rule));
        let parent = id;
        for &child in &node.children {
            let name = self.nodes.get(child).map_or("", |node| node.name.as_str());
            let id = format!("{parent}.{name}");
            self.list(child, id.clone(), found);
            self.list_slices(child, &id, found);
        }
    }

    fn list_slices<'s>(&'s self, at: usize, id: &str, found: &mut Vec<(String, &'s ElementRule)>) {
        for &slice in self.nodes.get(at).map_or(&[][..], |node| &node.slices) {
            let name = self.nodes.get(slice).and_then(|node| node.rule.slice.clone()).unwrap_or_default();
            self.list(slice, format!("{id}:{name}"), found);
            self.list_slices(slice, id, found);
        }
    }

    /// Reads a complete list of elements.
    fn from_elements(elements: &[ElementRule]) -> Snapshot {
        let mut snapshot = Snapshot { nodes: Vec::with_capacity(elements.len()) };
        // The latest element of each depth.
        let mut open: Vec<usize> = Vec::new();
        for rule in elements {
            let depth = rule.path.matches('.').count();
            open.truncate(depth);
            let at = snapshot.push(rule.clone());
            if let Some(&parent) = open.last() {
                snapshot.attach(parent, at);
            }
            while open.len() < depth {
                open.push(0);
            }
            open.push(at);
        }
        snapshot
    }

    fn push(&mut self, rule: ElementRule) -> usize {
        let name = rule.name().to_owned();
        self.nodes.push(Node { rule, name, children: Vec::new(), slices: Vec::new() });
        self.nodes.len() - 1
    }

    /// Puts a node under its parent: as a child, or as a slice of the child of its name.
    fn attach(&mut self, parent: usize, at: usize) {
        let Some(node) = self.nodes.get(at) else { return };
        let (name, slice) = (node.name.clone(), node.rule.slice.clone());
        let sliced = self.child(parent, &name).filter(|_| slice.is_some());
        let (holder, is_slice) = match (sliced, slice) {
            (Some(element), Some(slice)) => (self.holder(element, &slice), true),
            _ => (parent, false),
        };
        if let Some(holder) = self.nodes.get_mut(holder) {
            if is_slice { holder.slices.push(at) } else { holder.children.push(at) }
        }
    }

    /// What a slice is a slice of: the element, or for `a/b` its slice `a`.
    fn holder(&self, element: usize, slice: &str) -> usize {
        slice.rsplit_once('/').and_then(|(outer, _)| self.slice(element, outer)).unwrap_or(element)
    }

    /// The slice of a name, among the slices of slices too.
    pub fn slice(&self, element: usize, name: &str) -> Option<usize> {
        let slices = &self.nodes.get(element)?.slices;
        let is = |&slice: &usize| {
            self.nodes.get(slice).is_some_and(|node| node.rule.slice.as_deref() == Some(name))
        };
        slices.iter().copied().find(is).or_else(|| slices.iter().find_map(|&slice| self.slice(slice, name)))
    }

    /// Copies a node of another snapshot with all below it, but without its own slices.
    fn copy(&mut self, from: &Snapshot, at: usize, keeps_slices: bool) -> Option<usize> {
        let node = from.nodes.get(at)?;
        if self.nodes.len() > MAX_ELEMENTS {
            return None;
        }
        let copied = self.nodes.len();
        let name = node.name.clone();
        self.nodes.push(Node { rule: node.rule.clone(), name, children: Vec::new(), slices: Vec::new() });
        let children: Vec<usize> =
            node.children.iter().filter_map(|&child| self.copy(from, child, true)).collect();
        let slices = if keeps_slices { node.slices.as_slice() } else { &[] };
        let slices: Vec<usize> = slices.iter().filter_map(|&slice| self.copy(from, slice, true)).collect();
        if let Some(node) = self.nodes.get_mut(copied) {
            node.children = children;
            node.slices = slices;
        }
        Some(copied)
    }
}

/// Finds definitions.
pub trait Structures {
    /// The one of a canonical URL, perhaps with a version.
    fn structure(&self, canonical: &str) -> Option<Arc<Structure>>;
}

impl Structures for Library {
    fn structure(&self, canonical: &str) -> Option<Arc<Structure>> {
        self.get(canonical)
    }
}

struct Maker<'l> {
    library: &'l dyn Structures,
    url: &'l str,
}

impl Maker<'_> {
    fn snapshot(&self, structure: &Structure, depth: usize) -> Result<Snapshot> {
        if !structure.snapshot.is_empty() {
            return Ok(Snapshot::from_elements(&structure.snapshot));
        }
        if depth >= MAX_BASES {
            return Err(SnapshotError::Cycle(self.url.to_owned()));
        }
        let base = structure.base.as_deref().ok_or_else(|| SnapshotError::NoBase(structure.url.clone()))?;
        let found = self.library.structure(base).ok_or_else(|| SnapshotError::MissingBase {
            url: structure.url.clone(),
            base: base.to_owned(),
        })?;
        let mut snapshot = self.snapshot(&found, depth + 1)?;
        if !structure.is_profile {
            rename(&mut snapshot, &structure.type_name);
        }
        let mut open = Vec::new();
        for element in &structure.differential {
            let steps = steps(element, &mut open);
            self.apply(&mut snapshot, structure, element, &steps, depth)?;
            if snapshot.nodes.len() > MAX_ELEMENTS {
                return Err(SnapshotError::TooManyElements(self.url.to_owned()));
            }
        }
        Ok(snapshot)
    }

    fn apply(
        &self,
        snapshot: &mut Snapshot,
        structure: &Structure,
        element: &ElementRule,
        steps: &[(String, Option<String>)],
        depth: usize,
    ) -> Result<()> {
        let mut at = 0;
        let mut choice = None;
        for (number, (name, slice)) in steps.iter().enumerate().skip(1) {
            let is_last = number + 1 == steps.len();
            let missing = || SnapshotError::NoElement {
                url: structure.url.clone(),
                path: element.id.clone().unwrap_or_else(|| element.path.clone()),
            };
            let is_in_slice = steps.iter().take(number).any(|(_, slice)| slice.is_some());
            let child = match self.child(snapshot, at, name, is_in_slice, depth)? {
                Some(child) => child,
                None if is_last && !structure.is_profile => {
                    let child = snapshot.push(element.clone());
                    snapshot.attach(at, child);
                    return Ok(());
                }
                None => return Err(missing()),
            };
            choice = is_last.then(|| holder_of_choice(snapshot, at, child, name)).flatten();
            at = match slice {
                Some(slice) => self.slice(snapshot, child, slice).ok_or_else(missing)?,
                None => child,
            };
        }
        if let Some(node) = snapshot.nodes.get_mut(at) {
            merge(&mut node.rule, element);
        }
        if let Some(choice) = choice.filter(|_| element.min.unwrap_or(0) > 0) {
            // Of one value the type is told: then there is a value, and of that type.
            let types = snapshot.nodes.get(at).map(|node| node.rule.types.clone()).unwrap_or_default();
            if let Some(node) = snapshot.nodes.get_mut(choice) {
                node.rule.min = node.rule.min.max(element.min);
                node.rule.types = types;
            }
        }
        Ok(())
    }

    /// The child of a name, the type's elements taken in where they are needed. `valueQuantity` is a slice of `value[x]`.
    fn child(
        &self,
        snapshot: &mut Snapshot,
        at: usize,
        name: &str,
        is_in_slice: bool,
        depth: usize,
    ) -> Result<Option<usize>> {
        if snapshot.nodes.get(at).is_some_and(|node| node.children.is_empty()) {
            self.unfold(snapshot, at, depth)?;
        }
        if let Some(found) = snapshot.child(at, name) {
            return Ok(Some(found));
        }
        let choice = |&child: &usize| {
            let stem = snapshot.nodes.get(child)?.name.strip_suffix("[x]")?;
            let suffix = name.strip_prefix(stem)?;
            let mut types = snapshot.nodes.get(child)?.rule.types.iter();
            types.find(|it| it.code.eq_ignore_ascii_case(suffix)).map(|it| (child, it.clone()))
        };
        let found = snapshot.nodes.get(at).and_then(|node| node.children.iter().find_map(choice));
        let Some((child, kind)) = found else { return Ok(None) };
        let Some(node) = snapshot.nodes.get_mut(child) else { return Ok(None) };
        if node.slices.is_empty() && (node.rule.types.len() == 1 || is_in_slice) {
            // In a slice, the one type that is spoken of is the only one left.
            node.rule.types = vec![kind];
            return Ok(Some(child));
        }
        if let Some(node) = snapshot.nodes.get_mut(child) {
            let by_type = || Discriminator { kind: "type".to_owned(), path: "$this".to_owned() };
            node.rule.slicing.get_or_insert_with(|| Slicing {
                discriminator: vec![by_type()],
                rules: "open".to_owned(),
                ordered: false,
            });
        }
        let slice = self.slice(snapshot, child, name);
        if let Some(node) = slice.and_then(|slice| snapshot.nodes.get_mut(slice)) {
            node.rule.types = vec![kind];
        }
        Ok(slice)
    }

    /// The slice of a name, made where there is none yet.
    fn slice(&self, snapshot: &mut Snapshot, element: usize, name: &str) -> Option<usize> {
        if let Some(found) = snapshot.slice(element, name) {
            return Some(found);
        }
        let holder = snapshot.holder(element, name);
        let from = snapshot.clone_below(holder);
        let made = snapshot.copy(&from, 0, false)?;
        let node = snapshot.nodes.get_mut(made)?;
        node.rule.slice = Some(name.to_owned());
        node.rule.slicing = None;
        node.rule.min = Some(0);
        let suffix = node.name.strip_suffix("[x]").and_then(|stem| name.strip_prefix(stem));
        if let Some(suffix) = suffix {
            let is_kind = |it: &&TypeRule| it.code.eq_ignore_ascii_case(suffix);
            if let Some(kind) = node.rule.types.iter().find(is_kind).cloned() {
                node.rule.types = vec![kind];
            }
        }
        snapshot.nodes.get_mut(holder)?.slices.push(made);
        Some(made)
    }

    /// Gives an element the children that its type, the profile of its type or the element it refers to has.
    fn unfold(&self, snapshot: &mut Snapshot, at: usize, depth: usize) -> Result<()> {
        let Some(node) = snapshot.nodes.get(at) else { return Ok(()) };
        let from = if let Some(reference) = &node.rule.content_reference {
            // As FHIR defines the element: what the profile asks of it where it stands is not meant.
            let id = reference.rsplit_once('#').map_or(reference.as_str(), |(_, id)| id).to_owned();
            let root = id.split('.').next().unwrap_or_default();
            let definition = self.library.structure(&super::library::type_url(root));
            let base = definition.map(|it| self.snapshot(&it, depth + 1)).transpose()?;
            match base.as_ref().and_then(|base| Some((base, base.find(&id)?))) {
                Some((base, found)) => base.clone_below(found),
                None => return Ok(()),
            }
        } else {
            match self.type_of(&node.rule.types, depth)? {
                Some(found) => found,
                None => return Ok(()),
            }
        };
        let children = from.root().map_or(&[][..], |root| &root.children);
        let copied: Vec<usize> =
            children.iter().filter_map(|&child| snapshot.copy(&from, child, true)).collect();
        if let Some(node) = snapshot.nodes.get_mut(at) {
            node.children = copied;
        }
        Ok(())
    }

    fn type_of(&self, types: &[TypeRule], depth: usize) -> Result<Option<Snapshot>> {
        let same = types.first().filter(|first| types.iter().all(|it| it.code == first.code));
        let code = same.map_or("Element", |it| it.code.as_str());
        let profile = match types {
            [one] if one.profile.len() == 1 => one.profile.first(),
            _ => None,
        };
        let found = profile
            .and_then(|url| self.library.structure(url))
            .or_else(|| self.library.structure(&super::library::type_url(code)));
        let Some(found) = found else { return Ok(None) };
        if depth >= MAX_BASES {
            return Err(SnapshotError::Cycle(self.url.to_owned()));
        }
        self.snapshot(&found, depth + 1).map(Some)
    }
}

impl Snapshot {
    /// A node and all below it, as a snapshot of its own.
    fn clone_below(&self, at: usize) -> Snapshot {
        let mut below = Snapshot::default();
        below.copy(self, at, false);
        below
    }

    /// The element of an id.
    pub fn find(&self, id: &str) -> Option<usize> {
        let mut at = 0;
        for step in id.split('.').skip(1) {
            let (name, slice) =
                step.split_once(':').map_or((step, None), |(name, slice)| (name, Some(slice)));
            at = self.child(at, name)?;
            if let Some(slice) = slice {
                at = self.slice(at, slice)?;
            }
        }
        Some(at)
    }
}

/// The choice of which an element is the slice that a name with a type (`valueQuantity`) stands for.
fn holder_of_choice(snapshot: &Snapshot, parent: usize, child: usize, name: &str) -> Option<usize> {
    let is_slice = snapshot.nodes.get(child)?.rule.slice.as_deref() == Some(name);
    let holds = |choice: &&usize| snapshot.nodes.get(**choice).is_some_and(|it| it.slices.contains(&child));
    snapshot.nodes.get(parent)?.children.iter().find(holds).copied().filter(|_| is_slice)
}

/// Names and slices from the root on.
type Steps = Vec<(String, Option<String>)>;

/// The steps to an element: from its id, which tells the slices, or else from its path and the elements before it
/// (`open`: with their paths), the last of which with a part of the path is the one it stands in.
fn steps(element: &ElementRule, open: &mut Vec<(String, Steps)>) -> Steps {
    let is_id = |id: &&str| {
        let names = id.split('.').map(|step| step.split(':').next().unwrap_or_default());
        names.eq(element.path.split('.'))
    };
    let step = |step: &str| match step.split_once(':') {
        Some((name, slice)) => (name.to_owned(), Some(slice.to_owned())),
        None => (step.to_owned(), None),
    };
    let mut steps: Steps = match element.id.as_deref().filter(is_id) {
        Some(id) => id.split('.').map(step).collect(),
        None => {
            let above =
                |path: &str| element.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
            let known = open.iter().rev().filter(|(path, _)| above(path)).max_by_key(|(path, _)| path.len());
            let mut steps = known.map(|(_, steps)| steps.clone()).unwrap_or_default();
            let names = element.path.split('.').skip(steps.len());
            steps.extend(names.map(|name| (name.to_owned(), None)));
            steps
        }
    };
    if let (Some(last), Some(slice)) = (steps.last_mut(), &element.slice) {
        last.1 = Some(slice.clone());
    }
    // Of each path only the last element matters.
    open.retain(|(path, _)| *path != element.path && !path.starts_with(&format!("{}.", element.path)));
    open.push((element.path.clone(), steps.clone()));
    steps
}

/// Sets what a differential says of an element.
fn merge(rule: &mut ElementRule, said: &ElementRule) {
    fn set<T: Clone>(to: &mut Option<T>, said: &Option<T>) {
        if said.is_some() {
            to.clone_from(said);
        }
    }
    set(&mut rule.min, &said.min);
    set(&mut rule.max, &said.max);
    set(&mut rule.slicing, &said.slicing);
    set(&mut rule.fixed, &said.fixed);
    set(&mut rule.pattern, &said.pattern);
    set(&mut rule.must_support, &said.must_support);
    set(&mut rule.is_modifier, &said.is_modifier);
    set(&mut rule.max_length, &said.max_length);
    set(&mut rule.min_value, &said.min_value);
    set(&mut rule.max_value, &said.max_value);
    if !said.types.is_empty() {
        rule.types.clone_from(&said.types);
    }
    if let Some(binding) = &said.binding {
        let inherited = rule.binding.take().and_then(|it| it.value_set);
        let mut binding = binding.clone();
        binding.value_set = binding.value_set.or(inherited);
        rule.binding = Some(binding);
    }
    for constraint in &said.constraint {
        if !rule.constraint.iter().any(|known| known.key == constraint.key) {
            rule.constraint.push(constraint.clone());
        }
    }
}

/// Paths of a new type begin with its name.
fn rename(snapshot: &mut Snapshot, name: &str) {
    if let Some(root) = snapshot.nodes.first_mut() {
        root.name = last_segment(name).to_owned();
    }
    for node in &mut snapshot.nodes {
        let rest = node.rule.path.find('.').map(|at| node.rule.path.split_off(at)).unwrap_or_default();
        node.rule.path = format!("{}{rest}", last_segment(name));
    }
}
