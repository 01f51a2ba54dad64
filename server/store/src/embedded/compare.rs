//! Compares the index with the resources: computes the entries of every current resource again, chunk by chunk, and
//! looks each up. Repairs nothing.

use heed::RoTxn;

use super::own::Own;
use super::pending::{Pending, long_key};
use super::postings::IndexDatabases;
use super::records::{RecordRef, Records, ordinal_of, stored_key};
use super::set::{Set, chunk_of};
use crate::{CheckReport, Entries, Indexer, StoreError};

/// Most faults that a report names.
const FAULTS: usize = 1_000;

/// Computes the entries of every current resource again and compares them with the databases; counts postings
/// and adds faults to the report. `progress` hears of each resource done.
pub(crate) fn compare(
    txn: &RoTxn<'_>,
    databases: &IndexDatabases,
    records: &Records,
    indexer: &dyn Indexer,
    own: &Own,
    report: &mut CheckReport,
    progress: &dyn Fn(u64),
) -> Result<(), StoreError> {
    let mut comparison = Comparison { txn, databases, report, pending: Pending::new(), found: [0; 3] };
    let mut entries = Entries::new();
    let (mut chunk, mut done) = (0, 0);
    for head in records.heads.iter(txn)? {
        let (ordinal, bytes) = head?;
        let (ordinal, head) = (ordinal_of(ordinal)?, RecordRef::decode(bytes)?);
        if chunk_of(ordinal) != chunk {
            comparison.chunk()?;
            chunk = chunk_of(ordinal);
        }
        if head.is_deleted() {
            continue;
        }
        let key = stored_key(head.key)?;
        entries.clear();
        match indexer.entries(key.resource_type(), head.body, &mut entries) {
            Ok(()) => {
                own.append(ordinal, &key, head.body, &mut entries)?;
                comparison.pending.add(ordinal, &key, head.last_updated, &entries);
            }
            Err(error) => comparison.fault(format!("{} has no index entries: {error}", key.as_str())),
        }
        done += 1;
        progress(done);
    }
    comparison.chunk()?;
    comparison.leftovers()
}

struct Comparison<'c> {
    txn: &'c RoTxn<'c>,
    databases: &'c IndexDatabases,
    report: &'c mut CheckReport,
    pending: Pending,
    /// Keys looked up and there: of `postings`, `presence`, `forward`.
    found: [u64; 3],
}

impl Comparison<'_> {
    fn fault(&mut self, sentence: String) {
        add_fault(self.report, sentence);
    }

    /// Compares what the resources of one chunk should have.
    fn chunk(&mut self) -> Result<(), StoreError> {
        let mut pending = std::mem::replace(&mut self.pending, Pending::new());
        let (mut scratch, mut faults) = (Vec::new(), Vec::new());
        let (txn, databases, found, report) = (self.txn, self.databases, &mut self.found, &mut *self.report);
        pending.each_added(|postings, key, members| {
            let set = Set::Few(members.iter().map(|member| member.0).collect());
            set.encode(&mut scratch);
            let (table, name) =
                if postings { (databases.postings, "postings") } else { (databases.presence, "presence") };
            report.postings += 1;
            let stored = table.get(txn, key)?;
            let [of_postings, of_presence, _] = &mut *found;
            *(if postings { of_postings } else { of_presence }) += u64::from(stored.is_some());
            if stored != Some(scratch.as_slice()) {
                faults.push(format!("{name} differ from the resources: {}", place(postings, key)));
            }
            Ok(())
        })?;
        for (ordinal, record) in pending.each_forward() {
            let stored = databases.forward.get(txn, &ordinal.to_be_bytes())?;
            let [.., of_forward] = &mut *found;
            *of_forward += u64::from(stored.is_some());
            if stored != Some(record) {
                faults.push(format!("the forward record of ordinal {ordinal} differs from the resource"));
            }
        }
        for (parameter, hash, packed) in pending.each_long() {
            if databases.long.get(txn, &long_key(parameter, hash))? != Some(packed) {
                faults.push(format!("a long value of parameter {parameter} is missing or another"));
            }
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
        Ok(())
    }

    /// Compares how many keys there are with how many were looked up.
    fn leftovers(mut self) -> Result<(), StoreError> {
        let databases = self.databases;
        let tables = [
            ("postings", databases.postings),
            ("presence", databases.presence),
            ("forward", databases.forward),
        ];
        for ((name, table), found) in tables.into_iter().zip(self.found) {
            let extra = table.len(self.txn)?.saturating_sub(found);
            if extra > 0 {
                self.fault(format!("{extra} keys of {name} belong to no resource"));
            }
        }
        Ok(())
    }
}

fn add_fault(report: &mut CheckReport, sentence: String) {
    if report.faults.len() < FAULTS {
        report.faults.push(sentence);
    }
}

/// Where a key stands, without its value: that may be a person's.
fn place(postings: bool, key: &[u8]) -> String {
    let ends = if postings {
        key.first_chunk::<2>().copied().zip(key.last_chunk::<4>().copied())
    } else {
        key.get(4..6).and_then(|bytes| bytes.try_into().ok()).zip(key.first_chunk::<4>().copied())
    };
    let (parameter, chunk) = ends.unwrap_or_default();
    format!("parameter {}, chunk {}", u16::from_be_bytes(parameter), u32::from_be_bytes(chunk))
}
