//! JSON Web Tokens (RFC 7519), as an app makes and checks them: client assertions in ES384 or RS384, id_tokens in RS256.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA384,
    RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::http::{Checked, Wrong, text};

/// A private key of an app.
#[derive(Debug)]
pub struct Key {
    id: String,
    pair: Pair,
}

enum Pair {
    Es384(EcdsaKeyPair),
    Rs384(RsaKeyPair),
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair")
    }
}

impl Key {
    /// A new key for ES384.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn es384(id: &str) -> Result<Key, Wrong> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).map_err(|_| no_key())?;
        Ok(Key { id: id.to_owned(), pair: Pair::Es384(pair) })
    }

    /// A new key for RS384.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn rs384(id: &str) -> Result<Key, Wrong> {
        let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(|_| no_key())?;
        let der = key.as_der().map_err(|_| no_key())?;
        let pair = RsaKeyPair::from_pkcs8(der.as_ref()).map_err(|_| no_key())?;
        Ok(Key { id: id.to_owned(), pair: Pair::Rs384(pair) })
    }

    /// One that was made before: PKCS#8 in PEM, of RSA or of the curve P-384.
    ///
    /// # Errors
    /// It is no such key.
    pub fn read(id: &str, pem: &str) -> Result<Key, Wrong> {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        let der = STANDARD.decode(body).map_err(|_| Wrong("the private key is not PEM".to_owned()))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &der).map(Pair::Es384);
        let pair = pair.or_else(|_| RsaKeyPair::from_pkcs8(&der).map(Pair::Rs384));
        let pair = pair.map_err(|_| {
            Wrong("the private key is neither RSA nor of the curve P-384, in PKCS#8".to_owned())
        })?;
        Ok(Key { id: id.to_owned(), pair })
    }

    /// Its public half, as a JWKS.
    pub fn jwks(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = match &self.pair {
            Pair::Es384(pair) => {
                // An uncompressed point: a four, then both coordinates.
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(48);
                json!({"kty": "EC", "crv": "P-384", "x": encode(x), "y": encode(y), "alg": "ES384"})
            }
            Pair::Rs384(pair) => {
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                json!({"kty": "RSA", "alg": "RS384", "n": encode(n.big_endian_without_leading_zero()),
                    "e": encode(e.big_endian_without_leading_zero())})
            }
        };
        let mut key = key;
        if let Value::Object(members) = &mut key {
            members.insert("kid".into(), json!(self.id));
            members.insert("use".into(), json!("sig"));
            members.insert("key_ops".into(), json!(["verify"]));
        }
        json!({"keys": [key]})
    }

    /// A client assertion (<https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html>).
    ///
    /// # Errors
    /// There is no randomness.
    pub fn assertion(&self, client: &str, token_url: &str, now_s: u64, id: &str) -> Checked<String> {
        let alg = match &self.pair {
            Pair::Es384(_) => "ES384",
            Pair::Rs384(_) => "RS384",
        };
        let header = json!({"alg": alg, "kid": self.id, "typ": "JWT"});
        let claims = json!({"iss": client, "sub": client, "aud": token_url, "exp": now_s + 240, "jti": id});
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Es384(pair) => {
                pair.sign(&random, signed.as_bytes()).map_err(|_| no_key())?.as_ref().to_vec()
            }
            Pair::Rs384(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA384, &random, signed.as_bytes(), &mut out).map_err(|_| no_key())?;
                out
            }
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn no_key() -> Wrong {
    Wrong("a key cannot be made or used".to_owned())
}

/// Header and claims of a token, whatever its signature.
pub(crate) fn decode(token: &str) -> Checked<(Value, Value)> {
    let bad = || Wrong("the id_token is not three parts of base64url with JSON".to_owned());
    let part = |text: &str| -> Checked<Value> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        serde_json::from_slice(&bytes).map_err(|_| bad())
    };
    match token.split('.').collect::<Vec<_>>().as_slice() {
        [header, claims, _] => Ok((part(header)?, part(claims)?)),
        _ => Err(bad()),
    }
}

/// Refuses a token whose RS256 signature is not by the key.
pub(crate) fn verify(token: &str, key: &Value) -> Checked {
    let bad = |what: &str| Wrong(format!("the id_token's {what}"));
    let (signed, signature) = token.rsplit_once('.').ok_or_else(|| bad("form is wrong"))?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| bad("signature is not base64url"))?;
    let number = |name: &str| {
        text(key, name)
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
            .ok_or_else(|| bad("key has no numbers"))
    };
    let components = RsaPublicKeyComponents { n: number("n")?, e: number("e")? };
    components
        .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
        .map_err(|_| bad("signature is not by the key of the JWKS"))
}
