//! A plan as the condition of a query. The condition holds for every resource that fulfils the plan, and for
//! others where the index fields say too little; of a plain plan it holds for no others. It never asks for the
//! negation of what is not exact, so that a field that a document lacks can only make it not hold.
//!
//! What comes from a user is a parameter of the query, never its text; names in paths come from the definitions.

use serde_json::Value as Json;

use super::plan::{Keys, Plan};
use super::terms::{self, finite, ms};
use crate::{Comparison, OwnParameter, Parameter, ParameterId, Predicate, StringMatch, fold};

/// Most targets of a chain in one query; of more, each query has so many.
pub(super) const TARGETS: usize = 64;

/// Most alternatives that a query writes out; with more, the index does not narrow.
const ALTERNATIVES: usize = 512;

/// A condition, and the parameters it names.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// It always holds.
    True,
    /// It never does.
    False,
    /// Text of a condition.
    Text(String),
}

/// Writes conditions of one query.
pub(super) struct Writer<'p> {
    names: &'p [Parameter],
    /// The parameters of the query so far.
    pub(super) parameters: Vec<(String, Json)>,
}

impl<'p> Writer<'p> {
    pub(super) fn new(names: &'p [Parameter]) -> Writer<'p> {
        Writer { names, parameters: Vec::new() }
    }

    /// Adds a parameter; its name.
    pub(super) fn value(&mut self, value: impl Into<Json>) -> String {
        let value = value.into();
        if let Some((name, _)) = self.parameters.iter().find(|(_, other)| *other == value) {
            return name.clone();
        }
        let name = format!("@p{}", self.parameters.len());
        self.parameters.push((name.clone(), value));
        name
    }

    /// What holds wherever a plan does.
    pub(super) fn over(&mut self, plan: &Plan) -> Condition {
        match plan {
            Plan::All | Plan::Present(_) | Plan::Contained(_) => Condition::True,
            Plan::Nothing => Condition::False,
            Plan::And(plans) => all(plans.iter().map(|plan| self.over(plan)).collect()),
            Plan::Or(plans) if plans.len() > ALTERNATIVES => Condition::True,
            Plan::Or(plans) => any(plans.iter().map(|plan| self.over(plan)).collect()),
            Plan::Not(plan) => self.over_not(plan),
            // The tenant's own parameters have no fields.
            Plan::Match(parameter, _) if OwnParameter::first_number(*parameter).is_some() => Condition::True,
            Plan::PointsTo(parameter, _) if OwnParameter::first_number(*parameter).is_some() => {
                Condition::True
            }
            Plan::Match(parameter, predicate) => match (terms::aspect(self.names, *parameter), predicate) {
                (None | Some("canonical"), predicate) => self.predicate(Some(*parameter), predicate),
                // It has no field, but for the identifiers that other parameters have as well.
                (Some("of-type"), Predicate::Composite(parts)) => {
                    parts.last().map_or(Condition::True, |value| self.predicate(None, value))
                }
                (Some(_), _) => Condition::True,
            },
            Plan::Ids(ids) => self.one_of("c.rid", ids),
            Plan::Type(name) => self.one_of("c.ty", std::slice::from_ref(name)),
            &Plan::LastUpdated(comparison, lo, hi) => self.last_updated(comparison, lo, hi),
            Plan::PointsTo(_, keys) | Plan::Among(keys) | Plan::Text(_, keys) if keys.len() > TARGETS => {
                Condition::True
            }
            Plan::PointsTo(_, keys) => {
                let mut targets: Vec<&Box<str>> = keys.iter().collect();
                targets.sort_unstable();
                any(targets.into_iter().map(|target| self.term(terms::reference(target))).collect())
            }
            Plan::Among(keys) | Plan::Text(_, keys) => {
                let ids = keys.iter().filter_map(|key| key.split_once('/'));
                let mut ids: Vec<Box<str>> = ids.map(|(_, id)| id.into()).collect();
                ids.sort_unstable();
                ids.dedup();
                self.one_of("c.rid", &ids)
            }
        }
    }

    /// What holds wherever a plan does not.
    fn over_not(&mut self, plan: &Plan) -> Condition {
        match plan {
            Plan::Not(plan) => self.over(plan),
            Plan::And(plans) => any(plans.iter().map(|plan| self.over_not(plan)).collect()),
            Plan::Or(plans) => all(plans.iter().map(|plan| self.over_not(plan)).collect()),
            plan if plan.is_plain() => match self.over(plan) {
                Condition::True => Condition::False,
                Condition::False => Condition::True,
                Condition::Text(text) => Condition::Text(format!("NOT ({text})")),
            },
            _ => Condition::True,
        }
    }

    fn one_of(&mut self, path: &str, texts: &[Box<str>]) -> Condition {
        let names: Vec<String> = texts.iter().map(|text| self.value(&**text)).collect();
        match names.as_slice() {
            [] => Condition::False,
            [name] => Condition::Text(format!("{path} = {name}")),
            names => Condition::Text(format!("{path} IN ({})", names.join(", "))),
        }
    }

    fn term(&mut self, term: String) -> Condition {
        let name = self.value(term);
        Condition::Text(format!("ARRAY_CONTAINS(c.x, {name})"))
    }

    /// Without a parameter: as a component of a composite.
    fn predicate(&mut self, parameter: Option<ParameterId>, predicate: &Predicate) -> Condition {
        match predicate {
            Predicate::Token { code: Some(code), .. } => self.maybe(terms::code(code)),
            Predicate::Token { code: None, .. } => Condition::True,
            Predicate::Uri(uri) => self.term(terms::uri(uri)),
            Predicate::Reference(targets) => {
                any(targets.iter().map(|target| self.term(terms::reference(target))).collect())
            }
            Predicate::String(StringMatch::StartsWith | StringMatch::Exact | StringMatch::Same, text) => {
                self.maybe(terms::prefix(&fold(text)))
            }
            Predicate::String(StringMatch::Contains | StringMatch::EndsWith, _)
            | Predicate::UriBelow(_)
            | Predicate::NoneOf(_) => Condition::True,
            &Predicate::Date(comparison, lo, hi) => {
                let ends = [ms(lo), ms(hi.saturating_add(1)), ms(lo.saturating_sub(1)), ms(hi)];
                self.span(parameter, comparison, ends.map(Json::from))
            }
            &Predicate::Number(comparison, lo, hi) | &Predicate::Quantity { comparison, lo, hi, .. } => {
                let (lo, hi) = (finite(lo - slack(lo)), finite(hi + slack(hi)));
                // What is not above `hi` is not above `hi` and its slack either: the ends may be those of the others.
                let (above, below) = (finite(hi - 2.0 * slack(hi)), finite(lo + 2.0 * slack(lo)));
                self.span(parameter, comparison, [lo, above, below, hi].map(Json::from))
            }
            Predicate::Composite(parts) => all(parts.iter().map(|part| self.predicate(None, part)).collect()),
        }
    }

    fn maybe(&mut self, term: Option<String>) -> Condition {
        term.map_or(Condition::True, |term| self.term(term))
    }

    /// Of the span searched for: its lower end, the first point above it, the last point below it, its upper end.
    fn span(
        &mut self,
        parameter: Option<ParameterId>,
        comparison: Comparison,
        [lo, above, below, hi]: [Json; 4],
    ) -> Condition {
        let Some(name) = parameter.and_then(|parameter| terms::name(self.names, parameter)) else {
            return Condition::True;
        };
        // The emulator takes text in double quotes for the name of a property of the document itself.
        let path = format!("c.r['{name}']");
        let reaches = |point: String| format!("({path}.l >= {point} OR {path}.h >= {point})");
        Condition::Text(match comparison {
            Comparison::Equal | Comparison::Approximately => {
                let from = reaches(self.value(lo));
                format!("({path}.l <= {} AND {from})", self.value(hi))
            }
            Comparison::NotEqual => {
                let above = reaches(self.value(above));
                format!("({path}.l <= {} OR {above})", self.value(below))
            }
            Comparison::Greater => reaches(self.value(above)),
            Comparison::GreaterOrEqual => reaches(self.value(lo)),
            Comparison::Less | Comparison::EndsBefore => format!("{path}.l <= {}", self.value(below)),
            Comparison::LessOrEqual => format!("{path}.l <= {}", self.value(hi)),
            Comparison::StartsAfter => {
                let above = self.value(above);
                format!("({path}.l >= {above} OR {path}.m >= {above})")
            }
        })
    }

    /// Exactly: documents have the time of their commit in ms, and comparisons are of microseconds.
    fn last_updated(&mut self, comparison: Comparison, lo: i64, hi: i64) -> Condition {
        let first = self.value(ms(lo.saturating_add(999)));
        let last = self.value(ms(hi));
        let within = format!("(c.lu >= {first} AND c.lu <= {last})");
        let (before, after) = (format!("c.lu < {first}"), format!("c.lu > {last}"));
        Condition::Text(match comparison {
            Comparison::Equal | Comparison::Approximately => within,
            Comparison::NotEqual => format!("NOT {within}"),
            Comparison::Greater | Comparison::StartsAfter => after,
            Comparison::Less | Comparison::EndsBefore => before,
            Comparison::GreaterOrEqual => format!("({within} OR {after})"),
            Comparison::LessOrEqual => format!("({within} OR {before})"),
        })
    }
}

/// By how much a number of a document may differ from what was written: readers of JSON round differently.
fn slack(number: f64) -> f64 {
    if number.is_finite() { number.abs() * 1e-12 } else { 0.0 }
}

fn all(conditions: Vec<Condition>) -> Condition {
    joined(conditions, Condition::True, Condition::False, " AND ")
}

fn any(conditions: Vec<Condition>) -> Condition {
    joined(conditions, Condition::False, Condition::True, " OR ")
}

fn joined(conditions: Vec<Condition>, neutral: Condition, decisive: Condition, word: &str) -> Condition {
    let mut texts = Vec::new();
    for condition in conditions {
        match condition {
            Condition::Text(text) if !texts.contains(&text) => texts.push(text),
            condition if condition == decisive => return decisive,
            _ => {}
        }
    }
    match texts.len() {
        0 => neutral,
        1 => Condition::Text(texts.concat()),
        _ => Condition::Text(format!("({})", texts.join(word))),
    }
}

/// The plans whose queries together find what one plan does: several where a chain that all must fulfil has more
/// targets than one query takes.
pub(super) fn parts(plan: &Plan) -> Vec<Plan> {
    let conjuncts = match plan {
        Plan::And(plans) => plans.as_slice(),
        plan => std::slice::from_ref(plan),
    };
    let many = conjuncts.iter().enumerate().find_map(|(at, plan)| match plan {
        Plan::PointsTo(parameter, keys)
            if keys.len() > TARGETS && OwnParameter::first_number(*parameter).is_none() =>
        {
            Some((at, plan, keys))
        }
        Plan::Among(keys) | Plan::Text(_, keys) if keys.len() > TARGETS => Some((at, plan, keys)),
        _ => None,
    });
    let Some((at, split, keys)) = many else { return vec![plan.clone()] };
    let mut sorted: Vec<&str> = keys.iter().map(|key| &**key).collect();
    sorted.sort_unstable();
    let part = |targets: &[&str]| {
        let keys: Keys = std::sync::Arc::new(targets.iter().map(|target| Box::from(*target)).collect());
        let others = conjuncts.iter().enumerate().filter(|(other, _)| *other != at);
        let others = others.map(|(_, plan)| plan.clone());
        let some = match split {
            Plan::PointsTo(parameter, _) => Plan::PointsTo(*parameter, keys),
            Plan::Text(query, _) => Plan::Text(query.clone(), keys),
            _ => Plan::Among(keys),
        };
        Plan::And(std::iter::once(some).chain(others).collect())
    };
    sorted.chunks(TARGETS).map(part).collect()
}
