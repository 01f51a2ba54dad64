//! A ViewDefinition (<https://build.fhir.org/ig/FHIR/sql-on-fhir-v2/StructureDefinition-ViewDefinition.html>) as JSON, taken
//! apart. It is no resource type of R4, so no schema reads it: what it may hold is said here. Expressions stay texts.

use fhirpath::expression::{Date, DateTime, Decimal, Item, Time};
use fhirpath::{Issue, IssueType};
use serde_json::{Map, Value};

type Result<T, E = Issue> = std::result::Result<T, E>;

/// Deepest nesting of selects.
pub const MAX_DEPTH: usize = 20;
/// Most selects, columns, constants and conditions of a view, all together.
pub const MAX_PARTS: usize = 2_000;

/// What describes a view and does not change its rows.
const METADATA: [&str; 27] = [
    "id",
    "meta",
    "implicitRules",
    "language",
    "text",
    "contained",
    "extension",
    "url",
    "identifier",
    "version",
    "versionAlgorithmString",
    "versionAlgorithmCoding",
    "name",
    "title",
    "status",
    "experimental",
    "date",
    "publisher",
    "contact",
    "description",
    "useContext",
    "jurisdiction",
    "purpose",
    "copyright",
    "copyrightLabel",
    "fhirVersion",
    "profile",
];

pub(crate) struct Definition {
    pub name: Option<String>,
    pub resource: String,
    pub constants: Vec<(String, Item<'static>)>,
    pub selects: Vec<Select>,
    pub conditions: Vec<Text>,
}

/// A text and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub text: String,
    pub at: String,
}

#[derive(Debug, Clone)]
pub(crate) enum Iteration {
    /// What the select itself stands in.
    Once,
    ForEach(Text),
    ForEachOrNull(Text),
    Repeat(Vec<Text>),
}

pub(crate) struct Select {
    pub each: Iteration,
    pub columns: Vec<ColumnDefinition>,
    pub selects: Vec<Select>,
    pub union_all: Vec<Select>,
    pub at: String,
}

pub(crate) struct ColumnDefinition {
    pub name: String,
    pub path: Text,
    pub kind: Option<String>,
    pub collection: bool,
    pub tags: Vec<(String, String)>,
    pub at: String,
}

fn refuse<T>(code: IssueType, at: &str, details: impl Into<String>) -> Result<T> {
    Err(Issue::error(code, details).at(at))
}

/// An object and where it stands; its fields are taken out one by one, and what is left is refused.
struct Fields<'v> {
    fields: &'v Map<String, Value>,
    at: String,
}

impl<'v> Fields<'v> {
    fn of(value: &'v Value, at: String) -> Result<Fields<'v>> {
        match value {
            Value::Object(fields) => Ok(Fields { fields, at }),
            _ => refuse(IssueType::Structure, &at, "This is to be an object."),
        }
    }

    fn only(&self, known: &[&str]) -> Result<()> {
        let unknown = |name: &&String| {
            let is_comment = matches!(name.as_str(), "id" | "extension") || name.starts_with('_');
            !known.contains(&name.as_str()) && !is_comment
        };
        match self.fields.keys().find(unknown) {
            None => Ok(()),
            Some(name) => {
                let shown: String = name.chars().take(64).collect();
                refuse(IssueType::Structure, &self.at, format!("There is no element {shown} here."))
            }
        }
    }

    fn text(&self, name: &str) -> Result<Option<Text>> {
        let at = format!("{}.{name}", self.at);
        match self.fields.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(Text { text: text.clone(), at })),
            Some(_) => refuse(IssueType::Structure, &at, format!("{name} is to be a text.")),
        }
    }

    fn needed(&self, name: &str) -> Result<Text> {
        match self.text(name)? {
            Some(text) => Ok(text),
            None => refuse(IssueType::Required, &self.at, format!("{name} is missing.")),
        }
    }

    /// The items of a list, each with where it stands.
    fn list(&self, name: &str) -> Result<Vec<(&'v Value, String)>> {
        let at = format!("{}.{name}", self.at);
        match self.fields.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                Ok(items.iter().enumerate().map(|(number, item)| (item, format!("{at}[{number}]"))).collect())
            }
            Some(_) => refuse(IssueType::Structure, &at, format!("{name} is to be a list.")),
        }
    }
}

impl Definition {
    pub fn read(json: &Value) -> Result<Definition> {
        let fields = Fields::of(json, "ViewDefinition".to_owned())?;
        let mut known = vec!["resourceType", "resource", "constant", "select", "where", "modifierExtension"];
        known.extend(METADATA);
        fields.only(&known)?;
        if let Some(kind) = fields.text("resourceType")?
            && kind.text.rsplit('/').next() != Some("ViewDefinition")
        {
            return refuse(IssueType::Value, &kind.at, "The resource is to be a ViewDefinition.");
        }
        if fields.fields.contains_key("modifierExtension") {
            let details = "A modifierExtension may change what the view means, and none is known here.";
            return refuse(IssueType::Extension, &fields.at, details);
        }
        let mut parts = 0;
        let selects = selects(&fields, "select", 0, &mut parts)?;
        if selects.is_empty() {
            return refuse(IssueType::Required, &fields.at, "select is missing: the view has no columns.");
        }
        let mut conditions = Vec::new();
        for (item, at) in fields.list("where")? {
            count(&mut parts, &at)?;
            let item = Fields::of(item, at)?;
            item.only(&["path", "description"])?;
            conditions.push(item.needed("path")?);
        }
        let name = fields.text("name")?;
        if let Some(name) = &name {
            sql_name(&name.text, &name.at)?;
        }
        Ok(Definition {
            name: name.map(|name| name.text),
            resource: fields.needed("resource")?.text,
            constants: constants(&fields, &mut parts)?,
            selects,
            conditions,
        })
    }
}

