//! Vesta against the bare minimum of the same work, both in one run: `cargo bench -p vesta --bench side_by_side`.
//!
//! Each server runs in a process of its own, the client in this one, all on the machine's cores. Absolute
//! figures depend on the machine; the ratios are what is promised. `--full` also multiplies the NDJSON set by
//! ten (about 1.3 million resources, several gigabytes of disk, some minutes). Needs `../shared/data`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a broken run should stop

mod client;
#[allow(dead_code)] // the other program's part
mod data;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Load, Request};

const CONNECTIONS: usize = 16;
const SECONDS: u64 = 4;
/// Rounds of each pair, taken in turn; the median ratio is reported.
const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("bare-read") => return bare::serve_bytes(Path::new(&arguments[2])),
        Some("bare-append") => return bare::serve_append(Path::new(&arguments[2])),
        _ => {}
    }
    let full = arguments.iter().any(|argument| argument == "--full");
    let Some(archives) = data::archives() else {
        println!("skipped: side_by_side (../shared/data is not there)");
        return;
    };
    let work = tempfile::tempdir_in(data::scratch()).expect("a directory for the run");
    let mut table = Table::default();

    let files = work.path().join("ndjson");
    let resources = archives.ndjson(&files, 1);
    let store = work.path().join("store");
    let took = load(&store, &files);
    table.row(
        "`vesta load`, NDJSON set",
        rate(resources, took),
        "25,000 resources/s",
        per_second(resources, took) >= 25_000.0,
    );

    table.processing(&archives);
    let patient = archives.typical_patient();
    table.search("search, server time p50", &store, &patient, 100.0);

    let server = Server::vesta(&store);
    table.row(
        "start to ready on that store",
        format!("{} ms", server.ready.as_millis()),
        "under 300 ms",
        server.ready < Duration::from_millis(300),
    );
    table.reads(&server, &patient, work.path());
    table.creates(&server, work.path());
    table.validation(work.path());
    server.mixed(&patient, 10_000);
    table.memory("private memory after that and 10,000 mixed requests", &server);
    drop(server);

    // Some of Synthea's resources break rules, and a transaction with one of them would be refused as a whole.
    let server = Server::validating("off", &work.path().join("bundles"));
    table.bundles(&server, &archives);
    server.mixed(&server.some_patient(), 10_000);
    table.memory("private memory after these Bundles and 10,000 mixed requests", &server);
    drop(server);

    let size = std::fs::metadata(env!("CARGO_BIN_EXE_vesta")).map_or(0, |file| file.len()) / 1_000_000;
    table.row("release binary", format!("{size} MB"), "under 60 MB", size < 60);

    if full {
        std::fs::remove_dir_all(&files).expect("the files go");
        let small = table.last_search;
        let files = work.path().join("ndjson-10");
        let resources = archives.ndjson(&files, 10);
        let store = work.path().join("store-10");
        let took = load(&store, &files);
        table.row("`vesta load`, ten times the set", rate(resources, took), "", true);
        table.search("search, server time p50, ten times the data", &store, &patient, 2.0 * small);
    }
    table.print();
}

fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn rate(count: usize, took: Duration) -> String {
    format!("{:.0} resources/s ({count} in {:.1} s)", per_second(count, took), took.as_secs_f64())
}

fn load(store: &Path, files: &Path) -> Duration {
    let started = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_vesta"))
        .args(["load", "--validation", "off", "--data"])
        .arg(store)
        .arg(files)
        .stdout(Stdio::null())
        .status()
        .expect("vesta runs");
    assert!(status.success(), "vesta load failed");
    started.elapsed()
}

