//! Where the authorization server of a tenant keeps its records: in the record's own store, under a tenant of their own that no host
//! and no path can name, so that they are as durable, conditional and backed up as everything else, and out of reach of every
//! FHIR interaction.
//!
//! Each record is one resource: a `Basic` whose id is the SHA-256 of table and key, with the record in one extension. What it is
//! found by is what the definitions index of a `Basic`: its groups are identifiers (hashed, in the table's system), the day that
//! it expires is `created`.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use interaction::Service;
use search::{Handling, ParseContext};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use smart::{Condition, Put, Record, Storage, StorageError, Table};
use store::{Access, Batch, CommitError, Entries, Indexer as _, Key, Method, Query, Tenant, Version, Write};

/// The end of the names of reserved tenants.
pub const RESERVED: &str = "--smart";
/// How often a write looks again when others changed what it found.
const ATTEMPTS: usize = 64;
/// The most records of a group.
const MAX_GROUP: usize = 10_000;
/// Records that one search gives.
const PAGE: usize = 500;
/// Holds the place of the time that the commit writes.
const STAMP: &str = "1970-01-01T00:00:00.000Z";
const TYPE: &str = "Basic";

/// The tenant under which the records of a tenant's authorization server are kept; `None` if its name would be too long.
pub fn reserved(tenant: &Tenant) -> Option<Tenant> {
    Tenant::new(&format!("{}{RESERVED}", tenant.as_str()))
}

/// The records of one tenant.
pub struct Records {
    service: Service,
    /// `None` where the tenant's name leaves no room; then nothing is kept, and nobody gets in.
    tenant: Option<Tenant>,
    access: Access,
    revocations: AtomicU64,
}

/// A record, as the extension holds it.
#[derive(Serialize, Deserialize)]
struct Kept {
    table: String,
    key: String,
    value: String,
    groups: Vec<String>,
    expires_s: Option<i64>,
}

#[derive(Deserialize)]
struct Body {
    extension: Vec<Extension>,
}

#[derive(Deserialize)]
struct Extension {
    #[serde(rename = "valueString")]
    value: String,
}

impl Records {
    pub(super) fn new(service: &Service, tenant: &Tenant) -> Records {
        Records {
            service: service.clone(),
            tenant: reserved(tenant),
            access: Access::unrestricted(),
            revocations: AtomicU64::new(0),
        }
    }

    /// Counts what may have taken the worth of a token away: what was known of tokens before is to be looked up again.
    pub(super) fn revocations(&self) -> u64 {
        self.revocations.load(Ordering::Acquire)
    }

    fn tenant(&self) -> Result<&Tenant, StorageError> {
        let refused = || StorageError(format!("the tenant's name leaves no room for {RESERVED}"));
        self.tenant.as_ref().ok_or_else(refused)
    }

    async fn current(&self, key: &Key) -> Result<Option<Version>, StorageError> {
        self.service.store.read(self.tenant()?, &self.access, key).await.map_err(failed)
    }

