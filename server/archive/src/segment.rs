//! A segment being written, the JSON of its first and last block, and the names of segments.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use store::{Commit, Tenant, Timestamp};

use crate::block::{self, Checksum, Kind};
use crate::content::{Content, hex};
use crate::journal;

/// The format this version writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// Ending of a whole segment's name, and of one that is being written.
const ENDING: &str = ".segment";
const PARTIAL: &str = ".segment.partial";

/// The first block. A change of these members is another format.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    pub format: u32,
    pub tenant: String,
    /// When the segment was begun, for people.
    pub created: String,
    /// What the segments before hold.
    pub before: Content,
    /// The last checksum of the segments before; zeros if there are none.
    #[serde(with = "hex")]
    pub checksum: Checksum,
}

/// The last block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footer {
    /// Bytes of this segment's commits, uncompressed.
    pub bytes: u64,
    /// What this segment and those before hold.
    pub content: Content,
    /// What they hold without the last commit: to see whether a store has that commit, nothing before need be read.
    pub before_last: Content,
}

/// A segment that has not its name yet. When it is dropped so, its file goes.
pub(crate) struct Writer {
    out: BufWriter<File>,
    partial: PathBuf,
    path: PathBuf,
    chain: Checksum,
    footer: Footer,
    length: u64,
    is_named: bool,
}

impl Writer {
    /// Begins the segment after `before`, whose last block has the checksum `chain`.
    pub(crate) fn begin(
        directory: &Path,
        tenant: &Tenant,
        before: Content,
        chain: Checksum,
    ) -> io::Result<Writer> {
        let file = |ending: &str| directory.join(format!("{:016}{ending}", before.sequence + 1));
        let (partial, path) = (file(PARTIAL), file(ENDING));
        let out = BufWriter::new(File::create(&partial)?);
        let footer = Footer { bytes: 0, content: before, before_last: before };
        let mut writer = Writer { out, partial, path, chain, footer, length: 0, is_named: false };
        let header = Header {
            format: FORMAT,
            tenant: tenant.as_str().to_owned(),
            created: Timestamp::now().to_string(),
            before,
            checksum: chain,
        };
        writer.block(Kind::Header, &serde_json::to_vec(&header)?)?;
        Ok(writer)
    }

    /// Adds commits, one block.
    pub(crate) fn push(&mut self, commits: &[Commit]) -> io::Result<()> {
        let (payload, bytes) = journal::encode(commits)?;
        for commit in commits {
            self.footer.before_last = self.footer.content;
            self.footer.content.push(commit);
        }
        self.footer.bytes += bytes;
        self.block(Kind::Commits, &payload)
    }

    /// Ends it: once it is on the disk, it gets its name. What the archive holds now, its last checksum, and how many bytes the
    /// segment has.
    pub(crate) fn end(mut self) -> io::Result<(Content, Checksum, u64)> {
        let footer = serde_json::to_vec(&self.footer)?;
        self.block(Kind::Footer, &footer)?;
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        fs::rename(&self.partial, &self.path)?;
        self.is_named = true;
        sync(self.path.parent())?;
        Ok((self.footer.content, self.chain, self.length))
    }

    /// The file it is written to.
    pub(crate) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Bytes written so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    fn block(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        self.length += block::write(&mut self.out, &mut self.chain, kind, payload)?;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_named {
            // One that stays is removed by the next backup, and read by none.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Has the disk keep the names in a directory.
pub(crate) fn sync(directory: Option<&Path>) -> io::Result<()> {
    let directory = directory.filter(|path| !path.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// The whole segments of a directory, in order; none if it is not there.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    with_ending(directory, ENDING)
}

/// Removes what backups that were killed left.
pub(crate) fn clean(directory: &Path) -> io::Result<()> {
    with_ending(directory, PARTIAL)?.iter().try_for_each(fs::remove_file)
}

fn with_ending(directory: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().ends_with(ending.as_bytes()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
