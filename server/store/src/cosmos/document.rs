//! The documents of the container, as they are written. See [`super::layout`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A version of a resource: the current one (`id` is `c`), or a superseded one (`v` and its number).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Document {
    /// `c`, or `v12`.
    pub id: String,
    /// Tenant: the first level of the partition key.
    pub tn: String,
    /// Type: the second level.
    pub ty: String,
    /// The resource's id: the third level.
    pub rid: String,
    /// Its number.
    pub v: u64,
    /// How it came: `POST`, `PUT`, `PATCH`, `DELETE`.
    pub m: String,
    /// When it was committed, ms since 1970.
    pub lu: i64,
    /// The commit and the place in it: 24 hex digits of the transaction, 5 of the write.
    pub o: String,
    /// `o` of the resource's first version: the order in which resources came to be.
    pub b: String,
    /// The transaction that superseded it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
    /// When it was superseded, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub te: Option<i64>,
    /// 1 while a search may find it: not a deletion, and current or superseded a short time ago.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub l: Option<u8>,
    /// Index: see `terms`.
    #[serde(flatten)]
    pub index: IndexFields,
    /// The body, as `codec` wrote it; absent for a deletion.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub z: Option<String>,
    /// How the body is written; absent for plain text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub e: Option<String>,
}

/// What a document is found by; see `terms`. All empty on a deletion, and when a superseded version is stripped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct IndexFields {
    /// Terms: tokens, references, uris, presence, beginnings of texts.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub x: Vec<String>,
    /// Spans by parameter.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub r: BTreeMap<String, serde_json::Value>,
    /// Folded texts by parameter.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub s: BTreeMap<String, String>,
    /// Sort keys by parameter.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub k: BTreeMap<String, serde_json::Value>,
}
