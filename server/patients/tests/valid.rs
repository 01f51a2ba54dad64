//! The patients are valid by the profiles they claim, without an error or a warning, and complete.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test

use std::collections::BTreeSet;

use conformance::terminology::{self, Terminology};
use conformance::validation::{Library, Options, Validator};
use conformance::{Definitions, UsCore};
use fhirpath::{Issue, IssueType, Severity};
use serde_json::Value;

fn key(resource: &Value) -> String {
    format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap())
}

/// Code systems and value sets that their owners keep to themselves, and what HL7's terminology got after R4: none is in the
/// program.
const ELSEWHERE: [&str; 12] = [
    "http://loinc.org ",
    "http://snomed.info/sct ",
    "http://www.nlm.nih.gov/research/umls/rxnorm ",
    "http://hl7.org/fhir/sid/",
    "http://cts.nlm.nih.gov/fhir/ValueSet/",
    "http://phinvads.cdc.gov/fhir/ValueSet/",
    "http://ihe.net/fhir/",
    "https://nahdo.org/sopt ",
    "https://www.nubc.org/",
    "http://nucc.org/provider-taxonomy ",
    "http://terminology.hl7.org/ValueSet/",
    "http://terminology.hl7.org/CodeSystem/PHOccupationalDataForHealthODH ",
];

/// What is wrong. A code is passed over that was not checked because its code system or value set is elsewhere.
fn wrong(validator: &Validator, resource: &Value) -> Vec<Issue> {
    let issues = validator.validate_json(resource.to_string().as_bytes(), &[], &Options::default());
    let is_unknown = |issue: &Issue| {
        issue.severity == Severity::Warning
            && issue.code == IssueType::NotFound
            && issue.details.starts_with("The code was not checked")
            && ELSEWHERE.iter().any(|url| issue.details.contains(url))
    };
    issues.into_iter().filter(|issue| !is_unknown(issue)).collect()
}

fn check(us_core: UsCore) {
    let schema = Definitions::embedded().unwrap().schema;
    let terminology = Terminology::new(terminology::Library::of(us_core));
    let validator = Validator::new(schema, Library::of(us_core), terminology);
    for resource in patients::resources(us_core).unwrap() {
        let wrong = wrong(&validator, &resource);
        assert!(wrong.is_empty(), "{}: {wrong:?}", key(&resource));
    }
}

#[test]
fn valid_in_us_core_610() {
    check(UsCore::V6_1_0);
}

#[test]
fn valid_in_us_core_700() {
    check(UsCore::V7_0_0);
}

#[test]
fn valid_in_us_core_800() {
    check(UsCore::V8_0_0);
}

#[test]
fn ids_are_used_once_and_references_are_to_what_is_there() {
    for us_core in UsCore::ALL {
        let resources = patients::resources(us_core).unwrap();
        let keys: BTreeSet<String> = resources.iter().map(key).collect();
        assert_eq!(keys.len(), resources.len());
        for resource in &resources {
            for part in resource.to_string().split("\"reference\":\"").skip(1) {
                let reference = part.split('"').next().unwrap();
                assert!(reference.starts_with('#') || keys.contains(reference), "{reference}");
            }
        }
        let ids = [
            format!("Group/{}", patients::GROUP),
            format!("Practitioner/{}", patients::PRACTITIONER),
            format!("Encounter/{}", patients::ENCOUNTER),
        ];
        for id in patients::PATIENTS.map(|id| format!("Patient/{id}")).iter().chain(&ids) {
            assert!(keys.contains(id), "{id}");
        }
    }
}
