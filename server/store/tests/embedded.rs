//! What the embedded engine does besides what every engine does: opening, its lock, building its
//! index anew.
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

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use fixture::*;
use store::*;

fn tenant() -> Tenant {
    Tenant::default_tenant()
}

async fn commit(store: &Store, writes: Vec<Write>) -> Vec<Version> {
    store.commit(&tenant(), &Access::unrestricted(), batch(writes)).await.unwrap()
}

async fn read(store: &Store, text: &str) -> Option<Version> {
    store.read(&tenant(), &Access::unrestricted(), &key(text)).await.unwrap()
}

async fn fill(store: &Store, resources: usize) {
    let name = |n: usize| key(&format!("Patient/{n}"));
    let text = |n: usize| format!(r#""identifier":"{n}","name":"{}""#, "x".repeat(n % 7));
    commit(store, (0..resources).map(|n| put(&name(n), 0, &text(n))).collect()).await;
    commit(store, (0..resources).step_by(3).map(|n| put(&name(n), 1, &text(n + 1))).collect()).await;
    commit(
        store,
        (0..resources).step_by(5).map(|n| delete(&name(n), if n % 3 == 0 { 2 } else { 1 })).collect(),
    )
    .await;
}

async fn with_amount(store: &Store, amount: f64) -> u64 {
    let query = Query {
        resource_type: Some("Patient".into()),
        filter: Filter::Match(AMOUNT, Predicate::Number(Comparison::Equal, amount, amount)),
        sort: Vec::new(),
        after: None,
        limit: 0,
        total: true,
    };
    store.search(&tenant(), &Access::unrestricted(), &query).await.unwrap().total.unwrap()
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let second = open_with(directory.path(), FourElements::new());
    let text = second.err().unwrap().to_string();
    assert_eq!(text, format!("{} is in use by another process", directory.path().display()));
    drop(store);
    open(directory.path());
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(open_with(&file.join("data"), FourElements::new()), Err(StoreError::Storage(_))));
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("default/data.mdb");
    fs::create_dir(data.parent().unwrap()).unwrap();
    let garbage = vec![b'x'; 64 << 10];
    fs::write(&data, &garbage).unwrap();
    assert!(matches!(open_with(directory.path(), FourElements::new()), Err(StoreError::Storage(_))));
    assert_eq!(fs::read(&data).unwrap(), garbage);
}

#[tokio::test]
async fn other_definitions_build_the_index_anew() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, 300).await;
    assert_eq!(with_amount(&store, 3.0).await, 0);
    let length_3 = count_of_length(&store, 3).await;
    drop(store);

    let told = Mutex::new(Vec::new());
    let options = EmbeddedOptions { directory: directory.path().to_owned() };
    let open_told = |fingerprint| {
        let tell = |done, total| told.lock().unwrap().push((done, total));
        Store::open_embedded(&options, FourElements::with_fingerprint(fingerprint), &tell).unwrap()
    };
    let store = open_told(2);
    assert_eq!(told.lock().unwrap().last(), Some(&(300, 300)));
    assert!(length_3 > 10);
    assert_eq!(with_amount(&store, 3.0).await, length_3);
    assert_whole(&store, &tenant()).await;
    drop(store);

    told.lock().unwrap().clear();
    drop(open_told(2));
    assert_eq!(told.lock().unwrap().len(), 0);
    assert_eq!(with_amount(&open_told(1), 3.0).await, 0);
}

async fn count_of_length(store: &Store, length: usize) -> u64 {
    let mut count = 0;
    for n in 0..300 {
        let version = read(store, &format!("Patient/{n}")).await.unwrap();
        count +=
            u64::from(!version.is_deleted() && element(&version, "name").as_str().unwrap().len() == length);
    }
    count
}

/// More than one step of a rebuild, so that it stops in the middle.
const MANY: usize = 20_000;

#[tokio::test]
async fn a_rebuild_that_was_interrupted_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, MANY).await;
    drop(store);

    let options = EmbeddedOptions { directory: directory.path().to_owned() };
    let stopped = AtomicBool::new(false);
    let stop = |done: u64, _| {
        if done > 0 {
            stopped.store(true, Ordering::Relaxed);
            std::panic::resume_unwind(Box::new("stopped"));
        }
    };
    let interrupted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(Store::open_embedded(&options, FourElements::with_fingerprint(2), &stop));
    }));
    assert!(interrupted.is_err() && stopped.load(Ordering::Relaxed));

    let first = Mutex::new(None);
    let tell = |done, _| {
        first.lock().unwrap().get_or_insert(done);
    };
    let store = Store::open_embedded(&options, FourElements::with_fingerprint(2), &tell).unwrap();
    assert!(first.lock().unwrap().is_some_and(|done: u64| done > 0), "it began again from the first");
    assert!(with_amount(&store, 3.0).await > 0);
    assert_whole(&store, &tenant()).await;
}
