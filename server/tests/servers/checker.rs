//! Holds what clients were told against what the record has in the end, version by version.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::attempts::{Attempt, Outcome};
use crate::cluster::Cluster;
use crate::work::{ACCOUNTS, AMOUNT, ATTEMPT, SIZE};

/// What was checked.
#[derive(Debug, Default)]
pub struct Report {
    pub done: usize,
    pub refused: usize,
    pub unknown: usize,
    /// Unknown to the client, and there.
    pub unknown_there: usize,
    pub booked: usize,
}

/// A version of the history.
struct Entry {
    key: String,
    version: u64,
    resource: Value,
}

impl Entry {
    fn tag(&self, system: &str) -> Option<&str> {
        let tags = self.resource["meta"]["tag"].as_array()?;
        tags.iter().find(|tag| tag["system"] == system)?["code"].as_str()
    }
}

/// All versions, the oldest first.
fn history(cluster: &Cluster) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut path = "/_history?_count=500".to_owned();
    loop {
        let answer = cluster.send(0, "GET", &path, &[], "").unwrap().expect(200);
        let page = answer.json();
        for entry in page["entry"].as_array().into_iter().flatten() {
            let resource = entry["resource"].clone();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let version = text(&resource["meta"]["versionId"]).parse().unwrap();
            let key = format!("{}/{}", text(&resource["resourceType"]), text(&resource["id"]));
            all.push(Entry { key, version, resource });
        }
        let links = page["link"].as_array().unwrap();
        let Some(next) = links.iter().find(|link| link["relation"] == "next") else { break };
        let url = next["url"].as_str().unwrap();
        path = url.split_once("/fhir").unwrap().1.to_owned();
    }
    all.reverse();
    all
}

/// Checks everything.
///
/// # Panics
/// At the first thing that is wrong.
pub fn check(cluster: &Cluster, attempts: &[Attempt]) -> Report {
    let history = history(cluster);
    let mut report = Report::default();
    versions_are_gapless(&history);
    let groups = transactions_are_whole(&history);
    for attempt in attempts {
        let there = groups.get(attempt.name.as_str());
        match &attempt.outcome {
            Outcome::Done(versions) => {
                report.done += 1;
                let there = there.unwrap_or_else(|| panic!("{} was acknowledged and is lost", attempt.name));
                for version in versions {
                    assert!(there.contains(version), "{} was told {version:?}: {there:?}", attempt.name);
                }
            }
            Outcome::Refused => {
                report.refused += 1;
                assert!(there.is_none(), "{} was refused and is there: {there:?}", attempt.name);
            }
            Outcome::Unknown => {
                report.unknown += 1;
                report.unknown_there += usize::from(there.is_some());
            }
            Outcome::Sent => panic!("{} never ended", attempt.name),
        }
        if let Some(there) = there {
            assert_eq!(there.len(), attempt.size, "{}: {there:?}", attempt.name);
        }
    }
    amounts_are_kept(&history);
    report.booked = slots_are_booked_once(cluster, &history);
    once_is_once(cluster, &history);
    report
}

fn versions_are_gapless(history: &[Entry]) {
    let mut last: HashMap<&str, u64> = HashMap::new();
    for entry in history {
        let before = last.insert(&entry.key, entry.version).unwrap_or(0);
        assert_eq!(entry.version, before + 1, "the versions of {}", entry.key);
    }
}

/// The transactions, by name. Each is as large as it says, and stands in one piece.
fn transactions_are_whole(history: &[Entry]) -> HashMap<&str, HashSet<(String, u64)>> {
    let mut groups = HashMap::new();
    for run in history.chunk_by(|a, b| a.tag(ATTEMPT) == b.tag(ATTEMPT)) {
        let Some(name) = run[0].tag(ATTEMPT) else { continue };
        let size: usize = run[0].tag(SIZE).unwrap().parse().unwrap();
        assert_eq!(run.len(), size, "{name} is torn");
        let versions = run.iter().map(|entry| (entry.key.clone(), entry.version)).collect();
        assert!(groups.insert(name, versions).is_none(), "{name} is there twice");
    }
    groups
}

/// After each transaction the accounts together have what they had at first.
fn amounts_are_kept(history: &[Entry]) {
    let mut amounts: BTreeMap<&str, i64> = BTreeMap::new();
    for run in history.chunk_by(|a, b| a.tag(ATTEMPT).is_some() && a.tag(ATTEMPT) == b.tag(ATTEMPT)) {
        for entry in run.iter().filter(|entry| entry.key.starts_with("Observation/account-")) {
            amounts.insert(&entry.key, entry.resource["valueInteger"].as_i64().unwrap());
        }
        if amounts.len() == ACCOUNTS as usize {
            assert_eq!(
                amounts.values().sum::<i64>(),
                AMOUNT * ACCOUNTS.cast_signed(),
                "after {:?}",
                run[0].tag(ATTEMPT)
            );
        }
    }
}

/// A busy slot has one appointment, made with it; a free one has none. How many are busy.
fn slots_are_booked_once(cluster: &Cluster, history: &[Entry]) -> usize {
    let mut slots: BTreeMap<&str, &Entry> = BTreeMap::new();
    for entry in history.iter().filter(|entry| entry.key.starts_with("Slot/")) {
        slots.insert(&entry.key, entry);
    }
    let mut booked = 0;
    for (key, entry) in slots {
        let name = key.trim_start_matches("Slot/");
        let busy = entry.resource["status"] == "busy";
        booked += usize::from(busy);
        let found = cluster
            .send(1, "GET", &format!("/Appointment?identifier=urn:slot%7C{name}"), &[], "")
            .unwrap()
            .expect(200)
            .json();
        let appointments = found["entry"].as_array().cloned().unwrap_or_default();
        assert_eq!(appointments.len(), usize::from(busy), "appointments of {key}");
        assert_eq!(entry.version, 1 + u64::from(busy), "{key} was booked more than once");
        for appointment in appointments {
            assert_eq!(
                appointment["resource"]["meta"]["tag"], entry.resource["meta"]["tag"],
                "{key} was booked by another"
            );
        }
    }
    booked
}

/// Each identifier that must be there once is.
fn once_is_once(cluster: &Cluster, history: &[Entry]) {
    let mut seen = HashSet::new();
    for entry in history.iter().filter(|entry| entry.key.starts_with("Patient/")) {
        let identifier = entry.resource["identifier"][0]["value"].as_str().unwrap();
        assert!(seen.insert(identifier), "{identifier} was made twice");
    }
    for identifier in seen.iter().take(20) {
        let path = format!("/Patient?identifier=urn:once%7C{identifier}&_summary=count");
        assert_eq!(
            cluster.send(1, "GET", &path, &[], "").unwrap().expect(200).json()["total"],
            1,
            "{identifier}"
        );
    }
}
