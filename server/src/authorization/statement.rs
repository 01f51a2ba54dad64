//! What the CapabilityStatement says of the authorization server: `rest.security`
//! (<https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html#declaring-support-for-oauth2-endpoints>).

use bytes::Bytes;
use serde_json::{Value, json};
use smart::{Registration, Route};

use super::Authority;

const SERVICE: &str = "http://terminology.hl7.org/CodeSystem/restful-security-service";
const URIS: &str = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris";

impl Authority {
    /// The statement with the security of its one `rest`.
    pub fn secured(&self, statement: &Bytes) -> Bytes {
        let Ok(mut value) = serde_json::from_slice::<Value>(statement) else { return statement.clone() };
        if let Some(rest) = value.pointer_mut("/rest/0").and_then(Value::as_object_mut) {
            rest.insert("security".to_owned(), self.security());
        }
        serde_json::to_vec(&value).map_or_else(|_| statement.clone(), Bytes::from)
    }

    fn security(&self) -> Value {
        let config = self.server.config();
        let mut routes = vec![
            ("authorize", Route::Authorize),
            ("token", Route::Token),
            ("revoke", Route::Revoke),
            ("introspect", Route::Introspect),
            ("manage", Route::Manage),
        ];
        if config.registration != Registration::Off {
            routes.push(("register", Route::Register));
        }
        let uri = |(name, route): &(&str, Route)| json!({ "url": name, "valueUri": format!("{}{}", config.issuer, route.path()) });
        let uris: Vec<Value> = routes.iter().map(uri).collect();
        json!({
            "extension": [{ "url": URIS, "extension": uris }],
            "cors": true,
            "service": [{
                "coding": [{ "system": SERVICE, "code": "SMART-on-FHIR", "display": "SMART-on-FHIR" }],
                "text": "OAuth2 using SMART-on-FHIR profile (see http://docs.smarthealthit.org)",
            }],
        })
    }
}
