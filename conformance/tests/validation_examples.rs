#![allow(missing_docs, clippy::unwrap_used)] // a test: an unexpected error should stop it
//! The published examples are valid, but for the errors they really have: those stand in `validation/*_examples.txt`, one a
//! line with its reason. An error that is not listed fails the test, and one that is listed and not found, too.

use std::collections::BTreeSet;

use conformance::Definitions;
use conformance::terminology::Terminology;
use conformance::validation::{Library, Options, Validator};
use fhirpath::{Issue, Severity};

fn embedded() -> Validator {
    Validator::new(Definitions::embedded().unwrap().schema, Library::embedded(), Terminology::embedded())
}

/// The errors among the issues, each as `file | expression | details`.
fn errors(file: &str, issues: &[Issue]) -> Vec<String> {
    let errors = issues.iter().filter(|issue| issue.severity <= Severity::Error);
    errors
        .map(|issue| format!("{file} | {} | {}", issue.expression.as_deref().unwrap_or("-"), issue.details))
        .collect()
}

#[test]
fn r4_examples() {
    let test = "r4_examples";
    let Some(files) = testdata::archive(test, "r4-examples-json.tar.gz") else { return };
    let validator = embedded();
    let mut found = BTreeSet::new();
    let is_example = |path: &str| path.ends_with(".json") && !path.ends_with("/package.json");
    for file in files.iter().filter(|file| is_example(&file.path)) {
        let name = file.path.rsplit('/').next().unwrap();
        found.extend(errors(name, &validator.validate_json(&file.bytes, &[], &Options::default())));
    }
    compare(&found, include_str!("validation/r4_examples.txt"));
}

/// The examples of US Core, by the profiles they claim.
fn us_core(test: &str, archive: &str, list: &str) {
    let Some(files) = testdata::archive(test, &format!("packages/{archive}")) else { return };
    let path = testdata::path(test, &format!("packages/{archive}")).unwrap();
    let schema = Definitions::embedded().unwrap().schema;
    let validator = Validator::with_packages(schema, &[&path]).unwrap();
    let mut found = BTreeSet::new();
    let mut count = 0;
    for file in files.iter().filter(|file| file.path.starts_with("package/example/")) {
        let name = file.path.rsplit('/').next().unwrap();
        if name.starts_with('.') || !name.ends_with(".json") {
            continue;
        }
        count += 1;
        found.extend(errors(name, &validator.validate_json(&file.bytes, &[], &Options::default())));
    }
    assert!(count > 150, "{count} examples");
    compare(&found, list);
}

#[test]
fn us_core_610_examples() {
    us_core("us_core_610_examples", "us_core_610.tgz", include_str!("validation/us_core_610_examples.txt"));
}

#[test]
fn us_core_700_examples() {
    us_core("us_core_700_examples", "us_core_700.tgz", "");
}

/// Each line of the list is an error, ` -- ` and the reason.
fn compare(found: &BTreeSet<String>, list: &str) {
    let listed: BTreeSet<String> =
        list.lines().map(|line| line.split_once(" -- ").unwrap().0.to_owned()).collect();
    let unlisted: Vec<&String> = found.difference(&listed).collect();
    let gone: Vec<&String> = listed.difference(found).collect();
    for line in &unlisted {
        println!("not listed: {line}");
    }
    for line in &gone {
        println!("listed and not found: {line}");
    }
    assert!(unlisted.is_empty() && gone.is_empty(), "{} not listed, {} gone", unlisted.len(), gone.len());
}
