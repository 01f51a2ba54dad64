//! history of a resource, a type, everything.

use expect_test::expect;
use serde_json::Value;

use super::server::Server;

async fn filled() -> Server {
    let server = Server::new().await;
    for request in [
        "POST Patient\n\n{\"resourceType\":\"Patient\"}",
        "PUT Patient/n1\n\n{\"resourceType\":\"Patient\",\"active\":true}",
        "PUT Group/g\n\n{\"resourceType\":\"Group\",\"type\":\"person\",\"actual\":true}",
        "DELETE Patient/n1",
    ] {
        server.send(request).await.expect("it is stored");
    }
    server
}

#[tokio::test]
async fn at_each_level() {
    let server = filled().await;
    server.check("GET Patient/n1/_history", expect![[r#"
        200
        {"resourceType":"Bundle","type":"history","total":3,"link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient/n1/_history?_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Patient/n1","request":{"method":"DELETE","url":"Patient/n1"},"response":{"status":"204 No Content","etag":"W/\"3\"","lastModified":"TIME"}},{"fullUrl":"http://127.0.0.1:8080/fhir/Patient/n1","resource":{"resourceType":"Patient","id":"n1","meta":{"versionId":"2","lastUpdated":"TIME"},"active":true},"request":{"method":"PUT","url":"Patient/n1"},"response":{"status":"200 OK","etag":"W/\"2\"","lastModified":"TIME"}},{"fullUrl":"http://127.0.0.1:8080/fhir/Patient/n1","resource":{"resourceType":"Patient","id":"n1","meta":{"versionId":"1","lastUpdated":"TIME"}},"request":{"method":"POST","url":"Patient"},"response":{"status":"201 Created","etag":"W/\"1\"","lastModified":"TIME"}}]}"#]]).await;
    server.check("GET Group/_history?_summary=text", expect![[r#"
        200
        {"resourceType":"Bundle","type":"history","total":1,"link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Group/_history?_summary=text&_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Group/g","resource":{"resourceType":"Group","id":"g","meta":{"versionId":"1","lastUpdated":"TIME","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]},"type":"person","actual":true},"request":{"method":"PUT","url":"Group/g"},"response":{"status":"201 Created","etag":"W/\"1\"","lastModified":"TIME"}}]}"#]]).await;
    server.check("GET Patient/n1/_history?_summary=count", expect![[r#"
        200
        {"resourceType":"Bundle","type":"history","total":3,"link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient/n1/_history?_summary=count"}]}"#]]).await;
    server.check("GET Patient/n1/_history?_since=2100-01-01T00:00:00Z", expect![[r#"
        200
        {"resourceType":"Bundle","type":"history","total":0,"link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient/n1/_history?_since=2100-01-01T00:00:00Z&_count=20"}]}"#]]).await;
    let all = server.json("GET _history").await;
    assert_eq!(urls(&all), ["DELETE Patient/n1", "PUT Group/g", "PUT Patient/n1", "POST Patient"]);
}

#[tokio::test]
async fn refusals() {
    let server = filled().await;
    server.check("GET Patient/other/_history", expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","details":{"text":"There is no resource Patient/other."}}]}"#]]).await;
    server.check("GET Nonsense/_history", expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"Nonsense is not a resource type of FHIR R4."}}]}"#]]).await;
    server.check("GET _history?_since=yesterday&_count=few&_sort=x", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","details":{"text":"_since is not an instant (TIME)."},"expression":["http._since"]},{"severity":"error","code":"value","details":{"text":"_count is not a whole number."},"expression":["http._count"]},{"severity":"error","code":"not-supported","details":{"text":"_sort is not a parameter of history."},"expression":["http._sort"]}]}"#]]).await;
    server.check("GET _history?_cursor=00", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","details":{"text":"This is not a page link of this search; take links as they stand from the Bundle before."},"expression":["http._cursor"]}]}"#]]).await;
}

#[tokio::test]
async fn pages_follow_each_other() {
    let server = filled().await;
    let mut found = Vec::new();
    let mut next = Some("_history?_count=1".to_owned());
    while let Some(url) = next {
        let page = server.json(&format!("GET {url}")).await;
        found.extend(urls(&page));
        // What comes later is not part of the history that is being read.
        server
            .send("POST Group\n\n{\"resourceType\":\"Group\",\"type\":\"animal\",\"actual\":true}")
            .await
            .expect("stored");
        next = super::search::link(&page, "next");
    }
    assert_eq!(found, ["DELETE Patient/n1", "PUT Group/g", "PUT Patient/n1", "POST Patient"]);
}

#[tokio::test]
async fn since_and_at() {
    let server = filled().await;
    let all = server.json("GET Patient/n1/_history").await;
    let time = all["entry"][1]["response"]["lastModified"].as_str().expect("a time").to_owned();
    let since = server.json(&format!("GET Patient/n1/_history?_since={time}")).await;
    assert!(urls(&since).len() >= 2, "{since}");
    let at = server.json(&format!("GET Patient/n1/_history?_at={time}")).await;
    assert!(urls(&at).contains(&"PUT Patient/n1".to_owned()), "{at}");
    let before = server.json("GET Patient/n1/_history?_at=1999").await;
    assert_eq!(urls(&before), [""; 0]);
}

fn urls(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value| {
        let request = &entry["request"];
        format!("{} {}", request["method"].as_str().unwrap_or("-"), request["url"].as_str().unwrap_or("-"))
    };
    entries.iter().map(text).collect()
}

#[tokio::test]
async fn of_a_server_that_erases() {
    let refused = r#"
        405
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"This server erases nothing: every version stays in the history. Its configuration may change that (irrevocable_erasure)."}}]}"#;
    let server = filled().await;
    for request in ["DELETE Patient/n1/_history", "DELETE Patient/n1/_history/1"] {
        let said = super::server::show(server.send(request).await);
        assert_eq!(
            said.split_whitespace().collect::<String>(),
            refused.split_whitespace().collect::<String>()
        );
    }
    let server = Server::with_limits(|limits| limits.erasure = true).await;
    for active in ["true", "false", "true"] {
        let body = format!("{{\"resourceType\":\"Patient\",\"active\":{active}}}");
        server.send(&format!("PUT Patient/a\n\n{body}")).await.expect("it is stored");
    }
    server.check("DELETE Patient/a/_history/3", expect![[r#"
        409
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","details":{"text":"Version 3 of Patient/a is the current one; DELETE Patient/a deletes it, and keeps it in the history."}}]}"#]]).await;
    for (request, text) in [
        ("DELETE Patient/a/_history/4", "There is no version 4 of Patient/a."),
        ("DELETE Patient/a/_history/0", "There is no version 0 of Patient/a."),
        ("DELETE Patient/a/_history/x", "There is no version x of Patient/a."),
        ("DELETE Patient/none/_history", "There is no resource Patient/none."),
        ("DELETE Nonsense/a/_history", "Nonsense is not a resource type of FHIR R4."),
    ] {
        let said = super::server::show(server.send(request).await);
        assert!(said.starts_with("404") && said.contains(text), "{request}: {said}");
    }
    server.check("DELETE Patient/a/_history/1", expect!["204"]).await;
    server.check("GET Patient/a/_history/1", expect![[r#"
        410
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"deleted","details":{"text":"Version 1 of Patient/a was erased for good."}}]}"#]]).await;
    let history = server.json("GET Patient/a/_history").await;
    assert_eq!((history["total"].as_u64(), urls(&history).len()), (Some(2), 2));
    server.check("DELETE Patient/a/_history\nPrefer: return=OperationOutcome", expect![[r#"
        200
        {"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"1 versions of Patient/a were erased for good."}}]}"#]]).await;
    let history = server.json("GET _history").await;
    assert_eq!(urls(&history), ["PUT Patient/a"]);
    // It goes on as before.
    server.send("DELETE Patient/a").await.expect("it is deleted");
    server.check("DELETE Patient/a/_history", expect!["204"]).await;
    server.check("GET Patient/a/_history/3", expect![[r#"
        410
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"deleted","details":{"text":"Version 3 of Patient/a was erased for good."}}]}"#]]).await;
    assert_eq!(urls(&server.json("GET _history").await), ["DELETE Patient/a"]);
    server.send("PUT Patient/a\n\n{\"resourceType\":\"Patient\"}").await.expect("it is stored");
    assert_eq!(server.json("GET Patient?_summary=count").await["total"], 1);
}
