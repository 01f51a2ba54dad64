//! The signed heads of chains: a JWT (RFC 7519) of the server's own signing keys, of a type that no token of its has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smart::jwt::{self, Jwks, JwtError, SignError, Signer, Token};

use crate::link::{Hash, Place};

/// `typ` of the JWT.
const TYPE: &str = "vesta-checkpoint+jwt";
/// The most chains that one checkpoint names, so that it stays below [`jwt::MAX_TOKEN_BYTES`].
pub(crate) const MAX_HEADS: usize = 64;

/// The claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub tenant: String,
    pub chain: String,
    pub sequence: u64,
    pub hash: String,
    /// By chain, the last record known of each other one.
    pub heads: BTreeMap<String, (u64, String)>,
}

impl Checkpoint {
    /// Of the record that carries it.
    pub(crate) fn new(
        tenant: &str,
        place: &Place,
        hash: Hash,
        heads: &BTreeMap<String, (u64, Hash)>,
    ) -> Checkpoint {
        let named = |(chain, (sequence, hash)): (&String, &(u64, Hash))| {
            (chain.clone(), (*sequence, hash.to_string()))
        };
        Checkpoint {
            tenant: tenant.to_owned(),
            chain: place.chain.clone(),
            sequence: place.sequence,
            hash: hash.to_string(),
            heads: heads.iter().take(MAX_HEADS).map(named).collect(),
        }
    }

    /// Its JWT.
    ///
    /// # Errors
    /// The signer cannot sign.
    pub(crate) fn sign(&self, signer: &dyn Signer) -> Result<String, SignError> {
        let claims = serde_json::to_value(self).map_err(|error| SignError::Failed(error.to_string()))?;
        jwt::sign(signer, TYPE, &claims)
    }

    /// Of a JWT, if a key of ours signed it.
    ///
    /// # Errors
    /// It is none, or nobody known signed it.
    pub(crate) fn verified(text: &str, keys: &Jwks) -> Result<Checkpoint, JwtError> {
        Token::read(text)?.verified(keys, TYPE)?;
        Checkpoint::claimed(text).ok_or(JwtError::Malformed)
    }

    /// Of a JWT, whoever signed it.
    pub(crate) fn claimed(text: &str) -> Option<Checkpoint> {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let payload = text.split('.').nth(1)?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }

    /// All that it vouches for: its own record first.
    pub(crate) fn heads(&self) -> Option<Vec<(Place, Hash)>> {
        let own = (&self.chain, self.sequence, &self.hash);
        let others = self.heads.iter().map(|(chain, (sequence, hash))| (chain, *sequence, hash));
        std::iter::once(own)
            .chain(others)
            .map(|(chain, sequence, hash)| {
                Some((Place { chain: chain.clone(), sequence }, Hash::parse(hash)?))
            })
            .collect()
    }
}
