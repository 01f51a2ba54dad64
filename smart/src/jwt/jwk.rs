//! Sets of public keys (RFC 7517): reading what clients register, within limits, and publishing our own.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Algorithm, base64url, unbase64url};

/// The longest text of a set of keys that is read.
pub const MAX_JWKS_BYTES: usize = 64 * 1024;
/// The most keys that a set may have.
pub const MAX_KEYS: usize = 50;
/// What an RSA key must have at least, in bytes of its modulus: 2048 bits.
const MIN_RSA_BYTES: usize = 256;
/// And at most: 8192 bits, since verifying takes time.
const MAX_RSA_BYTES: usize = 1024;

/// A public key with what it may be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// `kid`; a client's key may have none.
    pub kid: Option<String>,
    /// `alg`; a client's key may have none, and then its kind decides.
    pub algorithm: Option<Algorithm>,
    /// The key.
    pub parts: PublicParts,
}

/// Parameters of a JWK (RFC 7518 section 6), big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicParts {
    /// `kty` EC, `crv` P-256: 32 bytes each.
    P256 {
        /// `x`.
        x: Vec<u8>,
        /// `y`.
        y: Vec<u8>,
    },
    /// `kty` EC, `crv` P-384: 48 bytes each.
    P384 {
        /// `x`.
        x: Vec<u8>,
        /// `y`.
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

/// Why a text is no set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Over [`MAX_JWKS_BYTES`].
    #[error("the key set is longer than {MAX_JWKS_BYTES} bytes")]
    TooLong,
    /// Over [`MAX_KEYS`].
    #[error("the key set has more than {MAX_KEYS} keys")]
    TooMany,
    /// No JSON object with an array `keys`.
    #[error("the key set is no JSON object with 'keys'")]
    Malformed,
    /// No key in it can verify a signature here.
    #[error("the key set has no RSA key of 2048 to 8192 bits and no EC key on P-256 or P-384 for signatures")]
    NoKey,
}

/// The keys of one client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jwks {
    keys: Vec<PublicKey>,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
}

impl Jwks {
    /// Reads a set. Keys of other kinds or for other uses are passed over (RFC 7517 section 5), weak ones too.
    ///
    /// # Errors
    /// Too long, no set of keys, or none left.
    pub fn read(text: &[u8]) -> Result<Jwks, JwksError> {
        if text.len() > MAX_JWKS_BYTES {
            return Err(JwksError::TooLong);
        }
        let set: Set = serde_json::from_slice(text).map_err(|_| JwksError::Malformed)?;
        if set.keys.len() > MAX_KEYS {
            return Err(JwksError::TooMany);
        }
        let keys: Vec<PublicKey> = set.keys.into_iter().filter_map(read_key).collect();
        if keys.is_empty() { Err(JwksError::NoKey) } else { Ok(Jwks { keys }) }
    }

    /// The keys that a signature may be of, by the `kid` and `alg` of its token.
    pub fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter(move |key| {
            (kid.is_none() || key.kid.as_deref() == kid)
                && key.algorithm.is_none_or(|own| own == algorithm)
                && key.parts.fits(algorithm)
        })
    }
}

impl FromIterator<PublicKey> for Jwks {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Jwks {
        Jwks { keys: keys.into_iter().collect() }
    }
}

/// Our own keys as a set to publish.
pub fn published(keys: &[PublicKey]) -> Value {
    json!({ "keys": keys.iter().map(PublicKey::to_jwk).collect::<Vec<Value>>() })
}

fn read_key(key: Value) -> Option<PublicKey> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    let for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
        && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|name| name == "verify"));
    let part = |text: &Option<String>| text.as_deref().and_then(unbase64url);
    let parts = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("EC", Some("P-256")) => PublicParts::P256 { x: part(&jwk.x)?, y: part(&jwk.y)? },
        ("EC", Some("P-384")) => PublicParts::P384 { x: part(&jwk.x)?, y: part(&jwk.y)? },
        ("RSA", _) => PublicParts::Rsa { n: part(&jwk.n)?, e: part(&jwk.e)? },
        _ => return None,
    };
    let algorithm = match &jwk.alg {
        Some(name) => Some(Algorithm::of_name(name)?),
        None => None,
    };
    (for_signatures && parts.is_sound()).then_some(PublicKey { kid: jwk.kid, algorithm, parts })
}

impl PublicParts {
    fn is_sound(&self) -> bool {
        match self {
            PublicParts::P256 { x, y } => x.len() == 32 && y.len() == 32,
            PublicParts::P384 { x, y } => x.len() == 48 && y.len() == 48,
            PublicParts::Rsa { n, e } => {
                let length = n.iter().skip_while(|byte| **byte == 0).count();
                (MIN_RSA_BYTES..=MAX_RSA_BYTES).contains(&length) && (1..=4).contains(&e.len())
            }
        }
    }

    /// Whether the key is of the algorithm's kind.
    fn fits(&self, algorithm: Algorithm) -> bool {
        matches!(
            (self, algorithm),
            (PublicParts::P256 { .. }, Algorithm::Es256)
                | (PublicParts::P384 { .. }, Algorithm::Es384)
                | (PublicParts::Rsa { .. }, Algorithm::Rs256 | Algorithm::Rs384)
        )
    }
}

impl PublicKey {
    /// Whether a signature of the algorithm over the message is this key's.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.parts.fits(algorithm) {
            return false;
        }
        match &self.parts {
            PublicParts::P256 { x, y } => {
                let point = [&[4][..], x, y].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            PublicParts::P384 { x, y } => {
                let point = [&[4][..], x, y].concat();
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
            }
            PublicParts::Rsa { n, e } => {
                let padding = match algorithm {
                    Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
                    _ => &RSA_PKCS1_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n, e }.verify(padding, message, signature).is_ok()
            }
        }
    }

    /// As a JWK with `use` sig.
    pub fn to_jwk(&self) -> Value {
        let mut jwk = match &self.parts {
            PublicParts::P256 { x, y } => {
                json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) })
            }
            PublicParts::P384 { x, y } => {
                json!({ "kty": "EC", "crv": "P-384", "x": base64url(x), "y": base64url(y) })
            }
            PublicParts::Rsa { n, e } => json!({ "kty": "RSA", "n": base64url(n), "e": base64url(e) }),
        };
        if let Some(jwk) = jwk.as_object_mut() {
            jwk.insert("use".into(), "sig".into());
            jwk.insert("key_ops".into(), json!(["verify"]));
            jwk.extend(self.kid.iter().map(|kid| ("kid".into(), kid.as_str().into())));
            jwk.extend(self.algorithm.iter().map(|algorithm| ("alg".into(), algorithm.name().into())));
        }
        jwk
    }
}
