//! `$viewdefinition-export`: rows of views as files, by the pattern of its guide: 202, 303, the result, its files.

use serde_json::{Value, json};

use super::super::support::{Answer, Server, directory};
use super::super::{ASYNC, FHIR, fill, path};

fn ask(server: &Server, address: &str, parameters: &Value) -> Answer {
    let body = json!({"resourceType": "Parameters", "parameter": parameters}).to_string();
    server.send("POST", address, &[ASYNC, FHIR], body.as_bytes())
}

fn view(name: Option<&str>, definition: Value) -> Value {
    let mut parts = vec![json!({"name": "viewResource", "resource": definition})];
    parts.extend(name.map(|name| json!({"name": "name", "valueString": name})));
    json!({"name": "view", "part": parts})
}

fn people() -> Value {
    json!({"resourceType": "ViewDefinition", "resource": "Patient", "name": "people", "select": [{"column": [
        {"name": "id", "path": "getResourceKey()"}, {"name": "active", "path": "active"}]}]})
}

fn seen() -> Value {
    json!({"resourceType": "ViewDefinition", "resource": "Observation", "select": [{"column": [
        {"name": "id", "path": "id"}, {"name": "of", "path": "subject.getReferenceKey(Patient)"}]}]})
}

/// Waits for the end: the path of the result.
fn end(server: &Server, accepted: &Answer) -> String {
    let status = path(server, accepted.header("content-location"));
    for _ in 0..500 {
        let answer = server.send("GET", &status, &[], b"");
        if answer.status == 303 {
            return path(server, answer.header("location"));
        }
        assert_eq!(answer.status, 202, "{}", answer.text());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("it does not end");
}

/// The names, locations and contents of what came out.
fn outputs(server: &Server, result: &Value) -> Vec<(String, String, Vec<u8>)> {
    let parameters = result["parameter"].as_array().unwrap().iter();
    let outputs = parameters.filter(|parameter| parameter["name"] == "output");
    let each = outputs.map(|output| {
        let parts = output["part"].as_array().unwrap();
        assert_eq!(
            (parts.len(), &parts[0]["name"], &parts[1]["name"]),
            (2, &json!("name"), &json!("location"))
        );
        let answer = server.get(&path(server, parts[1]["valueUri"].as_str().unwrap())).expect(200);
        let name = parts[0]["valueString"].as_str().unwrap().to_owned();
        (name, answer.header("content-type").to_owned(), answer.body)
    });
    each.collect()
}

fn texts(server: &Server, result: &Value) -> Vec<(String, Vec<String>)> {
    let each = outputs(server, result).into_iter().map(|(name, _, bytes)| {
        let text = String::from_utf8(bytes).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        (name, lines)
    });
    each.collect()
}

#[test]
fn views_become_files() {
    let data = directory();
    let server = Server::start(data.path());
    fill(&server);
    let parameters = json!([
        {"name": "clientTrackingId", "valueString": "monthly"}, {"name": "_format", "valueCode": "csv"},
        view(None, people()), view(Some("seen/.."), seen()),
    ]);
    let accepted = ask(&server, "/fhir/ViewDefinition/$viewdefinition-export", &parameters).expect(202);
    let told = accepted.json();
    assert_eq!(told["parameter"][1], json!({"name": "clientTrackingId", "valueString": "monthly"}));
    assert_eq!(told["parameter"][2], json!({"name": "status", "valueCode": "accepted"}));
    assert_eq!(told["parameter"][3]["valueUri"], accepted.header("content-location"));
    let address = end(&server, &accepted);
    let result = server.get(&address).expect(200);
    assert!(result.header("expires").ends_with(" GMT"));
    let result = result.json();
    assert_eq!(result["parameter"][2], json!({"name": "status", "valueCode": "completed"}));
    assert_eq!(result["parameter"][3], json!({"name": "_format", "valueCode": "csv"}));
    let rows = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        texts(&server, &result),
        [
            (
                "people".to_owned(),
                rows(&[
                    "Patient/left,true",
                    "Patient/out,true",
                    "Patient/p1,true",
                    "Patient/p2,false",
                    "id,active"
                ])
            ),
            (
                "seen/..".to_owned(),
                rows(&[
                    "id,of",
                    "o-left,Patient/left",
                    "o-out,Patient/out",
                    "o-p1,Patient/p1",
                    "o-p2,Patient/p2"
                ])
            ),
        ]
    );
    for (_, media_type, _) in outputs(&server, &result) {
        assert_eq!(media_type, "text/csv;charset=utf-8");
    }
    // Cancelled, it is gone.
    let status = path(&server, accepted.header("content-location"));
    server.send("DELETE", &status, &[], b"").expect(202);
    for gone in [&status, &address] {
        server.get(gone).expect(404);
    }
}

