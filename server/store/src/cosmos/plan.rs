//! A filter made ready: chains are followed to the resources they lead to, and what is left asks of one resource
//! alone. Says whether a resource fulfils it; knows no queries.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use text::TextQuery;

use crate::{Comparison, Entries, Filter, Key, ParameterId, Predicate, Timestamp, Value};

/// `Type/id` of resources.
pub(super) type Keys = Arc<FxHashSet<Box<str>>>;

/// A condition on one resource.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    /// Every resource.
    All,
    /// No resource.
    Nothing,
    And(Vec<Plan>),
    Or(Vec<Plan>),
    Not(Box<Plan>),
    Match(ParameterId, Predicate),
    Present(ParameterId),
    Ids(Vec<Box<str>>),
    Type(Box<str>),
    LastUpdated(Comparison, i64, i64),
    /// The parameter points to one of these.
    PointsTo(ParameterId, Keys),
    /// It is one of these.
    Among(Keys),
    /// Its texts fulfil a query; all that may are among these.
    Text(TextQuery, Keys),
    /// [`Filter::Contained`].
    Contained(Box<Filter>),
}

/// What a plan asks of.
pub(super) struct Resource<'r> {
    pub key: &'r Key,
    pub last_updated: Timestamp,
    pub entries: &'r Entries,
    /// Its JSON, if the plan asks for entries.
    pub body: &'r [u8],
}

/// What a filter asks of other resources.
#[derive(Debug, Clone, Copy)]
pub(super) enum Elsewhere<'f> {
    /// Of the index of texts.
    Text(&'f TextQuery),
    /// Of those that a reference leads to: each type, with what must hold there.
    Targets(&'f [(Box<str>, Filter)]),
    /// Of those of a type that refer here by a parameter.
    Referrers(&'f str, ParameterId, &'f Filter),
}

impl Plan {
    /// The plan of a filter; `follow` gives what each chain leads to, in the order of [`elsewhere`].
    pub(super) fn of(filter: &Filter, follow: &mut dyn Iterator<Item = Keys>) -> Plan {
        let each = |filters: &[Filter], follow: &mut dyn Iterator<Item = Keys>| -> Vec<Plan> {
            filters.iter().map(|filter| Plan::of(filter, follow)).collect()
        };
        match filter {
            Filter::All => Plan::All,
            Filter::None => Plan::Nothing,
            Filter::And(filters) => and(each(filters, follow)),
            Filter::Or(filters) => or(each(filters, follow)),
            Filter::Not(filter) => not(Plan::of(filter, follow)),
            Filter::Match(parameter, predicate) => Plan::Match(*parameter, predicate.clone()),
            Filter::Present(parameter) => Plan::Present(*parameter),
            Filter::Ids(ids) => Plan::Ids(ids.clone()),
            Filter::Type(name) => Plan::Type(name.clone()),
            &Filter::LastUpdated(comparison, lo, hi) => Plan::LastUpdated(comparison, lo, hi),
            Filter::Chain { parameter, .. } => match follow.next() {
                Some(keys) if !keys.is_empty() => Plan::PointsTo(*parameter, keys),
                _ => Plan::Nothing,
            },
            Filter::Text(query) => match follow.next() {
                Some(keys) if !keys.is_empty() => Plan::Text(query.clone(), keys),
                _ => Plan::Nothing,
            },
            Filter::Has { .. } => match follow.next() {
                Some(keys) if !keys.is_empty() => Plan::Among(keys),
                _ => Plan::Nothing,
            },
            Filter::Contained { begin, resource_type, filter: asked } => {
                let around = Filter::around_contained(*begin, resource_type, asked);
                let contained = Plan::Contained(Box::new(filter.clone()));
                and(vec![Plan::of(&around, &mut std::iter::empty()), contained])
            }
        }
    }

    /// Whether it is asked of entries.
    pub(super) fn needs_entries(&self) -> bool {
        match self {
            Plan::Among(_) => false,
            Plan::And(plans) | Plan::Or(plans) => plans.iter().any(Plan::needs_entries),
            Plan::Not(plan) => plan.needs_entries(),
            plan => !plan.is_plain(),
        }
    }

    /// Whether it needs no entries, and its condition is exact.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Plan::All | Plan::Nothing | Plan::Ids(_) | Plan::Type(_) | Plan::LastUpdated(..) => true,
            Plan::And(plans) | Plan::Or(plans) => plans.iter().all(Plan::is_plain),
            Plan::Not(plan) => plan.is_plain(),
            Plan::Match(..)
            | Plan::Present(_)
            | Plan::PointsTo(..)
            | Plan::Among(_)
            | Plan::Text(..)
            | Plan::Contained(_) => false,
        }
    }

    /// Whether a resource fulfils it. The entries are looked at only if it needs them.
    pub(super) fn holds(&self, resource: &Resource<'_>) -> bool {
        let values = |parameter: ParameterId| {
            resource.entries.iter().filter(move |entry| entry.0 == parameter).map(|(_, value)| value)
        };
        match self {
            Plan::All => true,
            Plan::Nothing => false,
            Plan::And(plans) => plans.iter().all(|plan| plan.holds(resource)),
            Plan::Or(plans) => plans.iter().any(|plan| plan.holds(resource)),
            Plan::Not(plan) => !plan.holds(resource),
            Plan::Match(parameter, predicate) => values(*parameter).any(|value| predicate.matches(&value)),
            Plan::Present(parameter) => values(*parameter).next().is_some(),
            Plan::Ids(ids) => ids.iter().any(|id| **id == *resource.key.id()),
            Plan::Type(name) => **name == *resource.key.resource_type(),
            &Plan::LastUpdated(comparison, lo, hi) => {
                let point = resource.last_updated.0.saturating_mul(1_000);
                comparison.holds((lo, hi), (point, point))
            }
            Plan::PointsTo(parameter, keys) => values(*parameter)
                .any(|value| matches!(value, Value::Reference(target) if keys.contains(target))),
            Plan::Among(keys) => keys.contains(resource.key.as_str()),
            Plan::Text(query, _) => matches!(query.score(resource.body), Ok(Some(_))),
            Plan::Contained(filter) => !filter.contained(resource.entries, resource.last_updated).is_empty(),
        }
    }
}

