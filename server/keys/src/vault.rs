//! One Azure Key Vault: secrets, and keys that wrap keys. <https://learn.microsoft.com/rest/api/keyvault/>

use std::fmt;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, Url};
use azure_security_keyvault_keys::models::{
    EncryptionAlgorithm, KeyClientUnwrapKeyOptions, KeyOperationParameters,
};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions, ResourceExt as _};
use azure_security_keyvault_secrets::models::{SecretClientGetSecretOptions, SetSecretParameters};
use azure_security_keyvault_secrets::{ResourceExt as _, SecretClient, SecretClientOptions};
use futures_util::TryStreamExt as _;

/// A Key Vault did not do what was asked. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Not the address of a secret.
    #[error(
        "`{0}` is no address of a secret in Key Vault: write https://NAME.vault.azure.net/secrets/SECRET"
    )]
    Address(String),
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// The vault does not let this process.
    #[error(
        "{what}: Key Vault refuses ({status}): the identity of this process needs the roles Key Vault Secrets User (to read), Secrets Officer (to keep keys) and Crypto User (to wrap them)"
    )]
    Refused {
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
    },
    /// No answer, or one that cannot be used.
    #[error("{what}: {error}")]
    Failed {
        /// What was asked for.
        what: String,
        /// What the client says.
        error: String,
    },
}

/// One Key Vault.
pub struct Vault {
    url: String,
    secrets: SecretClient,
    keys: KeyClient,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", self.url)
    }
}

/// A version of a secret.
pub(crate) struct SecretVersion {
    /// Its name in the vault.
    pub version: String,
    /// Seconds since 1970.
    pub created: i64,
}

impl Vault {
    /// The vault at `https://NAME.vault.azure.net`. Asks nothing yet.
    ///
    /// # Errors
    /// [`VaultError::Address`].
    pub fn new(url: &str, credential: &Arc<dyn TokenCredential>) -> Result<Vault, VaultError> {
        Vault::with(url, credential, ClientOptions::default())
    }

    pub(crate) fn with(
        url: &str,
        credential: &Arc<dyn TokenCredential>,
        client: ClientOptions,
    ) -> Result<Vault, VaultError> {
        let address = |_| VaultError::Address(url.to_owned());
        if !url.starts_with("https://") {
            return Err(VaultError::Address(url.to_owned()));
        }
        let options =
            SecretClientOptions { client_options: client.clone(), ..SecretClientOptions::default() };
        let secrets = SecretClient::new(url, Arc::clone(credential), Some(options)).map_err(address)?;
        let options = KeyClientOptions { client_options: client, ..KeyClientOptions::default() };
        let keys = KeyClient::new(url, Arc::clone(credential), Some(options)).map_err(address)?;
        Ok(Vault { url: url.to_owned(), secrets, keys })
    }

    /// The secret at `https://NAME.vault.azure.net/secrets/SECRET`, or one version of it with `/VERSION` behind.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn secret_at(url: &str, credential: &Arc<dyn TokenCredential>) -> Result<String, VaultError> {
        Vault::secret_at_with(url, credential, ClientOptions::default()).await
    }

    pub(crate) async fn secret_at_with(
        url: &str,
        credential: &Arc<dyn TokenCredential>,
        client: ClientOptions,
    ) -> Result<String, VaultError> {
        let address = || VaultError::Address(url.to_owned());
        let parsed = Url::parse(url).map_err(|_| address())?;
        let path: Vec<&str> = parsed.path_segments().map(Iterator::collect).unwrap_or_default();
        let (name, version) = match path.as_slice() {
            ["secrets", name] if !name.is_empty() => (*name, None),
            ["secrets", name, version] if !name.is_empty() && !version.is_empty() => (*name, Some(*version)),
            _ => return Err(address()),
        };
        let plain = parsed.query().is_none() && parsed.username().is_empty() && parsed.fragment().is_none();
        if parsed.scheme() != "https" || !plain {
            return Err(address());
        }
        let host = parsed.host_str().ok_or_else(address)?;
        let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
        Vault::with(&format!("https://{host}{port}"), credential, client)?.secret(name, version).await
    }

    /// The text of a secret; the newest version if none is named.
    pub(crate) async fn secret(&self, name: &str, version: Option<&str>) -> Result<String, VaultError> {
        let what = || format!("secret {name} in {}", self.url);
        let options = SecretClientGetSecretOptions {
            secret_version: version.map(str::to_owned),
            ..SecretClientGetSecretOptions::default()
        };
        let failed = |error| fault(what(), &error);
        let response = self.secrets.get_secret(name, Some(options)).await.map_err(failed)?;
        let secret = response.into_model().map_err(failed)?;
        secret.value.ok_or_else(|| VaultError::NotFound(what()))
    }

    /// The enabled versions of a secret, in no order; none if there is no such secret.
    pub(crate) async fn versions(&self, name: &str) -> Result<Vec<SecretVersion>, VaultError> {
        let what = || format!("secret {name} in {}", self.url);
        let failed = |error| fault(what(), &error);
        let mut listed = self.secrets.list_secret_properties_versions(name, None).map_err(failed)?;
        let mut versions = Vec::new();
        loop {
            let properties = match listed.try_next().await {
                Ok(Some(properties)) => properties,
                Ok(None) => return Ok(versions),
                Err(error) => match failed(error) {
                    VaultError::NotFound(_) => return Ok(versions),
                    error => return Err(error),
                },
            };
            let version = properties.resource_id().map_err(failed)?.version;
            let attributes = properties.attributes.unwrap_or_default();
            if let Some(version) = version.filter(|_| attributes.enabled != Some(false)) {
                let created = attributes.created.map_or(0, |time| time.unix_timestamp());
                versions.push(SecretVersion { version, created });
            }
        }
    }

    /// Gives a secret a new version.
    pub(crate) async fn set(&self, name: &str, text: &str) -> Result<(), VaultError> {
        let failed = |error| fault(format!("secret {name} in {}", self.url), &error);
        let parameters = SetSecretParameters {
            value: Some(text.to_owned()),
            content_type: Some("application/vnd.vesta.key".to_owned()),
            ..SetSecretParameters::default()
        };
        let content = parameters.try_into().map_err(failed)?;
        self.secrets.set_secret(name, content, None).await.map_err(failed)?;
        Ok(())
    }

    /// Encrypts up to 190 bytes with the newest version of an RSA key; says which version.
    pub(crate) async fn wrap(&self, key: &str, plain: &[u8]) -> Result<(String, Vec<u8>), VaultError> {
        let what = || format!("key {key} in {}", self.url);
        let failed = |error| fault(what(), &error);
        let content = operation(plain).try_into().map_err(failed)?;
        let response = self.keys.wrap_key(key, content, None).await.map_err(failed)?;
        let result = response.into_model().map_err(failed)?;
        let version = result.resource_id().map_err(failed)?.version;
        match (version, result.result) {
            (Some(version), Some(wrapped)) => Ok((version, wrapped)),
            _ => Err(VaultError::Failed { what: what(), error: "wrapped nothing".to_owned() }),
        }
    }

    /// Decrypts what a version of a key wrapped.
    pub(crate) async fn unwrap(
        &self,
        key: &str,
        version: &str,
        wrapped: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let what = || format!("key {key} version {version} in {}", self.url);
        let failed = |error| fault(what(), &error);
        let content = operation(wrapped).try_into().map_err(failed)?;
        let options = KeyClientUnwrapKeyOptions::default();
        let response = self.keys.unwrap_key(key, version, content, Some(options)).await.map_err(failed)?;
        let result = response.into_model().map_err(failed)?;
        result
            .result
            .ok_or_else(|| VaultError::Failed { what: what(), error: "unwrapped nothing".to_owned() })
    }
}

