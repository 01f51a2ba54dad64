//! The records of a tenant's log, as they are written. See [`super::layout`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::Place;
use super::transaction::TransactionId;
use crate::{Key, Method, StoreError};

/// The type under which the log stands; no resource type begins so.
pub(super) const LOG: &str = "$log";

/// A segment of the log, one logical partition, has `1 << SEGMENT_BITS` slots.
const SEGMENT_BITS: u32 = 12;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A transaction is committed.
    Commit,
    /// Transactions will never be committed.
    Kill,
    /// From here on nothing is committed: the tenant is being moved.
    Sealed,
    /// From here on there are commits again.
    Unsealed,
}

/// One record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// The slot, 16 hex digits.
    pub id: String,
    /// Tenant.
    pub tn: String,
    /// [`LOG`].
    pub ty: String,
    /// The segment, hex.
    pub rid: String,
    /// What it says.
    pub kind: Kind,
    /// The transaction that wrote it.
    pub t: String,
    /// When it was committed, ms since 1970.
    pub lu: i64,
    /// The sequence number of the first batch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub q: Option<u64>,
    /// The sequence number of the last batch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub e: Option<u64>,
    /// The types written, each once: the type histories' index.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub x: Vec<String>,
    /// For each batch, what it wrote.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub w: Vec<Vec<Entry>>,
    /// The transactions that are killed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub kills: Vec<String>,
    /// How far the partitions of what was written must be seen by a session that reads it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub st: Option<String>,
}

/// One write: `Type/id`, version, `C` `U` `P` or `D`, and by how much the number of current resources changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry(pub String, pub u64, pub Letter, pub i8);

/// A method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Letter {
    /// Create.
    C,
    /// Update.
    U,
    /// Patch.
    P,
    /// Delete.
    D,
}

impl From<Method> for Letter {
    fn from(method: Method) -> Letter {
        match method {
            Method::Post => Letter::C,
            Method::Put => Letter::U,
            Method::Patch => Letter::P,
            Method::Delete => Letter::D,
        }
    }
}

impl Letter {
    /// The method.
    pub(super) fn method(self) -> Method {
        match self {
            Letter::C => Method::Post,
            Letter::U => Method::Put,
            Letter::P => Method::Patch,
            Letter::D => Method::Delete,
        }
    }
}

impl Entry {
    /// The resource.
    pub(super) fn key(&self) -> Result<Key, StoreError> {
        Key::parse(&self.0)
            .ok_or_else(|| StoreError::Damaged("the log names a resource that is not Type/id".into()))
    }

    /// The type.
    pub(super) fn resource_type(&self) -> &str {
        self.0.split_once('/').map_or(self.0.as_str(), |(name, _)| name)
    }
}

/// How many resources and changes a type has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Count {
    /// Current resources.
    pub current: u64,
    /// Changes so far.
    pub changes: u64,
}

/// By type.
pub(super) type Counts = BTreeMap<String, Count>;

/// The place of a slot's record, and its id there.
pub(super) fn place(tenant: &str, slot: u64) -> (Place, String) {
    let rid = format!("{:x}", slot >> SEGMENT_BITS);
    (Place { tenant: tenant.to_owned(), ty: LOG.to_owned(), rid }, format!("{slot:016x}"))
}

impl Record {
    /// A record that commits `w`, to stand at a slot.
    pub(super) fn commit(
        transaction: &TransactionId,
        last_updated: i64,
        first: u64,
        w: Vec<Vec<Entry>>,
    ) -> Record {
        let mut types: Vec<String> =
            w.iter().flatten().map(|entry| entry.resource_type().to_owned()).collect();
        types.sort_unstable();
        types.dedup();
        let last = first.saturating_add(w.len() as u64).saturating_sub(1);
        Record {
            q: Some(first),
            e: Some(last),
            x: types,
            w,
            ..Record::of(Kind::Commit, transaction, last_updated)
        }
    }

    /// A record without writes.
    pub(super) fn of(kind: Kind, transaction: &TransactionId, last_updated: i64) -> Record {
        Record {
            id: String::new(),
            tn: String::new(),
            ty: LOG.to_owned(),
            rid: String::new(),
            kind,
            t: transaction.as_str().to_owned(),
            lu: last_updated,
            q: None,
            e: None,
            x: Vec::new(),
            w: Vec::new(),
            kills: Vec::new(),
            st: None,
        }
    }

    /// The same record at a slot.
    pub(super) fn at(self, tenant: &str, slot: u64) -> Record {
        let (place, id) = place(tenant, slot);
        Record { id, tn: place.tenant, rid: place.rid, ..self }
    }

    /// Its slot.
    pub(super) fn slot(&self) -> Result<u64, StoreError> {
        u64::from_str_radix(&self.id, 16)
            .map_err(|_| StoreError::Damaged("a record of the log has no slot".into()))
    }

    /// Adds what it changes to the counts.
    pub(super) fn count(&self, counts: &mut Counts) {
        for entry in self.w.iter().flatten() {
            let count = match counts.get_mut(entry.resource_type()) {
                Some(count) => count,
                None => counts.entry(entry.resource_type().to_owned()).or_default(),
            };
            count.current = count.current.saturating_add_signed(i64::from(entry.3));
            count.changes += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_written_as_the_layout_says() {
        let t = TransactionId::of("01a2030405060708090a0b0c").unwrap();
        let w = vec![
            vec![Entry("Patient/a".into(), 1, Letter::C, 1), Entry("Group/b".into(), 2, Letter::U, 0)],
            vec![Entry("Patient/c".into(), 3, Letter::D, -1)],
        ];
        let record = Record::commit(&t, 5, 7, w).at("default", 0x2001);
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(
            json,
            json!({
                "id": "0000000000002001", "tn": "default", "ty": "$log", "rid": "2", "kind": "commit",
                "t": "01a2030405060708090a0b0c", "lu": 5, "q": 7, "e": 8, "x": ["Group", "Patient"],
                "w": [[["Patient/a", 1, "C", 1], ["Group/b", 2, "U", 0]], [["Patient/c", 3, "D", -1]]]
            })
        );
        let back: Record = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!((back.slot().unwrap(), back.w), (0x2001, record.w.clone()));
        let mut counts = Counts::from([("Patient".to_owned(), Count { current: 3, changes: 9 })]);
        record.count(&mut counts);
        assert_eq!(counts["Patient"], Count { current: 3, changes: 11 });
        assert_eq!(counts["Group"], Count { current: 0, changes: 1 });
    }
}
