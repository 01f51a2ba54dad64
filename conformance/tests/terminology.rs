#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)] // a test: an unexpected error should stop it
//! The terminology operations, from parameters to the answer's JSON, on definitions small enough to see through. Stored
//! definitions are asked for as the server's are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use conformance::Definitions;
use conformance::resources::{Resources, Unavailable};
use conformance::terminology::import::Release;
use conformance::terminology::{
    ClosureRequest, ClosureTable, CodeSystemSource, ExpandRequest, LookupRequest, OperationError, Parameters,
    SubsumesRequest, Terminology, TranslateRequest, ValidateCodeRequest, ValueSetSource, model,
};
use expect_test::{Expect, expect};
use fhirpath::{Issue, Limits, Schema, Tree};
use serde_json::{Value, json};

/// What users stored.
#[derive(Default)]
struct Stored {
    resources: Mutex<HashMap<(String, String), Arc<Tree>>>,
    generation: AtomicU64,
}

impl Stored {
    fn put(&self, schema: &Arc<Schema>, resource: &Value) {
        let text = |name: &str| resource[name].as_str().unwrap().to_owned();
        let key = (text("resourceType"), text("url"));
        let tree = Tree::parse_json(schema, resource.to_string().into_bytes(), &Limits::DEFAULT).unwrap();
        self.resources.lock().unwrap().insert(key, Arc::new(tree));
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl Resources for Stored {
    fn by_canonical(
        &self,
        resource_type: &str,
        url: &str,
        version: Option<&str>,
    ) -> Result<Option<Arc<Tree>>, Unavailable> {
        let found = self.resources.lock().unwrap().get(&(resource_type.to_owned(), url.to_owned())).cloned();
        let has =
            |tree: &Arc<Tree>| tree.root().get("version").and_then(|it| it.value()).as_deref() == version;
        Ok(found.filter(|tree| version.is_none() || has(tree)))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }
}

struct Server {
    schema: Arc<Schema>,
    stored: Arc<Stored>,
    terminology: Terminology,
}

/// A server with the definitions of `terminology/definitions.json`.
fn server() -> Server {
    let schema = Definitions::embedded().unwrap().schema;
    let stored = Arc::new(Stored::default());
    let definitions: Vec<Value> = serde_json::from_str(include_str!("terminology/definitions.json")).unwrap();
    definitions.iter().for_each(|definition| stored.put(&schema, definition));
    let terminology = Terminology::embedded().with_resources(stored.clone());
    Server { schema, stored, terminology }
}

fn query(pairs: &[(&str, &str)]) -> Parameters {
    Parameters::from_query(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// An answer's JSON, or what is wrong.
fn shown(answer: Result<Vec<u8>, OperationError>) -> String {
    match answer {
        Ok(json) => String::from_utf8(json).unwrap(),
        Err(error) => {
            let issue = Issue::from(error);
            format!("{}: {}", issue.code.as_str(), issue.details)
        }
    }
}

impl Server {
    fn body(&self, parameters: Value) -> Parameters {
        let json = json!({ "resourceType": "Parameters", "parameter": parameters }).to_string();
        let tree = Tree::parse_json(&self.schema, json.into_bytes(), &Limits::DEFAULT).unwrap();
        Parameters::from_tree(&tree).unwrap()
    }

    fn expand(&self, parameters: Parameters) -> String {
        let run = || {
            let request = ExpandRequest::read(parameters, None)?;
            Ok(self.terminology.expand(&request)?.to_json(&request, "2026-01-01T00:00:00Z", "urn:uuid:1"))
        };
        shown(run())
    }

    /// The codes of an expansion, nested ones in brackets.
    fn codes(&self, pairs: &[(&str, &str)]) -> String {
        fn list(contains: &Value) -> String {
            let entries = contains.as_array().map(Vec::as_slice).unwrap_or_default();
            let entry = |it: &Value| {
                let below = list(&it["contains"]);
                let code = it["code"].as_str().unwrap().to_owned();
                if below.is_empty() { code } else { format!("{code}({below})") }
            };
            entries.iter().map(entry).collect::<Vec<_>>().join(" ")
        }
        let answer = self.expand(query(pairs));
        match serde_json::from_str::<Value>(&answer) {
            Ok(json) => format!("{}: {}", json["expansion"]["total"], list(&json["expansion"]["contains"])),
            Err(_) => answer,
        }
    }

    fn in_value_set(&self, parameters: Parameters) -> String {
        let run = || {
            let request = ValidateCodeRequest::<ValueSetSource>::read(parameters, None)?;
            Ok(self.terminology.validate_in_value_set(&request)?.to_json())
        };
        shown(run())
    }

    fn in_code_system(&self, parameters: Parameters) -> String {
        let run = || {
            let request = ValidateCodeRequest::<CodeSystemSource>::read(parameters, None)?;
            Ok(self.terminology.validate_in_code_system(&request)?.to_json())
        };
        shown(run())
    }

    fn lookup(&self, parameters: Parameters) -> String {
        shown(
            LookupRequest::read(parameters, None).and_then(|it| Ok(self.terminology.lookup(&it)?.to_json())),
        )
    }

    fn subsumes(&self, parameters: Parameters) -> String {
        let run = || Ok(self.terminology.subsumption(&SubsumesRequest::read(parameters, None)?)?.to_json());
        shown(run())
    }

    fn translate(&self, parameters: Parameters) -> String {
        let run = || Ok(self.terminology.translate(&TranslateRequest::read(parameters, None)?)?.to_json());
        shown(run())
    }
}

#[allow(clippy::needless_pass_by_value)] // an Expect is written in place
fn check(answer: String, expected: Expect) {
    expected.assert_eq(&answer);
}

const SET: &str = "http://test/vs";
const ANIMALS: &str = "http://test/animals";

#[test]
fn expansions_by_rules() {
    let server = server();
    let codes = |name: &str| server.codes(&[("url", &format!("{SET}/{name}"))]);
    check(codes("all"), expect!["7: animal(cat(housecat) dog bird(dodo)) pet"]);
    check(codes("is-a"), expect!["2: cat(housecat)"]);
    check(codes("descendent-of"), expect!["2: housecat dog"]);
    check(codes("is-not-a"), expect!["1: pet"]);
    check(codes("generalizes"), expect!["4: animal(cat(housecat)) pet"]);
    check(codes("in"), expect!["2: cat dog"]);
    check(codes("not-in"), expect!["4: animal(bird(dodo)) pet"]);
    check(codes("regex"), expect!["2: dog dodo"]);
    check(codes("exists"), expect!["1: cat"]);
    check(codes("equal"), expect!["1: bird"]);
    check(codes("parent"), expect!["2: housecat dog"]);
    check(codes("import"), expect!["4: cat(housecat) dog dodo"]);
    check(codes("both"), expect!["2: dog housecat"]);
    check(codes("exclude"), expect!["1: pet"]);
    check(codes("active"), expect!["1: bird"]);
    check(codes("stated"), expect!["2: x y"]);
}

#[test]
fn expansions_that_cannot_be() {
    let server = server();
    let codes = |name: &str| server.codes(&[("url", &format!("{SET}/{name}"))]);
    check(codes("itself"), expect!["processing: the value set http://test/vs/itself includes itself"]);
    check(codes("circle"), expect!["processing: the value set http://test/vs/circle includes itself"]);
    check(codes("elsewhere"), expect!["not-found: the code system http://nowhere is not known here"]);
    check(codes("bad-op"), expect!["processing: the filter concept is cat: FHIR R4 has no such operator"]);
    check(
        codes("bad-regex"),
        expect![
            "processing: the filter code regex (: the value is no regular expression, or too large a one"
        ],
    );
    check(
        codes("no-system"),
        expect![
            "processing: the ValueSet http://test/vs/no-system cannot be read: an include or exclude has codes without a system (vsd-2)"
        ],
    );
    check(
        codes("nothing"),
        expect![
            "processing: the ValueSet http://test/vs/nothing cannot be read: an include or exclude has neither a system nor a value set (vsd-1)"
        ],
    );
    check(
        codes("both-rules"),
        expect![
            "processing: the ValueSet http://test/vs/both-rules cannot be read: an include or exclude has both codes and filters (vsd-3)"
        ],
    );
    check(
        codes("unknown-property"),
        expect!["not-found: of the codes of http://test/animals the property wings is not known here"],
    );
    check(
        codes("languages"),
        expect![
            "too-costly: the codes of urn:ietf:bcp:47 cannot be listed: they are a grammar's; ask whether a code is one of them"
        ],
    );
    check(codes("none"), expect!["not-found: the value set http://test/vs/none is not known here"]);
    check(server.codes(&[]), expect!["invalid: the parameter url or valueSet is needed"]);
    check(
        server.codes(&[("url", "x"), ("url", "y")]),
        expect!["invalid: the parameter url may be there once"],
    );
    check(
        server.codes(&[("url", "x"), ("foo", "y")]),
        expect!["invalid: the parameter foo is not one of this operation's"],
    );
    check(
        server.codes(&[("url", "x"), ("date", "2020")]),
        expect!["invalid: the parameter date is not served here"],
    );
    check(
        server.codes(&[("url", "x"), ("count", "-1")]),
        expect!["invalid: the parameter count must be a number, not negative"],
    );
    check(
        server.codes(&[("url", "x"), ("activeOnly", "yes")]),
        expect!["invalid: the parameter activeOnly must be true or false"],
    );
}

#[test]
fn expansions_as_asked_for() {
    let server = server();
    let all = format!("{SET}/all");
    let codes = |pairs: &[(&str, &str)]| {
        let mut pairs = pairs.to_vec();
        pairs.push(("url", &all));
        server.codes(&pairs)
    };
    check(codes(&[("excludeNested", "true")]), expect!["7: animal cat housecat dog bird dodo pet"]);
    check(codes(&[("activeOnly", "true")]), expect!["6: animal(cat(housecat) dog bird) pet"]);
    check(codes(&[("excludeNotForUI", "true")]), expect!["6: cat(housecat) dog bird(dodo) pet"]);
    check(codes(&[("count", "2")]), expect!["7: animal cat"]);
    check(codes(&[("count", "2"), ("offset", "3")]), expect!["7: dog bird"]);
    check(codes(&[("count", "0")]), expect!["7: "]);
    check(codes(&[("offset", "100")]), expect!["7: "]);
    check(codes(&[("filter", "HOUSE cat")]), expect!["1: housecat"]);
    check(codes(&[("filter", "katze")]), expect!["1: cat"]);
    check(codes(&[("exclude-system", ANIMALS)]), expect!["0: "]);
    check(
        codes(&[("check-system-version", "http://test/animals|2")]),
        expect!["7: animal(cat(housecat) dog bird(dodo)) pet"],
    );
    check(
        codes(&[("system-version", "http://test/animals|9")]),
        expect!["not-found: the code system http://test/animals|9 is not known here"],
    );
    let whole = [
        ("url", "http://test/vs/is-a"),
        ("includeDesignations", "true"),
        ("displayLanguage", "de"),
        ("includeDefinition", "true"),
        ("count", "2"),
    ];
    check(
        server.expand(query(&whole)),
        expect![[
            r#"{"resourceType":"ValueSet","url":"http://test/vs/is-a","status":"active","compose":{"include":[{"system":"http://test/animals","filter":[{"property":"concept","op":"is-a","value":"cat"}]}]},"expansion":{"identifier":"urn:uuid:1","timestamp":"2026-01-01T00:00:00Z","total":2,"parameter":[{"name":"displayLanguage","valueCode":"de"},{"name":"count","valueInteger":2},{"name":"includeDesignations","valueBoolean":true},{"name":"includeDefinition","valueBoolean":true},{"name":"version","valueUri":"http://test/animals|2"}],"contains":[{"system":"http://test/animals","code":"cat","display":"Katze","designation":[{"language":"de-CH","use":{"system":"http://snomed.info/sct","code":"900000000000013009"},"value":"Katze"}]},{"system":"http://test/animals","code":"housecat","display":"House cat"}]}}"#
        ]],
    );
    let given = json!([
        { "name": "valueSet", "resource": { "resourceType": "ValueSet", "status": "draft", "compose": { "include": [
            { "system": ANIMALS, "concept": [{ "code": "cat", "display": "Puss" }, { "code": "unicorn" }] } ] } } },
        { "name": "includeDesignations", "valueBoolean": true },
    ]);
    check(
        server.expand(server.body(given)),
        expect![[
            r#"{"resourceType":"ValueSet","status":"draft","expansion":{"identifier":"urn:uuid:1","timestamp":"2026-01-01T00:00:00Z","total":1,"parameter":[{"name":"includeDesignations","valueBoolean":true},{"name":"version","valueUri":"http://test/animals|2"}],"contains":[{"system":"http://test/animals","code":"cat","display":"Puss","designation":[{"language":"de-CH","use":{"system":"http://snomed.info/sct","code":"900000000000013009"},"value":"Katze"}]}]}}"#
        ]],
    );
}

#[test]
fn codes_in_value_sets() {
    let server = server();
    let ask = |set: &str, pairs: &[(&str, &str)]| {
        let url = format!("{SET}/{set}");
        let mut pairs = pairs.to_vec();
        pairs.push(("url", &url));
        server.in_value_set(query(&pairs))
    };
    check(
        ask("is-a", &[("system", ANIMALS), ("code", "cat"), ("display", "CAT")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"display","valueString":"Cat"},{"name":"code","valueCode":"cat"},{"name":"system","valueUri":"http://test/animals"}]}"#
        ]],
    );
    check(
        ask("is-a", &[("code", "cat")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"display","valueString":"Cat"},{"name":"code","valueCode":"cat"}]}"#
        ]],
    );
    check(
        ask("is-a", &[("system", ANIMALS), ("code", "cat"), ("display", "Dog")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"the code cat is displayed as \"Cat\", not \"Dog\""},{"name":"display","valueString":"Cat"},{"name":"code","valueCode":"cat"},{"name":"system","valueUri":"http://test/animals"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"the code cat is displayed as \"Cat\", not \"Dog\""}}]}}]}"#
        ]],
    );
    check(
        ask("is-a", &[("system", ANIMALS), ("code", "cat"), ("displayLanguage", "de")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"display","valueString":"Katze"},{"name":"code","valueCode":"cat"},{"name":"system","valueUri":"http://test/animals"}]}"#
        ]],
    );
    check(
        ask("is-a", &[("system", ANIMALS), ("code", "bird")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"the code http://test/animals#bird is not in the value set http://test/vs/is-a"},{"name":"code","valueCode":"bird"},{"name":"system","valueUri":"http://test/animals"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"code-invalid","details":{"text":"the code http://test/animals#bird is not in the value set http://test/vs/is-a"}}]}}]}"#
        ]],
    );
    check(
        ask("is-a", &[("system", "http://other"), ("code", "cat")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"the code http://other#cat is not in the value set http://test/vs/is-a"},{"name":"code","valueCode":"cat"},{"name":"system","valueUri":"http://other"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"code-invalid","details":{"text":"the code http://other#cat is not in the value set http://test/vs/is-a"}}]}}]}"#
        ]],
    );
    check(
        ask("all", &[("system", ANIMALS), ("code", "animal"), ("abstract", "false")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"the code animal is abstract: a heading, not a choice"},{"name":"display","valueString":"Animal"},{"name":"code","valueCode":"animal"},{"name":"system","valueUri":"http://test/animals"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"code-invalid","details":{"text":"the code animal is abstract: a heading, not a choice"}}]}}]}"#
        ]],
    );
    check(
        ask("elsewhere", &[("system", "http://nowhere"), ("code", "a")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"http://nowhere#a could not be checked: the code system http://nowhere is not known here"},{"name":"code","valueCode":"a"},{"name":"system","valueUri":"http://nowhere"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"not-found","details":{"text":"http://nowhere#a could not be checked: the code system http://nowhere is not known here"}}]}}]}"#
        ]],
    );
    check(
        ask("elsewhere", &[("system", ANIMALS), ("code", "cat")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"display","valueString":"Cat"},{"name":"code","valueCode":"cat"},{"name":"system","valueUri":"http://test/animals"}]}"#
        ]],
    );
    check(
        ask("none", &[("code", "a")]),
        expect!["not-found: the value set http://test/vs/none is not known here"],
    );
    check(ask("all", &[]), expect!["invalid: the parameter code or coding or codeableConcept is needed"]);
    let concept = json!([
        { "name": "url", "valueUri": "http://test/vs/is-a" },
        { "name": "codeableConcept", "valueCodeableConcept": { "coding": [
            { "system": "http://other", "code": "x" }, { "system": ANIMALS, "code": "housecat" } ] } },
    ]);
    check(
        server.in_value_set(server.body(concept)),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"display","valueString":"House cat"},{"name":"code","valueCode":"housecat"},{"name":"system","valueUri":"http://test/animals"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"code-invalid","details":{"text":"the code http://other#x is not in the value set http://test/vs/is-a"}}]}}]}"#
        ]],
    );
    let text = json!([
        { "name": "url", "valueUri": "http://test/vs/is-a" },
        { "name": "codeableConcept", "valueCodeableConcept": { "text": "a cat" } },
    ]);
    check(
        server.in_value_set(server.body(text)),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"the concept has no coding"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"code-invalid","details":{"text":"the concept has no coding"}}]}}]}"#
        ]],
    );
}

