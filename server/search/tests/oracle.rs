//! The engines against the naive evaluator: official examples, synthetic patients and oddities in both, and searches made at
//! random out of their values. Both must find the same resources in the same order, page by page, and count them alike.
//!
//! `VESTA_ORACLE_CASES` asks for another number of searches, `VESTA_ORACLE_SEED` for others.

#![allow(clippy::expect_used, clippy::panic)] // in tests

mod naive;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashSet};

use engines::{Engine, Opened};
use naive::dice::{Dice, Made};
use naive::grammar::{Corpus, make};
use naive::queries::escape;
use naive::{INDEX, Naive, Stored, context, coverage, odd};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use search::{Handling, parse};
use store::{
    Access, Batch, Entries, Filter, Indexer, Key, Method, ParameterId, Part, Query, StoreError, Tenant,
    TextQuery, Value, Version, Write,
};

/// How much is searched, and how often.
struct Size {
    cases: u32,
    /// Lines taken from each file of synthetic patients.
    lines: usize,
    /// Of the examples that are small enough, each so many-th is taken.
    every: usize,
}

const EMBEDDED: Size = Size { cases: 8_000, lines: 40, every: 1 };
/// The emulator evaluates a query on every document of the tenant.
const COSMOS: Size = Size { cases: 500, lines: 10, every: 4 };
/// From so many searches on, every form must have been among them, but for those of `_filter` behind links.
const ENOUGH: u32 = 8_000;
/// From so many on those too.
const LONG_RUN: u32 = 50_000;
/// Largest example taken; beyond it there is only more of the same.
const LARGEST_BYTES: usize = 60_000;
const STAMP: &str = "2026-01-01T00:00:00.000Z";

/// Every resource once: type, id, JSON.
fn resources(test: &str, size: &Size) -> Option<Vec<serde_json::Value>> {
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    let mut take = |text: &[u8]| {
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(text) else { return };
        let text = |name: &str| json.get(name).and_then(|v| v.as_str()).map(str::to_owned);
        let (Some(name), Some(id)) = (text("resourceType"), text("id")) else { return };
        if seen.insert((name, id)) {
            all.push(json);
        }
    };
    for file in testdata::archive(test, "synthea-bulk-ndjson.tar.gz")? {
        file.bytes.split(|byte| *byte == b'\n').take(size.lines).for_each(&mut take);
    }
    let examples = testdata::archive(test, "r4-examples-json.tar.gz")?;
    let small = examples.into_iter().filter(|file| file.bytes.len() < LARGEST_BYTES);
    small.step_by(size.every).for_each(|file| take(&file.bytes));
    let odd = odd::resources(&all);
    all.extend(odd);
    Some(all)
}

/// Resources of a commit when all are loaded: the emulator copies a partition for each batch, and slow machines have to keep up.
const LOADED: usize = 50;

/// A store and its model.
struct Both {
    opened: Opened,
    naive: Naive,
    /// Pages are made larger rather than read more of.
    most_pages: usize,
    runtime: tokio::runtime::Runtime,
}

impl Both {
    fn new(engine: Engine) -> Both {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let opened = runtime.block_on(engine.open(INDEX.clone()));
        let most_pages = if matches!(engine, Engine::Cosmos) { 10 } else { 100 };
        Both { opened, naive: Naive::default(), most_pages, runtime }
    }

    /// Puts a version of each resource into both.
    fn put(&mut self, resources: &[(serde_json::Value, u64)]) {
        let bodies: Vec<Vec<u8>> =
            resources.iter().map(|(json, previous)| stamped(json, previous + 1)).collect();
        let writes = resources.iter().zip(&bodies).map(|((json, previous), body)| {
            let key = key(json);
            let mut entries = Entries::new();
            let indexed = INDEX.entries(key.resource_type(), body, &mut entries);
            indexed.unwrap_or_else(|error| panic!("{}: {error}", key.as_str()));
            let stamp = body.windows(STAMP.len()).position(|text| text == STAMP.as_bytes()).expect("a stamp");
            Write::Put { key, previous: *previous, method: Method::Put, body: body.clone(), stamp, entries }
        });
        let batch = Batch { preconditions: Vec::new(), writes: writes.collect() };
        for version in self.commit(batch) {
            self.naive.put(Stored::new(&version.body, version.last_updated.0 * 1_000));
        }
    }

