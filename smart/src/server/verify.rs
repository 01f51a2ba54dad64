//! What a request to the FHIR API may do, by its access token. The only way from a token to an [`Access`].

use super::AuthorizationServer;
use super::error::ServerError;
use super::policy::Policies;
use crate::access::{Access, Context};
use crate::record::{AccessToken, Client, Grant};
use crate::scope::ScopeSet;
use crate::secret::digested;

/// A token that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// `client_id`.
    pub client_id: String,
    /// The user's `sub` and name for logs; `None` for a backend service's own token.
    pub user: Option<crate::record::SessionUser>,
    /// The id of the patient in context.
    pub patient: Option<String>,
    /// As granted.
    pub scopes: ScopeSet,
    /// What may be done.
    pub access: Access,
    /// What it is held to beside its scopes.
    pub policies: Policies,
    /// Until when it counts, in seconds of the Unix epoch.
    pub expires_s: i64,
}

/// Why a token does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Unknown, expired or revoked: which one is nobody's business. Answer 401 with `WWW-Authenticate: Bearer
    /// error="invalid_token"` (RFC 6750 section 3.1).
    #[error("the access token is unknown, has expired or was revoked")]
    Invalid,
    /// The store failed.
    #[error(transparent)]
    Failed(#[from] ServerError),
}

/// A token with what it stands on.
pub(super) struct Live {
    pub token: AccessToken,
    pub grant: Option<Grant>,
}

impl AuthorizationServer {
    /// Looks an access token up: some small records, read anew each time, so that what was revoked does not count any more.
    ///
    /// # Errors
    /// It does not count, or that cannot be known.
    pub async fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        let Live { token, grant } = self.live(token).await?.ok_or(TokenError::Invalid)?;
        let scopes = ScopeSet::read(&token.scopes).map(|(scopes, _)| scopes).unwrap_or_default();
        let context = Context {
            patient: grant.as_ref().and_then(|grant| grant.context.patient.clone()),
            user: grant.as_ref().map(|grant| grant.user.fhir_user.clone()),
            system: grant.is_none(),
        };
        let access = Access::compile(&scopes, &context);
        let user = grant.map(|grant| grant.user);
        let policies = self.policies_of(&token.client_id, user.as_ref()).await?;
        Ok(Verified {
            client_id: token.client_id,
            user,
            patient: context.patient,
            scopes,
            access,
            policies,
            expires_s: token.expires_s,
        })
    }

    /// The token, if it and what it stands on are there.
    pub(super) async fn live(&self, token: &str) -> Result<Option<Live>, ServerError> {
        if token.len() != 43 {
            return Ok(None);
        }
        let Some(token) = self.records().get::<AccessToken>(&digested(token)).await? else { return Ok(None) };
        match &token.grant {
            Some(id) => {
                let grant = self.records().get::<Grant>(id).await?;
                Ok(grant.map(|grant| Live { token, grant: Some(grant) }))
            }
            None => {
                let client = self.records().get::<Client>(&token.client_id).await?;
                let works = client.is_some_and(|client| client.enabled && client.backend);
                Ok(works.then_some(Live { token, grant: None }))
            }
        }
    }
}
