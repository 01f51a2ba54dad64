#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test
//! The official SQL on FHIR v2 suite. Each case that fails is listed in `suite/known_failures.txt` with the reason; one that
//! passes although it is listed fails the test. What is compared is what the NDJSON says.

use std::collections::BTreeMap;
use std::sync::Arc;

use conformance::Definitions;
use fhirpath::expression::Environment;
use fhirpath::{Issue, Limits, Schema, Tree};
use serde_json::{Map, Value};
use views::View;
use views::write::{Format, Writer};

/// Rows of a view over resources, and the names of its columns.
fn run(schema: &Arc<Schema>, view: &Value, trees: &[Tree]) -> Result<(Vec<Value>, Vec<String>), Issue> {
    let view = View::compile(schema, view)?;
    let mut writer = Writer::new(view.columns(), Format::Ndjson)?;
    for tree in trees {
        for row in view.rows(tree, &Environment::default())? {
            writer.row(&row)?;
        }
    }
    let text = String::from_utf8(writer.finish()?).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Ok((rows, view.columns().iter().map(|column| column.name.clone()).collect()))
}

/// Numbers by their value, columns by name.
fn normal(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.to_string().parse::<f64>().unwrap()),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(fields) => {
            let fields: BTreeMap<&String, Value> =
                fields.iter().map(|(name, value)| (name, normal(value))).collect();
            fields.into_iter().map(|(name, value)| (name.clone(), value)).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// The order of rows is left open.
fn sorted(rows: &[Value]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| normal(row).to_string()).collect();
    rows.sort();
    rows
}

/// Two files of the suite hold what is no FHIR JSON: empty lists, and a time without seconds. They are put right to say the
/// same as far as FHIR can.
fn repaired(json: &Value) -> Value {
    match json {
        Value::Object(fields) => {
            let kept =
                fields.iter().filter(|(_, value)| value.as_array().is_none_or(|items| !items.is_empty()));
            let put_right = |(name, value): (&String, &Value)| match (name.as_str(), value.as_str()) {
                ("valueTime", Some("12:34")) => (name.clone(), Value::from("12:34:00")),
                _ => (name.clone(), repaired(value)),
            };
            kept.map(put_right).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(repaired).collect(),
        other => other.clone(),
    }
}

/// What the case says is wrong, if anything.
fn judge(schema: &Arc<Schema>, case: &Value, trees: &[Tree]) -> Result<(), String> {
    let found = run(schema, &case["view"], trees);
    if case["expectError"] == Value::Bool(true) {
        return match found {
            Err(_) => Ok(()),
            Ok((rows, _)) => Err(format!("is not refused: {rows:?}")),
        };
    }
    let (rows, columns) =
        found.map_err(|issue| format!("is refused: {} {:?}", issue.details, issue.expression))?;
    if let Some(expected) = case["expectColumns"].as_array() {
        let expected: Vec<&str> = expected.iter().map(|name| name.as_str().unwrap()).collect();
        if columns != expected {
            return Err(format!("has the columns {columns:?}"));
        }
    }
    let expected = case["expect"].as_array().cloned().unwrap_or_default();
    match sorted(&rows) == sorted(&expected) {
        true => Ok(()),
        false => Err(format!("yields {rows:?}")),
    }
}

#[test]
fn official_suite() {
    let Some(files) = testdata::archive("official_suite", "fhir-test-cases-r4.tar.gz") else { return };
    let schema = Definitions::embedded().unwrap().schema;
    let known: BTreeMap<&str, &str> = include_str!("suite/known_failures.txt")
        .lines()
        .map(|line| line.rsplit_once(": ").unwrap())
        .collect();
    let (mut total, mut unexpected) = (0, Vec::new());
    for file in files.iter().filter(|file| file.path.contains("/sql-on-fhir/")) {
        if file.path.ends_with("/manifest.json") {
            continue;
        }
        let suite: Value = serde_json::from_slice(&file.bytes).unwrap();
        let parse = |resource: &Value| {
            let bytes = repaired(resource).to_string().into_bytes();
            Tree::parse_json(&schema, bytes, &Limits::DEFAULT)
                .map_err(|issues| format!("{}: {issues:?}", file.path))
        };
        let trees: Result<Vec<Tree>, String> =
            suite["resources"].as_array().unwrap().iter().map(parse).collect();
        for case in suite["tests"].as_array().unwrap() {
            total += 1;
            let name = format!("{}/{}", suite["title"].as_str().unwrap(), case["title"].as_str().unwrap());
            let outcome = match &trees {
                Ok(trees) => judge(&schema, case, trees),
                Err(why) => Err(why.clone()),
            };
            match (outcome, known.get(name.as_str())) {
                (Ok(()), None) | (Err(_), Some(_)) => {}
                (Ok(()), Some(_)) => unexpected.push(format!("{name}: is listed, but passes")),
                (Err(why), None) => unexpected.push(format!("{name}: {why}")),
            }
        }
    }
    assert!(total > 100, "{total} cases");
    assert!(unexpected.is_empty(), "{} of {total}:\n{}", unexpected.len(), unexpected.join("\n"));
}
