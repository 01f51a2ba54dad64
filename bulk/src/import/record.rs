//! An import job: what was asked, how far each source is, what became of it. It is kept in a [`Directory`] like an export:
//! `DIR/JOB/job.json`, `DIR/JOB/source-1.ndjson`, `DIR/JOB/errors-1.ndjson`.

use std::collections::BTreeMap;
use std::io::Result;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::destination::Counts;
use super::request::ImportRequest;
use crate::{Directory, State};

/// How far a source is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Lines that are dealt with.
    pub lines: u64,
    /// Whether these are all, or the rest cannot be had.
    pub is_done: bool,
    /// What became of them, by type.
    pub counts: BTreeMap<String, Counts>,
    /// Lines that were refused, and the source itself if it could not be read.
    pub refused: u64,
    /// Lines of the file of errors.
    pub errors: u64,
    /// Its bytes.
    pub error_bytes: u64,
}

/// An import job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportJob {
    /// Cannot be guessed.
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// Who asked: nobody else sees the job.
    pub owner: String,
    /// What who asked may do, as the server writes it; nothing for who may do everything.
    pub rights: Option<String>,
    /// The server's base URL, as who asked knows it.
    pub base: String,
    /// URL of the request.
    pub url: String,
    /// What it asks.
    pub request: ImportRequest,
    /// When it was asked for: milliseconds since 1970.
    pub created_ms: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// How it stands. One that failed has imported what its sources tell.
    pub state: State,
    /// How far each source is.
    pub sources: Vec<Progress>,
    /// OperationOutcome of a job that failed.
    pub outcome: Option<String>,
}

impl ImportJob {
    /// A job that begins.
    pub fn new(id: String, tenant: String, url: String, request: ImportRequest, now_ms: i64) -> ImportJob {
        let sources = vec![Progress::default(); request.inputs.len()];
        ImportJob {
            id,
            tenant,
            owner: String::new(),
            rights: None,
            base: String::new(),
            url,
            request,
            created_ms: now_ms,
            ended_ms: None,
            state: State::Active,
            sources,
            outcome: None,
        }
    }

    /// Bytes of the file of errors of a name; `None` if there is none.
    pub fn errors_of(&self, name: &str) -> Option<u64> {
        let mut all = self.sources.iter().enumerate();
        let found = all.find(|(number, source)| source.errors > 0 && errors_name(*number) == name);
        found.map(|(_, source)| source.error_bytes)
    }

    /// Resources that are dealt with, those that were refused included.
    pub fn dealt_with(&self) -> u64 {
        let of = |source: &Progress| source.refused + source.counts.values().map(Counts::total).sum::<u64>();
        self.sources.iter().map(of).sum()
    }
}

/// The name of the file of a source.
pub(crate) fn source_name(number: usize) -> String {
    format!("source-{}.ndjson", number + 1)
}

/// The name of the file of what was wrong with a source.
pub(crate) fn errors_name(number: usize) -> String {
    format!("errors-{}.ndjson", number + 1)
}

/// What a job that ended tells. `base` is the URL below which its files are; `time` when it was asked for, as an instant.
pub fn status(job: &ImportJob, base: &str, time: &str) -> Value {
    let sources = || job.request.inputs.iter().zip(&job.sources).enumerate();
    let mut output = Vec::new();
    for (_, (input, source)) in sources() {
        for (kind, counts) in &source.counts {
            output.push(json!({
                "type": kind,
                "count": counts.total(),
                "created": counts.created,
                "updated": counts.updated,
                "unchanged": counts.unchanged,
                "inputUrl": input.url,
            }));
        }
    }
    let error = sources().filter(|(_, (_, source))| source.errors > 0).map(|(number, (input, source))| {
        json!({
            "type": "OperationOutcome",
            "count": source.refused,
            "inputUrl": input.url,
            "url": format!("{base}/{}", errors_name(number)),
        })
    });
    let error: Vec<Value> = error.collect();
    json!({
        "transactionTime": time,
        "request": job.url,
        "output": output,
        "error": error,
    })
}

/// Keeps a job, in place of what was kept of it; it is durable then.
///
/// # Errors
/// It cannot be written.
pub fn save_import(directory: &Directory, job: &ImportJob) -> Result<()> {
    directory.keep(&job.id, job)
}

/// The job of an id.
///
/// # Errors
/// It cannot be read.
pub fn load_import(directory: &Directory, id: &str) -> Result<Option<ImportJob>> {
    directory.kept(id)
}

/// All jobs, the oldest first.
///
/// # Errors
/// They cannot be read.
pub fn imports(directory: &Directory) -> Result<Vec<ImportJob>> {
    let mut jobs: Vec<ImportJob> = directory.all_kept()?;
    jobs.sort_by(|one, other| (one.created_ms, &one.id).cmp(&(other.created_ms, &other.id)));
    Ok(jobs)
}
