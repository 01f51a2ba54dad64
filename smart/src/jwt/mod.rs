//! JSON Web Tokens (RFC 7519, 7515, 7517, 7518): signing, verifying, sets of keys. The algorithm is the key's, never the
//! token's word alone; keys come from where they were registered, never from a token's header.

mod claims;
mod jwk;
mod jws;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use claims::{Claims, Expected, MAX_SKEW_S};
pub use jwk::{Jwks, JwksError, MAX_JWKS_BYTES, MAX_KEYS, PublicKey, PublicParts, published};
pub use jws::{MAX_TOKEN_BYTES, Token, sign};

/// How a signature is made (RFC 7518 section 3). There is no `none` and nothing with a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
}

impl Algorithm {
    /// All there are.
    pub const ALL: [Algorithm; 4] = [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Es256, Algorithm::Es384];

    /// The `alg` of RFC 7518.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
        }
    }

    /// Of its `alg`.
    pub fn of_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Why a token does not count. For the log; a client is told less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Over [`MAX_TOKEN_BYTES`].
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three parts of base64url with JSON objects in the first two.
    #[error("the token is no signed JWT")]
    Malformed,
    /// `alg` is `none`, symmetric, or unknown.
    #[error("the token's algorithm is not one of RS256, RS384, ES256 and ES384")]
    Algorithm,
    /// `crit` names an extension; none is understood.
    #[error("the token needs an extension that is not understood")]
    Critical,
    /// `typ` is another than expected.
    #[error("the token is of another type")]
    Type,
    /// No key of that id that can be used with that algorithm.
    #[error("no registered key is for the token's 'kid' and 'alg'")]
    UnknownKey,
    /// The signature is of another key or another text.
    #[error("the signature is wrong")]
    Signature,
    /// A claim that must be there is not, or is of another type.
    #[error("the claim '{0}' is missing or of the wrong type")]
    Claim(&'static str),
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `exp` is further away than it may be.
    #[error("the token is valid for too long")]
    Lifetime,
    /// `nbf` is to come.
    #[error("the token is not yet valid")]
    NotYetValid,
    /// `iat` is to come.
    #[error("the token was issued in the future")]
    IssuedLater,
    /// `iss` is another.
    #[error("the token is of another issuer")]
    Issuer,
    /// `sub` is another.
    #[error("the token is about another subject")]
    Subject,
    /// `aud` names others only.
    #[error("the token is meant for another audience")]
    Audience,
}

/// A signer could not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key is no longer the current one: ask for it again.
    #[error("the signing key was replaced")]
    Replaced,
    /// The key does not work, with the reason for the log.
    #[error("signing failed: {0}")]
    Failed(String),
}

/// The keys that id_tokens are signed with; the server has them.
pub trait Signer: Send + Sync {
    /// `kid` and algorithm of the key that signs now.
    fn current(&self) -> (String, Algorithm);

    /// Signs with the key of that id.
    ///
    /// # Errors
    /// [`SignError::Replaced`] when that key is no longer the current one.
    fn sign(&self, kid: &str, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// All keys that a valid signature may be of: also the ones before the current one.
    fn published(&self) -> Vec<PublicKey>;
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unbase64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
