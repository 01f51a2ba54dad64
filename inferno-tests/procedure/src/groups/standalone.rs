//! Launches from outside the EHR: with all scopes, with fewer, by a public app, by one with a key, and with scopes of
//! version 1 (groups 1, 2, 9.2, 9.12, 9.13 of the kit, and their likes for SMART 2.2).

use super::{
    COMPARTMENT, Launched, Plan, Run, STANDALONE_CAPABILITIES, STANDALONE_TYPES, access, discovery, granted,
    openid, refresh, scopes,
};
use crate::browser::Scopes;
use crate::hello;
use crate::http::{Wrong, ensure};
use crate::launch::{Endpoints, Token};

/// What an app asks for besides records.
pub(super) const BEFORE: &str = "launch/patient openid fhirUser offline_access";
const NEEDED: &[&str] = &["openid", "fhirUser", "launch/patient", "offline_access"];

/// Group 1: the token with all scopes.
pub(super) async fn full(run: &mut Run<'_>) -> Option<Token> {
    const TOP: &str = "g10_smart_standalone_patient_app";
    let launched = whole(run, TOP, "rs").await?;
    let (http, inputs) = (run.http.clone(), run.inputs);
    let client = &inputs.confidential;
    let endpoints = launched.endpoints.clone();
    let mut group = run.report.group(TOP);
    let mut openid = group.within("smart_openid_connect");
    openid::openid(&http, inputs, &client.id, &launched.token, &mut openid).await;
    let mut refreshing = group.within("g10_smart_standalone_token_refresh");
    let token = refresh::refresh(&http, inputs, client, &endpoints, launched.token, &mut refreshing).await;
    if let Some(token) = &token {
        access::unrestricted(&http, inputs, token, &mut group.within(access::UNRESTRICTED)).await;
    }
    group.saw("g10_standalone_credentials_export", token.clone().ok_or_else(no_token));
    tls(run, TOP, &endpoints).await;
    token
}

fn no_token() -> Wrong {
    Wrong("there is no token".to_owned())
}

/// The tests of a top group that no version of TLS is spoken which is not to be.
async fn tls(run: &mut Run<'_>, id: &str, endpoints: &Endpoints) {
    let at_authorize = hello::check(&run.http, &endpoints.authorize).await;
    let at_token = hello::check(&run.http, &endpoints.token).await;
    let mut group = run.report.group(id);
    group.saw("g10_auth_incorrectly_permitted_tls_versions_messages_setup", at_authorize);
    group.saw("g10_token_incorrectly_permitted_tls_versions_messages_setup", at_token);
}

/// Discovery and a launch by the confidential app for all scopes, in the letters of a version.
async fn whole(run: &mut Run<'_>, top: &str, letters: &str) -> Option<Launched> {
    let (http, inputs) = (run.http.clone(), run.inputs);
    let mut group = run.report.group(top);
    let mut found = group.within("smart_discovery");
    let endpoints = discovery(&http, inputs, &mut found, STANDALONE_CAPABILITIES).await?;
    let plan = Plan::standalone(&inputs.confidential, scopes(BEFORE, "patient", STANDALONE_TYPES, letters));
    let id = format!("{top}-smart_standalone_launch");
    let launched = run.launch(&id, endpoints, &plan).await?;
    run.report.group(&id).saw("g10_smart_scopes", granted(&launched, "patient", NEEDED, COMPARTMENT));
    Some(launched)
}

/// Group 2: the user grants Patient, Condition and Observation alone.
pub(super) async fn limited(run: &mut Run<'_>) {
    const TOP: &str = "g10_smart_limited_app";
    let (http, inputs) = (run.http.clone(), run.inputs);
    let Ok(endpoints) = Endpoints::discover(&http, &inputs.base).await else { return };
    let mut plan = Plan::standalone(&inputs.confidential, scopes(BEFORE, "patient", STANDALONE_TYPES, "rs"));
    plan.chosen = Scopes::Only(access::GRANTED);
    let id = format!("{TOP}-smart_standalone_launch");
    let Some(launched) = run.launch(&id, endpoints, &plan).await else { return };
    let received = launched.token.scopes();
    let is_of = |kind: &str| {
        received.iter().any(|scope| {
            let of_kind = scope.strip_prefix("patient/").and_then(|rest| rest.split('.').next());
            of_kind == Some(kind) || of_kind == Some("*")
        })
    };
    let wrong: Vec<&str> = access::TYPES
        .iter()
        .map(|(kind, _)| *kind)
        .filter(|kind| is_of(kind) != access::GRANTED.contains(kind))
        .collect();
    let mut group = run.report.group(&id);
    group.saw("g10_limited_scope_grant", ensure(wrong.is_empty(), || format!("not as chosen: {wrong:?}")));
    let mut restricted = run.report.group(&format!("{TOP}-g10_restricted_resource_type_access"));
    access::restricted(&http, inputs, &launched.token, &mut restricted).await;
}

/// Group 9.2: a public app.
pub(super) async fn public(run: &mut Run<'_>) {
    const ID: &str = "g10_public_standalone_launch";
    let (http, inputs) = (run.http.clone(), run.inputs);
    let mut group = run.report.group(ID);
    let Some(endpoints) = discovery(&http, inputs, &mut group, STANDALONE_CAPABILITIES).await else { return };
    let plan = Plan::standalone(&inputs.public, scopes(BEFORE, "patient", STANDALONE_TYPES, "rs"));
    let Some(launched) = run.launch(ID, endpoints, &plan).await else { return };
    let mut group = run.report.group(ID);
    group.saw("g10_public_launch_id_token", has_id_token(&launched));
}

/// Group 9.12: an app with a key.
pub(super) async fn asymmetric(run: &mut Run<'_>) {
    const TOP: &str = "g10_asymmetric_launch";
    let (http, inputs) = (run.http.clone(), run.inputs);
    let mut group = run.report.group(TOP);
    let mut found = group.within("smart_discovery");
    let Some(endpoints) = discovery(&http, inputs, &mut found, STANDALONE_CAPABILITIES).await else { return };
    let client = &inputs.asymmetric;
    let plan = Plan::standalone(client, scopes(BEFORE, "patient", STANDALONE_TYPES, "rs"));
    let id = format!("{TOP}-smart_standalone_launch");
    let Some(launched) = run.launch(&id, endpoints.clone(), &plan).await else { return };
    run.report.group(&id).saw("g10_asymmetric_launch_id_token", has_id_token(&launched));
    let mut group = run.report.group(&format!("{TOP}-g10_smart_asymmetric_token_refresh"));
    refresh::refresh(&http, inputs, client, &endpoints, launched.token, &mut group).await;
}

fn has_id_token(launched: &Launched) -> Result<(), Wrong> {
    ensure(launched.token.text("id_token").is_some(), || "no id_token".to_owned())
}

/// Group 9.13: scopes of version 1.
pub(super) async fn version_1(run: &mut Run<'_>) {
    const TOP: &str = "g10_smart_v1_scopes";
    let Some(launched) = whole(run, TOP, "read").await else { return };
    let (http, inputs) = (run.http.clone(), run.inputs);
    let mut group = run.report.group(&format!("{TOP}-{}", access::UNRESTRICTED));
    access::unrestricted(&http, inputs, &launched.token, &mut group).await;
    tls(run, TOP, &launched.endpoints).await;
}
