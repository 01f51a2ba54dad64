//! The compact form of a signed token (RFC 7515 section 7.1).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Algorithm, Claims, Jwks, JwtError, SignError, Signer, base64url, unbase64url};

/// The longest token that is read.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// How often signing is tried when the key is replaced meanwhile.
const ATTEMPTS: u32 = 3;

/// A token that was taken apart; nothing in it counts before [`Token::verified`].
#[derive(Debug)]
pub struct Token<'t> {
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
    payload: Vec<u8>,
    message: &'t str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

impl<'t> Token<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It is no token, or one of an algorithm or with an extension that is not taken.
    pub fn read(text: &'t str) -> Result<Token<'t>, JwtError> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(JwtError::TooLong);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(JwtError::Malformed)?;
        let bytes = |part: &str| unbase64url(part).ok_or(JwtError::Malformed);
        let header: Header = serde_json::from_slice(&bytes(header)?).map_err(|_| JwtError::Malformed)?;
        if header.crit.is_some() {
            return Err(JwtError::Critical);
        }
        let algorithm = Algorithm::of_name(&header.alg).ok_or(JwtError::Algorithm)?;
        let (kid, typ) = (header.kid, header.typ);
        Ok(Token { algorithm, kid, typ, payload: bytes(payload)?, message, signature: bytes(signature)? })
    }

    /// What the token says it is of, to find the keys by. It is not verified.
    pub fn claimed_issuer(&self) -> Option<String> {
        Claims::read(&self.payload).ok().and_then(|claims| claims.text("iss").map(str::to_owned))
    }

    /// `alg`.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether a key of the set may be the one that signed.
    pub fn has_key_in(&self, keys: &Jwks) -> bool {
        keys.candidates(self.kid.as_deref(), self.algorithm).next().is_some()
    }

    /// The claims, if one of the keys signed them. `typ` must be as given where both are there.
    ///
    /// # Errors
    /// No key fits, or none signed it.
    pub fn verified(&self, keys: &Jwks, typ: &str) -> Result<Claims, JwtError> {
        if self.typ.as_deref().is_some_and(|own| !own.eq_ignore_ascii_case(typ)) {
            return Err(JwtError::Type);
        }
        if !self.has_key_in(keys) {
            return Err(JwtError::UnknownKey);
        }
        let mut candidates = keys.candidates(self.kid.as_deref(), self.algorithm);
        if candidates.any(|key| key.verifies(self.algorithm, self.message.as_bytes(), &self.signature)) {
            Claims::read(&self.payload)
        } else {
            Err(JwtError::Signature)
        }
    }
}

/// A token of claims, signed with the current key.
///
/// # Errors
/// The signer cannot sign.
pub fn sign(signer: &dyn Signer, typ: &str, claims: &Value) -> Result<String, SignError> {
    let payload = base64url(claims.to_string().as_bytes());
    for _ in 0..ATTEMPTS {
        let (kid, algorithm) = signer.current();
        let header = json!({ "alg": algorithm.name(), "typ": typ, "kid": kid });
        let message = format!("{}.{payload}", base64url(header.to_string().as_bytes()));
        match signer.sign(&kid, message.as_bytes()) {
            Ok(signature) => return Ok(format!("{message}.{}", base64url(&signature))),
            Err(SignError::Replaced) => {}
            Err(failed) => return Err(failed),
        }
    }
    Err(SignError::Replaced)
}
