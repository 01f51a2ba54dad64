//! Jobs and their files in a directory: `DIR/JOB/job.json`, `DIR/JOB/patients.json`, `DIR/JOB/Patient-1.ndjson`. A job's record is
//! replaced as a whole, and is on the disk when [`Jobs::save`] returns.

use std::fs::{self, File};
use std::io::{BufWriter, Error, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Job, Jobs, Output, OutputFile, Reading};

const JOB: &str = "job.json";
const PATIENTS: &str = "patients.json";
/// Bytes of a file that wait to be written.
const BUFFER: usize = 256 << 10;

/// A directory of jobs.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// At a path; it is made when the first job is kept.
    pub fn at(path: impl Into<PathBuf>) -> Directory {
        Directory { path: path.into() }
    }

    /// Removes what is of no job: the rest of one that was being made or removed when the process ended.
    ///
    /// # Errors
    /// It cannot be read or removed.
    pub fn remove_strays(&self) -> Result<()> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() && !path.join(JOB).exists() {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    /// Keeps the record of a job, of any kind, in place of what was kept of it.
    pub(crate) fn keep(&self, job: &str, record: &impl Serialize) -> Result<()> {
        let directory = self.of(job)?;
        fs::create_dir_all(&directory)?;
        replace(&directory.join(JOB), record)
    }

    /// That record.
    pub(crate) fn kept<T: DeserializeOwned>(&self, job: &str) -> Result<Option<T>> {
        match self.of(job) {
            Ok(directory) => read(&directory.join(JOB)),
            // No job has such a name.
            Err(_) => Ok(None),
        }
    }

    /// The records of all jobs, in no order.
    pub(crate) fn all_kept<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(error),
        };
        for entry in entries {
            found.extend(read(&entry?.path().join(JOB))?);
        }
        Ok(found)
    }

    /// The directory of a job. Names come from URLs: none leads elsewhere.
    fn of(&self, job: &str) -> Result<PathBuf> {
        plain(job).map(|name| self.path.join(name))
    }

    /// Where a file of a job is, whether it is there or not.
    pub(crate) fn file(&self, job: &str, name: &str) -> Result<PathBuf> {
        Ok(self.of(job)?.join(plain(name)?))
    }
}

/// A name of letters, digits, `-`, `_` and `.` that does not begin with a dot.
fn plain(name: &str) -> Result<&str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.bytes().all(good) {
        true => Ok(name),
        false => Err(Error::from(ErrorKind::NotFound)),
    }
}

/// Replaces a file as a whole.
fn replace(path: &Path, value: &impl Serialize) -> Result<()> {
    let fresh = path.with_extension("new");
    let mut file = BufWriter::new(File::create(&fresh)?);
    serde_json::to_writer(&mut file, value).map_err(Error::other)?;
    file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    fs::rename(&fresh, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(Error::other),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is not there is removed already.
fn removed(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Jobs for Directory {
    fn save(&self, job: &Job) -> Result<()> {
        self.keep(&job.id, job)
    }

    fn save_patients(&self, job: &str, patients: &[String]) -> Result<()> {
        let directory = self.of(job)?;
        fs::create_dir_all(&directory)?;
        replace(&directory.join(PATIENTS), &patients)
    }

    fn patients(&self, job: &str) -> Result<Option<Vec<String>>> {
        read(&self.of(job)?.join(PATIENTS))
    }

    fn load(&self, job: &str) -> Result<Option<Job>> {
        self.kept(job)
    }

    fn all(&self) -> Result<Vec<Job>> {
        let mut jobs: Vec<Job> = self.all_kept()?;
        jobs.sort_by(|one, other| (one.created_ms, &one.id).cmp(&(other.created_ms, &other.id)));
        Ok(jobs)
    }

    fn remove(&self, job: &str) -> Result<()> {
        let directory = self.of(job)?;
        // First the record: what is left after a crash is no job.
        removed(fs::remove_file(directory.join(JOB)))?;
        removed(fs::remove_dir_all(&directory))
    }
}

impl Output for Directory {
    fn create(&self, job: &str, name: &str) -> Result<Box<dyn OutputFile>> {
        let file = File::create(self.file(job, name)?)?;
        Ok(Box::new(Buffered(BufWriter::with_capacity(BUFFER, file))))
    }

    fn open(&self, job: &str, name: &str) -> Result<Box<dyn Reading>> {
        Ok(Box::new(File::open(self.file(job, name)?)?))
    }

    fn remove_files(&self, job: &str) -> Result<()> {
        for entry in fs::read_dir(self.of(job)?)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "ndjson") {
                removed(fs::remove_file(path))?;
            }
        }
        Ok(())
    }
}

struct Buffered(BufWriter<File>);

impl Write for Buffered {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

impl OutputFile for Buffered {
    fn finish(self: Box<Self>) -> Result<()> {
        self.0.into_inner().map_err(|error| error.into_error())?.sync_data()
    }
}
