//! Jobs over a record that the test keeps: what is in the files, while the record changes, and when the process ends at any point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bulk::{
    Control, Directory, Environment, ExportError, Ids, Job, Jobs, Kickoff, Level, Output, OutputFile, Page,
    Reading, Section, Source, State, Table, Tables, Types, View, Views, Wanted, run,
};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Versions of a resource: time, and the body (`None` is a deletion).
type History = Vec<(i64, Option<String>)>;

/// Histories by type and id.
type Versions = BTreeMap<(String, String), History>;

/// A record, and what to do to it before a page is read.
struct Record {
    versions: Mutex<Versions>,
    pages: AtomicU64,
    disturb: fn(&mut Versions, u64),
}

fn resource(kind: &str, id: &str, version: usize, refers_to: &str) -> String {
    format!(
        r#"{{"resourceType":"{kind}","id":"{id}","meta":{{"versionId":"{version}"}},"subject":{{"reference":"{refers_to}"}}}}"#
    )
}

impl Record {
    /// Patients of which each has observations by a practitioner of an organization; one observation is of a patient outside.
    fn new(disturb: fn(&mut Versions, u64)) -> Record {
        let mut versions = Versions::new();
        let mut add = |kind: &str, id: &str, refers_to: &str| {
            let body = resource(kind, id, 1, refers_to);
            versions.insert((kind.to_owned(), id.to_owned()), vec![(10, Some(body))]);
        };
        for number in 0..30 {
            add("Patient", &format!("p{number:02}"), "Organization/o1");
            for observation in 0..4 {
                add(
                    "Observation",
                    &format!("b{number:02}-{observation}"),
                    &format!("Practitioner/d{observation}"),
                );
            }
        }
        for number in 0..6 {
            add("Practitioner", &format!("d{number}"), "Organization/o2");
        }
        add("Organization", "o1", "Organization/o1");
        add("Organization", "o2", "Location/l1");
        add("Location", "l1", "Device/none");
        Record { versions: Mutex::new(versions), pages: AtomicU64::new(0), disturb }
    }

    fn of(&self, wanted: &Wanted<'_>) -> Vec<(String, History)> {
        let versions = self.versions.lock().unwrap();
        let of_type = versions.iter().filter(|((kind, _), _)| kind == wanted.resource_type);
        of_type.map(|((_, id), versions)| (id.clone(), versions.clone())).collect()
    }
}

/// The patient of an id: `b07-1` and `p07` are of `p07`.
fn is_of(wanted: &Wanted<'_>, id: &str, part: &[String]) -> bool {
    wanted.patients.is_none() || part.iter().any(|patient| id.get(1..3) == patient.get(1..3))
}

fn as_of(versions: &[(i64, Option<String>)], time: i64) -> Option<&(i64, Option<String>)> {
    versions.iter().rfind(|(at, _)| *at <= time)
}

#[async_trait]
impl Source for Record {
    async fn page(
        &self,
        wanted: &Wanted<'_>,
        after: Option<&[u8]>,
    ) -> std::result::Result<Page, ExportError> {
        let count = self.pages.fetch_add(1, Ordering::Relaxed);
        (self.disturb)(&mut self.versions.lock().unwrap(), count);
        let part = wanted.patients.map_or(&[][..], |patients| &patients[wanted.part.clone()]);
        let after = after.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        let mut page = Page::default();
        let mut found = 0;
        for (id, versions) in self.of(wanted) {
            if after.as_ref().is_some_and(|after| id <= *after) || !is_of(wanted, &id, part) {
                continue;
            }
            let (time, body) = versions.last().unwrap();
            if let (true, Some(body)) = (*time <= wanted.snapshot_ms, body) {
                page.resources.push(Bytes::from(body.clone()));
            }
            found += 1;
            if found == 7 {
                page.next = Some(id.into_bytes());
                break;
            }
        }
        Ok(page)
    }

    async fn changed(&self, wanted: &Wanted<'_>, _: Option<&[u8]>) -> std::result::Result<Ids, ExportError> {
        let all = self.of(wanted).into_iter();
        let changed = all.filter(|(_, versions)| versions.last().unwrap().0 > wanted.snapshot_ms);
        Ok(Ids { ids: changed.map(|(id, _)| id).collect(), next: None })
    }

