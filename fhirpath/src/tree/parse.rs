//! JSON text (<https://hl7.org/fhir/R4/json.html>) to a tree, in one pass: syntax, names, types and values
//! are judged where they stand.
//!
//! A fault of FHIR is noted and the value skipped; a fault of JSON ends the parse. Cardinality other than
//! "one or many" is not judged here, nor any rule that needs two elements.

pub(super) mod fault;
mod scan;

use std::sync::Arc;

use self::fault::{Fault, Step, Stop};
pub(crate) use self::fault::{excerpt, nearest};
use super::{ESCAPED, HAS_VALUE, Limits, NO_PROPERTY, Node, RESOURCE, Tree, json};
use crate::issue::{Issue, IssueType};
use crate::primitive::{JsonType, Primitive};
use crate::schema::{Facts, PropertyId, Schema, TypeId};

/// No stack is deep enough for any depth a caller may ask for.
pub(super) const MAX_DEPTH: usize = 200;
/// Positions are kept in 32 bits.
pub(super) const MAX_BYTES: usize = 0x7FFF_FFFF;
/// A node costs 20 bytes, and an item of a list may take two of text. Resources have a node per 30 bytes or
/// so, so that one per eight of the largest input is generous, and bounds memory to a few times that input.
pub(super) const BYTES_PER_NODE: usize = 8;

/// Compact resources have a node for about so many bytes; the room is taken at once.
const NODE_EVERY: usize = 24;

impl Tree {
    /// Parses one resource.
    ///
    /// # Errors
    /// Every fault found, each with its FHIRPath expression and line, `limits.issues` at most.
    pub fn parse_json(schema: &Arc<Schema>, text: Vec<u8>, limits: &Limits) -> Result<Tree, Vec<Issue>> {
        let text = utf8(text, limits).map_err(|issue| vec![issue])?;
        let mut parser = Parser::new(schema, &text, limits);
        let outcome = parser.document();
        let nodes = std::mem::take(&mut parser.nodes);
        if outcome.is_err() || !parser.faults.is_empty() {
            return Err(parser.issues());
        }
        Ok(Tree { schema: Arc::clone(schema), text, nodes, edits: Vec::new() })
    }
}

/// The input as text, if it is that and not too long.
pub(super) fn utf8(text: Vec<u8>, limits: &Limits) -> Result<String, Issue> {
    let most = limits.bytes.min(MAX_BYTES);
    if text.len() > most {
        let details = format!("The input has {} bytes; at most {most} are taken.", text.len());
        return Err(Issue::error(IssueType::TooLong, details));
    }
    String::from_utf8(text).map_err(|error| fault::not_utf8(&error))
}

struct Parser<'a> {
    schema: &'a Schema,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    max_depth: usize,
    max_nodes: usize,
    max_faults: usize,
    nodes: Vec<Node>,
    /// Properties met in the objects that are open, the innermost last.
    seen: Vec<Seen>,
    path: Vec<Step>,
    root: Option<TypeId>,
    faults: Vec<Fault>,
}

/// A property of an open object.
#[derive(Debug, Clone, Copy)]
struct Seen {
    property: u32,
    /// Its first and last node, 0 while there is none.
    first: u32,
    last: u32,
    /// Whether `name` came.
    value: bool,
    /// Whether `_name` came.
    extensions: bool,
}

/// An open object.
struct Object {
    type_id: TypeId,
    node: u32,
    /// Where its properties start in `seen`.
    base: usize,
    /// The property that likely comes next.
    guess: u32,
    /// All properties met so far are below this one.
    above: u32,
    is_resource: bool,
    has_resource_type: bool,
}

/// A string of the source: its place inside the quotes, and whether it has escapes.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    escaped: bool,
}

