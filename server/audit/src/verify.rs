//! What is wrong with stored records: changed, removed, put elsewhere, cut off. Reads each record once, in any order, and keeps 16
//! bytes of each.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use smart::jwt::{Jwks, JwtError, PublicKey};

use crate::checkpoint::Checkpoint;
use crate::link::{self, Hash, Link, Place};
use crate::resource::CODES;

/// The most faults that are reported one by one.
const MAX_FAULTS: usize = 1000;
/// The longest gap behind which records are still compared.
const MAX_GAP: u64 = 10_000_000;

/// A stored AuditEvent.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'s> {
    /// The id it is stored under.
    pub id: &'s str,
    /// The number of its current version.
    pub version: u64,
    /// The time of its commit, as `meta.lastUpdated` has it.
    pub last_updated: &'s str,
    /// Its JSON.
    pub body: &'s [u8],
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Records of the log.
    pub records: u64,
    /// Chains.
    pub chains: u64,
    /// Signed records.
    pub checkpoints: u64,
    /// Records behind the last checkpoint of their chain: linked, not yet signed.
    pub unsigned: u64,
    /// AuditEvents that are none of the log's.
    pub others: u64,
    /// Each fault, the first one first; the first thousand.
    pub faults: Vec<String>,
    /// How many faults there are.
    pub all_faults: u64,
}

/// A fault, at the place of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    /// `None` for what is of no chain.
    place: Option<Place>,
    id: String,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Unreadable,
    NotAsWritten,
    Replaced(u64),
    Misplaced(String),
    Altered,
    Broken,
    Missing(u64),
    CutOff(String),
    Dropped(String),
    Contradicts(String),
    Unsigned,
    Signature(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.id;
        match &self.what {
            What::Unreadable => write!(f, "AuditEvent/{id} was changed: it is no record of the log any more"),
            What::NotAsWritten => {
                write!(f, "AuditEvent/{id} was changed: its JSON is not as the log writes it")
            }
            What::Replaced(version) => write!(f, "AuditEvent/{id} was changed: it has version {version}"),
            What::Misplaced(other) => write!(f, "AuditEvent/{id} was replaced: it says that it is {other}"),
            What::Altered => write!(f, "AuditEvent/{id} was changed: its hash is another"),
            What::Broken => write!(f, "AuditEvent/{id} does not follow the record before it"),
            What::Missing(1) => write!(f, "AuditEvent/{id} was removed"),
            What::Missing(count) => {
                write!(f, "AuditEvent/{id} was removed, and the {} after it", count - 1)
            }
            What::CutOff(by) => {
                write!(
                    f,
                    "AuditEvent/{id} was cut off, with what came before it and is not there: {by} names it"
                )
            }
            What::Dropped(by) => write!(f, "the chain of AuditEvent/{id} was removed: {by} names it"),
            What::Contradicts(by) => write!(f, "AuditEvent/{id} was changed: {by} names another hash of it"),
            What::Unsigned => write!(f, "AuditEvent/{id} was changed: its signature is missing"),
            What::Signature(why) => {
                write!(f, "AuditEvent/{id} was changed: its signature does not count: {why}")
            }
        }
    }
}

/// A verification of the log of one tenant.
pub struct Verifier {
    tenant: String,
    keys: Jwks,
    report: Report,
    faults: Vec<Fault>,
    chains: BTreeMap<String, Seen>,
    /// What checkpoints name, and which.
    named: Vec<(Place, Hash, String)>,
}

/// A chain, as far as it was read.
#[derive(Default)]
struct Seen {
    /// Of the records from 0 on, without a gap: half a hash is enough to know one again.
    hashes: Vec<[u8; 16]>,
    last: Option<Hash>,
    /// Of those that came before their turn.
    early: BTreeMap<u64, (Hash, Hash)>,
    /// The last one that is signed.
    signed: Option<u64>,
    /// Faults of links, found while reading.
    broken: Vec<u64>,
    /// Gaps: their first record and their length. What is behind one is numbered on.
    gaps: Vec<(u64, u64)>,
}

