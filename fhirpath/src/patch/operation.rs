//! The operations of a FHIRPath Patch (<https://hl7.org/fhir/R4/fhirpatch.html>), read from Parameters. Looks at no
//! resource: whether a path leads anywhere is seen when the operation is done.

use std::sync::Arc;

use crate::expression::{CompileError, Dialect, Expression};
use crate::issue::{Issue, IssueType};
use crate::schema::Schema;
use crate::tree::{Element, Limits, Tree, excerpt};

/// A type of operation.
#[derive(Clone, Copy)]
enum Type {
    Add,
    Insert,
    Delete,
    Replace,
    Move,
}

/// The types, with the parts that each has besides `type`.
const TYPES: [(&str, Type, &[&str]); 5] = [
    ("add", Type::Add, &["path", "name", "value"]),
    ("insert", Type::Insert, &["path", "index", "value"]),
    ("delete", Type::Delete, &["path"]),
    ("replace", Type::Replace, &["path", "value"]),
    ("move", Type::Move, &["path", "source", "destination"]),
];

/// An operation. Parts are numbers of nodes of the Parameters.
#[derive(Debug)]
pub(super) enum Operation {
    Add { path: Path, name: Name, value: u32 },
    Insert { list: List, index: Index, value: u32 },
    Delete { path: Path },
    Replace { path: Path, value: u32 },
    Move { list: List, source: Index, destination: Index },
}

/// Where one element is.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) expression: Expression,
    pub(super) part: u32,
}

/// Where a list is: what holds it, and its name there.
#[derive(Debug)]
pub(super) struct List {
    pub(super) owner: Expression,
    pub(super) name: String,
    pub(super) part: u32,
}

/// The name of what is added.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) part: u32,
}

/// A place in a list, from 0.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) number: usize,
    pub(super) part: u32,
}

/// Reads all operations, or tells what is wrong with each.
pub(super) fn read(parameters: &Tree, resource_type: &str) -> Result<Vec<Operation>, Vec<Issue>> {
    if parameters.resource_type() != "Parameters" {
        let details =
            format!("A FHIRPath Patch is a Parameters resource, not a {}.", parameters.resource_type());
        return Err(vec![Issue::error(IssueType::Invalid, details).at("resourceType")]);
    }
    super::check_count(parameters.root().all("parameter").count()).map_err(|issues| {
        issues.into_iter().map(|issue| issue.at("Parameters.parameter")).collect::<Vec<_>>()
    })?;
    let (mut operations, mut issues) = (Vec::new(), Vec::new());
    for parameter in parameters.root().all("parameter") {
        match Parts::of(parameter).and_then(|parts| parts.operation(parameters.schema(), resource_type)) {
            Ok(operation) => operations.push(operation),
            Err(issue) => issues.push(issue),
        }
        if issues.len() >= Limits::DEFAULT.issues {
            break;
        }
    }
    if issues.is_empty() { Ok(operations) } else { Err(issues) }
}

/// A refusal of an element of the Parameters.
pub(super) fn refuse(element: Element<'_>, code: IssueType, details: impl Into<String>) -> Issue {
    Issue::error(code, details).at(element.path())
}

/// The name of a parameter or part.
pub(super) fn name_of(part: Element<'_>) -> Result<String, Issue> {
    let name = part.get("name").and_then(Element::value);
    name.map(Into::into).ok_or_else(|| refuse(part, IssueType::Required, "It needs a name."))
}

/// The parts of an operation.
struct Parts<'t> {
    operation: Element<'t>,
    kind: Type,
    kind_name: &'static str,
    parts: Vec<(String, Element<'t>)>,
}

