//! The values of rows.

use std::borrow::Cow;

use fhirpath::Element;
use fhirpath::expression::{Item, System};
use smallvec::SmallVec;

use crate::column::Kind;

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'t> {
    /// Nothing.
    Null,
    /// `true`, `false`
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A decimal number, with the digits it has.
    Decimal(Cow<'t, str>),
    /// A text.
    Text(Cow<'t, str>),
    /// JSON of a complex element.
    Json(Vec<u8>),
    /// The values of a collection.
    List(Vec<Cell<'t>>),
}

impl Cell<'_> {
    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Cell::Null | Cell::Boolean(_) | Cell::Integer(_) => 8,
            Cell::Decimal(text) | Cell::Text(text) => 8 + text.len(),
            Cell::Json(json) => 8 + json.len(),
            Cell::List(cells) => 8 + cells.iter().map(Cell::bytes).sum::<usize>(),
        }
    }
}

/// A row; most views have few columns.
pub type Row<'t> = SmallVec<[Cell<'t>; 8]>;

/// Why an item is no value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    /// It is of another kind.
    #[error("a value is of another type")]
    Kind,
    /// A complex element.
    #[error("a value is a complex element")]
    Complex,
}

/// An item as a value of a kind.
pub(crate) fn cell<'t>(item: Item<'t>, kind: Kind) -> Result<Cell<'t>, Mismatch> {
    let found = match item {
        Item::Element(element) => return of_element(element, kind),
        Item::Boolean(value) => Cell::Boolean(value),
        Item::Integer(value) => Cell::Integer(value),
        Item::Decimal(value) => Cell::Decimal(value.to_string().into()),
        Item::String(text) => Cell::Text(text),
        Item::Date(value) => Cell::Text(value.to_string().into()),
        Item::DateTime(value) => Cell::Text(value.to_string().into()),
        Item::Time(value) => Cell::Text(value.to_string().into()),
        Item::Quantity(value) => Cell::Text(value.to_string().into()),
        Item::TypeInfo(value) => Cell::Text(format!("{}.{}", value.namespace, value.name).into()),
    };
    as_kind(found, kind)
}

fn of_element(element: Element<'_>, kind: Kind) -> Result<Cell<'_>, Mismatch> {
    let Some(primitive) = element.tree().schema().primitive(element.type_id()) else {
        if kind != Kind::Json {
            return Err(Mismatch::Complex);
        }
        let mut json = Vec::new();
        element.write_json(&mut json);
        return Ok(Cell::Json(json));
    };
    let Some(text) = element.value() else { return Ok(Cell::Null) };
    let found = match System::of(primitive) {
        System::Boolean => Cell::Boolean(text == "true"),
        System::Integer => text.parse().map_or(Cell::Text(text), Cell::Integer),
        System::Decimal => Cell::Decimal(text),
        _ => Cell::Text(text),
    };
    as_kind(found, kind)
}

fn as_kind(found: Cell<'_>, kind: Kind) -> Result<Cell<'_>, Mismatch> {
    Ok(match (kind, found) {
        (Kind::Boolean, found @ Cell::Boolean(_))
        | (Kind::Integer, found @ Cell::Integer(_))
        | (Kind::Decimal, found @ Cell::Decimal(_))
        | (Kind::Text, found @ Cell::Text(_)) => found,
        (Kind::Decimal, Cell::Integer(value)) => Cell::Decimal(value.to_string().into()),
        (Kind::Integer, Cell::Decimal(text)) => {
            let whole = text.split_once('.').map_or(text.as_ref(), |(whole, rest)| {
                if rest.bytes().all(|digit| digit == b'0') { whole } else { "" }
            });
            Cell::Integer(whole.parse().map_err(|_| Mismatch::Kind)?)
        }
        (Kind::Text, Cell::Boolean(value)) => Cell::Text(value.to_string().into()),
        (Kind::Text, Cell::Integer(value)) => Cell::Text(value.to_string().into()),
        (Kind::Text, Cell::Decimal(text)) => Cell::Text(text),
        _ => return Err(Mismatch::Kind),
    })
}
