//! The database `meta`: what the engine must know of itself. Reads and writes its entries; decides nothing.
//!
//! | key | value |
//! |---|---|
//! | format | u32 BE, [`FORMAT`] |
//! | state | next ordinal u32 BE, sequence u64 BE, last commit's time i64 BE |
//! | secret | 32 random bytes |
//! | fingerprint | u64 BE, of the indexer whose entries the index holds; absent while it is rebuilt |
//! | own | JSON: the tenant's own parameters that the index has, those it is brought to, and how far; see `own` |
//! | erased/TYPE | u64 BE: how many versions of the type were erased; absent for none |
//! | rebuilding | fingerprint u64 BE, next ordinal u32 BE; there while the index is rebuilt |

use heed::{RoTxn, RwTxn};

use super::records::Table;
use crate::{StoreError, Timestamp};

/// The format this version writes and opens.
pub(crate) const FORMAT: u32 = 1;

/// What the names of counts of erased versions begin with.
const ERASED: &str = "erased/";

/// Where commits stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// The ordinal of the next new resource.
    pub next_ordinal: u32,
    /// The last commit's sequence number; 0 before the first.
    pub sequence: u64,
    /// The last commit's time.
    pub last_updated: Timestamp,
}

/// How far a rebuild of the index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rebuilding {
    /// Of the indexer it is rebuilt with.
    pub fingerprint: u64,
    /// The first ordinal that is not done.
    pub next: u32,
}

/// The database.
#[derive(Clone, Copy)]
pub(crate) struct Meta(pub Table);

impl Meta {
    /// The format of the store; `None` if it is new.
    pub(crate) fn format(&self, txn: &RoTxn<'_>) -> Result<Option<u32>, StoreError> {
        Ok(self.fixed(txn, "format")?.map(u32::from_be_bytes))
    }

    /// Writes what a new store begins with.
    pub(crate) fn begin(
        &self,
        txn: &mut RwTxn<'_>,
        fingerprint: u64,
        secret: &[u8; 32],
    ) -> Result<(), StoreError> {
        self.put(txn, "format", &FORMAT.to_be_bytes())?;
        self.put(txn, "secret", secret)?;
        self.set_fingerprint(txn, fingerprint)?;
        self.set_state(txn, State { next_ordinal: 0, sequence: 0, last_updated: Timestamp(0) })
    }

    /// The secret.
    pub(crate) fn secret(&self, txn: &RoTxn<'_>) -> Result<[u8; 32], StoreError> {
        self.fixed(txn, "secret")?.ok_or_else(|| missing("secret"))
    }

    /// Where commits stand.
    pub(crate) fn state(&self, txn: &RoTxn<'_>) -> Result<State, StoreError> {
        let bytes: [u8; 20] = self.fixed(txn, "state")?.ok_or_else(|| missing("state"))?;
        let [a, b, c, d, rest @ ..] = bytes;
        let (sequence, last_updated) = halves(rest);
        Ok(State {
            next_ordinal: u32::from_be_bytes([a, b, c, d]),
            sequence,
            last_updated: Timestamp(last_updated),
        })
    }

    /// Writes where commits stand.
    pub(crate) fn set_state(&self, txn: &mut RwTxn<'_>, state: State) -> Result<(), StoreError> {
        let mut bytes = Vec::with_capacity(20);
        bytes.extend_from_slice(&state.next_ordinal.to_be_bytes());
        bytes.extend_from_slice(&state.sequence.to_be_bytes());
        bytes.extend_from_slice(&state.last_updated.0.to_be_bytes());
        self.put(txn, "state", &bytes)
    }

    /// The fingerprint of the whole index; `None` while it is rebuilt.
    pub(crate) fn fingerprint(&self, txn: &RoTxn<'_>) -> Result<Option<u64>, StoreError> {
        Ok(self.fixed(txn, "fingerprint")?.map(u64::from_be_bytes))
    }

