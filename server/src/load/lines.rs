//! NDJSON: read in chunks of lines, prepared on several threads, committed in the order of the file.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError, mpsc};

use fhirpath::{Issue, IssueType};
use interaction::{Failure, Imported, Prepared};
use serde::Deserialize;

use super::destination::{Destination, InProcess, Refused};
use super::resume::Done;
use super::sources::Source;
use super::{Load, LoadError};

/// Lines of a chunk, and so of a commit.
const CHUNK_LINES: usize = 1000;
/// A chunk with more bytes than this is closed early.
const CHUNK_BYTES: usize = 16 << 20;

/// Some lines of a file.
struct Chunk {
    /// Its place in the file, counted in chunks.
    number: usize,
    /// Number of the first line, from 1.
    first_line: u64,
    /// Lines of the file up to its end.
    lines_read: u64,
    /// The lines that are not blank, with their numbers.
    lines: Vec<(u64, Vec<u8>)>,
}

/// A chunk, and what was made of its lines.
struct Ready {
    chunk: Chunk,
    prepared: Vec<Result<Prepared, Failure>>,
}

/// Loads a file.
///
/// # Errors
/// It cannot be read, or the destination is gone.
pub(super) fn load(load: &Load<'_>, source: &Source) -> Result<(), LoadError> {
    let fault = |error| LoadError::Path { path: source.path.clone(), error };
    let digest = source.digest().map_err(fault)?;
    let passed = match load.record.of(&digest) {
        Done::All => {
            load.tally.passed_over.fetch_add(1, Relaxed);
            load.read.fetch_add(source.bytes, Relaxed);
            return Ok(());
        }
        Done::Lines(count) => count,
    };
    if load.again {
        load.remember(&digest, Done::Lines(0));
    }
    let place = source.path.display().to_string();
    let failed = load.tally.failed.load(Relaxed);
    let reader = BufReader::with_capacity(1 << 18, source.open(&load.read).map_err(fault)?);
    let mut chunks = Chunks { reader, number: 0, line: 0, passed };
    let work = Work { load, place: &place, digest: &digest, faultless: std::cell::Cell::new(true) };
    match load.destination {
        Destination::Store(here) => work.pipeline(here, &mut chunks).map_err(|error| match error {
            Stop::Read(error) => fault(error),
            Stop::Load(error) => error,
        })?,
        Destination::Server(_) => {
            while let Some(chunk) = chunks.next().map_err(fault)? {
                work.send(&chunk.lines)?;
                work.passed(chunk.lines_read);
            }
        }
    }
    if failed == load.tally.failed.load(Relaxed) {
        load.remember(&digest, Done::All);
    }
    Ok(())
}

/// Loads one resource.
///
/// # Errors
/// The destination is gone.
pub(super) fn single(load: &Load<'_>, place: &str, body: Vec<u8>) -> Result<(), LoadError> {
    let work = Work { load, place, digest: "", faultless: std::cell::Cell::new(true) };
    let lines = vec![(0, body)];
    match load.destination {
        Destination::Store(here) => work.in_order(here, lines),
        Destination::Server(_) => work.send(&lines),
    }
}

struct Chunks<R> {
    reader: R,
    number: usize,
    line: u64,
    passed: u64,
}

impl<R: BufRead> Chunks<R> {
    fn next(&mut self) -> std::io::Result<Option<Chunk>> {
        let (first_line, mut lines, mut bytes) =
            (self.line.max(self.passed) + 1, Vec::with_capacity(CHUNK_LINES), 0);
        while lines.len() < CHUNK_LINES && bytes < CHUNK_BYTES {
            let mut text = Vec::new();
            if self.reader.read_until(b'\n', &mut text)? == 0 {
                break;
            }
            self.line += 1;
            if self.line > self.passed && !text.trim_ascii().is_empty() {
                bytes += text.len();
                lines.push((self.line, text));
            }
        }
        if lines.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(Chunk { number: self.number - 1, first_line, lines_read: self.line, lines }))
    }
}

enum Stop {
    Read(std::io::Error),
    Load(LoadError),
}

struct Work<'a> {
    load: &'a Load<'a>,
    place: &'a str,
    digest: &'a str,
    /// Whether every line so far is stored; what follows a fault is not remembered, so that the line is tried again.
    faultless: std::cell::Cell<bool>,
}

