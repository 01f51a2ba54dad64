//! The definitions that come with the program and with packages: text with an index by URL. A definition is parsed when
//! it is first asked for.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use fhirpath::Tree;
use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::TerminologyError;
use super::model::{CodeSystem, ConceptMap, ValueSet};
use super::package::compile_terminology;
use crate::UsCore;
use crate::package::{Limits, PackageError};

/// The text of R4 in the program, under `ig/`.
const R4: &str = include_str!("../../../ig/r4-4.0.1.terminology.jsonl");
/// What US Core does not bring along.
const VOCABULARY: &str = include_str!("../../../ig/us-core-vocabulary.terminology.jsonl");

/// A kind of definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    CodeSystem,
    ValueSet,
    ConceptMap,
}

impl Kind {
    pub(super) fn resource_type(self) -> &'static str {
        match self {
            Kind::CodeSystem => "CodeSystem",
            Kind::ValueSet => "ValueSet",
            Kind::ConceptMap => "ConceptMap",
        }
    }
}

/// What the lines hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line<C, V, M> {
    CodeSystem(C),
    ValueSet(V),
    ConceptMap(M),
}

/// A kind of definition that lines hold.
pub(super) trait Definition: DeserializeOwned {
    const KIND: Kind;
    fn from_line(line: &str) -> Option<Self>;
    fn of_tree(tree: &Tree) -> Result<Self, TerminologyError>;
}

macro_rules! definition {
    ($type:ident) => {
        impl Definition for $type {
            const KIND: Kind = Kind::$type;
            fn from_line(line: &str) -> Option<$type> {
                match serde_json::from_str::<Line<CodeSystem, ValueSet, ConceptMap>>(line) {
                    Ok(Line::$type(found)) => Some(found),
                    _ => None,
                }
            }
            fn of_tree(tree: &Tree) -> Result<$type, TerminologyError> {
                $type::from_tree(tree)
            }
        }

        impl $type {
            /// Of a resource.
            ///
            /// # Errors
            /// It is a resource of another type, or a value in it is of another type.
            pub fn from_tree(tree: &Tree) -> Result<$type, TerminologyError> {
                let url = tree.root().get("url").and_then(|it| it.value()).unwrap_or_default().into_owned();
                let resource_type = Kind::$type.resource_type();
                let wrong =
                    |why: String| TerminologyError::Definition { resource_type, url: url.clone(), why };
                if tree.resource_type() != resource_type {
                    return Err(wrong(format!("it is a {}", tree.resource_type())));
                }
                let mut json = Vec::new();
                tree.write_json(&mut json);
                serde_json::from_slice(&json).map_err(|error| wrong(error.to_string()))
            }
        }
    };
}
definition!(CodeSystem);
definition!(ValueSet);
definition!(ConceptMap);

/// Texts of definitions, indexed. Of one URL and version the last text's counts.
#[derive(Default)]
pub struct Library {
    texts: Vec<Text>,
    index: OnceLock<Index>,
}

#[derive(Clone)]
enum Text {
    Embedded(&'static str),
    Added(Arc<str>),
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Text::Embedded(text) => text,
            Text::Added(text) => text,
        }
    }
}

/// The lines that define a URL, in the order of the texts.
type Index = FxHashMap<(Kind, Box<str>), Vec<Place>>;

/// A line.
#[derive(Debug, Clone)]
struct Place {
    text: usize,
    start: usize,
    end: usize,
    version: Option<Box<str>>,
    /// Whether it has all that it defines: not so a code system of which only a part is there.
    is_whole: bool,
}

impl Library {
    /// The definitions of R4 and of US Core 6.1.0 that are embedded in the program.
    pub fn embedded() -> Library {
        Library::of(UsCore::default())
    }

    /// The definitions of R4 and of a version of US Core.
    pub fn of(us_core: UsCore) -> Library {
        let texts = [R4, us_core.tables().terminology, VOCABULARY];
        Library { texts: texts.into_iter().map(Text::Embedded).collect(), index: OnceLock::new() }
    }

    /// Adds the definitions of a package, a gzipped tar.
    ///
    /// # Errors
    /// As [`super::compile_terminology`] says.
    pub fn add_package(&mut self, archive: impl Read, limits: &Limits) -> Result<(), PackageError> {
        self.add(compile_terminology(archive, limits)?);
        Ok(())
    }

    /// Adds the definitions of a package, as [`super::compile_terminology`] gives them.
    pub fn add(&mut self, text: String) {
        self.texts.push(Text::Added(text.into()));
        self.index = OnceLock::new();
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            let mut index = Index::default();
            for (number, text) in self.texts.iter().enumerate() {
                let mut start = 0;
                for line in text.as_str().split_inclusive('\n') {
                    let end = start + line.len();
                    if let Some((kind, url, version, is_whole)) = head(line) {
                        let version = version.map(Into::into);
                        let place = Place { text: number, start, end, version, is_whole };
                        index.entry((kind, url.into())).or_default().push(place);
                    }
                    start = end;
                }
            }
            index
        })
    }

    /// The definition of a URL. Without a version: the last one that is whole, else the last.
    pub(super) fn find<T: Definition>(&self, url: &str, version: Option<&str>) -> Option<T> {
        let places = self.index().get(&(T::KIND, url.into()))?;
        let place = match version {
            Some(_) => places.iter().rev().find(|place| place.version.as_deref() == version)?,
            None => places.iter().rev().find(|place| place.is_whole).or(places.last())?,
        };
        T::from_line(self.texts.get(place.text)?.as_str().get(place.start..place.end)?)
    }
}

impl Library {
    /// All definitions of a kind, in the order of the texts.
    pub(super) fn all<T: Definition>(&self) -> impl Iterator<Item = T> {
        let lines = self.texts.iter().flat_map(|text| text.as_str().lines());
        let is_wanted = |line: &&str| head(line).is_some_and(|(kind, ..)| kind == T::KIND);
        lines.filter(is_wanted).filter_map(T::from_line)
    }
}

/// Kind, URL, version and wholeness, from the start of a line. Only escapes of JSON would need a parser, and URLs that
/// have any are not found.
fn head(line: &str) -> Option<(Kind, &str, Option<&str>, bool)> {
    let (kind, rest) = line.strip_prefix("{\"")?.split_once("\":{\"url\":\"")?;
    let kind = match kind {
        "codeSystem" => Kind::CodeSystem,
        "valueSet" => Kind::ValueSet,
        "conceptMap" => Kind::ConceptMap,
        _ => return None,
    };
    let (url, rest) = rest.split_once('"')?;
    let version = rest.strip_prefix(",\"version\":\"").and_then(|rest| rest.split_once('"'));
    let (version, rest) = version.map_or((None, rest), |(version, rest)| (Some(version), rest));
    let is_whole = kind != Kind::CodeSystem || rest.starts_with(",\"content\":\"complete\"");
    Some((kind, url, version, is_whole))
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Library({} texts)", self.texts.len())
    }
}
