//! Kills a process that writes, at random moments, and looks at what it leaves: every write it was told of is
//! there, no batch is torn, and the store agrees with itself. One store goes through all rounds.
//!
//! `STORE_CRASH_SEED` repeats a run's moments, `STORE_CRASH_ROUNDS` sets how many there are.
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

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fixture::*;
use store::*;

const ROUNDS: u64 = 50;
const WRITERS: u64 = 6;
/// Longest time between a child's first acknowledged write and its end.
const LONGEST_MS: u64 = 250;
const DIRECTORY: &str = "STORE_CRASH_DIRECTORY";
const ROUND: &str = "STORE_CRASH_ROUND";

/// A sequence of numbers that look random (xorshift64*), the same for the same seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// A write that the child was told is done.
struct Acknowledged {
    batch: String,
    key: Key,
    version: u64,
}

#[test]
fn a_killed_process_loses_no_acknowledged_write_and_tears_none() {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let seed = number("STORE_CRASH_SEED").unwrap_or_else(clock);
    let rounds = number("STORE_CRASH_ROUNDS").unwrap_or(ROUNDS);
    println!("STORE_CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut seen = Seen::default();
    let mut acknowledged = Vec::new();
    for round in 0..rounds {
        // Some are killed while they open the store.
        let while_opening = random.below(8) == 0;
        let pause = Duration::from_millis(random.below(if while_opening { 30 } else { LONGEST_MS }));
        let new = run_child(directory.path(), seed, round, pause, while_opening);
        let store = open(directory.path());
        runtime.block_on(async {
            for write in &new {
                assert_there(&store, write).await;
            }
            seen.assert_batches_are_whole(&store).await;
        });
        acknowledged.extend(new);
        wait(assert_whole(&store, &Tenant::default_tenant()));
    }
    let store = open(directory.path());
    runtime.block_on(async {
        for write in &acknowledged {
            assert_there(&store, write).await;
        }
    });
    let report = wait(assert_whole(&store, &Tenant::default_tenant()));
    println!("{} acknowledged writes, {report:?}", acknowledged.len());
    assert!(acknowledged.len() as u64 > rounds * 10, "too few writes to say anything");
    assert!(report.versions >= acknowledged.len() as u64);
}

async fn assert_there(store: &Store, write: &Acknowledged) {
    let (tenant, access) = (Tenant::default_tenant(), Access::unrestricted());
    let version = store.vread(&tenant, &access, &write.key, write.version).await.unwrap();
    let version = version.unwrap_or_else(|| panic!("{:?} {} is lost", write.key, write.version));
    if !version.is_deleted() {
        assert_eq!(element(&version, "identifier"), write.batch);
    }
}

/// What was seen of the change log in the rounds before.
#[derive(Default)]
struct Seen {
    sequence: u64,
    batches: HashSet<String>,
}

impl Seen {
    /// Each new commit holds one batch, all of it, and each batch is in one commit.
    async fn assert_batches_are_whole(&mut self, store: &Store) {
        let (tenant, access) = (Tenant::default_tenant(), Access::unrestricted());
        let changes = store.changes(&tenant, &access, self.sequence, usize::MAX).await.unwrap();
        for commit in changes.chunk_by(|a, b| a.sequence == b.sequence) {
            assert_eq!(commit[0].sequence, self.sequence + 1);
            self.sequence += 1;
            let mut of = HashSet::new();
            for change in commit {
                let version = store.vread(&tenant, &access, &change.key, change.version).await.unwrap();
                let version = version.unwrap();
                if !version.is_deleted() {
                    assert_eq!(element(&version, "amount"), commit.len(), "a torn batch");
                    of.insert(element(&version, "identifier").as_str().unwrap().to_owned());
                }
            }
            assert_eq!(of.len(), 1, "commit {} mixes batches", self.sequence);
            assert!(self.batches.is_disjoint(&of), "a batch is in two commits");
            self.batches.extend(of);
        }
    }
}

/// Lets a child write until it is killed; what it was told is done.
fn run_child(
    directory: &Path,
    seed: u64,
    round: u64,
    wait: Duration,
    while_opening: bool,
) -> Vec<Acknowledged> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_writes_until_it_is_killed", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env("STORE_CRASH_SEED", seed.to_string())
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    if !while_opening {
        while acknowledged.is_empty() && read_line(&mut lines, &mut acknowledged) {}
        assert!(!acknowledged.is_empty(), "the child ended by itself");
    }
    let reader = std::thread::spawn(move || {
        while read_line(&mut lines, &mut acknowledged) {}
        acknowledged
    });
    std::thread::sleep(wait);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "the child ended by itself: {status}");
    reader.join().unwrap()
}

