//! What the clients do: book slots, move amounts between accounts, make what must be there once, and write several resources at
//! a time; and a reader that looks on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::attempts::{Attempts, Outcome, outcome};
use crate::cluster::Cluster;
use crate::support::Answer;

/// Accounts between which amounts are moved.
pub const ACCOUNTS: u64 = 12;
/// What each has at first.
pub const AMOUNT: i64 = 100;

/// System of the tag that names a resource's transaction.
pub const ATTEMPT: &str = "urn:attempt";
/// System of the tag that says how many resources the transaction has.
pub const SIZE: &str = "urn:size";

/// A sequence of numbers that look random (xorshift64*), the same for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

/// A resource with the tags of its transaction.
fn tagged(mut resource: Value, name: &str, size: usize) -> Value {
    resource["meta"] =
        json!({"tag": [{"system": ATTEMPT, "code": name}, {"system": SIZE, "code": size.to_string()}]});
    resource
}

fn account(number: u64, amount: i64) -> Value {
    json!({"resourceType": "Observation", "id": format!("account-{number}"), "status": "final", "code": {"text": "account",
        "coding": [{"system": "urn:code", "code": "account"}]}, "valueInteger": amount})
}

fn slot(name: &str, status: &str) -> Value {
    json!({"resourceType": "Slot", "id": name, "status": status, "schedule": {"reference": "Schedule/one"},
        "start": "2026-11-22T10:00:00Z", "end": "2026-11-22T10:20:00Z"})
}

fn put(cluster: &Cluster, resource: &Value) {
    let path =
        format!("/{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    // The server of one place may be killed just now.
    for attempt in 0..20 {
        if let Ok(answer) = cluster.send(attempt % 2, "PUT", &path, &[], &resource.to_string()) {
            assert!([200, 201].contains(&answer.status), "{path}: {}", answer.text());
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody takes {path}");
}

/// Opens the accounts.
pub fn prepare(cluster: &Cluster) {
    for number in 0..ACCOUNTS {
        put(cluster, &account(number, AMOUNT));
    }
}

/// Offers free slots, `<name>-<number>`.
pub fn offer_slots(cluster: &Cluster, name: &str, count: u64) {
    for number in 0..count {
        put(cluster, &slot(&format!("{name}-{number}"), "free"));
    }
}

/// A client of one place.
pub struct Writer<'c> {
    cluster: &'c Cluster,
    attempts: &'c Attempts,
    place: usize,
    random: Random,
    number: u64,
    count: u64,
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.attempts.writer_ended();
    }
}

impl<'c> Writer<'c> {
    pub fn new(
        cluster: &'c Cluster,
        attempts: &'c Attempts,
        place: usize,
        seed: u64,
        number: u64,
    ) -> Writer<'c> {
        let random = Random::new(seed ^ ((number + 1) << 32));
        Writer { cluster, attempts, place, random, number, count: 0 }
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!("a{}-{}", self.number, self.count)
    }

    /// One of all, at random. `slots` are those on offer.
    pub fn anything(&mut self, slots: &str) {
        match self.random.below(6) {
            0 => {
                let slot = self.random.below(4);
                self.book(&format!("{slots}-{slot}"));
            }
            1 => {
                let which = self.random.below(50);
                self.create_once(&format!("{slots}-{which}"));
            }
            2 | 3 => self.move_amount(),
            _ => self.write_several(),
        }
    }

    /// What a read says; `None` where the server is gone.
    fn read(&self, path: &str) -> Option<Answer> {
        match self.cluster.send(self.place, "GET", path, &[], "") {
            Ok(answer) => {
                assert!([200, 404].contains(&answer.status), "{path}: {}", answer.text());
                Some(answer).filter(|answer| answer.status == 200)
            }
            Err(_) => {
                std::thread::sleep(Duration::from_millis(10));
                None
            }
        }
    }

    /// Sends a transaction, and keeps what is known of it.
    fn transact(&mut self, name: &str, entries: Vec<Value>, lasting: bool) -> Outcome {
        let size = entries.len();
        let entries: Vec<Value> = entries
            .into_iter()
            .map(|mut entry| {
                entry["resource"] = tagged(entry["resource"].take(), name, size);
                entry
            })
            .collect();
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
        let number = self.attempts.begin(name, size, lasting);
        let answer = self.cluster.send(self.place, "POST", "", &[], &bundle.to_string());
        let outcome = outcome(name, &answer);
        self.attempts.end(number, outcome.clone());
        if matches!(outcome, Outcome::Done(_)) && lasting && self.random.below(4) == 0 {
            // The server that acknowledged it shows it.
            if let Some(found) = self.read(&search(name)) {
                assert_eq!(found.json()["total"], size, "{name} is not found by whom acknowledged it");
            }
        }
        outcome
    }

    /// Books a slot if it is free: it becomes busy, and an appointment is made unless there is one for it.
    pub fn book(&mut self, slot_name: &str) {
        let Some(read) = self.read(&format!("/Slot/{slot_name}")) else { return };
        let etag = read.header("etag").to_owned();
        if read.json()["status"] != "free" {
            return;
        }
        let name = self.name();
        let appointment = json!({"resourceType": "Appointment", "status": "booked", "start": "2026-11-23T09:00:00Z", "end": "2026-11-23T09:30:00Z",
            "identifier": [{"system": "urn:slot", "value": slot_name}],
            "slot": [{"reference": format!("Slot/{slot_name}")}], "participant": [{"actor": {"display": name}, "status": "accepted"}]});
        let entries = vec![
            json!({"resource": slot(slot_name, "busy"), "request": {"method": "PUT", "url": format!("Slot/{slot_name}"), "ifMatch": etag}}),
            json!({"resource": appointment, "request": {"method": "POST", "url": "Appointment", "ifNoneExist": format!("identifier=urn:slot|{slot_name}")}}),
        ];
        if let Outcome::Done(versions) = self.transact(&name, entries, false) {
            assert_eq!(
                versions[1].1, 1,
                "{name} booked {slot_name}, for which there was an appointment: {versions:?}"
            );
        }
    }

    /// Makes a resource unless there is one with its identifier.
    pub fn create_once(&mut self, identifier: &str) {
        let name = self.name();
        let resource =
            json!({"resourceType": "Patient", "identifier": [{"system": "urn:once", "value": identifier}]});
        let resource = tagged(resource, &name, 1);
        let number = self.attempts.begin(&name, 1, false);
        let condition = format!("identifier=urn:once|{identifier}");
        let headers = [("if-none-exist", condition.as_str())];
        let answer = self.cluster.send(self.place, "POST", "/Patient", &headers, &resource.to_string());
        let outcome = match &answer {
            Err(_) => Outcome::Unknown,
            Ok(made) if made.status == 201 => {
                Outcome::Done(vec![crate::attempts::version(&json!(made.header("location")))])
            }
            // There is one already.
            Ok(found) if [200, 409, 412].contains(&found.status) => Outcome::Refused,
            Ok(other) => panic!("{name} was answered with {}: {}", other.status, other.text()),
        };
        self.attempts.end(number, outcome);
    }

    /// Moves an amount from one account to another, if neither changes meanwhile, and notes it.
    fn move_amount(&mut self) {
        let from = self.random.below(ACCOUNTS);
        let to = (from + 1 + self.random.below(ACCOUNTS - 1)) % ACCOUNTS;
        let amount = 1 + self.random.below(5).cast_signed();
        let name = self.name();
        let mut entries = Vec::new();
        for (number, change) in [(from, -amount), (to, amount)] {
            let Some(read) = self.read(&format!("/Observation/account-{number}")) else { return };
            let now = read.json()["valueInteger"].as_i64().unwrap();
            entries.push(json!({"resource": account(number, now + change),
                "request": {"method": "PUT", "url": format!("Observation/account-{number}"), "ifMatch": read.header("etag")}}));
        }
        let note = json!({"resourceType": "Basic", "id": format!("{name}-0"), "code": {"text": "moved"}});
        entries
            .push(json!({"resource": note, "request": {"method": "PUT", "url": format!("Basic/{name}-0")}}));
        self.transact(&name, entries, false);
    }

    /// Makes several resources.
    fn write_several(&mut self) {
        let name = self.name();
        let size = [1, 2, 5, 20][self.random.below(4) as usize];
        let entries = (0..size).map(|number| {
            let resource = json!({"resourceType": "Basic", "id": format!("{name}-{number}"), "code": {"text": "several"}});
            json!({"resource": resource, "request": {"method": "PUT", "url": format!("Basic/{name}-{number}")}})
        });
        let entries = entries.collect();
        self.transact(&name, entries, true);
    }
}

