//! Rows out of a resource (<https://build.fhir.org/ig/FHIR/sql-on-fhir-v2/processing_model.html>).

use fhirpath::expression::{Environment, Item};
use fhirpath::{Element, Expression, Issue, IssueType};

use crate::column::Column;
use crate::compile::{Part, Source};
use crate::value::{Cell, Row, cell};

type Result<T, E = Issue> = std::result::Result<T, E>;

/// Most rows of one resource.
pub const MAX_ROWS: usize = 100_000;
/// Most cells of the rows of one resource.
pub const MAX_CELLS: usize = 2_000_000;
/// Most elements that one `repeat` goes through.
pub const MAX_REPEATED: usize = 100_000;

/// The evaluation of a view over one resource.
pub(crate) struct Maker<'e, 't> {
    pub environment: &'e Environment<'t>,
    /// Of FHIRPath, all expressions together.
    pub steps: u64,
}

impl<'t> Maker<'_, 't> {
    fn evaluate(&mut self, expression: &Expression, element: Element<'t>) -> Result<Vec<Item<'t>>> {
        let mut found = Vec::new();
        expression.evaluate_after(element, self.environment, &mut self.steps, &mut found)?;
        Ok(found)
    }

    /// Whether a condition is true.
    pub fn passes(&mut self, condition: &Expression, element: Element<'t>) -> Result<bool> {
        let found = self.evaluate(condition, element)?;
        match found.as_slice() {
            [] => Ok(false),
            [Item::Boolean(value)] => Ok(*value),
            [Item::Element(element)] if element.type_name() == "boolean" => {
                Ok(element.value().is_some_and(|value| value == "true"))
            }
            _ => {
                let details = "A condition of the view yields something other than true or false.";
                Err(Issue::error(IssueType::Processing, details).at("ViewDefinition.where"))
            }
        }
    }

    /// The rows of all parts together: each of one with each of the others.
    pub fn joined(&mut self, parts: &[Part], element: Element<'t>) -> Result<Vec<Row<'t>>> {
        let mut rows: Vec<Row<'t>> = vec![Row::new()];
        for part in parts {
            let more = self.rows(part, element)?;
            rows = join(rows, more)?;
        }
        Ok(rows)
    }

    fn rows(&mut self, part: &Part, element: Element<'t>) -> Result<Vec<Row<'t>>> {
        let found = match &part.source {
            Source::Once => return self.of_one(part, element),
            Source::ForEach(expression) | Source::ForEachOrNull(expression) => {
                elements(self.evaluate(expression, element)?)?
            }
            Source::Repeat(expressions) => self.repeated(expressions, element)?,
        };
        if found.is_empty() && matches!(part.source, Source::ForEachOrNull(_)) {
            return Ok(vec![std::iter::repeat_n(Cell::Null, part.width).collect()]);
        }
        let mut rows = Vec::new();
        for element in found {
            rows.extend(self.of_one(part, element)?);
            bounded(&rows)?;
        }
        Ok(rows)
    }

    fn of_one(&mut self, part: &Part, element: Element<'t>) -> Result<Vec<Row<'t>>> {
        let mut row = Row::new();
        for (expression, column) in &part.cells {
            row.push(self.value(expression, column, element)?);
        }
        let mut rows = vec![row];
        for inner in &part.parts {
            let more = self.rows(inner, element)?;
            rows = join(rows, more)?;
        }
        if part.union_all.is_empty() {
            return Ok(rows);
        }
        let mut all = Vec::new();
        for branch in &part.union_all {
            all.extend(self.rows(branch, element)?);
            bounded(&all)?;
        }
        join(rows, all)
    }

    /// What paths reach, and what they reach from there, each after what it is reached from.
    fn repeated(&mut self, expressions: &[Expression], element: Element<'t>) -> Result<Vec<Element<'t>>> {
        let mut out = Vec::new();
        let mut pending = vec![element];
        let mut is_start = true;
        while let Some(element) = pending.pop() {
            if !std::mem::replace(&mut is_start, false) {
                out.push(element);
            }
            let mut found = Vec::new();
            for expression in expressions {
                found.extend(elements(self.evaluate(expression, element)?)?);
            }
            pending.extend(found.into_iter().rev());
            if out.len() + pending.len() > MAX_REPEATED {
                let details = format!("repeat goes through more than {MAX_REPEATED} elements.");
                return Err(Issue::error(IssueType::TooCostly, details));
            }
        }
        Ok(out)
    }

    fn value(&mut self, expression: &Expression, column: &Column, element: Element<'t>) -> Result<Cell<'t>> {
        let mut found = self.evaluate(expression, element)?;
        let refuse = |details: String| Err(Issue::error(IssueType::Processing, details));
        let wrong = |mismatch| {
            let details = format!("The column {} cannot hold what its path yields: {mismatch}.", column.name);
            Issue::error(IssueType::Value, details)
        };
        if column.collection {
            let cells = found.into_iter().map(|item| cell(item, column.kind).map_err(wrong));
            return Ok(Cell::List(cells.collect::<Result<_>>()?));
        }
        match (found.pop(), found.is_empty()) {
            (None, _) => Ok(Cell::Null),
            (Some(item), true) => cell(item, column.kind).map_err(wrong),
            (Some(_), false) => refuse(format!(
                "The column {} has several values; declare it a collection, or take one.",
                column.name
            )),
        }
    }
}

fn elements(items: Vec<Item<'_>>) -> Result<Vec<Element<'_>>> {
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let Item::Element(found) = item else {
            let details = "Rows are made for elements, and a path yields a computed value.";
            return Err(Issue::error(IssueType::NotSupported, details));
        };
        out.push(found);
    }
    Ok(out)
}

/// Each row with each of the others.
fn join<'t>(rows: Vec<Row<'t>>, more: Vec<Row<'t>>) -> Result<Vec<Row<'t>>> {
    if let ([_], [_]) = (rows.as_slice(), more.as_slice()) {
        let both = rows.into_iter().zip(more);
        return Ok(both
            .map(|(mut row, more)| {
                row.extend(more);
                row
            })
            .collect());
    }
    if rows.len().saturating_mul(more.len()) > MAX_ROWS {
        return Err(too_many());
    }
    let mut out: Vec<Row<'t>> = Vec::with_capacity(rows.len() * more.len());
    for row in &rows {
        for other in &more {
            out.push(row.iter().chain(other).cloned().collect());
        }
        bounded(&out)?;
    }
    Ok(out)
}

fn bounded(rows: &[Row<'_>]) -> Result<()> {
    let width = rows.first().map_or(0, |row| row.len());
    match rows.len() > MAX_ROWS || rows.len().saturating_mul(width) > MAX_CELLS {
        true => Err(too_many()),
        false => Ok(()),
    }
}

fn too_many() -> Issue {
    let details = format!("The view makes more than {MAX_ROWS} rows or {MAX_CELLS} values of one resource.");
    Issue::error(IssueType::TooCostly, details)
}
