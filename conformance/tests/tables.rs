#![allow(missing_docs, clippy::unwrap_used)] // a test: an unexpected error should stop it
//! The tables under `ig/` are what `compile-package` makes of the official packages today.

use std::path::PathBuf;

use conformance::table::Table;
use conformance::{Limits, compile_package};

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

#[test]
fn r4_is_compiled_from_its_package() {
    check("r4_is_compiled_from_its_package", "hl7.fhir.r4.core-4.0.1.tgz", "r4-4.0.1.jsonl");
}

#[test]
fn us_core_is_compiled_from_its_package() {
    check("us_core_is_compiled_from_its_package", "us_core_610.tgz", "us-core-6.1.0.jsonl");
}

#[test]
fn a_table_reads_as_it_was_written() {
    for name in ["r4-4.0.1.jsonl", "us-core-6.1.0.jsonl"] {
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