#[test]
fn codes_in_code_systems() {
    let server = server();
    let ask = |pairs: &[(&str, &str)]| server.in_code_system(query(pairs));
    check(
        ask(&[("url", ANIMALS), ("code", "dog")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"display","valueString":"Dog"},{"name":"code","valueCode":"dog"}]}"#
        ]],
    );
    check(
        ask(&[("url", ANIMALS), ("code", "unicorn")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"the code system http://test/animals has no code unicorn"},{"name":"code","valueCode":"unicorn"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"code-invalid","details":{"text":"the code system http://test/animals has no code unicorn"}}]}}]}"#
        ]],
    );
    check(
        ask(&[("url", "http://nowhere"), ("code", "a")]),
        expect!["not-found: the code system http://nowhere is not known here"],
    );
    check(
        ask(&[("url", "http://test/part"), ("code", "b")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"b could not be checked: only a part of the code system http://test/part is known here"},{"name":"code","valueCode":"b"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"not-found","details":{"text":"b could not be checked: only a part of the code system http://test/part is known here"}}]}}]}"#
        ]],
    );
    check(
        ask(&[("url", "http://test/folded"), ("code", "ABC")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"display","valueString":"Abc"},{"name":"code","valueCode":"ABC"}]}"#
        ]],
    );
    check(
        ask(&[("url", "urn:ietf:bcp:47"), ("code", "de-CH")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"display","valueString":"German (Switzerland)"},{"name":"code","valueCode":"de-CH"}]}"#
        ]],
    );
    check(
        ask(&[("url", "http://unitsofmeasure.org"), ("code", "mg/dL")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"code","valueCode":"mg/dL"}]}"#
        ]],
    );
    check(
        ask(&[("url", "http://unitsofmeasure.org"), ("code", "furlongs")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"the code system http://unitsofmeasure.org has no code furlongs"},{"name":"code","valueCode":"furlongs"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"code-invalid","details":{"text":"the code system http://unitsofmeasure.org has no code furlongs"}}]}}]}"#
        ]],
    );
    check(
        ask(&[("url", "urn:iso:std:iso:4217"), ("code", "EUR")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"display","valueString":"Euro"},{"name":"code","valueCode":"EUR"}]}"#
        ]],
    );
    let coding = json!([{ "name": "coding", "valueCoding": { "system": "http://nowhere", "code": "a" } }]);
    check(
        server.in_code_system(server.body(coding)),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"http://nowhere#a could not be checked: the code system http://nowhere is not known here"},{"name":"code","valueCode":"a"},{"name":"system","valueUri":"http://nowhere"},{"name":"issues","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"not-found","details":{"text":"http://nowhere#a could not be checked: the code system http://nowhere is not known here"}}]}}]}"#
        ]],
    );
}

