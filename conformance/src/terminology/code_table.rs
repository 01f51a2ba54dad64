//! A large code system in pieces: what importers make, what the server keeps wherever it keeps bytes, and what is read
//! again a piece at a time.
//!
//! Here it is made; [`Tabled`](tabled::Tabled) reads it.
//!
//! Piece 0 is the header: what is said of the code system, and the first code of each other piece. The others hold
//! concepts sorted by code, a line of JSON each. A piece is about [`PIECE_BYTES`] long, so that it fits into an item of any
//! store, and a question about a code reads the header and one piece.

pub(super) mod tabled;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::code_system::{Concept, Description};
use super::import::ImportError;
use super::model::{Designation, Property, PropertyDefinition};
use crate::resources::Unavailable;

/// About how long a piece is, bytes.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Most concepts of a code system.
const MAX_CONCEPTS: usize = 5_000_000;

/// Where the server keeps tables of code systems.
pub trait CodeTables: Send + Sync {
    /// The name of the table of a code system; without a version, of the latest. `None`: there is none. A name stands for
    /// the same pieces for ever.
    ///
    /// # Errors
    /// The store cannot be read.
    fn table(&self, url: &str, version: Option<&str>) -> std::result::Result<Option<String>, Unavailable>;

    /// A piece of a table. `None`: it is not there.
    ///
    /// # Errors
    /// The store cannot be read, or not yet: then the same question is asked again. Until it fails for this, the rest of
    /// it goes on, so that all pieces that it needs get known.
    fn piece(&self, table: &str, number: u32) -> std::result::Result<Option<Arc<[u8]>>, Unavailable>;

    /// A number that changes whenever a table is put or removed.
    fn generation(&self) -> u64;
}

/// Piece 0.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    url: String,
    version: Option<String>,
    name: Option<String>,
    language: Option<String>,
    case_sensitive: bool,
    properties: Vec<PropertyDefinition>,
    concepts: usize,
    /// The first code of pieces 1, 2, ..
    first: Vec<Box<str>>,
}

/// A line of another piece: a concept, without what it doesn't have.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(rename = "c")]
    code: Box<str>,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    display: Option<Box<str>>,
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    definition: Option<Box<str>>,
    #[serde(rename = "n", default, skip_serializing_if = "Vec::is_empty")]
    designations: Vec<Designation>,
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    parents: Vec<Box<str>>,
    #[serde(rename = "b", default, skip_serializing_if = "Vec::is_empty")]
    children: Vec<Box<str>>,
    #[serde(rename = "h", default, skip_serializing_if = "std::ops::Not::not")]
    is_abstract: bool,
    #[serde(rename = "i", default, skip_serializing_if = "std::ops::Not::not")]
    inactive: bool,
}

/// Concepts on their way into a table. Held in memory: some hundred megabytes for SNOMED CT.
pub struct CodeTable {
    description: Description,
    concepts: Vec<Concept>,
    index: FxHashMap<Box<str>, usize>,
}

impl CodeTable {
    /// An empty table.
    pub fn new(description: Description) -> CodeTable {
        CodeTable { description, concepts: Vec::new(), index: FxHashMap::default() }
    }

    /// What is said of the code system.
    pub fn description(&self) -> &Description {
        &self.description
    }

    pub(super) fn description_mut(&mut self) -> &mut Description {
        &mut self.description
    }

    /// How many concepts there are.
    pub fn len(&self) -> usize {
        self.concepts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.concepts.is_empty()
    }

    /// The concept of a code; a new one when there is none yet.
    pub(super) fn concept(&mut self, code: &str) -> std::result::Result<&mut Concept, ImportError> {
        let at = match self.index.get(code) {
            Some(at) => *at,
            None if self.concepts.len() >= MAX_CONCEPTS => return Err(ImportError::TooMany(MAX_CONCEPTS)),
            None => {
                let at = self.concepts.len();
                self.concepts.push(Concept { code: code.into(), ..Concept::default() });
                self.index.insert(code.into(), at);
                at
            }
        };
        self.concepts.get_mut(at).ok_or(ImportError::TooMany(MAX_CONCEPTS))
    }

    /// The concept of a code that is there.
    pub(super) fn known(&mut self, code: &str) -> Option<&mut Concept> {
        let at = *self.index.get(code)?;
        self.concepts.get_mut(at)
    }

    /// Hands out the pieces in the order in which they must be put: the header last, so that nobody sees a half table.
    ///
    /// # Errors
    /// Whatever `put` returns.
    pub fn write<E: From<serde_json::Error>>(
        mut self,
        mut put: impl FnMut(u32, Vec<u8>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.link();
        self.concepts.sort_unstable_by(|a, b| a.code.cmp(&b.code));
        let (mut first, mut piece, mut number): (Vec<Box<str>>, Vec<u8>, u32) = (Vec::new(), Vec::new(), 0);
        let concepts = self.concepts.len();
        for concept in self.concepts {
            if piece.is_empty() {
                first.push(concept.code.clone());
                number += 1;
            }
            serde_json::to_writer(&mut piece, &Line::from(concept))?;
            piece.push(b'\n');
            if piece.len() >= PIECE_BYTES {
                put(number, std::mem::take(&mut piece))?;
            }
        }
        if !piece.is_empty() {
            put(number, piece)?;
        }
        let Description { url, version, name, language, case_sensitive, properties, .. } = self.description;
        let header = Header { url, version, name, language, case_sensitive, properties, concepts, first };
        put(0, serde_json::to_vec(&header)?)
    }

    /// Tells parents of their children; parents that are not there are forgotten.
    fn link(&mut self) {
        let mut pairs: Vec<(usize, Box<str>)> = Vec::new();
        for concept in &mut self.concepts {
            let mut parents = std::mem::take(&mut concept.parents);
            parents.sort_unstable();
            parents.dedup();
            parents.retain(|parent| *parent != concept.code && self.index.contains_key(parent));
            let places = parents.iter().filter_map(|parent| self.index.get(parent));
            pairs.extend(places.map(|&place| (place, concept.code.clone())));
            concept.parents = parents;
        }
        for (place, child) in pairs {
            if let Some(parent) = self.concepts.get_mut(place) {
                parent.children.push(child);
            }
        }
        self.concepts.iter_mut().for_each(|concept| concept.children.sort_unstable());
    }
}

impl From<Concept> for Line {
    fn from(it: Concept) -> Line {
        let Concept { code, display, definition, designations, properties, parents, children, .. } = it;
        let (is_abstract, inactive) = (it.is_abstract, it.inactive);
        Line { code, display, definition, designations, properties, parents, children, is_abstract, inactive }
    }
}

impl From<Line> for Concept {
    fn from(it: Line) -> Concept {
        let Line { code, display, definition, designations, properties, parents, children, .. } = it;
        let (is_abstract, inactive) = (it.is_abstract, it.inactive);
        Concept {
            code,
            display,
            definition,
            designations,
            properties,
            parents,
            children,
            is_abstract,
            inactive,
        }
    }
}
