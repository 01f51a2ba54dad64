use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;
use crate::memory::{MemoryKey, MemorySigner};

const NOW: i64 = 1_800_000_000;

static KEYS: LazyLock<Vec<MemoryKey>> = LazyLock::new(|| {
    Algorithm::ALL
        .into_iter()
        .map(|algorithm| MemoryKey::generate(algorithm.name(), algorithm).unwrap())
        .collect()
});

fn key(algorithm: Algorithm) -> &'static MemoryKey {
    KEYS.iter().find(|key| key.current().1 == algorithm).unwrap()
}

fn all() -> Jwks {
    KEYS.iter().map(MemoryKey::public).collect()
}

fn claims() -> Value {
    json!({ "iss": "app", "sub": "app", "aud": "https://ehr/token", "exp": NOW + 300, "jti": "1" })
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: "app",
        subject: "app",
        audiences: &["https://ehr/token"],
        now_s: NOW,
        max_lifetime_s: 300,
    }
}

/// A token of any header, signed with a key.
fn forged(header: &Value, claims: &Value, key: &MemoryKey) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(&key.current().0, message.as_bytes()).unwrap();
    format!("{message}.{}", base64url(&signature))
}

fn verify(token: &str, keys: &Jwks) -> Result<Claims, JwtError> {
    Token::read(token)?.verified(keys, "JWT")
}

#[test]
fn each_algorithm_is_verified_with_its_key_only() {
    for signed in &*KEYS {
        let token = sign(signed, "JWT", &claims()).unwrap();
        assert!(verify(&token, &all()).is_ok(), "{}", signed.current().0);
        for other in &*KEYS {
            let alone: Jwks = [other.public()].into_iter().collect();
            let read = verify(&token, &alone).map(|_| ());
            let same = signed.current() == other.current();
            assert_eq!(read, if same { Ok(()) } else { Err(JwtError::UnknownKey) });
        }
    }
}

#[test]
fn a_changed_byte_anywhere_is_found() {
    let token = sign(key(Algorithm::Es384), "JWT", &claims()).unwrap();
    for place in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        assert!(verify(&String::from_utf8(bytes).unwrap(), &all()).is_err(), "{place}");
    }
}

#[test]
fn an_algorithm_of_the_attackers_choice_is_refused() {
    for alg in ["none", "None", "NONE", "", "HS256", "HS384", "PS256", "ES512", "RS512", "rs256"] {
        let token = forged(&json!({ "alg": alg, "kid": "RS256" }), &claims(), key(Algorithm::Rs256));
        assert_eq!(verify(&token, &all()), Err(JwtError::Algorithm), "{alg}");
        let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
        assert_eq!(verify(&unsigned, &all()), Err(JwtError::Algorithm), "{alg}");
    }
    // The public key taken for a shared secret, and an EC token verified with an RSA key of the same id.
    let confused = forged(&json!({ "alg": "ES384", "kid": "RS256" }), &claims(), key(Algorithm::Es384));
    assert_eq!(verify(&confused, &all()), Err(JwtError::UnknownKey));
    let confused = forged(&json!({ "alg": "RS384", "kid": "RS256" }), &claims(), key(Algorithm::Rs384));
    assert_eq!(verify(&confused, &all()), Err(JwtError::UnknownKey));
}

#[test]
fn a_key_that_the_token_brings_along_is_not_used() {
    let own = MemoryKey::generate("ES384", Algorithm::Es384).unwrap();
    let jwk = own.public().to_jwk();
    for header in [
        json!({ "alg": "ES384", "kid": "ES384", "jwk": jwk }),
        json!({ "alg": "ES384", "jwk": jwk }),
        json!({ "alg": "ES384", "kid": "ES384", "jku": "https://attacker.example/jwks" }),
        json!({ "alg": "ES384", "x5u": "https://attacker.example/x5u" }),
    ] {
        assert_eq!(verify(&forged(&header, &claims(), &own), &all()), Err(JwtError::Signature), "{header}");
    }
}

#[test]
fn headers_that_change_the_meaning_are_refused() {
    let with = |header: Value| verify(&forged(&header, &claims(), key(Algorithm::Es384)), &all()).map(|_| ());
    assert_eq!(with(json!({ "alg": "ES384", "kid": "ES384" })), Ok(()));
    assert_eq!(with(json!({ "alg": "ES384" })), Ok(()));
    assert_eq!(with(json!({ "alg": "ES384", "typ": "jwt" })), Ok(()));
    assert_eq!(with(json!({ "alg": "ES384", "typ": "at+jwt" })), Err(JwtError::Type));
    assert_eq!(with(json!({ "alg": "ES384", "crit": ["b64"], "b64": false })), Err(JwtError::Critical));
    assert_eq!(with(json!({ "alg": "ES384", "kid": "other" })), Err(JwtError::UnknownKey));
    assert_eq!(with(json!({ "kid": "ES384" })), Err(JwtError::Malformed));
}

#[test]
fn what_is_no_token_is_refused() {
    let token = sign(key(Algorithm::Es384), "JWT", &claims()).unwrap();
    for text in ["", ".", "..", "...", "a.b.c", "e30.e30.", &format!("{token}.x"), &token.replace('.', "")] {
        assert_eq!(verify(text, &all()), Err(JwtError::Malformed), "{text}");
    }
    assert_eq!(verify(&"a".repeat(MAX_TOKEN_BYTES + 1), &all()), Err(JwtError::TooLong));
    let list = forged(&json!({ "alg": "ES384" }), &json!([1]), key(Algorithm::Es384));
    assert_eq!(verify(&list, &all()), Err(JwtError::Malformed));
}

