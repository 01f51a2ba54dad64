//! Refresh tokens (groups 1.6, 3.6, 9.12.3 of the kit).

use super::patient_context;
use crate::http::{Checked, Http, Wrong, ensure};
use crate::inputs::{Client, Inputs};
use crate::launch::{self, Endpoints, Token, random};
use crate::report::Group;

/// Refreshes without scopes, then with those granted: the last token.
pub(super) async fn refresh(
    http: &Http,
    inputs: &Inputs,
    client: &Client,
    endpoints: &Endpoints,
    token: Token,
    group: &mut Group<'_>,
) -> Option<Token> {
    let mut current = token;
    for (name, with_scopes) in [("without_scopes", false), ("with_scopes", true)] {
        let answer = again(http, client, endpoints, &current, with_scopes).await;
        let answer = group.saw(&format!("g10_token_refresh_{name}"), answer)?;
        let read = Token::read(&answer).and_then(|new| narrower(&current, new));
        let new = group.saw(&format!("g10_token_refresh_body_{name}"), read)?;
        current = keeping(&current, new);
    }
    group.saw("g10_patient_context", patient_context(http, inputs, &current).await);
    let refused = async {
        let form = [("grant_type", "refresh_token"), ("refresh_token", &*random())];
        launch::token(http, endpoints, client, &form).await?.expect(&[400, 401]).map(|_| ())
    };
    group.saw("g10_invalid_token_refresh", refused.await);
    Some(current)
}

async fn again(
    http: &Http,
    client: &Client,
    endpoints: &Endpoints,
    token: &Token,
    with_scopes: bool,
) -> Checked<crate::http::Answer> {
    let refresh = token.text("refresh_token").ok_or_else(|| Wrong("no refresh_token".to_owned()))?;
    let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", refresh)];
    if with_scopes {
        form.push(("scope", token.text("scope").unwrap_or_default()));
    }
    let answer = launch::token(http, endpoints, client, &form).await?;
    answer.expect(&[200])?;
    Ok(answer)
}

/// Refuses a token with more scopes than the one before.
fn narrower(old: &Token, new: Token) -> Checked<Token> {
    let known = old.scopes();
    let more: Vec<&str> = new.scopes().into_iter().filter(|scope| !known.contains(scope)).collect();
    ensure(more.is_empty(), || format!("the scopes {more:?} were not granted before"))?;
    Ok(new)
}

/// A refresh may leave out what has not changed: the refresh token, and the context of the launch.
fn keeping(old: &Token, mut new: Token) -> Token {
    for name in ["refresh_token", "patient", "encounter"] {
        if let (None, Some(value)) = (new.body.get(name), old.body.get(name))
            && let Some(members) = new.body.as_object_mut()
        {
            members.insert(name.to_owned(), value.clone());
        }
    }
    new
}
