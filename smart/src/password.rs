//! Passwords (Argon2id, RFC 9106) and one-time codes (RFC 6238).

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use aws_lc_rs::hmac;

use crate::secret::{NoRandom, same};

/// The longest password that is hashed, in bytes: more would only cost time.
pub const MAX_PASSWORD_BYTES: usize = 512;
/// The shortest password that a user may choose, in characters.
pub const MIN_PASSWORD_LENGTH: usize = 12;
/// Memory in KiB, passes and lanes, as OWASP asks for at least.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// How long a one-time code counts, in seconds.
const STEP_S: i64 = 30;

/// A password cannot be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Short or long.
    #[error("a password has {MIN_PASSWORD_LENGTH} characters to {MAX_PASSWORD_BYTES} bytes")]
    Length,
    /// No salt.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
    /// The library refused.
    #[error("the password could not be hashed: {0}")]
    Hash(String),
}

/// Where hashes are computed: each takes tens of milliseconds of a core, so a server does it on a thread of its own.
#[async_trait]
pub trait Passwords: Send + Sync {
    /// [`verify`] of both.
    async fn verify(&self, hash: String, password: String) -> bool;
}

/// Hashes a new password with a new salt, in PHC form.
///
/// # Errors
/// The length, or no random numbers.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    if password.len() > MAX_PASSWORD_BYTES || password.chars().count() < MIN_PASSWORD_LENGTH {
        return Err(PasswordError::Length);
    }
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| NoRandom)?;
    hash_with(password, &salt)
}

fn hash_with(password: &str, salt: &[u8]) -> Result<String, PasswordError> {
    let failed = |error: argon2::password_hash::Error| PasswordError::Hash(error.to_string());
    let params =
        Params::new(COST.0, COST.1, COST.2, None).map_err(|error| PasswordError::Hash(error.to_string()))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_with_salt(password.as_bytes(), salt).map(|hash| hash.to_string()).map_err(failed)
}

/// Whether a password is the one of a hash. Blocks for as long as the hash asks.
pub fn verify(hash: &str, password: &str) -> bool {
    let (Ok(hash), true) = (PasswordHash::new(hash), password.len() <= MAX_PASSWORD_BYTES) else {
        return false;
    };
    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
}

/// A hash of no password, that takes as long as any: for user names that nobody has.
pub(crate) fn nobodys() -> &'static str {
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
}

/// A new secret for one-time codes: 160 random bits in base32 (RFC 6238, RFC 4226 section 4).
///
/// # Errors
/// No random numbers.
pub fn new_totp_secret() -> Result<String, NoRandom> {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = [0; 20];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandom)?;
    let five = |at: usize| {
        let bit = |place: usize| bytes.get(place / 8).map_or(0, |byte| (byte >> (7 - place % 8)) & 1);
        (0..5).fold(0, |word, place| (word << 1) | usize::from(bit(at * 5 + place)))
    };
    Ok((0..32).filter_map(|at| LETTERS.get(five(at)).copied().map(char::from)).collect())
}

/// What an authenticator app reads, as a URL: <https://github.com/google/google-authenticator/wiki/Key-Uri-Format>.
pub fn totp_url(secret: &str, issuer: &str, username: &str) -> String {
    let encoded = |text: &str| {
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
    };
    let (issuer, username) = (encoded(issuer), encoded(username));
    format!("otpauth://totp/{issuer}:{username}?secret={secret}&issuer={issuer}")
}

/// The step whose one-time code this is, of the one now and those beside it (RFC 6238 section 5.2).
pub(crate) fn totp_step(secret: &str, code: &str, now_s: i64) -> Option<i64> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &base32(secret)?);
    let step = now_s / STEP_S;
    [step, step - 1, step + 1].into_iter().find(|step| same(&totp(&key, *step), code))
}

fn totp(key: &hmac::Key, step: i64) -> String {
    let tag = hmac::sign(key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or(0) & 15);
    let word = bytes.iter().skip(offset).take(4).fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// RFC 4648 section 6, without regard to case, blanks and padding.
fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut word, mut bits) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes().filter(|byte| !matches!(byte, b' ' | b'=')) {
        let value = match letter.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        word = (word << 5) | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(word.checked_shr(bits).and_then(|byte| u8::try_from(byte & 255).ok())?);
        }
    }
    (bytes.len() >= 10).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_verified_by_its_hash_only() {
        let (one, two) = (hash("correct horse battery").unwrap(), hash("correct horse battery").unwrap());
        assert_ne!(one, two, "salted");
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert!(verify(&one, "correct horse battery") && !verify(&one, "correct horse batterz"));
        assert!(!verify("", "") && !verify("plain", "plain"));
        assert_eq!(hash("eleven char"), Err(PasswordError::Length));
        assert_eq!(hash(&"a".repeat(MAX_PASSWORD_BYTES + 1)), Err(PasswordError::Length));
    }

    #[test]
    fn nobodys_hash_is_computed_and_never_right() {
        let parsed = PasswordHash::new(nobodys()).unwrap();
        assert_eq!(parsed.to_string(), nobodys());
        let cost = |hash: &str| hash.split('$').nth(3).map(str::to_owned);
        assert_eq!(cost(nobodys()), cost(&hash("correct horse battery").unwrap()));
        assert!(!verify(nobodys(), "") && !verify(nobodys(), "correct horse battery"));
    }

    /// The values of RFC 6238 appendix B, their last six digits.
    #[test]
    fn one_time_codes_are_those_of_the_standard() {
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(totp_step(secret, code, time), Some(time / 30), "{time}");
            assert_eq!(totp_step(secret, code, time + 30), Some(time / 30));
            assert_eq!(totp_step(secret, code, time + 90), None);
        }
        let own = new_totp_secret().unwrap();
        let bytes = base32(&own).unwrap();
        assert_eq!((own.len(), bytes.len()), (32, 20));
        assert!(bytes.iter().any(|byte| *byte != 0) && own != new_totp_secret().unwrap());
        assert_eq!(
            totp_url(secret, "a b", "zoë@c"),
            format!("otpauth://totp/a%20b:zo%C3%AB%40c?secret={secret}&issuer=a%20b")
        );
        assert_eq!(totp_step(secret, "", 59), None);
        assert_eq!(totp_step("not base32!", "287082", 59), None);
        assert_eq!(totp_step("AAAA", "287082", 59), None);
    }
}
