//! One thread reads, some make ready, one commits, in the order of the sources. What is ready while a commit is under way is the next
//! commit, so that a slow disk makes larger commits, not idle threads. Channels are short: memory is bounded whatever is read.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use fhirpath::{Issue, IssueType};

use super::destination::{
    Committed, Destination, Done, ImportError, Imported, Journal, Opened, Sources, Unready,
};
use super::lines::Lines;
use crate::Control;

/// Bytes of a source read at once.
const BUFFER: usize = 256 << 10;
/// How often a line is tried whose resource others keep changing.
const TRIES: usize = 16;

/// How an import runs.
pub struct Pipeline<'e> {
    /// Threads that make lines ready.
    pub workers: usize,
    /// Most chunks, of a thousand lines or a few megabytes each, of one commit.
    pub chunks_of_commit: usize,
    /// Most bytes of a line.
    pub max_line_bytes: usize,
    /// Asked before each commit.
    pub control: &'e (dyn Fn() -> Control + Sync),
}

/// Some lines of a source.
struct Chunk {
    /// Its place among all chunks.
    number: usize,
    resource_type: Option<Arc<str>>,
    lines: Vec<(u64, Vec<u8>)>,
    done: Done,
}

/// A chunk, and what was made of its lines.
struct Ready<P> {
    chunk: Chunk,
    prepared: Vec<Result<P, Unready>>,
}

/// Imports everything there is. Waits; so it is not for a thread that others wait for.
///
/// # Errors
/// The import cannot go on; what the journal was told is done.
pub fn import<D: Destination>(
    pipeline: &Pipeline<'_>,
    sources: &mut dyn Sources,
    destination: &D,
    journal: &mut dyn Journal,
) -> Result<(), ImportError> {
    let workers = pipeline.workers.max(1);
    let (to_prepare, waiting) = mpsc::sync_channel::<Chunk>(workers);
    let (to_commit, ready) = mpsc::sync_channel::<Ready<D::Prepared>>(pipeline.chunks_of_commit.max(1));
    // One slow chunk must not have all after it wait in memory.
    let (under_way, committed) = mpsc::sync_channel::<()>(workers + 2 * pipeline.chunks_of_commit.max(1));
    let waiting = Arc::new(Mutex::new(waiting));
    let mut chunks = Chunks { sources, open: None, number: 0, max_line_bytes: pipeline.max_line_bytes };
    let died = || ImportError::Files(std::io::Error::other("a thread of an import died"));
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            while let Some(chunk) = chunks.next()? {
                // Nobody is there any more when committing failed.
                if under_way.send(()).is_err() || to_prepare.send(chunk).is_err() {
                    break;
                }
            }
            Ok(())
        });
        for _ in 0..workers {
            let (to_commit, waiting) = (to_commit.clone(), Arc::clone(&waiting));
            scope.spawn(move || prepare(destination, &waiting, &to_commit));
        }
        drop((to_commit, waiting));
        // Not on this thread, which may be one of a runtime that the destination waits on.
        let mut committer = Committer { pipeline, destination, journal, committed };
        let committer = scope.spawn(move || committer.in_order(&ready));
        let ended = committer.join().unwrap_or_else(|_| Err(died()));
        let read = reader.join().unwrap_or_else(|_| Err(died()));
        ended.and(read)
    })
}

fn prepare<D: Destination>(
    destination: &D,
    waiting: &Mutex<mpsc::Receiver<Chunk>>,
    to_commit: &mpsc::SyncSender<Ready<D::Prepared>>,
) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(chunk) = next else { return };
        let kind = chunk.resource_type.as_deref();
        let prepared = chunk.lines.iter().map(|(_, line)| destination.prepare(line, kind)).collect();
        if to_commit.send(Ready { chunk, prepared }).is_err() {
            return;
        }
    }
}

/// The chunks of all sources.
struct Chunks<'s> {
    sources: &'s mut dyn Sources,
    open: Option<Open>,
    number: usize,
    max_line_bytes: usize,
}

struct Open {
    source: usize,
    resource_type: Option<Arc<str>>,
    lines: Lines<BufReader<Box<dyn Read + Send>>>,
}