#[test]
fn lookups() {
    let server = server();
    let ask = |pairs: &[(&str, &str)]| server.lookup(query(pairs));
    check(
        ask(&[("system", ANIMALS), ("code", "cat")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"name","valueString":"Animals"},{"name":"version","valueString":"2"},{"name":"display","valueString":"Cat"},{"name":"designation","part":[{"name":"language","valueCode":"de-CH"},{"name":"use","valueCoding":{"system":"http://snomed.info/sct","code":"900000000000013009"}},{"name":"value","valueString":"Katze"}]},{"name":"property","part":[{"name":"code","valueCode":"definition"},{"name":"value","valueString":"Purrs."}]},{"name":"property","part":[{"name":"code","valueCode":"parent"},{"name":"value","valueCode":"animal"}]},{"name":"property","part":[{"name":"code","valueCode":"child"},{"name":"value","valueCode":"housecat"}]},{"name":"property","part":[{"name":"code","valueCode":"legs"},{"name":"value","valueInteger":4}]},{"name":"property","part":[{"name":"code","valueCode":"sound"},{"name":"value","valueString":"meow"}]}]}"#
        ]],
    );
    check(
        ask(&[("system", ANIMALS), ("code", "dodo"), ("property", "inactive")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"name","valueString":"Animals"},{"name":"version","valueString":"2"},{"name":"display","valueString":"Dodo"},{"name":"property","part":[{"name":"code","valueCode":"inactive"},{"name":"value","valueBoolean":true}]}]}"#
        ]],
    );
    check(
        ask(&[("system", ANIMALS), ("code", "cat"), ("displayLanguage", "de"), ("property", "legs")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"name","valueString":"Animals"},{"name":"version","valueString":"2"},{"name":"display","valueString":"Katze"},{"name":"property","part":[{"name":"code","valueCode":"legs"},{"name":"value","valueInteger":4}]}]}"#
        ]],
    );
    check(
        ask(&[("system", "urn:iso:std:iso:3166"), ("code", "CHE")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"name","valueString":"ISO 3166 Country Codes"},{"name":"display","valueString":"Switzerland"}]}"#
        ]],
    );
    check(
        ask(&[("system", "http://unitsofmeasure.org"), ("code", "N")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"name","valueString":"UCUM"},{"name":"display","valueString":"N"},{"name":"property","part":[{"name":"code","valueCode":"canonical"},{"name":"value","valueString":"g.m.s-2"}]}]}"#
        ]],
    );
    check(
        ask(&[("system", ANIMALS), ("code", "unicorn")]),
        expect!["code-invalid: the code system http://test/animals has no code unicorn"],
    );
    check(
        ask(&[("system", "http://nowhere"), ("code", "cat")]),
        expect!["not-found: the code system http://nowhere is not known here"],
    );
    check(ask(&[("code", "cat")]), expect!["invalid: the parameter system is needed"]);
    check(ask(&[("system", ANIMALS)]), expect!["invalid: the parameter code or coding is needed"]);
}

