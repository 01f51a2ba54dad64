//! history of a resource, a type, everything.

use expect_test::expect;
use serde_json::Value;

use crate::server::Server;

async fn filled() -> Server {
    let server = Server::new();
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
    server.check("GET Patient/n1/_history", expect![[r#""#]]).await;
    server.check("GET Group/_history?_summary=text", expect![[r#""#]]).await;
    server.check("GET Patient/n1/_history?_summary=count", expect![[r#""#]]).await;
    server.check("GET Patient/n1/_history?_since=2100-01-01T00:00:00Z", expect![[r#""#]]).await;
    let all = server.json("GET _history").await;
    assert_eq!(urls(&all), ["DELETE Patient/n1", "PUT Group/g", "PUT Patient/n1", "POST Patient"]);
}

#[tokio::test]
async fn refusals() {
    let server = filled().await;
    server.check("GET Patient/other/_history", expect![[r#""#]]).await;
    server.check("GET Nonsense/_history", expect![[r#""#]]).await;
    server.check("GET _history?_since=yesterday&_count=few&_sort=x", expect![[r#""#]]).await;
    server.check("GET _history?_cursor=00", expect![[r#""#]]).await;
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
        next = crate::search::link(&page, "next");
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
