//! The checker: reads everything from one snapshot and compares what must agree. Repairs nothing.

use std::ops::Bound;

use heed::RoTxn;
use rustc_hash::FxHashMap;

use super::changes::{ChangeRecord, entry, type_prefix};
use super::environment::Databases;
use super::meta::State;
use super::own::Own;
use super::postings;
use super::records::{RecordRef, ordinal_of, version_key};
use crate::cursor::Position;
use crate::{CheckReport, Indexer, Key, StoreError};

/// Most faults that are told.
pub(super) const FAULTS: usize = 1000;

/// Between two calls of `progress`.
const PROGRESS_STEP: u64 = 1024;

impl CheckReport {
    /// Adds a fault, unless there are many already.
    pub(crate) fn fault(&mut self, fault: impl FnOnce() -> String) {
        if self.faults.len() < FAULTS {
            self.faults.push(fault());
        }
    }

    /// What was read; damage is a fault rather than an error here.
    fn unless_damaged<T>(&mut self, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(StoreError::Damaged(text)) => {
                self.fault(|| text);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// One run.
struct Checker<'c> {
    txn: &'c RoTxn<'c>,
    databases: &'c Databases,
    state: State,
    /// Versions without content that are no deletions.
    erased: u64,
    report: CheckReport,
    progress: &'c (dyn Fn(u64, u64) + Sync),
    done: u64,
    total: u64,
}

/// Checks everything.
pub(super) fn run(
    txn: &RoTxn<'_>,
    databases: &Databases,
    indexer: &dyn Indexer,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<CheckReport, StoreError> {
    let resources = databases.records.heads.len(txn)?;
    let total = resources * 2 + databases.changes.all.len(txn)?;
    let state = databases.meta.state(txn)?;
    let report = CheckReport::default();
    let mut checker = Checker { txn, databases, state, erased: 0, report, progress, done: 0, total };
    checker.resources()?;
    checker.changes()?;
    let Checker { mut report, done, .. } = checker;
    let on = |of_index: u64| progress((done + of_index).min(total), total);
    let compared = Own::read(txn, &databases.meta, indexer).and_then(|own| {
        postings::compare(txn, &databases.index, &databases.records, indexer, &own, &mut report, &on)
    });
    report.unless_damaged(compared)?;
    progress(total, total);
    Ok(report)
}

impl Checker<'_> {
    fn step(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(PROGRESS_STEP) {
            (self.progress)(self.done, self.total);
        }
    }

    /// Each ordinal has a resource, each resource its versions from 1 to the current one.
    fn resources(&mut self) -> Result<(), StoreError> {
        let records = self.databases.records;
        let mut expected = 0;
        for item in records.heads.iter(self.txn)? {
            let (ordinal, record) = item?;
            let ordinal = ordinal_of(ordinal)?;
            if ordinal != expected {
                self.report.fault(|| format!("ordinals {expected} to {ordinal} have no resource"));
            }
            expected = ordinal.saturating_add(1);
            match RecordRef::decode(record) {
                Ok(head) => self.resource(ordinal, head)?,
                Err(error) => self.report.fault(|| format!("ordinal {ordinal}: {error}")),
            }
            self.step();
        }
        if expected != self.state.next_ordinal {
            let next = self.state.next_ordinal;
            self.report.fault(|| format!("resources end at ordinal {expected}, not at {next}"));
        }
        let (ids, heads) = (records.ids.len(self.txn)?, records.heads.len(self.txn)?);
        if ids != heads {
            self.report.fault(|| format!("{ids} ids for {heads} resources"));
        }
        let (erased, known) = (self.erased, self.databases.meta.erased(self.txn, None)?);
        if erased != known {
            self.report.fault(|| {
                format!("{erased} versions have no body and are no deletions, {known} were erased")
            });
        }
        let older = records.versions.len(self.txn)?;
        let known = self.report.versions.saturating_sub(heads);
        if older != known {
            self.report.fault(|| format!("{older} older versions are stored, {known} belong to resources"));
        }
        Ok(())
    }

    fn resource(&mut self, ordinal: u32, head: RecordRef<'_>) -> Result<(), StoreError> {
        let records = self.databases.records;
        if Key::parse(head.key).is_none() {
            self.report.fault(|| format!("ordinal {ordinal} has a key that is not Type/id"));
        }
        let listed = records.ordinal(self.txn, head.key)?;
        if listed != Some(ordinal) {
            self.report.fault(|| format!("{} has ordinal {ordinal}; its id leads to {listed:?}", head.key));
        }
        if !head.is_deleted() {
            self.report.resources += 1;
        }
        let mut before: Option<RecordRef<'_>> = None;
        let (first, end) = (version_key(ordinal, 0), version_key(ordinal, u64::MAX));
        let range = (Bound::Included(first.as_slice()), Bound::Included(end.as_slice()));
        for item in records.versions.range(self.txn, &range)? {
            let (key, record) = item?;
            let number = key.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            match RecordRef::decode(record) {
                Ok(record) => {
                    if record.version != number {
                        let found = record.version;
                        self.report
                            .fault(|| format!("{} version {number} is stored as version {found}", head.key));
                    }
                    self.version(head, before, record);
                    before = Some(record);
                }
                Err(error) => self.report.fault(|| format!("{} version {number}: {error}", head.key)),
            }
        }
        self.version(head, before, head);
        Ok(())
    }

    /// One version after another of the same resource.
    fn version(&mut self, head: RecordRef<'_>, before: Option<RecordRef<'_>>, record: RecordRef<'_>) {
        self.report.versions += 1;
        let (key, number) = (head.key, record.version);
        if record.key != key {
            self.report.fault(|| format!("{key} version {number} is of {}", record.key));
        }
        if number != before.map_or(0, |before| before.version) + 1 {
            let found = before.map_or(0, |before| before.version);
            self.report.fault(|| format!("{key} has version {number} after version {found}"));
        }
        let later = |before: RecordRef<'_>| {
            before.sequence < record.sequence && before.last_updated <= record.last_updated
        };
        if !before.is_none_or(later) {
            self.report.fault(|| format!("{key} version {number} is not later than the one before"));
        }
        if record.is_deleted() != record.body.is_empty() {
            self.report.fault(|| format!("{key} version {number} has a body as a deletion, or none else"));
        }
        self.erased += u64::from(record.is_erased());
        if record.sequence > self.state.sequence || record.last_updated > self.state.last_updated {
            self.report.fault(|| format!("{key} version {number} is later than the last commit"));
        }
    }

    /// The log has each version once, commits without gaps, and the logs of types say the same.
    fn changes(&mut self) -> Result<(), StoreError> {
        let changes = self.databases.changes;
        let mut of_types: FxHashMap<Box<str>, u64> = FxHashMap::default();
        let mut last = Position { sequence: 0, write: 0 };
        let mut count = 0;
        for item in changes.all.iter(self.txn)? {
            let (position, record) = entry(item)?;
            count += 1;
            let next = position.sequence == last.sequence && position.write == last.write + 1;
            if !next && position != (Position { sequence: last.sequence + 1, write: 0 }) {
                self.report.fault(|| format!("the change log has {position:?} after {last:?}"));
            }
            last = position;
            if record.count != count {
                self.report.fault(|| format!("change {count} says it is change {}", record.count));
            }
            self.change(position, record, &mut of_types)?;
            self.step();
        }
        if last.sequence != self.state.sequence {
            let state = self.state.sequence;
            self.report.fault(|| format!("the change log ends with commit {}, not {state}", last.sequence));
        }
        if count != self.report.versions {
            let versions = self.report.versions;
            self.report.fault(|| format!("{count} changes for {versions} versions"));
        }
        let of_types = changes.by_type.len(self.txn)?;
        if of_types != count {
            self.report.fault(|| format!("{of_types} changes in the logs of types, {count} in all"));
        }
        Ok(())
    }

    fn change(
        &mut self,
        position: Position,
        change: ChangeRecord,
        of_types: &mut FxHashMap<Box<str>, u64>,
    ) -> Result<(), StoreError> {
        let records = self.databases.records;
        let version = change.version;
        let record = records.version_ref(self.txn, change.ordinal, version);
        let Some(record) = self.report.unless_damaged(record)?.flatten() else {
            self.report.fault(|| format!("{position:?} is of a version that is not stored"));
            return Ok(());
        };
        let same = record.sequence == position.sequence
            && record.last_updated == change.last_updated
            && record.method == change.method;
        if !same {
            self.report.fault(|| format!("{position:?} disagrees with {} version {version}", record.key));
        }
        let resource_type = record.key.split_once('/').map_or(record.key, |(name, _)| name);
        let count = match of_types.get_mut(resource_type) {
            Some(count) => count,
            None => of_types.entry(resource_type.into()).or_default(),
        };
        *count += 1;
        let mut key = type_prefix(resource_type);
        key.extend_from_slice(&position.encode());
        let of_type = self.databases.changes.by_type.get(self.txn, &key)?;
        let of_type = of_type.map(|value| entry(Ok((key.as_slice(), value)))).transpose()?;
        if of_type != Some((position, ChangeRecord { count: *count, ..change })) {
            self.report.fault(|| format!("{position:?} is not the same in the log of {resource_type}"));
        }
        Ok(())
    }
}
