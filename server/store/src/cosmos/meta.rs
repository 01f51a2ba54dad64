//! What a tenant's container says of the tenant: format, secret, and how far its log is summed up. Reads and writes
//! that one document; decides nothing.

use serde::{Deserialize, Serialize};

use super::container::{Container, Item, Place, Written};
use super::record::Counts;
use super::tail::Sum;
use crate::{StoreError, Tenant};

/// The format this version writes and opens.
const FORMAT: u32 = 1;

/// The type under which it stands; no resource type begins so.
const META: &str = "$meta";

/// The last part of its partition key, and its id there.
const NAME: &str = "meta";

/// The document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Meta {
    id: String,
    tn: String,
    ty: String,
    rid: String,
    format: u32,
    secret: String,
    /// All transactions that began at this time (ms) or before are decided.
    decided: i64,
    /// The sum up to here.
    slot: u64,
    sequence: u64,
    updated: i64,
    counts: Counts,
    /// Whether any version was ever erased.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    erased: bool,
    /// When it was last written, by the clock of the process that wrote it, ms.
    at: i64,
    /// And by the service's, s.
    #[serde(rename = "_ts", skip_serializing, default)]
    ts: i64,
}

impl Meta {
    /// The sum to begin from, and the time up to which all transactions are decided.
    pub(super) fn base(&self) -> (Sum, i64) {
        let sum = Sum {
            slot: self.slot,
            sequence: self.sequence,
            last_updated: self.updated,
            counts: self.counts.clone(),
        };
        (sum, self.decided)
    }

    /// Up to when all transactions are decided, ms.
    pub(super) fn decided(&self) -> i64 {
        self.decided
    }

    /// The same with another base.
    pub(super) fn with_base(&self, sum: &Sum, decided: i64, now_ms: i64) -> Meta {
        Meta {
            decided,
            slot: sum.slot,
            sequence: sum.sequence,
            updated: sum.last_updated,
            counts: sum.counts.clone(),
            at: now_ms,
            ..self.clone()
        }
    }

    /// Whether any version was ever erased.
    pub(super) fn has_erased(&self) -> bool {
        self.erased
    }

    /// The tenant's secret.
    pub(super) fn secret(&self) -> Result<[u8; 32], StoreError> {
        let wrong = || StoreError::Damaged("the tenant's secret cannot be read".to_owned());
        let mut secret = [0; 32];
        if self.secret.len() != 64 {
            return Err(wrong());
        }
        for (number, byte) in secret.iter_mut().enumerate() {
            let hex = self.secret.get(number * 2..number * 2 + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(hex, 16).map_err(|_| wrong())?;
        }
        Ok(secret)
    }

    /// By how much the clock of the process that wrote it was ahead of the service's, ms; less than a second is not told.
    pub(super) fn ahead_ms(&self) -> i64 {
        let (first, last) = (self.ts.saturating_mul(1000), self.ts.saturating_mul(1000).saturating_add(999));
        if self.at < first { self.at - first } else { (self.at - last).max(0) }
    }
}

fn place(tenant: &Tenant) -> Place {
    Place { tenant: tenant.as_str().to_owned(), ty: META.to_owned(), rid: NAME.to_owned() }
}

/// The document as it is.
pub(super) async fn read(container: &Container, tenant: &Tenant) -> Result<Option<Item<Meta>>, StoreError> {
    let item = container.read::<Meta>(&place(tenant), NAME).await?;
    match &item {
        Some(item) if item.document.format != FORMAT => {
            Err(StoreError::Format { found: item.document.format, known: FORMAT })
        }
        _ => Ok(item),
    }
}

/// Writes the document over the one with this etag; whether it was still that one.
pub(super) async fn replace(
    container: &Container,
    tenant: &Tenant,
    meta: &Meta,
    etag: &str,
) -> Result<bool, StoreError> {
    Ok(container.replace(&place(tenant), NAME, meta, etag).await? != Written::No)
}

/// Rounds of changing the document; each is spoilt only by another process that changes it.
const ROUNDS: usize = 16;

/// Says that a version was erased, before the first is.
pub(super) async fn set_erased(container: &Container, tenant: &Tenant) -> Result<(), StoreError> {
    for _ in 0..ROUNDS {
        let Some(Item { document, etag }) = read(container, tenant).await? else { break };
        if document.erased || replace(container, tenant, &Meta { erased: true, ..document }, &etag).await? {
            return Ok(());
        }
    }
    Err(StoreError::Unavailable("the tenant's meta document cannot be written".to_owned()))
}

/// The document, written anew so that it tells both clocks; made if it is missing.
pub(super) async fn open(container: &Container, tenant: &Tenant, now_ms: i64) -> Result<Meta, StoreError> {
    match read(container, tenant).await? {
        Some(Item { document, etag }) => {
            let touched = Meta { at: now_ms, ..document };
            // Another process that opens the tenant at this time may have written it; then it is as new.
            replace(container, tenant, &touched, &etag).await?;
        }
        None => {
            container.create(&place(tenant), NAME, &new(tenant, now_ms)?).await?;
        }
    }
    let item = read(container, tenant).await?;
    item.map(|item| item.document)
        .ok_or_else(|| StoreError::Unavailable("the tenant's meta document is gone".to_owned()))
}

fn new(tenant: &Tenant, now_ms: i64) -> Result<Meta, StoreError> {
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let Place { tenant, ty, rid } = place(tenant);
    Ok(Meta {
        id: NAME.to_owned(),
        tn: tenant,
        ty,
        rid,
        format: FORMAT,
        secret: secret.iter().map(|byte| format!("{byte:02x}")).collect(),
        decided: 0,
        slot: 0,
        sequence: 0,
        updated: 0,
        counts: Counts::new(),
        erased: false,
        at: now_ms,
        ts: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_how_far_clocks_are_apart() {
        let meta = new(&Tenant::default_tenant(), 0).unwrap();
        for (at, ts, ahead) in
            [(5_500, 5, 0), (5_999, 5, 0), (6_999, 5, 1000), (3_000, 5, -2000), (70_000, 5, 64_001)]
        {
            assert_eq!(Meta { at, ts, ..meta.clone() }.ahead_ms(), ahead, "{at} {ts}");
        }
    }

    #[test]
    fn secrets_come_back() {
        let meta = new(&Tenant::default_tenant(), 0).unwrap();
        let secret = meta.secret().unwrap();
        assert_ne!(secret, [0; 32]);
        let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, meta.secret);
        for wrong in ["", "zz", &"é".repeat(32)] {
            let answer = Meta { secret: wrong.to_owned(), ..meta.clone() }.secret();
            assert_eq!(
                answer.unwrap_err().to_string(),
                "stored data is damaged: the tenant's secret cannot be read"
            );
        }
    }
}
