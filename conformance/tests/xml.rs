#![allow(missing_docs, clippy::unwrap_used)] // a test: an unexpected error should stop it
//! FHIR XML beside others: the files of fhir-test-cases and of the FHIRPath suite, and npm `fhir`, which turns XML into JSON
//! and back by itself. `round_trip` has the examples and patients.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use conformance::Definitions;
use fhirpath::{Limits, Schema, Tree};
use serde::Deserialize;
use serde_json::{Value, json};

fn schema() -> Arc<Schema> {
    Definitions::embedded().unwrap().schema
}

fn json_of(tree: &Tree) -> String {
    let mut out = Vec::new();
    tree.write_json(&mut out);
    String::from_utf8(out).unwrap()
}

fn xml_of(tree: &Tree) -> String {
    let mut out = Vec::new();
    tree.write_xml(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The JSON of XML that is written and read again, or the first finding.
fn through(schema: &Arc<Schema>, xml: &[u8]) -> Result<String, String> {
    let parse = |xml: Vec<u8>| {
        Tree::parse_xml(schema, xml, &Limits::DEFAULT).map_err(|issues| {
            let first = issues.into_iter().next().unwrap();
            format!("{} at {}", first.details, first.expression.unwrap_or_default())
        })
    };
    let tree = parse(xml.to_vec())?;
    let json = json_of(&tree);
    let again = json_of(&parse(xml_of(&tree).into_bytes())?);
    if again == json { Ok(json) } else { Err("JSON differs after XML is written".to_owned()) }
}

/// `name: reason`, a line each; `#` begins a remark.
fn listed(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(": ").unwrap()).collect()
}

/// That just the listed are `wrong`.
fn check(known: &BTreeMap<&str, &str>, wrong: &BTreeMap<String, String>) {
    let unlisted = wrong.iter().filter(|(name, _)| !known.contains_key(name.as_str()));
    let mut unexpected: Vec<String> = unlisted.map(|(name, why)| format!("{name}: {why}")).collect();
    let gone = known.keys().filter(|name| !wrong.contains_key(**name));
    unexpected.extend(gone.map(|name| format!("{name}: is listed, but nothing is wrong")));
    assert!(unexpected.is_empty(), "{} unexpected:\n{}", unexpected.len(), unexpected.join("\n"));
}

#[test]
fn files_of_fhir_test_cases() {
    let test = "files_of_fhir_test_cases";
    let Some(files) = testdata::archive(test, "fhir-test-cases-r4.tar.gz") else { return };
    let schema = schema();
    let mut wrong = BTreeMap::new();
    let mut read = 0;
    for file in files.iter().filter(|file| file.path.ends_with(".xml")) {
        read += 1;
        if let Err(why) = through(&schema, &file.bytes) {
            let name = file.path.split_once("/r4/").map_or(file.path.as_str(), |(_, name)| name);
            wrong.insert(name.to_owned(), why);
        }
    }
    check(&listed(include_str!("xml/not_read.txt")), &wrong);
    assert!(read >= 25, "{read}");
}

/// The inputs of the FHIRPath suite are there in both forms.
#[test]
fn inputs_of_the_fhirpath_suite() {
    let Some(files) = testdata::archive("inputs_of_the_fhirpath_suite", "fhirpath-suite.tar.gz") else {
        return;
    };
    let schema = schema();
    let mut wrong = BTreeMap::new();
    let mut read = 0;
    for file in files.iter().filter(|file| file.path.contains("/inputs-r4/") && file.path.ends_with(".xml")) {
        read += 1;
        let name = file.path.rsplit('/').next().unwrap().strip_suffix(".xml").unwrap();
        let other = format!("/inputs-r4-json/{name}.json");
        let other = files.iter().find(|file| file.path.ends_with(&other)).unwrap();
        let expected = Tree::parse_json(&schema, other.bytes.clone(), &Limits::DEFAULT);
        let expected =
            expected.map(|tree| json_of(&tree)).map_err(|issues| issues.first().unwrap().details.clone());
        match (through(&schema, &file.bytes), expected) {
            (Ok(found), Ok(expected)) if without_space(&found) == without_space(&expected) => {}
            (Ok(_), Ok(_)) => drop(wrong.insert(name.to_owned(), "JSON differs".to_owned())),
            (Err(why), _) | (_, Err(why)) => drop(wrong.insert(name.to_owned(), why)),
        }
    }
    check(&listed(include_str!("xml/fhirpath_inputs.txt")), &wrong);
    assert_eq!(read, 7);
}

/// Renderings differ in how they treat the white space of markup and of attributes, and quotes in a narrative's text.
fn without_space(json: &str) -> String {
    json.replace("&quot;", "\\\"").replace("\\r", "").replace("\\n", "").replace("\\t", "").replace(' ', "")
}

/// npm `fhir` takes minutes for the few examples that have more bytes of JSON.
const NPM_BYTES: usize = 32 * 1024;

#[derive(Deserialize)]
struct Line {
    name: String,
    json: Option<String>,
    xml: Option<String>,
    error: Option<String>,
}

/// What npm `fhir` makes of our XML is our JSON, and what we make of its XML is too.
#[test]
fn npm_fhir_agrees_or_is_explained() {
    let test = "npm_fhir_agrees_or_is_explained";
    let Some(files) = testdata::archive(test, "r4-examples-json.tar.gz") else { return };
    let Some(install) = npm_fhir(test) else { return };
    let schema = schema();
    let mut ours = BTreeMap::new();
    let mut input = String::new();
    for file in files.into_iter().filter(|file| file.path.ends_with(".json")) {
        let name = file.path.rsplit('/').next().unwrap().to_owned();
        let Ok(tree) = Tree::parse_json(&schema, file.bytes, &Limits::DEFAULT) else { continue };
        let json = json_of(&tree);
        if json.len() > NPM_BYTES {
            continue;
        }
        input.push_str(&json!({"name": name, "xml": xml_of(&tree), "json": json}).to_string());
        input.push('\n');
        ours.insert(name, json);
    }
    assert!(ours.len() > 700, "{}", ours.len());
    let path = install.join("input.ndjson");
    std::fs::write(&path, input).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xml/npm_fhir.mjs");
    let run = Command::new("node").arg(script).args([&install, &path]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let mut wrong = BTreeMap::new();
    let mut answered = 0;
    for line in String::from_utf8(run.stdout).unwrap().lines() {
        let line: Line = serde_json::from_str(line).unwrap();
        answered += 1;
        if let Err(why) = compare(&schema, &line, ours.get(&line.name).unwrap()) {
            wrong.insert(line.name, why);
        }
    }
    check(&listed(include_str!("xml/npm_disagreements.txt")), &wrong);
    assert_eq!(answered, ours.len());
}

fn compare(schema: &Arc<Schema>, line: &Line, ours: &str) -> Result<(), String> {
    let (Some(json), Some(xml)) = (&line.json, &line.xml) else {
        return Err(format!("npm fhir fails: {}", line.error.as_deref().unwrap_or_default()));
    };
    let expected: Value = serde_json::from_str(ours).unwrap();
    let theirs: Value = serde_json::from_str(json).unwrap();
    difference(&theirs, &expected, "").map_or(Ok(()), |why| Err(format!("its JSON of our XML: {why}")))?;
    let read = through(schema, xml.as_bytes()).map_err(|why| format!("its XML is refused: {why}"))?;
    let read: Value = serde_json::from_str(&read).unwrap();
    difference(&read, &expected, "").map_or(Ok(()), |why| Err(format!("our JSON of its XML: {why}")))
}

/// Where two values differ. It writes decimals as strings in JSON, which is no FHIR but says the same, and reads those of
/// JSON as doubles; and it writes the markup of narratives anew, of which the text is compared.
fn difference(theirs: &Value, ours: &Value, path: &str) -> Option<String> {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let missing = ours
                .keys()
                .find(|key| !theirs.contains_key(*key))
                .map(|key| format!("{path}.{key} is missing"));
            missing.or_else(|| {
                theirs.iter().find_map(|(key, value)| match ours.get(key) {
                    Some(own) if key == "div" && path.ends_with("text") => {
                        let same = text_of(value) == text_of(own);
                        (!same).then(|| format!("{path}.div has another text"))
                    }
                    Some(own) => difference(value, own, &format!("{path}.{key}")),
                    None => Some(format!("{path}.{key} is added")),
                })
            })
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            let pairs = theirs.iter().zip(ours).enumerate();
            pairs
                .into_iter()
                .find_map(|(at, (theirs, ours))| difference(theirs, ours, &format!("{path}[{at}]")))
        }
        (Value::String(theirs), Value::Number(ours)) if *theirs == ours.to_string() => None,
        (Value::Number(theirs), Value::Number(ours)) if theirs.as_f64() == ours.as_f64() => None,
        (theirs, ours) if theirs == ours => None,
        _ => Some(format!("{path} differs")),
    }
}

/// The text of markup without its tags and white space.
fn text_of(markup: &Value) -> String {
    let mut text = String::new();
    for part in markup.as_str().unwrap_or_default().split('<') {
        let part = part.split_once('>').map_or(part, |(_, text)| text);
        text.extend(part.chars().filter(|char| !char.is_whitespace()));
    }
    for (name, char) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")] {
        text = text.replace(name, char);
    }
    text
}

/// A folder with npm `fhir` in it, installed once; `None`, with a line that names the test, where that cannot be.
fn npm_fhir(test: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm-fhir");
    if folder.join("node_modules/fhir/package.json").exists() {
        return Some(folder);
    }
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("package.json"), include_str!("xml/package.json")).unwrap();
    let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"];
    let done = Command::new("npm").args(install).current_dir(&folder).output();
    if done.is_ok_and(|done| done.status.success()) {
        return Some(folder);
    }
    let required = std::env::var_os("VESTA_REQUIRE_SUITES").is_some();
    assert!(!required, "{test}: npm fhir is required here and cannot be installed");
    eprintln!("skipped: {test} (node, npm or its registry is not there)");
    None
}
