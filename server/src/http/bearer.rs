//! The token of a request to the FHIR API (RFC 6750), from its header only.

use std::borrow::Cow;
use std::ops::{Deref, RangeInclusive};
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use fhirpath::IssueType;
use interaction::Caller;

use super::App;
use super::refusal::Refusal;
use crate::authorization::{Authority, Holder, TokenRefused};
use crate::tenants::Site;

/// The header that puts the policy of a user aside in an emergency: why, in words.
pub const EMERGENCY: &str = "break-the-glass";
/// How long that is, bytes.
const REASON: RangeInclusive<usize> = 10..=200;
const NONE: &str = "Bearer realm=\"fhir\"";
const INVALID: &str = "Bearer realm=\"fhir\", error=\"invalid_token\", \
     error_description=\"The access token is unknown, has expired or was revoked\"";

/// As whom a request is answered.
pub enum Known<'s> {
    /// The program's own commands on the data directory.
    Program(&'s Caller),
    /// Whoever the token is of.
    Token(Arc<Holder>),
    /// The same in an emergency, for a reason.
    Emergency(Arc<Holder>, String),
}

impl Known<'_> {
    /// Who has the token.
    pub fn holder(&self) -> Option<&Arc<Holder>> {
        match self {
            Known::Program(_) => None,
            Known::Token(holder) | Known::Emergency(holder, _) => Some(holder),
        }
    }

    /// Why the user's policy is put aside, where it is.
    pub fn emergency(&self) -> Option<String> {
        match self {
            Known::Emergency(_, reason) => Some(reason.clone()),
            Known::Program(_) | Known::Token(_) => None,
        }
    }
}

impl Deref for Known<'_> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        match self {
            Known::Program(caller) => caller,
            Known::Token(holder) => &holder.caller,
            Known::Emergency(holder, _) => holder.emergency.as_ref().unwrap_or(&holder.caller),
        }
    }
}

/// The caller of a request.
///
/// # Errors
/// 401 without a token that counts, 403 for one that cannot be held to and for an emergency that opens nothing, 400 for one without a
/// reason, 429 for one request of the app too many, 503 if that cannot be known.
pub async fn caller<'s>(
    app: &App,
    site: &'s Site,
    authority: &Authority,
    headers: &HeaderMap,
) -> Result<Known<'s>, Refusal> {
    let given = headers.get(header::AUTHORIZATION);
    if app.admin.is_known(given) {
        return Ok(Known::Program(&site.caller));
    }
    let text = given.map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or(Cow::Borrowed(""));
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => {
            let details = "This server answers who has an access token: send it as Authorization: Bearer TOKEN. \
                           /fhir/.well-known/smart-configuration says where to get one.";
            return Err(Refusal::unauthorized(NONE, details));
        }
    };
    let holder = authority.caller(site, token).await.map_err(refusal)?;
    app.limits.client(site.caller.tenant.as_str(), &holder.client)?;
    match headers.get(EMERGENCY) {
        None => Ok(Known::Token(holder)),
        Some(reason) => {
            let reason = emergency(app, &holder, reason)?;
            Ok(Known::Emergency(holder, reason))
        }
    }
}

/// Refuses an emergency: for work that goes on when the request is answered.
///
/// # Errors
/// 403 where the user's policy is put aside.
pub fn held(known: &Known<'_>) -> Result<(), Refusal> {
    match known.emergency() {
        None => Ok(()),
        Some(_) => {
            let details = "Exports and imports are held to the user's policy in an emergency too; \
                           ask without the header Break-The-Glass.";
            Err(Refusal::new(StatusCode::FORBIDDEN, IssueType::Forbidden, details))
        }
    }
}

/// The reason for which a user's policy is put aside, if it may be.
fn emergency(app: &App, holder: &Holder, reason: &HeaderValue) -> Result<String, Refusal> {
    if holder.emergency.is_none() || app.audit.is_none() {
        let details =
            "Nothing is opened to this user in an emergency; ask without the header Break-The-Glass.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, IssueType::Forbidden, details));
    }
    let reason = reason.to_str().map(str::trim).unwrap_or_default();
    match REASON.contains(&reason.len()) {
        true => Ok(reason.to_owned()),
        false => {
            let details = format!(
                "The header Break-The-Glass says why, in {} to {} characters of ASCII.",
                REASON.start(),
                REASON.end()
            );
            Err(Refusal::new(StatusCode::BAD_REQUEST, IssueType::Required, details))
        }
    }
}

fn refusal(refused: TokenRefused) -> Refusal {
    match refused {
        TokenRefused::Invalid => {
            Refusal::unauthorized(INVALID, "The access token is unknown, has expired or was revoked.")
        }
        TokenRefused::Decision(failure) => failure.into(),
        TokenRefused::Failed(error) => {
            tracing::error!(%error, "a token cannot be looked up");
            let details = "Whether the access token counts cannot be known at the moment; try again.";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::Transient, details).retry_after(1)
        }
    }
}
