//! SMART App Launch through the built program: what apps, people and the program's own commands see on the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod authorization {
    pub mod browser;
    pub mod world;
}
mod support;

use authorization::browser::Browser;
use authorization::world::{APP, REDIRECT, World};
use support::{Server, directory, run, said, vesta};

#[test]
fn an_app_gets_a_code_tokens_and_refreshes_them() {
    let world = World::start();
    let mut browser = Browser::new(&world.server);
    let code = browser
        .authorize(&world.authorize("launch/patient openid fhirUser offline_access patient/*.rs"), "p1");
    let tokens = world.redeem(&code).expect(200);
    assert_eq!((tokens.header("cache-control"), tokens.header("pragma")), ("no-store", "no-cache"));
    let tokens = tokens.json();
    assert_eq!((&tokens["token_type"], &tokens["patient"]), (&"Bearer".into(), &"p1".into()));
    let access = tokens["access_token"].as_str().unwrap().to_owned();
    assert_eq!(world.read("Patient/p1", &access).status, 200);
    assert_ne!(world.read("Patient/p2", &access).status, 200);

    // The same code does not count twice, and what stood on it is gone at once.
    let code = browser.authorize(&world.authorize("launch/patient offline_access patient/*.rs"), "p1");
    let second = world.redeem(&code).expect(200).json();
    assert_eq!(world.redeem(&code).expect(400).json()["error"], "invalid_grant");
    assert_eq!(world.read("Patient/p1", second["access_token"].as_str().unwrap()).status, 401);

    // With and without scope; the old one is worth nothing afterwards.
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let again =
        world.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh)]).expect(200).json();
    assert_eq!(again["patient"], "p1");
    let next = again["refresh_token"].as_str().unwrap();
    let narrow =
        [("grant_type", "refresh_token"), ("refresh_token", next), ("scope", "patient/Observation.rs")];
    let narrower = world.token(&narrow).expect(200).json();
    assert_eq!(narrower["scope"], "patient/Observation.rs");
    assert_eq!(world.read("Patient/p1", narrower["access_token"].as_str().unwrap()).status, 403);
    assert_eq!(world.token(&narrow).expect(400).json()["error"], "invalid_grant");
    assert_eq!(world.read("Patient/p1", &access).status, 401, "a refresh token came twice: all is revoked");
}

#[test]
fn what_is_revoked_does_not_count_from_then_on() {
    let world = World::start();
    let mut browser = Browser::new(&world.server);
    let code = browser.authorize(&world.authorize("launch/patient offline_access patient/*.rs"), "p1");
    let tokens = world.redeem(&code).expect(200).json();
    let access = tokens["access_token"].as_str().unwrap();
    for _ in 0..3 {
        assert_eq!(world.read("Patient/p1", access).status, 200);
    }
    let asked = world.post("/auth/revoke", &[("token", access), ("client_id", APP)], &[]);
    assert_eq!((asked.status, asked.body.len()), (200, 0));
    let refused = world.read("Patient/p1", access);
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").contains("error=\"invalid_token\""));
    assert_eq!(
        refused.issues(),
        ["error login []: The access token is unknown, has expired or was revoked."]
    );

    // The user takes everything back.
    let code = browser.authorize(&world.authorize("launch/patient patient/*.rs"), "p1");
    let tokens = world.redeem(&code).expect(200).json();
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(world.read("Patient/p1", access).status, 200);
    let page = browser.get("/auth/manage").expect(200).text();
    for grant in page.split("name=\"grant\" value=\"").skip(1) {
        let grant = grant.split('"').next().unwrap();
        browser.submit("/auth/manage", &page, &[("grant", grant)]).expect(303);
    }
    assert_eq!(world.read("Patient/p1", access).status, 401);

    // Removing the app, while the server runs, does the same.
    let code = browser.authorize(&world.authorize("launch/patient patient/*.rs"), "p1");
    let tokens = world.redeem(&code).expect(200).json();
    world.command(&["client", "remove", APP]);
    assert_eq!(world.read("Patient/p1", tokens["access_token"].as_str().unwrap()).status, 401);
    assert_eq!(world.token(&[("grant_type", "refresh_token")]).status, 401);
}

