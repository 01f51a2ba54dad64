//! `$reindex`, and what `$graphql` answers meanwhile.

use expect_test::expect;
use serde_json::json;

use super::{Server, server};

const REPORT: &str = "$reindex";

fn parameter(id: &str, code: &str) -> String {
    let resource = json!({
        "resourceType": "SearchParameter", "id": id, "url": format!("http://x/{id}"), "name": "X", "status": "active",
        "description": "x", "code": code, "base": ["Patient"], "type": "token", "expression": "Patient.maritalStatus"
    });
    resource.to_string()
}

/// The same server, with the parameters that are stored.
async fn with_own(mut server: Server) -> Server {
    let tenant = &server.caller.tenant;
    server.service = server.service.with_own_parameters(tenant).await.expect("it is read").into_owned();
    server
}

#[tokio::test]
async fn it_tells_how_far_the_index_is() {
    let server = server().await;
    server
        .check(
            REPORT,
            None,
            expect![[
                r#"200 {"resourceType":"Parameters","parameter":[{"name":"status","valueCode":"completed"}]}"#
            ]],
        )
        .await;
    server.check("SearchParameter/$reindex?x=y", None, expect![[r#"400 {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"The operation $reindex has no parameter x."},"expression":["http.x"]}]}"#]]).await;
    server
        .put("Patient/p", r#"{"resourceType":"Patient","id":"p","maritalStatus":{"coding":[{"code":"M"}]}}"#)
        .await;
    server.put("SearchParameter/own", &parameter("own", "own")).await;
    if !server.service.store.is_metered() {
        server.check(REPORT, None, expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"status","valueCode":"running"},{"name":"progress","valueDecimal":0},{"name":"resourcesDone","valueDecimal":0},{"name":"resourcesTotal","valueDecimal":2},{"name":"searchParameter","part":[{"name":"resource","valueReference":{"reference":"SearchParameter/own"}},{"name":"url","valueUri":"http://x/own"},{"name":"status","valueCode":"indexing"},{"name":"name","valueString":"Patient.own"}]}]}"#]]).await;
        // The store is to blame, not the query.
        let meanwhile = with_own(server).await;
        let query = r#"{"query":"{PatientList(own:\"M\"){id}}"}"#;
        let (status, _, text) = meanwhile.other("$graphql", Some(query)).await;
        assert_eq!(status, 503, "{text}");
        assert!(
            text.contains("The search parameter Patient.own is new; the index has 0 of 2 resources by it."),
            "{text}"
        );
        let tenant = meanwhile.caller.tenant.clone();
        while meanwhile.service.index_own_parameters(&tenant).await.expect("a step") {}
        let (status, _, text) = meanwhile.other("$graphql", Some(query)).await;
        assert_eq!((status, text.as_str()), (200, r#"{"data":{"PatientList":[{"id":"p"}]}}"#));
        meanwhile.check(REPORT, Some(r#"{"resourceType":"Parameters"}"#), expect![[r#"200 {"resourceType":"Parameters","parameter":[{"name":"status","valueCode":"completed"},{"name":"searchParameter","part":[{"name":"resource","valueReference":{"reference":"SearchParameter/own"}},{"name":"url","valueUri":"http://x/own"},{"name":"status","valueCode":"active"},{"name":"name","valueString":"Patient.own"}]}]}"#]]).await;
    }
}