    /// Whether it was written; not, if another was quicker.
    async fn commit(&self, writes: Vec<Write>) -> Result<bool, StorageError> {
        let batch = Batch { preconditions: Vec::new(), writes };
        match self.service.store.commit(self.tenant()?, &self.access, batch).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict { .. } | CommitError::Precondition { .. }) => Ok(false),
            Err(error @ (CommitError::Forbidden { .. } | CommitError::Store(_))) => Err(failed(error)),
        }
    }

    /// What was known of tokens may not hold any more.
    fn changed(&self) {
        self.revocations.fetch_add(1, Ordering::Release);
    }

    fn put_of(&self, kept: &Kept, key: Key, previous: u64) -> Result<Write, StorageError> {
        let (body, stamp) = body(kept, &key, previous + 1)?;
        let mut entries = Entries::new();
        self.service.index.entries(TYPE, &body, &mut entries).map_err(|error| StorageError(error.0))?;
        Ok(Write::Put { key, previous, method: Method::Put, body, stamp, entries })
    }

    /// All that a search finds, at most `limit`.
    async fn found(
        &self,
        name: &str,
        value: String,
        limit: usize,
    ) -> Result<Vec<(Version, Kept)>, StorageError> {
        let mut query = self.query(name, value)?;
        let mut found = Vec::new();
        loop {
            let page =
                self.service.store.search(self.tenant()?, &self.access, &query).await.map_err(failed)?;
            for version in page.matches {
                let kept = kept(&version)?;
                found.push((version, kept));
            }
            match page.next {
                Some(next) if found.len() < limit => query.after = Some(next),
                _ => return Ok(found),
            }
        }
    }

    fn query(&self, name: &str, value: String) -> Result<Query, StorageError> {
        let context = ParseContext {
            index: &self.service.index,
            handling: Handling::Strict,
            now: 0,
            default_count: PAGE,
            max_count: PAGE,
            terminology: None,
        };
        let parameters = [(name.to_owned(), value)];
        let parsed = search::parse(&context, Some(TYPE), None, &parameters);
        parsed.map(|request| request.query).map_err(|issues| {
            let text = issues.first().map(|issue| issue.details.clone()).unwrap_or_default();
            StorageError(text)
        })
    }

    /// Removes records that expired before the day of `today` (`2026-11-22`), at most `limit`. How many there were.
    pub(super) async fn forget(&self, today: &str, limit: usize) -> Result<usize, StorageError> {
        let found = self.found("created", format!("lt{today}"), limit).await?;
        let mut forgotten = 0;
        for (version, _) in found {
            let write = Write::Delete { key: version.key, previous: version.version };
            // What another wrote meanwhile is not what was found. Nothing that counted is taken: no revocation.
            forgotten += usize::from(self.commit(vec![write]).await?);
        }
        Ok(forgotten)
    }
}

#[async_trait]
impl Storage for Records {
    async fn get(&self, table: Table, key: &str) -> Result<Option<(Record, u64)>, StorageError> {
        match self.current(&place(table, key)).await? {
            Some(version) if !version.is_deleted() => Ok(Some((kept(&version)?.record(), version.version))),
            _ => Ok(None),
        }
    }

    async fn put(&self, puts: Vec<Put>) -> Result<bool, StorageError> {
        let is_heeded = puts.iter().any(|put| is_heeded(put.table));
        let kept = puts.into_iter().map(|put| {
            let (place, condition) = (place(put.table, &put.key), put.condition);
            Ok((place, condition, Kept::of(put.table, &put.key, put.record)?))
        });
        let kept = kept.collect::<Result<Vec<_>, StorageError>>()?;
        for _ in 0..ATTEMPTS {
            let mut writes = Vec::with_capacity(kept.len());
            for (place, condition, kept) in &kept {
                let current = self.current(place).await?;
                let there = current.as_ref().filter(|version| !version.is_deleted());
                let holds = match *condition {
                    Condition::Always => true,
                    Condition::Absent => there.is_none(),
                    Condition::Version(version) => there.is_some_and(|found| found.version == version),
                };
                if !holds {
                    return Ok(false);
                }
                let previous = current.map_or(0, |version| version.version);
                writes.push(self.put_of(kept, place.clone(), previous)?);
            }
            if self.commit(writes).await? {
                if is_heeded {
                    self.changed();
                }
                return Ok(true);
            }
        }
        Err(contended())
    }

    async fn take(&self, table: Table, key: &str) -> Result<Option<Record>, StorageError> {
        let place = place(table, key);
        for _ in 0..ATTEMPTS {
            let Some(version) = self.current(&place).await?.filter(|version| !version.is_deleted()) else {
                return Ok(None);
            };
            let write = Write::Delete { key: place.clone(), previous: version.version };
            if self.commit(vec![write]).await? {
                if is_heeded(table) || matches!(table, Table::AccessToken | Table::Grant) {
                    self.changed();
                }
                return Ok(Some(kept(&version)?.record()));
            }
        }
        Err(contended())
    }

