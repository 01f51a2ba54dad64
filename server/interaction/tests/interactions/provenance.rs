//! Where versions come from, where that is switched on: a Provenance for each resource that a commit writes, in that commit.

use std::sync::Arc;

use interaction::{Agent, ValidationLevel};
use serde_json::{Value, json};
use store::{Access, Filter, Rules};

use super::server::Server;

async fn telling() -> Server {
    let mut server = Server::with(|_| {}, ValidationLevel::Profiles).await;
    Arc::make_mut(&mut server.service).provenance = Some("Practice".into());
    server
}

/// Targets, activities and agents of all Provenances, in the order of their writing.
async fn told(server: &Server) -> Vec<Value> {
    let found = server.json("GET Provenance?_sort=_id&_count=100").await;
    let of = |entry: &Value| {
        let told = &entry["resource"];
        let agents: Vec<Value> = told["agent"].as_array().expect("agents").clone();
        let agents = agents.iter().map(|agent| {
            json!([agent["type"]["coding"][0]["code"], agent["who"], agent["onBehalfOf"]["display"]])
        });
        let targets: Vec<&Value> = told["target"].as_array().expect("targets").iter().collect();
        assert_eq!(targets.len(), 1, "each is of one resource");
        json!([targets[0]["reference"], told["activity"]["coding"][0]["code"], agents.collect::<Vec<_>>()])
    };
    found["entry"].as_array().map(|entries| entries.iter().map(of).collect()).unwrap_or_default()
}

#[tokio::test]
async fn every_write_is_told() {
    let server = telling().await;
    server.json("PUT Patient/p\n\n{\"resourceType\":\"Patient\",\"id\":\"p\"}").await;
    server.json("PUT Patient/p\n\n{\"resourceType\":\"Patient\",\"id\":\"p\"}").await;
    server.json("PUT Patient/p\n\n{\"resourceType\":\"Patient\",\"id\":\"p\",\"gender\":\"other\"}").await;
    server.json("DELETE Patient/p").await;
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": "urn:uuid:6b1a2c6e-7a35-4f6c-9f8e-111111111111", "resource": {"resourceType": "Patient"}, "request": {"method": "PUT", "url": "Patient/a"}},
        {"resource": {"resourceType": "Basic", "id": "b", "code": {"text": "x"}}, "request": {"method": "PUT", "url": "Basic/b"}}
    ]});
    let bundle = bundle
        .to_string()
        .replace("{\"resourceType\":\"Patient\"}", "{\"resourceType\":\"Patient\",\"id\":\"a\"}");
    let answer = server.json(&format!("POST \n\n{bundle}")).await;
    assert_eq!(
        answer["entry"].as_array().expect("entries").len(),
        2,
        "what is told is not answered: {answer}"
    );
    let nobody = json!([["author", {"display": "unknown"}, "Practice"]]);
    let expected = [
        json!(["Patient/p/_history/1", "CREATE", nobody]),
        json!(["Patient/p/_history/2", "UPDATE", nobody]),
        json!(["Patient/p/_history/3", "DELETE", nobody]),
        json!(["Patient/a/_history/1", "CREATE", nobody]),
        json!(["Basic/b/_history/1", "CREATE", nobody]),
    ];
    assert_eq!(told(&server).await, expected, "the same content again is no write");
    let found = server.json("GET Basic?_id=b&_revinclude=Provenance:target").await;
    assert_eq!(found["entry"].as_array().map(Vec::len), Some(2), "{found}");
}

#[tokio::test]
async fn they_are_valid_and_have_none_themselves() {
    let mut server = telling().await;
    server.caller.agent = Agent { user: Some("Practitioner/1".into()), client: Some("app".into()) };
    let label = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}"#;
    server
        .json(&format!(
            r#"PUT Patient/p{}{{"resourceType":"Patient","id":"p","meta":{{"security":[{label}]}}}}"#,
            "\n\n"
        ))
        .await;
    let found = server.json("GET Provenance").await;
    let stored = found["entry"][0]["resource"].clone();
    assert_eq!(stored["meta"]["security"][0]["code"], "R", "what tells of it is as restricted");
    let mut own = stored.clone();
    own["id"] = "own".into();
    // It would be refused here, were it not valid.
    server.json(&format!("PUT Provenance/own\n\n{own}")).await;
    let agents = json!([
        ["author", {"reference": "Practitioner/1"}, "Practice"],
        ["transmitter", {"identifier": {"value": "app"}}, "Practice"]
    ]);
    let told = told(&server).await;
    let expected = json!(["Patient/p/_history/1", "CREATE", agents]);
    assert_eq!(told, [expected.clone(), expected]);
}

/// Who may write Observations and nothing else writes what tells of them too, but no Provenance of their own.
#[tokio::test]
async fn rights_to_write_are_enough() {
    let mut server = telling().await;
    server.caller.access = Access::granted([("Basic".into(), Rules::all(Filter::All))]);
    server.json("PUT Basic/b\n\n{\"resourceType\":\"Basic\",\"id\":\"b\",\"code\":{\"text\":\"x\"}}").await;
    let own = "POST Provenance\n\n{\"resourceType\":\"Provenance\",\"target\":[{\"reference\":\"Basic/b\"}],\"recorded\":\"2026-01-01T00:00:00Z\",\"agent\":[{\"who\":{\"display\":\"me\"}}]}";
    let refused = server.send(own).await.expect_err("no right to it");
    assert_eq!(refused.status, interaction::Status::Forbidden);
    assert!(server.send("GET Provenance").await.is_err(), "nor to see it");
    server.caller.access = Access::unrestricted();
    assert_eq!(told(&server).await.len(), 1);
}
