//! How fast `$import` is, release build, embedded store, Synthea's NDJSON set of 126,740 resources:
//! `cargo bench -p vesta --bench import` (`-- --full` takes the set ten times). The time is that from the kick-off to the complete status,
//! with the sources fetched over HTTP from this machine; in the second row the same again, which changes nothing. Beside it: the server's
//! resident memory before, and its most. Needs `../shared/data`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a broken run should stop

#[path = "../side_by_side/data.rs"]
#[allow(dead_code)] // the other program's part
mod data;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The goal.
const GOAL_PER_S: f64 = 15_000.0;

fn main() {
    let full = std::env::args().any(|argument| argument == "--full");
    let Some(archives) = data::archives() else {
        println!("skipped: import (../shared/data is not there)");
        return;
    };
    let work = tempfile::tempdir_in(data::scratch()).expect("a directory for the run");
    let files = work.path().join("ndjson");
    let resources = archives.ndjson(&files, if full { 10 } else { 1 });
    let host = serve_files(&files);
    let server = Server::start(&work.path().join("store"), &host);
    let manifest = manifest(&files, &host);
    let before = server.memory_mb("VmRSS");
    // Some ids are there several times, some of these with another content: the set is not all new, and not all the same again.
    for (what, changes) in [("into an empty store", "created"), ("the same again", "unchanged")] {
        let started = Instant::now();
        let told = server.import(&manifest);
        let took = started.elapsed();
        let sources = told["output"].as_array().unwrap();
        let all = |name: &str| sources.iter().map(|one| one[name].as_u64().unwrap()).sum::<u64>();
        let (dealt_with, as_expected) = (all("count"), all(changes));
        assert_eq!(
            (dealt_with, told["error"].as_array().map(Vec::len)),
            (resources as u64, Some(0)),
            "{told}"
        );
        let rate = resources as f64 / took.as_secs_f64();
        let verdict = if rate >= GOAL_PER_S { "reached" } else { "missed" };
        println!(
            "$import {what}: {resources} resources, {as_expected} {changes}, in {:.1} s, {rate:.0}/s (goal {GOAL_PER_S:.0}/s: {verdict})",
            took.as_secs_f64()
        );
    }
    // The store's pages that are mapped count as resident, too.
    println!("resident memory: {before} MB before, {} MB at most", server.memory_mb("VmHWM"));
}

fn manifest(files: &Path, host: &str) -> String {
    let mut names: Vec<String> = std::fs::read_dir(files)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let input: Vec<_> =
        names.iter().map(|name| serde_json::json!({"url": format!("http://{host}/{name}")})).collect();
    serde_json::json!({"inputFormat": "application/fhir+ndjson", "input": input}).to_string()
}

/// Answers GET with the files of a directory; where.
fn serve_files(directory: &Path) -> String {
    let directory: PathBuf = directory.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let name = head.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
            let mut file = std::fs::File::open(directory.join(name)).unwrap();
            let length = file.metadata().unwrap().len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            std::io::copy(&mut file, &mut stream).unwrap();
        }
    });
    address.to_string()
}

struct Server {
    child: Child,
    base: String,
}

impl Server {
    fn start(store: &Path, host: &str) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vesta"))
            .args(["serve", "--validation", "off", "--bind", "127.0.0.1:0", "--import-hosts", host, "--data"])
            .arg(store)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("vesta runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.find("http").unwrap_or_else(|| panic!("no base URL in {line:?}"));
        Server { child, base: line[at..].trim().to_owned() }
    }

    /// What a job tells that is complete.
    fn import(&self, manifest: &str) -> serde_json::Value {
        let agent = ureq::Agent::new_with_defaults();
        let asked = agent.post(format!("{}/$import", self.base)).header("prefer", "respond-async");
        let accepted = asked.header("content-type", "application/fhir+json").send(manifest).unwrap();
        let status = accepted.headers()["content-location"].to_str().unwrap().to_owned();
        loop {
            let mut answer = agent.get(&status).call().unwrap();
            if answer.status().as_u16() == 200 {
                return serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A line of what Linux says of the process, in MB.
    fn memory_mb(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        digits.parse::<u64>().unwrap_or(0) / 1000
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
