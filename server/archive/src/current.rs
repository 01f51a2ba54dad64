//! Compares what a tenant shows as current, by its searches and counts, with what its journal says is current. For a tenant
//! that nobody writes to.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use store::{Access, Commit, Filter, Key, Query, Store, StoreError, Tenant, Version};

use crate::content::{self, Content};
use crate::error::ArchiveError;

/// A tenant's journal, read to its end: what it held, and which versions are current then.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// What it held.
    pub content: Content,
    /// Of each resource that is not deleted, its version and the SHA-256 of its body.
    current: HashMap<Key, (u64, [u8; 32])>,
}

/// Resources of a page of a search.
const PAGE: usize = 500;

/// Reads a tenant's journal up to a commit.
///
/// # Errors
/// The store failed.
pub async fn survey(store: &Store, tenant: &Tenant, until: u64) -> Result<Survey, StoreError> {
    let (mut content, mut current) = (Content::NONE, HashMap::new());
    content::go_on(store, tenant, &mut content, until, |commit| follow(&mut current, commit)).await?;
    Ok(Survey { content, current })
}

fn follow(current: &mut HashMap<Key, (u64, [u8; 32])>, commit: &Commit) {
    for version in &commit.versions {
        if version.is_deleted() {
            current.remove(&version.key);
        } else {
            current.insert(version.key.clone(), digest(version));
        }
    }
}

fn digest(version: &Version) -> (u64, [u8; 32]) {
    (version.version, Sha256::digest(&version.body).into())
}

impl Survey {
    /// How many resources are current.
    pub fn resources(&self) -> usize {
        self.current.len()
    }

    /// Searches each type for everything, and compares it with the journal.
    ///
    /// # Errors
    /// [`ArchiveError::Differs`] when the searches or the counts show something else.
    pub async fn check_current(&self, store: &Store, tenant: &Tenant) -> Result<(), ArchiveError> {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for key in self.current.keys() {
            *counts.entry(key.resource_type()).or_default() += 1;
        }
        for (resource_type, count) in &counts {
            let found = self.check_type(store, tenant, resource_type).await?;
            if found != *count {
                let text = format!("searches find {found} of {count} resources of type {resource_type}");
                return Err(ArchiveError::Differs(text));
            }
        }
        for (resource_type, count) in store.counts(tenant, &Access::unrestricted()).await? {
            let expected = counts.get(&*resource_type).copied().unwrap_or(0);
            if count != expected {
                let text = format!("{count} resources of type {resource_type} are counted, not {expected}");
                return Err(ArchiveError::Differs(text));
            }
        }
        Ok(())
    }

    async fn check_type(&self, store: &Store, tenant: &Tenant, name: &str) -> Result<u64, ArchiveError> {
        let mut query = Query {
            resource_type: Some(name.into()),
            filter: Filter::All,
            sort: Vec::new(),
            after: None,
            limit: PAGE,
            total: false,
        };
        let mut found = 0;
        loop {
            let page = store.search(tenant, &Access::unrestricted(), &query).await?;
            for version in &page.matches {
                if self.current.get(&version.key) != Some(&digest(version)) {
                    let text = format!("a search shows another version of {}", version.key.as_str());
                    return Err(ArchiveError::Differs(text));
                }
                found += 1;
            }
            query.after = page.next;
            if query.after.is_none() {
                return Ok(found);
            }
        }
    }
}
