//! search: pages, links, includes, summaries, refusals. What parameters mean is tested in the crate `search`.

use expect_test::expect;
use serde_json::Value;

use super::server::{BASE, Server};

/// The url of a link, below the base.
pub fn link(bundle: &Value, relation: &str) -> Option<String> {
    let links = bundle["link"].as_array()?;
    let url = links.iter().find(|link| link["relation"] == relation)?["url"].as_str()?;
    Some(url.strip_prefix(BASE).expect("links are below the base").trim_start_matches('/').to_owned())
}

fn ids(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| entry["resource"]["id"].as_str().unwrap_or("-").to_owned()).collect()
}

async fn filled() -> Server {
    let server = Server::new().await;
    let patient = |id: &str, name: &str| {
        format!(r#"PUT Patient/{id}\n\n{{"resourceType":"Patient","text":{{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"}},"name":[{{"family":"{name}"}}],"generalPractitioner":[{{"reference":"Practitioner/d"}}]}}"#).replace("\\n", "\n")
    };
    server.send("PUT Practitioner/d\n\n{\"resourceType\":\"Practitioner\"}").await.expect("stored");
    for (id, name) in [("a", "Adams"), ("b", "Brown"), ("c", "Clark")] {
        server.send(&patient(id, name)).await.expect("stored");
        let observation = format!(
            "PUT Observation/o{id}\n\n{{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{{\"text\":\"x\"}},\"subject\":{{\"reference\":\"Patient/{id}\"}}}}"
        );
        server.send(&observation).await.expect("stored");
    }
    server
}

#[tokio::test]
async fn bundles() {
    let server = filled().await;
    server.check("GET Patient?family=adams&_total=accurate", expect![[r#"
        200
        {"resourceType":"Bundle","type":"searchset","total":1,"link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient?family=adams&_total=accurate&_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Patient/a","resource":{"resourceType":"Patient","id":"a","meta":{"versionId":"1","lastUpdated":"TIME"},"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},"name":[{"family":"Adams"}],"generalPractitioner":[{"reference":"Practitioner/d"}]},"search":{"mode":"match"}}]}"#]]).await;
    server.check("GET Patient?family=nobody", expect![[r#"
        200
        {"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient?family=nobody&_count=20"}]}"#]]).await;
    server.check("GET Patient?_summary=count", expect![[r#"
        200
        {"resourceType":"Bundle","type":"searchset","total":3,"link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient?_summary=count"}]}"#]]).await;
    server.check("GET Patient?_count=0", expect![[r#"
        200
        {"resourceType":"Bundle","type":"searchset","total":3,"link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient?_count=0"}]}"#]]).await;
    server.check("GET Patient?family=adams&_summary=text", expect![[r#"
        200
        {"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient?family=adams&_summary=text&_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Patient/a","resource":{"resourceType":"Patient","id":"a","meta":{"versionId":"1","lastUpdated":"TIME","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]},"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"}},"search":{"mode":"match"}}]}"#]]).await;
    server.check("GET Patient?family=adams&_elements=name", expect![[r#"
        200
        {"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient?family=adams&_elements=name&_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Patient/a","resource":{"resourceType":"Patient","id":"a","meta":{"versionId":"1","lastUpdated":"TIME","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]},"name":[{"family":"Adams"}]},"search":{"mode":"match"}}]}"#]]).await;
    server
        .check(
            "GET Patient?family=adams&_include=Patient:general-practitioner&_revinclude=Observation:subject",
            expect![[r#"
                200
                {"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient?family=adams&_include=Patient:general-practitioner&_revinclude=Observation:subject&_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Patient/a","resource":{"resourceType":"Patient","id":"a","meta":{"versionId":"1","lastUpdated":"TIME"},"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},"name":[{"family":"Adams"}],"generalPractitioner":[{"reference":"Practitioner/d"}]},"search":{"mode":"match"}},{"fullUrl":"http://127.0.0.1:8080/fhir/Practitioner/d","resource":{"resourceType":"Practitioner","id":"d","meta":{"versionId":"1","lastUpdated":"TIME"}},"search":{"mode":"include"}},{"fullUrl":"http://127.0.0.1:8080/fhir/Observation/oa","resource":{"resourceType":"Observation","id":"oa","meta":{"versionId":"1","lastUpdated":"TIME"},"status":"final","code":{"text":"x"},"subject":{"reference":"Patient/a"}},"search":{"mode":"include"}}]}"#]],
        )
        .await;
    server.check("GET Patient/a/Observation", expect![[r#"
        200
        {"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient/a/Observation?_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Observation/oa","resource":{"resourceType":"Observation","id":"oa","meta":{"versionId":"1","lastUpdated":"TIME"},"status":"final","code":{"text":"x"},"subject":{"reference":"Patient/a"}},"search":{"mode":"match"}}]}"#]]).await;
    server.check("GET Patient?family=adams&shoe=4\nHandling: lenient", expect![[r#"
        200
        {"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient?family=adams&_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Patient/a","resource":{"resourceType":"Patient","id":"a","meta":{"versionId":"1","lastUpdated":"TIME"},"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},"name":[{"family":"Adams"}],"generalPractitioner":[{"reference":"Practitioner/d"}]},"search":{"mode":"match"}},{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"invalid","details":{"text":"Patient has no search parameter 'shoe'. Did you mean phone?"},"expression":["http.shoe"]}]},"search":{"mode":"outcome"}}]}"#]]).await;
    let everything = server.json("GET ?_total=accurate").await;
    assert_eq!(everything["total"], 7);
}

#[tokio::test]
async fn refusals() {
    let server = filled().await;
    server.check("GET Nonsense?x=y", expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"Nonsense is not a resource type of FHIR R4."}}]}"#]]).await;
    server.check("GET Patient?shoe=4&birthdate=soon", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","details":{"text":"Patient has no search parameter 'shoe'. Did you mean phone?"},"expression":["http.shoe"]},{"severity":"error","code":"value","details":{"text":"'soon' begins with none of the prefixes eq, ne, gt, lt, ge, le, sa, eb, ap."},"expression":["http.birthdate"]}]}"#]]).await;
    server.check("GET Organization/1/Observation", expect![[r#"
        404
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"There is no Organization compartment."}}]}"#]]).await;
    server.check("GET Patient?_cursor=0123", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","details":{"text":"This is not a page link of this search; take links as they stand from the Bundle before."},"expression":["http._cursor"]}]}"#]]).await;
    server.check("GET Patient/a?_elements=", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","details":{"text":"_elements names at least one element."},"expression":["http._elements"]}]}"#]]).await;
}

#[tokio::test]
async fn pages_stay_right_while_data_changes() {
    let server = filled().await;
    let first = server.json("GET Patient?_sort=family&_count=1").await;
    assert_eq!(
        (ids(&first), link(&first, "self")),
        (vec!["a".to_owned()], Some("Patient?_sort=family&_count=1".to_owned()))
    );
    server
        .send("PUT Patient/0\n\n{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"Aaron\"}]}")
        .await
        .expect("stored");
    server.send("DELETE Patient/a").await.expect("deleted");
    let second = server.json(&format!("GET {}", link(&first, "next").expect("a next page"))).await;
    assert_eq!(ids(&second), ["b"]);
    assert_eq!(link(&second, "first"), Some("Patient?_sort=family&_count=1".to_owned()));
    let third = server.json(&format!("GET {}", link(&second, "next").expect("a next page"))).await;
    assert_eq!((ids(&third), link(&third, "next")), (vec!["c".to_owned()], None));
}

#[tokio::test]
async fn cursors_belong_to_their_search() {
    let server = filled().await;
    let first = server.json("GET Patient?_sort=family&_count=1").await;
    let next = link(&first, "next").expect("a next page");
    let cursor = next.split("_cursor=").nth(1).expect("a cursor");
    let mut bytes = cursor.as_bytes().to_vec();
    let last = bytes.last_mut().expect("a digit");
    *last = if *last == b'0' { b'1' } else { b'0' };
    let changed = String::from_utf8(bytes).expect("ASCII");
    for request in [
        format!("GET Patient?_sort=family&_count=1&_cursor={changed}"),
        format!("GET Patient?_sort=-family&_count=1&_cursor={cursor}"),
        format!("GET Observation?_sort=family&_count=1&_cursor={cursor}"),
        format!("GET Patient?_sort=family&gender=male&_cursor={cursor}"),
    ] {
        let failure = server.send(&request).await.expect_err("it is refused");
        assert_eq!(failure.status.code(), 400, "{request}");
    }
    let other = Server::new().await;
    assert!(other.send(&format!("GET {next}")).await.is_err(), "another server's secret is another");
    let wider = server.json(&format!("GET Patient?_sort=family&_count=9&_cursor={cursor}")).await;
    assert_eq!(ids(&wider), ["b", "c"]);
}

#[tokio::test]
async fn includes_beyond_the_limit_are_told() {
    let server = Server::with_limits(|limits| limits.includes = 2).await;
    server.send("PUT Patient/a\n\n{\"resourceType\":\"Patient\"}").await.expect("stored");
    for number in 0..3 {
        let observation = format!(
            "PUT Observation/o{number}\n\n{{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{{\"text\":\"x\"}},\"subject\":{{\"reference\":\"Patient/a\"}}}}"
        );
        server.send(&observation).await.expect("stored");
    }
    server.check("GET Patient?_revinclude=Observation:subject&_elements=id", expect![[r#"
        200
        {"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient?_revinclude=Observation:subject&_elements=id&_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Patient/a","resource":{"resourceType":"Patient","id":"a","meta":{"versionId":"1","lastUpdated":"TIME","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]}},"search":{"mode":"match"}},{"fullUrl":"http://127.0.0.1:8080/fhir/Observation/o0","resource":{"resourceType":"Observation","id":"o0","meta":{"versionId":"1","lastUpdated":"TIME","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]},"status":"final","code":{"text":"x"}},"search":{"mode":"include"}},{"fullUrl":"http://127.0.0.1:8080/fhir/Observation/o1","resource":{"resourceType":"Observation","id":"o1","meta":{"versionId":"1","lastUpdated":"TIME","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]},"status":"final","code":{"text":"x"}},"search":{"mode":"include"}},{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"too-costly","details":{"text":"More than 2 resources would be included; the rest is left out. Ask for smaller pages with _count."}}]},"search":{"mode":"outcome"}}]}"#]]).await;
}

async fn organization(server: &Server, id: &str, part_of: &str) {
    let text = format!(
        "PUT Organization/{id}\n\n{{\"resourceType\":\"Organization\",\"name\":\"x\",\"partOf\":{{\"reference\":\"Organization/{part_of}\"}}}}"
    );
    server.send(&text).await.expect("stored");
}

#[tokio::test]
async fn includes_follow_what_they_included() {
    let server = Server::new().await;
    for (id, part_of) in [("a", "b"), ("b", "c"), ("c", "a"), ("d", "d")] {
        organization(&server, id, part_of).await;
    }
    let patient = "PUT Patient/p\n\n{\"resourceType\":\"Patient\",\"managingOrganization\":{\"reference\":\"Organization/a\"}}";
    server.send(patient).await.expect("stored");
    for (query, expected) in [
        ("Patient?_include=Patient:organization", vec!["p", "a"]),
        ("Patient?_include=*", vec!["p", "a"]),
        ("Patient?_include=Patient:organization&_include=Organization:partof", vec!["p", "a"]),
        (
            "Patient?_include=Patient:organization&_include:iterate=Organization:partof",
            vec!["p", "a", "b", "c"],
        ),
        ("Patient?_include:iterate=*", vec!["p", "a", "b", "c"]),
        ("Organization?_id=a&_include=Organization:partof:Organization", vec!["a", "b"]),
        ("Organization?_id=d&_include:iterate=Organization:partof", vec!["d"]),
        ("Organization?_id=a&_revinclude:iterate=Organization:partof", vec!["a", "c", "b"]),
        ("Organization?_id=a&_revinclude=*", vec!["a", "c", "p"]),
    ] {
        assert_eq!(ids(&server.json(&format!("GET {query}")).await), expected, "{query}");
    }
}

#[tokio::test]
async fn rounds_of_includes_beyond_the_limit_are_told() {
    let server = Server::new().await;
    for number in 0..20 {
        organization(&server, &format!("{number}"), &format!("{}", number + 1)).await;
    }
    let found = server.json("GET Organization?_id=0&_include:iterate=Organization:partof").await;
    let mut expected: Vec<String> = (0..=16).map(|number| number.to_string()).collect();
    expected.push("-".to_owned());
    assert_eq!(ids(&found), expected);
    let said = &found["entry"][17]["resource"]["issue"][0];
    assert_eq!((said["severity"].as_str(), said["code"].as_str()), (Some("warning"), Some("too-costly")));
    let text = "References were followed 16 times; what :iterate would find beyond is left out.";
    assert_eq!(said["details"]["text"], text);
}

/// A stored value set is asked for its codes as it is at that moment.
#[tokio::test]
async fn stored_value_sets_are_searched_by() {
    const CATEGORIES: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
    let server = Server::new().await;
    let stored = |codes: &str| {
        format!(
            "PUT ValueSet/v\n\n{{\"resourceType\":\"ValueSet\",\"url\":\"http://a/v\",\"status\":\"active\",\"compose\":{{\"include\":[{{\"system\":\"{CATEGORIES}\",\"concept\":[{codes}]}}]}}}}"
        )
    };
    for code in ["laboratory", "vital-signs"] {
        let text = format!(
            "PUT Observation/{code}\n\n{{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{{\"text\":\"x\"}},\"category\":[{{\"coding\":[{{\"system\":\"{CATEGORIES}\",\"code\":\"{code}\"}}]}}]}}"
        );
        server.send(&text).await.expect("stored");
    }
    assert!(server.send("GET Observation?category:in=http://a/v").await.is_err());
    for (codes, found, others) in [
        ("{\"code\":\"laboratory\"}", vec!["laboratory"], vec!["vital-signs"]),
        ("{\"code\":\"laboratory\"},{\"code\":\"vital-signs\"}", vec!["laboratory", "vital-signs"], vec![]),
    ] {
        server.send(&stored(codes)).await.expect("stored");
        assert_eq!(ids(&server.json("GET Observation?category:in=http://a/v").await), found, "{codes}");
        assert_eq!(ids(&server.json("GET Observation?category:not-in=http://a/v").await), others, "{codes}");
        assert_eq!(
            ids(&server.json("GET Observation?_filter=category in http://a/v").await),
            found,
            "{codes}"
        );
    }
}

#[tokio::test]
async fn explained() {
    let server = filled().await;
    // The steps are the engine's own.
    let steps = match crate::ENGINE {
        engines::Engine::Embedded => expect![[r#"
        200
        {"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient?family=adams&_explain=true&_summary=true&_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Patient/a","resource":{"resourceType":"Patient","id":"a","meta":{"versionId":"1","lastUpdated":"TIME","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]},"name":[{"family":"Adams"}]},"search":{"mode":"match"}},{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"0.00 RU, items: 1; index of Patient: of 1 resources, 1 index entries were read (estimated: 1 of ranges and chains, most of Patient.family); matches in the order of their creation, bodies of the page only"}},{"severity":"information","code":"informational","details":{"text":"0.00 RU in all, steps: 1"}}]},"search":{"mode":"outcome"}}]}"#]],
        engines::Engine::Cosmos => expect![[r#"
        200
        {"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Patient?family=adams&_explain=true&_summary=true&_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Patient/a","resource":{"resourceType":"Patient","id":"a","meta":{"versionId":"1","lastUpdated":"TIME","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]},"name":[{"family":"Adams"}]},"search":{"mode":"match"}},{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"1.00 RU, items: 1; SELECT TOP 24 * FROM c WHERE c.l = 1 AND ARRAY_CONTAINS(c.x, @p0) ORDER BY c.b ASC [@p0 = \"^ada\"]"}},{"severity":"information","code":"informational","details":{"text":"1.00 RU in all, steps: 1"}}]},"search":{"mode":"outcome"}}]}"#]],
    };
    server.check("GET Patient?family=adams&_explain=true&_summary=true", steps).await;
    server.check("GET Patient?_explain=yes", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","details":{"text":"_explain takes true or false."},"expression":["http._explain"]}]}"#]]).await;
    server.check("DELETE Patient?family=adams&_explain=true", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"_explain shapes a result page; criteria of a conditional interaction cannot have it."},"expression":["http._explain"]}]}"#]]).await;
    server.check("GET Patient/_history?_explain=true", expect![[r#"
        400
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","details":{"text":"_explain is not a parameter of history."},"expression":["http._explain"]}]}"#]]).await;
    let first = server.json("GET Patient?_count=2&_explain=true").await;
    let next = link(&first, "next").expect("a further page");
    assert!(next.contains("_explain=true"), "{next}");
    let second = server.json(&format!("GET {next}")).await;
    assert_eq!(second["entry"].as_array().expect("entries").len(), 2, "a match and an outcome");
}

const REQUEST: &str = r##"{"resourceType":"MedicationRequest","id":"ID","contained":[{"resourceType":"Medication","id":"m1","code":{"coding":[{"system":"http://x","code":"CODE"}]},"status":"active"},{"resourceType":"Medication","id":"m2","code":{"coding":[{"system":"http://x","code":"other"}]},"status":"inactive"},{"resourceType":"Patient","id":"p1","name":[{"family":"Inside"}]}],"status":"active","intent":"order","medicationReference":{"reference":"#m1"},"supportingInformation":[{"reference":"#m2"}],"subject":{"reference":"#p1"}}"##;

async fn with_contained() -> Server {
    let server = Server::new().await;
    for (id, code) in [("r1", "a"), ("r2", "b")] {
        let body = REQUEST.replace("ID", id).replace("CODE", code);
        server.send(&format!("PUT MedicationRequest/{id}\n\n{body}")).await.expect("it is stored");
    }
    let alone =
        r#"{"resourceType":"Medication","id":"alone","code":{"coding":[{"system":"http://x","code":"a"}]}}"#;
    server.send(&format!("PUT Medication/alone\n\n{alone}")).await.expect("it is stored");
    server
}

#[tokio::test]
async fn contained() {
    let server = with_contained().await;
    let found = async |query: &str| -> Vec<String> {
        let bundle = server.json(&format!("GET {query}")).await;
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        let url = |entry: &Value| {
            let url = entry["fullUrl"].as_str().expect("a URL");
            assert_eq!(entry["search"]["mode"], "match");
            format!(
                "{} {}",
                url.rsplit_once("/fhir/").expect("below the base").1,
                entry["resource"]["resourceType"].as_str().expect("a type")
            )
        };
        entries.iter().map(url).collect()
    };
    let alone = "Medication/alone Medication";
    let container = |id: &str| format!("MedicationRequest/{id} MedicationRequest");
    let (r1, r2) = (container("r1"), container("r2"));
    let (first, second) = ("MedicationRequest/r1#m1 Medication", "MedicationRequest/r2#m1 Medication");
    for (query, expected) in [
        ("Medication?code=a", vec![alone]),
        ("Medication?code=a&_contained=false&_containedType=contained", vec![alone]),
        ("Medication?code=a&_contained=true", vec![&*r1]),
        ("Medication?code=a&_contained=true&_containedType=contained", vec![first]),
        ("Medication?code=a&_contained=both", vec![&*r1, alone]),
        ("Medication?code=a&_contained=both&_containedType=contained", vec![first, alone]),
        ("Medication?code=other&_contained=true", vec![&*r1, &*r2]),
        // One contained resource is to fulfil all of it.
        ("Medication?code=a&status=inactive&_contained=true", vec![]),
        ("Medication?code=other&status=inactive&_id=m2&_contained=true", vec![&*r1, &*r2]),
        ("Medication?code=other&_id=m1&_contained=true", vec![]),
        ("Medication?code:not=other&_contained=true&_containedType=contained", vec![first, second]),
        ("Medication?code=http://x|b&_contained=true&_sort=-_id", vec![&*r2]),
        ("Medication?_contained=true&_sort=-_id", vec![&*r2, &*r1]),
        ("Patient?family=inside&_contained=true&_count=1", vec![&*r1]),
        ("Patient?family=inside", vec![]),
        ("Patient?name=outside&_contained=true", vec![]),
        ("MedicationRequest?code=a", vec![]),
        ("Organization?_contained=true", vec![]),
    ] {
        assert_eq!(found(query).await, expected, "{query}");
    }
    let counted = server.json("GET Medication?code=other&_contained=true&_summary=count").await;
    assert_eq!(counted["total"], 2);
    let counted = server.json("GET Medication?code=a,b&_contained=true&_count=1&_total=accurate").await;
    assert_eq!((counted["total"].as_u64(), counted["entry"].as_array().map(Vec::len)), (Some(2), Some(1)));
    let next = counted["link"].as_array().expect("links").iter().find(|link| link["relation"] == "next");
    let next =
        next.expect("a next page")["url"].as_str().expect("a URL").rsplit_once("/fhir/").expect("ours").1;
    assert_eq!(found(next).await, [&*r2]);
    server.check("GET Medication?code=b&_contained=true&_containedType=contained&_elements=code", expect![[r#"
        200
        {"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"http://127.0.0.1:8080/fhir/Medication?code=b&_contained=true&_containedType=contained&_elements=code&_count=20"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/MedicationRequest/r2#m1","resource":{"resourceType":"Medication","id":"m1","meta":{"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]},"code":{"coding":[{"system":"http://x","code":"b"}]},"status":"active"},"search":{"mode":"match"}}]}"#]]).await;
    // What contained it no longer does not find it.
    let without = r#"{"resourceType":"MedicationRequest","id":"r1","status":"active","intent":"order","medicationReference":{"reference":"Medication/alone"},"subject":{"display":"x"}}"#;
    server.send(&format!("PUT MedicationRequest/r1\n\n{without}")).await.expect("it is stored");
    server.send("DELETE MedicationRequest/r2").await.expect("it is deleted");
    assert_eq!(found("Medication?_contained=both").await, [alone]);
}

/// What is contained is found by those who may see what contains it, and search its type.
#[tokio::test]
async fn contained_in_what_may_be_seen() {
    use store::{Access, Filter, Rules};
    let mut server = with_contained().await;
    let types = |names: &[&str], requests: Filter| {
        let rule = |name: &&str| match *name {
            "MedicationRequest" => ((*name).into(), Rules::all(requests.clone())),
            _ => ((*name).into(), Rules::all(Filter::All)),
        };
        Access::granted(names.iter().map(rule).collect::<Vec<_>>())
    };
    let only_r2 = Filter::Ids(vec!["r2".into()]);
    let both = ["Medication", "MedicationRequest"];
    for (access, expected) in [
        (types(&both, Filter::All), vec!["r1", "r2"]),
        (types(&both, only_r2.clone()), vec!["r2"]),
        (types(&both, Filter::None), vec![]),
        (types(&["Medication"], Filter::All), vec![]),
    ] {
        server.caller.access = access;
        for query in
            ["_contained=true", "_contained=true&_containedType=contained", "_contained=true&_sort=_id"]
        {
            let bundle = server.json(&format!("GET Medication?code=other&{query}")).await;
            let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
            let urls: Vec<&str> =
                entries.iter().map(|entry| entry["fullUrl"].as_str().expect("a URL")).collect();
            let ids: Vec<String> = expected.iter().map(|id| format!("MedicationRequest/{id}")).collect();
            assert_eq!(urls.len(), ids.len(), "{query} {urls:?}");
            assert!(urls.iter().zip(&ids).all(|(url, id)| url.contains(id.as_str())), "{query} {urls:?}");
        }
    }
    server.caller.access = types(&["MedicationRequest"], Filter::All);
    server.check("GET Medication?code=other&_contained=true", expect![[r#"
        403
        {"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"forbidden","details":{"text":"This access does not permit to search Medication resources."}}]}"#]]).await;
}
