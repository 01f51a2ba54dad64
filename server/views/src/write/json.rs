//! A row as a JSON object.

use fhirpath::tree::write_string;

use crate::column::Column;
use crate::value::{Cell, Row};

pub(super) fn object(columns: &[Column], row: &Row<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (number, (column, cell)) in columns.iter().zip(row).enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_string(out, &column.name);
        out.push(b':');
        value(cell, out);
    }
    out.push(b'}');
}

pub(super) fn value(cell: &Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Cell::Integer(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Cell::Decimal(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Text(text) => write_string(out, text),
        Cell::Json(json) => out.extend_from_slice(json),
        Cell::List(cells) => {
            out.push(b'[');
            for (number, cell) in cells.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                value(cell, out);
            }
            out.push(b']');
        }
    }
}
