//! A tree to JSON: canonical, pretty, or with the place of `meta.lastUpdated`.

use super::{EDITED, ESCAPED, Element, HAS_VALUE, MARKUP, Node, Tree};
use crate::primitive::JsonType;
use crate::schema::{Facts, PropertyId};

impl Tree {
    /// Appends the canonical JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.reserve(self.text.len() + 128);
        self.root().write_json(out);
    }

    /// Appends the JSON with a line for each property and item, indented by two spaces.
    pub fn write_pretty(&self, out: &mut Vec<u8>) {
        Writer::<true>::new(self, out).element(0);
    }

    /// Appends the canonical JSON and says where, in bytes from the start of what it appended, the text of
    /// the root's `meta.lastUpdated` starts (after the quote). `None` without such a value.
    pub fn write_stamped(&self, out: &mut Vec<u8>) -> Option<usize> {
        out.reserve(self.text.len() + 128);
        let start = out.len();
        let last_updated = self.root().get("meta").and_then(|meta| meta.get("lastUpdated"));
        let mut writer = Writer::<false>::new(self, out);
        writer.mark = last_updated.filter(|element| element.has_value()).map_or(0, |element| element.node);
        writer.element(0);
        writer.marked.map(|at| at - start)
    }
}

impl Element<'_> {
    /// Appends the canonical JSON of this element: an object, or a primitive's value (`null` without one).
    pub fn write_json(self, out: &mut Vec<u8>) {
        Writer::<false>::new(self.tree, out).element(self.node);
    }
}

/// Appends a text as a JSON string: quoted, with the least escapes.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(bytes.get(plain..at).unwrap_or_default());
        plain = at + 1;
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x09 => b't',
            0x0A => b'n',
            0x0C => b'f',
            0x0D => b'r',
            _ => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(bytes.get(plain..).unwrap_or_default());
    out.push(b'"');
}

/// Writes one element and what is below it.
struct Writer<'w, const PRETTY: bool> {
    tree: &'w Tree,
    out: &'w mut Vec<u8>,
    indent: usize,
    /// The node whose value's place is wanted (0 for none), and that place.
    mark: u32,
    marked: Option<usize>,
}

impl<'w, const PRETTY: bool> Writer<'w, PRETTY> {
    fn new(tree: &'w Tree, out: &'w mut Vec<u8>) -> Writer<'w, PRETTY> {
        Writer { tree, out, indent: 0, mark: 0, marked: None }
    }

    fn element(&mut self, number: u32) {
        let element = Element { tree: self.tree, node: number };
        let primitive = self.tree.schema.primitive(element.type_id());
        match primitive {
            Some(primitive) => self.value(number, primitive.json_type()),
            None => self.object(number),
        }
    }

    fn object(&mut self, number: u32) {
        let element = Element { tree: self.tree, node: number };
        self.open(b'{');
        let mut first = true;
        if element.is_resource() {
            self.next(&mut first);
            self.out.extend_from_slice(if PRETTY { b"\"resourceType\": \"" } else { b"\"resourceType\":\"" });
            self.out.extend_from_slice(element.type_name().as_bytes());
            self.out.push(b'"');
        }
        self.members(self.tree.node(number), first);
        self.close(b'}');
    }

    fn members(&mut self, parent: &Node, mut first: bool) {
        let mut child = parent.first_child;
        while child != 0 {
            let property = self.tree.node(child).property();
            let facts = self.tree.schema.facts(PropertyId(property));
            let after = self.after(child, property, facts);
            match facts.primitive {
                Some(primitive) => {
                    self.primitives(child, after, property, facts, primitive.json_type(), &mut first);
                }
                None => {
                    self.key(property, "", &mut first);
                    self.list(child, after, facts, Writer::object);
                }
            }
            child = after;
        }
    }

    /// The first sibling of another property.
    #[inline]
    fn after(&self, first: u32, property: u32, facts: Facts) -> u32 {
        let mut at = self.tree.node(first).next_sibling;
        while facts.is_list && at != 0 && self.tree.node(at).property() == property {
            at = self.tree.node(at).next_sibling;
        }
        at
    }

    /// Values under the name, ids and extensions under `_name`, items aligned.
    fn primitives(
        &mut self,
        from: u32,
        to: u32,
        property: u32,
        facts: Facts,
        json_type: JsonType,
        first: &mut bool,
    ) {
        let (mut values, mut extensions) = (false, false);
        let mut at = from;
        while at != to {
            let node = self.tree.node(at);
            values |= node.is(HAS_VALUE);
            extensions |= node.first_child != 0;
            at = node.next_sibling;
        }
        if values {
            self.key(property, "", first);
            self.list(from, to, facts, |writer, node| writer.value(node, json_type));
        }
        if extensions {
            self.key(property, "_", first);
            self.list(from, to, facts, Writer::extensions);
        }
    }

    #[inline]
    fn list(&mut self, from: u32, to: u32, facts: Facts, mut item: impl FnMut(&mut Self, u32)) {
        if !facts.is_list {
            return item(self, from);
        }
        self.open(b'[');
        let (mut first, mut at) = (true, from);
        while at != to {
            self.next(&mut first);
            item(self, at);
            at = self.tree.node(at).next_sibling;
        }
        self.close(b']');
    }

    fn value(&mut self, number: u32, json_type: JsonType) {
        let node = self.tree.node(number);
        if !node.is(HAS_VALUE) {
            self.out.extend_from_slice(b"null");
            return;
        }
        if number == self.mark && number != 0 {
            self.marked = Some(self.out.len() + 1);
        }
        let raw = self.tree.raw(node);
        if json_type != JsonType::String {
            self.out.extend_from_slice(self.tree.text_of(node).as_bytes());
        } else if node.is(ESCAPED | MARKUP) {
            write_string(self.out, &self.tree.text_of(node));
        } else if node.is(EDITED) {
            write_string(self.out, raw);
        } else {
            self.out.push(b'"');
            self.out.extend_from_slice(raw.as_bytes());
            self.out.push(b'"');
        }
    }

    fn extensions(&mut self, number: u32) {
        let node = self.tree.node(number);
        if node.first_child == 0 {
            self.out.extend_from_slice(b"null");
            return;
        }
        self.open(b'{');
        self.members(node, true);
        self.close(b'}');
    }

    #[inline]
    fn key(&mut self, property: u32, prefix: &str, first: &mut bool) {
        self.next(first);
        let name = &self.tree.schema.definition(PropertyId(property)).json_name;
        self.out.push(b'"');
        self.out.extend_from_slice(prefix.as_bytes());
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(if PRETTY { b"\": " } else { b"\":" });
    }

    #[inline]
    fn next(&mut self, first: &mut bool) {
        if !std::mem::replace(first, false) {
            self.out.push(b',');
        }
        self.line();
    }

    #[inline]
    fn open(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.indent += 2;
    }

    #[inline]
    fn close(&mut self, bracket: u8) {
        self.indent -= 2;
        self.line();
        self.out.push(bracket);
    }

    #[inline]
    fn line(&mut self) {
        if PRETTY {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + self.indent, b' ');
        }
    }
}
