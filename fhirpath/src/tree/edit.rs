//! Changes that a server makes to a resource before it stores it: id, meta, rewritten references.
//!
//! New values are kept beside the source text, new nodes behind the old ones, so that node numbers last.

use std::sync::Arc;

use super::{EDITED, ESCAPED, Element, HAS_VALUE, MARKUP, NO_PROPERTY, Node, REMOVED, RESOURCE, Tree};

impl Tree {
    /// Gives the resource a logical id, in place of the one it has.
    pub fn set_id(&mut self, id: &str) {
        self.set_child(0, "id", id);
    }

    /// Takes the logical id away.
    pub fn remove_id(&mut self) {
        if let Some(node) = self.root().get("id").map(Element::node_id) {
            self.remove(0, node);
        }
    }

    /// Sets `meta.versionId` and `meta.lastUpdated` (an instant's text), keeping the rest of meta.
    pub fn set_meta(&mut self, version_id: &str, last_updated: &str) {
        if let Some(meta) = self.child_or_new(0, "meta") {
            self.set_child(meta, "versionId", version_id);
            self.set_child(meta, "lastUpdated", last_updated);
        }
    }

    /// Changes the value of a primitive, named by its [`Element::node_id`], keeping its extensions. The text
    /// is not checked. Returns whether there is such a primitive; if not, nothing changes.
    pub fn set_text(&mut self, node: u32, text: &str) -> bool {
        let is_primitive = |element: &Element<'_>| self.schema.primitive(element.type_id()).is_some();
        if self.element(node).filter(is_primitive).is_none() {
            return false;
        }
        let next_edit = self.edits.len();
        let Some(found) = self.nodes.get_mut(node as usize) else { return false };
        if found.is(EDITED) {
            let Some(edit) = self.edits.get_mut(found.start as usize) else { return false };
            *edit = text.into();
            return true;
        }
        let Ok(start) = u32::try_from(next_edit) else { return false };
        found.property = (found.property & !(ESCAPED | MARKUP)) | EDITED | HAS_VALUE;
        found.start = start;
        found.len = 0;
        self.edits.push(text.into());
        true
    }

    /// A resource inside this one (contained, or of an entry) as a tree of its own, which holds no more of
    /// the text than it needs. `None` when the element is not a resource.
    pub fn extract(&self, resource: Element<'_>) -> Option<Tree> {
        let Element { tree, node: first } = resource;
        if !resource.is_resource() {
            return None;
        }
        if first == 0 {
            return Some(tree.clone());
        }
        let old = tree.nodes.get(first as usize..resource.get_node().start as usize)?;
        let has_text = |node: &&Node| node.is(HAS_VALUE) && !node.is(EDITED);
        let start = old.iter().filter(has_text).map(|node| node.start).min().unwrap_or(0);
        let end = old.iter().filter(has_text).map(|node| node.start + node.len).max().unwrap_or(start);
        let text = tree.text.get(start as usize..end as usize)?.to_owned();
        let mut copy = Tree {
            schema: Arc::clone(&tree.schema),
            text,
            nodes: Vec::with_capacity(old.len() + 8),
            edits: Vec::new(),
        };
        for node in old {
            let mut node = *node;
            // Links of 0 mean none and stay.
            node.first_child = node.first_child.saturating_sub(first);
            node.next_sibling = node.next_sibling.saturating_sub(first);
            if node.is(RESOURCE) {
                node.start -= first;
            } else if node.is(EDITED) {
                let edit = tree.edits.get(node.start as usize)?.clone();
                node.start = u32::try_from(copy.edits.len()).ok()?;
                copy.edits.push(edit);
            } else if node.is(HAS_VALUE) {
                node.start -= start;
            }
            copy.nodes.push(node);
        }
        let root = copy.nodes.first_mut()?;
        root.property |= NO_PROPERTY;
        root.next_sibling = 0;
        Some(copy)
    }

    /// Sets the value of a child of one value.
    pub(super) fn set_child(&mut self, parent: u32, name: &str, text: &str) {
        if let Some(child) = self.child_or_new(parent, name) {
            self.set_text(child, text);
        }
    }

    /// The first child of a name; a new one, without value or children, where there is none.
    pub(super) fn child_or_new(&mut self, parent: u32, name: &str) -> Option<u32> {
        match self.element(parent)?.get(name) {
            Some(child) => Some(child.node),
            None => self.new_child(parent, name),
        }
    }

    /// A new child behind the others of its name. `None` where the schema has no such property.
    pub(super) fn new_child(&mut self, parent: u32, name: &str) -> Option<u32> {
        let property = self.schema.property(self.element(parent)?.type_id(), name)?.start.0;
        let before = Element { tree: self, node: parent }
            .children()
            .take_while(|child| child.get_node().property() <= property)
            .last()
            .map(Element::node_id);
        let node = u32::try_from(self.nodes.len()).ok()?;
        let link = match before {
            Some(sibling) => &mut self.nodes.get_mut(sibling as usize)?.next_sibling,
            None => &mut self.nodes.get_mut(parent as usize)?.first_child,
        };
        let next_sibling = std::mem::replace(link, node);
        self.nodes.push(Node { property, start: 0, len: 0, first_child: 0, next_sibling });
        Some(node)
    }

    /// Takes a child out, and all that is below it.
    fn remove(&mut self, parent: u32, node: u32) {
        let next = self.nodes.get(node as usize).map_or(0, |node| node.next_sibling);
        let before =
            Element { tree: self, node: parent }.children().take_while(|child| child.node != node).last();
        let before = before.map(Element::node_id);
        let link = match before {
            Some(sibling) => self.nodes.get_mut(sibling as usize).map(|node| &mut node.next_sibling),
            None => self.nodes.get_mut(parent as usize).map(|node| &mut node.first_child),
        };
        if let Some(link) = link {
            *link = next;
        }
        let mut pending = vec![node];
        while let Some(number) = pending.pop() {
            let children = Element { tree: self, node: number }.children().map(Element::node_id);
            pending.extend(children.collect::<Vec<_>>());
            if let Some(node) = self.nodes.get_mut(number as usize) {
                node.property |= REMOVED;
            }
        }
    }
}
