//! `$purge`: what goes, what stays, who may, and that what was interrupted is gone on with.

use expect_test::expect;
use store::{Access, Filter, HistoryQuery, HistoryScope, Key, Permission, Rules, Write};

use super::{Server, server};

fn of(resource_type: &str, id: &str, members: &str) -> String {
    format!(r#"{{"resourceType":"{resource_type}","id":"{id}",{members}}}"#)
}

fn observation(id: &str, patient: &str) -> String {
    let members =
        format!(r#""status":"final","code":{{"text":"x"}},"subject":{{"reference":"Patient/{patient}"}}"#);
    of("Observation", id, &members)
}

/// Two patients with an observation each, a group of both, a group of the first, and what is nobody's.
async fn filled() -> Server {
    let server = server().await;
    for id in ["a", "b"] {
        server.put(&format!("Patient/{id}"), &of("Patient", id, r#""active":true"#)).await;
        server.put(&format!("Patient/{id}"), &of("Patient", id, r#""active":false"#)).await;
        server.put(&format!("Observation/{id}"), &observation(id, id)).await;
    }
    server.put("Practitioner/doc", &of("Practitioner", "doc", r#""active":true"#)).await;
    let group = |ids: &[&str]| {
        let members = ids.iter().map(|id| format!(r#"{{"entity":{{"reference":"Patient/{id}"}}}}"#));
        format!(r#""type":"person","actual":true,"member":[{}]"#, members.collect::<Vec<_>>().join(","))
    };
    server.put("Group/both", &of("Group", "both", &group(&["a", "b"]))).await;
    server.put("Group/one", &of("Group", "one", &group(&["a"]))).await;
    // Of the first, and deleted long ago; of the first once, and of the second now.
    server.put("Observation/old", &observation("old", "a")).await;
    delete(&server, "Observation/old", 1).await;
    server.put("Observation/moved", &observation("moved", "a")).await;
    server.put("Observation/moved", &observation("moved", "b")).await;
    server
        .put(
            "Patient/linked",
            &of("Patient", "linked", r#""link":[{"other":{"reference":"Patient/a"},"type":"seealso"}]"#),
        )
        .await;
    server
}

async fn delete(server: &Server, key: &str, previous: u64) {
    let key = Key::parse(key).expect("a key");
    let batch = store::Batch { preconditions: Vec::new(), writes: vec![Write::Delete { key, previous }] };
    let tenant = &server.caller.tenant;
    server.service.store.commit(tenant, &Access::unrestricted(), batch).await.expect("it is deleted");
}

/// `Type/id version` of the whole history, oldest first; a deletion has a minus.
async fn history(server: &Server) -> Vec<String> {
    let query =
        HistoryQuery { scope: HistoryScope::System, since: None, at: None, after: None, limit: 1_000 };
    let tenant = &server.caller.tenant;
    let page =
        server.service.store.history(tenant, &Access::unrestricted(), &query).await.expect("it is read");
    let shown = |version: &store::Version| {
        let sign = if version.is_deleted() { "-" } else { "" };
        format!("{}{} {}", sign, version.key.as_str(), version.version)
    };
    page.versions.iter().rev().map(shown).collect()
}

const KEPT: [&str; 8] = [
    "Patient/b 1",
    "Patient/b 2",
    "Observation/b 1",
    "Practitioner/doc 1",
    "Group/both 1",
    "-Observation/old 2",
    "Observation/moved 1",
    "Observation/moved 2",
];

async fn is_purged(server: &Server) {
    let mut found = history(server).await;
    let gone = ["-Group/one 2", "-Observation/a 2", "-Patient/a 3"];
    let mut of_this = found.split_off(KEPT.len() + 1);
    of_this.sort();
    assert_eq!(of_this, gone);
    assert_eq!(found.pop().as_deref(), Some("Patient/linked 1"));
    assert_eq!(found, KEPT);
    let report = server.service.store.check(&server.caller.tenant, &|_, _| {}).await.expect("it is checked");
    assert_eq!(report.faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_compartment_goes_with_all_it_was() {
    let server = filled().await;
    server.check("Patient/a/$purge", Some(""), expect![[r#"200 {"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Patient/a is purged: 3 resources were deleted, and 5 versions erased for good. Archives that were written before have them."}},{"severity":"warning","code":"business-rule","details":{"text":"Group/both stays: it is of another patient too."}},{"severity":"warning","code":"business-rule","details":{"text":"Patient/linked stays: it is of another patient too."}}]}"#]]).await;
    is_purged(&server).await;
    // It is idempotent.
    server.check("Patient/a/$purge", Some(""), expect![[r#"200 {"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Patient/a is purged: 0 resources were deleted, and 0 versions erased for good. Archives that were written before have them."}},{"severity":"warning","code":"business-rule","details":{"text":"Group/both stays: it is of another patient too."}},{"severity":"warning","code":"business-rule","details":{"text":"Patient/linked stays: it is of another patient too."}}]}"#]]).await;
    is_purged(&server).await;
}

#[tokio::test]
async fn what_was_interrupted_is_gone_on_with() {
    let server = filled().await;
    // As if it had ended after a commit, before anything was erased.
    delete(&server, "Group/one", 1).await;
    delete(&server, "Observation/a", 1).await;
    let (status, text) = server.call("Patient/a/$purge", Some("")).await;
    assert!(status == 200 && text.contains("1 resources were deleted, and 5 versions erased"), "{text}");
    is_purged(&server).await;
}

#[tokio::test]
async fn a_patient_of_many_resources() {
    let server = server().await;
    server.put("Patient/a", &of("Patient", "a", r#""active":true"#)).await;
    for n in 0..210 {
        let id = format!("o{n}");
        server.put(&format!("Observation/{id}"), &observation(&id, "a")).await;
    }
    let (status, text) = server.call("Patient/a/$purge", Some("")).await;
    assert!(status == 200 && text.contains("211 resources were deleted, and 211 versions erased"), "{text}");
    assert!(history(&server).await.iter().all(|version| version.starts_with('-')));
}

#[tokio::test]
async fn refusals() {
    let mut server = filled().await;
    let before = history(&server).await;
    server.check("Patient/none/$purge", Some(""), expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource Patient/none."}}]}"#]]).await;
    server.check("Patient/a/$purge", None, expect![[r#"405 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The operation $purge changes resources; call it with POST."}}]}"#]]).await;
    server.check("Patient/a/$purge?mode=hard", Some(""), expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The operation $purge has no parameter mode."},"expression":["http.mode"]}]}"#]]).await;
    server.check("Group/one/$purge", Some(""), expect![[r#"404 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The operation $purge cannot be called on Group."}}]}"#]]).await;
    // Of a patient everything is permitted, and of all the others nothing.
    let types = server.service.definitions.resource_types().to_vec();
    let of_a = |name: &String| match name.as_str() {
        "Patient" => (name.as_str().into(), Rules::all(Filter::Ids(vec!["a".into()]))),
        _ => (name.as_str().into(), Rules::all(Filter::All)),
    };
    server.caller.access = Access::granted(types.iter().map(of_a));
    server.check("Patient/a/$purge", Some(""), expect![[r#"403 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"forbidden","details":{"text":"This access does not permit to erase: that is for those who may read, search and delete every Patient."}}]}"#]]).await;
    let all_but = |name: &String| match name.as_str() {
        "Observation" => {
            let rules = Rules { delete: Filter::None, ..Rules::all(Filter::All) };
            (name.as_str().into(), rules)
        }
        _ => (name.as_str().into(), Rules::all(Filter::All)),
    };
    server.caller.access = Access::granted(types.iter().map(all_but));
    assert!(!server.caller.access.permits(Permission::Delete, "Observation"));
    server.check("Patient/a/$purge", Some(""), expect![[r#"403 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"forbidden","details":{"text":"This access does not permit to erase: that is for those who may read, search and delete every Observation."}}]}"#]]).await;
    server.caller.access = Access::unrestricted();
    server.service.limits.erasure = false;
    server.check("Patient/a/$purge", Some(""), expect![[r#"405 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"This server erases nothing: every version stays in the history. Its configuration may change that (irrevocable_erasure)."}}]}"#]]).await;
    assert_eq!(history(&server).await, before);
}
