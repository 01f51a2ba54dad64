//! transaction: order, references, conditions, atomicity; the synthetic patients whole.

use expect_test::expect;
use serde_json::{Value, json};

use crate::server::Server;

fn bundle(entries: Value) -> String {
    format!("POST /\n\n{}", json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
}

fn entry(method: &str, url: &str, resource: Value) -> Value {
    json!({"resource": resource, "request": {"method": method, "url": url}})
}

fn placed(full_url: &str, mut entry: Value) -> Value {
    entry["fullUrl"] = json!(full_url);
    entry
}

#[tokio::test]
async fn entries_refer_to_each_other() {
    let server = Server::new();
    server.send("PUT Practitioner/d\n\n{\"resourceType\":\"Practitioner\",\"identifier\":[{\"system\":\"http://npi\",\"value\":\"9\"}]}").await.expect("stored");
    let patient = json!({"resourceType": "Patient", "id": "here",
        "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"urn:uuid:1\">me</a></div>"},
        "identifier": [{"value": "urn:uuid:1"}],
        "generalPractitioner": [{"reference": "Practitioner?identifier=http://npi|9"}, {"reference": "Practitioner?identifier=http://npi|9"}]});
    let observation = json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"},
        "extension": [{"url": "http://x", "valueUri": "urn:uuid:1"}, {"url": "http://y", "valueUri": "urn:uuid:none"}],
        "subject": {"reference": "urn:uuid:1"}, "encounter": {"reference": "Encounter/far"}});
    let encounter = json!({"resourceType": "Encounter", "status": "planned", "class": {"code": "AMB"}});
    let request = bundle(json!([
        placed("http://else/fhir/Observation/1", entry("POST", "Observation", observation)),
        placed("http://else/fhir/Encounter/far", entry("POST", "Encounter", encounter)),
        placed("urn:uuid:1", entry("POST", "Patient", patient)),
        {"request": {"method": "GET", "url": "Patient?general-practitioner=Practitioner/d"}},
    ]));
    server.check(&request, expect![[r#""#]]).await;
    server.check("GET Observation/n1", expect![[r#""#]]).await;
    server.check("GET Patient/n3", expect![[r#""#]]).await;
}

#[tokio::test]
async fn each_method_with_its_conditions() {
    let server = Server::new();
    for id in ["1", "2", "3"] {
        let body = format!(r#"{{"resourceType":"Patient","identifier":[{{"value":"{id}"}}]}}"#);
        server.send(&format!("PUT Patient/{id}\n\n{body}")).await.expect("stored");
    }
    let patient = |value: &str| json!({"resourceType": "Patient", "identifier": [{"value": value}]});
    let mut once = entry("POST", "Patient", patient("7"));
    once["request"]["ifNoneExist"] = json!("identifier=7");
    let mut found = entry("POST", "Patient", patient("3"));
    found["request"]["ifNoneExist"] = json!("identifier=3");
    let mut matched = entry("PUT", "Patient/1", patient("1b"));
    matched["request"]["ifMatch"] = json!("W/\"1\"");
    let all = json!([
        {"request": {"method": "GET", "url": "Patient/1"}},
        matched,
        entry("PUT", "Patient?identifier=2", patient("2")),
        entry("PUT", "Patient/new", patient("new")),
        once.clone(),
        once,
        found,
        {"request": {"method": "DELETE", "url": "Patient?identifier=none"}},
        {"request": {"method": "HEAD", "url": "Patient/1"}},
        {"request": {"method": "GET", "url": "Patient/none"}},
    ]);
    server.check(&bundle(all), expect![[r#""#]]).await;
    let preferring = bundle(
        json!([entry("PUT", "Patient/1", patient("1c")), {"request": {"method": "DELETE", "url": "Patient/2"}}]),
    );
    server
        .check(&preferring.replacen('\n', "\nPrefer: return=OperationOutcome\n", 1), expect![[r#""#]])
        .await;
    let preferring = bundle(json!([entry("PUT", "Patient/1", patient("1d"))]));
    server.check(&preferring.replacen('\n', "\nPrefer: return=representation\n", 1), expect![[r#""#]]).await;
}

#[tokio::test]
async fn refused_as_a_whole() {
    let server = Server::new();
    server.send("PUT Patient/1\n\n{\"resourceType\":\"Patient\"}").await.expect("stored");
    let patient = || json!({"resourceType": "Patient"});
    let new = || entry("POST", "Patient", patient());
    let mut stale = entry("PUT", "Patient/1", patient());
    stale["request"]["ifMatch"] = json!("W/\"9\"");
    let dangling = json!({"resourceType": "Patient", "managingOrganization": {"reference": "Organization?identifier=secret"}});
    for (entries, expected) in [
        (json!([new(), stale]), expect![[r#""#]]),
        (
            json!([new(), entry("PUT", "Patient/2", patient()), entry("PUT", "Patient/2", patient())]),
            expect![[r#""#]],
        ),
        (json!([placed("urn:uuid:1", new()), placed("urn:uuid:1", new())]), expect![[r#""#]]),
        (json!([new(), entry("POST", "Patient", dangling)]), expect![[r#""#]]),
        (
            json!([new(), {"resource": patient()}, entry("PATCH", "Patient/1", patient()), {"request": {"method": "POST", "url": "Patient"}}, entry("PUT", "Patient/x", json!({"resourceType": "Patient", "id": "y"})), entry("POST", "Group", patient()), {"request": {"method": "GET", "url": "Patient/1/$everything"}}, entry("POST", "Patient/1", patient()), {"request": {"method": "DELETE", "url": "Patient"}}]),
            expect![[r#""#]],
        ),
        (
            json!([new(), entry("POST", "Patient", json!({"resourceType": "Patient", "shoe": 4}))]),
            expect![[r#""#]],
        ),
    ] {
        server.check(&bundle(entries), expected).await;
    }
    server.check("POST /\n\n{\"resourceType\":\"Bundle\",\"type\":\"collection\"}", expect![[r#""#]]).await;
    server.check("POST /\n\n{\"resourceType\":\"Patient\"}", expect![[r#""#]]).await;
    server
        .check(&bundle(json!([])).replace(",\"entry\":[]", "").replace("\"entry\":[],", ""), expect![[r#""#]])
        .await;
    let all = server.json("GET ?_summary=count").await;
    assert_eq!(all["total"], 1, "nothing of the refused transactions is there");
}

#[tokio::test]
async fn too_many_entries() {
    let server = Server::with_limits(|limits| limits.bundle_entries = 2);
    let new = || entry("POST", "Patient", json!({"resourceType": "Patient"}));
    server.check(&bundle(json!([new(), new(), new()])), expect![[r#""#]]).await;
}

/// The synthetic patients' Bundles: hospitals and practitioners are batches, patients are transactions that refer to them
/// by conditional references.
#[tokio::test]
async fn synthetic_patients() {
    let name = "synthetic_patients";
    let Some(files) = testdata::archive(name, "synthea-us-core.tar.gz") else { return };
    let server = Server::new();
    let mut expected = 0;
    let (first, patients): (Vec<_>, Vec<_>) = files
        .iter()
        .filter(|file| file.path.ends_with(".json"))
        .partition(|file| file.path.contains("Information"));
    assert_eq!(first.len(), 2, "hospitals and practitioners");
    let mut patients = patients;
    patients.sort_by_key(|file| file.bytes.len());
    for file in first.into_iter().chain(patients.into_iter().take(2)) {
        let answer =
            server.json(&format!("POST /\n\n{}", std::str::from_utf8(&file.bytes).expect("UTF-8"))).await;
        let entries = answer["entry"].as_array().expect("entries");
        for entry in entries {
            assert_eq!(entry["response"]["status"], "201 Created", "{}: {entry}", file.path);
        }
        expected += entries.len();
    }
    let all = server.json("GET ?_summary=count").await;
    assert_eq!(all["total"], expected);
    let observations = server.json("GET Observation?_count=1").await;
    let observation = &observations["entry"][0]["resource"];
    for reference in [&observation["subject"], &observation["encounter"]] {
        let target = reference["reference"].as_str().expect("a reference");
        server.json(&format!("GET {target}")).await;
    }
    let encounters = server
        .json("GET Encounter?_count=1&_include=Encounter:practitioner&_include=Encounter:service-provider")
        .await;
    let kinds: Vec<&str> = encounters["entry"]
        .as_array()
        .expect("entries")
        .iter()
        .filter_map(|entry| entry["resource"]["resourceType"].as_str())
        .collect();
    assert_eq!(kinds, ["Encounter", "Practitioner", "Organization"]);
    // Again: the conditional creates find what is there.
    let again = files.iter().find(|file| file.path.contains("hospitalInformation")).expect("hospitals");
    let answer =
        server.json(&format!("POST /\n\n{}", std::str::from_utf8(&again.bytes).expect("UTF-8"))).await;
    for entry in answer["entry"].as_array().expect("entries") {
        assert_eq!(entry["response"]["status"], "200 OK");
    }
}