/// The search that counts the resources of a transaction, over all types.
fn search(name: &str) -> String {
    format!("?_tag={ATTEMPT}%7C{name}&_summary=count")
}

/// Looks on until the end: of each transaction all or nothing is found, and the accounts together have what they had. How often
/// it looked.
pub fn poll(cluster: &Cluster, attempts: &Attempts, end: &AtomicBool) -> u64 {
    let mut polls = 0;
    while !end.load(Ordering::Relaxed) {
        let place = polls as usize % 2;
        let get = |path: &str| {
            let answer = cluster.send(place, "GET", path, &[], "").ok()?;
            assert!([200, 404].contains(&answer.status), "{path}: {}", answer.text());
            Some(answer)
        };
        for attempt in attempts.latest(6) {
            let name = &attempt.name;
            // From the last to the first: whoever sees one sees those that are read after it.
            let mut seen = None;
            for number in (0..attempt.size).rev() {
                let Some(read) = get(&format!("/Basic/{name}-{number}")) else { break };
                if let Some(before) = seen.filter(|_| read.status == 404) {
                    panic!("{name}: {before} was there, then {number} was not");
                }
                seen = seen.or((read.status == 200).then_some(number));
            }
            let Some(found) = get(&search(name)) else { continue };
            let total = found.json()["total"].as_u64().unwrap() as usize;
            assert!(
                total == attempt.size || (total == 0 && seen.is_none()),
                "{name}: {total} of {} found, {seen:?} read",
                attempt.size
            );
        }
        if let Some(found) = get("/Observation?code=urn:code%7Caccount&_count=100") {
            let found = found.json();
            let amounts: Vec<i64> = found["entry"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["resource"]["valueInteger"].as_i64().unwrap())
                .collect();
            assert_eq!(amounts.len(), ACCOUNTS as usize, "{found}");
            assert_eq!(amounts.iter().sum::<i64>(), AMOUNT * ACCOUNTS.cast_signed(), "{amounts:?}");
        }
        polls += 1;
    }
    polls
}
