//! Writes lines into files of bounded size, of one type each; a file counts when it is finished.

use std::io::{Read, Seek, Write};

use crate::{ExportError, File, Job, Jobs, Position, Section};

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

/// The open file of a job.
pub(crate) struct Writer<'e> {
    output: &'e dyn Output,
    jobs: &'e dyn Jobs,
    most_bytes: u64,
    open: Option<(File, Box<dyn OutputFile>)>,
}

impl<'e> Writer<'e> {
    pub(crate) fn new(output: &'e dyn Output, jobs: &'e dyn Jobs, most_bytes: u64) -> Writer<'e> {
        Writer { output, jobs, most_bytes, open: None }
    }

    /// Whether the open file has its size.
    pub(crate) fn is_full(&self) -> bool {
        self.open.as_ref().is_some_and(|(file, _)| file.bytes >= self.most_bytes)
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
            job.named += 1;
            let name = format!("{resource_type}-{}.ndjson", job.named);
            let sink = self.output.create(&job.id, &name)?;
            let resource_type = resource_type.to_owned();
            self.open = Some((File { name, resource_type, section, count: 0, bytes: 0 }, sink));
        }
        if let Some((file, sink)) = &mut self.open {
            sink.write_all(line)?;
            sink.write_all(b"\n")?;
            file.count += 1;
            file.bytes += line.len() as u64 + 1;
        }
        Ok(())
    }

    /// Finishes the open file, if there is one, and saves that the job goes on at a position.
    pub(crate) fn finish(&mut self, job: &mut Job, at: &Position) -> Result<(), ExportError> {
        if let Some((file, sink)) = self.open.take() {
            sink.finish()?;
            job.files.push(file);
            job.position = at.clone();
            self.jobs.save(job)?;
        }
        Ok(())
    }
}