    async fn at_snapshot(
        &self,
        wanted: &Wanted<'_>,
        ids: &[String],
    ) -> std::result::Result<Vec<Bytes>, ExportError> {
        let all = self.of(wanted);
        let wanted_ids = all
            .iter()
            .filter(|(id, _)| ids.contains(id) && is_of(wanted, id, wanted.patients.unwrap_or_default()));
        let bodies = wanted_ids.filter_map(|(_, versions)| as_of(versions, wanted.snapshot_ms)?.1.clone());
        Ok(bodies.map(Bytes::from).collect())
    }

    async fn referred(
        &self,
        wanted: &Wanted<'_>,
        ids: &[String],
    ) -> std::result::Result<Vec<Bytes>, ExportError> {
        let none = Wanted { patients: None, ..wanted.clone() };
        self.at_snapshot(&none, ids).await
    }

    async fn deleted(&self, wanted: &Wanted<'_>, _: Option<&[u8]>) -> std::result::Result<Ids, ExportError> {
        let since = wanted.request.since_ms.unwrap();
        let is_gone = |versions: &[(i64, Option<String>)]| {
            as_of(versions, wanted.snapshot_ms).is_some_and(|(time, body)| body.is_none() && *time >= since)
        };
        let gone = self.of(wanted).into_iter().filter(|(_, versions)| is_gone(versions));
        Ok(Ids { ids: gone.map(|(id, _)| id).collect(), next: None })
    }

    async fn dictionary(&self, types: &[String]) -> std::result::Result<Bytes, ExportError> {
        Ok(Bytes::from(format!("types\r\n{}\r\n", types.join("\r\n"))))
    }

    fn local(&self, reference: &str) -> Option<(String, String)> {
        reference.split_once('/').map(|(kind, id)| (kind.to_owned(), id.to_owned()))
    }
}

/// A directory that takes so many writes, and then fails.
struct Failing<'d> {
    directory: &'d Directory,
    writes_left: &'d AtomicU64,
    kind: ErrorKind,
}

struct FailingFile<'d>(Box<dyn OutputFile>, &'d AtomicU64, ErrorKind);

fn spend(left: &AtomicU64, kind: ErrorKind) -> Result<()> {
    let spent = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    spent.map(|_| ()).map_err(|_| Error::from(kind))
}

impl Write for FailingFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        spend(self.1, self.2)?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

impl OutputFile for FailingFile<'static> {
    fn finish(self: Box<Self>) -> Result<()> {
        spend(self.1, self.2)?;
        self.0.finish()
    }
}

impl Output for Failing<'static> {
    fn create(&self, job: &str, name: &str) -> Result<Box<dyn OutputFile>> {
        Ok(Box::new(FailingFile(self.directory.create(job, name)?, self.writes_left, self.kind)))
    }

    fn open(&self, job: &str, name: &str) -> Result<Box<dyn Reading>> {
        self.directory.open(job, name)
    }

    fn remove_files(&self, job: &str) -> Result<()> {
        self.directory.remove_files(job)
    }
}

fn job(level: Level, parameters: &[(&str, &str)], snapshot_ms: i64) -> Job {
    let types = Types {
        all: vec!["Patient", "Observation", "Practitioner", "Organization", "Location"],
        of_patients: vec!["Patient", "Observation"],
    };
    let parameters =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let request =
        Kickoff { level, parameters, is_post: true, lenient: false, documented: false, types: &types };
    let request = request.read().unwrap();
    Job::new("j1".to_owned(), "default".to_owned(), "http://x/$export".to_owned(), request, snapshot_ms, 100)
}

const SMALL: u64 = 600;

/// Tables of the ids and versions of resources: two rows of `..-0`, none of `..-3`, and a last line that only finishing writes.
struct IdTables;

struct IdTable {
    rows: u64,
    out: Vec<u8>,
    held: usize,
}

impl Tables for IdTables {
    fn begin(&self, view: usize) -> std::result::Result<Box<dyn Table + '_>, ExportError> {
        Ok(Box::new(IdTable { rows: 0, out: format!("view {view}\n").into_bytes(), held: 0 }))
    }
}

