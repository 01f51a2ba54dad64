//! Tokens: what they say, how long they last, how they are renewed, revoked and asked about.

use serde_json::{Value, json as value};
use smart::jwt::{Jwks, Token};
use smart::{Route, TokenError};

use crate::support::*;

#[test]
fn the_id_token_is_what_openid_and_smart_ask() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let code = browser.code("ann", &[("scope", "openid fhirUser profile"), ("nonce", "n-1")]);
    let tokens = json(&world.redeem(&code));
    let id_token = text(&tokens, "id_token");
    let keys =
        Jwks::read(json(&world.answer(Route::Jwks, &smart::Request::default())).to_string().as_bytes())
            .unwrap();
    let claims = Token::read(id_token).unwrap().verified(&keys, "JWT").unwrap();
    for (name, expected) in [
        ("iss", ISSUER),
        ("sub", "sub-ann"),
        ("aud", "public"),
        ("nonce", "n-1"),
        ("fhirUser", "https://ehr.example/fhir/Patient/1"),
        ("profile", "https://ehr.example/fhir/Patient/1"),
        ("name", "ann <b>"),
    ] {
        assert_eq!(claims.text(name), Some(expected), "{name}");
    }
    let tokens = world.tokens("openid patient/*.rs");
    let claims = Token::read(text(&tokens, "id_token")).unwrap().verified(&keys, "JWT").unwrap();
    assert_eq!((claims.text("fhirUser"), claims.text("name"), claims.text("nonce")), (None, None, None));
    assert!(world.tokens("patient/*.rs").get("id_token").is_none());
}

#[track_caller]
fn check_dead(world: &World, token: &str) {
    assert_eq!(now(world.server.verify(token)), Err(TokenError::Invalid));
}

#[track_caller]
fn check_alive(world: &World, token: &str) {
    assert!(now(world.server.verify(token)).is_ok());
}

#[test]
fn an_access_token_expires() {
    let world = World::new();
    let tokens = world.tokens("patient/*.rs");
    world.wait(3599);
    check_alive(&world, text(&tokens, "access_token"));
    world.wait(1);
    check_dead(&world, text(&tokens, "access_token"));
    for nonsense in ["", "x", &"a".repeat(43), &"a".repeat(10_000)] {
        check_dead(&world, nonsense);
    }
}

#[test]
fn a_refresh_token_gives_new_tokens_with_the_same_context() {
    let world = World::new();
    let scope = "launch/patient offline_access patient/*.rs";
    let first = world.tokens(scope);
    let reply = world.refresh(text(&first, "refresh_token"), &[]);
    let second = json(&reply);
    assert_eq!(
        (reply.status, reply.header("Cache-Control"), reply.header("Pragma")),
        (200, Some("no-store"), Some("no-cache"))
    );
    assert_eq!(
        (text(&second, "scope"), text(&second, "patient"), &second["expires_in"]),
        (scope, "1", &value!(3600))
    );
    assert_ne!(text(&second, "refresh_token"), text(&first, "refresh_token"));
    check_alive(&world, text(&second, "access_token"));
    // Used every five months, it lasts for years.
    let mut token = text(&second, "refresh_token").to_owned();
    for _ in 0..5 {
        world.wait(150 * 24 * 3600);
        token = text(&json(&world.refresh(&token, &[("scope", scope)])), "refresh_token").to_owned();
    }
    world.wait(180 * 24 * 3600);
    check_error(&world.refresh(&token, &[]), 400, "invalid_grant");
}

#[test]
fn without_offline_or_online_access_nothing_is_renewed() {
    let world = World::new();
    assert!(world.tokens("patient/*.rs").get("refresh_token").is_none());
}

#[test]
fn online_access_ends_with_the_session() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let page = browser.reach_consent("ann", &[("scope", "online_access patient/*.rs")]);
    let answer = browser.allow(&page);
    let tokens = json(&world.redeem(&answer["code"]));
    let tokens = json(&world.refresh(text(&tokens, "refresh_token"), &[]));
    let page = browser.send(Route::Manage, false, &[]);
    let reply = browser.submit(Route::Logout, &page, &[]);
    assert_eq!(reply.status, 303);
    check_error(&world.refresh(text(&tokens, "refresh_token"), &[]), 400, "invalid_grant");
}

