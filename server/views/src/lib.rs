//! SQL on FHIR v2 (<https://build.fhir.org/ig/FHIR/sql-on-fhir-v2/>): a ViewDefinition is compiled once, then makes rows out of
//! each resource, written as NDJSON, JSON, CSV or Parquet. Reads nothing but the resource at hand.
//!
//! `ViewDefinition` is no resource type of R4: a view is read as JSON, and can be sent to an operation but not stored.
//! Contained resources are not made rows of.

mod column;
mod compile;
mod definition;
mod rows;
mod value;
pub mod write;

use std::sync::Arc;

use fhirpath::expression::Environment;
use fhirpath::{Expression, Issue, IssueType, Schema, Tree};
use serde_json::Value;

use crate::compile::Part;
use crate::definition::Definition;
use crate::rows::Maker;

pub use column::{Column, Kind};
pub use definition::{MAX_DEPTH, MAX_PARTS};
pub use rows::{MAX_CELLS, MAX_REPEATED, MAX_ROWS};
pub use value::{Cell, Row};

/// A compiled ViewDefinition. Cheap to share, not to make.
#[derive(Debug)]
pub struct View {
    name: Option<String>,
    resource: String,
    conditions: Vec<Expression>,
    parts: Vec<Part>,
    columns: Vec<Column>,
}

impl View {
    /// Compiles a ViewDefinition.
    ///
    /// # Errors
    /// What is missing, unknown or of the wrong type, an expression that does not compile, columns that are not unique or not
    /// alike in a union: the first found, with where it stands (`ViewDefinition.select[0].column[1].path`).
    pub fn compile(schema: &Arc<Schema>, definition: &Value) -> Result<View, Issue> {
        let definition = Definition::read(definition)?;
        let (parts, conditions, columns) = compile::compile(schema, &definition)?;
        Ok(View { name: definition.name, resource: definition.resource, conditions, parts, columns })
    }

    /// The same for the text of one.
    ///
    /// # Errors
    /// As [`View::compile`], and no JSON.
    pub fn parse(schema: &Arc<Schema>, text: &[u8]) -> Result<View, Issue> {
        let json = serde_json::from_slice(text).map_err(|error| {
            let place = (u32::try_from(error.line()).ok(), u32::try_from(error.column()).ok());
            let issue = Issue::error(IssueType::Invalid, "The ViewDefinition is no JSON.");
            match place {
                (Some(line), Some(column)) => issue.line(line, column),
                _ => issue,
            }
        })?;
        View::compile(schema, &json)
    }

    /// Its name, for a table's.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The resource type that it is about.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Its columns, in the order of its rows' values.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows of a resource; none for one of another type or one that a condition leaves out.
    ///
    /// # Errors
    /// A value that its column cannot hold, several for one, or a bound exceeded ([`MAX_ROWS`], FHIRPath's steps).
    pub fn rows<'t>(&self, resource: &'t Tree, environment: &Environment<'t>) -> Result<Vec<Row<'t>>, Issue> {
        if resource.resource_type() != self.resource {
            return Ok(Vec::new());
        }
        let mut maker = Maker { environment, steps: 0 };
        for condition in &self.conditions {
            if !maker.passes(condition, resource.root())? {
                return Ok(Vec::new());
            }
        }
        maker.joined(&self.parts, resource.root())
    }
}
