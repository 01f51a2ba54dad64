//! What tokens reach, by their scopes and users: what a search of everything finds is what can be read by its id, the rest is
//! refused as if it were not there.

use std::sync::Arc;

use interaction::{Caller, Handling, OutcomeBody, ReadConditions, Return, Service, WriteConditions};
use store::{Access, Tenant};
use vesta::authorization::consent::{Part, Withheld};
use vesta::authorization::{Rights, decision};

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

/// What is labelled restricted, beside [`RESOURCES`].
const LABELLED: (&str, &str) = (
    "Observation/a-hidden",
    r#""meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]},"status":"final","code":{"text":"x"},"subject":{"reference":"Patient/a"}"#,
);

/// What every token reads that reads everything of a patient.
const SHARED: [&str; 2] = ["Organization/o", "Practitioner/p"];
const OF_A: [&str; 4] = ["Observation/a-lab", "Observation/a-vital", "Patient/a", "RelatedPerson/ra"];
const OF_B: [&str; 3] = ["Observation/b-lab", "Patient/b", "RelatedPerson/rx"];

async fn filled(service: &Service, open: &Caller, resources: &[(&str, &str)]) {
    for (key, members) in resources {
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
    let what = format!("{scopes} of {user} {patient:?}");
    check_token(service, tenant, &what, &token(scopes, patient, user), expected).await;
}

async fn check_token(
    service: &Service,
    tenant: &Tenant,
    what: &str,
    token: &smart::Verified,
    expected: &[&[&str]],
) {
    check_access(service, tenant, what, decision::compile(service, token, &[]).unwrap(), expected).await;
}

async fn check_access(service: &Service, tenant: &Tenant, what: &str, access: Access, expected: &[&[&str]]) {
    assert!(!access.sees_everything(), "{what}");
    let caller = Caller::new(tenant.clone(), access);
    let mut expected: Vec<&str> = expected.concat();
    expected.sort_unstable();
    let found = found(service, &caller).await.unwrap_or_default();
    assert_eq!(found, expected, "{what}");
    for (key, _) in RESOURCES {
        let (kind, id) = key.split_once('/').unwrap();
        let read = async |id: &str| {
            let answer = interaction::read(service, &caller, kind, id, &ReadConditions::default()).await;
            answer.map_or_else(|failure| (failure.status.code(), failure.issues), |_| (200, Vec::new()))
        };
        let ((status, issues), (of_nobody, mut as_nobody)) = (read(id).await, read("nobody").await);
        if expected.contains(key) {
            assert_eq!(status, 200, "{what}: {key}");
            continue;
        }
        assert_eq!(status, of_nobody, "{what}: {key}");
        for issue in &mut as_nobody {
            issue.details = issue.details.replace("nobody", id);
        }
        assert_eq!(issues, as_nobody, "{what}: {key}");
    }
}

#[tokio::test]
async fn tokens_reach_what_their_scopes_and_users_say() {
    let tenant = Tenant::new("asking").unwrap();
    let opened = crate::ENGINE.open_for(Arc::clone(&INDEX) as _, std::slice::from_ref(&tenant)).await;
    let service = service(&opened);
    let open = Caller::new(tenant.clone(), Access::unrestricted());
    filled(&service, &open, RESOURCES).await;
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
    let everything = decision::compile(&service, &token("system/*.cruds", None, ""), &[]).unwrap();
    assert!(everything.sees_everything());
    for (query, why) in [
        ("nonsense=x", "invalid"),
        ("_content=x", "not-supported"),
        ("_has:Observation:derived-from:_content=x", "not-supported"),
    ] {
        let scope = format!("patient/Observation.rs?{query}");
        let failure = decision::compile(&service, &token(&scope, a, "Patient/a"), &[]).unwrap_err();
        assert_eq!(failure.status.code(), 403);
        let said: Vec<&str> = failure.issues.iter().map(|issue| issue.code.as_str()).collect();
        assert_eq!(said, ["forbidden", why], "{failure:?}");
    }
}

/// A policy of rules, with whose it is.
fn policy(rules: &str) -> smart::Policy {
    serde_json::from_str(&format!(r#"{{"name":"p","resource":[{rules}],"breakGlass":true}}"#)).unwrap()
}

#[tokio::test]
async fn what_patients_withhold_is_left_out() {
    let tenant = Tenant::new("asking").unwrap();
    let opened = crate::ENGINE.open_for(Arc::clone(&INDEX) as _, std::slice::from_ref(&tenant)).await;
    let service = service(&opened);
    let open = Caller::new(tenant.clone(), Access::unrestricted());
    filled(&service, &open, RESOURCES).await;
    filled(&service, &open, &[LABELLED]).await;
    let part = |denies: bool, types: &[&str], labels: &[&str], within: Vec<Part>| Part {
        denies,
        types: types.iter().map(|name| (*name).to_owned()).collect(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        within,
    };
    let (deny, permit) = (|within| part(true, &[], &[], within), |within| part(false, &[], &[], within));
    let restricted = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R";
    let observation = ["Observation"].as_slice();
    let observations = [OF_A[0], OF_A[1], LABELLED.0];
    for (withheld, unseen) in [
        (vec![("a", deny(vec![]))], [OF_A.as_slice(), &[LABELLED.0]].concat()),
        (vec![("a", deny(vec![])), ("b", deny(vec![]))], [OF_A.as_slice(), &[LABELLED.0], &OF_B].concat()),
        (vec![("nobody", deny(vec![]))], vec![]),
        (vec![("a", permit(vec![part(true, observation, &[], vec![])]))], observations.to_vec()),
        (vec![("a", permit(vec![part(true, &[], &[restricted], vec![])]))], vec![LABELLED.0]),
        (
            vec![("a", deny(vec![part(false, observation, &[], vec![])]))],
            vec!["Patient/a", "RelatedPerson/ra"],
        ),
        (
            vec![(
                "a",
                deny(vec![part(false, observation, &[], vec![part(true, &[], &[restricted], vec![])])]),
            )],
            vec!["Patient/a", "RelatedPerson/ra", LABELLED.0],
        ),
        // Of two beside each other the one that denies wins, and so does one Consent of two.
        (
            vec![("a", deny(vec![permit(vec![]), part(true, observation, &[], vec![])]))],
            observations.to_vec(),
        ),
        (
            vec![
                ("a", permit(vec![part(true, observation, &[], vec![])])),
                ("a", permit(vec![deny(vec![])])),
            ],
            [OF_A.as_slice(), &[LABELLED.0]].concat(),
        ),
    ] {
        let what = format!("{withheld:?}");
        let withheld: Vec<Withheld> = withheld
            .into_iter()
            .map(|(patient, part)| Withheld { patient: patient.to_owned(), part })
            .collect();
        let all = RESOURCES.iter().map(|(key, _)| *key).chain([LABELLED.0]);
        let seen: Vec<&str> = all.filter(|key| !unseen.contains(key)).collect();
        let token = token("system/*.cruds", None, "");
        let access = decision::compile(&service, &token, &withheld).unwrap();
        check_access(&service, &tenant, &what, access, &[&seen]).await;
        // What goes on when the token is gone is held to it too.
        let written = serde_json::to_string(&Rights::of(&token, withheld)).unwrap();
        let access = serde_json::from_str::<Rights>(&written).unwrap().access(&service).unwrap();
        check_access(&service, &tenant, &what, access, &[&seen]).await;
    }
}

#[tokio::test]
async fn policies_take_away_from_what_scopes_say() {
    let tenant = Tenant::new("asking").unwrap();
    let opened = crate::ENGINE.open_for(Arc::clone(&INDEX) as _, std::slice::from_ref(&tenant)).await;
    let service = service(&opened);
    let open = Caller::new(tenant.clone(), Access::unrestricted());
    filled(&service, &open, RESOURCES).await;
    filled(&service, &open, &[LABELLED]).await;
    let user = || {
        let text = |text: &str| text.to_owned();
        Some(smart::SessionUser {
            sub: text("s"),
            username: text("p"),
            name: text("P"),
            fhir_user: text("Practitioner/p"),
        })
    };
    let all: Vec<&str> = RESOURCES.iter().map(|(key, _)| *key).collect();
    let observations = [OF_A[0], OF_A[1], OF_B[0]];
    for (rules, expected) in [
        ("", &[] as &[&[&str]]),
        (r#"{"resourceType":"*"}"#, &[&all]),
        (r#"{"resourceType":"*","restricted":true}"#, &[&all, &[LABELLED.0]]),
        (r#"{"resourceType":"Observation"}"#, &[&observations]),
        (
            r#"{"resourceType":"Observation","restricted":true,"compartment":"Patient/a"}"#,
            &[&OF_A[..2], &[LABELLED.0]],
        ),
        (
            r#"{"resourceType":"Observation","criteria":"Observation?category=lab","readonly":true}"#,
            &[&[OF_A[0], OF_B[0]]],
        ),
        (r#"{"resourceType":"Observation","criteria":"patient.active=true&category=vital"}"#, &[&[OF_A[1]]]),
        (r#"{"resourceType":"*","compartment":"Patient/a"}"#, &[&OF_A]),
        (r#"{"resourceType":"*","compartment":"Patient/nobody"}"#, &[]),
        (
            r#"{"resourceType":"Patient","criteria":"_id=a"},{"resourceType":"Patient","criteria":"_id=b"}"#,
            &[&["Patient/a", "Patient/b"]],
        ),
        (r#"{"resourceType":"Patient","criteria":"general-practitioner=%user"}"#, &[]),
        (r#"{"resourceType":"Practitioner","criteria":"_id=p"}"#, &[&["Practitioner/p"]]),
    ] {
        let mut of_user = token("user/*.rs", None, "Practitioner/p");
        of_user.user = user();
        of_user.policies.user = Some(policy(rules));
        check_token(&service, &tenant, rules, &of_user, expected).await;
        // What goes on when the token is gone is held to it too.
        let written = serde_json::to_string(&Rights::of(&of_user, Vec::new())).unwrap();
        let access = serde_json::from_str::<Rights>(&written).unwrap().access(&service).unwrap();
        let caller = Caller::new(tenant.clone(), access);
        let mut later: Vec<&str> = expected.concat();
        later.sort_unstable();
        assert_eq!(found(&service, &caller).await.unwrap_or_default(), later, "{rules}");
        // The app's works just so, and both together leave what both permit.
        let mut of_app = token("user/*.rs", None, "Practitioner/p");
        of_app.user = user();
        of_app.policies.client = Some(policy(rules));
        check_token(&service, &tenant, rules, &of_app, expected).await;
        of_app.policies.user = Some(policy(r#"{"resourceType":"Device"}"#));
        check_token(&service, &tenant, rules, &of_app, &[]).await;
        // In an emergency the user's is put aside, not the app's.
        let access = decision::emergency(&service, &of_app).unwrap().unwrap();
        let caller = Caller::new(tenant.clone(), access);
        assert_eq!(
            found(&service, &caller).await.unwrap_or_default().len(),
            expected.concat().len(),
            "{rules}"
        );
        let mut closed = of_user.clone();
        closed.policies.user.as_mut().unwrap().break_glass = false;
        assert!(decision::emergency(&service, &closed).unwrap().is_none());
        assert!(
            decision::emergency(&service, &token("user/*.rs", None, "Practitioner/p")).unwrap().is_none()
        );
    }
    // Scopes hold beside a policy that leaves everything, and a backend service is no user.
    let mut narrow = token("user/Patient.rs", None, "Practitioner/p");
    narrow.policies.user = Some(policy(r#"{"resourceType":"*","restricted":true}"#));
    check_token(&service, &tenant, "scopes", &narrow, &[&["Patient/a", "Patient/b"]]).await;
    let mut backend = token("system/*.rs", None, "");
    backend.policies.client =
        Some(policy(r#"{"resourceType":"Patient","criteria":"general-practitioner=%user"}"#));
    check_token(&service, &tenant, "backend", &backend, &[]).await;
    // What may only be read may not be written.
    let mut writer = token("user/*.cruds", None, "Practitioner/p");
    writer.policies.user = Some(policy(
        r#"{"resourceType":"Patient","readonly":true},{"resourceType":"Observation","criteria":"category=lab"}"#,
    ));
    let access = decision::compile(&service, &writer, &[]).unwrap();
    let caller = Caller::new(tenant.clone(), access);
    let write = async |key: &str, members: &str| {
        let (kind, id) = key.split_once('/').unwrap();
        let body = format!(r#"{{"resourceType":"{kind}","id":"{id}",{members}}}"#).into_bytes();
        let conditions = WriteConditions::default();
        let written =
            interaction::update(&service, &caller, kind, id, body, &conditions, Return::Minimal).await;
        written.map_or_else(|failure| failure.status.code(), |outcome| outcome.status.code())
    };
    let lab =
        r#""category":[{"coding":[{"code":"lab"}]}],"code":{"text":"x"},"subject":{"reference":"Patient/a"}"#;
    let vital = lab.replace("lab", "vital");
    for (key, members, status) in [
        ("Patient/a", r#""active":true"#.to_owned(), 403),
        ("Observation/a-lab", format!(r#""status":"amended",{lab}"#), 200),
        ("Observation/a-lab", format!(r#""status":"amended",{vital}"#), 403),
        // One that is not seen is as one that is not there.
        ("Observation/a-vital", format!(r#""status":"amended",{lab}"#), 404),
        ("Observation/a-vital", format!(r#""status":"amended",{vital}"#), 404),
        ("Observation/a-new", format!(r#""status":"final",{lab}"#), 404),
        ("Observation/a-newer", format!(r#""status":"final",{vital}"#), 404),
    ] {
        assert_eq!(write(key, &members).await, status, "{key} {members}");
    }
    for (members, status) in [(lab, 201), (vital.as_str(), 403)] {
        let body = format!(r#"{{"resourceType":"Observation","status":"final",{members}}}"#).into_bytes();
        let created =
            interaction::create(&service, &caller, "Observation", body, None, Return::Minimal).await;
        let said = created.map_or_else(|failure| failure.status.code(), |outcome| outcome.status.code());
        assert_eq!(said, status, "{members}");
    }
}
