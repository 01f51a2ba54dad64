//! batch: each entry by itself.

use expect_test::expect;
use serde_json::{Value, json};

use crate::server::Server;

fn bundle(entries: Value) -> String {
    format!("POST /\n\n{}", json!({"resourceType": "Bundle", "type": "batch", "entry": entries}))
}

fn entry(method: &str, url: &str, resource: Value) -> Value {
    json!({"resource": resource, "request": {"method": method, "url": url}})
}

#[tokio::test]
async fn entries_fail_alone() {
    let server = Server::new();
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
    server.check(&request, expect![[r#""#]]).await;
    server.check("GET Patient/1", expect![[r#""#]]).await;
}

#[tokio::test]
async fn a_fault_of_the_bundle_refuses_all() {
    let server = Server::new();
    let request = r#"POST /

{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET"}}],"more":1}"#;
    server.check(request, expect![[r#""#]]).await;
    server.check(&bundle(json!([])).replace("\"entry\":[],", ""), expect![[r#""#]]).await;
}
