//! A vesta process with a directory of its own, and a bare HTTP client, so that tests see what is on the wire.
#![allow(dead_code)] // each test file uses a part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test support: what fails here fails the test

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running server.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

/// An HTTP response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub fn vesta(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vesta"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VESTA_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    vesta(arguments).output().expect("the program runs")
}

/// Runs a command that must succeed, and gives what it said, standard error last.
pub fn done(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = said(&output);
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Sends a request on a connection of its own.
///
/// # Errors
/// The server is not there, or gone before it answered.
pub fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    let given = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    if !given("host") {
        head.push_str(&format!("host: {address}\r\n"));
    }
    if !body.is_empty() && !given("content-length") {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    if !body.is_empty() && !given("content-type") {
        head.push_str("content-type: application/fhir+json\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    // A refusal may come, and the connection close, before all of a body is sent.
    let _ = stream.write_all(body);
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    Answer::read(&all).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

impl Server {
    /// Serves a directory on a free port.
    pub fn start(data: &Path) -> Server {
        Server::start_with(data, &[])
    }

    pub fn start_with(data: &Path, more: &[&str]) -> Server {
        let data = data.to_str().unwrap();
        Server::start_command(vesta(&["serve", "--data", data, "--bind", "127.0.0.1:0"]).args(more))
    }

    /// Serves where no file may become longer than this many blocks of 512 bytes, as on a disk that is full.
    pub fn start_in_little_room(data: &Path, blocks: u32) -> Server {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_vesta");
        let data = data.to_str().unwrap();
        command.args(["-c", &script, program, "serve", "--data", data, "--bind", "127.0.0.1:0"]);
        Server::start_command(&mut command)
    }

    /// Serves with a file system of so many KiB of its own below the data directory, which really ends. `None`, said by the test's
    /// name, where mounting is not permitted.
    pub fn start_on_small_disk(test: &str, data: &Path, below: &str, size_kib: u32) -> Option<Server> {
        let own = |flags: &str| {
            let mut command = Command::new("unshare");
            command.args([flags, "--", "sh", "-c"]);
            command
        };
        let mount = format!("mount -t tmpfs -o size={size_kib}k vesta \"$0\"");
        let directory = data.join(below);
        std::fs::create_dir_all(&directory).unwrap();
        let may = |flags: &&str| {
            let tried = own(flags).arg(&mount).arg(&directory).stderr(Stdio::null()).status();
            tried.is_ok_and(|status| status.success())
        };
        let Some(flags) = ["-m", "-rm"].into_iter().find(may) else {
            eprintln!("skipped: {test} (no file system can be mounted here)");
            return None;
        };
        let script = format!("{mount} && exec \"$@\"");
        let mut command = own(flags);
        command.arg(script).arg(&directory).arg(env!("CARGO_BIN_EXE_vesta"));
        command.args(["serve", "--bind", "127.0.0.1:0", "--data"]).arg(data);
        Some(Server::start_command(&mut command))
    }

    /// Runs `vesta serve` as a command says, on a free port.
    pub fn start_command(command: &mut Command) -> Server {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let base = line.trim().rsplit("://").next().unwrap_or_default();
        let address =
            base.trim_end_matches("/fhir").parse().unwrap_or_else(|_| panic!("no base URL in {line:?}"));
        Server { child, address }
    }

    pub fn base(&self) -> String {
        format!("http://{}/fhir", self.address)
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        exchange(self.address, method, path, headers, body).unwrap()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub fn put(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, &[], body.as_bytes())
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[], body.as_bytes())
    }

    /// Tells the server to stop, and waits until it has.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(20) {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "stopped with {status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not stop");
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// `None` for what is cut off.
    fn read(all: &[u8]) -> Option<Answer> {
        let end = all.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&all[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                (name.to_ascii_lowercase(), value.trim().to_owned())
            })
            .collect();
        let answer = Answer { status, headers, body: all[end + 4..].to_vec() };
        let length = answer.header("content-length").parse();
        let is_whole =
            length.map_or(true, |length: usize| answer.body.len() == length || answer.body.is_empty());
        is_whole.then_some(answer)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The issues of an OperationOutcome, each as `severity code [expression]: text`.
    pub fn issues(&self) -> Vec<String> {
        let outcome = self.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{}", self.text());
        let issues = outcome["issue"].as_array().unwrap();
        assert!(!issues.is_empty());
        issues
            .iter()
            .map(|issue| {
                let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let place = issue["expression"]
                    .as_array()
                    .map(|all| all.iter().map(of).collect::<Vec<_>>().join(","));
                format!(
                    "{} {} [{}]: {}",
                    of(&issue["severity"]),
                    of(&issue["code"]),
                    place.unwrap_or_default(),
                    of(&issue["details"]["text"])
                )
            })
            .collect()
    }

    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{:?}\n{}", self.headers, self.text());
        self
    }
}

/// A directory that goes away after the test.
pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
