//! Archives and moves between engines: the journal of one goes through an archive, or a move under write load, into the other,
//! and back, with the same content hash. Cosmos DB is the emulator, behind a loopback HTTP host.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;
mod load;

use std::time::Duration;

use archive::{Archive, content};
use cosmos_emulator::Account;
use fixture::*;
use load::{check_move, tenant};
use store::cosmos::{AccountOptions, CosmosOptions, Throughput, init};
use store::*;

/// Of each writer. The emulator looks at all documents for each that it writes, so the copy takes some commits a second.
const PAUSE: Duration = Duration::from_secs(1);

/// A store in a database of an account.
async fn cosmos(account: &Account, database: &str) -> Store {
    let reached = AccountOptions::from_connection_string(&account.connection_string()).unwrap();
    let options = CosmosOptions::single(reached, database, "fhir");
    init(&options, &options.default, Throughput::Account).await.unwrap();
    Store::open_cosmos(options, FourElements::new()).await.unwrap()
}

async fn commit(store: &Store, writes: Vec<Write>) {
    store.commit(&tenant(), &Access::unrestricted(), batch(writes)).await.unwrap();
}

/// Creates, updates, a patch, deletions and a resource that comes back, in 14 commits.
async fn fill(store: &Store) {
    let name = |n: usize| key(&format!("Patient/{n}"));
    let text = |n: usize| format!(r#""identifier":"{n}","name":"{}""#, "long ".repeat(n * 20));
    for n in 0..10 {
        commit(store, (0..5).map(|i| put(&name(n * 5 + i), 0, &text(n))).collect()).await;
    }
    commit(store, (0..50).step_by(2).map(|n| put_as(&name(n), 1, &text(n), Method::Patch)).collect()).await;
    commit(store, vec![delete(&name(0), 2), delete(&name(1), 1)]).await;
    commit(store, vec![put(&name(0), 3, r#""name":"Back""#)]).await;
    commit(store, vec![put_as(&key("Group/a"), 0, "", Method::Put)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_embedded_to_cosmos_and_back() {
    let (directory, account) = (tempfile::tempdir().unwrap(), Account::start().unwrap());
    let embedded = open(&directory.path().join("a"));
    fill(&embedded).await;
    let archive = Archive::at(directory.path().join("archive"));
    let written = archive.append(&embedded, &tenant()).await.unwrap().content;
    assert_eq!(written.sequence, 14);

    let there = cosmos(&account, "there").await;
    let restored = archive.restore(&there, &tenant(), None, &|_, _| {}).await.unwrap();
    assert_eq!(restored.content, written);
    assert_whole(&there, &tenant()).await;
    // It goes on there, and so does the archive.
    commit(&there, vec![put(&key("Patient/0"), 4, r#""name":"There""#)]).await;
    let appended = archive.append(&there, &tenant()).await.unwrap();
    assert_eq!((appended.commits, appended.content.sequence), (1, 15));

    let back = open(&directory.path().join("b"));
    let restored = archive.restore(&back, &tenant(), None, &|_, _| {}).await.unwrap();
    assert_eq!(restored.content, content(&there, &tenant(), u64::MAX).await.unwrap());
    assert_whole(&back, &tenant()).await;
}

/// What was erased stays so in a copy, whichever engine has it; an archive whose last commit was erased is not gone on with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_erased_comes_back_in_no_copy() {
    let (directory, account) = (tempfile::tempdir().unwrap(), Account::start().unwrap());
    let embedded = open(&directory.path().join("a"));
    fill(&embedded).await;
    let before = Archive::at(directory.path().join("before"));
    before.append(&embedded, &tenant()).await.unwrap();
    let erasures = (0..50).map(|n| Erasure { key: key(&format!("Patient/{n}")), version: None });
    assert_eq!(embedded.erase(&tenant(), erasures.collect()).await.unwrap(), 27);
    let after = Archive::at(directory.path().join("after"));
    let written = after.append(&embedded, &tenant()).await.unwrap().content;

    let there = cosmos(&account, "there").await;
    let restored = after.restore(&there, &tenant(), None, &|_, _| {}).await.unwrap();
    assert_eq!((restored.content, restored.resources()), (written, 50));
    assert_whole(&there, &tenant()).await;
    let archive = Archive::at(directory.path().join("there"));
    assert_eq!(archive.append(&there, &tenant()).await.unwrap().content, written);
    let back = open(&directory.path().join("b"));
    assert_eq!(archive.restore(&back, &tenant(), None, &|_, _| {}).await.unwrap().content, written);
    // To a time before what was erased was superseded: then nothing is there, and it can be written again.
    let third = embedded.commits(&tenant(), 2, 0).await.unwrap().first().unwrap().last_updated;
    let early = cosmos(&account, "early").await;
    let restored = after.restore(&early, &tenant(), Some(third), &|_, _| {}).await.unwrap();
    assert!(restored.resources() < 15, "{}", restored.resources());
    assert_whole(&early, &tenant()).await;
    let read = early.read(&tenant(), &Access::unrestricted(), &key("Patient/0")).await.unwrap().unwrap();
    assert!(read.is_erased() && read.is_deleted());
    commit(&early, vec![put(&key("Patient/0"), 1, "")]).await;
    assert_whole(&early, &tenant()).await;

    commit(&embedded, vec![put(&key("Group/a"), 1, "")]).await;
    before.append(&embedded, &tenant()).await.unwrap();
    commit(&embedded, vec![put(&key("Group/a"), 2, "")]).await;
    let group = Erasure { key: key("Group/a"), version: None };
    assert_eq!(embedded.erase(&tenant(), vec![group]).await.unwrap(), 2);
    let refused = before.append(&embedded, &tenant()).await.unwrap_err().to_string();
    assert!(refused.contains("were versions erased from it?"), "{refused}");
}

/// From a container that tenants share to a database of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moved_from_one_database_to_another_under_load() {
    let account = Account::start().unwrap();
    let (shared, own) = (cosmos(&account, "shared").await, cosmos(&account, "own").await);
    check_move(&shared, &own, PAUSE, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moved_from_embedded_to_cosmos_under_load() {
    let (directory, account) = (tempfile::tempdir().unwrap(), Account::start().unwrap());
    let own = cosmos(&account, "own").await;
    check_move(&open(directory.path()), &own, PAUSE, 12).await;
}