/// The creation of an Observation that claims a profile of US Core.
fn observation(n: usize) -> Request {
    let subject = format!("Patient/bench-{}", n % 1000);
    let body = format!(
        r#"{{"resourceType":"Observation","meta":{{"profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-body-height"]}},"status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"8302-2","display":"Body height"}}],"text":"Body Height"}},"subject":{{"reference":"{subject}"}},"effectiveDateTime":"2012-02-08T02:43:19+00:00","issued":"2012-02-08T02:43:19.205+00:00","valueQuantity":{{"value":175.98,"unit":"cm","system":"http://unitsofmeasure.org","code":"cm"}}}}"#
    );
    Request::post("/fhir/Observation", body.into_bytes())
}

/// A child process that serves on a loopback port.
struct Server {
    child: Child,
    /// `127.0.0.1:port`.
    address: String,
    /// From starting the process to the line that names the address.
    ready: Duration,
}

impl Server {
    fn vesta(store: &Path) -> Server {
        Server::validating("profiles", store)
    }

    fn validating(level: &str, store: &Path) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vesta"));
        command.args(["serve", "--bind", "127.0.0.1:0", "--validation", level, "--data"]).arg(store);
        command.stderr(Stdio::null());
        Server::start(command)
    }

    fn bare(kind: &str, file: &Path) -> Server {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(kind).arg(file);
        Server::start(command)
    }

    fn start(mut command: Command) -> Server {
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let address = loop {
            let line = lines.next().expect("a line with the address").expect("text");
            if let Some((_, rest)) = line.split_once("http://") {
                break rest.split(['/', ' ']).next().unwrap_or(rest).to_owned();
            }
        };
        let ready = started.elapsed();
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, address, ready }
    }

    /// Requests per second of `CONNECTIONS` connections.
    fn load(&self, requests: &(dyn Fn(usize) -> Request + Sync)) -> Load {
        client::load(&self.address, CONNECTIONS, Duration::from_secs(SECONDS), requests)
    }

    fn mixed(&self, patient: &str, count: usize) {
        let requests = [
            format!("/fhir/Patient/{patient}"),
            format!("/fhir/Observation?patient={patient}&_count=50"),
            format!("/fhir/Observation?patient={patient}&category=laboratory&_sort=-date&_count=20"),
            format!("/fhir/Patient/{patient}/_history"),
            "/fhir/Patient?family=s&_count=20".to_owned(),
            "/fhir/Observation?code=8302-2&_include=Observation:subject&_count=50".to_owned(),
            "/fhir/metadata".to_owned(),
        ];
        client::count(&self.address, CONNECTIONS, count, &|n| Request::get(&requests[n % requests.len()]));
    }

    /// The id of a patient of the store.
    fn some_patient(&self) -> String {
        let page = client::once(&self.address, &Request::get("/fhir/Patient?_count=1"));
        let text = String::from_utf8_lossy(&page);
        let id = text.split("/Patient/").nth(1).and_then(|rest| rest.split('"').next());
        id.expect("a patient").to_owned()
    }

    /// Anonymous private memory of the process, MB.
    fn private_memory(&self) -> f64 {
        let rollup =
            std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap_or_default();
        let line = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// What was measured.
#[derive(Default)]
struct Table {
    rows: Vec<(String, String, String, bool)>,
    /// p50 of the last search measured, microseconds.
    last_search: f64,
}

impl Table {
    fn row(&mut self, what: &str, measured: impl Into<String>, goal: &str, met: bool) {
        let row = (what.to_owned(), measured.into(), goal.to_owned(), met);
        println!("{}: {} (goal: {}{})", row.0, row.1, row.2, if met { "" } else { "; NOT MET" });
        let _ = std::io::stdout().flush();
        self.rows.push(row);
    }

    fn print(&self) {
        println!("\n| what | measured | goal | |\n|---|---|---|---|");
        for (what, measured, goal, met) in &self.rows {
            let verdict = match (goal.is_empty(), met) {
                (true, _) => "",
                (false, true) => "met",
                (false, false) => "**not met**",
            };
            println!("| {what} | {measured} | {goal} | {verdict} |");
        }
    }

    /// Two servers in turn, the median of the ratios of a round; `of` says what the other is.
    fn ratio(
        &mut self,
        what: &str,
        ours: &dyn Fn() -> Load,
        (of, bare): (&str, &dyn Fn() -> Load),
        goal: f64,
    ) {
        let mut rounds: Vec<(f64, f64, f64)> = (0..ROUNDS)
            .map(|_| {
                let (bare, ours) = (bare(), ours());
                (ours.per_second / bare.per_second, ours.per_second, bare.per_second)
            })
            .collect();
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, ours, bare) = rounds[ROUNDS / 2];
        self.row(
            what,
            format!("{ratio:.2} ({ours:.0}/s of {bare:.0}/s)"),
            &format!("at least {goal} of {of}"),
            ratio >= goal,
        );
    }

    fn reads(&mut self, vesta: &Server, patient: &str, work: &Path) {
        let path = format!("/fhir/Patient/{patient}");
        let body = client::once(&vesta.address, &Request::get(&path));
        let file = work.join("body.json");
        std::fs::write(&file, &body).expect("the body is kept");
        let bare = Server::bare("bare-read", &file);
        let request = |_| Request::get(&path);
        self.ratio("read, 16 connections", &|| vesta.load(&request), ("bare", &|| bare.load(&request)), 0.7);
    }

    fn creates(&mut self, vesta: &Server, work: &Path) {
        let bare = Server::bare("bare-append", &work.join("append"));
        let (ours, bare) = (|| vesta.load(&observation), || bare.load(&observation));
        self.ratio("durable create, 16 connections", &ours, ("bare", &bare), 0.3);
    }

    /// What validation costs a create.
    fn validation(&mut self, work: &Path) {
        let off = Server::validating("off", &work.join("off"));
        for level in ["base", "profiles"] {
            let validating = Server::validating(level, &work.join(level));
            let (ours, off) = (|| validating.load(&observation), || off.load(&observation));
            let what = format!("durable create with validation `{level}`");
            self.ratio(&what, &ours, ("one with `off`", &off), 0.7);
        }
    }

    fn bundles(&mut self, vesta: &Server, archives: &data::Archives) {
        let (mut first, bundles) = archives.bundles();
        first.sort_by_key(|(name, _, _)| name.clone());
        for (_, body, _) in first {
            client::once(&vesta.address, &Request::post("/fhir", body));
        }
        let resources: usize = bundles.iter().map(|(_, _, entries)| entries).sum();
        let requests: Vec<Request> =
            bundles.into_iter().map(|(_, body, _)| Request::post("/fhir", body)).collect();
        let started = Instant::now();
        client::count(&vesta.address, 4, requests.len(), &|n| requests[n].clone());
        let took = started.elapsed();
        self.row(
            "US Core transaction Bundles, 4 connections",
            rate(resources, took),
            "10,000 resources/s",
            per_second(resources, took) >= 10_000.0,
        );
    }

    fn memory(&mut self, what: &str, server: &Server) {
        let memory = server.private_memory();
        self.row(what, format!("{memory:.0} MB"), "under 100 MB", memory < 100.0);
    }

    fn processing(&mut self, archives: &data::Archives) {
        let definitions = Arc::new(conformance::Definitions::embedded().expect("definitions"));
        let index = search::SearchIndex::new(Arc::clone(&definitions), Vec::new());
        let resources = archives.sample(40_000);
        let mut entries = store::Entries::new();
        let mut rates: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let copies: Vec<Vec<u8>> = resources.clone();
                let started = Instant::now();
                for text in copies {
                    let limits = fhirpath::tree::Limits::default();
                    let tree =
                        fhirpath::Tree::parse_json(&definitions.schema, text, &limits).expect("a resource");
                    entries.clear();
                    index.tree_entries(&tree, &mut entries);
                }
                per_second(resources.len(), started.elapsed())
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        let rate = rates[ROUNDS / 2];
        self.row(
            "parse + index entries, one core",
            format!("{rate:.0} resources/s"),
            "50,000 resources/s",
            rate >= 50_000.0,
        );
    }

    fn search(&mut self, what: &str, store: &Path, patient: &str, goal_us: f64) {
        let p50 = in_process::search_p50(store, patient);
        self.last_search = p50;
        self.row(what, format!("{p50:.0} us"), &format!("under {goal_us:.0} us"), p50 < goal_us);
    }
}

