//! Restores an archive into a tenant: all of it, or up to a time. Looks at every block before it writes anything, and at what
//! it wrote afterwards.

use store::{Store, Tenant, Timestamp};

use crate::content::Content;
use crate::current::survey;
use crate::error::ArchiveError;
use crate::reader::Reader;
use crate::{Archive, Survey};

/// Versions of one replay: as many as an engine writes well at once.
const REPLAY_VERSIONS: usize = 4096;

impl Archive {
    /// Reads all of it and checks checksums, order and hashes. What it holds.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`], with how much is whole.
    pub fn verify(&self) -> Result<Content, ArchiveError> {
        let mut reader = Reader::all(&self.directory)?;
        while reader.next()?.is_some() {}
        Ok(reader.content())
    }

    /// What it holds of the time up to `until`, to the last block of which it is checked: the commits before the first that is
    /// later.
    ///
    /// # Errors
    /// As [`Archive::verify`]; [`ArchiveError::TooEarly`] if that is nothing. A time up to which it is whole can be had of a
    /// damaged archive.
    pub fn verify_until(&self, until: Timestamp) -> Result<Content, ArchiveError> {
        let (mut reader, mut content) = (Reader::all(&self.directory)?, Content::NONE);
        loop {
            let commits = match reader.next() {
                Err(ArchiveError::Damaged { last_updated, last, .. })
                    if last > 0 && until <= last_updated =>
                {
                    None
                }
                commits => commits?,
            };
            let Some(commits) = commits else { return Ok(content) };
            for commit in &commits {
                if commit.last_updated > until {
                    return match content.sequence {
                        0 => Err(ArchiveError::TooEarly { first: commit.last_updated }),
                        _ => Ok(content),
                    };
                }
                content.push(commit);
            }
        }
    }

    /// Brings an empty tenant to where the archive ends, or to a time; versions, times, history and deletions are those of
    /// the archive. One that a restore of the same archive left unfinished is brought on. `progress(done, total)` counts
    /// versions. What the tenant holds then, compared with the archive.
    ///
    /// # Errors
    /// Before anything is written: as [`Archive::verify`], [`ArchiveError::NotEmpty`]. Afterwards: the store failed,
    /// [`ArchiveError::Differs`].
    pub async fn restore(
        &self,
        store: &Store,
        tenant: &Tenant,
        until: Option<Timestamp>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Survey, ArchiveError> {
        let target = match until {
            Some(until) => self.verify_until(until)?,
            None => self.verify()?,
        };
        let held = self.held(store, tenant, target).await?;
        self.replay(store, tenant, held, target, progress).await?;
        let survey = survey(store, tenant, u64::MAX).await?;
        if survey.content != target {
            let text = format!("it holds {}; the archive has {target}", survey.content);
            return Err(ArchiveError::Differs(text));
        }
        survey.check_current(store, tenant).await?;
        Ok(survey)
    }

    /// How many commits the tenant has, which must be a beginning of what is to be restored, and not all of it.
    async fn held(&self, store: &Store, tenant: &Tenant, target: Content) -> Result<u64, ArchiveError> {
        let mut held = Content::NONE;
        let mut reader = Reader::all(&self.directory)?;
        while let Some(commits) = reader.next()? {
            for commit in commits {
                let found = store.commits(tenant, held.sequence, 0).await?;
                let Some(found) = found.first() else { return Ok(held.sequence) };
                let mut expected = held;
                expected.push(&commit);
                held.push(found);
                if held != expected || held.sequence >= target.sequence {
                    return Err(ArchiveError::NotEmpty);
                }
            }
        }
        Ok(held.sequence)
    }

    async fn replay(
        &self,
        store: &Store,
        tenant: &Tenant,
        held: u64,
        target: Content,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), ArchiveError> {
        let (mut reader, mut done) = (Reader::all(&self.directory)?, 0);
        let (mut waiting, mut versions) = (Vec::new(), 0);
        let mut last = held;
        while last < target.sequence
            && let Some(commits) = reader.next()?
        {
            for commit in commits {
                if (held + 1..=target.sequence).contains(&commit.sequence) {
                    last = commit.sequence;
                    versions += commit.versions.len();
                    waiting.push(commit);
                }
                if versions >= REPLAY_VERSIONS || (last == target.sequence && versions > 0) {
                    store.replay(tenant, std::mem::take(&mut waiting)).await?;
                    done += std::mem::take(&mut versions) as u64;
                    progress(done, target.versions);
                }
            }
        }
        Ok(())
    }
}
