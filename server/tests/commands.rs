//! The other commands: load, demo, check, backup, restore, and starting and stopping.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "commands/import.rs"]
mod import;
#[path = "commands/search_parameters.rs"]
mod search_parameters;
mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use support::{Server, directory, done, run, said, vesta};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn total(server: &Server, search: &str) -> u64 {
    let separator = if search.contains('?') { '&' } else { '?' };
    let found = server.get(&format!("/fhir/{search}{separator}_summary=count")).expect(200).json();
    found["total"].as_u64().unwrap()
}

fn patients(count: usize) -> String {
    (0..count)
        .map(|n| format!("{{\"resourceType\":\"Patient\",\"id\":\"p{n}\",\"active\":true}}\n"))
        .collect()
}

#[test]
fn a_graceful_stop_keeps_data() {
    let data = directory();
    let server = Server::start(data.path());
    server.put("/fhir/Patient/p1", r#"{"resourceType":"Patient","id":"p1"}"#).expect(201);
    let before = server.get("/fhir/Patient/p1").body;
    server.stop();
    assert!(!data.path().join("running.json").exists());
    let server = Server::start(data.path());
    assert_eq!(server.get("/fhir/Patient/p1").expect(200).body, before);
    server.kill();
    let server = Server::start(data.path());
    assert_eq!(server.get("/fhir/Patient/p1").expect(200).body, before);
}

#[test]
fn what_cannot_be_started_says_why() {
    let data = directory();
    let server = Server::start(data.path());
    let second = run(&["serve", "--data", text(data.path()), "--bind", "127.0.0.1:0"]);
    assert!(!second.status.success());
    let expected = format!(
        "vesta: {} is in use by another vesta process; stop it first, or choose another directory with --data\n",
        data.path().display()
    );
    assert_eq!(said(&second), expected);

    let other = directory();
    let taken = run(&["--data", text(other.path()), "--bind", &server.address.to_string()]);
    assert!(said(&taken).contains("choose another port with --bind"), "{}", said(&taken));
    let open = run(&["--data", text(other.path()), "--bind", "0.0.0.0:0"]);
    assert!(said(&open).contains("can be reached from other machines"), "{}", said(&open));
    let unknown = run(&["--data", text(other.path()), "--config", "/nonexistent.toml"]);
    assert!(
        said(&unknown).contains("cannot read the configuration file /nonexistent.toml"),
        "{}",
        said(&unknown)
    );
    let none = run(&["check", "--data", "/nonexistent"]);
    assert!(said(&none).contains("there is no data in /nonexistent"), "{}", said(&none));
    let keys = done(&["config"]);
    for key in vesta::config::KEYS {
        assert!(keys.contains(&format!("\n{}\n", key.name)), "{}", key.name);
    }
}

#[test]
fn demo_backup_restore_check() {
    let (data, copy) = (directory(), directory());
    let (archives, base) = (copy.path().join("archives"), text(data.path()));
    done(&["demo", "--patients", "3", "--data", base]);
    assert!(done(&["check", "--data", base]).contains("all agree"));
    let server = Server::start(data.path());
    assert_eq!(total(&server, "Patient"), 3);
    let observations = total(&server, "Observation");
    assert!(observations > 10);
    // The same sample again, now through the server, changes nothing.
    done(&["demo", "--patients", "3", "--data", base]);
    assert_eq!(server.get("/fhir/Patient/demo-patient-1").expect(200).header("etag"), "W/\"1\"");
    // While it runs.
    assert!(done(&["check", "--data", base]).contains("all agree"));
    let first = done(&["backup", text(&archives), "--data", base]);
    assert!(first.contains("new commits (") && first.contains("content hash "), "{first}");
    let again = done(&["backup", text(&archives), "--data", base]);
    assert!(again.starts_with("Wrote 0 new commits (0 bytes)"), "{again}");
    assert_eq!(hash(&again), hash(&first));
    let until = store::Timestamp::now().to_string();
    std::thread::sleep(std::time::Duration::from_millis(5));
    server.send("DELETE", "/fhir/Patient/demo-patient-1", &[], b"").expect(204);
    let behind = done(&["drill", text(&archives), "--data", base]);
    assert!(
        behind.contains(" s: 1 commits since 20") && behind.contains("are equal up to commit"),
        "{behind}"
    );
    let third = done(&["backup", text(&archives), "--data", base]);
    assert!(third.starts_with("Wrote 1 new commits"), "{third}");
    let drilled = done(&["drill", text(&archives), "--data", base]);
    for part in [hash(&third), "RTO  ", "RPO       0 s: every commit is in the archive; the last segment is "]
    {
        assert!(drilled.contains(part), "{part} is missing in\n{drilled}");
    }

    let restored = copy.path().join("data");
    let said = done(&["restore", text(&archives), "--data", text(&restored)]);
    assert_eq!(hash(&said), hash(&third));
    let again = said_by_failure(&["restore", text(&archives), "--data", text(&restored)]);
    assert!(
        again
            .contains("the tenant has other data there, and only an empty one can be restored or moved into"),
        "{again}"
    );
    assert!(done(&["check", "--data", text(&restored)]).contains("all agree"));
    let second = Server::start(&restored);
    second.get("/fhir/Patient/demo-patient-1").expect(410);
    let first_version = second.get("/fhir/Patient/demo-patient-1/_history/1").expect(200);
    assert_eq!(first_version.body, server.get("/fhir/Patient/demo-patient-1/_history/1").expect(200).body);
    assert_eq!(total(&second, "Observation"), observations);
    let busy = said_by_failure(&["restore", text(&archives), "--data", text(&restored)]);
    assert!(busy.contains("is in use by another vesta process"), "{busy}");
    second.stop();

    // To the time before the deletion.
    let earlier = copy.path().join("earlier");
    let said = done(&["restore", text(&archives), "--until", &until, "--data", text(&earlier)]);
    assert_eq!(hash(&said), hash(&first));
    let third = Server::start(&earlier);
    third.get("/fhir/Patient/demo-patient-1").expect(200);
    third.stop();
    server.stop();
    assert!(done(&["backup", text(&archives), "--data", base]).starts_with("Wrote 0 new commits"));
    // Another store has another history.
    done(&["demo", "--patients", "1", "--data", text(&earlier)]);
    let other = Server::start(&earlier);
    other.put("/fhir/Patient/other", r#"{"resourceType":"Patient","id":"other"}"#).expect(201);
    other.stop();
    let parted = said_by_failure(&["backup", text(&archives), "--data", text(&earlier)]);
    assert!(parted.contains("has another history: its commit "), "{parted}");
    let differs = said_by_failure(&["drill", text(&archives), "--data", text(&earlier)]);
    assert!(differs.contains("the data differs from the archive: it holds "), "{differs}");
}

/// The content hash that a command says.
fn hash(said: &str) -> &str {
    let (_, after) = said.split_once("content hash ").unwrap_or_else(|| panic!("no content hash in {said}"));
    &after[..64]
}

fn said_by_failure(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    said(&output)
}

#[test]
fn demo_of_us_core() {
    let data = directory();
    let base = text(data.path());
    let first = done(&["demo", "--us-core", "--data", base]);
    assert!(first.contains("for certification with US Core 6.1.0"), "{first}");
    let server = Server::start(data.path());
    assert_eq!(total(&server, "Patient"), 3);
    let found = server.get("/fhir/Device?patient=uscore-adult&_revinclude=Provenance:target").expect(200);
    let kinds: Vec<String> = found.json()["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["resource"]["resourceType"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["Device", "Provenance"]);
    // Documents by the time of care and by type.
    let documents = |asked: &str| {
        let path = format!("/fhir/DocumentReference/$docref?patient=uscore-adult&{asked}");
        let found = server.get(&path).expect(200).json();
        let entries = found["entry"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|it| it["resource"]["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(documents("type=http://loinc.org%7C18842-5"), ["uscore-adult-note-discharge"]);
    assert_eq!(documents("start=2025-03-01&end=2025-03-31").len(), 2);
    assert_eq!(documents("end=2024-01-01").len(), 0);
    let current = documents("on-demand=false");
    assert_eq!((current.len(), current[0].as_str()), (9, "uscore-adult-note-progress"));
    // Once more, through the server, changes nothing.
    done(&["demo", "--us-core", "--data", base]);
    assert_eq!(server.get("/fhir/Patient/uscore-adult").expect(200).header("etag"), "W/\"1\"");
    server.stop();
}

#[test]
fn what_a_tester_needs() {
    let data = directory();
    let (base, preset) = (text(data.path()), data.path().join("preset.json"));
    let demo = ["demo", "--us-core", "--data", base, "--inferno-preset", text(&preset)];
    let refused = said_by_failure(&demo);
    assert!(refused.contains("on a data directory with --authorization"), "{refused}");
    let authorization = ["--authorization", "--authorization-private-fetches"];
    let said = done(&[demo.as_slice(), &authorization].concat());
    for part in [
        "Registered client inferno-bulk",
        "User inferno-patient is Patient/uscore-adult",
        "group_id): uscore-group",
    ] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
    let preset: serde_json::Value = serde_json::from_slice(&std::fs::read(&preset).unwrap()).unwrap();
    let secret = preset["inputs"][1]["value"]["client_secret"].as_str().unwrap();
    assert!(secret.len() == 32 && said.contains(secret), "{preset}");

    let brand = [
        "--organization-name",
        "Wrenfield",
        "--organization-address",
        "12 Old Mill Road",
        "--organization-address",
        "Wrenfield",
    ];
    let server = Server::start_with(data.path(), &[authorization.as_slice(), &brand].concat());
    let urls = server.get("/service-base-urls").expect(200);
    assert_eq!(urls.header("access-control-allow-origin"), "*");
    let urls = urls.json();
    assert_eq!(urls["entry"][0]["resource"]["address"][0]["city"], "Wrenfield");
    let endpoint = urls["entry"][1]["resource"]["address"].as_str().unwrap();
    assert!(endpoint.starts_with("http://127.0.0.1:") && endpoint.ends_with("/fhir"), "{endpoint}");
    let page = server.get("/inferno").expect(200);
    let page = String::from_utf8(page.body).unwrap();
    assert!(page.contains("inferno-confidential") && !page.contains(secret), "{page}");
    server.stop();
}

#[test]
fn other_versions_of_us_core() {
    let data = directory();
    let server = Server::start(data.path());
    let none = server.get("/service-base-urls").expect(404).json();
    assert_eq!(none["issue"][0]["details"]["text"], "No organization is configured; set organization_name.");
    server.stop();
    let refused = said_by_failure(&["serve", "--us-core", "5.0.1", "--data", text(directory().path())]);
    assert!(refused.contains("--us-core: `us_core` takes 6.1.0, 7.0.0 or 8.0.0, not `5.0.1`"), "{refused}");
    for version in ["7.0.0", "8.0.0"] {
        let data = directory();
        let said = done(&["demo", "--us-core", version, "--data", text(data.path())]);
        assert!(said.contains(&format!("for certification with US Core {version}")), "{said}");
        let server = Server::start_with(data.path(), &["--us-core", version]);
        let preferences = "Observation?patient=uscore-adult&category=treatment-intervention-preference";
        assert_eq!(total(&server, preferences), 2);
        let statement = server.get("/fhir/metadata").expect(200).json();
        let us_core = format!("http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server|{version}");
        assert_eq!(statement["instantiates"][0], us_core);
        server.stop();
    }
}

#[test]
fn what_cannot_be_restored_is_said() {
    let (data, copy) = (directory(), directory());
    let (archives, place) = (copy.path().join("archives"), copy.path().join("data"));
    let none = said_by_failure(&["restore", text(&archives), "--data", text(&place)]);
    assert!(none.contains(&format!("there is no archive in {}/default", text(&archives))), "{none}");
    assert!(!place.exists());
    done(&["demo", "--patients", "1", "--data", text(data.path())]);
    done(&["backup", text(&archives), "--data", text(data.path())]);
    let wrong = run(&["restore", text(&archives), "--until", "yesterday", "--data", text(&place)]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        said(&wrong).contains("write the time with its zone, as 2026-11-22T02:10:33Z"),
        "{}",
        said(&wrong)
    );
    let early = ["restore", text(&archives), "--until", "2001-01-01T00:00:00Z", "--data", text(&place)];
    assert!(said_by_failure(&early).contains("after the time asked for"));
    let segment = std::fs::read_dir(archives.join("default")).unwrap().map(|entry| entry.unwrap().path());
    let segment =
        segment.filter(|path| path.extension().is_some_and(|ending| ending == "segment")).last().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    for command in ["restore", "drill", "backup"] {
        let whose = if command == "restore" { &place } else { data.path() };
        let said = said_by_failure(&[command, text(&archives), "--data", text(whose)]);
        assert!(said.contains(&format!("{} is damaged: block ", segment.display())), "{command}: {said}");
    }
}

#[test]
fn a_server_backs_up_by_itself() {
    let (data, copy) = (directory(), directory());
    let archives = copy.path().join("archives");
    let every_second = ["--backup-directory", text(&archives), "--backup-interval-s", "1"];
    let server = Server::start_with(data.path(), &every_second);
    server.put("/fhir/Patient/a", r#"{"resourceType":"Patient","id":"a"}"#).expect(201);
    let archive = archive::Archive::at(archives.join("default"));
    let began = std::time::Instant::now();
    while archive.end().unwrap().is_none_or(|end| end.content.sequence < 1) {
        assert!(began.elapsed().as_secs() < 30, "no backup was made");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // Stopping makes another.
    server.put("/fhir/Patient/b", r#"{"resourceType":"Patient","id":"b"}"#).expect(201);
    server.stop();
    assert_eq!(archive.verify().unwrap().sequence, 2);
    let restored = copy.path().join("data");
    done(&["restore", text(&archives), "--data", text(&restored)]);
    let server = Server::start(&restored);
    assert_eq!(total(&server, "Patient"), 2);
    server.stop();
}

#[test]
fn load_into_a_stopped_store_and_go_on() {
    let (data, files) = (directory(), directory());
    let ndjson = files.path().join("Patient.ndjson");
    std::fs::write(&ndjson, patients(2500)).unwrap();
    let mut gz = flate2::write::GzEncoder::new(
        std::fs::File::create(files.path().join("bundle.json.gz")).unwrap(),
        flate2::Compression::fast(),
    );
    gz.write_all(br#"{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"POST","url":"Condition"},"resource":{"resourceType":"Condition","subject":{"reference":"Patient/p1"}}}]}"#).unwrap();
    gz.finish().unwrap();
    let load = ["load", text(files.path()), "--data", text(data.path())];
    let first = done(&load);
    assert!(first.contains("Loaded 2501 resources from 2 files"), "{first}");
    assert!(first.contains("2501 created, 0 updated, 0 unchanged"), "{first}");
    let second = done(&load);
    assert!(
        second.contains("Loaded 0 resources") && second.contains("2 files were loaded before"),
        "{second}"
    );
    // A line twice in one chunk, and an id that exists.
    std::fs::write(&ndjson, format!("{}{}", patients(3), patients(2).replace("true", "false"))).unwrap();
    let third = done(&["load", text(&ndjson), "--data", text(data.path())]);
    assert!(third.contains("0 created, 2 updated, 3 unchanged"), "{third}");
    let server = Server::start(data.path());
    assert_eq!((total(&server, "Patient"), total(&server, "Condition")), (2500, 1));
    assert_eq!(server.get("/fhir/Patient/p1").json()["active"], false);
    assert_eq!(server.get("/fhir/Patient/p1").header("etag"), "W/\"2\"");
    // Everything again, now over HTTP.
    std::fs::write(&ndjson, patients(2500)).unwrap();
    let again = done(&["load", text(&ndjson), "--data", text(data.path()), "--again"]);
    assert!(again.contains("sending to") && again.contains("Loaded 2500 resources"), "{again}");
    assert_eq!(server.get("/fhir/Patient/p1").header("etag"), "W/\"3\"");
    assert_eq!(server.get("/fhir/Patient/p2").header("etag"), "W/\"1\"");
    server.stop();
    assert!(done(&["check", "--data", text(data.path())]).contains("all agree"));
}

#[test]
fn faults_are_reported_by_line() {
    let (data, files) = (directory(), directory());
    let ndjson = files.path().join("mixed.ndjson");
    std::fs::write(
        &ndjson,
        "{\"resourceType\":\"Patient\",\"id\":\"good\"}\n\n{\"resourceType\":\"Patient\",\"id\":\"bad\",\"colour\":1}\n{\"resourceType\":\"Patient\"}\n{\"resourceType\":\"Patient\",\"id\":\"better\"}\n",
    )
    .unwrap();
    let bundle = files.path().join("bad.json");
    std::fs::write(&bundle, r#"{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Patient","gender":7}}]}"#).unwrap();
    let server_data = directory();
    let server = Server::start(server_data.path());
    let (base, record) = (server.base(), files.path().join("record"));
    for to in [["--data", text(data.path())], ["--server", &base]] {
        let output = run(&["load", text(files.path()), to[0], to[1], "--progress", text(&record)]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in [
            format!("{}:3: ", ndjson.display()),
            format!("{}:4: ", ndjson.display()),
            format!("{}: ", bundle.display()),
            "Loaded 2 resources from 2 files".to_owned(),
            "3 refused".to_owned(),
            "vesta: 3 of 5 were not loaded".to_owned(),
        ] {
            assert!(said.contains(&part), "{part} is missing in\n{said}");
        }
    }
    assert_eq!(total(&server, "Patient"), 2);
    let nothing = run(&["load", text(&files.path().join("none")), "--data", text(data.path())]);
    assert!(said(&nothing).contains("cannot read"), "{}", said(&nothing));
    let nobody = run(&["load", text(&ndjson), "--server", "http://127.0.0.1:9/fhir"]);
    assert!(said(&nobody).contains("is the server running?"), "{}", said(&nobody));
}

#[test]
fn what_is_loaded_is_validated_as_configured() {
    let files = directory();
    let ndjson = files.path().join("Observation.ndjson");
    std::fs::write(&ndjson, "{\"resourceType\":\"Observation\",\"id\":\"o\",\"status\":\"final\"}\n")
        .unwrap();
    for (flags, expected) in [(&[][..], 1), (&["--validation", "base"], 1), (&["--validation", "off"], 0)] {
        let data = directory();
        let load = [&["load", text(&ndjson), "--data", text(data.path())], flags].concat();
        let output = run(&load);
        assert_eq!(output.status.code(), Some(expected), "{flags:?}: {}", said(&output));
        let is_told = said(&output).contains("code is required, and there is none.");
        assert_eq!(is_told, expected == 1, "{}", said(&output));
    }
    let unknown = run(&["load", text(&ndjson), "--validation", "some"]);
    assert!(said(&unknown).contains("off, base or profiles"), "{}", said(&unknown));
}

/// What was acknowledged before the disk was full is there, is read, and is there after the next start.
#[test]
fn a_full_disk() {
    let data = directory();
    let server = Server::start_in_little_room(data.path(), 8192);
    let body = |id: &str| {
        format!(r#"{{"resourceType":"Patient","id":"{id}","name":[{{"text":"{}"}}]}}"#, "x".repeat(60_000))
    };
    let mut acknowledged = Vec::new();
    let refused = (0..1000)
        .find_map(|n| {
            let id = format!("p{n}");
            let answer = server.put(&format!("/fhir/Patient/{id}"), &body(&id));
            if answer.status == 201 {
                acknowledged.push(id);
                return None;
            }
            Some(answer)
        })
        .expect("the room ends");
    assert!(acknowledged.len() > 10, "{} were stored", acknowledged.len());
    assert_eq!(
        refused.expect(503).issues(),
        [
            "error no-store []: The server has no room for more, so nothing was stored; what was stored before can be read."
        ]
    );
    let readiness = server.get("/readyz").expect(503).text();
    assert!(readiness.starts_with("not ready: there is no room to write: "), "{readiness}");
    assert!(readiness.contains("make room and start the server again"), "{readiness}");
    server.put("/fhir/Patient/small", r#"{"resourceType":"Patient","id":"small"}"#).expect(503);
    for id in &acknowledged {
        server.get(&format!("/fhir/Patient/{id}")).expect(200);
    }
    let total = |server: &Server| {
        server.get("/fhir/Patient?_summary=count").expect(200).json()["total"].as_u64().unwrap()
    };
    assert_eq!(total(&server), acknowledged.len() as u64);
    server.stop();
    let server = Server::start(data.path());
    for id in &acknowledged {
        server.get(&format!("/fhir/Patient/{id}")).expect(200);
    }
    assert_eq!(total(&server), acknowledged.len() as u64);
    server.put("/fhir/Patient/small", r#"{"resourceType":"Patient","id":"small"}"#).expect(201);
}

/// What the program says for an expression over a resource given on standard input.
fn evaluated(arguments: &[&str], resource: &str) -> Output {
    let mut command = vesta(&["fhirpath"]);
    command.args(arguments).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(resource.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn fhirpath_shows_what_an_expression_yields() {
    let patient = r#"{"resourceType":"Patient","active":true,"name":[{"family":"A","given":["B","C"],"_given":[null,{"id":"x"}]}],"birthDate":"1980-02","maritalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"M"}]},"multipleBirthInteger":2,"_gender":{"id":"y"}}"#;
    for (expression, expected) in [
        ("name.given", "B\nC\n"),
        ("Patient.name", "{\"family\":\"A\",\"given\":[\"B\",\"C\"],\"_given\":[null,{\"id\":\"x\"}]}\n"),
        ("name.given.count() + 0.50", "2.50\n"),
        ("deceased", ""),
        ("birthDate <= today()", "true\n"),
        ("4 'mg'", "4 'mg'\n"),
        ("maritalStatus.memberOf('http://hl7.org/fhir/ValueSet/marital-status')", "true\n"),
    ] {
        let output = evaluated(&[expression], patient);
        assert_eq!((said(&output).as_str(), output.status.code()), (expected, Some(0)), "{expression}");
    }
    let output = evaluated(
        &["--json", "name | active | birthDate | 1.10 | gender | @2020 | 3 'kg' | multipleBirth"],
        patient,
    );
    let expected = r#"[
  {"type": "HumanName", "value": {"family":"A","given":["B","C"],"_given":[null,{"id":"x"}]}},
  {"type": "boolean", "value": true},
  {"type": "date", "value": "1980-02"},
  {"type": "System.Decimal", "value": 1.10},
  {"type": "code", "value": null},
  {"type": "System.Date", "value": "2020"},
  {"type": "System.Quantity", "value": "3 'kg'"},
  {"type": "integer", "value": 2}
]
"#;
    assert_eq!(said(&output), expected);
    serde_json::from_str::<serde_json::Value>(expected).unwrap();
    assert_eq!(evaluated(&["--json", "deceased"], patient).stdout, b"[]\n");
    let traced = evaluated(&["name.given.trace('each').first()"], patient);
    assert_eq!(said(&traced), "B\ntrace each: string B\ntrace each: string C\n");
    let file = directory();
    let path = file.path().join("patient.json");
    std::fs::write(&path, patient).unwrap();
    assert_eq!(done(&["fhirpath", "active", text(&path)]), "true\n");
}

#[test]
fn validate_says_what_is_wrong_with_files() {
    let files = directory();
    let file = |name: &str, resource: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, resource).unwrap();
        text(&path).to_owned()
    };
    let right = file("right.json", r#"{"resourceType":"Patient","active":true}"#);
    let wrong = file("wrong.json", r#"{"resourceType":"Observation","status":"fin"}"#);
    let nothing = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"Nothing is wrong."}}]}"#;
    let output = run(&["validate", &right]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{nothing}\n"));
    let output = run(&["validate", &wrong, &right]);
    assert_eq!(output.status.code(), Some(1));
    let lines = String::from_utf8(output.stdout).unwrap();
    let (first, rest) = lines.split_once('\n').unwrap();
    let first: serde_json::Value = serde_json::from_str(first).unwrap();
    let places: Vec<&str> = first["issue"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|issue| issue["expression"][0].as_str())
        .collect();
    assert_eq!(places, ["Observation.status", "Observation"], "{first}");
    assert_eq!(rest, format!("{nothing}\n"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.ends_with("vesta: 1 of 2 files are not valid\n"), "{said}");
    let us_core = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient";
    assert_eq!(run(&["validate", "--profile", us_core, &right]).status.code(), Some(1));
    let unknown = run(&["validate", "--profile", "http://x/none", &right]);
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert_eq!(said, "vesta: the profile http://x/none is not known; add its package with --package\n");
}

#[test]
fn fhirpath_says_where_an_expression_or_a_file_is_wrong() {
    let patient = r#"{"resourceType":"Patient","name":[{"text":"a"},{"text":"b"}]}"#;
    for (expression, resource, expected) in [
        (
            "name.givn",
            patient,
            "vesta: 'givn' is no element of HumanName (at character 5)\n  name.givn\n       ^\n",
        ),
        (
            "name.\n  nothing()",
            patient,
            "vesta: there is no function 'nothing' (at character 8)\n    nothing()\n    ^\n",
        ),
        ("iif(name.text, 1, 2)", patient, "vesta: the criterion of iif() is no Boolean\n"),
        (
            "active",
            "{",
            "vesta: - is not a resource:\n  line 1, column 1: A resource needs a resourceType, for instance \"resourceType\": \"Patient\". (Resource)\n  line 1, column 2: This is not JSON: expected a name in quotes, found the end of the text. (Resource)\n",
        ),
        (
            "active",
            "{\"resourceType\":\"Patient\",\n\"birthDate\":\"soon\"}",
            "vesta: - is not a resource:\n  line 2, column 13: 'soon' is not a date (YYYY, YYYY-MM or YYYY-MM-DD). (Patient.birthDate)\n",
        ),
    ] {
        let output = evaluated(&[expression], resource);
        assert_eq!((said(&output).as_str(), output.status.code()), (expected, Some(1)), "{expression}");
        assert!(output.stdout.is_empty());
    }
    let missing = run(&["fhirpath", "active", "/nonexistent.json"]);
    assert_eq!(
        said(&missing),
        "vesta: cannot read /nonexistent.json: No such file or directory (os error 2)\n"
    );
    assert_eq!(run(&["fhirpath", "active"]).status.code(), Some(2));
}
