//! Bulk import through the built program: from URLs and uploaded; what is refused, by line and altogether; what a kill leaves; and that
//! what was exported is what it was when it is imported elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

#[path = "bulk_import/clients.rs"]
mod clients;
#[path = "bulk_import/round_trip.rs"]
mod round_trip;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Answer, Server, directory};

const ASYNC: (&str, &str) = ("prefer", "respond-async");
const LINES: (&str, &str) = ("content-type", "application/fhir+ndjson");
const JSON: (&str, &str) = ("content-type", "application/fhir+json");

/// The path of a URL of this server.
fn below(url: &str) -> String {
    url.split_once("/fhir").map(|(_, path)| format!("/fhir{path}")).unwrap_or_else(|| panic!("{url}"))
}

/// Waits for a job: its last status.
fn wait(server: &Server, status: &str) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = server.send("GET", status, &[("accept", "application/json")], b"");
        if answer.status != 202 {
            return answer;
        }
        assert_eq!(answer.header("retry-after"), "1");
        assert!(answer.header("x-progress").starts_with(|c: char| c.is_ascii_digit()), "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(600), "it does not end");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Begins an import: the path of its status.
fn begin(server: &Server, query: &str, kind: (&str, &str), body: &[u8]) -> String {
    let accepted = server.send("POST", &format!("/fhir/$import{query}"), &[ASYNC, kind], body).expect(202);
    below(accepted.header("content-location"))
}

/// Imports lines: what became of them.
fn upload(server: &Server, query: &str, lines: &[String]) -> Value {
    wait(server, &begin(server, query, LINES, (lines.join("\n") + "\n").as_bytes())).expect(200).json()
}

/// A manifest of sources, each of a type.
fn manifest(sources: &[(&str, String)]) -> Vec<u8> {
    let input: Vec<Value> = sources.iter().map(|(kind, url)| json!({"type": kind, "url": url})).collect();
    json!({"inputFormat": "application/fhir+ndjson", "inputSource": "http://a.example/fhir",
        "storageDetail": {"type": "https"}, "input": input})
    .to_string()
    .into_bytes()
}

/// What became of the resources of each type: created, updated, unchanged.
fn counts(told: &Value) -> BTreeMap<String, (u64, u64, u64)> {
    let of = |one: &Value, name: &str| one[name].as_u64().unwrap();
    let all = told["output"].as_array().unwrap().iter().map(|one| {
        let counts = (of(one, "created"), of(one, "updated"), of(one, "unchanged"));
        assert_eq!(of(one, "count"), counts.0 + counts.1 + counts.2);
        (one["type"].as_str().unwrap().to_owned(), counts)
    });
    all.collect()
}

/// The errors of a job, each as `place: text`.
fn errors(server: &Server, told: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for one in told["error"].as_array().unwrap() {
        let answer = server.get(&below(one["url"].as_str().unwrap())).expect(200);
        assert_eq!(answer.header("content-type"), "application/fhir+ndjson");
        for line in answer.text().lines() {
            let outcome: Value = serde_json::from_str(line).unwrap();
            assert_eq!(outcome["resourceType"], "OperationOutcome");
            let issue = &outcome["issue"][0];
            all.push(format!(
                "{}: {}",
                issue["diagnostics"].as_str().unwrap(),
                issue["details"]["text"].as_str().unwrap()
            ));
        }
    }
    all
}

fn patient(number: usize, more: &str) -> String {
    format!(r#"{{"resourceType":"Patient","id":"p{number}"{more}}}"#)
}

/// Answers GET requests with what is at their paths, and others with 404.
fn web(pages: &'static [(&str, &str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 8192];
            let length = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let page = pages.iter().find(|(known, _)| *known == path);
            let answer = match page {
                Some((_, body)) => format!(
                    "HTTP/1.1 200 OK\r\netag: \"one\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    // This one breaks off.
                    body.len() + if path == "/torn" { 10 } else { 0 }
                ),
                None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address.to_string()
}

#[test]
fn bad_lines_cost_themselves_alone() {
    let data = directory();
    let server = Server::start(data.path());
    let mut lines: Vec<String> = (0..40).map(|number| patient(number, "")).collect();
    lines[3] = r#"{"resourceType":"Patient","id":"#.to_owned();
    lines[4] =
        format!(r#"{{"resourceType":"Patient","id":"p4","name":[{{"text":"{}"}}]}}"#, "x".repeat(50 << 20));
    lines[5] = r#"{"resourceType":"Pet","id":"p5"}"#.to_owned();
    lines[6] = r#"{"resourceType":"Observation","id":"o6","status":"final"}"#.to_owned();
    lines[7] = r#"{"resourceType":"Patient"}"#.to_owned();
    // What it refers to comes later, and is of another line.
    lines[8] = patient(8, r#","link":[{"type":"seealso","other":{"reference":"Patient/p39"}}]"#);
    let told = upload(&server, "?type=Patient", &lines);
    assert_eq!(counts(&told), BTreeMap::from([("Patient".to_owned(), (35, 0, 0))]));
    let errors = errors(&server, &told);
    let expected = [
        (4, ""),
        (
            5,
            "The line is longer than 33554432 bytes, the most that is read (import_line_bytes); it was passed over.",
        ),
        (6, "Pet"),
        (7, "The resource is of type Observation, but Patient was announced."),
        (8, "A resource that is loaded needs an id"),
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, (line, text)) in errors.iter().zip(expected) {
        let place = format!("the body of the request, line {line}: ");
        assert!(error.starts_with(&place) && error.contains(text), "{error}");
    }
    // The same again changes nothing; another content makes a version.
    lines[0] = patient(0, r#","active":true"#);
    let again = upload(&server, "", &lines);
    assert_eq!(counts(&again)["Patient"], (0, 1, 34));
    assert_eq!(server.get("/fhir/Patient/p0").expect(200).header("etag"), "W/\"2\"");
    assert_eq!(server.get("/fhir/Patient/p1").expect(200).header("etag"), "W/\"1\"");
}

#[test]
fn lines_are_only_checked_or_found_by_identifier() {
    let data = directory();
    let server = Server::start(data.path());
    let lines = [
        patient(1, r#","gender":"male""#),
        patient(2, r#","gender":"purple""#),
        r#"{"resourceType":"Observation","id":"o1","status":"final"}"#.to_owned(),
    ];
    let told = upload(&server, "?validateOnly=true", &lines);
    assert_eq!(counts(&told)["Patient"], (0, 0, 1));
    assert_eq!(errors(&server, &told).len(), 2);
    assert_eq!(server.get("/fhir/Patient?_summary=count").json()["total"], 0);

    let known = |id: &str, value: &str, family: &str| {
        format!(
            r#"{{"resourceType":"Patient"{id},"identifier":[{{"value":"x"}},{{"system":"urn:mrn","value":"{value}"}}],"name":[{{"family":"{family}"}}]}}"#
        )
    };
    server.put("/fhir/Patient/here", &known(r#","id":"here""#, "1,|2", "Old")).expect(201);
    let lines = [
        known(r#","id":"elsewhere""#, "1,|2", "New"),
        known("", "3", "First"),
        known("", "3", "Second"),
        known(r#","id":"own""#, "4", "Own"),
        known(r#","id":"here""#, "5", "Other"),
    ];
    let told = upload(&server, "?upsertBy=identifier", &lines);
    assert_eq!(counts(&told)["Patient"], (2, 2, 0), "{:?}", errors(&server, &told));
    let refused = errors(&server, &told);
    assert!(refused.len() == 1 && refused[0].contains("Patient/here"), "{refused:?}");
    let family = |path: &str| server.get(path).expect(200).json()["name"][0]["family"].clone();
    assert_eq!((family("/fhir/Patient/here"), family("/fhir/Patient/own")), (json!("New"), json!("Own")));
    server.get("/fhir/Patient/elsewhere").expect(404);
    let found = server.get("/fhir/Patient?identifier=urn:mrn%7C3").expect(200).json();
    let families: Vec<_> =
        found["entry"].as_array().unwrap().iter().map(|one| &one["resource"]["name"][0]["family"]).collect();
    assert_eq!(families, ["Second"]);
}

#[test]
fn sources_are_fetched() {
    let host = web(&[
        (
            "/patients",
            "{\"resourceType\":\"Patient\",\"id\":\"p1\"}\n{\"resourceType\":\"Patient\",\"id\":\"p2\"}",
        ),
        ("/torn", "{\"resourceType\":\"Patient\",\"id\":\"p3\"}\n"),
        (
            "/observations",
            "{\"resourceType\":\"Observation\",\"id\":\"o1\",\"status\":\"final\",\"code\":{\"text\":\"x\"},\"subject\":{\"reference\":\"Patient/p1\"}}\n",
        ),
    ]);
    let at = |path: &str| format!("http://{host}{path}");
    let data = directory();
    let server = Server::start_with(data.path(), &["--import-hosts", &host]);
    let sources = [
        ("Observation", at("/observations")),
        ("Patient", at("/dead?sig=secret")),
        ("Patient", at("/torn")),
        ("Patient", at("/patients")),
    ];
    let told = wait(&server, &begin(&server, "", JSON, &manifest(&sources))).expect(200).json();
    assert_eq!(told["request"], format!("http://{}/fhir/$import", server.address));
    let expected = [("Observation".to_owned(), (1, 0, 0)), ("Patient".to_owned(), (2, 0, 0))];
    assert_eq!(counts(&told), BTreeMap::from(expected));
    assert_eq!(
        errors(&server, &told),
        [
            format!("{}: The source answers 404, not 200.", at("/dead")),
            format!("{}: The source broke off before its end; nothing of it was imported.", at("/torn")),
        ]
    );
    // Microsoft's form, with an ETag that is and one that is not.
    let source = |etag: &str| {
        json!({"name": "input", "part": [{"name": "type", "valueString": "Patient"},
            {"name": "url", "valueUri": at("/patients")}, {"name": "etag", "valueUri": etag}]})
    };
    let body = json!({"resourceType": "Parameters", "parameter": [
        {"name": "inputFormat", "valueString": "application/fhir+ndjson"},
        {"name": "mode", "valueString": "IncrementalLoad"}, source("W/\"one\""), source("two")]});
    let told = wait(&server, &begin(&server, "", JSON, body.to_string().as_bytes())).expect(200).json();
    assert_eq!(counts(&told)["Patient"], (0, 0, 2));
    assert_eq!(
        errors(&server, &told),
        [format!("{}: The source has another ETag than the request gives: it was changed.", at("/patients"))]
    );
}

#[test]
fn what_is_refused() {
    let data = directory();
    let server = Server::start_with(data.path(), &["--max-imports", "1", "--import-source-bytes", "1000000"]);
    let check = |headers: &[(&str, &str)], path: &str, body: &[u8], status: u16, expected: &str| {
        let answer = server.send("POST", path, headers, body).expect(status);
        assert_eq!(answer.issues(), [expected], "{path}");
    };
    let (lines, json) = (&[ASYNC, LINES][..], &[ASYNC, JSON][..]);
    check(
        &[LINES],
        "/fhir/$import",
        b"{}",
        400,
        "error required [http.Prefer]: An import runs in the background: send the header Prefer: respond-async.",
    );
    let media = "error not-supported [http.Content-Type]: Send the lines as application/fhir+ndjson, or a manifest of where they are as application/fhir+json.";
    check(&[ASYNC, ("content-type", "application/fhir+xml")], "/fhir/$import", b"<a/>", 415, media);
    let coding = [ASYNC, LINES, ("content-encoding", "br")];
    let packed = "error not-supported [http.Content-Encoding]: Lines may be sent in gzip; a manifest is sent as it is.";
    check(&coding, "/fhir/$import", b"x", 415, packed);
    let pet = "error not-supported [http.type]: Pet is no resource type of R4.";
    check(lines, "/fhir/$import?type=Pet", b"{}", 400, pet);
    let colour = "error not-supported [http.colour]: $import has no parameter colour.";
    check(lines, "/fhir/$import?colour=red", b"{}", 400, colour);
    let large = "error too-long []: The body has more than the 1000000 bytes that are read (import_source_bytes); send several imports.";
    check(lines, "/fhir/$import", &vec![b' '; 1_100_000], 413, large);
    let private = "error forbidden [input[0].url]: The source is in a network that is not public, and its host is none that import_hosts names.";
    for host in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "localhost", "db.internal"] {
        check(json, "/fhir/$import", &manifest(&[("Patient", format!("https://{host}/p"))]), 400, private);
    }
    let scheme = "error value [input[0].url]: A source's url is https, with a host and without a user name.";
    for url in ["http://a.example.org/p", "file:///etc/passwd", "https://u:p@a.example.org/p"] {
        check(json, "/fhir/$import", &manifest(&[("Patient", url.to_owned())]), 400, scheme);
    }
    for path in ["/fhir/$import", "/fhir/%24import"] {
        server.send("GET", path, &[ASYNC], b"").expect(405);
    }
    let none = "error not-found []: There is no such import, or file of one: it was cancelled, its time is over, or it never was.";
    for path in ["/fhir/import/0123456789abcdef", "/fhir/import/..%2f..", "/fhir/import/x/job.json"] {
        assert_eq!(server.get(path).expect(404).issues(), [none], "{path}");
    }
    // A job is removed with its files; what it imported stays.
    let status = begin(&server, "", LINES, patient(1, "").as_bytes());
    wait(&server, &status).expect(200);
    server.get(&format!("{status}/job.json")).expect(404);
    server.send("DELETE", &status, &[], b"").expect(202);
    server.get(&status).expect(404);
    server.send("DELETE", &status, &[], b"").expect(404);
    server.get("/fhir/Patient/p1").expect(200);

    // One at a time; one that is cancelled makes room.
    let many: Vec<String> = (0..20_000).map(|number| patient(number, "")).collect();
    let many = many.join("\n");
    let status = begin(&server, "", LINES, many.as_bytes());
    let refused = server.send("POST", "/fhir/$import", lines, b"{}").expect(429);
    assert_eq!(refused.header("retry-after"), "10");
    assert_eq!(
        refused.issues(),
        [
            "error throttled []: 1 imports of yours are under way, and more are not begun (max_imports); wait for one, or DELETE it."
        ]
    );
    server.send("DELETE", &status, &[], b"").expect(202);
    server.get(&status).expect(404);
    let begun = Instant::now();
    while server.send("POST", "/fhir/$import", lines, patient(1, "").as_bytes()).status == 429 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    let count = server.get("/fhir/Patient?_summary=count").json()["total"].as_u64().unwrap();
    assert!(count < 20_000, "it was cancelled");
    let statement = server.get("/fhir/metadata").json();
    let operations = statement["rest"][0]["operation"].as_array().unwrap();
    assert!(operations.iter().any(|operation| operation["name"] == "import"));
}

#[test]
fn a_job_outlives_a_kill() {
    let data = directory();
    let flags = ["--validation", "off"];
    let mut server = Server::start_with(data.path(), &flags);
    let all = 12_000;
    let mut lines: Vec<String> = (0..all).map(|number| patient(number, r#","active":true"#)).collect();
    for bad in (0..all).step_by(1000) {
        lines[bad] = "{".to_owned();
    }
    let status = begin(&server, "", LINES, lines.join("\n").as_bytes());
    let id = status.rsplit_once('/').unwrap().1;
    let record = data.path().join(format!("imports/default/{id}/job.json"));
    // `VESTA_KILLS=20` for as many as a release has to stand.
    let kills = std::env::var("VESTA_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_u64);
    let mut under_way = 0;
    for round in 0..kills {
        std::thread::sleep(Duration::from_millis(50 + 170 * (round % 5)));
        server.kill();
        let job: Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
        under_way += u32::from(job["state"] == "active");
        server = Server::start_with(data.path(), &flags);
    }
    assert!(under_way > 0, "the job was done before the first kill");
    let told = wait(&server, &status).expect(200).json();
    let bad = all.div_ceil(1000);
    let (created, updated, unchanged) = counts(&told)["Patient"];
    assert_eq!((created + unchanged, updated), ((all - bad) as u64, 0));
    assert_eq!(errors(&server, &told).len(), bad, "each bad line is told once");
    assert_eq!(server.get("/fhir/Patient?_summary=count").json()["total"], all - bad);
    for number in [1, 5_001, 11_999] {
        let answer = server.get(&format!("/fhir/Patient/p{number}")).expect(200);
        assert_eq!(answer.header("etag"), "W/\"1\"", "nothing is written twice");
    }
}

#[test]
fn no_room_to_import() {
    let data = directory();
    let server = Server::start_in_little_room(data.path(), 24_000);
    let text = format!(r#","name":[{{"text":"{}"}}]"#, "x".repeat(20_000));
    let lines: Vec<String> = (0..200).map(|number| patient(number, &text)).collect();
    let mut told = None;
    for round in 0..20 {
        let lines: Vec<String> =
            lines.iter().map(|line| line.replace("\"id\":\"p", &format!("\"id\":\"r{round}-"))).collect();
        let answer = server.send("POST", "/fhir/$import", &[ASYNC, LINES], lines.join("\n").as_bytes());
        let answer = match answer.status {
            202 => wait(&server, &below(answer.header("content-location"))),
            _ => answer,
        };
        if answer.status != 200 {
            told = Some(answer);
            break;
        }
        assert_eq!(counts(&answer.json())["Patient"].0, 200, "all or nothing is said to be there");
    }
    let told = told.expect("the room ends");
    assert!([500, 503].contains(&told.status), "{}", told.text());
    assert!(told.issues()[0].starts_with("error no-store []: The server has no room"), "{}", told.text());
    // What was imported is there.
    server.get("/fhir/Patient/r0-199").expect(200);
}

#[test]
fn a_disk_that_is_full() {
    let data = directory();
    let test = "a_disk_that_is_full";
    let Some(server) = Server::start_on_small_disk(test, data.path(), "imports", 200) else { return };
    let text = format!(r#","name":[{{"text":"{}"}}]"#, "x".repeat(20_000));
    let lines: Vec<String> = (0..50).map(|number| patient(number, &text)).collect();
    for _ in 0..2 {
        let refused = server.send("POST", "/fhir/$import", &[ASYNC, LINES], lines.join("\n").as_bytes());
        let refused = refused.expect(503).issues();
        assert!(refused[0].starts_with("error no-store []: The server has no room"), "{refused:?}");
    }
    // What was received of it is gone, and there is room for less.
    let told = upload(&server, "", &[patient(1, "")]);
    assert_eq!(counts(&told)["Patient"], (1, 0, 0));
    server.get("/fhir/Patient/p1").expect(200);
}
