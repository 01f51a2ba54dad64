//! Does one operation of a FHIRPath Patch: finds the place, changes the tree's shape, writes it and parses it again, so that
//! the next operation sees a sound resource.

use super::MAX_WRITTEN;
use super::operation::{Index, List, Name, Operation, Path, refuse};
use super::value::{named, typed};
use crate::expression::{Environment, Expression, Item};
use crate::issue::{Issue, IssueType};
use crate::schema::PropertyId;
use crate::tree::{Element, Limits, NewElement, Tree};

/// What the operations of a patch share: their values, and how much they may still do.
pub(super) struct Work<'p> {
    parameters: &'p Tree,
    limits: &'p Limits,
    /// Of all evaluations so far.
    steps: u64,
    /// Bytes, so far.
    written: usize,
}

/// The children that an element has after an operation.
struct Change {
    parent: u32,
    children: Vec<u32>,
}

impl<'p> Work<'p> {
    pub(super) fn new(parameters: &'p Tree, limits: &'p Limits) -> Work<'p> {
        Work { parameters, limits, steps: 0, written: 0 }
    }

    /// The tree after an operation.
    pub(super) fn apply(&mut self, operation: &Operation, mut tree: Tree) -> Result<Tree, Vec<Issue>> {
        let (part, change) = match operation {
            Operation::Add { path, name, value } => (*value, self.add(&mut tree, path, name, *value)),
            Operation::Insert { list, index, value } => (*value, self.insert(&mut tree, list, index, *value)),
            Operation::Delete { path } => (path.part, self.delete(&tree, path)),
            Operation::Replace { path, value } => (*value, self.replace(&mut tree, path, *value)),
            Operation::Move { list, source, destination } => {
                (list.part, self.rearrange(&tree, list, source, destination))
            }
        };
        let Some(Change { parent, children }) = change.map_err(|issue| vec![issue])? else { return Ok(tree) };
        tree.relink(parent, &children);
        self.settle(&tree, part)
    }

    fn add(
        &mut self,
        tree: &mut Tree,
        path: &Path,
        name: &Name,
        value: u32,
    ) -> Result<Option<Change>, Issue> {
        let owner = self.one(tree, &path.expression, path.part)?;
        let targets = named(tree.schema(), owner.type_id(), &name.text, self.part(name.part))?;
        let new = typed(self.part(value), targets)?;
        let definition = tree.schema().definition(new.property);
        if !definition.is_list && owner.get(&definition.name).is_some() {
            let details =
                format!("There is a value of {} already, and at most one: replace it.", definition.name);
            return Err(self.refuse(name.part, IssueType::Structure, details));
        }
        let (parent, mut children) = (owner.node_id(), tree.children_of(owner.node_id()));
        let at = children.partition_point(|child| property(tree, *child) <= Some(new.property));
        children.insert(at, self.push(tree, new, value)?);
        Ok(Some(Change { parent, children }))
    }

    fn insert(
        &mut self,
        tree: &mut Tree,
        list: &List,
        index: &Index,
        value: u32,
    ) -> Result<Option<Change>, Issue> {
        let (parent, target) = self.list(tree, list)?;
        let new = typed(self.part(value), target..PropertyId(target.0 + 1))?;
        let (mut children, first, count) = place(tree, parent, target);
        if index.number > count {
            let details = format!("The list has {count} items, so that there is no index {}.", index.number);
            return Err(self.refuse(index.part, IssueType::Value, details));
        }
        children.insert(first + index.number, self.push(tree, new, value)?);
        Ok(Some(Change { parent, children }))
    }

    fn delete(&mut self, tree: &Tree, path: &Path) -> Result<Option<Change>, Issue> {
        let found = self.select(tree, &path.expression, path.part)?;
        let element = match found.as_slice() {
            [] => return Ok(None),
            [element] => *element,
            several => return Err(self.several(path.part, several.len())),
        };
        if element.is_root() {
            let details = "The resource itself cannot be deleted by a patch.";
            return Err(self.refuse(path.part, IssueType::Processing, details));
        }
        // What has nothing left goes too: FHIR has no empty elements.
        let mut line = tree.ancestry(element.node_id());
        let mut gone = line.pop().unwrap_or_default();
        while let Some(parent) = line.last().and_then(|parent| tree.element(*parent)) {
            if parent.is_resource() || parent.has_value() || parent.children().nth(1).is_some() {
                break;
            }
            gone = line.pop().unwrap_or_default();
        }
        let parent = line.last().copied().unwrap_or_default();
        let mut children = tree.children_of(parent);
        children.retain(|child| *child != gone);
        Ok(Some(Change { parent, children }))
    }

    fn replace(&mut self, tree: &mut Tree, path: &Path, value: u32) -> Result<Option<Change>, Issue> {
        let old = self.one(tree, &path.expression, path.part)?;
        let Some(property) = old.property_id() else {
            let details = "The resource itself cannot be replaced by a patch: update it.";
            return Err(self.refuse(path.part, IssueType::Processing, details));
        };
        let definition = tree.schema().definition(property);
        let targets = tree.schema().property(definition.owner, &definition.name);
        let new = typed(self.part(value), targets.unwrap_or(property..PropertyId(property.0 + 1)))?;
        let mut line = tree.ancestry(old.node_id());
        let old = line.pop().unwrap_or_default();
        let parent = line.last().copied().unwrap_or_default();
        let mut children = tree.children_of(parent);
        let new = self.push(tree, new, value)?;
        for child in children.iter_mut().filter(|child| **child == old) {
            *child = new;
        }
        Ok(Some(Change { parent, children }))
    }

    fn rearrange(
        &mut self,
        tree: &Tree,
        list: &List,
        source: &Index,
        destination: &Index,
    ) -> Result<Option<Change>, Issue> {
        let (parent, target) = self.list(tree, list)?;
        let (mut children, first, count) = place(tree, parent, target);
        for index in [source, destination] {
            if index.number >= count {
                let details =
                    format!("The list has {count} items, so that there is none at {}.", index.number);
                return Err(self.refuse(index.part, IssueType::Value, details));
            }
        }
        let moved = children.remove(first + source.number);
        children.insert(first + destination.number, moved);
        Ok(Some(Change { parent, children }))
    }

    /// The elements that an expression leads to.
    fn select<'t>(
        &mut self,
        tree: &'t Tree,
        expression: &Expression,
        part: u32,
    ) -> Result<Vec<Element<'t>>, Issue> {
        let mut items = Vec::new();
        expression
            .evaluate_after(tree.root(), &Environment::default(), &mut self.steps, &mut items)
            .map_err(|error| Issue::from(error).at(self.part(part).path()))?;
        let elements = items.iter().map(Item::element).collect::<Option<Vec<Element<'t>>>>();
        elements.ok_or_else(|| {
            let details = "The path yields a value that is computed, not an element of the resource.";
            self.refuse(part, IssueType::Value, details)
        })
    }

    /// The one element that an expression leads to.
    fn one<'t>(&mut self, tree: &'t Tree, expression: &Expression, part: u32) -> Result<Element<'t>, Issue> {
        match self.select(tree, expression, part)?.as_slice() {
            [element] => Ok(*element),
            [] => {
                Err(self.refuse(part, IssueType::NotFound, "The resource has nothing where the path leads."))
            }
            several => Err(self.several(part, several.len())),
        }
    }

    /// What holds a list, and the property whose values it has.
    fn list(&mut self, tree: &Tree, list: &List) -> Result<(u32, PropertyId), Issue> {
        let owner = self.one(tree, &list.owner, list.part)?;
        let target = named(tree.schema(), owner.type_id(), &list.name, self.part(list.part))?.start;
        if !tree.schema().definition(target).is_list {
            let details = format!("{} is no list: there is one value at most.", list.name);
            return Err(self.refuse(list.part, IssueType::Value, details));
        }
        Ok((owner.node_id(), target))
    }

    fn push(&self, tree: &mut Tree, new: NewElement, part: u32) -> Result<u32, Issue> {
        tree.push(new).ok_or_else(|| self.refuse(part, IssueType::TooLong, "The resource becomes too large."))
    }

    /// The tree, sound again.
    fn settle(&mut self, tree: &Tree, part: u32) -> Result<Tree, Vec<Issue>> {
        let mut json = Vec::new();
        tree.write_json(&mut json);
        self.written = self.written.saturating_add(json.len());
        if self.written > MAX_WRITTEN {
            let details = format!("The operations write more than {MAX_WRITTEN} bytes between them.");
            return Err(vec![self.refuse(part, IssueType::TooCostly, details)]);
        }
        Tree::parse_json(tree.schema(), json, self.limits).map_err(|issues| {
            let told = |issue: Issue| {
                let place = issue.expression.map(|place| format!(" at {place}")).unwrap_or_default();
                let details = format!("The resource would no longer be sound{place}: {}", issue.details);
                self.refuse(part, issue.code, details)
            };
            issues.into_iter().map(told).collect()
        })
    }

    /// A part of the patch.
    fn part(&self, node: u32) -> Element<'p> {
        self.parameters.element(node).unwrap_or_else(|| self.parameters.root())
    }

    fn refuse(&self, part: u32, code: IssueType, details: impl Into<String>) -> Issue {
        refuse(self.part(part), code, details)
    }

    fn several(&self, part: u32, count: usize) -> Issue {
        let details = format!("The path leads to {count} elements; it must lead to one.");
        self.refuse(part, IssueType::MultipleMatches, details)
    }
}

fn property(tree: &Tree, node: u32) -> Option<PropertyId> {
    tree.element(node)?.property_id()
}

/// The children of an element; where among them the values of a property start, or would; and how many there are.
fn place(tree: &Tree, parent: u32, target: PropertyId) -> (Vec<u32>, usize, usize) {
    let children = tree.children_of(parent);
    let first = children.partition_point(|child| property(tree, *child) < Some(target));
    let end = children.partition_point(|child| property(tree, *child) <= Some(target));
    (children, first, end - first)
}
