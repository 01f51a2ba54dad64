//! The pages as a browser and a screen reader get them.

use smart::{Body, Reply, Route};

use crate::html::{Tag, check_page, source};
use crate::support::*;

fn boxes(tags: &[Tag]) -> Vec<(&str, bool)> {
    let boxes = tags.iter().filter(|tag| tag.get("type") == Some("checkbox"));
    boxes.map(|tag| (tag.get("value").unwrap(), tag.get("checked").is_some())).collect()
}

#[test]
fn the_login_page_is_a_form_with_labels() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let reply = browser.authorize(&[("login_hint", "ann\"><script>")]);
    let (_, page) = browser.follow(&reply);
    let tags = check_page(&page);
    let input = |name: &str| tags.iter().find(|tag| tag.get("name") == Some(name)).unwrap();
    assert_eq!(input("username").get("value"), Some("ann\"><script>"));
    assert_eq!(input("username").get("autocomplete"), Some("username"));
    assert_eq!(
        (input("password").get("type"), input("password").get("autocomplete")),
        (Some("password"), Some("current-password"))
    );
    assert_eq!(input("code").get("autocomplete"), Some("one-time-code"));
    assert!(source(&page).contains("The app public"));
    let failed = browser.submit(Route::Login, &page, &[("username", "<i>"), ("password", "secret-password")]);
    let tags = check_page(&failed);
    assert_eq!(tags.iter().filter(|tag| tag.get("role") == Some("alert")).count(), 1);
    assert!(!source(&failed).contains("secret-password"), "a password is never sent back");
}

#[test]
fn the_session_cookie_is_for_this_host_and_no_script() {
    let world = World::new();
    let reply = Browser::new(&world).authorize(&[]);
    let cookie = reply.header("Set-Cookie").unwrap();
    let (name, attributes) = (cookie.split('=').next().unwrap(), cookie.split_once(';').unwrap().1);
    assert_eq!(name, "__Host-vesta-session");
    assert_eq!(attributes, " Path=/; Max-Age=28800; HttpOnly; SameSite=Lax; Secure");
}

#[test]
fn the_consent_page_offers_each_type_and_the_categories() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let scope = "openid fhirUser offline_access launch/patient patient/Patient.rs patient/Condition.rs patient/Observation.read";
    let tags_of = |page: &Reply| check_page(page);
    let page = browser.reach_consent("ann", &[("scope", scope)]);
    let tags = tags_of(&page);
    let condition = |code: &str| {
        format!(
            "patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|{code}"
        )
    };
    let observation = |code: &str| {
        format!(
            "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|{code}"
        )
    };
    let expected = [
        ("openid".to_owned(), true),
        ("fhirUser".to_owned(), true),
        ("offline_access".to_owned(), true),
        ("patient/Patient.rs".to_owned(), true),
        ("patient/Condition.rs".to_owned(), true),
        (condition("encounter-diagnosis"), false),
        (condition("problem-list-item"), false),
        ("patient/Condition.rs?category=http://hl7.org/fhir/us/core/CodeSystem/condition-category|health-concern".to_owned(), false),
        ("patient/Observation.read".to_owned(), true),
        (observation("procedure"), false),
        (observation("laboratory"), false),
        (observation("social-history"), false),
        ("patient/Observation.rs?category=http://hl7.org/fhir/us/core/CodeSystem/us-core-category|sdoh".to_owned(), false),
        (observation("survey"), false),
        (observation("vital-signs"), false),
    ];
    let expected: Vec<(&str, bool)> =
        expected.iter().map(|(value, ticked)| (value.as_str(), *ticked)).collect();
    assert_eq!(boxes(&tags), expected);
    assert!(source(&page).contains("Ann Lee") && source(&page).contains("ann &lt;b&gt;"));
    let buttons: Vec<_> = tags
        .iter()
        .filter(|tag| tag.name == "button")
        .map(|tag| (tag.get("value"), tag.text.as_str()))
        .collect();
    assert_eq!(buttons, [(Some("allow"), "Allow"), (Some("deny"), "Deny")]);
}

