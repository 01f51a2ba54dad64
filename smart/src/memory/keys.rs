//! Keys that are made at start.

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RsaKeyPair,
};

use crate::jwt::{Algorithm, PublicKey, PublicParts, SignError, Signer};

/// A key pair with its id.
pub struct MemoryKey {
    kid: String,
    algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl MemoryKey {
    /// Makes a key; RSA keys have 2048 bits.
    ///
    /// # Errors
    /// The library cannot make one.
    pub fn generate(kid: &str, algorithm: Algorithm) -> Result<MemoryKey, SignError> {
        let failed = |_| SignError::Failed("no key could be made".into());
        let pair = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::Ec).map_err(failed)?
            }
            Algorithm::Es384 => {
                EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Pair::Ec).map_err(failed)?
            }
            Algorithm::Rs256 | Algorithm::Rs384 => {
                RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rsa).map_err(failed)?
            }
        };
        Ok(MemoryKey { kid: kid.to_owned(), algorithm, pair })
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        let parts = match &self.pair {
            Pair::Ec(pair) => {
                // Uncompressed point: 04, x, y.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                let (x, y) = (x.to_vec(), y.to_vec());
                if self.algorithm == Algorithm::Es256 {
                    PublicParts::P256 { x, y }
                } else {
                    PublicParts::P384 { x, y }
                }
            }
            Pair::Rsa(pair) => PublicParts::Rsa {
                n: pair.public_key().modulus().big_endian_without_leading_zero().to_vec(),
                e: pair.public_key().exponent().big_endian_without_leading_zero().to_vec(),
            },
        };
        PublicKey { kid: Some(self.kid.clone()), algorithm: Some(self.algorithm), parts }
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError::Failed("the key does not sign".into());
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let padding =
                    if self.algorithm == Algorithm::Rs384 { &RSA_PKCS1_SHA384 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

impl Signer for MemoryKey {
    fn current(&self) -> (String, Algorithm) {
        (self.kid.clone(), self.algorithm)
    }

    fn sign(&self, kid: &str, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if kid == self.kid { self.signature(message) } else { Err(SignError::Replaced) }
    }

    fn published(&self) -> Vec<PublicKey> {
        vec![self.public()]
    }
}

/// Keys of one issuer: the last one signs, all are published.
pub struct MemorySigner {
    keys: RwLock<Vec<Arc<MemoryKey>>>,
}

impl MemorySigner {
    /// Starts with a key.
    pub fn new(key: MemoryKey) -> MemorySigner {
        MemorySigner { keys: RwLock::new(vec![Arc::new(key)]) }
    }

    /// Makes a key the current one; those before stay published.
    pub fn rotate(&self, key: MemoryKey) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(key));
    }

    fn last(&self) -> Option<Arc<MemoryKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }
}

impl Signer for MemorySigner {
    fn current(&self) -> (String, Algorithm) {
        self.last().map_or_else(|| (String::new(), Algorithm::Rs256), |key| key.current())
    }

    fn sign(&self, kid: &str, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.last().ok_or(SignError::Replaced)?.sign(kid, message)
    }

    fn published(&self) -> Vec<PublicKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).iter().map(|key| key.public()).collect()
    }
}
