//! What a process knows of a tenant's log: which transactions are committed, which never will be, and what the
//! commits up to a slot add up to. Reads and writes nothing.
//!
//! Every transaction that began at `decided_ms` or before is decided: it is committed, unless its documents are
//! gone. Of those that began later, the ones whose records were absorbed are committed; nothing is known of the
//! others.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::{FxHashMap, FxHashSet};

use super::document::Mark;
use super::record::{Count, Counts, Entry, Kind, Record};
use super::timings::{Timings, ms};
use super::transaction::{TransactionId, Transactions};
use crate::StoreError;

/// Records kept whole, to see what came after a precondition was evaluated; but for the last, no more than have
/// [`LATEST_WRITES`] together.
const LATEST: usize = 256;

/// Writes of the records kept whole.
const LATEST_WRITES: usize = 100_000;

/// What the log adds up to at a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// The slot of the last record; 0 before the first.
    pub slot: u64,
    /// The last sequence number; 0 before the first.
    pub sequence: u64,
    /// The latest time of a commit, ms since 1970.
    pub last_updated: i64,
    /// Resources and changes by type.
    pub counts: Counts,
}

impl Sum {
    fn add(&mut self, recent: &Recent) {
        self.slot = recent.slot;
        self.sequence = recent.sequence;
        self.last_updated = self.last_updated.max(recent.last_updated);
        for (name, (current, changes)) in &recent.deltas {
            let count: &mut Count = self.counts.entry(name.clone()).or_default();
            count.current = count.current.saturating_add_signed(*current);
            count.changes += changes;
        }
    }
}

/// What is kept of a record until every transaction of its time is decided.
#[derive(Debug)]
struct Recent {
    slot: u64,
    /// When its transaction began, ms.
    began: i64,
    transaction: TransactionId,
    /// The last sequence number with it.
    sequence: u64,
    last_updated: i64,
    deltas: FxHashMap<String, (i64, u64)>,
}

/// The state.
#[derive(Debug)]
pub(super) struct Tail {
    /// Up to the last slot absorbed.
    now: Arc<Sum>,
    /// Up to a slot before which all records' transactions began at `decided_ms` or before.
    base: Sum,
    recent: VecDeque<Recent>,
    latest: VecDeque<(u64, Arc<Record>)>,
    /// What the latest records made of resources, by `Type/id`.
    versions: FxHashMap<String, u64>,
    committed: FxHashMap<TransactionId, u64>,
    killed: FxHashSet<TransactionId>,
    decided_ms: i64,
    sealed: bool,
    late_ms: i64,
}

/// Whether a snapshot sees something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// The log may have more that says so: refresh, and take a new snapshot. After that it does not.
    Unknown,
}

/// The state of a tenant after a slot of its log. Stays what it is while the log goes on.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    sum: Arc<Sum>,
    decided_ms: i64,
    tail: Arc<RwLock<Tail>>,
}

impl Tail {
    /// After the slot that a sum is of, all transactions of up to `decided_ms` being decided.
    pub(super) fn new(base: Sum, decided_ms: i64, timings: &Timings) -> Tail {
        Tail {
            now: Arc::new(base.clone()),
            base,
            recent: VecDeque::new(),
            latest: VecDeque::new(),
            versions: FxHashMap::default(),
            committed: FxHashMap::default(),
            killed: FxHashSet::default(),
            decided_ms,
            sealed: false,
            late_ms: ms(timings.late),
        }
    }

    /// Takes in the record of the next slot. One of a slot already absorbed says nothing new; one further on is
    /// an error, for records are absorbed in order.
    pub(super) fn absorb(&mut self, record: Arc<Record>) -> Result<(), StoreError> {
        let slot = record.slot()?;
        if slot <= self.now.slot {
            return Ok(());
        }
        if slot != self.now.slot + 1 {
            return Err(StoreError::Damaged(format!("the log has slot {slot} after {}", self.now.slot)));
        }
        let transaction = transaction_id(&record.t)?;
        let killed = record.kills.iter().map(|t| transaction_id(t)).collect::<Result<Vec<_>, _>>()?;
        let sequence = record.e.unwrap_or(self.now.sequence);
        if record.kind == Kind::Commit && record.q != Some(self.now.sequence + 1) {
            return Err(StoreError::Damaged(format!("slot {slot} of the log has a wrong sequence number")));
        }
        match record.kind {
            Kind::Commit => {
                self.committed.insert(transaction.clone(), slot);
            }
            Kind::Kill => self.killed.extend(killed),
            Kind::Sealed => self.sealed = true,
            Kind::Unsealed => self.sealed = false,
        }
        let recent = Recent {
            slot,
            began: transaction.ms(),
            transaction,
            sequence,
            last_updated: record.lu,
            deltas: deltas(&record),
        };
        Arc::make_mut(&mut self.now).add(&recent);
        self.recent.push_back(recent);
        self.keep(slot, record);
        Ok(())
    }

