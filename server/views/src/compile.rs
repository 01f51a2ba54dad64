//! A ViewDefinition to a view: expressions compiled for the types they are evaluated over, columns numbered. Everything that
//! can be told without a resource is refused here.

use std::sync::Arc;

use fhirpath::expression::{Dialect, Item};
use fhirpath::{Expression, Issue, IssueType, Schema};

use crate::column::Column;
use crate::definition::{Definition, Iteration, Select, Text};

type Result<T, E = Issue> = std::result::Result<T, E>;

/// Where rows of a part of a view come from.
#[derive(Debug)]
pub(crate) struct Part {
    pub source: Source,
    pub cells: Vec<(Expression, Column)>,
    pub parts: Vec<Part>,
    pub union_all: Vec<Part>,
    /// How many columns it has, those of its parts included.
    pub width: usize,
}

#[derive(Debug)]
pub(crate) enum Source {
    Once,
    ForEach(Expression),
    ForEachOrNull(Expression),
    Repeat(Vec<Expression>),
}

pub(crate) struct Compiler<'c> {
    pub schema: &'c Arc<Schema>,
    pub constants: &'c [(String, Item<'static>)],
}

/// The parts of a definition and its conditions.
pub(crate) fn compile(
    schema: &Arc<Schema>,
    definition: &Definition,
) -> Result<(Vec<Part>, Vec<Expression>, Vec<Column>)> {
    if !schema.is_resource(&definition.resource) {
        let shown: String = definition.resource.chars().take(64).collect();
        let details = format!("{shown} is not a resource type of FHIR R4.");
        return Err(Issue::error(IssueType::NotSupported, details).at("ViewDefinition.resource"));
    }
    let compiler = Compiler { schema, constants: &definition.constants };
    let contexts = vec![definition.resource.clone()];
    let conditions = definition.conditions.iter().map(|text| compiler.condition(&contexts, text));
    let conditions = conditions.collect::<Result<_>>()?;
    let mut parts = Vec::new();
    let mut columns: Vec<Column> = Vec::new();
    for select in &definition.selects {
        let (part, more) = compiler.part(&contexts, select)?;
        parts.push(part);
        columns.extend(more);
    }
    for (number, column) in columns.iter().enumerate() {
        if columns.iter().take(number).any(|other| other.name == column.name) {
            let details = format!("There are two columns named {}.", column.name);
            return Err(Issue::error(IssueType::Duplicate, details).at("ViewDefinition.select"));
        }
    }
    if columns.is_empty() {
        let details = "The view has no columns.";
        return Err(Issue::error(IssueType::Required, details).at("ViewDefinition.select"));
    }
    Ok((parts, conditions, columns))
}

impl Compiler<'_> {
    fn expression(&self, contexts: &[String], text: &Text) -> Result<Expression> {
        let contexts: Vec<&str> = contexts.iter().map(String::as_str).collect();
        Expression::compile_with(self.schema, &contexts, &text.text, Dialect::Standard, self.constants)
            .map_err(|error| Issue::from(error).at(&text.at))
    }

    fn condition(&self, contexts: &[String], text: &Text) -> Result<Expression> {
        let expression = self.expression(contexts, text)?;
        let types = expression.result_types();
        let may_be_true = |name: &String| matches!(name.as_str(), "boolean" | "System.Boolean" | "Any");
        if !types.is_empty() && !types.iter().any(may_be_true) {
            let details = format!("A condition is to be true or false; this yields {}.", types.join(", "));
            return Err(Issue::error(IssueType::Value, details).at(&text.at));
        }
        Ok(expression)
    }

    /// What an expression yields, as contexts for what is inside.
    fn contexts(&self, expression: &Expression, text: &Text) -> Result<Vec<String>> {
        let types = expression.result_types();
        if let Some(name) = types.iter().find(|name| name.starts_with("System.")) {
            let details = format!("Rows are made for elements; this yields computed values ({name}).");
            return Err(Issue::error(IssueType::NotSupported, details).at(&text.at));
        }
        // What never yields anything has no rows; its columns are still to be known.
        Ok(if types.is_empty() { vec!["Any".to_owned()] } else { types })
    }

    fn part(&self, contexts: &[String], select: &Select) -> Result<(Part, Vec<Column>)> {
        let (source, inner) = self.source(contexts, &select.each)?;
        let mut columns = Vec::new();
        let mut cells = Vec::new();
        for definition in &select.columns {
            let expression = self.expression(&inner, &definition.path)?;
            let column = Column::new(self.schema, definition, &expression)?;
            columns.push(column.clone());
            cells.push((expression, column));
        }
        let mut parts = Vec::new();
        for select in &select.selects {
            let (part, more) = self.part(&inner, select)?;
            parts.push(part);
            columns.extend(more);
        }
        let (union_all, more) = self.union_all(&inner, select)?;
        columns.extend(more);
        Ok((Part { source, cells, parts, union_all, width: columns.len() }, columns))
    }

    fn union_all(&self, contexts: &[String], select: &Select) -> Result<(Vec<Part>, Vec<Column>)> {
        let mut parts = Vec::new();
        let mut columns: Option<Vec<Column>> = None;
        for branch in &select.union_all {
            let (part, more) = self.part(contexts, branch)?;
            let known = columns.get_or_insert_with(|| more.clone());
            let same = |(one, other): (&Column, &Column)| {
                (&one.name, one.kind, one.collection) == (&other.name, other.kind, other.collection)
            };
            if known.len() != more.len() || !known.iter().zip(&more).all(same) {
                let details =
                    "The branches of unionAll are to have the same columns: names, order and types.";
                return Err(Issue::error(IssueType::Invariant, details).at(&branch.at));
            }
            parts.push(part);
        }
        Ok((parts, columns.unwrap_or_default()))
    }

    fn source(&self, contexts: &[String], each: &Iteration) -> Result<(Source, Vec<String>)> {
        Ok(match each {
            Iteration::Once => (Source::Once, contexts.to_vec()),
            Iteration::ForEach(text) => {
                let expression = self.expression(contexts, text)?;
                let inner = self.contexts(&expression, text)?;
                (Source::ForEach(expression), inner)
            }
            Iteration::ForEachOrNull(text) => {
                let expression = self.expression(contexts, text)?;
                let inner = self.contexts(&expression, text)?;
                (Source::ForEachOrNull(expression), inner)
            }
            Iteration::Repeat(texts) => self.repeat(contexts, texts)?,
        })
    }

    /// The paths of `repeat` apply to what they yield themselves, so they are compiled for that too. A path that what is
    /// outside does not have may still be one of what is inside.
    fn repeat(&self, contexts: &[String], texts: &[Text]) -> Result<(Source, Vec<String>)> {
        let mut reached: Vec<String> = Vec::new();
        loop {
            let mut inputs = contexts.to_vec();
            inputs.extend(reached.iter().filter(|name| !contexts.contains(name)).cloned());
            let compiled: Vec<_> = texts.iter().map(|text| (text, self.expression(&inputs, text))).collect();
            let mut grown = reached.clone();
            for (text, expression) in &compiled {
                let Ok(expression) = expression else { continue };
                let found = self.contexts(expression, text)?;
                grown.extend(found.into_iter().filter(|name| !reached.contains(name)));
            }
            grown.sort_unstable();
            grown.dedup();
            if grown.iter().any(|name| name == "Any") {
                grown = vec!["Any".to_owned()];
            }
            if grown == reached {
                let expressions = compiled.into_iter().map(|(_, expression)| expression);
                return Ok((Source::Repeat(expressions.collect::<Result<_>>()?), reached));
            }
            reached = grown;
        }
    }
}
