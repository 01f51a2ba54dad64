//! The content hash of a tenant: a number for all versions it ever had. Depends on no engine, and not on how a journal is cut
//! into blocks; the same history gives the same hash.
//!
//! It is that of the last commit. A commit's is the SHA-256 of: the one of the commit before (zeros before the first), its
//! sequence number (u64 BE), its time (i64 BE, milliseconds), how many versions it wrote (u64 BE), and of each the length of
//! its key (u64 BE), its key, its number (u64 BE), its method (u8: 1 POST, 2 PUT, 3 PATCH, 4 DELETE) and the SHA-256 of its body.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::{Commit, Store, StoreError, Tenant, Timestamp};

use crate::journal;

/// What a tenant held after some commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The commit's sequence number; 0 before the first.
    pub sequence: u64,
    /// Its time, milliseconds since 1970.
    pub last_updated_ms: i64,
    /// How many versions there are up to it.
    pub versions: u64,
    /// The content hash.
    #[serde(with = "hex")]
    pub hash: [u8; 32],
}

/// Bytes of commits asked of a store at a time.
pub(crate) const READ_BYTES: usize = 4 << 20;

impl Content {
    /// Of a tenant without commits.
    pub const NONE: Content = Content { sequence: 0, last_updated_ms: 0, versions: 0, hash: [0; 32] };

    /// Goes on to the next commit.
    pub fn push(&mut self, commit: &Commit) {
        let number = |n: usize| (n as u64).to_be_bytes();
        let mut hash = Sha256::new().chain_update(self.hash).chain_update(commit.sequence.to_be_bytes());
        hash.update(commit.last_updated.0.to_be_bytes());
        hash.update(number(commit.versions.len()));
        for version in &commit.versions {
            hash.update(number(version.key.as_str().len()));
            hash.update(version.key.as_str());
            hash.update(version.version.to_be_bytes());
            hash.update([journal::method_code(version.method)]);
            hash.update(Sha256::digest(&version.body));
        }
        self.sequence = commit.sequence;
        self.last_updated_ms = commit.last_updated.0;
        self.versions += commit.versions.len() as u64;
        self.hash = hash.finalize().into();
    }

    /// The commit's time.
    pub fn last_updated(&self) -> Timestamp {
        Timestamp(self.last_updated_ms)
    }

    /// The content hash, as 64 hexadecimal digits.
    pub fn hash_text(&self) -> String {
        hex::text(&self.hash)
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Content { sequence, versions, .. } = self;
        write!(f, "{versions} versions in {sequence} commits, content hash {}", self.hash_text())
    }
}

/// What a tenant holds up to a commit; up to its last for `u64::MAX`. Reads all of it.
///
/// # Errors
/// The store failed.
pub async fn content(store: &Store, tenant: &Tenant, until: u64) -> Result<Content, StoreError> {
    let mut content = Content::NONE;
    go_on(store, tenant, &mut content, until, |_| ()).await?;
    Ok(content)
}

/// How far a tenant is ahead of an archive of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// What the tenant held at the archive's last commit.
    pub content: Content,
    /// How many commits it has after that.
    pub commits: u64,
    /// The time of the first of them, milliseconds since 1970.
    pub since_ms: Option<i64>,
}

/// How far a tenant is ahead of an archive whose last commit is `sequence`. Reads all of it.
///
/// # Errors
/// The store failed.
pub async fn lag(store: &Store, tenant: &Tenant, sequence: u64) -> Result<Lag, StoreError> {
    let mut lag = Lag { content: content(store, tenant, sequence).await?, commits: 0, since_ms: None };
    let mut later = lag.content;
    go_on(store, tenant, &mut later, u64::MAX, |commit| {
        lag.commits += 1;
        lag.since_ms.get_or_insert(commit.last_updated.0);
    })
    .await?;
    Ok(lag)
}

/// Goes on with a tenant's commits after `content` up to `until`; shows each to `visit`.
pub(crate) async fn go_on(
    store: &Store,
    tenant: &Tenant,
    content: &mut Content,
    until: u64,
    mut visit: impl FnMut(&Commit),
) -> Result<(), StoreError> {
    while content.sequence < until {
        let commits = store.commits(tenant, content.sequence, READ_BYTES).await?;
        if commits.is_empty() {
            break;
        }
        for commit in commits.iter().filter(|commit| commit.sequence <= until) {
            content.push(commit);
            visit(commit);
        }
    }
    Ok(())
}

/// Hashes in JSON: 64 hexadecimal digits.
pub(crate) mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn text(bytes: &[u8; 32]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        read(&text).ok_or_else(|| D::Error::custom("a hash has 64 hexadecimal digits"))
    }

    fn read(text: &str) -> Option<[u8; 32]> {
        let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
        let digits = digits?;
        let bytes = digits.chunks(2).map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        });
        bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
    }
}
