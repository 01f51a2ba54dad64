#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a test: an unexpected error should stop it
//! The patch cases of fhir-test-cases for R4: FHIRPath Patch, whose resources are XML, and JSON Patch. The cases of XML Patch
//! are listed in `patch_suite/xml_patch.txt`, each with what it needs.

use std::sync::Arc;

use conformance::Definitions;
use fhirpath::patch::JsonPatch;
use fhirpath::{Issue, Limits, Patch, Schema, Tree};
use serde::Deserialize;
use serde_json::Value;

fn file(test: &str, name: &str) -> Option<String> {
    let files = testdata::archive(test, "fhir-test-cases-r4.tar.gz")?;
    let file = files.into_iter().find(|file| file.path.ends_with(name)).unwrap();
    Some(String::from_utf8(file.bytes).unwrap())
}

/// A case of a list in XML: its attributes and content, as they stand.
struct Case<'t> {
    name: &'t str,
    content: &'t str,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let case = |part| {
        let (name, content) = str::split_once(part, "\"")?;
        Some(Case { name, content: content.split_once("</case>")?.0 })
    };
    text.split("<case name=\"").skip(1).map(|part| case(part).unwrap()).collect()
}

impl Case<'_> {
    /// The resource of a part, which is a document of its own.
    fn resource(&self, schema: &Arc<Schema>, part: &str) -> Option<Tree> {
        let (_, content) = self.content.split_once(&format!("<{part}>"))?;
        let (resource, _) = content.split_once(&format!("</{part}>")).unwrap();
        Some(Tree::parse_xml(schema, resource.into(), &Limits::DEFAULT).unwrap())
    }
}

fn written(tree: &Tree) -> String {
    let mut out = Vec::new();
    tree.write_json(&mut out);
    String::from_utf8(out).unwrap()
}

/// What is wrong with a case, if anything.
fn judge(schema: &Arc<Schema>, case: &Case<'_>) -> Result<(), String> {
    let (input, diff) = (case.resource(schema, "input").unwrap(), case.resource(schema, "diff").unwrap());
    let outcome =
        Patch::fhirpath(diff, input.resource_type()).and_then(|patch| patch.apply(&input, &Limits::DEFAULT));
    match (outcome, case.resource(schema, "output")) {
        (Ok(found), Some(expected)) if same(&written(&found), &written(&expected)) => Ok(()),
        (Ok(found), _) => Err(format!("yields {}", written(&found))),
        (Err(issues), Some(_)) => Err(format!("is refused: {issues:?}")),
        (Err(issues), None) => names_the_path(&issues),
    }
}

/// Whether two resources are the same, where a quote in the text of a narrative may be written in two ways.
fn same(one: &str, other: &str) -> bool {
    one.replace("&quot;", "\\\"") == other.replace("&quot;", "\\\"")
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
    let text = text.replace("\r\n", "\n"); // https://www.w3.org/TR/xml/#sec-line-ends
    let cases = cases(&text);
    assert_eq!(cases.len(), 33);
    assert_eq!(cases.iter().filter(|case| !case.content.contains("<output>")).count(), 1);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case.name, judge(&schema, case).err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// A change that is taken back leaves each of R4's examples as it was, to the byte: nothing else is touched.
#[test]
fn nothing_else_is_changed() {
    let test = "nothing_else_is_changed";
    let Some(files) = testdata::archive(test, "r4-examples-json.tar.gz") else { return };
    let schema = Definitions::embedded().unwrap().schema;
    let json = br#"[{"op":"test","path":"/language","value":"x"}]"#;
    let there = JsonPatch::parse(json).unwrap();
    let json = br#"[{"op":"add","path":"/implicitRules","value":"urn:x"},{"op":"copy","from":"/implicitRules","path":"/language"},{"op":"remove","path":"/language"},{"op":"remove","path":"/implicitRules"}]"#;
    let json = Patch::json(json).unwrap();
    let operation = |kind: &str, parts: &str| {
        format!(r#"{{"name":"operation","part":[{{"name":"type","valueCode":"{kind}"}},{parts}]}}"#)
    };
    let path = r#"{"name":"path","valueString":"implicitRules"}"#;
    let add = r#"{"name":"path","valueString":"$this"},{"name":"name","valueString":"implicitRules"},{"name":"value","valueUri":"urn:x"}"#;
    let operations = [operation("add", add), operation("delete", path)].join(",");
    let parameters = format!(r#"{{"resourceType":"Parameters","parameter":[{operations}]}}"#);
    let parameters = parsed(&schema, parameters.as_bytes()).unwrap();
    let mut checked = 0;
    for file in files {
        let Ok(before) = parsed(&schema, &file.bytes) else { continue };
        if before.root().get("implicitRules").is_some() {
            continue;
        }
        assert!(there.apply(&before, &Limits::DEFAULT).is_err(), "{}: no language is 'x'", file.path);
        let fhirpath = Patch::fhirpath(parameters.clone(), before.resource_type()).unwrap();
        // What stands first in the order of the specification stays where it is.
        let json = if before.root().get("language").is_some() { None } else { Some(&json) };
        for patch in std::iter::once(&fhirpath).chain(json) {
            let after = patch
                .apply(&before, &Limits::DEFAULT)
                .unwrap_or_else(|issues| panic!("{}: {issues:?}", file.path));
            assert_eq!(written(&after), written(&before), "{}", file.path);
        }
        checked += 1;
    }
    assert!(checked > 700, "{checked}");
}

fn parsed(schema: &Arc<Schema>, bytes: &[u8]) -> Result<Tree, Vec<Issue>> {
    Tree::parse_json(schema, bytes.to_vec(), &Limits::DEFAULT)
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
    // Some cases stand in comments.
    let text: String =
        text.split("<!--").map(|part| part.split_once("-->").map_or(part, |(_, part)| part)).collect();
    let cases: Vec<&str> = cases(&text).into_iter().map(|case| case.name).collect();
    let listed = include_str!("patch_suite/xml_patch.txt").lines().filter(|line| !line.starts_with('#'));
    let listed: Vec<&str> = listed.map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(listed, cases);
}
