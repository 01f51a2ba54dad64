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

    // Whoever is disabled is logged out too, and does not get in until enabled again.
    let code = browser.authorize(&world.authorize("launch/patient patient/*.rs"), "p1");
    let tokens = world.redeem(&code).expect(200).json();
    world.command(&["user", "disable", "ann"]);
    assert_eq!(world.read("Patient/p1", tokens["access_token"].as_str().unwrap()).status, 401);
    assert!(browser.get("/auth/manage").expect(303).header("location").contains("/auth/login"));
    let page = browser.get("/auth/login").expect(200).text();
    let fields = [("username", "ann"), ("password", world.password())];
    browser.submit("/auth/login", &page, &fields).expect(401);
    assert!(world.command(&["user", "list"]).contains("disabled"));
    world.command(&["user", "enable", "ann"]);
    // One-time codes are asked for as well, until they are not.
    let said = world.command(&["user", "totp", "ann"]);
    assert!(said.contains("otpauth://totp/Vesta:ann?secret="), "{said}");
    browser.submit("/auth/login", &page, &fields).expect(401);
    world.command(&["user", "totp", "ann", "--off"]);
    browser.submit("/auth/login", &page, &fields).expect(303);

    // An app that is disabled has nothing, and gets nothing.
    let code = browser.authorize(&world.authorize("launch/patient patient/*.rs"), "p1");
    let tokens = world.redeem(&code).expect(200).json();
    world.command(&["client", "disable", APP]);
    assert_eq!(world.read("Patient/p1", tokens["access_token"].as_str().unwrap()).status, 401);
    browser.get(&world.authorize("launch/patient patient/*.rs")).expect(400);
    world.command(&["client", "enable", APP]);

    // Removing the app, while the server runs, does the same.
    let code = browser.authorize(&world.authorize("launch/patient patient/*.rs"), "p1");
    let tokens = world.redeem(&code).expect(200).json();
    world.command(&["client", "remove", APP]);
    assert_eq!(world.read("Patient/p1", tokens["access_token"].as_str().unwrap()).status, 401);
    assert_eq!(world.token(&[("grant_type", "refresh_token")]).status, 401);
}

#[test]
fn an_administrator_sees_jobs_and_switches_apps_off() {
    let world = World::start();
    let mut browser = Browser::new(&world.server);
    let code = browser.authorize(&world.authorize("launch/patient patient/*.rs"), "p1");
    let tokens = world.redeem(&code).expect(200).json();
    let access = tokens["access_token"].as_str().unwrap();
    let bearer = format!("Bearer {access}");
    let asynchronous = [
        ("authorization", bearer.as_str()),
        ("prefer", "respond-async"),
        ("accept", "application/fhir+json"),
    ];
    world.server.send("GET", "/fhir/Patient/$export", &asynchronous, b"").expect(202);

    browser.get("/auth/admin").expect(403);
    let said = world.command(&["user", "administrator", "ann"]);
    assert!(said.contains("User ann administers apps, people and jobs at /auth/admin"), "{said}");
    assert!(world.command(&["user", "list"]).contains("administrator"));
    let page = browser.get("/auth/admin").expect(200).text();
    assert!(page.contains("/fhir/Patient/$export"), "{page}");
    let order = |order: &'static str, of| [("order", order), ("of", of)];
    let job = page.split("value=\"cancel-job\"><input type=\"hidden\" name=\"of\" value=\"").nth(1).unwrap();
    let job = job.split('"').next().unwrap().to_owned();
    let page = browser.submit("/auth/admin", &page, &order("cancel-job", &job)).expect(200).text();
    assert!(!page.contains("/fhir/Patient/$export"), "{page}");
    assert_eq!(world.read("Patient/p1", access).status, 200);
    let page = browser.submit("/auth/admin", &page, &order("disable-client", APP)).expect(200).text();
    assert_eq!(world.read("Patient/p1", access).status, 401);
    assert!(world.command(&["client", "list"]).contains("disabled"));
    browser.submit("/auth/admin", &page, &order("enable-client", APP)).expect(200);
    world.command(&["user", "administrator", "ann", "--off"]);
    browser.get("/auth/admin").expect(403);
}

