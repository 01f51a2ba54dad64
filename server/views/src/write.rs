//! Rows to bytes: NDJSON and JSON (<https://ndjson.org>), CSV (RFC 4180) and Parquet. Writes to memory what it is handed;
//! where that goes is the caller's.

mod csv;
mod json;
mod parquet;

use fhirpath::{Issue, IssueType};

use crate::column::Column;
use crate::value::Row;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An object a line.
    Ndjson,
    /// A list of objects.
    Json,
    /// Values between commas, with a line of names first.
    Csv,
    /// The same without that line.
    CsvWithoutHeader,
    /// Columns, not compressed.
    Parquet,
}

impl Format {
    /// The format of a code or media type.
    pub fn from_code(code: &str) -> Option<Format> {
        Some(match code {
            "ndjson" | "application/ndjson" | "application/x-ndjson" | "application/fhir+ndjson" => {
                Format::Ndjson
            }
            "json" | "application/json" => Format::Json,
            "csv" | "text/csv" => Format::Csv,
            "parquet" | "application/vnd.apache.parquet" => Format::Parquet,
            _ => return None,
        })
    }

    /// The media type of what is written.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Ndjson => "application/x-ndjson",
            Format::Json => "application/json",
            Format::Csv | Format::CsvWithoutHeader => "text/csv; charset=utf-8",
            Format::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Writes the rows of one view. What is written can be taken away at any time; the last comes with [`Writer::finish`].
pub struct Writer<'v> {
    columns: &'v [Column],
    out: Vec<u8>,
    format: Format,
    rows: u64,
    table: Option<parquet::Table>,
}

impl<'v> Writer<'v> {
    /// A writer for rows with these columns.
    ///
    /// # Errors
    /// Columns that Parquet cannot have.
    pub fn new(columns: &'v [Column], format: Format) -> Result<Writer<'v>, Issue> {
        let mut out = Vec::new();
        let mut table = None;
        match format {
            Format::Csv => csv::header(columns, &mut out),
            Format::Json => out.push(b'['),
            Format::Parquet => table = Some(parquet::Table::new(columns).map_err(|error| broken(&error))?),
            Format::Ndjson | Format::CsvWithoutHeader => {}
        }
        Ok(Writer { columns, out, format, rows: 0, table })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Parquet cannot be written.
    pub fn row(&mut self, row: &Row<'_>) -> Result<(), Issue> {
        match self.format {
            Format::Ndjson => {
                json::object(self.columns, row, &mut self.out);
                self.out.push(b'\n');
            }
            Format::Json => {
                if self.rows > 0 {
                    self.out.push(b',');
                }
                json::object(self.columns, row, &mut self.out);
            }
            Format::Csv | Format::CsvWithoutHeader => csv::line(row, &mut self.out),
            Format::Parquet => {
                if let Some(table) = &mut self.table {
                    table.row(row).map_err(|error| broken(&error))?;
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// How many rows there are so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// About how many bytes are held that cannot be taken yet.
    pub fn held(&self) -> usize {
        self.out.len() + self.table.as_ref().map_or(0, parquet::Table::held)
    }

    /// What was written since the last time; of Parquet nothing before the end.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// What was written since the last time, to the end.
    ///
    /// # Errors
    /// Parquet cannot be written.
    pub fn finish(mut self) -> Result<Vec<u8>, Issue> {
        if self.format == Format::Json {
            self.out.push(b']');
        }
        if let Some(table) = self.table.take() {
            self.out = table.finish().map_err(|error| broken(&error))?;
        }
        Ok(self.out)
    }
}

fn broken(error: &dyn std::fmt::Display) -> Issue {
    Issue::error(IssueType::Exception, format!("Parquet cannot be written: {error}."))
}
