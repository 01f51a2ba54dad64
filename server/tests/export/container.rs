//! Exports in a container of Blob Storage (Azurite): the same answers and files as on disk, from whichever server; what a kill leaves;
//! what is said while the container is away.

use std::path::Path;
use std::time::{Duration, Instant};

use cosmos_emulator::{Account, Azurite};
use serde_json::{Value, json};

use super::super::support::{Server, directory, done, run, said, vesta};
use super::super::{ASYNC, FHIR, export, fill, ids, kick_off, lines, path, set, wait};

/// A container, and how servers are told of it.
struct Store {
    azurite: Azurite,
    _directory: tempfile::TempDir,
    container: String,
    signature: String,
}

impl Store {
    /// `None` where Azurite cannot be had.
    fn start(test: &str) -> Option<Store> {
        let directory = directory();
        let azurite = Azurite::start(test, directory.path()).unwrap()?;
        azurite.make("jobs").unwrap();
        let file = directory.path().join("signature");
        std::fs::write(&file, azurite.signature("rwdlac").unwrap()).unwrap();
        let (container, signature) = (azurite.container("jobs"), format!("file:{}", file.display()));
        Some(Store { azurite, _directory: directory, container, signature })
    }

    fn flags<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let own = ["--export-container", &self.container, "--export-container-signature", &self.signature];
        [&own[..], more].concat()
    }

    fn serve(&self, data: &Path, more: &[&str]) -> Server {
        Server::start_with(data, &self.flags(more))
    }
}

const AWAY: &str = "error transient []: The store of the files of exports cannot be reached now; ask again.";

#[test]
fn files_are_in_a_container() {
    let Some(store) = Store::start("files_are_in_a_container") else { return };
    let data = directory();
    let server = store.serve(data.path(), &["--max-exports", "1"]);
    fill(&server);
    let manifest = export(&server, "/fhir/Group/g/$export");
    assert!(ids(&lines(&server, &manifest, "output")).is_superset(&set(&super::super::OF_GROUP)));
    assert!(!data.path().join("exports").exists(), "nothing of it is on the disk");

    // In parts, and compressed, as from a disk.
    let file = path(&server, manifest["output"][0]["url"].as_str().unwrap());
    let whole = server.get(&file).expect(200);
    let length = whole.body.len();
    assert_eq!(whole.header("content-length"), length.to_string());
    for (asked, from, to) in
        [("bytes=0-9", 0, 10), ("bytes=10-", 10, length), ("bytes=-5", length - 5, length)]
    {
        let part = server.send("GET", &file, &[("range", asked)], b"").expect(206);
        assert_eq!(part.body, whole.body[from..to], "{asked}");
    }
    let packed = server.send("GET", &file, &[("accept-encoding", "gzip")], b"").expect(200);
    assert_eq!(packed.header("content-encoding"), "gzip");
    for other in ["job.json", "patients.json", "..%2fjob.json"] {
        server.get(&format!("{}/{other}", file.rsplit_once('/').unwrap().0)).expect(404);
    }

    // Listed and cancelled by the program.
    let data = data.path().to_str().unwrap();
    let jobs = |more: &[&str]| run(&[&["jobs"], more, &["--data", data], &store.flags(&[])[..]].concat());
    let status = file.rsplit_once('/').unwrap().0;
    let id = status.rsplit_once('/').unwrap().1;
    let listed = said(&jobs(&[]));
    assert!(listed.contains(id) && listed.contains("  default  complete  "), "{listed}");
    assert!(said(&jobs(&["--cancel", id])).contains("Cancelled "));
    server.get(status).expect(404);
    assert!(said(&jobs(&[])).starts_with("There are no exports"));
    let manifest = export(&server, "/fhir/$export?_type=Patient");
    let file = path(&server, manifest["output"][0]["url"].as_str().unwrap());
    let status = file.rsplit_once('/').unwrap().0;
    server.send("DELETE", status, &[], b"").expect(202);
    server.get(status).expect(404);
    server.get(&file).expect(404);
}

