//! How fast single resources are parsed and indexed, and queries read. Every sixtieth of the synthetic patients' resources, so that
//! types come as often as in life.

#![allow(clippy::expect_used)] // a benchmark without its data should stop

use std::sync::{Arc, LazyLock};

use conformance::Definitions;
use divan::counter::{BytesCount, ItemsCount};
use fhirpath::Tree;
use fhirpath::tree::Limits;
use search::{Handling, ParseContext, SearchIndex, parse};
use store::Entries;

static INDEX: LazyLock<SearchIndex> = LazyLock::new(|| {
    let definitions = Arc::new(Definitions::embedded().expect("the embedded tables are whole"));
    SearchIndex::new(definitions, vec!["http://localhost:8080/fhir".to_owned()])
});

static BODIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut bodies = Vec::new();
    let files =
        testdata::archive("the benchmark of entries", "synthea-bulk-ndjson.tar.gz").unwrap_or_default();
    for file in files {
        let lines = file.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        bodies.extend(lines.step_by(60).map(<[u8]>::to_vec));
    }
    bodies
});

fn main() {
    divan::main();
}

fn read(body: &[u8]) -> Tree {
    Tree::parse_json(&INDEX.definitions().schema, body.to_vec(), &Limits::DEFAULT)
        .expect("the patients are valid")
}

fn bytes() -> BytesCount {
    BytesCount::new(BODIES.iter().map(Vec::len).sum::<usize>())
}

#[divan::bench]
fn parse_only(bencher: divan::Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(BODIES.len()))
        .counter(bytes())
        .bench(|| BODIES.iter().map(|body| usize::from(read(body).root().is_resource())).sum::<usize>());
}

#[divan::bench]
fn entries_only(bencher: divan::Bencher<'_, '_>) {
    let trees: Vec<Tree> = BODIES.iter().map(|body| read(body)).collect();
    bencher.counter(ItemsCount::new(trees.len())).counter(bytes()).bench_local(|| {
        let mut count = 0;
        let mut entries = Entries::new();
        for tree in &trees {
            entries.clear();
            INDEX.tree_entries(tree, &mut entries);
            count += entries.len();
        }
        count
    });
}

#[divan::bench]
fn parse_and_entries(bencher: divan::Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(BODIES.len())).counter(bytes()).bench_local(|| {
        let mut count = 0;
        for body in BODIES.iter() {
            let mut entries = Entries::new();
            INDEX.tree_entries(&read(body), &mut entries);
            count += entries.len();
        }
        count
    });
}

/// The search that the server's speed is measured by.
#[divan::bench]
fn read_a_query(bencher: divan::Bencher<'_, '_>) {
    let pairs = [("patient", "X"), ("category", "laboratory"), ("_sort", "-date"), ("_count", "20")];
    let parameters: Vec<(String, String)> =
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let context = ParseContext {
        index: &INDEX,
        handling: Handling::Strict,
        now: 0,
        default_count: 20,
        max_count: 1_000,
        terminology: None,
    };
    bencher.bench(|| parse(&context, Some("Observation"), None, &parameters).is_ok());
}
