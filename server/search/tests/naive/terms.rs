//! Codes that terminology knows of: value sets that resources are coded from, and code systems with hierarchies.

use std::collections::HashMap;
use std::sync::LazyLock;

use conformance::terminology::{ExpandRequest, ValueSetSource};

use super::TERMINOLOGY;
use super::dice::Dice;

/// Value sets, each below `http://hl7.org/fhir/ValueSet/` unless it is whole.
const VALUE_SETS: [&str; 30] = [
    "administrative-gender",
    "observation-status",
    "observation-category",
    "condition-clinical",
    "condition-ver-status",
    "condition-category",
    "encounter-status",
    "event-status",
    "immunization-status",
    "medicationrequest-status",
    "medicationrequest-intent",
    "diagnostic-report-status",
    "request-status",
    "request-intent",
    "claim-use",
    "fm-status",
    "identifier-type",
    "allergy-intolerance-category",
    "allergyintolerance-clinical",
    "publication-status",
    "list-status",
    "list-mode",
    "task-status",
    "contact-point-system",
    "contact-point-use",
    "address-use",
    "goal-status",
    "report-status-codes",
    "http://terminology.hl7.org/ValueSet/v3-ActEncounterCode",
    "http://terminology.hl7.org/ValueSet/v3-ActReason",
];

/// Codes that others are below of and no resource has.
const HEADINGS: [(&str, &str); 2] = [
    ("http://terminology.hl7.org/CodeSystem/v3-ActCode", "_ActEncounterCode"),
    ("http://terminology.hl7.org/CodeSystem/condition-clinical", "inactive"),
];

struct Known {
    sets: Vec<String>,
    /// By code: the sets that have it.
    sets_of: HashMap<String, Vec<usize>>,
    /// By code: the systems that have it.
    systems_of: HashMap<String, Vec<String>>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let (mut sets, mut sets_of, mut systems_of) = (Vec::new(), HashMap::new(), HashMap::new());
    for name in VALUE_SETS {
        let whole = name.starts_with("http");
        let url = if whole { name.to_owned() } else { format!("http://hl7.org/fhir/ValueSet/{name}") };
        let request = ExpandRequest {
            exclude_nested: true,
            ..ExpandRequest::new(ValueSetSource::Canonical(url.clone()))
        };
        let Ok(expansion) = TERMINOLOGY.expand(&request) else { continue };
        for concept in &expansion.contains {
            let of: &mut Vec<usize> = sets_of.entry(concept.code.to_string()).or_default();
            of.push(sets.len());
            let systems: &mut Vec<String> = systems_of.entry(concept.code.to_string()).or_default();
            if !systems.iter().any(|known| **known == *concept.system) {
                systems.push(concept.system.to_string());
            }
        }
        sets.push(url);
    }
    assert!(sets.len() > VALUE_SETS.len() / 2, "only {} value sets are known", sets.len());
    Known { sets, sets_of, systems_of }
});

/// The canonical of a value set: one with the code, if any has it; sometimes any.
pub fn value_set(dice: &mut Dice<'_>, code: &str) -> String {
    let known = KNOWN.sets_of.get(code).filter(|_| dice.roll(5) != 1);
    let number = match known {
        Some(sets) => *dice.pick(sets),
        None => dice.roll(KNOWN.sets.len()),
    };
    KNOWN.sets.get(number).cloned().expect("sets have their numbers")
}

/// `system|code` of a code that terminology knows: this one, or sometimes one above it.
pub fn concept(dice: &mut Dice<'_>, code: &str) -> Option<String> {
    let system = dice.pick(KNOWN.systems_of.get(code)?);
    let heading = HEADINGS.iter().find(|(of, _)| of == system).filter(|_| dice.roll(3) == 1);
    Some(format!("{system}|{}", heading.map_or(code, |(_, heading)| heading)))
}
