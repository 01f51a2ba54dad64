//! batch: each entry by itself.

use expect_test::expect;
use serde_json::{Value, json};

use super::server::Server;

fn bundle(entries: Value) -> String {
    format!("POST /\n\n{}", json!({"resourceType": "Bundle", "type": "batch", "entry": entries}))
}

fn entry(method: &str, url: &str, resource: Value) -> Value {
    json!({"resource": resource, "request": {"method": method, "url": url}})
}

#[tokio::test]
async fn entries_fail_alone() {
    let server = Server::new().await;
    let patient = |active: bool| json!({"resourceType": "Patient", "active": active});
    let request = bundle(json!([
        {"request": {"method": "GET", "url": "Patient/1"}},
        entry("PUT", "Patient/1", patient(true)),
        entry("PUT", "Patient/1", patient(false)),
        entry("POST", "Patient", json!({"resourceType": "Patient", "shoe": 4})),
        entry("POST", "Patient", json!({"resourceType": "Observation", "status": "final", "code": {"text": "1.10"}})),
        entry("PATCH", "Patient/1", patient(true)),
        {"request": {"method": "DELETE", "url": "Patient/none"}},
        {"request": {"method": "GET", "url": "Patient/none"}},
        {"request": {"method": "GET", "url": "metadata"}},
        entry("POST", "Observation", json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "valueQuantity": {"value": 1.5}})),
        entry("POST", "Patient", json!({"resourceType": "Patient", "birthDate": "soon", "active": 3})),
    ]));
    server.check(&request, expect![[r#"
        200
        {"resourceType":"Bundle","type":"batch-response","entry":[{"resource":{"resourceType":"Patient","id":"1","meta":{"versionId":"2","lastUpdated":"TIME"},"active":false},"response":{"status":"200 OK","location":"Patient/1/_history/2","etag":"W/\"2\"","lastModified":"TIME"}},{"response":{"status":"201 Created","location":"Patient/1/_history/1","etag":"W/\"1\"","lastModified":"TIME"}},{"response":{"status":"200 OK","location":"Patient/1/_history/2","etag":"W/\"2\"","lastModified":"TIME"}},{"response":{"status":"422 Unprocessable Content","outcome":{"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":334}],"severity":"error","code":"structure","details":{"text":"Patient has no element 'shoe'."},"diagnostics":"line 1, column 334","expression":["Bundle.entry[3].resource.shoe"]}]}}},{"response":{"status":"400 Bad Request","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"The resource is of type Observation, but the url is for Patient."},"expression":["Bundle.entry[4].request"]}]}}},{"response":{"status":"400 Bad Request","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"A PATCH has Parameters with a FHIRPath Patch or a Binary with a JSON Patch, not a Patient."},"expression":["Bundle.entry[5].resource"]}]}}},{"response":{"status":"204 No Content"}},{"response":{"status":"404 Not Found","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource Patient/none."},"expression":["Bundle.entry[7]"]}]}}},{"response":{"status":"400 Bad Request","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The CapabilityStatement is not answered in a Bundle; GET it from metadata."},"expression":["Bundle.entry[8].request"]}]}}},{"response":{"status":"201 Created","location":"Observation/n1/_history/1","etag":"W/\"1\"","lastModified":"TIME"}},{"response":{"status":"422 Unprocessable Content","outcome":{"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":976}],"severity":"error","code":"value","details":{"text":"'soon' is not a date (YYYY, YYYY-MM or YYYY-MM-DD)."},"diagnostics":"line 1, column 976","expression":["Bundle.entry[10].resource.birthDate"]},{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":992}],"severity":"error","code":"structure","details":{"text":"boolean is written as true or false, without quotes in JSON."},"diagnostics":"line 1, column 992","expression":["Bundle.entry[10].resource.active"]}]}}}]}"#]]).await;
    server
        .check(
            "GET Patient/1",
            expect![[r#"
        200 Patient/1/_history/2 v2
        {"resourceType":"Patient","id":"1","meta":{"versionId":"2","lastUpdated":"TIME"},"active":false}"#]],
        )
        .await;
}

#[tokio::test]
async fn a_fault_of_the_bundle_refuses_all() {
    let server = Server::new().await;
    let request = r#"POST /

{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET"}}],"more":1}"#;
    server.check(request, expect![[r#"
        422
        {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":80}],"severity":"error","code":"structure","details":{"text":"Bundle has no element 'more'."},"diagnostics":"line 1, column 80","expression":["Bundle.more"]}]}"#]]).await;
    server.check(&bundle(json!([])).replace("\"entry\":[],", ""), expect![[r#"
        422
        {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":49}],"severity":"error","code":"structure","details":{"text":"An array must not be empty."},"diagnostics":"line 1, column 49","expression":["Bundle.entry"]}]}"#]]).await;
}
