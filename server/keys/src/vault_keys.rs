//! Sets of keys in a Key Vault. Each key is sealed under 32 random bytes of its own, and these are wrapped by an RSA key that
//! never leaves the vault (RSA-OAEP-256). What is kept is a version of the secret `vesta-NAME`.
//!
//! The text of a version: `1`, the key's id, the version of the wrapping key, the wrapped bytes, the sealed key; the last
//! two in base64url, all with a full stop between. Versions count by their time of creation, disabled ones do not count.

use azure_core::base64;

use crate::{Answer, KeyError, KeyId, KeyMaterial, KeyProvider, KeySet, Vault, seal};

/// Sets of keys in a Key Vault.
#[derive(Debug)]
pub struct VaultKeys {
    vault: Vault,
    wrapping: String,
}

impl VaultKeys {
    /// The sets in a vault, wrapped by its RSA key `wrapping` (of 2048 bits or more).
    pub fn new(vault: Vault, wrapping: &str) -> VaultKeys {
        VaultKeys { vault, wrapping: wrapping.to_owned() }
    }

    async fn read(&self, set: &KeySet) -> Result<Vec<KeyMaterial>, KeyError> {
        let name = name(set);
        let mut keys = Vec::new();
        for found in self.vault.versions(&name).await? {
            let text = self.vault.secret(&name, Some(&found.version)).await?;
            keys.push((found.created, self.unwrap(set, &text, &found.version).await?));
        }
        keys.sort_by_key(|(created, key)| (*created, key.id));
        Ok(keys.into_iter().map(|(_, key)| key).collect())
    }

    async fn unwrap(&self, set: &KeySet, text: &str, version: &str) -> Result<KeyMaterial, KeyError> {
        let bad = || KeyError::Unwrap {
            set: set.as_str().to_owned(),
            why: format!("version {version} of the secret {}", name(set)),
        };
        let parts: Vec<&str> = text.split('.').collect();
        let ["1", id, wrapping, wrapped, sealed] = parts.as_slice() else { return Err(bad()) };
        let id = KeyId::parse(id).ok_or_else(bad)?;
        let wrapped = base64::decode_url_safe(wrapped).map_err(|_| bad())?;
        let sealed = base64::decode_url_safe(sealed).map_err(|_| bad())?;
        let under = self.vault.unwrap(&self.wrapping, wrapping, &wrapped).await?;
        let under = KeyMaterial::kept(id, under);
        let secret = seal::open(under.secret(), &place(set, id), &sealed).map_err(|_| bad())?;
        Ok(KeyMaterial::kept(id, secret))
    }

    async fn write(&self, set: &KeySet, key: &KeyMaterial) -> Result<(), KeyError> {
        let under = KeyMaterial::random()?;
        let sealed = seal::seal(under.secret(), &place(set, key.id), key.secret())?;
        let (version, wrapped) = self.vault.wrap(&self.wrapping, under.secret()).await?;
        let text = format!(
            "1.{}.{version}.{}.{}",
            key.id,
            base64::encode_url_safe(wrapped),
            base64::encode_url_safe(sealed)
        );
        Ok(self.vault.set(&name(set), &text).await?)
    }
}

impl KeyProvider for VaultKeys {
    fn load<'a>(&'a self, set: &'a KeySet) -> Answer<'a, Vec<KeyMaterial>> {
        Box::pin(self.read(set))
    }

    fn add<'a>(&'a self, set: &'a KeySet, key: &'a KeyMaterial) -> Answer<'a, ()> {
        Box::pin(self.write(set, key))
    }
}

fn name(set: &KeySet) -> String {
    format!("vesta-{}", set.as_str())
}

fn place(set: &KeySet, id: KeyId) -> String {
    format!("{}/{id}", set.as_str())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::DataKeys;
    use crate::fake_vault::FakeVault;

    const URL: &str = "https://acme.vault.azure.net";

    fn keys(vault: &FakeVault) -> Arc<VaultKeys> {
        let vault = Vault::with(URL, &vault.credential(), vault.client()).unwrap();
        Arc::new(VaultKeys::new(vault, "kek"))
    }

    #[tokio::test]
    async fn data_keys_are_kept_in_the_vault_and_survive_both_rotations() {
        let fake = FakeVault::new(URL);
        let data = DataKeys::open(keys(&fake), "acme").await.unwrap();
        let (old, sealed) = data.seal("p", b"body").unwrap();
        fake.rotate_wrapping_key();
        let new = data.rotate().await.unwrap();
        let again = DataKeys::open(keys(&fake), "acme").await.unwrap();
        assert_eq!(again.current().unwrap(), new);
        assert_eq!(again.unseal(old, "p", &sealed).await.unwrap(), b"body");
        let texts = fake.texts("vesta-data-acme");
        assert_eq!(texts.len(), 2);
        assert!(texts.first().unwrap().starts_with(&format!("1.{old}.k1.")), "{texts:?}");
        assert!(texts.last().unwrap().starts_with(&format!("1.{new}.k2.")), "{texts:?}");
    }

    #[tokio::test]
    async fn what_is_kept_of_one_tenant_does_not_open_for_another() {
        let fake = FakeVault::new(URL);
        DataKeys::open(keys(&fake), "acme").await.unwrap();
        fake.put("vesta-data-other", fake.texts("vesta-data-acme").first().unwrap());
        let error = DataKeys::open(keys(&fake), "other").await.unwrap_err().to_string();
        assert_eq!(
            error,
            "a key of the set `data-other` cannot be unwrapped (version v1 of the secret vesta-data-other): the wrapping key is another one, or what is kept is damaged"
        );
        fake.put("vesta-data-third", "hunter2");
        let error = DataKeys::open(keys(&fake), "third").await.unwrap_err().to_string();
        assert_eq!(
            error,
            "a key of the set `data-third` cannot be unwrapped (version v1 of the secret vesta-data-third): the wrapping key is another one, or what is kept is damaged"
        );
    }
}
