//! The keys that tokens are signed with (RFC 7518 section 3): one algorithm for a set, the last key signs, all are published.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RsaKeyPair,
};

use crate::{KeyError, KeyId, KeyMaterial, KeyProvider, KeySet};

const ES256: &EcdsaSigningAlgorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
const ES384: &EcdsaSigningAlgorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;

/// How to sign, by its `alg` of RFC 7518.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// RSASSA-PKCS1-v1_5 with SHA-384, 3072 bits.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 3072 bits.
    Rs256,
}

impl SigningAlgorithm {
    /// `ES256`, `ES384`, `RS384`, `RS256`.
    pub fn name(self) -> &'static str {
        match self {
            SigningAlgorithm::Es256 => "ES256",
            SigningAlgorithm::Es384 => "ES384",
            SigningAlgorithm::Rs384 => "RS384",
            SigningAlgorithm::Rs256 => "RS256",
        }
    }
}

/// What others need to check signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// `kid`.
    pub id: KeyId,
    /// `alg`.
    pub algorithm: SigningAlgorithm,
    /// The parameters of its JWK, as bytes.
    pub parts: PublicParts,
}

/// Parameters of a JWK (RFC 7518 section 6), big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicParts {
    /// `kty` EC, `crv` P-256 for ES256 and P-384 for ES384.
    Ec {
        /// 32 bytes, or 48.
        x: Vec<u8>,
        /// 32 bytes, or 48.
        y: Vec<u8>,
    },
    /// `kty` RSA.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
}

/// The signing keys of one issuer. Cheap to clone; clones share.
#[derive(Clone)]
pub struct SigningKeys {
    inner: Arc<Inner>,
}

struct Inner {
    set: KeySet,
    provider: Arc<dyn KeyProvider>,
    algorithm: SigningAlgorithm,
    /// The oldest first, never empty.
    keys: RwLock<Arc<[Key]>>,
}

struct Key {
    id: KeyId,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({}, {})", self.inner.set.as_str(), self.inner.algorithm.name())
    }
}

impl SigningKeys {
    /// The keys of an issuer for one algorithm; makes the first one where there is none.
    ///
    /// # Errors
    /// The provider cannot be used, or what it keeps are no keys for the algorithm.
    pub async fn open(
        provider: Arc<dyn KeyProvider>,
        issuer: &str,
        algorithm: SigningAlgorithm,
    ) -> Result<SigningKeys, KeyError> {
        let set = KeySet::signing(&format!("{issuer}-{}", algorithm.name().to_ascii_lowercase()))?;
        if provider.load(&set).await?.is_empty() {
            provider.add(&set, &generate(algorithm)?).await?;
        }
        let inner = Inner { set, provider, algorithm, keys: RwLock::new(Arc::new([])) };
        let keys = SigningKeys { inner: Arc::new(inner) };
        keys.refresh().await?;
        Ok(keys)
    }

