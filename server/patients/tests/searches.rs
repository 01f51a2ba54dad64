//! The patients have something for every search that the (g)(10) kit makes, for every include, for the categories that
//! granular scopes are about, and for its guidance on notes, screenings and missing data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test

use std::collections::BTreeSet;

use conformance::{Definitions, UsCore};
use fhirpath::{Limits, Tree};
use serde_json::Value;

const CONDITION: &str = "http://terminology.hl7.org/CodeSystem/condition-category";
const OBSERVATION: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const US_CORE: &str = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category";
const LOINC: &str = "http://loinc.org";

struct Demo {
    definitions: Definitions,
    resources: Vec<Value>,
    trees: Vec<Tree>,
}

impl Demo {
    fn new(us_core: UsCore) -> Demo {
        let definitions = Definitions::embedded().unwrap();
        let resources = patients::resources(us_core).unwrap();
        let parse =
            |it: &Value| Tree::parse_json(&definitions.schema, it.to_string().into_bytes(), &Limits::DEFAULT);
        let trees = resources.iter().map(|it| parse(it).unwrap()).collect();
        Demo { definitions, resources, trees }
    }

    /// Whether a resource has a value for a parameter.
    fn has(&self, tree: &Tree, code: &str) -> bool {
        if ["_id", "_lastUpdated"].contains(&code) {
            return true;
        }
        let kind = tree.resource_type();
        let found = self.definitions.search_parameters.get(kind, code);
        let parameter = found.unwrap_or_else(|| panic!("{kind} has no parameter {code}"));
        let mut out = Vec::new();
        // A choice by what a reference refers to needs no more than its text here.
        let expression = parameter.expression_text.replace(".where(resolve() is Patient)", "");
        let expression = fhirpath::Expression::compile(&self.definitions.schema, kind, &expression).unwrap();
        expression.evaluate(tree.root(), &mut out).unwrap();
        !out.is_empty()
    }

    fn of<'s>(&'s self, kind: &'s str) -> impl Iterator<Item = (&'s Value, &'s Tree)> {
        self.resources.iter().zip(&self.trees).filter(move |(_, tree)| tree.resource_type() == kind)
    }

    /// Whether one of a type has a coding at an element.
    fn codes(&self, kind: &str, element: &str) -> BTreeSet<(String, String)> {
        let concepts = |resource: &Value| match &resource[element] {
            Value::Array(all) => all.clone(),
            one => vec![one.clone()],
        };
        self.of(kind)
            .flat_map(|(resource, _)| concepts(resource))
            .flat_map(|concept| concept["coding"].as_array().cloned().unwrap_or_default())
            .map(|it| (it["system"].as_str().unwrap().to_owned(), it["code"].as_str().unwrap().to_owned()))
            .collect()
    }
}

fn check(test: &str, us_core: UsCore, version: &str) {
    let Some(path) = testdata::path(test, "inferno/us-core-searches.json") else { return };
    let searches: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let demo = Demo::new(us_core);
    let mut missing = Vec::new();
    for (name, wanted) in searches[version].as_object().unwrap() {
        let (kind, part) = name.split_once('|').unwrap_or((name, ""));
        for one in wanted.as_array().unwrap() {
            let there = match part {
                "" => {
                    let codes: Vec<&str> = one[0].as_str().unwrap().split('+').collect();
                    demo.of(kind).any(|(_, tree)| codes.iter().all(|code| demo.has(tree, code)))
                }
                "revinclude" => demo
                    .of("Provenance")
                    .any(|(resource, _)| resource.to_string().contains(&format!("\"{kind}/"))),
                "include" => {
                    let parts: Vec<&str> = one.as_str().unwrap().split(':').collect();
                    let target = parts.get(2).map_or(String::new(), |target| format!("\"{target}/"));
                    demo.of(kind).any(|(resource, tree)| {
                        demo.has(tree, parts[1]) && resource.to_string().contains(&target)
                    })
                }
                part => panic!("{part}"),
            };
            if !there {
                missing.push(format!("{name} {one}"));
            }
        }
    }
    assert!(missing.is_empty(), "US Core {us_core}: nothing is found by {missing:#?}");
}

