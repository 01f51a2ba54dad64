//! A query's text to a small syntax tree (<https://spec.graphql.org/October2021/#sec-Language>). Judges syntax and size,
//! never meaning: names are not looked up here.
//!
//! The grammar is `apollo-parser`'s, which bounds tokens and depth itself and has no dependency beside its syntax tree.

use std::cell::Cell;
use std::collections::BTreeMap;

use apollo_parser::cst::{self, CstNode};
use apollo_parser::{Parser, SyntaxNode};
use fhirpath::IssueType;

use crate::limits::{MAX_DEPTH, MAX_QUERY, MAX_TOKENS};
use crate::response::Refusal;

type Result<T, E = Refusal> = std::result::Result<T, E>;

/// Line and column, 1-based, in characters.
pub(crate) type Place = (u32, u32);

/// A document of operations and fragments.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub operations: Vec<Operation>,
    pub fragments: BTreeMap<String, Fragment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperationKind {
    Query,
    Mutation,
}

#[derive(Debug)]
pub(crate) struct Operation {
    pub kind: OperationKind,
    pub name: Option<String>,
    pub variables: Vec<VariableDefinition>,
    pub selections: Vec<Selection>,
}

#[derive(Debug)]
pub(crate) struct VariableDefinition {
    pub name: String,
    pub required: bool,
    pub default: Option<Value>,
    pub place: Place,
}

#[derive(Debug)]
pub(crate) struct Fragment {
    pub condition: String,
    pub selections: Vec<Selection>,
    pub place: Place,
}

#[derive(Debug)]
pub(crate) enum Selection {
    Field(Field),
    Spread { fragment: String, directives: Vec<Directive>, place: Place },
    Inline { condition: Option<String>, directives: Vec<Directive>, selections: Vec<Selection>, place: Place },
}

#[derive(Debug)]
pub(crate) struct Field {
    pub alias: Option<String>,
    pub name: String,
    pub arguments: Vec<Argument>,
    pub directives: Vec<Directive>,
    pub selections: Vec<Selection>,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Argument {
    pub name: String,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(crate) struct Directive {
    pub name: String,
    pub arguments: Vec<Argument>,
    pub place: Place,
}

/// A value as it is written; an enum's name is a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Variable(String),
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Document {
    /// Reads a query.
    pub fn parse(text: &str) -> Result<Document> {
        if text.len() > MAX_QUERY {
            let details = format!("The query has {} bytes; at most {MAX_QUERY} are taken.", text.len());
            return Err(Refusal::new(IssueType::TooLong, details));
        }
        let tree = Parser::new(text).recursion_limit(MAX_DEPTH).token_limit(MAX_TOKENS).parse();
        let reader = Reader { text, last: Cell::new((0, 1, 1)) };
        if let Some(error) = tree.errors().next() {
            let place = reader.place(error.index());
            if error.is_limit() {
                let details =
                    format!("The query has more than {MAX_TOKENS} tokens or nests deeper than {MAX_DEPTH}.");
                return Err(Refusal::new(IssueType::TooCostly, details).at(place));
            }
            let details = format!("The query is no GraphQL: {}.", error.message());
            return Err(Refusal::new(IssueType::Invalid, details).at(place));
        }
        reader.document(&tree.document())
    }
}

struct Reader<'t> {
    text: &'t str,
    /// The last byte whose place was asked for, and its line and column: nodes come in the order of the text.
    last: Cell<(usize, u32, u32)>,
}

impl Reader<'_> {
    fn place(&self, byte: usize) -> Place {
        let (mut from, mut line, mut column) = self.last.get();
        if from > byte {
            (from, line, column) = (0, 1, 1);
        }
        let until = byte.min(self.text.len());
        for char in self.text.get(from..until).unwrap_or_default().chars() {
            match char {
                '\n' => (line, column) = (line.saturating_add(1), 1),
                _ => column = column.saturating_add(1),
            }
        }
        self.last.set((until, line, column));
        (line, column)
    }

    fn place_of(&self, node: &SyntaxNode) -> Place {
        self.place(u32::from(node.text_range().start()) as usize)
    }

    fn broken(&self, node: &SyntaxNode) -> Refusal {
        Refusal::new(IssueType::Invalid, "The query is no GraphQL: a name or a value is missing.")
            .at(self.place_of(node))
    }

    fn name(&self, name: Option<cst::Name>, within: &SyntaxNode) -> Result<String> {
        Ok(name.ok_or_else(|| self.broken(within))?.text().to_string())
    }

    fn document(&self, document: &cst::Document) -> Result<Document> {
        let mut out = Document::default();
        for definition in document.definitions() {
            let place = self.place_of(definition.syntax());
            match definition {
                cst::Definition::OperationDefinition(found) => out.operations.push(self.operation(&found)?),
                cst::Definition::FragmentDefinition(found) => {
                    let name = found.fragment_name().and_then(|name| name.name());
                    let name = self.name(name, found.syntax())?;
                    let condition = self.condition(found.type_condition(), found.syntax())?;
                    let selections = self.selections(found.selection_set())?;
                    if out.fragments.contains_key(&name) {
                        let details = format!("There are two fragments named {name}.");
                        return Err(Refusal::new(IssueType::Duplicate, details).at(place));
                    }
                    out.fragments.insert(name, Fragment { condition, selections, place });
                }
                other => {
                    let details = format!("A query holds operations and fragments, no {}.", other.kind());
                    return Err(Refusal::new(IssueType::NotSupported, details).at(place));
                }
            }
        }
        Ok(out)
    }

