//! `$ehi-export`: everything of a patient, or of all, with checksums and a data dictionary
//! (<https://build.fhir.org/ig/argonautproject/ehi-api/ehi-export.html>).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::support::{Server, directory};
use super::super::{ASYNC, FHIR, export, fill, ids, lines, path, set, wait};

/// Documents with content beside them, a bill, and who looked at what; of p1, and of another.
fn fill_more(server: &Server) {
    for patient in ["p1", "out"] {
        let subject = json!({"reference": format!("Patient/{patient}")});
        let reference = |target: &str| json!({"reference": target});
        for resource in [
            json!({"resourceType": "Binary", "id": format!("scan-{patient}"), "contentType": "image/png", "data": "iVBORw0KGgo="}),
            json!({"resourceType": "DocumentReference", "id": format!("d-{patient}"), "status": "current", "subject": subject,
                "content": [{"attachment": {"contentType": "image/png", "url": format!("Binary/scan-{patient}")}},
                    {"attachment": {"contentType": "text/plain", "data": "SGVsbG8="}}]}),
            json!({"resourceType": "Coverage", "id": format!("c-{patient}"), "status": "active", "beneficiary": subject,
                "payor": [reference("Organization/other")]}),
            json!({"resourceType": "Claim", "id": format!("bill-{patient}"), "status": "active", "use": "claim", "patient": subject,
                "created": "2026-01-01", "type": {"text": "x"}, "provider": reference("Practitioner/doc"), "priority": {"text": "x"},
                "insurance": [{"sequence": 1, "focal": true, "coverage": reference(&format!("Coverage/c-{patient}"))}]}),
            json!({"resourceType": "AuditEvent", "id": format!("look-{patient}"), "type": {"code": "rest"},
                "recorded": "2026-01-01T00:00:00Z", "agent": [{"requestor": true}], "source": {"observer": {"display": "x"}},
                "entity": [{"what": subject}]}),
        ] {
            let kind = resource["resourceType"].as_str().unwrap().to_owned();
            let id = resource["id"].as_str().unwrap().to_owned();
            let answer = server.put(&format!("/fhir/{kind}/{id}"), &resource.to_string());
            assert_eq!(answer.status, 201, "{kind}/{id}: {}", answer.text());
        }
    }
    let profile = json!({"resourceType": "StructureDefinition", "id": "own", "url": "http://example.org/own-claim", "name": "OwnClaim",
        "status": "active", "kind": "resource", "abstract": false, "type": "Claim", "derivation": "constraint",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Claim",
        "differential": {"element": [{"id": "Claim.billablePeriod", "path": "Claim.billablePeriod", "min": 1, "short": "When, as \"billed\""}]}});
    server.put("/fhir/StructureDefinition/own", &profile.to_string()).expect(201);
}

/// What was exported, without the reference to the dictionary, which is no stored resource; and the dictionary.
fn documented(server: &Server, manifest: &Value) -> (BTreeSet<String>, String) {
    let mut all: BTreeMap<String, Vec<String>> = lines(server, manifest, "output");
    let documents = all.get_mut("DocumentReference").unwrap();
    let at = documents.iter().position(|line| line.contains("\"ehi-export\"")).unwrap();
    let reference: Value = serde_json::from_str(&documents.remove(at)).unwrap();
    let told = manifest["extension"]["documentation"].as_array().unwrap();
    let attachment = &reference["content"][0]["attachment"];
    assert_eq!((told.len(), &told[0]["url"], &told[0]["size"]), (1, &attachment["url"], &attachment["size"]));
    let lists = ["output", "deleted", "error"].map(|list| manifest[list].as_array().unwrap().clone());
    for item in lists.into_iter().flatten().chain(told.clone()) {
        let sums = if item["sha256"].is_string() { &item } else { &item["extension"] };
        let body = server.get(&path(server, item["url"].as_str().unwrap())).expect(200).body;
        let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&sums["sha256"], &sums["size"]), (&json!(digest), &json!(body.len())), "{item}");
    }
    let table = server.get(&path(server, told[0]["url"].as_str().unwrap())).expect(200);
    assert_eq!(table.header("content-type"), "text/csv;charset=utf-8");
    (ids(&all), table.text())
}

