//! Tokens: what they say, how long they last, how they are renewed, revoked and asked about.

use std::str::FromStr as _;

use chrono::DateTime;
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use openidconnect::{ClientId, IssuerUrl, Nonce};
use serde_json::{Value, json as value};
use smart::jwt::{Algorithm, Jwks, Token};
use smart::memory::MemoryKey;
use smart::{Clock as _, Route, TokenError};

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

/// By a library of others: the claims of an id_token that OpenID Connect Core section 3.1.3.7 accepts from these keys.
#[track_caller]
fn check_es256(world: &World, client: &str, id_token: &str, nonce: &str) {
    let keys = json(&world.answer(Route::Jwks, &smart::Request::default()));
    let keys: CoreJsonWebKeySet = serde_json::from_value(keys).unwrap();
    let issuer = IssuerUrl::new(ISSUER.to_owned()).unwrap();
    let now = DateTime::from_timestamp(world.clock.now_s(), 0).unwrap();
    let verifier = CoreIdTokenVerifier::new_public_client(ClientId::new(client.to_owned()), issuer, keys)
        .set_allowed_algs([CoreJwsSigningAlgorithm::EcdsaP256Sha256])
        .set_time_fn(move || now);
    let token = CoreIdToken::from_str(id_token).unwrap();
    let claims = token.claims(&verifier, &Nonce::new(nonce.to_owned())).unwrap();
    assert_eq!(claims.subject().as_str(), "sub-ann");
    assert!(token.claims(&verifier, &Nonce::new("another".to_owned())).is_err());
}

#[test]
fn a_client_that_asks_for_es256_gets_it() {
    let world = World::new();
    let mut client = now(world.server.client("public")).unwrap().unwrap();
    client.id_token_algorithm = smart::IdTokenAlgorithm::Es256;
    now(world.server.put_client(&client)).unwrap().unwrap();
    let issued = || {
        let code = Browser::new(&world).code("ann", &[("scope", "openid"), ("nonce", "n-1")]);
        text(&json(&world.redeem(&code)), "id_token").to_owned()
    };
    let first = issued();
    check_es256(&world, "public", &first, "n-1");
    world.es256.rotate(MemoryKey::generate("e2", Algorithm::Es256).unwrap());
    let second = issued();
    assert_ne!(first.split_once('.').unwrap().0, second.split_once('.').unwrap().0, "each names its key");
    // What was signed before counts on.
    check_es256(&world, "public", &first, "n-1");
    check_es256(&world, "public", &second, "n-1");
    // Everybody else has RS256.
    client.id_token_algorithm = smart::IdTokenAlgorithm::default();
    now(world.server.put_client(&client)).unwrap().unwrap();
    assert_eq!(Token::read(&issued()).unwrap().algorithm(), Algorithm::Rs256);
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
    assert_eq!(openid["id_token_signing_alg_values_supported"], value!(["RS256", "ES256"]));
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

#[test]
fn a_token_is_held_to_the_policies_of_app_and_user() {
    let world = World::new();
    let token = text(&world.tokens("openid fhirUser launch/patient patient/*.rs"), "access_token").to_owned();
    let policies = || {
        let smart::Policies { client, user } = now(world.server.verify(&token)).unwrap().policies;
        let told = |policy: Option<smart::Policy>| policy.map(|policy| (policy.name, policy.resource.len()));
        (told(client), told(user))
    };
    assert_eq!(policies(), (None, None));
    let mut client = now(world.server.client("public")).unwrap().unwrap();
    client.policy = Some("apps".into());
    now(world.server.put_client(&client)).unwrap().unwrap();
    // One that is not there permits nothing.
    assert_eq!(policies(), (Some(("apps".into(), 0)), None));
    let policy = r#"{"name":"apps","resource":[{"resourceType":"*"}]}"#;
    let mut policy: smart::Policy = serde_json::from_str(policy).unwrap();
    now(world.server.put_policy(&policy)).unwrap().unwrap();
    assert_eq!(policies().0, Some(("apps".into(), 1)));
    policy.name = "a b".into();
    assert!(now(world.server.put_policy(&policy)).unwrap().is_err());
    let mut user = now(world.server.user("ann")).unwrap().unwrap();
    user.policy = Some("apps".into());
    now(world.server.put_user(&user)).unwrap();
    assert_eq!(policies().1, Some(("apps".into(), 1)));
    // Another person of the same name is another.
    user.sub = "sub-another".into();
    now(world.server.put_user(&user)).unwrap();
    assert_eq!(policies().1, None);
    assert!(now(world.server.remove_policy("apps")).unwrap());
    assert!(!now(world.server.remove_policy("apps")).unwrap());
    assert_eq!(policies().0, Some(("apps".into(), 0)));
}

#[test]
fn the_configuration_says_whose_brand_it_is_where_that_is_known() {
    let configuration =
        |world: &World| json(&world.answer(Route::SmartConfiguration, &smart::Request::default()));
    assert!(configuration(&World::new()).get("user_access_brand_bundle").is_none());
    let world = World::with(|config| {
        config.brand = Some(smart::Brand {
            bundle: "https://ehr.example/service-base-urls".into(),
            identifier: ("urn:ietf:rfc:3986".into(), "https://clinic.example".into()),
        });
    });
    let told = configuration(&world);
    assert_eq!(told["user_access_brand_bundle"], "https://ehr.example/service-base-urls");
    assert_eq!(
        told["user_access_brand_identifier"],
        serde_json::json!({"system": "urn:ietf:rfc:3986", "value": "https://clinic.example"})
    );
}
