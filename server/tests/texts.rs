//! `_text`, `_content` and `_score` over a socket: what is found, at once after a write and after the server was killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use support::{Server, directory};

fn condition(narrative: &str, code: &str) -> String {
    format!(
        r#"{{"resourceType":"Condition","id":"ID","text":{{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>{narrative}</p></div>"}},"code":{{"text":"{code}"}},"subject":{{"reference":"Patient/p"}}}}"#
    )
}

fn put(server: &Server, id: &str, narrative: &str, code: &str) {
    let body = condition(narrative, code).replace("\"ID\"", &format!("\"{id}\""));
    let answer = server.put(&format!("/fhir/Condition/{id}"), &body);
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

fn found(server: &Server, query: &str) -> Vec<String> {
    let bundle = server.get(&format!("/fhir/{query}")).expect(200).json();
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let matches = entries.iter().filter(|entry| entry["search"]["mode"] == "match");
    let matches: Vec<&Value> = matches.collect();
    for entry in &matches {
        let score = entry["search"]["score"].as_f64().unwrap();
        assert!(score > 0.0 && score <= 1.0, "{entry}");
    }
    matches.iter().map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn words_are_found_in_narratives_and_in_everything() {
    let data = directory();
    let server = Server::start(data.path());
    server
        .put("/fhir/Patient/p", r#"{"resourceType":"Patient","id":"p","name":[{"family":"Bone"}]}"#)
        .expect(201);
    put(&server, "a", "Bone <b>metas</b>tases", "C79.5");
    put(&server, "b", "Liver metastases &amp; more", "secondary neoplasm of liver");
    put(&server, "c", "Bone fracture, bone healing", "Fracture");
    for (query, expected) in [
        ("Condition?_text=%28bone%20OR%20liver%29%20and%20metastases", vec!["a", "b"]),
        ("Condition?_text=neoplasm", vec![]),
        ("Condition?_content=NEOPLASM", vec!["b"]),
        ("Condition?_content=c79", vec!["a"]),
        ("Condition?_content=%22bone%20fracture%22", vec!["c"]),
        ("Condition?_text=metast*%20NOT%20liver", vec!["a"]),
        ("Condition?_text=bone&_sort=-_score", vec!["c", "a"]),
        ("Condition?_text=bone&_sort=_score", vec!["a", "c"]),
        ("Condition?_text=bone&_content=fracture", vec!["c"]),
        ("Condition?_text=fracture,liver", vec!["b", "c"]),
        ("?_content=bone", vec!["p", "a", "c"]),
    ] {
        assert_eq!(found(&server, query), expected, "{query}");
    }
    put(&server, "a", "nothing", "nothing");
    server.send("DELETE", "/fhir/Condition/c", &[], b"").expect(204);
    assert_eq!(found(&server, "Condition?_text=bone"), Vec::<String>::new());
    for number in 0..120 {
        put(&server, &format!("n{number}"), "bone of many", "x");
    }
    assert_eq!(found(&server, "Condition?_text=many&_count=200").len(), 120);
    let explained = server.get("/fhir/Condition?_text=many&_count=1&_explain=true").expect(200).text();
    assert!(explained.contains("index of texts; "), "{explained}");
    server.kill();
    let server = Server::start(data.path());
    assert_eq!(found(&server, "Condition?_text=many&_count=200").len(), 120);
    assert_eq!(found(&server, "Condition?_text=liver"), ["b"]);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let data = directory();
    let server = Server::start(data.path());
    for (path, status, issue) in [
        (
            "Condition?_text=bone%20OR",
            400,
            "error value [http._text]: A word, a phrase or ( is expected. That is at character 8 of the value.",
        ),
        (
            "Condition?_sort=-_score",
            400,
            "error invalid [http._sort]: _score orders what _text or _content finds; this search has neither.",
        ),
        (
            "Condition?_content:exact=x",
            400,
            "error invalid [http._content:exact]: _content takes no modifier and no chain.",
        ),
    ] {
        assert_eq!(server.get(&format!("/fhir/{path}")).expect(status).issues(), [issue], "{path}");
    }
    let body = r#"{"resourceType":"Condition","subject":{"display":"x"}}"#;
    let refused =
        server.send("POST", "/fhir/Condition", &[("if-none-exist", "_text=x")], body.as_bytes()).expect(400);
    assert_eq!(
        refused.issues(),
        [
            "error not-supported [http._text]: _text searches texts; what it finds cannot be a condition of a write or of access. Use identifiers, codes or references."
        ]
    );
    let metadata = server.get("/fhir/metadata").expect(200).json();
    let rest = &metadata["rest"][0];
    let has =
        |list: &Value, name: &str| list.as_array().unwrap().iter().any(|parameter| parameter["name"] == name);
    let of =
        |name: &str| rest["resource"].as_array().unwrap().iter().find(|one| one["type"] == name).unwrap();
    for name in ["_text", "_content"] {
        assert!(has(&rest["searchParam"], name), "{name}");
        assert!(has(&of("Condition")["searchParam"], name), "{name}");
    }
    assert!(!has(&of("Bundle")["searchParam"], "_text"));
}
