//! The checker: reads all documents and the whole log of a tenant, and compares what must agree. Repairs nothing. What other
//! processes write meanwhile is left out: only what was committed when it began is compared.

use std::collections::{BTreeMap, HashMap};

use super::container::{Scope, Sql};
use super::document::{CURRENT, Document, ERASED, superseded};
use super::intake;
use super::read;
use super::record::{Counts, Kind, LOG, Record};
use super::shard::Shard;
use super::tail::{Seen, Snapshot};
use super::terms;
use super::timings::ms;
use crate::{CheckReport, Key, StoreError};

/// What is kept of a version.
#[derive(Debug, Clone)]
struct Known {
    order: String,
    last_updated: i64,
    method: String,
    /// Whether it has no content.
    deleted: bool,
    /// Whether its document's id says that it is superseded.
    current: bool,
}

/// By resource, by number.
type Versions = BTreeMap<Key, BTreeMap<u64, Known>>;

struct Checker<'c> {
    shard: &'c Shard,
    snapshot: Snapshot,
    report: CheckReport,
    versions: Versions,
}

/// Checks everything.
pub(super) async fn run(
    shard: &Shard,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<CheckReport, StoreError> {
    let snapshot = shard.refresh().await?;
    let total = snapshot.sum().counts.values().map(|count| count.changes).sum::<u64>() * 2;
    let mut checker = Checker { shard, snapshot, report: CheckReport::default(), versions: BTreeMap::new() };
    checker.documents(&|done| progress(done.min(total), total)).await?;
    checker.resources().await?;
    checker.log().await?;
    progress(total, total);
    Ok(checker.report)
}

impl Checker<'_> {
    /// Reads all versions; their bodies and index fields agree.
    async fn documents(&mut self, progress: &(dyn Fn(u64) + Sync)) -> Result<(), StoreError> {
        let sql = Sql { text: "SELECT * FROM c WHERE c.v > 0".to_owned(), parameters: Vec::new() };
        let scope = Scope::Tenant(self.shard.tenant.as_str().to_owned());
        let mut documents = Vec::new();
        self.shard
            .container
            .query::<Document>(&scope, &sql, |page| {
                documents.extend(page);
                true
            })
            .await?;
        for (done, document) in (1..).zip(documents) {
            self.document(&document).await?;
            progress(done);
        }
        Ok(())
    }

    async fn document(&mut self, document: &Document) -> Result<(), StoreError> {
        // Staged, left over, or committed since.
        if self.snapshot.knows(&document.mark()) != Seen::Yes {
            return Ok(());
        }
        let key = document.key();
        let number = document.v;
        let name = format!("{} version {number}", key.as_str());
        let current = document.id == CURRENT;
        if !current && document.id != superseded(number) {
            self.report.fault(|| format!("{name} stands in a document of another id"));
        }
        if let Err(error) = document.method() {
            self.report.fault(|| error.to_string());
        }
        if document.is_deleted() != document.z.is_none() {
            self.report.fault(|| format!("{name} has a body as a deletion, or none else"));
        }
        self.index(document, &key, &name).await?;
        let known = Known {
            order: document.o.clone(),
            last_updated: document.lu,
            method: document.m.clone(),
            deleted: document.is_deleted(),
            current,
        };
        // A version that is superseded while the documents are read may be met in both places.
        self.versions
            .entry(key)
            .or_default()
            .entry(number)
            .and_modify(|known| known.current |= current)
            .or_insert(known);
        Ok(())
    }

    /// What a search may find has the index fields of its body; what it must not find has none.
    async fn index(&mut self, document: &Document, key: &Key, name: &str) -> Result<(), StoreError> {
        let found = document.l == Some(1);
        let seen = self.snapshot.sees(&document.mark()) == Seen::Yes;
        if seen && found == document.is_deleted() {
            self.report.fault(|| format!("{name} can be found as a deletion, or cannot else"));
        }
        if !found {
            let fields = &document.index;
            let none = match document.is_erased() {
                true => fields.x == [ERASED] && fields.r.is_empty(),
                false => *fields == super::document::IndexFields::default(),
            };
            if !none {
                self.report.fault(|| format!("{name} has index fields, and cannot be found"));
            }
            return Ok(());
        }
        let version = match self.shard.version(document).await {
            Ok(version) => version,
            Err(StoreError::Damaged(text)) => {
                self.report.fault(|| text);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let expected = match intake::entries(&*self.shard.indexer, key, &version.body) {
            Ok(entries) => terms::fields(self.shard.indexer.parameters(), &entries),
            Err(error) => {
                self.report.fault(|| error.to_string());
                return Ok(());
            }
        };
        let fields = &document.index;
        self.report.postings += (fields.x.len() + fields.r.len()) as u64;
        if *fields != expected {
            self.report.fault(|| format!("{name} has other index fields than its body gives"));
        }
        Ok(())
    }

    /// Each resource has its versions from 1 on, in order of time.
    async fn resources(&mut self) -> Result<(), StoreError> {
        let versions = std::mem::take(&mut self.versions);
        let mut read = Versions::new();
        for (key, known) in versions {
            let mut faults = faults(&key, &known);
            let mut known = known;
            if !faults.is_empty() {
                // What another process took back meanwhile was met in neither place: read this one again.
                known = self.again(&key).await?;
                faults = self::faults(&key, &known);
            }
            for fault in faults {
                self.report.fault(|| fault);
            }
            self.report.versions += known.len() as u64;
            if known.values().next_back().is_some_and(|newest| !newest.deleted) {
                self.report.resources += 1;
            }
            read.insert(key, known);
        }
        self.versions = read;
        Ok(())
    }

    async fn again(&self, key: &Key) -> Result<BTreeMap<u64, Known>, StoreError> {
        let mut known = BTreeMap::new();
        let Some(newest) = read::current(self.shard, key).await? else { return Ok(known) };
        for number in 1..=newest.v {
            let Some(document) = read::version(self.shard, key, number).await? else { continue };
            if self.snapshot.knows(&document.mark()) == Seen::Yes {
                let current = document.id == CURRENT;
                let deleted = document.is_deleted();
                let (order, last_updated, method) = (document.o, document.lu, document.m);
                known.insert(number, Known { order, last_updated, method, deleted, current });
            }
        }
        Ok(known)
    }

    /// The log has each version once, slots and commits without gaps, and adds up to what is known.
    async fn log(&mut self) -> Result<(), StoreError> {
        let mut state = Walked::default();
        let sum = self.snapshot.sum().clone();
        for record in self.records().await? {
            let slot = record.slot()?;
            if slot > sum.slot {
                break;
            }
            if slot != state.slot + 1 {
                let last = state.slot;
                self.report.fault(|| format!("the log has slot {slot} after slot {last}"));
            }
            state.slot = slot;
            self.record(&record, &mut state);
        }
        if (state.slot, state.sequence, &state.counts) != (sum.slot, sum.sequence, &sum.counts) {
            self.report.fault(|| "the log does not add up to what is known of it".to_owned());
        }
        if state.changes != self.report.versions {
            let (changes, versions) = (state.changes, self.report.versions);
            self.report.fault(|| format!("{changes} changes for {versions} versions"));
        }
        let current: u64 = state.counts.values().map(|count| count.current).sum();
        if current != self.report.resources {
            let resources = self.report.resources;
            self.report.fault(|| format!("{resources} resources, and {current} by the log"));
        }
        Ok(())
    }

    async fn records(&self) -> Result<Vec<Record>, StoreError> {
        let scope = Scope::Type(self.shard.tenant.as_str().to_owned(), LOG.to_owned());
        let sql = Sql { text: "SELECT * FROM c".to_owned(), parameters: Vec::new() };
        let mut records = Vec::new();
        self.shard
            .container
            .query::<Record>(&scope, &sql, |page| {
                records.extend(page);
                true
            })
            .await?;
        records.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(records)
    }

    fn record(&mut self, record: &Record, state: &mut Walked) {
        let slot = state.slot;
        if record.kind != Kind::Commit {
            if !record.w.is_empty() || record.q.is_some() {
                self.report.fault(|| format!("slot {slot} of the log commits something, and is no commit"));
            }
            return;
        }
        let skew = ms(self.shard.timings.stage_life);
        if record.lu < state.last_updated.saturating_sub(skew) {
            self.report.fault(|| format!("slot {slot} of the log has a time long before the one before it"));
        }
        state.last_updated = state.last_updated.max(record.lu);
        if record.q != Some(state.sequence + 1) || record.e != Some(state.sequence + record.w.len() as u64) {
            self.report.fault(|| format!("slot {slot} of the log has wrong sequence numbers"));
        }
        state.sequence += record.w.len() as u64;
        record.count(&mut state.counts);
        for entry in record.w.iter().flatten() {
            state.changes += 1;
            let method = super::document::method_name(entry.2.method());
            let version = entry.key().ok().and_then(|key| self.versions.get(&key)?.get(&entry.1));
            let same = version.is_some_and(|version| {
                version.order.starts_with(&record.t)
                    && version.last_updated == record.lu
                    && version.method == method
            });
            if !same {
                self.report.fault(|| format!("slot {slot} disagrees with {} version {}", entry.0, entry.1));
            } else if state.seen.insert((entry.0.clone(), entry.1), slot).is_some() {
                self.report.fault(|| format!("{} version {} is in the log twice", entry.0, entry.1));
            }
        }
    }
}

/// What was read of the log so far.
#[derive(Default)]
struct Walked {
    slot: u64,
    sequence: u64,
    last_updated: i64,
    changes: u64,
    counts: Counts,
    seen: HashMap<(String, u64), u64>,
}

/// What is wrong with the versions of one resource.
fn faults(key: &Key, known: &BTreeMap<u64, Known>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut before: Option<(u64, &Known)> = None;
    for (number, version) in known {
        let last = before.map_or(0, |(last, _)| last);
        if *number != last + 1 {
            faults.push(format!("{} has version {number} after version {last}", key.as_str()));
        }
        if before.is_some_and(|(_, before)| {
            before.order >= version.order && before.last_updated == version.last_updated
                || before.last_updated > version.last_updated
        }) {
            faults.push(format!("{} version {number} is not later than the one before", key.as_str()));
        }
        if before.is_some_and(|(_, before)| before.current && version.current) {
            faults.push(format!("{} has two current versions", key.as_str()));
        }
        before = Some((*number, version));
    }
    faults
}
