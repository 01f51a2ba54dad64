//! Tests that damage a store below its own calls: the checker tells each kind, other formats are refused, and
//! a commit that fails leaves nothing.

use std::path::Path;

use heed::RwTxn;

use super::environment::{Databases, Environment};
use super::meta::FORMAT;
use super::postings::Pending;
use super::records::{RecordRef, version_key};
use super::{check, writer};
use crate::cursor::Position;
use crate::fixture::{FourElements, batch, delete, key, put};
use crate::{Access, CommitError, Method, StoreError, Timestamp};

fn environment(directory: &Path) -> Result<Environment, StoreError> {
    Environment::open(directory, FourElements::new(), &|_, _| {})
}

/// `Patient/a` with 3 versions, the deleted `Patient/b` with 2, and `Group/c` with 1.
async fn sample(directory: &Path) -> Environment {
    let environment = environment(directory).unwrap();
    let (a, b, c) = (key("Patient/a"), key("Patient/b"), key("Group/c"));
    let batches = [
        vec![put(&a, 0, r#""identifier":"1""#), put(&b, 0, "")],
        vec![put(&a, 1, r#""name":"x""#), put(&c, 0, r#""subject":"Patient/a""#)],
        vec![put(&a, 2, r#""name":"y","amount":2"#), delete(&b, 1)],
    ];
    for writes in batches {
        environment.commit(&Access::unrestricted(), batch(writes)).await.unwrap();
    }
    environment
}

fn faults(environment: &Environment) -> Vec<String> {
    let txn = environment.read().unwrap();
    check::run(&txn, &environment.databases, &*environment.indexer, &|_, _| {}).unwrap().faults
}

/// Damages a sample; the checker must tell at least one fault that holds the text.
async fn told(expected: &str, damage: impl FnOnce(&mut RwTxn<'_>, &Databases)) {
    let directory = tempfile::tempdir().unwrap();
    let environment = sample(directory.path()).await;
    assert_eq!(faults(&environment), Vec::<String>::new());
    let mut txn = environment.raw().write_txn().unwrap();
    damage(&mut txn, &environment.databases);
    txn.commit().unwrap();
    let faults = faults(&environment);
    assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected:?} is not in {faults:?}");
}

/// Changes the current record of an ordinal.
fn change_head(
    txn: &mut RwTxn<'_>,
    databases: &Databases,
    ordinal: u32,
    change: impl FnOnce(&mut RecordRef<'_>),
) {
    let mut bytes = Vec::new();
    {
        let mut record = databases.records.head_ref(txn, ordinal).unwrap().unwrap();
        change(&mut record);
        record.encode(&mut bytes);
    }
    databases.records.heads.put(txn, &ordinal.to_be_bytes(), &bytes).unwrap();
}

#[tokio::test]
async fn the_checker_tells_damage_of_versions() {
    told("Patient/a has version 3 after version 1", |txn, databases| {
        databases.records.versions.delete(txn, &version_key(0, 2)).unwrap();
    })
    .await;
    told("4 older versions are stored, 3 belong to resources", |txn, databases| {
        let record = databases.records.versions.get(txn, &version_key(0, 1)).unwrap().unwrap().to_vec();
        databases.records.versions.put(txn, &version_key(9, 1), &record).unwrap();
    })
    .await;
    told("Patient/b has ordinal 1; its id leads to Some(0)", |txn, databases| {
        databases.records.ids.put(txn, b"Patient/b", &0_u32.to_be_bytes()).unwrap();
    })
    .await;
    told("4 ids for 3 resources", |txn, databases| {
        databases.records.ids.put(txn, b"Patient/z", &7_u32.to_be_bytes()).unwrap();
    })
    .await;
    told("ordinals 1 to 2 have no resource", |txn, databases| {
        databases.records.heads.delete(txn, &1_u32.to_be_bytes()).unwrap();
    })
    .await;
    told("Group/c version 1 has a body as a deletion, or none else", |txn, databases| {
        change_head(txn, databases, 2, |record| record.method = Method::Delete);
    })
    .await;
    told("Patient/a version 3 is not later than the one before", |txn, databases| {
        change_head(txn, databases, 0, |record| record.sequence = 1);
    })
    .await;
    told("Group/c version 1 is later than the last commit", |txn, databases| {
        change_head(txn, databases, 2, |record| record.last_updated = Timestamp(i64::MAX));
    })
    .await;
    told("ordinal 2: stored data is damaged: a version's record cannot be read", |txn, databases| {
        databases.records.heads.put(txn, &2_u32.to_be_bytes(), b"short").unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_checker_tells_damage_of_the_change_log() {
    let third = Position { sequence: 2, write: 0 };
    told("5 changes for 6 versions", |txn, databases| {
        databases.changes.all.delete(txn, &third.encode()).unwrap();
    })
    .await;
    told("the change log has Position { sequence: 2, write: 1 } after", |txn, databases| {
        databases.changes.all.delete(txn, &third.encode()).unwrap();
    })
    .await;
    told("is not the same in the log of Group", |txn, databases| {
        let mut last = super::changes::type_prefix("Group");
        last.extend_from_slice(&Position { sequence: 2, write: 1 }.encode());
        assert!(databases.changes.by_type.delete(txn, &last).unwrap());
    })
    .await;
    told("disagrees with Group/c version 1", |txn, databases| {
        change_head(txn, databases, 2, |record| record.method = Method::Patch);
    })
    .await;
    told("the change log ends with commit 3, not 4", |txn, databases| {
        let state = databases.meta.state(txn).unwrap();
        let state = super::meta::State { sequence: 4, ..state };
        databases.meta.set_state(txn, state).unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_checker_tells_damage_of_the_index() {
    let entries_of = |ordinal: u32, txn: &RwTxn<'_>, databases: &Databases| {
        let head = databases.records.head(txn, ordinal).unwrap().unwrap();
        let entries = writer::entries_of(&*FourElements::new(), &head.key, &head.body).unwrap();
        (head, entries)
    };
    told("postings differ from the resources: parameter 1, chunk 0", |txn, databases| {
        let (head, entries) = entries_of(0, txn, databases);
        let mut pending = Pending::new();
        pending.remove(0, &head.key, head.last_updated, &entries);
        pending.flush(txn, &databases.index).unwrap();
    })
    .await;
    told("1 keys of forward belong to no resource", |txn, databases| {
        let (head, entries) = entries_of(0, txn, databases);
        let mut pending = Pending::new();
        pending.add(9, &key("Patient/z"), head.last_updated, &entries);
        pending.flush(txn, &databases.index).unwrap();
    })
    .await;
    told("presence differ from the resources", |txn, databases| databases.index.clear(txn).unwrap()).await;
}

#[tokio::test]
async fn another_format_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let first = sample(directory.path()).await;
    let later = FORMAT + 1;
    let mut txn = first.raw().write_txn().unwrap();
    first.databases.meta.0.put(&mut txn, b"format", &later.to_be_bytes()).unwrap();
    txn.commit().unwrap();
    drop(first);
    let bytes = std::fs::read(directory.path().join("data.mdb")).unwrap();
    match environment(directory.path()).err() {
        Some(StoreError::Format { found, known }) => assert_eq!((found, known), (later, FORMAT)),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read(directory.path().join("data.mdb")).unwrap(), bytes);
}

#[tokio::test]
async fn a_write_that_fails_leaves_nothing_and_holds_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    let environment = sample(directory.path()).await;
    let mut txn = environment.raw().write_txn().unwrap();
    // A record that cannot be read, and one in the way of the next new resource.
    environment.databases.records.heads.put(&mut txn, &0_u32.to_be_bytes(), b"short").unwrap();
    environment.databases.records.heads.put(&mut txn, &9_u32.to_be_bytes(), b"far").unwrap();
    txn.commit().unwrap();
    let commit = async |writes| environment.commit(&Access::unrestricted(), batch(writes)).await;
    let answer = commit(vec![put(&key("Patient/a"), 3, "")]).await;
    assert!(matches!(answer, Err(CommitError::Store(StoreError::Damaged(_)))), "{answer:?}");
    let answer = commit(vec![put(&key("Group/c"), 1, ""), put(&key("Patient/new"), 0, "")]).await;
    assert!(matches!(answer, Err(CommitError::Store(StoreError::Storage(_)))), "{answer:?}");
    let txn = environment.read().unwrap();
    let head = environment.databases.records.head(&txn, 2).unwrap().unwrap();
    assert_eq!(head.version, 1);
    drop(txn);
    let versions = commit(vec![put(&key("Group/c"), 1, "")]).await.unwrap();
    assert_eq!(versions[0].version, 2);
}

#[tokio::test]
async fn a_poisoned_store_reads_but_does_not_write() {
    let directory = tempfile::tempdir().unwrap();
    let first = sample(directory.path()).await;
    first.poison();
    let answer = first.commit(&Access::unrestricted(), batch(vec![put(&key("Group/d"), 0, "")])).await;
    let text = answer.unwrap_err().to_string();
    assert_eq!(text, "storage failed: a commit failed (a test says so); start the server again to write");
    assert_eq!(first.writable().unwrap_err().to_string(), text, "and says so when asked");
    assert_eq!(faults(&first), Vec::<String>::new());
    drop(first);
    let again = environment(directory.path()).unwrap();
    again.commit(&Access::unrestricted(), batch(vec![put(&key("Group/d"), 0, "")])).await.unwrap();
}
