//! Backend services: assertions, keys that are fetched, system scopes.

use serde_json::{Value, json as value};
use smart::jwt::{Algorithm, published, sign};
use smart::memory::MemoryKey;
use smart::{Authentication, Client, Compartment, Decision, Interaction, Reply, Route};

use crate::support::*;

const TOKEN_URL: &str = "https://ehr.example/auth/token";
const KEYS_URL: &str = "https://backend.example/jwks";
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub fn backend(id: &str, authentication: Authentication) -> Client {
    Client {
        authentication,
        scopes: "system/Patient.rs system/Observation.read".into(),
        backend: true,
        ..Client::new(id, "A backend service")
    }
}

fn set_of(key: &MemoryKey) -> Value {
    published(&[key.public()])
}

fn add(world: &World, id: &str, key: &MemoryKey) {
    now(world.server.put_client(&backend(id, Authentication::Keys(set_of(key))))).unwrap().unwrap();
}

fn claims(world: &World, jti: &str) -> Value {
    use smart::Clock as _;
    let expires = world.clock.now_s() + 300;
    value!({ "iss": "service", "sub": "service", "aud": TOKEN_URL, "exp": expires, "jti": jti })
}

fn ask(world: &World, assertion: &str, changes: &[(&str, &str)]) -> Reply {
    let usual = [
        ("grant_type", "client_credentials"),
        ("scope", "system/*.rs"),
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion),
    ];
    world.post(Route::Token, &changed(&usual, changes))
}

#[test]
fn a_service_gets_a_token_by_either_algorithm_and_is_held_to_its_scopes() {
    for algorithm in [Algorithm::Rs384, Algorithm::Es384] {
        let (world, key) = (World::new(), MemoryKey::generate("k", algorithm).unwrap());
        add(&world, "service", &key);
        let reply = ask(&world, &sign(&key, "JWT", &claims(&world, "1")).unwrap(), &[]);
        let token = json(&reply);
        assert_eq!(
            (reply.status, text(&token, "token_type"), &token["expires_in"]),
            (200, "Bearer", &value!(300))
        );
        assert_eq!(text(&token, "scope"), "system/Patient.rs system/Observation.rs");
        assert!(token.get("refresh_token").is_none() && token.get("id_token").is_none());
        let verified = now(world.server.verify(text(&token, "access_token"))).unwrap();
        let Decision::Allowed(ways) = verified.access.decide(Interaction::Search, "Patient") else {
            panic!("denied")
        };
        assert!(ways.len() == 1 && ways[0].compartment == Compartment::All && ways[0].filter.is_none());
        assert_eq!(verified.access.decide(Interaction::Read, "Condition"), Decision::Denied);
        assert_eq!(verified.access.decide(Interaction::Create, "Patient"), Decision::Denied);
        // A service that is switched off has no access from then on.
        let off = Client { enabled: false, ..backend("service", Authentication::Keys(set_of(&key))) };
        now(world.server.put_client(&off)).unwrap().unwrap();
        assert!(now(world.server.verify(text(&token, "access_token"))).is_err());
    }
}

#[test]
fn a_service_that_names_no_scopes_gets_those_it_is_registered_with() {
    let (world, key) = (World::new(), MemoryKey::generate("k", Algorithm::Es384).unwrap());
    add(&world, "service", &key);
    let reply = ask(&world, &sign(&key, "JWT", &claims(&world, "1")).unwrap(), &[("scope", "")]);
    assert_eq!(text(&json(&reply), "scope"), "system/Patient.rs system/Observation.read");
}

