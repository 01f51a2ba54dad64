//! Writes lines into files of bounded size, of one type each; a file counts when it is finished.

use std::io::{Read, Seek, Write};

use sha2::{Digest as _, Sha256};

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

/// Where jobs and their files are kept.
pub trait Place: Jobs + Output {}

impl<T: Jobs + Output> Place for T {}

/// The open file of a job.
pub(crate) struct Writer<'e> {
    output: &'e dyn Output,
    jobs: &'e dyn Jobs,
    most_bytes: u64,
    open: Option<Open>,
}

struct Open {
    file: File,
    sink: Box<dyn OutputFile>,
    digest: Option<Sha256>,
}

impl Open {
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
        self.open.as_ref().is_some_and(|open| open.file.bytes >= self.most_bytes)
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
        let file = File { name, resource_type, section, count: 0, bytes: 0, sha256: None };
        self.open = Some(Open { file, sink, digest });
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
        if let Some(Open { mut file, sink, digest }) = self.open.take() {
            sink.finish()?;
            let hexadecimal =
                |digest: Sha256| digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            file.sha256 = digest.map(hexadecimal);
            job.files.push(file);
            job.position = at.clone();
            self.jobs.save(job)?;
        }
        Ok(())
    }
}
