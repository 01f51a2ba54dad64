//! Records that are changed behind the log's back, each way that there is: found, and named.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // what fails here fails the test

mod memory;

use memory::{Records, World, id};
use smart::jwt::Algorithm;
use smart::memory::MemoryKey;

/// Two processes, one after the other: chain 1 has records 0 to 11, chain 2 has 0 to 6; the first and the last are signed.
async fn world() -> World {
    let world = World::new();
    world.session(10).await;
    world.session(5).await;
    let report = world.verify();
    assert_eq!((report.records, report.chains, report.checkpoints, report.unsigned), (19, 2, 4, 0));
    assert_eq!(report.faults, Vec::<String>::new());
    world
}

/// The first fault after a change of the records.
fn check(world: &World, change: impl FnOnce(&mut Records), expected: &str) {
    let before = world.memory.records();
    let mut records = before.clone();
    change(&mut records);
    world.memory.set(records);
    let report = world.verify();
    assert_eq!(report.faults.first().map(String::as_str), Some(expected), "{:?}", report.faults);
    world.memory.set(before);
}

fn replace(records: &mut Records, id: &str, from: &str, to: &str) {
    let text = String::from_utf8(records[id].clone()).unwrap();
    assert!(text.contains(from), "{text}");
    records.insert(id.to_owned(), text.replacen(from, to, 1).into_bytes());
}

/// Every few bytes: signatures take their time where nothing is optimised.
#[tokio::test]
async fn every_byte_counts() {
    let world = World::new();
    world.session(3).await;
    let stored = world.memory.records();
    for (sequence, step) in [(0, 23), (2, 7), (4, 23)] {
        let name = id(1, sequence);
        let body = &stored[&name];
        for at in (0..body.len()).step_by(step) {
            let mut records = stored.clone();
            records.get_mut(&name).unwrap()[at] ^= 1;
            let report = world.verify_these(records.iter(), world.memory.kept().as_deref());
            let is_named = report.faults.iter().any(|fault| fault.contains(&name));
            assert!(is_named, "byte {at} of {name}: {:?}", report.faults);
        }
    }
}

#[tokio::test]
async fn changes_are_named() {
    let world = world().await;
    let name = id(1, 5);
    let altered = format!("AuditEvent/{name} was changed: its hash is another");
    check(&world, |records| replace(records, &name, "Patient/4", "Patient/9"), &altered);
    check(&world, |records| replace(records, &name, "\"0\"", "\"4\""), &altered);
    let plain = format!("AuditEvent/{name} was changed: its JSON is not as the log writes it");
    check(&world, |records| replace(records, &name, "{", "{ "), &plain);
    check(&world, |records| replace(records, &name, "{", "{\"action\":\"E\","), &plain);
    let gone = format!("AuditEvent/{name} was changed: it is no record of the log any more");
    check(&world, |records| replace(records, &name, "StructureDefinition/audit-chain", "other"), &gone);
    check(&world, |records| drop(records.insert(name.clone(), b"{".to_vec())), &gone);
}

#[tokio::test]
async fn removals_are_named() {
    let world = world().await;
    let remove = |records: &mut Records, chain: u64, sequences: std::ops::RangeInclusive<u64>| {
        sequences.for_each(|sequence| drop(records.remove(&id(chain, sequence)).unwrap()));
    };
    let removed = |name: &str| format!("AuditEvent/{name} was removed");
    check(&world, |records| remove(records, 1, 5..=5), &removed(&id(1, 5)));
    check(&world, |records| remove(records, 1, 0..=0), &removed(&id(1, 0)));
    let three = format!("AuditEvent/{} was removed, and the 2 after it", id(1, 5));
    check(&world, |records| remove(records, 1, 5..=7), &three);
    let cut = |chain, sequence, by: &str| {
        let name = id(chain, sequence);
        format!("AuditEvent/{name} was cut off, with what came before it and is not there: {by} names it")
    };
    // The start of the second chain names the end of the first one.
    let start = format!("AuditEvent/{}", id(2, 0));
    check(&world, |records| remove(records, 1, 11..=11), &cut(1, 11, &start));
    check(&world, |records| remove(records, 1, 8..=11), &cut(1, 11, &start));
    // Only what was kept elsewhere names the end of the last one.
    let kept = "the checkpoint kept outside of the store";
    check(&world, |records| remove(records, 2, 6..=6), &cut(2, 6, kept));
    check(&world, |records| remove(records, 2, 3..=6), &cut(2, 6, kept));
    let dropped = |name: &str, by: &str| format!("the chain of AuditEvent/{name} was removed: {by} names it");
    check(&world, |records| remove(records, 1, 0..=11), &dropped(&id(1, 11), &start));
    check(&world, |records| remove(records, 2, 0..=6), &dropped(&id(2, 6), kept));
    check(&world, Records::clear, &dropped(&id(2, 6), kept));
}

