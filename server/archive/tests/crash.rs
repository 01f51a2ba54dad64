//! Kills a process that writes to its store and backs it up, at random moments; and has the disk refuse a backup. The
//! archive ends with a whole segment each time, goes on, and restores to what the store holds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed"
)]

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use archive::{Archive, content};
use fixture::*;
use store::*;

const ROUNDS: u64 = 30;
const DIRECTORY: &str = "ARCHIVE_CRASH_DIRECTORY";

fn tenant() -> Tenant {
    Tenant::default_tenant()
}

fn archive(directory: &Path) -> Archive {
    Archive::at(directory.join("archive"))
}

fn partials(archive: &Archive) -> usize {
    let Ok(entries) = fs::read_dir(archive.directory()) else { return 0 };
    entries
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "partial"))
        .count()
}

async fn assert_restores(archive: &Archive, store: &Store) {
    let expected = content(store, &tenant(), u64::MAX).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let copy = open(place.path());
    let survey = archive.restore(&copy, &tenant(), None, &|_, _| {}).await.unwrap();
    assert_eq!(survey.content, expected);
    assert_whole(&copy, &tenant()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backup_leaves_a_whole_archive() {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let directory = tempfile::tempdir().unwrap();
    let archive = archive(directory.path());
    let (mut cut, mut behind) = (0, 0);
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child_that_writes_and_backs_up", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while !lines.next().unwrap().unwrap().ends_with("begins") {}
        let moment = (seed ^ round).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        tokio::time::sleep(Duration::from_micros(moment % 60_000)).await;
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "the child ended by itself");

        cut += partials(&archive);
        let before = archive.end().unwrap().map_or(0, |end| end.content.sequence);
        if before > 0 {
            assert_eq!(archive.verify().unwrap().sequence, before);
        }
        let store = open(directory.path());
        let live = content(&store, &tenant(), u64::MAX).await.unwrap();
        assert!(before <= live.sequence, "the archive has what the store has not");
        behind += u64::from(before < live.sequence);
        if round % 5 == 4 {
            assert_eq!(archive.append(&store, &tenant()).await.unwrap().content, live);
            assert_eq!(partials(&archive), 0);
            assert_restores(&archive, &store).await;
        }
    }
    println!("{cut} segments were cut off, {behind} of {ROUNDS} times the archive was behind");
    assert!(cut > 0, "no backup was killed while it wrote");
}

#[test]
#[ignore = "the other tests start it as a process of its own"]
fn child_that_writes_and_backs_up() {
    let directory = std::env::var(DIRECTORY).unwrap();
    let directory = Path::new(&directory);
    let store = open(directory);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let first = runtime.block_on(content(&store, &tenant(), u64::MAX)).unwrap().sequence;
    println!("begins");
    let writer = {
        let store = store.clone();
        runtime.spawn(async move {
            for n in first.. {
                let name = |i: u64| key(&format!("Patient/{n}-{i}"));
                let rest = format!(r#""name":"{}""#, n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let writes = (0..20).map(|i| put(&name(i), 0, &rest)).collect();
                store.commit(&tenant(), &Access::unrestricted(), batch(writes)).await.unwrap();
            }
        })
    };
    loop {
        runtime.block_on(archive(directory).append(&store, &tenant())).unwrap();
        assert!(!writer.is_finished());
    }
}

/// A limit on the size of files stands for a full disk: the system refuses the write in the same way.
#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_is_said_and_leaves_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let random = |n: u64| {
        let text = |i: u64| format!("{:x}", (n * 1000 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (0..100).map(text).collect::<String>()
    };
    let store = open(directory.path());
    let commit = async |n: u64| {
        let write = put(&key(&format!("Patient/{n}")), 0, &format!(r#""name":"{}""#, random(n)));
        store.commit(&tenant(), &Access::unrestricted(), batch(vec![write])).await.unwrap();
    };
    commit(0).await;
    let archive = archive(directory.path());
    let before = archive.append(&store, &tenant()).await.unwrap().content;
    for n in 1..200 {
        commit(n).await;
    }
    drop(store);
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" --ignored --exact child_that_backs_up --nocapture";
    let child = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let expected =
        format!("cannot write {}/0000000000000002.segment.partial: ", archive.directory().display());
    assert!(said.contains(&expected) && said.contains("; the archive is whole up to commit 1\n"), "{said}");
    assert_eq!(partials(&archive), 0);
    assert_eq!(archive.verify().unwrap(), before);
    // Once there is room, it goes on.
    let store = open(directory.path());
    assert_eq!(archive.append(&store, &tenant()).await.unwrap().commits, 199);
    assert_restores(&archive, &store).await;
}

#[test]
#[ignore = "the other tests start it as a process of its own"]
fn child_that_backs_up() {
    let directory = std::env::var(DIRECTORY).unwrap();
    let store = open(Path::new(&directory));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(archive(Path::new(&directory)).append(&store, &tenant())).unwrap_err();
    println!("{error}");
}