    async fn group(&self, table: Table, group: &str) -> Result<Vec<(String, Record)>, StorageError> {
        let value = format!("{}|{}", system(table), hashed(group));
        let found = self.found("identifier", value, MAX_GROUP).await?;
        Ok(found.into_iter().map(|(_, kept)| (kept.key.clone(), kept.record())).collect())
    }
}

impl Kept {
    fn of(table: Table, key: &str, record: Record) -> Result<Kept, StorageError> {
        let value =
            String::from_utf8(record.value).map_err(|_| StorageError("a record is no text".to_owned()))?;
        let Record { groups, expires_s, .. } = record;
        Ok(Kept { table: name(table).to_owned(), key: key.to_owned(), value, groups, expires_s })
    }

    fn record(self) -> Record {
        Record { value: self.value.into_bytes(), groups: self.groups, expires_s: self.expires_s }
    }
}

/// Whether what tokens are worth stands on the records of a table, whichever way they change. A grant or a token that is written
/// again is worth no less than before.
fn is_heeded(table: Table) -> bool {
    matches!(table, Table::Client | Table::User | Table::Policy)
}

fn failed(error: impl std::fmt::Display) -> StorageError {
    StorageError(error.to_string())
}

fn contended() -> StorageError {
    StorageError("others kept changing the same record".to_owned())
}

/// The name of a table; part of what is stored, so it never changes.
fn name(table: Table) -> &'static str {
    match table {
        Table::Client => "client",
        Table::User => "user",
        Table::Session => "session",
        Table::Pending => "pending",
        Table::Code => "code",
        Table::Grant => "grant",
        Table::AccessToken => "access-token",
        Table::RefreshToken => "refresh-token",
        Table::Launch => "launch",
        Table::Used => "used",
        Table::Failures => "failures",
        Table::SigningIn => "signing-in",
        Table::Policy => "policy",
    }
}

fn system(table: Table) -> String {
    format!("urn:vesta:{}", name(table))
}

fn hashed(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn place(table: Table, key: &str) -> Key {
    Key::new(TYPE, &hashed(&format!("{}\n{key}", name(table))))
}

/// The resource of a record, and where in it the commit writes its time.
fn body(kept: &Kept, key: &Key, version: u64) -> Result<(Vec<u8>, usize), StorageError> {
    let envelope = serde_json::to_string(kept).map_err(failed)?;
    let value = serde_json::Value::String(envelope);
    let mut body = format!(
        r#"{{"resourceType":"{TYPE}","id":"{}","meta":{{"versionId":"{version}","lastUpdated":""#,
        key.id()
    );
    let stamp = body.len();
    body.push_str(STAMP);
    body.push_str(&format!(r#""}},"extension":[{{"url":"urn:vesta:record","valueString":{value}}}]"#));
    let system = format!("urn:vesta:{}", kept.table);
    for (at, group) in kept.groups.iter().enumerate() {
        body.push_str(if at == 0 { r#","identifier":["# } else { "," });
        body.push_str(&format!(r#"{{"system":"{system}","value":"{}"}}"#, hashed(group)));
    }
    if !kept.groups.is_empty() {
        body.push(']');
    }
    body.push_str(&format!(r#","code":{{"coding":[{{"system":"urn:vesta","code":"{}"}}]}}"#, kept.table));
    if let Some(day) = kept.expires_s.and_then(day) {
        body.push_str(&format!(r#","created":"{day}""#));
    }
    body.push('}');
    Ok((body.into_bytes(), stamp))
}

/// The day of a time in UTC, `2026-11-22`.
pub(super) fn day(seconds: i64) -> Option<String> {
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}

fn kept(version: &Version) -> Result<Kept, StorageError> {
    let unreadable = |error: serde_json::Error| {
        StorageError(format!("{} of the authorization server cannot be read: {error}", version.key.as_str()))
    };
    let body: Body = serde_json::from_slice(&version.body).map_err(unreadable)?;
    let text = body.extension.first().map(|extension| extension.value.as_str()).unwrap_or_default();
    serde_json::from_str(text).map_err(unreadable)
}
