//! Launches from the EHR, by a practitioner for what they may see and for a patient's records (groups 3, 9.9 of the kit, and
//! their likes for SMART 2.2).

use serde_json::Value;
use url::Url;

use super::{
    COMPARTMENT, EHR_CAPABILITIES, Plan, Run, STANDALONE_TYPES, discovery, granted, openid, read, refresh,
    scopes,
};
use crate::browser::{Arrived, Browser, Form, Page, Scopes};
use crate::hello;
use crate::http::{Checked, Wrong, ensure};
use crate::inputs::{Client, Ehr};
use crate::launch::{Endpoints, Token, parameter};

const NEEDED: &[&str] = &["openid", "fhirUser", "launch", "offline_access"];

/// Group 3.
pub(super) async fn practitioner(run: &mut Run<'_>) {
    const TOP: &str = "g10_smart_ehr_practitioner_app";
    let (http, inputs) = (run.http.clone(), run.inputs);
    let mut group = run.report.group(TOP);
    let mut found = group.within("smart_discovery");
    let Some(endpoints) = discovery(&http, inputs, &mut found, EHR_CAPABILITIES).await else { return };
    let client = &inputs.confidential;
    let scope = scopes("launch openid fhirUser offline_access", "user", STANDALONE_TYPES, "rs");
    let id = format!("{TOP}-smart_ehr_launch");
    let Some(plan) = opened(run, &id, client, scope).await else { return };
    let Some(launched) = run.launch(&id, endpoints.clone(), &plan).await else { return };
    let mut group = run.report.group(&id);
    group.saw("g10_smart_scopes", granted(&launched, "user", NEEDED, COMPARTMENT));
    let encounter = async {
        let found = launched.token.text("encounter").ok_or_else(|| Wrong("no `encounter`".to_owned()))?;
        read(&http, inputs, &launched.token, "Encounter", found).await.map(|_| ())
    };
    group.saw("g10_encounter_context", encounter.await);
    let style = async {
        let url =
            launched.token.text("smart_style_url").ok_or_else(|| Wrong("no smart_style_url".to_owned()))?;
        http.get(url, &[]).await?.expect(&[200])?.json().map(|_| ())
    };
    group.saw("g10_smart_style_url", style.await);
    group.saw("g10_smart_need_patient_banner", has_banner(&launched.token));
    let mut top = run.report.group(TOP);
    let mut identity = top.within("smart_openid_connect");
    openid::openid(&http, inputs, &client.id, &launched.token, &mut identity).await;
    let mut refreshing = top.within("g10_smart_ehr_token_refresh");
    let token = refresh::refresh(&http, inputs, client, &endpoints, launched.token, &mut refreshing).await;
    top.saw("g10_ehr_credentials_export", token.ok_or_else(|| Wrong("there is no token".to_owned())));
    let at_authorize = hello::check(&http, &endpoints.authorize).await;
    top.saw("g10_auth_incorrectly_permitted_tls_versions_messages_setup", at_authorize);
    let at_token = hello::check(&http, &endpoints.token).await;
    top.saw("g10_token_incorrectly_permitted_tls_versions_messages_setup", at_token);
}

/// A token for all that the practitioner may see.
pub(super) async fn token(run: &mut Run<'_>) -> Checked<Token> {
    let (http, inputs) = (run.http.clone(), run.inputs);
    let endpoints = Endpoints::discover(&http, &inputs.base).await?;
    // Reports refer to pictures, and roles to endpoints.
    let types = [STANDALONE_TYPES, &["Media", "Endpoint"]].concat();
    let scope = scopes("launch openid fhirUser offline_access", "user", &types, "rs");
    let plan = opened(run, "launch", &inputs.confidential, scope).await;
    let launched = match plan {
        Some(plan) => run.launch("launch", endpoints, &plan).await,
        None => None,
    };
    // What went wrong on the way is the last of what the launch saw.
    let wrong = || run.report.seen.iter().rev().find_map(|seen| seen.outcome.why().cloned());
    launched
        .map(|launched| launched.token)
        .ok_or_else(|| wrong().unwrap_or_else(|| Wrong("no token".to_owned())))
}