#[test]
fn searches_of_us_core_610() {
    check("searches_of_us_core_610", UsCore::V6_1_0, "610");
}

#[test]
fn searches_of_us_core_700() {
    check("searches_of_us_core_700", UsCore::V7_0_0, "700");
}

/// Asks for codes, and says which are missing.
fn assert_codes(found: &BTreeSet<(String, String)>, wanted: &[(&str, &str)]) {
    for (system, code) in wanted {
        assert!(found.contains(&((*system).to_owned(), (*code).to_owned())), "{system}|{code}");
    }
}

#[test]
fn categories_of_granular_scopes() {
    let demo = Demo::new(UsCore::V6_1_0);
    let conditions = [
        (CONDITION, "encounter-diagnosis"),
        (CONDITION, "problem-list-item"),
        ("http://hl7.org/fhir/us/core/CodeSystem/condition-category", "health-concern"),
    ];
    assert_codes(&demo.codes("Condition", "category"), &conditions);
    let observations = [
        (OBSERVATION, "laboratory"),
        (OBSERVATION, "social-history"),
        (OBSERVATION, "vital-signs"),
        (OBSERVATION, "survey"),
        (US_CORE, "sdoh"),
    ];
    assert_codes(&demo.codes("Observation", "category"), &observations);
}

#[test]
fn notes_screenings_and_missing_data() {
    let demo = Demo::new(UsCore::V6_1_0);
    let notes = ["11488-4", "18842-5", "34117-2", "28570-0", "11506-3", "18748-4", "11502-2", "11526-1"];
    assert_codes(&demo.codes("DocumentReference", "type"), &notes.map(|code| (LOINC, code)));
    let reports = ["LP29684-5", "LP29708-2", "LP7839-6"];
    assert_codes(&demo.codes("DiagnosticReport", "category"), &reports.map(|code| (LOINC, code)));
    let screenings =
        ["sdoh", "functional-status", "disability-status", "cognitive-status"].map(|code| (US_CORE, code));
    let surveys = demo.of("Observation").filter(|(it, _)| it["category"].to_string().contains("\"survey\""));
    let mut found = BTreeSet::new();
    for (survey, _) in surveys {
        for category in survey["category"].as_array().unwrap() {
            let coding = &category["coding"][0];
            let text = |name: &str| coding[name].as_str().unwrap().to_owned();
            found.insert((text("system"), text("code")));
        }
    }
    assert_codes(&found, &screenings);
    assert_codes(&found, &[(OBSERVATION, "activity"), (OBSERVATION, "social-history")]);
    assert_codes(&demo.codes("Condition", "category"), &[(US_CORE, "sdoh")]);

    // A report's attachment is a document's, too.
    let urls = |kind: &str, place: fn(&Value) -> &Value| -> BTreeSet<String> {
        let attachments = demo.of(kind).map(|(it, _)| place(it));
        attachments.filter_map(|it| it["url"].as_str().map(str::to_owned)).collect()
    };
    let documents = urls("DocumentReference", |it| &it["content"][0]["attachment"]);
    let reports = urls("DiagnosticReport", |it| &it["presentedForm"][0]);
    assert!(reports.len() > 3 && reports.is_subset(&documents), "{reports:?} {documents:?}");

    let all = Value::Array(demo.resources).to_string();
    let extension =
        "{\"url\":\"http://hl7.org/fhir/StructureDefinition/data-absent-reason\",\"valueCode\":\"unknown\"}";
    let code =
        "{\"system\":\"http://terminology.hl7.org/CodeSystem/data-absent-reason\",\"code\":\"unknown\"";
    assert!(all.contains(extension) && all.contains(code));
}
