//! How fast the NDJSON set (126,740 resources) goes out in bulk, embedded store: `cargo bench -p vesta --bench export`.
//!
//! Each row exports to files on disk, in this process and without HTTP, and is held against writing the same bytes through one
//! buffer and making them durable. Told are also how much memory it took besides the store's pages, and how long reads of
//! single resources take meanwhile. Needs `../shared/data` and some gigabytes of disk. `--times 10` takes the set ten times; a
//! directory after `--keep` has the store, which is loaded into it if it is not there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a broken run should stop
#![allow(clippy::cast_precision_loss)] // megabytes, to a few digits

#[path = "../side_by_side/data.rs"]
#[allow(dead_code)] // the other program's part
mod data;

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bulk::{Control, Directory, Environment, Job, Jobs as _, Kickoff, Level};
use interaction::{ReadConditions, Service};
use vesta::export;

/// The goals: of the rate of plain writing, or megabytes a second, whichever is lower; growth in megabytes; reads, times their p99.
const RATIO: f64 = 0.5;
const RATE: f64 = 250.0;
const GROWTH: f64 = 32.0;
const SLOWER: f64 = 1.5;
/// Size of a file, as the server has it by default.
const FILE_BYTES: u64 = 128 << 20;
/// The buffer of plain writing, as long as that of an export.
const BUFFER: usize = 256 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(at + 1).expect("a value").clone())
    };
    let times = after("--times").map_or(1, |text| text.parse().expect("a number"));
    let Some(archives) = data::archives() else {
        println!("skipped: export (../shared/data is not there)");
        return;
    };
    let work = tempfile::tempdir_in(data::scratch()).expect("a directory for the run");
    let place = after("--keep").map_or_else(|| work.path().to_owned(), PathBuf::from);
    let store = place.join(format!("store-{times}"));
    if !store.exists() {
        load(&archives, &store, work.path(), times);
    }
    let service = open(&store);
    let alone = p99(&service, Duration::from_secs(2), &AtomicBool::new(false));
    println!(
        "\n| export | resources | MB | s | MB/s | plain MB/s | memory MB | p99 of reads ms, alone | meanwhile |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let organized = ("organizeOutputBy", "Patient");
    for (name, level, parameters) in [
        ("system", Level::System, &[][..]),
        ("Patient", Level::Patient, &[]),
        ("Patient, organized", Level::Patient, &[organized]),
    ] {
        row(name, (level, parameters), &service, work.path(), alone);
    }
}

fn load(archives: &data::Archives, store: &Path, work: &Path, times: usize) {
    let files = work.join("ndjson");
    archives.ndjson(&files, times);
    let mut command = Command::new(env!("CARGO_BIN_EXE_vesta"));
    command.args(["load", "--validation", "off", "--data"]).args([store, &files]);
    assert!(command.stdout(Stdio::null()).status().expect("vesta runs").success(), "vesta load failed");
    std::fs::remove_dir_all(&files).expect("the files go");
}

fn open(store: &Path) -> Service {
    let flags = [("data", vec![store.display().to_string()])];
    let config = vesta::config::load(None, &[], &flags).expect("a configuration");
    let opened = vesta::open::open(&config, None, "http://127.0.0.1:8080/fhir".to_owned());
    runtime().block_on(opened).expect("the store opens")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// What is asked for: of whom, and the parameters.
type Asked<'a> = (Level, &'a [(&'a str, &'a str)]);

fn row(name: &str, asked: Asked<'_>, service: &Service, work: &Path, alone_ms: f64) {
    let directory = work.join(name);
    let before = anonymous();
    let most = AtomicU64::new(0);
    let (job, took) = exported(asked.clone(), service, &directory, &|| {
        most.fetch_max(anonymous(), Ordering::Relaxed);
    });
    let grown = most.load(Ordering::Relaxed).saturating_sub(before) as f64 / 1024.0;
    let files: Vec<PathBuf> = job.files.iter().map(|file| directory.join(&job.id).join(&file.name)).collect();
    let megabytes = job.files.iter().map(|file| file.bytes).sum::<u64>() as f64 / 1e6;
    let plain = megabytes / plain_s(&files, &work.join("plain"));
    std::fs::remove_dir_all(&directory).expect("the files go");

    let ended = AtomicBool::new(false);
    let meanwhile_ms = std::thread::scope(|scope| {
        let reads = scope.spawn(|| p99(service, Duration::MAX, &ended));
        let job = scope.spawn(|| {
            vesta::jobs::after_requests();
            exported(asked, service, &directory, &|| ());
        });
        job.join().expect("the export");
        ended.store(true, Ordering::Relaxed);
        reads.join().expect("the reads")
    });
    std::fs::remove_dir_all(&directory).expect("the files go");

    let rate = megabytes / took;
    let mut missed = Vec::new();
    if rate < RATE.min(RATIO * plain) {
        missed.push("too slow".to_owned());
    }
    if grown >= GROWTH {
        missed.push(format!("not under {GROWTH} MB"));
    }
    if meanwhile_ms > SLOWER * alone_ms {
        missed.push(format!("reads {:.1} times as long", meanwhile_ms / alone_ms));
    }
    let verdict = if missed.is_empty() { "met".to_owned() } else { format!("**{}**", missed.join(", ")) };
    println!(
        "| {name} | {} | {megabytes:.0} | {took:.1} | {rate:.0} | {plain:.0} | {grown:.0} | {alone_ms:.3} | {meanwhile_ms:.3} | {verdict} |",
        job.resources()
    );
}