impl Verifier {
    /// Of a tenant, with all keys that its checkpoints may be signed with.
    pub fn new(tenant: &str, keys: Vec<PublicKey>) -> Verifier {
        Verifier {
            tenant: tenant.to_owned(),
            keys: keys.into_iter().collect(),
            report: Report::default(),
            faults: Vec::new(),
            chains: BTreeMap::new(),
            named: Vec::new(),
        }
    }

    /// Takes the next stored AuditEvent, whatever the order.
    pub fn take(&mut self, stored: &Stored<'_>) {
        let own = Place::of_id(stored.id);
        let record: Option<Map<String, Value>> = serde_json::from_slice(stored.body).ok();
        let link = record.as_ref().and_then(Link::of);
        let (Some(record), Some(link)) = (record, link) else {
            match own {
                Some(place) => self.fault(Some(place), stored.id, What::Unreadable),
                None => self.report.others += 1,
            }
            return;
        };
        self.report.records += 1;
        if own.as_ref() != Some(&link.place) {
            return self.fault(own, stored.id, What::Misplaced(link.place.id()));
        }
        if let Some(what) = self.fault_of(stored, record, &link) {
            self.fault(own, stored.id, what);
        }
        let Link { place, previous, hash, checkpoint } = link;
        let chain = self.chains.entry(place.chain.clone()).or_default();
        chain.take(place.sequence, previous, hash);
        if checkpoint.is_some() {
            chain.signed = chain.signed.max(Some(place.sequence));
            self.report.checkpoints += 1;
        }
    }

    fn fault(&mut self, place: Option<Place>, id: &str, what: What) {
        self.faults.push(Fault { place, id: id.to_owned(), what });
    }

    /// What is wrong with a record alone.
    fn fault_of(&mut self, stored: &Stored<'_>, mut record: Map<String, Value>, link: &Link) -> Option<What> {
        if stored.version != 1 {
            return Some(What::Replaced(stored.version));
        }
        let is_signed_kind = link.place.sequence == 0 || is_checkpoint(&record);
        let meta = |name: &str| record.get("meta").and_then(|meta| meta.get(name)).and_then(Value::as_str);
        let is_own = record.get("id").and_then(Value::as_str) == Some(stored.id)
            && record.get("resourceType").and_then(Value::as_str) == Some("AuditEvent")
            && meta("versionId") == Some("1")
            && meta("lastUpdated") == Some(stored.last_updated);
        // Twice the same name, or other white space: what others read is then not what is hashed.
        let is_plain = serde_json::to_vec(&record).is_ok_and(|plain| plain == stored.body);
        if !is_own || !is_plain {
            return Some(What::NotAsWritten);
        }
        link::strip(&mut record);
        if Hash::of(link.previous, &Value::Object(record)) != Some(link.hash) {
            return Some(What::Altered);
        }
        match &link.checkpoint {
            None => is_signed_kind.then_some(What::Unsigned),
            Some(text) => self.name(text, Some(link)).map(|error| What::Signature(error.to_string())),
        }
    }

    /// Remembers what a checkpoint names; why it does not count, if it does not.
    fn name(&mut self, text: &str, carrier: Option<&Link>) -> Option<JwtError> {
        let checkpoint = match Checkpoint::verified(text, &self.keys) {
            Ok(checkpoint) if checkpoint.tenant == self.tenant => checkpoint,
            Ok(_) => return Some(JwtError::Audience),
            Err(error) => return Some(error),
        };
        let heads = checkpoint.heads()?;
        let own = heads.first()?;
        if carrier.is_some_and(|link| own.0 != link.place || own.1 != link.hash) {
            return Some(JwtError::Subject);
        }
        let by = match carrier {
            Some(link) => format!("AuditEvent/{}", link.place.id()),
            None => "the checkpoint kept outside of the store".to_owned(),
        };
        let own_too = usize::from(carrier.is_some());
        self.named.extend(heads.into_iter().skip(own_too).map(|(place, hash)| (place, hash, by.clone())));
        None
    }

