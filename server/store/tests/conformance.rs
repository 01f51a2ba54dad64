//! What every engine must do, written against [`Store`] alone: a second engine joins by one more line at the
//! end. Searches have tests of their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test that panics has failed"
)]

mod fixture;

use std::collections::HashMap;
use std::sync::Arc;

use engines::CosmosPlace;
use fixture::*;
use store::*;

/// Somewhere a store is, to be opened as often as the test likes, though never twice at a time.
enum Place {
    Embedded(tempfile::TempDir),
    Cosmos(Box<CosmosPlace>),
}

impl Place {
    async fn open(&self) -> Opened {
        let store = match self {
            Place::Embedded(directory) => open(directory.path()),
            Place::Cosmos(place) => place.open(FourElements::new()).await,
        };
        Opened { store, tenant: Tenant::default_tenant(), access: Access::unrestricted() }
    }
}

/// A store with the arguments that most calls have.
#[derive(Clone)]
struct Opened {
    store: Store,
    tenant: Tenant,
    access: Access,
}

impl Opened {
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<Version>, CommitError> {
        self.commit_if(Vec::new(), writes).await
    }

    async fn commit_if(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> Result<Vec<Version>, CommitError> {
        self.store.commit(&self.tenant, &self.access, Batch { preconditions, writes }).await
    }

    async fn read(&self, key: &Key) -> Option<Version> {
        self.store.read(&self.tenant, &self.access, key).await.unwrap()
    }

    async fn vread(&self, key: &Key, version: u64) -> Option<Version> {
        self.store.vread(&self.tenant, &self.access, key, version).await.unwrap()
    }

    async fn history(&self, query: &HistoryQuery) -> HistoryPage {
        self.store.history(&self.tenant, &self.access, query).await.unwrap()
    }

    async fn changes(&self, after: u64, limit: usize) -> Vec<Change> {
        self.store.changes(&self.tenant, &self.access, after, limit).await.unwrap()
    }

    async fn counts(&self) -> Vec<(Box<str>, u64)> {
        let mut counts = self.store.counts(&self.tenant, &self.access).await.unwrap();
        counts.sort();
        counts
    }
}

fn scope(scope: HistoryScope) -> HistoryQuery {
    HistoryQuery { scope, since: None, at: None, after: None, limit: 1000 }
}

fn names(versions: &[Version]) -> Vec<String> {
    versions.iter().map(|v| format!("{} {}", v.key.as_str(), v.version)).collect()
}

fn identified(code: &str) -> Filter {
    Filter::Match(IDENTIFIER, Predicate::Token { system: None, code: Some(code.into()) })
}

fn no_match(code: &str) -> Precondition {
    Precondition::NoMatch { resource_type: "Patient".into(), filter: identified(code) }
}

/// Waits until the clock's millisecond is another.
fn tick() {
    std::thread::sleep(std::time::Duration::from_millis(3));
}

async fn versions_count_on_through_deletion(place: Place) {
    let store = place.open().await;
    let patient = key("Patient/a");
    assert!(store.read(&patient).await.is_none());
    assert!(store.vread(&patient, 1).await.is_none());
    let writes = [
        put(&patient, 0, r#""name":"one""#),
        put_as(&patient, 1, r#""name":"two""#, Method::Patch),
        delete(&patient, 2),
        put(&patient, 3, r#""name":"four""#),
    ];
    let mut written = Vec::new();
    for write in writes {
        let mut versions = store.commit(vec![write]).await.unwrap();
        assert_eq!(versions.len(), 1);
        written.append(&mut versions);
        let current = store.read(&patient).await.unwrap();
        assert_eq!(current.version, written.len() as u64);
    }
    let methods = [Method::Post, Method::Patch, Method::Delete, Method::Put];
    for ((number, method), version) in (1..).zip(methods).zip(&written) {
        let read = store.vread(&patient, number).await.unwrap();
        for found in [version, &read] {
            assert_eq!((&found.key, found.version, found.method), (&patient, number, method));
            assert_eq!(found.last_updated, version.last_updated);
            assert_eq!(found.body, version.body);
            assert_eq!(found.is_deleted(), number == 3);
        }
        if number == 3 {
            assert!(read.body.is_empty());
        } else {
            let meta = element(&read, "meta");
            assert_eq!(meta["versionId"], number.to_string());
            assert_eq!(meta["lastUpdated"], read.last_updated.to_string());
        }
    }
    assert!(store.vread(&patient, 0).await.is_none());
    assert!(store.vread(&patient, 5).await.is_none());
    let history = store.history(&scope(HistoryScope::Instance(patient.clone()))).await;
    let numbers: Vec<u64> = history.versions.iter().map(|v| v.version).collect();
    assert_eq!((numbers, history.total), (vec![4, 3, 2, 1], Some(4)));
    let report = assert_whole(&store.store, &store.tenant).await;
    assert_eq!((report.resources, report.versions), (1, 4));
}

async fn a_write_that_follows_another_version_conflicts(place: Place) {
    let store = place.open().await;
    let patient = key("Patient/a");
    let check = async |previous: u64, deleted: bool, current: u64| {
        let write = if deleted { delete(&patient, previous) } else { put(&patient, previous, "") };
        let other = key("Patient/other");
        match store.commit(vec![put(&other, 0, ""), write]).await {
            Err(CommitError::Conflict { write: 1, found }) => assert_eq!(found, current),
            answer => panic!("{answer:?}"),
        }
        assert!(store.read(&other).await.is_none());
    };
    check(1, false, 0).await;
    check(3, true, 0).await;
    store.commit(vec![put(&patient, 0, "")]).await.unwrap();
    check(0, false, 1).await;
    check(2, true, 1).await;
    store.commit(vec![delete(&patient, 1)]).await.unwrap();
    check(0, false, 2).await;
    check(1, true, 2).await;
    assert_eq!(store.changes(0, 100).await.len(), 2);
    assert_whole(&store.store, &store.tenant).await;
}

async fn a_batch_is_written_as_a_whole_or_not_at_all(place: Place) {
    let store = place.open().await;
    let keys: Vec<Key> = (0..50).map(|n| key(&format!("Patient/{n}"))).collect();
    let mut writes: Vec<Write> = keys.iter().map(|key| put(key, 0, r#""name":"x""#)).collect();
    writes.push(put(&key("Patient/late"), 7, ""));
    let answer = store.commit(writes).await;
    assert!(matches!(answer, Err(CommitError::Conflict { write: 50, found: 0 })), "{answer:?}");
    for key in &keys {
        assert!(store.read(key).await.is_none());
    }
    assert_eq!((store.counts().await, store.changes(0, 10).await.len()), (Vec::new(), 0));

    let writes: Vec<Write> = keys.iter().map(|key| put(key, 0, r#""name":"x""#)).collect();
    let versions = store.commit(writes).await.unwrap();
    assert_eq!(versions.iter().map(|v| v.key.clone()).collect::<Vec<_>>(), keys);
    assert!(versions.iter().all(|v| v.last_updated == versions[0].last_updated));
    let changes = store.changes(0, 1).await;
    assert_eq!(changes.len(), 50);
    assert!(changes.iter().all(|change| change.sequence == 1));
    assert_eq!(store.counts().await, vec![("Patient".into(), 50)]);
    assert_whole(&store.store, &store.tenant).await;
}

async fn a_batch_cannot_write_a_resource_twice(place: Place) {
    let store = place.open().await;
    let patient = key("Patient/a");
    let answer = store.commit(vec![put(&patient, 0, ""), put(&patient, 0, "")]).await;
    assert!(matches!(answer, Err(CommitError::Conflict { write: 1, found: 1 })), "{answer:?}");
    let answer = store.commit(vec![put(&patient, 0, ""), put(&patient, 1, "")]).await;
    assert!(matches!(answer, Err(CommitError::Conflict { write: 1, .. })), "{answer:?}");
    assert!(store.read(&patient).await.is_none());
}

async fn an_empty_batch_is_no_commit(place: Place) {
    let store = place.open().await;
    assert!(store.commit(Vec::new()).await.unwrap().is_empty());
    let answer = store.commit_if(vec![Precondition::Exists(key("Patient/a"))], Vec::new()).await;
    assert!(matches!(answer, Err(CommitError::Precondition { precondition: 0 })), "{answer:?}");
    store.commit(vec![put(&key("Patient/a"), 0, "")]).await.unwrap();
    assert!(store.commit(Vec::new()).await.unwrap().is_empty());
    assert_eq!(store.changes(0, 10).await.len(), 1);
    assert_eq!(store.changes(0, 10).await[0].sequence, 1);
}

async fn a_body_without_room_for_the_time_is_refused(place: Place) {
    let store = place.open().await;
    let patient = key("Patient/a");
    for wrong in [usize::MAX, 1 << 20] {
        let Write::Put { key, previous, method, body, entries, .. } = put(&patient, 0, "") else { panic!() };
        let write = Write::Put { key, previous, method, body, stamp: wrong, entries };
        let answer = store.commit(vec![write]).await;
        assert!(matches!(answer, Err(CommitError::Store(_))), "{answer:?}");
    }
    assert!(store.read(&patient).await.is_none());
    store.commit(vec![put(&patient, 0, "")]).await.unwrap();
}

async fn one_of_many_conditional_creates_wins(place: Place) {
    let store = place.open().await;
    for round in 0..10 {
        let code = format!("mrn-{round}");
        let tasks: Vec<_> = (0..16)
            .map(|task| {
                let (store, code) = (store.clone(), code.clone());
                tokio::spawn(async move {
                    let patient = key(&format!("Patient/{round}-{task}"));
                    let write = put(&patient, 0, &format!(r#""identifier":"{code}""#));
                    store.commit_if(vec![no_match(&code)], vec![write]).await
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => won += 1,
                Err(CommitError::Precondition { precondition: 0 }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(won, 1);
    }
    assert_eq!(store.counts().await, vec![("Patient".into(), 10)]);
    assert_whole(&store.store, &store.tenant).await;
}

async fn no_match_sees_the_current_versions(place: Place) {
    let store = place.open().await;
    let (first, second) = (key("Patient/a"), key("Patient/b"));
    let create = |key: &Key, code: &str| put(key, 0, &format!(r#""identifier":"{code}""#));
    store.commit_if(vec![no_match("x")], vec![create(&first, "x")]).await.unwrap();
    let answer = store.commit_if(vec![no_match("y"), no_match("x")], vec![create(&second, "x")]).await;
    assert!(matches!(answer, Err(CommitError::Precondition { precondition: 1 })), "{answer:?}");
    // Of another type, nothing matches.
    let other = Precondition::NoMatch { resource_type: "Group".into(), filter: identified("x") };
    store.commit_if(vec![other], vec![create(&key("Group/a"), "x")]).await.unwrap();
    // An older version does not count.
    store.commit(vec![put(&first, 1, r#""identifier":"z""#)]).await.unwrap();
    store.commit_if(vec![no_match("x")], vec![create(&second, "x")]).await.unwrap();
    // Nor does a deleted resource.
    store.commit(vec![delete(&second, 1)]).await.unwrap();
    store.commit_if(vec![no_match("x")], vec![create(&key("Patient/c"), "x")]).await.unwrap();
    assert_whole(&store.store, &store.tenant).await;
}

async fn exists_means_now_and_not_deleted(place: Place) {
    let store = place.open().await;
    let (patient, other) = (key("Patient/a"), key("Patient/b"));
    let exists = || vec![Precondition::Exists(patient.clone())];
    let refused = |answer| matches!(answer, Err(CommitError::Precondition { precondition: 0 }));
    assert!(refused(store.commit_if(exists(), vec![put(&other, 0, "")]).await));
    store.commit(vec![put(&patient, 0, "")]).await.unwrap();
    store.commit_if(exists(), vec![put(&other, 0, "")]).await.unwrap();
    store.commit(vec![delete(&patient, 1)]).await.unwrap();
    assert!(refused(store.commit_if(exists(), vec![put(&other, 1, "")]).await));
    assert_eq!(store.read(&other).await.unwrap().version, 1);
}

async fn ten_thousand_writes_are_one_commit(place: Place) {
    let store = place.open().await;
    let name = |n: usize| key(&format!("Observation/{n}"));
    let writes =
        (0..10_000).map(|n| put(&name(n), 0, &format!(r#""identifier":"{n}","amount":{}"#, n % 100)));
    let versions = store.commit(writes.collect()).await.unwrap();
    assert_eq!(versions.len(), 10_000);
    for n in [0, 4095, 4096, 9999] {
        assert_eq!(element(&store.read(&name(n)).await.unwrap(), "identifier"), n.to_string());
    }
    assert_eq!(store.changes(0, 1).await.len(), 10_000);
    assert_eq!(store.counts().await, vec![("Observation".into(), 10_000)]);
    let writes = (0..10_000).map(|n| if n % 2 == 0 { delete(&name(n), 1) } else { put(&name(n), 1, "") });
    store.commit(writes.collect()).await.unwrap();
    assert_eq!(store.counts().await, vec![("Observation".into(), 5_000)]);
    assert_whole(&store.store, &store.tenant).await;
}

/// Pages through a history to its end.
async fn pages(store: &Opened, mut query: HistoryQuery, mut between: impl AsyncFnMut()) -> Vec<Version> {
    let mut versions = Vec::new();
    loop {
        let mut page = store.history(&query).await;
        assert!(page.versions.len() <= query.limit);
        versions.append(&mut page.versions);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return versions,
        }
        between().await;
    }
}

async fn history_pages_stay_right_while_writes_go_on(place: Place) {
    let store = place.open().await;
    let (a, b, group) = (key("Patient/a"), key("Patient/b"), key("Group/a"));
    for n in 0..10 {
        store.commit(vec![put(&a, n, ""), put(&group, n, "")]).await.unwrap();
        store.commit(vec![put(&b, n, "")]).await.unwrap();
    }
    let scopes = [
        (HistoryScope::Instance(a.clone()), 10),
        (HistoryScope::Type("Patient".into()), 20),
        (HistoryScope::Type("Group".into()), 10),
        (HistoryScope::System, 30),
    ];
    for (which, least) in scopes {
        for limit in [1, 3, least - 1, least, 999] {
            let whole = store.history(&scope(which.clone())).await;
            assert!(whole.next.is_none());
            assert!(whole.versions.len() >= least);
            assert_eq!(whole.total, Some(whole.versions.len() as u64));
            let mut pages_read = 0;
            let query = HistoryQuery { limit, ..scope(which.clone()) };
            let paged = pages(&store, query, async || {
                pages_read += 1;
                if pages_read < 3 {
                    let now = store.read(&a).await.unwrap().version;
                    store.commit(vec![put(&a, now, ""), put(&group, now, "")]).await.unwrap();
                }
            })
            .await;
            assert_eq!(names(&paged), names(&whole.versions));
        }
    }
    assert_whole(&store.store, &store.tenant).await;
}

async fn history_knows_since_and_at(place: Place) {
    let store = place.open().await;
    let (a, b) = (key("Patient/a"), key("Patient/b"));
    let mut times = Vec::new();
    let batches = [
        vec![put(&a, 0, "")],
        vec![put(&b, 0, "")],
        vec![put(&a, 1, "")],
        vec![delete(&b, 1), put(&a, 2, "")],
    ];
    for writes in batches {
        tick();
        times.push(store.commit(writes).await.unwrap()[0].last_updated);
    }
    let before = |n: usize| Timestamp(times[n].0 - 1);
    let check = async |which: HistoryScope, since: Option<Timestamp>, at, expected: &[&str]| {
        let query = HistoryQuery { since, at, ..scope(which.clone()) };
        let page = store.history(&query).await;
        assert_eq!(names(&page.versions), expected, "{query:?}");
        let counted = match which {
            HistoryScope::Instance(_) => Some(expected.len() as u64),
            _ if since.is_none() && at.is_none() => Some(expected.len() as u64),
            _ => None,
        };
        assert_eq!(page.total, counted, "{query:?}");
        let paged = pages(&store, HistoryQuery { limit: 1, ..query.clone() }, async || {}).await;
        assert_eq!(names(&paged), expected, "{query:?}");
        let none = store.history(&HistoryQuery { limit: 0, ..query }).await;
        assert_eq!((none.versions.len(), none.next, none.total), (0, None, counted));
    };
    let instance = || HistoryScope::Instance(a.clone());
    let patients = || HistoryScope::Type("Patient".into());
    let system = || HistoryScope::System;

    let all = ["Patient/a 3", "Patient/b 2", "Patient/a 2", "Patient/b 1", "Patient/a 1"];
    check(system(), None, None, &all).await;
    check(patients(), None, None, &all).await;
    check(HistoryScope::Type("Group".into()), None, None, &[]).await;
    check(HistoryScope::Instance(key("Patient/z")), None, None, &[]).await;

    check(system(), Some(times[2]), None, &all[..3]).await;
    check(patients(), Some(times[2]), None, &all[..3]).await;
    check(instance(), Some(times[2]), None, &["Patient/a 3", "Patient/a 2"]).await;
    check(system(), Some(Timestamp(times[3].0 + 1)), None, &[]).await;

    let at = |from, to| Some((from, to));
    check(system(), None, at(before(0), before(0)), &[]).await;
    check(system(), None, at(times[0], times[0]), &["Patient/a 1"]).await;
    check(system(), None, at(before(2), before(2)), &["Patient/b 1", "Patient/a 1"]).await;
    check(system(), None, at(times[2], times[2]), &["Patient/a 2", "Patient/b 1"]).await;
    check(patients(), None, at(before(2), times[2]), &["Patient/a 2", "Patient/b 1", "Patient/a 1"]).await;
    check(instance(), None, at(before(2), times[2]), &["Patient/a 2", "Patient/a 1"]).await;
    let now = Timestamp(times[3].0 + 1000);
    check(system(), None, at(now, now), &["Patient/a 3", "Patient/b 2"]).await;
    check(system(), Some(times[2]), at(before(2), times[2]), &["Patient/a 2"]).await;
}

async fn a_cursor_of_another_history_is_refused(place: Place) {
    let store = place.open().await;
    let patient = key("Patient/a");
    for n in 0..3 {
        store.commit(vec![put(&patient, n, "")]).await.unwrap();
    }
    let refused = async |which: HistoryScope, cursor: Cursor| {
        let query = HistoryQuery { after: Some(cursor), ..scope(which) };
        let answer = store.store.history(&store.tenant, &store.access, &query).await;
        assert!(matches!(answer, Err(StoreError::Cursor)), "{answer:?}");
    };
    let instance = HistoryScope::Instance(patient);
    for (which, other) in [(&instance, &HistoryScope::System), (&HistoryScope::System, &instance)] {
        let page = store.history(&HistoryQuery { limit: 1, ..scope(which.clone()) }).await;
        refused(other.clone(), page.next.unwrap()).await;
        refused(other.clone(), Cursor(Box::default())).await;
        refused(other.clone(), Cursor(Box::from([1, 2, 3]))).await;
    }
}

async fn changes_are_read_from_any_commit(place: Place) {
    let store = place.open().await;
    let mut expected: Vec<(u64, String)> = Vec::new();
    for sequence in 1..=30_u64 {
        let size = 1 + sequence % 4;
        let keys: Vec<Key> = (0..size).map(|n| key(&format!("Patient/{sequence}-{n}"))).collect();
        store.commit(keys.iter().map(|key| put(key, 0, "")).collect()).await.unwrap();
        expected.extend(keys.iter().map(|key| (sequence, key.as_str().to_owned())));
    }
    let told = |changes: &[Change]| -> Vec<(u64, String)> {
        changes.iter().map(|change| (change.sequence, change.key.as_str().to_owned())).collect()
    };
    for after in 0..=31 {
        let rest: Vec<_> = expected.iter().filter(|(sequence, _)| *sequence > after).cloned().collect();
        assert_eq!(told(&store.changes(after, 10_000).await), rest);
        for limit in [1, 7] {
            let (mut from, mut got) = (after, Vec::new());
            loop {
                let page = store.changes(from, limit).await;
                let Some(last) = page.last() else { break };
                assert!(page.len() < limit + 4);
                from = last.sequence;
                got.extend(told(&page));
            }
            assert_eq!(got, rest);
        }
    }
    assert!(store.changes(u64::MAX, 10).await.is_empty());
    store.commit(vec![delete(&key("Patient/1-0"), 1)]).await.unwrap();
    let change = &store.changes(30, 10).await[0];
    let current = store.read(&key("Patient/1-0")).await.unwrap();
    assert_eq!((change.version, change.method), (2, Method::Delete));
    assert_eq!(change.last_updated, current.last_updated);
}

async fn a_store_is_the_same_when_opened_again(place: Place) {
    let patient = key("Patient/a");
    let store = place.open().await;
    let secret = store.store.secret();
    store.commit(vec![put(&patient, 0, r#""identifier":"x""#)]).await.unwrap();
    let written = store.commit(vec![put(&patient, 1, r#""identifier":"y""#)]).await.unwrap();
    drop(store);

    let store = place.open().await;
    assert_eq!(store.store.secret(), secret);
    let read = store.read(&patient).await.unwrap();
    assert_eq!((read.version, &read.body), (2, &written[0].body));
    let next = store.commit(vec![put(&key("Patient/b"), 0, "")]).await.unwrap();
    assert!(next[0].last_updated >= written[0].last_updated);
    let sequences: Vec<u64> = store.changes(0, 10).await.iter().map(|change| change.sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
    assert_eq!(store.counts().await, vec![("Patient".into(), 2)]);
    assert_whole(&store.store, &store.tenant).await;
}

async fn concurrent_writers_lose_nothing(place: Place) {
    const WRITERS: usize = 16;
    const EACH: usize = 40;
    let store = place.open().await;
    let counters: Arc<Vec<Key>> = Arc::new((0..4).map(|n| key(&format!("Basic/counter-{n}"))).collect());
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, counters) = (store.clone(), counters.clone());
            tokio::spawn(async move {
                for n in 0..EACH {
                    let own = key(&format!("Basic/{writer}-{n}"));
                    increment(&store, &counters[(writer + n) % 4], &own).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut sum = 0;
    for counter in counters.iter() {
        let current = store.read(counter).await.unwrap();
        assert_eq!(element(&current, "amount"), current.version);
        sum += current.version as usize;
    }
    assert_eq!(sum, WRITERS * EACH);
    assert_eq!(store.counts().await, vec![("Basic".into(), (WRITERS * EACH + 4) as u64)]);
    assert_whole(&store.store, &store.tenant).await;
}

/// Adds one to a counter, and a resource of its own with it, however often others come first.
async fn increment(store: &Opened, counter: &Key, own: &Key) {
    loop {
        let current = store.read(counter).await.map_or(0, |current| current.version);
        let amount = format!(r#""amount":{}"#, current + 1);
        match store.commit(vec![put(counter, current, &amount), put(own, 0, "")]).await {
            Ok(_) => return,
            Err(CommitError::Conflict { write: 0, found }) => assert!(found > current),
            Err(error) => panic!("{error}"),
        }
    }
}

async fn times_never_go_back(place: Place) {
    let store = place.open().await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..30 {
                    let write = put(&key(&format!("Patient/{task}-{n}")), 0, "");
                    store.commit(vec![write]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let changes = store.changes(0, 1000).await;
    assert_eq!(changes.len(), 240);
    assert!(changes.is_sorted_by(|a, b| a.sequence < b.sequence && a.last_updated <= b.last_updated));
    let mut last: HashMap<String, i64> = HashMap::new();
    for change in &changes {
        let task = change.key.id().split('-').next().unwrap().to_owned();
        let before = last.insert(task, change.last_updated.0);
        assert!(before.is_none_or(|before| before <= change.last_updated.0));
    }
}

async fn tenants_do_not_meet(place: Place) {
    let store = place.open().await;
    let other = Opened { tenant: Tenant::new("clinic-2").unwrap(), ..store.clone() };
    let patient = key("Patient/a");
    store.commit(vec![put(&patient, 0, r#""identifier":"x""#)]).await.unwrap();
    assert!(other.read(&patient).await.is_none());
    assert!(other.changes(0, 10).await.is_empty());
    assert!(other.counts().await.is_empty());
    other.commit_if(vec![no_match("x")], vec![put(&patient, 0, r#""name":"other""#)]).await.unwrap();
    other.commit(vec![put(&patient, 1, r#""name":"other""#)]).await.unwrap();
    assert_eq!(store.read(&patient).await.unwrap().version, 1);
    assert_eq!(other.read(&patient).await.unwrap().version, 2);
    assert_whole(&store.store, &store.tenant).await;
    assert_whole(&other.store, &other.tenant).await;
}

async fn counts_follow_every_kind_of_write(place: Place) {
    let store = place.open().await;
    let (a, b, group) = (key("Patient/a"), key("Patient/b"), key("Group/a"));
    let check = async |writes: Vec<Write>, expected: &[(&str, u64)]| {
        store.commit(writes).await.unwrap();
        let expected: Vec<(Box<str>, u64)> = expected.iter().map(|(name, n)| ((*name).into(), *n)).collect();
        assert_eq!(store.counts().await, expected);
    };
    check(vec![put(&a, 0, "")], &[("Patient", 1)]).await;
    check(vec![put(&b, 0, ""), put(&group, 0, "")], &[("Group", 1), ("Patient", 2)]).await;
    check(vec![put(&a, 1, "")], &[("Group", 1), ("Patient", 2)]).await;
    check(vec![delete(&group, 1), delete(&b, 1)], &[("Patient", 1)]).await;
    check(vec![delete(&b, 2)], &[("Patient", 1)]).await;
    check(vec![put(&b, 3, "")], &[("Patient", 2)]).await;
    assert_whole(&store.store, &store.tenant).await;
}

async fn a_caller_that_goes_away_holds_nothing_up(place: Place) {
    let store = place.open().await;
    for n in 0..20 {
        let store = store.clone();
        let task = tokio::spawn(async move {
            store.commit(vec![put(&key(&format!("Patient/{n}")), 0, "")]).await.unwrap();
        });
        tokio::task::yield_now().await;
        task.abort();
    }
    store.commit(vec![put(&key("Patient/last"), 0, "")]).await.unwrap();
    assert!(store.read(&key("Patient/last")).await.is_some());
    assert_whole(&store.store, &store.tenant).await;
}

async fn what_is_erased_is_gone_and_the_rest_stays(place: Place) {
    let store = place.open().await;
    let (a, b) = (key("Patient/a"), key("Patient/b"));
    for n in 0..4 {
        store.commit(vec![put(&a, n, &format!(r#""name":"secret {n}""#))]).await.unwrap();
    }
    store.commit(vec![put(&b, 0, r#""name":"gone""#), put(&key("Group/g"), 0, "")]).await.unwrap();
    store.commit(vec![delete(&b, 1)]).await.unwrap();
    let erase = async |erasures: Vec<(&Key, Option<u64>)>| {
        let erasures = erasures.into_iter().map(|(key, version)| Erasure { key: key.clone(), version });
        store.store.erase(&store.tenant, erasures.collect()).await.unwrap()
    };
    let history = async |of: HistoryScope| {
        let count = store.history(&HistoryQuery { limit: 0, ..scope(of.clone()) }).await.total;
        let page = store.history(&scope(of)).await;
        assert!(page.versions.iter().all(|version| !version.is_erased()));
        // A page may leave the total out, and never says another.
        assert!(page.total.is_none_or(|total| Some(total) == count));
        (names(&page.versions), count)
    };
    // The current version, one that is not there and a deletion stay.
    for (key, version) in [(&a, Some(4)), (&a, Some(9)), (&b, Some(2)), (&key("Patient/none"), None)] {
        assert_eq!(erase(vec![(key, version)]).await, 0, "{key:?} {version:?}");
    }
    assert_eq!(history(HistoryScope::System).await.1, Some(7));
    assert_eq!(erase(vec![(&a, Some(2))]).await, 1);
    assert_eq!(erase(vec![(&a, Some(2))]).await, 0);
    let expected = ["Patient/a 4", "Patient/a 3", "Patient/a 1"].map(str::to_owned).to_vec();
    assert_eq!(history(HistoryScope::Instance(a.clone())).await, (expected, Some(3)));
    let erased = store.vread(&a, 2).await.unwrap();
    assert!(erased.is_erased() && erased.is_deleted() && erased.body.is_empty());
    assert_eq!(element(&store.vread(&a, 3).await.unwrap(), "name"), "secret 2");
    assert_eq!(erase(vec![(&a, None), (&b, None)]).await, 3);
    assert!(store.vread(&b, 1).await.unwrap().is_erased());
    assert!(!store.vread(&b, 2).await.unwrap().is_erased());
    let left = ["Patient/b 2", "Group/g 1", "Patient/a 4"].map(str::to_owned).to_vec();
    assert_eq!(history(HistoryScope::System).await, (left, Some(3)));
    let of_type = ["Patient/b 2", "Patient/a 4"].map(str::to_owned).to_vec();
    assert_eq!(history(HistoryScope::Type("Patient".into())).await, (of_type, Some(2)));
    let mut pages = scope(HistoryScope::Instance(a.clone()));
    pages.limit = 1;
    assert_eq!(store.history(&pages).await.next, None);
    // What reads the changes and the journal goes on without gaps, and finds nothing of it.
    assert_eq!(store.changes(0, 100).await.len(), 7);
    let journal = store.store.commits(&store.tenant, 0, usize::MAX).await.unwrap();
    assert_eq!(journal.iter().map(|commit| commit.sequence).collect::<Vec<_>>(), (1..=6).collect::<Vec<_>>());
    let versions = journal.iter().flat_map(|commit| &commit.versions);
    let said: Vec<_> = versions
        .filter(|it| !it.body.is_empty())
        .map(|it| element(it, "name"))
        .filter(|it| !it.is_null())
        .collect();
    assert_eq!(said, ["secret 3"]);
    // Versions count on, also when it is opened again.
    let report = assert_whole(&store.store, &store.tenant).await;
    assert_eq!((report.resources, report.versions), (2, 7));
    drop(store);
    let store = place.open().await;
    assert_eq!(store.history(&HistoryQuery { limit: 0, ..scope(HistoryScope::System) }).await.total, Some(3));
    store.commit(vec![put(&a, 4, r#""name":"next""#)]).await.unwrap();
    store.commit(vec![put(&b, 2, "")]).await.unwrap();
    assert_eq!(store.counts().await, vec![("Group".into(), 1), ("Patient".into(), 2)]);
    // A sealed tenant is as it is.
    store.store.seal(&store.tenant).await.unwrap();
    let erasure = Erasure { key: a.clone(), version: None };
    let refused = store.store.erase(&store.tenant, vec![erasure]).await;
    assert!(matches!(refused, Err(StoreError::Moving(_))), "{refused:?}");
    store.store.unseal(&store.tenant).await.unwrap();
    assert_eq!(element(&store.vread(&a, 4).await.unwrap(), "name"), "secret 3");
    // A copy made of the journal is the same.
    let journal = store.store.commits(&store.tenant, 0, usize::MAX).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let copy = open(directory.path());
    for commit in journal.clone() {
        copy.replay(&store.tenant, vec![commit]).await.unwrap();
        assert_whole(&copy, &store.tenant).await;
    }
    let copied = copy.commits(&store.tenant, 0, usize::MAX).await.unwrap();
    assert_eq!(format!("{copied:?}"), format!("{journal:?}"));
    let other = Tenant::new("copy").unwrap();
    if matches!(place, Place::Embedded(_)) {
        store.store.replay(&other, journal).await.unwrap();
        assert_whole(&store.store, &other).await;
    }
    assert_whole(&store.store, &store.tenant).await;
}

/// Makes a module with a test for each case, for an engine.
macro_rules! engine {
    ($engine:ident, $place:expr; $($case:ident)*) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case($place).await;
                }
            )*
        }
    };
}

macro_rules! suite {
    ($engine:ident, $place:expr) => {
        engine! { $engine, $place;
            versions_count_on_through_deletion
            a_write_that_follows_another_version_conflicts
            a_batch_is_written_as_a_whole_or_not_at_all
            a_batch_cannot_write_a_resource_twice
            an_empty_batch_is_no_commit
            a_body_without_room_for_the_time_is_refused
            one_of_many_conditional_creates_wins
            no_match_sees_the_current_versions
            exists_means_now_and_not_deleted
            history_pages_stay_right_while_writes_go_on
            history_knows_since_and_at
            a_cursor_of_another_history_is_refused
            changes_are_read_from_any_commit
            a_store_is_the_same_when_opened_again
            concurrent_writers_lose_nothing
            times_never_go_back
            tenants_do_not_meet
            counts_follow_every_kind_of_write
            a_caller_that_goes_away_holds_nothing_up
            what_is_erased_is_gone_and_the_rest_stays
        }
    };
}

suite!(embedded, super::Place::Embedded(tempfile::tempdir().unwrap()));
// On the emulator, or on the account that AZURE_COSMOS_CONNECTION_STRING names.
suite!(cosmos, super::Place::Cosmos(Box::new(engines::CosmosPlace::new().await)));

engine! { embedded_large, super::Place::Embedded(tempfile::tempdir().unwrap()); ten_thousand_writes_are_one_commit }

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the emulator's host stops answering (503) while it updates 10,000 resources; it creates them"]
async fn ten_thousand_writes_are_one_commit_on_cosmos() {
    ten_thousand_writes_are_one_commit(Place::Cosmos(Box::new(CosmosPlace::new().await))).await;
}