impl Work<'_> {
    /// One thread reads, some prepare, this one commits.
    fn pipeline<R: BufRead + Send>(&self, here: &InProcess, chunks: &mut Chunks<R>) -> Result<(), Stop> {
        let jobs = self.load.jobs;
        let (to_prepare, waiting) = mpsc::sync_channel::<Chunk>(jobs);
        let (to_commit, ready) = mpsc::sync_channel::<Ready>(jobs + 1);
        let waiting = Mutex::new(waiting);
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                while let Some(chunk) = chunks.next()? {
                    if to_prepare.send(chunk).is_err() {
                        break;
                    }
                }
                Ok(())
            });
            for _ in 0..jobs {
                let (to_commit, waiting) = (to_commit.clone(), &waiting);
                scope.spawn(move || prepare(here, waiting, &to_commit));
            }
            drop(to_commit);
            let committed = self.commit_in_order(here, ready);
            // Unblocks the reader when committing ended early.
            while waiting.lock().unwrap_or_else(PoisonError::into_inner).try_recv().is_ok() {}
            match reader.join() {
                Ok(read) => read.map_err(Stop::Read)?,
                Err(_) => return Err(Stop::Load(LoadError::Destination("reading failed".to_owned()))),
            }
            committed.map_err(Stop::Load)
        })
    }

    fn commit_in_order(&self, here: &InProcess, ready: mpsc::Receiver<Ready>) -> Result<(), LoadError> {
        let mut early: BTreeMap<usize, Ready> = BTreeMap::new();
        let mut number = 0;
        for next in ready {
            early.insert(next.chunk.number, next);
            while let Some(next) = early.remove(&number) {
                number += 1;
                let lines_read = next.chunk.lines_read;
                self.commit(here, next)?;
                self.passed(lines_read);
            }
        }
        Ok(())
    }

    fn commit(&self, here: &InProcess, ready: Ready) -> Result<(), LoadError> {
        let Ready { chunk, prepared } = ready;
        let mut good = Vec::with_capacity(prepared.len());
        let mut faults = Vec::new();
        for (prepared, (line, _)) in prepared.into_iter().zip(&chunk.lines) {
            match prepared {
                Ok(prepared) => good.push(prepared),
                Err(failure) => faults.push((*line, failure)),
            }
        }
        let work = interaction::import(&here.service, &here.caller, good);
        match here.runtime.handle().block_on(work) {
            Ok(Some(imported)) => {
                self.count(&imported);
                for (line, failure) in faults {
                    self.fault(line, &failure.issues);
                }
                Ok(())
            }
            // An id that is there twice, or is being written by an earlier chunk.
            Ok(None) => self.in_order(here, chunk.lines),
            Err(failure) => Err(store_failed(&failure, chunk.first_line)),
        }
    }

    /// One after the other, in commits that end before an id that is there twice.
    fn in_order(&self, here: &InProcess, lines: Vec<(u64, Vec<u8>)>) -> Result<(), LoadError> {
        let mut group: Vec<Prepared> = Vec::new();
        for (line, body) in lines {
            let again = body.clone();
            match self.prepare(here, body) {
                Err(failure) => self.fault(line, &failure.issues),
                Ok(prepared) if group.iter().any(|other| other.key() == prepared.key()) => {
                    self.flush(here, std::mem::take(&mut group), line)?;
                    match self.prepare(here, again) {
                        Err(failure) => self.fault(line, &failure.issues),
                        Ok(prepared) => group.push(prepared),
                    }
                }
                Ok(prepared) => group.push(prepared),
            }
        }
        self.flush(here, group, 0)
    }

    fn prepare(&self, here: &InProcess, body: Vec<u8>) -> Result<Prepared, Failure> {
        here.runtime.handle().block_on(interaction::prepare(&here.service, &here.caller, body))
    }

    fn flush(&self, here: &InProcess, group: Vec<Prepared>, line: u64) -> Result<(), LoadError> {
        let work = interaction::import(&here.service, &here.caller, group);
        match here.runtime.handle().block_on(work) {
            Ok(Some(imported)) => {
                self.count(&imported);
                Ok(())
            }
            Ok(None) => Err(LoadError::Destination(
                "the store changed while it was written to; no other process should have it open".to_owned(),
            )),
            Err(failure) => Err(store_failed(&failure, line)),
        }
    }

    /// Over HTTP: a transaction of updates; if that is refused, a batch, which tells the good lines from the others.
    fn send(&self, lines: &[(u64, Vec<u8>)]) -> Result<(), LoadError> {
        let mut named = Vec::with_capacity(lines.len());
        for (line, body) in lines {
            match serde_json::from_slice::<Identity>(body) {
                Ok(identity) => named.push((*line, identity, body.as_slice())),
                Err(error) => {
                    let details = format!("Not a resource with a type and an id: {error}.");
                    self.fault(*line, &[Issue::error(IssueType::Invalid, details)]);
                }
            }
        }
        if named.is_empty() {
            return Ok(());
        }
        for form in ["transaction", "batch"] {
            match self.load.destination.bundle(bundle_of(form, &named)) {
                Ok(entries) => {
                    for ((line, ..), entry) in named.iter().zip(&entries) {
                        match entry.imported() {
                            Ok(imported) => self.load.count(imported),
                            Err(issues) => self.fault(*line, &issues),
                        }
                    }
                    return Ok(());
                }
                Err(Refused::Gone(error)) => return Err(error),
                Err(Refused::Issues(issues)) if form == "batch" => {
                    let first = named.first().map_or(0, |(line, ..)| *line);
                    self.fault(first, &issues);
                }
                Err(Refused::Issues(_)) => {}
            }
        }
        Ok(())
    }

    fn count(&self, imported: &[Imported]) {
        for imported in imported {
            self.load.count(*imported);
        }
    }

    fn fault(&self, line: u64, issues: &[Issue]) {
        self.faultless.set(false);
        let place = if line == 0 { self.place.to_owned() } else { format!("{}:{line}", self.place) };
        self.load.fault(&place, issues);
    }

    fn passed(&self, lines: u64) {
        if self.faultless.get() {
            self.load.remember(self.digest, Done::Lines(lines));
        }
        self.load.show();
    }
}

