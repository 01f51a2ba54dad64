#![allow(clippy::expect_used, clippy::panic, reason = "what fails here fails the test")]
//! Opens an empty store on each engine, so that one suite runs on all of them. For tests only.

mod cosmos;

use std::sync::Arc;

pub use cosmos::CosmosPlace;
use store::{EmbeddedOptions, Indexer, Store, Tenant};

/// What a store runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// LMDB in a directory of its own.
    Embedded,
    /// Cosmos DB: a [`CosmosPlace`] of its own.
    Cosmos,
}

/// An open store, and what it stands on.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Goes away with this value.
    _place: Place,
}

/// Kept until the store is no longer needed.
enum Place {
    Directory { _kept: tempfile::TempDir },
    Cosmos { _kept: Box<CosmosPlace> },
}

impl Engine {
    /// Opens an empty store.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn open(self, indexer: Arc<dyn Indexer>) -> Opened {
        self.open_for(indexer, &[]).await
    }

    /// Opens an empty store with more tenants, which share what can be shared.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn open_for(self, indexer: Arc<dyn Indexer>, tenants: &[Tenant]) -> Opened {
        match self {
            Engine::Embedded => {
                let directory = tempfile::tempdir().expect("a directory");
                let options = EmbeddedOptions { directory: directory.path().to_owned() };
                let store = Store::open_embedded(&options, indexer, &|_, _| {}).expect("a store");
                Opened { store, _place: Place::Directory { _kept: directory } }
            }
            Engine::Cosmos => {
                let mut place = Box::new(CosmosPlace::new().await);
                let home = place.options.default.clone();
                place.options.tenants.extend(tenants.iter().map(|tenant| (tenant.clone(), home.clone())));
                Opened { store: place.open(indexer).await, _place: Place::Cosmos { _kept: place } }
            }
        }
    }
}
