//! What a caller may see and write of single resources. Every read of a version goes through here; searches put the
//! same filters into their query.

use heed::RoTxn;

use super::environment::Databases;
use super::forward::Forward;
use super::plan::Context;
use super::postings::micros;
use super::records::RecordRef;
use super::search;
use crate::{
    Access, Entries, Filter, Indexer, Key, ParameterId, Predicate, Query, StoreError, Timestamp, Value,
};

/// What asking of one resource needs.
#[derive(Clone, Copy)]
pub(super) struct View<'t> {
    pub txn: &'t RoTxn<'t>,
    pub databases: &'t Databases,
    pub indexer: &'t dyn Indexer,
}

impl View<'_> {
    /// Whether the current version of a resource fulfils a rule of the access decision. Under one other than all, a deleted
    /// resource is not to be seen.
    pub(super) fn current(&self, rule: &Filter, ordinal: u32, key: &str) -> Result<bool, StoreError> {
        if let Some(known) = known(rule) {
            return Ok(known);
        }
        let Some(bytes) = self.databases.index.forward.get(self.txn, &ordinal.to_be_bytes())? else {
            return Ok(false);
        };
        self.holds(rule, key, &Facts::Indexed(Forward::decode(bytes)?))
    }

    /// The same of a resource by its key.
    pub(super) fn of_key(&self, rule: &Filter, key: &str) -> Result<bool, StoreError> {
        if let Some(known) = known(rule) {
            return Ok(known);
        }
        match self.databases.records.ordinal(self.txn, key)? {
            Some(ordinal) => self.current(rule, ordinal, key),
            None => Ok(false),
        }
    }

    /// Whether a version, of a resource whose current one does, fulfils a rule too: it may have lain outside.
    pub(super) fn version(&self, rule: &Filter, record: &RecordRef<'_>) -> Result<bool, StoreError> {
        if let Some(known) = known(rule) {
            return Ok(known);
        }
        if record.is_deleted() {
            return Ok(false);
        }
        let mut entries = Entries::new();
        let resource_type = record.key.split('/').next().unwrap_or_default();
        self.indexer
            .entries(resource_type, record.body, &mut entries)
            .map_err(|error| StoreError::Damaged(format!("{}: {error}", record.key)))?;
        self.holds(rule, record.key, &Facts::Listed(&entries, record.last_updated))
    }

    /// Whether a resource that is to be written will fulfil a rule.
    pub(super) fn written(&self, rule: &Filter, key: &Key, entries: &Entries) -> Result<bool, StoreError> {
        match known(rule) {
            Some(known) => Ok(known),
            None => self.holds(rule, key.as_str(), &Facts::Listed(entries, Timestamp::now())),
        }
    }

    fn holds(&self, filter: &Filter, key: &str, facts: &Facts<'_>) -> Result<bool, StoreError> {
        let (resource_type, id) = key.split_once('/').unwrap_or((key, ""));
        match filter {
            Filter::All => Ok(true),
            Filter::None => Ok(false),
            Filter::And(filters) => {
                for filter in filters {
                    if !self.holds(filter, key, facts)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Filter::Or(filters) => {
                for filter in filters {
                    if self.holds(filter, key, facts)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Filter::Not(filter) => self.holds(filter, key, facts).map(|holds| !holds),
            Filter::Ids(ids) => Ok(ids.iter().any(|one| **one == *id)),
            Filter::Type(name) => Ok(**name == *resource_type),
            &Filter::LastUpdated(comparison, lo, hi) => {
                let point = micros(facts.last_updated());
                Ok(comparison.holds((lo, hi), (point, point)))
            }
            Filter::Match(parameter, predicate) => match facts.matches(*parameter, predicate) {
                Some(matches) => Ok(matches),
                None => self.any(resource_type, of_id(id, filter)),
            },
            Filter::Present(parameter) => match facts.is_present(*parameter) {
                Some(is_present) => Ok(is_present),
                None => self.any(resource_type, of_id(id, filter)),
            },
            Filter::Contained { .. } => match facts {
                Facts::Listed(entries, last_updated) => {
                    Ok(!filter.contained(entries, *last_updated).is_empty())
                }
                Facts::Indexed(_) => self.any(resource_type, of_id(id, filter)),
            },
            Filter::Text(_) => self.any(resource_type, of_id(id, filter)),
            Filter::Chain { parameter, targets } => {
                for target in facts.references(*parameter) {
                    let Some((name, id)) = target.split_once('/') else { continue };
                    for (_, filter) in targets.iter().filter(|(wanted, _)| **wanted == *name) {
                        if self.any(name, of_id(id, filter))? {
                            return Ok(true);
                        }
                    }
                }
                Ok(false)
            }
            Filter::Has { resource_type, parameter, filter } => {
                let refers = Filter::Match(*parameter, Predicate::Reference(vec![key.into()]));
                self.any(resource_type, Filter::And(vec![refers, (**filter).clone()]))
            }
        }
    }

    /// The access decision's own question of other resources.
    fn any(&self, resource_type: &str, filter: Filter) -> Result<bool, StoreError> {
        let (index, records) = (&self.databases.index, &self.databases.records);
        search::any_match(self.txn, index, records, &Access::unrestricted(), resource_type, &filter)
    }
}

/// What a rule says of every resource, if it says the same of all.
fn known(rule: &Filter) -> Option<bool> {
    match rule {
        Filter::All => Some(true),
        Filter::None => Some(false),
        _ => None,
    }
}

fn of_id(id: &str, filter: &Filter) -> Filter {
    Filter::And(vec![Filter::Ids(vec![id.into()]), filter.clone()])
}

/// What is known of one resource.
enum Facts<'t> {
    /// What the index has of the current version: no texts and codes as such.
    Indexed(Forward<'t>),
    /// All entries of a version, and its time.
    Listed(&'t Entries, Timestamp),
}

impl<'t> Facts<'t> {
    fn last_updated(&self) -> Timestamp {
        match self {
            Facts::Indexed(forward) => forward.last_updated,
            Facts::Listed(_, last_updated) => *last_updated,
        }
    }

    /// `None` where the index must be asked.
    fn matches(&self, parameter: ParameterId, predicate: &Predicate) -> Option<bool> {
        match (self, predicate) {
            (Facts::Listed(..), _) => Some(self.listed(parameter).any(|value| predicate.matches(&value))),
            (
                Facts::Indexed(forward),
                Predicate::Reference(_)
                | Predicate::Date(..)
                | Predicate::Number(..)
                | Predicate::Quantity { .. },
            ) => Some(forward.matches(parameter, predicate)),
            (Facts::Indexed(_), _) => None,
        }
    }

    /// `None` where the index must be asked.
    fn is_present(&self, parameter: ParameterId) -> Option<bool> {
        matches!(self, Facts::Listed(..)).then(|| self.listed(parameter).next().is_some())
    }

    fn references(&self, parameter: ParameterId) -> Vec<&'t str> {
        let target = |value| match value {
            Value::Reference(target) => Some(target),
            _ => None,
        };
        match self {
            Facts::Indexed(forward) => forward.values(parameter).filter_map(target).collect(),
            Facts::Listed(entries, _) => {
                let values = entries.iter().filter(|entry| entry.0 == parameter);
                values.filter_map(|(_, value)| target(value)).collect()
            }
        }
    }

    fn listed(&self, parameter: ParameterId) -> impl Iterator<Item = Value<'t>> {
        let entries = match self {
            Facts::Indexed(_) => None,
            Facts::Listed(entries, _) => Some(*entries),
        };
        let all = entries.into_iter().flat_map(Entries::iter);
        all.filter(move |entry| entry.0 == parameter).map(|(_, value)| value)
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
        match access.searched(resource_type) {
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
    let page = search::run(&Context::new(txn, &databases.index, &databases.records, access), &query)?;
    Ok(page.total.unwrap_or(0))
}