#[test]
fn an_app_revokes_its_tokens_and_no_others() {
    let world = World::new();
    let tokens = world.tokens("offline_access patient/*.rs");
    let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    for token in [access, refresh, "unknown"] {
        assert_eq!(world.post(Route::Revoke, &[("client_id", "other"), ("token", token)]).status, 200);
    }
    check_alive(&world, access);
    assert_eq!(world.post(Route::Revoke, &[("client_id", "public"), ("token", access)]).status, 200);
    check_dead(&world, access);
    let tokens = json(&world.refresh(refresh, &[]));
    let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    let form = [("client_id", "public"), ("token", refresh), ("token_type_hint", "refresh_token")];
    assert_eq!(world.post(Route::Revoke, &form).status, 200);
    check_dead(&world, access);
    check_error(&world.refresh(refresh, &[]), 400, "invalid_grant");
    check_error(
        &world.post(Route::Revoke, &[("client_id", "nobody"), ("token", access)]),
        401,
        "invalid_client",
    );
    check_error(&world.post(Route::Revoke, &[("client_id", "public")]), 400, "invalid_request");
}

#[test]
fn introspection_tells_what_the_token_response_told() {
    let world = World::new();
    let tokens = world.tokens("openid fhirUser launch/patient patient/*.rs");
    let token = text(&tokens, "access_token");
    let told = json(&world.post_as(Route::Introspect, "resource-server", SECRET, &[("token", token)]));
    assert_eq!(
        told,
        value!({
            "active": true, "scope": text(&tokens, "scope"), "client_id": "public", "token_type": "Bearer",
            "exp": 1_800_003_600, "iat": 1_800_000_000, "iss": ISSUER, "sub": "sub-ann", "username": "ann",
            "patient": "1", "fhirUser": "https://ehr.example/fhir/Patient/1"
        })
    );
    let inactive = value!({ "active": false });
    let ask =
        |id: &str, token: &str| json(&world.post_as(Route::Introspect, id, SECRET, &[("token", token)]));
    assert_eq!(ask("resource-server", "invalid_token_value"), inactive);
    // Another app learns nothing of it, and a public one may not ask.
    assert_eq!(ask("confidential", token), inactive);
    check_error(&world.post(Route::Introspect, &[("token", token)]), 401, "invalid_client");
    check_error(
        &world.post(Route::Introspect, &[("client_id", "public"), ("token", token)]),
        401,
        "invalid_client",
    );
    world.wait(3600);
    assert_eq!(ask("resource-server", token), inactive);
}

#[test]
fn a_refresh_token_alone_says_which_public_app_it_is_of_and_no_other() {
    let world = World::new();
    let nobody = [("client_id", "")];
    let tokens = world.tokens("offline_access patient/*.rs");
    assert_eq!(world.refresh(text(&tokens, "refresh_token"), &nobody).status, 200);
    let scope = ("scope", "offline_access patient/*.rs");
    let code = Browser::new(&world).code("ann", &[("client_id", "confidential"), scope]);
    let secret = [("client_id", "confidential"), ("client_secret", SECRET)];
    let tokens = json(&world.redeem_with(&code, &secret));
    check_error(&world.refresh(text(&tokens, "refresh_token"), &nobody), 401, "invalid_client");
    assert_eq!(world.refresh(text(&tokens, "refresh_token"), &secret).status, 200);
}