    /// What was found, with the newest checkpoint that was kept outside of the store, if there is one.
    pub fn finish(mut self, kept: Option<&str>) -> Report {
        if let Some(text) = kept
            && let Some(error) = self.name(text.trim(), None)
        {
            let id = "the checkpoint kept outside of the store".to_owned();
            self.faults.push(Fault { place: None, id, what: What::Signature(error.to_string()) });
        }
        for (name, chain) in &mut self.chains {
            chain.end();
            let at = |sequence: u64| Place { chain: name.clone(), sequence };
            let broken = chain.broken.iter().map(|sequence| (at(*sequence), What::Broken));
            let missing = chain.gaps.iter().map(|(first, count)| (at(*first), What::Missing(*count)));
            let found = broken.chain(missing);
            self.faults.extend(found.map(|(place, what)| Fault { id: place.id(), place: Some(place), what }));
            let length = chain.length();
            self.report.unsigned += length - chain.signed.map_or(0, |signed| signed + 1).min(length);
        }
        self.report.chains = u64::try_from(self.chains.len()).unwrap_or(u64::MAX);
        for (place, hash, by) in std::mem::take(&mut self.named) {
            self.held(place, hash, by);
        }
        self.reported()
    }

    /// Compares what a checkpoint names with what is there.
    fn held(&mut self, place: Place, hash: Hash, by: String) {
        let what = match self.chains.get(&place.chain) {
            None => What::Dropped(by),
            Some(chain) if place.sequence >= chain.length() => What::CutOff(by),
            Some(chain) if chain.is(place.sequence, hash) => return,
            Some(_) => What::Contradicts(by),
        };
        let is_same = |fault: &Fault| fault.place.as_ref() == Some(&place);
        if !self.faults.iter().any(is_same) {
            self.faults.push(Fault { id: place.id(), place: Some(place), what });
        }
    }

    fn reported(mut self) -> Report {
        self.faults.sort();
        self.report.all_faults = u64::try_from(self.faults.len()).unwrap_or(u64::MAX);
        self.report.faults = self.faults.iter().take(MAX_FAULTS).map(Fault::to_string).collect();
        self.report
    }
}

/// Whether the record says that it is one that is signed.
fn is_checkpoint(record: &Map<String, Value>) -> bool {
    let codings = record.get("subtype").and_then(Value::as_array).into_iter().flatten();
    let is_ours = |coding: &&Value| coding.get("system").and_then(Value::as_str) == Some(CODES);
    let mut codes = codings.filter(is_ours).filter_map(|coding| coding.get("code").and_then(Value::as_str));
    codes.any(|code| code == "checkpoint")
}

impl Seen {
    fn next(&self) -> u64 {
        u64::try_from(self.hashes.len()).unwrap_or(u64::MAX)
    }

    fn take(&mut self, sequence: u64, previous: Hash, hash: Hash) {
        if sequence < self.next() {
            // It was read twice.
            return;
        }
        if sequence > self.next() {
            self.early.insert(sequence, (previous, hash));
            return;
        }
        self.push(sequence, previous, hash);
        while let Some((previous, hash)) = self.early.remove(&self.next()) {
            self.push(self.next(), previous, hash);
        }
    }

    fn push(&mut self, sequence: u64, previous: Hash, hash: Hash) {
        // After a gap there is nothing to compare with.
        let is_after_gap = sequence > 0 && self.last.is_none();
        if !is_after_gap && previous != self.last.unwrap_or(Hash::ZERO) {
            self.broken.push(sequence);
        }
        let mut half = [0; 16];
        half.iter_mut().zip(hash.0).for_each(|(half, byte)| *half = byte);
        self.hashes.push(half);
        self.last = Some(hash);
    }

    /// Fills the gaps that remain, and remembers them.
    fn end(&mut self) {
        while let Some((sequence, (previous, hash))) = self.early.pop_first() {
            let gap = sequence - self.next();
            if gap > 0 {
                self.gaps.push((self.next(), gap));
                // A gap that a forged number makes shall not cost memory: what is behind it counts as its end.
                if gap > MAX_GAP {
                    self.early.clear();
                    return;
                }
                let filled = usize::try_from(sequence).unwrap_or(usize::MAX);
                self.hashes.resize(filled, [0; 16]);
                self.last = None;
            }
            self.push(sequence, previous, hash);
        }
    }

    fn length(&self) -> u64 {
        self.next()
    }

    fn is(&self, sequence: u64, hash: Hash) -> bool {
        let at = usize::try_from(sequence).ok();
        at.and_then(|at| self.hashes.get(at)).is_some_and(|half| hash.0.starts_with(half))
    }
}
