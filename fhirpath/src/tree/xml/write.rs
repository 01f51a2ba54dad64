//! A tree to FHIR XML: the canonical form (<https://hl7.org/fhir/R4/xml.html#canonical>), or indented. Elements come in the order
//! of the specification, values with their own text, the narrative as it is.

use super::super::{Element, HAS_VALUE, Node, RESOURCE, Tree};
use super::{FHIR, narrative, text};
use crate::issue::{Issue, IssueType};
use crate::primitive::Primitive;
use crate::schema::{Facts, PropertyId, TypeKind};

impl Tree {
    /// Appends the resource as XML in the canonical form: no white space but the narrative's.
    ///
    /// # Errors
    /// What XML cannot hold: a character below U+0020 in a value, a narrative that is no XHTML, an id beside a narrative.
    /// Some of the text may have been appended then.
    pub fn write_xml(&self, out: &mut Vec<u8>) -> Result<(), Issue> {
        out.reserve(self.text.len() + 128);
        Writer::<false> { tree: self, out, indent: 0 }.document()
    }

    /// Appends the resource as XML with a line for each element, indented by two spaces.
    ///
    /// # Errors
    /// As for [`Tree::write_xml`].
    pub fn write_xml_pretty(&self, out: &mut Vec<u8>) -> Result<(), Issue> {
        Writer::<true> { tree: self, out, indent: 0 }.document()
    }
}

struct Writer<'w, const PRETTY: bool> {
    tree: &'w Tree,
    out: &'w mut Vec<u8>,
    indent: usize,
}

impl<'w, const PRETTY: bool> Writer<'w, PRETTY> {
    fn document(mut self) -> Result<(), Issue> {
        self.push("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
        self.resource(0)
    }

    fn resource(&mut self, number: u32) -> Result<(), Issue> {
        let element = Element { tree: self.tree, node: number };
        let name = element.type_name();
        self.line();
        self.push("<");
        self.push(name);
        if number == 0 {
            self.push(" xmlns=\"");
            self.push(FHIR);
            self.push("\"");
        }
        self.members(self.tree.node(number), name)
    }

    /// The children behind a start tag that is not closed yet, and the end tag.
    fn members(&mut self, parent: &Node, name: &str) -> Result<(), Issue> {
        let mut child = parent.first_child;
        let mut is_open = false;
        while child != 0 {
            let node = self.tree.node(child);
            let facts = self.tree.schema.facts(PropertyId(node.property()));
            if !self.is_attribute(node, facts) {
                if !std::mem::replace(&mut is_open, true) {
                    self.push(">");
                    self.indent += 2;
                }
                self.element(child, node, facts)?;
            }
            child = node.next_sibling;
        }
        if !is_open {
            self.push("/>");
            return Ok(());
        }
        self.indent -= 2;
        self.line();
        self.close(name);
        Ok(())
    }

    fn element(&mut self, number: u32, node: &'w Node, facts: Facts) -> Result<(), Issue> {
        let tree = self.tree;
        let name = tree.schema.definition(PropertyId(node.property())).json_name.as_str();
        self.line();
        if facts.primitive == Some(Primitive::Xhtml) {
            return self.narrative(number, node);
        }
        self.push("<");
        self.push(name);
        if node.is(RESOURCE) {
            self.push(">");
            self.indent += 2;
            self.resource(number)?;
            self.indent -= 2;
            self.line();
            self.close(name);
            return Ok(());
        }
        self.attributes(node)?;
        if node.is(HAS_VALUE) {
            self.attribute("value", number)?;
        }
        self.members(node, name)
    }

    /// `id` and `url`.
    fn attributes(&mut self, parent: &Node) -> Result<(), Issue> {
        let mut child = parent.first_child;
        while child != 0 {
            let node = self.tree.node(child);
            let property = PropertyId(node.property());
            if self.is_attribute(node, self.tree.schema.facts(property)) {
                let tree = self.tree;
                self.attribute(&tree.schema.definition(property).json_name, child)?;
            }
            child = node.next_sibling;
        }
        Ok(())
    }

    fn attribute(&mut self, name: &str, number: u32) -> Result<(), Issue> {
        let value = self.tree.text_of(self.tree.node(number));
        if let Some((_, char)) = text::forbidden(&value) {
            let details = format!("XML cannot hold the character U+{:04X}; ask for JSON.", u32::from(char));
            return Err(self.fault(number, IssueType::Value, details));
        }
        self.push(" ");
        self.push(name);
        self.push("=\"");
        text::escape(self.out, &value);
        self.push("\"");
        Ok(())
    }

    fn narrative(&mut self, number: u32, node: &Node) -> Result<(), Issue> {
        if node.first_child != 0 {
            let details = "XML cannot hold an id beside a narrative; ask for JSON.".to_owned();
            return Err(self.fault(number, IssueType::NotSupported, details));
        }
        let value = self.tree.text_of(node);
        let markup = value.trim();
        if let Some(why) = narrative::fault(markup) {
            let details = format!("XML cannot hold this narrative; ask for JSON. {why}");
            return Err(self.fault(number, IssueType::Structure, details));
        }
        self.push(markup);
        Ok(())
    }

    /// Whether a node is written as an attribute: an element's id, an extension's url.
    fn is_attribute(&self, node: &Node, facts: Facts) -> bool {
        let owner = || self.tree.schema.definition(PropertyId(node.property())).owner;
        !facts.may_extend && facts.primitive.is_some() && self.tree.schema.kind(owner()) != TypeKind::Resource
    }

    #[cold]
    fn fault(&self, number: u32, code: IssueType, details: String) -> Issue {
        Issue::error(code, details).at(Element { tree: self.tree, node: number }.path())
    }

    fn close(&mut self, name: &str) {
        self.push("</");
        self.push(name);
        self.push(">");
    }

    #[inline]
    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    #[inline]
    fn line(&mut self) {
        if PRETTY {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + self.indent, b' ');
        }
    }
}
