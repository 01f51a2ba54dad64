//! Archives of embedded stores: appended to, checked, damaged, restored to every time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use archive::{Archive, ArchiveError, content};
use fixture::*;
use store::*;

fn tenant() -> Tenant {
    Tenant::default_tenant()
}

async fn commit(store: &Store, writes: Vec<Write>) {
    // No two commits of one millisecond, so that each can be restored to.
    tokio::time::sleep(Duration::from_millis(2)).await;
    store.commit(&tenant(), &Access::unrestricted(), batch(writes)).await.unwrap();
}

/// Seven commits of creates, updates, a patch, deletions and a resource that comes back.
async fn fill(store: &Store, round: usize) {
    let name = |n: usize| key(&format!("Patient/{round}-{n}"));
    let text = |n: usize| format!(r#""identifier":"{n}","name":"{}""#, "long ".repeat(n % 50));
    commit(store, (0..60).map(|n| put(&name(n), 0, &text(n))).collect()).await;
    for n in 0..3 {
        let group = put_as(&key(&format!("Group/{round}-{n}")), 0, "", Method::Put);
        commit(store, vec![group, put_as(&name(n), 1, &text(n + 7), Method::Patch)]).await;
    }
    commit(store, vec![delete(&name(0), 2), delete(&name(9), 1)]).await;
    commit(store, vec![put(&name(0), 3, r#""name":"Back""#)]).await;
    commit(store, vec![put(&name(1), 2, r#""name":"Last""#)]).await;
}

async fn journal(store: &Store, until: u64) -> String {
    let commits = store.commits(&tenant(), 0, usize::MAX).await.unwrap();
    format!("{:?}", commits.iter().filter(|commit| commit.sequence <= until).collect::<Vec<_>>())
}

async fn restore(archive: &Archive, store: &Store, until: Option<Timestamp>) -> Result<u64, ArchiveError> {
    let survey = archive.restore(store, &tenant(), until, &|_, _| {}).await?;
    Ok(survey.content.sequence)
}

/// A store of 21 commits, and its archive of three segments.
async fn sample(directory: &Path) -> (Store, Archive) {
    let store = open(&directory.join("live"));
    let archive = Archive::at(directory.join("archive"));
    for round in 0..3 {
        fill(&store, round).await;
        archive.append(&store, &tenant()).await.unwrap();
    }
    (store, archive)
}

fn segments(archive: &Archive) -> Vec<PathBuf> {
    let entries = fs::read_dir(archive.directory()).unwrap().map(|entry| entry.unwrap().path());
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "segment");
    let mut segments: Vec<PathBuf> = entries.filter(is_segment).collect();
    segments.sort();
    segments
}

#[tokio::test]
async fn what_is_restored_is_the_same_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("live"));
    let archive = Archive::at(directory.path().join("archive"));
    let nothing = archive.append(&store, &tenant()).await.unwrap();
    assert_eq!((nothing.commits, nothing.segments, nothing.content.sequence), (0, 0, 0));
    assert!(archive.end().unwrap().is_none());
    assert!(matches!(archive.verify(), Err(ArchiveError::Empty(_))));
    for round in 0..3 {
        fill(&store, round).await;
        let appended = archive.append(&store, &tenant()).await.unwrap();
        assert_eq!((appended.commits, appended.segments), (7, 1));
        assert_eq!(appended.content, content(&store, &tenant(), u64::MAX).await.unwrap());
        assert_eq!(archive.verify().unwrap(), appended.content);
        assert_eq!(archive.end().unwrap().unwrap().content, appended.content);
        let again = archive.append(&store, &tenant()).await.unwrap();
        assert_eq!((again.commits, again.segments, again.content), (0, 0, appended.content));
    }
    assert_eq!(segments(&archive).len(), 3);

    let copy = open(&directory.path().join("copy"));
    assert_eq!(restore(&archive, &copy, None).await.unwrap(), 21);
    assert_eq!(journal(&copy, 21).await, journal(&store, 21).await);
    let (report, expected) = (assert_whole(&copy, &tenant()).await, assert_whole(&store, &tenant()).await);
    assert_eq!(format!("{report:?}"), format!("{expected:?}"));
    // The copy goes on, and so does its archive.
    fill(&copy, 3).await;
    assert_eq!(archive.append(&copy, &tenant()).await.unwrap().commits, 7);
    // The first store's history is another now.
    fill(&store, 3).await;
    let parted = archive.append(&store, &tenant()).await.unwrap_err();
    assert!(matches!(parted, ArchiveError::OtherHistory { sequence: 28, .. }), "{parted}");
}

/// Servers do it beside requests.
#[tokio::test]
async fn backups_can_be_spawned() {
    let directory = tempfile::tempdir().unwrap();
    let (store, archive) = sample(directory.path()).await;
    let lag = tokio::spawn(async move { archive::lag(&store, &tenant(), 15).await }).await.unwrap().unwrap();
    assert_eq!((lag.content.sequence, lag.commits), (15, 6));
    let store = open(&directory.path().join("copy"));
    let restored = tokio::spawn(async move { restore(&archive, &store, None).await });
    assert_eq!(restored.await.unwrap().unwrap(), 21);
    let store = open(&directory.path().join("live"));
    let archive = Archive::at(directory.path().join("another"));
    let appended = tokio::spawn(async move { archive.append(&store, &tenant()).await }).await.unwrap();
    assert_eq!(appended.unwrap().commits, 21);
}

#[tokio::test]
async fn large_archives_have_several_segments_and_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("live"));
    for n in 0_u64..40 {
        // Nothing that can be compressed much.
        let text = |i: u64| format!("{:x}", (n * 100_000 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let rest = format!(r#""name":"{}""#, (0..50_000).map(text).collect::<String>());
        commit(&store, vec![put(&key(&format!("Patient/{n}")), 0, &rest)]).await;
    }
    let archive = Archive::at(directory.path().join("archive")).with_segment_bytes(5 << 20);
    let appended = archive.append(&store, &tenant()).await.unwrap();
    assert_eq!((appended.commits, appended.segments), (40, 3));
    let files: u64 = segments(&archive).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(appended.bytes, files);
    let copy = open(&directory.path().join("copy"));
    assert_eq!(restore(&archive, &copy, None).await.unwrap(), 40);
    assert_eq!(journal(&copy, 40).await, journal(&store, 40).await);
}

#[tokio::test]
async fn restored_to_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let (store, archive) = sample(directory.path()).await;
    let commits = store.commits(&tenant(), 0, usize::MAX).await.unwrap();
    assert_eq!(commits.len(), 21);
    for commit in &commits {
        for (earlier, expected) in [(0, commit.sequence), (1, commit.sequence - 1)] {
            let until = Timestamp(commit.last_updated.0 - earlier);
            let place = tempfile::tempdir().unwrap();
            let copy = open(place.path());
            let restored = restore(&archive, &copy, Some(until)).await;
            if expected == 0 {
                let first = commit.last_updated;
                let text = format!("the first commit in the archive is of {first}, after the time asked for");
                assert_eq!(restored.unwrap_err().to_string(), text);
                continue;
            }
            assert_eq!(restored.unwrap(), expected);
            assert_eq!(journal(&copy, u64::MAX).await, journal(&store, expected).await);
            let held = content(&copy, &tenant(), u64::MAX).await.unwrap();
            assert_eq!(held, content(&store, &tenant(), expected).await.unwrap());
        }
    }
}

#[tokio::test]
async fn only_an_empty_tenant_or_a_beginning_is_restored_into() {
    let directory = tempfile::tempdir().unwrap();
    let (store, archive) = sample(directory.path()).await;
    let refused = async |store: &Store, until| {
        let before = journal(store, u64::MAX).await;
        let error = restore(&archive, store, until).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the tenant has other data there, and only an empty one can be restored or moved into"
        );
        assert_eq!(journal(store, u64::MAX).await, before);
    };
    refused(&store, None).await;
    let other = open(&directory.path().join("other"));
    commit(&other, vec![put(&key("Patient/mine"), 0, "")]).await;
    refused(&other, None).await;
    // One that was interrupted is brought on, but not back.
    let part = open(&directory.path().join("part"));
    let commits = store.commits(&tenant(), 0, usize::MAX).await.unwrap();
    part.replay(&tenant(), commits[..11].to_vec()).await.unwrap();
    refused(&part, Some(commits[8].last_updated)).await;
    refused(&part, Some(commits[10].last_updated)).await;
    assert_eq!(restore(&archive, &part, Some(commits[15].last_updated)).await.unwrap(), 16);
    commit(&part, vec![put(&key("Patient/mine"), 0, "")]).await;
    refused(&part, None).await;
}

#[tokio::test]
async fn archives_are_of_one_tenant_and_one_history() {
    let directory = tempfile::tempdir().unwrap();
    let (store, archive) = sample(directory.path()).await;
    let other = Tenant::new("other").unwrap();
    let error = archive.append(&store, &other).await.unwrap_err().to_string();
    let place = archive.directory().display();
    assert_eq!(
        error,
        format!("{place} is the archive of tenant default, not of other; name another directory")
    );
    let empty = open(&directory.path().join("empty"));
    let error = archive.append(&empty, &tenant()).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{place} has another history: its commit 21 is not the store's (was the store restored to an earlier time, or were versions erased \
             from it?); \
             name another directory"
        )
    );
    let lock = fs::File::create(archive.directory().join("lock")).unwrap();
    lock.lock().unwrap();
    let error = archive.append(&store, &tenant()).await.unwrap_err().to_string();
    assert_eq!(error, format!("another backup is being written to {place}"));
}

/// Changes a segment: the archive must say so, restore nothing, and restore what comes before. What it says, with `PATH` and
/// `TIME` for the segment and the time that can be restored to.
async fn damaged(segment: usize, change: fn(&mut Vec<u8>)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let (store, archive) = sample(directory.path()).await;
    let path = segments(&archive)[segment].clone();
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    let error = archive.verify().unwrap_err();
    let ArchiveError::Damaged { last, last_updated, .. } = error else { panic!("{error}") };
    let copy = open(&directory.path().join("copy"));
    let said = restore(&archive, &copy, None).await.unwrap_err().to_string();
    assert_eq!(said, error.to_string());
    assert_eq!(content(&copy, &tenant(), u64::MAX).await.unwrap().sequence, 0, "it restored something");
    if last > 0 {
        assert_eq!(restore(&archive, &copy, Some(last_updated)).await.unwrap(), last);
        assert_eq!(journal(&copy, u64::MAX).await, journal(&store, last).await);
        let (later, another) = (Timestamp(last_updated.0 + 1), open(&directory.path().join("another")));
        assert_eq!(restore(&archive, &another, Some(later)).await.unwrap_err().to_string(), said);
    }
    said.replace(path.to_str().unwrap(), "PATH").replace(&last_updated.to_string(), "TIME")
}

#[tokio::test]
async fn damage_is_found_named_and_worked_around() {
    let check = async |segment: usize, expected: &str, change: fn(&mut Vec<u8>)| {
        assert_eq!(damaged(segment, change).await, format!("PATH is damaged: {expected}"));
    };
    let until = |commit| format!("what comes before, up to commit {commit}, can be restored by --until TIME");
    let said = damaged(1, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    })
    .await;
    assert!(said.starts_with("PATH is damaged: block 1 (byte "), "{said}");
    assert!(said.ends_with(&format!("): its checksum differs; {}", until(7))), "{said}");
    check(0, "block 0 (byte 0): its checksum differs; nothing before it can be restored", |bytes| {
        let at = bytes.windows(7).position(|part| part == b"default").unwrap();
        bytes[at] = b'D';
    })
    .await;
    check(2, &format!("block 0 (byte 0): it is no first block of an archive; {}", until(14)), Vec::clear)
        .await;
    let cut = format!("block 0 (byte 0): it ends too soon; {}", until(14));
    check(2, &cut, |bytes| bytes.truncate(100)).await;
    let other = format!("block 0 (byte 0): it is no first block of an archive; {}", until(14));
    check(2, &other, |bytes| bytes[0] = b'C').await;
}

