//! `$bulk-publish`: reference data that stands ready for anyone, also where all else needs a token.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::support::{Answer, Server, directory, run, said};
use super::super::{fill, ids, lines, path, set};

/// The manifest, once there is one that `is` it.
fn manifest(server: &Server, is: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let answer = server.get("/fhir/$bulk-publish");
        match answer.status {
            200 if is(&answer.json()) => return answer.json(),
            200 => {}
            _ => {
                let issue = "error transient []: What is to be published is being made; ask again.";
                assert_eq!(answer.expect(503).issues(), [issue]);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("nothing is published")
}

fn published(server: &Server, manifest: &Value) -> BTreeSet<String> {
    ids(&lines(server, manifest, "output"))
}

#[test]
fn what_is_published_stands_ready() {
    let data = directory();
    let server = Server::start(data.path());
    fill(&server);
    let secret = json!({"resourceType": "Organization", "id": "secret", "name": "S", "meta": {"security": [
        {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]}});
    server.put("/fhir/Organization/secret", &secret.to_string()).expect(201);
    let nothing = "error not-supported []: This server publishes nothing (publish_types).";
    assert_eq!(server.get("/fhir/$bulk-publish").expect(404).issues(), [nothing]);
    assert!(!server.get("/fhir/metadata").text().contains("bulk-publish"));
    server.stop();

    let types =
        ["--publish-types", "Organization", "--publish-types", "Practitioner", "--publish-every-s", "1"];
    let server = Server::start_with(data.path(), &types);
    assert!(server.get("/fhir/metadata").text().contains("bulk-publish"));
    let all = set(&["Organization/org", "Organization/other", "Practitioner/doc", "Practitioner/idle"]);
    let first = manifest(&server, |_| true);
    assert_eq!(first["request"], format!("http://{}/fhir/$bulk-publish", server.address));
    assert_eq!((&first["requiresAccessToken"], &first["updateCadence"]), (&json!(false), &json!("PT1S")));
    assert_eq!(published(&server, &first), all);
    let answer = server.get("/fhir/%24bulk-publish").expect(200);
    let tag = answer.header("etag").to_owned();
    server.send("GET", "/fhir/$bulk-publish", &[("if-none-match", &tag)], b"").expect(304);

    // What comes later is published later; who holds the manifest of before still gets its files.
    server
        .put("/fhir/Organization/new", r#"{"resourceType":"Organization","id":"new","name":"N"}"#)
        .expect(201);
    let time = first["transactionTime"].clone();
    let second = manifest(&server, |manifest| manifest["transactionTime"] != time);
    assert_eq!(published(&server, &second).len(), 5);
    assert_eq!(published(&server, &first), all);

    // No other job can be had so, nor can what is published be cancelled.
    let file = path(&server, second["output"][0]["url"].as_str().unwrap());
    let job = file.rsplit_once('/').unwrap().0.to_owned();
    let allowed = |answer: Answer| answer.expect(405).header("allow").to_owned();
    assert_eq!(allowed(server.send("DELETE", &job, &[], b"")), "GET, HEAD");
    server.get(&job).expect(404);
    server.get("/fhir/bulk/published-0/Patient-1.ndjson").expect(404);
    server.stop();

    // Without a token, where all else needs one; other types are made anew.
    let types = ["--publish-types", "Location", "--authorization"];
    let server = Server::start_with(data.path(), &types);
    let other = manifest(&server, |_| true);
    assert_eq!(published(&server, &other), set(&["Location/ward"]));
    server.get("/fhir/Location/ward").expect(401);
    // What is not published any more is not to be had, whoever kept its address.
    server.get(&file).expect(404);
}

#[test]
fn patients_are_not_published() {
    let data = directory();
    let data = data.path().to_str().unwrap();
    let arguments =
        ["serve", "--data", data, "--publish-types", "Organization", "--publish-types", "Observation"];
    let refused = run(&arguments);
    assert!(!refused.status.success());
    let said = said(&refused);
    assert!(
        said.contains("`publish_types`: Observation is not among the types that can be published"),
        "{said}"
    );
}