impl Chunks<'_> {
    fn next(&mut self) -> Result<Option<Chunk>, ImportError> {
        if self.open.is_none() {
            let Some(Opened { number, resource_type, passed, reader }) = self.sources.next()? else {
                return Ok(None);
            };
            match reader {
                Ok(reader) => {
                    let reader = BufReader::with_capacity(BUFFER, reader);
                    let lines = Lines::new(reader, passed, self.max_line_bytes);
                    let resource_type = resource_type.map(Arc::from);
                    self.open = Some(Open { source: number, resource_type, lines });
                }
                Err(error) => {
                    let done = Done {
                        source: number,
                        lines: passed,
                        is_last: true,
                        counts: BTreeMap::new(),
                        refused: Vec::new(),
                        broken: Some(error),
                    };
                    return Ok(Some(self.chunk(None, Vec::new(), done)));
                }
            }
        }
        let max_bytes = self.max_line_bytes;
        let Some(Open { source, resource_type, lines }) = &mut self.open else { return Ok(None) };
        let part = lines.next();
        let done = Done {
            source: *source,
            lines: lines.number,
            is_last: part.is_last,
            counts: BTreeMap::new(),
            refused: part.too_long.iter().map(|line| (*line, vec![too_long(max_bytes)])).collect(),
            broken: part.broken,
        };
        let resource_type = resource_type.clone();
        if done.is_last {
            self.open = None;
        }
        Ok(Some(self.chunk(resource_type, part.lines, done)))
    }

    fn chunk(&mut self, resource_type: Option<Arc<str>>, lines: Vec<(u64, Vec<u8>)>, done: Done) -> Chunk {
        let number = self.number;
        self.number += 1;
        Chunk { number, resource_type, lines, done }
    }
}

fn too_long(max_bytes: usize) -> Issue {
    let details = format!(
        "The line is longer than {max_bytes} bytes, the most that is read (import_line_bytes); it was passed over."
    );
    Issue::error(IssueType::TooLong, details)
}

struct Committer<'e, D> {
    pipeline: &'e Pipeline<'e>,
    destination: &'e D,
    journal: &'e mut dyn Journal,
    /// One for each chunk that is dealt with.
    committed: mpsc::Receiver<()>,
}

