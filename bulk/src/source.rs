//! What an export reads from: resources of one type at a time, as they were at the snapshot.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{ExportError, Request};

/// The resources of a type that an export is about.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// What was asked.
    pub request: &'a Request,
    /// Of each resource the version that was current then: milliseconds since 1970.
    pub snapshot_ms: i64,
    /// The type.
    pub resource_type: &'a str,
    /// Ids of the patients whose compartments are asked for; `None` is all patients, and at system level means nothing.
    pub patients: Option<&'a [String]>,
    /// Of these patients, those that a page is about; resources that are also of one before them were given with that one.
    pub part: Range<usize>,
}

/// Some resources, each canonical JSON on one line, cut down to what `_elements` asks.
#[derive(Debug, Default)]
pub struct Page {
    /// They.
    pub resources: Vec<Bytes>,
    /// Where the next page starts, if there is more: bytes of the source.
    pub next: Option<Vec<u8>>,
}

/// Some ids of one type.
#[derive(Debug, Default)]
pub struct Ids {
    /// They.
    pub ids: Vec<String>,
    /// Where the next ones start, if there are more.
    pub next: Option<Vec<u8>>,
}

/// A record with versions, by the rights of whoever asked for the export.
#[async_trait]
pub trait Source: Send + Sync {
    /// Current resources that were not changed since the snapshot, always in the same order.
    ///
    /// # Errors
    /// The store failed.
    async fn page(&self, wanted: &Wanted<'_>, after: Option<&[u8]>) -> Result<Page, ExportError>;

    /// Ids of the resources of a type that were there at the snapshot and have been changed or deleted since; one may come twice.
    ///
    /// # Errors
    /// The store failed.
    async fn changed(&self, wanted: &Wanted<'_>, after: Option<&[u8]>) -> Result<Ids, ExportError>;

    /// Of these resources, those that are wanted, as they were at the snapshot.
    ///
    /// # Errors
    /// The store failed.
    async fn at_snapshot(&self, wanted: &Wanted<'_>, ids: &[String]) -> Result<Vec<Bytes>, ExportError>;

    /// Of these resources, which others refer to, those that are in no patient's compartment, as they were at the snapshot.
    ///
    /// # Errors
    /// The store failed.
    async fn referred(&self, wanted: &Wanted<'_>, ids: &[String]) -> Result<Vec<Bytes>, ExportError>;

    /// Ids of the resources that would be wanted, had they not been deleted since the request's `_since` and until the snapshot.
    ///
    /// # Errors
    /// The store failed.
    async fn deleted(&self, wanted: &Wanted<'_>, after: Option<&[u8]>) -> Result<Ids, ExportError>;

    /// What the elements of some types are: a table with a line for each (CSV).
    ///
    /// # Errors
    /// The store failed.
    async fn dictionary(&self, types: &[String]) -> Result<Bytes, ExportError>;

    /// The type and id of the resource of this server that a literal reference points to.
    fn local(&self, reference: &str) -> Option<(String, String)>;
}