    fn commit(&self, batch: Batch) -> Vec<Version> {
        let (tenant, access) = (Tenant::default_tenant(), Access::unrestricted());
        let done = self.runtime.block_on(self.opened.store.commit(&tenant, &access, batch));
        done.expect("the commit is done")
    }

    fn delete(&mut self, keys: &[Key]) {
        let writes = keys.iter().map(|key| Write::Delete { key: key.clone(), previous: 1 });
        let batch = Batch { preconditions: Vec::new(), writes: writes.collect() };
        self.commit(batch);
        let gone: HashSet<&str> = keys.iter().map(Key::as_str).collect();
        self.naive.retain(|stored| !gone.contains(stored.key.as_str()));
    }

    /// Waits until texts are indexed: of many resources it takes longer than a search waits.
    fn index_texts(&self) {
        let words = TextQuery::parse(Part::Content, "words").expect("it is a word");
        let query = Query {
            resource_type: None,
            filter: Filter::Text(words),
            sort: Vec::new(),
            after: None,
            limit: 1,
            total: false,
        };
        let (tenant, access) = (Tenant::default_tenant(), Access::unrestricted());
        for _ in 0..30 {
            match self.runtime.block_on(self.opened.store.search(&tenant, &access, &query)) {
                Err(StoreError::TextBehind { .. }) => {}
                found => return drop(found.expect("the search is done")),
            }
        }
        panic!("texts are not indexed");
    }

    /// All pages of a query, and the totals they gave.
    fn pages(&self, query: &Query) -> (Vec<String>, Vec<Option<u64>>) {
        let (tenant, access) = (Tenant::default_tenant(), Access::unrestricted());
        let (mut query, mut keys, mut totals) = (query.clone(), Vec::new(), Vec::new());
        loop {
            let page = self.runtime.block_on(self.opened.store.search(&tenant, &access, &query));
            let page = page.expect("the search is done");
            assert!(page.matches.len() <= query.limit, "a page is larger than asked for");
            assert!(
                page.next.is_none() || page.matches.len() == query.limit,
                "a page is short before the last"
            );
            keys.extend(page.matches.iter().map(|version| version.key.as_str().to_owned()));
            totals.push(page.total);
            query.after = page.next;
            if query.after.is_none() {
                return (keys, totals);
            }
        }
    }
}

fn key(json: &serde_json::Value) -> Key {
    let text = |name: &str| json.get(name).and_then(|v| v.as_str()).expect("resources have a type and an id");
    Key::new(text("resourceType"), text("id"))
}

fn stamped(json: &serde_json::Value, version: u64) -> Vec<u8> {
    let mut json = json.clone();
    let object = json.as_object_mut().expect("a resource is an object");
    let meta = object.entry("meta").or_insert_with(|| serde_json::json!({}));
    let meta = meta.as_object_mut().expect("meta is an object");
    meta.insert("versionId".to_owned(), version.to_string().into());
    meta.insert("lastUpdated".to_owned(), STAMP.into());
    serde_json::to_vec(&json).expect("JSON is written")
}

/// Loads all, then gives every seventh the content of another one of its type and deletes every eleventh.
fn filled(test: &str, engine: Engine, size: &Size) -> Option<Both> {
    let all = resources(test, size)?;
    let mut both = Both::new(engine);
    for part in all.chunks(LOADED) {
        let part: Vec<_> = part.iter().map(|json| (json.clone(), 0)).collect();
        both.put(&part);
    }
    let mut changed = Vec::new();
    for json in all.iter().step_by(7) {
        let peers: Vec<_> =
            all.iter().filter(|other| other.get("resourceType") == json.get("resourceType")).collect();
        let mut other = (*peers.get(peers.len() / 2).expect("a resource is its own peer")).clone();
        let id = json.get("id").cloned().expect("resources have an id");
        other.as_object_mut().expect("a resource is an object").insert("id".to_owned(), id);
        changed.push((other, 1));
    }
    both.put(&changed);
    let changed: HashSet<Key> = changed.iter().map(|(json, _)| key(json)).collect();
    let gone: Vec<Key> = all.iter().step_by(11).map(key).filter(|key| !changed.contains(key)).collect();
    both.delete(&gone);
    Some(both)
}

