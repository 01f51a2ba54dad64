#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a test: an unexpected error should stop it
//! Every official example and every synthetic patient is parsed without a finding, and written with the
//! values it came with, decimals compared as text. Its XML gives the same JSON, to the byte.

use std::path::PathBuf;
use std::sync::Arc;

use conformance::table::Table;
use fhirpath::{Issue, Limits, Schema, Tree};

/// Files among the official examples that are not valid R4 resources: name, the first issue's expression and
/// details.
const INVALID: [(&str, &str, &str); 1] = [
    // The manifest of the package.
    (
        "package.json",
        "Resource",
        "A resource needs a resourceType, for instance \"resourceType\": \"Patient\".",
    ),
];

/// Of the lines of NDJSON, one in so many goes through XML; with `VESTA_ALL_XML` set, each.
const XML_EVERY: usize = 10;

fn schema() -> Arc<Schema> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ig/r4-4.0.1.jsonl");
    let table = Table::read(&std::fs::read_to_string(path).unwrap()).unwrap();
    Arc::new(Schema::build(&table.types).unwrap())
}

/// What differs after parsing and writing, or why it is refused.
fn difference(schema: &Arc<Schema>, text: &[u8], with_xml: bool) -> Result<(), (String, String)> {
    let tree = Tree::parse_json(schema, text.to_vec(), &Limits::DEFAULT).map_err(|issues| {
        let first = issues.first().unwrap().clone();
        (first.expression.unwrap_or_default(), first.details)
    })?;
    let mut written = Vec::with_capacity(text.len());
    tree.write_json(&mut written);
    let differs = |what: &str| Err((String::new(), what.to_owned()));
    let expected: serde_json::Value = serde_json::from_slice(text).unwrap();
    if serde_json::from_slice::<serde_json::Value>(&written).unwrap() != expected {
        return differs("written JSON has other values");
    }
    let tree = Tree::parse_json(schema, written.clone(), &Limits::DEFAULT).unwrap();
    let mut again = Vec::with_capacity(written.len());
    tree.write_json(&mut again);
    if again != written {
        return differs("canonical JSON is written in another way when read again");
    }
    if with_xml { through_xml(schema, &tree, &written) } else { Ok(()) }
}

/// What differs after writing XML and parsing that.
fn through_xml(schema: &Arc<Schema>, tree: &Tree, json: &[u8]) -> Result<(), (String, String)> {
    let place = |issue: Issue| (issue.expression.unwrap_or_default(), format!("XML: {}", issue.details));
    let mut xml = Vec::with_capacity(json.len() * 2);
    tree.write_xml(&mut xml).map_err(place)?;
    let read = Tree::parse_xml(schema, xml.clone(), &Limits::DEFAULT)
        .map_err(|issues| place(issues.into_iter().next().unwrap()))?;
    let mut again = Vec::with_capacity(json.len());
    read.write_json(&mut again);
    if again != json {
        return Err((String::new(), "JSON differs after XML".to_owned()));
    }
    let mut again = Vec::with_capacity(xml.len());
    read.write_xml(&mut again).map_err(place)?;
    if again == xml { Ok(()) } else { Err((String::new(), "XML differs when read again".to_owned())) }
}

#[test]
fn official_examples() {
    let Some(files) = testdata::archive("official_examples", "r4-examples-json.tar.gz") else { return };
    let schema = schema();
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files.iter().filter(|file| file.path.ends_with(".json")) {
        seen += 1;
        let name = file.path.rsplit('/').next().unwrap();
        let listed = INVALID.iter().find(|(listed, ..)| *listed == name);
        let expected = listed.map_or(Ok(()), |&(_, place, why)| Err((place.to_owned(), why.to_owned())));
        let found = difference(&schema, &file.bytes, true);
        if found != expected {
            wrong.push(format!("{name}: expected {expected:?}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(seen, 739);
}

/// All resources of an archive: Bundles one by one, NDJSON line by line.
fn patients(test: &str, archive: &str, least: usize) {
    let schema = schema();
    let every = std::env::var_os("VESTA_ALL_XML").is_some();
    let mut seen = 0_usize;
    let found = testdata::each(test, archive, |file| {
        let bundle = file.path.ends_with(".json");
        let texts: Vec<&[u8]> = match bundle {
            true => vec![&file.bytes],
            false if file.path.ends_with(".ndjson") => file.bytes.split(|&byte| byte == b'\n').collect(),
            false => Vec::new(),
        };
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            seen += 1;
            let with_xml = bundle || every || seen.is_multiple_of(XML_EVERY);
            if let Err((place, why)) = difference(&schema, text, with_xml) {
                panic!("{}, resource {seen}: {place}: {why}", file.path);
            }
        }
    });
    if found.is_some() {
        assert!(seen >= least, "{archive}: only {seen} resources");
    }
}

#[test]
fn synthea_bundles_of_v240() {
    patients("synthea_bundles_of_v240", "synthea-v240.tar.gz", 100);
}

#[test]
fn synthea_bundles_of_us_core() {
    patients("synthea_bundles_of_us_core", "synthea-us-core.tar.gz", 62);
}

#[test]
fn synthea_ndjson() {
    patients("synthea_ndjson", "synthea-bulk-ndjson.tar.gz", 126_740);
}
