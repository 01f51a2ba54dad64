//! Searches at two sizes of data, and bulk indexing. `cargo bench -p store --bench search`; the larger size is
//! `VESTA_BENCH_RESOURCES` (500,000 if not set). The data are made up: a patient has some 300 observations of 1.2 KB,
//! one after another, with 18 index entries each.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark stops at the first thing that is wrong"
)]
#![allow(missing_docs, reason = "divan's attribute makes undocumented items")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use divan::{Bencher, black_box};
use store::*;

fn main() {
    divan::main();
}

const CODE: ParameterId = ParameterId(0);
const CATEGORY: ParameterId = ParameterId(1);
const STATUS: ParameterId = ParameterId(2);
const SUBJECT: ParameterId = ParameterId(3);
const PATIENT: ParameterId = ParameterId(4);
const ENCOUNTER: ParameterId = ParameterId(5);
const DATE: ParameterId = ParameterId(6);
const VALUE: ParameterId = ParameterId(7);
const CODE_VALUE: ParameterId = ParameterId(8);
const PROFILE: ParameterId = ParameterId(9);
const COMBO_CODE: ParameterId = ParameterId(10);
const COMBO_VALUE: ParameterId = ParameterId(11);
const COMBO: ParameterId = ParameterId(12);
const IDENTIFIER: ParameterId = ParameterId(13);
const PERFORMER: ParameterId = ParameterId(14);
const NAME: ParameterId = ParameterId(15);

const A_PATIENTS: u64 = 300;
const MINUTE: i64 = 60_000_000;

fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

fn is_laboratory(number: u64) -> bool {
    mixed(number) % 100 < 60
}

fn entries(number: u64) -> Entries {
    let mut entries = Entries::new();
    let random = mixed(number);
    let patient = format!("Patient/p{}", number / A_PATIENTS);
    let encounter = format!("Encounter/e{}", number / 12);
    let code = format!("{}-{}", 1_000 + random % 150, random % 7);
    let loinc = Value::Token { system: "http://loinc.org", code: &code };
    let category = if is_laboratory(number) { "laboratory" } else { "vital-signs" };
    let minutes = i64::try_from(number * 7 % 5_000_000).unwrap();
    let lo = minutes * MINUTE;
    let value = f64::from(u16::try_from(random % 2_000).unwrap()) / 10.0;
    let quantity = Value::Quantity {
        lo: value,
        hi: value,
        system: "http://unitsofmeasure.org",
        code: "mg/dL",
        unit: "mg/dL",
    };
    let identifier = format!("id-{number:08}");
    let name = format!("Name{} Family{}", random % 5_000, random % 977);
    for (parameter, value) in [
        (CODE, loinc.clone()),
        (COMBO_CODE, loinc.clone()),
        (
            CATEGORY,
            Value::Token {
                system: "http://terminology.hl7.org/CodeSystem/observation-category",
                code: category,
            },
        ),
        (STATUS, Value::Token { system: "http://hl7.org/fhir/observation-status", code: "final" }),
        (SUBJECT, Value::Reference(&patient)),
        (PATIENT, Value::Reference(&patient)),
        (ENCOUNTER, Value::Reference(&encounter)),
        (DATE, Value::Date { lo, hi: lo + 999_999 }),
        (VALUE, quantity.clone()),
        (COMBO_VALUE, quantity.clone()),
        (CODE_VALUE, Value::Composite(vec![loinc.clone(), quantity.clone()])),
        (COMBO, Value::Composite(vec![loinc.clone(), quantity.clone()])),
        (PROFILE, Value::Uri("http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab")),
        (IDENTIFIER, Value::Token { system: "urn:identifiers", code: &identifier }),
        (PERFORMER, Value::Reference("Practitioner/1")),
        (PERFORMER, Value::Reference("Organization/1")),
        (NAME, Value::String(&name)),
        (CODE, Value::Token { system: "urn:local", code: &code }),
    ] {
        entries.push(parameter, &value);
    }
    entries
}

