//! Where the authorization server keeps what it must not forget: a trait of four methods over small records, which the
//! server implements on its store, one per tenant. Secrets (codes, tokens, sessions) are kept as SHA-256 digests only.

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A kind of record. Keys are unique within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Registered apps, by client id.
    Client,
    /// People who log in, by user name in lower case.
    User,
    /// Browser sessions, by digest.
    Session,
    /// Authorization requests that a browser is in the middle of, by digest.
    Pending,
    /// Authorization codes, by digest.
    Code,
    /// What a user granted to a client, by id.
    Grant,
    /// Access tokens, by digest.
    AccessToken,
    /// Refresh tokens, by digest.
    RefreshToken,
    /// Contexts of EHR launches, by digest.
    Launch,
    /// Assertions and one-time codes that were used, by digest.
    Used,
    /// Failed logins, by user name or address.
    Failures,
    /// Browsers that are at the identity provider, by digest of the state.
    SigningIn,
    /// Access policies, by name.
    Policy,
}

/// What is kept under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// JSON of at most 256 KiB.
    pub value: Vec<u8>,
    /// Names that [`Storage::group`] finds the record by: at most four.
    pub groups: Vec<String>,
    /// When it may be forgotten, in seconds of the Unix epoch; `None` is never. It may still be given afterwards.
    pub expires_s: Option<i64>,
}

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Where.
    pub table: Table,
    /// Under which key.
    pub key: String,
    /// What.
    pub record: Record,
    /// If.
    pub condition: Condition,
}

/// What must hold for a record to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// There is none under the key.
    Absent,
    /// The one under the key has this version.
    Version(u64),
}

/// The store failed, with the reason for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store of the authorization server failed: {0}")]
pub struct StorageError(pub String);

/// Records by table and key. Each method is atomic, and what one has done is seen by all that begin later, in every process:
/// revocation and single use stand on that.
#[async_trait]
pub trait Storage: Send + Sync {
    /// The record under a key, with its version. Versions of one key never repeat.
    ///
    /// # Errors
    /// The store failed.
    async fn get(&self, table: Table, key: &str) -> Result<Option<(Record, u64)>, StorageError>;

    /// Writes records of different keys, all of them or none, durable when it returns; `false` if a condition did not hold,
    /// and nothing was written.
    ///
    /// # Errors
    /// The store failed.
    async fn put(&self, puts: Vec<Put>) -> Result<bool, StorageError>;

    /// Removes the record under a key and gives it: of several that take, one gets it.
    ///
    /// # Errors
    /// The store failed.
    async fn take(&self, table: Table, key: &str) -> Result<Option<Record>, StorageError>;

    /// All records of a table that name the group, with their keys.
    ///
    /// # Errors
    /// The store failed.
    async fn group(&self, table: Table, group: &str) -> Result<Vec<(String, Record)>, StorageError>;
}

/// The group of all records of a table that can be listed.
pub(crate) const EVERYONE: &str = "everyone";

/// A type that is kept in a table of its own.
pub(crate) trait Stored: Serialize + DeserializeOwned + Send + Sync {
    const TABLE: Table;

    fn groups(&self) -> Vec<String> {
        Vec::new()
    }

    fn expires_s(&self) -> Option<i64> {
        None
    }
}

/// Typed access to a storage at one point in time.
#[derive(Clone, Copy)]
pub(crate) struct Records<'s> {
    pub storage: &'s dyn Storage,
    pub now_s: i64,
}

impl Records<'_> {
    /// The record, unless it has expired.
    pub async fn get<T: Stored>(&self, key: &str) -> Result<Option<T>, StorageError> {
        Ok(self.versioned(key).await?.map(|(value, _)| value))
    }

    pub async fn versioned<T: Stored>(&self, key: &str) -> Result<Option<(T, u64)>, StorageError> {
        match self.storage.get(T::TABLE, key).await? {
            Some((record, _)) if self.is_over(&record) => Ok(None),
            Some((record, version)) => Ok(Some((read(&record)?, version))),
            None => Ok(None),
        }
    }

    pub async fn put<T: Stored>(
        &self,
        key: &str,
        value: &T,
        condition: Condition,
    ) -> Result<bool, StorageError> {
        self.storage.put(vec![put(key, value, condition)?]).await
    }

    pub async fn group<T: Stored>(&self, group: &str) -> Result<Vec<(String, T)>, StorageError> {
        let records = self.storage.group(T::TABLE, group).await?;
        records.into_iter().filter(|(_, r)| !self.is_over(r)).map(|(key, r)| Ok((key, read(&r)?))).collect()
    }

    fn is_over(&self, record: &Record) -> bool {
        record.expires_s.is_some_and(|expires_s| expires_s <= self.now_s)
    }
}

/// What writes a value under a key.
pub(crate) fn put<T: Stored>(key: &str, value: &T, condition: Condition) -> Result<Put, StorageError> {
    let bytes = serde_json::to_vec(value).map_err(|error| StorageError(error.to_string()))?;
    let record = Record { value: bytes, groups: value.groups(), expires_s: value.expires_s() };
    Ok(Put { table: T::TABLE, key: key.to_owned(), record, condition })
}

fn read<T: Stored>(record: &Record) -> Result<T, StorageError> {
    serde_json::from_slice(&record.value)
        .map_err(|error| StorageError(format!("a record of {:?} cannot be read: {error}", T::TABLE)))
}
