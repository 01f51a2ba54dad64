#![allow(missing_docs, clippy::unwrap_used)] // a test: an unexpected error should stop it
//! The official FHIRPath suite for R4. Each case that fails is listed in `fhirpath_suite/known_failures.txt` with the
//! reason; one that passes although it is listed fails the test.

use std::collections::BTreeMap;
use std::sync::Arc;

use conformance::Definitions;
use fhirpath::expression::{DateTime, Dialect, Expression, Item};
use fhirpath::{Limits, Schema, Tree};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    group: String,
    name: String,
    inputfile: Option<String>,
    expression: String,
    invalid: Option<String>,
    predicate: bool,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    #[serde(rename = "type")]
    kind: Option<String>,
    value: Option<String>,
}

/// The type and the text of an item, as the suite writes them.
fn shown(item: &Item) -> (String, String) {
    match item {
        Item::Element(element) => {
            let kind = element.type_name().to_owned();
            let value = element.value().unwrap_or_default();
            (
                kind.clone(),
                if matches!(kind.as_str(), "date" | "dateTime") { format!("@{value}") } else { value.into() },
            )
        }
        Item::Boolean(value) => ("boolean".into(), value.to_string()),
        Item::Integer(value) => ("integer".into(), value.to_string()),
        Item::Decimal(value) => ("decimal".into(), value.to_string()),
        Item::String(value) => ("string".into(), value.to_string()),
        Item::Date(value) => ("date".into(), format!("@{value}")),
        Item::DateTime(value) => ("dateTime".into(), format!("@{value}")),
        Item::Time(value) => ("time".into(), format!("@T{value}")),
        Item::Quantity(value) => ("Quantity".into(), value.to_string()),
        Item::TypeInfo(value) => ("TypeInfo".into(), format!("{}.{}", value.namespace, value.name)),
    }
}

/// Two inputs of the JSON rendering of the suite are no FHIR JSON: a uuid written as an object, and `_given` shorter than
/// `given` (<https://hl7.org/fhir/R4/json.html#primitive>). They are put right to say what their XML says.
fn repaired(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    match name {
        "parameters-example-types.json" => {
            let uuid = json.pointer_mut("/parameter/2/valueUuid").unwrap();
            *uuid = uuid.get("value").unwrap().clone();
        }
        "patient-name-extensions.json" => {
            let extensions = json.pointer_mut("/name/0/_given").unwrap().as_array_mut().unwrap();
            extensions.push(serde_json::Value::Null);
        }
        _ => return bytes,
    }
    serde_json::to_vec(&json).unwrap()
}

/// What the case says is wrong, if anything.
fn run(schema: &Arc<Schema>, tree: &Tree, case: &Case) -> Result<(), String> {
    let mut found = Vec::new();
    let now = DateTime::parse("2026-01-02T03:04:05.678Z").unwrap();
    let result = Expression::compile_as(schema, tree.resource_type(), &case.expression, Dialect::Strict)
        .map_err(|error| error.to_string())
        .and_then(|it| it.evaluate_at(tree.root(), now, &mut found).map_err(|error| error.to_string()));
    if case.invalid.is_some() {
        return if result.is_err() { Ok(()) } else { Err("is not refused".to_owned()) };
    }
    result?;
    let found: Vec<_> = found.iter().map(shown).collect();
    if case.predicate {
        let expected = case.outputs.first().and_then(|output| output.value.as_deref()) == Some("true");
        let truth = found.first().is_some_and(|(_, value)| value != "false");
        return if truth == expected { Ok(()) } else { Err(format!("is {truth}")) };
    }
    let same = found.len() == case.outputs.len()
        && found.iter().zip(&case.outputs).all(|((kind, value), output)| {
            output.kind.as_ref().is_none_or(|expected| expected == kind)
                && output.value.as_ref().is_none_or(|expected| expected == value)
        });
    if same { Ok(()) } else { Err(format!("yields {found:?}")) }
}

#[test]
fn official_suite() {
    let Some(files) = testdata::archive("official_suite", "fhirpath-suite.tar.gz") else { return };
    let schema = Definitions::embedded().unwrap().schema;
    let file =
        |ending: &str| files.iter().find(|file| file.path.ends_with(ending)).map(|file| file.bytes.clone());
    let cases: Vec<Case> = serde_json::from_slice(&file("/tests-fhir-r4.json").unwrap()).unwrap();
    let mut trees = BTreeMap::new();
    let known: BTreeMap<&str, &str> = include_str!("fhirpath_suite/known_failures.txt")
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .collect();
    let (mut unexpected, mut passed) = (Vec::new(), 0);
    for case in &cases {
        let input = case.inputfile.as_deref().unwrap_or("patient-example.xml").replace(".xml", ".json");
        let tree = trees.entry(input.clone()).or_insert_with(|| {
            let bytes = repaired(&input, file(&format!("inputs-r4-json/{input}")).unwrap());
            Tree::parse_json(&schema, bytes, &Limits::DEFAULT)
                .map_err(|issues| format!("{input}: {issues:?}"))
        });
        let id = format!("{}/{}", case.group, case.name);
        let result = tree.as_ref().map_err(Clone::clone).and_then(|tree| run(&schema, tree, case));
        match (result, known.get(id.as_str())) {
            (Ok(()), None) => passed += 1,
            (Ok(()), Some(_)) => unexpected.push(format!("{id}: passes, but is listed as a failure")),
            (Err(_), Some(_)) => {}
            (Err(why), None) => unexpected.push(format!("{id}: {} {why}", case.expression)),
        }
    }
    let all = unexpected.join("\n");
    assert!(
        unexpected.is_empty(),
        "{} unexpected, {passed} of {} passed:\n{all}",
        unexpected.len(),
        cases.len()
    );
}
