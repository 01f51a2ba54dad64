//! Search parameters that are stored: refused with what is wrong, or active; indexed while resources are written; never
//! answered from a part of the index; followed when they change.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::server::{Server, show};

/// A SearchParameter with some members replaced.
fn parameter(id: &str, changes: Value) -> String {
    let mut resource = json!({
        "resourceType": "SearchParameter",
        "id": id,
        "url": format!("http://example.org/SearchParameter/{id}"),
        "name": "Example",
        "status": "active",
        "description": "An example",
        "code": id,
        "base": ["Patient"],
        "type": "token",
        "expression": "Patient.maritalStatus"
    });
    for (name, value) in changes.as_object().expect("an object") {
        resource[name] = value.clone();
    }
    resource.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    format!("PUT SearchParameter/{id}\n\n{resource}")
}

fn patient(number: usize, status: &str) -> String {
    let patient = json!({
        "resourceType": "Patient",
        "id": format!("p{number}"),
        "birthDate": format!("19{:02}-01-01", 50 + number % 50),
        "maritalStatus": { "coding": [{ "system": "http://s", "code": status }], "text": format!("is {status}") },
        "multipleBirthInteger": number,
    });
    format!("PUT Patient/p{number}\n\n{patient}")
}

/// Does all that there is to do.
async fn indexed(server: &Server) {
    let tenant = &server.caller.tenant;
    for _ in 0..10_000 {
        if !server.service.index_own_parameters(tenant).await.expect("a step") {
            return;
        }
    }
    panic!("the work has no end");
}

async fn ids(server: &Server, search: &str) -> String {
    let bundle = server.json(&format!("GET {search}")).await;
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let ids: Vec<&str> = entries.iter().filter_map(|entry| entry["resource"]["id"].as_str()).collect();
    ids.join(" ")
}

async fn agrees(server: &Server) {
    let report =
        server.service.store.check(&server.caller.tenant, &|_, _| {}).await.expect("it can be checked");
    assert!(report.faults.is_empty(), "{:?}", report.faults);
}

async fn refused(changes: Value, expected: Expect) {
    let server = Server::new().await;
    let answer = server.send(&parameter("x", changes)).await;
    let text = show(answer);
    let (status, body) = text.split_once('\n').unwrap_or((&text, "{}"));
    let outcome: Value = serde_json::from_str(body).expect("JSON");
    let issues =
        outcome["issue"].as_array().cloned().unwrap_or_default().into_iter().map(|issue| {
            format!("{} {} at {}", issue["code"], issue["details"]["text"], issue["expression"][0])
        });
    expected.assert_eq(&format!("{status}\n{}", issues.collect::<Vec<_>>().join("\n")));
}