    fn keep(&mut self, slot: u64, record: Arc<Record>) {
        for Entry(key, version, ..) in record.w.iter().flatten() {
            self.versions.insert(key.clone(), *version);
        }
        self.latest.push_back((slot, record));
        while self.latest.len() > LATEST || (self.latest.len() > 1 && self.versions.len() > LATEST_WRITES) {
            let Some((_, oldest)) = self.latest.pop_front() else { break };
            for Entry(key, version, ..) in oldest.w.iter().flatten() {
                if self.versions.get(key) == Some(version) {
                    self.versions.remove(key);
                }
            }
        }
    }

    /// The version of a resource that was committed last, if that was of late.
    pub(super) fn latest_version(&self, key: &str) -> Option<u64> {
        self.versions.get(key).copied()
    }

    /// From now on all transactions that began at `ms` or before are decided. What led up to them is summed up.
    pub(super) fn decide(&mut self, decided_ms: i64) {
        self.decided_ms = self.decided_ms.max(decided_ms);
        while let Some(recent) = self.recent.pop_front_if(|recent| recent.began <= self.decided_ms) {
            self.base.add(&recent);
            self.committed.remove(&recent.transaction);
        }
        self.killed.retain(|t| t.ms() > self.decided_ms);
    }

    /// The sum that a process may begin from: with it, and the records after its slot, it knows all that is not
    /// decided.
    pub(super) fn base(&self) -> (&Sum, i64) {
        (&self.base, self.decided_ms)
    }

    /// Up to the last slot absorbed.
    pub(super) fn now(&self) -> &Sum {
        &self.now
    }

    /// Whether nothing may be committed any more.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Whether a transaction is known never to be committed.
    pub(super) fn is_killed(&self, transaction: &TransactionId) -> bool {
        self.killed.contains(transaction)
    }

    /// Whether it is known what became of a transaction.
    pub(super) fn is_decided(&self, transaction: &TransactionId) -> bool {
        self.committed.contains_key(transaction)
            || self.killed.contains(transaction)
            || transaction.ms() <= self.decided_ms
    }

    /// Whether a version is committed, be it superseded or not, as far as is known now.
    pub(super) fn knows(&self, mark: &Mark) -> Seen {
        self.committed(&mark.o, staged(mark), u64::MAX, self.decided_ms)
    }

    /// Whether a transaction is committed up to a slot, those that began at `decided_ms` or before being decided; `staged` is when
    /// a document of it was written, if that matters.
    fn committed(&self, text: &str, staged: Option<i64>, up_to: u64, decided_ms: i64) -> Seen {
        let Some(transaction) = TransactionId::of(text) else { return Seen::No };
        if let Some(slot) = self.committed.get(&transaction) {
            return if *slot <= up_to { Seen::Yes } else { Seen::No };
        }
        if self.killed.contains(&transaction) {
            return Seen::No;
        }
        let began = transaction.ms();
        let late = |ts: i64| ts.saturating_mul(1000) > began.saturating_add(self.late_ms);
        if staged.is_some_and(late) {
            return Seen::No;
        }
        if began <= decided_ms { Seen::Yes } else { Seen::Unknown }
    }

    /// The records after a slot; `None` if not all of them are kept.
    pub(super) fn since(&self, slot: u64) -> Option<Vec<Arc<Record>>> {
        let kept = self.latest.front().map_or(self.now.slot, |(first, _)| first.saturating_sub(1));
        (slot >= kept).then(|| {
            self.latest.iter().filter(|(of, _)| *of > slot).map(|(_, record)| record.clone()).collect()
        })
    }
}

