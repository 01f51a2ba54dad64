//! NDJSON: the files, as `bulk` imports them, and the record of what is loaded. Over HTTP, a chunk of lines is a transaction of
//! updates; if that is refused, a batch, which tells the good lines from the others.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;

use bulk::Control;
use bulk::import::{
    Committed, Counts, Done as Dealt, ImportError, Imported, Journal, Opened, Pipeline, Sources, Unready,
    import, import_line,
};
use fhirpath::{Issue, IssueType};
use serde::Deserialize;

use super::destination::{Destination, InProcess, Refused, updates_of};
use super::resume::Done;
use super::sources::Source;
use super::{Load, LoadError};
use crate::bulk_import::Records;

/// Most chunks, of a thousand lines each, of one commit.
const CHUNKS_OF_COMMIT: usize = 8;

/// Loads files.
///
/// # Errors
/// One cannot be read, or the destination is gone.
pub(super) fn load(load: &Load<'_>, sources: &[&Source]) -> Result<(), LoadError> {
    let digests: Vec<OnceLock<String>> = sources.iter().map(|_| OnceLock::new()).collect();
    let mut files = Files { load, sources, digests: &digests, number: 0 };
    let mut told = Told { load, sources, digests: &digests, faulty: None, broken: None };
    let mut pipeline = Pipeline {
        workers: load.jobs,
        chunks_of_commit: CHUNKS_OF_COMMIT,
        max_line_bytes: load.max_line_bytes,
        control: &|| Control::Go,
    };
    let ended = match load.destination {
        Destination::Store(here) => import(&pipeline, &mut files, &records(here), &mut told),
        Destination::Server(_) => {
            pipeline.chunks_of_commit = 1;
            import(&pipeline, &mut files, &Server { load }, &mut told)
        }
    };
    match (ended, told.broken) {
        (_, Some(broken)) => Err(broken),
        (Err(error), None) => Err(LoadError::Destination(error.to_string())),
        (Ok(()), None) => Ok(()),
    }
}

/// Loads one resource.
///
/// # Errors
/// The destination is gone.
pub(super) fn single(load: &Load<'_>, place: &str, body: &[u8]) -> Result<(), LoadError> {
    let loaded = match load.destination {
        Destination::Store(here) => import_line(&records(here), body, None),
        Destination::Server(_) => import_line(&Server { load }, body, None),
    };
    match loaded.map_err(|error| LoadError::Destination(error.to_string()))? {
        Ok((_, imported)) => load.count(imported),
        Err(issues) => load.fault(place, &issues),
    }
    Ok(())
}

fn records(here: &InProcess) -> Records<'_> {
    Records::new(&here.service, &here.caller, here.runtime.handle().clone())
}

/// The files that are not loaded yet.
struct Files<'a> {
    load: &'a Load<'a>,
    sources: &'a [&'a Source],
    digests: &'a [OnceLock<String>],
    number: usize,
}

impl Sources for Files<'_> {
    fn next(&mut self) -> Result<Option<Opened>, ImportError> {
        let load = self.load;
        while let (Some(source), Some(known)) = (self.sources.get(self.number), self.digests.get(self.number))
        {
            let number = self.number;
            self.number += 1;
            let opened = |passed, reader| Ok(Some(Opened { number, resource_type: None, passed, reader }));
            let digest = match source.digest() {
                Ok(digest) => known.get_or_init(|| digest),
                Err(error) => return opened(0, Err(error)),
            };
            let passed = match load.record.of(digest) {
                Done::All => {
                    load.tally.passed_over.fetch_add(1, Relaxed);
                    load.read.fetch_add(source.bytes, Relaxed);
                    continue;
                }
                Done::Lines(count) => count,
            };
            if load.again {
                load.remember(digest, Done::Lines(0));
            }
            return opened(passed, source.open(&load.read));
        }
        Ok(None)
    }
}

/// Tells the user, and the record of what is loaded.
struct Told<'a> {
    load: &'a Load<'a>,
    sources: &'a [&'a Source],
    digests: &'a [OnceLock<String>],
    /// The file whose last lines are not remembered: what follows a fault is not, so that the line is tried again.
    faulty: Option<usize>,
    /// A file that cannot be read.
    broken: Option<LoadError>,
}

impl Journal for Told<'_> {
    fn done(&mut self, done: Dealt) -> Result<(), ImportError> {
        let (load, number) = (self.load, done.source);
        let path = self.sources.get(number).map(|source| source.path.clone()).unwrap_or_default();
        for counts in done.counts.values() {
            load.count_all(counts);
        }
        for (line, issues) in &done.refused {
            self.faulty = Some(number);
            load.fault(&format!("{}:{line}", path.display()), issues);
        }
        if self.faulty != Some(number)
            && done.broken.is_none()
            && let Some(digest) = self.digests.get(number).and_then(OnceLock::get)
        {
            load.remember(digest, if done.is_last { Done::All } else { Done::Lines(done.lines) });
        }
        load.show();
        match done.broken {
            None => Ok(()),
            Some(error) => {
                let text = error.to_string();
                self.broken = Some(LoadError::Path { path, error });
                Err(ImportError::gone(IssueType::Exception, text))
            }
        }
    }
}

impl Load<'_> {
    /// Counts a resource that is stored.
    pub(super) fn count(&self, imported: Imported) {
        let mut counts = Counts::default();
        counts.add(imported);
        self.count_all(&counts);
    }

    /// Counts resources that are stored.
    fn count_all(&self, counts: &Counts) {
        self.tally.created.fetch_add(counts.created, Relaxed);
        self.tally.updated.fetch_add(counts.updated, Relaxed);
        self.tally.unchanged.fetch_add(counts.unchanged, Relaxed);
    }
}

/// A running server.
struct Server<'a> {
    load: &'a Load<'a>,
}

/// A line that is sent.
struct Update {
    url: String,
    body: Vec<u8>,
}

/// What an update by id needs to know of a line.
#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "resourceType")]
    resource_type: String,
    id: String,
}

impl bulk::import::Destination for Server<'_> {
    type Prepared = Update;

    fn prepare(&self, line: &[u8], _: Option<&str>) -> Result<Update, Unready> {
        let Identity { resource_type, id } = serde_json::from_slice(line).map_err(|error| {
            let details = format!("Not a resource with a type and an id: {error}.");
            Unready::Refused(vec![Issue::error(IssueType::Invalid, details)])
        })?;
        Ok(Update { url: format!("{resource_type}/{id}"), body: line.to_vec() })
    }

    fn key<'p>(&self, update: &'p Update) -> &'p str {
        &update.url
    }

    fn commit(&self, updates: Vec<Update>) -> Result<Committed, ImportError> {
        let mut refused = Vec::new();
        for form in ["transaction", "batch"] {
            let entries = updates.iter().map(|update| (update.url.clone(), update.body.as_slice()));
            match self.load.destination.bundle(updates_of(form, entries)) {
                Ok(entries) if entries.len() == updates.len() => {
                    return Ok(Committed::Done(entries.iter().map(|entry| entry.imported()).collect()));
                }
                Ok(entries) => {
                    let details =
                        format!("the server answered {} entries with {}", updates.len(), entries.len());
                    return Err(ImportError::gone(IssueType::Exception, details));
                }
                Err(Refused::Gone(error)) => {
                    return Err(ImportError::gone(IssueType::Transient, error.to_string()));
                }
                Err(Refused::Issues(issues)) => refused = issues,
            }
        }
        Ok(Committed::Refused(refused))
    }
}
