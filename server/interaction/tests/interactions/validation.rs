//! What is refused because it breaks a rule, by each way of writing, at each level of validation.

use std::sync::Arc;

use expect_test::{Expect, expect};
use interaction::ValidationLevel::{self, Base, Off, Profiles};
use serde_json::{Value, json};

use super::server::Server;

async fn server(level: ValidationLevel) -> Server {
    Server::with(|_| {}, level).await
}

/// An Observation without its code, which must be there.
fn broken() -> Value {
    json!({"resourceType": "Observation", "id": "o", "status": "final"})
}

/// A Patient that is right by FHIR and not by the profile it claims.
fn claims(profile: &str) -> Value {
    json!({"resourceType": "Patient", "id": "p", "meta": {"profile": [profile]}, "name": [{"family": "F"}], "gender": "other"})
}

const US_CORE: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient";

async fn status(server: &Server, request: &str) -> u16 {
    match server.send(request).await {
        Ok(outcome) => outcome.status.code(),
        Err(failure) => failure.status.code(),
    }
}

#[tokio::test]
async fn levels() {
    for (level, expected) in [(Off, [201, 201, 201]), (Base, [422, 201, 201]), (Profiles, [422, 422, 201])] {
        let server = server(level).await;
        let requests = [broken(), claims(US_CORE), claims("http://nobody/knows")];
        for (body, expected) in requests.iter().zip(expected) {
            let kind = body["resourceType"].as_str().unwrap();
            let found = status(&server, &format!("POST {kind}\n\n{body}")).await;
            assert_eq!(found, expected, "{level:?} {body}");
        }
    }
}

/// A profile that the server requires of a type holds without being claimed, and the CapabilityStatement names it.
#[tokio::test]
async fn required_of_a_type() {
    let patient = json!({"resourceType": "Patient", "name": [{"family": "F"}], "gender": "other"});
    for (level, expected) in [(Off, 201), (Base, 422), (Profiles, 422)] {
        let mut server = server(level).await;
        let service = Arc::get_mut(&mut server.service).unwrap();
        let profiles = [("Patient".to_owned(), US_CORE.to_owned())];
        service.validation = service.validation.clone().requiring(profiles);
        assert_eq!(status(&server, &format!("POST Patient\n\n{patient}")).await, expected, "{level:?}");
        let statement: Value =
            serde_json::from_slice(&interaction::capabilities(&server.service, &[])).unwrap();
        let types = statement["rest"][0]["resource"].as_array().unwrap();
        let profile = |name: &str| types.iter().find(|it| it["type"] == name).unwrap()["profile"].clone();
        assert_eq!(profile("Patient"), US_CORE);
        assert_eq!(profile("Observation"), "http://hl7.org/fhir/StructureDefinition/Observation");
    }
}

#[tokio::test]
async fn each_way_of_writing() {
    let server = server(Base).await;
    let whole = json!({"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}});
    assert_eq!(status(&server, &format!("PUT Observation/o\n\n{whole}")).await, 201);
    let entry = |kind: &str| {
        json!({"resourceType": "Bundle", "type": kind, "entry": [
            {"resource": broken(), "request": {"method": "PUT", "url": "Observation/o"}}]})
    };
    let refused: Expect = expect![[r#"
        422
        {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id","valueCode":"Validation_VAL_Profile_Minimum_other"}],"severity":"error","code":"required","details":{"text":"code is required, and there is none."},"diagnostics":"line 1, column 1","expression":["Observation"]}]}"#]];
    server.check(&format!("PUT Observation/o\n\n{}", broken()), refused).await;
    server.check(&format!("POST /\n\n{}", entry("transaction")), expect![[r#"
        422
        {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id","valueCode":"Validation_VAL_Profile_Minimum_other"}],"severity":"error","code":"required","details":{"text":"code is required, and there is none."},"expression":["Bundle.entry[0].resource"]}]}"#]]).await;
    server.check(&format!("POST /\n\n{}", entry("batch")), expect![[r#"
        200
        {"resourceType":"Bundle","type":"batch-response","entry":[{"response":{"status":"422 Unprocessable Content","outcome":{"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id","valueCode":"Validation_VAL_Profile_Minimum_other"}],"severity":"error","code":"required","details":{"text":"code is required, and there is none."},"expression":["Bundle.entry[0].resource"]}]}}}]}"#]]).await;
    server.check("GET Observation/o/_history?_summary=count", expect![[r#"
        200
        {"resourceType":"Bundle","type":"history","total":1,"link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Observation/o/_history?_summary=count"}]}"#]]).await;
}

#[tokio::test]
async fn profiles_that_users_stored() {
    let server = server(Profiles).await;
    let url = "http://example.org/StructureDefinition/born";
    let body = claims(url);
    assert_eq!(status(&server, &format!("PUT Patient/p\n\n{body}")).await, 201, "not known yet");
    let profile = |min: u8| {
        json!({"resourceType": "StructureDefinition", "id": "born", "url": url, "name": "Born", "status": "active",
            "kind": "resource", "abstract": false, "type": "Patient",
            "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient", "derivation": "constraint",
            "differential": {"element": [{"id": "Patient.birthDate", "path": "Patient.birthDate", "min": min}]}})
    };
    let mut changed = body.clone();
    for (min, gender, expected) in [(1, "male", 422), (0, "male", 200), (1, "female", 422)] {
        let stored = status(&server, &format!("PUT StructureDefinition/born\n\n{}", profile(min))).await;
        assert!(matches!(stored, 200 | 201), "{stored}");
        changed["gender"] = json!(gender);
        let found = status(&server, &format!("PUT Patient/p\n\n{changed}")).await;
        assert_eq!(found, expected, "at least {min} birthDate");
    }
    assert_eq!(status(&server, "DELETE StructureDefinition/born").await, 204);
    assert_eq!(status(&server, &format!("PUT Patient/p\n\n{changed}")).await, 200, "not known any more");
}
