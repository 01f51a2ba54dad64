//! What users take back, and clients that register themselves.

use serde_json::{Value, json as value};
use smart::{Registration, Reply, Request, Route};

use crate::html::source;
use crate::support::*;

#[test]
fn a_user_sees_and_takes_back_what_was_granted() {
    let world = World::new();
    let tokens = world.tokens("offline_access launch/patient patient/*.rs");
    let mut browser = Browser::new(&world);
    let reply = browser.send(Route::Manage, false, &[]);
    let (_, page) = browser.follow(&reply);
    let reply = browser.log_in(&page, "ann");
    let (route, page) = browser.follow(&reply);
    assert_eq!(route, Route::Manage);
    assert!(source(&page).contains("The app public") && source(&page).contains("Records of Ann Lee"));
    let [granted] = now(world.server.grants_of("sub-ann")).unwrap().try_into().unwrap();
    let csrf = crate::html::form(&page).into_iter().find(|(name, _)| name == "csrf").unwrap().1;
    let fields = |id: &str| vec![("csrf".to_owned(), csrf.clone()), ("grant".to_owned(), id.to_owned())];
    let mut send = |id: &str| {
        let fields = fields(id);
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        browser.send(Route::Manage, true, &fields)
    };
    send("another");
    assert!(now(world.server.verify(text(&tokens, "access_token"))).is_ok());
    let reply = send(&granted.id);
    assert!(now(world.server.verify(text(&tokens, "access_token"))).is_err());
    check_error(&world.refresh(text(&tokens, "refresh_token"), &[]), 400, "invalid_grant");
    let (_, page) = browser.follow(&reply);
    assert!(
        source(&page).contains("The app has no access any more.")
            && source(&page).contains("No app has access")
    );
}

#[test]
fn nobody_takes_back_what_another_granted() {
    let world = World::new();
    let tokens = world.tokens("patient/*.rs");
    let [granted] = now(world.server.grants_of("sub-ann")).unwrap().try_into().unwrap();
    let mut browser = Browser::new(&world);
    browser.reach_consent("dr", &[("scope", "openid")]);
    let page = browser.send(Route::Manage, false, &[]);
    assert!(!source(&page).contains("Ann Lee"));
    browser.submit(Route::Manage, &page, &[("grant", &granted.id)]);
    assert!(now(world.server.verify(text(&tokens, "access_token"))).is_ok());
}

#[test]
fn a_client_or_a_user_that_is_switched_off_has_no_tokens_left() {
    let world = World::new();
    let tokens = world.tokens("patient/*.rs");
    let mut client = now(world.server.client("public")).unwrap().unwrap();
    client.enabled = false;
    now(world.server.put_client(&client)).unwrap().unwrap();
    assert!(now(world.server.verify(text(&tokens, "access_token"))).is_err());
    let world = World::new();
    let tokens = world.tokens("patient/*.rs");
    let mut user = now(world.server.user("ANN")).unwrap().unwrap();
    user.enabled = false;
    now(world.server.put_user(&user)).unwrap();
    assert!(now(world.server.verify(text(&tokens, "access_token"))).is_err());
    let mut browser = Browser::new(&world);
    let page = browser.send(Route::Login, false, &[]);
    assert_eq!(browser.log_in(&page, "ann").status, 401);
}

fn register(world: &World, metadata: &Value, token: Option<&str>) -> Reply {
    let authorization = token.map(|token| format!("Bearer {token}"));
    let body = metadata.to_string().into_bytes();
    world.answer(Route::Register, &Request { post: true, body, authorization, ..Request::default() })
}

fn metadata() -> Value {
    value!({
        "client_name": "New\napp", "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none",
        "scope": "openid launch/patient patient/*.rs system/*.cruds"
    })
}

#[test]
fn a_client_registers_itself_where_that_is_allowed() {
    check_error(&register(&World::new(), &metadata(), None), 404, "not_found");
    let world = World::with(|config| config.registration = Registration::WithToken("initial".into()));
    check_error(&register(&world, &metadata(), None), 401, "invalid_token");
    check_error(&register(&world, &metadata(), Some("initiam")), 401, "invalid_token");
    let reply = register(&world, &metadata(), Some("initial"));
    let client = json(&reply);
    assert_eq!((reply.status, text(&client, "scope")), (201, "openid launch/patient patient/*.rs"));
    assert_eq!(text(&client, "client_name"), "New\u{fffd}app");
    assert_eq!(text(&client, "id_token_signed_response_alg"), "RS256");
    let mut es256 = metadata();
    es256["id_token_signed_response_alg"] = value!("ES256");
    let registered = json(&register(&world, &es256, Some("initial")));
    assert_eq!(text(&registered, "id_token_signed_response_alg"), "ES256");
    let kept = now(world.server.client(text(&registered, "client_id"))).unwrap().unwrap();
    assert_eq!(kept.id_token_algorithm, smart::IdTokenAlgorithm::Es256);
    let id = text(&client, "client_id");
    let code = Browser::new(&world).code("ann", &[("client_id", id)]);
    assert_eq!(world.redeem_with(&code, &[("client_id", id)]).status, 200);
}

#[test]
fn metadata_that_cannot_be_used_are_refused() {
    let world = World::with(|config| config.registration = Registration::Open);
    let check = |name: &str, bad: Value, error: &str| {
        let mut metadata = metadata();
        metadata[name] = bad;
        check_error(&register(&world, &metadata, None), 400, error);
    };
    check("redirect_uris", value!([]), "invalid_redirect_uri");
    check("redirect_uris", value!(["javascript:alert(1)"]), "invalid_redirect_uri");
    check("redirect_uris", value!(vec![CALLBACK; 21]), "invalid_redirect_uri");
    check("token_endpoint_auth_method", value!("client_secret_basic"), "invalid_client_metadata");
    check("token_endpoint_auth_method", value!("private_key_jwt"), "invalid_client_metadata");
    check("jwks_uri", value!("https://169.254.169.254/"), "invalid_client_metadata");
    check("grant_types", value!(["client_credentials"]), "invalid_client_metadata");
    check("response_types", value!(["token"]), "invalid_client_metadata");
    check("scope", value!("everything"), "invalid_client_metadata");
    for name in ["none", "HS256", "ES384"] {
        check("id_token_signed_response_alg", value!(name), "invalid_client_metadata");
    }
    check("launch_uri", value!("javascript:x"), "invalid_client_metadata");
    let mut keys = metadata();
    keys["token_endpoint_auth_method"] = value!("private_key_jwt");
    keys["jwks_uri"] = value!("https://10.0.0.1/jwks");
    check_error(&register(&world, &keys, None), 400, "invalid_client_metadata");
    let reply =
        world.answer(Route::Register, &Request { post: true, body: b"{".to_vec(), ..Request::default() });
    check_error(&reply, 400, "invalid_client_metadata");
}
