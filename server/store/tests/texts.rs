//! Searches of texts find what looking at every resource finds, on both engines: at once after each write, for each tenant
//! apart, when the index is far behind, is gone, is damaged, is of another history, and after the process was killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod fixture;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use engines::Engine;
use fixture::*;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use store::*;

const VOCABULARY: [&str; 6] = ["bone", "bones", "liver", "Métastases", "of", "the"];

fn access() -> Access {
    Access::unrestricted()
}

fn asking(resource_type: Option<&str>, text: &str) -> Query {
    Query {
        resource_type: resource_type.map(Into::into),
        filter: Filter::Text(TextQuery::parse(Part::Content, text).unwrap()),
        sort: Vec::new(),
        after: None,
        limit: 10_000,
        total: true,
    }
}

/// What resources of a tenant say, by key.
type Said = BTreeMap<String, (u64, Vec<&'static str>)>;

/// Each query, with its meaning by looking at the words.
type Naive = (&'static str, fn(&[&str]) -> bool);

const QUERIES: [Naive; 7] = [
    ("bone", |words| words.contains(&"bone")),
    ("\"bone liver\"", |words| words.windows(2).any(|two| two == ["bone", "liver"])),
    ("bon* NOT bones", |words| words.contains(&"bone") && !words.contains(&"bones")),
    ("METASTASES of", |words| words.contains(&"Métastases") && words.contains(&"of")),
    ("liver OR \"of the\"", |words| {
        words.contains(&"liver") || words.windows(2).any(|two| two == ["of", "the"])
    }),
    ("NOT (liver OR bone)", |words| !words.contains(&"liver") && !words.contains(&"bone")),
    ("nowhere", |_| false),
];

async fn keys(store: &Store, tenant: &Tenant, query: &Query) -> Vec<String> {
    let page = store.search(tenant, &access(), query).await.unwrap();
    assert_eq!(page.total, Some(page.matches.len() as u64));
    assert_eq!(page.scores.len(), page.matches.len());
    assert!(page.scores.iter().all(|score| *score > 0.0 && *score <= 1.0));
    let mut keys: Vec<String> = page.matches.iter().map(|version| version.key.as_str().to_owned()).collect();
    keys.sort();
    keys
}

async fn assert_same(store: &Store, tenant: &Tenant, said: &Said) {
    for (text, holds) in QUERIES {
        for of in [None, Some("Patient")] {
            let of_type = |key: &String| of.is_none_or(|name| key.starts_with(name));
            let matching = said.iter().filter(|(key, (_, words))| of_type(key) && holds(words));
            let expected: Vec<String> = matching.map(|(key, _)| key.clone()).collect();
            assert_eq!(keys(store, tenant, &asking(of, text)).await, expected, "{text} of {of:?}");
        }
    }
}

/// Writes resources, `Patient/..` and `Group/..`, or takes one out where there is nothing to say.
async fn write(
    store: &Store,
    tenant: &Tenant,
    said: &mut Said,
    deleted: &mut Said,
    writes: &[(u8, Vec<&'static str>)],
) {
    let mut batch = BTreeMap::new();
    for (number, words) in writes {
        let text = format!("{}/{number}", if number % 3 == 0 { "Group" } else { "Patient" });
        let before = said.get(&text).or_else(|| deleted.get(&text)).map_or(0, |(version, _)| *version);
        if words.is_empty() && !said.contains_key(&text) {
            continue;
        }
        if batch.contains_key(&text) {
            continue;
        }
        let (key, rest) =
            (key(&text), format!(r#""identifier":"{}","said":"{}""#, number % 2, words.join(" ")));
        let write = if words.is_empty() { delete(&key, before) } else { put(&key, before, &rest) };
        batch.insert(text.clone(), write);
        if words.is_empty() {
            said.remove(&text);
            deleted.insert(text, (before + 1, Vec::new()));
        } else {
            deleted.remove(&text);
            said.insert(text, (before + 1, words.clone()));
        }
    }
    store.commit(tenant, &access(), fixture::batch(batch.into_values().collect())).await.unwrap();
}

/// What is made up the same way each time.
fn made_up(rounds: usize, most: usize) -> Vec<Vec<(u8, Vec<&'static str>)>> {
    let word = proptest::sample::select(VOCABULARY.to_vec());
    let write = (0..60_u8, proptest::collection::vec(word, 0..6));
    let rounds = proptest::collection::vec(proptest::collection::vec(write, 1..most), rounds);
    rounds.new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

async fn agrees(engine: Engine, rounds: usize) {
    let other = Tenant::new("clinic-2").unwrap();
    let opened = engine.open_for(FourElements::new(), std::slice::from_ref(&other)).await;
    let store = &opened.store;
    let tenants = [Tenant::default_tenant(), other];
    let mut said = [Said::new(), Said::new()];
    let mut deleted = [Said::new(), Said::new()];
    assert_same(store, &tenants[0], &said[0]).await;
    for (round, writes) in made_up(rounds, 12).iter().enumerate() {
        let one = round % 2;
        write(store, &tenants[one], &mut said[one], &mut deleted[one], writes).await;
        for (tenant, said) in tenants.iter().zip(&said) {
            assert_same(store, tenant, said).await;
        }
    }
    for (tenant, said) in tenants.iter().zip(&said) {
        assert_eq!(store.check(tenant, &|_, _| {}).await.unwrap().faults, Vec::<String>::new());
        with_other_conditions(store, tenant, said).await;
        under_an_access_decision(store, tenant, said).await;
        pages_by_score(store, tenant).await;
    }
}

async fn under_an_access_decision(store: &Store, tenant: &Tenant, said: &Said) {
    let odd = Filter::Match(IDENTIFIER, Predicate::Token { system: None, code: Some("1".into()) });
    let access = Access::granted([("Patient".into(), Rules::all(odd))]);
    let seen = |key: &str| {
        let (name, id) = key.split_once('/').unwrap();
        name == "Patient" && id.parse::<u8>().unwrap() % 2 == 1
    };
    for of in [None, Some("Patient"), Some("Group")] {
        let page = store.search(tenant, &access, &asking(of, "bone")).await.unwrap();
        let mut keys: Vec<&str> = page.matches.iter().map(|version| version.key.as_str()).collect();
        keys.sort_unstable();
        let holding = said.iter().filter(|(key, (_, words))| {
            seen(key) && of.is_none_or(|name| key.starts_with(name)) && words.contains(&"bone")
        });
        let expected: Vec<&str> = holding.map(|(key, _)| key.as_str()).collect();
        assert_eq!((keys, page.total), (expected.clone(), Some(expected.len() as u64)), "{of:?}");
    }
}

/// Texts together with an index entry, not of texts, and either of two.
async fn with_other_conditions(store: &Store, tenant: &Tenant, said: &Said) {
    let token =
        |code: &str| Filter::Match(IDENTIFIER, Predicate::Token { system: None, code: Some(code.into()) });
    let text = |text: &str| asking(None, text).filter;
    let odd = |key: &str| key.split_once('/').unwrap().1.parse::<u8>().unwrap() % 2 == 1;
    let both = Query { filter: Filter::And(vec![text("bone"), token("1")]), ..asking(None, "x") };
    let not = Filter::Not(Box::new(text("bone")));
    let neither = Query { filter: Filter::And(vec![text("liver"), not, token("0")]), ..asking(None, "x") };
    let expected = |holds: &dyn Fn(&str, &[&str]) -> bool| -> Vec<String> {
        said.iter().filter(|(key, (_, words))| holds(key, words)).map(|(key, _)| key.clone()).collect()
    };
    let found = keys(store, tenant, &both).await;
    assert_eq!(found, expected(&|key, words| odd(key) && words.contains(&"bone")));
    let found = keys(store, tenant, &neither).await;
    assert_eq!(
        found,
        expected(&|key, words| !odd(key) && words.contains(&"liver") && !words.contains(&"bone"))
    );
}

async fn pages_by_score(store: &Store, tenant: &Tenant) {
    for descending in [true, false] {
        let sort = vec![SortKey { by: SortBy::Score, descending }];
        let whole = Query { sort, ..asking(None, "bone OR liver OR of") };
        let all = store.search(tenant, &access(), &whole).await.unwrap();
        assert!(all.scores.is_sorted_by(|one, next| if descending { one >= next } else { one <= next }));
        assert!(all.matches.len() > 6);
        let mut query = Query { limit: 3, total: false, ..whole };
        let mut found = Vec::new();
        loop {
            let page = store.search(tenant, &access(), &query).await.unwrap();
            found.extend(page.matches.into_iter().map(|version| version.key));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(found, all.matches.iter().map(|version| version.key.clone()).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_agrees_with_looking_at_every_resource() {
    agrees(Engine::Embedded, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cosmos_agrees_with_looking_at_every_resource() {
    agrees(Engine::Cosmos, 12).await;
}

/// Opens a store that was closed a moment ago: who follows lets go of it at its next step.
async fn opened_again(directory: &Path) -> Store {
    for _ in 0..500 {
        match open_with(directory, FourElements::new()) {
            Err(StoreError::InUse(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("the store stays in use");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_far_behind_gone_or_damaged_is_made_good() {
    let home = tempfile::tempdir().unwrap();
    let tenant = Tenant::default_tenant();
    let (mut said, mut deleted) = (Said::new(), Said::new());
    let index = home.path().join("default/text");
    let store = open(home.path());
    for writes in made_up(60, 60) {
        write(&store, &tenant, &mut said, &mut deleted, &writes).await;
    }
    assert!(!index.exists(), "nothing is indexed before anybody asks");
    assert_same(&store, &tenant, &said).await;
    drop(store);

    let store = opened_again(home.path()).await;
    for writes in made_up(60, 60) {
        write(&store, &tenant, &mut said, &mut deleted, &writes).await;
    }
    assert_same(&store, &tenant, &said).await;
    drop(store);

    drop(opened_again(home.path()).await);
    std::fs::remove_dir_all(&index).unwrap();
    let store = opened_again(home.path()).await;
    assert_same(&store, &tenant, &said).await;
    drop(store);

    drop(opened_again(home.path()).await);
    let form = std::fs::read_dir(&index).unwrap().next().unwrap().unwrap().path();
    for entry in std::fs::read_dir(&form).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pos" || extension == "idx") {
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
    }
    let store = opened_again(home.path()).await;
    assert_same(&store, &tenant, &said).await;
    assert_eq!(store.check(&tenant, &|_, _| {}).await.unwrap().faults, Vec::<String>::new());
    drop(store);

    // The same numbers of commits, in another store.
    let other = tempfile::tempdir().unwrap();
    let (mut said, mut deleted) = (Said::new(), Said::new());
    let store = open(other.path());
    for writes in made_up(130, 3).iter().rev() {
        write(&store, &tenant, &mut said, &mut deleted, writes).await;
    }
    drop(store);
    drop(opened_again(home.path()).await);
    std::fs::rename(&index, other.path().join("default/text")).unwrap();
    assert_same(&opened_again(other.path()).await, &tenant, &said).await;
}

const DIRECTORY: &str = "STORE_TEXTS_DIRECTORY";

#[test]
fn a_killed_process_leaves_an_index_that_can_be_gone_on_with() {
    let home = tempfile::tempdir().unwrap();
    for round in 0..8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child_that_writes_and_searches", "--nocapture"])
            .env(DIRECTORY, home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("searched")), "the child searched");
        std::thread::sleep(Duration::from_millis(37 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let store = opened_again(home.path()).await;
            let tenant = Tenant::default_tenant();
            let all = Query { filter: Filter::All, ..asking(None, "x") };
            let all = store.search(&tenant, &access(), &all).await.unwrap().matches;
            for (text, holds) in QUERIES {
                let words = |version: &Version| {
                    let said = element(version, "said");
                    said.as_str().unwrap().split(' ').map(str::to_owned).collect::<Vec<_>>()
                };
                let holding = all
                    .iter()
                    .filter(|version| holds(&words(version).iter().map(String::as_str).collect::<Vec<_>>()));
                let mut expected: Vec<String> =
                    holding.map(|version| version.key.as_str().to_owned()).collect();
                expected.sort();
                assert_eq!(keys(&store, &tenant, &asking(None, text)).await, expected, "{text}");
            }
            assert_eq!(store.check(&tenant, &|_, _| {}).await.unwrap().faults, Vec::<String>::new());
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_killed_process_leaves_an_index_that_can_be_gone_on_with"]
async fn child_that_writes_and_searches() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&directory));
    let tenant = Tenant::default_tenant();
    loop {
        for writes in made_up(40, 20) {
            let mut writes: BTreeMap<u8, Vec<&str>> = writes.into_iter().collect();
            writes.retain(|_, words| !words.is_empty());
            let mut each = Vec::new();
            for (number, words) in writes {
                let key = key(&format!("Patient/{number}"));
                let before =
                    store.read(&tenant, &access(), &key).await.unwrap().map_or(0, |version| version.version);
                each.push(put(&key, before, &format!(r#""said":"{}""#, words.join(" "))));
            }
            store.commit(&tenant, &access(), batch(each)).await.unwrap();
            store.search(&tenant, &access(), &asking(None, "bone")).await.unwrap();
            println!("searched");
        }
    }
}