#[tokio::test]
async fn what_cannot_be_used_is_refused() {
    let code = |code: &str| json!({ "code": code });
    refused(code("_x"), expect![[r#"
        422
        "value" "A code of a search parameter has a letter first, then letters, digits, '-' and '_', 64 characters at most." at "SearchParameter.code""#]]).await;
    refused(code("gender"), expect![[r#"
        422
        "conflict" "Patient.gender: selects Patient.maritalStatus, but the code is there and selects Patient.gender, from http://hl7.org/fhir/SearchParameter/individual-gender." at "SearchParameter.code""#]]).await;
    refused(json!({ "code": "family", "type": "string", "expression": "Patient.gender" }), expect![[r#"
        422
        "conflict" "Patient.family: selects Patient.gender, but the code is there and selects Patient.name.family, from http://hl7.org/fhir/SearchParameter/individual-family." at "SearchParameter.code""#]]).await;
    refused(json!({ "expression": "Patient.maritalStatu" }), expect![[r#"
        422
        "value" "Patient.x: Patient.maritalStatu does not compile: 'maritalStatu' is no element of Patient (at character 8)." at "SearchParameter.expression""#]]).await;
    refused(json!({ "expression": "Patient.where(" }), expect![[r#"
        422
        "value" "Patient.x: Patient.where( does not compile: expected an expression, found the end (at character 14)." at "SearchParameter.expression""#]]).await;
    refused(json!({ "expression": "Person.name" }), expect![[r#"
        422
        "value" "Patient.x: no part of its expression is about the resource type." at "SearchParameter.expression""#]]).await;
    refused(
        json!({ "expression": Value::Null }),
        expect![[r#"
        422
        "value" "It has no expression, so there is nothing to index." at "SearchParameter.expression""#]],
    )
    .await;
    refused(json!({ "base": ["Patient", "Period"] }), expect![[r#"
        422
        "code-invalid" "The code Period is not in the value set http://hl7.org/fhir/ValueSet/resource-types|4.0.1." at "SearchParameter.base[1]""#]]).await;
    refused(json!({ "type": "date" }), expect![[r#"
        422
        "value" "The expression selects CodeableConcept, of which the type date has no values." at "SearchParameter.type""#]]).await;
    refused(
        json!({ "type": "special" }),
        expect![[r#"
        422
        "value" "What a parameter of the type special means is not known here." at "SearchParameter.type""#]],
    )
    .await;
    refused(json!({ "type": "composite" }), expect![[r#"
        422
        "value" "A composite has components, two or more; other parameters have none." at "SearchParameter.component""#]]).await;
    let component = json!([{ "definition": "http://none", "expression": "text" }, { "definition": "http://none", "expression": "text" }]);
    refused(
        json!({ "type": "composite", "component": component }),
        expect![[r#"
        422
        "not-found" "Patient.x: its component http://none is not defined." at "SearchParameter.component""#]],
    )
    .await;
}

#[tokio::test]
async fn one_is_indexed_and_then_answers() {
    let server = Server::new().await;
    for number in 0..40 {
        let status = ["M", "S"][number % 2];
        server.json(&patient(number, status)).await;
    }
    let observation = r#"{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p1"}}"#;
    server.json(&format!("PUT Observation/o1\n\n{observation}")).await;
    // A draft is stored, and nothing more.
    server.json(&parameter("marital", json!({ "status": "draft" }))).await;
    let unknown = show(server.send("GET Patient?marital=S").await);
    assert!(
        unknown.starts_with("400") && unknown.contains("Patient has no search parameter 'marital'."),
        "{unknown}"
    );

    server.json(&parameter("marital", json!({}))).await;
    if !server.service.store.is_metered() {
        for search in [
            "Patient?marital=S",
            "Patient?marital:missing=true",
            "Patient?_sort=marital",
            "Patient?marital:text=is",
            "Observation?subject:Patient.marital=S",
            "Patient?_filter=gender eq male or not (marital eq S)",
        ] {
            let answer = show(server.send(&format!("GET {search}")).await);
            assert!(answer.starts_with("503"), "{search}: {answer}");
            let said = "The search parameter Patient.marital is new; the index has 0 of 42 resources by it. Try again later.";
            assert!(answer.contains(said), "{search}: {answer}");
        }
        let create = "POST Patient\nIf-None-Exist: marital=S\n\n{\"resourceType\":\"Patient\"}";
        assert!(show(server.send(create).await).starts_with("503"));
        // What does not ask by it is answered.
        assert_eq!(ids(&server, "Patient?birthdate=1950-01-01").await, "p0");
    }
    // Written while it is being indexed.
    server.json(&patient(0, "S")).await;
    server.json(&patient(40, "S")).await;
    server.json("DELETE Patient/p1").await;
    agrees(&server).await;
    indexed(&server).await;
    agrees(&server).await;
    let expected: Vec<String> =
        (0..=40).filter(|n| *n == 0 || *n == 40 || n % 2 == 1 && *n != 1).map(|n| format!("p{n}")).collect();
    assert_eq!(ids(&server, "Patient?marital=S&_count=100").await, expected.join(" "));
    assert_eq!(ids(&server, "Patient?marital=http://s%7CS&_count=100").await, expected.join(" "));
    assert_eq!(ids(&server, "Patient?marital:text=is m&_count=1").await, "p2");
    assert_eq!(ids(&server, "Patient?marital:not=S&_count=2").await, "p2 p4");
    assert_eq!(ids(&server, "Patient?marital:missing=true").await, "");
    assert_eq!(ids(&server, "Patient?_sort=-marital&_count=2").await, "p0 p3");
    assert_eq!(ids(&server, "Patient?marital=S&_has:Observation:patient:_id=o1").await, "");
    // And afterwards.
    server.json(&patient(2, "S")).await;
    server.json(&patient(0, "M")).await;
    server.json("DELETE Patient/p3").await;
    assert_eq!(ids(&server, "Patient?marital=S&_count=3").await, "p2 p5 p7");
    server.json(&patient(1, "S")).await;
    assert_eq!(ids(&server, "Observation?subject:Patient.marital=S").await, "o1");
    let create =
        "POST Patient\nIf-None-Exist: marital=S&birthdate=1952-01-01\n\n{\"resourceType\":\"Patient\"}";
    assert_eq!(server.send(create).await.expect("found").status.code(), 200);
    agrees(&server).await;
}

#[tokio::test]
async fn changes_and_deletions_are_followed() {
    let server = Server::new().await;
    for number in 0..10 {
        server.json(&patient(number, "M")).await;
    }
    server
        .json(&parameter(
            "own",
            json!({ "type": "number", "expression": "Patient.multipleBirth as integer" }),
        ))
        .await;
    server
        .json(&parameter(
            "other",
            json!({ "base": ["Patient", "Person"], "expression": "Patient.id | Person.id" }),
        ))
        .await;
    indexed(&server).await;
    assert_eq!(ids(&server, "Patient?own=gt7").await, "p8 p9");
    assert_eq!(ids(&server, "Patient?other=p3").await, "p3");
    // Another definition is another parameter, also while one is on its way.
    server.json(&parameter("own", json!({ "type": "date", "expression": "Patient.birthDate" }))).await;
    server.send("GET Patient?own=1951-01-01").await.err();
    server.json(&parameter("other", json!({ "expression": "Patient.maritalStatus" }))).await;
    indexed(&server).await;
    agrees(&server).await;
    assert_eq!(ids(&server, "Patient?own=1951-01-01").await, "p1");
    assert_eq!(ids(&server, "Patient?other=M&own=1952").await, "p2");
    // Other words about the same change nothing.
    server
        .json(&parameter(
            "own",
            json!({ "type": "date", "expression": "Patient.birthDate", "description": "y" }),
        ))
        .await;
    assert_eq!(ids(&server, "Patient?own=1951-01-01").await, "p1");

    let clash = show(server.send(&parameter("again", json!({ "code": "own" }))).await);
    assert!(
        clash.starts_with("422") && clash.contains("Patient.own is the code of SearchParameter/own already."),
        "{clash}"
    );
    server.json("DELETE SearchParameter/own").await;
    let unknown = show(server.send("GET Patient?own=1951-01-01").await);
    assert!(unknown.starts_with("400"), "{unknown}");
    server.json(&parameter("again", json!({ "code": "own" }))).await;
    server.json(&parameter("other", json!({ "status": "retired" }))).await;
    indexed(&server).await;
    agrees(&server).await;
    assert_eq!(ids(&server, "Patient?own=M&_count=2").await, "p0 p1");
    assert!(show(server.send("GET Patient?other=M").await).starts_with("400"));
    let statement = {
        let service = server.service.with_own_parameters(&server.caller.tenant).await.expect("a service");
        interaction::capabilities(&service, &[])
    };
    let statement: Value = serde_json::from_slice(&statement).expect("JSON");
    let resources = statement["rest"][0]["resource"].as_array().expect("resources");
    let of_patient = resources.iter().find(|it| it["type"] == "Patient").expect("Patient");
    let listed = of_patient["searchParam"].as_array().expect("parameters");
    let found: Vec<&Value> =
        listed.iter().filter(|it| it["name"] == "own" || it["name"] == "other").collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["definition"], "http://example.org/SearchParameter/again");
    let modifiers = "Modifiers: :missing :not :text :code-text :in :not-in :above :below :of-type";
    assert_eq!(found[0]["documentation"], modifiers);
}

#[tokio::test]
async fn each_kind_of_parameter() {
    let server = Server::new().await;
    let encounter = json!({
        "resourceType": "Encounter", "id": "e1", "status": "finished", "class": { "code": "AMB" },
        "length": { "value": 90, "system": "http://unitsofmeasure.org", "code": "min" },
        "period": { "start": "2020-01-01" },
        "partOf": { "reference": "Encounter/e0" }, "implicitRules": "http://rules"
    });
    let plain =
        json!({ "resourceType": "Encounter", "id": "e0", "status": "finished", "class": { "code": "IMP" } });
    server.json(&format!("PUT Encounter/e0\n\n{plain}")).await;
    server.json(&format!("PUT Encounter/e1\n\n{encounter}")).await;
    let pair = json!([
        { "definition": "http://hl7.org/fhir/SearchParameter/Encounter-status", "expression": "status" },
        { "definition": "http://hl7.org/fhir/SearchParameter/Encounter-class", "expression": "class" }
    ]);
    for (code, changes) in [
        ("took", json!({ "type": "quantity", "expression": "Encounter.length" })),
        ("within", json!({ "type": "reference", "expression": "Encounter.partOf", "target": ["Encounter"] })),
        ("rules", json!({ "type": "uri", "expression": "Encounter.implicitRules" })),
        ("begun", json!({ "type": "date", "expression": "Encounter.period.start" })),
        ("status-class", json!({ "type": "composite", "expression": "Encounter", "component": pair })),
    ] {
        let mut changes = changes;
        changes["base"] = json!(["Encounter"]);
        server.json(&parameter(code, changes)).await;
    }
    indexed(&server).await;
    for search in [
        "Encounter?took=gt1|http://unitsofmeasure.org|h",
        "Encounter?within=e0",
        "Encounter?within.class=IMP",
        "Encounter?rules=http://rules",
        "Encounter?begun=2020",
        "Encounter?status-class=finished$AMB",
        "Encounter?_id=e1&_include=Encounter:within",
        "Encounter?_sort=begun&_count=1",
    ] {
        let found = ids(&server, search).await;
        let expected = if search.contains("_include") { "e1 e0" } else { "e1" };
        assert_eq!(found, expected, "{search}");
    }
    assert_eq!(ids(&server, "Encounter?_has:Encounter:within:class=AMB").await, "e0");
    agrees(&server).await;
}
