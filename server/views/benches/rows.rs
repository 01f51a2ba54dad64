#![allow(missing_docs, clippy::unwrap_used)] // a benchmark
//! Rows of a flat view of Synthea's Observations, written as NDJSON: from trees, and with their parse.
//! `cargo bench -p views --bench rows`

use std::sync::{Arc, LazyLock};

use conformance::Definitions;
use divan::Bencher;
use divan::counter::ItemsCount;
use fhirpath::expression::Environment;
use fhirpath::{Limits, Schema, Tree};
use serde_json::json;
use views::View;
use views::write::{Format, Writer};

const RESOURCES: usize = 10_000;

static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| Definitions::embedded().unwrap().schema);

static TEXTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut texts = Vec::new();
    testdata::each("benches/rows", "synthea-bulk-ndjson.tar.gz", |file| {
        if file.path.contains("Observation") {
            let lines = file.bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            texts.extend(lines.map(<[u8]>::to_vec).take(RESOURCES - texts.len()));
        }
    });
    texts
});

static VIEW: LazyLock<View> = LazyLock::new(|| {
    let column = |name: &str, path: &str| json!({"name": name, "path": path});
    let view = json!({
        "resource": "Observation",
        "where": [{"path": "status = 'final'"}],
        "select": [
            {"column": [
                column("id", "getResourceKey()"),
                column("patient", "subject.getReferenceKey(Patient)"),
                column("effective", "effective.ofType(dateTime)"),
                column("value", "value.ofType(Quantity).value"),
                column("unit", "value.ofType(Quantity).unit"),
            ]},
            {"forEachOrNull": "code.coding", "column": [column("system", "system"), column("code", "code")]},
        ],
    });
    View::compile(&SCHEMA, &view).unwrap()
});

fn parse(text: &[u8]) -> Tree {
    Tree::parse_json(&SCHEMA, text.to_vec(), &Limits::DEFAULT).unwrap()
}

fn write<'t>(trees: impl Iterator<Item = &'t Tree>) -> usize {
    let mut writer = Writer::new(VIEW.columns(), Format::Ndjson).unwrap();
    for tree in trees {
        for row in VIEW.rows(tree, &Environment::default()).unwrap() {
            writer.row(&row).unwrap();
        }
    }
    writer.finish().unwrap().len()
}

fn main() {
    if !TEXTS.is_empty() {
        divan::main();
    }
}

#[divan::bench]
fn rows(bencher: Bencher) {
    let trees: Vec<Tree> = TEXTS.iter().map(|text| parse(text)).collect();
    bencher.counter(ItemsCount::new(trees.len())).bench(|| write(trees.iter()));
}

#[divan::bench]
fn parse_and_rows(bencher: Bencher) {
    bencher
        .counter(ItemsCount::new(TEXTS.len()))
        .bench(|| TEXTS.iter().map(|text| write(std::iter::once(&parse(text)))).sum::<usize>());
}
