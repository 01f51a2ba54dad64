//! The engines against the naive evaluator: official examples and synthetic patients in both, and searches made at random out
//! of their values. Both must find the same resources in the same order, page by page.
//!
//! `VESTA_ORACLE_CASES` asks for more searches than the usual number.

#![allow(clippy::expect_used, clippy::panic)] // in tests

mod naive;

use std::cell::Cell;
use std::collections::HashSet;

use engines::{Engine, Opened};
use naive::queries::{Dice, Made, make};
use naive::{INDEX, Naive, Stored, context};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use search::{Handling, parse};
use store::{Access, Batch, Entries, Indexer, Key, Method, Query, Tenant, Version, Write};

/// How much is searched, and how often.
struct Size {
    cases: u32,
    /// Lines taken from each file of synthetic patients.
    lines: usize,
    /// Of the examples that are small enough, each so many-th is taken.
    every: usize,
}

const EMBEDDED: Size = Size { cases: 1_500, lines: 40, every: 1 };
/// The emulator evaluates a query on every document of the tenant.
const COSMOS: Size = Size { cases: 1_000, lines: 10, every: 2 };
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
    Some(all)
}

/// A store and its model.
struct Both {
    opened: Opened,
    naive: Naive,
    runtime: tokio::runtime::Runtime,
}

impl Both {
    fn new(engine: Engine) -> Both {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let opened = runtime.block_on(engine.open(INDEX.clone()));
        Both { opened, naive: Naive(Vec::new()), runtime }
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
            let stored = Stored::new(&version.body, version.last_updated.0 * 1_000);
            match self.naive.0.iter_mut().find(|other| other.key() == stored.key()) {
                Some(older) => *older = stored,
                None => self.naive.0.push(stored),
            }
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
        self.naive.0.retain(|stored| keys.iter().all(|key| key.as_str() != stored.key()));
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
    for part in all.chunks(200) {
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

/// How many match; `None` when the query is refused.
fn compare(both: &Both, made: &Made) -> Result<Option<usize>, TestCaseError> {
    let compartment = made.compartment.as_ref().map(|(name, id)| (name.as_str(), id.as_str()));
    let context = context(Handling::Strict);
    let Ok(request) = parse(&context, Some(&made.resource_type), compartment, &made.parameters) else {
        return Ok(None);
    };
    let expected = both.naive.run(&request.query);
    let mut query = request.query.clone();
    if expected.len() > 200 {
        query.limit = 100;
    }
    let (found, totals) = both.pages(&query);
    prop_assert_eq!(&found, &expected, "{:?} as {:?}", made, request.query);
    let total = u64::try_from(expected.len()).ok().filter(|_| query.total);
    prop_assert!(totals.iter().all(|given| *given == total), "{:?} gave the totals {:?}", made, totals);
    Ok(Some(expected.len()))
}

#[test]
fn the_embedded_engine_agrees_with_the_naive_evaluator() {
    agree("the_embedded_engine_agrees_with_the_naive_evaluator", Engine::Embedded, &EMBEDDED);
}

#[test]
fn the_cosmos_engine_agrees_with_the_naive_evaluator() {
    agree("the_cosmos_engine_agrees_with_the_naive_evaluator", Engine::Cosmos, &COSMOS);
}

fn agree(test: &str, engine: Engine, size: &Size) {
    let Some(both) = filled(test, engine, size) else { return };
    let cases = std::env::var("VESTA_ORACLE_CASES").ok().and_then(|text| text.parse().ok());
    let cases = cases.unwrap_or(size.cases);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]));
    let (read, matching) = (Cell::new(0), Cell::new(0));
    let choices = prop::collection::vec(any::<u32>(), 4..60);
    let result = runner.run(&choices, |choices| {
        let made = make(&mut Dice(choices.iter()), &both.naive.0);
        if let Some(matches) = compare(&both, &made)? {
            read.set(read.get() + 1);
            matching.set(matching.get() + u32::from(matches > 0));
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(read.get() > cases / 10 * 9, "only {} of {cases} queries could be read", read.get());
    assert!(matching.get() > cases / 3, "only {} of {cases} queries found anything", matching.get());
}
