//! Revocation by an app (RFC 7009).

use super::AuthorizationServer;
use super::error::{Refusal, ServerError, Stop};
use crate::event::EventKind;
use crate::message::{Body, Reply, Request};
use crate::record::{AccessToken, Grant, RefreshToken};
use crate::secret::digested;
use crate::storage::Stored as _;

impl AuthorizationServer {
    pub(super) async fn revoke(&self, request: &Request) -> Result<Reply, ServerError> {
        let mut event = self.event(EventKind::Revoke, request);
        match self.revoked(request).await {
            Ok(client) => {
                event.client = Some(client);
                self.record(event);
                Ok(Reply { status: 200, headers: Vec::new(), body: Body::Empty }.uncached().for_any_origin())
            }
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Refused(refusal)) => {
                event.failure = Some(refusal.description.clone());
                self.record(event);
                Ok(refusal.reply())
            }
        }
    }

    /// What is unknown or another client's is left alone, and that is no error (section 2.2).
    async fn revoked(&self, request: &Request) -> Result<String, Stop> {
        if request.unfit().is_some() {
            return Err(Refusal::new("invalid_request", "a parameter is there twice").into());
        }
        let client = self.client_of(request).await?;
        let token =
            request.get("token").ok_or_else(|| Refusal::new("invalid_request", "token is missing"))?;
        let key = digested(token);
        if let Some(token) = self.records().get::<AccessToken>(&key).await?
            && token.client_id == client.id
        {
            self.services.storage.take(AccessToken::TABLE, &key).await?;
        }
        // With a refresh token goes all that stands on the grant.
        if let Some(token) = self.records().get::<RefreshToken>(&key).await?
            && token.client_id == client.id
        {
            self.services.storage.take(Grant::TABLE, &token.grant).await?;
        }
        Ok(client.id)
    }
}