impl Table for IdTable {
    fn add(&mut self, resource: &[u8]) -> std::result::Result<(), ExportError> {
        let resource: serde_json::Value = serde_json::from_slice(resource).unwrap();
        let (id, version) =
            (resource["id"].as_str().unwrap(), resource["meta"]["versionId"].as_str().unwrap());
        let count = if id.ends_with("-0") { 2 } else { u64::from(!id.ends_with("-3")) };
        for number in 0..count {
            self.out.extend_from_slice(format!("{id}/{version}/{number}\n").as_bytes());
        }
        (self.rows, self.held) = (self.rows + count, self.held + 10);
        Ok(())
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn held(&self) -> usize {
        self.held
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn finish(mut self: Box<Self>) -> std::result::Result<Vec<u8>, ExportError> {
        self.out.extend_from_slice(b"end\n");
        Ok(self.out)
    }
}

/// Runs a job as far as it comes; what is in finished files, by section and type, sorted.
fn export(
    record: &Record,
    directory: &Directory,
    output: &dyn Output,
    job: &mut Job,
) -> std::result::Result<(), ExportError> {
    if directory.load(&job.id).unwrap().is_none() {
        directory.save(job).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let environment = Environment {
        source: record,
        output,
        jobs: directory,
        url: "http://x/files",
        file_bytes: SMALL,
        control: &|| Control::Go,
        tables: job.request.views.as_ref().map(|_| &IdTables as &dyn Tables),
        progress: &|_| {},
    };
    runtime.block_on(run(&environment, job))
}

/// Runs the job that was saved to its end, where each run fails after so many writes: it, and how many did.
fn again_and_again(record: &Record, directory: &'static Directory, writes: u64) -> (Job, u32) {
    let mut ends = 0;
    loop {
        let mut job = directory.load("j1").unwrap().unwrap();
        let left: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(writes)));
        let output = Failing { directory, writes_left: left, kind: ErrorKind::Other };
        match export(record, directory, &output, &mut job) {
            Ok(()) => return (job, ends),
            Err(ExportError::Output(_)) => ends += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(ends < 200, "it does not come on");
    }
}

fn lines(directory: &Directory, job: &Job, section: Section) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in job.files.iter().filter(|file| file.section == section) {
        let mut text = String::new();
        directory.open(&job.id, &file.name).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(
            (text.lines().count() as u64, text.len() as u64),
            (file.count, file.bytes),
            "{}",
            file.name
        );
        assert!(file.bytes < SMALL + 1000, "{} has {} bytes", file.name, file.bytes);
        found.entry(file.resource_type.clone()).or_default().extend(text.lines().map(str::to_owned));
    }
    found.values_mut().for_each(|lines| lines.sort());
    found
}

/// What a record has at a time, by type, sorted.
fn expected(record: &Record, kinds: &[&str], time: i64) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ((kind, _), versions) in record.versions.lock().unwrap().iter() {
        let body = as_of(versions, time).and_then(|(_, body)| body.clone());
        if let (true, Some(body)) = (kinds.contains(&kind.as_str()), body) {
            found.entry(kind.clone()).or_default().push(body);
        }
    }
    found.values_mut().for_each(|lines| lines.sort());
    found
}

const ALL: [&str; 5] = ["Patient", "Observation", "Practitioner", "Organization", "Location"];

/// Before each page something is changed, deleted or made, in what was exported already and in what was not.
fn disturb(versions: &mut Versions, page: u64) {
    let time = 21 + i64::try_from(page).unwrap();
    let body = |kind: &str, id: &str| Some(resource(kind, id, 9, "Practitioner/d5"));
    let patient = format!("p{:02}", (page * 7) % 30);
    let change = ("Patient".to_owned(), patient.clone());
    versions.get_mut(&change).unwrap().push((time, body("Patient", &patient)));
    let gone = ("Observation".to_owned(), format!("b{:02}-2", (page * 11) % 30));
    versions.get_mut(&gone).unwrap().push((time, None));
    let new = format!("b99-{page}");
    versions.insert(("Observation".to_owned(), new.clone()), vec![(time, body("Observation", &new))]);
}

#[test]
fn files_hold_the_snapshot_while_the_record_changes() {
    let directory = tempfile::tempdir().unwrap();
    let directory = Directory::at(directory.path());
    let record = Record::new(disturb);
    let before = expected(&record, &ALL, 20);
    let mut job = job(Level::System, &[], 20);
    export(&record, &directory, &directory, &mut job).unwrap();
    assert_eq!(lines(&directory, &job, Section::Output), before);
    assert!(job.files.len() > 20, "files are of bounded size");
    assert_ne!(expected(&record, &ALL, 1000), before, "it was changed");
}

