//! Which tenants' bodies are encrypted, and where large ones go.

use std::collections::BTreeMap;
use std::sync::Arc;

use keys::{DataKeys, KeyError, KeyProvider};

use super::{BlobContainer, Codec};
use crate::{StoreError, Tenant};

/// How the bodies of all tenants are kept.
#[derive(Debug, Clone, Default)]
pub struct Bodies {
    /// Of tenants that have no entry below.
    pub shared: BodyOptions,
    /// Of tenants with keys or a Blob container of their own (tier T3).
    pub tenants: BTreeMap<Tenant, BodyOptions>,
}

/// How the bodies of a tenant are kept.
#[derive(Debug, Clone, Default)]
pub struct BodyOptions {
    /// Where those go that do not fit a document; without it they are refused ([`StoreError::TooLarge`]).
    pub blobs: Option<BlobContainer>,
    /// What keeps the tenant's data keys; without it bodies are not encrypted by this server. Index fields never are.
    pub keys: Option<Arc<dyn KeyProvider>>,
}

impl Bodies {
    /// The codec of a tenant. The first one of a tenant with keys makes its first data key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the keys cannot be had.
    pub async fn codec(&self, tenant: &Tenant) -> Result<Codec, StoreError> {
        let options = self.tenants.get(tenant).unwrap_or(&self.shared);
        let unavailable = |error: KeyError| {
            StoreError::Unavailable(format!("the data keys of tenant {}: {error}", tenant.as_str()))
        };
        let keys = match &options.keys {
            Some(provider) => {
                Some(DataKeys::open(Arc::clone(provider), tenant.as_str()).await.map_err(unavailable)?)
            }
            None => None,
        };
        Ok(Codec::of(tenant, keys, options.blobs.clone()))
    }
}
