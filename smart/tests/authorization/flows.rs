//! The ways of apps and people that end well.

use smart::{LaunchContext, LaunchRequest, Level, Route};

use crate::support::*;

#[test]
fn a_patient_launches_a_standalone_app() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let page = browser.reach_consent(
        "ann",
        &[("scope", "openid fhirUser profile launch/patient offline_access patient/*.read")],
    );
    let answer = browser.allow(&page);
    assert_eq!(answer.get("state").map(String::as_str), Some("s t&te"));
    assert_eq!(answer.get("iss").map(String::as_str), Some(ISSUER));
    let reply = world.redeem(&answer["code"]);
    assert_eq!((reply.header("Cache-Control"), reply.header("Pragma")), (Some("no-store"), Some("no-cache")));
    assert_eq!(reply.header("Access-Control-Allow-Origin"), Some("*"));
    let tokens = json(&reply);
    assert_eq!((reply.status, text(&tokens, "token_type"), text(&tokens, "patient")), (200, "Bearer", "1"));
    assert_eq!(
        text(&tokens, "scope"),
        "launch/patient openid fhirUser profile offline_access patient/*.read"
    );
    assert_eq!(tokens["expires_in"], 3600);
    assert!(tokens.get("need_patient_banner").is_none() && tokens.get("encounter").is_none());
    let verified = now(world.server.verify(text(&tokens, "access_token"))).unwrap();
    assert_eq!((verified.client_id.as_str(), verified.patient.as_deref()), ("public", Some("1")));
    assert_eq!(verified.user.unwrap().fhir_user, "Patient/1");
    assert!(
        verified
            .scopes
            .iter()
            .filter_map(|scope| scope.resources())
            .all(|scope| scope.level == Level::Patient)
    );
}

#[test]
fn a_request_by_post_is_the_same() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let form = [
        ("response_type", "code"),
        ("client_id", "public"),
        ("redirect_uri", CALLBACK),
        ("scope", "patient/*.rs"),
        ("state", "1"),
        ("aud", "https://ehr.example/fhir/"),
        ("code_challenge", CHALLENGE.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let reply = browser.send(Route::Authorize, true, &form);
    let (route, _) = browser.follow(&reply);
    assert_eq!(route, Route::Login);
}

#[test]
fn a_practitioner_finds_a_patient_and_an_encounter() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let scope = "launch/patient launch/encounter patient/Observation.rs";
    let reply = browser.authorize(&[("scope", scope)]);
    let (_, page) = browser.follow(&reply);
    let reply = browser.log_in(&page, "dr");
    let (route, page) = browser.follow(&reply);
    assert_eq!(route, Route::Pick);
    assert!(crate::html::source(&page).contains("Ann Lee"));
    // A search.
    let secret = crate::html::form(&page).into_iter().find(|(name, _)| name == "request").unwrap().1;
    let page = browser.send(Route::Pick, false, &[("request", &secret), ("q", "bob")]);
    assert!(!crate::html::source(&page).contains("Ann Lee"));
    // Nothing chosen, and one who may not be seen: asked again.
    for choice in ["", "3", "../1"] {
        let page = browser.submit(Route::Pick, &page, &[("choice", choice)]);
        assert!(crate::html::source(&page).contains("Choose one from the list."), "{choice}");
    }
    let reply = browser.submit(Route::Pick, &page, &[("choice", "2")]);
    let (route, page) = browser.follow(&reply);
    assert_eq!(route, Route::Pick);
    assert!(crate::html::source(&page).contains("Choose an encounter"));
    let again = browser.submit(Route::Pick, &page, &[("choice", "e1")]);
    assert!(
        crate::html::source(&again).contains("Choose one from the list."),
        "an encounter of another patient"
    );
    let reply = browser.submit(Route::Pick, &page, &[("choice", "e3")]);
    let (route, page) = browser.follow(&reply);
    assert_eq!(route, Route::Consent);
    let answer = browser.allow(&page);
    let tokens = json(&world.redeem(&answer["code"]));
    assert_eq!((text(&tokens, "patient"), text(&tokens, "encounter")), ("2", "e3"));
}

#[test]
fn an_ehr_launch_brings_its_context_once() {
    let world = World::new();
    let context = LaunchContext {
        patient: Some("2".into()),
        encounter: Some("e2".into()),
        intent: Some("reconcile".into()),
        need_patient_banner: Some(false),
        tenant: Some("north".into()),
        fhir_context: vec![smart::FhirContext {
            reference: Some("ImagingStudy/7".into()),
            ..Default::default()
        }],
    };
    let asked = LaunchRequest { client_id: Some("public".into()), user_sub: Some("sub-dr".into()), context };
    let launched = now(world.server.launch(asked, "192.0.2.1")).unwrap();
    let url = launched.url.unwrap();
    assert!(
        url.starts_with("https://app.example/launch?x=1&iss=https%3A%2F%2Fehr.example%2Ffhir&launch="),
        "{url}"
    );
    assert_eq!(query_of(&url)["launch"], launched.launch);
    let changes = [
        ("scope", "launch openid fhirUser user/*.rs patient/Patient.rs"),
        ("launch", launched.launch.as_str()),
    ];
    let mut browser = Browser::new(&world);
    let code = browser.code("dr", &changes);
    let tokens = json(&world.redeem(&code));
    assert_eq!((text(&tokens, "patient"), text(&tokens, "encounter")), ("2", "e2"));
    assert_eq!((text(&tokens, "intent"), text(&tokens, "tenant")), ("reconcile", "north"));
    assert_eq!(tokens["need_patient_banner"], false);
    assert_eq!(tokens["fhirContext"], serde_json::json!([{ "reference": "ImagingStudy/7" }]));
    assert_eq!(text(&tokens, "smart_style_url"), "https://ehr.example/auth/smart-style.json");
    assert_eq!(text(&tokens, "scope"), "launch openid fhirUser user/*.rs patient/Patient.rs");
    // Another time it is gone.
    check_returned(
        &browser.authorize(&changes),
        "invalid_request",
        "launch is unknown, was used or has expired",
    );
}

