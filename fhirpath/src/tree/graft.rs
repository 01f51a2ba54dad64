//! Changes of a tree's shape: new elements, and the order of children. For patches, which write the tree and parse it again
//! after each change: the nodes of a resource inside are no longer contiguous here.

use super::{EDITED, Element, HAS_VALUE, NO_PROPERTY, Node, RESOURCE, Tree};
use crate::schema::{PropertyId, TypeId};

/// An element that a tree is to have, with what is below it.
#[derive(Debug)]
pub(crate) struct NewElement {
    /// What it is a value of.
    pub(crate) property: PropertyId,
    /// A primitive's value, checked.
    pub(crate) text: Option<String>,
    /// The type of a resource.
    pub(crate) resource: Option<TypeId>,
    /// In any order; repetitions in theirs.
    pub(crate) children: Vec<NewElement>,
}

impl Tree {
    /// Adds an element that is no child of any yet, and gives its number. `None` where the tree is full.
    pub(crate) fn push(&mut self, element: NewElement) -> Option<u32> {
        let node = u32::try_from(self.nodes.len()).ok()?;
        let mut flags = 0;
        let (mut start, mut len) = (0, 0);
        if let Some(text) = element.text {
            flags = HAS_VALUE | EDITED;
            start = u32::try_from(self.edits.len()).ok()?;
            self.edits.push(text.into());
        }
        if let Some(type_id) = element.resource {
            flags = RESOURCE;
            len = u32::from(type_id.0);
        }
        let property = element.property.0 | flags;
        self.nodes.push(Node { property, start, len, first_child: 0, next_sibling: 0 });
        let mut children = element.children;
        children.sort_by_key(|child| child.property);
        let children: Option<Vec<u32>> = children.into_iter().map(|child| self.push(child)).collect();
        self.relink(node, &children?);
        Some(node)
    }

    /// The numbers of an element's children, in their order.
    pub(crate) fn children_of(&self, node: u32) -> Vec<u32> {
        Element { tree: self, node }.children().map(Element::node_id).collect()
    }

    /// Makes `children` the only ones of `parent`. They are to be in the order of the specification.
    pub(crate) fn relink(&mut self, parent: u32, children: &[u32]) {
        let mut next = 0;
        for &child in children.iter().rev() {
            if let Some(node) = self.nodes.get_mut(child as usize) {
                node.next_sibling = next;
            }
            next = child;
        }
        if let Some(parent) = self.nodes.get_mut(parent as usize) {
            parent.first_child = next;
        }
    }

    /// The elements from the root's child down to `node`, that last. Empty for the root.
    pub(crate) fn ancestry(&self, node: u32) -> Vec<u32> {
        // A child is younger than its parent, so one look at each element before it finds them all.
        let mut parents = vec![0; self.nodes.len()];
        for parent in 0..node {
            for child in (Element { tree: self, node: parent }).children() {
                if let Some(of_child) = parents.get_mut(child.node as usize) {
                    *of_child = parent;
                }
            }
        }
        let up = |at: &u32| parents.get(*at as usize).copied().filter(|parent| *parent != 0);
        let mut line: Vec<u32> = std::iter::successors(Some(node).filter(|node| *node != 0), up).collect();
        line.reverse();
        line
    }
}

impl Element<'_> {
    /// Whether it is the root.
    pub(crate) fn is_root(self) -> bool {
        self.get_node().property() == NO_PROPERTY
    }
}