impl<'a> Parser<'a> {
    fn new(schema: &'a Schema, text: &'a str, limits: &Limits) -> Parser<'a> {
        Parser {
            schema,
            text,
            bytes: text.as_bytes(),
            at: 0,
            depth: 0,
            max_depth: limits.depth.min(MAX_DEPTH),
            max_nodes: (limits.bytes.min(MAX_BYTES) / BYTES_PER_NODE).max(0x1_0000),
            max_faults: limits.issues.max(1),
            nodes: Vec::with_capacity(text.len() / NODE_EVERY + 8),
            seen: Vec::with_capacity(32),
            path: Vec::with_capacity(16),
            root: None,
            faults: Vec::new(),
        }
    }

    fn document(&mut self) -> Result<(), Stop> {
        if self.text.starts_with('\u{FEFF}') {
            self.at = '\u{FEFF}'.len_utf8();
        }
        self.skip_space();
        let root = self.push_node(NO_PROPERTY)?;
        match self.peek() {
            Some(b'{') => self.resource(root, None)?,
            _ => {
                let at = self.at;
                self.skip_value()?;
                self.fault(IssueType::Structure, at, "A resource is a JSON object.".to_owned())?;
            }
        }
        self.skip_space();
        if self.peek().is_some() { Err(self.syntax("the end of the text")) } else { Ok(()) }
    }

    /// A resource, `self.at` at its brace. `declared` is the type the element asks for.
    fn resource(&mut self, node: u32, declared: Option<TypeId>) -> Result<(), Stop> {
        let Some(type_id) = self.resource_type(declared)? else { return self.skip_value() };
        if node == 0 {
            self.root = Some(type_id);
        }
        self.object(type_id, node, true)?;
        let end = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if let Some(node) = self.node_mut(node) {
            node.property |= RESOURCE;
            node.start = end;
            node.len = u32::from(type_id.0);
        }
        Ok(())
    }

    /// Looks ahead for `resourceType`; what is wrong with it is a fault.
    fn resource_type(&mut self, declared: Option<TypeId>) -> Result<Option<TypeId>, Stop> {
        let start = self.at;
        let found = self.find_resource_type()?;
        self.at = start;
        let Some(found) = found else {
            let details = "A resource needs a resourceType, for instance \"resourceType\": \"Patient\".";
            self.fault(IssueType::Structure, start, details.to_owned())?;
            return Ok(None);
        };
        let name = self.unescaped(found);
        let type_id = self.schema.type_id(&name).filter(|_| self.schema.is_resource(&name));
        let Some(type_id) = type_id else {
            let near = fault::nearest(&name, self.schema.resource_types());
            let details = format!("'{}' is not a resource type{near}.", fault::excerpt(&name));
            self.fault(IssueType::Structure, found.start, details)?;
            return Ok(None);
        };
        if let Some(declared) = declared.filter(|&declared| !self.schema.is_subtype(type_id, declared)) {
            let details = format!("{name} cannot stand here: it is no {}.", self.schema.type_name(declared));
            self.fault(IssueType::Structure, found.start, details)?;
            return Ok(None);
        }
        Ok(Some(type_id))
    }

    /// The string that is the value of the first `resourceType` of the object at `self.at`.
    fn find_resource_type(&mut self) -> Result<Option<Span>, Stop> {
        self.at += 1;
        self.skip_space();
        while self.peek() == Some(b'"') {
            let key = self.string()?;
            self.colon()?;
            if self.slice(key) == "resourceType" || (key.escaped && self.unescaped(key) == "resourceType") {
                return if self.peek() == Some(b'"') { self.string().map(Some) } else { Ok(None) };
            }
            self.depth += 1;
            self.skip_value()?;
            self.depth -= 1;
            self.skip_space();
            if self.peek() != Some(b',') {
                break;
            }
            self.at += 1;
            self.skip_space();
        }
        Ok(None)
    }

    /// An object of a known type into a node that is there.
    fn object(&mut self, type_id: TypeId, node: u32, is_resource: bool) -> Result<(), Stop> {
        self.enter()?;
        let guess = self.schema.first_property(type_id);
        let base = self.seen.len();
        let mut object =
            Object { type_id, node, base, guess, above: guess, is_resource, has_resource_type: false };
        let start = self.at;
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.fault(IssueType::Structure, start, "An object must not be empty.".to_owned())?;
            self.spoil(node);
        } else {
            loop {
                self.member(&mut object)?;
                self.skip_space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break,
                    _ => return Err(self.syntax("',' or '}'")),
                }
                self.skip_space();
            }
            self.at += 1;
        }
        self.link(&object)?;
        self.seen.truncate(base);
        self.depth -= 1;
        Ok(())
    }

    fn member(&mut self, object: &mut Object) -> Result<(), Stop> {
        let key_at = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.syntax("a name in quotes"));
        }
        let span = self.string()?;
        self.colon()?;
        if span.escaped {
            let key = self.unescaped(span);
            return self.named_member(object, &key, key_at);
        }
        let key = self.text.get(span.start..span.end).unwrap_or_default();
        self.named_member(object, key, key_at)
    }

    /// A member, `self.at` at its value.
    #[inline]
    fn named_member(&mut self, object: &mut Object, key: &str, key_at: usize) -> Result<(), Stop> {
        if object.is_resource && key == "resourceType" {
            if std::mem::replace(&mut object.has_resource_type, true) {
                self.fault(IssueType::Structure, key_at, "The key 'resourceType' is repeated.".to_owned())?;
            }
            return self.skip_value();
        }
        let (name, is_extensions) = match key.strip_prefix('_') {
            Some(name) => (name, true),
            None => (key, false),
        };
        let Some(property) = self.schema.json_property(object.type_id, name.as_bytes(), object.guess) else {
            return self.unknown_member(object.type_id, key, key_at);
        };
        object.guess = property.0 + 1;
        let facts = self.schema.facts(property);
        if is_extensions && !(facts.primitive.is_some() && facts.may_extend) {
            return self.unknown_member(object.type_id, key, key_at);
        }
        let slot = self.slot(object, property, facts, key_at)?;
        let Some(seen) = self.seen.get_mut(slot) else { return self.skip_value() };
        let flag = if is_extensions { &mut seen.extensions } else { &mut seen.value };
        if std::mem::replace(flag, true) {
            let details = format!("The key '{key}' is repeated.");
            self.path.push(Step { property: property.0, index: None });
            self.fault(IssueType::Structure, key_at, details)?;
            self.path.pop();
            return self.skip_value();
        }
        self.path.push(Step { property: property.0, index: None });
        if facts.is_list {
            self.list(property, facts, slot, is_extensions)?;
        } else {
            self.single(property, facts, slot, is_extensions)?;
        }
        self.path.pop();
        Ok(())
    }

    /// The place of a property among those seen of the object; a new one where there is none.
    #[inline]
    fn slot(
        &mut self,
        object: &mut Object,
        property: PropertyId,
        facts: Facts,
        key_at: usize,
    ) -> Result<usize, Stop> {
        let start = property.0 - u32::from(facts.alternative);
        if start < object.above {
            let seen = self.seen.get(object.base..).unwrap_or_default();
            if let Some(at) = seen.iter().position(|seen| seen.property == property.0) {
                return Ok(object.base + at);
            }
            let alternatives = start..start + u32::from(facts.alternatives);
            if let Some(other) = seen.iter().find(|seen| alternatives.contains(&seen.property)) {
                let name = |id| &self.schema.definition(id).json_name;
                let details = format!(
                    "{} and {} exclude each other: a choice has one value.",
                    name(PropertyId(other.property)),
                    name(property)
                );
                self.path.push(Step { property: property.0, index: None });
                self.fault(IssueType::Structure, key_at, details)?;
                self.path.pop();
            }
        }
        object.above = object.above.max(property.0 + 1);
        self.seen.push(Seen { property: property.0, first: 0, last: 0, value: false, extensions: false });
        Ok(self.seen.len() - 1)
    }

    fn single(
        &mut self,
        property: PropertyId,
        facts: Facts,
        slot: usize,
        is_extensions: bool,
    ) -> Result<(), Stop> {
        let first = self.seen.get(slot).map_or(0, |seen| seen.first);
        let node = if first == 0 { self.append(slot, property)? } else { first };
        match self.peek() {
            Some(b'[') => {
                let details = "There is one value at most here: it is not written as an array.".to_owned();
                self.refuse(node, IssueType::Structure, details)
            }
            Some(b'n') => self.refuse(
                node,
                IssueType::Structure,
                "null is not a value: leave the property out.".to_owned(),
            ),
            _ => self.value(node, facts, is_extensions),
        }
    }

    fn list(
        &mut self,
        property: PropertyId,
        facts: Facts,
        slot: usize,
        is_extensions: bool,
    ) -> Result<(), Stop> {
        if self.peek() != Some(b'[') {
            let node = self.append(slot, property)?;
            return self.refuse(
                node,
                IssueType::Structure,
                "Values are written as an array here.".to_owned(),
            );
        }
        let start = self.at;
        self.enter()?;
        self.at += 1;
        self.skip_space();
        // The nodes that the other of `name` and `_name` made, if it came first.
        let partner = self.seen.get(slot).is_some_and(|seen| seen.value && seen.extensions);
        let mut cursor = self.seen.get(slot).map_or(0, |seen| seen.first);
        let (mut index, mut longer, mut any) = (0, false, false);
        if self.peek() == Some(b']') {
            self.fault(IssueType::Structure, start, "An array must not be empty.".to_owned())?;
        } else {
            loop {
                if let Some(step) = self.path.last_mut() {
                    step.index = Some(index);
                }
                longer |= partner && cursor == 0;
                let node = if cursor == 0 { self.append(slot, property)? } else { cursor };
                any |= self.item(node, facts, is_extensions)?;
                cursor = self
                    .nodes
                    .get(cursor as usize)
                    .filter(|_| cursor != 0)
                    .map_or(0, |node| node.next_sibling);
                index += 1;
                self.skip_space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break,
                    _ => return Err(self.syntax("',' or ']'")),
                }
                self.skip_space();
            }
            if let Some(step) = self.path.last_mut() {
                step.index = None;
            }
            if partner && (longer || cursor != 0) {
                let name = &self.schema.definition(property).json_name;
                let details =
                    format!("{name} and _{name} must have as many items, with null where one has none.");
                self.fault(IssueType::Structure, start, details)?;
            } else if !any {
                let details = "An array must not consist of nulls only: leave it out.".to_owned();
                self.fault(IssueType::Structure, start, details)?;
                self.spoil_list(slot);
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// An item of an array into its node; whether it is something else than null.
    #[inline]
    fn item(&mut self, node: u32, facts: Facts, is_extensions: bool) -> Result<bool, Stop> {
        match self.peek() {
            Some(b'n') if facts.primitive.is_some() => {
                self.literal("null")?;
                Ok(false)
            }
            Some(b'n') => {
                let details = "null is not a value: leave the item out.".to_owned();
                self.refuse(node, IssueType::Structure, details)?;
                Ok(true)
            }
            Some(b'[') => {
                let details = "An array must not be in an array.".to_owned();
                self.refuse(node, IssueType::Structure, details)?;
                Ok(true)
            }
            _ => {
                self.value(node, facts, is_extensions)?;
                Ok(true)
            }
        }
    }

    #[inline]
    fn value(&mut self, node: u32, facts: Facts, is_extensions: bool) -> Result<(), Stop> {
        match facts.primitive {
            Some(primitive) if !is_extensions => self.primitive(node, primitive),
            _ if self.peek() != Some(b'{') => {
                let details = match is_extensions {
                    true => "Beside a primitive's value stands an object with id and extension.".to_owned(),
                    false => format!("{} is written as an object.", self.schema.type_name(facts.type_id)),
                };
                self.refuse(node, IssueType::Structure, details)
            }
            _ if facts.is_resource => self.resource(node, Some(facts.type_id)),
            _ => self.object(facts.type_id, node, false),
        }
    }

    #[inline]
    fn primitive(&mut self, node: u32, primitive: Primitive) -> Result<(), Stop> {
        let start = self.at;
        let span = match (primitive.json_type(), self.peek()) {
            (JsonType::String, Some(b'"')) => self.string()?,
            (JsonType::Number, Some(b'-' | b'0'..=b'9')) => self.number()?,
            (JsonType::Boolean, Some(b't')) => self.literal("true")?,
            (JsonType::Boolean, Some(b'f')) => self.literal("false")?,
            (wanted, _) => {
                let wanted = match wanted {
                    JsonType::String => "a string",
                    JsonType::Number => "a number",
                    JsonType::Boolean => "true or false, without quotes",
                };
                let details = format!("{} is written as {wanted} in JSON.", primitive.name());
                return self.refuse(node, IssueType::Structure, details);
            }
        };
        let checked = match span.escaped {
            true => primitive.check(&self.unescaped(span)),
            false => primitive.check(self.slice(span)),
        };
        if let Err(error) = checked {
            let details = fault::bad_value(&self.unescaped(span), error);
            self.fault(fault::code_of(error), start, details)?;
        }
        let escaped = if span.escaped { ESCAPED } else { 0 };
        if let (Some(node), Ok(start), Ok(len)) =
            (self.node_mut(node), u32::try_from(span.start), u32::try_from(span.end - span.start))
        {
            node.property |= HAS_VALUE | escaped;
            node.start = start;
            node.len = len;
        }
        Ok(())
    }

    /// Chains the object's children, in the order of the specification.
    fn link(&mut self, object: &Object) -> Result<(), Stop> {
        let seen = self.seen.get_mut(object.base..).unwrap_or_default();
        if !seen.is_sorted_by_key(|seen| seen.property) {
            seen.sort_unstable_by_key(|seen| seen.property);
        }
        let mut next = 0;
        for at in (object.base..self.seen.len()).rev() {
            let Some(&seen) = self.seen.get(at) else { break };
            if seen.first == 0 {
                continue;
            }
            if let Some(last) = self.node_mut(seen.last) {
                last.next_sibling = next;
            }
            next = seen.first;
            if self.schema.facts(PropertyId(seen.property)).primitive.is_some() {
                self.check_nulls(seen)?;
            }
        }
        if let Some(node) = self.node_mut(object.node) {
            node.first_child = next;
        }
        Ok(())
    }

    /// Every item of a primitive has a value, or else an id or extension.
    #[inline]
    fn check_nulls(&mut self, seen: Seen) -> Result<(), Stop> {
        let mut at = seen.first;
        let mut index = 0;
        while let Some(&node) = self.nodes.get(at as usize) {
            if !node.is(HAS_VALUE) && node.first_child == 0 {
                let name = &self.schema.definition(PropertyId(seen.property)).json_name;
                let details = format!("null stands for a value only where _{name} has an extension for it.");
                self.path.push(Step { property: seen.property, index: Some(index) });
                self.fault(IssueType::Structure, node.start as usize, details)?;
                self.path.pop();
            }
            if at == seen.last {
                break;
            }
            at = node.next_sibling;
            index += 1;
        }
        Ok(())
    }

    /// A new last node for a property that was seen.
    #[inline]
    fn append(&mut self, slot: usize, property: PropertyId) -> Result<u32, Stop> {
        let node = self.push_node(property.0)?;
        let Some(seen) = self.seen.get_mut(slot) else { return Ok(node) };
        let last = std::mem::replace(&mut seen.last, node);
        if seen.first == 0 {
            seen.first = node;
        } else if let Some(last) = self.node_mut(last) {
            last.next_sibling = node;
        }
        Ok(node)
    }

    #[inline]
    fn push_node(&mut self, property: u32) -> Result<u32, Stop> {
        if self.nodes.len() >= self.max_nodes {
            let details = format!("The resource has more than {} elements.", self.max_nodes);
            return Err(self.stop(IssueType::TooLong, self.at, details));
        }
        let node = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let start = u32::try_from(self.at).unwrap_or(u32::MAX);
        self.nodes.push(Node { property, start, len: 0, first_child: 0, next_sibling: 0 });
        Ok(node)
    }

    #[inline]
    fn node_mut(&mut self, node: u32) -> Option<&mut Node> {
        self.nodes.get_mut(node as usize)
    }

    /// Marks a node whose fault was told, so that it is not told again as a missing value.
    fn spoil(&mut self, node: u32) {
        if let Some(node) = self.node_mut(node) {
            node.property |= HAS_VALUE;
        }
    }

    fn spoil_list(&mut self, slot: usize) {
        let Some(&Seen { first, last, .. }) = self.seen.get(slot) else { return };
        let mut at = first;
        while let Some(node) = self.node_mut(at) {
            node.property |= HAS_VALUE;
            if at == last {
                break;
            }
            at = node.next_sibling;
        }
    }

    /// Tells a fault of the value at `self.at` and goes past it.
    fn refuse(&mut self, node: u32, code: IssueType, details: String) -> Result<(), Stop> {
        self.fault(code, self.at, details)?;
        self.spoil(node);
        self.skip_value()
    }

    fn unknown_member(&mut self, type_id: TypeId, key: &str, key_at: usize) -> Result<(), Stop> {
        let details = fault::unknown_element(self.schema, type_id, key);
        self.fault_in(IssueType::Structure, key_at, details, key)?;
        self.skip_value()
    }

    fn enter(&mut self) -> Result<(), Stop> {
        self.depth += 1;
        if self.depth <= self.max_depth {
            return Ok(());
        }
        let details = format!("Objects and arrays are nested deeper than {} levels.", self.max_depth);
        Err(self.stop(IssueType::TooLong, self.at, details))
    }

    fn slice(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    fn unescaped(&self, span: Span) -> String {
        if span.escaped { json::unescape(self.slice(span)) } else { self.slice(span).to_owned() }
    }
}