/// How many match, and on how many pages; `None` when the query is refused.
fn compare(both: &Both, made: &Made) -> Result<Option<(usize, usize)>, TestCaseError> {
    let compartment = made.compartment.as_ref().map(|(name, id)| (name.as_str(), id.as_str()));
    let context = context(Handling::Strict);
    let Ok(request) = parse(&context, made.resource_type.as_deref(), compartment, &made.parameters) else {
        return Ok(None);
    };
    let expected = both.naive.run(&request.query);
    let mut query = request.query.clone();
    query.limit = query.limit.max(expected.len() / both.most_pages);
    let (found, totals) = both.pages(&query);
    prop_assert_eq!(&found, &expected, "{:?} as {:?}", made, request.query);
    let total = u64::try_from(expected.len()).ok().filter(|_| query.total);
    prop_assert!(totals.iter().all(|given| *given == total), "{:?} gave the totals {:?}", made, totals);
    Ok(Some((expected.len(), totals.len())))
}

#[test]
fn the_embedded_engine_agrees_with_the_naive_evaluator() {
    agree("the_embedded_engine_agrees_with_the_naive_evaluator", Engine::Embedded, &EMBEDDED);
}

#[test]
fn the_cosmos_engine_agrees_with_the_naive_evaluator() {
    agree("the_cosmos_engine_agrees_with_the_naive_evaluator", Engine::Cosmos, &COSMOS);
}

/// The patients that Inferno knows, each resource once.
fn reference_data(test: &str) -> Option<Vec<serde_json::Value>> {
    let (mut seen, mut all, mut unreadable) = (HashSet::new(), Vec::new(), Vec::new());
    for file in testdata::archive(test, "inferno-reference-data.tar.gz")? {
        if !file.path.contains("uscore_") {
            continue;
        }
        let json: serde_json::Value = serde_json::from_slice(&file.bytes).expect("reference data is JSON");
        let entries = json.get("entry").and_then(|entries| entries.as_array()).cloned();
        let resources =
            entries.map(|entries| entries.iter().filter_map(|e| e.get("resource").cloned()).collect());
        for resource in resources.unwrap_or_else(|| vec![json]) {
            if resource.get("id").is_none() || !seen.insert(key(&resource)) {
                continue;
            }
            let body = stamped(&resource, 1);
            match INDEX.entries(key(&resource).resource_type(), &body, &mut Entries::new()) {
                Ok(()) => all.push(resource),
                Err(error) => unreadable.push(error.to_string()),
            }
        }
    }
    // Some of it has elements that R4 has not.
    assert!(unreadable.len() * 20 < all.len(), "{unreadable:?}");
    Some(all)
}

