//! Attacks, each of which works if the check against it is taken away.

use smart::{LaunchContext, LaunchRequest, Route};

use crate::html::source;
use crate::support::*;

#[test]
fn a_code_counts_once_and_its_second_use_revokes_what_the_first_gave() {
    let world = World::new();
    let code = Browser::new(&world).code("ann", &[("scope", "offline_access patient/*.rs")]);
    let tokens = json(&world.redeem(&code));
    assert!(now(world.server.verify(text(&tokens, "access_token"))).is_ok());
    check_error(&world.redeem(&code), 400, "invalid_grant");
    assert!(now(world.server.verify(text(&tokens, "access_token"))).is_err());
    check_error(&world.refresh(text(&tokens, "refresh_token"), &[]), 400, "invalid_grant");
    let log = world.log.0.lock().unwrap();
    assert!(
        log.iter()
            .any(|event| event.kind == smart::EventKind::Replay && event.client.as_deref() == Some("public"))
    );
}

#[test]
fn an_intercepted_code_is_worth_nothing() {
    let world = World::new();
    let other = "another-verifier-of-forty-three-characters-0123456789";
    let plain = CHALLENGE.as_str();
    for changes in [
        // Without the verifier, with another, with the challenge itself, too short, too long.
        &[("code_verifier", "")][..],
        &[("code_verifier", other)],
        &[("code_verifier", plain)],
        &[("code_verifier", &VERIFIER[..42])],
        &[("redirect_uri", "https://app.example/callback/")],
        &[("redirect_uri", "")],
        // By another app, or the right one without its id.
        &[("client_id", "other")],
    ] {
        let code = Browser::new(&world).code("ann", &[]);
        check_error(&world.redeem_with(&code, changes), 400, "invalid_grant");
        // And it is spent.
        check_error(&world.redeem(&code), 400, "invalid_grant");
    }
    let code = Browser::new(&world).code("ann", &[]);
    check_error(&world.redeem_with(&code, &[("client_id", "")]), 401, "invalid_client");
    check_error(&world.redeem_with(&code, &[("client_id", "confidential")]), 401, "invalid_client");
    check_error(&world.redeem_with(&code, &[("code", "BAD_CODE")]), 400, "invalid_grant");
    world.wait(60);
    check_error(&world.redeem(&code), 400, "invalid_grant");
}

#[test]
fn a_redirect_uri_is_compared_letter_by_letter() {
    let world = World::new();
    for uri in [
        "",
        "https://app.example/callback/",
        "https://app.example/callback?x=1",
        "https://app.example/callback#x",
        "https://app.example/Callback",
        "https://app.example/callback/../evil",
        "https://app.example@evil.example/callback",
        "https://app.example.evil.example/callback",
        "https://evil.example/https://app.example/callback",
        "//app.example/callback",
        "http://app.example/callback",
        "https://app.example:443/callback",
        "https://app.example/callback%2f",
        "https://app.example/call\nback",
        "javascript:alert(1)",
        "https://app.example/callback https://evil.example",
    ] {
        let reply = Browser::new(&world).authorize(&[("redirect_uri", uri)]);
        assert_eq!((reply.status, reply.header("Location")), (400, None), "{uri}");
        crate::html::check_page(&reply);
    }
    // Twice: which one counts is not guessed.
    let mut browser = Browser::new(&world);
    let twice =
        [("redirect_uri", CALLBACK), ("redirect_uri", "https://evil.example/"), ("client_id", "public")];
    assert_eq!(browser.authorize(&twice).status, 400);
    for id in ["nobody", "", "public "] {
        assert_eq!(browser.authorize(&[("client_id", id)]).status, 400, "{id}");
    }
}