impl<D: Destination> Committer<'_, D> {
    fn in_order(&mut self, ready: &mpsc::Receiver<Ready<D::Prepared>>) -> Result<(), ImportError> {
        let mut early: BTreeMap<usize, Ready<D::Prepared>> = BTreeMap::new();
        let mut number = 0;
        while let Ok(next) = ready.recv() {
            early.insert(next.chunk.number, next);
            early.extend(ready.try_iter().map(|next| (next.chunk.number, next)));
            // What comes late is waited for, but no more than a commit is kept.
            loop {
                let mut group = Vec::new();
                while group.len() < self.pipeline.chunks_of_commit.max(1)
                    && let Some(next) = early.remove(&(number + group.len()))
                {
                    group.push(next);
                }
                if group.is_empty() {
                    break;
                }
                number += group.len();
                self.commit(group)?;
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ImportError> {
        match (self.pipeline.control)() {
            Control::Go => Ok(()),
            Control::Stop => Err(ImportError::Stopping),
            Control::Cancel => Err(ImportError::Cancelled),
        }
    }

    fn commit(&mut self, group: Vec<Ready<D::Prepared>>) -> Result<(), ImportError> {
        self.check()?;
        let (mut chunks, mut good, mut of) = (Vec::with_capacity(group.len()), Vec::new(), Vec::new());
        for Ready { mut chunk, prepared } in group {
            for (prepared, (line, _)) in prepared.into_iter().zip(&chunk.lines) {
                match prepared {
                    Ok(prepared) => {
                        of.push((chunks.len(), *line, kind(self.destination.key(&prepared)).to_owned()));
                        good.push(prepared);
                    }
                    Err(Unready::Refused(issues)) => chunk.done.refused.push((*line, issues)),
                    Err(Unready::Failed(error)) => return Err(error),
                }
            }
            chunks.push(chunk);
        }
        let committed = match good.is_empty() {
            true => Committed::Done(Vec::new()),
            false => self.destination.commit(good)?,
        };
        match committed {
            Committed::Done(outcomes) => {
                for ((chunk, line, kind), outcome) in of.into_iter().zip(outcomes) {
                    if let Some(chunk) = chunks.get_mut(chunk) {
                        record(&mut chunk.done, line, kind, outcome);
                    }
                }
            }
            Committed::Again | Committed::Refused(_) => {
                for chunk in &mut chunks {
                    // Refusals are found again with the others.
                    let lines = std::mem::take(&mut chunk.lines);
                    let known: Vec<u64> = chunk.done.refused.iter().map(|(line, _)| *line).collect();
                    let rest: Vec<_> = lines.iter().filter(|(line, _)| !known.contains(line)).collect();
                    let kind = chunk.resource_type.clone();
                    self.one_after_the_other(&rest, kind.as_deref(), &mut chunk.done)?;
                }
            }
        }
        for mut chunk in chunks {
            chunk.done.refused.sort_by_key(|(line, _)| *line);
            self.journal.done(chunk.done)?;
            let _ = self.committed.try_recv();
        }
        Ok(())
    }

    /// In commits that end before a resource that is there twice.
    fn one_after_the_other(
        &self,
        lines: &[&(u64, Vec<u8>)],
        resource_type: Option<&str>,
        done: &mut Done,
    ) -> Result<(), ImportError> {
        let (mut group, mut of) = (Vec::new(), Vec::new());
        let mut keys = rustc_hash::FxHashSet::default();
        for line in lines {
            let mut prepared = self.destination.prepare(&line.1, resource_type);
            if let Ok(same) = &prepared
                && keys.contains(self.destination.key(same))
            {
                keys.clear();
                self.flush(std::mem::take(&mut of), std::mem::take(&mut group), resource_type, done)?;
                prepared = self.destination.prepare(&line.1, resource_type);
            }
            match prepared {
                Ok(prepared) => {
                    keys.insert(self.destination.key(&prepared).to_owned());
                    group.push(prepared);
                    of.push(*line);
                }
                Err(Unready::Refused(issues)) => done.refused.push((line.0, issues)),
                Err(Unready::Failed(error)) => return Err(error),
            }
        }
        self.flush(of, group, resource_type, done)
    }

    /// Commits; what is refused, or was changed meanwhile, is found by halves.
    fn flush(
        &self,
        lines: Vec<&(u64, Vec<u8>)>,
        group: Vec<D::Prepared>,
        resource_type: Option<&str>,
        done: &mut Done,
    ) -> Result<(), ImportError> {
        let Some(first) = lines.first() else { return Ok(()) };
        self.check()?;
        let kinds: Vec<String> = group.iter().map(|it| kind(self.destination.key(it)).to_owned()).collect();
        match self.destination.commit(group)? {
            Committed::Done(outcomes) => {
                for ((line, kind), outcome) in lines.into_iter().zip(kinds).zip(outcomes) {
                    record(done, line.0, kind, outcome);
                }
                Ok(())
            }
            Committed::Again | Committed::Refused(_) if lines.len() > 1 => {
                let (one, other) = lines.split_at(lines.len() / 2);
                self.one_after_the_other(one, resource_type, done)?;
                self.one_after_the_other(other, resource_type, done)
            }
            Committed::Refused(issues) => {
                done.refused.push((first.0, issues));
                Ok(())
            }
            Committed::Again => {
                match import_line(self.destination, &first.1, resource_type)? {
                    Ok((kind, imported)) => record(done, first.0, kind, Ok(imported)),
                    Err(issues) => done.refused.push((first.0, issues)),
                }
                Ok(())
            }
        }
    }
}

/// What became of a line: its type, and that.
pub type OfLine = Result<(String, Imported), Vec<Issue>>;

/// Imports one line, again while others are changing its resource. Waits.
///
/// # Errors
/// The destination is gone.
pub fn import_line<D: Destination>(
    destination: &D,
    line: &[u8],
    resource_type: Option<&str>,
) -> Result<OfLine, ImportError> {
    for _ in 0..TRIES {
        let prepared = match destination.prepare(line, resource_type) {
            Ok(prepared) => prepared,
            Err(Unready::Refused(issues)) => return Ok(Err(issues)),
            Err(Unready::Failed(error)) => return Err(error),
        };
        let kind = kind(destination.key(&prepared)).to_owned();
        match destination.commit(vec![prepared])? {
            Committed::Again => {}
            Committed::Refused(issues) => return Ok(Err(issues)),
            Committed::Done(mut outcomes) => {
                let outcome = outcomes.pop();
                let outcome = outcome.ok_or_else(|| {
                    ImportError::gone(IssueType::Exception, "Nothing is said of what became of a resource.")
                })?;
                return Ok(outcome.map(|imported| (kind, imported)));
            }
        }
    }
    let details = "Others kept changing the resource; the line was not imported. Import it again.";
    Ok(Err(vec![Issue::error(IssueType::Conflict, details)]))
}

fn record(done: &mut Done, line: u64, kind: String, outcome: Result<Imported, Vec<Issue>>) {
    match outcome {
        Ok(imported) => done.counts.entry(kind).or_default().add(imported),
        Err(issues) => done.refused.push((line, issues)),
    }
}

/// The type of a key.
fn kind(key: &str) -> &str {
    key.split_once('/').map_or(key, |(kind, _)| kind)
}