/// What a filter asks of other resources, in the order in which a plan follows it.
pub(super) fn elsewhere(filter: &Filter) -> Vec<Elsewhere<'_>> {
    match filter {
        Filter::And(filters) | Filter::Or(filters) => filters.iter().flat_map(elsewhere).collect(),
        Filter::Not(filter) => elsewhere(filter),
        Filter::Text(query) => vec![Elsewhere::Text(query)],
        Filter::Chain { targets, .. } => vec![Elsewhere::Targets(targets)],
        Filter::Has { resource_type, parameter, filter } => {
            vec![Elsewhere::Referrers(resource_type, *parameter, filter)]
        }
        _ => Vec::new(),
    }
}

pub(super) fn and(plans: Vec<Plan>) -> Plan {
    let mut flat = Vec::with_capacity(plans.len());
    for plan in plans {
        match plan {
            Plan::All => {}
            Plan::Nothing => return Plan::Nothing,
            Plan::And(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    match flat.len() {
        0 => Plan::All,
        1 => flat.pop().unwrap_or(Plan::All),
        _ => Plan::And(flat),
    }
}

pub(super) fn or(plans: Vec<Plan>) -> Plan {
    let mut flat = Vec::with_capacity(plans.len());
    for plan in plans {
        match plan {
            Plan::Nothing => {}
            Plan::All => return Plan::All,
            Plan::Or(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    match flat.len() {
        0 => Plan::Nothing,
        1 => flat.pop().unwrap_or(Plan::Nothing),
        _ => Plan::Or(flat),
    }
}

fn not(plan: Plan) -> Plan {
    match plan {
        Plan::All => Plan::Nothing,
        Plan::Nothing => Plan::All,
        Plan::Not(inner) => *inner,
        other => Plan::Not(Box::new(other)),
    }
}