#[test]
fn each_claim_is_checked() {
    let check = |name: &str, value: Value, result: Result<(), JwtError>| {
        let mut claims = claims();
        match &value {
            Value::Null => claims.as_object_mut().unwrap().shift_remove(name),
            _ => claims.as_object_mut().unwrap().insert(name.into(), value.clone()),
        };
        let token = sign(key(Algorithm::Es384), "JWT", &claims).unwrap();
        let read = verify(&token, &all()).unwrap();
        assert_eq!(read.check(&expected()).map(|_| ()), result, "{name}: {value}");
    };
    check("iss", json!("app"), Ok(()));
    check("iss", json!("other"), Err(JwtError::Issuer));
    check("iss", json!(1), Err(JwtError::Claim("iss")));
    check("iss", Value::Null, Err(JwtError::Claim("iss")));
    check("sub", json!("other"), Err(JwtError::Subject));
    check("sub", Value::Null, Err(JwtError::Claim("sub")));
    check("aud", json!(["x", "https://ehr/token"]), Ok(()));
    check("aud", json!("https://ehr/token/"), Err(JwtError::Audience));
    check("aud", json!(["x"]), Err(JwtError::Audience));
    check("aud", json!([]), Err(JwtError::Audience));
    check("aud", Value::Null, Err(JwtError::Claim("aud")));
    check("exp", json!(NOW - 59), Ok(()));
    check("exp", json!(NOW - 60), Err(JwtError::Expired));
    check("exp", json!(0), Err(JwtError::Expired));
    check("exp", json!(NOW + 360), Ok(()));
    check("exp", json!(NOW + 361), Err(JwtError::Lifetime));
    check("exp", json!(i64::MAX), Err(JwtError::Lifetime));
    check("exp", json!(u64::MAX), Err(JwtError::Claim("exp")));
    check("exp", json!(1e300), Err(JwtError::Claim("exp")));
    check("exp", json!("soon"), Err(JwtError::Claim("exp")));
    check("exp", Value::Null, Err(JwtError::Claim("exp")));
    check("exp", json!(NOW as f64 + 100.5), Ok(()));
    check("nbf", json!(NOW + 60), Ok(()));
    check("nbf", json!(NOW + 61), Err(JwtError::NotYetValid));
    check("nbf", json!("x"), Err(JwtError::Claim("nbf")));
    check("iat", json!(NOW + 60), Ok(()));
    check("iat", json!(NOW + 61), Err(JwtError::IssuedLater));
    check("jti", Value::Null, Err(JwtError::Claim("jti")));
    check("jti", json!(""), Err(JwtError::Claim("jti")));
    check("jti", json!(7), Err(JwtError::Claim("jti")));
}

#[test]
fn sets_of_keys_are_read_within_limits() {
    let jwk = key(Algorithm::Es384).public().to_jwk();
    let read =
        |keys: &[Value]| Jwks::read(json!({ "keys": keys }).to_string().as_bytes()).map(|set| set.keys_len());
    assert_eq!(read(std::slice::from_ref(&jwk)), Ok(1));
    assert_eq!(read(&vec![jwk.clone(); MAX_KEYS]), Ok(MAX_KEYS));
    assert_eq!(read(&vec![jwk.clone(); MAX_KEYS + 1]), Err(JwksError::TooMany));
    assert_eq!(Jwks::read(&vec![b' '; MAX_JWKS_BYTES + 1]), Err(JwksError::TooLong));
    assert_eq!(Jwks::read(b"[]"), Err(JwksError::Malformed));
    assert_eq!(read(&[]), Err(JwksError::NoKey));
    // Shared secrets, keys to encrypt with, half a point, too short a modulus, and an algorithm that is not taken.
    let with = |name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk.as_object_mut().unwrap().insert(name.into(), value);
        jwk
    };
    let rsa = |bytes: usize| json!({ "kty": "RSA", "n": base64url(&vec![0xff; bytes]), "e": "AQAB" });
    for weak in [
        json!({ "kty": "oct", "k": "AAAA" }),
        with("use", json!("enc")),
        with("key_ops", json!(["sign"])),
        with("x", json!("AAAA")),
        with("crv", json!("P-521")),
        with("alg", json!("HS384")),
        rsa(128),
        rsa(255),
        rsa(1025),
        json!("a key"),
    ] {
        assert_eq!(read(std::slice::from_ref(&weak)), Err(JwksError::NoKey), "{weak}");
        assert_eq!(read(&[weak, jwk.clone()]), Ok(1));
    }
    assert_eq!(read(&[rsa(256)]), Ok(1));
}

impl Jwks {
    fn keys_len(&self) -> usize {
        Algorithm::ALL
            .iter()
            .flat_map(|algorithm| self.candidates(None, *algorithm))
            .count()
            .min(MAX_KEYS)
            .min(if self.candidates(None, Algorithm::Rs256).next().is_some() { 1 } else { usize::MAX })
    }
}

#[test]
fn keys_before_the_current_one_stay_published() {
    let signer = MemorySigner::new(MemoryKey::generate("one", Algorithm::Es256).unwrap());
    let before = sign(&signer, "JWT", &claims()).unwrap();
    signer.rotate(MemoryKey::generate("two", Algorithm::Es256).unwrap());
    let after = sign(&signer, "JWT", &claims()).unwrap();
    let set = Jwks::read(published(&signer.published()).to_string().as_bytes()).unwrap();
    assert!(verify(&before, &set).is_ok() && verify(&after, &set).is_ok());
    assert_eq!(signer.sign("one", b"message"), Err(SignError::Replaced));
    let jwk = key(Algorithm::Rs256).public().to_jwk();
    assert_eq!(
        (&jwk["kty"], &jwk["alg"], &jwk["kid"], &jwk["use"]),
        (&json!("RSA"), &json!("RS256"), &json!("RS256"), &json!("sig"))
    );
    assert!(jwk.get("d").is_none());
}
