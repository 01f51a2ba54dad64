//! The documents of resources, as they are written, and to and from versions. See [`super::layout`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::transaction::TransactionId;
use crate::{Key, Method, StoreError};

/// The id of the current version's document.
pub(super) const CURRENT: &str = "c";

/// The id of a superseded version's document.
pub(super) fn superseded(version: u64) -> String {
    format!("v{version}")
}

/// The one index term of an erased version, to count them by; no other begins so.
pub(super) const ERASED: &str = "!erased";

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
    /// 1 once the transactions it names are known to be committed: then when it was written says nothing of them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub d: Option<u8>,
    /// 1 if its body was erased.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub g: Option<u8>,
    /// 1 while a search may find it: not a deletion, and current or superseded a short time ago.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub l: Option<u8>,
    /// Index: see `terms`.
    #[serde(flatten)]
    pub index: IndexFields,
    /// The body, as `codec` wrote it; absent for a deletion, and where it was erased.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub z: Option<String>,
    /// How the body is written; absent for plain text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub e: Option<String>,
    /// When the service wrote the document, seconds since 1970 by its clock. The service sets it.
    #[serde(rename = "_ts", skip_serializing, default)]
    pub ts: Option<i64>,
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
}

/// The transactions that a document names: what decides whether a snapshot sees it. A query that wants to know
/// selects [`Mark::FIELDS`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Its own transaction, with the place in it.
    pub o: String,
    /// The one that superseded it.
    #[serde(default)]
    pub to: Option<String>,
    /// 1 once both are known to be committed.
    #[serde(default)]
    pub d: Option<u8>,
    /// When the service wrote the document, seconds.
    #[serde(rename = "_ts", default)]
    pub ts: Option<i64>,
}

impl Mark {
    /// What a query selects to read a mark.
    pub(super) const FIELDS: &str = "c.o, c.to, c.d, c._ts";
}

impl Document {
    /// The resource.
    pub(super) fn key(&self) -> Key {
        Key::new(&self.ty, &self.rid)
    }

    /// The transactions it names.
    pub(super) fn mark(&self) -> Mark {
        Mark { o: self.o.clone(), to: self.to.clone(), d: self.d, ts: self.ts }
    }

    /// The transaction that wrote it.
    pub(super) fn transaction(&self) -> Result<TransactionId, StoreError> {
        TransactionId::of(&self.o).ok_or_else(|| damaged(self, "its transaction cannot be read"))
    }

    /// How it came.
    pub(super) fn method(&self) -> Result<Method, StoreError> {
        Ok(match self.m.as_str() {
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            _ => return Err(damaged(self, "its method is unknown")),
        })
    }

    /// Whether it has no content: it is a deletion, or was erased.
    pub(super) fn is_deleted(&self) -> bool {
        self.m == "DELETE" || self.is_erased()
    }

    /// Whether its content was erased.
    pub(super) fn is_erased(&self) -> bool {
        self.g == Some(1)
    }

    /// The same version as it stands beside the one that supersedes it.
    pub(super) fn superseded_by(&self, transaction: &TransactionId, at_ms: i64) -> Document {
        Document {
            id: superseded(self.v),
            to: Some(transaction.as_str().to_owned()),
            te: Some(at_ms),
            d: None,
            ..self.clone()
        }
    }

    /// The same version, current again: what [`Document::superseded_by`] was made of.
    pub(super) fn restored(&self) -> Document {
        Document { id: CURRENT.to_owned(), to: None, te: None, d: Some(1), ..self.clone() }
    }

    /// The same superseded version without content.
    pub(super) fn erased(&self) -> Document {
        let index = IndexFields { x: vec![ERASED.to_owned()], ..IndexFields::default() };
        Document { g: Some(1), z: None, e: None, index, ..self.stripped() }
    }

    /// The same superseded version, no longer to be found by a search.
    pub(super) fn stripped(&self) -> Document {
        Document { l: None, index: IndexFields::default(), d: Some(1), ..self.clone() }
    }
}

/// The method as a document writes it.
pub(super) fn method_name(method: Method) -> &'static str {
    match method {
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

fn damaged(document: &Document, what: &str) -> StoreError {
    StoreError::Damaged(format!("{}/{} version {}: {what}", document.ty, document.rid, document.v))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> serde_json::Value {
        json!({
            "id": "c", "tn": "default", "ty": "Patient", "rid": "a", "v": 2, "m": "PUT", "lu": 1_795_313_433_123_i64,
            "o": "01a2030405060708090a0b0c00003", "b": "01a2030405060708090a0b0c00000", "l": 1,
            "x": ["gender=male"], "r": {"birthdate": [1, 2]},
            "z": "{}", "_ts": 1_795_313_433, "_etag": "\"1\"", "_rid": "x", "_self": "y"
        })
    }

    #[test]
    fn documents_come_back_as_they_were_written() {
        let mut sample = sample();
        let document: Document = serde_json::from_str(&sample.to_string()).unwrap();
        assert_eq!((document.v, document.lu, document.ts), (2, 1_795_313_433_123, Some(1_795_313_433)));
        let object = sample.as_object_mut().unwrap();
        object.retain(|name, _| !name.starts_with('_'));
        assert_eq!(serde_json::to_value(&document).unwrap(), sample);
    }

    #[test]
    fn a_version_is_superseded_and_restored() {
        let document: Document = serde_json::from_value(sample()).unwrap();
        let by = TransactionId::of(&"0b".repeat(12)).unwrap();
        let older = document.superseded_by(&by, 7);
        assert_eq!((older.id.as_str(), older.te, older.l), ("v2", Some(7), Some(1)));
        assert_eq!(older.to.as_deref(), Some(by.as_str()));
        let restored = older.restored();
        let expected = Document { d: Some(1), ..document.clone() };
        assert_eq!(serde_json::to_value(&restored).unwrap(), serde_json::to_value(&expected).unwrap());
        let stripped = older.stripped();
        assert_eq!((stripped.l, stripped.index, stripped.z), (None, IndexFields::default(), document.z));
        let erased = older.erased();
        assert!(erased.is_deleted() && !older.is_deleted());
        assert_eq!((erased.l, erased.z, erased.e, erased.v, erased.te), (None, None, None, 2, Some(7)));
    }
}
