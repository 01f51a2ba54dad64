//! `$viewdefinition-run` and `ViewDefinition/$run` over stored resources and over those sent.

use serde_json::{Value, json};

use super::{Server, server};

fn view() -> Value {
    json!({
        "resourceType": "ViewDefinition",
        "resource": "Patient",
        "select": [
            {"column": [{"name": "id", "path": "getResourceKey()"}, {"name": "active", "path": "active"}]},
            {"forEachOrNull": "name", "column": [{"name": "family", "path": "family"}]}
        ]
    })
}

fn call(parameters: &[(&str, Value)]) -> String {
    let given = |name: &str, value: &Value| match value {
        Value::Object(_) if value.get("reference").is_some() => {
            json!({"name": name, "valueReference": value})
        }
        Value::Object(_) => json!({"name": name, "resource": value}),
        Value::Bool(_) => json!({"name": name, "valueBoolean": value}),
        Value::Number(_) => json!({"name": name, "valueInteger": value}),
        _ => json!({"name": name, "valueString": value}),
    };
    let list: Vec<Value> = parameters.iter().map(|(name, value)| given(name, value)).collect();
    json!({"resourceType": "Parameters", "parameter": list}).to_string()
}

async fn seeded() -> Server {
    let server = server().await;
    for (id, rest) in [
        ("a", r#""active":true,"name":[{"family":"Ash"},{"family":"Ask, \"the\""}]"#),
        ("b", r#""active":false,"name":[{"given":["Bo"]}]"#),
        ("c", r#""gender":"other""#),
    ] {
        server
            .put(&format!("Patient/{id}"), &format!(r#"{{"resourceType":"Patient","id":"{id}",{rest}}}"#))
            .await;
    }
    let member = |id: &str| json!({"entity": {"reference": format!("Patient/{id}")}});
    let group = json!({"resourceType": "Group", "id": "g", "type": "person", "actual": true,
        "member": [member("b"), member("c")]});
    server.put("Group/g", &group.to_string()).await;
    server
}

#[tokio::test]
async fn rows() {
    let server = seeded().await;
    let check = async |path: &str, parameters: &[(&str, Value)], expected: &str| {
        let mut all = vec![("viewResource", view())];
        all.extend_from_slice(parameters);
        let (status, media_type, text) = server.other(path, Some(&call(&all))).await;
        assert_eq!((status, text.as_str()), (200, expected), "{parameters:?} {media_type}");
    };
    let [a1, a2, b, c] = [
        "{\"id\":\"Patient/a\",\"active\":true,\"family\":\"Ash\"}\n",
        "{\"id\":\"Patient/a\",\"active\":true,\"family\":\"Ask, \\\"the\\\"\"}\n",
        "{\"id\":\"Patient/b\",\"active\":false,\"family\":null}\n",
        "{\"id\":\"Patient/c\",\"active\":null,\"family\":null}\n",
    ];
    for path in ["$viewdefinition-run", "ViewDefinition/$run"] {
        check(path, &[], &[a1, a2, b, c].concat()).await;
        check(path, &[("_limit", json!(2))], &[a1, a2].concat()).await;
        check(path, &[("patient", json!({"reference": "Patient/b"}))], b).await;
        check(path, &[("group", json!({"reference": "Group/g"}))], &[b, c].concat()).await;
        check(path, &[("_since", json!("2999-01-01T00:00:00Z"))], "").await;
        let csv = "id,active,family\r\nPatient/a,true,Ash\r\nPatient/a,true,\"Ask, \"\"the\"\"\"\r\nPatient/b,false,\r\nPatient/c,,\r\n";
        check(path, &[("_format", json!("csv"))], csv).await;
        let (_, bare) = csv.split_once("\r\n").unwrap();
        check(path, &[("_format", json!("csv")), ("header", json!(false))], bare).await;
        let sent = json!({"resourceType": "Patient", "id": "sent", "active": true});
        let other = json!({"resourceType": "Organization", "id": "sent", "name": "not asked for"});
        let row = "[{\"id\":\"Patient/sent\",\"active\":true,\"family\":null}]";
        check(path, &[("resource", sent), ("resource", other), ("_format", json!("json"))], row).await;
    }
    let parquet = [("viewResource", view()), ("_format", json!("parquet"))];
    let (status, media_type, text) = server.other("$viewdefinition-run", Some(&call(&parquet))).await;
    assert_eq!((status, media_type.as_str()), (200, "application/vnd.apache.parquet"));
    assert!(text.starts_with("PAR1") && text.ends_with("PAR1"));
}

#[tokio::test]
async fn refusals() {
    let server = seeded().await;
    let check = async |parameters: &[(&str, Value)], status: u16, place: &str, details: &str| {
        let (found, _, text) = server.other("$viewdefinition-run", Some(&call(parameters))).await;
        let outcome: Value = serde_json::from_str(&text).unwrap();
        let issue = &outcome["issue"][0];
        let said = issue["details"]["text"].as_str().unwrap_or_default();
        assert_eq!((found, said), (status, details), "{text}");
        assert_eq!(issue["expression"][0].as_str().unwrap_or_default(), place, "{text}");
    };
    let with = |name: &'static str, value: Value| [("viewResource", view()), (name, value)];
    let second = "Parameters.parameter[1]";
    check(
        &[],
        400,
        "viewResource",
        "Send the view: POST a Parameters resource whose parameter viewResource holds it.",
    )
    .await;
    check(&with("_format", json!("xls")), 400, second, "_format is one of ndjson, json, csv, parquet.").await;
    check(&with("_limit", json!(0)), 400, second, "_limit is a whole number, at least 1.").await;
    check(&with("source", json!("s3://x")), 400, second, "source is no parameter of this operation.").await;
    check(
        &with("patient", json!("Practitioner/1")),
        400,
        second,
        "patient is to be a reference to a Patient of this server.",
    )
    .await;
    check(&with("viewResource", view()), 400, second, "viewResource is given twice.").await;
    let not_there = "viewReference is not offered: R4 has no type ViewDefinition that could be stored. Send viewResource.";
    check(
        &[("viewReference", json!({"reference": "ViewDefinition/1"}))],
        400,
        "Parameters.parameter[0]",
        not_there,
    )
    .await;
    let mut of_organizations = view();
    of_organizations["resource"] = json!("Organization");
    of_organizations["select"] = json!([{"column": [{"name": "id", "path": "id"}]}]);
    let patient = ("patient", json!("Patient/a"));
    check(
        &[("viewResource", of_organizations), patient],
        400,
        "ViewDefinition.resource",
        "A Organization is of no patient; leave patient and group out.",
    )
    .await;
    let none = [("viewResource", view()), ("group", json!("Group/none"))];
    assert_eq!(server.other("$viewdefinition-run", Some(&call(&none))).await.0, 404);
    let (status, _, text) = server.other("$viewdefinition-run?_limit=1", None).await;
    assert_eq!(status, 400, "{text}");
}
