//! Writes lines into files of bounded size, of one type each; a file counts when it is finished.

use std::io::{Read, Seek, Write};

use fhirpath::{Issue, IssueType};
use sha2::{Digest as _, Sha256};

use crate::{ExportError, File, Job, Jobs, Position, Section, Table, Tables, scan};

/// A file that is written.
pub trait OutputFile: Write + Send {
    /// Makes it durable.
    ///
    /// # Errors
    /// It cannot be.
    fn finish(self: Box<Self>) -> std::io::Result<()>;
}

/// A file that is read.
pub trait Reading: Read + Seek + Send {}

impl<T: Read + Seek + Send> Reading for T {}

/// Where files are kept.
pub trait Output: Send + Sync {
    /// Begins a file; one of this name that was left unfinished is replaced.
    ///
    /// # Errors
    /// It cannot be made.
    fn create(&self, job: &str, name: &str) -> std::io::Result<Box<dyn OutputFile>>;

    /// Opens a finished file.
    ///
    /// # Errors
    /// It cannot be read.
    fn open(&self, job: &str, name: &str) -> std::io::Result<Box<dyn Reading>>;

    /// Removes all files of a job.
    ///
    /// # Errors
    /// They cannot be removed.
    fn remove_files(&self, job: &str) -> std::io::Result<()>;
}

/// Where jobs and their files are kept.
pub trait Place: Jobs + Output {}

impl<T: Jobs + Output> Place for T {}

/// Most characters of a view's name that the names of its files have.
const MAX_STEM: usize = 40;
/// Most bytes that a table may hold before it is finished.
const MAX_HELD: u64 = 16 << 20;

fn no_table() -> ExportError {
    ExportError::from(Issue::error(IssueType::Exception, "There is no table that rows could be written to."))
}

/// The open file of a job.
pub(crate) struct Writer<'e> {
    output: &'e dyn Output,
    jobs: &'e dyn Jobs,
    most_bytes: u64,
    open: Option<Open<'e>>,
}

struct Open<'e> {
    file: File,
    sink: Box<dyn OutputFile>,
    digest: Option<Sha256>,
    table: Option<OpenTable<'e>>,
}

/// What a file of rows has.
struct OpenTable<'e> {
    table: Box<dyn Table + 'e>,
    /// The ids of the resources with rows, a line each.
    ids: Vec<u8>,
}

impl Open<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sink.write_all(bytes)?;
        self.file.bytes += bytes.len() as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        Ok(())
    }
}