#[test]
fn subsumption() {
    let server = server();
    let ask = |a: &str, b: &str| {
        let answer = server.subsumes(query(&[("system", ANIMALS), ("codeA", a), ("codeB", b)]));
        serde_json::from_str::<Value>(&answer)
            .map_or(answer, |json| json["parameter"][0]["valueCode"].as_str().unwrap().to_owned())
    };
    check(ask("cat", "cat"), expect!["equivalent"]);
    check(ask("animal", "housecat"), expect!["subsumes"]);
    check(ask("housecat", "pet"), expect!["subsumed-by"]);
    check(ask("cat", "dog"), expect!["not-subsumed"]);
    check(
        ask("cat", "unicorn"),
        expect!["code-invalid: the code system http://test/animals has no code unicorn"],
    );
    check(
        server.subsumes(query(&[("codeA", "a"), ("codeB", "b")])),
        expect!["invalid: the parameter system is needed"],
    );
    let codings = json!([
        { "name": "codingA", "valueCoding": { "system": ANIMALS, "code": "cat" } },
        { "name": "codingB", "valueCoding": { "system": "http://other", "code": "cat" } },
    ]);
    check(
        server.subsumes(server.body(codings)),
        expect!["invalid: the parameter codingB is of another code system than codingA"],
    );
}

