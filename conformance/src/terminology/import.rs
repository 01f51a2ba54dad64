//! Importers: the files that publishers of large code systems hand out become a [`CodeTable`](super::CodeTable). One module for each
//! publisher's format; each reads line by line and refuses, with file and line, what is not in the format.

mod icd10cm;
mod loinc;
mod release;
mod rxnorm;
mod snomed;

use std::io::{self, BufRead};

pub use icd10cm::icd10cm;
pub use loinc::{LoincFiles, loinc};
pub use release::Release;
pub use rxnorm::{RxNormFiles, rxnorm};
pub use snomed::{SnomedFiles, snomed};

use super::code_system::Description;
use super::model::{Designation, Property, PropertyDefinition};

/// Longest line, bytes.
const MAX_LINE: usize = 1 << 20;

/// Why a code system cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error("{file}: {cause}")]
    Io {
        /// Which.
        file: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// A line is not what the format says.
    #[error("{file}, line {line}: {why}")]
    Line {
        /// The file.
        file: &'static str,
        /// 1-based.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A file that is needed is not in the folder.
    #[error("there is no {0} in the folder")]
    Missing(&'static str),
    /// Several files have the name of one.
    #[error("there are several {0} in the folder")]
    Several(&'static str),
    /// More concepts than a table takes, or files than a release has.
    #[error("more than {0} concepts or files")]
    TooMany(usize),
}

/// The lines of a file.
struct Lines<R> {
    file: &'static str,
    reader: R,
    number: usize,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn new(file: &'static str, reader: R) -> Lines<R> {
        Lines { file, reader, number: 0, buffer: Vec::new() }
    }

    fn wrong(&self, why: impl Into<String>) -> ImportError {
        ImportError::Line { file: self.file, line: self.number, why: why.into() }
    }

    /// The next line without its end, and without a mark of byte order; `None` at the end.
    fn next(&mut self) -> Result<Option<String>, ImportError> {
        self.buffer.clear();
        self.number += 1;
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        let read = io::Read::take(&mut self.reader, limit).read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|cause| ImportError::Io { file: self.file, cause })?;
        if read == 0 {
            return Ok(None);
        }
        if read >= MAX_LINE {
            return Err(self.wrong(format!("longer than {MAX_LINE} bytes")));
        }
        let text = std::str::from_utf8(&self.buffer).map_err(|_| self.wrong("is not UTF-8"))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).trim_start_matches('\u{feff}').to_owned()))
    }
}

/// Rows of a file whose first line names the columns.
struct Rows<R> {
    lines: Lines<R>,
    split: fn(&mut Lines<R>, String) -> Result<Vec<String>, ImportError>,
    /// How many columns there are.
    width: usize,
    /// Where the columns that are asked for stand.
    places: Vec<Option<usize>>,
}

impl<R: BufRead> Rows<R> {
    /// `needed` must be there; `wanted` may.
    fn new(
        file: &'static str,
        reader: R,
        split: fn(&mut Lines<R>, String) -> Result<Vec<String>, ImportError>,
        needed: &[&str],
        wanted: &[&str],
    ) -> Result<Rows<R>, ImportError> {
        let mut lines = Lines::new(file, reader);
        let head = lines.next()?.ok_or_else(|| lines.wrong("the file is empty"))?;
        let names = split(&mut lines, head)?;
        let place = |name: &str| names.iter().position(|it| it.eq_ignore_ascii_case(name));
        for name in needed {
            if place(name).is_none() {
                return Err(lines.wrong(format!("there is no column {name}")));
            }
        }
        let places = needed.iter().chain(wanted).map(|name| place(name)).collect();
        Ok(Rows { width: names.len(), lines, split, places })
    }

    /// The columns that were asked for, in the order of asking; those that are not there are empty.
    fn next(&mut self) -> Result<Option<Vec<String>>, ImportError> {
        loop {
            let Some(line) = self.lines.next()? else { return Ok(None) };
            if line.is_empty() {
                continue;
            }
            let row = (self.split)(&mut self.lines, line)?;
            if row.len() != self.width {
                return Err(self.lines.wrong(format!("has {} columns, not {}", row.len(), self.width)));
            }
            let value = |place: &Option<usize>| place.and_then(|at| row.get(at)).cloned().unwrap_or_default();
            return Ok(Some(self.places.iter().map(value).collect()));
        }
    }
}

/// The values of a row of `N` columns.
fn columns<const N: usize>(row: Vec<String>) -> [String; N] {
    let mut row = row.into_iter();
    std::array::from_fn(|_| row.next().unwrap_or_default())
}

fn tabs<R>(_: &mut Lines<R>, line: String) -> Result<Vec<String>, ImportError> {
    Ok(line.split('\t').map(str::to_owned).collect())
}

fn description(url: &str, version: &str, name: &str, properties: &[(&str, &str)]) -> Description {
    let property = |(code, kind): &(&str, &str)| PropertyDefinition {
        code: (*code).to_owned(),
        kind: (*kind).to_owned(),
        ..PropertyDefinition::default()
    };
    Description {
        url: url.to_owned(),
        version: Some(version.to_owned()),
        name: Some(name.to_owned()),
        language: Some("en".to_owned()),
        is_complete: true,
        case_sensitive: true,
        is_a: true,
        properties: properties.iter().map(property).collect(),
    }
}

fn text_property(code: &str, value: &str) -> Option<Property> {
    let value = (!value.is_empty()).then(|| value.to_owned())?;
    Some(Property { code: code.to_owned(), value_string: Some(value), ..Property::default() })
}

fn code_property(code: &str, value: &str) -> Property {
    Property { code: code.to_owned(), value_code: Some(value.to_owned()), ..Property::default() }
}

fn boolean_property(code: &str, value: bool) -> Property {
    Property { code: code.to_owned(), value_boolean: Some(value), ..Property::default() }
}

fn designation(language: &str, value: &str) -> Designation {
    Designation { language: Some(language.to_owned()), usage: None, value: value.to_owned() }
}

#[cfg(test)]
mod tests;
