//! What the authorization server stands on besides its storage: traits that the server implements.

use std::sync::Arc;

use async_trait::async_trait;

use crate::event::Events;
use crate::fetch::Fetch;
use crate::jwt::Signer;
use crate::password::Passwords;
use crate::record::{Policy, SessionUser};
use crate::storage::{Storage, StorageError};

/// The time.
pub trait Clock: Send + Sync {
    /// Seconds of the Unix epoch.
    fn now_s(&self) -> i64;
}

/// Something that a user chooses from a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The id of a Patient or an Encounter.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// What tells it from others of that name: date of birth, period.
    pub detail: String,
}

/// What the records say of people, and which scopes they can be held to.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Patients that the user may see under a policy, of whose name or identifier the text is part (all of them if it is empty); at most
    /// `limit`. For a Patient that is the user, for a RelatedPerson those they are related to.
    ///
    /// # Errors
    /// The store failed.
    async fn patients(
        &self,
        user: &SessionUser,
        policy: Option<&Policy>,
        text: &str,
        limit: usize,
    ) -> Result<Vec<Choice>, StorageError>;

    /// The patient of that id, if the user may see it.
    ///
    /// # Errors
    /// The store failed.
    async fn patient(
        &self,
        user: &SessionUser,
        policy: Option<&Policy>,
        id: &str,
    ) -> Result<Option<Choice>, StorageError>;

    /// Encounters of a patient, the latest first; at most `limit`.
    ///
    /// # Errors
    /// The store failed.
    async fn encounters(
        &self,
        user: &SessionUser,
        policy: Option<&Policy>,
        patient: &str,
        limit: usize,
    ) -> Result<Vec<Choice>, StorageError>;

    /// Whether a resource type is one that is served.
    fn knows_type(&self, resource_type: &str) -> bool;

    /// Whether a query string is one of search parameters of the type that can be held to.
    fn knows_filter(&self, resource_type: &str, query: &str) -> bool;
}

/// A job of the server: an export or an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What cancels it.
    pub id: String,
    /// What was asked for, as a URL.
    pub url: String,
    /// Who asked.
    pub owner: String,
    /// Whether it waits or runs.
    pub is_active: bool,
    /// How far it is, or how it ended.
    pub state: String,
    /// When it was begun, in seconds of the Unix epoch.
    pub begun_s: i64,
}

/// The jobs of the server.
pub trait Jobs: Send + Sync {
    /// All of them, the latest first.
    ///
    /// # Errors
    /// They cannot be read.
    fn all(&self) -> Result<Vec<Job>, StorageError>;

    /// Cancels one, or forgets one that ended, with its files. Whether there was one.
    ///
    /// # Errors
    /// Its files cannot be removed.
    fn cancel(&self, id: &str) -> Result<bool, StorageError>;
}

/// All of them.
#[derive(Clone)]
pub struct Services {
    /// Records.
    pub storage: Arc<dyn Storage>,
    /// People and types.
    pub directory: Arc<dyn Directory>,
    /// Exports and imports.
    pub jobs: Arc<dyn Jobs>,
    /// Keys for id_tokens: RS256, as SMART asks.
    pub signer: Arc<dyn Signer>,
    /// The same for clients that ask for ES256.
    pub es256: Arc<dyn Signer>,
    /// Keys of clients.
    pub fetch: Arc<dyn Fetch>,
    /// Where passwords are hashed.
    pub passwords: Arc<dyn Passwords>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The audit log.
    pub events: Arc<dyn Events>,
}
