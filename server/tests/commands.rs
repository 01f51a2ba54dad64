//! The other commands: load, demo, check, backup, restore, and starting and stopping.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::Write;
use std::path::Path;

use support::{Server, directory, done, run, said};

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
    let file = copy.path().join("copy.vesta");
    done(&["demo", "--patients", "3", "--data", text(data.path())]);
    assert!(done(&["check", "--data", text(data.path())]).contains("all agree"));
    let server = Server::start(data.path());
    assert_eq!(total(&server, "Patient"), 3);
    let observations = total(&server, "Observation");
    assert!(observations > 10);
    // The same sample again, now through the server, changes nothing.
    done(&["demo", "--patients", "3", "--data", text(data.path())]);
    assert_eq!(server.get("/fhir/Patient/demo-patient-1").expect(200).header("etag"), "W/\"1\"");
    // While it runs.
    assert!(done(&["check", "--data", text(data.path())]).contains("all agree"));
    done(&["backup", text(&file), "--data", text(data.path())]);
    let twice = run(&["backup", text(&file), "--data", text(data.path())]);
    assert!(!twice.status.success(), "a backup never overwrites: {}", said(&twice));
    server.send("DELETE", "/fhir/Patient/demo-patient-1", &[], b"").expect(204);

    let restored = copy.path().join("data");
    done(&["restore", text(&file), "--data", text(&restored)]);
    let again = run(&["restore", text(&file), "--data", text(&restored)]);
    assert!(!again.status.success(), "restoring never overwrites: {}", said(&again));
    assert!(done(&["check", "--data", text(&restored)]).contains("all agree"));
    let second = Server::start(&restored);
    second.get("/fhir/Patient/demo-patient-1").expect(200);
    assert_eq!(total(&second, "Observation"), observations);
    second.stop();
    server.stop();
    let file2 = copy.path().join("stopped.vesta");
    done(&["backup", text(&file2), "--data", text(data.path())]);
    assert!(std::fs::metadata(&file2).unwrap().len() > 1000);
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