#[tokio::test]
async fn no_changed_byte_and_no_cut_goes_unseen() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, archive) = sample(directory.path()).await;
    let whole = archive.verify().unwrap();
    for path in segments(&archive) {
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(13) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            fs::write(&path, &changed).unwrap();
            assert!(archive.verify().is_err(), "byte {at} of {}", path.display());
            fs::write(&path, &bytes[..at]).unwrap();
            assert!(archive.verify().is_err(), "cut at {at} of {}", path.display());
        }
        fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
        assert!(archive.verify().is_err(), "more than {}", path.display());
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(archive.verify().unwrap(), whole);
}

#[tokio::test]
async fn a_missing_or_exchanged_segment_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let (store, archive) = sample(directory.path()).await;
    let [first, second, third] = &segments(&archive)[..] else { panic!() };
    let away = directory.path().join("away");
    fs::rename(second, &away).unwrap();
    let said = archive.verify().unwrap_err().to_string();
    assert!(
        said.contains("block 0 (byte 0): it says it follows commit 14, which is not in the archive"),
        "{said}"
    );
    assert!(said.contains("up to commit 7, can be restored"), "{said}");
    fs::rename(third, second).unwrap();
    assert!(archive.verify().is_err());
    fs::rename(second, third).unwrap();
    fs::rename(&away, second).unwrap();
    archive.verify().unwrap();
    // Without its last it is an older archive, and goes on.
    fs::remove_file(third).unwrap();
    assert_eq!(archive.verify().unwrap().sequence, 14);
    assert_eq!(archive.append(&store, &tenant()).await.unwrap().content.sequence, 21);
    fs::remove_file(first).unwrap();
    let said = archive.verify().unwrap_err().to_string();
    assert!(said.ends_with("nothing before it can be restored"), "{said}");
}

#[tokio::test]
async fn another_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, archive) = sample(directory.path()).await;
    let path = &segments(&archive)[0];
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.windows(10).position(|part| part == br#""format":1"#).unwrap();
    bytes[at + 9] = b'7';
    fs::write(path, bytes).unwrap();
    let said = archive.verify().unwrap_err().to_string();
    assert_eq!(said, format!("{} has format 7; this version reads format 1", path.display()));
}