#[test]
fn an_assertion_counts_once() {
    let (world, key) = (World::new(), MemoryKey::generate("k", Algorithm::Es384).unwrap());
    add(&world, "service", &key);
    let assertion = sign(&key, "JWT", &claims(&world, "1")).unwrap();
    assert_eq!(ask(&world, &assertion, &[]).status, 200);
    check_error(&ask(&world, &assertion, &[]), 401, "invalid_client");
    // Another token of the same jti too, for as long as the first would count.
    world.wait(359);
    let again = sign(&key, "JWT", &claims(&world, "1")).unwrap();
    check_error(&ask(&world, &again, &[]), 401, "invalid_client");
    assert_eq!(ask(&world, &sign(&key, "JWT", &claims(&world, "2")).unwrap(), &[]).status, 200);
}

#[test]
fn what_inferno_gets_wrong_on_purpose_is_refused() {
    let (world, key) = (World::new(), MemoryKey::generate("k", Algorithm::Es384).unwrap());
    add(&world, "service", &key);
    let assertion = |jti: &str| sign(&key, "JWT", &claims(&world, jti)).unwrap();
    check_error(
        &ask(&world, &assertion("1"), &[("grant_type", "not_a_grant_type")]),
        400,
        "unsupported_grant_type",
    );
    check_error(
        &ask(&world, &assertion("2"), &[("client_assertion_type", "not_an_assertion_type")]),
        401,
        "invalid_client",
    );
    check_error(&ask(&world, &assertion("3"), &[("client_assertion_type", "")]), 401, "invalid_client");
    check_error(&ask(&world, "not_a_jwt", &[]), 401, "invalid_client");
    check_error(&ask(&world, &assertion("4"), &[("scope", "system/no")]), 400, "invalid_scope");
    check_error(
        &ask(&world, &assertion("5"), &[("scope", "patient/*.rs system/Condition.rs openid")]),
        400,
        "invalid_scope",
    );
    check_error(&ask(&world, &assertion("6"), &[("client_id", "public")]), 401, "invalid_client");
    // An app of users gets none of its own.
    let form = [("grant_type", "client_credentials"), ("scope", "system/*.rs")];
    check_error(&world.post_as(Route::Token, "confidential", SECRET, &form), 400, "unauthorized_client");
}

#[test]
fn an_assertion_must_say_all_that_it_has_to() {
    let (world, key) = (World::new(), MemoryKey::generate("k", Algorithm::Es384).unwrap());
    add(&world, "service", &key);
    for (name, bad) in [
        ("iss", value!("public")),
        ("sub", value!("public")),
        ("aud", value!("https://ehr.example/fhir")),
        ("aud", value!("https://other.example/token")),
        ("exp", value!(1_800_000_361)),
        ("exp", value!(1_799_999_940)),
        ("nbf", value!(1_800_000_061)),
        ("iat", value!(1_800_000_061)),
        ("jti", value!("")),
        ("jti", value!("j".repeat(513))),
    ] {
        let mut claims = claims(&world, "1");
        claims[name] = bad.clone();
        let reply = ask(&world, &sign(&key, "JWT", &claims).unwrap(), &[]);
        check_error(&reply, 401, "invalid_client");
    }
    // RS256 and ES256 are for id_tokens, not for assertions.
    let short = MemoryKey::generate("k", Algorithm::Es256).unwrap();
    add(&world, "service", &short);
    check_error(
        &ask(&world, &sign(&short, "JWT", &claims(&world, "1")).unwrap(), &[]),
        401,
        "invalid_client",
    );
}

#[test]
fn a_service_without_a_key_of_its_own_is_not_let_in_by_anothers() {
    let world = World::new();
    let (own, other) = (
        MemoryKey::generate("k", Algorithm::Es384).unwrap(),
        MemoryKey::generate("k", Algorithm::Es384).unwrap(),
    );
    add(&world, "service", &own);
    add(&world, "other-service", &other);
    check_error(
        &ask(&world, &sign(&other, "JWT", &claims(&world, "1")).unwrap(), &[]),
        401,
        "invalid_client",
    );
    // A client with a secret has no keys, whatever it sends.
    let mut claims = claims(&world, "2");
    claims["iss"] = value!("confidential");
    claims["sub"] = value!("confidential");
    check_error(&ask(&world, &sign(&own, "JWT", &claims).unwrap(), &[]), 401, "invalid_client");
}

