#![allow(missing_docs, clippy::unwrap_used)] // a test: an unexpected error should stop it
//! The tables under `ig/` are what `compile-package` makes of the official packages today.

use std::collections::BTreeSet;
use std::path::PathBuf;

use conformance::table::Table;
use conformance::terminology::{ExpandRequest, Library, Terminology, ValueSetSource, compile_terminology};
use conformance::validation::compile_structures;
use conformance::{Limits, compile_package, compile_shorts};

fn table_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ig").join(name)
}

/// Compiles a package of the shared data and compares it byte for byte with the table kept here.
fn check(test: &str, package: &str, table: &str) {
    let Some(path) = testdata::path(test, &format!("packages/{package}")) else { return };
    let archive = std::fs::File::open(path).unwrap();
    let compiled = compile_package(archive, &Limits::default()).unwrap().write().unwrap();
    let kept = std::fs::read_to_string(table_path(table)).unwrap();
    let differs = kept.lines().zip(compiled.lines()).position(|(kept, compiled)| kept != compiled);
    assert_eq!(differs, None, "first line of {table} that differs, from 0; run compile-package again");
    assert!(kept == compiled, "{table} is longer or shorter; run compile-package again");
}

/// The same for its terminology.
fn check_terminology(test: &str, package: &str, table: &str) {
    let Some(path) = testdata::path(test, &format!("packages/{package}")) else { return };
    let compiled = compile_terminology(std::fs::File::open(path).unwrap(), &Limits::default()).unwrap();
    let kept = std::fs::read_to_string(table_path(table)).unwrap();
    let differs = kept.lines().zip(compiled.lines()).position(|(kept, compiled)| kept != compiled);
    assert_eq!(differs, None, "first line of {table} that differs, from 0; run compile-package again");
    assert!(kept == compiled, "{table} is longer or shorter; run compile-package again");
}

/// The same for what is validated by.
fn check_structures(test: &str, package: &str, table: &str) {
    let Some(path) = testdata::path(test, &format!("packages/{package}")) else { return };
    let compiled = compile_structures(std::fs::File::open(path).unwrap(), &Limits::default()).unwrap();
    let kept = std::fs::read_to_string(table_path(table)).unwrap();
    let differs = kept.lines().zip(compiled.lines()).position(|(kept, compiled)| kept != compiled);
    assert_eq!(differs, None, "first line of {table} that differs, from 0; run compile-package again");
    assert!(kept == compiled, "{table} is longer or shorter; run compile-package again");
}

#[test]
fn profiles_are_compiled_from_their_packages() {
    let test = "profiles_are_compiled_from_their_packages";
    check_structures(test, "hl7.fhir.r4.core-4.0.1.tgz", "r4-4.0.1.profiles.jsonl");
    check_structures(test, "us_core_610.tgz", "us-core-6.1.0.profiles.jsonl");
    check_structures(test, "us_core_700.tgz", "us-core-7.0.0.profiles.jsonl");
    check_structures(test, "us_core_800.tgz", "us-core-8.0.0.profiles.jsonl");
}

#[test]
fn texts_of_elements_are_compiled_from_their_package() {
    let test = "texts_of_elements_are_compiled_from_their_package";
    let Some(path) = testdata::path(test, "packages/hl7.fhir.r4.core-4.0.1.tgz") else { return };
    let compiled = compile_shorts(std::fs::File::open(path).unwrap(), &Limits::default()).unwrap();
    let kept = std::fs::read_to_string(table_path("r4-4.0.1.shorts.tsv")).unwrap();
    assert!(kept == compiled, "run compile-package again");
}

#[test]
fn terminology_is_compiled_from_its_packages() {
    let test = "terminology_is_compiled_from_its_packages";
    check_terminology(test, "hl7.fhir.r4.core-4.0.1.tgz", "r4-4.0.1.terminology.jsonl");
    check_terminology(test, "us_core_610.tgz", "us-core-6.1.0.terminology.jsonl");
    check_terminology(test, "us_core_700.tgz", "us-core-7.0.0.terminology.jsonl");
    check_terminology(test, "us_core_800.tgz", "us-core-8.0.0.terminology.jsonl");
}

/// What US Core 6.1.0 does not bring along is what US Core 3.1.1 has.
#[test]
fn race_and_ethnicity_are_those_of_us_core_3() {
    let test = "race_and_ethnicity_are_those_of_us_core_3";
    let Some(path) = testdata::path(test, "packages/us_core_311.tgz") else { return };
    let compiled = compile_terminology(std::fs::File::open(path).unwrap(), &Limits::default()).unwrap();
    let kept = std::fs::read_to_string(table_path("us-core-vocabulary.terminology.jsonl")).unwrap();
    let codes = |text: &str| -> Vec<String> {
        let is_it =
            |line: &&str| line.starts_with(r#"{"codeSystem":{"url":"urn:oid:2.16.840.1.113883.6.238""#);
        text.lines().filter(is_it).map(str::to_owned).collect()
    };
    assert_eq!(codes(&kept), codes(&compiled));
    let mut library = Library::default();
    library.add(compiled);
    let (new, old) = (Terminology::embedded(), Terminology::new(library));
    for name in
        ["omb-race-category", "detailed-race", "omb-ethnicity-category", "detailed-ethnicity", "birthsex"]
    {
        let url = format!("http://hl7.org/fhir/us/core/ValueSet/{name}");
        let codes = |terminology: &Terminology| -> BTreeSet<String> {
            let mut request = ExpandRequest::new(ValueSetSource::Canonical(url.clone()));
            request.exclude_nested = true;
            let expansion = terminology.expand(&request).unwrap();
            expansion.contains.into_iter().map(|it| it.code.into()).collect()
        };
        // The unknown, where it was added since.
        let since: Vec<String> = codes(&new).symmetric_difference(&codes(&old)).cloned().collect();
        assert!(since.iter().all(|code| ["UNK", "ASKU"].contains(&code.as_str())), "{name}: {since:?}");
    }
}

#[test]
fn r4_is_compiled_from_its_package() {
    check("r4_is_compiled_from_its_package", "hl7.fhir.r4.core-4.0.1.tgz", "r4-4.0.1.jsonl");
}

#[test]
fn us_core_is_compiled_from_its_package() {
    let test = "us_core_is_compiled_from_its_package";
    check(test, "us_core_610.tgz", "us-core-6.1.0.jsonl");
    check(test, "us_core_700.tgz", "us-core-7.0.0.jsonl");
    check(test, "us_core_800.tgz", "us-core-8.0.0.jsonl");
}

#[test]
fn a_table_reads_as_it_was_written() {
    for name in ["r4-4.0.1.jsonl", "us-core-6.1.0.jsonl", "us-core-7.0.0.jsonl", "us-core-8.0.0.jsonl"] {
        let text = std::fs::read_to_string(table_path(name)).unwrap();
        assert!(Table::read(&text).unwrap().write().unwrap() == text, "{name}");
    }
}

#[test]
fn a_broken_table_is_refused_by_line() {
    let check = |text: &str, message: &str| {
        assert_eq!(Table::read(text).unwrap_err().to_string(), message);
    };
    let package = r#"{"package":{"name":"a","version":"1"}}"#;
    check(&format!("{package}\nno"), "line 2: expected value at line 1 column 1");
    check(
        &format!("{package}\n{{\"other\":{{}}}}"),
        "line 2: unknown variant `other`, expected one of `package`, `type`, `searchParameter`, `compartment`, \
         `profile`, `capabilityStatement`, `implementationGuide`, `operation` at line 1 column 8",
    );
}
