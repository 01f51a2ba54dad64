//! What must stay secret: where secrets come from, who this process is in Microsoft Entra ID, and the keys that
//! encrypt and sign. Knows no store and no HTTP route; never writes a secret to a log, an error or `Debug`.
//!
//! | module | its one job |
//! |---|---|
//! | `credential` | an Entra ID credential, of a configured text |
//! | `secret` | a secret, of the text that says where it is |
//! | `vault` | one Azure Key Vault |
//! | `seal` | AES-256-GCM with associated data |
//! | `provider` | the trait that keeps sets of keys |
//! | `file` | sets of keys in a directory, wrapped by a key of the caller's |
//! | `vault_keys` | sets of keys in a Key Vault, wrapped by a key that never leaves it |
//! | `data` | the keys that a tenant's stored bytes are encrypted with |
//! | `signing` | the keys that tokens are signed with |

mod credential;
mod data;
mod error;
mod file;
mod provider;
mod seal;
mod secret;
mod signing;
mod vault;
mod vault_keys;

#[cfg(test)]
mod fake_vault;

pub use credential::{CredentialError, entra};
pub use data::DataKeys;
pub use error::KeyError;
pub use file::{FileKeys, new_wrapping_key};
pub use provider::{Answer, KeyId, KeyMaterial, KeyProvider, KeySet};
pub use secret::{SecretError, SecretSource, Watched, read};
pub use signing::{PublicKey, PublicParts, SigningAlgorithm, SigningKeys};
pub use vault::{Vault, VaultError};
pub use vault_keys::VaultKeys;
