//! The id_token (groups 1.10, 1.11, 3.9, 3.10 of the kit).

use serde_json::Value;

use super::allows_origin;
use crate::http::{Checked, Http, Wrong, ensure, required, text};
use crate::inputs::Inputs;
use crate::jwt;
use crate::launch::{Token, now_s};
use crate::report::Group;

const FIELDS: &[&str] = &[
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "response_types_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
];

pub(super) async fn openid(
    http: &Http,
    inputs: &Inputs,
    client: &str,
    token: &Token,
    group: &mut Group<'_>,
) -> Option<()> {
    let id_token = token.text("id_token").ok_or_else(|| Wrong("no id_token".to_owned()));
    let (header, claims) =
        group.saw("smart_openid_decode_id_token", id_token.clone().and_then(jwt::decode))?;
    let id_token = id_token.ok()?;
    let configuration =
        group.saw("smart_openid_retrieve_configuration", configuration(http, &claims).await)?;
    group.saw("smart_openid_required_configuration_fields", complete(&configuration));
    let keys = group.saw("smart_openid_retrieve_jwks", keys(http, &configuration).await)?;
    let key = group.saw("smart_openid_token_header", key(&header, &keys))?;
    let payload = jwt::verify(id_token, &key).and_then(|()| payload(&claims, &configuration, client));
    group.saw("smart_openid_token_payload", payload);
    let user = group.saw("smart_openid_fhir_user_claim", user(http, inputs, token, &claims).await)?;
    let bearer = token.bearer();
    let url = format!("{}/{user}", inputs.base);
    let found = allows_origin(http, &url, &[("authorization", &bearer)]).await;
    group.saw("smart_cors_openid_fhir_user_claim", found)
}

async fn configuration(http: &Http, claims: &Value) -> Checked<Value> {
    let issuer = required(claims, "iss")?.trim_end_matches('/');
    let answer = http.get(&format!("{issuer}/.well-known/openid-configuration"), &[]).await?;
    let kind = answer.header("content-type").unwrap_or_default();
    ensure(kind.starts_with("application/json"), || format!("Content-Type {kind}"))?;
    answer.expect(&[200])?.json()
}

fn complete(configuration: &Value) -> Checked {
    let missing: Vec<&&str> = FIELDS.iter().filter(|name| configuration.get(**name).is_none()).collect();
    ensure(missing.is_empty(), || format!("{missing:?} are missing"))?;
    let algorithms = configuration.get("id_token_signing_alg_values_supported").and_then(Value::as_array);
    let has = algorithms.is_some_and(|list| list.iter().any(|one| one == "RS256"));
    ensure(has, || "id_tokens are not signed with RS256".to_owned())
}

async fn keys(http: &Http, configuration: &Value) -> Checked<Vec<Value>> {
    let answer = http.get(required(configuration, "jwks_uri")?, &[]).await?;
    let jwks = answer.expect(&[200])?.json()?;
    let keys =
        jwks.get("keys").and_then(Value::as_array).ok_or_else(|| Wrong("no list of keys".to_owned()))?;
    let rsa: Vec<Value> = keys.iter().filter(|key| text(key, "kty") == Some("RSA")).cloned().collect();
    ensure(!rsa.is_empty(), || "there is no RSA key".to_owned())?;
    Ok(rsa)
}

fn key(header: &Value, keys: &[Value]) -> Checked<Value> {
    ensure(text(header, "alg") == Some("RS256"), || "the id_token is not signed with RS256".to_owned())?;
    let id = text(header, "kid");
    let found = match (keys, id) {
        ([only], None) => Some(only),
        _ => keys.iter().find(|key| id.is_some() && text(key, "kid") == id),
    };
    found.cloned().ok_or_else(|| Wrong("the JWKS has no key of the id_token's kid".to_owned()))
}

fn payload(claims: &Value, configuration: &Value, client: &str) -> Checked {
    ensure(text(claims, "iss") == text(configuration, "issuer"), || "another issuer".to_owned())?;
    let audience = claims.get("aud");
    let is_client = |value: &Value| value.as_str() == Some(client);
    let is_for = audience
        .is_some_and(|aud| is_client(aud) || aud.as_array().is_some_and(|list| list.iter().any(is_client)));
    ensure(is_for, || "it is for another client".to_owned())?;
    let subject = required(claims, "sub")?;
    ensure(subject.len() < 256, || "`sub` is longer than 255 characters".to_owned())?;
    let number = |name: &str| claims.get(name).and_then(Value::as_u64);
    ensure(number("exp").is_some_and(|exp| exp + 60 > now_s()), || "it has expired".to_owned())?;
    ensure(number("iat").is_some(), || "no `iat`".to_owned())
}

async fn user(http: &Http, inputs: &Inputs, token: &Token, claims: &Value) -> Checked<String> {
    let claim = required(claims, "fhirUser")?;
    let mut parts = claim.rsplit('/');
    let (id, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let known = ["Patient", "Practitioner", "RelatedPerson", "Person"].contains(&kind);
    ensure(known, || format!("fhirUser is {claim}"))?;
    super::read(http, inputs, token, kind, id).await?;
    Ok(format!("{kind}/{id}"))
}