#[test]
fn a_job_in_a_container_outlives_a_kill() {
    let Some(store) = Store::start("a_job_in_a_container_outlives_a_kill") else { return };
    let data = directory();
    done(&["demo", "--patients", "60", "--data", data.path().to_str().unwrap()]);
    let flags = ["--export-file-bytes", "50000"];
    let mut server = store.serve(data.path(), &flags);
    let whole = lines(&server, &export(&server, "/fhir/$export"), "output");
    let accepted = kick_off(&server, "/fhir/$export").expect(202);
    let status = path(&server, accepted.header("content-location"));
    let mut under_way = 0;
    for round in 0..5 {
        std::thread::sleep(Duration::from_millis(20 + 120 * (round % 3)));
        under_way += u32::from(server.get(&status).status == 202);
        server.kill();
        server = store.serve(data.path(), &flags);
    }
    assert!(under_way > 0, "the job was done before the first kill");
    let manifest = wait(&server, &status).expect(200).json();
    assert!(manifest["output"].as_array().unwrap().len() > 10, "files are of bounded size");
    assert!(
        lines(&server, &manifest, "output") == whole,
        "what is exported in parts is what is exported at once"
    );
}

#[test]
fn while_the_container_is_away() {
    let Some(mut store) = Store::start("while_the_container_is_away") else { return };
    let data = directory();
    done(&["demo", "--patients", "60", "--data", data.path().to_str().unwrap()]);
    let server = store.serve(data.path(), &["--export-file-bytes", "10000"]);
    let before = export(&server, "/fhir/$export");
    let whole = lines(&server, &before, "output");
    let file = path(&server, before["output"][0]["url"].as_str().unwrap());
    let status = file.rsplit_once('/').unwrap().0.to_owned();

    // A job under way waits, and says so; what ended, and its files, cannot be had; none is begun. All else goes on.
    let accepted = kick_off(&server, "/fhir/$export").expect(202);
    let under_way = path(&server, accepted.header("content-location"));
    store.azurite.stop().unwrap();
    let begun = Instant::now();
    let waiting = loop {
        let answer = server.get(&under_way).expect(202);
        if answer.header("x-progress").starts_with("waiting until its files can be written again, ") {
            break answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{answer:?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(waiting.header("retry-after"), "10");
    for (method, path) in [
        ("GET", "/fhir/$export"),
        ("GET", status.as_str()),
        ("GET", file.as_str()),
        ("HEAD", file.as_str()),
        ("DELETE", status.as_str()),
        ("DELETE", under_way.as_str()),
    ] {
        let answer = server.send(method, path, &[ASYNC, FHIR], b"").expect(503);
        assert_eq!(answer.header("retry-after"), "10", "{method} {path}");
        if method != "HEAD" {
            assert_eq!(answer.issues(), [AWAY], "{method} {path}");
        }
    }
    server.get("/fhir/Patient?_count=1").expect(200);
    server.put("/fhir/Basic/b", r#"{"resourceType":"Basic","id":"b","code":{"text":"x"}}"#).expect(201);

    // A server starts without it.
    server.stop();
    let server = store.serve(data.path(), &["--export-file-bytes", "10000"]);
    assert_eq!(server.get(&status).expect(503).issues(), [AWAY]);
    server.get("/fhir/Basic/b").expect(200);

    // When it is back, the job ends, and what was there is there.
    store.azurite.start_again().unwrap();
    let complete = loop {
        let answer = server.get(&under_way);
        if answer.status == 200 {
            break answer.json();
        }
        assert!([202, 503].contains(&answer.status), "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(120), "it does not end");
        std::thread::sleep(Duration::from_millis(100));
    };
    let own = |mut exported: std::collections::BTreeMap<String, Vec<String>>| {
        exported.remove("Basic");
        exported
    };
    assert!(own(lines(&server, &complete, "output")) == whole);
    assert!(lines(&server, &server.get(&status).expect(200).json(), "output") == whole);
}

#[test]
fn a_container_that_refuses_is_no_reason_to_stop() {
    let Some(store) = Store::start("a_container_that_refuses_is_no_reason_to_stop") else { return };
    let data = directory();
    let file = data.path().join("read-only");
    std::fs::write(&file, store.azurite.signature("rl").unwrap()).unwrap();
    let signature = format!("file:{}", file.display());
    for container in [store.container.clone(), store.azurite.container("none")] {
        let flags = ["--export-container", &container, "--export-container-signature", &signature];
        let server = Server::start_with(data.path(), &flags);
        assert_eq!(kick_off(&server, "/fhir/$export").expect(503).issues(), [AWAY], "{container}");
        server.get("/fhir/Patient").expect(200);
    }
    let mut flags = vec!["serve", "--data", data.path().to_str().unwrap(), "--export-container"];
    for bad in ["jobs", "ftp://a.example/jobs", "https://a.example/", "https://a.example/jobs?sig=s3cret"] {
        flags.truncate(4);
        flags.extend([bad, "--export-container-signature", &signature]);
        let output = run(&flags);
        assert!(!output.status.success() && !said(&output).contains("s3cret"), "{bad}: {}", said(&output));
        assert!(said(&output).contains("`export_container` is not of the form"), "{bad}: {}", said(&output));
    }
}

/// Servers that share an account and a container.
struct Nodes {
    store: Store,
    account: Account,
    data: tempfile::TempDir,
}

impl Nodes {
    fn start(&self, name: &str) -> Server {
        let data = self.data.path().join(name);
        let flags = self.store.flags(&["--export-file-bytes", "20000", "--max-exports", "2"]);
        let mut command = vesta(&["serve", "--bind", "127.0.0.1:0", "--store", "cosmos", "--data"]);
        command.arg(data).args(flags);
        command.env("VESTA_COSMOS_CONNECTION_STRING", self.account.connection_string());
        Server::start_command(&mut command)
    }
}

#[test]
fn servers_see_each_others_jobs_and_go_on_with_them() {
    let Some(store) = Store::start("servers_see_each_others_jobs_and_go_on_with_them") else { return };
    let nodes = Nodes { store, account: Account::start().unwrap(), data: directory() };
    let mut command = vesta(&["cosmos", "init", "--store", "cosmos"]);
    command.env("VESTA_COSMOS_CONNECTION_STRING", nodes.account.connection_string());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let (one, two) = (nodes.start("one"), nodes.start("two"));
    for batch in 0..8 {
        let entries: Vec<Value> = (0..50)
            .map(|n| {
                let id = format!("p{batch}-{n}");
                json!({"request": {"method": "PUT", "url": format!("Patient/{id}")},
                    "resource": {"resourceType": "Patient", "id": id, "name": [{"text": "x".repeat(400)}]}})
            })
            .collect();
        let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
        one.post("/fhir", &bundle.to_string()).expect(200);
    }
    let below = |url: &str| format!("/fhir{}", url.split_once("/fhir").unwrap().1);
    let begin = |server: &Server| {
        below(kick_off(server, "/fhir/$export?_type=Patient").expect(202).header("content-location"))
    };
    let exported = |server: &Server, status: &str| {
        let begun = Instant::now();
        let manifest = loop {
            let answer = server.get(status);
            if answer.status != 202 {
                break answer.expect(200).json();
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "it does not end");
            std::thread::sleep(Duration::from_millis(100));
        };
        let mut all = Vec::new();
        for file in manifest["output"].as_array().unwrap() {
            let text = server.get(&below(file["url"].as_str().unwrap())).expect(200).text();
            all.extend(text.lines().map(str::to_owned));
        }
        all.sort();
        all
    };
    // Begun at one, asked for at the other.
    let status = begin(&one);
    let whole = exported(&two, &status);
    assert_eq!(whole.len(), 400);
    assert!(exported(&one, &status) == whole);

    // Too many are too many at all servers together.
    let (first, second) = (begin(&one), begin(&one));
    let refused = kick_off(&two, "/fhir/$export");
    assert!([429, 202].contains(&refused.status), "{refused:?}");
    if refused.status == 202 {
        let done = [&first, &second].iter().any(|status| two.get(status).status == 200);
        assert!(done, "a third was begun beside two");
    }
    // Cancelled at the other.
    two.send("DELETE", &second, &[], b"").expect(202);
    let begun = Instant::now();
    loop {
        let answer = one.get(&second);
        if answer.status == 404 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not known there: {answer:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(exported(&two, &first) == whole, "each resource once");
    // One server goes for good; the other ends what it left.
    let mut gone = Some(one);
    let left = (0..5).find_map(|_| {
        let one = gone.take().unwrap_or_else(|| nodes.start("one"));
        let left = begin(&one);
        one.kill();
        // On a busy machine it may be done before the kill.
        (two.get(&left).status == 202).then_some(left)
    });
    let left = left.expect("a job is under way");
    assert!(exported(&two, &left) == whole, "each resource once");
}
