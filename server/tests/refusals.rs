//! Every way to be refused: the status and the whole OperationOutcome.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::{Server, directory};

struct Case<'c> {
    request: &'c str,
    headers: &'c [(&'c str, &'c str)],
    body: &'c str,
    status: u16,
    issues: &'c [&'c str],
}

macro_rules! case {
    ($request:expr, $headers:expr, $body:expr, $status:expr, $issues:expr $(,)?) => {
        Case { request: $request, headers: $headers, body: $body, status: $status, issues: $issues }
    };
}

fn check(server: &Server, case: &Case<'_>) {
    let (method, path) = case.request.split_once(' ').unwrap();
    let answer = server.send(method, path, case.headers, case.body.as_bytes());
    assert_eq!(answer.status, case.status, "{}: {}", case.request, answer.text());
    assert_eq!(answer.issues(), case.issues, "{}", case.request);
}

const OFFER: &str = "This server sends application/fhir+json (also as application/json and text/json), application/fhir+xml (also as application/xml and text/xml) and, for browsers, text/html.";

#[test]
fn refusals() {
    let data = directory();
    let server = Server::start_with(data.path(), &["--max-body-bytes", "2000", "--max-url-bytes", "300"]);
    server.put("/fhir/Patient/p1", r#"{"resourceType":"Patient","id":"p1"}"#).expect(201);
    server.put("/fhir/Patient/gone", r#"{"resourceType":"Patient","id":"gone"}"#).expect(201);
    server.send("DELETE", "/fhir/Patient/gone", &[], b"").expect(204);
    let patient = r#"{"resourceType":"Patient","id":"p1","active":true}"#;
    let not_accepted = format!(
        "error not-supported [http.Accept]: None of the formats that Accept names is offered. {OFFER}"
    );
    let not_a_format =
        format!("error not-supported [http._format]: _format asks for a format that is not offered. {OFFER}");
    let not_read = |sent: &str| {
        format!(
            "error not-supported [http.Content-Type]: {sent} This server reads application/fhir+json (also as application/json or text/json) and application/fhir+xml (also as application/xml or text/xml) of FHIR 4.0 in UTF-8."
        )
    };
    let (text_plain, untyped) =
        (not_read("The Content-Type text/plain is not read."), not_read("No Content-Type was sent."));
    let long = format!("GET /fhir/Patient?name={}", "x".repeat(300));
    let large = "x".repeat(2001);
    let json = ("content-type", "application/fhir+json");
    let cases = [
        case!(
            "GET /fhir/Foo/1",
            &[],
            "",
            404,
            &["error not-supported []: Foo is not a resource type of FHIR R4."],
        ),
        case!(
            "GET /fhir/patient",
            &[],
            "",
            404,
            &["error not-supported []: patient is not a resource type of FHIR R4."],
        ),
        case!(
            "GET /fhir/Patient/none",
            &[],
            "",
            404,
            &["error not-found []: There is no resource Patient/none."],
        ),
        case!(
            "GET /fhir/Patient/gone",
            &[],
            "",
            410,
            &["error deleted []: Patient/gone was deleted; that is its version 2."]
        ),
        case!(
            "GET /fhir/a/b/c/d/e",
            &[],
            "",
            404,
            &[
                "error not-found []: No FHIR interaction has a path of this form. GET /fhir/metadata lists what this server does.",
            ],
        ),
        case!(
            "GET /fhir/Patient%2Fp1",
            &[],
            "",
            404,
            &[
                "error not-found []: The path's encoding is broken. GET /fhir/metadata lists what this server does.",
            ],
        ),
        case!(
            "GET /elsewhere",
            &[],
            "",
            404,
            &["error not-found []: Nothing is served here; the FHIR API is below /fhir."],
        ),
        case!(
            "GET /fhir/Patient/p1/$nothing",
            &[],
            "",
            404,
            &["error not-supported []: This server has no operation $nothing."],
        ),
        case!(
            "PUT /fhir/Patient/p1/_history",
            &[],
            "",
            405,
            &["error not-supported []: /{type}/{id}/_history takes DELETE, GET, HEAD, OPTIONS."],
        ),
        case!(
            "PATCH /fhir/Patient/p1",
            &[("content-type", "application/merge-patch+json")],
            "{}",
            415,
            &[
                "error not-supported [http.Content-Type]: The Content-Type application/merge-patch+json is not read. A patch is application/json-patch+json, or Parameters with a FHIRPath Patch as application/fhir+json or application/fhir+xml.",
            ],
        ),
        case!(
            "PATCH /fhir/Patient/p1",
            &[("content-type", "application/json-patch+json")],
            r#"[{"op":"remove","path":"/birthDate"}]"#,
            422,
            &[
                "error not-found [Patient.birthDate]: Operation 0 (remove /birthDate) cannot be done: there is no such place.",
            ],
        ),
        case!(
            "PATCH /fhir/Patient/p1?colour=red",
            &[],
            "{}",
            400,
            &["error not-supported [http.colour]: The parameter colour is not known for a patch."],
        ),
        case!("DELETE /admin/backup", &[], "", 405, &["error not-supported []: /admin/backup takes POST."]),
        case!(
            "GET /fhir/Patient/%ff",
            &[],
            "",
            404,
            &[
                "error not-found []: The path's encoding is broken. GET /fhir/metadata lists what this server does.",
            ],
        ),
        case!("POST /metrics", &[], "", 405, &["error not-supported []: /metrics takes GET, HEAD."]),
        case!(
            "GET /fhir/Patient/p1",
            &[("accept", "text/turtle, application/fhir+xml;q=0")],
            "",
            406,
            &[not_accepted.as_str()],
        ),
        case!("GET /fhir/Patient/p1?_format=ttl", &[], "", 406, &[not_a_format.as_str()]),
        case!(
            "PUT /fhir/Patient/p1",
            &[("content-type", "text/plain")],
            patient,
            415,
            &[text_plain.as_str()]
        ),
        case!("PUT /fhir/Patient/p1", &[("content-type", "")], patient, 415, &[untyped.as_str()]),
        case!(
            "PUT /fhir/Patient/p1",
            &[json, ("content-encoding", "gzip, br")],
            patient,
            415,
            &[
                "error not-supported [http.Content-Encoding]: The Content-Encoding is not read; gzip, br and zstd are, one at a time.",
            ],
        ),
        case!(
            "PUT /fhir/Patient/p1",
            &[json, ("content-encoding", "gzip")],
            patient,
            400,
            &[
                "error structure [http.Content-Encoding]: The body is not of its Content-Encoding, gzip, or is cut off.",
            ],
        ),
        case!(
            "POST /fhir/Patient/_search",
            &[json],
            "{}",
            415,
            &[
                "error not-supported [http.Content-Type]: A search by POST takes its parameters as application/x-www-form-urlencoded.",
            ],
        ),
        case!(
            "PUT /fhir/Patient/p1",
            &[json],
            &large,
            413,
            &[
                "error too-long []: The body has more than the 2000 bytes that are read (max_body_bytes); send less at a time.",
            ],
        ),
        case!(
            &long,
            &[],
            "",
            414,
            &["error too-long []: The URL has 318 bytes; 300 are read. Search with POST to _search instead."],
        ),
        case!(
            "GET /fhir/Patient/p1?colour=red&x",
            &[],
            "",
            400,
            &[
                "error not-supported [http.colour]: The parameter colour is not known for a read.",
                "error not-supported [http.x]: The parameter x is not known for a read.",
            ],
        ),
        case!(
            "GET /fhir/Patient/p1?_explain=true",
            &[],
            "",
            400,
            &["error not-supported [http._explain]: The parameter _explain is not known for a read."],
        ),
        case!(
            "PUT /fhir/Patient/p1?colour=red",
            &[],
            patient,
            400,
            &["error not-supported [http.colour]: The parameter colour is not known for an update."],
        ),
        case!(
            "GET /fhir/metadata?mode=terminology",
            &[],
            "",
            400,
            &["error not-supported [http.mode]: Only mode=full is offered, not terminology."],
        ),
        case!(
            "GET /fhir/Patient?name=%zz",
            &[],
            "",
            400,
            &[
                "error invalid []: The URL encoding of name is broken: % is followed by two hexadecimal digits, and the bytes are UTF-8.",
            ],
        ),
        case!(
            "GET /fhir/Patient?_pretty=yes",
            &[],
            "",
            400,
            &["error value [http._pretty]: _pretty takes true or false."],
        ),
        case!(
            "PUT /fhir/Patient/p1",
            &[json, ("if-match", "first")],
            patient,
            400,
            &[
                "error value [http.If-Match]: If-Match is neither * nor the ETag of a version of this server, which reads W/\"3\".",
            ],
        ),
        case!(
            "PUT /fhir/Patient/p1",
            &[json, ("if-match", "W/\"9\"")],
            patient,
            412,
            &[
                "error conflict [http.If-Match]: If-Match does not hold for Patient/p1: its current version is 1.",
            ],
        ),
        case!(
            "GET /fhir/Patient/p1",
            &[("host", "evil.example.org")],
            "",
            421,
            &[
                "error security [http.Host]: The Host header names another server. Use localhost or an address, or set base_url to the URL that clients use.",
            ],
        ),
        case!(
            "PUT /fhir/Patient/p1",
            &[json, ("origin", "https://evil.example.org")],
            patient,
            403,
            &[
                "error security [http.Origin]: Pages of this origin may not call the server; cors_origins lists those that may.",
            ],
        ),
        case!(
            "POST /admin/backup",
            &[json],
            "{}",
            401,
            &["error login []: This is for the vesta commands that run on the server's data directory."],
        ),
        case!(
            "POST /admin/lag",
            &[json],
            "{}",
            401,
            &["error login []: This is for the vesta commands that run on the server's data directory."],
        ),
        case!(
            "POST /admin/check",
            &[json, ("authorization", "Bearer x")],
            "{}",
            401,
            &["error login []: This is for the vesta commands that run on the server's data directory."],
        ),
        case!(
            "GET /find?type=Nothing&q=x",
            &[],
            "",
            404,
            &["error not-found []: There is no resource type Nothing."],
        ),
    ];
    for case in &cases {
        check(&server, case);
    }
    let answer = server.send("PUT", "/fhir/Patient/p1/_history", &[], b"");
    assert_eq!(answer.header("allow"), "DELETE, GET, HEAD, OPTIONS");
    let answer = server.send("PATCH", "/fhir/Patient/p1", &[], b"");
    assert_eq!(
        answer.header("accept-patch"),
        "application/json-patch+json, application/fhir+json, application/fhir+xml"
    );
    assert_eq!(server.get("/fhir/Patient/p1").expect(200).header("etag"), "W/\"1\"", "nothing was changed");
}

#[test]
fn bodies_that_are_wrong_are_placed() {
    let data = directory();
    let server = Server::start(data.path());
    for (body, status, code) in [
        ("{", 400, "invalid"),
        ("[]", 422, "structure"),
        (r#"{"resourceType":"Patient","colour":"red"}"#, 422, "structure"),
        (r#"{"resourceType":"Observation"}"#, 400, "invalid"),
        (r#"{"resourceType":"Patient","birthDate":"soon"}"#, 422, "value"),
    ] {
        let answer = server.post("/fhir/Patient", body).expect(status);
        let issues = answer.issues();
        assert!(
            issues.iter().any(|issue| issue.starts_with(&format!("error {code} "))),
            "{body}: {issues:?}"
        );
    }
    assert_eq!(server.get("/fhir/Patient?_total=accurate").json()["total"], 0);
}

/// Fragments, wrong protocols and huge heads end the connection, never the server.
#[test]
fn garbage_does_no_harm() {
    use std::io::Write;
    let data = directory();
    let server = Server::start(data.path());
    for bytes in [&b"\0\0\0\0"[..], b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[b'a'; 1 << 20], b"POST /fhir HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/fhir+json\r\ncontent-length: 99\r\n\r\n{"] {
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        // It may be closed while we still write.
        let _ = stream.write_all(bytes);
    }
    let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let answer = server.post("/fhir/Patient", &deep).expect(413);
    assert_eq!(
        answer.issues(),
        ["error too-long [Resource]: Objects and arrays are nested deeper than 100 levels."]
    );
    server.get("/healthz").expect(200);
}

/// Large bodies share a budget: one that gets no share in time is told when to come again, and small ones go on.
#[test]
fn large_bodies_wait_for_each_other() {
    use std::io::Write;
    let data = directory();
    let server = Server::start_with(data.path(), &["--max-bodies-bytes", "3000000"]);
    let head = "POST /fhir/Patient HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/fhir+json\r\ncontent-length: 2000000\r\n\r\n{";
    let mut slow = std::net::TcpStream::connect(server.address).unwrap();
    slow.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    let large = format!(r#"{{"resourceType":"Patient","active":true}}{}"#, " ".repeat(1_500_000));
    let answer = server.post("/fhir/Patient", &large).expect(503);
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(
        answer.issues(),
        [
            "error throttled []: Too many large bodies are being worked on (max_bodies_bytes); send this one again later."
        ]
    );
    server.post("/fhir/Patient", r#"{"resourceType":"Patient"}"#).expect(201);
    drop(slow);
    server.post("/fhir/Patient", &large).expect(201);
}
