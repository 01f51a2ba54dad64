//! transaction: order, references, conditions, atomicity; the synthetic patients whole.

use std::sync::Arc;

use expect_test::expect;
use serde_json::{Value, json};

use super::server::Server;

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
    let server = Server::new().await;
    server.send("PUT Practitioner/d\n\n{\"resourceType\":\"Practitioner\",\"identifier\":[{\"system\":\"http://npi\",\"value\":\"9\"}]}").await.expect("stored");
    let patient = json!({"resourceType": "Patient", "id": "here",
        "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"urn:uuid:1\">me</a></div>"},
        "identifier": [{"value": "urn:uuid:1"}],
        "generalPractitioner": [{"reference": "Practitioner?identifier=http://npi|9"}, {"reference": "Practitioner?identifier=http://npi|9"}]});
    let observation = json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"},
        "extension": [{"url": "http://x", "valueUri": "urn:uuid:1"}, {"url": "http://y", "valueUri": "urn:uuid:0d8e9f1c-6a2b-4c3d-8e4f-5a6b7c8d9e0f"}],
        "subject": {"reference": "urn:uuid:1"}, "encounter": {"reference": "Encounter/far"}});
    let encounter = json!({"resourceType": "Encounter", "status": "planned", "class": {"code": "AMB"}});
    let request = bundle(json!([
        placed("http://else/fhir/Observation/1", entry("POST", "Observation", observation)),
        placed("http://else/fhir/Encounter/far", entry("POST", "Encounter", encounter)),
        placed("urn:uuid:1", entry("POST", "Patient", patient)),
        {"request": {"method": "GET", "url": "Patient?general-practitioner=Practitioner/d"}},
    ]));
    server.check(&request, expect![[r#"
        200
        {"resourceType":"Bundle","type":"transaction-response","entry":[{"response":{"status":"201 Created","location":"Observation/n1/_history/1","etag":"W/\"1\"","lastModified":"TIME"}},{"response":{"status":"201 Created","location":"Encounter/n2/_history/1","etag":"W/\"1\"","lastModified":"TIME"}},{"response":{"status":"201 Created","location":"Patient/n3/_history/1","etag":"W/\"1\"","lastModified":"TIME"}},{"resource":{"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient?general-practitioner=Practitioner/d&_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Patient/n3","resource":{"resourceType":"Patient","id":"n3","meta":{"versionId":"1","lastUpdated":"TIME"},"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"Patient/n3\">me</a></div>"},"identifier":[{"value":"urn:uuid:1"}],"generalPractitioner":[{"reference":"Practitioner/d"},{"reference":"Practitioner/d"}]},"search":{"mode":"match"}}]},"response":{"status":"200 OK"}}]}"#]]).await;
    server.check("GET Observation/n1", expect![[r#"
        200 Observation/n1/_history/1 v1
        {"resourceType":"Observation","id":"n1","meta":{"versionId":"1","lastUpdated":"TIME"},"extension":[{"url":"http://x","valueUri":"Patient/n3"},{"url":"http://y","valueUri":"urn:uuid:0d8e9f1c-6a2b-4c3d-8e4f-5a6b7c8d9e0f"}],"status":"final","code":{"text":"x"},"subject":{"reference":"Patient/n3"},"encounter":{"reference":"Encounter/n2"}}"#]]).await;
    server.check("GET Patient/n3", expect![[r#"
        200 Patient/n3/_history/1 v1
        {"resourceType":"Patient","id":"n3","meta":{"versionId":"1","lastUpdated":"TIME"},"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"Patient/n3\">me</a></div>"},"identifier":[{"value":"urn:uuid:1"}],"generalPractitioner":[{"reference":"Practitioner/d"},{"reference":"Practitioner/d"}]}"#]]).await;
}

#[tokio::test]
async fn each_method_with_its_conditions() {
    let server = Server::new().await;
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
    server.check(&bundle(all), expect![[r#"
        200
        {"resourceType":"Bundle","type":"transaction-response","entry":[{"resource":{"resourceType":"Patient","id":"1","meta":{"versionId":"2","lastUpdated":"TIME"},"identifier":[{"value":"1b"}]},"response":{"status":"200 OK","location":"Patient/1/_history/2","etag":"W/\"2\"","lastModified":"TIME"}},{"response":{"status":"200 OK","location":"Patient/1/_history/2","etag":"W/\"2\"","lastModified":"TIME"}},{"response":{"status":"200 OK","location":"Patient/2/_history/1","etag":"W/\"1\"","lastModified":"TIME"}},{"response":{"status":"201 Created","location":"Patient/new/_history/1","etag":"W/\"1\"","lastModified":"TIME"}},{"response":{"status":"201 Created","location":"Patient/n1/_history/1","etag":"W/\"1\"","lastModified":"TIME"}},{"response":{"status":"200 OK","location":"Patient/n1/_history/1","etag":"W/\"1\"","lastModified":"TIME"}},{"response":{"status":"200 OK","location":"Patient/3/_history/1","etag":"W/\"1\"","lastModified":"TIME"}},{"response":{"status":"204 No Content"}},{"response":{"status":"200 OK","location":"Patient/1/_history/2","etag":"W/\"2\"","lastModified":"TIME"}},{"response":{"status":"404 Not Found","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource Patient/none."},"expression":["Bundle.entry[9]"]}]}}}]}"#]]).await;
    let preferring = bundle(
        json!([entry("PUT", "Patient/1", patient("1c")), {"request": {"method": "DELETE", "url": "Patient/2"}}]),
    );
    server
        .check(&preferring.replacen('\n', "\nPrefer: return=OperationOutcome\n", 1), expect![[r#"
            200
            {"resourceType":"Bundle","type":"transaction-response","entry":[{"response":{"status":"200 OK","location":"Patient/1/_history/3","etag":"W/\"3\"","lastModified":"TIME","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Patient/1 is stored as version 3."}}]}}},{"response":{"status":"200 OK","etag":"W/\"2\"","lastModified":"TIME","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Patient/2 was deleted as version 2."}}]}}}]}"#]])
        .await;
    let preferring = bundle(json!([entry("PUT", "Patient/1", patient("1d"))]));
    server.check(&preferring.replacen('\n', "\nPrefer: return=representation\n", 1), expect![[r#"
        200
        {"resourceType":"Bundle","type":"transaction-response","entry":[{"resource":{"resourceType":"Patient","id":"1","meta":{"versionId":"4","lastUpdated":"TIME"},"identifier":[{"value":"1d"}]},"response":{"status":"200 OK","location":"Patient/1/_history/4","etag":"W/\"4\"","lastModified":"TIME"}}]}"#]]).await;
}

#[tokio::test]
async fn refused_as_a_whole() {
    let server = Server::new().await;
    server.send("PUT Patient/1\n\n{\"resourceType\":\"Patient\"}").await.expect("stored");
    let patient = || json!({"resourceType": "Patient"});
    let new = || entry("POST", "Patient", patient());
    let mut stale = entry("PUT", "Patient/1", patient());
    stale["request"]["ifMatch"] = json!("W/\"9\"");
    let dangling = json!({"resourceType": "Patient", "managingOrganization": {"reference": "Organization?identifier=secret"}});
    for (entries, expected) in [
        (
            json!([new(), stale]),
            expect![[r#"
            412
            {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","details":{"text":"If-Match does not hold for Patient/1: its current version is 1."},"expression":["Bundle.entry[1].request"]}]}"#]],
        ),
        (
            json!([new(), entry("PUT", "Patient/2", patient()), entry("PUT", "Patient/2", patient())]),
            expect![[r#"
                400
                {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"duplicate","details":{"text":"The entries 1 and 2 are both about Patient/2; an entry may be about a resource once."},"expression":["Bundle.entry[2]"]}]}"#]],
        ),
        (
            json!([placed("urn:uuid:1", new()), placed("urn:uuid:1", new())]),
            expect![[r#"
            400
            {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"duplicate","details":{"text":"The entries 0 and 1 have the same fullUrl."},"expression":["Bundle.entry[1].fullUrl"]}]}"#]],
        ),
        (
            json!([new(), entry("POST", "Patient", dangling)]),
            expect![[r#"
                412
                {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"Conditional reference Organization?identifier: No resource matches the criteria."},"expression":["Bundle.entry[1].resource.managingOrganization.reference"]}]}"#]],
        ),
        (
            json!([new(), {"resource": patient()}, entry("PATCH", "Patient/1", patient()), {"request": {"method": "POST", "url": "Patient"}}, entry("PUT", "Patient/x", json!({"resourceType": "Patient", "id": "y"})), entry("POST", "Group", patient()), {"request": {"method": "GET", "url": "Patient/1/$everything"}}, entry("POST", "Patient/1", patient()), {"request": {"method": "DELETE", "url": "Patient"}}]),
            expect![[r#"
                400
                {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required","details":{"text":"An entry of a batch or transaction needs a request."},"expression":["Bundle.entry[1].request"]},{"severity":"error","code":"invalid","details":{"text":"A PATCH has Parameters with a FHIRPath Patch or a Binary with a JSON Patch, not a Patient."},"expression":["Bundle.entry[2].resource"]},{"severity":"error","code":"required","details":{"text":"POST and PUT need the entry to have a resource."},"expression":["Bundle.entry[3].request"]},{"severity":"error","code":"value","details":{"text":"The body's id is not that of Patient/x, which it is to update."},"expression":["Bundle.entry[4].resource.id"]},{"severity":"error","code":"invalid","details":{"text":"The resource is of type Patient, but the url is for Group."},"expression":["Bundle.entry[5].request"]},{"severity":"error","code":"not-supported","details":{"text":"The operation $everything cannot be called in a Bundle."},"expression":["Bundle.entry[6].request"]},{"severity":"error","code":"value","details":{"text":"POST creates: its url is a resource type, not Patient/1."},"expression":["Bundle.entry[7].request"]},{"severity":"error","code":"value","details":{"text":"The url Patient is neither Type/id nor Type?criteria."},"expression":["Bundle.entry[8].request"]}]}"#]],
        ),
        (
            json!([new(), entry("POST", "Patient", json!({"resourceType": "Patient", "shoe": 4}))]),
            expect![[r#"
                422
                {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":178}],"severity":"error","code":"structure","details":{"text":"Patient has no element 'shoe'."},"diagnostics":"line 1, column 178","expression":["Bundle.entry[1].resource.shoe"]}]}"#]],
        ),
    ] {
        server.check(&bundle(entries), expected).await;
    }
    server.check("POST /\n\n{\"resourceType\":\"Bundle\",\"type\":\"collection\"}", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","details":{"text":"A Bundle of type collection cannot be processed; send a batch or a transaction."},"expression":["Bundle.type"]}]}"#]]).await;
    server.check("POST /\n\n{\"resourceType\":\"Patient\"}", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"The body is a resource of type Patient, but the URL is for Bundle."},"expression":["resourceType"]}]}"#]]).await;
    server
        .check(
            &bundle(json!([])).replace(",\"entry\":[]", "").replace("\"entry\":[],", ""),
            expect![[r#"
            200
            {"resourceType":"Bundle","type":"transaction-response"}"#]],
        )
        .await;
    let all = server.json("GET ?_summary=count").await;
    assert_eq!(all["total"], 1, "nothing of the refused transactions is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_transactions_all_succeed() {
    let server = Arc::new(Server::new().await);
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let server = Arc::clone(&server);
            let mut once =
                entry("POST", "Group", json!({"resourceType": "Group", "type": "person", "actual": true}));
            once["request"]["ifNoneExist"] = json!("type=person");
            let shared =
                entry("PUT", "Patient/1", json!({"resourceType": "Patient", "multipleBirthInteger": number}));
            let own = entry(
                "POST",
                "Observation",
                json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"},
                "subject": {"reference": "urn:uuid:group"}}),
            );
            let request = bundle(json!([placed("urn:uuid:group", once), shared, own]));
            tokio::spawn(async move { server.json(&request).await })
        })
        .collect();
    let mut versions = Vec::new();
    let mut groups = Vec::new();
    for task in tasks {
        let answer = task.await.expect("no panic");
        versions.push(answer["entry"][1]["response"]["etag"].as_str().expect("an etag").to_owned());
        groups.push(answer["entry"][0]["response"]["location"].as_str().expect("a location").to_owned());
    }
    versions.sort();
    assert_eq!(versions, (1..=8).map(|number| format!("W/\"{number}\"")).collect::<Vec<_>>());
    groups.dedup();
    let [group] = groups.as_slice() else { panic!("one group was created: {groups:?}") };
    let group = group.trim_end_matches("/_history/1");
    let of_group = server.json(&format!("GET Observation?subject={group}&_summary=count")).await;
    assert_eq!(of_group["total"], 8, "each attempt set its references anew");
}

#[tokio::test]
async fn too_many_entries() {
    let server = Server::with_limits(|limits| limits.bundle_entries = 2).await;
    let new = || entry("POST", "Patient", json!({"resourceType": "Patient"}));
    server.check(&bundle(json!([new(), new(), new()])), expect![[r#"
        413
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"too-costly","details":{"text":"The Bundle has 3 entries; at most 2 are processed at once."},"expression":["Bundle.entry"]}]}"#]]).await;
}

/// The synthetic patients' Bundles: hospitals and practitioners are batches, patients are transactions that refer to them
/// by conditional references.
#[tokio::test]
async fn synthetic_patients() {
    let name = "synthetic_patients";
    // Hospitals and practitioners, then two small patients.
    let order = ["0-hospital", "0-practitioner", "8a4c9c04", "8708d3e1"];
    let place = |path: &str| order.iter().position(|part| path.contains(part));
    let mut files = Vec::new();
    let found = testdata::select(
        name,
        "synthea-us-core.tar.gz",
        |path| place(path).is_some(),
        |file| files.push(file),
    );
    if found.is_none() {
        return;
    }
    files.sort_by_key(|file| place(&file.path));
    assert_eq!(files.len(), order.len());
    let server = Server::new().await;
    let mut expected = 0;
    for file in &files {
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
    let again = files.first().expect("hospitals");
    let answer =
        server.json(&format!("POST /\n\n{}", std::str::from_utf8(&again.bytes).expect("UTF-8"))).await;
    for entry in answer["entry"].as_array().expect("entries") {
        assert_eq!(entry["response"]["status"], "200 OK");
    }
}