fn transaction_id(text: &str) -> Result<TransactionId, StoreError> {
    TransactionId::of(text)
        .ok_or_else(|| StoreError::Damaged("the log names a transaction that cannot be read".into()))
}

fn deltas(record: &Record) -> FxHashMap<String, (i64, u64)> {
    let mut deltas: FxHashMap<String, (i64, u64)> = FxHashMap::default();
    for entry in record.w.iter().flatten() {
        let delta = match deltas.get_mut(entry.resource_type()) {
            Some(delta) => delta,
            None => deltas.entry(entry.resource_type().to_owned()).or_default(),
        };
        delta.0 += i64::from(entry.3);
        delta.1 += 1;
    }
    deltas
}

impl Snapshot {
    /// The state as it is known now.
    pub(super) fn of(tail: &Arc<RwLock<Tail>>) -> Snapshot {
        let state = tail.read().unwrap_or_else(PoisonError::into_inner);
        Snapshot { sum: state.now.clone(), decided_ms: state.decided_ms, tail: tail.clone() }
    }

    /// What the log adds up to here.
    pub(super) fn sum(&self) -> &Sum {
        &self.sum
    }

    /// Whether a version is current here: committed, and not superseded by one that is.
    pub(super) fn sees(&self, mark: &Mark) -> Seen {
        match (self.knows(mark), self.superseded(mark)) {
            (Seen::No, _) | (Seen::Yes, Seen::Yes) => Seen::No,
            (Seen::Yes, Seen::No) => Seen::Yes,
            (Seen::Unknown, _) | (Seen::Yes, Seen::Unknown) => Seen::Unknown,
        }
    }

    /// Whether a version is committed here, be it superseded or not.
    pub(super) fn knows(&self, mark: &Mark) -> Seen {
        self.committed(&mark.o, staged(mark))
    }

    /// Whether the transaction that superseded a version is committed here.
    pub(super) fn superseded(&self, mark: &Mark) -> Seen {
        let staged = if mark.d.is_none() { mark.ts } else { None };
        mark.to.as_ref().map_or(Seen::No, |to| self.committed(to, staged))
    }

    /// Whether the log is known to have gone on since with a transaction that wrote or superseded a version, and that is not one of
    /// `own`: it may have been committed before whoever holds this snapshot asked for it.
    pub(super) fn is_behind(&self, mark: &Mark, own: &Transactions) -> bool {
        let tail = self.tail.read().unwrap_or_else(PoisonError::into_inner);
        let named = [Some(&mark.o), mark.to.as_ref()].into_iter().flatten();
        named.filter_map(|text| TransactionId::of(text)).any(|transaction| {
            let slot = tail.committed.get(&transaction);
            slot.is_some_and(|slot| *slot > self.sum.slot) && !own.gave(&transaction)
        })
    }

    fn committed(&self, text: &str, staged: Option<i64>) -> Seen {
        let tail = self.tail.read().unwrap_or_else(PoisonError::into_inner);
        tail.committed(text, staged, self.sum.slot, self.decided_ms)
    }
}

