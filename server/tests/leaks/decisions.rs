//! What tokens reach, by their scopes and users: what a search of everything finds is what can be read by its id, the rest is
//! refused as if it were not there.

use std::sync::Arc;

use interaction::{Caller, Handling, OutcomeBody, ReadConditions, Return, Service, WriteConditions};
use store::{Access, Tenant};
use vesta::authorization::decision;

use super::in_process::{service, token};
use super::world::INDEX;

const RESOURCES: &[(&str, &str)] = &[
    ("Organization/o", r#""name":"O""#),
    ("Practitioner/p", r#""active":true"#),
    ("CodeSystem/c", r#""url":"http://example.org/c","status":"active","content":"complete""#),
    ("Patient/a", r#""active":true"#),
    ("Patient/b", r#""active":true"#),
    (
        "Observation/a-lab",
        r#""status":"final","category":[{"coding":[{"code":"lab"}]}],"code":{"text":"x"},"subject":{"reference":"Patient/a"}"#,
    ),
    (
        "Observation/a-vital",
        r#""status":"final","category":[{"coding":[{"code":"vital"}]}],"code":{"text":"x"},"subject":{"reference":"Patient/a"}"#,
    ),
    (
        "Observation/b-lab",
        r#""status":"final","category":[{"coding":[{"code":"lab"}]}],"code":{"text":"x"},"subject":{"reference":"Patient/b"}"#,
    ),
    ("RelatedPerson/ra", r#""active":true,"patient":{"reference":"Patient/a"}"#),
    ("RelatedPerson/rx", r#""active":false,"patient":{"reference":"Patient/b"}"#),
];

/// What every token reads that reads everything of a patient.
const SHARED: [&str; 2] = ["Organization/o", "Practitioner/p"];
const OF_A: [&str; 4] = ["Observation/a-lab", "Observation/a-vital", "Patient/a", "RelatedPerson/ra"];
const OF_B: [&str; 3] = ["Observation/b-lab", "Patient/b", "RelatedPerson/rx"];

async fn filled(service: &Service, open: &Caller) {
    for (key, members) in RESOURCES {
        let (kind, id) = key.split_once('/').unwrap();
        let body = format!(r#"{{"resourceType":"{kind}","id":"{id}",{members}}}"#).into_bytes();
        let (conditions, prefer) = (WriteConditions::default(), Return::Minimal);
        interaction::update(service, open, kind, id, body, &conditions, prefer).await.unwrap();
    }
}

/// The keys that a search of everything finds, sorted; `None` where it is refused.
async fn found(service: &Service, caller: &Caller) -> Option<Vec<String>> {
    let parameters = [("_count".to_owned(), "100".to_owned())];
    let answer = interaction::search(service, caller, None, None, &parameters, Handling::Strict).await;
    let body = match answer {
        Ok(outcome) => outcome.body,
        Err(failure) => {
            assert_eq!(failure.status.code(), 403, "{failure:?}");
            return None;
        }
    };
    let OutcomeBody::Resource(bytes) = body else { panic!("a Bundle") };
    let bundle: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let key = |entry: &serde_json::Value| {
        let of = |name: &str| entry["resource"][name].as_str().unwrap().to_owned();
        format!("{}/{}", of("resourceType"), of("id"))
    };
    let mut keys: Vec<String> = entries.iter().map(key).collect();
    keys.sort();
    Some(keys)
}

async fn check(
    service: &Service,
    tenant: &Tenant,
    scopes: &str,
    patient: Option<&str>,
    user: &str,
    expected: &[&[&str]],
) {
    let access = decision::compile(service, &token(scopes, patient, user)).unwrap();
    assert!(!access.sees_everything(), "{scopes} {user}");
    let caller = Caller { tenant: tenant.clone(), access };
    let mut expected: Vec<&str> = expected.concat();
    expected.sort_unstable();
    let found = found(service, &caller).await.unwrap_or_default();
    assert_eq!(found, expected, "{scopes} of {user} {patient:?}");
    for (key, _) in RESOURCES {
        let (kind, id) = key.split_once('/').unwrap();
        let read = async |id: &str| {
            let answer = interaction::read(service, &caller, kind, id, &ReadConditions::default()).await;
            answer.map_or_else(|failure| (failure.status.code(), failure.issues), |_| (200, Vec::new()))
        };
        let ((status, issues), (of_nobody, mut as_nobody)) = (read(id).await, read("nobody").await);
        if expected.contains(key) {
            assert_eq!(status, 200, "{scopes} of {user}: {key}");
            continue;
        }
        assert_eq!(status, of_nobody, "{scopes} of {user}: {key}");
        for issue in &mut as_nobody {
            issue.details = issue.details.replace("nobody", id);
        }
        assert_eq!(issues, as_nobody, "{scopes} of {user}: {key}");
    }
}

#[tokio::test]
async fn tokens_reach_what_their_scopes_and_users_say() {
    let tenant = Tenant::new("asking").unwrap();
    let opened = crate::ENGINE.open_for(Arc::clone(&INDEX) as _, std::slice::from_ref(&tenant)).await;
    let service = service(&opened);
    let open = Caller { tenant: tenant.clone(), access: Access::unrestricted() };
    filled(&service, &open).await;
    let all: Vec<&str> = RESOURCES.iter().map(|(key, _)| *key).collect();
    let a = Some("a");
    for (scopes, patient, user, expected) in [
        ("patient/*.rs", a, "Practitioner/p", &[&OF_A[..], &SHARED][..]),
        ("patient/*.read", a, "Patient/a", &[&OF_A, &SHARED]),
        ("patient/*.rs", None, "Practitioner/p", &[]),
        ("patient/Observation.rs?category=lab", a, "Practitioner/p", &[&["Observation/a-lab"]]),
        ("patient/*.rs?category=lab", a, "Practitioner/p", &[&["Observation/a-lab"]]),
        ("patient/Observation.rs?patient.active=true", a, "Practitioner/p", &[&OF_A[..2]]),
        (
            "patient/Patient.rs user/Observation.rs",
            a,
            "Practitioner/p",
            &[&["Patient/a"], &OF_A[..2], &OF_B[..1]],
        ),
        ("user/*.rs", None, "Practitioner/p", &[&all]),
        ("user/*.rs", None, "http://127.0.0.1:8080/fhir/Practitioner/p", &[&all]),
        ("user/*.rs", None, "Patient/b", &[&OF_B, &SHARED]),
        ("user/*.rs", None, "RelatedPerson/ra", &[&OF_A, &SHARED]),
        ("user/*.rs", None, "RelatedPerson/rx", &[&SHARED]),
        ("user/*.rs", None, "RelatedPerson/nobody", &[&SHARED]),
        ("user/*.rs", None, "Device/d", &[]),
        ("user/*.rs", None, "Practitioner", &[]),
        ("system/*.rs", None, "", &[&all]),
        ("system/*.rs", None, "Practitioner/p", &[]),
        ("system/Patient.rs", None, "", &[&["Patient/a", "Patient/b"]]),
    ] {
        check(&service, &tenant, scopes, patient, user, expected).await;
    }
    let everything = decision::compile(&service, &token("system/*.cruds", None, "")).unwrap();
    assert!(everything.sees_everything());
    let refused = decision::compile(&service, &token("patient/Observation.rs?nonsense=x", a, "Patient/a"));
    let failure = refused.unwrap_err();
    assert_eq!(failure.status.code(), 403);
    let said: Vec<&str> = failure.issues.iter().map(|issue| issue.code.as_str()).collect();
    assert_eq!(said, ["forbidden", "invalid"], "{failure:?}");
}