fn operation(value: &[u8]) -> KeyOperationParameters {
    KeyOperationParameters {
        algorithm: Some(EncryptionAlgorithm::RsaOaep256),
        value: Some(value.to_vec()),
        ..KeyOperationParameters::default()
    }
}

fn fault(what: String, error: &azure_core::Error) -> VaultError {
    match error.http_status().map(u16::from) {
        Some(404) => VaultError::NotFound(what),
        Some(status @ (401 | 403)) => VaultError::Refused { what, status },
        Some(status) => VaultError::Failed { what, error: format!("Key Vault answers {status}") },
        // Not an answer of the vault's: the network, the identity, or a text that is no answer. None holds a secret.
        None => VaultError::Failed { what, error: chain(error) },
    }
}

/// An error with its causes, which the client's own texts leave out.
fn chain(error: &azure_core::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_vault::FakeVault;

    #[tokio::test]
    async fn a_secret_is_read_after_the_challenge() {
        let vault = FakeVault::new("https://acme.vault.azure.net");
        vault.put("db", "old");
        vault.put("db", "s3cret");
        let read = async |url: &str| Vault::secret_at_with(url, &vault.credential(), vault.client()).await;
        assert_eq!(read("https://acme.vault.azure.net/secrets/db").await.unwrap(), "s3cret");
        assert_eq!(read("https://acme.vault.azure.net/secrets/db/v1").await.unwrap(), "old");
        let log = vault.log();
        let asked: Vec<&str> = log.iter().map(String::as_str).collect();
        // Each client is challenged once, and only then says who it is.
        assert_eq!(
            asked,
            [
                "GET /secrets/db/ -> 401",
                "GET /secrets/db/ -> 200",
                "GET /secrets/db/v1 -> 401",
                "GET /secrets/db/v1 -> 200",
            ]
        );
    }

    #[tokio::test]
    async fn what_the_vault_refuses_is_said() {
        let vault = FakeVault::new("https://acme.vault.azure.net");
        vault.put("locked", "s3cret");
        vault.forbid("locked");
        let check = async |url: &str, expected: &str| {
            let error = Vault::secret_at_with(url, &vault.credential(), vault.client()).await.unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(
            "https://acme.vault.azure.net/secrets/none",
            "there is no secret none in https://acme.vault.azure.net",
        )
        .await;
        check(
            "https://acme.vault.azure.net/secrets/locked",
            "secret locked in https://acme.vault.azure.net: Key Vault refuses (403): the identity of this process needs the roles Key Vault Secrets User (to read), Secrets Officer (to keep keys) and Crypto User (to wrap them)",
        )
        .await;
        for url in [
            "",
            "http://acme.vault.azure.net/secrets/db",
            "https://acme.vault.azure.net/secrets/",
            "https://acme.vault.azure.net/keys/db",
            "https://acme.vault.azure.net/secrets/db?x=1",
            "https://acme.vault.azure.net/secrets/db/v1/x",
            "https://me@acme.vault.azure.net/secrets/db",
        ] {
            check(url, &format!("`{url}` is no address of a secret in Key Vault: write https://NAME.vault.azure.net/secrets/SECRET")).await;
        }
    }

    #[tokio::test]
    async fn a_token_is_not_given_to_a_vault_that_asks_for_anothers() {
        let vault = FakeVault::new("https://acme.example.org");
        vault.put("db", "s3cret");
        let url = "https://acme.example.org/secrets/db";
        let error = Vault::secret_at_with(url, &vault.credential(), vault.client()).await.unwrap_err();
        assert!(error.to_string().contains("doesn't match the requested domain"), "{error}");
        assert_eq!(vault.log(), ["GET /secrets/db/ -> 401"]);
    }
}