#[test]
fn formats_and_whom_they_are_of() {
    let data = directory();
    let server = Server::start(data.path());
    fill(&server);
    let run = |parameters: Value| {
        let accepted = ask(&server, "/fhir/$viewdefinition-export", &parameters).expect(202);
        server.get(&end(&server, &accepted)).expect(200).json()
    };
    let group = json!({"name": "group", "valueReference": {"reference": "Group/g"}});
    assert_eq!(
        texts(&server, &run(json!([view(None, seen()), group]))),
        [(
            "view1".to_owned(),
            vec![
                r#"{"id":"o-p1","of":"Patient/p1"}"#.to_owned(),
                r#"{"id":"o-p2","of":"Patient/p2"}"#.to_owned()
            ]
        )]
    );
    let one = json!({"name": "patient", "valueReference": {"reference": "Patient/out"}});
    let json_of_one = run(json!([view(None, people()), one, {"name": "_format", "valueCode": "json"}]));
    assert_eq!(outputs(&server, &json_of_one)[0].2, br#"[{"id":"Patient/out","active":true}]"#);
    let parquet =
        outputs(&server, &run(json!([view(None, people()), {"name": "_format", "valueCode": "parquet"}])));
    assert_eq!(parquet[0].1, "application/vnd.apache.parquet");
    assert!(parquet[0].2.starts_with(b"PAR1") && parquet[0].2.ends_with(b"PAR1"));
    // A view without rows is a file without rows.
    let soon = json!({"name": "_since", "valueInstant": "2999-01-01T00:00:00Z"});
    let none = run(json!([view(None, people()), soon, {"name": "_format", "valueCode": "csv"}]));
    assert_eq!(texts(&server, &none), [("people".to_owned(), vec!["id,active".to_owned()])]);
    let bare = run(
        json!([view(None, people()), soon, {"name": "_format", "valueCode": "csv"}, {"name": "header", "valueBoolean": false}]),
    );
    assert_eq!(texts(&server, &bare), [("people".to_owned(), Vec::new())]);
}

#[test]
fn what_views_are_refused() {
    let data = directory();
    let server = Server::start(data.path());
    fill(&server);
    let check = |parameters: Value, status: u16, expected: &str| {
        let answer = ask(&server, "/fhir/$viewdefinition-export", &parameters).expect(status);
        assert_eq!(answer.issues(), [expected]);
    };
    check(
        json!([]),
        400,
        "error required [Parameters.parameter]: Name one or more views: a parameter view with the part viewResource.",
    );
    check(
        json!([{"name": "view", "part": [{"name": "viewReference", "valueReference": {"reference": "ViewDefinition/1"}}]}]),
        400,
        "error not-supported [Parameters.parameter[0].part[0]]: viewReference is not offered: R4 has no type ViewDefinition that could be stored. Send viewResource.",
    );
    check(
        json!([view(None, people()), {"name": "source", "valueString": "s3://x"}]),
        400,
        "error not-supported [Parameters.parameter[1]]: 'source' is no parameter of this operation.",
    );
    check(
        json!([view(None, people()), {"name": "_format", "valueCode": "xml"}]),
        400,
        "error not-supported [Parameters.parameter[1]]: _format is one of ndjson, csv, json, parquet.",
    );
    let wards = json!({"resourceType": "ViewDefinition", "resource": "Location", "select": [{"column": [{"name": "id", "path": "id"}]}]});
    check(
        json!([view(None, wards), {"name": "patient", "valueReference": {"reference": "Patient/p1"}}]),
        400,
        "error not-supported [Parameters.parameter[0].part[0]]: A Location is of no patient; leave patient and group out.",
    );
    check(
        json!([view(None, people()), {"name": "patient", "valueReference": {"reference": "Patient/nobody"}}]),
        400,
        "error not-found [http.patient]: patient names a Patient that there is not.",
    );
    check(
        json!([view(None, people()), {"name": "group", "valueReference": {"reference": "Group/none"}}]),
        404,
        "error not-found []: There is no resource Group/none.",
    );
    let broken = json!({"resourceType": "ViewDefinition", "resource": "Patient", "select": [{"column": [{"name": "id", "path": "nothing"}]}]});
    let answer =
        ask(&server, "/fhir/$viewdefinition-export", &json!([view(None, people()), view(None, broken)]));
    let issues = answer.expect(422).issues();
    assert!(
        issues[0].contains("[Parameters.parameter[1].part[0].resource.select[0].column[0].path]"),
        "{issues:?}"
    );
    // What fails at a resource is told by the result, which names it.
    let several = json!({"resourceType": "ViewDefinition", "resource": "Group", "select": [{"column": [{"name": "member", "path": "member.entity.reference"}]}]});
    let accepted = ask(&server, "/fhir/$viewdefinition-export", &json!([view(None, several)])).expect(202);
    let issues = server.get(&end(&server, &accepted)).expect(500).issues();
    assert!(issues.len() == 1 && issues[0].contains("Group/g: "), "{issues:?}");
    let without = server.send("POST", "/fhir/$viewdefinition-export", &[FHIR], b"{}").expect(400);
    assert_eq!(
        without.issues(),
        [
            "error required [http.Prefer]: An export runs in the background: send the header Prefer: respond-async."
        ]
    );
}
