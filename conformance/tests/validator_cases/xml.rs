//! FHIR XML (<https://hl7.org/fhir/R4/xml.html>) to FHIR JSON, as much as the cases need: what is no FHIR becomes JSON that
//! is none either, or a fault.

use fhirpath::Schema;
use fhirpath::primitive::{JsonType, Primitive};
use fhirpath::schema::{Property, TypeId, TypeKind};
use serde_json::Value;

/// An element with its attributes and children; texts between elements are kept for XHTML alone.
struct Node<'x> {
    name: &'x str,
    attributes: Vec<(&'x str, String)>,
    children: Vec<Node<'x>>,
    /// The whole element as it stands in the text.
    source: &'x str,
    has_text: bool,
}

struct Reader<'x> {
    text: &'x str,
    at: usize,
}

/// The JSON of a resource in XML.
pub fn to_json(schema: &Schema, text: &str) -> Result<String, String> {
    let mut reader = Reader { text: text.trim_start_matches('\u{FEFF}'), at: 0 };
    reader.misc()?;
    let root = reader.element()?;
    reader.misc()?;
    if reader.at < reader.text.len() {
        return Err("text after the root element".to_owned());
    }
    let namespace =
        root.attributes.iter().find(|(name, _)| *name == "xmlns").map(|(_, value)| value.as_str());
    if namespace != Some("http://hl7.org/fhir") {
        return Err("not in the namespace of FHIR".to_owned());
    }
    resource(schema, &root).map(|json| json.to_string())
}

impl<'x> Reader<'x> {
    fn rest(&self) -> &'x str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// White space, comments, processing instructions.
    fn misc(&mut self) -> Result<(), String> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let end = if trimmed.starts_with("<!--") {
                "-->"
            } else if trimmed.starts_with("<?") {
                "?>"
            } else if trimmed.starts_with("<!DOCTYPE") {
                return Err("a DOCTYPE is not allowed".to_owned());
            } else {
                return Ok(());
            };
            self.at += trimmed.find(end).ok_or("a comment without an end")? + end.len();
        }
    }

    fn name(&mut self) -> &'x str {
        let rest = self.rest();
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '/' | '>')).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn element(&mut self) -> Result<Node<'x>, String> {
        let start = self.at;
        if !self.rest().starts_with('<') {
            return Err("an element is expected".to_owned());
        }
        self.at += 1;
        let mut node = Node {
            name: self.name(),
            attributes: Vec::new(),
            children: Vec::new(),
            source: "",
            has_text: false,
        };
        loop {
            self.space();
            if self.rest().starts_with("/>") {
                self.at += 2;
                node.source = self.text.get(start..self.at).unwrap_or_default();
                return Ok(node);
            }
            if self.rest().starts_with('>') {
                self.at += 1;
                break;
            }
            let name = self.name();
            self.space();
            let quote = self.rest().strip_prefix('=').ok_or("an attribute without a value")?;
            self.at += 1;
            let skipped = quote.len() - quote.trim_start().len();
            self.at += skipped;
            let quote = self.rest().chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or("no quote")?;
            self.at += 1;
            let end = self.rest().find(quote).ok_or("an attribute without an end")?;
            let value = self.rest().get(..end).unwrap_or_default();
            node.attributes.push((name, unescape(value)?));
            self.at += end + 1;
        }
        loop {
            let rest = self.rest();
            let open = rest.find('<').ok_or("an element without an end")?;
            node.has_text |= !rest.get(..open).unwrap_or_default().trim().is_empty();
            self.at += open;
            let rest = self.rest();
            if rest.starts_with("<!--") {
                self.at += rest.find("-->").ok_or("a comment without an end")? + 3;
            } else if rest.starts_with("<?") {
                self.at += rest.find("?>").ok_or("an instruction without an end")? + 2;
            } else if rest.starts_with("</") {
                self.at += 2;
                let name = self.name();
                self.space();
                if name != node.name || !self.rest().starts_with('>') {
                    return Err(format!("</{name}> closes <{}>", node.name));
                }
                self.at += 1;
                node.source = self.text.get(start..self.at).unwrap_or_default();
                return Ok(node);
            } else {
                node.children.push(self.element()?);
            }
        }
    }
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (name, later) = after.split_once(';').ok_or("an entity without an end")?;
        let number = |text: &str, radix| u32::from_str_radix(text, radix).ok().and_then(char::from_u32);
        let found = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => match name.strip_prefix("#x") {
                Some(hex) => number(hex, 16),
                None => name.strip_prefix('#').and_then(|decimal| number(decimal, 10)),
            },
        };
        out.push(found.ok_or_else(|| format!("the entity {name} is not known"))?);
        rest = later;
    }
    out.push_str(rest);
    // Attributes have no line breaks: a parser makes spaces of them.
    Ok(out.replace(['\n', '\t'], " ").replace('\r', ""))
}