#[tokio::test]
async fn swaps_are_named() {
    let world = world().await;
    let (four, five) = (id(1, 4), id(1, 5));
    let misplaced = format!("AuditEvent/{four} was replaced: it says that it is {five}");
    let swap = |records: &mut Records| {
        let (a, b) = (records[&four].clone(), records[&five].clone());
        records.insert(four.clone(), b);
        records.insert(five.clone(), a);
    };
    check(&world, swap, &misplaced);
    // Each under the other's id and number, with the other's hashes.
    let swap_inside = |records: &mut Records| {
        replace(records, &four, "Patient/3", "Patient/4");
        replace(records, &five, "Patient/4", "Patient/3");
    };
    check(&world, swap_inside, &format!("AuditEvent/{four} was changed: its hash is another"));
}

/// Who writes the rest of a chain again, every hash in order, has no key to sign it with.
#[tokio::test]
async fn a_chain_that_is_written_again_is_found() {
    let world = world().await;
    let other = World::new();
    other.session(10).await;
    other.session(5).await;
    let forged = other.memory.records();
    let unknown = |name: &str| {
        format!(
            "AuditEvent/{name} was changed: its signature does not count: no registered key is for the token's 'kid' and 'alg'"
        )
    };
    check(
        &world,
        |records| {
            for sequence in 0..=11 {
                records.insert(id(1, sequence), forged[&id(1, sequence)].clone());
            }
        },
        &format!("AuditEvent/{} was changed: its signature does not count: the signature is wrong", id(1, 0)),
    );
    // With a key of its own.
    let third = World::new();
    third.signer.rotate(MemoryKey::generate("two", Algorithm::Es256).unwrap());
    third.session(1).await;
    check(&world, |records| records.extend(third.memory.records()), &unknown(&id(1, 0)));
    // Without a signature.
    let name = id(1, 11);
    let unsign = |records: &mut Records| {
        let mut record: serde_json::Value = serde_json::from_slice(&records[&name]).unwrap();
        record["extension"][0]["extension"].as_array_mut().unwrap().truncate(4);
        records.insert(name.clone(), serde_json::to_vec(&record).unwrap());
    };
    check(&world, unsign, &format!("AuditEvent/{name} was changed: its signature is missing"));
}

#[tokio::test]
async fn the_order_of_reading_does_not_count() {
    let world = world().await;
    let mut records = world.memory.records();
    let kept = world.memory.kept();
    let report = world.verify();
    assert_eq!(world.verify_these(records.iter().rev(), kept.as_deref()), report);
    records.remove(&id(1, 5)).unwrap();
    let forward = world.verify_these(records.iter(), kept.as_deref());
    assert_eq!(world.verify_these(records.iter().rev(), kept.as_deref()), forward);
    assert_eq!(forward.faults, [format!("AuditEvent/{} was removed", id(1, 5))]);
}

#[tokio::test]
async fn keys_that_were_replaced_still_count() {
    let world = World::new();
    world.session(3).await;
    world.signer.rotate(MemoryKey::generate("two", Algorithm::Es384).unwrap());
    world.session(3).await;
    let report = world.verify();
    assert_eq!((report.records, report.faults), (10, Vec::new()));
}

#[tokio::test]
async fn other_audit_events_are_counted_apart() {
    let world = world().await;
    let mut records = world.memory.records();
    records.insert("mine".to_owned(), br#"{"resourceType":"AuditEvent","id":"mine"}"#.to_vec());
    world.memory.set(records);
    let report = world.verify();
    assert_eq!((report.others, report.faults), (1, Vec::new()));
    assert!(world.verify_with(Some("x")).faults[0].contains("the token is no signed JWT"));
}
