//! The audit log of a server: what it records, that nobody writes it, and that `vesta audit verify` finds what was done to it behind
//! the server's back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // what fails here fails the test

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use store::{Access, Batch, Key, Tenant, Write};
use support::{Server, directory, run, said};

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p1"}"#;

/// The AuditEvents of a server, once there are so many with a subtype.
fn events(server: &Server, subtype: &str, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let found = server.get(&format!("/fhir/AuditEvent?subtype={subtype}&_count=100"));
        assert_eq!(found.status, 200);
        let bundle: Value = serde_json::from_slice(&found.body).unwrap();
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        if entries.len() >= count {
            return entries.into_iter().map(|entry| entry["resource"].clone()).collect();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{} of {count} {subtype}", entries.len());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn data(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What `vesta audit verify` says, and whether it is content.
fn verify(path: &Path) -> (bool, String) {
    let output = run(&["audit", "verify", "--data", data(path)]);
    (output.status.success(), said(&output))
}

#[test]
fn interactions_are_recorded_and_their_records_are_read_only() {
    let place = directory();
    let server = Server::start_with(place.path(), &["--audit", "on"]);
    assert_eq!(server.put("/fhir/Patient/p1", PATIENT).status, 201);
    assert_eq!(server.get("/fhir/Patient/p1").status, 200);
    assert_eq!(server.get("/fhir/Patient/p2").status, 404);
    assert_eq!(server.get("/fhir/Observation?patient=p1&code=x").status, 200);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(server.send("POST", "/fhir/Condition/_search", &form, b"patient=p1").status, 200);

    let written = &events(&server, "update", 1)[0];
    assert_eq!((written["action"].as_str(), written["outcome"].as_str()), (Some("U"), Some("0")));
    let entities = written["entity"].as_array().unwrap();
    assert!(
        entities.iter().any(|entity| entity["what"]["reference"] == "Patient/p1/_history/1"),
        "{written}"
    );
    assert_eq!(written["agent"][0]["network"]["address"], "127.0.0.1");
    let read = events(&server, "read", 2);
    let outcomes: Vec<&str> = read.iter().map(|event| event["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["0", "4"]);
    let of_patient = |event: &Value| {
        event["entity"].as_array().unwrap().iter().any(|entity| entity["what"]["reference"] == "Patient/p1")
    };
    let searches = events(&server, "search-type", 2);
    assert_eq!(searches.iter().filter(|event| of_patient(event)).count(), 2, "{searches:?}");

    let key = format!("/fhir/AuditEvent/{}", written["id"].as_str().unwrap());
    let body = written.to_string();
    let patch = [("content-type", "application/json-patch+json")];
    let transaction = r#"{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"KEY"}}]}"#
        .replace("KEY", key.trim_start_matches("/fhir/"));
    for answer in [
        server.put(&key, &body),
        server.send("POST", "/fhir/AuditEvent", &[], body.as_bytes()),
        server.send("DELETE", &key, &[], b""),
        server.send("PATCH", &key, &patch, br#"[{"op":"replace","path":"/outcome","value":"8"}]"#),
        server.send("POST", "/fhir", &[], transaction.as_bytes()),
    ] {
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 405, "{said}");
        assert!(said.contains("Each AuditEvent here is a record of this server's log"), "{said}");
    }
    assert_eq!(server.get(&key).status, 200);
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(metrics.contains("vesta_audit_events_lost_total 0\n"), "{metrics}");

    // Asked of the server, and without it.
    let (is_good, text) = verify(place.path());
    assert!(is_good && text.contains("all as written"), "{text}");
    server.stop();
    let (is_good, text) = verify(place.path());
    assert!(is_good && text.contains("(0 not signed yet): all as written"), "{text}");
}

#[test]
fn refusals_are_recorded() {
    let place = directory();
    let server = Server::start_with(place.path(), &["--authorization"]);
    assert_eq!(server.get("/fhir/Patient/p1").status, 401);
    server.stop();
    let server = Server::start_with(place.path(), &["--audit", "off"]);
    let refused = &events(&server, "read", 1)[0];
    assert_eq!((refused["outcome"].as_str(), refused["outcomeDesc"].as_str()), (Some("4"), Some("HTTP 401")));
    server.stop();
}

/// A directory whose log has one read of a patient, and the id of its record.
fn recorded() -> (tempfile::TempDir, String) {
    let place = directory();
    let server = Server::start_with(place.path(), &["--audit", "on"]);
    assert_eq!(server.get("/fhir/Patient/behind-the-back").status, 404);
    let id = events(&server, "read", 1)[0]["id"].as_str().unwrap().to_owned();
    server.stop();
    let (is_good, text) = verify(place.path());
    assert!(is_good, "{text}");
    (place, id)
}

fn found(path: &Path, expected: &str) {
    let (is_good, text) = verify(path);
    assert!(!is_good && text.contains(expected), "{text}");
}

#[test]
fn a_flipped_byte_is_found() {
    let (place, id) = recorded();
    let file = walk(place.path()).into_iter().find(|path| path.ends_with("default/data.mdb")).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let needle = b"\"Patient/behind-the-back\"";
    let mut flipped = 0;
    while let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
        bytes[at + 10] ^= 1;
        flipped += 1;
    }
    assert!(flipped > 0);
    std::fs::write(&file, bytes).unwrap();
    found(place.path(), &format!("AuditEvent/{id} was changed: its hash is another"));
}

fn walk(path: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_removed_record_is_found() {
    let (place, id) = recorded();
    let flags = [("data", vec![data(place.path()).to_owned()])];
    let config = vesta::config::load(None, &[], &flags).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let base = "http://127.0.0.1:8080/fhir".to_owned();
        let service = vesta::open::open(&config, None, base).await.unwrap();
        let write = Write::Delete { key: Key::new("AuditEvent", &id), previous: 1 };
        let batch = Batch { preconditions: Vec::new(), writes: vec![write] };
        service.store.commit(&Tenant::default_tenant(), &Access::unrestricted(), batch).await.unwrap();
    });
    drop(runtime);
    found(place.path(), &format!("AuditEvent/{id} was removed"));
}
