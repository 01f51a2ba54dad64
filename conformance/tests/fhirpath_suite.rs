#![allow(missing_docs, clippy::unwrap_used)] // a test: an unexpected error should stop it
//! The official FHIRPath suite for R4. Each case that fails is listed in `fhirpath_suite/known_failures.txt` with the
//! reason; one that passes although it is listed fails the test.
//!
//! The same cases run through npm `fhirpath`, HL7's engine, where node is there; each case on which the two disagree is
//! explained in `fhirpath_suite/npm_disagreements.txt`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
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

impl Case {
    fn id(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }

    fn input(&self) -> String {
        self.inputfile.as_deref().unwrap_or("patient-example.xml").replace(".xml", ".json")
    }
}

/// The types and texts of what an engine yields, or why it refuses.
type Outcome = Result<Vec<(String, String)>, String>;

struct Suite {
    cases: Vec<Case>,
    /// The text of the cases.
    json: Vec<u8>,
    /// Name and content.
    inputs: BTreeMap<String, Vec<u8>>,
}

fn suite(test: &str) -> Option<Suite> {
    let files = testdata::archive(test, "fhirpath-suite.tar.gz")?;
    let json = files.iter().find(|file| file.path.ends_with("/tests-fhir-r4.json")).unwrap().bytes.clone();
    let inputs = files.into_iter().filter_map(|file| {
        let name = file.path.split_once("/inputs-r4-json/")?.1.to_owned();
        let bytes = repaired(&name, file.bytes);
        Some((name, bytes))
    });
    Some(Suite { cases: serde_json::from_slice(&json).unwrap(), inputs: inputs.collect(), json })
}

/// Two inputs of the JSON rendering of the suite are no FHIR JSON: a uuid written as an object, and `_given` shorter than
/// `given` (<https://hl7.org/fhir/R4/json.html#primitive>). They are put right to say what their XML says.
fn repaired(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    let change: fn(&mut serde_json::Value) = match name {
        "parameters-example-types.json" => |json| {
            let uuid = json.pointer_mut("/parameter/2/valueUuid").unwrap();
            *uuid = uuid.get("value").unwrap().clone();
        },
        "patient-name-extensions.json" => |json| {
            let extensions = json.pointer_mut("/name/0/_given").unwrap().as_array_mut().unwrap();
            extensions.push(serde_json::Value::Null);
        },
        _ => return bytes,
    };
    let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    change(&mut json);
    serde_json::to_vec(&json).unwrap()
}

