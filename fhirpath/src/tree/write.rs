//! A tree to JSON: canonical, pretty, or with the place of `meta.lastUpdated`.

use super::{Element, Tree};

impl Tree {
    /// Appends the canonical JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.root().write_json(out);
    }

    /// Appends the JSON with a line for each property and item, indented by two spaces.
    pub fn write_pretty(&self, out: &mut Vec<u8>) {
        let _ = out;
        todo!()
    }

    /// Appends the canonical JSON and says where, in bytes from the start of what it appended, the text of
    /// the root's `meta.lastUpdated` starts (after the quote).
    pub fn write_stamped(&self, out: &mut Vec<u8>) -> Option<usize> {
        let _ = out;
        todo!()
    }
}

impl Element<'_> {
    /// Appends the canonical JSON of this element: an object, or a primitive's value (`null` without one).
    pub fn write_json(self, out: &mut Vec<u8>) {
        let _ = out;
        todo!()
    }
}

/// Appends a text as a JSON string: quoted, with the least escapes.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    let _ = (out, text);
    todo!()
}