mod in_process {
    //! The interaction itself, without HTTP.

    use super::*;
    use interaction::{Handling, Service};

    /// p50 of `Observation?patient=X&category=laboratory&_sort=-date&_count=20`, microseconds.
    pub fn search_p50(store: &Path, patient: &str) -> f64 {
        let service = service(store);
        let caller = vesta::open::everything(store::Tenant::default_tenant());
        let parameters: Vec<(String, String)> =
            [("patient", patient), ("category", "laboratory"), ("_sort", "-date"), ("_count", "20")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut times: Vec<f64> = (0..5_000)
            .map(|_| {
                let started = Instant::now();
                let search = interaction::search(
                    &service,
                    &caller,
                    Some("Observation"),
                    None,
                    &parameters,
                    Handling::Strict,
                );
                let outcome = runtime.block_on(search).expect("the search runs");
                std::hint::black_box(outcome);
                started.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }

    fn service(store: &Path) -> Service {
        let flags = [("data", vec![store.display().to_string()])];
        let config = vesta::config::load(None, &[], &flags).expect("a configuration");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let base = "http://127.0.0.1:8080/fhir".to_owned();
        runtime.block_on(vesta::open::open(&config, None, base)).expect("the store opens")
    }
}

mod bare {
    //! The least a server could do for the same request.

    use super::*;
    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::http::{StatusCode, header};
    use axum::routing::{get, post};
    use tokio::sync::{mpsc, oneshot};

    /// Any GET answers the same bytes.
    pub fn serve_bytes(file: &Path) {
        let body = Bytes::from(std::fs::read(file).expect("the body"));
        let answer =
            |State(body): State<Bytes>| async { ([(header::CONTENT_TYPE, "application/fhir+json")], body) };
        serve(Router::new().route("/fhir/{kind}/{id}", get(answer)).with_state(body));
    }

    type Append = (Bytes, oneshot::Sender<()>);

    /// A POST appends its body to a file and answers when it is synced; all that wait share one sync.
    pub fn serve_append(file: &Path) {
        let (sender, receiver) = mpsc::channel::<Append>(1024);
        let file = file.to_owned();
        std::thread::spawn(move || append(&file, receiver));
        let answer = |State(sender): State<mpsc::Sender<Append>>, body: Bytes| async move {
            let (done, wait) = oneshot::channel();
            sender.send((body.clone(), done)).await.expect("the writer lives");
            wait.await.expect("the writer answers");
            (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/fhir+json")], body)
        };
        serve(Router::new().route("/fhir/{kind}", post(answer)).with_state(sender));
    }

    fn append(path: &PathBuf, mut receiver: mpsc::Receiver<Append>) {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).expect("the file");
        while let Some(first) = receiver.blocking_recv() {
            let mut group = vec![first];
            while let Ok(next) = receiver.try_recv() {
                group.push(next);
            }
            let bytes: Vec<u8> = group.iter().flat_map(|(body, _)| body.iter().copied()).collect();
            file.write_all(&bytes).expect("the disk takes it");
            file.sync_data().expect("the disk keeps it");
            for (_, done) in group {
                // A client that is gone does not wait.
                let _ = done.send(());
            }
        }
    }

    fn serve(router: Router) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            println!("http://{}/", listener.local_addr().expect("an address"));
            axum::serve(
                axum::serve::ListenerExt::tap_io(listener, |io| {
                    io.set_nodelay(true).expect("a socket option")
                }),
                router,
            )
            .await
            .expect("it serves");
        });
    }
}
