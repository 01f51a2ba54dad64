//! The next record of a chain.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use smart::jwt::{SignError, Signer};

use crate::checkpoint::Checkpoint;
use crate::event::Event;
use crate::link::{self, EXTENSION, Hash, Place};
use crate::resource;

/// Holds the place of the time that the commit writes.
const STAMP: &str = "1970-01-01T00:00:00.000Z";

/// An AuditEvent to be stored as its version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Its JSON, with `meta.versionId` 1 and a `meta.lastUpdated` of 24 characters.
    pub body: Vec<u8>,
    /// Byte offset of the text of `meta.lastUpdated` in `body`.
    pub stamp: usize,
}

/// Where a chain stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The next record.
    pub next: Place,
    /// The hash of the last one.
    pub previous: Hash,
}

/// What a signed record vouches for besides itself.
pub(crate) struct Signing<'s> {
    pub signer: &'s dyn Signer,
    pub tenant: &'s str,
    pub heads: &'s BTreeMap<String, (u64, Hash)>,
}

/// A record cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("{0}")]
    Sign(#[from] SignError),
    #[error("an event nests too deeply to be hashed")]
    Depth,
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

impl Chain {
    /// A new one.
    pub(crate) fn new(name: String) -> Chain {
        Chain { next: Place { chain: name, sequence: 0 }, previous: Hash::ZERO }
    }

    /// The record of an event, signed if `signing` says by whom; the chain then stands behind it.
    ///
    /// # Errors
    /// It cannot be signed.
    pub(crate) fn record(
        &mut self,
        event: &Event,
        signing: Option<&Signing<'_>>,
    ) -> Result<(Record, Option<String>), RecordError> {
        let id = self.next.id();
        let profile = resource::profile(event);
        let parts = link::hashed_parts(&self.next, self.previous);
        let mut members = Map::new();
        members.insert("resourceType".into(), "AuditEvent".into());
        members.insert("id".into(), id.as_str().into());
        members.insert("meta".into(), profile.map_or_else(|| json!({}), |url| json!({ "profile": [url] })));
        members.insert("extension".into(), json!([{ "url": EXTENSION, "extension": parts }]));
        members.extend(resource::members(event));
        let mut record = Value::Object(members);
        let hash = Hash::of(self.previous, &record).ok_or(RecordError::Depth)?;
        let checkpoint = signing
            .map(|by| Checkpoint::new(by.tenant, &self.next, hash, by.heads).sign(by.signer))
            .transpose()?;
        finish(&mut record, hash, checkpoint.as_deref());
        let body = serde_json::to_vec(&record)?;
        // Nothing before it is from outside.
        let stamp = body.windows(STAMP.len()).position(|window| window == STAMP.as_bytes());
        let stamp = stamp.unwrap_or_default();
        self.next.sequence += 1;
        self.previous = hash;
        Ok((Record { id, body, stamp }, checkpoint))
    }
}

/// Adds what is not hashed.
fn finish(record: &mut Value, hash: Hash, checkpoint: Option<&str>) {
    if let Some(meta) = record.get_mut("meta") {
        let profile = meta.get("profile").cloned();
        *meta = json!({ "versionId": "1", "lastUpdated": STAMP });
        if let (Some(profile), Some(members)) = (profile, meta.as_object_mut()) {
            members.insert("profile".into(), profile);
        }
    }
    let parts = record.pointer_mut("/extension/0/extension").and_then(Value::as_array_mut);
    if let Some(parts) = parts {
        parts.push(json!({ "url": "hash", "valueString": hash.to_string() }));
        parts.extend(checkpoint.map(|text| json!({ "url": "checkpoint", "valueString": text })));
    }
}