/// A job run to its end, and how long that took, seconds.
fn exported(
    (level, parameters): Asked<'_>,
    service: &Service,
    directory: &Path,
    told: &(dyn Fn() + Sync),
) -> (Job, f64) {
    let caller = vesta::open::everything(store::Tenant::default_tenant());
    let types = export::types(service);
    let kickoff = Kickoff {
        level,
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        is_post: false,
        lenient: false,
        documented: false,
        types: &types,
    };
    let request = kickoff.read().expect("a request");
    let runtime = runtime();
    let directory = Directory::at(directory);
    let started = Instant::now();
    let begun = export::begin(service, &caller, &caller, request, String::new(), "job".to_owned());
    let (mut job, patients) = runtime.block_on(begun).expect("it begins");
    if let Some(patients) = patients {
        directory.save_patients(&job.id, &patients).expect("room");
    }
    directory.save(&job).expect("room");
    let records = export::Records::new(service.clone(), caller, &job.request, job.snapshot_ms);
    let environment = Environment {
        tables: None,
        url: "http://files.example",
        source: &records.expect("a record"),
        output: &directory,
        jobs: &directory,
        file_bytes: FILE_BYTES,
        control: &|| Control::Go,
        progress: &|_| told(),
    };
    runtime.block_on(bulk::run(&environment, &mut job)).expect("it ends");
    (job, started.elapsed().as_secs_f64())
}

/// How long it takes to write what these files hold through one buffer, seconds.
fn plain_s(files: &[PathBuf], to: &Path) -> f64 {
    let mut all = Vec::new();
    for file in files {
        File::open(file).expect("a file").read_to_end(&mut all).expect("it is read");
    }
    let started = Instant::now();
    let mut out = BufWriter::with_capacity(BUFFER, File::create(to).expect("a file"));
    // Line by line, as an export does.
    for line in all.split_inclusive(|byte| *byte == b'\n') {
        out.write_all(line).expect("room");
    }
    out.into_inner().expect("room").sync_data().expect("room");
    let took = started.elapsed().as_secs_f64();
    std::fs::remove_file(to).expect("the file goes");
    took
}

/// The p99 of reads, milliseconds, until a time is over or something ended.
fn p99(service: &Service, until: Duration, ended: &AtomicBool) -> f64 {
    let caller = vesta::open::everything(store::Tenant::default_tenant());
    let runtime = runtime();
    let parameters = [("_count".to_owned(), "500".to_owned()), ("_elements".to_owned(), "id".to_owned())];
    let page = interaction::search(
        service,
        &caller,
        Some("Observation"),
        None,
        &parameters,
        interaction::Handling::Strict,
    );
    let interaction::OutcomeBody::Resource(bundle) = runtime.block_on(page).expect("a page").body else {
        panic!("a Bundle")
    };
    let bundle: serde_json::Value = serde_json::from_slice(&bundle).expect("JSON");
    let ids: Vec<&str> = bundle["entry"]
        .as_array()
        .expect("entries")
        .iter()
        .filter_map(|it| it["resource"]["id"].as_str())
        .collect();
    let conditions = ReadConditions::default();
    let (mut times, started, next) = (Vec::new(), Instant::now(), AtomicU64::new(0));
    while started.elapsed() < until && !ended.load(Ordering::Relaxed) {
        let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("a number") % ids.len();
        let from = Instant::now();
        let read = interaction::read(service, &caller, "Observation", ids[at], &conditions);
        runtime.block_on(read).expect("it is there");
        times.push(from.elapsed().as_secs_f64() * 1e3);
        // Not as fast as can be: what is asked is whether one read waits, not how two share the machine.
        std::thread::sleep(Duration::from_micros(200));
    }
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

/// Memory of this process that is no file's, KiB.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("/proc/self/status tells it")
}