/// When the document of a version was written, where that tells whether its transaction came too late: what was superseded had
/// been committed before, and its document was written anew then.
fn staged(mark: &Mark) -> Option<i64> {
    if mark.to.is_none() && mark.d.is_none() { mark.ts } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::record::Letter;
    use super::*;

    fn id(ms: i64) -> TransactionId {
        TransactionId::of(&format!("{ms:012x}aaaaaa000001")).unwrap()
    }

    fn commit(slot: u64, sequence: u64, ms: i64, batches: usize) -> Arc<Record> {
        let write = |n| vec![Entry(format!("Patient/{slot}-{n}"), 1, Letter::C, 1)];
        Arc::new(Record::commit(&id(ms), ms, sequence, (0..batches).map(write).collect()).at("t", slot))
    }

    fn kill(slot: u64, ms: i64, killed: i64) -> Arc<Record> {
        let record = Record::of(Kind::Kill, &id(ms), ms);
        Arc::new(Record { kills: vec![id(killed).as_str().to_owned()], ..record }.at("t", slot))
    }

    fn mark(ms: i64, to: Option<i64>) -> Mark {
        Mark { o: id(ms).order(0), to: to.map(|ms| id(ms).as_str().to_owned()), d: None, ts: Some(ms / 1000) }
    }

    fn tail() -> Arc<RwLock<Tail>> {
        let timings = Timings::default();
        let mut tail = Tail::new(Sum::default(), 0, &timings);
        for record in
            [commit(1, 1, 1000, 1), commit(2, 2, 5000, 2), kill(3, 4000, 3000), commit(4, 4, 2000, 1)]
        {
            tail.absorb(record).unwrap();
        }
        Arc::new(RwLock::new(tail))
    }

    #[test]
    fn a_snapshot_sees_what_was_committed_up_to_its_slot() {
        let tail = tail();
        let snapshot = Snapshot::of(&tail);
        assert_eq!((snapshot.sum().slot, snapshot.sum().sequence), (4, 4));
        assert_eq!(snapshot.sum().counts["Patient"], Count { current: 4, changes: 4 });
        tail.write().unwrap().absorb(commit(5, 5, 6000, 1)).unwrap();
        for (mark, seen) in [
            (mark(1000, None), Seen::Yes),
            (mark(3000, None), Seen::No),
            (mark(1000, Some(3000)), Seen::Yes),
            (mark(1000, Some(2000)), Seen::No),
            (mark(1000, Some(7000)), Seen::Unknown),
            (mark(7000, None), Seen::Unknown),
            (mark(6000, None), Seen::No),
            (mark(1000, Some(6000)), Seen::Yes),
        ] {
            assert_eq!(snapshot.sees(&mark), seen, "{mark:?}");
        }
        assert_eq!(Snapshot::of(&tail).sees(&mark(6000, None)), Seen::Yes);
    }

    #[test]
    fn what_is_decided_is_summed_up() {
        let tail = tail();
        let before = Snapshot::of(&tail);
        // Slot 2 began after slot 4: the base stays before it.
        tail.write().unwrap().decide(4500);
        assert_eq!(tail.read().unwrap().base().0.slot, 1);
        assert_eq!(Snapshot::of(&tail).sees(&mark(2000, None)), Seen::Yes);
        tail.write().unwrap().decide(5000);
        let state = tail.read().unwrap();
        assert_eq!((state.base().0, state.base().1), (state.now(), 5000));
        assert!(state.committed.is_empty() && state.killed.is_empty());
        drop(state);
        assert_eq!(before.sees(&mark(1000, None)), Seen::Unknown);
        assert_eq!(Snapshot::of(&tail).sees(&mark(1000, None)), Seen::Yes);
    }

    #[test]
    fn what_was_staged_too_late_is_never_seen() {
        let tail = tail();
        tail.write().unwrap().decide(5000);
        let snapshot = Snapshot::of(&tail);
        let late = |mark: Mark| Mark { ts: Some(486), ..mark };
        assert_eq!(snapshot.sees(&late(mark(4000, None))), Seen::No);
        assert_eq!(snapshot.sees(&Mark { d: Some(1), ..late(mark(4000, None)) }), Seen::Yes);
        // Superseded late: what it says of its own transaction stays true.
        assert_eq!(snapshot.sees(&late(mark(1000, Some(4000)))), Seen::Yes);
        assert_eq!(snapshot.sees(&Mark { d: Some(1), ..late(mark(1000, Some(4000))) }), Seen::No);
    }

    #[test]
    fn records_are_absorbed_in_order() {
        let tail = tail();
        let mut tail = tail.write().unwrap();
        tail.absorb(commit(4, 9, 9, 9)).unwrap();
        for (record, why) in [
            (commit(6, 5, 9, 1), "stored data is damaged: the log has slot 6 after 4"),
            (commit(5, 6, 9, 1), "stored data is damaged: slot 5 of the log has a wrong sequence number"),
        ] {
            assert_eq!(tail.absorb(record).unwrap_err().to_string(), why);
        }
        assert_eq!(tail.since(2).unwrap().len(), 2);
        assert_eq!(tail.since(0).unwrap().len(), 4);
        for slot in 5..=300 {
            tail.absorb(commit(slot, slot, 9000, 1)).unwrap();
        }
        assert!(tail.since(3).is_none());
        let latest = [("Patient/300-0", Some(1)), ("Patient/1-0", None)];
        assert_eq!(latest.map(|(key, _)| tail.latest_version(key)), latest.map(|(_, version)| version));
        assert_eq!(tail.since(299).unwrap().len(), 1);
    }
}
