//! Unpacks a FHIR package (<https://hl7.org/fhir/packages.html>): the JSON files directly under `package/`, one at a
//! time, within bounds. It never looks at what they define.

use std::io::{self, Read};

use flate2::read::GzDecoder;

/// Bounds on one package. A package comes from outside, and a few kilobytes can unpack to any size.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest unpacked archive, bytes.
    pub archive_bytes: u64,
    /// Largest file read from it, bytes.
    pub file_bytes: u64,
    /// Most entries of any kind.
    pub entries: usize,
}

impl Default for Limits {
    /// The largest packages in use, R4 and its terminology, unpack to 38 and 65 MB in 4,700 files of 8 MB at most.
    fn default() -> Limits {
        Limits { archive_bytes: 1 << 30, file_bytes: 64 << 20, entries: 100_000 }
    }
}

/// Why a package cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It cannot be opened, or is not a gzipped tar, or is larger than the bounds.
    #[error("cannot be unpacked: {0}")]
    Archive(#[from] io::Error),
    /// A file is larger than [`Limits::file_bytes`].
    #[error("{file}: larger than {limit} bytes")]
    FileTooLarge {
        /// Its path in the archive.
        file: String,
        /// The bound, bytes.
        limit: u64,
    },
    /// More entries than [`Limits::entries`].
    #[error("more than {0} files")]
    TooManyFiles(usize),
    /// There is no `package/package.json`.
    #[error("not a FHIR package: it has no package/package.json")]
    NoManifest,
    /// It is made for another version of FHIR.
    #[error("made for FHIR {found}, not for 4.0")]
    FhirVersion {
        /// What its manifest says; `an unnamed version` when nothing.
        found: String,
    },
    /// A file is not the JSON of what its `resourceType` says.
    #[error("{file}: {cause}")]
    Json {
        /// Its path in the archive.
        file: String,
        /// The parser's message with line and column.
        cause: serde_json::Error,
    },
    /// A definition breaks a rule of its kind.
    #[error("{file}: {rule}")]
    Definition {
        /// Its path in the archive.
        file: String,
        /// The rule.
        rule: DefinitionRule,
    },
    /// A StructureDefinition cannot be used to validate.
    #[error("{file}: {rule}")]
    Structure {
        /// Its path in the archive.
        file: String,
        /// Why.
        rule: crate::validation::StructureError,
    },
}

/// A rule that a definition in a package broke.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionRule {
    /// A type needs its full list of elements.
    #[error("a StructureDefinition of a type needs a snapshot with elements")]
    NoSnapshot,
    /// An element stands in an element that is not there.
    #[error("the element {0} has no parent before it")]
    NoParent(String),
    /// An element is there twice.
    #[error("the element {0} is defined twice")]
    Repeated(String),
    /// An element has neither a type nor a contentReference, or a system type that names no FHIR type.
    #[error("the element {0} has no type")]
    NoType(String),
    /// `max` is neither `*` nor a number.
    #[error("the element {0} has a max that is no number")]
    Max(String),
}

/// A reader that fails, rather than ends, after a number of bytes.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = u64::try_from(read)
            .ok()
            .and_then(|read| self.left.checked_sub(read))
            .ok_or_else(|| io::Error::other("it unpacks to more bytes than a package may have"))?;
        Ok(read)
    }
}

/// Calls `visit` with the path and the bytes of every `package/*.json`, in archive order. Examples and other files in
/// folders below are passed over.
///
/// # Errors
/// A broken or too large archive, and whatever `visit` returns.
pub fn each_file(
    archive: impl Read,
    limits: &Limits,
    mut visit: impl FnMut(&str, &[u8]) -> Result<(), PackageError>,
) -> Result<(), PackageError> {
    let unpacked = Bounded { inner: GzDecoder::new(archive), left: limits.archive_bytes };
    let mut archive = tar::Archive::new(unpacked);
    let mut bytes = Vec::new();
    for (count, entry) in archive.entries()?.enumerate() {
        if count >= limits.entries {
            return Err(PackageError::TooManyFiles(limits.entries));
        }
        let mut entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !entry.header().entry_type().is_file() || !is_definition_path(&path) {
            continue;
        }
        if entry.size() > limits.file_bytes {
            return Err(PackageError::FileTooLarge { file: path, limit: limits.file_bytes });
        }
        bytes.clear();
        entry.read_to_end(&mut bytes)?;
        visit(&path, bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes))?;
    }
    Ok(())
}

/// `package/X.json`, with or without a leading `./`.
fn is_definition_path(path: &str) -> bool {
    let path = path.strip_prefix("./").unwrap_or(path);
    path.strip_prefix("package/")
        .is_some_and(|name| !name.contains('/') && !name.starts_with('.') && name.ends_with(".json"))
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// A package of the files given.
    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, *bytes).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn names(archive: &[u8], limits: &Limits) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        each_file(archive, limits, |name, bytes| {
            names.push(format!("{name} {}", String::from_utf8_lossy(bytes)));
            Ok(())
        })
        .map(|()| names)
        .map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_definitions_are_visited() {
        let archive = archive(&[
            ("package/package.json", b"{}"),
            ("package/.index.json", b"no"),
            ("package/example/Patient-1.json", b"no"),
            ("package/a.xml", b"no"),
            ("other/b.json", b"no"),
            ("./package/c.json", b"\xEF\xBB\xBF{ }"),
        ]);
        let visited = names(&archive, &Limits::default());
        assert_eq!(visited, Ok(vec!["package/package.json {}".to_owned(), "package/c.json { }".to_owned()]));
    }

    #[test]
    fn bounds_are_kept() {
        let zeros = vec![b' '; 1 << 20];
        let bomb = archive(&[("package/a.json", &zeros), ("package/b.json", &zeros)]);
        assert!(bomb.len() < 1 << 14, "a small file that unpacks to a large one");
        let check =
            |limits: Limits, message: &str| assert_eq!(names(&bomb, &limits), Err(message.to_owned()));
        let most = Limits::default();
        check(
            Limits { archive_bytes: 1 << 20, ..most },
            "cannot be unpacked: it unpacks to more bytes than a package may have",
        );
        check(Limits { file_bytes: 1000, ..most }, "package/a.json: larger than 1000 bytes");
        check(Limits { entries: 1, ..most }, "more than 1 files");
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let error = names(b"PK\x03\x04 not gzip at all", &Limits::default()).unwrap_err();
        assert_eq!(error, "cannot be unpacked: invalid gzip header");
        let mut cut = archive(&[("package/a.json", &vec![b'x'; 4096])]);
        cut.truncate(cut.len() / 2);
        assert!(
            names(&cut, &Limits::default()).is_err_and(|error| error.starts_with("cannot be unpacked: "))
        );
    }
}
