//! The queue: what a store that fails, a full queue and a death do to events.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // what fails here fails the test

mod memory;

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use memory::{TENANT, World, id, read};
use serde_json::Value;

fn record(world: &World, name: &str) -> Value {
    serde_json::from_slice(&world.memory.records()[name]).unwrap()
}

#[tokio::test]
async fn an_event_is_stored_soon() {
    let world = World::new();
    let log = world.log();
    log.record(&TENANT.into(), read(1)).await;
    let mut waited = Duration::ZERO;
    while !world.memory.records().contains_key(&id(1, 1)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        waited += Duration::from_millis(5);
        assert!(waited < Duration::from_secs(5));
    }
    assert_eq!((log.counts().written.load(Relaxed), log.counts().waiting.load(Relaxed)), (1, 0));
}

#[tokio::test]
async fn a_store_that_fails_is_tried_again() {
    let world = World::new();
    let log = world.log();
    world.memory.is_down.store(true, SeqCst);
    for number in 0..20 {
        log.offer(&TENANT.into(), read(number));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(world.memory.records().is_empty());
    world.memory.is_down.store(false, SeqCst);
    log.stop().await;
    let counts = log.counts();
    assert_eq!((counts.written.load(Relaxed), counts.lost.load(Relaxed)), (20, 0));
    assert!(counts.failures.load(Relaxed) > 0);
    let report = world.verify();
    assert_eq!((report.records, report.faults), (22, Vec::new()));
}

#[tokio::test]
async fn what_is_lost_is_counted_and_recorded() {
    let mut world = World::new();
    world.settings.queue = 10;
    world.settings.group = 5;
    let log = world.log();
    let tenant = Arc::from(TENANT);
    world.memory.is_down.store(true, SeqCst);
    for number in 0..40 {
        log.record(&tenant, read(number)).await;
    }
    let lost = log.counts().lost.load(Relaxed);
    assert!((20..40).contains(&lost), "{lost}");
    world.memory.is_down.store(false, SeqCst);
    tokio::time::sleep(Duration::from_secs(3)).await;
    log.record(&tenant, read(40)).await;
    log.stop().await;
    let told: Vec<String> = world
        .memory
        .records()
        .values()
        .map(|body| serde_json::from_slice::<Value>(body).unwrap())
        .filter(|record| record["subtype"][0]["code"] == "events-lost")
        .map(|record| record["outcomeDesc"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, [format!("{lost} events were not recorded")]);
    assert_eq!(log.counts().lost.load(Relaxed), lost);
    assert_eq!(world.verify().faults, Vec::<String>::new());
    // Nothing is taken any more, and that is counted too.
    log.offer(&tenant, read(41));
    assert_eq!(log.counts().lost.load(Relaxed), lost + 1);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let world = World::new();
    let log = world.log();
    world.memory.is_down.store(true, SeqCst);
    log.record(&TENANT.into(), read(1)).await;
    tokio::time::timeout(Duration::from_secs(10), log.stop()).await.unwrap();
    assert_eq!(log.counts().lost.load(Relaxed), 1);
}

#[tokio::test]
async fn the_end_of_a_process_that_died_is_signed_by_the_next() {
    let world = World::new();
    let dead = world.log();
    dead.record(&TENANT.into(), read(1)).await;
    while !world.memory.records().contains_key(&id(1, 1)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.verify().unsigned, 1);
    world.session(1).await;
    // Chain 1 has no signed end of its own, but chain 2 names it.
    let mut records = world.memory.records();
    records.remove(&id(1, 1)).unwrap();
    world.memory.set(records);
    let by = format!("AuditEvent/{}", id(2, 0));
    let name = id(1, 1);
    let cut =
        format!("AuditEvent/{name} was cut off, with what came before it and is not there: {by} names it");
    assert_eq!(world.verify().faults, [cut]);
}

#[tokio::test]
async fn processes_sign_for_each_other() {
    let mut world = World::new();
    world.settings.checkpoint_events = 2;
    let (one, two) = (world.log(), world.log());
    for number in 0..20 {
        one.record(&TENANT.into(), read(number)).await;
        two.record(&TENANT.into(), read(number)).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    one.stop().await;
    two.stop().await;
    assert_eq!(world.verify_with(None).faults, Vec::<String>::new());
    // The first to stop is known to the second: none of it is missed.
    let mut records = world.memory.records();
    records.retain(|name, _| !name.starts_with(&id(1, 0)[..32]));
    world.memory.set(records);
    let report = world.verify_with(None);
    assert!(report.faults[0].starts_with("the chain of AuditEvent/"), "{:?}", report.faults);
}

#[tokio::test]
async fn a_chain_that_somebody_else_goes_on_with_is_left() {
    let world = World::new();
    let log = world.log();
    log.record(&TENANT.into(), read(1)).await;
    while !world.memory.records().contains_key(&id(1, 1)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut records = world.memory.records();
    let forged = records[&id(1, 1)].clone();
    records.insert(id(1, 2), forged);
    world.memory.set(records);
    log.record(&TENANT.into(), read(2)).await;
    log.stop().await;
    assert_eq!(record(&world, &id(2, 1))["entity"][1]["what"]["reference"], "Patient/2");
    let expected = format!("AuditEvent/{} was replaced: it says that it is {}", id(1, 2), id(1, 1));
    assert_eq!(world.verify().faults, [expected]);
}
