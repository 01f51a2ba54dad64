//! Runs queries over the index.

use heed::RoTxn;

use super::postings::IndexDatabases;
use super::records::Records;
use crate::{Access, Filter, Key, Page, ParameterId, Query, StoreError};

/// Runs a query.
pub(crate) fn run(
    txn: &RoTxn<'_>,
    databases: &IndexDatabases,
    records: &Records,
    access: &Access,
    query: &Query,
) -> Result<Page, StoreError> {
    let _ = (txn, databases, records, access, query);
    todo!()
}

/// Whether any current resource of a type matches.
pub(crate) fn any_match(
    txn: &RoTxn<'_>,
    databases: &IndexDatabases,
    records: &Records,
    resource_type: &str,
    filter: &Filter,
) -> Result<bool, StoreError> {
    let _ = (txn, databases, records, resource_type, filter);
    todo!()
}

/// The values of reference parameters on some resources.
pub(crate) fn references(
    txn: &RoTxn<'_>,
    databases: &IndexDatabases,
    records: &Records,
    from: &[Key],
    parameters: &[ParameterId],
) -> Result<Vec<Box<str>>, StoreError> {
    let _ = (txn, databases, records, from, parameters);
    todo!()
}

/// How many current resources there are of each type, by name of the type.
pub(crate) fn counts(
    txn: &RoTxn<'_>,
    databases: &IndexDatabases,
) -> Result<Vec<(Box<str>, u64)>, StoreError> {
    let _ = (txn, databases);
    todo!()
}
