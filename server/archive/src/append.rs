//! Appends to an archive what a tenant committed since its last segment.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use store::{Store, Tenant};

use crate::block::Checksum;
use crate::content::{Content, READ_BYTES};
use crate::error::ArchiveError;
use crate::reader::Reader;
use crate::segment::{self, Footer, Writer};
use crate::{Archive, End};

/// What an [`Archive::append`] wrote.
#[derive(Debug, Clone)]
pub struct Appended {
    /// What the archive holds now.
    pub content: Content,
    /// New commits.
    pub commits: u64,
    /// New segments.
    pub segments: u64,
    /// Bytes of the new segments.
    pub bytes: u64,
}

impl Archive {
    /// Where the archive ends; `None` if nothing is in it. Reads the last segment only.
    ///
    /// # Errors
    /// It cannot be read, or that segment is damaged.
    pub fn end(&self) -> Result<Option<End>, ArchiveError> {
        let read = |error| ArchiveError::Read { path: self.directory.clone(), error };
        let Some(last) = segment::list(&self.directory).map_err(read)?.pop() else { return Ok(None) };
        let written = fs::metadata(last).and_then(|data| data.modified()).map_err(read)?;
        let (_, footer) = Reader::last(&self.directory)?.finish()?;
        Ok(Some(End { content: footer.content, written }))
    }

    /// Appends all commits that the archive has not; makes it if it is not there. Commits that come while it works are in it,
    /// or in the next one's. Blocks its thread while it writes.
    ///
    /// # Errors
    /// [`ArchiveError::Write`] (a full disk): whole segments stay. [`ArchiveError::OtherHistory`] and
    /// [`ArchiveError::OtherTenant`] when the archive is not of this tenant's past. [`ArchiveError::InUse`].
    pub async fn append(&self, store: &Store, tenant: &Tenant) -> Result<Appended, ArchiveError> {
        let _lock = lock(&self.directory)?;
        let (mut chain, mut content) = self.place(store, tenant).await?;
        let mut appended = Appended { content, commits: 0, segments: 0, bytes: 0 };
        let mut segment: Option<Writer> = None;
        loop {
            let last = content.sequence;
            let fault = |path: &Path, error| ArchiveError::Write { path: path.to_owned(), error, last };
            let commits = store.commits(tenant, appended.content.sequence, READ_BYTES).await?;
            let is_full = segment.as_ref().is_some_and(|segment| segment.length() >= self.segment_bytes);
            if (commits.is_empty() || is_full)
                && let Some(segment) = segment.take()
            {
                let path = segment.partial().to_owned();
                let ended = segment.end().map_err(|error| fault(&path, error))?;
                (content, chain) = (ended.0, ended.1);
                appended.segments += 1;
                appended.bytes += ended.2;
            }
            if commits.is_empty() {
                return Ok(appended);
            }
            let mut open = match segment.take() {
                Some(open) => open,
                None => Writer::begin(&self.directory, tenant, content, chain)
                    .map_err(|error| fault(&self.directory, error))?,
            };
            open.push(&commits).map_err(|error| fault(open.partial(), error))?;
            commits.iter().for_each(|commit| appended.content.push(commit));
            appended.commits += commits.len() as u64;
            segment = Some(open);
        }
    }

    /// Where to go on: the last checksum, and what the archive holds, which must be a past of the tenant.
    async fn place(&self, store: &Store, tenant: &Tenant) -> Result<(Checksum, Content), ArchiveError> {
        let mut reader = match Reader::last(&self.directory) {
            Err(ArchiveError::Empty(_)) => return Ok(([0; 32], Content::NONE)),
            reader => reader?,
        };
        reader.next()?;
        if let Some(found) = reader.tenant().filter(|found| *found != tenant.as_str()) {
            let (found, expected) = (found.to_owned(), tenant.as_str().to_owned());
            return Err(ArchiveError::OtherTenant { path: self.directory.clone(), found, expected });
        }
        let (chain, footer) = reader.finish()?;
        if !is_past(&footer, store, tenant).await? {
            let sequence = footer.content.sequence;
            return Err(ArchiveError::OtherHistory { path: self.directory.clone(), sequence });
        }
        Ok((chain, footer.content))
    }
}

/// Whether a tenant has the archive's last commit, as it is there. Histories that parted before it have another there: of
/// another time, of other resources.
async fn is_past(footer: &Footer, store: &Store, tenant: &Tenant) -> Result<bool, ArchiveError> {
    let mut content = footer.before_last;
    let commits = store.commits(tenant, content.sequence, 0).await?;
    commits.first().into_iter().for_each(|commit| content.push(commit));
    Ok(content == footer.content)
}

/// Keeps a second backup out; makes the directory, and removes what a killed one left.
fn lock(directory: &Path) -> Result<File, ArchiveError> {
    let fault = |error: io::Error| ArchiveError::Write { path: directory.to_owned(), error, last: 0 };
    fs::create_dir_all(directory).map_err(fault)?;
    let options = File::options().write(true).create(true).truncate(false).open(directory.join("lock"));
    let file = options.map_err(fault)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(ArchiveError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => return Err(fault(error)),
    }
    segment::clean(directory).map_err(fault)?;
    segment::sync(directory.parent()).map_err(fault)?;
    Ok(file)
}

impl End {
    /// How long ago the last segment was written; nothing if the clock was set back since.
    pub fn age(&self) -> std::time::Duration {
        SystemTime::now().duration_since(self.written).unwrap_or_default()
    }
}