#[test]
fn patients_with_what_their_records_refer_to() {
    let directory = tempfile::tempdir().unwrap();
    let directory = Directory::at(directory.path());
    let record = Record::new(|_, _| {});
    let patients: Vec<String> = (3..5).map(|number| format!("p{number:02}")).collect();
    for (parameters, kinds) in [
        (&[][..], &ALL[..]),
        (&[("_type", "Patient,Organization")][..], &["Patient", "Organization"][..]),
        (&[("_type", "Observation")][..], &["Observation"][..]),
    ] {
        let mut job = job(Level::Group("g".to_owned()), parameters, 20);
        directory.save_patients(&job.id, &patients).unwrap();
        export(&record, &directory, &directory, &mut job).unwrap();
        let found = lines(&directory, &job, Section::Output);
        assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>().len(), kinds.len(), "{parameters:?}");
        let count = |kind: &str| found.get(kind).map_or(0, Vec::len);
        let all = |kind: &str| kinds.contains(&kind);
        assert_eq!(count("Patient"), if all("Patient") { 2 } else { 0 });
        assert_eq!(count("Observation"), if all("Observation") { 8 } else { 0 });
        assert_eq!(
            count("Practitioner"),
            if all("Practitioner") { 4 } else { 0 },
            "of six, four are referred to"
        );
        // Without practitioners, what only they refer to is not led to.
        assert_eq!(
            count("Organization"),
            if parameters.is_empty() { 2 } else { usize::from(all("Organization")) }
        );
        directory.remove(&job.id).unwrap();
    }
}

/// The blocks of a job's files: the patient that the header names, and the lines below it, sorted.
fn blocks(directory: &Directory, job: &Job) -> BTreeMap<String, Vec<String>> {
    let mut blocks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in &job.files {
        let mut text = String::new();
        directory.open(&job.id, &file.name).unwrap().read_to_string(&mut text).unwrap();
        let mut patient = None;
        for line in text.lines() {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            if json["resourceType"] == "Parameters" {
                assert_eq!(json["parameter"][0]["name"], "header");
                let reference = json["parameter"][0]["valueReference"]["reference"].as_str().unwrap();
                patient = Some(reference.to_owned());
                assert!(
                    blocks.insert(reference.to_owned(), Vec::new()).is_none(),
                    "{reference} is one block"
                );
            } else {
                let block = blocks.get_mut(patient.as_ref().expect("a file begins with a header")).unwrap();
                assert_eq!(block.is_empty(), json["resourceType"] == "Patient", "the patient is first");
                block.push(line.to_owned());
            }
        }
    }
    blocks.values_mut().for_each(|lines| lines.sort());
    blocks
}

/// What the block of each patient is at a time: what is theirs, four practitioners and what these refer to.
fn expected_blocks(record: &Record, time: i64) -> BTreeMap<String, Vec<String>> {
    let all = expected(record, &ALL, time);
    let of = |kind: &str, is: &dyn Fn(&str) -> bool| -> Vec<String> {
        all[kind].iter().filter(|line| is(line)).cloned().collect()
    };
    let block = |number: usize| {
        let mut lines = of("Patient", &|line| line.contains(&format!("\"id\":\"p{number:02}\"")));
        lines.extend(of("Observation", &|line| line.contains(&format!("\"id\":\"b{number:02}-"))));
        lines.extend(of("Practitioner", &|line| !line.contains("\"d4\"") && !line.contains("\"d5\"")));
        lines.extend(of("Organization", &|_| true));
        lines.extend(of("Location", &|_| true));
        lines.sort();
        (format!("Patient/p{number:02}"), lines)
    };
    (0..30).map(block).collect()
}

#[test]
fn files_are_organized_by_patient_whatever_happens() {
    let patients: Vec<String> = (0..30).map(|number| format!("p{number:02}")).collect();
    for round in [0, 4, 8, u64::MAX] {
        let place = tempfile::tempdir().unwrap();
        let directory: &'static Directory = Box::leak(Box::new(Directory::at(place.path())));
        let record = Record::new(disturb);
        let before = expected_blocks(&record, 20);
        let new = job(Level::Patient, &[("organizeOutputBy", "Patient")], 20);
        directory.save_patients(&new.id, &patients).unwrap();
        directory.save(&new).unwrap();
        let (done, ends) = again_and_again(&record, directory, round.saturating_mul(7).saturating_add(60));
        assert_eq!(blocks(directory, &done), before, "round {round}");
        assert_eq!(ends > 0, round != u64::MAX);
        let manifest = bulk::manifest(&done, "http://x/files", "t", false);
        assert_eq!(manifest["outputOrganizedBy"], "Patient");
        let output = manifest["output"].as_array().unwrap();
        assert!(output.len() > 5 && output.iter().all(|file| file.get("type").is_none()));
    }
}