#[test]
fn translations() {
    let server = server();
    let ask = |pairs: &[(&str, &str)]| server.translate(query(pairs));
    let map = ("url", "http://test/cm");
    check(
        ask(&[map, ("system", ANIMALS), ("code", "cat")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"match","part":[{"name":"equivalence","valueCode":"wider"},{"name":"concept","valueCoding":{"system":"http://test/latin","code":"felis","display":"Felis"}},{"name":"product","part":[{"name":"element","valueUri":"http://test/legs"},{"name":"concept","valueCoding":{"code":"4"}}]},{"name":"source","valueUri":"http://test/cm"}]}]}"#
        ]],
    );
    check(
        ask(&[map, ("system", ANIMALS), ("code", "bird")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false},{"name":"message","valueString":"no mapping fits the codes"},{"name":"match","part":[{"name":"equivalence","valueCode":"unmatched"},{"name":"source","valueUri":"http://test/cm"}]}]}"#
        ]],
    );
    check(
        ask(&[map, ("system", ANIMALS), ("code", "dog")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"match","part":[{"name":"equivalence","valueCode":"inexact"},{"name":"concept","valueCoding":{"system":"http://test/latin","code":"ignotum"}},{"name":"source","valueUri":"http://test/cm"}]}]}"#
        ]],
    );
    check(
        ask(&[map, ("system", "http://test/latin"), ("code", "felis"), ("reverse", "true")]),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"match","part":[{"name":"equivalence","valueCode":"narrower"},{"name":"concept","valueCoding":{"system":"http://test/animals","code":"cat"}},{"name":"source","valueUri":"http://test/cm"}]}]}"#
        ]],
    );
    check(
        ask(&[("url", "http://test/circle"), ("system", ANIMALS), ("code", "dog")]),
        expect![
            "too-costly: the chain of maps from http://test/circle has more than 10 parts; ask for less of it"
        ],
    );
    check(
        ask(&[("url", "http://nowhere"), ("system", ANIMALS), ("code", "dog")]),
        expect!["not-found: the concept map http://nowhere is not known here"],
    );
    let core = [
        ("source", "http://hl7.org/fhir/ValueSet/administrative-gender"),
        ("target", "http://terminology.hl7.org/ValueSet/v3-AdministrativeGender"),
        ("system", "http://hl7.org/fhir/administrative-gender"),
        ("code", "female"),
    ];
    check(
        ask(&core),
        expect![[
            r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},{"name":"match","part":[{"name":"equivalence","valueCode":"equal"},{"name":"concept","valueCoding":{"system":"http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender","code":"F"}},{"name":"source","valueUri":"http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v3"}]}]}"#
        ]],
    );
}