#[test]
fn redirect_uris_that_would_open_a_door_are_not_registered() {
    let world = World::new();
    for uri in [
        "http://app.example/callback",
        "https://*.app.example/callback",
        "https://app.example/callback#part",
        "https://user@app.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "/callback",
        "",
    ] {
        let client = smart::Client { redirect_uris: vec![uri.into()], ..smart::Client::new("new", "New") };
        assert!(now(world.server.put_client(&client)).unwrap().is_err(), "{uri}");
    }
    for uri in [
        "https://app.example/a?b=c",
        "http://localhost:4000/cb",
        "http://127.0.0.1/cb",
        "com.example.app:/cb",
    ] {
        let client = smart::Client { redirect_uris: vec![uri.into()], ..smart::Client::new("new", "New") };
        assert_eq!(now(world.server.put_client(&client)).unwrap(), Ok(()), "{uri}");
    }
}

#[test]
fn pkce_cannot_be_left_out_or_made_weaker() {
    let world = World::new();
    for client in ["public", "confidential"] {
        for (changes, description) in [
            (&[("code_challenge_method", "plain")][..], "code_challenge_method must be S256"),
            (&[("code_challenge_method", "")], "code_challenge_method must be S256"),
            (&[("code_challenge_method", "s256")], "code_challenge_method must be S256"),
            (&[("code_challenge", "")], "code_challenge must be a SHA-256 in base64url"),
            (&[("code_challenge", "short")], "code_challenge must be a SHA-256 in base64url"),
            (&[("code_challenge", VERIFIER)], "code_challenge must be a SHA-256 in base64url"),
        ] {
            let changes = [changes, &[("client_id", client)]].concat();
            check_returned(&Browser::new(&world).authorize(&changes), "invalid_request", description);
        }
    }
}

#[test]
fn an_answer_says_whose_it_is() {
    // RFC 9207: an app that talks to several servers knows which one sent a code, and an error too.
    let world = World::new();
    let mut browser = Browser::new(&world);
    let page = browser.reach_consent("ann", &[]);
    assert_eq!(browser.allow(&page)["iss"], ISSUER);
    assert_eq!(returned(&browser.authorize(&[("scope", "")]))["iss"], ISSUER);
}

#[test]
fn a_refresh_token_counts_once_and_its_second_use_revokes_all() {
    let world = World::new();
    let first = world.tokens("offline_access patient/*.rs");
    let second = json(&world.refresh(text(&first, "refresh_token"), &[]));
    check_error(&world.refresh(text(&first, "refresh_token"), &[]), 400, "invalid_grant");
    for tokens in [&first, &second] {
        assert!(now(world.server.verify(text(tokens, "access_token"))).is_err());
        check_error(&world.refresh(text(tokens, "refresh_token"), &[]), 400, "invalid_grant");
    }
}

#[test]
fn a_refresh_token_is_no_other_apps() {
    let world = World::new();
    let tokens = world.tokens("offline_access patient/*.rs");
    let token = text(&tokens, "refresh_token");
    check_error(&world.refresh(token, &[("client_id", "other")]), 400, "invalid_grant");
    check_error(&world.refresh(token, &[("client_id", "confidential")]), 401, "invalid_client");
    check_error(&world.refresh("00000000-0000-4000-8000-000000000000", &[]), 400, "invalid_grant");
    // A stranger's try has not ended it, and an access token is none.
    check_error(&world.refresh(text(&tokens, "access_token"), &[]), 400, "invalid_grant");
    assert_eq!(world.refresh(token, &[]).status, 200);
}

#[test]
fn a_refresh_never_gives_more_than_was_granted() {
    let world = World::new();
    let granted = "offline_access patient/Observation.rs?category=lab patient/Goal.rs";
    let tokens = world.tokens(granted);
    let mut token = text(&tokens, "refresh_token").to_owned();
    for scope in [
        "patient/Condition.rs",
        "patient/Goal.rs patient/Goal.cruds",
        "patient/*.rs",
        "user/Goal.rs",
        "system/Goal.rs",
        "patient/Observation.rs",
        "patient/Observation.rs?category=vital",
        "openid",
        "launch/patient",
        "patient/Goal.rs nonsense",
    ] {
        check_error(&world.refresh(&token, &[("scope", scope)]), 400, "invalid_scope");
    }
    for scope in ["patient/Goal.r", "patient/Observation.rs?category=lab&_tag=x", "patient/Goal.read"] {
        let tokens = json(&world.refresh(&token, &[("scope", scope)]));
        assert_eq!(text(&tokens, "scope"), scope);
        token = text(&tokens, "refresh_token").to_owned();
    }
    // Narrowed for one token, not for ever.
    assert_eq!(text(&json(&world.refresh(&token, &[])), "scope"), granted);
}

