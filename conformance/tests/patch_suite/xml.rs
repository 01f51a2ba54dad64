//! As much of FHIR's XML (<https://hl7.org/fhir/R4/xml.html>) as the patch cases need, to JSON.

use fhirpath::Schema;
use fhirpath::schema::{Property, TypeId, TypeKind};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

/// An element.
pub struct Node {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub content: Vec<Content>,
}

/// What is in an element.
pub enum Content {
    Element(Node),
    Text(String),
}

impl Node {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn elements(&self) -> impl Iterator<Item = &Node> {
        self.content.iter().filter_map(|content| match content {
            Content::Element(node) => Some(node),
            Content::Text(_) => None,
        })
    }

    pub fn children<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n Node> {
        self.elements().filter(move |node| node.name == name)
    }

    pub fn child(&self, name: &str) -> Option<&Node> {
        self.elements().find(|node| node.name == name)
    }
}

/// The element that a text is.
pub fn parse(text: &str) -> Node {
    let text = text.replace("\r\n", "\n"); // https://www.w3.org/TR/xml/#sec-line-ends
    let mut reader = Reader::from_str(&text);
    let mut open = vec![Node { name: String::new(), attributes: Vec::new(), content: Vec::new() }];
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => open.push(node(&start)),
            Event::Empty(start) => add(&mut open, Content::Element(node(&start))),
            Event::End(_) => {
                let done = open.pop().unwrap();
                add(&mut open, Content::Element(done));
            }
            Event::Text(text) => add(&mut open, Content::Text(text.decode().unwrap().into_owned())),
            Event::GeneralRef(reference) => {
                let char = match reference.resolve_char_ref().unwrap() {
                    Some(char) => char.to_string(),
                    None => {
                        let name = reference.decode().unwrap();
                        quick_xml::escape::resolve_predefined_entity(&name).unwrap().to_owned()
                    }
                };
                add(&mut open, Content::Text(char));
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::CData(text) => add(&mut open, Content::Text(text.decode().unwrap().into_owned())),
        }
    }
    let content = open.pop().unwrap().content.into_iter();
    let element = |content| if let Content::Element(node) = content { Some(node) } else { None };
    content.filter_map(element).next().unwrap()
}

fn add(open: &mut [Node], content: Content) {
    open.last_mut().unwrap().content.push(content);
}

fn node(start: &BytesStart) -> Node {
    let attribute = |attribute: quick_xml::events::attributes::Attribute| {
        let name = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
        let raw = String::from_utf8(attribute.value.to_vec()).unwrap();
        (name, quick_xml::escape::unescape(&raw).unwrap().into_owned())
    };
    Node {
        name: String::from_utf8(start.name().as_ref().to_vec()).unwrap(),
        attributes: start.attributes().map(|found| attribute(found.unwrap())).collect(),
        content: Vec::new(),
    }
}

/// A resource as JSON.
pub fn resource(schema: &Schema, node: &Node) -> Value {
    let mut members = members(schema, schema.type_id(&node.name).unwrap(), node);
    members.insert("resourceType".to_owned(), node.name.clone().into());
    Value::Object(members)
}

fn members(schema: &Schema, type_id: TypeId, node: &Node) -> Map<String, Value> {
    let mut members = Map::new();
    for name in ["id", "url"] {
        if let Some(text) = node.attribute(name) {
            members.insert(name.to_owned(), text.into());
        }
    }
    let properties = schema.properties(type_id);
    for property in properties {
        let found: Vec<&Node> = node.children(&property.json_name).collect();
        if !found.is_empty() {
            insert(schema, property, &found, &mut members);
        }
    }
    let unknown = node.elements().find(|child| properties.iter().all(|known| known.json_name != child.name));
    assert!(unknown.is_none(), "{} of {}", unknown.unwrap().name, node.name);
    members
}

fn insert(schema: &Schema, property: &Property, found: &[&Node], members: &mut Map<String, Value>) {
    let mut put = |name: String, values: Vec<Value>| {
        if values.iter().any(|value| !value.is_null()) {
            let value =
                if property.is_list { Value::Array(values) } else { values.into_iter().next().unwrap() };
            members.insert(name, value);
        }
    };
    if schema.primitive(property.type_id).is_some() {
        put(property.json_name.clone(), found.iter().map(|node| primitive(schema, property, node)).collect());
        let beside = |node: &&Node| {
            let beside = members_beside(schema, property, node);
            if beside.is_empty() { Value::Null } else { Value::Object(beside) }
        };
        put(format!("_{}", property.json_name), found.iter().map(beside).collect());
    } else if schema.kind(property.type_id) == TypeKind::Resource {
        let inner = |node: &&Node| resource(schema, node.elements().next().unwrap());
        put(property.json_name.clone(), found.iter().map(inner).collect());
    } else {
        let object = |node: &&Node| Value::Object(self::members(schema, property.type_id, node));
        put(property.json_name.clone(), found.iter().map(object).collect());
    }
}

fn members_beside(schema: &Schema, property: &Property, node: &Node) -> Map<String, Value> {
    if schema.type_name(property.type_id) == "xhtml" {
        Map::new()
    } else {
        members(schema, property.type_id, node)
    }
}

fn primitive(schema: &Schema, property: &Property, node: &Node) -> Value {
    let text = match schema.type_name(property.type_id) {
        "xhtml" => return markup(node).into(),
        _ => node.attribute("value"),
    };
    match (text, schema.type_name(property.type_id)) {
        (None, _) => Value::Null,
        (Some(text), "boolean" | "integer" | "unsignedInt" | "positiveInt" | "decimal") => {
            serde_json::from_str(text).unwrap()
        }
        (Some(text), _) => text.into(),
    }
}

/// Markup, with the least escapes.
fn markup(node: &Node) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let mut out = format!("<{}", node.name);
    for (name, value) in &node.attributes {
        out.push_str(&format!(" {name}=\"{}\"", escaped(value).replace('"', "&quot;")));
    }
    out.push('>');
    for content in &node.content {
        match content {
            Content::Element(inner) => out.push_str(&markup(inner)),
            Content::Text(text) => out.push_str(&escaped(text)),
        }
    }
    out.push_str(&format!("</{}>", node.name));
    out
}
