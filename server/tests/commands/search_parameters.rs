//! A search parameter is stored in a server that is served and written to, and the server is killed while it is indexed:
//! no search is answered from a part of the index, and in the end every one is right.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Answer, Server, directory, done};
use super::{text, total};

const PATIENTS: usize = 3_000;

const MARITAL: &str = r#"{"resourceType":"SearchParameter","id":"marital","url":"http://example.org/marital","name":"Marital",
    "status":"active","description":"Marital status","code":"marital","base":["Patient"],"type":"token",
    "expression":"Patient.maritalStatus"}"#;

fn patient(number: usize, status: &str) -> String {
    format!(
        r#"{{"resourceType":"Patient","id":"p{number}","maritalStatus":{{"coding":[{{"system":"http://s","code":"{status}"}}]}}}}"#
    )
}

/// How far the index is, of the status `running`.
fn progress(server: &Server) -> Option<u64> {
    let report = server.get("/fhir/$reindex").expect(200).json();
    let named = |name: &str| -> Option<Value> {
        report["parameter"].as_array()?.iter().find(|it| it["name"] == name).cloned()
    };
    let status = named("status").unwrap()["valueCode"].clone();
    let parameter = named("searchParameter").unwrap();
    let standing = parameter["part"][2]["valueCode"].as_str().unwrap().to_owned();
    assert_eq!(status == "running", standing == "indexing", "{report}");
    (status == "running").then(|| named("resourcesDone").unwrap()["valueDecimal"].as_u64().unwrap())
}

/// Either refused with how far the index is, or right.
fn is_whole(answer: &Answer, expected: usize) -> bool {
    if answer.status == 503 {
        let issues = answer.issues();
        assert!(
            issues[0].contains("The search parameter Patient.marital is new; the index has "),
            "{issues:?}"
        );
        assert_eq!(answer.header("retry-after"), "5");
        return false;
    }
    assert_eq!(
        (answer.status, answer.json()["total"].as_u64()),
        (200, Some(expected as u64)),
        "{}",
        answer.text()
    );
    true
}

#[test]
fn a_server_that_is_killed_goes_on_indexing() {
    let data = directory();
    let lines: String = (0..PATIENTS).map(|number| patient(number, ["M", "S"][number % 2]) + "\n").collect();
    let file = data.path().join("patients.ndjson");
    std::fs::write(&file, lines).unwrap();
    let home = data.path().join("data");
    done(&["load", text(&file), "--data", text(&home)]);

    let mut server = Server::start(&home);
    server.put("/fhir/SearchParameter/marital", MARITAL).expect(201);
    let search = "/fhir/Patient?marital=M&_summary=count";
    let mut statuses: Vec<&str> = (0..PATIENTS).map(|number| ["M", "S"][number % 2]).collect();
    let (mut kills, began) = (0, Instant::now());
    loop {
        let done = progress(&server);
        let married = statuses.iter().filter(|status| **status == "M").count();
        if is_whole(&server.get(search), married) {
            break;
        }
        // A new one that is married, and others who are so no more: early ones and late ones.
        let (new, divorced) = (statuses.len(), statuses.iter().position(|status| *status == "M").unwrap());
        server.put(&format!("/fhir/Patient/p{new}"), &patient(new, "M")).expect(201);
        statuses.push("M");
        let late = statuses.iter().rposition(|status| *status == "S").unwrap();
        for number in [divorced, late] {
            server.put(&format!("/fhir/Patient/p{number}"), &patient(number, "D")).expect(200);
            statuses[number] = "D";
        }
        if kills < 3 && done.is_some_and(|done| done > kills * 700) {
            server.kill();
            kills += 1;
            server = Server::start(&home);
        }
        assert!(began.elapsed() < Duration::from_secs(300), "the index is never whole");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(kills > 0, "it was indexed before it could be killed; take more patients");
    let count = |wanted: &str| statuses.iter().filter(|status| **status == wanted).count();
    for wanted in ["M", "S", "D"] {
        assert_eq!(total(&server, &format!("Patient?marital={wanted}")), count(wanted) as u64, "{wanted}");
    }
    assert!(done_checking(&home));
    server.stop();
    // What is stopped in peace stays indexed.
    let server = Server::start(&home);
    assert!(is_whole(&server.get(search), count("M")));
    assert_eq!(progress(&server), None);
}

fn done_checking(home: &std::path::Path) -> bool {
    done(&["check", "--data", text(home)]).contains("all agree")
}
