//! Runs a job from where it stands to its end. Whatever happens, what is in finished files is not written again: the job's position is
//! saved with each finished file, and the rest is found by reading the files back.

use std::collections::BTreeSet;

use fhirpath::Issue;

use crate::job::{File, Job, Jobs, Position, Section, Stage};
use crate::source::{Source, Wanted};
use crate::table::Tables;
use crate::writer::{Output, Writer};
use crate::{ExportError, Level, manifest, organized, referred, scan};

/// Most resources of a type that may be changed while it is exported.
pub const MAX_CHANGED: usize = 200_000;
/// Patients whose compartments are asked for at once.
const PART: usize = 200;
/// Resources asked for by id at once.
pub(crate) const STEP: usize = 100;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Yes.
    Go,
    /// The server stops.
    Stop,
    /// Nobody wants the job any more.
    Cancel,
}

/// What a job runs in.
pub struct Environment<'e> {
    /// What it reads.
    pub source: &'e dyn Source,
    /// Where its files go.
    pub output: &'e dyn Output,
    /// Where it is kept.
    pub jobs: &'e dyn Jobs,
    /// The URL below which its files are had.
    pub url: &'e str,
    /// The size at which a file is ended.
    pub file_bytes: u64,
    /// Asked before each page.
    pub control: &'e (dyn Fn() -> Control + Sync),
    /// What makes rows of resources, where views are asked for.
    pub tables: Option<&'e dyn Tables>,
    /// Told after each page how many resources have been written in this run.
    pub progress: &'e (dyn Fn(u64) + Sync),
}

/// A job under way.
pub(crate) struct Run<'e, 'j> {
    pub(crate) environment: &'e Environment<'e>,
    pub(crate) job: &'j mut Job,
    pub(crate) writer: Writer<'e>,
    pub(crate) patients: Option<Vec<String>>,
    written: u64,
}

/// Runs a job to its end. Saves its position, not its end.
///
/// # Errors
/// Why it ended before; after [`ExportError::Stopping`] it can be run again.
pub async fn run(environment: &Environment<'_>, job: &mut Job) -> Result<(), ExportError> {
    let patients = environment.jobs.patients(&job.id)?;
    let writer = Writer::new(environment.output, environment.jobs, environment.file_bytes);
    let mut run = Run { environment, job, writer, patients, written: 0 };
    let mut at = run.job.position.clone();
    while at.stage != Stage::Done {
        at = run.stage(at).await?;
    }
    run.job.position = at;
    Ok(())
}

impl Run<'_, '_> {
    /// Does a stage for one type, and gives what comes next.
    async fn stage(&mut self, at: Position) -> Result<Position, ExportError> {
        let kind = self.job.request.types.get(at.index).cloned();
        let next = |stage, after| Position::at(stage, after);
        match (at.stage, kind) {
            (Stage::Walk, _) if self.job.request.organized => {
                organized::write(self, at.part).await?;
                Ok(next(Stage::Deleted, 0))
            }
            (Stage::Walk, Some(kind)) => {
                let index = at.index;
                self.walk(&kind, at).await?;
                Ok(next(Stage::Changed, index))
            }
            (Stage::Changed, Some(kind)) => {
                self.changed(&kind, &at).await?;
                let after = next(Stage::Walk, at.index + 1);
                self.writer.finish(self.job, &after)?;
                self.some_table(at.index, &after)?;
                Ok(after)
            }
            (Stage::Walk | Stage::Changed, None) => Ok(next(Stage::Deleted, 0)),
            (Stage::Deleted, Some(kind)) => {
                let index = at.index;
                // Rows that are no more cannot be named.
                if self.job.request.since_ms.is_some() && self.job.request.views.is_none() {
                    self.deleted(&kind, at).await?;
                }
                Ok(next(Stage::Deleted, index + 1))
            }
            (Stage::Deleted, None) => {
                let after = next(Stage::Referred, 0);
                self.writer.finish(self.job, &after)?;
                Ok(after)
            }
            (Stage::Referred, _) => {
                // Where files are organized, it stands beside what refers to it.
                let request = &self.job.request;
                if request.level != Level::System && !request.organized && request.views.is_none() {
                    referred::write(self).await?;
                }
                Ok(next(Stage::Described, 0))
            }
            (Stage::Described, _) => {
                if self.job.request.documented {
                    self.described(&at).await?;
                }
                Ok(next(Stage::Notes, 0))
            }
            (Stage::Notes, _) => {
                self.notes()?;
                Ok(next(Stage::Done, 0))
            }
            (Stage::Done, _) => Ok(at),
        }
    }