    fn operation(&self, found: &cst::OperationDefinition) -> Result<Operation> {
        let kind = match found.operation_type() {
            Some(kind) if kind.subscription_token().is_some() => {
                let details = "Subscriptions of GraphQL are not offered; use the resource Subscription.";
                return Err(Refusal::new(IssueType::NotSupported, details).at(self.place_of(found.syntax())));
            }
            Some(kind) if kind.mutation_token().is_some() => OperationKind::Mutation,
            _ => OperationKind::Query,
        };
        let variables = found.variable_definitions().into_iter().flat_map(|it| it.variable_definitions());
        Ok(Operation {
            kind,
            name: found.name().map(|name| name.text().to_string()),
            variables: variables.map(|it| self.variable(&it)).collect::<Result<_>>()?,
            selections: self.selections(found.selection_set())?,
        })
    }

    fn variable(&self, found: &cst::VariableDefinition) -> Result<VariableDefinition> {
        let place = self.place_of(found.syntax());
        let name = self.name(found.variable().and_then(|it| it.name()), found.syntax())?;
        let default = found.default_value().and_then(|it| it.value());
        Ok(VariableDefinition {
            name,
            required: matches!(found.ty(), Some(cst::Type::NonNullType(_))),
            default: default.map(|it| self.value(&it)).transpose()?,
            place,
        })
    }

    fn condition(&self, found: Option<cst::TypeCondition>, within: &SyntaxNode) -> Result<String> {
        let name = found.and_then(|it| it.named_type()).and_then(|it| it.name());
        self.name(name, within)
    }

    fn selections(&self, found: Option<cst::SelectionSet>) -> Result<Vec<Selection>> {
        let found = found.into_iter().flat_map(|it| it.selections());
        found.map(|it| self.selection(&it)).collect()
    }

    fn selection(&self, found: &cst::Selection) -> Result<Selection> {
        let place = self.place_of(found.syntax());
        Ok(match found {
            cst::Selection::Field(field) => Selection::Field(self.field(field, place)?),
            cst::Selection::FragmentSpread(spread) => {
                let name = spread.fragment_name().and_then(|it| it.name());
                Selection::Spread {
                    fragment: self.name(name, spread.syntax())?,
                    directives: self.directives(spread.directives())?,
                    place,
                }
            }
            cst::Selection::InlineFragment(inline) => {
                let condition = inline.type_condition();
                let condition = condition.map(|it| self.condition(Some(it), inline.syntax())).transpose()?;
                Selection::Inline {
                    condition,
                    directives: self.directives(inline.directives())?,
                    selections: self.selections(inline.selection_set())?,
                    place,
                }
            }
        })
    }

    fn field(&self, found: &cst::Field, place: Place) -> Result<Field> {
        let alias = found.alias().map(|alias| self.name(alias.name(), found.syntax())).transpose()?;
        Ok(Field {
            alias,
            name: self.name(found.name(), found.syntax())?,
            arguments: self.arguments(found.arguments())?,
            directives: self.directives(found.directives())?,
            selections: self.selections(found.selection_set())?,
            place,
        })
    }

    fn arguments(&self, found: Option<cst::Arguments>) -> Result<Vec<Argument>> {
        let mut out: Vec<Argument> = Vec::new();
        for argument in found.into_iter().flat_map(|it| it.arguments()) {
            let name = self.name(argument.name(), argument.syntax())?;
            let value = argument.value().ok_or_else(|| self.broken(argument.syntax()))?;
            if out.iter().any(|other| other.name == name) {
                let details = format!("The argument {name} may be there once; give it a list for several.");
                let place = self.place_of(argument.syntax());
                return Err(Refusal::new(IssueType::Duplicate, details).at(place));
            }
            out.push(Argument { name, value: self.value(&value)? });
        }
        Ok(out)
    }

    fn directives(&self, found: Option<cst::Directives>) -> Result<Vec<Directive>> {
        let found = found.into_iter().flat_map(|it| it.directives());
        let read = |it: cst::Directive| {
            let place = self.place_of(it.syntax());
            let name = self.name(it.name(), it.syntax())?;
            Ok(Directive { name, arguments: self.arguments(it.arguments())?, place })
        };
        found.map(read).collect()
    }

    fn value(&self, found: &cst::Value) -> Result<Value> {
        Ok(match found {
            cst::Value::Variable(it) => Value::Variable(self.name(it.name(), it.syntax())?),
            cst::Value::StringValue(it) => Value::Text(String::from(it)),
            cst::Value::FloatValue(it) => Value::Number(it.syntax().text().to_string().trim().to_owned()),
            cst::Value::IntValue(it) => Value::Number(it.syntax().text().to_string().trim().to_owned()),
            cst::Value::BooleanValue(it) => Value::Boolean(it.true_token().is_some()),
            cst::Value::NullValue(_) => Value::Null,
            cst::Value::EnumValue(it) => Value::Text(self.name(it.name(), it.syntax())?),
            cst::Value::ListValue(it) => {
                Value::List(it.values().map(|it| self.value(&it)).collect::<Result<_>>()?)
            }
            cst::Value::ObjectValue(it) => {
                let read = |it: cst::ObjectField| {
                    let value = it.value().ok_or_else(|| self.broken(it.syntax()))?;
                    Ok((self.name(it.name(), it.syntax())?, self.value(&value)?))
                };
                Value::Object(it.object_fields().map(read).collect::<Result<_>>()?)
            }
        })
    }
}