fn write(number: u64) -> Write {
    let stamp = r#"{"resourceType":"Observation","meta":{"versionId":"1","lastUpdated":""#;
    let mut body =
        format!("{stamp}2026-01-01T00:00:00.000Z\"}},\"id\":\"o{number}\",\"note\":\"").into_bytes();
    let stamp = stamp.len();
    body.resize(1_200, b'x');
    body.extend_from_slice(b"\"}");
    let key = Key::new("Observation", &format!("o{number}"));
    Write::Put { key, previous: 0, method: Method::Post, body, stamp, entries: entries(number) }
}

/// Resources are only made: nothing is indexed again.
struct Unasked;

impl Indexer for Unasked {
    fn entries(&self, _: &str, _: &[u8], _: &mut Entries) -> Result<(), IndexError> {
        Err(IndexError("the benchmark writes no second versions".into()))
    }

    fn parameters(&self) -> &[Parameter] {
        &[]
    }

    fn fingerprint(&self) -> u64 {
        1
    }
}

struct Loaded {
    store: Store,
    _directory: tempfile::TempDir,
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().unwrap())
}

fn empty() -> Loaded {
    let directory = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { directory: directory.path().to_owned() };
    let store = Store::open_embedded(&options, Arc::new(Unasked), &|_, _| ()).unwrap();
    Loaded { store, _directory: directory }
}

fn batch(from: u64, count: u64) -> Batch {
    Batch { preconditions: Vec::new(), writes: (from..from + count).map(write).collect() }
}

fn commit(store: &Store, batch: Batch) {
    let (tenant, access) = (Tenant::default_tenant(), Access::unrestricted());
    runtime().block_on(store.commit(&tenant, &access, batch)).unwrap();
}

fn loaded(resources: u64) -> Store {
    static STORES: Mutex<Option<HashMap<u64, Loaded>>> = Mutex::new(None);
    let mut stores = STORES.lock().unwrap();
    let loaded = stores.get_or_insert_default().entry(resources).or_insert_with(|| {
        let loaded = empty();
        let started = std::time::Instant::now();
        for from in (0..resources).step_by(1_000) {
            commit(&loaded.store, batch(from, 1_000));
        }
        let rate = resources as f64 / started.elapsed().as_secs_f64();
        eprintln!("loaded {resources} resources, {rate:.0} a second, made and committed");
        loaded
    });
    loaded.store.clone()
}

fn sizes() -> [u64; 2] {
    let larger = std::env::var("VESTA_BENCH_RESOURCES").ok().and_then(|text| text.parse().ok());
    [50_000, larger.unwrap_or(500_000)]
}

fn search(store: &Store, query: &Query) -> Page {
    let (tenant, access) = (Tenant::default_tenant(), Access::unrestricted());
    let mut future = std::pin::pin!(store.search(&tenant, &access, query));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(page) => page.unwrap(),
        std::task::Poll::Pending => runtime().block_on(future).unwrap(),
    }
}

fn code(parameter: ParameterId, code: &str) -> Filter {
    Filter::Match(parameter, Predicate::Token { system: None, code: Some(code.into()) })
}

fn of_patient(number: u64) -> Filter {
    Filter::Match(PATIENT, Predicate::Reference(vec![format!("Patient/p{number}").into()]))
}

fn query(filter: Filter, sort: Option<(SortBy, bool)>) -> Query {
    Query {
        resource_type: Some("Observation".into()),
        filter,
        sort: sort.map(|(by, descending)| SortKey { by, descending }).into_iter().collect(),
        after: None,
        limit: 20,
        total: false,
    }
}

/// Runs queries that `make` gives for changing patients.
fn run(bencher: Bencher, resources: u64, expected: usize, make: impl Fn(u64) -> Query + Sync) {
    let store = loaded(resources);
    let mut number = 0;
    let patients = resources / A_PATIENTS;
    bencher
        .with_inputs(|| {
            number += 1;
            make(mixed(number) % patients)
        })
        .bench_local_refs(|query| {
            let page = search(&store, query);
            assert_eq!(page.matches.len(), expected);
            black_box(page)
        });
}

const BY_DATE: Option<(SortBy, bool)> = Some((SortBy::Parameter(DATE), true));

#[divan::bench(args = sizes())]
fn patient_category_newest_20(bencher: Bencher, resources: u64) {
    run(bencher, resources, 20, |patient| {
        query(Filter::And(vec![of_patient(patient), code(CATEGORY, "laboratory")]), BY_DATE)
    });
}