#[test]
fn closures() {
    let server = server();
    let mut table = ClosureTable::new("animals");
    let mut add = |codes: &[&str]| {
        let concept =
            |code: &&str| json!({ "name": "concept", "valueCoding": { "system": ANIMALS, "code": code } });
        let mut parameters: Vec<Value> = codes.iter().map(concept).collect();
        parameters.push(json!({ "name": "name", "valueString": "animals" }));
        let run = || {
            let request = ClosureRequest::read(server.body(Value::Array(parameters)))?;
            let before = table.version;
            server.terminology.close(&mut table, &request.concepts)?;
            table = ClosureTable::from_json(&table.to_json())?;
            Ok(table.since(before, "2026-01-01"))
        };
        shown(run())
    };
    check(
        add(&["housecat", "animal"]),
        expect![[
            r#"{"resourceType":"ConceptMap","version":"1","name":"Updates for animals","status":"active","experimental":true,"date":"2026-01-01","group":[{"source":"http://test/animals","target":"http://test/animals","element":[{"code":"housecat","target":[{"code":"animal","equivalence":"subsumes"}]}]}]}"#
        ]],
    );
    check(
        add(&["cat"]),
        expect![[
            r#"{"resourceType":"ConceptMap","version":"2","name":"Updates for animals","status":"active","experimental":true,"date":"2026-01-01","group":[{"source":"http://test/animals","target":"http://test/animals","element":[{"code":"housecat","target":[{"code":"cat","equivalence":"subsumes"}]},{"code":"cat","target":[{"code":"animal","equivalence":"subsumes"}]}]}]}"#
        ]],
    );
    check(
        add(&["cat"]),
        expect![[
            r#"{"resourceType":"ConceptMap","version":"3","name":"Updates for animals","status":"active","experimental":true,"date":"2026-01-01"}"#
        ]],
    );
    check(
        add(&["dog", "unicorn"]),
        expect!["code-invalid: the code system http://test/animals has no code unicorn"],
    );
    check(
        shown(Ok(table.since(0, "2026-01-01"))),
        expect![[
            r#"{"resourceType":"ConceptMap","version":"3","name":"Updates for animals","status":"active","experimental":true,"date":"2026-01-01","group":[{"source":"http://test/animals","target":"http://test/animals","element":[{"code":"housecat","target":[{"code":"animal","equivalence":"subsumes"}]},{"code":"housecat","target":[{"code":"cat","equivalence":"subsumes"}]},{"code":"cat","target":[{"code":"animal","equivalence":"subsumes"}]}]}]}"#
        ]],
    );
}