#[test]
fn a_form_grants_nothing_that_was_not_offered() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let page = browser.reach_consent("ann", &[("scope", "patient/Goal.rs")]);
    let fields = [
        ("scope", "patient/*.cruds"),
        ("scope", "user/*.rs"),
        ("scope", "openid"),
        ("scope", "patient/Goal.rs"),
        ("decision", "allow"),
    ];
    let answer = returned(&browser.submit(Route::Consent, &page, &fields));
    assert_eq!(text(&json(&world.redeem(&answer["code"])), "scope"), "patient/Goal.rs");
}

#[test]
fn a_session_that_was_planted_is_not_the_one_that_is_logged_in() {
    let world = World::new();
    let mut attacker = Browser::new(&world);
    let reply = attacker.authorize(&[]);
    let planted = attacker.cookie.clone();
    let location = reply.header("Location").unwrap().to_owned();
    let mut victim = Browser { cookie: planted.clone(), ..Browser::new(&world) };
    let (_, page) = victim.follow(&reply);
    victim.log_in(&page, "ann");
    assert_ne!(victim.cookie, planted);
    // The attacker's cookie is worth nothing any more, and does not go on with the authorization.
    let request = query_of(&location)["request"].clone();
    let page = attacker.send(Route::Consent, false, &[("request", &request)]);
    assert_eq!(page.status, 400);
    let reply = attacker.send(Route::Manage, false, &[]);
    assert_eq!(attacker.follow(&reply).0, Route::Login);
    assert_eq!(victim.send(Route::Consent, false, &[("request", &request)]).status, 200);
}

#[test]
fn an_authorization_is_one_browsers() {
    let world = World::new();
    let mut ann = Browser::new(&world);
    let page = ann.reach_consent("ann", &[]);
    let request = crate::html::form(&page).into_iter().find(|(name, _)| name == "request").unwrap().1;
    let mut other = Browser::new(&world);
    other.reach_consent("dr", &[("scope", "openid")]);
    for route in [Route::Consent, Route::Pick, Route::Login] {
        let page = other.send(route, false, &[("request", &request)]);
        assert_eq!(page.status, 400, "{route:?}");
        assert!(source(&page).contains("begun in another browser"));
    }
}

#[test]
fn no_step_is_skipped_by_typing_its_address() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let reply = browser.authorize(&[("scope", "launch/patient patient/*.rs")]);
    let request = query_of(reply.header("Location").unwrap())["request"].clone();
    for route in [Route::Consent, Route::Pick] {
        let reply = browser.send(route, false, &[("request", &request)]);
        assert_eq!(browser.follow(&reply).0, Route::Login, "{route:?}");
    }
    let (_, page) = browser.follow(&reply);
    browser.log_in(&page, "dr");
    let reply = browser.send(Route::Consent, false, &[("request", &request)]);
    assert_eq!(browser.follow(&reply).0, Route::Pick);
}

#[test]
fn forms_without_the_sessions_token_do_nothing() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let reply = browser.authorize(&[]);
    let (_, page) = browser.follow(&reply);
    for csrf in ["", "x", &"a".repeat(43)] {
        let fields = [("csrf", csrf), ("username", "ann"), ("password", "ann's password")];
        assert_eq!(browser.submit(Route::Login, &page, &fields).status, 403);
    }
    let reply = browser.log_in(&page, "ann");
    let (_, page) = browser.follow(&reply);
    let reply = browser.submit(Route::Consent, &page, &[("csrf", "x"), ("decision", "allow")]);
    assert_eq!(reply.status, 403);
    let manage = browser.send(Route::Manage, false, &[]);
    assert_eq!(browser.submit(Route::Logout, &manage, &[("csrf", "x")]).status, 403);
    assert_eq!(browser.allow(&page).len(), 3);
    // Sent twice it gives one code.
    assert_eq!(browser.submit(Route::Consent, &page, &[("decision", "allow")]).status, 400);
}

