//! Revocation (group 9.3 of the kit). The kit lets a person do it; here it is done at the endpoint, as an app that is told to
//! by its user does it.

use super::{Plan, Run, STANDALONE_TYPES, read, scopes, standalone::BEFORE};
use crate::browser::Browser;
use crate::http::{Wrong, required};
use crate::inputs::Secret;
use crate::launch::{self, Endpoints, Token, code};

pub(super) async fn revocation(run: &mut Run<'_>) -> Option<()> {
    let (http, inputs) = (run.http.clone(), run.inputs);
    let client = &inputs.confidential;
    let endpoints = Endpoints::discover(&http, &inputs.base).await.ok()?;
    let plan = Plan::standalone(client, scopes(BEFORE, "patient", STANDALONE_TYPES, "rs"));
    let (choices, request) = (run.choices(&plan), run.request(&plan));
    let launched = async {
        let query = request.authorize(&mut Browser::new(&http), &endpoints, &choices).await?;
        let code = code(&query, &request.state)?;
        Token::read(&request.exchange(&http, &endpoints, code).await?)
    };
    let launched = launched.await;
    let revoked = async {
        let token = launched.clone()?;
        // It counts before.
        read(&http, inputs, &token, "Patient", &inputs.patient).await?;
        let refresh = token.text("refresh_token").ok_or_else(|| Wrong("no refresh_token".to_owned()))?;
        let at = Endpoints {
            token: required(&endpoints.configuration, "revocation_endpoint")?.to_owned(),
            ..endpoints.clone()
        };
        let Secret::Basic(_) = client.secret else {
            return Err(Wrong("the confidential app has no secret".to_owned()));
        };
        launch::token(&http, &at, client, &[("token", refresh)]).await?.expect(&[200]).map(|_| ())
    };
    let revoked = revoked.await;
    let unread = async {
        let (token, url) = (launched.clone()?, format!("{}/Patient/{}", inputs.base, inputs.patient));
        let bearer = token.bearer();
        http.get(&url, &[("authorization", bearer.as_str())]).await?.expect(&[401, 403, 404]).map(|_| ())
    };
    let unread = unread.await;
    let refused = async {
        let token = launched.clone()?;
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.text("refresh_token").unwrap_or_default()),
        ];
        launch::token(&http, &endpoints, client, &form).await?.expect(&[400, 401]).map(|_| ())
    };
    let refused = refused.await;
    let mut group = run.report.group("g10_token_revocation");
    group.saw("Test01", revoked);
    group.saw("Test02", unread);
    group.saw("Test03", refused)
}
