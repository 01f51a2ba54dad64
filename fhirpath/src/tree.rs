//! A resource, parsed once: an arena of small nodes typed by the schema, over the text it came from.
//!
//! JSON in ([`Tree::parse_json`]), canonical JSON out ([`Tree::write_json`]): no white space, properties in
//! the order of the specification, strings with the least escapes, decimals with their own text. XML in
//! ([`Tree::parse_xml`]) and out ([`Tree::write_xml`]): the same tree.

mod edit;
mod graft;
mod json;
mod parse;
mod subset;
#[cfg(test)]
mod tests;
mod write;
mod xml;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::primitive::Primitive;
use crate::schema::{PropertyId, Schema, TypeId};

pub(crate) use graft::NewElement;
pub(crate) use parse::{excerpt, nearest};
pub use subset::{SUBSETTED_CODE, SUBSETTED_SYSTEM, Subset};
pub use write::write_string;

/// Bounds on one input.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest input, bytes. At most 2 GiB whatever is said here.
    pub bytes: usize,
    /// Deepest nesting of objects and arrays. At most 500 whatever is said here.
    pub depth: usize,
    /// Most findings reported for one input.
    pub issues: usize,
}

impl Limits {
    /// 64 MiB, 100 levels, 50 findings.
    pub const DEFAULT: Limits = Limits { bytes: 64 * 1024 * 1024, depth: 100, issues: 50 };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}

/// A resource. Cheap to move, not to clone.
#[derive(Clone)]
pub struct Tree {
    schema: Arc<Schema>,
    /// The source; nodes are ranges of it.
    text: String,
    /// The root first; each node after its parent. The nodes of a resource inside are contiguous.
    nodes: Vec<Node>,
    /// Values set since, unescaped.
    edits: Vec<Box<str>>,
}

/// A node: a complex element, or a primitive with its value's place and perhaps `id` and `extension` children.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// The property in the low 24 bits, `NO_PROPERTY` at the root; flags above.
    property: u32,
    /// A value: where its text starts (inside the quotes), or its place among the edits. A resource: the
    /// node after its last.
    start: u32,
    /// A value: bytes of its text. A resource: its type.
    len: u32,
    /// 0 where there is none: the root is nobody's child.
    first_child: u32,
    /// 0 where there is none.
    next_sibling: u32,
}

/// Where no property is; also the mask of a property in a node.
const NO_PROPERTY: u32 = 0x00FF_FFFF;
/// The node has a value.
const HAS_VALUE: u32 = 1 << 31;
/// Its text has escapes of JSON.
const ESCAPED: u32 = 1 << 30;
/// Its value is among the edits.
const EDITED: u32 = 1 << 29;
/// It is a resource.
const RESOURCE: u32 = 1 << 28;
/// It is no longer part of the tree.
const REMOVED: u32 = 1 << 27;
/// Its text stands in XML, and JSON writes it in another way: an attribute with references, white space or what JSON
/// escapes; or the markup of a narrative, which is taken as it stands.
const MARKUP: u32 = 1 << 26;

impl Node {
    #[inline]
    fn is(&self, flag: u32) -> bool {
        self.property & flag != 0
    }

    #[inline]
    fn property(&self) -> u32 {
        self.property & NO_PROPERTY
    }
}

/// A node of a [`Tree`]: an element with its values or children. Repetitions are siblings of one name.
#[derive(Clone, Copy)]
pub struct Element<'t> {
    tree: &'t Tree,
    node: u32,
}

/// The children of an element, in the order of the specification.
#[derive(Debug, Clone)]
pub struct Children<'t> {
    tree: &'t Tree,
    next: u32,
    wanted: Range<u32>,
}

/// All elements of a tree, each after its parent, in the order of the source; those added since come last.
#[derive(Debug, Clone)]
pub struct Descendants<'t> {
    tree: &'t Tree,
    next: u32,
}