#[test]
fn guessing_passwords_is_slowed_down_for_known_and_unknown_users_alike() {
    for name in ["ann", "nobody"] {
        let world = World::new();
        let mut browser = Browser::new(&world);
        let mut pages = Vec::new();
        for attempt in 0..8 {
            browser.address = format!("192.0.2.{attempt}");
            let page = browser.send(Route::Login, false, &[]);
            let reply = browser.submit(Route::Login, &page, &[("username", name), ("password", "wrong")]);
            assert_eq!(reply.status, 401);
            pages.push(
                source(&reply).replace(name, "").replace(browser.cookie.as_deref().unwrap_or_default(), ""),
            );
        }
        pages.dedup();
        assert_eq!(pages.len(), 1, "what is wrong cannot be told");
        // Each try costs one hash, and none once it is locked.
        assert_eq!(world.passwords.0.load(std::sync::atomic::Ordering::SeqCst), 5, "{name}");
        let reasons = world.failures();
        assert_eq!(
            reasons[4..],
            ["x", "too many failures", "too many failures", "too many failures"]
                .map(|reason| { if reason == "x" { reasons[0].clone() } else { reason.to_owned() } })
        );
        // The right password does not help during the lock; after it, it does.
        let page = browser.send(Route::Login, false, &[]);
        assert_eq!(browser.log_in(&page, name).status, 401);
        world.wait(61);
        let page = browser.send(Route::Login, false, &[]);
        assert_eq!(browser.log_in(&page, name).status, if name == "ann" { 303 } else { 401 });
    }
}

#[test]
fn one_address_does_not_try_everybody() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    for attempt in 0..50 {
        let page = browser.send(Route::Login, false, &[]);
        browser.submit(
            Route::Login,
            &page,
            &[("username", &format!("user{attempt}")), ("password", "wrong")],
        );
    }
    let page = browser.send(Route::Login, false, &[]);
    assert_eq!(browser.log_in(&page, "ann").status, 401);
    browser.address = "198.51.100.1".into();
    let page = browser.send(Route::Login, false, &[]);
    assert_eq!(browser.log_in(&page, "ann").status, 303);
}

#[test]
fn a_one_time_code_is_needed_and_counts_once() {
    let world = World::new();
    let attempt = |code: &str| {
        let mut browser = Browser::new(&world);
        let page = browser.send(Route::Login, false, &[]);
        let fields = [("username", "otp"), ("password", "otp's password"), ("code", code)];
        browser.submit(Route::Login, &page, &fields).status
    };
    assert_eq!(attempt(""), 401);
    let code = totp(b"12345678901234567890", 1_800_000_000 / 30);
    assert_eq!((attempt(&code), attempt(&code)), (303, 401));
    world.wait(30);
    let code = totp(b"12345678901234567890", 1_800_000_030 / 30);
    assert_eq!(attempt(&format!("{} {}", &code[..3], &code[3..])), 303);
    assert_eq!(world.failures(), ["wrong one-time code", "wrong one-time code"]);
}

