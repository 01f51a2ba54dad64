//! Searches in an index of the synthetic patients' resources, repeated to `VESTA_BENCH_RESOURCES` (200,000 if not set), and
//! how fast it is made: `cargo bench -p text`.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first thing that is wrong")]
#![allow(missing_docs, reason = "divan's attribute makes undocumented items")]

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use divan::{Bencher, black_box};
use text::{Change, Index, Part, Position, Snapshot, TextQuery};

fn main() {
    divan::main();
}

static BODIES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let files = testdata::archive("the benchmark of texts", "synthea-bulk-ndjson.tar.gz").unwrap_or_default();
    let mut bodies = Vec::new();
    for file in files {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let of = name.split('.').next().unwrap_or_default().to_owned();
        let lines = file.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        bodies.extend(lines.step_by(5).map(|line| (of.clone(), line.to_vec())));
    }
    bodies
});

static INDEX: LazyLock<(tempfile::TempDir, Snapshot)> = LazyLock::new(|| {
    let count =
        std::env::var("VESTA_BENCH_RESOURCES").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000_u32);
    let directory = tempfile::tempdir().expect("a directory");
    let index = Arc::new(Index::open(directory.path()).expect("an index"));
    let mut writer = index.writer().expect("a writer");
    let started = Instant::now();
    for (number, (of, body)) in (0..count).zip(BODIES.iter().cycle()) {
        let key = format!("{of}/{number}");
        writer.change(&Change { key: &key, number, body: Some(body) }).expect("it is indexed");
    }
    writer.commit(Position { sequence: 1, mark: 1 }).expect("it is durable");
    writer.finish().expect("it is merged");
    eprintln!(
        "indexed {count} resources, {:.0} a second",
        f64::from(count) / started.elapsed().as_secs_f64()
    );
    let snapshot = index.snapshot();
    (directory, snapshot)
});

const QUERIES: [&str; 7] = [
    "diabetes",
    "hypertension",
    "Massachusetts",
    "\"essential hypertension\"",
    "hyper*",
    "body AND weight",
    "cardiac NOT arrest",
];

#[divan::bench(args = QUERIES)]
fn numbers(bencher: Bencher<'_, '_>, query: &str) {
    let query = TextQuery::parse(Part::Content, query).expect("a query");
    let snapshot = &INDEX.1;
    eprintln!(
        "{} of {} resources",
        snapshot.numbers(&query).map_or(0, |found| found.len()),
        snapshot.resources()
    );
    bencher.bench(|| snapshot.numbers(black_box(&query)));
}

#[divan::bench(args = ["diabetes", "hypertension"])]
fn scores(bencher: Bencher<'_, '_>, query: &str) {
    let query = TextQuery::parse(Part::Content, query).expect("a query");
    let snapshot = &INDEX.1;
    bencher.bench(|| snapshot.scores(black_box(&query)));
}

/// What a search does for each match of its page, and for each resource that changed since the index was written.
#[divan::bench]
fn one_resource(bencher: Bencher<'_, '_>) {
    let query = TextQuery::parse(Part::Content, "hypertension").expect("a query");
    let mut bodies = BODIES.iter().cycle();
    bencher
        .with_inputs(|| bodies.next().map_or(&[][..], |(_, body)| body))
        .bench_local_values(|body| query.score(body));
}