impl<'t> Parts<'t> {
    fn of(operation: Element<'t>) -> Result<Parts<'t>, Issue> {
        let name = name_of(operation)?;
        if name != "operation" {
            let details =
                format!("The parameters of a patch are named 'operation', not '{}'.", excerpt(&name));
            return Err(refuse(operation, IssueType::NotSupported, details));
        }
        let mut parts: Vec<(String, Element<'t>)> = Vec::new();
        for part in operation.all("part") {
            let name = name_of(part)?;
            if parts.iter().any(|(other, _)| *other == name) {
                let details = format!("The part '{}' is repeated.", excerpt(&name));
                return Err(refuse(part, IssueType::Structure, details));
            }
            parts.push((name, part));
        }
        let (kind_name, kind, wanted) = kind_of(operation, &parts)?;
        let unknown = parts.iter().find(|(name, _)| name != "type" && !wanted.contains(&name.as_str()));
        if let Some((name, part)) = unknown {
            let details = format!(
                "The operation {kind_name} has no part '{}'; it has {}.",
                excerpt(name),
                wanted.join(", ")
            );
            return Err(refuse(*part, IssueType::NotSupported, details));
        }
        Ok(Parts { operation, kind, kind_name, parts })
    }

    fn operation(&self, schema: &Arc<Schema>, resource_type: &str) -> Result<Operation, Issue> {
        let path = || self.path(schema, resource_type);
        let list = || self.list(schema, resource_type);
        let value = || Ok::<_, Issue>(self.part("value")?.node_id());
        Ok(match self.kind {
            Type::Add => Operation::Add { path: path()?, name: self.name()?, value: value()? },
            Type::Insert => Operation::Insert { list: list()?, index: self.index("index")?, value: value()? },
            Type::Delete => Operation::Delete { path: path()? },
            Type::Replace => Operation::Replace { path: path()?, value: value()? },
            Type::Move => Operation::Move {
                list: list()?,
                source: self.index("source")?,
                destination: self.index("destination")?,
            },
        })
    }

    fn part(&self, name: &str) -> Result<Element<'t>, Issue> {
        let found = self.parts.iter().find(|(other, _)| other == name);
        found.map(|(_, part)| *part).ok_or_else(|| {
            let details = format!("The operation {} needs a part '{name}'.", self.kind_name);
            refuse(self.operation, IssueType::Required, details)
        })
    }

    fn name(&self) -> Result<Name, Issue> {
        let part = self.part("name")?;
        Ok(Name { text: text(part)?, part: part.node_id() })
    }

    fn index(&self, name: &str) -> Result<Index, Issue> {
        let part = self.part(name)?;
        let value = part.get("value").and_then(Element::value);
        let number = value.as_deref().and_then(|value| value.parse().ok()).ok_or_else(|| {
            let details = format!("The {name} is a valueInteger of 0 or more.");
            refuse(part, IssueType::Value, details)
        })?;
        Ok(Index { number, part: part.node_id() })
    }

    fn path(&self, schema: &Arc<Schema>, resource_type: &str) -> Result<Path, Issue> {
        let part = self.part("path")?;
        let expression = Expression::compile_as(schema, resource_type, &text(part)?, Dialect::Standard)
            .map_err(|error| uncompiled(part, &error))?;
        leads_somewhere(part, &expression, resource_type)?;
        Ok(Path { expression, part: part.node_id() })
    }

    fn list(&self, schema: &Arc<Schema>, resource_type: &str) -> Result<List, Issue> {
        let part = self.part("path")?;
        let compiled = Expression::compile_list(schema, resource_type, &text(part)?);
        let Some((owner, name)) = compiled.map_err(|error| uncompiled(part, &error))? else {
            let details = format!("The path of the operation {} ends in the name of a list.", self.kind_name);
            return Err(refuse(part, IssueType::Value, details));
        };
        leads_somewhere(part, &owner, resource_type)?;
        Ok(List { owner, name, part: part.node_id() })
    }
}

/// The type of an operation, from among [`TYPES`].
fn kind_of(
    operation: Element<'_>,
    parts: &[(String, Element<'_>)],
) -> Result<(&'static str, Type, &'static [&'static str]), Issue> {
    let Some((_, part)) = parts.iter().find(|(name, _)| name == "type") else {
        return Err(refuse(operation, IssueType::Required, "An operation needs a part 'type'."));
    };
    let kind = text(*part)?;
    TYPES.into_iter().find(|(name, ..)| *name == kind).ok_or_else(|| {
        let known = TYPES.map(|(name, ..)| name).join(", ");
        let details = format!("'{}' is not a type of operation; they are {known}.", excerpt(&kind));
        refuse(*part, IssueType::NotSupported, details)
    })
}

/// The text of a part: its value is some kind of string.
fn text(part: Element<'_>) -> Result<String, Issue> {
    let schema = part.tree().schema();
    let is_text = |value: &Element<'_>| {
        let primitive = schema.primitive(value.type_id());
        primitive.is_some_and(|primitive| primitive.json_type() == crate::primitive::JsonType::String)
    };
    let value = part.get("value").filter(is_text).and_then(Element::value);
    value
        .map(Into::into)
        .ok_or_else(|| refuse(part, IssueType::Value, "Its value is a valueString or valueCode."))
}

fn uncompiled(part: Element<'_>, error: &CompileError) -> Issue {
    refuse(part, IssueType::Invalid, format!("The path does not compile: {error}."))
}

fn leads_somewhere(part: Element<'_>, expression: &Expression, resource_type: &str) -> Result<(), Issue> {
    if !expression.is_empty() {
        return Ok(());
    }
    let details = format!("The path leads nowhere in a {resource_type}.");
    Err(refuse(part, IssueType::Value, details))
}
