//! Where the patients' resources come from: a Provenance for each patient and type
//! (<https://hl7.org/fhir/us/core/StructureDefinition-us-core-provenance.html>).

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// When all of it was recorded.
const RECORDED: &str = "2025-03-15T18:00:00-04:00";
const PROFILE: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance";
const PARTICIPANTS: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
const US_CORE_PARTICIPANTS: &str =
    "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type";
const PRACTICE: &str = "Organization/uscore-practice";

/// The Provenances of all resources that are a patient's.
pub fn of(resources: &[Value]) -> Vec<Value> {
    let mut targets: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
    for resource in resources {
        let Some(patient) = patient(resource) else { continue };
        let (Some(kind), Some(id)) = (text(resource, "/resourceType"), text(resource, "/id")) else {
            continue;
        };
        targets.entry((patient, kind)).or_default().push(json!({"reference": format!("{kind}/{id}")}));
    }
    targets.into_iter().map(|((patient, kind), targets)| provenance(patient, kind, &targets)).collect()
}

fn provenance(patient: &str, kind: &str, targets: &[Value]) -> Value {
    let author = json!({"coding": [{"system": PARTICIPANTS, "code": "author", "display": "Author"}]});
    // A code of the value set that FHIR binds stands beside the one that US Core's pattern asks for.
    let transmitter = json!({"coding": [
        {"system": US_CORE_PARTICIPANTS, "code": "transmitter", "display": "Transmitter"},
        {"system": PARTICIPANTS, "code": "custodian", "display": "Custodian"}
    ]});
    json!({
        "resourceType": "Provenance",
        "id": format!("{patient}-{}", kind.to_ascii_lowercase()),
        "meta": {"profile": [PROFILE]},
        "target": targets,
        "recorded": RECORDED,
        "agent": [
            {"type": author, "who": {"reference": format!("Practitioner/{}", crate::PRACTITIONER)}, "onBehalfOf": {"reference": PRACTICE}},
            {"type": transmitter, "who": {"reference": PRACTICE}}
        ]
    })
}

/// The id of the patient that a resource is about.
fn patient(resource: &Value) -> Option<&str> {
    if text(resource, "/resourceType") == Some("Patient") {
        return text(resource, "/id");
    }
    let places = ["/subject/reference", "/patient/reference", "/beneficiary/reference"];
    places.into_iter().find_map(|place| text(resource, place))?.strip_prefix("Patient/")
}

fn text<'r>(resource: &'r Value, place: &str) -> Option<&'r str> {
    resource.pointer(place).and_then(Value::as_str)
}