#[divan::bench(args = sizes())]
fn patient_category_newest_20_counted(bencher: Bencher, resources: u64) {
    run(bencher, resources, 20, |patient| {
        let filter = Filter::And(vec![of_patient(patient), code(CATEGORY, "laboratory")]);
        Query { total: true, ..query(filter, BY_DATE) }
    });
}

#[divan::bench(args = sizes())]
fn patient_category_20(bencher: Bencher, resources: u64) {
    run(bencher, resources, 20, |patient| {
        query(Filter::And(vec![of_patient(patient), code(CATEGORY, "laboratory")]), None)
    });
}

#[divan::bench(args = sizes())]
fn patient_category_dates_20(bencher: Bencher, resources: u64) {
    run(bencher, resources, 20, |patient| {
        let dates = Predicate::Date(Comparison::GreaterOrEqual, 0, 999_999);
        let filter = vec![of_patient(patient), code(CATEGORY, "laboratory"), Filter::Match(DATE, dates)];
        query(Filter::And(filter), BY_DATE)
    });
}

#[divan::bench(args = sizes())]
fn category_newest_20(bencher: Bencher, resources: u64) {
    run(bencher, resources, 20, |_| query(code(CATEGORY, "laboratory"), BY_DATE));
}

#[divan::bench(args = sizes())]
fn everything_newest_20(bencher: Bencher, resources: u64) {
    run(bencher, resources, 20, |_| query(Filter::All, BY_DATE));
}

#[divan::bench(args = sizes())]
fn everything_last_updated_20(bencher: Bencher, resources: u64) {
    run(bencher, resources, 20, |_| query(Filter::All, Some((SortBy::LastUpdated, true))));
}

#[divan::bench(args = sizes())]
fn one_day_of_dates_20(bencher: Bencher, resources: u64) {
    run(bencher, resources, 20, |patient| {
        let lo = i64::try_from(patient).unwrap() * MINUTE;
        let dates = Predicate::Date(Comparison::Equal, lo, lo + 1_440 * MINUTE);
        query(Filter::Match(DATE, dates), None)
    });
}

#[divan::bench(args = sizes())]
fn half_of_all_dates_20(bencher: Bencher, resources: u64) {
    let middle = i64::try_from(resources).unwrap() * 7 / 2 * MINUTE;
    run(bencher, resources, 20, |_| {
        query(Filter::Match(DATE, Predicate::Date(Comparison::Greater, middle, middle)), None)
    });
}

#[divan::bench(args = sizes(), sample_count = 10)]
fn half_of_all_dates_counted(bencher: Bencher, resources: u64) {
    let middle = i64::try_from(resources).unwrap() * 7 / 2 * MINUTE;
    run(bencher, resources, 20, |_| {
        let filter = Filter::Match(DATE, Predicate::Date(Comparison::Greater, middle, middle));
        Query { total: true, ..query(filter, None) }
    });
}

#[divan::bench(args = sizes())]
fn name_prefix_20(bencher: Bencher, resources: u64) {
    run(bencher, resources, 20, |_| {
        query(Filter::Match(NAME, Predicate::String(StringMatch::StartsWith, "name12".into())), None)
    });
}

#[divan::bench(args = sizes())]
fn identifier(bencher: Bencher, resources: u64) {
    run(bencher, resources, 1, |patient| query(code(IDENTIFIER, &format!("id-{patient:08}")), None));
}

#[divan::bench(args = sizes())]
fn category_counted(bencher: Bencher, resources: u64) {
    run(bencher, resources, 0, |_| Query {
        total: true,
        limit: 0,
        ..query(code(CATEGORY, "laboratory"), None)
    });
}

/// One batch of 1,000 new resources, durable; of one, once the store holds the first size.
#[divan::bench(args = [1, 1_000], sample_count = 20, sample_size = 1)]
fn commit_new(bencher: Bencher, writes: u64) {
    let loaded = empty();
    let mut next = 0;
    bencher
        .with_inputs(|| {
            next += writes;
            batch(next - writes, writes)
        })
        .input_counter(|batch| divan::counter::ItemsCount::new(batch.writes.len()))
        .bench_local_values(|batch| commit(&loaded.store, batch));
}
