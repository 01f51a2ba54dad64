//! Several server processes on one record: races between them, and one of them killed at random moments. From what clients were
//! told and from what the record holds in the end a checker shows that nothing acknowledged is lost, nothing is doubled or torn,
//! and nobody ever saw a part of a transaction.
//!
//! `VESTA_SERVERS_SEED` repeats a run's moments, `VESTA_SERVERS_ROUNDS` sets how often a server is killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed"
)]

#[path = "servers/attempts.rs"]
mod attempts;
#[path = "servers/checker.rs"]
mod checker;
#[path = "servers/cluster.rs"]
mod cluster;
#[path = "servers/work.rs"]
mod work;

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attempts::{Attempts, Outcome};
use cluster::{Cluster, Kind};
use support::directory;
use work::{Random, Writer};

const ROUNDS: u64 = 50;
/// Longest time between a new server's first answer and its end.
const LONGEST_MS: u64 = 600;
/// Clients of each server.
const CLIENTS: u64 = 3;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn seed() -> u64 {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("VESTA_SERVERS_SEED").unwrap_or(clock.as_millis() as u64);
    println!("VESTA_SERVERS_SEED={seed}");
    seed
}

/// Everyone at once goes for the same slots, the same identifiers and the same accounts; at least so many succeed.
fn races(kind: Kind, length: Duration, least: usize) {
    let directory = directory();
    let cluster = Cluster::start(kind, directory.path());
    let (attempts, seed) = (Attempts::default(), seed());
    work::prepare(&cluster);
    work::offer_slots(&cluster, "race", 40);
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..2 * CLIENTS {
            let (cluster, attempts) = (&cluster, &attempts);
            let writer = move || {
                let place = (number % 2) as usize;
                let mut writer = Writer::new(cluster, attempts, place, seed, number);
                (0..40).for_each(|slot| writer.book(&format!("race-{slot}")));
                (0..40).for_each(|name| writer.create_once(&format!("race-{name}")));
                let began = Instant::now();
                while began.elapsed() < length {
                    writer.anything("race");
                }
            };
            scope.spawn(writer);
        }
        let poller = scope.spawn(|| work::poll(&cluster, &attempts, &end));
        let wait = || {
            while attempts.writers() < 2 * CLIENTS {
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        wait();
        end.store(true, Ordering::Relaxed);
        println!("{} polls", poller.join().expect("the polls saw whole transactions"));
    });
    let all = attempts.all();
    let unknown = all.iter().filter(|attempt| attempt.outcome == Outcome::Unknown).count();
    assert_eq!(unknown, 0, "nobody was killed, so every attempt was answered");
    let report = checker::check(&cluster, &all);
    println!("{report:?}");
    assert_eq!(report.booked, 40, "each slot was booked once");
    assert!(report.done > least && report.refused > 100, "too few races to say anything: {report:?}");
    cluster.check_store();
}

#[test]
fn races_on_one_embedded_server() {
    races(Kind::Embedded, Duration::from_secs(3), 300);
}

#[test]
fn races_between_two_servers_on_cosmos() {
    races(Kind::Cosmos, Duration::from_secs(8), 80);
}

#[test]
fn a_killed_server_loses_nothing_and_the_other_goes_on() {
    let rounds = number("VESTA_SERVERS_ROUNDS").unwrap_or(ROUNDS);
    let directory = directory();
    let cluster = Cluster::start(Kind::Cosmos, directory.path());
    let (attempts, seed) = (Attempts::default(), seed());
    let mut random = Random::new(seed);
    work::prepare(&cluster);
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..2 * CLIENTS {
            let (cluster, attempts, end) = (&cluster, &attempts, &end);
            scope.spawn(move || {
                let mut writer = Writer::new(cluster, attempts, (number % 2) as usize, seed, number);
                while !end.load(Ordering::Relaxed) {
                    writer.anything(&format!("round-{}", cluster.kills()));
                }
            });
        }
        let poller = scope.spawn(|| work::poll(&cluster, &attempts, &end));
        // Whatever fails here must end the other threads too.
        let killing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..rounds {
                work::offer_slots(&cluster, &format!("round-{round}"), 4);
                let before = attempts.done();
                let next = cluster.prepare_server();
                std::thread::sleep(Duration::from_millis(random.below(LONGEST_MS)));
                cluster.kill(random.below(2) as usize, next);
                let began = Instant::now();
                while attempts.done() == before {
                    assert!(began.elapsed() < Duration::from_secs(30), "the other server does not go on");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }));
        end.store(true, Ordering::Relaxed);
        println!("{} polls", poller.join().expect("the polls saw whole transactions"));
        if let Err(panic) = killing {
            std::panic::resume_unwind(panic);
        }
    });
    let all = attempts.all();
    let report = checker::check(&cluster, &all);
    println!("{report:?}");
    assert!(report.done as u64 > rounds * 5, "too few writes to say anything: {report:?}");
    cluster.check_store();
}
