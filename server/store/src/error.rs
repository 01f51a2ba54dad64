//! Why a store call fails.

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the environment failed.
    #[error("storage failed: {0}")]
    Storage(String),
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
            _ => StoreError::Storage(error.to_string()),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        StoreError::Storage(error.to_string())
    }
}
