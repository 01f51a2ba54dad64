//! Commits and reads of the embedded engine, beside what the disk gives: an append-only file with group fsync.
//!
//! `cargo bench -p store`. The resources are of about 1.2 KB with 20 index entries each. The directory is in
//! `TMPDIR`; a memory file system there says nothing of durable commits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a benchmark that panics has failed"
)]

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use std::fs::File;
use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use fixture::{FourElements, batch, body, key};
use store::*;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

fn main() {
    divan::main();
}

/// Commits of one writer in one sample.
const EACH: usize = 50;
const BULK: usize = 1000;
const STORED: u64 = 20_000;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static NEXT: AtomicU64 = AtomicU64::new(0);

fn new_store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let options = EmbeddedOptions { directory: directory.path().to_owned() };
    let store = Store::open_embedded(&options, FourElements::new(), &|_, _| {}).expect("a store");
    (directory, store)
}

/// A new resource: an observation of one of some patients.
fn write(n: u64) -> Write {
    let key = key(&format!("Observation/{n}"));
    let (body, stamp) = body(&key, 1, &format!(r#""identifier":"{n}","text":"{}""#, "x".repeat(1000)));
    Write::Put { key, previous: 0, method: Method::Post, body, stamp, entries: entries(n) }
}

fn entries(n: u64) -> Entries {
    let mut entries = Entries::new();
    let amount = (n % 1000) as f64;
    let micros = 1_700_000_000_000_000 + (n as i64 % 100_000) * 60_000_000;
    let texts: Vec<String> = (2..14).map(|of: u64| format!("code-{}", n % (of * of * of))).collect();
    for (of, code) in (0..).zip(&texts) {
        let system = "http://loinc.org";
        entries.push(ParameterId(of % 3), &Value::Token { system, code });
    }
    let (patient, encounter) = (format!("Patient/{}", n % 400), format!("Encounter/{}", n / 20));
    for reference in [&patient, &encounter] {
        entries.push(ParameterId(3), &Value::Reference(reference));
        entries.push(ParameterId(4), &Value::Reference(reference));
    }
    entries.push(ParameterId(5), &Value::Date { lo: micros, hi: micros });
    entries.push(ParameterId(6), &Value::String("Body weight"));
    entries.push(ParameterId(7), &Value::Number { lo: amount, hi: amount });
    let (system, code, unit) = ("http://unitsofmeasure.org", "kg", "kg");
    entries.push(ParameterId(8), &Value::Quantity { lo: amount, hi: amount, system, code, unit });
    entries
}

fn writes(count: usize) -> Vec<Write> {
    (0..count).map(|_| write(NEXT.fetch_add(1, Ordering::Relaxed))).collect()
}

async fn commit(store: &Store, writes: Vec<Write>) {
    let (tenant, access) = (Tenant::default_tenant(), Access::unrestricted());
    store.commit(&tenant, &access, batch(writes)).await.expect("a commit");
}

/// Runs tasks to their end.
fn run(tasks: Vec<impl Future<Output = ()> + Send + 'static>) {
    RUNTIME.block_on(async {
        for task in tasks.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
            task.await.expect("a task");
        }
    });
}

/// Durable commits of one resource each, from several writers at once.
#[divan::bench(args = [1, 16, 64], sample_count = 20, sample_size = 1)]
fn durable_commits(bencher: Bencher<'_, '_>, writers: usize) {
    let (_directory, store) = new_store();
    bencher
        .counter(ItemsCount::new(writers * EACH))
        .with_inputs(|| (0..writers).map(|_| writes(EACH)).collect::<Vec<_>>())
        .bench_values(|work| {
            let commit_each = |writes: Vec<Write>| {
                let store = store.clone();
                async move {
                    for write in writes {
                        commit(&store, vec![write]).await;
                    }
                }
            };
            run(work.into_iter().map(commit_each).collect());
        });
}

/// The same bodies appended to a file; one thread writes those that wait and syncs once.
#[divan::bench(args = [1, 16, 64], sample_count = 20, sample_size = 1)]
fn append_with_group_fsync(bencher: Bencher<'_, '_>, writers: usize) {
    let (append, jobs) = mpsc::channel::<(Vec<u8>, oneshot::Sender<()>)>(1024);
    let file = tempfile::tempfile().expect("a file");
    let thread = std::thread::spawn(move || append_jobs(file, jobs));
    bencher
        .counter(ItemsCount::new(writers * EACH))
        .with_inputs(|| (0..writers).map(|_| writes(EACH)).collect::<Vec<_>>())
        .bench_values(|work| {
            let append_each = |writes: Vec<Write>| {
                let append = append.clone();
                async move {
                    for write in writes {
                        let Write::Put { body, .. } = write else { return };
                        let (reply, answer) = oneshot::channel();
                        append.send((body, reply)).await.expect("the thread runs");
                        answer.await.expect("the thread answers");
                    }
                }
            };
            run(work.into_iter().map(append_each).collect());
        });
    drop(append);
    thread.join().expect("the thread ends");
}

fn append_jobs(mut file: File, mut jobs: mpsc::Receiver<(Vec<u8>, oneshot::Sender<()>)>) {
    while let Some(first) = jobs.blocking_recv() {
        let mut waiting = vec![first];
        while let Ok(job) = jobs.try_recv() {
            waiting.push(job);
        }
        for (body, _) in &waiting {
            file.write_all(body).expect("a write");
        }
        file.sync_data().expect("a sync");
        for (_, reply) in waiting {
            reply.send(()).expect("a writer waits");
        }
    }
}

/// One batch after another.
#[divan::bench(sample_count = 40, sample_size = 1)]
fn bulk_batches_of_1000(bencher: Bencher<'_, '_>) {
    let (_directory, store) = new_store();
    bencher
        .counter(ItemsCount::new(BULK))
        .with_inputs(|| writes(BULK))
        .bench_values(|writes| RUNTIME.block_on(commit(&store, writes)));
}

/// Several callers at once.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn bulk_batches_of_1000_from_4_writers(bencher: Bencher<'_, '_>) {
    let (_directory, store) = new_store();
    bencher
        .counter(ItemsCount::new(BULK * 16))
        .with_inputs(|| (0..4).map(|_| (0..4).map(|_| writes(BULK)).collect()).collect::<Vec<Vec<_>>>())
        .bench_values(|work| {
            let commit_all = |batches: Vec<Vec<Write>>| {
                let store = store.clone();
                async move {
                    for writes in batches {
                        commit(&store, writes).await;
                    }
                }
            };
            run(work.into_iter().map(commit_all).collect());
        });
}

static FULL: LazyLock<(TempDir, Store)> = LazyLock::new(|| {
    let (directory, store) = new_store();
    for first in (0..STORED).step_by(BULK) {
        let writes = (first..first + BULK as u64).map(write).collect();
        RUNTIME.block_on(commit(&store, writes));
    }
    (directory, store)
});

/// Reads of the current version, of keys in no order.
#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    let store = &FULL.1;
    let (tenant, access) = (Tenant::default_tenant(), Access::unrestricted());
    let keys: Vec<Key> = (0..STORED).map(|n| key(&format!("Observation/{}", n * 7919 % STORED))).collect();
    let mut next = keys.iter().cycle();
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let read = store.read(&tenant, &access, next.next().expect("a cycle"));
        black_box(RUNTIME.block_on(read).expect("a read").expect("a version"));
    });
}
