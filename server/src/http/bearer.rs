//! The token of a request to the FHIR API (RFC 6750), from its header only.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap};
use fhirpath::IssueType;
use interaction::Caller;

use super::App;
use super::refusal::Refusal;
use crate::authorization::{Authority, Holder, TokenRefused};
use crate::tenants::Site;

const NONE: &str = "Bearer realm=\"fhir\"";
const INVALID: &str = "Bearer realm=\"fhir\", error=\"invalid_token\", \
     error_description=\"The access token is unknown, has expired or was revoked\"";

/// As whom a request is answered.
pub enum Known<'s> {
    /// The program's own commands on the data directory.
    Program(&'s Caller),
    /// Whoever the token is of.
    Token(Arc<Holder>),
}

impl Known<'_> {
    /// Who has the token.
    pub fn holder(&self) -> Option<Arc<Holder>> {
        match self {
            Known::Program(_) => None,
            Known::Token(holder) => Some(Arc::clone(holder)),
        }
    }
}

impl Deref for Known<'_> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        match self {
            Known::Program(caller) => caller,
            Known::Token(holder) => &holder.caller,
        }
    }
}

/// The caller of a request.
///
/// # Errors
/// 401 without a token that counts, 403 for one that cannot be held to, 500 if that cannot be known.
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
    authority.caller(site, token).await.map(Known::Token).map_err(|refused| match refused {
        TokenRefused::Invalid => {
            Refusal::unauthorized(INVALID, "The access token is unknown, has expired or was revoked.")
        }
        TokenRefused::Decision(failure) => failure.into(),
        TokenRefused::Failed(error) => {
            tracing::error!(%error, "a token cannot be looked up");
            let details = "Whether the access token counts cannot be known at the moment; try again.";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::Transient, details).retry_after(1)
        }
    })
}
