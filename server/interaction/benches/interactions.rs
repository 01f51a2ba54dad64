//! The interactions over an embedded store, without HTTP: `cargo bench -p interaction`. Skips what needs the synthetic patients
//! where they are absent. Nothing is validated, so that all of them are stored.

#![allow(clippy::expect_used)] // a benchmark that cannot run should stop

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use conformance::Definitions;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use interaction::{Caller, Handling, Limits, ReadConditions, Return, Service};
use search::SearchIndex;
use store::{
    Access, EmbeddedOptions, Filter, Key, ParameterId, Predicate, Query, Rules, Store, Tenant, Timestamp,
};

fn main() {
    divan::main();
}

struct Server {
    service: Service,
    caller: Caller,
    runtime: tokio::runtime::Runtime,
    _directory: tempfile::TempDir,
}

static DEFINITIONS: LazyLock<Arc<Definitions>> =
    LazyLock::new(|| Arc::new(Definitions::embedded().expect("the embedded tables are whole")));

fn server() -> Server {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let definitions = Arc::clone(&DEFINITIONS);
    let index = Arc::new(SearchIndex::new(Arc::clone(&definitions), vec!["http://x/fhir".to_owned()]));
    let options = EmbeddedOptions { directory: directory.path().to_owned() };
    let store = Store::open_embedded(&options, Arc::clone(&index) as _, &|_, _| {}).expect("a store");
    let ids = AtomicU64::new(0);
    let service = Service {
        store,
        validation: interaction::Validation::embedded(interaction::ValidationLevel::Off, &DEFINITIONS),
        provenance: None,
        rulings: interaction::Rulings::default(),
        definitions,
        index,
        limits: Limits {
            body: fhirpath::tree::Limits::DEFAULT,
            bundle_entries: 10_000,
            default_count: 20,
            max_count: 1000,
            includes: 1000,
            erasure: false,
        },
        base: "http://x/fhir".to_owned(),
        clock: Arc::new(|| Timestamp(0)),
        new_id: Arc::new(move || format!("{:032x}", ids.fetch_add(1, Ordering::Relaxed))),
    };
    let caller = Caller::new(Tenant::default_tenant(), Access::unrestricted());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    Server { service, caller, runtime, _directory: directory }
}

impl Server {
    fn bundle(&self, body: Vec<u8>) {
        let outcome = self.runtime.block_on(interaction::bundle(&self.service, &self.caller, body, None));
        black_box(outcome.expect("the bundle is processed"));
    }
}

/// Hospitals and practitioners stored, and a patient's Bundle with its number of entries.
fn with_patient() -> Option<(Server, Vec<u8>, usize)> {
    let order = ["0-hospital", "0-practitioner", "057aa36e"];
    let place = |path: &str| order.iter().position(|part| path.contains(part));
    let mut files = Vec::new();
    testdata::select(
        "interactions",
        "synthea-us-core.tar.gz",
        |path| place(path).is_some(),
        |file| files.push(file),
    )?;
    files.sort_by_key(|file| place(&file.path));
    let patient = files.pop()?.bytes;
    let entries = memchr::memmem::find_iter(&patient, b"\"fullUrl\"").count();
    let server = server();
    for file in files {
        server.bundle(file.bytes);
    }
    Some((server, patient, entries))
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn transaction_of_a_patient(bencher: Bencher<'_, '_>) {
    let Some((server, patient, entries)) = with_patient() else { return };
    bencher
        .counter(ItemsCount::new(entries))
        .with_inputs(|| patient.clone())
        .bench_values(|body| server.bundle(body));
}

/// Who asks: one who may see everything, or one who is held to the patient's compartment.
#[derive(Debug, Clone, Copy)]
enum Asker {
    Open,
    Held,
}

impl Server {
    /// Has the caller be one who asks so.
    fn ask_as(&mut self, asker: Asker) {
        if let Asker::Held = asker {
            let query = Query {
                resource_type: Some("Patient".into()),
                filter: Filter::All,
                sort: Vec::new(),
                after: None,
                limit: 1,
                total: false,
            };
            let found = self.service.store.search(&self.caller.tenant, &self.caller.access, &query);
            let found = self.runtime.block_on(found).expect("the search runs").matches;
            self.caller.access = compartment(&found.first().expect("the patient").key);
        }
    }
}

/// All that is in a patient's compartment.
fn compartment(patient: &Key) -> Access {
    let rules = DEFINITIONS.compartments.resource_types("Patient").into_iter().map(|kind| {
        let codes = DEFINITIONS.compartments.parameters("Patient", kind).unwrap_or_default();
        let parameters = codes.iter().filter_map(|code| DEFINITIONS.search_parameters.get(kind, code));
        let refers = parameters.map(|parameter| {
            let target = Predicate::Reference(vec![patient.as_str().into()]);
            Filter::Match(ParameterId(parameter.index), target)
        });
        let itself = (kind == "Patient").then(|| Filter::Ids(vec![patient.id().into()]));
        (kind.into(), Rules::all(Filter::Or(itself.into_iter().chain(refers).collect())))
    });
    Access::granted(rules)
}

#[divan::bench(args = [Asker::Open, Asker::Held])]
fn read(bencher: Bencher<'_, '_>, asker: Asker) {
    let Some((mut server, patient, _)) = with_patient() else { return };
    server.bundle(patient);
    server.ask_as(asker);
    let id = format!("{:032x}", 1_000);
    let (service, caller, none) = (&server.service, &server.caller, ReadConditions::default());
    let types = [
        "Observation",
        "Encounter",
        "Claim",
        "Procedure",
        "ExplanationOfBenefit",
        "Provenance",
        "DiagnosticReport",
        "DocumentReference",
        "Immunization",
        "Condition",
    ];
    let found = types
        .iter()
        .find(|kind| server.runtime.block_on(interaction::read(service, caller, kind, &id, &none)).is_ok());
    let Some(kind) = found else { return };
    bencher
        .bench(|| server.runtime.block_on(interaction::read(service, caller, black_box(kind), &id, &none)));
}

#[divan::bench(args = [Asker::Open, Asker::Held])]
fn search_of_a_page(bencher: Bencher<'_, '_>, asker: Asker) {
    let Some((mut server, patient, _)) = with_patient() else { return };
    server.bundle(patient);
    server.ask_as(asker);
    let (service, caller) = (&server.service, &server.caller);
    let asked = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let parameters = asked(&[("category", "laboratory"), ("_sort", "-date"), ("_count", "20")]);
    bencher.bench(|| {
        let search =
            interaction::search(service, caller, Some("Observation"), None, &parameters, Handling::Strict);
        server.runtime.block_on(search).expect("the search runs")
    });
}

#[divan::bench]
fn create(bencher: Bencher<'_, '_>) {
    let server = server();
    let (service, caller) = (&server.service, &server.caller);
    let body = br#"{"resourceType":"Patient","name":[{"family":"Adams","given":["Ann"]}],"gender":"female"}"#;
    bencher.bench(|| {
        let create = interaction::create(service, caller, "Patient", body.to_vec(), None, Return::Minimal);
        server.runtime.block_on(create).expect("it is stored")
    });
}