#[test]
fn what_is_stored_anew_counts() {
    let server = server();
    let set = |code: &str| {
        json!({ "resourceType": "ValueSet", "status": "active", "url": "http://test/new", "compose": { "include": [
            { "system": ANIMALS, "concept": [{ "code": code }] } ] } })
    };
    let codes = || server.codes(&[("url", "http://test/new")]);
    check(codes(), expect!["not-found: the value set http://test/new is not known here"]);
    server.stored.put(&server.schema, &set("cat"));
    check(codes(), expect!["1: cat"]);
    server.stored.put(&server.schema, &set("dog"));
    check(codes(), expect!["1: dog"]);
}

/// What is not here is looked for again where there is a store, though another without one has asked.
#[test]
fn who_has_no_store_does_not_answer_for_who_has_one() {
    let without = Terminology::embedded();
    let server = server();
    let url = format!("{SET}/is-a");
    let asked = ExpandRequest::new(ValueSetSource::Canonical(url));
    assert!(without.expand(&asked).is_err());
    let with = without.with_resources(server.stored.clone());
    assert_eq!(with.expand(&asked).map(|it| it.total), Ok(2));
    assert!(without.expand(&asked).is_err());
}

/// A release is read from the folder it was unpacked to.
#[test]
fn releases_in_folders() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("releases");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("rx/rrf/RXNCONSO.RRF", "1|ENG||||||1|1|1||RXNORM|IN|1|sweetol||N|4096|\n");
    write("rx/prescribe/rrf/RXNCONSO.RRF", "");
    write(
        "icd/icd10cm-order-2024.txt",
        "00001 A00     0 Sweetness                                                    Sweet\n",
    );
    write("icd/icd10cm_order_addenda_2024.txt", "");
    write("loinc/readme.txt", "");
    write("sct/a/sct2_Concept_Snapshot_INT.txt", "");
    write("sct/b/sct2_Concept_Snapshot_US.txt", "");
    let read = |name: &str, path: &str| {
        let release = Release::ALL.iter().find(|(it, _)| *it == name).unwrap().1;
        match release.read(&folder.join(path), "1") {
            Ok(table) => format!("{} {}", table.description().url, table.len()),
            Err(error) => error.to_string(),
        }
    };
    check(read("rxnorm", "rx"), expect!["http://www.nlm.nih.gov/research/umls/rxnorm 1"]);
    check(read("icd-10-cm", "icd"), expect!["http://hl7.org/fhir/sid/icd-10-cm 1"]);
    check(read("loinc", "loinc"), expect!["there is no Loinc.csv in the folder"]);
    check(read("snomed", "sct"), expect!["there are several sct2_Concept_Snapshot_*.txt in the folder"]);
}

