//! The trait that keeps sets of keys.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::{KeyError, seal};

/// What a provider answers.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, KeyError>> + Send + 'a>>;

/// Keeps sets of keys, wrapped: whoever sees what is kept learns no key. A set only grows; its last key is the current one, the
/// others are there for what they encrypted or signed.
pub trait KeyProvider: Send + Sync + fmt::Debug {
    /// The keys of a set, the oldest first; none if there is no such set.
    fn load<'a>(&'a self, set: &'a KeySet) -> Answer<'a, Vec<KeyMaterial>>;

    /// Adds a key, from then on the current one. Durable when it returns.
    fn add<'a>(&'a self, set: &'a KeySet, key: &'a KeyMaterial) -> Answer<'a, ()>;
}

/// The name of a set of keys: 1 to 100 of `a-z`, `0-9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeySet(String);

impl KeySet {
    fn new(name: String) -> Result<KeySet, KeyError> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=100).contains(&name.len()) || !name.bytes().all(good) {
            return Err(KeyError::SetName(name));
        }
        Ok(KeySet(name))
    }

    /// The set of a tenant's data keys.
    ///
    /// # Errors
    /// [`KeyError::SetName`].
    pub fn data(tenant: &str) -> Result<KeySet, KeyError> {
        KeySet::new(format!("data-{tenant}"))
    }

    /// The set of the signing keys of an issuer.
    ///
    /// # Errors
    /// [`KeyError::SetName`].
    pub fn signing(issuer: &str) -> Result<KeySet, KeyError> {
        KeySet::new(format!("signing-{issuer}"))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which key of a set: 8 hexadecimal digits, by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u32);

impl KeyId {
    fn random() -> Result<KeyId, KeyError> {
        let mut bytes = [0; 4];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Crypto("draw random bytes"))?;
        Ok(KeyId(u32::from_be_bytes(bytes)))
    }

    /// The id that a text is; `None` for any other text.
    pub fn parse(text: &str) -> Option<KeyId> {
        let digits = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        u32::from_str_radix(text, 16).ok().filter(|_| digits).map(KeyId)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A key and its id.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyMaterial {
    /// Which of its set.
    pub id: KeyId,
    secret: Vec<u8>,
}

impl KeyMaterial {
    /// Of these bytes, with an id by chance.
    pub(crate) fn new(secret: Vec<u8>) -> Result<KeyMaterial, KeyError> {
        Ok(KeyMaterial { id: KeyId::random()?, secret })
    }

    /// 32 random bytes.
    pub(crate) fn random() -> Result<KeyMaterial, KeyError> {
        let mut secret = vec![0; seal::KEY];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| KeyError::Crypto("draw random bytes"))?;
        KeyMaterial::new(secret)
    }

    /// As a provider kept it.
    pub fn kept(id: KeyId, secret: Vec<u8>) -> KeyMaterial {
        KeyMaterial { id, secret }
    }

    /// The key itself.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyMaterial({})", self.id)
    }
}

impl Drop for KeyMaterial {
    fn drop(&mut self) {
        // Best effort without unsafe code: `black_box` keeps the writes from being left out.
        self.secret.fill(0);
        std::hint::black_box(&self.secret);
    }
}
