//! The sources of a job: each is brought to the job's directory as a whole before its first line is read, so that a position in it
//! stays one, and a download that breaks off leaves nothing behind. gzip is undone; it is known by its first bytes.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Error, ErrorKind, Read, Write};
use std::path::Path;

use fhirpath::Issue;
use flate2::bufread::MultiGzDecoder;

use super::destination::{ImportError, Opened, Sources, is_full};
use super::record::{ImportJob, source_name};
use super::request::Input;
use crate::Directory;

/// The name of the file of what came with the request.
pub const UPLOADED: &str = "source-1.ndjson";
/// The file under way.
const PARTIAL: &str = "download.part";
/// Bytes of a file read or written at once.
const BUFFER: usize = 256 << 10;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Brings a source here.
pub trait Fetch: Send {
    /// Writes the whole of it.
    ///
    /// # Errors
    /// Why it cannot be had, for the client; or it cannot be written, or the import ends: [`Unfetched`].
    fn fetch(&mut self, input: &Input, to: &mut dyn Write) -> Result<(), Unfetched>;
}

/// A source that is not here.
#[derive(Debug, thiserror::Error)]
pub enum Unfetched {
    /// It cannot be had.
    #[error("{}", .0.details)]
    Refused(Box<Issue>),
    /// It cannot be written.
    #[error(transparent)]
    Files(#[from] Error),
    /// The import ends.
    #[error("{0}")]
    Ended(ImportError),
}

/// Why a source cannot be read, as the client is told.
#[derive(Debug)]
pub(crate) struct Unavailable(pub(crate) Issue);

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.details)
    }
}

impl std::error::Error for Unavailable {}

/// The sources of a job that are not done.
pub struct JobSources<'j, F> {
    directory: &'j Directory,
    job: String,
    /// With their numbers, and lines that are done.
    left: std::vec::IntoIter<(usize, Input, u64)>,
    fetch: F,
}

impl<'j, F: Fetch> JobSources<'j, F> {
    /// Those of a job.
    pub fn new(directory: &'j Directory, job: &ImportJob, fetch: F) -> JobSources<'j, F> {
        let all = job.request.inputs.iter().zip(&job.sources).enumerate();
        let left = all.filter(|(_, (_, progress))| !progress.is_done);
        let left: Vec<_> =
            left.map(|(number, (input, progress))| (number, input.clone(), progress.lines)).collect();
        JobSources { directory, job: job.id.clone(), left: left.into_iter(), fetch }
    }

    fn bring(&mut self, input: &Input, path: &Path) -> Result<(), Unfetched> {
        if path.exists() {
            return Ok(());
        }
        let partial = self.directory.file(&self.job, PARTIAL)?;
        let mut file = BufWriter::with_capacity(BUFFER, File::create(&partial)?);
        let fetched = self.fetch.fetch(input, &mut file);
        let written = fetched.and_then(|()| {
            let file = file.into_inner().map_err(|error| error.into_error())?;
            file.sync_all()?;
            Ok(fs::rename(&partial, path)?)
        });
        if written.is_err() {
            // What is left of it is replaced by the next one, and goes with the job.
            let _ = fs::remove_file(&partial);
        }
        written
    }
}

impl<F: Fetch> Sources for JobSources<'_, F> {
    fn next(&mut self) -> Result<Option<Opened>, ImportError> {
        let Some((number, input, passed)) = self.left.next() else { return Ok(None) };
        let path = self.directory.file(&self.job, &source_name(number))?;
        let reader = match self.bring(&input, &path) {
            Ok(()) => Ok(open(&path)?),
            Err(Unfetched::Refused(issue)) => Err(Error::other(Unavailable(*issue))),
            Err(Unfetched::Files(error)) => return Err(ImportError::Files(error)),
            Err(Unfetched::Ended(error)) => return Err(error),
        };
        Ok(Some(Opened { number, resource_type: input.resource_type, passed, reader }))
    }
}

/// Opens a file that may be compressed.
fn open(path: &Path) -> std::io::Result<Box<dyn Read + Send>> {
    let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
    match file.fill_buf()?.starts_with(&GZIP) {
        true => Ok(Box::new(MultiGzDecoder::new(file))),
        false => Ok(Box::new(file)),
    }
}

/// What the client is told of a source that cannot be read on.
pub(crate) fn told(error: &Error) -> Issue {
    let known = error.get_ref().and_then(|inner| inner.downcast_ref::<Unavailable>());
    if let Some(Unavailable(issue)) = known {
        return issue.clone();
    }
    let details = match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            "The source is compressed by gzip and cannot be read on: it is damaged or cut off. Lines before this were imported."
        }
        _ if is_full(error) => "The server has no room for the source.",
        _ => "The server could not read the source on; its log says why. Lines before this were imported.",
    };
    Issue::error(fhirpath::IssueType::Exception, details)
}
