//! A row as a line of CSV (RFC 4180). Nothing is an empty field; a list or an element is its JSON.

use crate::column::Column;
use crate::value::{Cell, Row};

pub(super) fn header(columns: &[Column], out: &mut Vec<u8>) {
    for (number, column) in columns.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(column.name.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

pub(super) fn line(row: &Row<'_>, out: &mut Vec<u8>) {
    for (number, cell) in row.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        match cell {
            Cell::Null => {}
            // An empty text is quoted, so that it is not nothing.
            Cell::Text(text) => field(text.as_bytes(), text.is_empty(), out),
            other => {
                let mut json = Vec::new();
                super::json::value(other, &mut json);
                field(&json, false, out);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn field(bytes: &[u8], always: bool, out: &mut Vec<u8>) {
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    if !always && !bytes.iter().any(special) {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    for &byte in bytes {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
