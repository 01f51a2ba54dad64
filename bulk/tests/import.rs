//! Imports into a record that the test keeps: what becomes of good lines and bad ones, of sources that cannot be had, when the process
//! ends at any point, and when others write to the same record.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bulk::import::{
    Committed, Destination, Fetch, ImportError, ImportJob, ImportRequest, Imported, Input, JobJournal,
    JobSources, Pipeline, Unfetched, Unready, import, load_import, save_import, status,
};
use bulk::{Control, Directory};
use fhirpath::{Issue, IssueType};
use serde_json::{Value, json};

/// Versions of each resource.
type Resources = BTreeMap<String, (u64, Value)>;

/// A record, and how it misbehaves.
#[derive(Default)]
struct Record {
    resources: Mutex<Resources>,
    /// Commits left before the process ends.
    commits_left: Option<AtomicUsize>,
    /// Commits that find a resource changed by others, of every so many.
    contended_every: usize,
    commits: AtomicUsize,
    /// The first line takes long to be made ready.
    is_slow: bool,
    ready: AtomicUsize,
    most_ready: AtomicUsize,
}

struct Prepared {
    key: String,
    version: u64,
    body: Value,
}

fn refused(code: IssueType, details: &str) -> Unready {
    Unready::Refused(vec![Issue::error(code, details)])
}

impl Destination for Record {
    type Prepared = Prepared;

    fn prepare(&self, line: &[u8], resource_type: Option<&str>) -> Result<Prepared, Unready> {
        let body: Value =
            serde_json::from_slice(line).map_err(|_| refused(IssueType::Invalid, "It is no JSON."))?;
        let kind = body["resourceType"].as_str().unwrap_or_default();
        if !["Patient", "Observation"].contains(&kind) {
            return Err(refused(IssueType::NotSupported, "There is no such type."));
        }
        if resource_type.is_some_and(|expected| expected != kind) {
            return Err(refused(IssueType::Invalid, "It is of another type."));
        }
        let key = format!("{kind}/{}", body["id"].as_str().unwrap());
        if self.is_slow && key == "Patient/p0" {
            std::thread::sleep(Duration::from_millis(300));
        }
        let ready = self.ready.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_ready.fetch_max(ready, Ordering::SeqCst);
        let version = self.resources.lock().unwrap().get(&key).map_or(0, |(version, _)| *version);
        Ok(Prepared { key, version, body })
    }

    fn key<'p>(&self, prepared: &'p Prepared) -> &'p str {
        &prepared.key
    }

    fn commit(&self, prepared: Vec<Prepared>) -> Result<Committed, ImportError> {
        if let Some(left) = &self.commits_left
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
        {
            return Err(ImportError::Stopping);
        }
        self.ready.fetch_sub(prepared.len(), Ordering::SeqCst);
        let number = self.commits.fetch_add(1, Ordering::SeqCst);
        let mut resources = self.resources.lock().unwrap();
        if self.contended_every > 0 && number.is_multiple_of(self.contended_every) {
            // Somebody writes what is there already.
            if let Some((version, _)) = prepared.first().and_then(|it| resources.get_mut(&it.key)) {
                *version += 1;
            }
        }
        let mut keys: Vec<&str> = prepared.iter().map(|it| it.key.as_str()).collect();
        keys.sort_unstable();
        let is_twice = keys.windows(2).any(|pair| pair[0] == pair[1]);
        let current = |key: &str| resources.get(key).map_or(0, |(version, _)| *version);
        if is_twice || prepared.iter().any(|it| current(&it.key) != it.version) {
            return Ok(Committed::Again);
        }
        if prepared.iter().any(|it| it.body["secret"] == true) {
            return Ok(Committed::Refused(vec![Issue::error(IssueType::Forbidden, "It may not be.")]));
        }
        let outcomes = prepared.into_iter().map(|Prepared { key, version, body }| {
            Ok(match resources.get(&key) {
                Some((_, same)) if *same == body => Imported::Unchanged,
                found => {
                    let imported = if found.is_some() { Imported::Updated } else { Imported::Created };
                    resources.insert(key, (version + 1, body));
                    imported
                }
            })
        });
        Ok(Committed::Done(outcomes.collect()))
    }
}

/// What URLs answer.
#[derive(Clone, Default)]
struct Web {
    pages: BTreeMap<&'static str, Vec<u8>>,
    is_full: bool,
}

