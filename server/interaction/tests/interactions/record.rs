//! read, vread, create, update, delete, with their conditions and refusals.

use std::sync::Arc;

use expect_test::expect;

use crate::server::Server;

#[tokio::test]
async fn a_resource_lives() {
    let server = Server::new();
    server.check("POST Patient\n\n{\"resourceType\":\"Patient\",\"id\":\"mine\",\"active\":true,\"meta\":{\"versionId\":\"7\",\"tag\":[{\"code\":\"x\"}]}}", expect![[r#""#]]).await;
    server.check("GET Patient/n1", expect![[r#""#]]).await;
    server.check("PUT Patient/n1\n\n{\"resourceType\":\"Patient\",\"active\":false}", expect![[r#""#]]).await;
    server.check("PUT Patient/n1\nPrefer: return=minimal\n\n{\"active\":false,\"resourceType\":\"Patient\",\"id\":\"n1\"}", expect![[r#""#]]).await;
    server.check("GET Patient/n1/_history/1", expect![[r#""#]]).await;
    server.check("GET Patient/n1/_history/3", expect![[r#""#]]).await;
    server.check("DELETE Patient/n1", expect![[r#""#]]).await;
    server.check("DELETE Patient/n1\nPrefer: return=OperationOutcome", expect![[r#""#]]).await;
    server.check("GET Patient/n1", expect![[r#""#]]).await;
    server.check("GET Patient/n1/_history/3", expect![[r#""#]]).await;
    server.check("GET Patient/n1/_history/2", expect![[r#""#]]).await;
    server.check("PUT Patient/n1\nPrefer: return=OperationOutcome\n\n{\"resourceType\":\"Patient\",\"active\":false}", expect![[r#""#]]).await;
    server.check("DELETE Patient/n1\nPrefer: return=OperationOutcome", expect![[r#""#]]).await;
    server.check("DELETE Patient/never", expect![[r#""#]]).await;
}

#[tokio::test]
async fn what_cannot_be() {
    let server = Server::new();
    server.check("GET Nonsense/1", expect![[r#""#]]).await;
    server.check("GET Patient/1", expect![[r#""#]]).await;
    server.check("GET Patient/a_b", expect![[r#""#]]).await;
    server.check("GET Patient/1/_history/one", expect![[r#""#]]).await;
    server.check("POST Patient\n\n{\"resourceType\":", expect![[r#""#]]).await;
    server.check("POST Patient\n\n{\"resourceType\":\"Patient\",\"nickname\":\"x\"}", expect![[r#""#]]).await;
    server.check("POST Patient\n\n{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{\"text\":\"x\"}}", expect![[r#""#]]).await;
    server.check("PUT Patient/1\n\n{\"resourceType\":\"Patient\",\"id\":\"2\"}", expect![[r#""#]]).await;
    server.check("PUT Patient/a_b\n\n{\"resourceType\":\"Patient\"}", expect![[r#""#]]).await;
    server.check("POST Nonsense\n\n{\"resourceType\":\"Nonsense\"}", expect![[r#""#]]).await;
    server.check("DELETE Nonsense/1", expect![[r#""#]]).await;
    server.check("GET Patient/1?_summary=count", expect![[r#""#]]).await;
}

#[tokio::test]
async fn conditions_on_versions() {
    let server = Server::new();
    let put = |headers: &str, active: bool| {
        format!("PUT Patient/1\n{headers}\n\n{{\"resourceType\":\"Patient\",\"active\":{active}}}")
    };
    server.check(&put("If-Match: W/\"1\"", true), expect![[r#""#]]).await;
    server.check(&put("If-None-Match: *", true), expect![[r#""#]]).await;
    server.check(&put("If-None-Match: *", false), expect![[r#""#]]).await;
    server.check(&put("If-Match: W/\"2\"", false), expect![[r#""#]]).await;
    server.check(&put("If-Match: W/\"1\"", false), expect![[r#""#]]).await;
    server.check(&put("If-Match: soon", false), expect![[r#""#]]).await;
    server.check("GET Patient/1\nIf-None-Match: W/\"2\"", expect![[r#""#]]).await;
    server.check("GET Patient/1\nIf-None-Match: W/\"1\"", expect![[r#""#]]).await;
    server.check("GET Patient/1\nIf-Modified-Since: 4000000000000", expect![[r#""#]]).await;
    server.check("GET Patient/1\nIf-Modified-Since: 0", expect![[r#""#]]).await;
    server.check("DELETE Patient/1\nIf-Match: W/\"1\"", expect![[r#""#]]).await;
    server.check("DELETE Patient/1\nIf-Match: W/\"2\"", expect![[r#""#]]).await;
    server.check("DELETE Patient/1\nIf-Match: W/\"3\"", expect![[r#""#]]).await;
}

const ANN: &str =
    r#"{"resourceType":"Patient","identifier":[{"system":"http://x","value":"1"}],"active":true}"#;
const BOB: &str =
    r#"{"resourceType":"Patient","identifier":[{"system":"http://x","value":"2"}],"active":false}"#;

#[tokio::test]
async fn conditional_interactions() {
    let server = Server::new();
    let create = |query: &str, body: &str| {
        format!("POST Patient\nIf-None-Exist: {query}\nPrefer: return=minimal\n\n{body}")
    };
    server.check(&create("identifier=http%3A%2F%2Fx%7C1", ANN), expect![[r#""#]]).await;
    server.check(&create("?identifier=http://x|1", ANN), expect![[r#""#]]).await;
    server.check(&create("identifier=http://x|2", BOB), expect![[r#""#]]).await;
    server.check(&create("identifier=http://x|", BOB), expect![[r#""#]]).await;
    server.check(&create("", BOB), expect![[r#""#]]).await;
    server.check(&create("identifier=http://x|3&_sort=_id&shoe=4", BOB), expect![[r#""#]]).await;

    let update = |query: &str, body: &str| format!("PUT Patient?{query}\nPrefer: return=minimal\n\n{body}");
    server.check(&update("identifier=http://x|1", BOB), expect![[r#""#]]).await;
    server.check(&update("identifier=http://x|2", BOB), expect![[r#""#]]).await;
    server.check(&update("identifier=http://x|3", ANN), expect![[r#""#]]).await;
    let named = ANN.replacen("{", r#"{"id":"ann","#, 1);
    server.check(&update("identifier=http://x|4", &named), expect![[r#""#]]).await;
    server.check(&update("identifier=http://x|4", &named), expect![[r#""#]]).await;
    server.check(&update("_id=n1", &named), expect![[r#""#]]).await;
    server.check(&update("", ANN), expect![[r#""#]]).await;

    server.check("DELETE Patient?identifier=http://x|1", expect![[r#""#]]).await;
    server.check("DELETE Patient?_id=ann\nPrefer: return=OperationOutcome", expect![[r#""#]]).await;
    server.check("DELETE Patient?_id=ann\nPrefer: return=OperationOutcome", expect![[r#""#]]).await;
    server.check("DELETE Patient", expect![[r#""#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_conditional_creates_make_one() {
    let server = Arc::new(Server::new());
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let request = format!("POST Patient\nIf-None-Exist: identifier=http://x|1\n\n{ANN}");
                server.send(&request).await.expect("a conditional create succeeds").status.code()
            })
        })
        .collect();
    let mut created = 0;
    for task in tasks {
        match task.await.expect("no panic") {
            201 => created += 1,
            other => assert_eq!(other, 200),
        }
    }
    assert_eq!(created, 1);
    let found = server.json("GET Patient?identifier=http://x|1&_total=accurate").await;
    assert_eq!(found["total"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_updates_leave_no_gap() {
    let server = Arc::new(Server::new());
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let body = format!(r#"{{"resourceType":"Patient","multipleBirthInteger":{number}}}"#);
                server.send(&format!("PUT Patient/1\n\n{body}")).await.expect("an update succeeds").version
            })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.extend(task.await.expect("no panic"));
    }
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6, 7, 8]);
}