#[test]
fn keys_are_fetched_kept_and_asked_for_again_when_they_changed() {
    let world = World::new();
    let keys: Vec<MemoryKey> =
        ["a", "b"].map(|kid| MemoryKey::generate(kid, Algorithm::Es384).unwrap()).into();
    now(world.server.put_client(&backend("service", Authentication::KeysAt(KEYS_URL.into()))))
        .unwrap()
        .unwrap();
    let serve = |key: &MemoryKey| {
        world.web.answers.lock().unwrap().insert(KEYS_URL.into(), set_of(key).to_string().into_bytes());
    };
    let asked = || world.web.asked.lock().unwrap().len();
    let mut jti = 0;
    let mut status = |key: &MemoryKey| {
        jti += 1;
        ask(&world, &sign(key, "JWT", &claims(&world, &jti.to_string())).unwrap(), &[]).status
    };
    serve(&keys[0]);
    assert_eq!((status(&keys[0]), status(&keys[0]), asked()), (200, 200, 1));
    // Replaced: asked again, but at most once a minute, whatever comes.
    serve(&keys[1]);
    assert_eq!((status(&keys[1]), asked()), (401, 1));
    world.wait(60);
    assert_eq!((status(&keys[1]), status(&keys[1]), asked()), (200, 200, 2));
    assert_eq!((status(&keys[0]), status(&keys[0]), asked()), (401, 401, 2));
    world.wait(3600);
    assert_eq!((status(&keys[1]), asked()), (200, 3));
    // No answer.
    world.web.answers.lock().unwrap().clear();
    world.wait(3600);
    assert_eq!((status(&keys[1]), status(&keys[1]), asked()), (401, 401, 4));
    // No longer than the answer says, and no longer than an hour.
    serve(&keys[0]);
    world.wait(60);
    for (max_age_s, lasts_s) in [(Some(20), 20), (Some(0), 1), (Some(100_000), 3600), (None, 3600)] {
        *world.web.max_age_s.lock().unwrap() = max_age_s;
        let before = asked();
        assert_eq!((status(&keys[0]), asked()), (200, before + 1), "{max_age_s:?}");
        world.wait(lasts_s - 1);
        assert_eq!((status(&keys[0]), asked()), (200, before + 1), "{max_age_s:?}: not yet");
        world.wait(1);
    }
}

#[test]
fn a_set_of_keys_that_is_too_large_is_not_read() {
    let world = World::new();
    let key = MemoryKey::generate("k", Algorithm::Es384).unwrap();
    now(world.server.put_client(&backend("service", Authentication::KeysAt(KEYS_URL.into()))))
        .unwrap()
        .unwrap();
    let one = key.public().to_jwk();
    let many = value!({ "keys": vec![one.clone(); 51] }).to_string();
    let long = format!("{}{}", " ".repeat(64 * 1024), value!({ "keys": [one] }));
    for (body, why) in [(many, "more than 50 keys"), (long, "longer than 65536 bytes")] {
        world.web.answers.lock().unwrap().insert(KEYS_URL.into(), body.into_bytes());
        let reply = ask(&world, &sign(&key, "JWT", &claims(&world, why)).unwrap(), &[]);
        check_error(&reply, 401, "invalid_client");
        assert!(text(&json(&reply), "error_description").contains(why), "{reply:?}");
        world.wait(61);
    }
}

#[test]
fn keys_are_not_fetched_from_within() {
    let world = World::new();
    for url in [
        "http://backend.example/jwks",
        "https://localhost/jwks",
        "https://169.254.169.254/latest",
        "https://[::1]/",
    ] {
        let refused =
            now(world.server.put_client(&backend("service", Authentication::KeysAt(url.into())))).unwrap();
        assert!(refused.is_err(), "{url}");
    }
    assert!(world.web.asked.lock().unwrap().is_empty());
}
