//! `vesta load`: files of Bundles and NDJSON into a stopped server's store, through the interactions, or over HTTP into a
//! running one.
//!
//! A Bundle is one batch or transaction; several are under way at a time. NDJSON goes the way of `bulk::import`. A source that is loaded
//! is remembered by `resume`, so that the same command goes on where it stopped.

mod bundles;
mod destination;
mod lines;
mod resume;
mod sources;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

pub(crate) use destination::transaction_of;
pub use destination::{Destination, InProcess, Refused, Remote, ResponseEntry};
use fhirpath::Issue;
use resume::Record;
use sources::{Form, Source};

use crate::progress::Progress;

/// What to load, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Threads that prepare, or requests at a time.
    pub jobs: usize,
    /// Where to remember what is loaded.
    pub record: PathBuf,
    /// Load what is loaded already.
    pub again: bool,
    /// Bytes of the longest line that is read.
    pub max_line_bytes: usize,
}

/// Loading could not be begun, or not be brought to an end.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A path that cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file of another form.
    #[error("{} is neither .json nor .ndjson (or one of these with .gz or .bz2)", path.display())]
    Form {
        /// Which.
        path: PathBuf,
    },
    /// Directories without anything to load.
    #[error("there is nothing to load: no .json or .ndjson file (plain, .gz or .bz2) in the paths given")]
    Nothing,
    /// The record of what is loaded.
    #[error("cannot keep the record of what is loaded in {}: {error}", path.display())]
    Record {
        /// Its file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The destination is gone.
    #[error("{0}")]
    Destination(String),
    /// Some resources were refused; each was reported.
    #[error(
        "{failed} of {total} were not loaded; the lines above say why. Mend the files and load them again: what is loaded is passed over"
    )]
    Refused {
        /// Resources and files not loaded.
        failed: u64,
        /// Resources read.
        total: u64,
    },
    /// The system refuses a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// How many of what.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    created: AtomicU64,
    updated: AtomicU64,
    unchanged: AtomicU64,
    failed: AtomicU64,
    passed_over: AtomicU64,
}

/// Work under way.
pub(crate) struct Load<'a> {
    destination: &'a Destination,
    record: Record,
    tally: Tally,
    progress: Progress,
    started: Instant,
    read: Arc<AtomicU64>,
    bytes: u64,
    jobs: usize,
    again: bool,
    max_line_bytes: usize,
}

/// Most faults that are written out.
const FAULTS_SHOWN: u64 = 200;

/// Loads.
///
/// # Errors
/// [`LoadError`]; with [`LoadError::Refused`] the rest was loaded.
pub fn load(options: &Options, destination: &Destination) -> Result<(), LoadError> {
    let sources = sources::find(&options.paths)?;
    let record = Record::open(&options.record, destination.name(), options.again)
        .map_err(|error| LoadError::Record { path: options.record.clone(), error })?;
    let load = Load {
        destination,
        record,
        tally: Tally::default(),
        progress: Progress::new("Loading"),
        started: Instant::now(),
        read: Arc::default(),
        bytes: sources.iter().map(|source| source.bytes).sum(),
        jobs: options.jobs.max(1),
        again: options.again,
        max_line_bytes: options.max_line_bytes,
    };
    for rank in 0..=2 {
        let bundles: Vec<&Source> = sources.iter().filter(|source| source.rank == rank).collect();
        bundles::load(&load, &bundles)?;
    }
    let ndjson: Vec<&Source> = sources.iter().filter(|source| source.form == Form::Ndjson).collect();
    lines::load(&load, &ndjson)?;
    load.end(sources.len())
}

impl Load<'_> {
    /// Resources that were read, whatever became of them.
    fn total(&self) -> u64 {
        let tally = &self.tally;
        [&tally.created, &tally.updated, &tally.unchanged, &tally.failed]
            .iter()
            .map(|count| count.load(Relaxed))
            .sum()
    }

    fn rate(&self) -> u64 {
        let milliseconds = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.total().saturating_mul(1000) / milliseconds
    }

    fn show(&self) {
        let text = format!("{} resources, {}/s", self.total(), self.rate());
        self.progress.at(self.read.load(Relaxed), self.bytes, &text);
    }

    /// Reports a resource or file that was refused.
    fn fault(&self, place: &str, issues: &[Issue]) {
        let shown = self.tally.failed.fetch_add(1, Relaxed);
        if shown == FAULTS_SHOWN {
            self.progress.say("(further faults are counted, not shown)");
        }
        if shown >= FAULTS_SHOWN {
            return;
        }
        for issue in issues {
            let at =
                issue.expression.as_deref().map(|expression| format!(" ({expression})")).unwrap_or_default();
            self.progress.say(&format!("{place}: {}{at}", issue.details));
        }
    }

    fn remember(&self, digest: &str, done: resume::Done) {
        // Loading goes on without the record: at worst it is done again.
        if let Err(error) = self.record.set(digest, done) {
            self.progress.say(&format!("The record of what is loaded cannot be written: {error}"));
        }
    }

    fn end(&self, files: usize) -> Result<(), LoadError> {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let tally = &self.tally;
        let mut text = format!(
            "Loaded {} resources from {files} files in {:.1} s, {}/s: {} created, {} updated, {} unchanged",
            self.total() - count(&tally.failed),
            self.started.elapsed().as_secs_f64(),
            self.rate(),
            count(&tally.created),
            count(&tally.updated),
            count(&tally.unchanged),
        );
        if count(&tally.passed_over) > 0 {
            text.push_str(&format!(
                "; {} files were loaded before (--again loads them again)",
                count(&tally.passed_over)
            ));
        }
        if count(&tally.failed) > 0 {
            text.push_str(&format!("; {} refused", count(&tally.failed)));
        }
        self.progress.end(&text);
        match count(&tally.failed) {
            0 => Ok(()),
            failed => Err(LoadError::Refused { failed, total: self.total() }),
        }
    }
}
