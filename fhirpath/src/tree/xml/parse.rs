//! FHIR XML to a tree, in one pass: names, namespaces, order, types and values are judged where they stand.
//!
//! A fault of FHIR is noted and the element passed over; a fault of XML ends the parse. As in JSON, cardinality other than
//! "one or many" is not judged here, nor any rule that needs two elements.

use std::sync::Arc;

use super::super::parse::fault::{self, Fault, Step, Stop};
use super::super::parse::{BYTES_PER_NODE, MAX_BYTES, MAX_DEPTH, excerpt, nearest, utf8};
use super::super::{EDITED, HAS_VALUE, Limits, MARKUP, NO_PROPERTY, Node, RESOURCE, Tree};
use super::source::{Attribute, Broken, Namespace, Source, Tag, Token};
use super::{FHIR, XHTML, narrative, text};
use crate::issue::{Issue, IssueType};
use crate::primitive::Primitive;
use crate::schema::{Facts, PropertyId, Schema, TypeId, TypeKind};

/// XML has a node for about so many bytes; the room is taken at once.
const NODE_EVERY: usize = 32;

impl Tree {
    /// Parses one resource in XML (`application/fhir+xml`), UTF-8, with the bounds of [`Tree::parse_json`]: nesting is
    /// counted as its JSON would be.
    ///
    /// # Errors
    /// Every fault found, each with its FHIRPath expression and line, `limits.issues` at most. A DOCTYPE, another
    /// encoding than UTF-8 and text that is not XML end the parse.
    pub fn parse_xml(schema: &Arc<Schema>, text: Vec<u8>, limits: &Limits) -> Result<Tree, Vec<Issue>> {
        if let [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] | [0, b'<', ..] | [b'<', 0, ..] = text.as_slice() {
            let details = "The encoding UTF-16 is not read: FHIR XML is UTF-8.";
            return Err(vec![Issue::error(IssueType::NotSupported, details).line(1, 1)]);
        }
        let text = declared_utf8(text, limits).map_err(|issue| vec![issue])?;
        let mut parser = Parser::new(schema, &text, limits);
        let outcome = parser.document();
        let (nodes, edits) = (std::mem::take(&mut parser.nodes), std::mem::take(&mut parser.edits));
        if outcome.is_err() || !parser.faults.is_empty() {
            return Err(fault::placed(parser.faults, text.as_bytes()));
        }
        Ok(Tree { schema: Arc::clone(schema), text, nodes, edits })
    }
}

/// The input as text. One that is not UTF-8 and says so is refused by the name of its encoding.
fn declared_utf8(text: Vec<u8>, limits: &Limits) -> Result<String, Issue> {
    let start = text.get(..text.len().min(200)).unwrap_or_default();
    let start =
        String::from_utf8_lossy(start.split(|&byte| byte == b'>').next().unwrap_or_default()).into_owned();
    utf8(text, limits).map_err(|issue| {
        let declared = start.strip_prefix("<?xml").and_then(|rest| rest.split_once("encoding"));
        let name = declared.and_then(|(_, rest)| rest.split(['"', '\'']).nth(1));
        match name.filter(|name| !name.eq_ignore_ascii_case("utf-8") && issue.code == IssueType::Invalid) {
            Some(name) => {
                let details = format!("The encoding '{}' is not read: FHIR XML is UTF-8.", excerpt(name));
                Issue::error(IssueType::NotSupported, details).line(1, 1)
            }
            None => issue,
        }
    })
}

struct Parser<'a> {
    schema: &'a Schema,
    source: Source<'a>,
    /// Levels that are open, counted as JSON has them.
    depth: usize,
    max_depth: usize,
    max_nodes: usize,
    max_faults: usize,
    nodes: Vec<Node>,
    /// Narratives that had to be written anew.
    edits: Vec<Box<str>>,
    path: Vec<Step>,
    root: Option<TypeId>,
    faults: Vec<Fault>,
}