/// The type and the text of an item, as the suite writes them.
fn shown(item: &Item) -> (String, String) {
    match item {
        Item::Element(element) => {
            let kind = element.type_name().to_owned();
            let value = element.value().unwrap_or_default();
            let is_date = matches!(kind.as_str(), "date" | "dateTime");
            (kind, if is_date { format!("@{value}") } else { value.into() })
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

fn evaluate(schema: &Arc<Schema>, tree: &Tree, case: &Case) -> Outcome {
    let mut found = Vec::new();
    let now = DateTime::parse("2026-01-02T03:04:05.678Z").unwrap();
    Expression::compile_as(schema, tree.resource_type(), &case.expression, Dialect::Strict)
        .map_err(|error| error.to_string())
        .and_then(|it| it.evaluate_at(tree.root(), now, &mut found).map_err(|error| error.to_string()))?;
    Ok(found.iter().map(shown).collect())
}

/// What the case says is wrong with an outcome, if anything.
fn judge(case: &Case, outcome: &Outcome) -> Result<(), String> {
    let found = match (outcome, &case.invalid) {
        (Err(_), Some(_)) => return Ok(()),
        (Ok(_), Some(_)) => return Err("is not refused".to_owned()),
        (Err(why), None) => return Err(why.clone()),
        (Ok(found), None) => found,
    };
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

/// What this engine makes of each case, by id.
fn outcomes(suite: &Suite) -> BTreeMap<String, Outcome> {
    let schema = Definitions::embedded().unwrap().schema;
    let parse = |bytes: &Vec<u8>| Tree::parse_json(&schema, bytes.clone(), &Limits::DEFAULT).unwrap();
    let trees: BTreeMap<&String, Tree> =
        suite.inputs.iter().map(|(name, bytes)| (name, parse(bytes))).collect();
    let run = |case: &Case| (case.id(), evaluate(&schema, trees.get(&case.input()).unwrap(), case));
    suite.cases.iter().map(run).collect()
}

/// `id: reason`, a line each.
fn listed(text: &str) -> BTreeMap<&str, &str> {
    text.lines().map(|line| line.split_once(": ").unwrap()).collect()
}

/// That just the cases listed are `wrong`.
fn check(known: &BTreeMap<&str, &str>, wrong: &BTreeMap<String, String>, total: usize) {
    let unlisted = wrong.iter().filter(|(id, _)| !known.contains_key(id.as_str()));
    let mut unexpected: Vec<String> = unlisted.map(|(id, why)| format!("{id}: {why}")).collect();
    let gone = known.keys().filter(|id| !wrong.contains_key(**id));
    unexpected.extend(gone.map(|id| format!("{id}: is listed, but nothing is wrong")));
    let all = unexpected.join("\n");
    assert!(
        unexpected.is_empty(),
        "{} unexpected, {} of {total} wrong:\n{all}",
        unexpected.len(),
        wrong.len()
    );
}

#[test]
fn official_suite() {
    let Some(suite) = suite("official_suite") else { return };
    let outcomes = outcomes(&suite);
    let wrong = suite.cases.iter().filter_map(|case| {
        let why = judge(case, outcomes.get(&case.id())?).err()?;
        Some((case.id(), format!("{} {why}", case.expression)))
    });
    let known = listed(include_str!("fhirpath_suite/known_failures.txt"));
    check(&known, &wrong.collect(), suite.cases.len());
    assert!(known.len() < 10, "{} known failures", known.len());
}

#[test]
fn npm_fhirpath_agrees_or_is_explained() {
    let test = "npm_fhirpath_agrees_or_is_explained";
    let (Some(suite), Some(install)) = (suite(test), npm_fhirpath(test)) else { return };
    let theirs = npm_outcomes(&suite, &install);
    let ours = outcomes(&suite);
    let mut wrong = BTreeMap::new();
    for case in &suite.cases {
        let (Some(ours), Some(theirs)) = (ours.get(&case.id()), theirs.get(&case.id())) else {
            wrong.insert(case.id(), "one of the engines did not run it".to_owned());
            continue;
        };
        let (mine, other) = (judge(case, ours), judge(case, theirs));
        if mine.is_ok() != other.is_ok() {
            wrong.insert(case.id(), format!("{} ours {ours:?}, theirs {theirs:?}", case.expression));
        }
    }
    check(&listed(include_str!("fhirpath_suite/npm_disagreements.txt")), &wrong, suite.cases.len());
}

/// A folder with npm `fhirpath` in it, installed once; `None`, with a line that names the test, where that cannot be.
fn npm_fhirpath(test: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm-fhirpath");
    if folder.join("node_modules/fhirpath/package.json").exists() {
        return Some(folder);
    }
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("package.json"), include_str!("fhirpath_suite/package.json")).unwrap();
    let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"];
    let done = Command::new("npm").args(install).current_dir(&folder).output();
    if done.is_ok_and(|done| done.status.success()) {
        return Some(folder);
    }
    let required = std::env::var_os("VESTA_REQUIRE_SUITES").is_some();
    assert!(!required, "{test}: npm fhirpath is required here and cannot be installed");
    eprintln!("skipped: {test} (node, npm or its registry is not there)");
    None
}

#[derive(Deserialize)]
struct Line {
    id: String,
    items: Option<Vec<(String, String)>>,
    error: Option<String>,
}

fn npm_outcomes(suite: &Suite, install: &Path) -> BTreeMap<String, Outcome> {
    let inputs = install.join("inputs");
    std::fs::create_dir_all(&inputs).unwrap();
    for (name, bytes) in &suite.inputs {
        std::fs::write(inputs.join(name), bytes).unwrap();
    }
    let cases = install.join("cases.json");
    std::fs::write(&cases, &suite.json).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fhirpath_suite/npm_fhirpath.mjs");
    let run = Command::new("node").arg(script).args([install, &cases, &inputs]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let line = |line: &str| serde_json::from_str::<Line>(line).unwrap();
    let lines = String::from_utf8(run.stdout).unwrap();
    lines.lines().map(line).map(|line| (line.id, line.items.ok_or(line.error.unwrap_or_default()))).collect()
}
