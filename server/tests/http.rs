//! Every route over a socket: what a client sees when all is well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::{Server, directory};

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p1","name":[{"family":"Testperson","given":["Ann"]}],"birthDate":"1980-02-03"}"#;

fn observation(id: &str, value: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},"subject":{{"reference":"Patient/p1"}},"valueQuantity":{{"value":{value},"unit":"/min"}}}}"#
    )
}

fn ids(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| entry["resource"]["id"].as_str().unwrap_or_default().to_owned()).collect()
}

fn link<'b>(bundle: &'b Value, relation: &str) -> Option<&'b str> {
    let links = bundle["link"].as_array()?;
    links.iter().find(|link| link["relation"] == relation)?["url"].as_str()
}

#[test]
fn create_read_update_delete() {
    let data = directory();
    let server = Server::start(data.path());
    let created = server.post("/fhir/Patient", &PATIENT.replace("\"id\":\"p1\",", "")).expect(201);
    let location = created.header("location").to_owned();
    let path = location.strip_prefix(&format!("http://{}", server.address)).unwrap().to_owned();
    let (instance, version) = path.split_once("/_history/").unwrap();
    assert_eq!(version, "1");
    assert_eq!(created.header("content-location"), location);
    assert_eq!(created.header("etag"), "W/\"1\"");
    assert_eq!(created.header("content-type"), "application/fhir+json; charset=utf-8");

    let read = server.get(instance).expect(200);
    assert_eq!(read.body, created.body);
    assert_eq!(read.header("etag"), "W/\"1\"");
    assert!(read.header("last-modified").ends_with(" GMT"));
    assert_eq!(read.header("x-request-id").len(), 16);
    let head = server.send("HEAD", instance, &[], b"").expect(200);
    assert_eq!((head.body.len(), head.header("content-length")), (0, read.header("content-length")));
    for (name, value) in [("if-none-match", "W/\"1\""), ("if-modified-since", read.header("last-modified"))] {
        let same = server.send("GET", instance, &[(name, value)], b"").expect(304);
        assert_eq!((same.body.len(), same.header("etag")), (0, "W/\"1\""));
    }

    let mut changed = read.json();
    changed["active"] = json!(true);
    let updated =
        server.send("PUT", instance, &[("if-match", "W/\"1\"")], changed.to_string().as_bytes()).expect(200);
    assert_eq!((updated.header("etag"), updated.json()["active"].as_bool()), ("W/\"2\"", Some(true)));
    let unchanged = server.put(instance, &changed.to_string()).expect(200);
    assert_eq!(unchanged.header("etag"), "W/\"2\"");
    assert_eq!(server.get(&format!("{instance}/_history/1")).expect(200).body, read.body);
    let history = server.get(&format!("{instance}/_history")).expect(200).json();
    assert_eq!((history["type"].as_str(), history["total"].as_u64()), (Some("history"), Some(2)));

    let minimal = server
        .send(
            "PUT",
            instance,
            &[("prefer", "return=minimal")],
            PATIENT.replace("p1", &instance["/fhir/Patient/".len()..]).as_bytes(),
        )
        .expect(200);
    assert_eq!(minimal.body.len(), 0);
    let deleted = server.send("DELETE", instance, &[], b"").expect(204);
    assert_eq!(deleted.body.len(), 0);
    server.get(instance).expect(410);
    server.send("DELETE", instance, &[], b"").expect(204);
}

