//! How long searches take, at one and at ten times the NDJSON set (126,740 and 1,267,400 resources), embedded store:
//! `cargo bench -p vesta --bench latency`.
//!
//! Each kind of search is asked with values that resources have, others each time, for a page of 20; the time is that of the
//! interaction, from the parameters to the bytes of the Bundle, without HTTP. Needs `../shared/data`, some gigabytes of disk
//! and some minutes. `--small` measures the first size alone. An argument that is no option leaves only the rows that have it
//! in their names; a directory after `--keep` has the stores, which are loaded into it if they are not there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a broken run should stop

#[path = "../side_by_side/data.rs"]
#[allow(dead_code)] // the other program's part
mod data;
mod questions;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use interaction::{Handling, OutcomeBody, Service};
use questions::{Question, Row};

/// Times the set is taken.
const TIMES: [usize; 2] = [1, 10];
/// Searches of a row that are measured, at most.
const SEARCHES: usize = 2_000;
/// How long a row may take, before at least [`FEWEST`] were measured.
const LONGEST: Duration = Duration::from_secs(4);
const FEWEST: usize = 100;
/// Searches before those that are measured.
const WARMING: usize = 50;
/// The goals: milliseconds for the p99 of a page, and the ratio of the p50s at both sizes of selective searches.
const GOAL_MS: f64 = 5.0;
const TEXT_GOAL_MS: f64 = 20.0;
const GROWTH: f64 = 2.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let small = arguments.iter().any(|argument| argument == "--small");
    let keep = arguments
        .iter()
        .position(|argument| argument == "--keep")
        .map(|at| PathBuf::from(&arguments[at + 1]));
    let only = arguments.iter().enumerate().find_map(|(at, argument)| {
        let kept = at > 0 && arguments[at - 1] == "--keep";
        (!argument.starts_with("--") && !kept).then_some(argument.as_str())
    });
    let Some(archives) = data::archives() else {
        println!("skipped: latency (../shared/data is not there)");
        return;
    };
    let work = tempfile::tempdir_in(data::scratch()).expect("a directory for the run");
    let place = keep.unwrap_or_else(|| work.path().to_owned());
    let mut rows: Vec<Row> = questions::rows(&archives);
    rows.retain(|row| only.is_none_or(|only| row.name.contains(only)));
    let mut measured: Vec<Vec<Option<Measured>>> = Vec::new();
    for times in TIMES.into_iter().filter(|times| !small || *times == 1) {
        let store = place.join(format!("store-{times}"));
        if !store.exists() {
            load(&archives, &store, work.path(), times);
        }
        let served = Served::open(&store);
        measured.push(rows.iter().map(|row| served.measure(row)).collect());
    }
    print(&rows, &measured);
}

fn load(archives: &data::Archives, store: &Path, work: &Path, times: usize) {
    let files = work.join("ndjson");
    let resources = archives.ndjson(&files, times);
    let started = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_vesta"))
        .args(["load", "--validation", "off", "--data"])
        .args([store, &files])
        .stdout(Stdio::null())
        .status()
        .expect("vesta runs");
    assert!(status.success(), "vesta load failed");
    println!("loaded {resources} resources in {:.0} s", started.elapsed().as_secs_f64());
    std::fs::remove_dir_all(&files).expect("the files go");
}

/// Milliseconds.
#[derive(Clone, Copy)]
struct Measured {
    p50: f64,
    p99: f64,
}

/// A store, and what answers from it.
struct Served {
    service: Service,
    runtime: tokio::runtime::Runtime,
}

/// The position of the next page, or the end.
type Next = Option<String>;

impl Served {
    fn open(store: &Path) -> Served {
        let flags = [("data", vec![store.display().to_string()])];
        let config = vesta::config::load(None, &[], &flags).expect("a configuration");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let base = "http://127.0.0.1:8080/fhir".to_owned();
        let service = runtime.block_on(vesta::open::open(&config, None, base)).expect("the store opens");
        Served { service, runtime }
    }

