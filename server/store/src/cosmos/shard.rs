//! One tenant as this process has it open: its container, log, indexer and codec. Knows where a tenant's documents
//! are, and how to read a version out of one; decides nothing about commits.

use std::sync::Arc;

use bytes::Bytes;

use super::container::{Container, Place};
use super::document::Document;
use super::log::Log;
use super::tail::Snapshot;
use crate::{Indexer, Key, StoreError, Tenant, Timestamp, Version};

/// A tenant.
pub(super) struct Shard {
    pub tenant: Tenant,
    pub container: Container,
    pub indexer: Arc<dyn Indexer>,
    pub log: Log,
}

impl Shard {
    /// Where a resource's documents are.
    pub(super) fn place(&self, key: &Key) -> Place {
        Place {
            tenant: self.tenant.as_str().to_owned(),
            ty: key.resource_type().to_owned(),
            rid: key.id().to_owned(),
        }
    }

    /// The state as this process knows it; costs nothing.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.log.snapshot()
    }

    /// The state with all that was committed before the call, by any process; 1 RU where there is nothing new.
    pub(super) async fn refresh(&self) -> Result<Snapshot, StoreError> {
        self.log.refresh().await
    }

    /// The version that a document is of.
    pub(super) async fn version(&self, document: &Document) -> Result<Version, StoreError> {
        let body = document.z.clone().map_or_else(Bytes::new, |text| Bytes::from(text.into_bytes()));
        Ok(Version {
            key: document.key(),
            version: document.v,
            last_updated: Timestamp(document.lu),
            method: document.method()?,
            body,
        })
    }
}
