//! What a token says (RFC 7519 section 4), and whether that is what is expected of it.

use serde_json::{Map, Value};

use super::JwtError;

/// How far the clocks of two parties may be apart, in seconds.
pub const MAX_SKEW_S: i64 = 60;

/// The claims of a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'e> {
    /// `iss`.
    pub issuer: &'e str,
    /// `sub`.
    pub subject: &'e str,
    /// One of these must be in `aud`.
    pub audiences: &'e [&'e str],
    /// The time now, in seconds of the Unix epoch.
    pub now_s: i64,
    /// How far `exp` may be away, in seconds.
    pub max_lifetime_s: i64,
}

impl Claims {
    pub(super) fn read(payload: &[u8]) -> Result<Claims, JwtError> {
        serde_json::from_slice(payload).map(Claims).map_err(|_| JwtError::Malformed)
    }

    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Checks all claims that say of whom, for whom and for when the token is; gives `jti` and `exp`.
    ///
    /// # Errors
    /// The first claim that is not as expected.
    pub fn check(&self, expected: &Expected<'_>) -> Result<(&str, i64), JwtError> {
        if self.text("iss").ok_or(JwtError::Claim("iss"))? != expected.issuer {
            return Err(JwtError::Issuer);
        }
        if self.text("sub").ok_or(JwtError::Claim("sub"))? != expected.subject {
            return Err(JwtError::Subject);
        }
        self.check_audience(expected.audiences)?;
        let expires_s = self.check_times(expected)?;
        let jti = self.text("jti").filter(|jti| !jti.is_empty()).ok_or(JwtError::Claim("jti"))?;
        Ok((jti, expires_s))
    }

    fn check_audience(&self, audiences: &[&str]) -> Result<(), JwtError> {
        let meant = match self.0.get("aud") {
            Some(Value::String(one)) => audiences.contains(&one.as_str()),
            Some(Value::Array(several)) => {
                several.iter().filter_map(Value::as_str).any(|one| audiences.contains(&one))
            }
            _ => return Err(JwtError::Claim("aud")),
        };
        if meant { Ok(()) } else { Err(JwtError::Audience) }
    }

    fn check_times(&self, expected: &Expected<'_>) -> Result<i64, JwtError> {
        let expires_s = self.seconds("exp")?.ok_or(JwtError::Claim("exp"))?;
        if expires_s.saturating_add(MAX_SKEW_S) <= expected.now_s {
            return Err(JwtError::Expired);
        }
        let latest_s = expected.now_s.saturating_add(expected.max_lifetime_s).saturating_add(MAX_SKEW_S);
        if expires_s > latest_s {
            return Err(JwtError::Lifetime);
        }
        let soon_s = expected.now_s.saturating_add(MAX_SKEW_S);
        if self.seconds("nbf")?.is_some_and(|from_s| from_s > soon_s) {
            return Err(JwtError::NotYetValid);
        }
        if self.seconds("iat")?.is_some_and(|issued_s| issued_s > soon_s) {
            return Err(JwtError::IssuedLater);
        }
        Ok(expires_s)
    }

    /// A NumericDate, whole seconds; fractions are cut off.
    fn seconds(&self, name: &'static str) -> Result<Option<i64>, JwtError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let text = value.as_number().map(ToString::to_string).ok_or(JwtError::Claim(name))?;
        let whole = text.split('.').next().unwrap_or_default();
        whole.parse().map(Some).map_err(|_| JwtError::Claim(name))
    }
}