    /// The Bundle, or why not.
    fn ask(&self, question: &Question) -> Result<Vec<u8>, String> {
        let caller = vesta::open::everything(store::Tenant::default_tenant());
        let (name, parameters) = (question.resource_type, question.parameters.as_slice());
        let search =
            interaction::search(&self.service, &caller, Some(name), None, parameters, Handling::Strict);
        let mut answer = self.runtime.block_on(search);
        // The first that asks for words has their index built.
        while answer.as_ref().is_err_and(|failure| format!("{failure:?}").contains("is being built")) {
            let again = async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                interaction::search(&self.service, &caller, Some(name), None, parameters, Handling::Strict)
                    .await
            };
            answer = self.runtime.block_on(again);
        }
        match answer {
            Ok(outcome) => match outcome.body {
                OutcomeBody::Resource(body) => Ok(body.to_vec()),
                _ => Err("a search gives a Bundle".to_owned()),
            },
            Err(failure) => Err(format!("{:?}", failure.issues)),
        }
    }

    /// `None` for a search that this server does not have.
    fn measure(&self, row: &Row) -> Option<Measured> {
        let mut questions = Vec::new();
        for question in &row.questions {
            match self.at_page(question, row.page) {
                Ok(found) => questions.extend(found),
                Err(why) if why.contains("NotSupported") => return None,
                Err(why) => panic!("{question:?}: {why}"),
            }
        }
        assert!(!questions.is_empty(), "{}: no search goes on to page {}", row.name, row.page);
        let mut found = 0;
        for question in questions.iter().cycle().take(WARMING.max(questions.len().min(200))) {
            let bundle = self.ask(question).unwrap_or_else(|why| panic!("{question:?}: {why}"));
            found += usize::from(bundle.windows(7).any(|window| window == b"\"entry\""));
        }
        assert!(found > 0, "{}: nothing is found", row.name);
        let (mut times, started) = (Vec::new(), Instant::now());
        for question in questions.iter().cycle().take(SEARCHES) {
            let from = Instant::now();
            let bundle = self.ask(question);
            times.push(from.elapsed().as_secs_f64() * 1e3);
            std::hint::black_box(bundle).expect("it was answered before");
            if started.elapsed() > LONGEST && times.len() >= FEWEST {
                break;
            }
        }
        times.sort_by(f64::total_cmp);
        let measured = Measured { p50: times[times.len() / 2], p99: times[times.len() * 99 / 100] };
        println!("{}: p50 {:.2} ms, p99 {:.2} ms of {}", row.name, measured.p50, measured.p99, times.len());
        Some(measured)
    }

    /// The question for a page of a number, found by going there; `None` if there are fewer.
    fn at_page(&self, question: &Question, page: usize) -> Result<Option<Question>, String> {
        let mut at = question.clone();
        if page == 1 {
            return if question.is_probe() { self.ask(&at).map(|_| Some(at)) } else { Ok(Some(at)) };
        }
        for _ in 1..page {
            let Some(cursor) = next(&self.ask(&at)?) else { return Ok(None) };
            at = question.clone();
            at.parameters.push(("_cursor".to_owned(), cursor));
        }
        Ok(Some(at))
    }
}

/// The cursor in a Bundle's link to the next page.
fn next(bundle: &[u8]) -> Next {
    let bundle: serde_json::Value = serde_json::from_slice(bundle).expect("a Bundle");
    let links = bundle.get("link")?.as_array()?;
    let link = links.iter().find(|link| link.get("relation").is_some_and(|relation| relation == "next"))?;
    let (_, rest) = link.get("url")?.as_str()?.split_once("_cursor=")?;
    rest.split('&').next().map(str::to_owned)
}

fn print(rows: &[Row], measured: &[Vec<Option<Measured>>]) {
    println!("\n| search, page of 20 | p50, 1x | p99, 1x | p50, 10x | p99, 10x | p50 10x/1x | goals |");
    println!("|---|---|---|---|---|---|---|");
    for (at, row) in rows.iter().enumerate() {
        let sizes: Vec<Option<Measured>> = measured.iter().map(|size| size[at]).collect();
        let Some(all) = sizes.iter().copied().collect::<Option<Vec<Measured>>>() else {
            println!("| {} | not supported | | | | | |", row.name);
            continue;
        };
        let goal = if row.name.contains("`_content`") { TEXT_GOAL_MS } else { GOAL_MS };
        let mut missed = Vec::new();
        if all.iter().any(|one| one.p99 >= goal) {
            missed.push(format!("p99 not under {goal} ms"));
        }
        let mut cells: Vec<String> =
            all.iter().flat_map(|one| [one.p50, one.p99]).map(|time| format!("{time:.2} ms")).collect();
        if let [one, ten] = all.as_slice() {
            let growth = ten.p50 / one.p50;
            cells.push(format!("{growth:.1}"));
            if row.selective && growth >= GROWTH {
                missed.push("grows with the data".to_owned());
            }
        } else {
            cells.extend([String::new(), String::new(), String::new()]);
        }
        let verdict = if missed.is_empty() { "met".to_owned() } else { format!("**{}**", missed.join(", ")) };
        println!("| {} | {} | {verdict} |", row.name, cells.join(" | "));
    }
}
