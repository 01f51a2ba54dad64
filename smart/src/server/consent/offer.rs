//! What a consent page offers for the scopes that an app asks for.

use crate::message::Request;
use crate::scope::{Meaning, Permissions, ResourceScope, Scope, ScopeSet};

/// What the user decides on, part by part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// `launch..`: granted with anything else.
    silent: Vec<Scope>,
    /// About the user and the time, each with its box.
    pub plain: Vec<Scope>,
    /// About records.
    pub parts: Vec<Part>,
}

/// One scope, or all types of a wildcard scope one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The scope that the app asked for, if it is a wildcard: granted only if every type is.
    pub wildcard: Option<Scope>,
    /// A scope of one type, with narrower ones to choose instead.
    pub types: Vec<(Scope, Vec<(Scope, &'static str)>)>,
}

const CONDITION: &str = "http://terminology.hl7.org/CodeSystem/condition-category";
const CONDITION_US: &str = "http://hl7.org/fhir/us/core/CodeSystem/condition-category";
const OBSERVATION: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const OBSERVATION_US: &str = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category";

/// Categories that (g)(10) asks to be offered: type, system, code, what users read.
const CATEGORIES: &[(&str, &str, &str, &str)] = &[
    ("Condition", CONDITION, "encounter-diagnosis", "Encounter diagnoses"),
    ("Condition", CONDITION, "problem-list-item", "Problem list"),
    ("Condition", CONDITION_US, "health-concern", "Health concerns"),
    ("Observation", OBSERVATION, "procedure", "Clinical tests"),
    ("Observation", OBSERVATION, "laboratory", "Laboratory results"),
    ("Observation", OBSERVATION, "social-history", "Social history"),
    ("Observation", OBSERVATION_US, "sdoh", "Social determinants of health"),
    ("Observation", OBSERVATION, "survey", "Surveys"),
    ("Observation", OBSERVATION, "vital-signs", "Vital signs"),
];

impl Offer {
    /// What is offered for scopes; `types` stand for a wildcard, and what cannot be held to is not offered.
    pub fn of(scopes: &ScopeSet, types: &[String], can_hold_to: impl Fn(&Scope) -> bool) -> Offer {
        let mut offer = Offer { silent: Vec::new(), plain: Vec::new(), parts: Vec::new() };
        for scope in scopes.iter() {
            match scope.meaning() {
                Meaning::Launch | Meaning::LaunchPatient | Meaning::LaunchEncounter => {
                    offer.silent.push(scope.clone())
                }
                Meaning::Resources(resources) => {
                    offer.parts.push(part(scope, resources, types, &can_hold_to));
                }
                _ => offer.plain.push(scope.clone()),
            }
        }
        offer
    }

    /// What a form says is granted; nothing if that opens nothing.
    pub(super) fn chosen(&self, request: &Request) -> ScopeSet {
        let boxes: Vec<&str> = request.all("scope").collect();
        let ticked = |scope: &Scope| boxes.contains(&scope.text());
        let mut granted: Vec<Scope> = self.plain.iter().filter(|scope| ticked(scope)).cloned().collect();
        for part in &self.parts {
            match &part.wildcard {
                Some(wildcard) if ticked(wildcard) && part.types.iter().all(|(scope, _)| ticked(scope)) => {
                    granted.push(wildcard.clone());
                }
                _ => {
                    let all = part.types.iter().flat_map(|(scope, narrower)| {
                        std::iter::once(scope).chain(narrower.iter().map(|(scope, _)| scope))
                    });
                    granted.extend(all.filter(|scope| ticked(scope)).cloned());
                }
            }
        }
        let opens =
            |scope: &Scope| !matches!(scope.meaning(), Meaning::OfflineAccess | Meaning::OnlineAccess);
        if !granted.iter().any(opens) {
            return ScopeSet::default();
        }
        self.silent.iter().cloned().chain(granted).collect()
    }
}

fn part(
    scope: &Scope,
    resources: &ResourceScope,
    types: &[String],
    can_hold_to: &impl Fn(&Scope) -> bool,
) -> Part {
    if resources.resource_type.is_some() {
        return Part { wildcard: None, types: vec![(scope.clone(), narrower(resources, can_hold_to))] };
    }
    let of_type = |name: &String| {
        let resources = ResourceScope { resource_type: Some(name.as_str().into()), ..resources.clone() };
        // Written in the version that the app wrote.
        let text = scope.text().replacen("/*.", &format!("/{name}."), 1);
        let scope: Scope = text.parse().unwrap_or_else(|_| resources.clone().into());
        can_hold_to(&scope).then(|| (scope, narrower(&resources, can_hold_to)))
    };
    Part { wildcard: Some(scope.clone()), types: types.iter().filter_map(of_type).collect() }
}

/// The categories of a scope for a whole type; they read and search only.
fn narrower(resources: &ResourceScope, can_hold_to: &impl Fn(&Scope) -> bool) -> Vec<(Scope, &'static str)> {
    let permissions = resources.permissions.and(Permissions::V1_READ);
    if !resources.filter.is_empty() || permissions.is_empty() {
        return Vec::new();
    }
    let own = CATEGORIES.iter().filter(|(name, ..)| resources.resource_type.as_deref() == Some(name));
    let scopes = own.map(|(_, system, code, title)| {
        let filter = vec![("category".into(), format!("{system}|{code}").into())];
        (Scope::from(ResourceScope { permissions, filter, ..resources.clone() }), *title)
    });
    scopes.filter(|(scope, _)| can_hold_to(scope)).collect()
}