/// What finds a resource by a parameter.
fn value_of(stored: &Stored, code: &str) -> Option<String> {
    if code == "_id" {
        return Some(stored.id.clone());
    }
    let parameter = INDEX.definitions().search_parameters.get(&stored.resource_type, code)?;
    stored.values(ParameterId(parameter.index)).find_map(|value| match value {
        Value::Token { code: "", .. } => None,
        Value::Token { system, code } if system.trim_start() == system && !system.is_empty() => {
            Some(format!("{}|{}", escape(system), escape(code)))
        }
        Value::Token { code, .. } => Some(escape(code)),
        Value::String(text) | Value::Reference(text) => Some(escape(text)),
        Value::Date { lo, .. } if lo > i64::MIN => {
            let moment = jiff::Timestamp::from_microsecond(lo).ok()?;
            Some(format!("ge{}", moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ")))
        }
        _ => None,
    })
}

/// The searches that US Core names, as Inferno has them, out of the values of Inferno's own patients.
#[test]
fn us_core_searches_find_the_resources_of_the_reference_patients() {
    let test = "us_core_searches_find_the_resources_of_the_reference_patients";
    let Some(all) = reference_data(test) else { return };
    let Some(path) = testdata::path(test, "inferno/us-core-searches.json") else { return };
    let text = std::fs::read(path).expect("the searches are readable");
    let versions: BTreeMap<String, BTreeMap<String, Vec<serde_json::Value>>> =
        serde_json::from_slice(&text).expect("the searches are JSON");
    let mut both = Both::new(Engine::Embedded);
    for part in all.chunks(LOADED) {
        both.put(&part.iter().map(|json| (json.clone(), 0)).collect::<Vec<_>>());
    }
    let (mut searches, mut answered, mut made) = (0, 0, 0);
    let of_types = versions.values().flatten().filter(|(name, _)| !name.contains('|'));
    for (name, combination) in of_types.flat_map(|(name, all)| all.iter().map(move |one| (name, one))) {
        let codes = combination.get(0).and_then(|codes| codes.as_str()).expect("parameters and how binding");
        let codes: Vec<&str> = codes.split('+').collect();
        searches += 1;
        let present = codes.iter().map(|code| (format!("{code}:missing"), "false".to_owned()));
        found_by(&both, name, present.collect());
        let peers: Vec<&Stored> = both.naive.all().iter().filter(|r| r.resource_type == *name).collect();
        let mut any = false;
        for stored in peers.iter().step_by(1 + peers.len() / 20) {
            let values = codes.iter().map(|code| Some(((*code).to_owned(), value_of(stored, code)?)));
            let Some(parameters) = values.collect::<Option<Vec<_>>>() else { continue };
            let shown = format!("{name}?{parameters:?}");
            let found = found_by(&both, name, parameters);
            assert!(found.contains(&stored.key), "{shown} does not find {}", stored.key);
            (any, made) = (true, made + 1);
        }
        answered += usize::from(any);
    }
    assert!(answered > searches / 2 && made > searches, "{answered} of {searches} searches, {made} times");
}

/// What both find.
fn found_by(both: &Both, name: &str, mut parameters: Vec<(String, String)>) -> Vec<String> {
    parameters.push(("_count".to_owned(), "100".to_owned()));
    let request = parse(&context(Handling::Strict), Some(name), None, &parameters);
    let request = request.unwrap_or_else(|issues| panic!("{name}?{parameters:?}: {issues:?}"));
    let expected = both.naive.run(&request.query);
    assert_eq!(both.pages(&request.query).0, expected, "{name}?{parameters:?}");
    expected
}

fn number_of(variable: &str) -> Option<u32> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number is given"))
}

fn agree(test: &str, engine: Engine, size: &Size) {
    let Some(both) = filled(test, engine, size) else { return };
    both.index_texts();
    let corpus = Corpus::new(&both.naive);
    let cases = number_of("VESTA_ORACLE_CASES").unwrap_or(size.cases);
    let seed = number_of("VESTA_ORACLE_SEED").unwrap_or(11);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(seed.to_le_bytes()).for_each(|(to, from)| *to = from);
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (read, matching, marks) = (Cell::new(0), Cell::new(0), RefCell::new(BTreeSet::new()));
    let choices = prop::collection::vec(any::<u32>(), 4..90);
    let started = std::time::Instant::now();
    let result = runner.run(&choices, |choices| {
        let mut dice = Dice::new(&choices);
        let made = make(&mut dice, &corpus);
        if let Some((matches, pages)) = compare(&both, &made)? {
            read.set(read.get() + 1);
            matching.set(matching.get() + u32::from(matches > 0));
            let mut marks = marks.borrow_mut();
            marks.extend(dice.into_marks());
            marks.extend((matches > 0).then(|| "found".to_owned()));
            marks.extend((pages > 1).then(|| "several pages".to_owned()));
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("with the seed {seed}: {error}");
    }
    let (read, matching) = (read.get(), matching.get());
    println!(
        "{cases} searches with the seed {seed} in {:.0} s: {read} were read, {matching} found something",
        started.elapsed().as_secs_f64()
    );
    assert!(read > cases / 10 * 9, "only {read} of {cases} queries could be read");
    assert!(matching > cases / 3, "only {matching} of {cases} queries found anything");
    let must = |mark: &String| cases >= LONG_RUN || cases >= ENOUGH && !mark.starts_with("linked filter ");
    let mut missed = coverage::required();
    missed.retain(|mark| must(mark) && !marks.borrow().contains(mark));
    assert!(missed.is_empty(), "never made: {missed:?}");
}
