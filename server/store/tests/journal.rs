//! The journal: commits read from one store and replayed into another give the same versions, history and searches; what does
//! not follow is refused, and a sealed tenant takes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod fixture;

use fixture::*;
use store::*;

fn tenant() -> Tenant {
    Tenant::default_tenant()
}

async fn commit(store: &Store, writes: Vec<Write>) -> Result<Vec<Version>, CommitError> {
    store.commit(&tenant(), &Access::unrestricted(), batch(writes)).await
}

/// Creates, updates, a patch, deletions, and a resource that comes back, in 43 commits.
async fn sample(directory: &std::path::Path) -> Store {
    let store = open(directory);
    let name = |n: usize| key(&format!("Patient/{n}"));
    for n in 0..40 {
        let of = |i: usize| put(&name(n * 3 + i), 0, &format!(r#""identifier":"{n}","name":"Name {i}""#));
        commit(&store, (0..3).map(of).collect()).await.unwrap();
    }
    let changed = |n| put_as(&name(n), 1, r#""name":"Changed""#, Method::Patch);
    commit(&store, (0..120).step_by(2).map(changed).collect()).await.unwrap();
    commit(&store, vec![delete(&name(0), 2), delete(&name(1), 1)]).await.unwrap();
    commit(&store, vec![put(&name(0), 3, r#""name":"Back""#)]).await.unwrap();
    store
}

async fn journal(store: &Store, after: u64, bytes: usize) -> Vec<Commit> {
    store.commits(&tenant(), after, bytes).await.unwrap()
}

fn text(commits: &[Commit]) -> String {
    format!("{commits:?}")
}

#[tokio::test]
async fn commits_come_whole_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = sample(directory.path()).await;
    let all = journal(&store, 0, usize::MAX).await;
    assert_eq!(all.iter().map(|commit| commit.sequence).collect::<Vec<_>>(), (1..=43).collect::<Vec<_>>());
    assert_eq!(all[40].versions.len(), 60);
    assert_eq!(element(&all[40].versions[0], "name"), "Changed");
    assert_eq!(all[40].versions[0].method, Method::Patch);
    assert!(all[41].versions.iter().all(Version::is_deleted));
    for bytes in [0, 1, 1000, 5000] {
        let (mut parts, mut after) = (Vec::new(), 0);
        loop {
            let part = journal(&store, after, bytes).await;
            let Some(last) = part.last() else { break };
            assert!(bytes > 1 || part.len() == 1, "{bytes}");
            after = last.sequence;
            parts.extend(part);
        }
        assert_eq!(text(&parts), text(&all), "{bytes}");
    }
    assert_eq!(journal(&store, u64::MAX, 1).await.len(), 0);
}

#[tokio::test]
async fn a_replayed_journal_is_the_same_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = sample(&directory.path().join("a")).await;
    let copy = open(&directory.path().join("b"));
    let mut after = 0;
    loop {
        let part = journal(&store, after, 3000).await;
        let Some(last) = part.last() else { break };
        after = last.sequence;
        copy.replay(&tenant(), part).await.unwrap();
    }
    assert_eq!(text(&journal(&copy, 0, usize::MAX).await), text(&journal(&store, 0, usize::MAX).await));
    let (report, expected) = (assert_whole(&copy, &tenant()).await, assert_whole(&store, &tenant()).await);
    assert_eq!(format!("{report:?}"), format!("{expected:?}"));
    let access = Access::unrestricted();
    let counts =
        |store: Store| async move { store.counts(&tenant(), &Access::unrestricted()).await.unwrap() };
    assert_eq!(counts(copy.clone()).await, counts(store.clone()).await);
    let history = |store: Store| async move {
        let query = HistoryQuery {
            scope: HistoryScope::Type("Patient".into()),
            since: None,
            at: None,
            after: None,
            limit: 1000,
        };
        let page = store.history(&tenant(), &Access::unrestricted(), &query).await.unwrap();
        format!("{:?} {:?}", page.total, page.versions)
    };
    assert_eq!(history(copy.clone()).await, history(store.clone()).await);
    // It goes on from there.
    commit(&copy, vec![put(&key("Patient/0"), 4, ""), put(&key("Patient/new"), 0, "")]).await.unwrap();
    let read = copy.read(&tenant(), &access, &key("Patient/0")).await.unwrap().unwrap();
    assert_eq!(read.version, 5);
    assert_eq!(journal(&copy, 43, usize::MAX).await[0].sequence, 44);
    assert_whole(&copy, &tenant()).await;
}

#[tokio::test]
async fn what_does_not_follow_is_refused_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = sample(&directory.path().join("a")).await;
    let all = journal(&store, 0, usize::MAX).await;
    let copy = open(&directory.path().join("b"));
    let check = async |commits: Vec<Commit>, expected: &str| {
        let error = copy.replay(&tenant(), commits).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(journal(&copy, 0, usize::MAX).await.len(), 2, "after {expected}");
        assert_whole(&copy, &tenant()).await;
    };
    copy.replay(&tenant(), all[..2].to_vec()).await.unwrap();
    copy.replay(&tenant(), Vec::new()).await.unwrap();
    check(all[..1].to_vec(), "the tenant's last commit is 2; commit 1 does not follow it").await;
    check(all[3..].to_vec(), "the tenant's last commit is 2; commit 4 does not follow it").await;
    let gap = [&all[2..4], &all[5..]].concat();
    check(gap, "the tenant's last commit is 4; commit 6 does not follow it").await;
    let mut skips = all[2..5].to_vec();
    skips[2].versions[1].version = 2;
    check(skips, "stored data is damaged: the journal has version 2 of Patient/13 after version 0").await;
    let mut twice = all[2..4].to_vec();
    twice[1].versions = twice[0].versions.clone();
    check(twice, "stored data is damaged: the journal has version 1 of Patient/6 after version 1").await;
    let mut no_body = all[2..3].to_vec();
    no_body[0].versions[2].body = "{}".into();
    check(
        no_body,
        "stored data is damaged: the stored body of Patient/8 has no entries: the body is not of type Patient",
    )
    .await;
    copy.replay(&tenant(), all[2..].to_vec()).await.unwrap();
    assert_eq!(text(&journal(&copy, 0, usize::MAX).await), text(&all));
    assert_whole(&copy, &tenant()).await;
}

#[tokio::test]
async fn a_sealed_tenant_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = sample(directory.path()).await;
    let other = Tenant::new("other").unwrap();
    assert_eq!(store.seal(&tenant()).await.unwrap(), 43);
    let refused = commit(&store, vec![put(&key("Patient/new"), 0, "")]).await.unwrap_err();
    assert_eq!(refused.to_string(), "tenant default is being moved");
    let refused = store.replay(&tenant(), journal(&store, 42, 1).await).await.unwrap_err();
    assert!(matches!(refused, StoreError::Moving(name) if &*name == "default"));
    // Reads go on, and other tenants' writes.
    let read = store.read(&tenant(), &Access::unrestricted(), &key("Patient/0")).await.unwrap();
    assert_eq!(read.unwrap().version, 4);
    let write = batch(vec![put(&key("Patient/new"), 0, "")]);
    store.commit(&other, &Access::unrestricted(), write).await.unwrap();
    store.unseal(&tenant()).await.unwrap();
    commit(&store, vec![put(&key("Patient/new"), 0, "")]).await.unwrap();
    assert_eq!(journal(&store, 43, 1).await[0].sequence, 44);
}

/// Of writers that go on while it is sealed, every acknowledged write is at or before the sealed sequence number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealing_ends_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let write = put(&key(&format!("Patient/{writer}-{n}")), 0, "");
                    match commit(&store, vec![write]).await {
                        Ok(_) => {}
                        Err(CommitError::Store(StoreError::Moving(_))) => return n,
                        Err(error) => panic!("{error}"),
                    }
                }
                0
            })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let sealed = store.seal(&tenant()).await.unwrap();
    assert!(sealed > 0);
    let mut acknowledged = 0;
    for writer in writers {
        acknowledged += writer.await.unwrap();
    }
    assert_eq!(acknowledged, sealed);
    assert_eq!(journal(&store, 0, usize::MAX).await.last().unwrap().sequence, sealed);
}
