//! What a caller may see of single resources. Every read of a version goes through here; searches put the
//! same filter into their query.

use heed::RoTxn;

use super::environment::Databases;
use super::search;
use crate::{Access, Filter, Query, StoreError};

/// Whether a caller may see a resource, by `Type/id`: if its current version fulfils the access filter. Under a
/// filter other than all, a deleted resource is not to be seen.
pub(super) fn visible(
    txn: &RoTxn<'_>,
    databases: &Databases,
    access: &Access,
    key: &str,
) -> Result<bool, StoreError> {
    let (resource_type, id) = key.split_once('/').unwrap_or((key, ""));
    match access.filter(resource_type) {
        Filter::All => Ok(true),
        Filter::None => Ok(false),
        filter => {
            let this = Filter::And(vec![Filter::Ids(vec![id.into()]), filter]);
            search::any_match(txn, &databases.index, &databases.records, resource_type, &this)
        }
    }
}

/// How many current resources of each type a caller may see; types of which there are none are left out.
pub(super) fn counts(
    txn: &RoTxn<'_>,
    databases: &Databases,
    access: &Access,
) -> Result<Vec<(Box<str>, u64)>, StoreError> {
    let mut counts = search::counts(txn, &databases.index)?;
    for (resource_type, count) in &mut counts {
        match access.filter(resource_type) {
            Filter::All => {}
            Filter::None => *count = 0,
            // A search runs under the access filter by itself.
            _ => *count = count_by_search(txn, databases, access, resource_type)?,
        }
    }
    counts.retain(|(_, count)| *count > 0);
    Ok(counts)
}

fn count_by_search(
    txn: &RoTxn<'_>,
    databases: &Databases,
    access: &Access,
    resource_type: &str,
) -> Result<u64, StoreError> {
    let query = Query {
        resource_type: Some(resource_type.into()),
        filter: Filter::All,
        sort: Vec::new(),
        after: None,
        limit: 0,
        total: true,
    };
    let page = search::run(txn, &databases.index, &databases.records, access, &query)?;
    Ok(page.total.unwrap_or(0))
}
