//! patch: both formats, on a resource and by criteria, with conditions, against others that write, and in Bundles.

use expect_test::expect;
use serde_json::{Value, json};

use super::server::{Server, show};

const JSON_PATCH: &str = "Content-Type: application/json-patch+json";

/// A FHIRPath Patch that replaces what a path leads to.
fn replacing(path: &str, member: &str, value: Value) -> Value {
    json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": path}, {"name": "value", member: value}
    ]}]})
}

fn binary(patch: &Value) -> Value {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(patch.to_string());
    json!({"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data})
}

fn bundle(kind: &str, entries: Value) -> String {
    format!("POST /\n\n{}", json!({"resourceType": "Bundle", "type": kind, "entry": entries}))
}

fn entry(method: &str, url: &str, resource: Value) -> Value {
    json!({"resource": resource, "request": {"method": method, "url": url}})
}

async fn server() -> Server {
    let server = Server::new().await;
    let patient = r#"{"resourceType":"Patient","identifier":[{"value":"7"}],"active":true,"name":[{"family":"A"}],"gender":"male"}"#;
    server.send(&format!("PUT Patient/1\n\n{patient}")).await.expect("stored");
    let observation = r#"{"resourceType":"Observation","status":"final","code":{"text":"c"},"valueQuantity":{"value":1.10}}"#;
    server.send(&format!("PUT Observation/1\n\n{observation}")).await.expect("stored");
    server
}

#[tokio::test]
async fn both_formats() {
    let server = server().await;
    let patch = replacing("Patient.name.family", "valueString", json!("B"));
    server.check(&format!("PATCH Patient/1\n\n{patch}"), expect![[r#"
        200 Patient/1/_history/2 v2
        {"resourceType":"Patient","id":"1","meta":{"versionId":"2","lastUpdated":"TIME"},"identifier":[{"value":"7"}],"active":true,"name":[{"family":"B"}],"gender":"male"}"#]]).await;
    let patch = json!([{"op": "test", "path": "/active", "value": true}, {"op": "replace", "path": "/active", "value": false}]);
    server.check(&format!("PATCH Patient/1\n{JSON_PATCH}\n\n{patch}"), expect![[r#"
        200 Patient/1/_history/3 v3
        {"resourceType":"Patient","id":"1","meta":{"versionId":"3","lastUpdated":"TIME"},"identifier":[{"value":"7"}],"active":false,"name":[{"family":"B"}],"gender":"male"}"#]]).await;
    let patch = json!([{"op": "add", "path": "/status", "value": "amended"}]);
    server.check(&format!("PATCH Observation/1\n{JSON_PATCH}\n\n{patch}"), expect![[r#"
        200 Observation/1/_history/2 v2
        {"resourceType":"Observation","id":"1","meta":{"versionId":"2","lastUpdated":"TIME"},"status":"amended","code":{"text":"c"},"valueQuantity":{"value":1.10}}"#]]).await;
    let same = replacing("Patient.active", "valueBoolean", json!(false));
    server
        .check(
            &format!("PATCH Patient/1\nPrefer: return=minimal\n\n{same}"),
            expect!["200 Patient/1/_history/3 v3"],
        )
        .await;
    let found = server.json("GET Patient?family=B&active=false").await;
    assert_eq!(found["entry"][0]["resource"]["id"], "1", "what is patched is found by its new values");
    let history = server.json("GET Patient/1/_history").await;
    assert_eq!(history["entry"][0]["request"], json!({"method": "PATCH", "url": "Patient/1"}));
}

#[tokio::test]
async fn by_criteria() {
    let server = server().await;
    let patch = replacing("Patient.gender", "valueCode", json!("female"));
    server.check(&format!("PATCH Patient?identifier=7\n\n{patch}"), expect![[r#"
        200 Patient/1/_history/2 v2
        {"resourceType":"Patient","id":"1","meta":{"versionId":"2","lastUpdated":"TIME"},"identifier":[{"value":"7"}],"active":true,"name":[{"family":"A"}],"gender":"female"}"#]]).await;
    server.check(&format!("PATCH Patient?identifier=8\n\n{patch}"), expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"No resource matches the criteria, so there is nothing to patch."}}]}"#]]).await;
    server.check(&format!("PATCH Patient\n\n{patch}"), expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required","details":{"text":"A conditional interaction needs at least one search parameter."}}]}"#]]).await;
    server
        .send("PUT Patient/2\n\n{\"resourceType\":\"Patient\",\"identifier\":[{\"value\":\"7\"}]}")
        .await
        .expect("stored");
    server.check(&format!("PATCH Patient?identifier=7\n\n{patch}"), expect![[r#"
        412
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"multiple-matches","details":{"text":"Several Patient resources match the criteria, so none was chosen."}}]}"#]]).await;
}

#[tokio::test]
async fn refusals() {
    let server = server().await;
    server.send("PUT Patient/gone\n\n{\"resourceType\":\"Patient\"}").await.expect("stored");
    server.send("DELETE Patient/gone").await.expect("deleted");
    let patch = replacing("Patient.gender", "valueCode", json!("female"));
    server.check(&format!("PATCH Patient/none\n\n{patch}"), expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource Patient/none."}}]}"#]]).await;
    server.check(&format!("PATCH Patient/gone\n\n{patch}"), expect![[r#"
        410
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"deleted","details":{"text":"Patient/gone was deleted; that is its version 2."}}]}"#]]).await;
    server.check(&format!("PATCH Nothing/1\n\n{patch}"), expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"Nothing is not a resource type of FHIR R4."}}]}"#]]).await;
    server.check(&format!("PATCH Patient/1\nIf-Match: W/\"9\"\n\n{patch}"), expect![[r#"
        412
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","details":{"text":"If-Match does not hold for Patient/1: its current version is 1."},"expression":["http.If-Match"]}]}"#]]).await;
    server.check("PATCH Patient/1\n\n{\"resourceType\":\"Patient\"}", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"A FHIRPath Patch is a Parameters resource, not a Patient."},"expression":["resourceType"]}]}"#]]).await;
    server.check("PATCH Patient/1\n\n{", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":1}],"severity":"error","code":"structure","details":{"text":"A resource needs a resourceType, for instance \"resourceType\": \"Patient\"."},"diagnostics":"line 1, column 1","expression":["Resource"]},{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":2}],"severity":"error","code":"invalid","details":{"text":"This is not JSON: expected a name in quotes, found the end of the text."},"diagnostics":"line 1, column 2","expression":["Resource"]}]}"#]]).await;
    server.check(&format!("PATCH Patient/1\n{JSON_PATCH}\n\n{{}}"), expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"structure","details":{"text":"A JSON Patch is an array of operations."}}]}"#]]).await;
    let unknown = replacing("Patient.sex", "valueCode", json!("female"));
    server.check(&format!("PATCH Patient/1\n\n{unknown}"), expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"The path does not compile: 'sex' is no element of Patient (at character 8)."},"expression":["Parameters.parameter[0].part[1]"]}]}"#]]).await;
    let nothing = replacing("Patient.birthDate", "valueDate", json!("2020"));
    server.check(&format!("PATCH Patient/1\n\n{nothing}"), expect![[r#"
        422
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"The resource has nothing where the path leads."},"expression":["Parameters.parameter[0].part[1]"]}]}"#]]).await;
    for patch in [
        json!([{"op": "replace", "path": "/id", "value": "2"}]),
        json!([{"op": "remove", "path": "/id"}]),
        json!([{"op": "test", "path": "/active", "value": false}]),
        json!([{"op": "replace", "path": "/gender", "value": 3}]),
        json!([{"op": "replace", "path": "/resourceType", "value": "Group"}]),
    ] {
        let shown = show(server.send(&format!("PATCH Patient/1\n{JSON_PATCH}\n\n{patch}")).await);
        assert!(shown.starts_with("422\n"), "{patch}: {shown}");
    }
    let many = vec![json!({"op": "test", "path": "/active", "value": true}); 1001];
    server.check(&format!("PATCH Patient/1\n{JSON_PATCH}\n\n{}", json!(many)), expect![[r#"
        413
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"too-costly","details":{"text":"The patch has 1001 operations; at most 1000 are done at once."}}]}"#]]).await;
    server.check("GET Patient/1", expect![[r#"
        200 Patient/1/_history/1 v1
        {"resourceType":"Patient","id":"1","meta":{"versionId":"1","lastUpdated":"TIME"},"identifier":[{"value":"7"}],"active":true,"name":[{"family":"A"}],"gender":"male"}"#]]).await;
}

/// No change is lost: each is done on what the others left.
#[tokio::test]
async fn many_at_once() {
    let server = server().await;
    let patch = |n: usize| json!([{"op": "add", "path": "/name/-", "value": {"text": format!("n{n}")}}]);
    let requests: Vec<String> =
        (0..12).map(|n| format!("PATCH Patient/1\n{JSON_PATCH}\n\n{}", patch(n))).collect();
    let mut running = tokio::task::JoinSet::new();
    let server = std::sync::Arc::new(server);
    for request in requests {
        let server = std::sync::Arc::clone(&server);
        running.spawn(async move { server.send(&request).await.map(|outcome| outcome.version) });
    }
    let outcomes: Vec<_> =
        running.join_all().await.into_iter().collect::<Result<_, _>>().expect("all are done");
    assert_eq!(outcomes.len(), 12);
    let patient = server.json("GET Patient/1").await;
    assert_eq!(patient["name"].as_array().map(Vec::len), Some(13));
    assert_eq!(patient["meta"]["versionId"], "13");
}

#[tokio::test]
async fn in_a_transaction() {
    let server = server().await;
    let practitioner = json!({"resourceType": "Practitioner", "name": [{"text": "new"}]});
    let add = json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "add"}, {"name": "path", "valueString": "Patient"},
        {"name": "name", "valueString": "generalPractitioner"},
        {"name": "value", "valueReference": {"reference": "urn:uuid:1"}}
    ]}]});
    let mut made = entry("POST", "Practitioner", practitioner);
    made["fullUrl"] = json!("urn:uuid:1");
    let patched = json!([{"op": "replace", "path": "/valueQuantity/value", "value": 2}]);
    let entries = json!([
        entry("PATCH", "Patient?identifier=7", add),
        made,
        entry("PATCH", "Observation/1", binary(&patched))
    ]);
    server.check(&bundle("transaction", entries), expect![[r#"
        200
        {"resourceType":"Bundle","type":"transaction-response","entry":[{"response":{"status":"200 OK","location":"Patient/1/_history/2","etag":"W/\"2\"","lastModified":"TIME"}},{"response":{"status":"201 Created","location":"Practitioner/n1/_history/1","etag":"W/\"1\"","lastModified":"TIME"}},{"response":{"status":"200 OK","location":"Observation/1/_history/2","etag":"W/\"2\"","lastModified":"TIME"}}]}"#]]).await;
    server.check("GET Patient/1", expect![[r#"
        200 Patient/1/_history/2 v2
        {"resourceType":"Patient","id":"1","meta":{"versionId":"2","lastUpdated":"TIME"},"identifier":[{"value":"7"}],"active":true,"name":[{"family":"A"}],"gender":"male","generalPractitioner":[{"reference":"Practitioner/n1"}]}"#]]).await;
    server.check("GET Observation/1", expect![[r#"
        200 Observation/1/_history/2 v2
        {"resourceType":"Observation","id":"1","meta":{"versionId":"2","lastUpdated":"TIME"},"status":"final","code":{"text":"c"},"valueQuantity":{"value":2}}"#]]).await;
}

#[tokio::test]
async fn a_transaction_is_refused_as_a_whole() {
    let server = server().await;
    let new = || entry("POST", "Patient", json!({"resourceType": "Patient"}));
    let fine = replacing("Patient.gender", "valueCode", json!("female"));
    let mut stale = entry("PATCH", "Patient/1", fine.clone());
    stale["request"]["ifMatch"] = json!("W/\"9\"");
    let text = json!({"resourceType": "Binary", "contentType": "text/plain", "data": "eA=="});
    let no_base64 =
        json!({"resourceType": "Binary", "contentType": "application/json-patch+json", "data": "eHg="});
    for (entries, expected) in [
        (
            json!([new(), entry("PATCH", "Patient/1", json!({"resourceType": "Patient"}))]),
            expect![[r#"
            400
            {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"A PATCH has Parameters with a FHIRPath Patch or a Binary with a JSON Patch, not a Patient."},"expression":["Bundle.entry[1].resource"]}]}"#]],
        ),
        (
            json!([new(), entry("PATCH", "Patient/1", text)]),
            expect![[r#"
            400
            {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"A Binary of a PATCH holds a JSON Patch: its contentType is application/json-patch+json."},"expression":["Bundle.entry[1].resource.contentType"]}]}"#]],
        ),
        (
            json!([new(), entry("PATCH", "Patient/1", no_base64)]),
            expect![[r#"
                400
                {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":1}],"severity":"error","code":"invalid","details":{"text":"This is not JSON."},"diagnostics":"line 1, column 1","expression":["Bundle.entry[1].resource.data"]}]}"#]],
        ),
        (
            json!([new(), {"request": {"method": "PATCH", "url": "Patient/1"}}]),
            expect![[r#"
            400
            {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required","details":{"text":"PATCH needs the entry to have a resource."},"expression":["Bundle.entry[1].request"]}]}"#]],
        ),
        (
            json!([new(), entry("PATCH", "Patient/1", replacing("Patient.sex", "valueCode", json!("x")))]),
            expect![[r#"
                400
                {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"The path does not compile: 'sex' is no element of Patient (at character 8)."},"expression":["Bundle.entry[1].resource.parameter[0].part[1]"]}]}"#]],
        ),
        (
            json!([
                new(),
                entry("PATCH", "Patient/1", replacing("Patient.birthDate", "valueCode", json!("x")))
            ]),
            expect![[r#"
                422
                {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"The resource has nothing where the path leads."},"expression":["Bundle.entry[1].resource.parameter[0].part[1]"]}]}"#]],
        ),
        (
            json!([
                new(),
                entry("PATCH", "Patient/1", binary(&json!([{"op": "remove", "path": "/name/3"}])))
            ]),
            expect![[r#"
                422
                {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"Patient.name[3]: Operation 0 (remove /name/3) cannot be done: there is no such place."},"expression":["Bundle.entry[1].resource.data"]}]}"#]],
        ),
        (
            json!([
                new(),
                entry(
                    "PATCH",
                    "Patient/1",
                    binary(&json!([{"op": "add", "path": "/birthDate", "value": "x"}]))
                )
            ]),
            expect![[r#"
                422
                {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","details":{"text":"Patient.birthDate: 'x' is not a date (YYYY, YYYY-MM or YYYY-MM-DD)."},"expression":["Bundle.entry[1].resource.data"]}]}"#]],
        ),
        (
            json!([new(), entry("PATCH", "Patient/none", fine.clone())]),
            expect![[r#"
            404
            {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource Patient/none."},"expression":["Bundle.entry[1]"]}]}"#]],
        ),
        (
            json!([new(), entry("PATCH", "Patient?identifier=none", fine.clone())]),
            expect![[r#"
            404
            {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"No resource matches the criteria, so there is nothing to patch."},"expression":["Bundle.entry[1]"]}]}"#]],
        ),
        (
            json!([new(), stale]),
            expect![[r#"
            412
            {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","details":{"text":"If-Match does not hold for Patient/1: its current version is 1."},"expression":["Bundle.entry[1].request"]}]}"#]],
        ),
        (
            json!([entry("PATCH", "Patient/1", fine.clone()), entry("PATCH", "Patient?identifier=7", fine)]),
            expect![[r#"
                400
                {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"duplicate","details":{"text":"The entries 0 and 1 are both about Patient/1; an entry may be about a resource once."},"expression":["Bundle.entry[1]"]}]}"#]],
        ),
    ] {
        server.check(&bundle("transaction", entries), expected).await;
    }
    assert_eq!(server.json("GET Patient?_total=accurate").await["total"], 1, "nothing was created");
}

#[tokio::test]
async fn in_a_batch() {
    let server = server().await;
    let mut stale = entry("PATCH", "Patient/1", binary(&json!([])));
    stale["request"]["ifMatch"] = json!("W/\"9\"");
    let entries = json!([
        entry("PATCH", "Patient/1", binary(&json!([{"op": "replace", "path": "/active", "value": false}]))),
        entry("PATCH", "Patient/1", replacing("Patient.gender", "valueCode", json!("female"))),
        entry("PATCH", "Patient?identifier=7", binary(&json!([{"op": "remove", "path": "/none"}]))),
        stale,
        entry("PATCH", "Patient/none", replacing("Patient.gender", "valueCode", json!("female"))),
        {"request": {"method": "GET", "url": "Patient/1"}},
    ]);
    server.check(&bundle("batch", entries), expect![[r#"
        200
        {"resourceType":"Bundle","type":"batch-response","entry":[{"response":{"status":"200 OK","location":"Patient/1/_history/2","etag":"W/\"2\"","lastModified":"TIME"}},{"response":{"status":"200 OK","location":"Patient/1/_history/3","etag":"W/\"3\"","lastModified":"TIME"}},{"response":{"status":"422 Unprocessable Content","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"Patient: Operation 0 (remove /none) cannot be done: there is no such place."},"expression":["Bundle.entry[2].resource.data"]}]}}},{"response":{"status":"412 Precondition Failed","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","details":{"text":"If-Match does not hold for Patient/1: its current version is 3."},"expression":["Bundle.entry[3].request"]}]}}},{"response":{"status":"404 Not Found","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource Patient/none."},"expression":["Bundle.entry[4]"]}]}}},{"resource":{"resourceType":"Patient","id":"1","meta":{"versionId":"3","lastUpdated":"TIME"},"identifier":[{"value":"7"}],"active":false,"name":[{"family":"A"}],"gender":"female"},"response":{"status":"200 OK","location":"Patient/1/_history/3","etag":"W/\"3\"","lastModified":"TIME"}}]}"#]]).await;
}
