//! What must hold besides the version that each write follows. Evaluates preconditions on a snapshot, and tells which
//! commits could have changed the outcome since.

use super::record::Record;
use super::search;
use super::shard::Shard;
use super::tail::Snapshot;
use super::{document::Document, read};
use crate::{Access, Filter, Key, Precondition, StoreError};

/// The first precondition that does not hold.
pub(super) async fn first_failing(
    shard: &Shard,
    snapshot: &Snapshot,
    access: &Access,
    preconditions: &[Precondition],
) -> Result<Option<usize>, StoreError> {
    for (index, precondition) in preconditions.iter().enumerate() {
        let holds = match precondition {
            Precondition::NoMatch { resource_type, filter } => {
                !search::any_match(shard, snapshot, access, resource_type, filter).await?
            }
            Precondition::Exists(key) => {
                let current = read::current(shard, key).await?;
                match current.filter(|document: &Document| !document.is_deleted()) {
                    Some(document) => {
                        read::fulfils(shard, access.seen(key.resource_type()), &document, None).await?
                    }
                    None => false,
                }
            }
        };
        if !holds {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// What writes touch: keys, or their types.
pub(super) struct Touched<'t> {
    pub key: &'t str,
    pub resource_type: &'t str,
}

impl<'t> Touched<'t> {
    pub(super) fn of_key(key: &'t Key) -> Touched<'t> {
        Touched { key: key.as_str(), resource_type: key.resource_type() }
    }

    /// All that a record of the log wrote.
    pub(super) fn of_record(record: &'t Record) -> impl Iterator<Item = Touched<'t>> {
        let entries = record.w.iter().flatten();
        entries.map(|entry| Touched { key: &entry.0, resource_type: entry.resource_type() })
    }
}

/// Whether a write could change whether a precondition holds for a caller.
pub(super) fn affects(touched: &Touched<'_>, access: &Access, precondition: &Precondition) -> bool {
    match precondition {
        Precondition::NoMatch { resource_type, filter } => {
            **resource_type == *touched.resource_type
                || looks_elsewhere(filter)
                || looks_elsewhere(access.searched(resource_type))
        }
        Precondition::Exists(key) => {
            key.as_str() == touched.key || looks_elsewhere(access.seen(key.resource_type()))
        }
    }
}

/// Whether a filter depends on other resources than the one it is asked of.
fn looks_elsewhere(filter: &Filter) -> bool {
    match filter {
        Filter::And(filters) | Filter::Or(filters) => filters.iter().any(looks_elsewhere),
        Filter::Not(filter) => looks_elsewhere(filter),
        Filter::Chain { .. } | Filter::Has { .. } => true,
        Filter::All
        | Filter::None
        | Filter::Match(..)
        | Filter::Present(_)
        | Filter::Text(_)
        | Filter::Ids(_)
        | Filter::Type(_)
        | Filter::LastUpdated(..)
        | Filter::Contained { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParameterId;

    #[test]
    fn writes_affect_what_looks_at_them() {
        let chain = Filter::Chain { parameter: ParameterId(0), targets: vec![("Group".into(), Filter::All)] };
        let has = Filter::Has {
            resource_type: "Group".into(),
            parameter: ParameterId(0),
            filter: Box::new(Filter::All),
        };
        let no_match = |filter| Precondition::NoMatch { resource_type: "Patient".into(), filter };
        let patient = Precondition::Exists(Key::new("Patient", "a"));
        let open = Access::unrestricted();
        for (precondition, key, expected) in [
            (no_match(Filter::All), "Patient/b", true),
            (no_match(Filter::All), "Group/b", false),
            (no_match(Filter::Not(Box::new(Filter::And(vec![chain])))), "Group/b", true),
            (no_match(has), "Group/b", true),
            (patient.clone(), "Patient/a", true),
            (patient, "Patient/b", false),
        ] {
            let key = Key::parse(key).unwrap();
            assert_eq!(
                affects(&Touched::of_key(&key), &open, &precondition),
                expected,
                "{precondition:?} {key:?}"
            );
        }
    }
}
