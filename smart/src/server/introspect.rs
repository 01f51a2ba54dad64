//! Introspection (RFC 7662) with SMART's context (<https://hl7.org/fhir/smart-app-launch/STU2.2/token-introspection.html>). A client
//! may ask about its own tokens, a resource server about all.

use serde_json::{Map, Value, json};

use super::AuthorizationServer;
use super::error::{Refusal, ServerError, Stop};
use super::token::context;
use super::verify::Live;
use crate::event::EventKind;
use crate::message::{Reply, Request};
use crate::record::Authentication;
use crate::scope::{Meaning, ScopeSet};

impl AuthorizationServer {
    pub(super) async fn introspect(&self, request: &Request) -> Result<Reply, ServerError> {
        let mut event = self.event(EventKind::Introspect, request);
        match self.introspected(request).await {
            Ok((client, answer)) => {
                event.client = Some(client);
                self.record(event);
                Ok(Reply::json(200, answer).uncached().for_any_origin())
            }
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Refused(refusal)) => {
                event.failure = Some(refusal.description.clone());
                self.record(event);
                Ok(refusal.reply())
            }
        }
    }

    async fn introspected(&self, request: &Request) -> Result<(String, Value), Stop> {
        if request.unfit().is_some() {
            return Err(Refusal::new("invalid_request", "a parameter is there twice").into());
        }
        let client = self.client_of(request).await?;
        if client.authentication == Authentication::Public {
            return Err(Refusal::client("only clients that prove who they are may ask").into());
        }
        let token =
            request.get("token").ok_or_else(|| Refusal::new("invalid_request", "token is missing"))?;
        let live = self.live(token).await?;
        let live = live.filter(|live| client.introspects || live.token.client_id == client.id);
        let answer = live.map_or_else(|| json!({ "active": false }), |live| self.told(&live).into());
        Ok((client.id, answer))
    }

    fn told(&self, live: &Live) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("active".into(), true.into());
        fields.insert("scope".into(), live.token.scopes.as_str().into());
        fields.insert("client_id".into(), live.token.client_id.as_str().into());
        fields.insert("token_type".into(), "Bearer".into());
        fields.insert("exp".into(), live.token.expires_s.into());
        fields.insert("iat".into(), live.token.issued_s.into());
        fields.insert("iss".into(), self.config.issuer.as_str().into());
        let Some(grant) = &live.grant else {
            fields.insert("sub".into(), live.token.client_id.as_str().into());
            return fields;
        };
        fields.insert("sub".into(), grant.user.sub.as_str().into());
        fields.insert("username".into(), grant.user.username.as_str().into());
        fields.extend(context(grant));
        let scopes = ScopeSet::read(&live.token.scopes).map(|(scopes, _)| scopes).unwrap_or_default();
        if scopes.has(&Meaning::FhirUser) {
            let url = format!("{}/{}", self.config.fhir_base, grant.user.fhir_user);
            fields.insert("fhirUser".into(), url.into());
        }
        fields
    }
}
