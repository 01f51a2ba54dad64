//! Columns: what kind of values each has (<https://build.fhir.org/ig/FHIR/sql-on-fhir-v2/StructureDefinition-ViewDefinition.html#column-types>),
//! declared or told by its expression.

use fhirpath::expression::System;
use fhirpath::primitive::JsonType;
use fhirpath::{Expression, Issue, IssueType, Schema};

use crate::definition::ColumnDefinition;

/// A column of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The FHIR type that the view declares, without the URL before it.
    pub declared: Option<String>,
    /// How its values are written.
    pub kind: Kind,
    /// Whether it has a list of values.
    pub collection: bool,
    /// What the view says of it to others (`ansi/type`): names and values.
    pub tags: Vec<(String, String)>,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true`, `false`
    Boolean,
    /// A whole number.
    Integer,
    /// A decimal number, with the digits it has.
    Decimal,
    /// A text: dates and times too.
    Text,
    /// JSON of a complex element.
    Json,
}

impl Column {
    /// The column of a definition.
    pub(crate) fn new(
        schema: &Schema,
        definition: &ColumnDefinition,
        expression: &Expression,
    ) -> Result<Column, Issue> {
        let told = told(schema, expression);
        let declared = definition.kind.as_deref().map(|kind| {
            kind.strip_prefix("http://hl7.org/fhir/StructureDefinition/").unwrap_or(kind).to_owned()
        });
        let refuse =
            |code, details: String| Err(Issue::error(code, details).at(format!("{}.type", definition.at)));
        let kind = match &declared {
            None => told.unwrap_or(Kind::Text),
            Some(name) => match declared_kind(schema, name) {
                Some(kind) if told.is_none_or(|told| fits(told, kind)) => kind,
                Some(_) => {
                    let types = expression.result_types().join(", ");
                    let details = format!("The column is declared {name}, but its path yields {types}.");
                    return refuse(IssueType::Value, details);
                }
                None => {
                    let shown: String = name.chars().take(64).collect();
                    return refuse(IssueType::NotSupported, format!("There is no type {shown} in FHIR R4."));
                }
            },
        };
        if kind == Kind::Json && declared.is_none() {
            let details = "The path yields a complex element; a column of such has to declare its type.";
            return refuse(IssueType::Required, details.to_owned());
        }
        let (name, collection) = (definition.name.clone(), definition.collection);
        Ok(Column { name, declared, kind, collection, tags: definition.tags.clone() })
    }
}

/// Whether values of the kind that an expression tells can be written as the declared one.
fn fits(told: Kind, declared: Kind) -> bool {
    told == declared
        || matches!((told, declared), (Kind::Integer, Kind::Decimal) | (Kind::Decimal, Kind::Integer))
        || declared == Kind::Text && told != Kind::Json
}

fn declared_kind(schema: &Schema, name: &str) -> Option<Kind> {
    // R5's, which ViewDefinitions may name.
    if name == "integer64" {
        return Some(Kind::Integer);
    }
    let id = schema.type_id(name)?;
    Some(match schema.primitive(id) {
        None => Kind::Json,
        Some(primitive) => match (primitive.json_type(), System::of(primitive)) {
            (JsonType::Boolean, _) => Kind::Boolean,
            (JsonType::Number, System::Integer) => Kind::Integer,
            (JsonType::Number, _) => Kind::Decimal,
            (JsonType::String, _) => Kind::Text,
        },
    })
}

/// The kind of what an expression yields, where all of it is of one.
fn told(schema: &Schema, expression: &Expression) -> Option<Kind> {
    let mut kinds = expression.result_types().into_iter().map(|name| match name.as_str() {
        "Any" => None,
        "System.Boolean" => Some(Kind::Boolean),
        "System.Integer" => Some(Kind::Integer),
        "System.Decimal" => Some(Kind::Decimal),
        name if name.starts_with("System.") => Some(Kind::Text),
        name => declared_kind(schema, name),
    });
    let first = kinds.next()??;
    kinds.all(|kind| kind == Some(first)).then_some(first)
}
