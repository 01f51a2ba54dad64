//! The keys that a tenant's stored bytes are encrypted with: new bytes with the current one, old bytes stay readable with
//! theirs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::{KeyError, KeyId, KeyMaterial, KeyProvider, KeySet, seal};

/// The data keys of one tenant. Cheap to clone; clones share.
#[derive(Clone)]
pub struct DataKeys {
    inner: Arc<Inner>,
}

struct Inner {
    set: KeySet,
    provider: Arc<dyn KeyProvider>,
    /// The oldest first, never empty.
    keys: RwLock<Arc<[KeyMaterial]>>,
}

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKeys({})", self.inner.set.as_str())
    }
}

impl DataKeys {
    /// The keys of a tenant; makes the first one where there is none.
    ///
    /// # Errors
    /// The provider cannot be used.
    pub async fn open(provider: Arc<dyn KeyProvider>, tenant: &str) -> Result<DataKeys, KeyError> {
        let set = KeySet::data(tenant)?;
        let mut keys = provider.load(&set).await?;
        if keys.is_empty() {
            provider.add(&set, &KeyMaterial::random()?).await?;
            // Read again: another process may have made one at the same time, and both are used.
            keys = provider.load(&set).await?;
        }
        Ok(DataKeys { inner: Arc::new(Inner { set, provider, keys: RwLock::new(keys.into()) }) })
    }

    /// The key that new bytes are encrypted with.
    ///
    /// # Errors
    /// [`KeyError::Crypto`]: there is none, which [`DataKeys::open`] does not leave.
    pub fn current(&self) -> Result<KeyId, KeyError> {
        self.keys().last().map(|key| key.id).ok_or(KeyError::Crypto("find a current key"))
    }

    /// Encrypts for a place with the current key, and says which that is.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<(KeyId, Vec<u8>), KeyError> {
        let keys = self.keys();
        let key = keys.last().ok_or(KeyError::Crypto("find a current key"))?;
        Ok((key.id, seal::seal(key.secret(), place, plain)?))
    }

    /// Decrypts what was sealed for a place with key `id`. A key that is not known here yet is asked for once.
    ///
    /// # Errors
    /// [`KeyError::Missing`] or [`KeyError::NotSealed`], or the provider cannot be used.
    pub async fn unseal(&self, id: KeyId, place: &str, sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
        if !self.keys().iter().any(|key| key.id == id) {
            self.refresh().await?;
        }
        let keys = self.keys();
        match keys.iter().find(|key| key.id == id) {
            Some(key) => seal::open(key.secret(), place, sealed),
            None => Err(KeyError::Missing { set: self.inner.set.as_str().to_owned(), id }),
        }
    }

    /// Makes a new current key. What older ones encrypted stays readable.
    ///
    /// # Errors
    /// The provider cannot be used.
    pub async fn rotate(&self) -> Result<KeyId, KeyError> {
        let key = KeyMaterial::random()?;
        self.inner.provider.add(&self.inner.set, &key).await?;
        self.refresh().await?;
        Ok(key.id)
    }

    /// Takes over keys that other processes made.
    ///
    /// # Errors
    /// The provider cannot be used; the keys known before stay.
    pub async fn refresh(&self) -> Result<(), KeyError> {
        let keys = self.inner.provider.load(&self.inner.set).await?;
        *self.inner.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
        Ok(())
    }

    fn keys(&self) -> Arc<[KeyMaterial]> {
        Arc::clone(&self.inner.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileKeys, new_wrapping_key};

    fn provider(directory: &tempfile::TempDir) -> Arc<dyn KeyProvider> {
        let wrapping = directory.path().join("wrapping");
        if !wrapping.exists() {
            std::fs::write(&wrapping, new_wrapping_key().unwrap()).unwrap();
        }
        let text = std::fs::read_to_string(&wrapping).unwrap();
        Arc::new(FileKeys::open(directory.path(), &text).unwrap())
    }

    #[tokio::test]
    async fn rotation_leaves_old_bytes_readable_in_every_process() {
        let directory = tempfile::tempdir().unwrap();
        let one = DataKeys::open(provider(&directory), "acme").await.unwrap();
        let two = DataKeys::open(provider(&directory), "acme").await.unwrap();
        let (old, before) = one.seal("p", b"before").unwrap();
        assert_eq!(two.current().unwrap(), old);
        let new = one.rotate().await.unwrap();
        let (id, after) = one.seal("p", b"after").unwrap();
        assert!(id == new && new != old);
        assert_eq!(one.unseal(old, "p", &before).await.unwrap(), b"before");
        // The other process learns the key when it meets it.
        assert_eq!(two.unseal(new, "p", &after).await.unwrap(), b"after");
        assert_eq!(two.current().unwrap(), new);
    }

    #[tokio::test]
    async fn a_lost_key_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let keys = DataKeys::open(provider(&directory), "acme").await.unwrap();
        let (id, sealed) = keys.seal("p", b"body").unwrap();
        std::fs::remove_file(directory.path().join("data-acme.keys")).unwrap();
        let again = DataKeys::open(provider(&directory), "acme").await.unwrap();
        let error = again.unseal(id, "p", &sealed).await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "key {id} is not in the set `data-acme`: it was removed or disabled, or the set is another's; what was encrypted with it cannot be read without it"
            )
        );
    }

    #[tokio::test]
    async fn another_tenants_key_does_not_open() {
        let directory = tempfile::tempdir().unwrap();
        let acme = DataKeys::open(provider(&directory), "acme").await.unwrap();
        let other = DataKeys::open(provider(&directory), "other").await.unwrap();
        let (id, sealed) = acme.seal("p", b"body").unwrap();
        assert!(matches!(other.unseal(id, "p", &sealed).await, Err(KeyError::Missing { .. })));
    }
}
