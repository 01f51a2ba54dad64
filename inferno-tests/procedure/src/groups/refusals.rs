//! Launches that must not succeed: a wrong audience, a wrong code or client, a wrong verifier (groups 9.4, 9.6, 9.7 of the
//! kit, and their likes for SMART 2.2).

use super::{Plan, Run, STANDALONE_TYPES, scopes, standalone::BEFORE};
use crate::browser::{Browser, Ended};
use crate::http::{Wrong, ensure};
use crate::inputs::{Client, Secret};
use crate::launch::{self, Endpoints, code};

fn plan<'p>(run: &Run<'p>) -> Plan<'p> {
    Plan::standalone(&run.inputs.confidential, scopes(BEFORE, "patient", STANDALONE_TYPES, "rs"))
}

/// Group 9.4: the app believes that it talks to another server.
pub(super) async fn audience(run: &mut Run<'_>) {
    let (http, plan) = (run.http.clone(), plan(run));
    let Ok(endpoints) = Endpoints::discover(&http, &run.inputs.base).await else { return };
    let choices = run.choices(&plan);
    let mut request = run.request(&plan);
    request.aud = "https://inferno.healthit.gov/invalid_aud";
    let ended = async {
        let visit = request.visit(&endpoints)?;
        Browser::new(&http).ended(visit, request.redirect_uri, &choices).await
    };
    let ended = ended.await;
    // A server may also end on a page of its own that says what is wrong; then the app is not sent back at all.
    let without_code = match &ended {
        Ok(Ended::App(url)) => {
            let code = url.query_pairs().any(|(name, _)| name == "code");
            ensure(!code, || "there is a code".to_owned())
        }
        Ok(Ended::Refused(_)) => Ok(()),
        Err(wrong) => Err(wrong.clone()),
    };
    let mut group = run.report.group("g10_smart_invalid_aud");
    group.saw("smart_app_redirect", ended);
    group.saw("Test04", without_code);
}

/// Group 9.6: a code that was never given, and a client that there is not.
pub(super) async fn token_request(run: &mut Run<'_>) {
    const ID: &str = "g10_smart_invalid_token_request";
    let (http, plan) = (run.http.clone(), plan(run));
    let found = Endpoints::discover(&http, &run.inputs.base).await;
    let Some(endpoints) = run.report.group(ID).saw("well_known_endpoint", found) else { return };
    let choices = run.choices(&plan);
    let request = run.request(&plan);
    let back = request.authorize(&mut Browser::new(&http), &endpoints, &choices).await;
    let received = back.clone().and_then(|query| code(&query, &request.state).map(str::to_owned));
    let bad_code =
        async { request.exchange(&http, &endpoints, "BAD_CODE").await?.expect(&[400]).map(|_| ()) };
    let bad_code = bad_code.await;
    let bad_client = async {
        let Secret::Basic(secret) = &plan.client.secret else {
            return Err(Wrong("the confidential app has no secret".to_owned()));
        };
        let other = Client { id: "BAD_CLIENT_ID".to_owned(), secret: Secret::Basic(secret.clone()) };
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &*received.clone()?),
            ("redirect_uri", request.redirect_uri),
            ("code_verifier", &request.verifier),
        ];
        launch::token(&http, &endpoints, &other, &form).await?.expect(&[400, 401]).map(|_| ())
    };
    let bad_client = bad_client.await;
    let mut group = run.report.group(ID);
    group.saw("smart_app_redirect", back);
    group.saw("smart_code_received", received.clone());
    group.saw("Test03", bad_code);
    group.saw("Test04", bad_client);
}

/// Group 9.7: no verifier, a blank one, a wrong one, and the challenge itself.
pub(super) async fn code_verifier(run: &mut Run<'_>) {
    const ID: &str = "g10_smart_invalid_pkce_code_verifier_group";
    let (http, plan) = (run.http.clone(), plan(run));
    let found = Endpoints::discover(&http, &run.inputs.base).await;
    let Some(endpoints) = run.report.group(ID).saw("well_known_endpoint", found) else { return };
    let ids = [
        ("smart_no_code_verifier", "smart_no_verifier_token_request"),
        ("smart_blank_code_verifier", "smart_blank_verifier_token_request"),
        ("smart_bad_code_verifier", "smart_bad_code_verifier_token_request"),
        ("smart_plain_code_verifier", "smart_plain_code_verifier_token_request"),
    ];
    for (name, test) in ids {
        let choices = run.choices(&plan);
        let request = run.request(&plan);
        let back = request.authorize(&mut Browser::new(&http), &endpoints, &choices).await;
        let received = back.clone().and_then(|query| code(&query, &request.state).map(str::to_owned));
        let verifier = match name {
            "smart_no_code_verifier" => None,
            "smart_blank_code_verifier" => Some(String::new()),
            "smart_bad_code_verifier" => Some(launch::random()),
            _ => Some(request.challenge()),
        };
        let refused = async {
            let code = received.clone()?;
            let mut form = vec![
                ("grant_type", "authorization_code"),
                ("code", &*code),
                ("redirect_uri", request.redirect_uri),
            ];
            form.extend(verifier.as_deref().map(|verifier| ("code_verifier", verifier)));
            launch::token(&http, &endpoints, plan.client, &form).await?.expect(&[400, 401]).map(|_| ())
        };
        let refused = refused.await;
        let mut group = run.report.group(ID);
        group.saw(&format!("{name}_redirect"), back);
        group.saw(&format!("{name}_code_received"), received.clone());
        group.saw(test, refused);
    }
}
