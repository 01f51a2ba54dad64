//! Dynamic registration (RFC 7591), if it is switched on. Such clients are public or have keys, and get no `system/` scopes and no
//! secrets: nothing that a person should have looked at before.

use serde::Deserialize;
use serde_json::{Value, json};

use super::AuthorizationServer;
use super::error::{Refusal, ServerError, oauth};
use crate::config::Registration;
use crate::event::{EventKind, cleaned};
use crate::message::{Reply, Request};
use crate::record::{Authentication, Client, ClientError, IdTokenAlgorithm};
use crate::scope::{Level, Scope, ScopeSet};
use crate::secret::{new_secret, same};
use crate::storage::Condition;

/// The longest metadata, in bytes.
const MAX_METADATA_BYTES: usize = 128 * 1024;
/// The longest name, in characters.
const MAX_NAME: usize = 100;
/// The most redirect URIs.
const MAX_REDIRECTS: usize = 20;

#[derive(Deserialize)]
struct Metadata {
    client_name: Option<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    token_endpoint_auth_method: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    scope: Option<String>,
    jwks: Option<Value>,
    jwks_uri: Option<String>,
    launch_uri: Option<String>,
    id_token_signed_response_alg: Option<String>,
}

impl AuthorizationServer {
    pub(super) async fn register(&self, request: &Request) -> Result<Reply, ServerError> {
        let allowed = match &self.config.registration {
            Registration::Off => return Ok(oauth(404, "not_found", "clients are registered by hand here")),
            Registration::Open => true,
            Registration::WithToken(token) => {
                let sent = request.authorization.as_deref().and_then(|header| header.strip_prefix("Bearer "));
                sent.is_some_and(|sent| same(sent, token))
            }
        };
        if !allowed {
            let reply = oauth(401, "invalid_token", "the initial access token is wrong").for_any_origin();
            return Ok(reply.with("WWW-Authenticate", "Bearer error=\"invalid_token\""));
        }
        let mut event = self.event(EventKind::Register, request);
        let client = match read(&request.body, self.config.private_fetches) {
            Ok(client) => client,
            Err(refusal) => {
                event.failure = Some(refusal.description.clone());
                self.record(event);
                return Ok(refusal.reply());
            }
        };
        let client = Client { id: new_secret()?, ..client };
        self.records().put(&client.id, &client, Condition::Absent).await?;
        event.client = Some(client.id.clone());
        self.record(event);
        Ok(Reply::json(201, registered(&client, self.now_s())).uncached().for_any_origin())
    }
}

fn read(body: &[u8], private_fetches: bool) -> Result<Client, Refusal> {
    let invalid = |description: &str| Refusal::new("invalid_client_metadata", description);
    if body.len() > MAX_METADATA_BYTES {
        return Err(invalid("the metadata are too long"));
    }
    let metadata: Metadata =
        serde_json::from_slice(body).map_err(|_| invalid("the metadata are no JSON of RFC 7591"))?;
    let known = |own: &Option<Vec<String>>, known: &[&str]| {
        own.iter().flatten().all(|name| known.contains(&name.as_str()))
    };
    if !known(&metadata.grant_types, &["authorization_code", "refresh_token"])
        || !known(&metadata.response_types, &["code"])
    {
        return Err(invalid("grant_types are authorization_code and refresh_token, response_types code"));
    }
    let authentication =
        match (metadata.token_endpoint_auth_method.as_deref(), metadata.jwks, metadata.jwks_uri) {
            (Some("none"), None, None) => Authentication::Public,
            (Some("private_key_jwt"), Some(jwks), None) => Authentication::Keys(jwks),
            (Some("private_key_jwt"), None, Some(uri)) => Authentication::KeysAt(uri),
            _ => {
                let sentence = "token_endpoint_auth_method is none, or private_key_jwt with jwks or jwks_uri";
                return Err(invalid(sentence));
            }
        };
    if metadata.redirect_uris.len() > MAX_REDIRECTS {
        return Err(Refusal::new("invalid_redirect_uri", "there are too many redirect URIs"));
    }
    let id_token_algorithm = match metadata.id_token_signed_response_alg.as_deref() {
        None => IdTokenAlgorithm::default(),
        Some(name) => IdTokenAlgorithm::of_name(name)
            .ok_or_else(|| invalid("id_token_signed_response_alg is RS256 or ES256"))?,
    };
    let name: String = cleaned(metadata.client_name.as_deref().unwrap_or("An app without a name"));
    let client = Client {
        authentication,
        redirect_uris: metadata.redirect_uris,
        launch_uri: metadata.launch_uri,
        id_token_algorithm,
        scopes: scopes(&metadata.scope.unwrap_or_default())?,
        ..Client::new("registering", &name.chars().take(MAX_NAME).collect::<String>())
    };
    match client.check(private_fetches) {
        Ok(()) => Ok(client),
        Err(error @ (ClientError::Redirect(_) | ClientError::NoRedirect)) => {
            Err(Refusal::new("invalid_redirect_uri", error.to_string()))
        }
        Err(error) => Err(invalid(&error.to_string())),
    }
}

/// All that can be read and is not about the whole system.
fn scopes(text: &str) -> Result<String, Refusal> {
    let invalid = |error: String| Refusal::new("invalid_client_metadata", error);
    let (scopes, unread) = ScopeSet::read(text).map_err(|error| invalid(error.to_string()))?;
    if let Some((scope, error)) = unread.first() {
        return Err(invalid(format!("{}: {error}", cleaned(scope))));
    }
    let own = |scope: &Scope| scope.resources().is_none_or(|scope| scope.level != Level::System);
    Ok(scopes.filtered(own).to_string())
}

fn registered(client: &Client, now_s: i64) -> Value {
    let mut answer = json!({
        "client_id": client.id,
        "client_id_issued_at": now_s,
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": client.scopes,
        "id_token_signed_response_alg": client.id_token_algorithm.name(),
    });
    let (method, keys) = match &client.authentication {
        Authentication::Keys(jwks) => ("private_key_jwt", Some(("jwks", jwks.clone()))),
        Authentication::KeysAt(uri) => ("private_key_jwt", Some(("jwks_uri", uri.as_str().into()))),
        Authentication::Public | Authentication::Secret(_) => ("none", None),
    };
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("token_endpoint_auth_method".into(), method.into());
        answer.extend(keys.map(|(name, value)| (name.to_owned(), value)));
        answer.extend(client.launch_uri.iter().map(|uri| ("launch_uri".to_owned(), uri.as_str().into())));
    }
    answer
}
