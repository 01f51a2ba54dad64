//! NDJSON: read in chunks of lines, prepared on several threads, committed in the order of the files. What is ready while a commit
//! is under way is the next commit, so that a slow disk makes larger commits, not idle threads.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use fhirpath::{Issue, IssueType};
use interaction::{Failure, Imported, Prepared};
use serde::Deserialize;

use super::destination::{Destination, InProcess, Refused, updates_of};
use super::resume::Done;
use super::sources::Source;
use super::{Load, LoadError};

/// Lines of a chunk.
const CHUNK_LINES: usize = 1000;
/// A chunk with more bytes than this is closed early.
const CHUNK_BYTES: usize = 4 << 20;
/// Most chunks that are ready and not yet committed, and so most of one commit.
const CHUNKS_READY: usize = 8;

/// A file under way.
struct LoadedFile {
    place: String,
    digest: String,
    /// Whether every line so far is stored; what follows a fault is not remembered, so that the line is tried again.
    faultless: AtomicBool,
}

/// Some lines of a file.
struct Chunk {
    /// Its place among all chunks.
    number: usize,
    file: Arc<LoadedFile>,
    /// Lines of the file up to its end.
    lines_read: u64,
    /// Whether the file ends here.
    is_last: bool,
    /// The lines that are not blank, with their numbers.
    lines: Vec<(u64, Vec<u8>)>,
}

/// A chunk, and what was made of its lines.
struct Ready {
    chunk: Chunk,
    prepared: Vec<Result<Prepared, Failure>>,
}

/// Loads files.
///
/// # Errors
/// One cannot be read, or the destination is gone.
pub(super) fn load(load: &Load<'_>, sources: &[&Source]) -> Result<(), LoadError> {
    let mut chunks = Chunks { load, sources, open: None, number: 0 };
    let work = Work { load };
    match load.destination {
        Destination::Store(here) => work.pipeline(here, &mut chunks),
        Destination::Server(_) => {
            while let Some(chunk) = chunks.next()? {
                work.send(&chunk.file, &chunk.lines)?;
                work.passed(&chunk);
            }
            Ok(())
        }
    }
}

/// Loads one resource.
///
/// # Errors
/// The destination is gone.
pub(super) fn single(load: &Load<'_>, place: &str, body: Vec<u8>) -> Result<(), LoadError> {
    let file =
        LoadedFile { place: place.to_owned(), digest: String::new(), faultless: AtomicBool::new(true) };
    let (work, lines) = (Work { load }, vec![(0, body)]);
    match load.destination {
        Destination::Store(here) => work.in_order(here, &file, lines),
        Destination::Server(_) => work.send(&file, &lines),
    }
}

/// The chunks of all files that are not loaded yet.
struct Chunks<'a> {
    load: &'a Load<'a>,
    sources: &'a [&'a Source],
    open: Option<OpenFile>,
    number: usize,
}

struct OpenFile {
    file: Arc<LoadedFile>,
    lines: Lines<BufReader<Box<dyn Read + Send>>>,
}

impl Chunks<'_> {
    fn next(&mut self) -> Result<Option<Chunk>, LoadError> {
        if self.open.is_none() {
            self.open = self.open_next()?;
        }
        let Some(OpenFile { file, lines }) = &mut self.open else { return Ok(None) };
        let read = lines.next();
        let read = read.map_err(|error| LoadError::Path { path: file.place.clone().into(), error })?;
        let is_last = read.len() < CHUNK_LINES && lines.is_at_end;
        let (number, file, lines_read) = (self.number, Arc::clone(file), lines.line);
        self.number += 1;
        if is_last {
            self.open = None;
        }
        Ok(Some(Chunk { number, file, lines_read, is_last, lines: read }))
    }

    fn open_next(&mut self) -> Result<Option<OpenFile>, LoadError> {
        let load = self.load;
        while let Some((source, rest)) = self.sources.split_first() {
            self.sources = rest;
            let fault = |error| LoadError::Path { path: source.path.clone(), error };
            let digest = source.digest().map_err(fault)?;
            let passed = match load.record.of(&digest) {
                Done::All => {
                    load.tally.passed_over.fetch_add(1, Relaxed);
                    load.read.fetch_add(source.bytes, Relaxed);
                    continue;
                }
                Done::Lines(count) => count,
            };
            if load.again {
                load.remember(&digest, Done::Lines(0));
            }
            let reader = BufReader::with_capacity(1 << 18, source.open(&load.read).map_err(fault)?);
            let place = source.path.display().to_string();
            let file = Arc::new(LoadedFile { place, digest, faultless: AtomicBool::new(true) });
            return Ok(Some(OpenFile { file, lines: Lines { reader, line: 0, passed, is_at_end: false } }));
        }
        Ok(None)
    }
}