impl<'e> Writer<'e> {
    pub(crate) fn new(output: &'e dyn Output, jobs: &'e dyn Jobs, most_bytes: u64) -> Writer<'e> {
        Writer { output, jobs, most_bytes, open: None }
    }

    /// Whether the open file has its size.
    pub(crate) fn is_full(&self) -> bool {
        let held = |open: &Open<'_>| open.table.as_ref().map_or(0, |of| of.table.held() as u64);
        let is_full =
            |open: &Open<'_>| open.file.bytes + held(open) >= self.most_bytes || held(open) >= MAX_HELD;
        self.open.as_ref().is_some_and(is_full)
    }

    /// Writes a line.
    pub(crate) fn line(
        &mut self,
        job: &mut Job,
        section: Section,
        resource_type: &str,
        line: &[u8],
    ) -> Result<(), ExportError> {
        if self.open.is_none() {
            let name = format!("{resource_type}-{}.ndjson", job.named + 1);
            self.begin(job, section, resource_type, name)?;
        }
        if let Some(open) = &mut self.open {
            open.write(line)?;
            open.write(b"\n")?;
            open.file.count += 1;
        }
        Ok(())
    }

    fn begin(
        &mut self,
        job: &mut Job,
        section: Section,
        resource_type: &str,
        name: String,
    ) -> Result<(), ExportError> {
        job.named += 1;
        let sink = self.output.create(&job.id, &name)?;
        let digest = job.request.documented.then(Sha256::new);
        let resource_type = resource_type.to_owned();
        let file = File { name, resource_type, section, count: 0, bytes: 0, sha256: None, view: None };
        self.open = Some(Open { file, sink, digest, table: None });
        Ok(())
    }

    /// Writes the rows that a view makes of a resource.
    pub(crate) fn rows(
        &mut self,
        job: &mut Job,
        tables: &'e dyn Tables,
        view: usize,
        line: &[u8],
    ) -> Result<(), ExportError> {
        if self.open.is_none() {
            self.open_table(job, tables, view)?;
        }
        let open = self.open.as_mut().ok_or_else(no_table)?;
        let of = open.table.as_mut().ok_or_else(no_table)?;
        of.table.add(line)?;
        let (rows, bytes) = (of.table.rows(), of.table.take());
        if let (true, Some(id)) = (rows > open.file.count, scan::id(line)) {
            of.ids.extend_from_slice(id.as_bytes());
            of.ids.push(b'\n');
        }
        open.file.count = rows;
        open.write(&bytes)?;
        Ok(())
    }

    /// Begins a file of rows of a view.
    pub(crate) fn open_table(
        &mut self,
        job: &mut Job,
        tables: &'e dyn Tables,
        view: usize,
    ) -> Result<(), ExportError> {
        let views = job.request.views.as_ref().ok_or_else(no_table)?;
        let stem = views.views.get(view).ok_or_else(no_table)?.name.as_str();
        let parts =
            job.files.iter().filter(|file| file.section == Section::Output && file.view == Some(view));
        let stem: String =
            stem.chars().filter(|it| it.is_ascii_alphanumeric() || *it == '_').take(MAX_STEM).collect();
        // A file that was left unfinished has a number of its own.
        let name = format!("{stem}-{}.part{}.{}", job.named + 1, parts.count() + 1, views.format);
        let kind = job.request.types.get(view).cloned().unwrap_or_default();
        self.begin(job, Section::Output, &kind, name)?;
        if let Some(open) = &mut self.open {
            open.file.view = Some(view);
            open.table = Some(OpenTable { table: tables.begin(view)?, ids: Vec::new() });
        }
        Ok(())
    }

    /// Writes a file that is no lines of resources, whole; the job then goes on at a position.
    pub(crate) fn document(
        &mut self,
        job: &mut Job,
        (stem, extension): (&str, &str),
        bytes: &[u8],
        at: &Position,
    ) -> Result<(), ExportError> {
        self.finish(job, at)?;
        let name = format!("{stem}-{}.{extension}", job.named + 1);
        self.begin(job, Section::Documentation, "", name)?;
        if let Some(open) = &mut self.open {
            open.write(bytes)?;
        }
        self.finish(job, at)
    }

    /// Finishes the open file, if there is one, and saves that the job goes on at a position.
    pub(crate) fn finish(&mut self, job: &mut Job, at: &Position) -> Result<(), ExportError> {
        if let Some(mut open) = self.open.take() {
            let ids = match open.table.take() {
                Some(OpenTable { table, ids }) => {
                    open.write(&table.finish()?)?;
                    Some(ids)
                }
                None => None,
            };
            let Open { mut file, sink, digest, .. } = open;
            sink.finish()?;
            let hexadecimal =
                |digest: Sha256| digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            file.sha256 = digest.map(hexadecimal);
            let ids = ids.map(|ids| self.ids_of(job, &file, &ids)).transpose()?;
            job.files.push(file);
            job.files.extend(ids);
            job.position = at.clone();
            self.jobs.save(job)?;
        }
        Ok(())
    }

    /// Keeps the ids of the resources whose rows a file has.
    fn ids_of(&self, job: &Job, of: &File, ids: &[u8]) -> Result<File, ExportError> {
        let name = format!("{}.ids", of.name);
        let mut sink = self.output.create(&job.id, &name)?;
        sink.write_all(ids)?;
        sink.finish()?;
        let count = memchr::memchr_iter(b'\n', ids).count() as u64;
        let (section, bytes) = (Section::Ids, ids.len() as u64);
        Ok(File { name, section, count, bytes, sha256: None, ..of.clone() })
    }
}
