//! Moves a tenant from one store to another while it is written to: copies its journal, seals the source, copies the rest,
//! compares, and only then lets the caller say where the tenant is from now on. Deletes nothing at the source.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use store::{Access, Store, StoreError, Tenant, Timestamp};

use crate::content::{Content, READ_BYTES, go_on};
use crate::current::survey;
use crate::error::ArchiveError;

/// Rounds of copying before the source is sealed, whether or not writers are still ahead.
const ROUNDS: usize = 20;

/// Versions handed to the destination at once.
const AT_ONCE: usize = 512;

/// A round that took less is followed by the sealed one, which takes about as long.
const SHORT: Duration = Duration::from_millis(500);

/// A tenant was moved.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    /// What it holds.
    pub content: Content,
    /// For how long it took no writes.
    pub sealed_for: Duration,
}

/// A tenant was not moved: it is where it was, and takes writes there, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// A store failed, or the copy is not what was copied.
    #[error(transparent)]
    Copy(#[from] ArchiveError),
    /// The tenant's new home could not be entered where homes are kept.
    #[error("the tenant's new home cannot be entered: {0}")]
    Switch(Box<dyn std::error::Error + Send + Sync>),
    /// The source takes no writes although the tenant was not moved.
    #[error("{cause}; and the tenant's old home stays sealed ({error}): move it again")]
    Sealed {
        /// Why it was not moved.
        cause: Box<MoveError>,
        /// Why it is still sealed.
        error: StoreError,
    },
}

impl From<StoreError> for MoveError {
    fn from(error: StoreError) -> Self {
        MoveError::Copy(error.into())
    }
}

/// A copy under way.
struct Copy<'s> {
    source: &'s Store,
    destination: &'s Store,
    tenant: &'s Tenant,
    /// Of the source, up to where it is copied.
    copied: Content,
    /// Of the destination, up to where it was read again and compared.
    compared: Content,
}

/// Moves a tenant. The destination has nothing of it, or the beginning that an unfinished move left. `switch` is called when
/// both are equal and the source takes no more writes: it must see to it that the tenant's calls go to the destination.
/// Writers that were answered [`StoreError::Moving`] go on there. `progress(done, total)` counts versions; the total is not
/// known, and 0.
///
/// # Errors
/// [`MoveError`]; the source takes writes again.
pub async fn move_tenant(
    source: &Store,
    destination: &Store,
    tenant: &Tenant,
    switch: impl AsyncFnOnce() -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Moved, MoveError> {
    let mut copy = Copy { source, destination, tenant, copied: Content::NONE, compared: Content::NONE };
    copy.begin().await?;
    let mut longest = Duration::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        copy.catch_up(Some(Timestamp::now()), longest, progress).await?;
        // Where writers are faster than the copy, going on only makes what is left larger.
        if began.elapsed() < SHORT || began.elapsed() >= longest {
            break;
        }
        longest = began.elapsed();
    }
    // Nobody but this writes there: what searches show can be compared now, and is kept by what is replayed later.
    survey(destination, tenant, u64::MAX).await?.check_current(destination, tenant).await?;
    let began = Instant::now();
    let sealed = source.seal(tenant).await?;
    let moved = match copy.end(sealed, progress).await {
        Ok(()) => switch().await.map_err(MoveError::Switch),
        Err(error) => Err(error.into()),
    };
    match moved {
        Ok(()) => Ok(Moved { content: copy.compared, sealed_for: began.elapsed() }),
        Err(cause) => match source.unseal(tenant).await {
            Ok(()) => Err(cause),
            Err(error) => Err(MoveError::Sealed { cause: Box::new(cause), error }),
        },
    }
}

impl Copy<'_> {
    /// Goes over what the destination has already, which must be a beginning of the source.
    async fn begin(&mut self) -> Result<(), ArchiveError> {
        go_on(self.destination, self.tenant, &mut self.compared, u64::MAX, |_| ()).await?;
        go_on(self.source, self.tenant, &mut self.copied, self.compared.sequence, |_| ()).await?;
        match self.copied == self.compared {
            true => Ok(()),
            false => Err(ArchiveError::NotEmpty),
        }
    }

    /// Copies until there is nothing more, or nothing from before a time, or for so long, and compares it.
    async fn catch_up(
        &mut self,
        until: Option<Timestamp>,
        longest: Duration,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), ArchiveError> {
        let began = Instant::now();
        'copied: loop {
            let commits = self.source.commits(self.tenant, self.copied.sequence, READ_BYTES).await?;
            let Some(last) = commits.last().map(|commit| commit.last_updated) else { break };
            let (mut waiting, mut versions) = (Vec::new(), 0);
            for commit in commits {
                self.copied.push(&commit);
                versions += commit.versions.len();
                waiting.push(commit);
                if versions >= AT_ONCE {
                    versions = 0;
                    self.destination.replay(self.tenant, std::mem::take(&mut waiting)).await?;
                    progress(self.copied.versions, 0);
                    if began.elapsed() >= longest {
                        break 'copied;
                    }
                }
            }
            self.destination.replay(self.tenant, waiting).await?;
            progress(self.copied.versions, 0);
            if until.is_some_and(|until| last >= until) || began.elapsed() >= longest {
                break;
            }
        }
        go_on(self.destination, self.tenant, &mut self.compared, u64::MAX, |_| ()).await?;
        match self.copied == self.compared {
            true => Ok(()),
            false => {
                let text = format!("the destination holds {}; the source has {}", self.compared, self.copied);
                Err(ArchiveError::Differs(text))
            }
        }
    }

    /// Copies and compares the rest of a source that was sealed after a commit.
    async fn end(&mut self, sealed: u64, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<(), ArchiveError> {
        self.catch_up(None, Duration::MAX, progress).await?;
        if self.copied.sequence != sealed {
            let text = format!(
                "the source was sealed after commit {sealed}, and ends with {}",
                self.copied.sequence
            );
            return Err(ArchiveError::Differs(text));
        }
        let (source, destination) = (counts(self.source, self.tenant), counts(self.destination, self.tenant));
        match source.await? == destination.await? {
            true => Ok(()),
            false => Err(ArchiveError::Differs("the numbers of current resources differ".into())),
        }
    }
}

async fn counts(store: &Store, tenant: &Tenant) -> Result<BTreeMap<Box<str>, u64>, StoreError> {
    let counts = store.counts(tenant, &Access::unrestricted()).await?;
    Ok(counts.into_iter().filter(|(_, count)| *count > 0).collect())
}