fn resource(schema: &Schema, node: &Node<'_>) -> Result<Value, String> {
    let id = schema.type_id(node.name).filter(|_| schema.is_resource(node.name));
    let id = id.ok_or_else(|| format!("{} is no resource", node.name))?;
    let mut json = object(schema, id, node)?;
    if let Value::Object(fields) = &mut json {
        fields.shift_insert(0, "resourceType".to_owned(), Value::String(node.name.to_owned()));
    }
    Ok(json)
}

fn object(schema: &Schema, id: TypeId, node: &Node<'_>) -> Result<Value, String> {
    if node.has_text {
        return Err(format!("text in {}", node.name));
    }
    let mut fields = serde_json::Map::new();
    let properties = schema.properties(id);
    for (name, value) in &node.attributes {
        match *name {
            "id" | "url" => {
                fields.insert((*name).to_owned(), Value::String(value.clone()));
            }
            "xmlns" | "value" => {}
            name if name.starts_with("xmlns:") || name.starts_with("xsi:") => {}
            _ => return Err(format!("the attribute {name} of {}", node.name)),
        }
    }
    let mut order = 0;
    for child in &node.children {
        let found = properties.iter().enumerate().find(|(_, it)| it.json_name == child.name);
        let Some((at, property)) = found else { return Err(format!("{} has no {}", node.name, child.name)) };
        let first = properties.iter().position(|it| it.name == property.name).unwrap_or(at);
        if first < order {
            return Err(format!("{} comes too late in {}", child.name, node.name));
        }
        order = first;
        add(schema, &mut fields, property, child)?;
    }
    Ok(Value::Object(fields))
}

fn add(
    schema: &Schema,
    fields: &mut serde_json::Map<String, Value>,
    property: &Property,
    child: &Node<'_>,
) -> Result<(), String> {
    let name = property.json_name.as_str();
    let (value, extensions) = match schema.primitive(property.type_id) {
        Some(Primitive::Xhtml) => (Some(Value::String(child.source.to_owned())), None),
        Some(primitive) => primitive_of(schema, property.type_id, primitive, child)?,
        None if schema.kind(property.type_id) == TypeKind::Resource => match child.children.as_slice() {
            [inner] => (Some(resource(schema, inner)?), None),
            _ => return Err(format!("{name} holds one resource")),
        },
        None => (Some(object(schema, property.type_id, child)?), None),
    };
    let beside = format!("_{name}");
    if !property.is_list {
        if value.is_some() && fields.contains_key(name) {
            return Err(format!("{name} is repeated"));
        }
        fields.extend(value.map(|value| (name.to_owned(), value)));
        fields.extend(extensions.map(|extensions| (beside, extensions)));
        return Ok(());
    }
    let is_primitive = schema.primitive(property.type_id).is_some();
    let list = |fields: &mut serde_json::Map<String, Value>, name: &str, value: Option<Value>| {
        let entry = fields.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = entry {
            list.push(value.unwrap_or(Value::Null));
        }
    };
    let count = fields.get(name).and_then(Value::as_array).map_or(0, Vec::len);
    list(fields, name, value);
    if is_primitive && (extensions.is_some() || fields.contains_key(&beside)) {
        for _ in fields.get(&beside).and_then(Value::as_array).map_or(0, Vec::len)..count {
            list(fields, &beside, None);
        }
        list(fields, &beside, extensions);
    }
    Ok(())
}

type Pair = (Option<Value>, Option<Value>);

fn primitive_of(schema: &Schema, id: TypeId, primitive: Primitive, child: &Node<'_>) -> Result<Pair, String> {
    let text = child.attributes.iter().find(|(name, _)| *name == "value").map(|(_, value)| value.clone());
    let value = text.map(|text| match primitive.json_type() {
        JsonType::String => Value::String(text),
        JsonType::Boolean => text.parse().map_or_else(|_| Value::String(text.clone()), Value::Bool),
        JsonType::Number => serde_json::from_str(&text).unwrap_or(Value::String(text)),
    });
    let extensions = object(schema, id, child)?;
    let has_any = extensions.as_object().is_some_and(|fields| !fields.is_empty());
    Ok((value, has_any.then_some(extensions)))
}
