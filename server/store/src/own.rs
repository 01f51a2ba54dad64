//! The search parameters that a tenant has besides those of all tenants: their numbers, and which of them answer. Knows
//! nothing of what they select; an [`Indexer`](crate::Indexer) makes entries of them.
//!
//! Their numbers are not those of the program's parameters: a tenant may get and lose some while it is served. Each has
//! [`OwnParameter::NUMBERS`] of them, the first its own, the others for what modifiers ask of.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Filter, ParameterId, Query, SortBy, StoreError};

/// Most that one tenant may have, those included that are being given up.
pub const MAX_OWN_PARAMETERS: usize = 512;

/// A tenant's own search parameter, of one resource type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnParameter {
    /// Its number; the [`OwnParameter::NUMBERS`] from here on are its.
    pub id: ParameterId,
    /// `Patient.eye-colour`, for messages.
    pub name: String,
    /// What it selects, as the indexer reads it. Another definition is another parameter.
    pub definition: String,
}

/// A tenant's own search parameters, and how far the index has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnParameters {
    /// All that are wanted, each with whether searches by it are answered.
    pub parameters: Vec<(OwnParameter, bool)>,
    /// While the index is brought to them: how many places of resources are done, and of how many.
    pub progress: Option<(u64, u64)>,
}

impl OwnParameter {
    /// How many numbers one has.
    pub const NUMBERS: u16 = 8;
    /// The first of all of them.
    const FIRST: u16 = 0xc000;

    /// The first number of the parameter that this is a number of; `None` for one that all tenants have.
    pub fn first_number(id: ParameterId) -> Option<ParameterId> {
        let is_own = (OwnParameter::FIRST..ParameterId::RESERVED).contains(&id.0);
        is_own.then_some(ParameterId(id.0 & !(OwnParameter::NUMBERS - 1)))
    }

    /// Numbers for parameters given by name and definition. One that is `known` keeps its own; a new one has one that none
    /// of `known` has, the same in every process as far as that is possible.
    ///
    /// # Errors
    /// There are more than [`MAX_OWN_PARAMETERS`].
    pub(crate) fn number(
        known: &[OwnParameter],
        wanted: &[(String, String)],
    ) -> Result<Vec<OwnParameter>, StoreError> {
        if known.len().max(wanted.len()) > MAX_OWN_PARAMETERS {
            return Err(StoreError::TooCostly(format!(
                "a tenant may have {MAX_OWN_PARAMETERS} search parameters of its own, one for each type of each; these are {}",
                wanted.len()
            )));
        }
        let places = (ParameterId::RESERVED - OwnParameter::FIRST) / OwnParameter::NUMBERS;
        let mut numbered: Vec<OwnParameter> = Vec::with_capacity(wanted.len());
        for (name, definition) in wanted {
            if let Some(same) = known.iter().find(|known| known.definition == *definition) {
                numbered.push(OwnParameter { name: name.clone(), ..same.clone() });
                continue;
            }
            let start = xxh3_64(definition.as_bytes()) % u64::from(places);
            let start = u16::try_from(start).unwrap_or_default();
            let at = |step: u16| {
                ParameterId(OwnParameter::FIRST + (start + step) % places * OwnParameter::NUMBERS)
            };
            let is_free = |id: &ParameterId| known.iter().chain(&numbered).all(|other| other.id != *id);
            let free = (0..places).map(at).find(is_free);
            let id = free.ok_or_else(|| StoreError::TooCostly("no number is left for it".to_owned()))?;
            numbered.push(OwnParameter { id, name: name.clone(), definition: definition.clone() });
        }
        Ok(numbered)
    }
}

/// The tenant's own parameters that a query asks by; the first number of each.
pub(crate) fn of_query(query: &Query) -> Vec<ParameterId> {
    let mut found = Vec::new();
    of_filter(&query.filter, &mut found);
    query.sort.iter().for_each(|key| of_sort(&key.by, &mut found));
    found
}

fn of_sort(by: &SortBy, found: &mut Vec<ParameterId>) {
    match by {
        SortBy::Parameter(id) => found.extend(OwnParameter::first_number(*id)),
        SortBy::Chain { parameter, targets } => {
            found.extend(OwnParameter::first_number(*parameter));
            targets.iter().for_each(|(_, by)| of_sort(by, found));
        }
        SortBy::LastUpdated | SortBy::Id | SortBy::Score => {}
    }
}

/// Adds those that a filter asks by.
pub(crate) fn of_filter(filter: &Filter, found: &mut Vec<ParameterId>) {
    match filter {
        Filter::And(filters) | Filter::Or(filters) => {
            filters.iter().for_each(|filter| of_filter(filter, found));
        }
        Filter::Not(filter) | Filter::Contained { filter, .. } => of_filter(filter, found),
        Filter::Match(id, _) | Filter::Present(id) => found.extend(OwnParameter::first_number(*id)),
        Filter::Chain { parameter, targets } => {
            found.extend(OwnParameter::first_number(*parameter));
            targets.iter().for_each(|(_, filter)| of_filter(filter, found));
        }
        Filter::Has { parameter, filter, .. } => {
            found.extend(OwnParameter::first_number(*parameter));
            of_filter(filter, found);
        }
        Filter::All
        | Filter::None
        | Filter::Ids(_)
        | Filter::Type(_)
        | Filter::LastUpdated(..)
        | Filter::Text(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(definitions: &[&str]) -> Vec<(String, String)> {
        definitions.iter().map(|text| ((*text).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn numbers_stay_and_are_never_shared() {
        let first = OwnParameter::number(&[], &wanted(&["a", "b", "c"])).unwrap();
        assert!(first.iter().all(|own| OwnParameter::first_number(own.id) == Some(own.id)));
        let again = OwnParameter::number(&first, &wanted(&["d", "c"])).unwrap();
        assert_eq!(again[1], first[2], "the same definition keeps its number");
        assert!(first.iter().all(|own| own.id != again[0].id), "{again:?}");
        assert_eq!(OwnParameter::number(&[], &wanted(&["a", "b", "c"])).unwrap(), first, "in every process");
        let many: Vec<String> = (0..=MAX_OWN_PARAMETERS).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let error = OwnParameter::number(&[], &wanted(&many)).unwrap_err();
        assert!(matches!(error, StoreError::TooCostly(_)), "{error}");
    }

    #[test]
    fn numbers_of_a_parameter_lie_together() {
        let own = OwnParameter::number(&[], &wanted(&["a"])).unwrap().remove(0);
        for number in 0..OwnParameter::NUMBERS {
            assert_eq!(OwnParameter::first_number(ParameterId(own.id.0 + number)), Some(own.id));
        }
        for other in [0, 0xbfff, ParameterId::RESERVED, u16::MAX] {
            assert_eq!(OwnParameter::first_number(ParameterId(other)), None);
        }
    }
}