#[test]
fn searches_and_pages() {
    let data = directory();
    let server = Server::start(data.path());
    server.put("/fhir/Patient/p1", PATIENT).expect(201);
    for (id, value) in [("o1", "70.0"), ("o2", "71.50"), ("o3", "99")] {
        server.put(&format!("/fhir/Observation/{id}"), &observation(id, value)).expect(201);
    }
    let found = server.get("/fhir/Patient?family=testp&birthdate=ge1980").expect(200).json();
    assert_eq!(ids(&found), ["p1"]);

    let mut address = "/fhir/Observation?patient=p1&_sort=_id&_count=2&_total=accurate".to_owned();
    let mut all = Vec::new();
    loop {
        let page = server.get(&address).expect(200).json();
        assert_eq!(page["total"], 3);
        all.extend(ids(&page));
        let Some(next) = link(&page, "next") else { break };
        address = next.strip_prefix(&format!("http://{}", server.address)).unwrap().to_owned();
    }
    assert_eq!(all, ["o1", "o2", "o3"]);
    assert!(server.get("/fhir/Observation/o2").text().contains("71.50"), "decimals keep their text");

    let form = [("content-type", "application/x-www-form-urlencoded")];
    for path in ["/fhir/Observation/_search", "/fhir/Patient/p1/Observation/_search"] {
        let found = server
            .send("POST", path, &form, b"code=http%3A%2F%2Floinc.org%7C8867-4&_sort=_id")
            .expect(200)
            .json();
        assert_eq!(ids(&found), ["o1", "o2", "o3"], "{path}");
    }
    let found = server.get("/fhir/Patient/p1/Observation?value-quantity=gt80").expect(200).json();
    assert_eq!(ids(&found), ["o3"]);
    let lenient = server.send(
        "GET",
        "/fhir/Patient?colour=red&family=testperson",
        &[("prefer", "handling=lenient")],
        b"",
    );
    let lenient = lenient.expect(200).json();
    assert!(!link(&lenient, "self").unwrap().contains("colour"), "{lenient}");
    let system = server.get("/fhir?_type=Patient&_count=1").expect(200).json();
    assert_eq!(ids(&system), ["p1"]);
    for path in ["/fhir/_history?_count=2", "/fhir/Observation/_history?_count=2"] {
        let history = server.get(path).expect(200).json();
        assert_eq!(history["entry"].as_array().map(Vec::len), Some(2), "{path}");
        assert!(link(&history, "next").is_some());
    }
}

#[test]
fn conditional_writes() {
    let data = directory();
    let server = Server::start(data.path());
    let body = r#"{"resourceType":"Patient","identifier":[{"system":"urn:x","value":"7"}]}"#;
    let condition = [("if-none-exist", "identifier=urn:x|7")];
    let first = server.send("POST", "/fhir/Patient", &condition, body.as_bytes()).expect(201);
    let again = server.send("POST", "/fhir/Patient", &condition, body.as_bytes()).expect(200);
    assert_eq!(first.header("location"), again.header("location"));
    let active = body.replace("\"identifier\"", "\"active\":true,\"identifier\"");
    let updated = server.put("/fhir/Patient?identifier=urn:x%7C7", &active).expect(200);
    assert_eq!(updated.header("etag"), "W/\"2\"");
    server.send("DELETE", "/fhir/Patient?identifier=urn:x%7C7", &[], b"").expect(204);
    assert_eq!(ids(&server.get("/fhir/Patient").json()).len(), 0);
    let made = server.put("/fhir/Patient?identifier=urn:x%7C7", body).expect(201);
    assert_eq!(made.header("etag"), "W/\"1\"");
}

#[test]
fn patches() {
    let data = directory();
    let server = Server::start(data.path());
    server.put("/fhir/Patient/p1", PATIENT).expect(201);
    let json_patch = ("content-type", "application/json-patch+json");
    let patch = |path: &str, headers: &[(&str, &str)], body: &str| {
        server.send("PATCH", path, headers, body.as_bytes())
    };
    let first = r#"[{"op":"replace","path":"/name/0/given/0","value":"Bea"}]"#;
    let answer = patch("/fhir/Patient/p1", &[json_patch, ("if-match", "W/\"1\"")], first).expect(200);
    assert_eq!(answer.header("etag"), "W/\"2\"");
    assert_eq!(answer.header("location"), format!("{}/Patient/p1/_history/2", server.base()));
    assert_eq!(answer.json()["name"][0]["given"], json!(["Bea"]));
    patch("/fhir/Patient/p1", &[json_patch, ("if-match", "W/\"1\"")], first).expect(412);
    let second = r#"{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"add"},{"name":"path","valueString":"Patient"},{"name":"name","valueString":"gender"},{"name":"value","valueCode":"female"}]}]}"#;
    let answer =
        patch("/fhir/Patient?family=testperson", &[("prefer", "return=minimal")], second).expect(200);
    assert_eq!((answer.header("etag"), answer.body.len()), ("W/\"3\"", 0));
    assert_eq!(ids(&server.get("/fhir/Patient?gender=female&given=bea").json()), ["p1"]);
    let again = patch("/fhir/Patient/p1", &[], second).expect(422);
    assert_eq!(
        again.issues(),
        [
            "error structure [Parameters.parameter[0].part[2]]: There is a value of gender already, and at most one: replace it."
        ]
    );
    let some = patch("/fhir/Patient/p1?_elements=birthDate", &[json_patch], "[]").expect(200).json();
    assert_eq!((some["birthDate"].as_str(), some.get("name")), (Some("1980-02-03"), None));
    let options = server.send("OPTIONS", "/fhir/Patient/p1", &[], b"").expect(204);
    assert_eq!(
        options.header("accept-patch"),
        "application/json-patch+json, application/fhir+json, application/fhir+xml"
    );
}