    /// Writes what is current and was not changed since the snapshot.
    async fn walk(&mut self, kind: &str, mut at: Position) -> Result<(), ExportError> {
        let count = self.patients.as_ref().map(Vec::len);
        loop {
            let part = at.part..count.map_or(0, |count| count.min(at.part + PART));
            if count.is_some_and(|count| at.part >= count) {
                return Ok(());
            }
            self.check()?;
            let request = self.job.request.clone();
            let wanted = Wanted {
                request: &request,
                snapshot_ms: self.job.snapshot_ms,
                resource_type: kind,
                patients: self.patients.as_deref(),
                part: part.clone(),
            };
            let page = self.environment.source.page(&wanted, at.cursor.as_deref()).await?;
            for line in &page.resources {
                self.put(at.index, kind, line)?;
            }
            self.tell(page.resources.len());
            let is_last = page.next.is_none();
            at = match page.next {
                Some(cursor) => Position { cursor: Some(cursor), ..at },
                None => Position { part: part.end, cursor: None, ..at },
            };
            if is_last && count.is_none_or(|count| at.part >= count) {
                return Ok(());
            }
            if self.writer.is_full() {
                self.writer.finish(self.job, &at)?;
            }
        }
    }

    /// Writes what was changed since the snapshot and is in no file yet. It may be done again from its beginning.
    async fn changed(&mut self, kind: &str, at: &Position) -> Result<(), ExportError> {
        let request = self.job.request.clone();
        let patients = self.patients.clone();
        let all = patients.as_ref().map_or(0, Vec::len);
        let wanted = Wanted {
            request: &request,
            snapshot_ms: self.job.snapshot_ms,
            resource_type: kind,
            patients: patients.as_deref(),
            part: 0..all,
        };
        let mut missing = self.changed_ids(&wanted).await?;
        if missing.is_empty() {
            return Ok(());
        }
        self.writer.finish(self.job, at)?;
        match self.environment.tables {
            None => self.leave_out_written(kind, &mut missing)?,
            Some(_) => self.leave_out_in_table(at.index, &mut missing)?,
        }
        let ids: Vec<String> = missing.into_iter().collect();
        for ids in ids.chunks(STEP) {
            self.check()?;
            for line in self.environment.source.at_snapshot(&wanted, ids).await? {
                self.put(at.index, kind, &line)?;
                if self.writer.is_full() {
                    self.writer.finish(self.job, at)?;
                }
            }
            self.tell(ids.len());
        }
        Ok(())
    }

    /// The resources of a type that were changed since the snapshot.
    pub(crate) async fn changed_ids(&mut self, wanted: &Wanted<'_>) -> Result<BTreeSet<String>, ExportError> {
        let (mut ids, mut cursor) = (BTreeSet::new(), None);
        loop {
            self.check()?;
            let page = self.environment.source.changed(wanted, cursor.as_deref()).await?;
            ids.extend(page.ids);
            if ids.len() > MAX_CHANGED {
                let kind = wanted.resource_type;
                let details = format!(
                    "More than {MAX_CHANGED} resources of type {kind} were changed while they were exported; ask again when less is written."
                );
                return Err(ExportError::too_costly(details));
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(ids);
            }
        }
    }

    /// Writes a Bundle for each resource that was deleted.
    async fn deleted(&mut self, kind: &str, mut at: Position) -> Result<(), ExportError> {
        let request = self.job.request.clone();
        // The list of all patients at the snapshot leaves out those that were deleted before.
        let patients = self.patients.clone().filter(|_| !request.is_of_all());
        let wanted = Wanted {
            request: &request,
            snapshot_ms: self.job.snapshot_ms,
            resource_type: kind,
            patients: patients.as_deref(),
            part: 0..patients.as_ref().map_or(0, Vec::len),
        };
        loop {
            self.check()?;
            let page = self.environment.source.deleted(&wanted, at.cursor.as_deref()).await?;
            for id in &page.ids {
                let line = manifest::deletion(kind, id);
                self.writer.line(self.job, Section::Deleted, "Bundle", line.as_bytes())?;
            }
            let Some(cursor) = page.next else { return Ok(()) };
            at.cursor = Some(cursor);
            if self.writer.is_full() {
                self.writer.finish(self.job, &at)?;
            }
        }
    }

