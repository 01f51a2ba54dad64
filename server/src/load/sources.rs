//! The files to load: found, put in order, opened with their compression undone.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::LoadError;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One Bundle or other resource, JSON.
    Json,
    /// A resource a line.
    Ndjson,
}

/// A file to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub form: Form,
    /// Which come first: those that others refer to.
    pub rank: u8,
    /// Its size as it lies there.
    pub bytes: u64,
}

/// The files among the paths, those of directories included, in the order they are to be loaded.
///
/// # Errors
/// A path that cannot be read, a file named that is neither JSON nor NDJSON, nothing to load at all.
pub fn find(paths: &[PathBuf]) -> Result<Vec<Source>, LoadError> {
    let mut sources = Vec::new();
    for path in paths {
        let fault = |error: std::io::Error| LoadError::Path { path: path.clone(), error };
        if std::fs::metadata(path).map_err(fault)?.is_dir() {
            in_directory(path, &mut sources).map_err(fault)?;
        } else {
            let source = source(path).map_err(fault)?;
            sources.push(source.ok_or_else(|| LoadError::Form { path: path.clone() })?);
        }
    }
    if sources.is_empty() {
        return Err(LoadError::Nothing);
    }
    sources.sort_by(|a, b| (a.rank, &a.path).cmp(&(b.rank, &b.path)));
    sources.dedup_by(|a, b| a.path == b.path);
    Ok(sources)
}

fn in_directory(path: &Path, sources: &mut Vec<Source>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            in_directory(&path, sources)?;
        } else if let Some(source) = source(&path)? {
            sources.push(source);
        }
    }
    Ok(())
}

fn source(path: &Path) -> std::io::Result<Option<Source>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".bz2")).unwrap_or(&name);
    let form = match plain.rsplit_once('.') {
        Some((_, "json")) => Form::Json,
        Some((_, "ndjson" | "jsonl")) => Form::Ndjson,
        _ => return Ok(None),
    };
    let bytes = std::fs::metadata(path)?.len();
    Ok(Some(Source { path: path.to_owned(), form, rank: rank(form, plain), bytes }))
}

/// Synthea's patients refer to its hospitals and practitioners by identifier, so these must be there first.
fn rank(form: Form, name: &str) -> u8 {
    match form {
        Form::Json if name.contains("hospitalinformation") => 0,
        Form::Json if name.contains("practitionerinformation") => 1,
        Form::Json => 2,
        Form::Ndjson => 3,
    }
}

impl Source {
    /// Opens the file, its compression undone; `read` counts the bytes taken from it as it lies there.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(&self, read: &Arc<AtomicU64>) -> std::io::Result<Box<dyn Read + Send>> {
        let counted = Counted { inner: File::open(&self.path)?, read: Arc::clone(read) };
        let buffered = BufReader::with_capacity(1 << 18, counted);
        Ok(match self.path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
            Some("bz2") => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered)),
            _ => Box::new(buffered),
        })
    }

    /// The SHA-256 of the file as it lies there: what [`super::resume`] knows it by.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn digest(&self) -> std::io::Result<String> {
        let mut file = File::open(&self.path)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = file.read(&mut buffer)?;
            match buffer.get(..count) {
                Some(part) if count > 0 => hash.update(part),
                _ => break,
            }
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

struct Counted {
    inner: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn ordered_and_decompressed() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        for name in ["b.ndjson", "a.json", "practitionerInformation1.json", "notes.txt"] {
            std::fs::write(inner.join(name), "x").unwrap();
        }
        let mut gz = flate2::write::GzEncoder::new(
            File::create(inner.join("hospitalInformation1.json.gz")).unwrap(),
            flate2::Compression::fast(),
        );
        gz.write_all(b"hospitals").unwrap();
        gz.finish().unwrap();
        let found = find(&[directory.path().to_owned(), inner.join("a.json")]).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|source| source.path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(
            names,
            ["hospitalInformation1.json.gz", "practitionerInformation1.json", "a.json", "b.ndjson"]
        );
        let (mut text, read) = (String::new(), Arc::new(AtomicU64::new(0)));
        found.first().unwrap().open(&read).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hospitals");
        assert_eq!(read.load(Ordering::Relaxed), found.first().unwrap().bytes);
        let error = find(&[inner.join("notes.txt")]).unwrap_err().to_string();
        assert!(error.contains("notes.txt is neither"), "{error}");
    }
}