impl Tree {
    /// The resource itself.
    #[inline]
    pub fn root(&self) -> Element<'_> {
        Element { tree: self, node: 0 }
    }

    /// The schema it was parsed with.
    #[inline]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The type of the resource (`Patient`).
    pub fn resource_type(&self) -> &str {
        self.root().type_name()
    }

    /// The logical id, if it has one.
    pub fn id(&self) -> Option<Cow<'_, str>> {
        self.root().get("id")?.value()
    }

    /// Every element, the root included.
    pub fn descendants(&self) -> Descendants<'_> {
        Descendants { tree: self, next: 0 }
    }

    /// The element of a [`Element::node_id`] of this tree; `None` when it was removed.
    pub fn element(&self, node: u32) -> Option<Element<'_>> {
        let found = self.nodes.get(node as usize)?;
        (!found.is(REMOVED)).then_some(Element { tree: self, node })
    }

    /// Bytes of memory it holds, the shared schema left out.
    pub fn memory(&self) -> usize {
        let edits: usize = self.edits.iter().map(|edit| edit.len() + size_of::<Box<str>>()).sum();
        size_of::<Tree>() + self.text.capacity() + self.nodes.capacity() * size_of::<Node>() + edits
    }

    #[inline]
    #[allow(clippy::indexing_slicing)] // links and elements hold only numbers of nodes that were pushed
    fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    /// The value as the source has it (escaped where the node says so) or as it was set.
    #[inline]
    fn raw(&self, node: &Node) -> &str {
        let start = node.start as usize;
        let found = match node.is(EDITED) {
            true => self.edits.get(start).map(AsRef::as_ref),
            false => self.text.get(start..start + node.len as usize),
        };
        found.unwrap_or_default()
    }

    /// The value without the escapes of its source.
    #[inline]
    fn text_of(&self, node: &Node) -> Cow<'_, str> {
        let raw = self.raw(node);
        if !node.is(ESCAPED | MARKUP) {
            return Cow::Borrowed(raw);
        }
        if node.is(ESCAPED) {
            return Cow::Owned(json::unescape(raw));
        }
        match self.schema.facts(PropertyId(node.property())).primitive {
            Some(Primitive::Xhtml) => Cow::Borrowed(raw),
            _ => Cow::Owned(xml::unescape(raw)),
        }
    }
}