#[test]
fn what_a_patient_withholds_is_not_seen_until_they_permit_it() {
    let world = World::start();
    let mut browser = Browser::new(&world.server);
    let code = browser.authorize(&world.authorize("launch/patient user/*.cruds"), "p1");
    let tokens = world.redeem(&code).expect(200).json();
    let doctor = tokens["access_token"].as_str().unwrap();
    let added = world
        .vesta(&["user", "add", "bob", "--fhir-user", "Patient/p2"])
        .env("VESTA_PASSWORD", world.password())
        .output();
    assert!(added.unwrap().status.success());
    let mut at_home = Browser::new(&world.server);
    at_home.user = "bob";
    let code = at_home.authorize(&world.authorize("launch/patient patient/*.cruds"), "p2");
    let tokens = world.redeem(&code).expect(200).json();
    let patient = tokens["access_token"].as_str().unwrap();
    let bearer = |token: &str| format!("Bearer {token}");
    let put = |token: &str, key: &str, body: &str| {
        let path = format!("/fhir/{key}");
        world.server.send("PUT", &path, &[("authorization", &bearer(token))], body.as_bytes())
    };
    let consent = |status: &str, policy: &str, provision: &str| {
        format!(
            r#"{{"resourceType":"Consent","id":"c","status":"{status}","scope":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/consentscope","code":"patient-privacy"}}]}},"category":[{{"text":"x"}}],"patient":{{"reference":"Patient/p2"}},"policyRule":{{"coding":[{{"code":"{policy}"}}]}},"provision":{provision}}}"#
        )
    };
    // Begun at the desk; the patient says the rest through an app of theirs.
    assert_eq!(put(doctor, "Consent/c", &consent("draft", "OPTOUT", r#"{"type":"deny"}"#)).status, 201);
    let consents = |policy: &str, provision: &str| {
        let answer = put(patient, "Consent/c", &consent("active", policy, provision));
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    // What of p2's the doctor gets to see: the Patient, the Encounter.
    let sees = || {
        let read = |key| world.read(key, doctor).status == 200;
        let (patient, encounter) = (read("Patient/p2"), read("Encounter/e2"));
        for (path, expected) in [
            ("Patient?name=Otherman", patient),
            ("Encounter?patient=p2", encounter),
            ("Encounter?_include=Encounter:subject&_id=e2", encounter),
            ("Patient?_has:Encounter:patient:status=finished&name=Otherman", patient && encounter),
            ("Patient/p2/_history", patient),
            ("Encounter/_history", encounter),
            ("Patient/p2/Encounter", encounter),
            ("Patient/p2/$everything", patient),
        ] {
            let found = world.read(path, doctor).text();
            let shown = found.contains(r#""family":"Otherman""#) || found.contains(r#""id":"e2""#);
            assert_eq!(shown, expected, "{path}: {found}");
        }
        let total = world.read("Encounter?_summary=count", doctor).expect(200).json()["total"].as_u64();
        assert_eq!(total, Some(1 + u64::from(encounter)));
        assert_eq!(browser_shows(&mut Browser::new(&world.server), &world), patient);
        (patient, encounter)
    };
    let deny =
        r#"{"type":"deny","actor":[{"role":{"text":"x"},"reference":{"reference":"Practitioner/dr"}}]}"#;
    let class = r#""class":[{"system":"http://hl7.org/fhir/resource-types","code":"Encounter"}]"#;
    assert_eq!(sees(), (true, true));
    consents("OPTIN", deny);
    assert_eq!(sees(), (false, false));
    assert_eq!(world.read("Patient/p1", doctor).status, 200);
    assert_eq!(world.read("Patient/p2", patient).status, 200, "their own record is theirs");
    let changed = put(doctor, "Patient/p2", r#"{"resourceType":"Patient","id":"p2"}"#);
    assert!([403, 404, 409].contains(&changed.status), "{changed:?}");
    assert!(world.read("Patient/p2", patient).text().contains("Otherman"));
    consents("OPTIN", &deny.replace("/dr", "/another"));
    assert_eq!(sees(), (true, true));
    consents("OPTIN", &format!(r#"{{"type":"deny",{class}}}"#));
    assert_eq!(sees(), (true, false));
    consents("OPTOUT", &format!(r#"{{"type":"permit",{class}}}"#));
    assert_eq!(sees(), (false, true));
    consents("OPTOUT", r#"{"type":"permit","provision":[{"type":"deny","period":{"end":"2001"}}]}"#);
    assert_eq!(sees(), (true, true));

    // Of an organization, as soon as the doctor works there.
    let organization = deny.replace("Practitioner/dr", "Organization/o");
    consents("OPTIN", &organization);
    assert_eq!(sees(), (true, true));
    let role = r#"{"resourceType":"PractitionerRole","id":"r","practitioner":{"reference":"Practitioner/dr"},"organization":{"reference":"Organization/o"}}"#;
    let organization = r#"{"resourceType":"Organization","id":"o","name":"O"}"#;
    assert_eq!(put(doctor, "Organization/o", organization).status, 201);
    assert_eq!(put(doctor, "PractitionerRole/r", role).status, 201);
    assert_eq!(sees(), (false, false));
    let header = bearer(patient);
    world.server.send("DELETE", "/fhir/Consent/c", &[("authorization", &header)], b"").expect(204);
    assert_eq!(sees(), (true, true));
}

/// Whether the page on which a user chooses a patient offers p2.
fn browser_shows(browser: &mut Browser, world: &World) -> bool {
    browser.log_in("/auth/login", world.password());
    browser.get("/auth/apps").expect(200).text().contains("Otherman")
}

#[test]
fn a_policy_holds_a_user_until_the_glass_is_broken() {
    let world = World::start();
    let file = directory();
    let file = file.path().join("policy.json");
    let put = |text: &str| {
        std::fs::write(&file, text).unwrap();
        world.vesta(&["policy", "put", file.to_str().unwrap()]).output().unwrap()
    };
    let rule = r#"{"resourceType":"Patient","criteria":"Patient?_id=p1","readonly":true},{"resourceType":"Encounter"}"#;
    let policy = format!(r#"{{"name":"desk","resource":[{rule}],"breakGlass":true}}"#);
    for (text, expected) in [
        ("{}", "has no access policy: missing field `name`"),
        (
            r#"{"name":"x","resource":[{"resourceType":"Patient","hiddenFields":["name"]}]}"#,
            "unknown field `hiddenFields`",
        ),
        (r#"{"name":"x","resource":[{"resourceType":"Unicorn"}]}"#, "'Unicorn' is no resource type"),
        (r#"{"name":"x","resource":[{"resourceType":"Patient","criteria":"horn=1"}]}"#, "are not understood"),
    ] {
        let refused = put(text);
        assert!(!refused.status.success() && said(&refused).contains(expected), "{}", said(&refused));
    }
    assert!(
        said(&world.vesta(&["user", "policy", "ann", "desk"]).output().unwrap())
            .contains("there is no policy desk")
    );
    let kept = put(&policy);
    assert!(kept.status.success(), "{}", said(&kept));
    let mut browser = Browser::new(&world.server);
    let code = browser.authorize(&world.authorize("launch/patient user/*.cruds"), "p1");
    let tokens = world.redeem(&code).expect(200).json();
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(world.read("Patient/p2", access).status, 200);
    // It holds from then on, tokens that are there too.
    world.command(&["user", "policy", "ann", "desk"]);
    assert!(world.command(&["user", "list"]).contains("policy desk"));
    assert!(world.command(&["policy", "list"]).contains("may be put aside in an emergency"));
    assert_eq!(world.read("Patient/p1", access).status, 200);
    let unseen = world.read("Patient/p2", access);
    let nobody = world.read("Patient/nobody", access);
    assert_eq!(
        (unseen.status, unseen.issues()[0].replace("p2", "nobody")),
        (404, nobody.issues()[0].clone())
    );
    assert_eq!(world.read("Practitioner/dr", access).status, 403);
    let found = world.read("Encounter?_include=Encounter:subject", access).expect(200).text();
    assert!(found.contains("Testperson") && !found.contains("Otherman"), "{found}");
    // The pages offer no more.
    let page = browser.get("/auth/apps").expect(200).text();
    assert!(page.contains("Ann Testperson") && !page.contains("Bob Otherman"), "{page}");

    // In an emergency, with a reason, which is recorded.
    let header = format!("Bearer {access}");
    let glass = |reason: &str| {
        let headers = [("authorization", header.as_str()), ("break-the-glass", reason)];
        world.server.send("GET", "/fhir/Patient/p2", &headers, b"")
    };
    assert_eq!(glass("why not").expect(400).issues().len(), 1);
    glass("unconscious in the emergency room").expect(200);
    // Not for work that goes on when the answer is sent.
    let header_of_job =
        [("authorization", header.as_str()), ("break-the-glass", "unconscious in the emergency room")];
    for (method, path) in [
        ("GET", "/fhir/$export"),
        ("POST", "/fhir/Patient/p2/$ehi-export"),
        ("POST", "/fhir/$import"),
        ("GET", "/fhir/bulk/x"),
    ] {
        let refused = world.server.send(method, path, &header_of_job, b"").expect(403);
        assert!(refused.issues()[0].contains("are held to the user's policy"), "{:?}", refused.issues());
    }
    world
        .server
        .send("GET", "/fhir/Patient/p2", &[("break-the-glass", "unconscious in the street")], b"")
        .expect(401);
    std::fs::write(
        &file,
        policy.replace("true}", "false}").replace("\"breakGlass\":true", "\"breakGlass\":false"),
    )
    .unwrap();
    world.command(&["policy", "put", file.to_str().unwrap()]);
    glass("unconscious in the emergency room").expect(403);
    world.command(&["user", "policy", "ann"]);
    assert_eq!(world.read("Patient/p2", access).status, 200);
    let mut recorded = String::new();
    for _ in 0..50 {
        recorded = world.read("AuditEvent?entity=Patient/p2&_count=100", access).expect(200).text();
        if recorded.contains("unconscious in the emergency room") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(recorded.contains(r#""code":"BTG""#) && !recorded.contains("in the street"), "{recorded}");
    // A policy that is gone permits nothing.
    world.command(&["client", "policy", APP, "desk"]);
    assert_eq!(world.read("Patient/p1", access).status, 200);
    world.command(&["policy", "remove", "desk"]);
    assert_eq!(world.read("Patient/p1", access).status, 403);
}

#[test]
fn id_tokens_are_in_es256_for_those_who_ask() {
    let data = directory();
    let made = run(&["rotate-keys", "--data", data.path().to_str().unwrap()]);
    assert!(made.status.success(), "{}", said(&made));
    let lines = String::from_utf8(made.stdout).unwrap();
    let new: Vec<(&str, &str)> = lines.lines().filter_map(|line| line.split_once(": ")).collect();
    assert_eq!(new.iter().map(|(algorithm, _)| *algorithm).collect::<Vec<_>>(), ["RS256", "ES256"]);
    let world = World::start_with(data, &[], None);
    let keys = world.server.get("/auth/jwks").expect(200).json();
    let named = |key: &serde_json::Value| {
        [&key["alg"], &key["crv"]].map(|name| name.as_str().unwrap_or_default().to_owned())
    };
    let published: Vec<[String; 2]> = keys["keys"].as_array().unwrap().iter().map(named).collect();
    let (rsa, curve) = (["RS256", ""].map(str::to_owned), ["ES256", "P-256"].map(str::to_owned));
    assert_eq!(published, [rsa.clone(), rsa, curve.clone(), curve], "the old ones too");
    assert!(new[1].1.starts_with(keys["keys"][3]["kid"].as_str().unwrap()), "{lines}");

    let register = |algorithm: &str| {
        let client =
            ["client", "add", APP, "--name", "App", "--redirect-uri", REDIRECT, "--scopes", "openid"];
        let asked = ["--id-token-signed-response-alg", algorithm];
        world.vesta(&[client.as_slice(), asked.as_slice()].concat()).output().unwrap()
    };
    let header = |browser: &mut Browser| {
        let code = browser.authorize(&world.authorize("openid"), "p1");
        let token = world.redeem(&code).expect(200).json()["id_token"].as_str().unwrap().to_owned();
        token.split_once('.').unwrap().0.to_owned()
    };
    // `{"alg":"RS256"` and `{"alg":"ES256"` in base64url.
    let mut browser = Browser::new(&world.server);
    assert!(header(&mut browser).starts_with("eyJhbGciOiJSUzI1Ni"));
    assert!(register("ES256").status.success());
    assert!(world.command(&["client", "list"]).contains(" ES256"));
    assert!(header(&mut browser).starts_with("eyJhbGciOiJFUzI1Ni"));
    let refused = register("HS256");
    assert!(
        !refused.status.success() && said(&refused).contains("id_tokens are signed with RS256 or ES256"),
        "{}",
        said(&refused)
    );
    let openid = world.server.get("/auth/.well-known/openid-configuration").expect(200).json();
    assert_eq!(openid["id_token_signing_alg_values_supported"], serde_json::json!(["RS256", "ES256"]));
}

#[test]
fn codes_tokens_and_policies_count_once_on_cosmos_too() {
    let account = cosmos_emulator::Account::start().unwrap();
    let data = directory();
    let file = data.path().join("connection-string");
    std::fs::write(&file, account.connection_string()).unwrap();
    let secret = format!("file:{}", file.display());
    let engine = ["--store", "cosmos", "--cosmos-connection-string", secret.as_str()];
    let place = ["--data", data.path().to_str().unwrap()];
    let made = run(&[["cosmos", "init"].as_slice(), &place, &engine].concat());
    assert!(made.status.success(), "{}", said(&made));
    let world = World::start_with(data, &engine, None);
    let mut browser = Browser::new(&world.server);
    let mut authorized = |scopes: &str| browser.authorize(&world.authorize(scopes), "p1");
    let text = |tokens: &serde_json::Value, name: &str| tokens[name].as_str().unwrap().to_owned();

    let code = authorized("launch/patient patient/*.rs");
    let access = text(&world.redeem(&code).expect(200).json(), "access_token");
    assert_eq!(world.read("Patient/p1", &access).status, 200);
    assert_eq!(world.redeem(&code).expect(400).json()["error"], "invalid_grant");
    assert_eq!(world.read("Patient/p1", &access).status, 401);

    let code = authorized("launch/patient offline_access user/*.rs");
    let first = text(&world.redeem(&code).expect(200).json(), "refresh_token");
    let refresh = |token: &str| world.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]);
    let tokens = refresh(&first).expect(200).json();
    let access = text(&tokens, "access_token");
    assert_eq!(world.read("Patient/p2", &access).status, 200);

    // A command is another process: what it changes counts within seconds.
    let policy = world.data().to_owned() + "/policy.json";
    let rule = r#"{"name":"one","resource":[{"resourceType":"Patient","criteria":"_id=p1"}]}"#;
    std::fs::write(&policy, rule).unwrap();
    for command in [["policy", "put", policy.as_str()].as_slice(), &["user", "policy", "ann", "one"]] {
        let output = world.vesta(command).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    let start = std::time::Instant::now();
    while world.read("Patient/p2", &access).status == 200 {
        assert!(start.elapsed().as_secs() < 20, "the policy does not count");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(
        [world.read("Patient/p1", &access).status, world.read("Patient/p2", &access).status],
        [200, 404]
    );

    assert_eq!(refresh(&first).expect(400).json()["error"], "invalid_grant");
    assert_eq!(world.read("Patient/p1", &access).status, 401);
    assert_eq!(refresh(&text(&tokens, "refresh_token")).status, 400);
}

#[test]
fn too_many_requests_wait() {
    let limits = ["--rate-limit-client", "5", "--rate-limit-address", "60", "--trusted-proxies", "127.0.0.1"];
    let world = World::start_with(directory(), &limits, None);
    let mut browser = Browser::new(&world.server);
    let code = browser.authorize(&world.authorize("launch/patient patient/*.rs"), "p1");
    let tokens = world.redeem(&code).expect(200).json();
    let access = tokens["access_token"].as_str().unwrap();
    for _ in 0..5 {
        assert_eq!(world.read("Patient/p1", access).status, 200);
    }
    let refused = world.read("Patient/p1", access);
    assert_eq!((refused.status, refused.header("retry-after")), (429, "12"));
    let said = "error throttled []: This app sends too many requests: 5 in a minute are answered (rate_limit_client).";
    assert_eq!(refused.issues(), [said]);
    // An address is the one that the proxy names.
    let from = |address: &str| {
        world.server.send("GET", "/fhir/metadata", &[("x-forwarded-for", address)], b"").status
    };
    // While they are sent, some more come in with time.
    let answered = (0..300).take_while(|_| from("203.0.113.1, 198.51.100.7") == 200).count();
    assert!((60..300).contains(&answered), "{answered}");
    assert_eq!(from("198.51.100.8"), 200);
    let counted = world.server.get("/metrics").expect(200).text();
    assert!(counted.contains("vesta_requests_limited_total{by=\"address\"} 1"), "{counted}");
    assert!(counted.contains("vesta_requests_limited_total{by=\"client\"} 1"), "{counted}");
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