fn has_banner(token: &Token) -> Checked {
    let is_there = token.body.get("need_patient_banner").is_some_and(Value::is_boolean);
    ensure(is_there, || "no boolean need_patient_banner".to_owned())
}

/// Group 9.9: a launch from the EHR with the scopes of a patient.
pub(super) async fn patient(run: &mut Run<'_>) {
    const ID: &str = "g10_ehr_patient_launch";
    let (http, inputs) = (run.http.clone(), run.inputs);
    let mut group = run.report.group(ID);
    let Some(endpoints) = discovery(&http, inputs, &mut group, EHR_CAPABILITIES).await else { return };
    let scope = "launch openid fhirUser offline_access patient/Patient.rs".to_owned();
    let Some(plan) = opened(run, ID, &inputs.confidential, scope).await else { return };
    let Some(launched) = run.launch(ID, endpoints, &plan).await else { return };
    let has = launched.token.scopes().contains(&"patient/Patient.rs");
    run.report
        .group(ID)
        .saw("g10_patient_scope", ensure(has, || "patient/Patient.rs is not granted".to_owned()));
}

/// The EHR opens the app: a plan to go on with.
async fn opened<'p>(run: &mut Run<'p>, id: &str, client: &'p Client, scope: String) -> Option<Plan<'p>> {
    let found = open(run, client).await;
    let mut group = run.report.group(id);
    let query = group.saw("smart_app_launch", found)?;
    let launch = parameter(&query, "launch").ok_or_else(|| Wrong("no launch parameter".to_owned()));
    let launch = group.saw("smart_launch_received", launch.map(str::to_owned))?;
    Some(Plan {
        client,
        scope,
        chosen: Scopes::AsOffered,
        prefix: "ehr",
        launch: Some(launch),
        practitioner: true,
        post: true,
    })
}

/// The query that the app is opened with.
async fn open(run: &Run<'_>, client: &Client) -> Checked<Vec<(String, String)>> {
    let inputs = run.inputs;
    let Ehr::Page { url } = &inputs.ehr;
    let url = Url::parse(url).map_err(|_| Wrong(format!("{url} is no URL")))?;
    let mut browser = Browser::new(&run.http);
    let mut page = browser.page(&url, &inputs.practitioner).await?;
    // One form for the app and the patient, and one for the encounter.
    for _ in 0..2 {
        let form = form(&page).ok_or_else(|| Wrong(format!("{} has no form for an app", page.url)))?;
        let visit = page.send(&form, &filled(&form, client, &inputs.patient))?;
        match browser.visit(&visit, &inputs.launch_uri).await? {
            Arrived::End(url) => {
                let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
                let issuer = parameter(&query, "iss").unwrap_or_default().trim_end_matches('/');
                ensure(issuer == inputs.base, || format!("iss is {issuer}"))?;
                return Ok(query);
            }
            Arrived::Page(next) => page = next,
            Arrived::Refused(wrong) => return Err(wrong),
        }
    }
    Err(Wrong(format!("{} is shown instead of the app", page.url)))
}

/// Hidden fields as they are, the app, the patient, and the first encounter.
fn filled(form: &Form, client: &Client, patient: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for field in &form.fields {
        let takes = match (field.kind.as_str(), field.name.as_str()) {
            ("hidden", _) => true,
            ("radio", "app") => field.value == client.id,
            ("radio", "patient") => field.value == patient,
            ("radio", name) => !out.iter().any(|(known, _)| known == name),
            _ => false,
        };
        if takes {
            out.push((field.name.clone(), field.value.clone()));
        }
    }
    out
}

fn form(page: &Page) -> Option<Form> {
    page.forms().into_iter().find(|form| form.is_post() && form.has("app"))
}
