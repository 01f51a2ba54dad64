//! FHIR XML over a socket: what is sent and what is answered, beside the same in JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use conformance::Definitions;
use fhirpath::{Limits, Tree};
use serde_json::{Value, json};
use support::{Answer, Server, directory};

const FHIR_XML: &str = "application/fhir+xml; charset=utf-8";
const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
/// Asks for XML and sends it.
const BOTH: [(&str, &str); 2] =
    [("accept", "application/fhir+xml"), ("content-type", "application/fhir+xml")];
const DIV: &str = r#"<div xmlns="http://www.w3.org/1999/xhtml">a <b class='x'>&amp;</b></div>"#;

fn patient() -> String {
    format!(
        r#"<Patient xmlns="http://hl7.org/fhir"><id value="p1"/><text><status value="generated"/>{DIV}</text><identifier><system value="urn:x"/><value value="7"/></identifier><name id="n"><family value="O&quot;B&#xA;&amp;"/><given><extension url="urn:e"><valueDecimal value="1.50"/></extension></given></name></Patient>"#
    )
}

fn send(server: &Server, request: &str, body: &str) -> Answer {
    let (method, path) = request.split_once(' ').unwrap();
    server.send(method, path, &BOTH, body.as_bytes())
}

/// The JSON of an answer in XML.
fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), FHIR_XML, "{}", answer.text());
    assert!(answer.text().starts_with(HEAD), "{}", answer.text());
    let schema = Definitions::embedded().unwrap().schema;
    let tree = Tree::parse_xml(&schema, answer.body.clone(), &Limits::DEFAULT)
        .unwrap_or_else(|issues| panic!("{issues:?} in {}", answer.text()));
    let mut json = Vec::new();
    tree.write_json(&mut json);
    serde_json::from_slice(&json).unwrap()
}