#[test]
fn nothing_is_served_without_a_token_but_what_apps_begin_with() {
    let world = World::start();
    for path in ["Patient", "Patient/p1", "_history", "Patient/$validate", "Patient/p1/$everything", ""] {
        let answer = world.server.get(&format!("/fhir/{path}"));
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, "Bearer realm=\"fhir\""),
            "{path}"
        );
        assert!(answer.issues()[0].starts_with("error login"), "{path}");
    }
    for path in ["/fhir/_search", "/fhir/Patient", "/fhir"] {
        assert_eq!(world.server.post(path, "{}").status, 401, "{path}");
    }
    for token in ["", "x", "Bearer", "Bearer x", "Basic eDp4"] {
        let answer = world.server.send("GET", "/fhir/Patient/p1", &[("authorization", token)], b"");
        assert_eq!(answer.status, 401, "{token}");
    }
    let page = world.server.send("GET", "/fhir/Patient/p1", &[("accept", "text/html")], b"");
    assert_eq!(page.status, 401);
    assert!(!page.text().contains("Testperson"));
    // Pages of this server: nothing of the records.
    assert!(!world.server.get("/").expect(200).text().contains("Resources by type"));
    world.server.get("/fhirpath?expression=name&reference=Patient/p1").expect(403);

    let statement = world.server.get("/fhir/metadata").expect(200).json();
    let security = &statement["rest"][0]["security"];
    assert_eq!(security["service"][0]["coding"][0]["code"], "SMART-on-FHIR");
    let uris = security["extension"][0]["extension"].as_array().unwrap();
    let token = uris.iter().find(|uri| uri["url"] == "token").unwrap();
    assert_eq!(token["valueUri"], format!("{}/token", world.issuer()));
    let smart = world.server.get("/fhir/.well-known/smart-configuration").expect(200);
    assert_eq!(smart.header("access-control-allow-origin"), "*");
    let smart = smart.json();
    assert_eq!(smart["issuer"], world.issuer());
    assert!(smart["capabilities"].as_array().unwrap().contains(&"launch-ehr".into()));
    let openid = world.server.get("/auth/.well-known/openid-configuration").expect(200).json();
    assert_eq!((&openid["issuer"], &openid["jwks_uri"]), (&smart["issuer"], &smart["jwks_uri"]));
    let keys = world.server.get("/auth/jwks").expect(200).json();
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["alg"]), (&"RSA".into(), &"RS256".into()));
    assert!(keys["keys"][0].get("d").is_none());
}

#[test]
fn browsers_are_told_what_scripts_and_frames_may_do() {
    let world = World::start();
    let login = world.server.get("/auth/login").expect(200);
    let cookie = login.header("set-cookie");
    assert!(cookie.contains("; HttpOnly; SameSite=Lax") && cookie.starts_with("vesta-session="), "{cookie}");
    assert!(login.header("content-security-policy").contains("frame-ancestors 'none'"));
    assert_eq!(login.header("x-frame-options"), "DENY");
    assert_eq!((login.header("cache-control"), login.header("pragma")), ("no-store", "no-cache"));
    let origin = ("origin", "https://app.example.org");
    assert_eq!(
        world.server.send("GET", "/auth/login", &[origin], b"").header("access-control-allow-origin"),
        ""
    );
    let asked = [origin, ("access-control-request-method", "POST")];
    let token = world.server.send("OPTIONS", "/auth/token", &asked, b"").expect(204);
    assert_eq!(token.header("access-control-allow-origin"), "*");
    assert_eq!(token.header("access-control-allow-headers"), "authorization, content-type");
    let read = world.server.send("OPTIONS", "/fhir/Patient/p1", &asked, b"").expect(204);
    assert_eq!(read.header("access-control-allow-origin"), "*");
    assert!(read.header("access-control-allow-headers").contains("authorization"));
    assert_eq!(
        world.server.send("GET", "/fhir/Patient/p1", &[origin], b"").header("access-control-allow-origin"),
        "*"
    );
    assert_eq!(world.server.send("DELETE", "/auth/token", &[], b"").expect(405).header("allow"), "POST");
    world.server.send("POST", "/auth/token", &[("content-type", "application/json")], b"{}").expect(415);

    // A form without this session's secret changes nothing.
    let mut browser = Browser::new(&world.server);
    browser.get("/auth/login").expect(200);
    let fields = [("username", "ann"), ("password", world.password()), ("csrf", "x")];
    browser.post("/auth/login", &fields).expect(403);
}