#[test]
fn the_consent_page_offers_a_wildcard_type_by_type() {
    let world = World::new();
    let page = Browser::new(&world).reach_consent("ann", &[("scope", "patient/*.read")]);
    let tags = check_page(&page);
    let boxes = boxes(&tags);
    let types = &world.server.config().consent_types;
    let whole: Vec<&str> = boxes.iter().filter(|(_, ticked)| *ticked).map(|(value, _)| *value).collect();
    let mut expected: Vec<String> = types.iter().map(|name| format!("patient/{name}.read")).collect();
    expected.push("patient/*.read".into());
    assert_eq!(whole, expected);
}

#[test]
fn forms_may_lead_to_the_app_that_asked_and_nowhere_else() {
    let world = World::new();
    let native = smart::Client {
        redirect_uris: vec!["com.example.app:/cb".into()],
        scopes: "openid".into(),
        ..smart::Client::new("native", "Native")
    };
    now(world.server.put_client(&native)).unwrap().unwrap();
    for (changes, expected) in [
        (&[][..], "form-action 'self' https://app.example;"),
        (
            &[("client_id", "native"), ("redirect_uri", "com.example.app:/cb")],
            "form-action 'self' com.example.app:;",
        ),
    ] {
        let mut browser = Browser::new(&world);
        let reply = browser.authorize(changes);
        let (_, page) = browser.follow(&reply);
        assert!(page.header("Content-Security-Policy").unwrap().contains(expected), "{page:?}");
    }
}

#[test]
fn every_page_is_whole_with_names_that_try_to_break_it() {
    let world = World::new();
    let evil = "\"><script>alert(1)</script>&amp;<!--";
    let client = smart::Client {
        redirect_uris: vec![CALLBACK.into()],
        scopes: "openid launch/patient patient/*.rs offline_access".into(),
        ..smart::Client::new("evil", evil)
    };
    now(world.server.put_client(&client)).unwrap().unwrap();
    let mut browser = Browser::new(&world);
    let scope = "openid offline_access launch/patient patient/Observation.rs?category=<x>&category=%22y";
    let reply = browser.authorize(&[("client_id", "evil"), ("scope", scope)]);
    let (_, page) = browser.follow(&reply);
    check_page(&page);
    let reply = browser.log_in(&page, "dr");
    let (_, page) = browser.follow(&reply);
    check_page(&page);
    assert!(source(&page).contains("Bob &lt;Ray&gt; &amp; &quot;Co&quot;"));
    let reply = browser.submit(Route::Pick, &page, &[("choice", "2")]);
    let (_, page) = browser.follow(&reply);
    let tags = check_page(&page);
    assert!(boxes(&tags).contains(&("patient/Observation.rs?category=<x>&category=%22y", true)));
    browser.allow(&page);
    check_page(&browser.send(Route::Manage, false, &[]));
    check_page(&browser.send(Route::Consent, false, &[("request", "gone")]));
}

#[test]
fn the_style_sheet_has_contrast_and_focus() {
    let world = World::new();
    let reply = world.answer(Route::Style, &smart::Request::default());
    let Body::Css(css) = reply.body else { panic!("no style sheet") };
    assert!(css.contains(":focus-visible") && !css.contains("url(") && !css.contains("@import"));
    // Text on what it stands on, in the light and the dark palette: WCAG's AA asks for 4.5.
    for (front, back) in [
        ("#1d2430", "#fff"),
        ("#525c6b", "#fff"),
        ("#525c6b", "#f6f8fa"),
        ("#b3261e", "#fff"),
        ("#fff", "#b03a0a"),
        ("#b03a0a", "#fff"),
        ("#e6e9ee", "#14181e"),
        ("#a4aebc", "#14181e"),
        ("#ff9a90", "#14181e"),
        ("#14181e", "#fb8b5a"),
        ("#fb8b5a", "#14181e"),
    ] {
        assert!(css.contains(front) && css.contains(back), "{front} and {back} are in the palette");
        assert!(contrast(front, back) >= 4.5, "{front} on {back}: {}", contrast(front, back));
    }
}

fn contrast(one: &str, two: &str) -> f64 {
    let (one, two) = (luminance(one), luminance(two));
    (one.max(two) + 0.05) / (one.min(two) + 0.05)
}

/// Relative luminance (WCAG 2.2).
fn luminance(colour: &str) -> f64 {
    let digits: Vec<u32> = colour[1..].chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    let channel = |index: usize| {
        let value = if digits.len() == 3 {
            digits[index] * 17
        } else {
            digits[index * 2] * 16 + digits[index * 2 + 1]
        };
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
}
