//! Events as AuditEvents: the patterns of BALP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // what fails here fails the test

mod memory;

use audit::{Coding, Event, Interaction, Kind, Outcome, User};
use memory::{TENANT, World, id, read};
use serde_json::{Value, json};
use smart::EventKind;

const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";

async fn written(event: Event) -> Value {
    let world = World::new();
    let log = world.log();
    log.record(&TENANT.into(), event).await;
    log.stop().await;
    assert_eq!(world.verify().faults, Vec::<String>::new());
    serde_json::from_slice(&world.memory.records()[&id(1, 1)]).unwrap()
}

fn interaction(interaction: Interaction) -> Event {
    Event { kind: Kind::Interaction(interaction), ..read(1) }
}

/// Of an interaction: action, roles of client, server and user, profile.
async fn check(event: Event, action: &str, roles: [&str; 3], profile: Option<&str>) {
    let event = Event { user: Some(User::Resource("Practitioner/dr".to_owned())), ..event };
    let kind = event.kind;
    let record = written(event).await;
    assert_eq!(record["type"]["code"], "rest", "{kind:?}");
    assert_eq!(record["action"], action, "{kind:?}");
    let found: Vec<&Value> =
        record["agent"].as_array().unwrap().iter().map(|agent| &agent["type"]["coding"][0]["code"]).collect();
    assert_eq!(found, roles, "{kind:?}");
    let url =
        |name: &str| format!("https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.{name}");
    assert_eq!(record["meta"].get("profile"), profile.map(|name| json!([url(name)])).as_ref(), "{kind:?}");
}

#[tokio::test]
async fn interactions_follow_their_patterns() {
    let query = |kind| Event { query: Some("Observation?code=1".to_owned()), ..interaction(kind) };
    let (source, destination, app) = ("110153", "110152", "110150");
    let read = [destination, source, "IRCP"];
    let write = [source, destination, "AUT"];
    let ask = [source, destination, "IRCP"];
    check(interaction(Interaction::Read), "R", read, Some("PatientRead")).await;
    check(interaction(Interaction::Vread), "R", read, Some("PatientRead")).await;
    check(Event { patient: None, ..interaction(Interaction::Read) }, "R", read, Some("Read")).await;
    check(interaction(Interaction::Create), "C", write, Some("PatientCreate")).await;
    check(interaction(Interaction::Update), "U", write, Some("PatientUpdate")).await;
    check(interaction(Interaction::Patch), "U", write, Some("PatientUpdate")).await;
    check(interaction(Interaction::Delete), "D", [app, "custodian", "AUT"], Some("PatientDelete")).await;
    check(query(Interaction::SearchType), "E", ask, Some("PatientQuery")).await;
    check(query(Interaction::Operation), "E", ask, None).await;
    // A refusal meets no profile of a success, and an address that is not known none of BALP's.
    let refused = Event { outcome: Outcome::Refused, ..interaction(Interaction::Read) };
    check(refused, "R", read, None).await;
    check(Event { address: String::new(), ..interaction(Interaction::Read) }, "R", read, None).await;
}