/// The issues of an OperationOutcome in XML: `code line column [expression]: text`.
fn issues(answer: &Answer) -> Vec<String> {
    let outcome = json_of(answer);
    assert_eq!(outcome["resourceType"], "OperationOutcome");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |issue: &Value| {
        let place = issue["diagnostics"].as_str().map(|place| format!("{place} ")).unwrap_or_default();
        let (code, expression) = (text(&issue["code"]), text(&issue["expression"][0]));
        format!("{code} {place}[{expression}]: {}", text(&issue["details"]["text"]))
    };
    outcome["issue"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn what_is_sent_in_xml_is_what_is_read() {
    let data = directory();
    let server = Server::start(data.path());
    let created = send(&server, "PUT /fhir/Patient/p1", &patient()).expect(201);
    assert_eq!(created.header("etag"), "W/\"1\"");
    assert_eq!(created.header("location"), format!("{}/Patient/p1/_history/1", server.base()));
    let rest = patient().split_once("<text>").unwrap().1.to_owned();
    assert!(created.text().ends_with(&format!("<text>{rest}")), "{}", created.text());

    let json = server.get("/fhir/Patient/p1").expect(200);
    let resource = json.json();
    assert_eq!(
        (resource["text"]["div"].as_str(), resource["name"][0]["id"].as_str()),
        (Some(DIV), Some("n"))
    );
    assert_eq!(resource["name"][0]["family"], "O\"B\n&");
    assert!(json.text().contains("1.50"), "decimals keep their text");
    assert_eq!(json_of(&created), resource);

    let read = send(&server, "GET /fhir/Patient/p1", "").expect(200);
    assert_eq!(read.body, created.body);
    for name in ["etag", "last-modified", "vary", "cache-control", "x-content-type-options"] {
        assert_eq!(read.header(name), json.header(name), "{name}");
    }
    let head = send(&server, "HEAD /fhir/Patient/p1", "").expect(200);
    assert_eq!((head.body.len(), head.header("content-length")), (0, read.header("content-length")));
    assert_eq!(head.header("content-type"), FHIR_XML);
    let same = server.send("GET", "/fhir/Patient/p1?_format=xml", &[("if-none-match", "W/\"1\"")], b"");
    assert_eq!((same.expect(304).body.len()), 0);

    let made = send(&server, "POST /fhir/Patient", &patient()).expect(201);
    assert_ne!(json_of(&made)["id"], "p1");
    let condition = [BOTH[0], BOTH[1], ("if-none-exist", "_id=p1")];
    let found = server.send("POST", "/fhir/Patient", &condition, patient().as_bytes()).expect(200);
    assert_eq!(json_of(&found), resource);
    let changed = patient().replace("<name id", "<active value=\"true\"/><name id");
    let updated = send(&server, "PUT /fhir/Patient?_id=p1", &changed).expect(200);
    assert_eq!((updated.header("etag"), json_of(&updated)["active"].as_bool()), ("W/\"2\"", Some(true)));
    let minimal = [BOTH[0], BOTH[1], ("prefer", "return=minimal")];
    let minimal = server.send("PUT", "/fhir/Patient/p1", &minimal, patient().as_bytes()).expect(200);
    assert_eq!(minimal.body.len(), 0);
}

/// Whatever is answered is in XML what it is in JSON.
#[test]
fn answers_are_those_of_json() {
    let data = directory();
    let server = Server::start(data.path());
    send(&server, "PUT /fhir/Patient/p1", &patient()).expect(201);
    send(&server, "PUT /fhir/Patient/p2", &patient().replace("p1", "p2")).expect(201);
    for path in [
        "/fhir/Patient/p1/_history/1",
        "/fhir/Patient/p1?_elements=name",
        "/fhir/Patient/p1?_summary=text",
        "/fhir/Patient?family=o&_sort=_id&_count=1&_total=accurate",
        "/fhir/Patient?_summary=count",
        "/fhir/Patient/p1/_history",
        "/fhir/_history?_count=1",
        "/fhir/Patient/p1/$meta",
        "/fhir/Patient/p1/$everything",
        "/fhir/Patient/p1/$validate",
        "/fhir/CodeSystem/$lookup?system=http://hl7.org/fhir/administrative-gender&code=male",
        "/fhir/metadata",
        "/fhir/Patient/none",
        "/fhir/Patient?colour=red",
        "/fhir/Nothing",
    ] {
        let json = server.get(path);
        let xml = send(&server, &format!("GET {path}"), "").expect(json.status);
        let without_date = |mut value: Value| {
            if value["resourceType"] == "Bundle" {
                value["meta"]["lastUpdated"].take();
                value["timestamp"].take();
                value["id"].take();
            }
            value
        };
        assert_eq!(without_date(json_of(&xml)), without_date(json.json()), "{path}");
    }
    let form = [BOTH[0], ("content-type", "application/x-www-form-urlencoded")];
    let found = server.send("POST", "/fhir/Patient/_search", &form, b"family=o&_id=p2").expect(200);
    assert_eq!(json_of(&found)["entry"][0]["resource"]["id"], "p2");
    let found = server.send("POST", "/fhir/Patient/_search", &form[1..], b"_id=p2&_format=xml").expect(200);
    assert_eq!(json_of(&found)["entry"].as_array().map(Vec::len), Some(1));
    let pretty = server.get("/fhir/Patient/p1?_format=xml&_pretty=true").expect(200);
    assert!(
        pretty.text().starts_with(&format!(
            "{HEAD}\n<Patient xmlns=\"http://hl7.org/fhir\">\n  <id value=\"p1\"/>\n  <meta>\n    <versionId"
        )),
        "{}",
        pretty.text()
    );
    assert_eq!(json_of(&pretty), server.get("/fhir/Patient/p1").json());
}

#[test]
fn formats() {
    let data = directory();
    let server = Server::start(data.path());
    send(&server, "PUT /fhir/Patient/p1", &patient()).expect(201);
    for (accept, expected) in [
        ("application/fhir+xml", "application/fhir+xml"),
        ("application/xml", "application/xml"),
        ("text/xml", "text/xml"),
        ("application/fhir+xml;q=0.8, application/fhir+json;q=0.9", "application/fhir+json"),
        ("application/fhir+json;q=0.5, application/fhir+xml", "application/fhir+xml"),
        ("application/fhir+xml; fhirVersion=3.0, */*;q=0.1", "application/fhir+json"),
        ("application/fhir+xml;q=0, application/json;q=0.1", "application/json"),
    ] {
        let answer = server.send("GET", "/fhir/Patient/p1", &[("accept", accept)], b"").expect(200);
        assert_eq!(answer.header("content-type"), format!("{expected}; charset=utf-8"), "{accept}");
    }
    for (format, expected) in [
        ("xml", "application/fhir+xml"),
        ("application/fhir%2Bxml", "application/fhir+xml"),
        ("application/fhir+xml", "application/fhir+xml"),
        ("text/xml", "text/xml"),
        ("application/xml", "application/xml"),
        ("json", "application/fhir+json"),
    ] {
        let path = format!("/fhir/Patient/p1?_format={format}");
        let accept = [("accept", "application/fhir+xml;q=0.2, text/html")];
        let answer = server.send("GET", &path, &accept, b"").expect(200);
        assert_eq!(answer.header("content-type"), format!("{expected}; charset=utf-8"), "{format}");
    }
    let refused = send(&server, "GET /fhir/Patient/p1?_format=ttl", "").expect(406);
    assert!(
        issues(&refused)[0]
            .starts_with("not-supported [http._format]: _format asks for a format that is not offered."),
        "{}",
        refused.text()
    );
}

#[test]
fn bundles_patches_and_operations() {
    let data = directory();
    let server = Server::start(data.path());
    let bundle = |kind: &str, body: &str| {
        format!(
            r#"<Bundle xmlns="http://hl7.org/fhir"><type value="{kind}"/><entry><fullUrl value="urn:uuid:0b7f8b3c-6a1b-4c1d-9d2e-000000000001"/><resource>{body}</resource><request><method value="POST"/><url value="Patient"/></request></entry><entry><resource><Observation><status value="final"/><code><text value="t"/></code><subject><reference value="urn:uuid:0b7f8b3c-6a1b-4c1d-9d2e-000000000001"/></subject><valueQuantity><value value="7.10"/></valueQuantity></Observation></resource><request><method value="PUT"/><url value="Observation/o1"/></request></entry></Bundle>"#
        )
        .replace("<Observation><status", "<Observation><id value=\"o1\"/><status")
    };
    let answer = json_of(&send(&server, "POST /fhir", &bundle("transaction", &patient())).expect(200));
    assert_eq!(answer["type"], "transaction-response");
    let observation = server.get("/fhir/Observation/o1").expect(200);
    assert!(observation.text().contains("7.10"));
    let reference = observation.json()["subject"]["reference"].as_str().unwrap().to_owned();
    assert!(answer["entry"][0]["response"]["location"].as_str().unwrap().contains(&reference));
    let wrong = patient().replace("<family", "<nmae");
    let refused = send(&server, "POST /fhir", &bundle("batch", &wrong)).expect(422);
    assert_eq!(
        issues(&refused)[0].split(": ").next().unwrap().split(" [").nth(1),
        Some("Bundle.entry[0].resource.name[0].nmae]")
    );

    let patch = r#"<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/><part><name value="type"/><valueCode value="delete"/></part><part><name value="path"/><valueString value="Observation.value"/></part></parameter></Parameters>"#;
    let patched = send(&server, "PATCH /fhir/Observation/o1", patch).expect(200);
    assert_eq!((patched.header("etag"), json_of(&patched).get("valueQuantity")), ("W/\"2\"", None));
    let again = send(
        &server,
        "PATCH /fhir/Observation?_id=o1",
        &patch.replace("Observation.value", "Observation.nope"),
    )
    .expect(400);
    assert!(issues(&again)[0].contains("nope"), "{}", again.text());

    let meta = r#"<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="meta"/><valueMeta><tag><system value="urn:t"/><code value="demo"/></tag></valueMeta></parameter></Parameters>"#;
    let added = json_of(&send(&server, "POST /fhir/Observation/o1/$meta-add", meta).expect(200));
    assert_eq!(added["parameter"][0]["valueMeta"]["tag"][0]["code"], "demo");
    let judged = send(&server, "POST /fhir/Patient/$validate", &patient()).expect(200);
    assert_eq!(json_of(&judged)["resourceType"], "OperationOutcome");
    let judged = send(
        &server,
        "POST /fhir/Patient/$validate",
        "<Patient xmlns=\"http://hl7.org/fhir\">\n <nmae/></Patient>",
    );
    assert_eq!(
        issues(&judged.expect(200)),
        ["structure line 2, column 2 [Patient.nmae]: Patient has no element 'nmae'."]
    );
    let judged = send(
        &server,
        "POST /fhir/Patient/$validate",
        "<Patient xmlns=\"http://hl7.org/fhir\">\n <gender value='divers'/></Patient>",
    );
    assert!(
        issues(&judged.expect(200))
            .iter()
            .any(|issue| issue.starts_with("code-invalid line 2, column 16 [Patient.gender]: ")),
        "lines are those that were sent"
    );
    let deleted = send(&server, "DELETE /fhir/Observation/o1", "").expect(204);
    assert_eq!(deleted.body.len(), 0);
    assert_eq!(
        issues(&send(&server, "GET /fhir/Observation/o1", "").expect(410)),
        ["deleted []: Observation/o1 was deleted; that is its version 4."]
    );
}

#[test]
fn refusals() {
    let data = directory();
    let server = Server::start_with(data.path(), &["--max-body-bytes", "4000"]);
    let open = "<Patient xmlns=\"http://hl7.org/fhir\">";
    let mut wrong = Vec::new();
    let long = format!("{open}{}</Patient>", " ".repeat(4000));
    for (body, status, expected) in [
        ("", 400, "invalid line 1, column 1 [Resource]: This is not XML: no element."),
        (
            "{\"resourceType\":\"Patient\"}",
            400,
            "invalid line 1, column 1 [Resource]: This is not XML: text outside of the root element.",
        ),
        (&format!("{open}\n  <active value=\"true\">\n</Patient>"), 400, "invalid line 3, column 1 "),
        (&format!("{open}\n  <active value=\"a & b\"/></Patient>"), 400, "invalid line 2, column 20 "),
        (
            "<!DOCTYPE a [<!ENTITY b \"c\">]><Patient xmlns=\"http://hl7.org/fhir\"/>",
            400,
            "invalid line 1, column 1 [Resource]: A DOCTYPE is not allowed",
        ),
        (
            "<?xml version=\"1.0\" encoding=\"latin1\"?><Patient/>",
            415,
            "not-supported line 1, column 1 [Resource]: The encoding 'latin1' is not read",
        ),
        ("<Patient/>", 422, "structure line 1, column 1 "),
        (
            &format!("{open}\n <nmae/></Patient>"),
            422,
            "structure line 2, column 2 [Patient.nmae]: Patient has no element 'nmae'",
        ),
        (&format!("{open}<gender value=\"divers\"/></Patient>"), 422, "code-invalid [Patient.gender]: "),
        ("<Observation xmlns=\"http://hl7.org/fhir\"/>", 400, "invalid "),
        (&long, 413, "too-long []: "),
    ] {
        let refused = send(&server, "POST /fhir/Patient", body);
        let found = issues(&refused);
        if refused.status != status || !found[0].starts_with(expected) {
            wrong.push(format!("{body}: {} {found:?}", refused.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let wrong =
        [("accept", "application/fhir+xml"), ("content-type", "application/fhir+xml; charset=latin1")];
    let refused = server.send("POST", "/fhir/Patient", &wrong, patient().as_bytes()).expect(415);
    assert!(issues(&refused)[0].starts_with("not-supported [http.Content-Type]: "), "{}", refused.text());
    let patch = [("accept", "application/fhir+xml"), ("content-type", "application/xml-patch+xml")];
    let refused = server.send("PATCH", "/fhir/Patient/p1", &patch, b"<diff/>").expect(415);
    assert_eq!(
        refused.header("accept-patch"),
        "application/json-patch+json, application/fhir+json, application/fhir+xml"
    );
    assert_eq!(server.get("/fhir/Patient").expect(200).json().get("entry"), None);
}

/// An id beside a narrative has no place in XML: a read says so, a write that was made is told in JSON.
#[test]
fn what_xml_cannot_hold() {
    let data = directory();
    let server = Server::start(data.path());
    let resource = json!({"resourceType": "Patient", "id": "p1", "text": {"status": "generated",
        "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>", "_div": {"id": "d"}}});
    let accept = [("accept", "application/fhir+xml"), ("content-type", "application/fhir+json")];
    let stored = server.send("PUT", "/fhir/Patient/p1", &accept, resource.to_string().as_bytes()).expect(201);
    assert_eq!(stored.header("content-type"), "application/fhir+json; charset=utf-8");
    assert_eq!((stored.header("etag"), stored.json()["id"].as_str()), ("W/\"1\"", Some("p1")));
    for path in ["/fhir/Patient/p1", "/fhir/Patient?_id=p1"] {
        let refused = send(&server, &format!("GET {path}"), "").expect(406);
        assert_eq!((refused.header("etag"), refused.header("last-modified")), ("", ""));
        assert!(
            issues(&refused)[0]
                .ends_with("text.div]: XML cannot hold an id beside a narrative; ask for JSON."),
            "{}",
            refused.text()
        );
    }
    server.get("/fhir/Patient/p1").expect(200);
}
