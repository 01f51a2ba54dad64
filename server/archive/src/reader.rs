//! Reads an archive from its first block to its last, or its last segment, and believes nothing: checksums, the order of
//! commits, and at the end of each segment what it says it holds.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use store::Commit;

use crate::block::{self, BlockError, Checksum, Kind};
use crate::content::Content;
use crate::error::ArchiveError;
use crate::journal;
use crate::segment::{self, FORMAT, Footer, Header};

/// A walk over the segments.
pub(crate) struct Reader {
    segments: VecDeque<PathBuf>,
    open: Option<Open>,
    chain: Checksum,
    content: Content,
    tenant: Option<String>,
    footer: Option<Footer>,
}

/// The segment that is being read.
struct Open {
    input: BufReader<File>,
    path: PathBuf,
    /// The block that is looked at, and where it begins.
    block: u64,
    offset: u64,
    /// Bytes of it.
    length: u64,
}

impl Reader {
    /// Over all segments.
    pub(crate) fn all(directory: &Path) -> Result<Reader, ArchiveError> {
        let segments = segment::list(directory)
            .map_err(|error| ArchiveError::Read { path: directory.to_owned(), error })?;
        if segments.is_empty() {
            return Err(ArchiveError::Empty(directory.to_owned()));
        }
        Ok(Reader {
            segments: segments.into(),
            open: None,
            chain: [0; 32],
            content: Content::NONE,
            tenant: None,
            footer: None,
        })
    }

    /// Over the last segment, which is taken at its word for what is before it.
    pub(crate) fn last(directory: &Path) -> Result<Reader, ArchiveError> {
        let mut reader = Reader::all(directory)?;
        let before = reader.segments.len().saturating_sub(1);
        reader.segments.drain(..before);
        if let Some(path) = reader.segments.front()
            && let Ok(header) = claim(path)
        {
            reader.chain = header.checksum;
            reader.content = header.before;
        }
        Ok(reader)
    }

    /// The commits of the next block; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<Commit>>, ArchiveError> {
        loop {
            let mut open = match (self.open.take(), self.segments.pop_front()) {
                (Some(open), next) => {
                    next.into_iter().for_each(|next| self.segments.push_front(next));
                    open
                }
                (None, Some(next)) => self.enter(next)?,
                (None, None) => return Ok(None),
            };
            match self.block(&mut open)? {
                (Kind::Commits, payload) => {
                    let commits = self.commits(&open, &payload)?;
                    self.open = Some(open);
                    return Ok(Some(commits));
                }
                (Kind::Footer, payload) => self.leave(open, &payload)?,
                (Kind::Header, _) => return Err(self.damaged(&open, "it is a second first block")),
            }
        }
    }

    /// What was read up to here.
    pub(crate) fn content(&self) -> Content {
        self.content
    }

    /// Whose archive it is; known after the first block.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Reads to the end. The last block's checksum, and what the last segment says of itself.
    pub(crate) fn finish(mut self) -> Result<(Checksum, Footer), ArchiveError> {
        while self.next()?.is_some() {}
        let none = Footer { bytes: 0, content: Content::NONE, before_last: Content::NONE };
        Ok((self.chain, self.footer.unwrap_or(none)))
    }

    /// Opens a segment and checks that it follows what was read.
    fn enter(&mut self, path: PathBuf) -> Result<Open, ArchiveError> {
        let file = File::open(&path).map_err(|error| ArchiveError::Read { path: path.clone(), error })?;
        let mut open = Open { input: BufReader::new(file), path, block: 0, offset: 0, length: 0 };
        let header = claim(&open.path).map_err(|error| self.fault(&open, error))?;
        if header.format != FORMAT {
            return Err(ArchiveError::Format { path: open.path, found: header.format, known: FORMAT });
        }
        if header.before != self.content || header.checksum != self.chain {
            let text =
                format!("it says it follows commit {}, which is not in the archive", header.before.sequence);
            return Err(self.damaged(&open, text));
        }
        if self.tenant.as_ref().is_some_and(|tenant| *tenant != header.tenant) {
            return Err(self.damaged(&open, "it is of another tenant"));
        }
        self.block(&mut open)?;
        self.tenant = Some(header.tenant);
        Ok(open)
    }

    /// The next block.
    fn block(&mut self, open: &mut Open) -> Result<(Kind, Vec<u8>), ArchiveError> {
        open.block += u64::from(open.length > 0);
        open.offset += open.length;
        let (kind, payload, length) = block::read(&mut open.input, &mut self.chain)
            .and_then(|found| found.ok_or(BlockError::Truncated))
            .map_err(|error| self.damaged(open, error.to_string()))?;
        open.length = length;
        Ok((kind, payload))
    }

    fn commits(&mut self, open: &Open, payload: &[u8]) -> Result<Vec<Commit>, ArchiveError> {
        let commits = journal::decode(payload).ok_or_else(|| self.damaged(open, "it holds no commits"))?;
        for commit in &commits {
            if commit.sequence != self.content.sequence + 1 {
                let text = format!("commit {} stands after {}", commit.sequence, self.content.sequence);
                return Err(self.damaged(open, text));
            }
            self.content.push(commit);
        }
        Ok(commits)
    }

    /// Checks what a segment says of itself, and that nothing comes after.
    fn leave(&mut self, mut open: Open, payload: &[u8]) -> Result<(), ArchiveError> {
        let footer: Footer =
            serde_json::from_slice(payload).map_err(|error| self.damaged(&open, error.to_string()))?;
        if footer.content != self.content {
            return Err(self.damaged(&open, "its content hash differs"));
        }
        if !matches!(open.input.read(&mut [0]), Ok(0)) {
            return Err(self.damaged(&open, "something comes after it"));
        }
        self.footer = Some(footer);
        Ok(())
    }

    fn fault(&self, open: &Open, error: ClaimError) -> ArchiveError {
        self.damaged(open, error.to_string())
    }

    fn damaged(&self, open: &Open, what: impl Into<String>) -> ArchiveError {
        ArchiveError::Damaged {
            path: open.path.clone(),
            block: open.block,
            offset: open.offset,
            what: what.into(),
            last: self.content.sequence,
            last_updated: self.content.last_updated(),
        }
    }
}

/// Why a segment says nothing of itself.
#[derive(Debug, thiserror::Error)]
enum ClaimError {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("it is no first block of an archive")]
    Other,
    #[error("it is no first block of an archive: {0}")]
    Json(#[from] serde_json::Error),
}

/// What a segment says in its first block. That block says itself what its checksum is chained to.
fn claim(path: &Path) -> Result<Header, ClaimError> {
    let mut input = BufReader::new(File::open(path)?);
    let payload = block::peek(&mut input, Kind::Header)?.ok_or(ClaimError::Other)?;
    Ok(serde_json::from_slice(&payload)?)
}