    /// Signs with the current key, and says which that is.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn sign(&self, message: &[u8]) -> Result<(KeyId, Vec<u8>), KeyError> {
        let keys = self.keys();
        let key = keys.last().ok_or(KeyError::Crypto("find a current key"))?;
        let failed = |_| KeyError::Crypto("sign");
        let random = SystemRandom::new();
        let signature = match &key.pair {
            Pair::Ec(pair) => pair.sign(&random, message).map_err(failed)?.as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let padding = match self.inner.algorithm {
                    SigningAlgorithm::Rs256 => &RSA_PKCS1_SHA256,
                    SigningAlgorithm::Rs384 | SigningAlgorithm::Es384 | SigningAlgorithm::Es256 => {
                        &RSA_PKCS1_SHA384
                    }
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).map_err(failed)?;
                signature
            }
        };
        Ok((key.id, signature))
    }

    /// All keys that a signature may be of, the current one last.
    pub fn published(&self) -> Vec<PublicKey> {
        self.keys()
            .iter()
            .map(|key| PublicKey { id: key.id, algorithm: self.inner.algorithm, parts: parts(&key.pair) })
            .collect()
    }

    /// Makes a new current key. Older ones stay published.
    ///
    /// # Errors
    /// The provider cannot be used.
    pub async fn rotate(&self) -> Result<KeyId, KeyError> {
        let key = generate(self.inner.algorithm)?;
        self.inner.provider.add(&self.inner.set, &key).await?;
        self.refresh().await?;
        Ok(key.id)
    }

    /// Takes over keys that other processes made.
    ///
    /// # Errors
    /// The provider cannot be used; the keys known before stay.
    pub async fn refresh(&self) -> Result<(), KeyError> {
        let kept = self.inner.provider.load(&self.inner.set).await?;
        let read = |key: &KeyMaterial| Ok(Key { id: key.id, pair: self.inner.pair(key)? });
        let keys = kept.iter().map(read).collect::<Result<Vec<Key>, KeyError>>()?;
        *self.inner.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
        Ok(())
    }

    fn keys(&self) -> Arc<[Key]> {
        Arc::clone(&self.inner.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn pair(&self, key: &KeyMaterial) -> Result<Pair, KeyError> {
        let read = match self.algorithm {
            SigningAlgorithm::Es256 => EcdsaKeyPair::from_pkcs8(ES256, key.secret()).map(Pair::Ec),
            SigningAlgorithm::Es384 => EcdsaKeyPair::from_pkcs8(ES384, key.secret()).map(Pair::Ec),
            SigningAlgorithm::Rs384 | SigningAlgorithm::Rs256 => {
                RsaKeyPair::from_pkcs8(key.secret()).map(Pair::Rsa)
            }
        };
        read.map_err(|_| KeyError::Unwrap {
            set: self.set.as_str().to_owned(),
            why: format!("key {} is none for {}", key.id, self.algorithm.name()),
        })
    }
}

fn generate(algorithm: SigningAlgorithm) -> Result<KeyMaterial, KeyError> {
    let failed = KeyError::Crypto("generate a key");
    let curve = |curve| {
        let pair = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new());
        pair.map(|document| document.as_ref().to_vec())
    };
    let pkcs8 = match algorithm {
        SigningAlgorithm::Es256 => curve(ES256),
        SigningAlgorithm::Es384 => curve(ES384),
        SigningAlgorithm::Rs384 | SigningAlgorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa3072)
            .and_then(|pair| AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map(|der| der.as_ref().to_vec())),
    };
    KeyMaterial::new(pkcs8.map_err(|_| failed)?)
}

fn parts(pair: &Pair) -> PublicParts {
    match pair {
        Pair::Ec(pair) => {
            // Uncompressed point: 04, x, y.
            let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
            let (x, y) = point.split_at(point.len() / 2);
            PublicParts::Ec { x: x.to_vec(), y: y.to_vec() }
        }
        Pair::Rsa(pair) => PublicParts::Rsa {
            n: pair.public_key().modulus().big_endian_without_leading_zero().to_vec(),
            e: pair.public_key().exponent().big_endian_without_leading_zero().to_vec(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileKeys, new_wrapping_key};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384, RsaPublicKeyComponents, UnparsedPublicKey,
    };

    fn verifies(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        match &key.parts {
            PublicParts::Ec { x, y } => {
                let point = [&[4][..], x, y].concat();
                let algorithm = match key.algorithm {
                    SigningAlgorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
                    _ => &ECDSA_P384_SHA384_FIXED,
                };
                UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
            }
            PublicParts::Rsa { n, e } => {
                let algorithm = match key.algorithm {
                    SigningAlgorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
                    _ => &RSA_PKCS1_2048_8192_SHA384,
                };
                RsaPublicKeyComponents { n, e }.verify(algorithm, message, signature).is_ok()
            }
        }
    }

    async fn check(algorithm: SigningAlgorithm) {
        let directory = tempfile::tempdir().unwrap();
        let wrapping = new_wrapping_key().unwrap();
        let provider = || Arc::new(FileKeys::open(directory.path(), &wrapping).unwrap());
        let keys = SigningKeys::open(provider(), "main", algorithm).await.unwrap();
        let (first, signature) = keys.sign(b"message").unwrap();
        let second = keys.rotate().await.unwrap();
        assert_ne!(first, second);
        // Another process has the same keys, signs with the new one and still publishes the old one.
        let again = SigningKeys::open(provider(), "main", algorithm).await.unwrap();
        assert_eq!(again.published(), keys.published());
        let published = again.published();
        assert_eq!(published.iter().map(|key| key.id).collect::<Vec<_>>(), [first, second]);
        assert!(verifies(published.first().unwrap(), b"message", &signature), "{algorithm:?}");
        assert!(!verifies(published.first().unwrap(), b"massage", &signature), "{algorithm:?}");
        let (id, signature) = again.sign(b"message").unwrap();
        assert_eq!(id, second);
        assert!(verifies(published.last().unwrap(), b"message", &signature), "{algorithm:?}");
        assert!(!verifies(published.first().unwrap(), b"message", &signature), "{algorithm:?}");
    }

    #[tokio::test]
    async fn signatures_are_checked_with_what_is_published() {
        check(SigningAlgorithm::Es256).await;
        check(SigningAlgorithm::Es384).await;
        check(SigningAlgorithm::Rs384).await;
        check(SigningAlgorithm::Rs256).await;
    }
}
