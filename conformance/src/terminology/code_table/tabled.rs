//! Reads a code system that is kept in pieces. Which pieces there are, the header says; they are asked for when a question
//! needs them, and a line of them is parsed when its concept is asked for. Writes nothing.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::super::TerminologyError;
use super::super::code_system::{Concept, Content, Description, Gaps};
use super::{CodeTables, Header, Line};

type Result<T> = std::result::Result<T, TerminologyError>;

/// Most pieces that are held, of one code system: some 20 MB as text.
const MAX_HELD: usize = 256;

/// A code system whose concepts are in a table.
pub(in super::super) struct Tabled {
    tables: Arc<dyn CodeTables>,
    /// The name of the table.
    table: String,
    description: Description,
    concepts: usize,
    first: Vec<Box<str>>,
    /// Pieces that were read, by number.
    held: RwLock<FxHashMap<u32, Arc<Piece>>>,
}

/// Concepts, sorted by code.
struct Piece {
    bytes: Arc<[u8]>,
    rows: Vec<Row>,
}

/// A line of a piece.
struct Row {
    code: Box<str>,
    line: Range<usize>,
    concept: OnceLock<Arc<Concept>>,
}

impl Tabled {
    /// The code system of a URL, when there is a table of it.
    pub(in super::super) fn open(
        tables: &Arc<dyn CodeTables>,
        url: &str,
        version: Option<&str>,
    ) -> Result<Option<Tabled>> {
        let Some(table) = tables.table(url, version)? else { return Ok(None) };
        let bytes = tables.piece(&table, 0)?.ok_or_else(|| broken(url, "its header is missing"))?;
        let header: Header =
            serde_json::from_slice(&bytes).map_err(|error| broken(url, &error.to_string()))?;
        if header.url != url {
            return Err(broken(url, &format!("it is of {}", header.url)));
        }
        let description = Description {
            url: header.url,
            version: header.version,
            name: header.name,
            language: header.language,
            is_complete: true,
            case_sensitive: header.case_sensitive,
            is_a: true,
            properties: header.properties,
        };
        Ok(Some(Tabled {
            tables: tables.clone(),
            table,
            description,
            concepts: header.concepts,
            first: header.first,
            held: RwLock::default(),
        }))
    }

    fn piece(&self, number: u32) -> Result<Arc<Piece>> {
        if let Some(piece) = self.held.read().unwrap_or_else(PoisonError::into_inner).get(&number) {
            return Ok(piece.clone());
        }
        let url = &self.description.url;
        let bytes = self.tables.piece(&self.table, number)?;
        let bytes = bytes.ok_or_else(|| broken(url, &format!("piece {number} is missing")))?;
        let piece = Arc::new(Piece::read(bytes).map_err(|error| broken(url, &error.to_string()))?);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MAX_HELD {
            held.clear();
        }
        held.insert(number, piece.clone());
        Ok(piece)
    }

    fn concept(&self, piece: &Piece, row: &Row) -> Result<Arc<Concept>> {
        if let Some(concept) = row.concept.get() {
            return Ok(concept.clone());
        }
        let line = piece.bytes.get(row.line.clone()).unwrap_or_default();
        let line: Line = serde_json::from_slice(line)
            .map_err(|error| broken(&self.description.url, &error.to_string()))?;
        Ok(row.concept.get_or_init(|| Arc::new(Concept::from(line))).clone())
    }
}

impl Piece {
    fn read(bytes: Arc<[u8]>) -> serde_json::Result<Piece> {
        let (mut rows, mut start) = (Vec::new(), 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let place = start..start + line.len();
            start = place.end;
            if !line.trim_ascii().is_empty() {
                rows.push(Row { code: code(line)?.into(), line: place, concept: OnceLock::new() });
            }
        }
        Ok(Piece { bytes, rows })
    }
}

/// The code of a line. It is the first that a line says, so that the others need not be parsed to find one.
fn code(line: &[u8]) -> serde_json::Result<Cow<'_, str>> {
    let plain = line.strip_prefix(br#"{"c":""#).and_then(|rest| {
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (code, rest) = rest.split_at_checked(end)?;
        let code = std::str::from_utf8(code).ok()?;
        rest.starts_with(b"\"").then_some(Cow::Borrowed(code))
    });
    match plain {
        Some(code) => Ok(code),
        None => Ok(serde_json::from_slice::<Line>(line)?.code.into_string().into()),
    }
}

fn broken(url: &str, why: &str) -> TerminologyError {
    let resource_type = "table of the code system";
    TerminologyError::Definition { resource_type, url: url.to_owned(), why: why.to_owned() }
}

impl Content for Tabled {
    fn description(&self) -> &Description {
        &self.description
    }

    fn find(&self, code: &str) -> Result<Option<Arc<Concept>>> {
        // The piece whose first code is the last one that is not beyond.
        let number = self.first.partition_point(|first| **first <= *code);
        if number == 0 {
            return Ok(None);
        }
        let piece = self.piece(u32::try_from(number).unwrap_or(u32::MAX))?;
        let Ok(at) = piece.rows.binary_search_by(|row| (*row.code).cmp(code)) else { return Ok(None) };
        piece.rows.get(at).map(|row| self.concept(&piece, row)).transpose()
    }

    fn count(&self) -> Option<usize> {
        Some(self.concepts)
    }

    fn each(&self, visit: &mut dyn FnMut(&Arc<Concept>) -> ControlFlow<()>) -> Result<()> {
        let last = u32::try_from(self.first.len()).unwrap_or(u32::MAX);
        let mut gaps = Gaps::default();
        for number in 1..=last {
            let Some(piece) = gaps.pass(self.piece(number).map(Some))? else { continue };
            // Once a piece is missing nobody will see the rest, but the other pieces that are missing must get known.
            for row in piece.rows.iter().filter(|_| gaps.is_empty()) {
                if visit(&self.concept(&piece, row)?).is_break() {
                    return Ok(());
                }
            }
        }
        gaps.end()
    }
}
