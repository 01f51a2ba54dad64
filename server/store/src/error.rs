//! Why a store call fails.

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the environment failed.
    #[error("storage failed: {0}")]
    Storage(String),
    /// There is no room for a write; what was acknowledged is there, and reads go on.
    #[error("there is no room to write: {0}")]
    Full(String),
    /// What is stored is not what was written.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// Another process has the store open.
    #[error("{0} is in use by another process")]
    InUse(std::path::PathBuf),
    /// The store was written by a version whose format this one cannot open.
    #[error("the store has format {found}; this version opens format {known}")]
    Format {
        /// Found in the store.
        found: u32,
        /// Known here.
        known: u32,
    },
    /// A query would touch more than the engine allows.
    #[error("{0}")]
    TooCostly(String),
    /// A search by a parameter of the tenant that the index does not have for all resources.
    #[error("the index has {done} of {total} resources by {}", parameter.as_deref().unwrap_or("a parameter that is no more"))]
    NotIndexed {
        /// `Patient.eye-colour`; none if it is not wanted any more.
        parameter: Option<Box<str>>,
        /// How many places of resources are done.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// Search parameters of a tenant that give no entries.
    #[error("{0}")]
    Parameters(String),
    /// The store asks for fewer requests; nothing was done.
    #[error("the store is throttled; try again after {} ms", after.as_millis())]
    Throttled {
        /// When to try again.
        after: std::time::Duration,
    },
    /// The store cannot be reached, or refuses this server; nothing was done.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The store did not say whether a write happened; it may have.
    #[error("the store did not say whether the write happened: {0}")]
    Unsettled(String),
    /// A resource is larger than the store takes.
    #[error("{key} has {bytes} bytes; the store takes {most}")]
    TooLarge {
        /// Which resource, `Type/id`.
        key: Box<str>,
        /// Its size, stored.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// A tenant that is not in the table of tenants.
    #[error("there is no tenant {0}")]
    NoTenant(Box<str>),
    /// The tenant is being moved; it can be written again when the move is done.
    #[error("tenant {0} is being moved")]
    Moving(Box<str>),
    /// Commits of a journal that do not follow the tenant's last one.
    #[error("the tenant's last commit is {last}; commit {given} does not follow it")]
    NotNext {
        /// The tenant's last commit; 0 if it has none.
        last: u64,
        /// The commit given.
        given: u64,
    },
    /// The index of texts is not yet as far as the search must see.
    #[error("the index of texts is being built: {indexed} of {resources} resources")]
    TextBehind {
        /// Resources that it has.
        indexed: u64,
        /// Resources that it will have.
        resources: u64,
    },
    /// A cursor is not one of this engine's for this query.
    #[error("the cursor does not belong to this query")]
    Cursor,
}

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A write's `previous` is not the current version.
    #[error("write {write}: version {found} is current")]
    Conflict {
        /// Which write of the batch.
        write: usize,
        /// The version that is current.
        found: u64,
    },
    /// The access decision does not permit a write: of the resource as it is, or as it would be.
    #[error("write {write} is not permitted")]
    Forbidden {
        /// Which write of the batch.
        write: usize,
    },
    /// A precondition does not hold.
    #[error("precondition {precondition} does not hold")]
    Precondition {
        /// Which precondition of the batch.
        precondition: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<heed::Error> for StoreError {
    fn from(error: heed::Error) -> Self {
        match error {
            heed::Error::Decoding(_) => StoreError::Damaged(error.to_string()),
            heed::Error::Mdb(heed::MdbError::MapFull) => {
                StoreError::Full("the store's file has its greatest size".into())
            }
            heed::Error::Io(error) => error.into(),
            _ => StoreError::Storage(error.to_string()),
        }
    }
}

impl From<text::TextError> for StoreError {
    fn from(error: text::TextError) -> Self {
        match error {
            text::TextError::Broad(_) | text::TextError::TooMany(_) => {
                StoreError::TooCostly(error.to_string())
            }
            text::TextError::Unreadable(..) => StoreError::Damaged(error.to_string()),
            text::TextError::Index(_) => StoreError::Storage(error.to_string()),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge => StoreError::Full(error.to_string()),
            _ => StoreError::Storage(error.to_string()),
        }
    }
}
