//! The journal of an engine that keeps changes and versions apart: commits put together of both. Writes nothing.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{Access, Change, Commit, Store, StoreError, Tenant, Version};

/// Most changes looked up at a time, but for a commit that has more.
const CHANGES: usize = 256;

/// Versions read at a time.
const READS: usize = 32;

/// The commits after a sequence number, in order, until their bodies have `bytes` or more.
pub(crate) async fn commits(
    store: &Store,
    tenant: &Tenant,
    mut after: u64,
    bytes: usize,
) -> Result<Vec<Commit>, StoreError> {
    let access = Access::unrestricted();
    let (mut commits, mut read) = (Vec::new(), 0);
    loop {
        let changes = store.changes(tenant, &access, after, CHANGES).await?;
        for of_one in changes.chunk_by(|a, b| a.sequence == b.sequence) {
            let Some(first) = of_one.first() else { continue };
            if read >= bytes && !commits.is_empty() {
                return Ok(commits);
            }
            let versions = versions(store, tenant, &access, of_one).await?;
            read += versions.iter().map(Version::stored_size).sum::<usize>();
            after = first.sequence;
            commits.push(Commit { sequence: first.sequence, last_updated: first.last_updated, versions });
        }
        if changes.is_empty() {
            return Ok(commits);
        }
    }
}

async fn versions(
    store: &Store,
    tenant: &Tenant,
    access: &Access,
    changes: &[Change],
) -> Result<Vec<Version>, StoreError> {
    let reads: Vec<_> = changes.iter().map(|change| version(store, tenant, access, change)).collect();
    stream::iter(reads).buffered(READS).try_collect().await
}

async fn version(
    store: &Store,
    tenant: &Tenant,
    access: &Access,
    change: &Change,
) -> Result<Version, StoreError> {
    let found = store.vread(tenant, access, &change.key, change.version).await?;
    found.ok_or_else(|| {
        StoreError::Damaged(format!("a version that commit {} wrote is not there", change.sequence))
    })
}
