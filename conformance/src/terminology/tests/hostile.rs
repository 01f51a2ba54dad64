//! Definitions that would take all time or memory end in an error that says so.

use std::time::{Duration, Instant};

use fhirpath::{Limits, Tree};
use serde_json::{Value, json};

use super::*;
use crate::Definitions;

/// Stored definitions by URL.
struct Stored(Vec<Arc<Tree>>);

impl Resources for Stored {
    fn by_canonical(&self, _: &str, url: &str, _: Option<&str>) -> Result<Option<Arc<Tree>>, Unavailable> {
        let is_it =
            |tree: &&Arc<Tree>| tree.root().get("url").and_then(|it| it.value()).as_deref() == Some(url);
        Ok(self.0.iter().find(is_it).cloned())
    }

    fn generation(&self) -> u64 {
        0
    }
}

/// The store cannot be read.
struct Broken;

impl Resources for Broken {
    fn by_canonical(&self, _: &str, _: &str, _: Option<&str>) -> Result<Option<Arc<Tree>>, Unavailable> {
        Err(Unavailable("no disk".to_owned()))
    }

    fn generation(&self) -> u64 {
        0
    }
}

fn server(definitions: &[Value]) -> Terminology {
    let schema = Definitions::embedded().unwrap().schema;
    let limits = Limits { depth: 500, ..Limits::DEFAULT };
    let parse =
        |it: &Value| Arc::new(Tree::parse_json(&schema, it.to_string().into_bytes(), &limits).unwrap());
    Terminology::embedded().with_resources(Arc::new(Stored(definitions.iter().map(parse).collect())))
}

fn set(url: &str, includes: Vec<Value>) -> Value {
    json!({ "resourceType": "ValueSet", "status": "draft", "url": url, "compose": { "include": includes } })
}

fn system(concepts: Value) -> Value {
    json!({ "resourceType": "CodeSystem", "status": "draft", "url": "http://s", "content": "complete",
            "property": [{ "code": "parent", "type": "code" }], "concept": concepts })
}

/// What is answered to `$expand` and to a binding, both soon.
fn check(definitions: &[Value], url: &str, code: &str, expanded: &str, checked: &str) {
    let terminology = server(definitions);
    let start = Instant::now();
    let request = ExpandRequest::new(ValueSetSource::Canonical(url.to_owned()));
    let answer = terminology.expand(&request);
    assert_eq!(answer.map_or_else(|error| error.to_string(), |it| it.total.to_string()), expanded);
    let said = match terminology.validate_code(url, &[coding(Some("http://s"), code)]) {
        CodeCheck::Valid { .. } => "valid".to_owned(),
        CodeCheck::Invalid { why } => why.to_string(),
        CodeCheck::NotChecked { why } => format!("not checked: {why}"),
    };
    assert_eq!(said, checked);
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
}

#[test]
fn value_sets_that_import_themselves() {
    let why = "the value set http://a includes itself";
    let import = |url: &str| json!({ "valueSet": [url] });
    check(&[set("http://a", vec![import("http://a")])], "http://a", "x", why, &format!("not checked: {why}"));
    let circle = [set("http://a", vec![import("http://b")]), set("http://b", vec![import("http://a")])];
    check(&circle, "http://a", "x", why, &format!("not checked: {why}"));
}

#[test]
fn long_chains_of_imports() {
    let link =
        |at: usize| set(&format!("http://{at}"), vec![json!({ "valueSet": [format!("http://{}", at + 1)] })]);
    let why = "the chain of imports of the value set http://32 has more than 32 parts; ask for less of it";
    let chain: Vec<Value> = (0..1000).map(link).collect();
    check(&chain, "http://0", "x", why, &format!("not checked: {why}"));
}

#[test]
fn imports_that_double() {
    let next = |at: usize| json!({ "valueSet": [format!("http://{}", at + 1)] });
    let double = |at: usize| set(&format!("http://{at}"), vec![next(at), next(at)]);
    let mut chain: Vec<Value> = (0..30).map(double).collect();
    chain.push(set("http://30", vec![json!({ "system": "http://s" })]));
    chain.push(system(json!([{ "code": "x" }])));
    let why = "the value set http://21 has more than 2000 parts; ask for less of it";
    check(&chain, "http://0", "x", why, &format!("not checked: {why}"));
}

#[test]
fn many_codes() {
    let concepts: Vec<Value> = (0..60_000).map(|at| json!({ "code": at.to_string() })).collect();
    let definitions = [system(json!(concepts)), set("http://a", vec![json!({ "system": "http://s" })])];
    let why = "the expansion of the value set http://a has more than 50000 parts; ask for less of it";
    check(&definitions, "http://a", "59999", why, "valid");
    let paged = ExpandRequest {
        count: Some(10),
        offset: Some(59_995),
        ..ExpandRequest::new(ValueSetSource::Canonical("http://a".to_owned()))
    };
    let page = server(&definitions).expand(&paged).unwrap();
    assert_eq!((page.total, page.contains.len()), (60_000, 5));
}

