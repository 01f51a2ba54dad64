//! A job: what was asked, how far it is, and which files are finished.

use serde::{Deserialize, Serialize};

use crate::Request;

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It waits or runs.
    Active,
    /// All files are there.
    Complete,
    /// It ended early; its files are gone.
    Failed,
}

/// In which list of the manifest a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// Resources.
    Output,
    /// Bundles that say what was deleted.
    Deleted,
    /// OperationOutcomes.
    Error,
    /// What tells how to read the others; no lines of resources.
    Documentation,
    /// For the job alone: the ids of the resources whose rows are in the file before it.
    Ids,
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name within the job.
    pub name: String,
    /// The one type of its resources.
    pub resource_type: String,
    /// Its list.
    pub section: Section,
    /// How many lines it has.
    pub count: u64,
    /// How long it is.
    pub bytes: u64,
    /// SHA-256 of its bytes in hexadecimal, where the export is documented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The number of the view that its rows are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<usize>,
}

/// What a job does to a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Writes what was not changed since the snapshot.
    Walk,
    /// Writes what was, as it had been.
    Changed,
    /// After all types: writes what was deleted.
    Deleted,
    /// Writes what the resources refer to.
    Referred,
    /// Writes what tells how to read the files.
    Described,
    /// Writes what is to be said about the request.
    Notes,
    /// All is done.
    Done,
}

/// Where a job goes on. It is saved only when no file is unfinished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// What is done.
    pub stage: Stage,
    /// To which of the types.
    pub index: usize,
    /// For the patients from this one on.
    pub part: usize,
    /// After this place.
    pub cursor: Option<Vec<u8>>,
}

impl Position {
    /// The beginning of a stage, for a type.
    pub(crate) fn at(stage: Stage, index: usize) -> Position {
        Position { stage, index, part: 0, cursor: None }
    }
}

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Cannot be guessed.
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// Who asked: nobody else sees the job.
    pub owner: String,
    /// What who asked may see, as the server writes it down; `None` is everything.
    pub rights: Option<String>,
    /// The FHIR base URL that was asked.
    pub base: String,
    /// URL of the request.
    pub url: String,
    /// What it asks.
    pub request: Request,
    /// The snapshot: milliseconds since 1970.
    pub snapshot_ms: i64,
    /// When it was asked for.
    pub created_ms: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// How it stands.
    pub state: State,
    /// Where it goes on.
    pub position: Position,
    /// Its finished files.
    pub files: Vec<File>,
    /// How many files there have been: their names never repeat.
    pub named: u64,
    /// OperationOutcome of a job that failed.
    pub outcome: Option<String>,
}

impl Job {
    /// A job that begins.
    pub fn new(
        id: String,
        tenant: String,
        url: String,
        request: Request,
        snapshot_ms: i64,
        now_ms: i64,
    ) -> Job {
        Job {
            id,
            tenant,
            owner: String::new(),
            rights: None,
            base: String::new(),
            url,
            request,
            snapshot_ms,
            created_ms: now_ms,
            ended_ms: None,
            state: State::Active,
            position: Position::at(Stage::Walk, 0),
            files: Vec::new(),
            named: 0,
            outcome: None,
        }
    }

    /// How many resources are in finished files.
    pub fn resources(&self) -> u64 {
        let output = self.files.iter().filter(|file| file.section == Section::Output);
        output.map(|file| file.count).sum()
    }
}

/// Who may work on a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// This process, for a while: it claims the job again before that is over.
    Ours,
    /// Another process, which has not let go of it.
    Others,
    /// There is no such job (any more).
    Gone,
}

/// Where jobs are kept. What is saved is durable.
pub trait Jobs: Send + Sync {
    /// Whether several processes have these jobs, so that one that is under way may be another's.
    fn are_shared(&self) -> bool {
        false
    }

    /// Asks to work on a job, or to go on with it. While it is this process's, no other can save it.
    ///
    /// # Errors
    /// It cannot be known.
    fn claim(&self, job: &str) -> std::io::Result<Claim> {
        let is_there = self.load(job)?.is_some();
        Ok(if is_there { Claim::Ours } else { Claim::Gone })
    }

    /// Lets go of a job; where it cannot be told, that runs out by itself.
    fn release(&self, _job: &str) {}

    /// Keeps a job, in place of what was kept of it.
    ///
    /// # Errors
    /// It cannot be written.
    fn save(&self, job: &Job) -> std::io::Result<()>;

    /// Keeps the ids of the patients that a job is about; before the job is first saved.
    ///
    /// # Errors
    /// They cannot be written.
    fn save_patients(&self, job: &str, patients: &[String]) -> std::io::Result<()>;

    /// These ids; `None` if none were kept.
    ///
    /// # Errors
    /// They cannot be read.
    fn patients(&self, job: &str) -> std::io::Result<Option<Vec<String>>>;

    /// The job of an id.
    ///
    /// # Errors
    /// It cannot be read.
    fn load(&self, job: &str) -> std::io::Result<Option<Job>>;

    /// All jobs.
    ///
    /// # Errors
    /// They cannot be read.
    fn all(&self) -> std::io::Result<Vec<Job>>;

    /// Forgets a job and removes its files.
    ///
    /// # Errors
    /// They cannot be removed.
    fn remove(&self, job: &str) -> std::io::Result<()>;
}