fn count(parts: &mut usize, at: &str) -> Result<()> {
    *parts += 1;
    match *parts > MAX_PARTS {
        true => refuse(IssueType::TooCostly, at, format!("The view has more than {MAX_PARTS} parts.")),
        false => Ok(()),
    }
}

fn selects(fields: &Fields<'_>, name: &str, depth: usize, parts: &mut usize) -> Result<Vec<Select>> {
    let mut out = Vec::new();
    for (item, at) in fields.list(name)? {
        count(parts, &at)?;
        if depth >= MAX_DEPTH {
            return refuse(IssueType::TooCostly, &at, format!("Selects nest deeper than {MAX_DEPTH}."));
        }
        out.push(select(&Fields::of(item, at)?, depth, parts)?);
    }
    Ok(out)
}

fn select(fields: &Fields<'_>, depth: usize, parts: &mut usize) -> Result<Select> {
    fields.only(&["column", "select", "forEach", "forEachOrNull", "repeat", "unionAll"])?;
    let mut repeat = Vec::new();
    for (item, at) in fields.list("repeat")? {
        count(parts, &at)?;
        match item {
            Value::String(text) => repeat.push(Text { text: text.clone(), at }),
            _ => return refuse(IssueType::Structure, &at, "repeat is a list of texts."),
        }
    }
    let each = match (fields.text("forEach")?, fields.text("forEachOrNull")?, repeat.is_empty()) {
        (None, None, true) => Iteration::Once,
        (Some(path), None, true) => Iteration::ForEach(path),
        (None, Some(path), true) => Iteration::ForEachOrNull(path),
        (None, None, false) => Iteration::Repeat(repeat),
        _ => {
            let details = "A select has at most one of forEach, forEachOrNull and repeat.";
            return refuse(IssueType::Invariant, &fields.at, details);
        }
    };
    let mut columns = Vec::new();
    for (item, at) in fields.list("column")? {
        count(parts, &at)?;
        columns.push(column(&Fields::of(item, at)?)?);
    }
    Ok(Select {
        each,
        columns,
        selects: selects(fields, "select", depth + 1, parts)?,
        union_all: selects(fields, "unionAll", depth + 1, parts)?,
        at: fields.at.clone(),
    })
}

fn column(fields: &Fields<'_>) -> Result<ColumnDefinition> {
    fields.only(&["path", "name", "description", "collection", "type", "tag"])?;
    let name = fields.needed("name")?;
    sql_name(&name.text, &name.at)?;
    let collection = match fields.fields.get("collection") {
        None => false,
        Some(Value::Bool(collection)) => *collection,
        Some(_) => return refuse(IssueType::Structure, &fields.at, "collection is to be true or false."),
    };
    let mut tags = Vec::new();
    for (item, at) in fields.list("tag")? {
        let item = Fields::of(item, at)?;
        item.only(&["name", "value"])?;
        tags.push((item.needed("name")?.text, item.needed("value")?.text));
    }
    Ok(ColumnDefinition {
        name: name.text,
        path: fields.needed("path")?,
        kind: fields.text("type")?.map(|kind| kind.text),
        collection,
        tags,
        at: fields.at.clone(),
    })
}

/// Letters, digits and underscores, a letter first: what every database takes.
fn sql_name(name: &str, at: &str) -> Result<()> {
    let is_sql = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_sql {
        true => Ok(()),
        false => refuse(
            IssueType::Invariant,
            at,
            "A name has letters, digits and underscores, and a letter first.",
        ),
    }
}

fn constants(fields: &Fields<'_>, parts: &mut usize) -> Result<Vec<(String, Item<'static>)>> {
    let mut out: Vec<(String, Item<'static>)> = Vec::new();
    for (item, at) in fields.list("constant")? {
        count(parts, &at)?;
        let item = Fields::of(item, at)?;
        let name = item.needed("name")?;
        sql_name(&name.text, &name.at)?;
        if out.iter().any(|(known, _)| *known == name.text) {
            return refuse(IssueType::Duplicate, &name.at, "There are two constants of this name.");
        }
        let mut values = item.fields.iter().filter(|(name, _)| name.starts_with("value"));
        let (Some((kind, value)), None) = (values.next(), values.next()) else {
            return refuse(
                IssueType::Required,
                &item.at,
                "A constant has one value (valueString and so on).",
            );
        };
        item.only(&["name", kind])?;
        let Some(constant) = constant(kind.trim_start_matches("value"), value) else {
            let at = format!("{}.{kind}", item.at);
            return refuse(IssueType::Value, &at, format!("{kind} is no value that a constant can have."));
        };
        out.push((name.text, constant));
    }
    Ok(out)
}

/// A value of a primitive type, as FHIRPath's.
fn constant(kind: &str, value: &Value) -> Option<Item<'static>> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let is = |wanted: fn(&Value) -> bool| wanted(value).then_some(());
    Some(match kind {
        "Boolean" => Item::Boolean(value.as_bool()?),
        "Integer" | "PositiveInt" | "UnsignedInt" | "Integer64" => Item::Integer(text.parse().ok()?),
        "Decimal" => {
            is(Value::is_number)?;
            Item::Decimal(Decimal::parse(&text)?)
        }
        "Date" => Item::Date(Date::parse(&text)?),
        "DateTime" | "Instant" => Item::DateTime(DateTime::parse(&text)?),
        "Time" => Item::Time(Time::parse(&text)?),
        "String" | "Code" | "Id" | "Uri" | "Url" | "Canonical" | "Oid" | "Uuid" | "Base64Binary" => {
            is(Value::is_string)?;
            Item::String(text.into())
        }
        _ => return None,
    })
}