/// The lines of a file, those after the first `passed`.
struct Lines<R> {
    reader: R,
    line: u64,
    passed: u64,
    is_at_end: bool,
}

impl<R: BufRead> Lines<R> {
    /// A chunk of them; shorter than a whole one only by its bytes or at the end.
    fn next(&mut self) -> std::io::Result<Vec<(u64, Vec<u8>)>> {
        let (mut lines, mut bytes) = (Vec::with_capacity(CHUNK_LINES), 0);
        while lines.len() < CHUNK_LINES && bytes < CHUNK_BYTES {
            let mut text = Vec::new();
            if self.reader.read_until(b'\n', &mut text)? == 0 {
                self.is_at_end = true;
                break;
            }
            self.line += 1;
            if self.line > self.passed && !text.trim_ascii().is_empty() {
                bytes += text.len();
                lines.push((self.line, text));
            }
        }
        Ok(lines)
    }
}

struct Work<'a> {
    load: &'a Load<'a>,
}

impl Work<'_> {
    /// One thread reads, some prepare, this one commits.
    fn pipeline(&self, here: &InProcess, chunks: &mut Chunks<'_>) -> Result<(), LoadError> {
        let jobs = self.load.jobs;
        let (to_prepare, waiting) = mpsc::sync_channel::<Chunk>(jobs);
        let (to_commit, ready) = mpsc::sync_channel::<Ready>(CHUNKS_READY);
        let waiting = Arc::new(Mutex::new(waiting));
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                while let Some(chunk) = chunks.next()? {
                    // Nobody prepares any more when committing failed.
                    if to_prepare.send(chunk).is_err() {
                        break;
                    }
                }
                Ok(())
            });
            for _ in 0..jobs {
                let (to_commit, waiting) = (to_commit.clone(), Arc::clone(&waiting));
                scope.spawn(move || prepare(here, &waiting, &to_commit));
            }
            drop((to_commit, waiting));
            let committed = self.commit_in_order(here, ready);
            let read = reader.join();
            committed?;
            read.unwrap_or_else(|_| Err(LoadError::Destination("reading the files failed".to_owned())))
        })
    }

    fn commit_in_order(&self, here: &InProcess, ready: mpsc::Receiver<Ready>) -> Result<(), LoadError> {
        let mut early: BTreeMap<usize, Ready> = BTreeMap::new();
        let mut number = 0;
        while let Ok(next) = ready.recv() {
            early.insert(next.chunk.number, next);
            early.extend(ready.try_iter().map(|next| (next.chunk.number, next)));
            let mut group = Vec::new();
            while group.len() < CHUNKS_READY
                && let Some(next) = early.remove(&(number + group.len()))
            {
                group.push(next);
            }
            number += group.len();
            self.commit(here, group)?;
        }
        // What is left when the channel is empty is in order by now.
        self.commit(here, early.into_values().collect())
    }

    fn commit(&self, here: &InProcess, group: Vec<Ready>) -> Result<(), LoadError> {
        let Some(first) = group.first().map(|ready| Arc::clone(&ready.chunk.file)) else { return Ok(()) };
        let (mut good, mut faults, mut chunks) = (Vec::new(), Vec::new(), Vec::with_capacity(group.len()));
        for Ready { chunk, prepared } in group {
            for (prepared, (line, _)) in prepared.into_iter().zip(&chunk.lines) {
                match prepared {
                    Ok(prepared) => good.push(prepared),
                    Err(failure) => faults.push((Arc::clone(&chunk.file), *line, failure)),
                }
            }
            chunks.push(chunk);
        }
        let work = interaction::import(&here.service, &here.caller, good);
        match here.runtime.handle().block_on(work) {
            Ok(Some(imported)) => {
                self.count(&imported);
                for (file, line, failure) in &faults {
                    self.fault(file, *line, &failure.issues);
                }
                for chunk in &chunks {
                    self.passed(chunk);
                }
            }
            // An id that is there twice, or was being written by an earlier commit.
            Ok(None) => {
                for mut chunk in chunks {
                    self.in_order(here, &chunk.file, std::mem::take(&mut chunk.lines))?;
                    self.passed(&chunk);
                }
            }
            Err(failure) => return Err(store_failed(&failure, &first)),
        }
        Ok(())
    }

    /// One after the other, in commits that end before an id that is there twice.
    fn in_order(
        &self,
        here: &InProcess,
        file: &LoadedFile,
        lines: Vec<(u64, Vec<u8>)>,
    ) -> Result<(), LoadError> {
        let mut group: Vec<Prepared> = Vec::new();
        for (line, body) in lines {
            let again = body.clone();
            match self.prepare(here, body) {
                Err(failure) => self.fault(file, line, &failure.issues),
                Ok(prepared) if group.iter().any(|other| other.key() == prepared.key()) => {
                    self.flush(here, file, std::mem::take(&mut group))?;
                    match self.prepare(here, again) {
                        Err(failure) => self.fault(file, line, &failure.issues),
                        Ok(prepared) => group.push(prepared),
                    }
                }
                Ok(prepared) => group.push(prepared),
            }
        }
        self.flush(here, file, group)
    }

    fn prepare(&self, here: &InProcess, body: Vec<u8>) -> Result<Prepared, Failure> {
        here.runtime.handle().block_on(interaction::prepare(&here.service, &here.caller, body))
    }

    fn flush(&self, here: &InProcess, file: &LoadedFile, group: Vec<Prepared>) -> Result<(), LoadError> {
        let work = interaction::import(&here.service, &here.caller, group);
        match here.runtime.handle().block_on(work) {
            Ok(Some(imported)) => {
                self.count(&imported);
                Ok(())
            }
            Ok(None) => Err(LoadError::Destination(
                "the store changed while it was written to; no other process should have it open".to_owned(),
            )),
            Err(failure) => Err(store_failed(&failure, file)),
        }
    }

    /// Over HTTP: a transaction of updates; if that is refused, a batch, which tells the good lines from the others.
    fn send(&self, file: &LoadedFile, lines: &[(u64, Vec<u8>)]) -> Result<(), LoadError> {
        let mut named = Vec::with_capacity(lines.len());
        for (line, body) in lines {
            match serde_json::from_slice::<Identity>(body) {
                Ok(identity) => named.push((*line, identity, body.as_slice())),
                Err(error) => {
                    let details = format!("Not a resource with a type and an id: {error}.");
                    self.fault(file, *line, &[Issue::error(IssueType::Invalid, details)]);
                }
            }
        }
        if named.is_empty() {
            return Ok(());
        }
        for form in ["transaction", "batch"] {
            let updates = named.iter().map(|(_, identity, body)| (identity.url(), *body));
            match self.load.destination.bundle(updates_of(form, updates)) {
                Ok(entries) => {
                    for ((line, ..), entry) in named.iter().zip(&entries) {
                        match entry.imported() {
                            Ok(imported) => self.load.count(imported),
                            Err(issues) => self.fault(file, *line, &issues),
                        }
                    }
                    return Ok(());
                }
                Err(Refused::Gone(error)) => return Err(error),
                Err(Refused::Issues(issues)) if form == "batch" => {
                    let first = named.first().map_or(0, |(line, ..)| *line);
                    self.fault(file, first, &issues);
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

    fn fault(&self, file: &LoadedFile, line: u64, issues: &[Issue]) {
        file.faultless.store(false, Relaxed);
        let place = if line == 0 { file.place.clone() } else { format!("{}:{line}", file.place) };
        self.load.fault(&place, issues);
    }

    fn passed(&self, chunk: &Chunk) {
        if chunk.file.faultless.load(Relaxed) {
            let done = if chunk.is_last { Done::All } else { Done::Lines(chunk.lines_read) };
            self.load.remember(&chunk.file.digest, done);
        }
        self.load.show();
    }
}

fn store_failed(failure: &Failure, file: &LoadedFile) -> LoadError {
    let details: Vec<&str> = failure.issues.iter().map(|issue| issue.details.as_str()).collect();
    LoadError::Destination(format!("at {}, the store failed: {}", file.place, details.join(" ")))
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

impl Identity {
    fn url(&self) -> String {
        format!("{}/{}", self.resource_type, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_know_their_lines() {
        let text = "a\n\n  \nb\n".to_owned() + &"c\n".repeat(CHUNK_LINES) + "last";
        let mut lines = Lines { reader: text.as_bytes(), line: 0, passed: 1, is_at_end: false };
        let first = lines.next().unwrap();
        assert_eq!((first.len(), lines.line, lines.is_at_end), (CHUNK_LINES, 1003, false));
        assert_eq!(first.first(), Some(&(4, b"b\n".to_vec())));
        assert_eq!(lines.next().unwrap(), [(1004, b"c\n".to_vec()), (1005, b"last".to_vec())]);
        assert!(lines.is_at_end);
    }
}
