//! Runs a query's plan, checks and orders what comes back.

use super::shard::Shard;
use super::tail::Snapshot;
use crate::{Access, Filter, Page, ParameterId, Query, StoreError};

/// A page of matches.
pub(super) async fn run(
    shard: &Shard,
    snapshot: &Snapshot,
    access: &Access,
    query: &Query,
) -> Result<Page, StoreError> {
    let _ = (shard, snapshot, access, query);
    Err(StoreError::Unavailable("not built".into()))
}

/// Whether any current resource of the type that the caller may see fulfils a filter.
pub(super) async fn any_match(
    shard: &Shard,
    snapshot: &Snapshot,
    access: &Access,
    resource_type: &str,
    filter: &Filter,
) -> Result<bool, StoreError> {
    let _ = (shard, snapshot, access, resource_type, filter);
    Err(StoreError::Unavailable("not built".into()))
}

/// The values of reference parameters on current resources that the caller may see.
pub(super) async fn references(
    shard: &Shard,
    snapshot: &Snapshot,
    access: &Access,
    from: &[crate::Key],
    parameters: &[ParameterId],
) -> Result<Vec<Box<str>>, StoreError> {
    let _ = (shard, snapshot, access, from, parameters);
    Err(StoreError::Unavailable("not built".into()))
}