impl Fetch for Web {
    fn fetch(&mut self, input: &Input, to: &mut dyn Write) -> Result<(), Unfetched> {
        let url = input.url.as_deref().unwrap();
        let Some(page) = self.pages.get(url) else {
            let issue = Issue::error(IssueType::NotFound, "The source answers 404.");
            return Err(Unfetched::Refused(Box::new(issue)));
        };
        to.write_all(page)?;
        if self.is_full {
            return Err(Error::from(ErrorKind::StorageFull).into());
        }
        Ok(())
    }
}

const PATIENTS: &str = "https://a.example/patients?sig=secret";
const OBSERVATIONS: &str = "https://a.example/observations";

fn patient(number: usize, active: bool) -> String {
    format!(r#"{{"resourceType":"Patient","id":"p{number}","active":{active}}}"#)
}

fn observation(number: usize) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"o{number}","subject":{{"reference":"Patient/p{number}"}}}}"#
    )
}

fn web(pages: &[(&'static str, Vec<String>)]) -> Web {
    let pages = pages.iter().map(|(url, lines)| (*url, (lines.join("\n") + "\n").into_bytes()));
    Web { pages: pages.collect(), is_full: false }
}

fn job(inputs: &[(Option<&str>, &str)]) -> ImportJob {
    let input = |(kind, url): &(Option<&str>, &str)| Input {
        resource_type: kind.map(str::to_owned),
        url: Some((*url).to_owned()),
        etag: None,
    };
    let request = ImportRequest { inputs: inputs.iter().map(input).collect(), ..ImportRequest::default() };
    ImportJob::new("j1".to_owned(), "default".to_owned(), "http://x/$import".to_owned(), request, 100)
}

const MAX_LINE: usize = 1 << 20;

fn pipeline(control: &(dyn Fn() -> Control + Sync)) -> Pipeline<'_> {
    Pipeline { workers: 3, chunks_of_commit: 2, max_line_bytes: MAX_LINE, control }
}

/// Runs a job as far as it comes, as a server does.
fn run(directory: &Directory, record: &Record, web: &Web, job: &mut ImportJob) -> Result<(), ImportError> {
    let mut sources = JobSources::new(directory, job, web.clone());
    let mut journal = JobJournal::new(directory, job, &|_| {});
    import(&pipeline(&|| Control::Go), &mut sources, record, &mut journal)?;
    journal.save()
}

fn errors(place: &std::path::Path, number: usize) -> Vec<Value> {
    let path = place.join("j1").join(format!("errors-{number}.ndjson"));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where each error is, and what it says.
fn said(errors: &[Value]) -> Vec<String> {
    let said = |error: &Value| {
        let issue = &error["issue"][0];
        format!("{}: {}", issue["diagnostics"].as_str().unwrap(), issue["details"]["text"].as_str().unwrap())
    };
    errors.iter().map(said).collect()
}

fn start(place: &tempfile::TempDir, job: &ImportJob) -> Directory {
    let directory = Directory::at(place.path());
    save_import(&directory, job).unwrap();
    directory
}

#[test]
fn a_bad_line_costs_itself_alone() {
    let place = tempfile::tempdir().unwrap();
    let mut lines: Vec<String> = (0..3000).map(|number| patient(number, true)).collect();
    lines[10] = "{\"resourceType\":\"Patient\",\"id\":".to_owned();
    lines[20] = format!(r#"{{"resourceType":"Patient","id":"p20","text":"{}"}}"#, "x".repeat(50 << 20));
    lines[30] = r#"{"resourceType":"Pet","id":"p30"}"#.to_owned();
    lines[2500] = observation(2500);
    lines[2600] = String::new();
    lines[2700] = r#"{"resourceType":"Patient","id":"p2700","secret":true}"#.to_owned();
    // Of a resource that is there twice, the later line counts.
    lines.push(patient(5, false));
    // What observations refer to comes after them.
    let web = web(&[(PATIENTS, lines), (OBSERVATIONS, (0..40).map(observation).collect())]);
    let mut job = job(&[(Some("Observation"), OBSERVATIONS), (Some("Patient"), PATIENTS)]);
    let directory = start(&place, &job);
    let record = Record::default();
    run(&directory, &record, &web, &mut job).unwrap();
    let place_of = "https://a.example/patients, line ";
    assert_eq!(
        said(&errors(place.path(), 2)),
        [
            format!("{place_of}11: It is no JSON."),
            format!(
                "{place_of}21: The line is longer than 1048576 bytes, the most that is read (import_line_bytes); it was passed over."
            ),
            format!("{place_of}31: There is no such type."),
            format!("{place_of}2501: It is of another type."),
            format!("{place_of}2701: It may not be."),
        ]
    );
    assert!(errors(place.path(), 1).is_empty());
    let resources = record.resources.lock().unwrap();
    assert_eq!(resources.len(), 40 + 3000 - 6);
    assert_eq!(resources["Patient/p5"], (2, serde_json::from_str(&patient(5, false)).unwrap()));
    let told = status(&job, "http://x/import/j1", "1970-01-01T00:00:00.100Z");
    assert_eq!(
        told,
        json!({
            "transactionTime": "1970-01-01T00:00:00.100Z",
            "request": "http://x/$import",
            "output": [
                {"type": "Observation", "count": 40, "created": 40, "updated": 0, "unchanged": 0, "inputUrl": OBSERVATIONS},
                {"type": "Patient", "count": 2995, "created": 2994, "updated": 1, "unchanged": 0, "inputUrl": PATIENTS},
            ],
            "error": [
                {"type": "OperationOutcome", "count": 5, "inputUrl": PATIENTS, "url": "http://x/import/j1/errors-2.ndjson"},
            ],
        })
    );
    let left: Vec<_> = std::fs::read_dir(place.path().join("j1")).unwrap().collect();
    assert_eq!(left.len(), 2, "the record and the errors are left");
}

#[test]
fn the_same_again_makes_no_new_version() {
    let web = web(&[(PATIENTS, (0..2500).map(|number| patient(number, true)).collect())]);
    let record = Record::default();
    for expected in [(2500, 0), (0, 2500)] {
        let place = tempfile::tempdir().unwrap();
        let mut job = job(&[(None, PATIENTS)]);
        let directory = start(&place, &job);
        run(&directory, &record, &web, &mut job).unwrap();
        let counts = job.sources[0].counts["Patient"];
        assert_eq!((counts.created, counts.unchanged), expected);
    }
    assert!(record.resources.lock().unwrap().values().all(|(version, _)| *version == 1));
}

#[test]
fn a_source_that_cannot_be_had_costs_itself_alone() {
    let place = tempfile::tempdir().unwrap();
    let all = |range: std::ops::Range<usize>| range.map(observation).collect::<Vec<_>>().join("\n");
    let gzip = |text: &str| {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        to.write_all(text.as_bytes()).unwrap();
        to.finish().unwrap()
    };
    let mut web = web(&[(PATIENTS, vec![patient(1, true)])]);
    web.pages.insert("https://a.example/gz", gzip(&all(0..2000)));
    let mut torn = gzip(&all(2000..40_000));
    torn.truncate(torn.len() - 9);
    web.pages.insert("https://a.example/torn", torn);
    let mut job = job(&[
        (None, "https://a.example/dead"),
        (None, "https://a.example/gz"),
        (None, "https://a.example/torn"),
        (None, PATIENTS),
    ]);
    let directory = start(&place, &job);
    let record = Record::default();
    run(&directory, &record, &web, &mut job).unwrap();
    assert_eq!(said(&errors(place.path(), 1)), ["https://a.example/dead: The source answers 404."]);
    assert_eq!(
        said(&errors(place.path(), 3)),
        [
            "https://a.example/torn: The source is compressed by gzip and cannot be read on: it is damaged or cut off. Lines before this were imported."
        ]
    );
    let counts = |number: usize, kind: &str| job.sources[number].counts.get(kind).map_or(0, |it| it.created);
    assert_eq!((counts(1, "Observation"), counts(3, "Patient")), (2000, 1));
    assert!(counts(2, "Observation") > 1000, "what came before the tear is there");
    assert!(job.sources.iter().all(|source| source.is_done));
}

/// The process ends after any number of commits, again and again; what is saved goes on.
#[test]
fn a_job_goes_on_where_it_was_saved() {
    let mut lines: Vec<String> = (0..25_000).map(|number| patient(number, true)).collect();
    for bad in (0..25_000).step_by(777) {
        lines[bad] = "{}".to_owned();
    }
    let web = web(&[(PATIENTS, lines), (OBSERVATIONS, (0..3000).map(observation).collect())]);
    for round in 1..6 {
        let place = tempfile::tempdir().unwrap();
        let directory = start(&place, &job(&[(None, PATIENTS), (None, OBSERVATIONS)]));
        let mut record = Record::default();
        let mut ends = 0;
        loop {
            let mut job = load_import(&directory, "j1").unwrap().unwrap();
            record.commits_left = Some(AtomicUsize::new(round * 3));
            let mut sources = JobSources::new(&directory, &job, web.clone());
            let mut journal = JobJournal::new(&directory, &mut job, &|_| {});
            match import(&pipeline(&|| Control::Go), &mut sources, &record, &mut journal) {
                Ok(()) => {
                    journal.save().unwrap();
                    break;
                }
                // A server that stops saves; of one that is killed, the last half second is done again.
                Err(_) if round % 2 == 0 => journal.save().unwrap(),
                Err(_) => {
                    std::thread::sleep(Duration::from_millis(5));
                    // Without any save it would begin from the same line for ever.
                    if ends % 2 == 0 {
                        journal.save().unwrap();
                    }
                }
            }
            ends += 1;
            assert!(ends < 100, "it does not come on");
        }
        assert!(ends > 0 || round > 4, "round {round} was never ended");
        let job = load_import(&directory, "j1").unwrap().unwrap();
        let bad = 25_000_usize.div_ceil(777);
        assert_eq!(errors(place.path(), 1).len(), bad, "each bad line is told once");
        assert_eq!(job.dealt_with(), 28_000);
        let resources = record.resources.lock().unwrap();
        assert_eq!(resources.len(), 28_000 - bad);
        assert!(resources.values().all(|(version, _)| *version == 1), "nothing is written twice");
    }
}

#[test]
fn others_write_meanwhile() {
    let place = tempfile::tempdir().unwrap();
    let record = Record { contended_every: 3, ..Record::default() };
    let lines = |active| (0..4000).map(|number| patient(number, active)).collect::<Vec<_>>();
    let first = web(&[(PATIENTS, lines(true))]);
    let mut before = job(&[(None, PATIENTS)]);
    let directory = start(&place, &before);
    run(&directory, &record, &first, &mut before).unwrap();
    let mut after = job(&[(None, PATIENTS)]);
    run(&directory, &record, &web(&[(PATIENTS, lines(false))]), &mut after).unwrap();
    assert_eq!((after.sources[0].refused, after.sources[0].counts["Patient"].updated), (0, 4000));
    let resources = record.resources.lock().unwrap();
    assert!(resources.values().all(|(_, body)| body["active"] == false));
}

#[test]
fn a_slow_line_has_no_more_wait_than_may() {
    let place = tempfile::tempdir().unwrap();
    let record = Record { is_slow: true, ..Record::default() };
    let web = web(&[(PATIENTS, (0..60_000).map(|number| patient(number, true)).collect())]);
    let mut job = job(&[(None, PATIENTS)]);
    let directory = start(&place, &job);
    run(&directory, &record, &web, &mut job).unwrap();
    assert_eq!(job.dealt_with(), 60_000);
    let most = record.most_ready.load(Ordering::SeqCst);
    // Three workers and two commits of two chunks, and one that waits for its turn.
    assert!(most <= 8000, "{most} lines were ready at a time");
}

#[test]
fn a_full_disk_is_told() {
    let place = tempfile::tempdir().unwrap();
    let web = Web { is_full: true, ..web(&[(PATIENTS, vec![patient(1, true)])]) };
    let mut job = job(&[(None, PATIENTS)]);
    let directory = start(&place, &job);
    let error = run(&directory, &Record::default(), &web, &mut job).unwrap_err();
    let issue = error.issue();
    assert_eq!(
        (issue.code.as_str(), issue.details.as_str()),
        (
            "no-store",
            "The server has no room for the files of this import. What was imported stays; send the same import again when there is room."
        )
    );
}

#[test]
fn a_job_stops_when_it_is_told() {
    let web = web(&[(PATIENTS, (0..50_000).map(|number| patient(number, true)).collect())]);
    for control in [Control::Stop, Control::Cancel] {
        let place = tempfile::tempdir().unwrap();
        let mut job = job(&[(None, PATIENTS)]);
        let directory = start(&place, &job);
        let is_told = AtomicBool::new(false);
        let decide = || match is_told.swap(true, Ordering::SeqCst) {
            true => control,
            false => Control::Go,
        };
        let record = Record::default();
        let mut sources = JobSources::new(&directory, &job, web.clone());
        let mut journal = JobJournal::new(&directory, &mut job, &|_| {});
        let error = import(&pipeline(&decide), &mut sources, &record, &mut journal).unwrap_err();
        match control {
            Control::Stop => assert!(matches!(error, ImportError::Stopping)),
            Control::Cancel => assert!(matches!(error, ImportError::Cancelled)),
            Control::Go => unreachable!(),
        }
        assert!(record.resources.lock().unwrap().len() < 50_000);
    }
}
