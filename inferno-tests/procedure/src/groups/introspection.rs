//! Token introspection (groups 9.11 and 9.20 of the kit).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{
    Launched, Plan, Run, STANDALONE_CAPABILITIES, STANDALONE_TYPES, discovery, scopes, standalone::BEFORE,
};
use crate::http::{Checked, Http, ensure, required, text};
use crate::inputs::{Client, Secret};
use crate::jwt;
use crate::launch::now_s;

pub(super) async fn introspection(run: &mut Run<'_>) -> Option<()> {
    const TOP: &str = "g10_token_introspection";
    const TOKEN: &str = "smart_token_introspection_access_token_group";
    let (http, inputs) = (run.http.clone(), run.inputs);
    let client = &inputs.confidential;
    let mut group = run.report.group(&format!("{TOP}-{TOKEN}-smart_discovery"));
    let endpoints = discovery(&http, inputs, &mut group, STANDALONE_CAPABILITIES).await?;
    let plan = Plan::standalone(client, scopes(BEFORE, "patient", STANDALONE_TYPES, "rs"));
    let launched = run.launch(&format!("{TOP}-{TOKEN}-smart_standalone_launch"), endpoints, &plan).await?;
    let active = ask(&http, client, &launched, launched.token.access()).await;
    let inactive = ask(&http, client, &launched, "invalid_token_value").await;
    let mut group = run.report.group(&format!("{TOP}-smart_token_introspection_request_group"));
    let active = group.saw("Test01", active);
    let inactive = group.saw("Test02", inactive);
    let mut group = run.report.group(&format!("{TOP}-smart_token_introspection_response_group"));
    group.saw("Test01", is_active(&active?, client, &launched));
    let inactive = inactive?;
    let alone = inactive.as_object().is_some_and(|members| members.len() == 1);
    let is_not = inactive.get("active") == Some(&Value::Bool(false));
    group.saw("Test02", ensure(is_not && alone, || format!("of a token that there is not: {inactive}")))
}

async fn ask(http: &Http, client: &Client, launched: &Launched, token: &str) -> Checked<Value> {
    let url = required(&launched.endpoints.configuration, "introspection_endpoint")?;
    let basic = match &client.secret {
        Secret::Basic(secret) => format!("Basic {}", STANDARD.encode(format!("{}:{secret}", client.id))),
        Secret::Public | Secret::Key(_) => launched.token.bearer(),
    };
    let headers = [("accept", "application/json"), ("authorization", basic.as_str())];
    http.post_form(url, &headers, &[("token", token)]).await?.expect(&[200])?.json()
}

fn is_active(body: &Value, client: &Client, launched: &Launched) -> Checked {
    ensure(body.get("active") == Some(&Value::Bool(true)), || format!("not active: {body}"))?;
    ensure(text(body, "client_id") == Some(&client.id), || "another client".to_owned())?;
    let mut known = launched.token.scopes();
    let mut told: Vec<&str> = required(body, "scope")?.split_whitespace().collect();
    known.sort_unstable();
    told.sort_unstable();
    ensure(known == told, || format!("other scopes: {told:?}"))?;
    let expires = body.get("exp").and_then(Value::as_u64);
    ensure(expires.is_some_and(|exp| exp > now_s()), || "it has expired".to_owned())?;
    for name in ["patient", "encounter"] {
        let same = launched.token.text(name).is_none_or(|value| text(body, name) == Some(value));
        ensure(same, || format!("another {name}"))?;
    }
    let (_, claims) = jwt::decode(launched.token.text("id_token").unwrap_or_default())?;
    for name in ["iss", "sub", "fhirUser"] {
        ensure(text(body, name) == text(&claims, name), || format!("another {name} than in the id_token"))?;
    }
    Ok(())
}
