//! What is told of an input that is refused: the sentence, the FHIRPath expression, the line and column.

use std::string::FromUtf8Error;

use super::Parser;
use crate::issue::{Issue, IssueType};
use crate::primitive::ValueError;
use crate::schema::{PropertyId, Schema, TypeId};

/// The parse ends here; why is among the faults.
pub(in crate::tree) struct Stop;

/// A finding that has its byte, but not yet its line.
pub(in crate::tree) struct Fault {
    at: usize,
    issue: Issue,
}

/// A step of the path to where the parser is.
#[derive(Clone, Copy)]
pub(in crate::tree) struct Step {
    pub(in crate::tree) property: u32,
    pub(in crate::tree) index: Option<u32>,
}

impl Fault {
    pub(in crate::tree) fn new(code: IssueType, at: usize, details: String, expression: String) -> Fault {
        Fault { at, issue: Issue::error(code, details).at(expression) }
    }
}

impl Parser<'_> {
    /// Notes a fault of the element that the path leads to.
    #[cold]
    pub(super) fn fault(&mut self, code: IssueType, at: usize, details: String) -> Result<(), Stop> {
        let expression = self.expression();
        self.note(code, at, details, expression)
    }

    /// Notes a fault of a member, not of the schema, of the element that the path leads to.
    #[cold]
    pub(super) fn fault_in(
        &mut self,
        code: IssueType,
        at: usize,
        details: String,
        member: &str,
    ) -> Result<(), Stop> {
        let mut expression = self.expression();
        push_member(&mut expression, member);
        self.note(code, at, details, expression)
    }

    fn note(&mut self, code: IssueType, at: usize, details: String, expression: String) -> Result<(), Stop> {
        self.faults.push(Fault::new(code, at, details, expression));
        if self.faults.len() < self.max_faults { Ok(()) } else { Err(Stop) }
    }

    /// Notes a fault that ends the parse.
    #[cold]
    pub(super) fn stop(&mut self, code: IssueType, at: usize, details: String) -> Stop {
        match self.fault(code, at, details) {
            Ok(()) | Err(Stop) => Stop,
        }
    }

    /// The text is not JSON at `self.at`.
    #[cold]
    pub(super) fn syntax(&mut self, wanted: &str) -> Stop {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let found = match rest.chars().next() {
            Some(char) => format!("'{}'", char.escape_default()),
            None => "the end of the text".to_owned(),
        };
        self.stop(IssueType::Invalid, self.at, format!("This is not JSON: expected {wanted}, found {found}."))
    }

    fn expression(&self) -> String {
        expression_of(self.schema, self.root, &self.path)
    }

    /// All findings, in the order of the text.
    pub(super) fn issues(self) -> Vec<Issue> {
        placed(self.faults, self.bytes)
    }
}

/// The FHIRPath expression of a path.
pub(in crate::tree) fn expression_of(schema: &Schema, root: Option<TypeId>, path: &[Step]) -> String {
    let mut expression = root.map_or("Resource", |root| schema.type_name(root)).to_owned();
    for step in path {
        expression.push('.');
        expression.push_str(&schema.definition(PropertyId(step.property)).name);
        if let Some(index) = step.index {
            expression.push_str(&format!("[{index}]"));
        }
    }
    expression
}

/// Adds a member that the schema does not have to an expression, where it is a plain name.
pub(in crate::tree) fn push_member(expression: &mut String, member: &str) {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if (1..=64).contains(&member.len()) && member.bytes().all(letters) {
        expression.push('.');
        expression.push_str(member);
    }
}

/// Faults with their lines and columns, in the order of the text.
pub(in crate::tree) fn placed(mut faults: Vec<Fault>, text: &[u8]) -> Vec<Issue> {
    faults.sort_by_key(|fault| fault.at);
    // Looking ahead for a resourceType meets some faults before their time.
    faults.dedup_by(|one, other| one.at == other.at && one.issue.details == other.issue.details);
    let mut place = Place { at: 0, line: 1, column: 1 };
    faults
        .into_iter()
        .map(|fault| {
            place.advance(text, fault.at);
            fault.issue.line(place.line, place.column)
        })
        .collect()
}

/// A byte of the text as people count.
struct Place {
    at: usize,
    line: u32,
    column: u32,
}

impl Place {
    fn advance(&mut self, bytes: &[u8], to: usize) {
        for &byte in bytes.get(self.at..to).unwrap_or_default() {
            if byte == b'\n' {
                self.line += 1;
                self.column = 1;
            } else if byte & 0xC0 != 0x80 {
                self.column += 1;
            }
        }
        self.at = to;
    }
}

pub(in crate::tree) fn not_utf8(error: &FromUtf8Error) -> Issue {
    let mut place = Place { at: 0, line: 1, column: 1 };
    place.advance(error.as_bytes(), error.utf8_error().valid_up_to());
    Issue::error(IssueType::Invalid, "The text is not UTF-8 here.").line(place.line, place.column)
}

pub(in crate::tree) fn code_of(error: ValueError) -> IssueType {
    match error {
        ValueError::Form(_) | ValueError::Range(_) => IssueType::Value,
        ValueError::TooLong => IssueType::TooLong,
    }
}

pub(in crate::tree) fn bad_value(text: &str, error: ValueError) -> String {
    match text {
        "" => "A value must not be an empty string: leave it out.".to_owned(),
        text => format!("'{}' {error}.", excerpt(text)),
    }
}

/// The few characters of an input that show a fault.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut chars = text.chars();
    let mut shown: String = chars.by_ref().take(SHOWN).flat_map(char::escape_debug).collect();
    if chars.next().is_some() {
        shown.push_str("...");
    }
    shown
}

pub(in crate::tree) fn unknown_element(schema: &Schema, type_id: TypeId, key: &str) -> String {
    let owner = schema.type_name(type_id);
    let properties = schema.properties(type_id);
    let named = key.strip_prefix('_').and_then(|name| properties.iter().find(|p| p.json_name == name));
    if let Some(named) = named {
        let name = &named.json_name;
        return format!("'{key}' is not allowed: {owner}.{name} has no id and extensions beside its value.");
    }
    if key == "fhir_comments" {
        return "'fhir_comments' is not allowed: comments are no part of FHIR R4.".to_owned();
    }
    let typed: Vec<&str> =
        properties.iter().filter(|p| p.name == key).map(|p| p.json_name.as_str()).collect();
    if !typed.is_empty() {
        let some = typed.iter().take(4).copied().collect::<Vec<_>>().join(", ");
        let more = if typed.len() > 4 { " and so on" } else { "" };
        return format!("'{key}' is written with its type: {some}{more}.");
    }
    let near = nearest(key, properties.iter().map(|property| property.json_name.as_str()));
    format!("{owner} has no element '{}'{near}.", excerpt(key))
}

/// `; did you mean 'name'?` without the question mark, or nothing where no name is near.
pub(crate) fn nearest<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> String {
    let limit = if text.len() < 5 { 1 } else { 2 };
    let near = names
        .filter(|name| name.len().abs_diff(text.len()) <= limit)
        .map(|name| (distance(&name.to_ascii_lowercase(), &text.to_ascii_lowercase()), name))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance);
    near.map_or_else(String::new, |(_, name)| format!("; '{name}' is near"))
}

/// How many characters to insert, delete or replace to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), i + 1);
        let mut left = i + 1;
        for (b, above) in other.chars().zip(row.iter_mut().skip(1)) {
            let best = (diagonal + usize::from(a != b)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, best);
            left = best;
        }
    }
    row.last().copied().unwrap_or_default()
}