#[test]
fn what_the_user_refuses_is_not_granted() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let asked =
        "openid offline_access launch/patient patient/Patient.rs patient/Condition.rs patient/Observation.rs";
    let lab = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory";
    let problems = "patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|problem-list-item";
    let page = browser.reach_consent("ann", &[("scope", asked)]);
    let ticked = [
        ("scope", "openid"),
        ("scope", "patient/Patient.rs"),
        ("scope", lab),
        ("scope", problems),
        ("decision", "allow"),
    ];
    let answer = returned(&browser.submit(Route::Consent, &page, &ticked));
    let tokens = json(&world.redeem(&answer["code"]));
    assert_eq!(text(&tokens, "scope"), format!("launch/patient openid patient/Patient.rs {problems} {lab}"));
    assert!(tokens.get("refresh_token").is_none());
}

#[test]
fn a_wildcard_is_granted_whole_or_type_by_type() {
    let world = World::new();
    for (kept, expected) in [
        (None, "patient/*.read"),
        (
            Some(&["patient/*.read", "patient/Patient.read", "patient/Goal.read"][..]),
            "patient/Patient.read patient/Goal.read",
        ),
        (Some(&["patient/Goal.read"][..]), "patient/Goal.read"),
    ] {
        let mut browser = Browser::new(&world);
        let page = browser.reach_consent("ann", &[("scope", "patient/*.read")]);
        let mut fields = vec![("decision", "allow")];
        fields.extend(kept.into_iter().flatten().map(|scope| ("scope", *scope)));
        let answer = returned(&browser.submit(Route::Consent, &page, &fields));
        assert_eq!(text(&json(&world.redeem(&answer["code"])), "scope"), expected);
    }
}

#[test]
fn who_refuses_all_sends_the_app_away() {
    let world = World::new();
    for fields in [
        &[("decision", "deny")][..],
        &[("scope", "x"), ("decision", "allow")],
        &[("scope", "offline_access"), ("decision", "allow")],
        &[],
    ] {
        let mut browser = Browser::new(&world);
        let page = browser.reach_consent("ann", &[("scope", "openid offline_access patient/*.rs")]);
        let reply = browser.submit(Route::Consent, &page, fields);
        check_returned(&reply, "access_denied", "the user did not allow it");
    }
}

#[test]
fn a_session_saves_the_login_unless_the_app_wants_it_again() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    browser.reach_consent("ann", &[]);
    world.wait(100);
    for (changes, expected) in [
        (&[][..], Route::Consent),
        (&[("prompt", "consent")], Route::Consent),
        (&[("max_age", "100")], Route::Consent),
        (&[("max_age", "99")], Route::Login),
        (&[("prompt", "login")], Route::Login),
        (&[("prompt", "select_account consent")], Route::Login),
    ] {
        let reply = browser.authorize(changes);
        assert_eq!(browser.follow(&reply).0, expected, "{changes:?}");
    }
    check_returned(
        &browser.authorize(&[("prompt", "none")]),
        "interaction_required",
        "the user must be asked",
    );
    check_returned(
        &Browser::new(&world).authorize(&[("prompt", "none")]),
        "login_required",
        "the user must be asked",
    );
    world.wait(8 * 3600);
    let reply = browser.authorize(&[]);
    assert_eq!(browser.follow(&reply).0, Route::Login);
}

#[test]
fn requests_that_an_app_got_wrong_are_told_to_the_app() {
    let world = World::new();
    let check = |changes: &[(&str, &str)], error: &str, description: &str| {
        check_returned(&Browser::new(&world).authorize(changes), error, description);
    };
    check(&[("response_type", "token")], "unsupported_response_type", "response_type must be code");
    check(&[("response_type", "")], "invalid_request", "response_type is missing");
    check(&[("state", "")], "invalid_request", "state is missing");
    check(&[("aud", "")], "invalid_request", "aud is not the FHIR base of this server");
    check(
        &[("aud", "https://inferno.example/invalid_aud")],
        "invalid_request",
        "aud is not the FHIR base of this server",
    );
    check(&[("scope", "")], "invalid_scope", "none of the scopes can be granted to this app");
    check(
        &[("scope", "launch/patient offline_access")],
        "invalid_scope",
        "none of the scopes can be granted to this app",
    );
    check(
        &[("scope", "system/*.rs patient/Nonsense.rs patient/Observation.rs?x=1")],
        "invalid_scope",
        "none of the scopes can be granted to this app",
    );
    check(
        &[("prompt", "none login")],
        "invalid_request",
        "prompt is none, or of login, consent, select_account",
    );
    check(&[("max_age", "-1")], "invalid_request", "max_age must be seconds");
    check(&[("request", "e30.e30.")], "request_not_supported", "request objects are not read");
    check(
        &[("request_uri", "https://a.example/r")],
        "request_uri_not_supported",
        "request objects are not read",
    );
    check(&[("response_mode", "fragment")], "invalid_request", "response_mode must be query");
    check(&[("launch", "unknown")], "invalid_request", "launch is unknown, was used or has expired");
    // A patient without a record.
    let mut browser = Browser::new(&world);
    let reply = browser.authorize(&[]);
    let (_, page) = browser.follow(&reply);
    check_returned(&browser.log_in(&page, "lonely"), "access_denied", "the user may see no patient");
}