#[test]
fn a_confidential_app_uses_its_secret_in_either_place() {
    let world = World::new();
    let code = |world: &World| Browser::new(world).code("ann", &[("client_id", "confidential")]);
    let form = |code: &str, more: &[(&str, &str)]| -> Vec<(String, String)> {
        let usual = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        usual.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let send = |authorization: Option<String>, form: Vec<(String, String)>| {
        let request = smart::Request { post: true, parameters: form, authorization, ..Default::default() };
        world.answer(Route::Token, &request)
    };
    assert_eq!(send(Some(basic("confidential", SECRET)), form(&code(&world), &[])).status, 200);
    let encoded = basic("confidential", &SECRET.replace(' ', "+"));
    assert_eq!(send(Some(encoded), form(&code(&world), &[])).status, 200);
    let post = [("client_id", "confidential"), ("client_secret", SECRET)];
    assert_eq!(send(None, form(&code(&world), &post)).status, 200);
    let code = code(&world);
    let wrong = send(Some(basic("confidential", "a secret that is wrong")), form(&code, &[]));
    check_error(&wrong, 401, "invalid_client");
    assert_eq!(wrong.header("WWW-Authenticate"), Some("Basic realm=\"token\""));
    check_error(&send(Some(basic("confidential", SECRET)), form(&code, &post)), 400, "invalid_request");
    check_error(
        &send(Some(basic("confidential", SECRET)), form(&code, &[("client_id", "public")])),
        401,
        "invalid_client",
    );
    check_error(&send(None, form(&code, &[("client_id", "confidential")])), 401, "invalid_client");
    check_error(&send(Some(basic("public", "")), form(&code, &[])), 401, "invalid_client");
    check_error(&send(Some("Bearer x".into()), form(&code, &[])), 401, "invalid_client");
    check_error(&send(Some(basic("BAD_CLIENT_ID", SECRET)), form(&code, &[])), 401, "invalid_client");
    // None of that has spent the code.
    assert_eq!(send(Some(basic("confidential", SECRET)), form(&code, &[])).status, 200);
}

#[test]
fn discovery_says_where_everything_is() {
    let world = World::new();
    let get = |route| json(&world.answer(route, &smart::Request::default()));
    let (smart, openid) = (get(Route::SmartConfiguration), get(Route::OpenIdConfiguration));
    for document in [&smart, &openid] {
        for (name, path) in [
            ("authorization_endpoint", "/authorize"),
            ("token_endpoint", "/token"),
            ("jwks_uri", "/jwks"),
            ("introspection_endpoint", "/introspect"),
            ("revocation_endpoint", "/revoke"),
        ] {
            assert_eq!(text(document, name), format!("{ISSUER}{path}"));
        }
        assert_eq!(text(document, "issuer"), ISSUER);
        assert_eq!(document["code_challenge_methods_supported"], value!(["S256"]));
        assert_eq!(
            document["grant_types_supported"],
            value!(["authorization_code", "refresh_token", "client_credentials"])
        );
        assert_eq!(document["token_endpoint_auth_signing_alg_values_supported"], value!(["RS384", "ES384"]));
        assert!(document.get("registration_endpoint").is_none());
    }
    // What (g)(10) asks for in its groups 1 and 3.
    let capabilities = smart["capabilities"].as_array().unwrap();
    for name in [
        "launch-standalone",
        "launch-ehr",
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
        "permission-offline",
        "permission-patient",
        "permission-user",
        "permission-v1",
        "permission-v2",
    ] {
        assert!(capabilities.contains(&Value::from(name)), "{name}");
    }
    assert_eq!(openid["id_token_signing_alg_values_supported"], value!(["RS256"]));
    assert_eq!(openid["response_types_supported"], value!(["code"]));
    assert_eq!(openid["subject_types_supported"], value!(["public"]));
    assert!(get(Route::SmartStyle).is_object());
    for route in Route::all().filter(|route| route.is_for_any_origin() && route.methods() == ["GET"]) {
        let reply = world.answer(route, &smart::Request::default());
        assert_eq!(reply.header("Access-Control-Allow-Origin"), Some("*"), "{route:?}");
    }
}

#[test]
fn a_method_that_a_route_does_not_take_is_refused() {
    let world = World::new();
    for route in Route::all() {
        for (post, name) in [(true, "POST"), (false, "GET")] {
            let reply = world.answer(route, &smart::Request { post, ..Default::default() });
            assert_eq!(reply.status == 405, !route.methods().contains(&name), "{name} {route:?}");
        }
    }
}