#[test]
fn an_ehr_launch_begins_on_the_page_of_a_user() {
    let world = World::start();
    let mut browser = Browser::new(&world.server);
    browser.log_in("/auth/login", world.password());
    let page = browser.get("/auth/apps?q=testperson").expect(200).text();
    assert!(page.contains("Ann Testperson") && !page.contains("Bob Otherman"), "{page}");
    let page = browser.submit("/auth/apps", &page, &[("app", APP), ("patient", "p1")]).expect(200).text();
    assert!(page.contains("value=\"e1\""), "{page}");
    let fields = [("app", APP), ("patient", "p1"), ("encounter", "e2")];
    browser.submit("/auth/apps", &page, &fields).expect(400);
    let fields = [("app", APP), ("patient", "p1"), ("encounter", "e1")];
    let opened = browser.submit("/auth/apps", &page, &fields).expect(303);
    let url = opened.header("location").to_owned();
    assert!(url.starts_with("http://localhost:4567/launch?iss=http"), "{url}");
    let launch = url.split("launch=").nth(1).unwrap();
    let query = format!("{}&launch={launch}", world.authorize("launch openid fhirUser patient/*.rs"));
    let code = browser.authorize(&query, "");
    let tokens = world.redeem(&code).expect(200).json();
    assert_eq!((&tokens["patient"], &tokens["encounter"]), (&"p1".into(), &"e1".into()));
    assert!(tokens["id_token"].as_str().unwrap().split('.').count() == 3);
    // A launch counts once it was answered no more.
    let again = browser.get(&query);
    assert!(again.header("location").starts_with(&format!("{REDIRECT}?error=invalid_request")));
}

#[test]
fn a_token_of_one_tenant_is_nobodys_at_another() {
    let data = directory();
    let table = data.path().join("tenants.toml");
    std::fs::write(&table, "[tenants.a]\n[tenants.b]\n").unwrap();
    let table = table.to_str().unwrap();
    let world = World::start_with(data, &["--tenants", table], Some("a"));
    let mut browser = Browser::new(&world.server);
    let code = browser.authorize(&world.authorize("launch/patient patient/*.rs"), "p1");
    let tokens = world.redeem(&code).expect(200).json();
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(world.read("Patient/p1", access).status, 200);
    let header = format!("Bearer {access}");
    let other = world.server.send("GET", "/t/b/fhir/Patient/p1", &[("authorization", &header)], b"");
    assert_eq!(other.status, 401);
    // What the authorization server keeps is out of reach.
    for path in ["/t/a--smart/fhir/Basic", "/t/a--smart/auth/manage", "/t/default--smart/fhir/metadata"] {
        world.server.get(path).expect(404);
    }
    let code = browser.get("/t/b/auth/authorize").expect(400).text();
    assert!(code.contains("cannot be authorized"));
}

#[test]
fn commands_work_on_stopped_and_running_servers_and_backups_have_the_records() {
    let world = World::start();
    let listed = world.command(&["client", "list"]);
    assert!(listed.contains(APP) && listed.contains("public"), "{listed}");
    world.command(&["user", "list"]);
    let refused = run(&["client", "list", "--data", world.data()]);
    assert!(said(&refused).contains("authorization is off"), "{}", said(&refused));
    let short = world
        .vesta(&["user", "add", "bob", "--fhir-user", "Patient/p1"])
        .env("VESTA_PASSWORD", "short")
        .output();
    assert!(said(&short.unwrap()).contains("a password has 12 characters"));
    let mut nobody = world.vesta(&["user", "add", "bob", "--fhir-user", "Device/p1"]);
    let nobody = nobody.env("VESTA_PASSWORD", "x".repeat(12));
    assert!(said(&nobody.output().unwrap()).contains("is no reference to a Patient"));
    assert!(
        said(&world.vesta(&["user", "remove", "zoe"]).output().unwrap()).contains("there is no user zoe")
    );
    // A running server takes what is loaded, and what is added to a stopped one is there when it starts.
    world.command(&["demo", "--patients", "1"]);
    let archives = directory();
    let archives = archives.path().to_str().unwrap();
    world.command(&["backup", archives]);
    let (data, _) = world.stop();
    let restored = directory();
    let restored = restored.path().to_str().unwrap();
    support::done(&["restore", archives, "--data", restored, "--authorization"]);
    let listed = support::done(&["client", "list", "--data", restored, "--authorization"]);
    assert!(listed.contains(APP), "{listed}");
    support::done(&["client", "remove", APP, "--data", data.path().to_str().unwrap(), "--authorization"]);
    let server = Server::start_with(data.path(), &["--authorization"]);
    server.get("/fhir/Patient").expect(401);
}

#[test]
fn what_others_can_reach_needs_authorization_and_tls() {
    let data = directory();
    let data = data.path().to_str().unwrap();
    let refused = |more: &[&str], expected: &str| {
        let output = vesta(&["serve", "--data", data, "--bind", "0.0.0.0:0"]).args(more).output().unwrap();
        assert!(!output.status.success() && said(&output).contains(expected), "{more:?}: {}", said(&output));
    };
    refused(&[], "asks nobody who they are");
    refused(&["--authorization"], "would pass unencrypted");
    refused(&["--authorization", "--tls-certificate", "x"], "go together");
    refused(&["--authorization", "--tls-certificate", "/nowhere", "--tls-key", "/nowhere"], "TLS: /nowhere");
}