/// Reads a line `ack <batch> <key>@<version> ..  .`; `false` at the end. What the kill cut off does not count.
fn read_line(lines: &mut impl BufRead, acknowledged: &mut Vec<Acknowledged>) -> bool {
    let mut line = String::new();
    if lines.read_line(&mut line).unwrap() == 0 {
        return false;
    }
    let Some(words) = line.strip_prefix("ack ").and_then(|line| line.strip_suffix(" .\n")) else {
        return true;
    };
    let mut words = words.split(' ');
    let batch = words.next().unwrap();
    for word in words {
        let (text, version) = word.split_once('@').unwrap();
        let version = version.parse().unwrap();
        acknowledged.push(Acknowledged { batch: batch.to_owned(), key: key(text), version });
    }
    true
}

#[test]
#[ignore = "the other test starts it as a process of its own"]
fn child_that_writes_until_it_is_killed() {
    let directory = std::env::var(DIRECTORY).expect("only the other test starts this one");
    let seed = number("STORE_CRASH_SEED").unwrap();
    let round = number(ROUND).unwrap();
    let store = open(Path::new(&directory));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| runtime.spawn(write_for_ever(store.clone(), seed, round, writer)))
        .collect();
    for writer in writers {
        runtime.block_on(writer).unwrap();
    }
}

/// Commits batches of creates, updates and deletions. A batch's resources carry its name and its size.
async fn write_for_ever(store: Store, seed: u64, round: u64, writer: u64) {
    let (tenant, access) = (Tenant::default_tenant(), Access::unrestricted());
    let mut random = Random::new(seed ^ (round << 8) ^ (writer << 32));
    for n in 0_u64.. {
        let name = format!("{round}-{writer}-{n}");
        let size = [1, 1, 1, 4, 30][random.below(5) as usize];
        let mut keys: Vec<Key> = (0..size).map(|i| key(&format!("Basic/{name}-{i}"))).collect();
        for old in keys.iter_mut().skip(1) {
            // The writer's own resources, and now and then one that all writers share.
            match random.below(4) {
                0 => *old = key(&format!("Basic/shared-{}", random.below(20))),
                1 if n > 0 => *old = key(&format!("Basic/{round}-{writer}-{}-0", random.below(n))),
                _ => {}
            }
        }
        keys.sort();
        keys.dedup();
        let rest = format!(r#""identifier":"{name}","amount":{},"name":"Number {n}""#, keys.len());
        let mut writes = Vec::new();
        let mut deletes = false;
        for key in &keys {
            let current = store.read(&tenant, &access, key).await.unwrap();
            let previous = current.map_or(0, |version| version.version);
            let may_delete = previous > 0 && !writes.is_empty() && !deletes;
            if may_delete && random.below(3) == 0 {
                deletes = true;
                writes.push(delete(key, previous));
            } else {
                writes.push(put(key, previous, &rest));
            }
        }
        match store.commit(&tenant, &access, batch(writes)).await {
            Ok(versions) => acknowledge(&name, &versions),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn acknowledge(batch: &str, versions: &[Version]) {
    let mut line = format!("ack {batch}");
    for version in versions {
        line.push_str(&format!(" {}@{}", version.key.as_str(), version.version));
    }
    line.push_str(" .\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
