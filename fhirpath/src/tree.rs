//! A resource, parsed once: an arena of small nodes typed by the schema, over the text it came from.
//!
//! JSON in ([`Tree::parse_json`]), canonical JSON out ([`Tree::write_json`]): no white space, properties in
//! the order of the specification, strings with the least escapes, decimals with their own text.

use std::borrow::Cow;
use std::sync::Arc;

use crate::issue::Issue;
use crate::schema::{Schema, TypeId};

/// Bounds on one input.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest input, bytes.
    pub bytes: usize,
    /// Deepest nesting of objects and arrays.
    pub depth: usize,
    /// Most findings reported for one input.
    pub issues: usize,
}

/// A resource. Cheap to move, not to clone.
#[derive(Debug, Clone)]
pub struct Tree {}

/// A node of a [`Tree`]: an element with its values or children. Repetitions are siblings of one name.
#[derive(Debug, Clone, Copy)]
pub struct Element<'t> {
    tree: &'t Tree,
    node: u32,
}

impl Tree {
    /// Parses one resource.
    ///
    /// # Errors
    /// Every fault found, each with its FHIRPath expression and line, `limits.issues` at most.
    pub fn parse_json(schema: &Arc<Schema>, text: Vec<u8>, limits: &Limits) -> Result<Tree, Vec<Issue>> {
        let _ = (schema, text, limits);
        todo!()
    }

    /// The resource itself.
    pub fn root(&self) -> Element<'_> {
        Element { tree: self, node: 0 }
    }

    /// The schema it was parsed with.
    pub fn schema(&self) -> &Arc<Schema> {
        todo!()
    }

    /// Appends the canonical JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let _ = out;
        todo!()
    }
}

impl<'t> Element<'t> {
    /// Its tree.
    pub fn tree(self) -> &'t Tree {
        self.tree
    }

    /// Its name as FHIRPath says it (`value` for `valueQuantity`); the type's name at the root.
    pub fn name(self) -> &'t str {
        let _ = self.node;
        todo!()
    }

    /// Its type; for a resource, the resource's own.
    pub fn type_id(self) -> TypeId {
        todo!()
    }

    /// Its type's name (`Quantity`, `Patient.contact`, `string`, `Patient`).
    pub fn type_name(self) -> &'t str {
        todo!()
    }

    /// Its children in the order of the specification.
    pub fn children(self) -> impl Iterator<Item = Element<'t>> {
        std::iter::empty()
    }

    /// The children of one FHIRPath name.
    pub fn all(self, name: &str) -> impl Iterator<Item = Element<'t>> {
        let _ = name;
        std::iter::empty()
    }

    /// The first child of one FHIRPath name.
    pub fn get(self, name: &str) -> Option<Element<'t>> {
        let _ = name;
        todo!()
    }

    /// The text of a primitive's value, without escapes or quotes: `1.10`, `true`, `2020-01`, `O'Brien`.
    /// `None` for a complex element and for a primitive that has only extensions.
    pub fn value(self) -> Option<Cow<'t, str>> {
        todo!()
    }
}