    /// Writes a resource of the type of a number, or its rows.
    fn put(&mut self, index: usize, kind: &str, line: &[u8]) -> Result<(), ExportError> {
        match self.environment.tables {
            None => self.writer.line(self.job, Section::Output, kind, line),
            Some(tables) => self.writer.rows(self.job, tables, index, line),
        }
    }

    /// Sees to it that a view has a file, if only one without rows.
    fn some_table(&mut self, index: usize, after: &Position) -> Result<(), ExportError> {
        let Some(tables) = self.environment.tables else { return Ok(()) };
        if self.job.files.iter().any(|file| file.view == Some(index)) {
            return Ok(());
        }
        self.writer.open_table(self.job, tables, index)?;
        self.writer.finish(self.job, after)
    }

    /// Takes the ids whose rows are in finished files out of some.
    fn leave_out_in_table(&self, index: usize, ids: &mut BTreeSet<String>) -> Result<(), ExportError> {
        let of_view = |file: &&File| file.section == Section::Ids && file.view == Some(index);
        for file in self.job.files.iter().filter(of_view) {
            scan::lines(self.environment.output, &self.job.id, &file.name, |line| {
                if let Ok(id) = std::str::from_utf8(line.trim_ascii_end()) {
                    ids.remove(id);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Takes the ids that are in finished files out of some.
    pub(crate) fn leave_out_written(
        &self,
        kind: &str,
        ids: &mut BTreeSet<String>,
    ) -> Result<(), ExportError> {
        let written = self.job.files.iter();
        for file in written.filter(|file| file.section == Section::Output && file.resource_type == kind) {
            scan::lines(self.environment.output, &self.job.id, &file.name, |line| {
                if let Some(id) = scan::id(line) {
                    ids.remove(id);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Writes a data dictionary, and a DocumentReference that tells of it.
    async fn described(&mut self, at: &Position) -> Result<(), ExportError> {
        let known = |file: &&File| file.section == Section::Documentation;
        if !self.job.files.iter().any(|file| known(&file)) {
            let written = self.job.files.iter().filter(|file| file.section == Section::Output);
            let types: BTreeSet<String> = written.map(|file| file.resource_type.clone()).collect();
            let types: Vec<String> = types.into_iter().collect();
            let table = self.environment.source.dictionary(&types).await?;
            self.writer.document(self.job, ("data-dictionary", "csv"), &table, at)?;
        }
        if let Some(file) = self.job.files.iter().find(known) {
            let line = manifest::reference(file, self.environment.url);
            self.writer.line(self.job, Section::Output, "DocumentReference", line.as_bytes())?;
            self.writer.finish(self.job, &Position::at(Stage::Notes, 0))?;
        }
        Ok(())
    }

    /// Writes what is to be said about the request.
    fn notes(&mut self) -> Result<(), ExportError> {
        let ignored = self.job.request.ignored.clone();
        if !ignored.is_empty() {
            let line = manifest::ignored(&ignored);
            self.writer.line(self.job, Section::Error, "OperationOutcome", line.as_bytes())?;
            self.writer.finish(self.job, &Position::at(Stage::Done, 0))?;
        }
        Ok(())
    }

    /// Whether to go on.
    pub(crate) fn check(&self) -> Result<(), ExportError> {
        match (self.environment.control)() {
            Control::Go => Ok(()),
            Control::Stop => Err(ExportError::Stopping),
            Control::Cancel => Err(ExportError::Cancelled),
        }
    }

    pub(crate) fn tell(&mut self, more: usize) {
        self.written += more as u64;
        (self.environment.progress)(self.written);
    }
}

impl From<Issue> for ExportError {
    fn from(issue: Issue) -> ExportError {
        ExportError::Source(Box::new(issue))
    }
}
