//! What a token endpoint answers (RFC 6749 section 5.1) with SMART's launch context, and the id_token (OpenID Connect Core section 2).

use serde_json::{Map, Value, json};

use crate::jwt::sign;
use crate::message::Reply;
use crate::record::{Client, Code, Grant, IdTokenAlgorithm};
use crate::scope::{Meaning, ScopeSet};
use crate::server::{AuthorizationServer, Route, ServerError};
use crate::storage::Put;

/// How long an id_token counts, in seconds.
const ID_TOKEN_LIFETIME_S: i64 = 3600;

/// An answer in the making.
pub(super) struct Answer {
    fields: Map<String, Value>,
    pub refresh_token: Option<String>,
    pub id_token: Option<String>,
}

impl Answer {
    fn new(access_token: String, lifetime_s: i64, scopes: &ScopeSet) -> Answer {
        let mut fields = Map::new();
        fields.insert("access_token".into(), access_token.into());
        fields.insert("token_type".into(), "Bearer".into());
        fields.insert("expires_in".into(), lifetime_s.into());
        fields.insert("scope".into(), scopes.to_string().into());
        Answer { fields, refresh_token: None, id_token: None }
    }

    pub fn backend(access_token: String, lifetime_s: i64, scopes: &ScopeSet) -> Answer {
        Answer::new(access_token, lifetime_s, scopes)
    }

    pub fn reply(mut self) -> Reply {
        self.fields.extend(self.refresh_token.map(|token| ("refresh_token".into(), token.into())));
        self.fields.extend(self.id_token.map(|token| ("id_token".into(), token.into())));
        Reply::json(200, self.fields.into()).uncached().for_any_origin()
    }
}

impl AuthorizationServer {
    pub(super) fn answer_of(
        &self,
        grant_id: &str,
        grant: &Grant,
        scopes: &ScopeSet,
        puts: &mut Vec<Put>,
    ) -> Result<Answer, ServerError> {
        let lifetime_s = self.config().access_lifetime_s;
        let client_id = grant.client_id.clone();
        let token = self.new_access_token(Some(grant_id.to_owned()), client_id, scopes, lifetime_s, puts)?;
        let mut answer = Answer::new(token, lifetime_s, scopes);
        answer.fields.extend(context(grant));
        if grant.launched {
            let banner = grant.context.need_patient_banner.unwrap_or(true);
            answer.fields.insert("need_patient_banner".into(), banner.into());
            answer.fields.insert("smart_style_url".into(), self.url(Route::SmartStyle).into());
        }
        Ok(answer)
    }

    pub(super) fn id_token(
        &self,
        client: &Client,
        code: &Code,
        scopes: &ScopeSet,
    ) -> Result<String, ServerError> {
        let (now_s, user) = (self.now_s(), &code.grant.user);
        let mut claims = json!({
            "iss": self.config().issuer,
            "sub": user.sub,
            "aud": code.grant.client_id,
            "iat": now_s,
            "exp": now_s + ID_TOKEN_LIFETIME_S,
            "auth_time": code.authenticated_s,
        });
        if let Some(claims) = claims.as_object_mut() {
            claims.extend(code.nonce.iter().map(|nonce| ("nonce".into(), nonce.as_str().into())));
            let url = || Value::from(format!("{}/{}", self.config().fhir_base, user.fhir_user));
            if scopes.has(&Meaning::FhirUser) {
                claims.insert("fhirUser".into(), url());
            }
            if scopes.has(&Meaning::Profile) {
                claims.insert("profile".into(), url());
                claims.insert("name".into(), user.name.as_str().into());
            }
        }
        let signer = match client.id_token_algorithm {
            IdTokenAlgorithm::Rs256 => &self.services.signer,
            IdTokenAlgorithm::Es256 => &self.services.es256,
        };
        Ok(sign(&**signer, "JWT", &claims)?)
    }
}

/// Launch context that tokens and introspection both tell.
pub(in crate::server) fn context(grant: &Grant) -> Map<String, Value> {
    let context = &grant.context;
    let mut fields = Map::new();
    let mut text = |name: &str, value: &Option<String>| {
        fields.extend(value.iter().map(|value| (name.to_owned(), value.as_str().into())));
    };
    text("patient", &context.patient);
    text("encounter", &context.encounter);
    text("intent", &context.intent);
    text("tenant", &context.tenant);
    if !context.fhir_context.is_empty() {
        fields.insert("fhirContext".into(), json!(context.fhir_context));
    }
    fields
}
