//! read, vread, create, update, delete, with their conditions and refusals.

use std::sync::Arc;

use expect_test::expect;

use super::server::Server;

#[tokio::test]
async fn a_resource_lives() {
    let server = Server::new().await;
    server.check("POST Patient\n\n{\"resourceType\":\"Patient\",\"id\":\"mine\",\"active\":true,\"meta\":{\"versionId\":\"7\",\"tag\":[{\"code\":\"x\"}]}}", expect![[r#"
        201 Patient/n1/_history/1 v1
        {"resourceType":"Patient","id":"n1","meta":{"versionId":"1","lastUpdated":"TIME","tag":[{"code":"x"}]},"active":true}"#]]).await;
    server.check("GET Patient/n1", expect![[r#"
        200 Patient/n1/_history/1 v1
        {"resourceType":"Patient","id":"n1","meta":{"versionId":"1","lastUpdated":"TIME","tag":[{"code":"x"}]},"active":true}"#]]).await;
    server
        .check(
            "PUT Patient/n1\n\n{\"resourceType\":\"Patient\",\"active\":false}",
            expect![[r#"
        200 Patient/n1/_history/2 v2
        {"resourceType":"Patient","id":"n1","meta":{"versionId":"2","lastUpdated":"TIME"},"active":false}"#]],
        )
        .await;
    server.check("PUT Patient/n1\nPrefer: return=minimal\n\n{\"active\":false,\"resourceType\":\"Patient\",\"id\":\"n1\"}", expect!["200 Patient/n1/_history/2 v2"]).await;
    server.check("GET Patient/n1/_history/1", expect![[r#"
        200 Patient/n1/_history/1 v1
        {"resourceType":"Patient","id":"n1","meta":{"versionId":"1","lastUpdated":"TIME","tag":[{"code":"x"}]},"active":true}"#]]).await;
    server.check("GET Patient/n1/_history/3", expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no version 3 of Patient/n1."}}]}"#]]).await;
    server.check("DELETE Patient/n1", expect!["204 v3"]).await;
    server.check("DELETE Patient/n1\nPrefer: return=OperationOutcome", expect![[r#"
        200
        {"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Patient/n1 did not exist, so nothing was deleted."}}]}"#]]).await;
    server.check("GET Patient/n1", expect![[r#"
        410
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"deleted","details":{"text":"Patient/n1 was deleted; that is its version 3."}}]}"#]]).await;
    server.check("GET Patient/n1/_history/3", expect![[r#"
        410
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"deleted","details":{"text":"Patient/n1 was deleted; that is its version 3."}}]}"#]]).await;
    server
        .check(
            "GET Patient/n1/_history/2",
            expect![[r#"
        200 Patient/n1/_history/2 v2
        {"resourceType":"Patient","id":"n1","meta":{"versionId":"2","lastUpdated":"TIME"},"active":false}"#]],
        )
        .await;
    server.check("PUT Patient/n1\nPrefer: return=OperationOutcome\n\n{\"resourceType\":\"Patient\",\"active\":false}", expect![[r#"
        201 Patient/n1/_history/4 v4
        {"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Patient/n1 was created as version 4."}}]}"#]]).await;
    server.check("DELETE Patient/n1\nPrefer: return=OperationOutcome", expect![[r#"
        200 v5
        {"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Patient/n1 was deleted as version 5."}}]}"#]]).await;
    server.check("DELETE Patient/never", expect!["204"]).await;
}

#[tokio::test]
async fn what_cannot_be() {
    let server = Server::new().await;
    server.check("GET Nonsense/1", expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"Nonsense is not a resource type of FHIR R4."}}]}"#]]).await;
    server.check("GET Patient/1", expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource Patient/1."}}]}"#]]).await;
    server.check("GET Patient/a_b", expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"No resource has such an id: ids have 1 to 64 characters, each of A-Z, a-z, 0-9, '-' and '.'."}}]}"#]]).await;
    server.check("GET Patient/1/_history/one", expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no version one of Patient/1."}}]}"#]]).await;
    server.check("POST Patient\n\n{\"resourceType\":", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":1}],"severity":"error","code":"structure","details":{"text":"A resource needs a resourceType, for instance \"resourceType\": \"Patient\"."},"diagnostics":"line 1, column 1","expression":["Resource"]},{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":17}],"severity":"error","code":"invalid","details":{"text":"This is not JSON: expected a value, found the end of the text."},"diagnostics":"line 1, column 17","expression":["Resource"]}]}"#]]).await;
    server.check("POST Patient\n\n{\"resourceType\":\"Patient\",\"nickname\":\"x\"}", expect![[r#"
        422
        {"resourceType":"OperationOutcome","issue":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line","valueInteger":1},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col","valueInteger":27}],"severity":"error","code":"structure","details":{"text":"Patient has no element 'nickname'."},"diagnostics":"line 1, column 27","expression":["Patient.nickname"]}]}"#]]).await;
    server.check("POST Patient\n\n{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{\"text\":\"x\"}}", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"The body is a resource of type Observation, but the URL is for Patient."},"expression":["resourceType"]}]}"#]]).await;
    server.check("PUT Patient/1\n\n{\"resourceType\":\"Patient\",\"id\":\"2\"}", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","details":{"text":"The body's id is not that of Patient/1, which it is to update."},"expression":["Patient.id"]}]}"#]]).await;
    server.check("PUT Patient/a_b\n\n{\"resourceType\":\"Patient\"}", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","details":{"text":"An id has 1 to 64 characters, each of A-Z, a-z, 0-9, '-' and '.'."}}]}"#]]).await;
    server.check("POST Nonsense\n\n{\"resourceType\":\"Nonsense\"}", expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"Nonsense is not a resource type of FHIR R4."}}]}"#]]).await;
    server.check("DELETE Nonsense/1", expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"Nonsense is not a resource type of FHIR R4."}}]}"#]]).await;
    server.check("GET Patient/1?_summary=count", expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource Patient/1."}}]}"#]]).await;
}

#[tokio::test]
async fn conditions_on_versions() {
    let server = Server::new().await;
    let put = |headers: &str, active: bool| {
        format!("PUT Patient/1\n{headers}\n\n{{\"resourceType\":\"Patient\",\"active\":{active}}}")
    };
    server.check(&put("If-Match: W/\"1\"", true), expect![[r#"
        412
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","details":{"text":"If-Match does not hold for Patient/1: it does not exist."},"expression":["http.If-Match"]}]}"#]]).await;
    server
        .check(
            &put("If-None-Match: *", true),
            expect![[r#"
        201 Patient/1/_history/1 v1
        {"resourceType":"Patient","id":"1","meta":{"versionId":"1","lastUpdated":"TIME"},"active":true}"#]],
        )
        .await;
    server.check(&put("If-None-Match: *", false), expect![[r#"
        412
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","details":{"text":"If-None-Match does not hold for Patient/1: its current version is 1."},"expression":["http.If-None-Match"]}]}"#]]).await;
    server.check(&put("If-Match: W/\"2\"", false), expect![[r#"
        412
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","details":{"text":"If-Match does not hold for Patient/1: its current version is 1."},"expression":["http.If-Match"]}]}"#]]).await;
    server
        .check(
            &put("If-Match: W/\"1\"", false),
            expect![[r#"
        200 Patient/1/_history/2 v2
        {"resourceType":"Patient","id":"1","meta":{"versionId":"2","lastUpdated":"TIME"},"active":false}"#]],
        )
        .await;
    server.check(&put("If-Match: soon", false), expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","details":{"text":"If-Match is neither * nor the ETag of a version of this server, which reads W/\"3\"."},"expression":["http.If-Match"]}]}"#]]).await;
    server.check("GET Patient/1\nIf-None-Match: W/\"2\"", expect!["304 Patient/1/_history/2 v2"]).await;
    server
        .check(
            "GET Patient/1\nIf-None-Match: W/\"1\"",
            expect![[r#"
        200 Patient/1/_history/2 v2
        {"resourceType":"Patient","id":"1","meta":{"versionId":"2","lastUpdated":"TIME"},"active":false}"#]],
        )
        .await;
    server
        .check("GET Patient/1\nIf-Modified-Since: 4000000000000", expect!["304 Patient/1/_history/2 v2"])
        .await;
    server
        .check(
            "GET Patient/1\nIf-Modified-Since: 0",
            expect![[r#"
        200 Patient/1/_history/2 v2
        {"resourceType":"Patient","id":"1","meta":{"versionId":"2","lastUpdated":"TIME"},"active":false}"#]],
        )
        .await;
    server.check("DELETE Patient/1\nIf-Match: W/\"1\"", expect![[r#"
        412
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","details":{"text":"If-Match does not hold for Patient/1: its current version is 2."},"expression":["http.If-Match"]}]}"#]]).await;
    server.check("DELETE Patient/1\nIf-Match: W/\"2\"", expect!["204 v3"]).await;
    server.check("DELETE Patient/1\nIf-Match: W/\"3\"", expect![[r#"
        412
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","details":{"text":"If-Match does not hold for Patient/1: it does not exist."},"expression":["http.If-Match"]}]}"#]]).await;
}

const ANN: &str =
    r#"{"resourceType":"Patient","identifier":[{"system":"http://x","value":"1"}],"active":true}"#;
const BOB: &str =
    r#"{"resourceType":"Patient","identifier":[{"system":"http://x","value":"2"}],"active":false}"#;

#[tokio::test]
async fn conditional_interactions() {
    let server = Server::new().await;
    let create = |query: &str, body: &str| {
        format!("POST Patient\nIf-None-Exist: {query}\nPrefer: return=minimal\n\n{body}")
    };
    server
        .check(&create("identifier=http%3A%2F%2Fx%7C1", ANN), expect!["201 Patient/n1/_history/1 v1"])
        .await;
    server.check(&create("?identifier=http://x|1", ANN), expect!["200 Patient/n1/_history/1 v1"]).await;
    server.check(&create("identifier=http://x|2", BOB), expect!["201 Patient/n2/_history/1 v1"]).await;
    server.check(&create("identifier=http://x|", BOB), expect![[r#"
        412
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"multiple-matches","details":{"text":"Several Patient resources match the criteria, so none was chosen."}}]}"#]]).await;
    server.check(&create("", BOB), expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required","details":{"text":"A conditional interaction needs at least one search parameter."}}]}"#]]).await;
    server.check(&create("identifier=http://x|3&_sort=_id&shoe=4", BOB), expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"_sort shapes a result page; criteria of a conditional interaction cannot have it."},"expression":["http._sort"]}]}"#]]).await;

    let update = |query: &str, body: &str| format!("PUT Patient?{query}\nPrefer: return=minimal\n\n{body}");
    server.check(&update("identifier=http://x|1", BOB), expect!["200 Patient/n1/_history/2 v2"]).await;
    server.check(&update("identifier=http://x|2", BOB), expect![[r#"
        412
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"multiple-matches","details":{"text":"Several Patient resources match the criteria, so none was chosen."}}]}"#]]).await;
    server.check(&update("identifier=http://x|3", ANN), expect!["201 Patient/n3/_history/1 v1"]).await;
    let named = ANN.replacen("{", r#"{"id":"ann","#, 1);
    server.check(&update("identifier=http://x|4", &named), expect!["201 Patient/ann/_history/1 v1"]).await;
    server.check(&update("identifier=http://x|4", &named), expect![[r#"
        409
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","details":{"text":"Nothing matches the criteria, but Patient/ann, which has the body's id, exists."}}]}"#]]).await;
    server.check(&update("_id=n1", &named), expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","details":{"text":"The body's id is not that of Patient/n1, which it is to update."},"expression":["Patient.id"]}]}"#]]).await;
    server.check(&update("", ANN), expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required","details":{"text":"A conditional interaction needs at least one search parameter."}}]}"#]]).await;

    server.check("DELETE Patient?identifier=http://x|1", expect![[r#"
        412
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"multiple-matches","details":{"text":"Several Patient resources match the criteria, so none was chosen."}}]}"#]]).await;
    server.check("DELETE Patient?_id=ann\nPrefer: return=OperationOutcome", expect![[r#"
        200 v2
        {"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Patient/ann was deleted as version 2."}}]}"#]]).await;
    server.check("DELETE Patient?_id=ann\nPrefer: return=OperationOutcome", expect![[r#"
        200
        {"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Nothing matched the criteria, so nothing was deleted."}}]}"#]]).await;
    server.check("DELETE Patient", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required","details":{"text":"A conditional interaction needs at least one search parameter."}}]}"#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_conditional_creates_make_one() {
    let server = Arc::new(Server::new().await);
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
    let server = Arc::new(Server::new().await);
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
