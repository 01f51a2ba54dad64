//! The StructureDefinitions at hand, by canonical URL: those of tables in the program, of packages and of single files. A
//! table is cut into lines at once, and a line read when it is first asked for. It never judges them.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;
use serde_json::Value;

use super::structure::{Structure, StructureError};
use crate::UsCore;
use crate::package::{Limits, PackageError, each_file};

/// The table of R4 in the program, under `ig/`.
const R4: &str = include_str!("../../../ig/r4-4.0.1.profiles.jsonl");

/// StructureDefinitions by canonical URL. What was added later is found first.
#[derive(Default)]
pub struct Library {
    entries: Vec<Entry>,
    by_url: FxHashMap<Box<str>, Vec<usize>>,
}

struct Entry {
    version: Option<Box<str>>,
    line: Text,
    structure: OnceLock<Option<Arc<Structure>>>,
}

enum Text {
    Embedded(&'static str),
    Owned(Box<str>),
    /// Read already.
    None,
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Text::Embedded(text) => text,
            Text::Owned(text) => text,
            Text::None => "",
        }
    }
}

impl Library {
    /// Those of R4 and of US Core 6.1.0 that are embedded in the program.
    pub fn embedded() -> Library {
        Library::of(UsCore::default())
    }

    /// Those of R4 and of a version of US Core.
    pub fn of(us_core: UsCore) -> Library {
        let mut library = Library::default();
        for line in R4.lines().chain(us_core.tables().profiles.lines()) {
            library.add_line(line, Text::Embedded(line));
        }
        library
    }

    /// Adds the lines that [`compile_structures`] wrote.
    pub fn add_table(&mut self, table: &str) {
        for line in table.lines() {
            self.add_line(line, Text::Owned(line.into()));
        }
    }

    /// Adds those of a package, a gzipped tar.
    ///
    /// # Errors
    /// An archive that is broken or beyond the bounds, or a StructureDefinition that cannot be read.
    pub fn add_package(&mut self, archive: impl Read, limits: &Limits) -> Result<(), PackageError> {
        for structure in structures(archive, limits)? {
            self.add(structure);
        }
        Ok(())
    }

    /// Adds one.
    pub fn add(&mut self, structure: Structure) {
        let (url, version) = (structure.url.clone(), structure.version.clone());
        let structure = OnceLock::from(Some(Arc::new(structure)));
        self.push(&url, version.as_deref(), Text::None, structure);
    }

    /// The line's URL and version stand at its beginning, so that it need not be read for them.
    fn add_line(&mut self, line: &str, text: Text) {
        let quoted = |rest: &str, name: &str| {
            let value = rest.strip_prefix(name)?.split_once('"')?;
            Some((value.0.to_owned(), value.1.to_owned()))
        };
        let Some((url, rest)) = quoted(line.get(..line.len().min(600)).unwrap_or(line), "{\"url\":\"") else {
            return;
        };
        let version = quoted(&rest, ",\"version\":\"").map(|(version, _)| version);
        self.push(&url, version.as_deref(), text, OnceLock::new());
    }

    fn push(
        &mut self,
        url: &str,
        version: Option<&str>,
        line: Text,
        structure: OnceLock<Option<Arc<Structure>>>,
    ) {
        self.by_url.entry(url.into()).or_default().push(self.entries.len());
        self.entries.push(Entry { version: version.map(Into::into), line, structure });
    }

    /// The one of a canonical URL, perhaps with `|version`: that version, or the one added last.
    pub fn get(&self, canonical: &str) -> Option<Arc<Structure>> {
        let (url, version) = match canonical.split_once('|') {
            Some((url, version)) => (url, Some(version)),
            None => (canonical, None),
        };
        let places = self.by_url.get(url)?;
        let entries = || places.iter().rev().filter_map(|&at| self.entries.get(at));
        let entry = match version {
            Some(version) => {
                let is = |entry: &&Entry| entry.version.as_deref().is_some_and(|it| is_version(it, version));
                entries()
                    .find(|entry| entry.version.as_deref() == Some(version))
                    .or_else(|| entries().find(is))?
            }
            None => entries().next()?,
        };
        let read = || serde_json::from_str(entry.line.as_str()).ok().map(Arc::new);
        entry.structure.get_or_init(read).clone()
    }

    /// The definition of a type of FHIR itself.
    pub fn of_type(&self, name: &str) -> Option<Arc<Structure>> {
        self.get(&type_url(name))
    }

    /// Whether the URL is known, in whatever version.
    pub fn has(&self, url: &str) -> bool {
        self.by_url.contains_key(url)
    }

    /// The versions at hand of a URL.
    pub fn versions(&self, url: &str) -> Vec<&str> {
        let places = self.by_url.get(url).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|&at| self.entries.get(at)?.version.as_deref()).collect()
    }

    /// All canonical URLs.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.by_url.keys().map(AsRef::as_ref)
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Library({} structures)", self.entries.len())
    }
}

/// Whether a version is the one wanted, of which only the first parts may be said (`4.0` is `4.0.1`).
fn is_version(version: &str, wanted: &str) -> bool {
    version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The canonical URL of the definition of a type of FHIR itself.
pub(crate) fn type_url(name: &str) -> String {
    format!("http://hl7.org/fhir/StructureDefinition/{name}")
}

/// The StructureDefinitions of a package as lines, by URL: what is embedded in the program.
///
/// # Errors
/// As [`Library::add_package`].
pub fn compile_structures(archive: impl Read, limits: &Limits) -> Result<String, PackageError> {
    let mut found = structures(archive, limits)?;
    found.sort_by(|a, b| (&a.url, &a.version).cmp(&(&b.url, &b.version)));
    let mut text = String::new();
    for structure in found {
        let file = structure.url.clone();
        let line = serde_json::to_string(&structure.compact())
            .map_err(|cause| PackageError::Json { file, cause })?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// Logical models are about something else than resources, and left out.
fn structures(archive: impl Read, limits: &Limits) -> Result<Vec<Structure>, PackageError> {
    let mut found = Vec::new();
    each_file(archive, limits, |file, bytes| {
        let json: Value = serde_json::from_slice(bytes)
            .map_err(|cause| PackageError::Json { file: file.to_owned(), cause })?;
        let kind = |name: &str| json.get(name).and_then(Value::as_str);
        if kind("resourceType") != Some("StructureDefinition") || kind("kind") == Some("logical") {
            return Ok(());
        }
        let broken = |rule: StructureError| PackageError::Structure { file: file.to_owned(), rule };
        found.push(Structure::from_json(&json).map_err(broken)?);
        Ok(())
    })?;
    Ok(found)
}