#[test]
fn rows_are_of_the_snapshot_whatever_happens() {
    for round in [0, 5, 10, u64::MAX] {
        let place = tempfile::tempdir().unwrap();
        let directory: &'static Directory = Box::leak(Box::new(Directory::at(place.path())));
        let record = Record::new(disturb);
        let mut new = job(Level::System, &[], 20);
        let view = |name: &str| View { name: name.to_owned(), definition: serde_json::Value::Null };
        let views = vec![view("all observations"), view("nobody"), view("locations"), view("again")];
        let format = "txt".to_owned();
        new.request.views = Some(Views { views, format, header: true, tracking: None });
        new.request.types = ["Observation", "Person", "Location", "Observation"].map(str::to_owned).to_vec();
        directory.save(&new).unwrap();
        let (done, ends) = again_and_again(&record, directory, round.saturating_mul(7).saturating_add(110));
        assert_eq!(ends > 0, round != u64::MAX);
        let mut found = vec![Vec::new(); 4];
        let mut parts = [0; 4];
        for file in done.files.iter().filter(|file| file.section == Section::Output) {
            let mut text = String::new();
            directory.open("j1", &file.name).unwrap().read_to_string(&mut text).unwrap();
            let (view, lines) = (file.view.unwrap(), text.lines().collect::<Vec<_>>());
            assert_eq!((lines[0], lines[lines.len() - 1]), (format!("view {view}").as_str(), "end"));
            assert_eq!((lines.len() as u64 - 2, text.len() as u64), (file.count, file.bytes));
            parts[view] += 1;
            assert!(file.name.ends_with(&format!(".part{}.txt", parts[view])), "{}", file.name);
            found[view].extend(lines[1..lines.len() - 1].iter().map(|line| (*line).to_owned()));
        }
        found.iter_mut().for_each(|rows| rows.sort());
        let observations: Vec<String> = (0..30)
            .flat_map(|number| ["0/1/0", "0/1/1", "1/1/0", "2/1/0"].map(|end| format!("b{number:02}-{end}")))
            .collect();
        let location = vec!["l1/1/0".to_owned()];
        assert_eq!(found, [observations.clone(), Vec::new(), location, observations], "round {round}");
        assert!(parts[0] > 1 && parts[1] == 1, "{parts:?}");
    }
}

#[test]
fn what_was_deleted_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let directory = Directory::at(directory.path());
    let record = Record::new(|_, _| {});
    for (id, time) in [("b01-1", 12), ("b02-1", 18), ("b03-1", 25)] {
        let key = ("Observation".to_owned(), id.to_owned());
        record.versions.lock().unwrap().get_mut(&key).unwrap().push((time, None));
    }
    let mut job = job(Level::System, &[("_since", "1970-01-01T00:00:00.015Z")], 20);
    export(&record, &directory, &directory, &mut job).unwrap();
    let bundle = r#"{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Observation/b02-1"}}]}"#;
    assert_eq!(
        lines(&directory, &job, Section::Deleted),
        BTreeMap::from([("Bundle".to_owned(), vec![bundle.to_owned()])])
    );
}

/// The process ends after any number of writes, again and again, while the record changes; what is saved goes on, and the result is
/// that of a job that was never disturbed.
#[test]
fn a_job_goes_on_from_its_last_file() {
    for round in [0, 6, 12, 24] {
        let place = tempfile::tempdir().unwrap();
        let directory: &'static Directory = Box::leak(Box::new(Directory::at(place.path())));
        let record = Record::new(disturb);
        let before = expected(&record, &ALL, 20);
        directory.save(&job(Level::System, &[], 20)).unwrap();
        let (job, ends) = again_and_again(&record, directory, 40 + round * 5);
        assert_eq!(lines(directory, &job, Section::Output), before, "round {round}");
        assert!(ends > 0, "round {round} was never ended");
    }
}

