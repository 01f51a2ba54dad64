#![allow(missing_docs, clippy::unwrap_used)] // a test: an unexpected error should stop it
//! The patch cases of fhir-test-cases for R4: FHIRPath Patch, JSON Patch. Their resources are written in XML, and read here
//! into JSON. The cases of XML Patch are listed in `patch_suite/xml_patch.txt`, each with what it needs.

#[path = "patch_suite/xml.rs"]
mod xml;

use std::sync::Arc;

use conformance::Definitions;
use fhirpath::patch::JsonPatch;
use fhirpath::{Issue, Limits, Patch, Schema, Tree};
use serde::Deserialize;
use serde_json::Value;

use xml::Node;

fn file(test: &str, name: &str) -> Option<String> {
    let files = testdata::archive(test, "fhir-test-cases-r4.tar.gz")?;
    let file = files.into_iter().find(|file| file.path.ends_with(name)).unwrap();
    Some(String::from_utf8(file.bytes).unwrap())
}

fn resource(schema: &Arc<Schema>, case: &Node, part: &str) -> Option<Tree> {
    let resource = case.child(part)?.elements().next().unwrap();
    let json = serde_json::to_vec(&xml::resource(schema, resource)).unwrap();
    Some(Tree::parse_json(schema, json, &Limits::DEFAULT).unwrap())
}

fn written(tree: &Tree) -> String {
    let mut out = Vec::new();
    tree.write_json(&mut out);
    String::from_utf8(out).unwrap()
}

/// What is wrong with a case, if anything.
fn judge(schema: &Arc<Schema>, case: &Node) -> Result<(), String> {
    let (input, diff) = (resource(schema, case, "input").unwrap(), resource(schema, case, "diff").unwrap());
    let outcome =
        Patch::fhirpath(diff, input.resource_type()).and_then(|patch| patch.apply(&input, &Limits::DEFAULT));
    match (outcome, resource(schema, case, "output")) {
        (Ok(found), Some(expected)) if written(&found) == written(&expected) => Ok(()),
        (Ok(found), _) => Err(format!("yields {}", written(&found))),
        (Err(issues), Some(_)) => Err(format!("is refused: {issues:?}")),
        (Err(issues), None) => names_the_path(&issues),
    }
}

/// The one case that is to fail does so because nothing is where its path leads.
fn names_the_path(issues: &[Issue]) -> Result<(), String> {
    let place = issues.first().and_then(|issue| issue.expression.as_deref());
    match place {
        Some("Parameters.parameter[0].part[1]") if issues.len() == 1 => Ok(()),
        _ => Err(format!("is refused for another reason: {issues:?}")),
    }
}

#[test]
fn fhirpath_patch() {
    let Some(text) = file("fhirpath_patch", "/patch/fhir-patch-tests.xml") else { return };
    let schema = Definitions::embedded().unwrap().schema;
    let suite = xml::parse(&text);
    let cases: Vec<&Node> = suite.children("case").collect();
    assert_eq!(cases.len(), 33);
    assert_eq!(cases.iter().filter(|case| case.child("output").is_none()).count(), 1);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case.attribute("name")?, judge(&schema, case).err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[derive(Deserialize)]
struct JsonCase {
    comment: String,
    doc: Value,
    patch: Value,
    expected: Option<Value>,
    error: Option<String>,
}

#[test]
fn json_patch() {
    let Some(text) = file("json_patch", "/patch/json-patch-tests.json") else { return };
    let cases: Vec<JsonCase> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 16);
    let mut wrong = Vec::new();
    for case in cases {
        let patch = JsonPatch::parse(case.patch.to_string().as_bytes()).unwrap();
        let size = case.doc.to_string().len();
        let outcome = patch.change(case.doc, size, &Limits::DEFAULT);
        let right = match (&outcome, &case.expected) {
            (Ok(found), Some(expected)) => found == expected,
            (Err(_), None) => case.error.is_some(),
            _ => false,
        };
        if !right {
            wrong.push(format!("{}: {outcome:?}", case.comment));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// That the list is whole: XML Patch is not spoken, and each of its cases says what it would need.
#[test]
fn cases_of_xml_patch_are_listed() {
    let Some(text) = file("cases_of_xml_patch_are_listed", "/patch/xml-patch-tests.xml") else { return };
    let suite = xml::parse(&text);
    let cases: Vec<&str> = suite.children("case").filter_map(|case| case.attribute("name")).collect();
    let listed = include_str!("patch_suite/xml_patch.txt").lines().filter(|line| !line.starts_with('#'));
    let listed: Vec<&str> = listed.map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(listed, cases);
}