#[tokio::test]
async fn a_read_says_all_that_balp_asks_for() {
    let purpose = Coding {
        text: Some("found unconscious".to_owned()),
        system: "urn:p".to_owned(),
        code: "BTG".to_owned(),
    };
    let event = Event { purpose: Some(purpose), user: Some(User::Name("ann".to_owned())), ..read(7) };
    let mut record = written(event).await;
    record.as_object_mut().unwrap().remove("extension");
    let coding = |code: &str, display: &str| json!({ "coding": [{ "system": DCM, "code": code, "display": display }] });
    let entity_type = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
    let role = "http://terminology.hl7.org/CodeSystem/object-role";
    assert_eq!(
        record,
        json!({
            "resourceType": "AuditEvent",
            "id": id(1, 1),
            "meta": {
                "versionId": "1",
                "lastUpdated": "2026-11-22T02:10:33.123Z",
                "profile": ["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"],
            },
            "type": { "system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest",
                "display": "Restful Operation" },
            "subtype": [{ "system": "http://hl7.org/fhir/restful-interaction", "code": "read", "display": "read" }],
            "action": "R",
            "recorded": "2026-11-22T02:10:33.123Z",
            "outcome": "0",
            "purposeOfEvent": [{ "coding": [{ "system": "urn:p", "code": "BTG" }], "text": "found unconscious" }],
            "agent": [
                { "type": coding("110152", "Destination Role ID"), "who": { "identifier": { "value": "app" } },
                  "requestor": false, "network": { "address": "192.0.2.1", "type": "2" } },
                { "type": coding("110153", "Source Role ID"),
                  "who": { "identifier": { "value": "https://ehr.example.org/fhir" } },
                  "requestor": false, "network": { "address": "ehr.example.org", "type": "1" } },
                { "type": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
                    "code": "IRCP", "display": "information recipient" }] },
                  "who": { "identifier": { "value": "ann" } }, "requestor": true },
            ],
            "source": {
                "observer": { "identifier": { "value": "https://ehr.example.org/fhir" }, "display": "Vesta" },
                "type": [{ "system": "http://terminology.hl7.org/CodeSystem/security-source-type", "code": "4",
                    "display": "Application Server" }],
            },
            "entity": [
                { "what": { "identifier": { "value": "r7" } },
                  "type": { "system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType",
                    "code": "XrequestId" } },
                { "what": { "reference": "Patient/7" },
                  "type": { "system": entity_type, "code": "1", "display": "Person" },
                  "role": { "system": role, "code": "1", "display": "Patient" } },
                { "what": { "reference": "Patient/7" },
                  "type": { "system": entity_type, "code": "2", "display": "System Object" },
                  "role": { "system": role, "code": "4", "display": "Domain Resource" } },
            ],
        })
    );
}

#[tokio::test]
async fn queries_are_base64_and_texts_are_cleaned() {
    let event = Event {
        query: Some("name=a\nb".to_owned()),
        resource: Some("Patient".to_owned()),
        client: Some("evil\r\nclient\u{202e}".to_owned()),
        failure: Some("no\0".to_owned()),
        patient: None,
        request: None,
        ..interaction(Interaction::SearchType)
    };
    let record = written(event).await;
    assert_eq!(record["entity"].as_array().unwrap().len(), 1);
    assert_eq!(record["entity"][0]["query"], "bmFtZT1hCmI=");
    assert_eq!(record["agent"][0]["who"]["identifier"]["value"], "evil\u{fffd}\u{fffd}client\u{fffd}");
    assert_eq!(record["outcomeDesc"], "no\u{fffd}");
}

#[tokio::test]
async fn the_authorization_server_is_recorded() {
    for (kind, code, subtype) in [
        (EventKind::Login, "110114", "110122"),
        (EventKind::Logout, "110114", "110123"),
        (EventKind::Token, "110114", "token"),
        (EventKind::Launch, "110114", "launch"),
        (EventKind::Replay, "110113", "replay"),
        (EventKind::Administer, "110114", "administer"),
    ] {
        let event = smart::Event {
            kind,
            failure: (kind == EventKind::Login).then(|| "wrong password".to_owned()),
            client: Some("app".to_owned()),
            user: Some("ann".to_owned()),
            patient: None,
            address: "192.0.2.1".to_owned(),
            at_s: 1_795_313_433,
            order: (kind == EventKind::Administer).then(|| "disable-client my-app".to_owned()),
        };
        let record = written(event.into()).await;
        assert_eq!(record["type"]["code"], code, "{kind:?}");
        assert_eq!(record["subtype"][0]["code"], subtype, "{kind:?}");
        let order = (kind == EventKind::Administer).then_some("ZGlzYWJsZS1jbGllbnQgbXktYXBw");
        assert_eq!(record["entity"][0]["query"].as_str(), order, "{kind:?}");
        assert_eq!(record["outcome"], if kind == EventKind::Login { "4" } else { "0" }, "{kind:?}");
        assert_eq!(record["recorded"], "2026-11-22T02:10:33.000Z", "{kind:?}");
        assert_eq!(record["agent"][2]["who"]["identifier"]["value"], "ann", "{kind:?}");
    }
}
