//! Changes that a server makes to a resource before it stores it: id, meta, rewritten references.

use super::{Element, Tree};

impl Tree {
    /// Gives the resource a logical id, in place of the one it has.
    pub fn set_id(&mut self, id: &str) {
        let _ = id;
        todo!()
    }

    /// Takes the logical id away.
    pub fn remove_id(&mut self) {
        todo!()
    }

    /// Sets `meta.versionId` and `meta.lastUpdated`, keeping the rest of meta.
    pub fn set_meta(&mut self, version_id: &str, last_updated: &str) {
        let _ = (version_id, last_updated);
        todo!()
    }

    /// Changes the value of a primitive, named by its [`Element::node_id`].
    pub fn set_text(&mut self, node: u32, text: &str) {
        let _ = (node, text);
        todo!()
    }

    /// A resource inside this one (contained, or of an entry) as a tree of its own.
    pub fn extract(&self, resource: Element<'_>) -> Tree {
        let _ = resource;
        todo!()
    }
}