fn store_failed(failure: &Failure, line: u64) -> LoadError {
    let details: Vec<&str> = failure.issues.iter().map(|issue| issue.details.as_str()).collect();
    LoadError::Destination(format!("near line {line}, the store failed: {}", details.join(" ")))
}

fn prepare(here: &InProcess, waiting: &Mutex<mpsc::Receiver<Chunk>>, to_commit: &mpsc::SyncSender<Ready>) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(chunk) = next else { return };
        let prepared = here.runtime.handle().block_on(async {
            let mut prepared = Vec::with_capacity(chunk.lines.len());
            for (_, body) in &chunk.lines {
                prepared.push(interaction::prepare(&here.service, &here.caller, body.clone()).await);
            }
            prepared
        });
        if to_commit.send(Ready { chunk, prepared }).is_err() {
            return;
        }
    }
}

/// What an update by id needs to know of a line.
#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "resourceType")]
    resource_type: String,
    id: String,
}

fn bundle_of(form: &str, lines: &[(u64, Identity, &[u8])]) -> Vec<u8> {
    let size: usize = lines.iter().map(|(_, _, body)| body.len() + 120).sum();
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(
        format!("{{\"resourceType\":\"Bundle\",\"type\":\"{form}\",\"entry\":[").as_bytes(),
    );
    for (at, (_, identity, body)) in lines.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"resource\":");
        out.extend_from_slice(body.trim_ascii());
        let url = serde_json::Value::String(format!("{}/{}", identity.resource_type, identity.id));
        out.extend_from_slice(format!(",\"request\":{{\"method\":\"PUT\",\"url\":{url}}}}}").as_bytes());
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_know_their_lines() {
        let text = "a\n\n  \nb\n".to_owned() + &"c\n".repeat(CHUNK_LINES) + "last";
        let mut chunks = Chunks { reader: text.as_bytes(), number: 0, line: 0, passed: 1 };
        let first = chunks.next().unwrap().unwrap();
        assert_eq!((first.first_line, first.lines.len(), first.lines_read), (2, CHUNK_LINES, 1003));
        assert_eq!(first.lines.first(), Some(&(4, b"b\n".to_vec())));
        let second = chunks.next().unwrap().unwrap();
        assert_eq!(second.lines, [(1004, b"c\n".to_vec()), (1005, b"last".to_vec())]);
        assert!(chunks.next().unwrap().is_none());
    }

    #[test]
    fn lines_become_updates() {
        let identity = Identity { resource_type: "Patient".to_owned(), id: "1\"".to_owned() };
        let text = bundle_of("batch", &[(1, identity, b"{\"id\":\"1\\\"\"}\n")]);
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value.pointer("/entry/0/request/url").unwrap(), "Patient/1\"");
        assert_eq!(value.pointer("/type").unwrap(), "batch");
    }
}