/// The same, with checksums and a data dictionary.
#[test]
fn what_is_documented_is_so_after_any_end() {
    for round in 0..12 {
        let place = tempfile::tempdir().unwrap();
        let directory: &'static Directory = Box::leak(Box::new(Directory::at(place.path())));
        let record = Record::new(|_, _| {});
        let mut new = job(Level::System, &[], 20);
        new.request.documented = true;
        directory.save(&new).unwrap();
        let done = loop {
            let mut job = directory.load("j1").unwrap().unwrap();
            let left: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(30 + round)));
            let output = Failing { directory, writes_left: left, kind: ErrorKind::Other };
            match export(&record, directory, &output, &mut job) {
                Ok(()) => break job,
                Err(ExportError::Output(_)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        for file in &done.files {
            let mut bytes = Vec::new();
            directory.open("j1", &file.name).unwrap().read_to_end(&mut bytes).unwrap();
            let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(
                (file.sha256.as_ref(), file.bytes),
                (Some(&digest), bytes.len() as u64),
                "{}",
                file.name
            );
        }
        let documentation = done.files.iter().filter(|file| file.section == Section::Documentation);
        let names: Vec<&str> = documentation.map(|file| file.name.as_str()).collect();
        assert_eq!(names.len(), 1, "round {round}: {names:?}");
        let found = lines(directory, &done, Section::Output);
        assert_eq!(found["DocumentReference"].len(), 1);
        assert!(found["DocumentReference"][0].contains(&format!("http://x/files/{}", names[0])));
        let manifest = bulk::manifest(&done, "http://x/files", "t", false);
        assert_eq!(manifest["extension"]["documentation"][0]["url"], format!("http://x/files/{}", names[0]));
        assert!(
            manifest["output"].as_array().unwrap().iter().all(|item| item["extension"]["sha256"].is_string())
        );
    }
}

#[test]
fn a_full_disk_is_told() {
    let place = tempfile::tempdir().unwrap();
    let directory: &'static Directory = Box::leak(Box::new(Directory::at(place.path())));
    let output = Failing {
        directory,
        writes_left: Box::leak(Box::new(AtomicU64::new(9))),
        kind: ErrorKind::StorageFull,
    };
    let mut job = job(Level::System, &[], 20);
    directory.save(&job).unwrap();
    let issue = export(&Record::new(|_, _| {}), directory, &output, &mut job).unwrap_err().issue();
    assert_eq!(
        (issue.code.as_str(), issue.details.as_str()),
        (
            "no-store",
            "The server has no room for the files of this export; its files were removed. Ask for less, or try again when there is room."
        )
    );
}

#[test]
fn a_job_stops_when_it_is_told() {
    let place = tempfile::tempdir().unwrap();
    let directory = Directory::at(place.path());
    let record = Record::new(|_, _| {});
    let stopped = AtomicBool::new(false);
    for control in [Control::Stop, Control::Cancel] {
        let decide = || if stopped.load(Ordering::Relaxed) { control } else { Control::Go };
        let mut job = job(Level::System, &[], 20);
        directory.save(&job).unwrap();
        stopped.store(false, Ordering::Relaxed);
        let environment = Environment {
            source: &record,
            output: &directory,
            jobs: &directory,
            url: "http://x/files",
            file_bytes: SMALL,
            control: &decide,
            tables: None,
            progress: &|written| stopped.store(written > 50, Ordering::Relaxed),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = runtime.block_on(run(&environment, &mut job)).unwrap_err();
        let expected = match control {
            Control::Stop => matches!(error, ExportError::Stopping),
            _ => matches!(error, ExportError::Cancelled),
        };
        assert!(expected, "{error}");
    }
}

#[test]
fn names_lead_nowhere_else() {
    let place = tempfile::tempdir().unwrap();
    let directory = Directory::at(place.path().join("exports"));
    std::fs::write(place.path().join("job.json"), "{}").unwrap();
    for name in ["..", ".", "", "a/b", "/etc", "a\0b", "%2e%2e"] {
        assert!(directory.load(name).unwrap().is_none(), "{name:?}");
        assert!(directory.open("j1", name).is_err(), "{name:?}");
    }
    let job = job(Level::System, &[], 20);
    directory.save(&job).unwrap();
    directory.save_patients("stray", &["1".to_owned()]).unwrap();
    directory.remove_strays().unwrap();
    assert_eq!(directory.all().unwrap().len(), 1);
    assert_eq!(directory.load("j1").unwrap().unwrap().state, State::Active);
    assert!(directory.patients("stray").unwrap().is_none());
}
