#![allow(missing_docs, clippy::unwrap_used)] // a benchmark
//! Parsing and writing single resources, as JSON and as XML, beside `serde_json::Value` in the same run, on every tenth resource
//! of the Synthea NDJSON set. `cargo bench -p fhirpath --bench tree`.
//!
//! `serde_json` runs with the features the workspace uses (numbers as text, keys in order), since only these
//! keep a resource as it was.

use std::sync::{Arc, OnceLock};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use fhirpath::schema::TypeDefinition;
use fhirpath::tree::Subset;
use fhirpath::{Limits, Schema, Tree};
use serde::Deserialize;

fn main() {
    divan::main();
}

#[derive(Deserialize)]
struct Line {
    r#type: Option<TypeDefinition>,
}

fn schema() -> Arc<Schema> {
    static SCHEMA: OnceLock<Arc<Schema>> = OnceLock::new();
    let build = || {
        let table = include_str!("../../ig/r4-4.0.1.jsonl").lines();
        let types = table.filter_map(|line| serde_json::from_str::<Line>(line).unwrap().r#type);
        Arc::new(Schema::build(&types.collect::<Vec<_>>()).unwrap())
    };
    Arc::clone(SCHEMA.get_or_init(build))
}

fn texts() -> &'static [Vec<u8>] {
    static TEXTS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let mut texts = Vec::new();
        let found = testdata::each("benches/tree", "synthea-bulk-ndjson.tar.gz", |file| {
            let lines = file.bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            if file.path.ends_with(".ndjson") {
                texts.extend(lines.step_by(10).map(<[u8]>::to_vec));
            }
        });
        found.map(|()| texts).unwrap_or_default()
    })
}

fn parse(text: Vec<u8>) -> Tree {
    Tree::parse_json(&schema(), text, &Limits::DEFAULT).unwrap()
}

#[divan::bench(sample_count = 20)]
fn parse_tree(bencher: Bencher) {
    let schema = schema();
    bencher
        .counter(BytesCount::new(texts().iter().map(Vec::len).sum::<usize>()))
        .counter(ItemsCount::new(texts().len()))
        .with_inputs(|| texts().to_vec())
        .bench_local_values(|texts| {
            for text in texts {
                divan::black_box(Tree::parse_json(&schema, text, &Limits::DEFAULT).unwrap());
            }
        });
}

#[divan::bench(sample_count = 20)]
fn parse_serde_json_value(bencher: Bencher) {
    bencher
        .counter(BytesCount::new(texts().iter().map(Vec::len).sum::<usize>()))
        .counter(ItemsCount::new(texts().len()))
        .with_inputs(|| texts().to_vec())
        .bench_local_values(|texts| {
            for text in texts {
                divan::black_box(serde_json::from_slice::<serde_json::Value>(&text).unwrap());
            }
        });
}

/// The bytes are those of XML, about one and a half times JSON's.
#[divan::bench(sample_count = 20)]
fn parse_tree_xml(bencher: Bencher) {
    let schema = schema();
    let xml = |text: &Vec<u8>| {
        let mut out = Vec::new();
        parse(text.clone()).write_xml(&mut out).unwrap();
        out
    };
    let texts: Vec<Vec<u8>> = texts().iter().map(xml).collect();
    bencher
        .counter(BytesCount::new(texts.iter().map(Vec::len).sum::<usize>()))
        .counter(ItemsCount::new(texts.len()))
        .with_inputs(|| texts.clone())
        .bench_local_values(|texts| {
            for text in texts {
                divan::black_box(Tree::parse_xml(&schema, text, &Limits::DEFAULT).unwrap());
            }
        });
}

/// Writes what was parsed; the buffer is kept.
fn write(bencher: Bencher, mut write: impl FnMut(&Tree, &mut Vec<u8>)) {
    let trees: Vec<Tree> = texts().iter().map(|text| parse(text.clone())).collect();
    let mut out = Vec::new();
    bencher
        .counter(BytesCount::new(texts().iter().map(Vec::len).sum::<usize>()))
        .counter(ItemsCount::new(texts().len()))
        .bench_local(|| {
            for tree in &trees {
                out.clear();
                write(tree, divan::black_box(&mut out));
            }
        });
}

#[divan::bench(sample_count = 20)]
fn write_tree(bencher: Bencher) {
    write(bencher, Tree::write_json);
}

/// The bytes are those of JSON, as for the others.
#[divan::bench(sample_count = 20)]
fn write_tree_xml(bencher: Bencher) {
    write(bencher, |tree, out| tree.write_xml(out).unwrap());
}

#[divan::bench(sample_count = 20)]
fn write_tree_summary(bencher: Bencher) {
    write(bencher, |tree, out| tree.write_subset(&Subset::Summary, out));
}

#[divan::bench(sample_count = 20)]
fn write_serde_json_value(bencher: Bencher) {
    let values: Vec<serde_json::Value> =
        texts().iter().map(|text| serde_json::from_slice(text).unwrap()).collect();
    let mut out = Vec::new();
    bencher
        .counter(BytesCount::new(texts().iter().map(Vec::len).sum::<usize>()))
        .counter(ItemsCount::new(texts().len()))
        .bench_local(|| {
            for value in &values {
                out.clear();
                serde_json::to_writer(divan::black_box(&mut out), value).unwrap();
            }
        });
}

/// Tells the bytes held; the time is of no interest.
#[divan::bench(sample_count = 1, sample_size = 1)]
fn memory() {
    let trees: Vec<Tree> = texts().iter().map(|text| parse(text.clone())).collect();
    let held: usize = trees.iter().map(Tree::memory).sum();
    let source: usize = texts().iter().map(Vec::len).sum();
    eprintln!("{} trees hold {held} bytes for {source} bytes of JSON", trees.len());
}