    /// Marks the index as whole.
    pub(crate) fn set_fingerprint(&self, txn: &mut RwTxn<'_>, fingerprint: u64) -> Result<(), StoreError> {
        self.0.delete(txn, b"rebuilding")?;
        self.put(txn, "fingerprint", &fingerprint.to_be_bytes())
    }

    /// How far a rebuild is, if one was begun.
    pub(crate) fn rebuilding(&self, txn: &RoTxn<'_>) -> Result<Option<Rebuilding>, StoreError> {
        let bytes: Option<[u8; 12]> = self.fixed(txn, "rebuilding")?;
        Ok(bytes.map(|[a, b, c, d, e, f, g, h, i, j, k, l]| Rebuilding {
            fingerprint: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            next: u32::from_be_bytes([i, j, k, l]),
        }))
    }

    /// Marks the index as being rebuilt.
    pub(crate) fn set_rebuilding(&self, txn: &mut RwTxn<'_>, mark: Rebuilding) -> Result<(), StoreError> {
        let mut bytes = Vec::with_capacity(12);
        bytes.extend_from_slice(&mark.fingerprint.to_be_bytes());
        bytes.extend_from_slice(&mark.next.to_be_bytes());
        self.0.delete(txn, b"fingerprint")?;
        self.put(txn, "rebuilding", &bytes)
    }

    /// What is known of the tenant's own parameters.
    pub(crate) fn own<'t>(&self, txn: &'t RoTxn<'_>) -> Result<Option<&'t [u8]>, StoreError> {
        Ok(self.0.get(txn, b"own")?)
    }

    /// Writes what is known of the tenant's own parameters.
    pub(crate) fn set_own(&self, txn: &mut RwTxn<'_>, text: &[u8]) -> Result<(), StoreError> {
        self.put(txn, "own", text)
    }

    /// Says that the index has nothing of the tenant's own parameters.
    pub(crate) fn forget_own(&self, txn: &mut RwTxn<'_>) -> Result<(), StoreError> {
        self.0.delete(txn, b"own")?;
        Ok(())
    }

    /// How many versions were erased, of a type or of all.
    pub(crate) fn erased(&self, txn: &RoTxn<'_>, resource_type: Option<&str>) -> Result<u64, StoreError> {
        if let Some(name) = resource_type {
            return Ok(self.fixed(txn, &format!("{ERASED}{name}"))?.map_or(0, u64::from_be_bytes));
        }
        let mut all = 0;
        for item in self.0.prefix_iter(txn, ERASED.as_bytes())? {
            let wrong = |_| StoreError::Damaged("a meta entry has a wrong length".to_owned());
            all += u64::from_be_bytes(item?.1.try_into().map_err(wrong)?);
        }
        Ok(all)
    }

    /// Says that so many more versions of a type were erased.
    pub(crate) fn add_erased(
        &self,
        txn: &mut RwTxn<'_>,
        resource_type: &str,
        more: u64,
    ) -> Result<(), StoreError> {
        let all = self.erased(txn, Some(resource_type))? + more;
        self.put(txn, &format!("{ERASED}{resource_type}"), &all.to_be_bytes())
    }

    fn put(&self, txn: &mut RwTxn<'_>, name: &str, value: &[u8]) -> Result<(), StoreError> {
        Ok(self.0.put(txn, name.as_bytes(), value)?)
    }

    fn fixed<const N: usize>(&self, txn: &RoTxn<'_>, name: &str) -> Result<Option<[u8; N]>, StoreError> {
        let Some(bytes) = self.0.get(txn, name.as_bytes())? else { return Ok(None) };
        let wrong = |_| StoreError::Damaged(format!("meta entry {name} has a wrong length"));
        bytes.try_into().map(Some).map_err(wrong)
    }
}

fn missing(name: &str) -> StoreError {
    StoreError::Damaged(format!("meta entry {name} is missing"))
}

fn halves(bytes: [u8; 16]) -> (u64, i64) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]), i64::from_be_bytes([i, j, k, l, m, n, o, p]))
}
