//! Why keys cannot be had or used.

use crate::{KeyId, VaultError};

/// A key cannot be had, or does not do what is asked of it. Holds no key and no text that was encrypted.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A set without the key that something was encrypted with.
    #[error(
        "key {id} is not in the set `{set}`: it was removed or disabled, or the set is another's; what was encrypted with it cannot be read without it"
    )]
    Missing {
        /// Which set.
        set: String,
        /// Which key.
        id: KeyId,
    },
    /// Bytes that the key did not encrypt for this place.
    #[error("what is at `{place}` was not encrypted for that place with this key")]
    NotSealed {
        /// Where the bytes were found.
        place: String,
    },
    /// A key that is kept is not as it was written, or was wrapped by another key.
    #[error(
        "a key of the set `{set}` cannot be unwrapped ({why}): the wrapping key is another one, or what is kept is damaged"
    )]
    Unwrap {
        /// Which set.
        set: String,
        /// Where exactly.
        why: String,
    },
    /// The wrapping key is not one.
    #[error("the wrapping key must be 64 hexadecimal digits (`openssl rand -hex 32` makes them)")]
    WrappingKey,
    /// A name that no set can have.
    #[error("`{0}` cannot name a set of keys: use 1 to 100 of a-z, 0-9 and -")]
    SetName(String),
    /// The file of a set cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The Key Vault cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The cryptographic library refused.
    #[error("the cryptographic library failed to {0}")]
    Crypto(&'static str),
}
