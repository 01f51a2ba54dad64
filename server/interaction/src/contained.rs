//! `_containedType=contained` (<https://hl7.org/fhir/R4/search.html#contained>): of a page of containers, the contained
//! resources that match, each alone, as `Type/id#contained`.

use ::search::Contained;
use fhirpath::{Element, Tree};
use store::{Entries, Filter, StoreError, Version};

use crate::page::{Mode, PageWriter};
use crate::{Failure, Service};

/// Writes what matches of a version that a search found: what it contains, and itself, if those that stand alone were searched.
///
/// # Errors
/// Internal for a version that cannot be read.
pub(crate) fn matches(
    service: &Service,
    asked: &Contained,
    version: &Version,
    out: &mut PageWriter<'_>,
) -> Result<(), Failure> {
    let unreadable = || StoreError::Damaged(format!("{} cannot be read", version.key.as_str()));
    let limits = fhirpath::tree::Limits { bytes: usize::MAX, ..service.limits.body };
    let tree = Tree::parse_json(&service.definitions.schema, version.body.to_vec(), &limits)
        .map_err(|_| unreadable())?;
    let mut entries = Entries::new();
    service.index.tree_entries(&tree, &mut entries);
    if let Some(alone) = &asked.alone
        && holds(alone, version, &entries)
    {
        out.found(version, Mode::Match)?;
    }
    let contained: Vec<Element<'_>> = tree.root().all("contained").collect();
    for number in asked.container.contained(&entries, version.last_updated) {
        let element = contained.get(number).ok_or_else(unreadable)?;
        let id = element.get("id").and_then(Element::value).unwrap_or_default();
        let mut body = Vec::new();
        element.write_json(&mut body);
        out.contained(&version.key, &id, &body)?;
    }
    Ok(())
}

/// Whether a version fulfils what is asked of those that stand alone: that asks of nothing but the resource itself.
fn holds(filter: &Filter, version: &Version, entries: &Entries) -> bool {
    let key = &version.key;
    match filter {
        Filter::All => true,
        Filter::And(filters) => filters.iter().all(|filter| holds(filter, version, entries)),
        Filter::Or(filters) => filters.iter().any(|filter| holds(filter, version, entries)),
        Filter::Not(filter) => !holds(filter, version, entries),
        Filter::Match(parameter, predicate) => {
            entries.iter().any(|(id, value)| id == *parameter && predicate.matches(&value))
        }
        Filter::Present(parameter) => entries.iter().any(|(id, _)| id == *parameter),
        Filter::Ids(ids) => ids.iter().any(|id| **id == *key.id()),
        Filter::Type(name) => **name == *key.resource_type(),
        Filter::LastUpdated(comparison, lo, hi) => {
            let point = version.last_updated.0.saturating_mul(1_000);
            comparison.holds((*lo, *hi), (point, point))
        }
        Filter::None
        | Filter::Text(_)
        | Filter::Chain { .. }
        | Filter::Has { .. }
        | Filter::Contained { .. } => false,
    }
}