impl<'t> Element<'t> {
    /// Its tree.
    #[inline]
    pub fn tree(self) -> &'t Tree {
        self.tree
    }

    /// A number that finds it again in its tree; edits of the tree don't change it.
    #[inline]
    pub fn node_id(self) -> u32 {
        self.node
    }

    #[inline]
    fn get_node(self) -> &'t Node {
        self.tree.node(self.node)
    }

    /// The property it is a value of; `None` at the root.
    #[inline]
    pub fn property_id(self) -> Option<PropertyId> {
        let property = self.get_node().property();
        (property != NO_PROPERTY).then_some(PropertyId(property))
    }

    /// Its name as FHIRPath says it (`value` for `valueQuantity`); the type's name at the root.
    pub fn name(self) -> &'t str {
        match self.property_id() {
            Some(id) => &self.tree.schema.definition(id).name,
            None => self.type_name(),
        }
    }

    /// Its name in JSON (`valueQuantity`); the type's name at the root.
    pub fn json_name(self) -> &'t str {
        match self.property_id() {
            Some(id) => &self.tree.schema.definition(id).json_name,
            None => self.type_name(),
        }
    }

    /// Its type; for a resource, the resource's own.
    #[inline]
    pub fn type_id(self) -> TypeId {
        let node = self.get_node();
        if node.is(RESOURCE) {
            return TypeId(u16::try_from(node.len).unwrap_or_default());
        }
        self.tree.schema.facts(PropertyId(node.property())).type_id
    }

    /// Which of FHIR's primitives its type is, if it is one.
    #[inline]
    pub(crate) fn primitive(self) -> Option<Primitive> {
        let node = self.get_node();
        if node.is(RESOURCE) { None } else { self.tree.schema.facts(PropertyId(node.property())).primitive }
    }

    /// Its type's name (`Quantity`, `Patient.contact`, `string`, `Patient`).
    pub fn type_name(self) -> &'t str {
        self.tree.schema.type_name(self.type_id())
    }

    /// Whether it is a resource: the root, a contained one, or an entry's.
    #[inline]
    pub fn is_resource(self) -> bool {
        self.get_node().is(RESOURCE)
    }

    /// The innermost resource that it is inside of; `None` for the root itself.
    pub fn enclosing_resource(self) -> Option<Element<'t>> {
        let holds = |number: &u32| {
            let node = self.tree.node(*number);
            // Nodes of a resource are contiguous, but for those added to the root since.
            node.is(RESOURCE) && !node.is(REMOVED) && (*number == 0 || node.start > self.node)
        };
        (0..self.node).rev().find(holds).map(|node| Element { tree: self.tree, node })
    }

    /// Its children in the order of the specification.
    #[inline]
    pub fn children(self) -> Children<'t> {
        Children { tree: self.tree, next: self.get_node().first_child, wanted: 0..NO_PROPERTY }
    }

    /// The children of some neighbouring properties, as [`Schema::property`] gives them.
    #[inline]
    pub fn children_in(self, properties: Range<PropertyId>) -> Children<'t> {
        let wanted = properties.start.0..properties.end.0;
        Children { tree: self.tree, next: self.get_node().first_child, wanted }
    }

    /// The children of one FHIRPath name.
    pub fn all(self, name: &str) -> Children<'t> {
        match self.tree.schema.property(self.type_id(), name) {
            Some(properties) => self.children_in(properties),
            None => Children { tree: self.tree, next: 0, wanted: 0..0 },
        }
    }

    /// The first child of one FHIRPath name.
    pub fn get(self, name: &str) -> Option<Element<'t>> {
        self.all(name).next()
    }

    /// The text of a primitive's value, without escapes or quotes: `1.10`, `true`, `2020-01`, `O'Brien`.
    /// `None` for a complex element and for a primitive that has only extensions.
    #[inline]
    pub fn value(self) -> Option<Cow<'t, str>> {
        let node = self.get_node();
        if !node.is(HAS_VALUE) {
            return None;
        }
        Some(self.tree.text_of(node))
    }

    /// Whether it is a primitive with a value.
    #[inline]
    pub fn has_value(self) -> bool {
        self.get_node().is(HAS_VALUE)
    }

    /// Where it is, as FHIRPath from the root: `Patient.name[0].given[1]`. Looked for from the root on, so
    /// meant for messages.
    pub fn path(self) -> String {
        let mut path = String::from(self.tree.resource_type());
        let mut at = self.tree.root();
        while at.node != self.node {
            let Some((child, index)) = at.child_towards(self.node) else { break };
            path.push('.');
            path.push_str(child.name());
            if child.property_id().is_some_and(|id| self.tree.schema.facts(id).is_list) {
                path.push_str(&format!("[{index}]"));
            }
            at = child;
        }
        path
    }

    /// Line and column (1-based, in characters) of its value in the source; `None` when it was set or added since. Looked
    /// for from the beginning of the text on, so meant for messages.
    pub fn position(self) -> Option<(u32, u32)> {
        let at = self.source_byte()?;
        let before = self.tree.text.get(..at)?;
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        Some((u32::try_from(line).ok()?, u32::try_from(column).ok()?))
    }

    /// Where its value begins; a resource begins with its first child, as far as nodes tell.
    fn source_byte(self) -> Option<usize> {
        let node = self.get_node();
        if node.is(EDITED) {
            return None;
        }
        if node.is(RESOURCE) {
            return if self.node == 0 {
                Some(0)
            } else {
                self.children().filter_map(Element::source_byte).min()
            };
        }
        let quote = node.is(HAS_VALUE)
            && (node.start as usize)
                .checked_sub(1)
                .and_then(|at| self.tree.text.as_bytes().get(at))
                .is_some_and(|byte| matches!(byte, b'"' | b'\''));
        Some(node.start as usize - usize::from(quote))
    }

    /// The child that is or holds `node`, and its number among those of its property.
    fn child_towards(self, node: u32) -> Option<(Element<'t>, usize)> {
        let mut counted = (NO_PROPERTY, 0);
        for child in self.children() {
            let property = child.get_node().property();
            counted = if counted.0 == property { (property, counted.1 + 1) } else { (property, 0) };
            if child.node == node || child.holds(node) {
                return Some((child, counted.1));
            }
        }
        None
    }

    fn holds(self, node: u32) -> bool {
        // A child is younger than its parent, so whatever comes after `node` cannot hold it.
        let mut pending = vec![self];
        while let Some(element) = pending.pop() {
            if element.node == node {
                return true;
            }
            if element.node < node {
                pending.extend(element.children());
            }
        }
        false
    }
}

/// Says what it is and never what is in it: a log may show it.
impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tree({}, {} nodes, {} bytes)", self.resource_type(), self.nodes.len(), self.text.len())
    }
}

/// Says where it is and never what is in it: a log may show it.
impl std::fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Element({}: {})", self.path(), self.type_name())
    }
}

impl PartialEq for Element<'_> {
    /// The same node of the same tree.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.tree, other.tree) && self.node == other.node
    }
}

impl Eq for Element<'_> {}

impl<'t> Iterator for Children<'t> {
    type Item = Element<'t>;

    #[inline]
    fn next(&mut self) -> Option<Element<'t>> {
        while self.next != 0 {
            let node = self.tree.node(self.next);
            let element = Element { tree: self.tree, node: self.next };
            let property = node.property();
            // Children ascend, so nothing wanted comes after.
            self.next = if property >= self.wanted.end { 0 } else { node.next_sibling };
            if self.wanted.contains(&property) {
                return Some(element);
            }
        }
        None
    }
}

impl<'t> Iterator for Descendants<'t> {
    type Item = Element<'t>;

    #[inline]
    fn next(&mut self) -> Option<Element<'t>> {
        loop {
            let node = self.tree.nodes.get(self.next as usize)?;
            let element = Element { tree: self.tree, node: self.next };
            self.next += 1;
            if !node.is(REMOVED) {
                return Some(element);
            }
        }
    }
}
