//! What became of the lines of a job: counted in its record, and written as OperationOutcomes, one a line, beside it. The two are
//! saved together: after a crash, what was written past the record is cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write as _};
use std::time::{Duration, Instant};

use fhirpath::Issue;
use serde_json::{Value, json};

use super::destination::{Done, ImportError, Journal};
use super::record::{ImportJob, errors_name, save_import, source_name};
use super::sources::told;
use crate::Directory;

/// How often a job is saved at most; what was done since is done again after a crash.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// Most errors of a source that are written; more are counted.
const MAX_ERRORS: u64 = 100_000;
const FILE: &str = "http://hl7.org/fhir/StructureDefinition/operationoutcome-file";
const LINE: &str = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line";

/// Tells a job.
pub struct JobJournal<'j> {
    directory: &'j Directory,
    job: &'j mut ImportJob,
    /// The file of errors of a source.
    open: Option<(usize, BufWriter<File>)>,
    saved: Instant,
    progress: &'j (dyn Fn(u64) + Sync),
}

impl<'j> JobJournal<'j> {
    /// For a job; `progress` is told how many resources are dealt with.
    pub fn new(
        directory: &'j Directory,
        job: &'j mut ImportJob,
        progress: &'j (dyn Fn(u64) + Sync),
    ) -> JobJournal<'j> {
        JobJournal { directory, job, open: None, saved: Instant::now(), progress }
    }

    /// Saves what is not saved yet.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&mut self) -> Result<(), ImportError> {
        if let Some((_, file)) = &mut self.open {
            file.flush()?;
            file.get_ref().sync_data()?;
        }
        save_import(self.directory, self.job)?;
        self.saved = Instant::now();
        Ok(())
    }

    fn write(&mut self, source: usize, line: Option<u64>, issues: &[Issue]) -> Result<(), ImportError> {
        let Some(progress) = self.job.sources.get_mut(source) else { return Ok(()) };
        progress.refused += 1;
        if progress.errors >= MAX_ERRORS {
            return Ok(());
        }
        let name = self.job.request.inputs.get(source).map_or("", |input| input.name());
        let text = outcome(name, line, issues);
        if self.open.as_ref().is_none_or(|(open, _)| *open != source) {
            let path = self.directory.file(&self.job.id, &errors_name(source))?;
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true).open(path)?;
            file.set_len(progress.error_bytes)?;
            self.open = Some((source, BufWriter::new(file)));
        }
        if let Some((_, file)) = &mut self.open {
            file.write_all(text.as_bytes())?;
            progress.errors += 1;
            progress.error_bytes += text.len() as u64;
        }
        Ok(())
    }

    /// What was read to its end is not needed any more.
    fn forget(&self, source: usize) -> Result<(), ImportError> {
        match fs::remove_file(self.directory.file(&self.job.id, &source_name(source))?) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Journal for JobJournal<'_> {
    fn done(&mut self, done: Done) -> Result<(), ImportError> {
        for (line, issues) in &done.refused {
            self.write(done.source, Some(*line), issues)?;
        }
        if let Some(error) = &done.broken {
            self.write(done.source, None, &[told(error)])?;
        }
        if let Some(progress) = self.job.sources.get_mut(done.source) {
            progress.lines = done.lines;
            progress.is_done = done.is_last;
            for (kind, counts) in &done.counts {
                progress.counts.entry(kind.clone()).or_default().add_all(counts);
            }
        }
        (self.progress)(self.job.dealt_with());
        if done.is_last || self.saved.elapsed() > SAVE_EVERY {
            self.save()?;
        }
        if done.is_last {
            self.open = None;
            self.forget(done.source)?;
        }
        Ok(())
    }
}

/// An OperationOutcome about a line of a source, or about the source, on a line.
fn outcome(source: &str, line: Option<u64>, issues: &[Issue]) -> String {
    let place = match line {
        Some(line) => format!("{source}, line {line}"),
        None => source.to_owned(),
    };
    let issue = |issue: &Issue| {
        let mut value = json!({
            "severity": issue.severity.as_str(),
            "code": issue.code.as_str(),
            "details": {"text": issue.details},
            "diagnostics": place,
        });
        if let (Some(expression), Some(members)) = (&issue.expression, value.as_object_mut()) {
            members.insert("expression".to_owned(), json!([expression]));
        }
        if let (Some(line), Some(members)) = (line, value.as_object_mut()) {
            let line = i32::try_from(line).unwrap_or(i32::MAX);
            members.insert("extension".to_owned(), json!([{"url": LINE, "valueInteger": line}]));
        }
        value
    };
    let issues: Vec<Value> = issues.iter().map(issue).collect();
    let file = json!([{"url": FILE, "valueString": source}]);
    let mut text =
        json!({"resourceType": "OperationOutcome", "extension": file, "issue": issues}).to_string();
    text.push('\n');
    text
}
