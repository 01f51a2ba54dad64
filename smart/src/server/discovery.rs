//! What apps read first: SMART's configuration
//! (<https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html#using-well-known>), OpenID's, and the keys.

use serde_json::{Map, Value, json};

use super::{AuthorizationServer, Route};
use crate::config::Registration;
use crate::jwt::{Algorithm, published};
use crate::message::Reply;
use crate::record::IdTokenAlgorithm;

/// SMART's capabilities that this server has.
pub const CAPABILITIES: &[&str] = &[
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
];

/// What may sign an assertion of a client.
pub(super) const ASSERTION_ALGORITHMS: [Algorithm; 2] = [Algorithm::Rs384, Algorithm::Es384];

impl AuthorizationServer {
    pub(super) fn smart_configuration(&self) -> Reply {
        let mut document = self.common();
        document.insert("capabilities".into(), json!(CAPABILITIES));
        document.insert("management_endpoint".into(), self.url(Route::Manage).into());
        if let Some(brand) = &self.config.brand {
            let (system, value) = &brand.identifier;
            document.insert("user_access_brand_bundle".into(), brand.bundle.clone().into());
            document
                .insert("user_access_brand_identifier".into(), json!({ "system": system, "value": value }));
        }
        Reply::json(200, document.into()).for_any_origin()
    }

    pub(super) fn openid_configuration(&self) -> Reply {
        let mut document = self.common();
        document.insert("subject_types_supported".into(), json!(["public"]));
        document.insert(
            "id_token_signing_alg_values_supported".into(),
            json!(IdTokenAlgorithm::ALL.map(IdTokenAlgorithm::name)),
        );
        let claims = ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "fhirUser", "profile", "name"];
        document.insert("claims_supported".into(), json!(claims));
        document.insert("request_parameter_supported".into(), false.into());
        document.insert("request_uri_parameter_supported".into(), false.into());
        Reply::json(200, document.into()).for_any_origin()
    }

    pub(super) fn jwks(&self) -> Reply {
        let mut keys = self.services.signer.published();
        keys.extend(self.services.es256.published());
        Reply::json(200, published(&keys)).with("Cache-Control", "public, max-age=300").for_any_origin()
    }

    fn common(&self) -> Map<String, Value> {
        let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];
        let scopes = [
            "openid",
            "fhirUser",
            "profile",
            "launch",
            "launch/patient",
            "launch/encounter",
            "offline_access",
            "online_access",
            "patient/*.cruds",
            "user/*.cruds",
            "system/*.cruds",
        ];
        let document = json!({
            "issuer": self.config.issuer,
            "jwks_uri": self.url(Route::Jwks),
            "authorization_endpoint": self.url(Route::Authorize),
            "token_endpoint": self.url(Route::Token),
            "revocation_endpoint": self.url(Route::Revoke),
            "introspection_endpoint": self.url(Route::Introspect),
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS.map(Algorithm::name),
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "scopes_supported": scopes,
        });
        let mut document = match document {
            Value::Object(document) => document,
            _ => Map::new(),
        };
        if self.config.registration != Registration::Off {
            document.insert("registration_endpoint".into(), self.url(Route::Register).into());
        }
        document
    }
}
