//! `Observation/$lastn` over observations of two codes, one of which has a translation.

use serde_json::Value;

use super::server;

fn coded(codes: &[&str]) -> String {
    let codings: Vec<String> =
        codes.iter().map(|code| format!(r#"{{"system":"http://c","code":"{code}"}}"#)).collect();
    format!(r#"{{"coding":[{}]}}"#, codings.join(","))
}

#[tokio::test]
async fn lastn() {
    let server = server().await;
    let text = |text: &str| format!(r#"{{"text":"{text}"}}"#);
    let observations = [
        ("w1", coded(&["weight"]), "2020-01-01", "1"),
        ("w2", coded(&["weight"]), "2020-01-02", "1"),
        ("w3", coded(&["mass", "weight"]), "2020-01-03", "1"),
        ("m4", coded(&["mass"]), "2020-01-04", "1"),
        ("h1", coded(&["height"]), "2020-02-01T10:00:00Z", "1"),
        ("h2", coded(&["height"]), "2020-02-01T12:00:00+02:00", "1"),
        ("t1", text("Text"), "2019", "1"),
        ("t2", text("text"), "2018", "1"),
        ("other", coded(&["weight"]), "2021", "2"),
    ];
    for (id, code, time, patient) in &observations {
        let body = format!(
            r#"{{"resourceType":"Observation","id":"{id}","status":"final","category":[{{"coding":[{{"code":"vital"}}]}}],"code":{code},"subject":{{"reference":"Patient/{patient}"}},"effectiveDateTime":"{time}"}}"#
        );
        server.put(&format!("Observation/{id}"), &body).await;
    }
    let check = async |call: &str, expected: &[&str]| {
        let (found, next) = server.page(call, None).await;
        let expected: Vec<String> = expected.iter().map(|id| format!("Observation/{id}")).collect();
        assert_eq!((found, next), (expected.clone(), None), "{call}");
        let mut paged = Vec::new();
        let mut next = Some(format!("{call}&_count=2"));
        while let Some(call) = next {
            let (found, after) = server.page(&call, None).await;
            assert!(found.len() <= 2);
            paged.extend(found);
            next = after;
        }
        assert_eq!(paged, expected, "{call}");
    };
    // The two heights are of one time.
    check("Observation/$lastn?patient=1&category=vital", &["h1", "h2", "m4", "t1", "t2"]).await;
    check(
        "Observation/$lastn?subject=Patient/1&category=vital&max=3",
        &["h1", "h2", "m4", "w3", "w2", "t1", "t2"],
    )
    .await;
    check("Observation/$lastn?patient=1&code=http://c|weight&max=2", &["w3", "w2"]).await;
    check("Observation/$lastn?patient=1&category=vital&date=lt2020", &["t1", "t2"]).await;
    check("Observation/$lastn?patient=3&category=vital", &[]).await;
    let body = r#"{"resourceType":"Parameters","parameter":[{"name":"patient","valueString":"2"},{"name":"category","valueString":"vital"},{"name":"max","valuePositiveInt":4}]}"#;
    assert_eq!(server.page("Observation/$lastn", Some(body)).await.0, ["Observation/other"]);
    for (call, place, text) in [
        ("?category=vital", "http", "$lastn needs a subject: give patient or subject."),
        (
            "?patient=1",
            "http",
            "$lastn needs a category or a code: give category, code or another parameter of a code.",
        ),
        ("?patient=1&code=x&max=0", "http.max", "max is a number from 1 to 1000."),
        ("?patient=1&code=x&max=1&max=2", "http.max", "max is given twice."),
        ("?patient=1&code=x&_count=0", "http._count", "_count is at least 1."),
        (
            "?patient=1&code=x&_sort=date",
            "http._sort",
            "_sort shapes the result of a search; $lastn has a form of its own.",
        ),
        (
            "?patient=1&code=x&_include=Observation:subject",
            "http._include",
            "_include shapes the result of a search; $lastn has a form of its own.",
        ),
        (
            "?patient=1&code=x&date=soon",
            "http.date",
            "'soon' begins with none of the prefixes eq, ne, gt, lt, ge, le, sa, eb, ap.",
        ),
    ] {
        let (status, body) = server.call(&format!("Observation/$lastn{call}"), None).await;
        let outcome: Value = serde_json::from_str(&body).expect("JSON");
        let at = |path: &str| outcome.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let found = (status, at("/issue/0/expression/0"), at("/issue/0/details/text"));
        assert_eq!(found, (400, place.to_owned(), text.to_owned()), "{call}");
    }
}
