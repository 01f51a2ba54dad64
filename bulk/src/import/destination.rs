//! What an import reads from, where it goes, and who is told.

use std::collections::BTreeMap;
use std::io::Read;

use fhirpath::{Issue, IssueType};
use serde::{Deserialize, Serialize};

/// What became of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It is new.
    Created,
    /// It has a new version.
    Updated,
    /// It was stored already, with the same content; or it was only looked at, and is good.
    Unchanged,
}

/// How many of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// New ones.
    pub created: u64,
    /// New versions.
    pub updated: u64,
    /// What was there, or was only looked at.
    pub unchanged: u64,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, imported: Imported) {
        match imported {
            Imported::Created => self.created += 1,
            Imported::Updated => self.updated += 1,
            Imported::Unchanged => self.unchanged += 1,
        }
    }

    /// Counts those of another.
    pub fn add_all(&mut self, other: &Counts) {
        self.created += other.created;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
    }

    /// All that were not refused.
    pub fn total(&self) -> u64 {
        self.created + self.updated + self.unchanged
    }
}

/// An import cannot go on; what was committed stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The destination is gone, in words for the client.
    #[error("{}", .0.details)]
    Destination(Box<Issue>),
    /// What became of lines cannot be written down; the cause is for the log.
    #[error("the files of an import cannot be used: {0}")]
    Files(#[from] std::io::Error),
    /// The server stops; the job goes on when it starts again.
    #[error("the server stops")]
    Stopping,
    /// The job was cancelled.
    #[error("the import was cancelled")]
    Cancelled,
}

impl ImportError {
    /// The destination is gone.
    pub fn gone(code: IssueType, details: impl Into<String>) -> ImportError {
        ImportError::Destination(Box::new(Issue::error(code, details)))
    }

    /// What the client is told.
    pub fn issue(&self) -> Issue {
        match self {
            ImportError::Destination(issue) => (**issue).clone(),
            ImportError::Files(error) if is_full(error) => Issue::error(
                IssueType::NoStore,
                "The server has no room for the files of this import. What was imported stays; send the same import again when there is room.",
            ),
            ImportError::Files(_) => Issue::error(
                IssueType::Exception,
                "The server could not use the files of this import; its log says why. What was imported stays.",
            ),
            ImportError::Stopping => Issue::error(IssueType::Transient, "The server stops."),
            ImportError::Cancelled => Issue::error(IssueType::Processing, "The import was cancelled."),
        }
    }
}

/// Whether there is no room.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Why a line is not ready to be committed.
#[derive(Debug)]
pub enum Unready {
    /// It is refused.
    Refused(Vec<Issue>),
    /// The destination is gone.
    Failed(ImportError),
}

/// What became of a commit.
#[derive(Debug)]
pub enum Committed {
    /// It was made: of each resource, in order, what became of it.
    Done(Vec<Result<Imported, Vec<Issue>>>),
    /// It was not made: a resource is there twice, or was changed since it was made ready.
    Again,
    /// It was not made: some of it is refused.
    Refused(Vec<Issue>),
}

/// Where resources go. Called by threads that may wait.
pub trait Destination: Sync {
    /// A resource that is ready to be written.
    type Prepared: Send;

    /// Makes a line ready; `resource_type` is the one that its source is to have.
    ///
    /// # Errors
    /// [`Unready`].
    fn prepare(&self, line: &[u8], resource_type: Option<&str>) -> Result<Self::Prepared, Unready>;

    /// The resource it will be: type, slash and id.
    fn key<'p>(&self, prepared: &'p Self::Prepared) -> &'p str;

    /// Writes some in one commit, which is durable when this returns.
    ///
    /// # Errors
    /// The destination is gone.
    fn commit(&self, prepared: Vec<Self::Prepared>) -> Result<Committed, ImportError>;
}

/// A source that is to be read.
pub struct Opened {
    /// Its place among all sources.
    pub number: usize,
    /// What each line of it is to be.
    pub resource_type: Option<String>,
    /// Lines that are to be passed over.
    pub passed: u64,
    /// Its text, or why it cannot be had.
    pub reader: std::io::Result<Box<dyn Read + Send>>,
}

/// What there is to read.
pub trait Sources: Send {
    /// The next source.
    ///
    /// # Errors
    /// The import cannot go on.
    fn next(&mut self) -> Result<Option<Opened>, ImportError>;
}

/// Lines of a source that are dealt with, for good.
#[derive(Debug)]
pub struct Done {
    /// Which source.
    pub source: usize,
    /// How many lines there are up to the last of these.
    pub lines: u64,
    /// Whether the source ends here.
    pub is_last: bool,
    /// How many resources of each type.
    pub counts: BTreeMap<String, Counts>,
    /// Lines that were refused, by their numbers.
    pub refused: Vec<(u64, Vec<Issue>)>,
    /// Why the rest cannot be read.
    pub broken: Option<std::io::Error>,
}

/// Who is told what became of the lines; of each source in its order.
pub trait Journal: Send {
    /// Some lines are dealt with.
    ///
    /// # Errors
    /// The import cannot go on.
    fn done(&mut self, done: Done) -> Result<(), ImportError>;
}
