//! What GraphQL asks of its caller: resources, by reference and by search, and changes. Rights, index and store stay the
//! caller's, which answers as its own read and search would.

use std::sync::Arc;

use async_trait::async_trait;
use fhirpath::{Issue, Tree};
use serde_json::Value;

/// A search for resources of one type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Search {
    /// `Condition`.
    pub resource_type: String,
    /// Names and values as a URL's query has them, decoded: `clinical-status`, `active,recurrence`.
    pub parameters: Vec<(String, String)>,
    /// The page to go on from, as an earlier [`Page`] named it; then there are no parameters.
    pub cursor: Option<String>,
}

/// A page of a search.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// What was found, in order.
    pub matches: Vec<Match>,
    /// How many matches there are on all pages, when it is known.
    pub total: Option<u64>,
    /// How many matches come before this page, when it is known.
    pub offset: Option<u64>,
    /// The most matches of a page.
    pub page_size: u64,
    /// Names of other pages, for [`Search::cursor`].
    pub first: Option<String>,
    /// The page before.
    pub previous: Option<String>,
    /// The page after; `None` on the last one.
    pub next: Option<String>,
    /// The last page.
    pub last: Option<String>,
}

/// A resource that a search found.
#[derive(Debug, Clone)]
pub struct Match {
    /// The resource.
    pub resource: Arc<Tree>,
    /// `Bundle.entry.search.mode`.
    pub mode: Option<&'static str>,
    /// `Bundle.entry.search.score`.
    pub score: Option<f64>,
}

/// A change, as a mutation asks for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// `PatientCreate(res: ...)`; the resource has its `resourceType`.
    Create {
        /// JSON.
        resource: Value,
    },
    /// `PatientUpdate(id: ..., res: ...)`; the resource has its `resourceType` and that id.
    Update {
        /// The logical id.
        id: String,
        /// JSON.
        resource: Value,
    },
    /// `PatientDelete(id: ...)`
    Delete {
        /// The logical id.
        id: String,
    },
}

/// Where resources come from.
#[async_trait]
pub trait Resources: Send + Sync {
    /// Reads what references point to (`Patient/1`, `Patient/1/_history/2`, a URL), all that one round of a request needs
    /// at once; an answer for each, in order. `None`: it is not there, or the caller may not see it.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn read(&self, references: &[String]) -> Result<Vec<Option<Arc<Tree>>>, Issue>;

    /// Runs searches, all that one round of a request needs at once; a page for each, in order.
    ///
    /// # Errors
    /// What the search refuses: an unknown parameter, a value, a cursor.
    async fn search(&self, searches: &[Search]) -> Result<Vec<Arc<Page>>, Issue>;

    /// Makes a change. The resource as it is stored now; `None` after a delete.
    ///
    /// # Errors
    /// What the interaction refuses, mutations as a whole included.
    async fn change(&self, resource_type: &str, change: Change) -> Result<Option<Arc<Tree>>, Issue>;
}