/// An instance that an operation is called on.
#[test]
fn operations_on_instances() {
    let server = server();
    let tree = |resource_type: &str, url: &str| {
        server.stored.by_canonical(resource_type, url, None).unwrap().unwrap()
    };
    let set = model::ValueSet::from_tree(&tree("ValueSet", "http://test/vs/is-a")).unwrap();
    let request = ExpandRequest::read(query(&[("filter", "house")]), Some(set)).unwrap();
    assert_eq!(server.terminology.expand(&request).map(|it| it.total), Ok(1));
    let system = model::CodeSystem::from_tree(&tree("CodeSystem", ANIMALS)).unwrap();
    let pairs = query(&[("codeA", "cat"), ("codeB", "animal")]);
    let request = SubsumesRequest::read(pairs, Some(system.clone())).unwrap();
    assert_eq!(server.terminology.subsumption(&request).map(|it| it.as_str()), Ok("subsumed-by"));
    let request = LookupRequest::read(query(&[("code", "pet")]), Some(system)).unwrap();
    assert_eq!(server.terminology.lookup(&request).map(|it| it.display), Ok("Pet".to_owned()));
    let wrong = model::ConceptMap::from_tree(&tree("CodeSystem", ANIMALS)).unwrap_err();
    assert_eq!(wrong.to_string(), "the ConceptMap http://test/animals cannot be read: it is a CodeSystem");
}