#[test]
fn bundles_and_operations() {
    let data = directory();
    let server = Server::start(data.path());
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": "urn:uuid:0b7f8b3c-6a1b-4c1d-9d2e-000000000001", "request": {"method": "POST", "url": "Patient"},
         "resource": {"resourceType": "Patient", "gender": "female"}},
        {"request": {"method": "PUT", "url": "Condition/c1"},
         "resource": {"resourceType": "Condition", "id": "c1", "meta": {"tag": [{"system": "urn:t", "code": "demo"}]}, "subject": {"reference": "urn:uuid:0b7f8b3c-6a1b-4c1d-9d2e-000000000001"}}}
    ]});
    let answer = server.post("/fhir", &bundle.to_string()).expect(200).json();
    assert_eq!(answer["type"], "transaction-response");
    let location = answer["entry"][0]["response"]["location"].as_str().unwrap();
    let patient =
        server.get("/fhir/Condition/c1").json()["subject"]["reference"].as_str().unwrap().to_owned();
    assert!(location.contains(&patient), "{location} {patient}");
    for path in
        ["/fhir/$meta", "/fhir/Condition/$meta", "/fhir/Condition/c1/$meta", "/fhir/Condition/c1/%24meta"]
    {
        let meta = server.get(path).expect(200).json();
        assert_eq!(meta["parameter"][0]["valueMeta"]["tag"][0]["code"], "demo", "{path}");
    }
    server.post("/fhir/Condition/c1/$meta", r#"{"resourceType":"Parameters"}"#).expect(200);
    server.send("POST", "/fhir/Condition/c1/$meta", &[("content-length", "0")], b"").expect(200);
}

