#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test
//! The official GraphQL cases for R4. Each that fails is listed in `suite/known_failures.txt` with the reason; one that
//! passes although it is listed fails the test.

mod examples;

use std::collections::BTreeMap;

use examples::Examples;
use graphql::{Level, Request};
use quick_xml::events::Event;
use serde_json::{Value, json};

/// What the suite's own server finds: it looks for files named after type and id, so that the reference of
/// `reference-broken` leads nowhere although the example exists.
const HELD: [&str; 3] = ["Patient/example", "Patient/xds", "Condition/example"];

#[derive(Debug, Default)]
struct Case {
    name: String,
    source: String,
    output: String,
    context: String,
    operation: Option<String>,
}

fn cases(manifest: &[u8]) -> Vec<Case> {
    let mut reader = quick_xml::Reader::from_reader(manifest);
    let mut cases = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => return cases,
            Event::Empty(element) | Event::Start(element) if element.name().as_ref() == b"test" => {
                let mut case = Case::default();
                for attribute in element.attributes() {
                    let attribute = attribute.unwrap();
                    let value = String::from_utf8(attribute.value.to_vec()).unwrap();
                    match attribute.key.as_ref() {
                        b"name" => case.name = value,
                        b"source" => case.source = value,
                        b"output" => case.output = value,
                        b"context" => case.context = value,
                        b"operation" => case.operation = Some(value),
                        _ => {}
                    }
                }
                cases.push(case);
            }
            _ => {}
        }
    }
}

/// What the case says is wrong, if anything.
async fn judge(examples: &Examples, case: &Case, files: &BTreeMap<String, Vec<u8>>) -> Result<(), String> {
    let level = match case.context.strip_suffix("/$graphql") {
        None => Level::System,
        // The suite names it by its file.
        Some("List/example-long") => examples.instance("List/long"),
        Some(key) => examples.instance(key),
    };
    let mut request = Request::of(String::from_utf8(files[&case.source].clone()).unwrap());
    request.operation_name.clone_from(&case.operation);
    // The suite's runner sets it.
    request.variables.insert("var".to_owned(), json!(true));
    let response = examples.ask(&level, &request).await;
    if case.output == "$error" {
        return match response.errors.is_empty() {
            true => Err("is not refused".to_owned()),
            false => Ok(()),
        };
    }
    let expected: Value = serde_json::from_slice(&files[&case.output]).unwrap();
    match response.data {
        Some(data) if data == expected => Ok(()),
        Some(data) => Err(format!("yields {data}")),
        None => Err(format!("is refused: {:?}", response.errors)),
    }
}

#[tokio::test]
async fn official_suite() {
    let test = "official_suite";
    let Some(examples) = Examples::open(test, &HELD) else { return };
    let Some(files) = testdata::archive(test, "fhir-test-cases-r4.tar.gz") else { return };
    let files: BTreeMap<String, Vec<u8>> = files
        .into_iter()
        .filter_map(|file| Some((file.path.split_once("/graphql/")?.1.to_owned(), file.bytes)))
        .collect();
    let cases = cases(&files["manifest.xml"]);
    assert_eq!(cases.len(), 29);
    let known: BTreeMap<&str, &str> =
        include_str!("suite/known_failures.txt").lines().map(|line| line.split_once(": ").unwrap()).collect();
    let mut unexpected = Vec::new();
    for case in &cases {
        match (judge(&examples, case, &files).await, known.get(case.name.as_str())) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Ok(()), Some(_)) => unexpected.push(format!("{}: is listed, but passes", case.name)),
            (Err(why), None) => unexpected.push(format!("{}: {why}", case.name)),
        }
    }
    assert!(unexpected.is_empty(), "{} of {}:\n{}", unexpected.len(), cases.len(), unexpected.join("\n"));
}

/// The cases for servers: a query in the URL and the whole answer.
#[tokio::test]
async fn server_suite() {
    let test = "server_suite";
    let Some(examples) = Examples::open(test, &HELD) else { return };
    let Some(files) = testdata::archive(test, "fhir-test-cases-r4.tar.gz") else { return };
    let file = files.iter().find(|file| file.path.ends_with("/graphql/server-tests.json")).unwrap();
    let suite: Value = serde_json::from_slice(&file.bytes).unwrap();
    let mut count = 0;
    for group in ["instance-tests", "root-tests"] {
        for (name, case) in suite[group].as_object().unwrap() {
            let (context, query) = case["url"].as_str().unwrap().split_once("$graphql?query=").unwrap();
            let level = match context.trim_matches('/') {
                "" => Level::System,
                key => examples.instance(key),
            };
            let response = examples.ask(&level, &Request::of(query)).await;
            let body: Value = serde_json::from_slice(&response.to_json()).unwrap();
            assert_eq!(body, case["output"], "{group}/{name}");
            count += 1;
        }
    }
    assert_eq!(count, 2);
}
