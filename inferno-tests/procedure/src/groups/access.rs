//! What a token lets through, by resource type (groups 1.7 and 2.3 of the kit).

use super::snake;
use crate::http::{Checked, Http, ensure};
use crate::inputs::Inputs;
use crate::launch::Token;
use crate::report::Group;

/// The id of a group that all is let through in.
pub(super) const UNRESTRICTED: &str = "g10_unrestricted_resource_type_access";
/// What a limited grant is of.
pub(super) const GRANTED: &[&str] = &["Patient", "Condition", "Observation"];

/// Each type with the first search that US Core asks of it; `{}` is the patient.
pub(super) const TYPES: &[(&str, &str)] = &[
    ("Patient", "_id={}"),
    ("AllergyIntolerance", "patient={}"),
    ("CarePlan", "patient={}&category=http://hl7.org/fhir/us/core/CodeSystem/careplan-category|assess-plan"),
    ("CareTeam", "patient={}&status=active"),
    ("Condition", "patient={}"),
    ("Device", "patient={}"),
    ("DiagnosticReport", "patient={}&category=http://terminology.hl7.org/CodeSystem/v2-0074|LAB"),
    ("DocumentReference", "patient={}"),
    ("Goal", "patient={}"),
    ("Immunization", "patient={}"),
    ("MedicationRequest", "patient={}&intent=order"),
    ("Observation", "patient={}&category=laboratory"),
    ("Procedure", "patient={}"),
    ("Encounter", "patient={}"),
    ("ServiceRequest", "patient={}"),
    ("Coverage", "patient={}"),
    ("MedicationDispense", "patient={}"),
];

/// `g10_allergy_intolerance_restricted_access`; one type has the same id in both groups.
fn test(kind: &str, how: &str) -> String {
    if kind == "MedicationRequest" {
        return "g10_medication_request_access".to_owned();
    }
    format!("g10_{}_{how}_access", snake(kind))
}

async fn search(
    http: &Http,
    inputs: &Inputs,
    token: &Token,
    kind: &str,
    query: &str,
    statuses: &[u16],
) -> Checked {
    let url = format!("{}/{kind}?{}", inputs.base, query.replace("{}", &inputs.patient).replace('|', "%7C"));
    let bearer = token.bearer();
    let headers = [("authorization", bearer.as_str()), ("accept", "application/fhir+json")];
    http.get(&url, &headers).await?.expect(statuses).map(|_| ())
}

/// Every type is let through.
pub(super) async fn unrestricted(http: &Http, inputs: &Inputs, token: &Token, group: &mut Group<'_>) {
    let granted = token.scopes();
    let has = |kind: &str| {
        granted.iter().any(|scope| {
            let of_kind = scope.split(['/', '.']).nth(1);
            of_kind == Some(kind) || of_kind == Some("*")
        })
    };
    let missing: Vec<&str> = TYPES.iter().map(|(kind, _)| *kind).filter(|kind| !has(kind)).collect();
    group.saw("Test01", ensure(missing.is_empty(), || format!("nothing is granted of {missing:?}")));
    for (kind, query) in TYPES {
        let found = search(http, inputs, token, kind, query, &[200]).await;
        group.saw(&test(kind, "unrestricted"), found);
    }
}

/// Only what was granted is let through.
pub(super) async fn restricted(http: &Http, inputs: &Inputs, token: &Token, group: &mut Group<'_>) {
    for (kind, query) in TYPES {
        let statuses: &[u16] = if GRANTED.contains(kind) { &[200] } else { &[401, 403] };
        let found = search(http, inputs, token, kind, query, statuses).await;
        group.saw(&test(kind, "restricted"), found);
    }
}