#[test]
fn formats() {
    let data = directory();
    let server = Server::start(data.path());
    server.put("/fhir/Patient/p1", PATIENT).expect(201);
    let path = "/fhir/Patient/p1";
    for (accept, expected) in [
        ("application/fhir+json", "application/fhir+json; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
        ("text/json;q=0.9, application/fhir+xml;q=0.8", "text/json; charset=utf-8"),
        ("text/json;q=0.9, application/fhir+xml", "application/fhir+xml; charset=utf-8"),
        ("application/xml", "application/xml; charset=utf-8"),
        ("*/*", "application/fhir+json; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
    ] {
        let answer = server.send("GET", path, &[("accept", accept)], b"").expect(200);
        assert_eq!(answer.header("content-type"), expected, "{accept}");
    }
    let html = [("accept", "text/html")];
    let page = server.send("GET", path, &html, b"").expect(200);
    assert!(page.text().contains("Testperson") && page.text().starts_with("<!DOCTYPE html>"));
    assert_eq!(page.header("etag"), "", "a page is another representation");
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    let raw = server.send("GET", &format!("{path}?_format=json&_pretty=true"), &html, b"").expect(200);
    assert!(raw.text().starts_with("{\n  \"resourceType\": \"Patient\","), "{}", raw.text());
    assert_eq!(raw.json(), server.get(path).json());
    let some = server.get(&format!("{path}?_elements=birthDate")).expect(200).json();
    assert_eq!((some["birthDate"].as_str(), some.get("name")), (Some("1980-02-03"), None));
    let missing = server.send("GET", "/fhir/Patient/none", &html, b"").expect(404);
    assert!(missing.text().contains("There is no resource Patient/none"), "{}", missing.text());
}

#[test]
fn codings() {
    use std::io::Read as _;

    let data = directory();
    let server = Server::start_with(data.path(), &["--max-body-bytes", "3000000"]);
    let patient = |length: usize| {
        let story = "x".repeat(length);
        format!(
            r#"{{"resourceType":"Patient","id":"p1","text":{{"status":"additional","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">{story}</div>"}}}}"#
        )
    };
    let gzip = |plain: &str| {
        let mut coded = Vec::new();
        flate2::read::GzEncoder::new(plain.as_bytes(), flate2::Compression::fast())
            .read_to_end(&mut coded)
            .unwrap();
        coded
    };
    let ungzip = |coded: &[u8]| {
        let mut plain = String::new();
        flate2::read::GzDecoder::new(coded).read_to_string(&mut plain).unwrap();
        plain
    };
    let unbrotli = |coded: &[u8]| {
        let mut plain = String::new();
        brotli::Decompressor::new(coded, 4096).read_to_string(&mut plain).unwrap();
        plain
    };
    let write = |coding: &str, body: &[u8]| {
        let headers = [("content-type", "application/fhir+json"), ("content-encoding", coding)];
        server.send("PUT", "/fhir/Patient/p1", &headers, body)
    };
    write("gzip", &gzip(&patient(10))).expect(201);
    write("zstd", &zstd::encode_all(patient(2_000_000).as_bytes(), 1).unwrap()).expect(200);
    let bomb = write("gzip", &gzip(&patient(30_000_000))).expect(413).text();
    assert!(bomb.contains("max_body_bytes"), "{bomb}");

    let read = |accepted: &str| {
        server.send("GET", "/fhir/Patient/p1", &[("accept-encoding", accepted)], b"").expect(200)
    };
    let plain = read("identity");
    assert_eq!(plain.header("content-encoding"), "");
    assert!(plain.header("vary").contains("accept-encoding"));
    for coding in ["gzip", "br", "zstd"] {
        let coded = read(coding);
        assert_eq!(coded.header("content-encoding"), coding);
        assert_eq!(coded.header("etag"), plain.header("etag"));
        assert!(coded.body.len() * 100 < plain.body.len(), "{coding}: {}", coded.body.len());
        let decoded = match coding {
            "gzip" => ungzip(&coded.body),
            "br" => unbrotli(&coded.body),
            _ => String::from_utf8(zstd::decode_all(&coded.body[..]).unwrap()).unwrap(),
        };
        assert_eq!(decoded, plain.text(), "{coding}");
    }
    let small = server.send("GET", "/fhir/Patient/none", &[("accept-encoding", "gzip")], b"").expect(404);
    assert_eq!(small.header("content-encoding"), "", "it would not get shorter");
}

#[test]
fn site() {
    let data = directory();
    let server = Server::start_with(data.path(), &["--cors-origins", "https://app.example.org"]);
    server.put("/fhir/Patient/p1", PATIENT).expect(201);
    assert_eq!(server.get("/healthz").expect(200).text(), "ok\n");
    assert_eq!(server.get("/readyz").expect(200).text(), "ready\n");
    let root = server.get("/").expect(200).text();
    assert!(root.contains("<a href=\"/fhir/Patient\">Patient</a><span>1</span>"), "{root}");
    assert!(root.contains(&server.base()));
    for (query, expected) in [
        ("type=Patient&q=Testperson", "/fhir/Patient?name=Testperson"),
        ("type=Patient&q=birthdate%3Dge1980%26name%3Da%20b", "/fhir/Patient?birthdate=ge1980&name=a%20b"),
        ("type=Patient&q=Patient/p1", "/fhir/Patient/p1"),
        ("type=Condition&q=", "/fhir/Condition"),
        ("type=Condition&q=a%0d%0ax:y", "/fhir/Condition?_id=a%0D%0Ax:y"),
    ] {
        assert_eq!(server.get(&format!("/find?{query}")).expect(303).header("location"), expected, "{query}");
    }
    let metrics = server.get("/metrics").expect(200).text();
    assert!(metrics.contains("vesta_requests_total{interaction=\"update\",status=\"2xx\"} 1"), "{metrics}");
    assert!(metrics.contains("vesta_resources{tenant=\"default\",type=\"Patient\"} 1"), "{metrics}");

    let named = server.send("GET", "/fhir/Patient/p1", &[("x-request-id", "abc-1")], b"").expect(200);
    assert_eq!(named.header("x-request-id"), "abc-1");
    let allowed =
        server.send("OPTIONS", "/fhir/Patient", &[("origin", "https://app.example.org")], b"").expect(204);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.org");
    assert_eq!(allowed.header("allow"), "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
    let other =
        server.send("GET", "/fhir/Patient", &[("origin", "https://evil.example.org")], b"").expect(200);
    assert_eq!(other.header("access-control-allow-origin"), "");
}

/// GraphQL at the base and on a resource, by GET and by POST in both forms; a mutation by POST alone.
#[test]
fn view_definition() {
    let data = directory();
    let server = Server::start(data.path());
    server.put("/fhir/Patient/p1", PATIENT).expect(201);
    let view = r#"{"resourceType":"Parameters","parameter":[{"name":"viewResource","resource":{"resourceType":"ViewDefinition","resource":"Patient","select":[{"column":[{"name":"id","path":"id"},{"name":"born","path":"birthDate"}]}]}}]}"#;
    let check = |path: &str, accept: &str, media_type: &str, expected: &str| {
        let headers = [("content-type", "application/fhir+json"), ("accept", accept)];
        let answer = server.send("POST", path, &headers, view.as_bytes()).expect(200);
        assert_eq!(
            (answer.header("content-type"), &*answer.text()),
            (media_type, expected),
            "{path} {accept}"
        );
    };
    let ndjson = ("application/x-ndjson", "{\"id\":\"p1\",\"born\":\"1980-02-03\"}\n");
    let csv = ("text/csv; charset=utf-8", "id,born\r\np1,1980-02-03\r\n");
    let json = ("application/json", "[{\"id\":\"p1\",\"born\":\"1980-02-03\"}]");
    for path in ["/fhir/$viewdefinition-run", "/fhir/ViewDefinition/$run"] {
        check(path, "*/*", ndjson.0, ndjson.1);
        check(path, "application/fhir+json", ndjson.0, ndjson.1);
        check(path, "text/csv, */*;q=0.1", csv.0, csv.1);
        check(&format!("{path}?_format=csv"), "application/json", csv.0, csv.1);
        check(path, "application/json", json.0, json.1);
    }
    let refused = server.get("/fhir/ViewDefinition/$run?_format=csv").expect(400);
    assert_eq!(refused.json()["issue"][0]["expression"][0], "viewResource");
    server.get("/fhir/Patient/$run").expect(404);
    server.get("/fhir/Patient?_format=csv").expect(406);
}

#[test]
fn graphql() {
    let data = directory();
    let server = Server::start(data.path());
    server.put("/fhir/Patient/p1", PATIENT).expect(201);
    server
        .put("/fhir/Observation/o1", r#"{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"c"},"subject":{"reference":"Patient/p1"}}"#)
        .expect(201);
    let post = |path: &str, kind: &str, body: &str, status: u16| {
        let answer = server.send("POST", path, &[("content-type", kind)], body.as_bytes()).expect(status);
        assert_eq!(answer.header("content-type"), "application/json");
        answer.json()
    };
    let read = server.get("/fhir/$graphql?query=%7BPatient(id:%22p1%22)%7Bid%20birthDate%7D%7D").expect(200);
    assert_eq!(read.text(), r#"{"data":{"Patient":{"id":"p1","birthDate":"1980-02-03"}}}"#);
    let listed = post(
        "/fhir/$graphql",
        "application/graphql",
        "{ObservationList(patient: \"p1\"){id subject{resource(type: Patient){birthDate}}}}",
        200,
    );
    assert_eq!(
        listed.to_string(),
        r#"{"data":{"ObservationList":[{"id":"o1","subject":{"resource":{"birthDate":"1980-02-03"}}}]}}"#
    );
    let paged = post(
        "/fhir/$graphql",
        "application/json",
        r#"{"query":"query q($n: Int){PatientConnection(_count: $n){count edges{resource{id}}}}","variables":{"n":1}}"#,
        200,
    );
    assert_eq!(paged["data"]["PatientConnection"]["edges"][0]["resource"]["id"], "p1", "{paged}");
    let back = post(
        "/fhir/Patient/p1/$graphql",
        "application/graphql",
        "{id ObservationList(_reference: subject){id}}",
        200,
    );
    assert_eq!(back["data"]["ObservationList"][0]["id"], "o1", "{back}");

    let wrong = server.get("/fhir/$graphql?query=%7BPatient(id:%22p1%22)%7Bnothing%7D%7D").expect(400).json();
    assert!(wrong["errors"][0]["message"].as_str().unwrap().contains("nothing"), "{wrong}");
    server.get("/fhir/$graphql").expect(400);
    server.get("/fhir/$graphql?query=%7B__schema%7Btypes%7Bname%7D%7D%7D").expect(400);
    server.get("/fhir/Patient/none/$graphql?query=%7Bid%7D").expect(404);
    let mutation = "mutation{PatientDelete(id: \"p1\")}";
    let by_get =
        server.get("/fhir/$graphql?query=mutation%7BObservationDelete(id:%22o1%22)%7D").expect(400).json();
    assert!(by_get["errors"][0]["message"].as_str().unwrap().contains("POST"), "{by_get}");
    server.get("/fhir/Observation/o1").expect(200);
    post("/fhir/$graphql", "application/graphql", mutation, 200);
    server.get("/fhir/Patient/p1").expect(410);
}

/// The page that evaluates FHIRPath: over what is pasted, over what is stored, and what is wrong in its place.
#[test]
fn fhirpath_page() {
    let data = directory();
    let server = Server::start(data.path());
    server.put("/fhir/Patient/p1", PATIENT).expect(201);
    let form = [("content-type", "application/x-www-form-urlencoded"), ("accept", "text/html")];
    let post = |body: &str| server.send("POST", "/fhirpath", &form, body.as_bytes());
    assert!(server.get("/fhirpath").expect(200).text().contains("<form class=\"evaluate\""));
    for (page, expected) in [
        (server.get("/fhirpath?reference=Patient/p1&expression=birthDate.is(date)").expect(200), "<code>System.Boolean</code>"),
        (server.get("/fhirpath?reference=Patient/p1&expression=birthDate").expect(200), "<td><code>date</code></td><td><code>1980-02-03</code>"),
        (post("expression=trace('a').id&resource={\"resourceType\":\"Basic\",\"id\":\"<b>\"}"), "line 1"),
        (post("expression=code.text.trace('%C3%A4')&resource={\"resourceType\":\"Basic\",\"code\":{\"text\":\"<b>\"}}").expect(200), "<td>ä</td><td><code>string</code></td><td><code>&lt;b&gt;</code>"),
        (post("expression=nme&reference=Patient/p1").expect(422), "nme"),
        (post("expression=name").expect(422), "Paste a resource"),
        (server.get("/fhirpath?reference=Patient/none").expect(404), "Patient/none"),
        (server.get("/fhirpath?reference=x").expect(400), "Type/id"),
        (server.get("/fhirpath?wrong=x").expect(400), "wrong"),
    ] {
        assert!(page.text().contains(expected), "{expected}: {}", page.text());
    }
}

/// The CapabilityStatement names the interactions of the routing table, no more and no fewer.
#[test]
fn the_capability_statement_is_the_routing_table() {
    use std::collections::BTreeSet;
    use vesta::http::route::{Interaction, ROUTES};
    let data = directory();
    let server = Server::start(data.path());
    let statement = server.get("/fhir/metadata").expect(200).json();
    let rest = &statement["rest"][0];
    let codes = |value: &Value| -> BTreeSet<String> {
        let all = value["interaction"].as_array().cloned().unwrap_or_default();
        all.iter().map(|interaction| interaction["code"].as_str().unwrap().to_owned()).collect()
    };
    let routed = |names: &[Interaction]| -> BTreeSet<String> {
        let routes = ROUTES.iter().filter(|route| names.contains(&route.interaction));
        routes.map(|route| route.interaction.name().to_owned()).collect()
    };
    use Interaction::{
        Bundle, ConditionalDelete, ConditionalUpdate, Create, Delete, HistoryInstance, HistorySystem,
        HistoryType, Patch, Read, SearchSystem, SearchType, Update, Vread,
    };
    let of_type =
        routed(&[Read, Vread, Update, Patch, Delete, Create, HistoryInstance, HistoryType, SearchType]);
    let resources = rest["resource"].as_array().unwrap();
    assert!(resources.len() > 140);
    assert_eq!(
        statement["patchFormat"],
        json!(["application/json-patch+json", "application/fhir+json", "application/fhir+xml"])
    );
    let has = |interaction: Interaction| ROUTES.iter().any(|route| route.interaction == interaction);
    for resource in resources {
        assert_eq!(codes(resource), of_type, "{}", resource["type"]);
        assert_eq!(resource["conditionalUpdate"], has(ConditionalUpdate));
        assert_eq!(resource["conditionalDelete"] != "not-supported", has(ConditionalDelete));
    }
    let mut of_system = routed(&[HistorySystem, SearchSystem, Bundle]);
    of_system.insert("batch".to_owned());
    assert_eq!(codes(rest), of_system);
    let names = |of: &Value| -> BTreeSet<String> {
        let operations = of["operation"].as_array().into_iter().flatten();
        operations.map(|operation| operation["name"].as_str().unwrap().to_owned()).collect()
    };
    let registered = |is_listed: &dyn Fn(&interaction::OperationDescriptor) -> bool| -> BTreeSet<String> {
        let jobs = vesta::export::DESCRIPTORS.into_iter().chain([vesta::bulk_import::DESCRIPTOR]);
        let all = operations::descriptors(false).into_iter().chain(jobs);
        let all = all.filter(|descriptor| is_listed(descriptor));
        all.map(|descriptor| descriptor.name.to_owned()).collect()
    };
    assert_eq!(names(rest), registered(&|operation| operation.system));
    for resource in resources {
        let name = resource["type"].as_str().unwrap();
        let expected = registered(&|operation| {
            let types = operation.resource_types;
            (operation.type_level || operation.instance) && (types.is_empty() || types.contains(&name))
        });
        assert_eq!(names(resource), expected, "{name}");
    }
}

/// What destroys is offered only where the configuration says so.
#[test]
fn erasing_is_off_and_can_be_switched_on() {
    let data = directory();
    let asked = ["/fhir/Patient/p1/_history", "/fhir/Patient/p1/_history/1"];
    let names = |statement: &Value| -> Vec<String> {
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        let patient = resources.iter().find(|it| it["type"] == "Patient").unwrap();
        let operations = patient["operation"].as_array().unwrap().iter();
        operations.map(|operation| operation["name"].as_str().unwrap().to_owned()).collect()
    };
    let server = Server::start(data.path());
    server.put("/fhir/Patient/p1", PATIENT).expect(201);
    server.put("/fhir/Patient/p1", &PATIENT.replace("1980", "1981")).expect(200);
    for path in asked {
        let refused = server.send("DELETE", path, &[], b"").expect(405);
        assert!(refused.text().contains("irrevocable_erasure"), "{}", refused.text());
    }
    let refused = server.post("/fhir/Patient/p1/$purge", "").expect(405);
    assert!(refused.text().contains("irrevocable_erasure"), "{}", refused.text());
    let statement = server.get("/fhir/metadata").expect(200).json();
    assert!(!names(&statement).contains(&"purge".to_owned()));
    assert!(!statement["rest"][0]["documentation"].as_str().unwrap().contains("erased"));
    server.stop();

    let server = Server::start_with(data.path(), &["--irrevocable-erasure"]);
    let statement = server.get("/fhir/metadata").expect(200).json();
    assert!(names(&statement).contains(&"purge".to_owned()));
    assert!(statement["rest"][0]["documentation"].as_str().unwrap().contains("erased"));
    server.send("DELETE", asked[1], &[], b"").expect(204);
    server.get(asked[1]).expect(410);
    let unknown = server.send("DELETE", &format!("{}?_count=1", asked[0]), &[], b"").expect(400);
    assert!(unknown.text().contains("_count"), "{}", unknown.text());
    let outcome = server.post("/fhir/Patient/p1/$purge", "").expect(200).json();
    assert_eq!(outcome["resourceType"], "OperationOutcome");
    server.get("/fhir/Patient/p1").expect(410);
    server.kill();

    // It is as durable as any write.
    let server = Server::start_with(data.path(), &["--irrevocable-erasure"]);
    let history = server.get("/fhir/_history").expect(200).json();
    assert_eq!((history["total"].as_u64(), history["entry"].as_array().unwrap().len()), (Some(1), 1));
    assert_eq!(history["entry"][0]["request"]["method"], "DELETE");
}