#[test]
fn deep_hierarchies() {
    let nested = (0..60)
        .fold(json!([{ "code": "leaf" }]), |below, at| json!([{ "code": at.to_string(), "concept": below }]));
    let filter = json!({ "property": "concept", "op": "is-a", "value": "59" });
    let include = json!({ "system": "http://s", "filter": [filter] });
    check(&[system(nested), set("http://a", vec![include])], "http://a", "leaf", "61", "valid");
}

#[test]
fn hierarchies_that_are_long_or_turn_in_circles() {
    let parent = |at: usize| json!({ "code": "parent", "valueCode": at.to_string() });
    let circle: Vec<Value> =
        (0..100).map(|at| json!({ "code": at.to_string(), "property": [parent((at + 1) % 100)] })).collect();
    let filter = |value: &str| json!({ "property": "concept", "op": "is-a", "value": value });
    let include = |value: &str| json!({ "system": "http://s", "filter": [filter(value)] });
    let definitions = [system(json!(circle)), set("http://a", vec![include("0")])];
    check(&definitions, "http://a", "50", "100", "valid");
    let long: Vec<Value> =
        (0..101_000).map(|at| json!({ "code": at.to_string(), "property": [parent(at + 1)] })).collect();
    // As a rule of the value set itself, and as one of what it takes out.
    let is_not_a = |value: &str| {
        let filter = json!({ "property": "concept", "op": "is-not-a", "value": value });
        json!({ "system": "http://s", "filter": [filter] })
    };
    let limit = |limit| {
        format!(
            "the way up the hierarchy of the code system http://s has more than {limit} parts; ask for less of it"
        )
    };
    let definitions = [system(json!(long)), set("http://a", vec![is_not_a("100999")])];
    check(&definitions, "http://a", "0", "0", &format!("not checked: {}", limit(100_000)));
    let mut without = set("http://a", vec![json!({ "system": "http://s" })]);
    without["compose"]["exclude"] = json!([is_not_a("0")]);
    let definitions = [definitions[0].clone(), without];
    check(&definitions, "http://a", "1", &limit(4_000_000), &format!("not checked: {}", limit(100_000)));
}

#[test]
fn patterns_that_are_large() {
    let filter = json!({ "property": "code", "op": "regex", "value": "(a{1000}){1000}" });
    let definitions = [
        system(json!([{ "code": "x" }])),
        set("http://a", vec![json!({ "system": "http://s", "filter": [filter] })]),
    ];
    let why = "the filter code regex (a{1000}){1000}: the value is no regular expression, or too large a one";
    check(&definitions, "http://a", "x", why, &format!("not checked: {why}"));
}

#[test]
fn a_store_that_cannot_be_read() {
    let terminology = Terminology::embedded().with_resources(Arc::new(Broken));
    let said = terminology.validate_code("http://nowhere", &[coding(None, "x")]);
    let CodeCheck::NotChecked { why } = said else { panic!("{said:?}") };
    assert_eq!(why.to_string(), "the store cannot be read: no disk");
    let gender = "http://hl7.org/fhir/ValueSet/administrative-gender";
    let said = terminology.validate_code(gender, &[coding(None, "male")]);
    assert_eq!(said, CodeCheck::Valid { display_issue: None }, "what comes with the program needs no store");
}

/// Value sets that each have all codes of those below, in two ways: each code is looked for in each.
#[test]
fn many_sets_of_many_codes() {
    let concepts: Vec<Value> = (0..20_000).map(|at| json!({ "code": at.to_string() })).collect();
    let mut definitions = vec![system(json!(concepts))];
    let all = json!({ "system": "http://s" });
    let nothing = json!({ "system": "http://s", "concept": [{ "code": "none" }] });
    let mut parts = vec![nothing; 900];
    parts.push(all.clone());
    definitions.push(set("http://b", parts));
    definitions.push(set("http://a", vec![json!({ "system": "http://s", "valueSet": ["http://b"] })]));
    let why = "the question whether a code is in a value set has more than 4000000 parts; ask for less of it";
    check(&definitions, "http://a", "1", why, "valid");
}

#[test]
fn many_filters() {
    let filters = |count| {
        let filter = json!({ "property": "code", "op": "regex", "value": "[0-9]*" });
        json!({ "system": "http://s", "filter": vec![filter; count] })
    };
    let definitions = [
        system(json!([{ "code": "1" }])),
        set("http://a", vec![filters(64)]),
        set("http://b", vec![filters(65)]),
    ];
    check(&definitions, "http://a", "1", "1", "valid");
    let why = "an include of the value set http://b has more than 64 parts; ask for less of it";
    check(&definitions, "http://b", "1", why, &format!("not checked: {why}"));
}
