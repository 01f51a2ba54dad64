//! `_contained` and `_containedType` (<https://hl7.org/fhir/R4/search.html#contained>): a search for what contains matches.

use fhirpath::{Issue, IssueType};
use store::{Filter, Query, SortBy};

use super::any_of;
use super::fault::{Fault, shown};
use super::result::ResultParameters;
use crate::{Contained, SearchIndex};

/// Which resources are searched.
#[derive(Default, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Searched {
    /// Those that stand alone.
    #[default]
    Alone,
    /// Those that others contain.
    Contained,
    Both,
}

impl Searched {
    pub(super) fn read(value: &str) -> Result<Searched, Fault> {
        match value {
            "false" => Ok(Searched::Alone),
            "true" => Ok(Searched::Contained),
            "both" => Ok(Searched::Both),
            other => {
                Err(Fault::value(format!("_contained takes false, true or both, not {}.", shown(other))))
            }
        }
    }
}

/// Whether contained resources are to be given without what contains them.
pub(super) fn contained_type(value: &str) -> Result<bool, Fault> {
    match value {
        "container" => Ok(false),
        "contained" => Ok(true),
        other => {
            Err(Fault::value(format!("_containedType takes container or contained, not {}.", shown(other))))
        }
    }
}

/// Makes a query for resources of a type one for what contains them, if that is asked.
///
/// # Errors
/// What cannot be asked of contained resources.
pub(super) fn searched(
    index: &SearchIndex,
    query: &mut Query,
    result: &ResultParameters,
    in_compartment: bool,
) -> Result<Option<Contained>, Issue> {
    if result.contained == Searched::Alone {
        return Ok(None);
    }
    let refuse = |name: &str, text: &str| Err(refusal(name, text));
    let Some(resource_type) = query.resource_type.take() else {
        return refuse("_contained", "_contained needs the one type that is searched.");
    };
    if in_compartment {
        return refuse("_contained", "What is contained is in no compartment; search the type.");
    }
    if query.sort.iter().any(|key| !matches!(key.by, SortBy::Id | SortBy::LastUpdated)) {
        let text = "With _contained=true the order is that of the containers: by _id or _lastUpdated.";
        return refuse("_sort", text);
    }
    if result.contained_type {
        if query.total || result.estimates() {
            return refuse("_containedType", "Contained resources are not counted; their containers are.");
        }
        if !result.includes.is_empty() || !result.revincludes.is_empty() {
            let text = "What contained resources refer to is included with their containers only.";
            return refuse("_containedType", text);
        }
    }
    let asked = std::mem::replace(&mut query.filter, Filter::None);
    let Some(container) = index.in_container(&resource_type, &asked) else {
        let text = "Chains, _has, _list, _text, _content and a tenant's own parameters do not reach into containers.";
        return refuse("_contained", text);
    };
    let is_both = result.contained == Searched::Both;
    let alone = is_both.then(|| Filter::And(vec![Filter::Type(resource_type.clone()), asked]));
    query.filter = any_of(alone.iter().cloned().chain([container.clone()]).collect());
    let resource_type = resource_type.into_string();
    Ok(Some(Contained { resource_type, alone, container, is_contained: result.contained_type }))
}

fn refusal(name: &str, text: &str) -> Issue {
    Issue::error(IssueType::NotSupported, text).at(format!("http.{name}"))
}
