//! The page of administrators.

use smart::{Job, Reply, Route, User};

use crate::html::{check_page, source};
use crate::support::*;

/// A browser in which somebody is logged in, and its secret of forms.
fn logged_in<'w>(world: &'w World, name: &str) -> (Browser<'w>, String) {
    let mut browser = Browser::new(world);
    let page = browser.send(Route::Login, false, &[]);
    let reply = browser.log_in(&page, name);
    let (route, page) = browser.follow(&reply);
    assert_eq!(route, Route::Manage);
    let csrf = crate::html::form(&page).into_iter().find(|(name, _)| name == "csrf").unwrap().1;
    (browser, csrf)
}

fn administrator(world: &World) {
    let user = now(world.server.user("dr")).unwrap().unwrap();
    now(world.server.put_user(&User { administrator: true, ..user })).unwrap();
}

fn order(browser: &mut Browser<'_>, csrf: &str, order: &str, of: &str) -> Reply {
    browser.send(Route::Admin, true, &[("csrf", csrf), ("order", order), ("of", of)])
}

#[test]
fn it_is_for_administrators_alone() {
    let world = World::new();
    let reply = Browser::new(&world).send(Route::Admin, false, &[]);
    assert_eq!((reply.status, reply.header("Location")), (303, Some("/auth/login")));
    let (mut browser, csrf) = logged_in(&world, "dr");
    for reply in [
        browser.send(Route::Admin, false, &[]),
        order(&mut browser, &csrf, "disable-client", "public"),
        order(&mut browser, &csrf, "disable-user", "ann"),
        order(&mut browser, &csrf, "cancel-job", "j1"),
    ] {
        assert_eq!(reply.status, 403);
        check_page(&reply);
        assert!(!source(&reply).contains("confidential") && !source(&reply).contains("sub-ann"));
    }
    assert!(now(world.server.client("public")).unwrap().unwrap().enabled);
    assert!(now(world.server.user("ann")).unwrap().unwrap().enabled);
    assert_eq!(world.jobs.0.lock().unwrap().len(), 1);

    // As the account is now, not as it was at the login.
    administrator(&world);
    assert_eq!(browser.send(Route::Admin, false, &[]).status, 200);
    let page = browser.send(Route::Manage, false, &[]);
    assert!(source(&page).contains("/auth/admin"));
    let user = now(world.server.user("dr")).unwrap().unwrap();
    now(world.server.put_user(&User { administrator: false, ..user })).unwrap();
    assert_eq!(browser.send(Route::Admin, false, &[]).status, 403);
    assert!(!source(&browser.send(Route::Manage, false, &[])).contains("/auth/admin"));
}

#[test]
fn forms_of_others_are_refused() {
    let world = World::new();
    administrator(&world);
    let (mut browser, _) = logged_in(&world, "dr");
    for csrf in ["", "another"] {
        assert_eq!(order(&mut browser, csrf, "disable-client", "public").status, 403);
    }
    assert!(now(world.server.client("public")).unwrap().unwrap().enabled);
}

