#![allow(clippy::expect_used)] // test support: what fails here fails the test
//! Opens an empty store on each engine, so that one suite runs on all of them. For tests only.

use std::sync::Arc;

use store::{EmbeddedOptions, Indexer, Store};

/// What a store runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// LMDB in a directory of its own.
    Embedded,
}

/// An open store, and what it stands on.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Goes away with this value.
    _directory: tempfile::TempDir,
}

impl Engine {
    /// Opens an empty store.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn open(self, indexer: Arc<dyn Indexer>) -> Opened {
        match self {
            Engine::Embedded => {
                let directory = tempfile::tempdir().expect("a directory");
                let options = EmbeddedOptions { directory: directory.path().to_owned() };
                let store = Store::open_embedded(&options, indexer, &|_, _| {}).expect("a store");
                Opened { store, _directory: directory }
            }
        }
    }
}