#[test]
fn everything_of_a_patient_with_its_documentation() {
    let data = directory();
    let server = Server::start(data.path());
    fill(&server);
    fill_more(&server);
    let manifest = export(&server, "/fhir/Patient/p1/$ehi-export");
    let (mut found, table) = documented(&server, &manifest);
    assert!(found.remove("Group/g") && found.remove("Group/ended"));
    let expected = [
        "Patient/p1",
        "Observation/o-p1",
        "Encounter/e-p1",
        "DocumentReference/d-p1",
        "Binary/scan-p1",
        "Coverage/c-p1",
        "Claim/bill-p1",
        "AuditEvent/look-p1",
        "Provenance/v1",
        "Practitioner/doc",
        "Location/ward",
        "Organization/org",
        "Organization/other",
    ];
    assert_eq!(found, set(&expected));
    let rows: Vec<&str> = table.split("\r\n").collect();
    assert_eq!(rows[0], "definition,path,slice,type,cardinality,description");
    for row in [
        "Patient,Patient.name,,HumanName,0..*,A name associated with the patient",
        "Patient,Patient.meta,,Meta,0..1,Metadata about the resource",
        "Claim,Claim.billablePeriod,,Period,0..1,Relevant time frame for the claim",
        "Period,Period.start,,dateTime,0..1,Starting time with inclusive boundary",
        "http://example.org/own-claim,Claim.billablePeriod,,,1..,\"When, as \"\"billed\"\"\"",
        "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient,Patient.name,,HumanName,1..*,A name associated with the patient",
    ] {
        assert!(rows.contains(&row), "{row}");
    }
    assert!(
        rows.iter().all(|row| !row.starts_with("Appointment,")),
        "of what is not exported, nothing is told"
    );

    // Of all; by POST, with parameters.
    let (all, _) = documented(&server, &export(&server, "/fhir/$ehi-export"));
    assert!(all.is_superset(&found) && all.contains("Binary/scan-out") && all.contains("Practitioner/idle"));
    let body = json!({"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Claim,DocumentReference"}]});
    let accepted =
        server.send("POST", "/fhir/Patient/p1/$ehi-export", &[ASYNC, FHIR], body.to_string().as_bytes());
    let status = path(&server, accepted.expect(202).header("content-location"));
    let manifest = wait(&server, &status).expect(200).json();
    assert_eq!(documented(&server, &manifest).0, set(&["Claim/bill-p1", "DocumentReference/d-p1"]));
    // What an $export never has.
    let plain = export(&server, "/fhir/$export?_type=Patient");
    assert!(plain.get("extension").is_none() && plain["output"][0].get("extension").is_none());
}

#[test]
fn what_no_ehi_is_exported_of() {
    let data = directory();
    let server = Server::start(data.path());
    fill(&server);
    for (path, status, expected) in [
        ("/fhir/Patient/none/$ehi-export", 404, "error not-found []: There is no resource Patient/none."),
        (
            "/fhir/Group/g/$ehi-export",
            404,
            "error not-supported []: $ehi-export is offered at the base, and on a Patient.",
        ),
        (
            "/fhir/Patient/$ehi-export",
            404,
            "error not-supported []: $ehi-export is offered at the base, and on a Patient.",
        ),
        (
            "/fhir/Patient/p1/$export",
            404,
            "error not-supported []: $export is offered at the base, on Patient, and on a Group.",
        ),
        (
            "/fhir/Patient/p1/$ehi-export?colour=red",
            400,
            "error not-supported [http.colour]: colour is not offered by this export.",
        ),
    ] {
        let answer = server.send("GET", path, &[ASYNC, FHIR], b"").expect(status);
        assert_eq!(answer.issues(), [expected], "{path}");
    }
    let at_once = server.get("/fhir/Patient/p1/$ehi-export").expect(400);
    assert!(at_once.issues()[0].contains("[http.Prefer]"));
    let statement = server.get("/fhir/metadata").json();
    let has = |of: &Value| {
        of["operation"].as_array().unwrap().iter().any(|operation| operation["name"] == "ehi-export")
    };
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    assert!(has(&statement["rest"][0]));
    assert!(has(resources.iter().find(|resource| resource["type"] == "Patient").unwrap()));
}
