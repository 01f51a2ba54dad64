#![allow(missing_docs, clippy::unwrap_used)] // a benchmark
//! How long a start spends on definitions. `cargo bench -p conformance`.

use conformance::table::Table;
use conformance::{Definitions, Limits, compile_package};
use divan::Bencher;

fn main() {
    divan::main();
}

/// Everything: tables, schema, search parameters with their expressions.
#[divan::bench]
fn embedded() -> Definitions {
    Definitions::embedded().unwrap()
}

/// The larger table's text alone.
#[divan::bench]
fn read_r4_table() -> Table {
    Table::read(include_str!("../../ig/r4-4.0.1.jsonl")).unwrap()
}

/// A package named with `--package`.
#[divan::bench]
fn compile_us_core_package(bencher: Bencher) {
    let Some(path) = testdata::path("compile_us_core_package", "packages/us_core_610.tgz") else { return };
    let archive = std::fs::read(path).unwrap();
    bencher.bench(|| compile_package(archive.as_slice(), &Limits::default()).unwrap());
}

/// What each resource indexed and each parameter of a query asks.
#[divan::bench]
fn get(bencher: Bencher) {
    let definitions = Definitions::embedded().unwrap();
    bencher.bench(|| {
        definitions
            .search_parameters
            .get(divan::black_box("Observation"), divan::black_box("category"))
            .unwrap()
            .index
    });
}

/// The element schema of R4's table.
#[divan::bench]
fn build_schema(bencher: Bencher) {
    let table = Table::read(include_str!("../../ig/r4-4.0.1.jsonl")).unwrap();
    bencher.bench(|| fhirpath::Schema::build(&table.types).unwrap());
}