#[test]
fn apps_people_and_jobs_are_seen_and_switched() {
    let world = World::new();
    administrator(&world);
    let tokens = world.tokens("patient/*.rs");
    let is_worth_something = || now(world.server.verify(text(&tokens, "access_token"))).is_ok();
    let (mut browser, csrf) = logged_in(&world, "dr");
    let page = browser.send(Route::Admin, false, &[]);
    check_page(&page);
    for part in
        ["The app public", "ann &lt;b&gt;", "Practitioner/9, administrator", "Export, 7 resources written"]
    {
        assert!(source(&page).contains(part), "{part}");
    }

    let page = order(&mut browser, &csrf, "disable-client", "public");
    assert!(source(&page).contains("The app may do nothing any more.") && !is_worth_something());
    let page = order(&mut browser, &csrf, "enable-client", "public");
    assert!(source(&page).contains("The app may ask for access again."));
    order(&mut browser, &csrf, "remove-client", "other");
    assert!(now(world.server.client("other")).unwrap().is_none());

    let tokens = world.tokens("patient/*.rs");
    order(&mut browser, &csrf, "disable-user", "ann");
    assert!(now(world.server.verify(text(&tokens, "access_token"))).is_err());
    order(&mut browser, &csrf, "enable-user", "ann");
    assert!(now(world.server.user("ann")).unwrap().unwrap().enabled);
    let page = order(&mut browser, &csrf, "disable-user", "DR");
    assert!(source(&page).contains("You cannot lock yourself out."));

    order(&mut browser, &csrf, "cancel-job", "j1");
    assert!(world.jobs.0.lock().unwrap().is_empty());
    for (what, of, sentence) in [
        ("cancel-job", "j1", "There is no such job any more."),
        ("disable-client", "other", "There is no such app any more."),
        ("enable-user", "nobody", "There is no such user any more."),
        ("drop-tables", "x", "Nothing was asked for."),
    ] {
        assert!(source(&order(&mut browser, &csrf, what, of)).contains(sentence), "{what}");
    }
    let log = world.log.0.lock().unwrap();
    let told = log.iter().filter_map(|event| event.order.as_deref().zip(Some(&event.failure)));
    let told: Vec<_> = told.collect();
    assert_eq!(told[0], ("disable-client public", &None));
    assert_eq!(told.last().unwrap().1.as_deref(), Some("Nothing was asked for."));
}

#[test]
fn an_app_is_registered_and_its_secret_told_once() {
    let world = World::new();
    administrator(&world);
    let (mut browser, csrf) = logged_in(&world, "dr");
    let usual = [
        ("csrf", csrf.as_str()),
        ("order", "register"),
        ("id", "new-app"),
        ("name", "New <App>"),
        ("redirect_uris", "https://app.example/callback\r\nhttps://app.example/other"),
        ("scopes", "launch/patient patient/*.rs"),
        ("how", "secret"),
    ];
    let mut send = |changes: &[(&str, &str)]| browser.send(Route::Admin, true, &changed(&usual, changes));
    for (changes, sentence) in [
        (&[("id", "public")][..], "There is an app of that id already."),
        (&[("id", "a b")], "a client id has 1 to 200 letters, digits"),
        (&[("name", "")], "Say what the app is called."),
        (&[("redirect_uris", "http://elsewhere.example/")], "must be an absolute URI"),
        (&[("scopes", "patient/*.rs nonsense/x")], "nonsense/x"),
        (
            &[("how", "keys"), ("jwks_url", "http://10.0.0.1/")],
            "the URL of keys is not one that may be asked",
        ),
        (&[("backend", "yes")], "a backend service proves who it is by keys"),
        (&[("how", "")], "Say how the app proves who it is."),
    ] {
        let page = send(changes);
        check_page(&page);
        assert!(source(&page).contains(sentence), "{sentence}");
        assert!(now(world.server.client("new-app")).unwrap().is_none(), "{sentence}");
    }
    let page = send(&[("name", "")]);
    assert!(source(&page).contains("https://app.example/other"), "what was typed is kept");

    let page = send(&[]);
    check_page(&page);
    let secret =
        source(&page).split("not shown again: <code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(!source(&browser.send(Route::Admin, false, &[])).contains(&secret));
    let client = now(world.server.client("new-app")).unwrap().unwrap();
    assert_eq!(client.redirect_uris.len(), 2);
    let changes = [("client_id", "new-app"), ("scope", "launch/patient patient/*.rs")];
    let code = Browser::new(&world).code("ann", &changes);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(world.post_as(Route::Token, "new-app", "another secret of length", &form).status, 401);
    assert_eq!(world.post_as(Route::Token, "new-app", &secret, &form).status, 200);
}

#[test]
fn what_is_shown_cannot_be_script() {
    let world = World::new();
    administrator(&world);
    let mut jobs = world.jobs.0.lock().unwrap();
    let job = |text: &str| Job { url: text.into(), owner: text.into(), ..jobs[0].clone() };
    let job = job("<script>\"'");
    jobs.push(job);
    drop(jobs);
    let (mut browser, _) = logged_in(&world, "dr");
    let page = browser.send(Route::Admin, false, &[]);
    check_page(&page);
    assert!(!source(&page).contains("<script>"));
}