/// RFC 6238 with SHA-1, six digits.
fn totp(secret: &[u8], step: u64) -> String {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let offset = usize::from(tag.as_ref()[19] & 15);
    let word = u32::from_be_bytes(tag.as_ref()[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}

#[test]
fn a_launch_is_for_its_app_its_user_and_its_patient() {
    let world = World::new();
    let launch = |client: Option<&str>, user: Option<&str>, patient: &str| {
        let context = LaunchContext { patient: Some(patient.into()), ..LaunchContext::default() };
        let asked = LaunchRequest {
            client_id: client.map(str::to_owned),
            user_sub: user.map(str::to_owned),
            context,
        };
        now(world.server.launch(asked, "")).unwrap().launch
    };
    let scope = "launch patient/*.rs";
    let of_other = launch(Some("other"), None, "1");
    let reply = Browser::new(&world).authorize(&[("scope", scope), ("launch", &of_other)]);
    check_returned(&reply, "invalid_request", "launch is unknown, was used or has expired");
    let go = |launch: &str, name: &str| {
        let mut browser = Browser::new(&world);
        let reply = browser.authorize(&[("scope", scope), ("launch", launch)]);
        let (_, page) = browser.follow(&reply);
        browser.log_in(&page, name)
    };
    check_returned(
        &go(&launch(None, Some("sub-dr"), "1"), "ann"),
        "access_denied",
        "the app was launched for another user",
    );
    // The patient switch: ann may not see patient 2, whoever launched it.
    check_returned(&go(&launch(None, None, "2"), "ann"), "access_denied", "the user may not see the patient");
    check_returned(&go(&launch(None, None, "3"), "dr"), "access_denied", "the user may not see the patient");
    let late = launch(None, None, "1");
    world.wait(600);
    let reply = Browser::new(&world).authorize(&[("scope", scope), ("launch", &late)]);
    check_returned(&reply, "invalid_request", "launch is unknown, was used or has expired");
}

#[test]
fn what_is_typed_cannot_forge_the_log() {
    let world = World::new();
    let mut browser = Browser { address: "192.0.2.7\r\nx".into(), ..Browser::new(&world) };
    let page = browser.send(Route::Login, false, &[]);
    let name = "ann\r\n2026-11-22 INFO login user=root ok\u{1b}[2J\u{202e}";
    browser.submit(Route::Login, &page, &[("username", name), ("password", "x")]);
    world.post(Route::Token, &[("grant_type", "x"), ("client_id", "a\nb")]);
    browser.authorize(&[("client_id", "a\nb")]);
    let log = world.log.0.lock().unwrap();
    assert_eq!(log.len(), 3);
    for event in log.iter() {
        let all = format!("{:?}{:?}{:?}{}", event.user, event.client, event.failure, event.address);
        assert!(!all.contains("\\n") && !all.contains("\\r") && !all.contains("\\u{"), "{all}");
        for text in [&event.user, &event.client, &event.failure].into_iter().flatten().chain([&event.address])
        {
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
}

#[test]
fn nothing_secret_is_kept_as_it_is() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let page = browser.reach_consent("ann", &[("scope", "offline_access openid patient/*.rs")]);
    let request = crate::html::form(&page).into_iter().find(|(name, _)| name == "request").unwrap().1;
    let code = browser.allow(&page)["code"].clone();
    let tokens = json(&world.redeem(&code));
    let launched = now(world.server.launch(LaunchRequest::default(), "")).unwrap();
    let cookie = browser.cookie.clone().unwrap();
    let dump = world.storage.dump();
    let secrets = [&request, &code, &cookie, &launched.launch];
    let own = [text(&tokens, "access_token"), text(&tokens, "refresh_token"), SECRET];
    for secret in secrets.into_iter().map(String::as_str).chain(own) {
        assert!(!dump.contains(secret), "{secret} is kept");
    }
}

#[test]
fn limits_on_what_is_sent_are_kept() {
    let world = World::new();
    let long = "a".repeat(smart::MAX_PARAMETER_BYTES + 1);
    check_error(&world.post(Route::Token, &[("code", &long)]), 400, "invalid_request");
    let many = vec![("a", "b"); smart::MAX_PARAMETERS + 1];
    check_error(&world.post(Route::Token, &many), 400, "invalid_request");
    check_error(&world.redeem_with("x", &[("code", "y"), ("code", "z")]), 400, "invalid_request");
    let state = "s".repeat(2049);
    check_returned(
        &Browser::new(&world).authorize(&[("state", &state)]),
        "invalid_request",
        "state is too long",
    );
    let scope = "openid ".repeat(501);
    let reply = Browser::new(&world).authorize(&[("scope", &scope)]);
    assert_eq!(returned(&reply)["error"], "invalid_scope");
}