/// An open element.
struct Open {
    type_id: TypeId,
    node: u32,
    /// The property that likely comes next.
    guess: u32,
    /// The property of the last child, and how many of it came.
    last: Option<PropertyId>,
    count: u32,
    /// The last child that is linked, 0 while there is none.
    linked: u32,
    /// Children from attributes that are not linked yet: `id` and `url`, by property.
    attributes: [u32; 2],
}

impl<'a> Parser<'a> {
    fn new(schema: &'a Schema, text: &'a str, limits: &Limits) -> Parser<'a> {
        Parser {
            schema,
            source: Source::new(text),
            depth: 0,
            max_depth: limits.depth.min(MAX_DEPTH),
            max_nodes: (limits.bytes.min(MAX_BYTES) / BYTES_PER_NODE).max(0x1_0000),
            max_faults: limits.issues.max(1),
            nodes: Vec::with_capacity(text.len() / NODE_EVERY + 8),
            edits: Vec::new(),
            path: Vec::with_capacity(16),
            root: None,
            faults: Vec::new(),
        }
    }

    fn document(&mut self) -> Result<(), Stop> {
        if let Some((at, char)) = text::forbidden(self.source.text) {
            let details = format!("This is not XML: the character U+{:04X} is not allowed.", u32::from(char));
            return Err(self.stop(IssueType::Invalid, at, details));
        }
        let root = self.push_node(NO_PROPERTY)?;
        let mut is_done = false;
        loop {
            match self.next()? {
                Token::Start(start, is_empty) if !is_done => {
                    is_done = true;
                    let tag = self.source.tag(&start).map_err(|broken| self.broken(broken))?;
                    self.resource(root, None, &tag, is_empty)?;
                }
                Token::Start(..) => return Err(self.not_xml("a second root element")),
                Token::Text => return Err(self.not_xml("text outside of the root element")),
                Token::End => return Err(self.not_xml("an end tag without a start")),
                Token::Eof if is_done => return Ok(()),
                Token::Eof => return Err(self.not_xml("no element")),
            }
        }
    }

    /// A resource, whose start tag was read. `declared` is the type the element around it asks for.
    fn resource(
        &mut self,
        node: u32,
        declared: Option<TypeId>,
        tag: &Tag<'a>,
        is_empty: bool,
    ) -> Result<(), Stop> {
        let Some(type_id) = self.resource_type(declared, tag)? else { return self.skip(tag, is_empty) };
        if node == 0 {
            self.root = Some(type_id);
        }
        self.enter(1)?;
        for attribute in &tag.attributes {
            let is_hint = attribute.namespace == Namespace::SchemaInstance
                && matches!(attribute.name, "schemaLocation" | "noNamespaceSchemaLocation");
            if !is_hint {
                self.unknown_attribute(type_id, attribute)?;
            }
        }
        let mut open = self.open(type_id, node);
        self.content(&mut open, tag, is_empty)?;
        self.depth -= 1;
        let end = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.property |= RESOURCE;
            node.start = end;
            node.len = u32::from(type_id.0);
        }
        Ok(())
    }

    fn resource_type(&mut self, declared: Option<TypeId>, tag: &Tag<'a>) -> Result<Option<TypeId>, Stop> {
        if !self.is_in(Namespace::Fhir, tag)? {
            return Ok(None);
        }
        let name = tag.name;
        let type_id = self.schema.type_id(name).filter(|_| self.schema.is_resource(name));
        let Some(type_id) = type_id else {
            let near = nearest(name, self.schema.resource_types());
            let details = format!("'{}' is not a resource type{near}.", excerpt(name));
            self.fault(IssueType::Structure, tag.at, details)?;
            return Ok(None);
        };
        if let Some(declared) = declared.filter(|&declared| !self.schema.is_subtype(type_id, declared)) {
            let details = format!("{name} cannot stand here: it is no {}.", self.schema.type_name(declared));
            self.fault(IssueType::Structure, tag.at, details)?;
            return Ok(None);
        }
        Ok(Some(type_id))
    }

    fn open(&self, type_id: TypeId, node: u32) -> Open {
        let guess = self.schema.first_property(type_id);
        Open { type_id, node, guess, last: None, count: 0, linked: 0, attributes: [0; 2] }
    }

    /// What is between the tags of an element; then its declarations end.
    fn content(&mut self, open: &mut Open, tag: &Tag<'a>, is_empty: bool) -> Result<(), Stop> {
        let mut done = is_empty;
        while !done {
            match self.next()? {
                Token::Start(start, is_empty) => {
                    let child = self.source.tag(&start).map_err(|broken| self.broken(broken))?;
                    self.child(open, &child, is_empty)?;
                }
                Token::End => done = true,
                Token::Text => {
                    let details = "Text does not belong here: a value stands in the attribute 'value'.";
                    self.fault(IssueType::Structure, self.source.at, details.to_owned())?;
                }
                Token::Eof => {
                    return Err(self.not_xml(&format!("<{}> is not closed", tag.shown())));
                }
            }
        }
        self.source.leave(tag.outer);
        self.link_attributes(open, NO_PROPERTY);
        Ok(())
    }

    fn child(&mut self, open: &mut Open, tag: &Tag<'a>, is_empty: bool) -> Result<(), Stop> {
        let found = self.schema.json_property(open.type_id, tag.name.as_bytes(), open.guess);
        let Some(property) = found else {
            // The namespace is the graver fault, and one is enough.
            if self.is_in(Namespace::Fhir, tag)? {
                let details = fault::unknown_element(self.schema, open.type_id, tag.name);
                self.fault_in(IssueType::Structure, tag.at, details, tag.name)?;
            }
            return self.skip(tag, is_empty);
        };
        let facts = self.schema.facts(property);
        self.place(open, property, facts, tag)?;
        if self.is_attribute(open.type_id, facts) {
            let details = format!("'{}' is an attribute in XML, not an element.", tag.name);
            self.fault(IssueType::Structure, tag.at, details)?;
            self.skip(tag, is_empty)?;
        } else {
            let node = self.push_node(property.0)?;
            self.link_attributes(open, property.0);
            self.link(open, node);
            let levels = usize::from(facts.is_list);
            self.enter(levels)?;
            self.value(node, facts, tag, is_empty)?;
            self.depth -= levels;
        }
        self.path.pop();
        Ok(())
    }

    /// Judges whether a property may come here, and adds it to the path.
    fn place(
        &mut self,
        open: &mut Open,
        property: PropertyId,
        facts: Facts,
        tag: &Tag<'a>,
    ) -> Result<(), Stop> {
        let first = |property: PropertyId, facts: Facts| property.0 - u32::from(facts.alternative);
        let last = open.last;
        let is_same = last == Some(property);
        open.count = if is_same { open.count + 1 } else { 0 };
        self.path.push(Step { property: property.0, index: facts.is_list.then_some(open.count) });
        if is_same {
            if !facts.is_list {
                let details = format!("'{}' is repeated: there is one at most.", tag.name);
                self.fault(IssueType::Structure, tag.at, details)?;
            }
            return Ok(());
        }
        if let Some(last) = last {
            let name = |id| self.schema.definition(id).json_name.as_str();
            let last_first = first(last, self.schema.facts(last));
            let this_first = first(property, facts);
            if this_first == last_first {
                let details = format!(
                    "{} and {} exclude each other: a choice has one value.",
                    name(last),
                    name(property)
                );
                self.fault(IssueType::Structure, tag.at, details)?;
            } else if this_first < last_first {
                let details = format!(
                    "'{}' comes too late: it stands before '{}', in the order of the specification.",
                    name(property),
                    name(last)
                );
                // The next is judged by what stood here before.
                return self.fault(IssueType::Structure, tag.at, details);
            }
        }
        open.last = Some(property);
        open.guess = if facts.is_list { property.0 } else { property.0 + 1 };
        Ok(())
    }

    fn value(&mut self, node: u32, facts: Facts, tag: &Tag<'a>, is_empty: bool) -> Result<(), Stop> {
        let namespace =
            if facts.primitive == Some(Primitive::Xhtml) { Namespace::Xhtml } else { Namespace::Fhir };
        if !self.is_in(namespace, tag)? {
            return self.skip(tag, is_empty);
        }
        match facts.primitive {
            Some(Primitive::Xhtml) => self.narrative(node, tag, is_empty),
            Some(primitive) => self.primitive(node, primitive, facts.type_id, tag, is_empty),
            None if facts.is_resource => self.wrapped(node, facts.type_id, tag, is_empty),
            None => self.complex(node, facts.type_id, tag, is_empty),
        }
    }

    fn complex(&mut self, node: u32, type_id: TypeId, tag: &Tag<'a>, is_empty: bool) -> Result<(), Stop> {
        self.enter(1)?;
        let mut open = self.open(type_id, node);
        for attribute in &tag.attributes {
            self.attribute(&mut open, attribute)?;
        }
        let faults = self.faults.len();
        self.content(&mut open, tag, is_empty)?;
        if open.linked == 0 && self.faults.len() == faults {
            self.fault(IssueType::Structure, tag.at, EMPTY.to_owned())?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn primitive(
        &mut self,
        node: u32,
        primitive: Primitive,
        type_id: TypeId,
        tag: &Tag<'a>,
        is_empty: bool,
    ) -> Result<(), Stop> {
        let levels = usize::from(!is_empty);
        self.enter(levels)?;
        let mut open = self.open(type_id, node);
        let mut has_value = false;
        for attribute in &tag.attributes {
            if attribute.prefix.is_empty() && attribute.name == "value" {
                has_value = true;
                self.set_value(node, primitive, attribute)?;
            } else {
                self.attribute(&mut open, attribute)?;
            }
        }
        let faults = self.faults.len();
        self.content(&mut open, tag, is_empty)?;
        if open.linked == 0 && !has_value && self.faults.len() == faults {
            self.fault(IssueType::Structure, tag.at, EMPTY.to_owned())?;
        }
        self.depth -= levels;
        Ok(())
    }

    /// `contained` or `resource`: an element around one resource.
    fn wrapped(&mut self, node: u32, type_id: TypeId, tag: &Tag<'a>, is_empty: bool) -> Result<(), Stop> {
        for attribute in &tag.attributes {
            let details = format!("'{}' takes no attributes: it holds a resource.", tag.name);
            self.fault(IssueType::Structure, attribute.at, details)?;
        }
        let (mut seen, mut done) = (0, is_empty);
        while !done {
            match self.next()? {
                Token::Start(start, is_empty) => {
                    let inner = self.source.tag(&start).map_err(|broken| self.broken(broken))?;
                    seen += 1;
                    if seen == 1 {
                        self.resource(node, Some(type_id), &inner, is_empty)?;
                    } else {
                        let details = format!("'{}' holds one resource; repeat it for another.", tag.name);
                        self.fault(IssueType::Structure, inner.at, details)?;
                        self.skip(&inner, is_empty)?;
                    }
                }
                Token::End => done = true,
                Token::Text => {
                    let details = format!("Text does not belong here: '{}' holds a resource.", tag.name);
                    self.fault(IssueType::Structure, self.source.at, details)?;
                }
                Token::Eof => return Err(self.not_xml(&format!("<{}> is not closed", tag.shown()))),
            }
        }
        self.source.leave(tag.outer);
        if seen == 0 {
            let details = format!("'{}' holds a resource, and there is none.", tag.name);
            self.fault(IssueType::Structure, tag.at, details)?;
        }
        Ok(())
    }

    fn narrative(&mut self, node: u32, tag: &Tag<'a>, is_empty: bool) -> Result<(), Stop> {
        let walked = narrative::walk(&mut self.source, tag, is_empty);
        let by_itself = walked.map_err(|broken| self.broken(broken))?;
        self.source.leave(tag.outer);
        let end = self.source.position();
        let Some(markup) = self.source.text.get(tag.at..end) else { return Ok(()) };
        if by_itself && tag.prefix.is_empty() {
            self.set(node, HAS_VALUE | MARKUP, tag.at, end - tag.at);
            return Ok(());
        }
        self.set(node, HAS_VALUE | EDITED, self.edits.len(), 0);
        self.edits.push(narrative::rewritten(markup).into());
        Ok(())
    }

    /// `id`, or an extension's `url`; any other attribute is a fault.
    fn attribute(&mut self, open: &mut Open, attribute: &Attribute<'a>) -> Result<(), Stop> {
        let named = Some(attribute).filter(|attribute| attribute.prefix.is_empty());
        let found = named.and_then(|attribute| {
            self.schema.json_property(
                open.type_id,
                attribute.name.as_bytes(),
                self.schema.first_property(open.type_id),
            )
        });
        let property = found.map(|property| (property, self.schema.facts(property)));
        match property {
            Some((property, Facts { primitive: Some(primitive), .. }))
                if self.is_attribute(open.type_id, self.schema.facts(property)) =>
            {
                let node = self.push_node(property.0)?;
                self.path.push(Step { property: property.0, index: None });
                self.set_value(node, primitive, attribute)?;
                self.path.pop();
                let [first, second] = &mut open.attributes;
                let free = if *first == 0 { first } else { second };
                *free = node;
                Ok(())
            }
            _ => self.unknown_attribute(open.type_id, attribute),
        }
    }

    /// Whether a property of a type is written as an attribute: an element's id, an extension's url. A resource's id is
    /// an element.
    fn is_attribute(&self, owner: TypeId, facts: Facts) -> bool {
        !facts.may_extend && facts.primitive.is_some() && self.schema.kind(owner) != TypeKind::Resource
    }

    fn unknown_attribute(&mut self, type_id: TypeId, attribute: &Attribute<'a>) -> Result<(), Stop> {
        let owner = self.schema.type_name(type_id);
        let known =
            self.schema.properties(type_id).iter().any(|property| property.json_name == attribute.name);
        let name = match attribute.prefix {
            "" => attribute.name.to_owned(),
            prefix => format!("{prefix}:{}", attribute.name),
        };
        let details = match (name.as_str(), self.schema.primitive(type_id)) {
            ("value", None) if !known => {
                format!("{owner} has no value of its own: its elements stand inside.")
            }
            (_, None) if known => {
                format!("'{}' is an element of {owner} in XML, not an attribute.", excerpt(&name))
            }
            _ => format!("{owner} has no attribute '{}' in XML.", excerpt(&name)),
        };
        self.fault(IssueType::Structure, attribute.at, details)
    }

    /// A value into its node, checked.
    fn set_value(&mut self, node: u32, primitive: Primitive, attribute: &Attribute<'a>) -> Result<(), Stop> {
        let raw = attribute.raw;
        let is_special = raw.bytes().any(|byte| byte < 0x20 || matches!(byte, b'&' | b'"' | b'\\'));
        let value = if is_special { text::unescape(raw).into() } else { std::borrow::Cow::Borrowed(raw) };
        if let Err(error) = primitive.check(&value) {
            let details = fault::bad_value(&value, error);
            self.fault(fault::code_of(error), attribute.raw_at, details)?;
        }
        let markup = if is_special { MARKUP } else { 0 };
        self.set(node, HAS_VALUE | markup, attribute.raw_at, raw.len());
        Ok(())
    }

    fn set(&mut self, node: u32, flags: u32, start: usize, len: usize) {
        if let (Some(node), Ok(start), Ok(len)) =
            (self.nodes.get_mut(node as usize), u32::try_from(start), u32::try_from(len))
        {
            node.property |= flags;
            node.start = start;
            node.len = len;
        }
    }

    /// Links the children from attributes that stand before a property.
    fn link_attributes(&mut self, open: &mut Open, before: u32) {
        for _ in 0..open.attributes.len() {
            let [first, second] = open.attributes;
            let property = |node: u32| self.nodes.get(node as usize).map_or(NO_PROPERTY, Node::property);
            let next = match (first, second) {
                (0, 0) => return,
                (first, second) if second == 0 || (first != 0 && property(first) < property(second)) => first,
                (_, second) => second,
            };
            if property(next) >= before {
                return;
            }
            self.link(open, next);
            open.attributes = open.attributes.map(|node| if node == next { 0 } else { node });
        }
    }

    /// Makes a node the last child.
    fn link(&mut self, open: &mut Open, node: u32) {
        let linked = std::mem::replace(&mut open.linked, node);
        if let Some(before) = self.nodes.get_mut(if linked == 0 { open.node } else { linked } as usize) {
            if linked == 0 {
                before.first_child = node;
            } else {
                before.next_sibling = node;
            }
        }
    }

    fn push_node(&mut self, property: u32) -> Result<u32, Stop> {
        if self.nodes.len() >= self.max_nodes {
            let details = format!("The resource has more than {} elements.", self.max_nodes);
            return Err(self.stop(IssueType::TooLong, self.source.at, details));
        }
        let node = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let start = u32::try_from(self.source.at).unwrap_or(u32::MAX);
        self.nodes.push(Node { property, start, len: 0, first_child: 0, next_sibling: 0 });
        Ok(node)
    }

    /// Passes over an element that nobody wants.
    fn skip(&mut self, tag: &Tag<'a>, is_empty: bool) -> Result<(), Stop> {
        let mut open = usize::from(!is_empty);
        while open > 0 {
            match self.next()? {
                Token::Start(_, true) | Token::Text => {}
                Token::Start(_, false) => open += 1,
                Token::End => open -= 1,
                Token::Eof => return Err(self.not_xml(&format!("<{}> is not closed", tag.shown()))),
            }
        }
        self.source.leave(tag.outer);
        Ok(())
    }

    fn is_in(&mut self, wanted: Namespace, tag: &Tag<'a>) -> Result<bool, Stop> {
        if tag.namespace == wanted {
            return Ok(true);
        }
        let name = if wanted == Namespace::Xhtml { XHTML } else { FHIR };
        let details = format!("'{}' is not in the namespace {name}.", tag.shown());
        self.fault(IssueType::Structure, tag.at, details)?;
        Ok(false)
    }

    fn next(&mut self) -> Result<Token<'a>, Stop> {
        self.source.next().map_err(|broken| self.broken(broken))
    }

    fn enter(&mut self, levels: usize) -> Result<(), Stop> {
        self.depth += levels;
        if self.depth <= self.max_depth {
            return Ok(());
        }
        let details =
            format!("Elements are nested deeper than {} levels of objects and arrays.", self.max_depth);
        Err(self.stop(IssueType::TooLong, self.source.at, details))
    }

    #[cold]
    fn fault(&mut self, code: IssueType, at: usize, details: String) -> Result<(), Stop> {
        self.fault_in(code, at, details, "")
    }

    /// Notes a fault of the element that the path leads to, or of a child that the schema does not have.
    #[cold]
    fn fault_in(&mut self, code: IssueType, at: usize, details: String, member: &str) -> Result<(), Stop> {
        let mut expression = fault::expression_of(self.schema, self.root, &self.path);
        fault::push_member(&mut expression, member);
        self.faults.push(Fault::new(code, at, details, expression));
        if self.faults.len() < self.max_faults { Ok(()) } else { Err(Stop) }
    }

    #[cold]
    fn stop(&mut self, code: IssueType, at: usize, details: String) -> Stop {
        match self.fault(code, at, details) {
            Ok(()) | Err(Stop) => Stop,
        }
    }

    #[cold]
    fn broken(&mut self, broken: Broken) -> Stop {
        self.stop(broken.code, broken.at, broken.details)
    }

    #[cold]
    fn not_xml(&mut self, why: &str) -> Stop {
        self.stop(IssueType::Invalid, self.source.at, format!("This is not XML: {why}."))
    }
}

const EMPTY: &str = "An element must not be empty: it has a value, elements or extensions.";
