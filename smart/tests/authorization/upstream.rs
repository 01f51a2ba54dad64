//! Signing in with an identity provider: what is asked of it, who its people are here, and everything that it must not be believed.

use serde_json::{Value, json};
use smart::jwt::{Algorithm, published, sign};
use smart::memory::MemoryKey;
use smart::{Reply, Route, Upstream, User};

use crate::support::*;

/// As Azure AD B2C has it: the configuration is in the path of a policy, the issuer is not.
const PROVIDER: &str = "https://login.example/7f1c/v2.0/";
const CONFIGURATION: &str = "https://login.example/tenant/B2C_1_signin/v2.0/.well-known/openid-configuration";
const TOKENS: &str = "https://login.example/tenant/B2C_1_signin/oauth2/v2.0/token";
const KEYS: &str = "https://login.example/tenant/B2C_1_signin/discovery/v2.0/keys";

struct Provider {
    world: World,
    key: MemoryKey,
}

impl Provider {
    fn new() -> Provider {
        Provider::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Upstream)) -> Provider {
        let mut upstream = Upstream {
            name: "Example Health".into(),
            issuer: PROVIDER.into(),
            configuration: Some(CONFIGURATION.into()),
            client_id: "vesta".into(),
            client_secret: Some("secret of ours".into()),
            scopes: vec!["openid".into(), "profile".into()],
            link_claim: "oid".into(),
            fhir_user_claim: Some("extension_FhirUser".into()),
        };
        change(&mut upstream);
        let world = World::with(|config| config.upstream = Some(upstream));
        let provider = Provider { world, key: MemoryKey::generate("p1", Algorithm::Rs256).unwrap() };
        provider.says(CONFIGURATION, &configuration(PROVIDER));
        provider.says(KEYS, &published(&[provider.key.public()]));
        let dr = User {
            sub: "sub-linked".into(),
            username: "linked".into(),
            password_hash: String::new(),
            totp_secret: None,
            name: "Linked Dr".into(),
            fhir_user: "Practitioner/9".into(),
            enabled: true,
            upstream: provider.world.server.upstream_link("oid-of-dr"),
            policy: None,
            administrator: false,
        };
        now(provider.world.server.put_user(&dr)).unwrap();
        provider
    }

    fn says(&self, url: &str, document: &Value) {
        let mut answers = self.world.web.answers.lock().unwrap();
        answers.insert(url.into(), document.to_string().into_bytes());
    }

    fn answers_code(&self, status: u16, answer: &Value) {
        let answer = (status, answer.to_string().into_bytes());
        self.world.web.posted.lock().unwrap().insert(TOKENS.into(), answer);
    }

    /// The claims that the provider usually has, for a nonce.
    fn claims(&self, nonce: &str) -> Value {
        let now_s = smart::Clock::now_s(&*self.world.clock);
        json!({
            "iss": PROVIDER, "sub": "b2c-sub", "aud": "vesta", "nonce": nonce, "exp": now_s + 300, "iat": now_s,
            "auth_time": now_s - 5, "ver": "1.0", "tfp": "B2C_1_signin", "oid": "oid-of-ann", "name": "Ann\u{202e} Lee",
            "extension_FhirUser": "Patient/1", "updated_at": now_s, "emails": ["ann@example.org"],
        })
    }

    fn gives(&self, claims: &Value) {
        self.gives_token(&sign(&self.key, "JWT", claims).unwrap());
    }

    fn gives_token(&self, token: &str) {
        let answer =
            json!({ "access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": token });
        self.answers_code(200, &answer);
    }
}

fn configuration(issuer: &str) -> Value {
    json!({
        "issuer": issuer, "authorization_endpoint": "https://login.example/tenant/B2C_1_signin/oauth2/v2.0/authorize",
        "token_endpoint": TOKENS, "jwks_uri": KEYS, "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["pairwise"], "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "claims_supported": ["oid", "sub", "iss"],
    })
}

fn page(reply: &Reply) -> &str {
    match &reply.body {
        smart::Body::Html(text) => text,
        other => panic!("no page: {other:?}"),
    }
}

/// A browser that was sent to the provider, and what it was sent with.
fn sent<'w>(provider: &'w Provider, changes: &[(&str, &str)]) -> (Browser<'w>, Vec<(String, String)>) {
    let mut browser = Browser::new(&provider.world);
    let reply = browser.authorize(changes);
    let (route, login) = browser.follow(&reply);
    assert_eq!(route, Route::Login);
    let link = page(&login).split("href=\"/auth/upstream?request=").nth(1).expect("the link");
    assert!(link.contains("Sign in with Example Health"));
    let secret = link.split('"').next().unwrap().to_owned();
    let reply = browser.send(Route::Upstream, false, &[("request", &secret)]);
    assert_eq!(reply.status, 303, "{reply:?}");
    let location = reply.header("Location").unwrap();
    assert!(location.starts_with("https://login.example/tenant/B2C_1_signin/oauth2/v2.0/authorize?"));
    (browser, query_of(location).into_iter().collect())
}

fn of<'q>(query: &'q [(String, String)], name: &str) -> &'q str {
    query.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
}

/// The usual way with other claims: what is wrong, as the page tells it.
#[track_caller]
fn check_refused(provider: &Provider, change: impl FnOnce(&mut Value), sentence: &str) {
    let (mut browser, query) = sent(provider, &[]);
    let mut claims = provider.claims(of(&query, "nonce"));
    change(&mut claims);
    provider.gives(&claims);
    check_return(&mut browser, &[("state", of(&query, "state")), ("code", "c")], sentence);
}

#[track_caller]
fn check_return(browser: &mut Browser<'_>, parameters: &[(&str, &str)], sentence: &str) {
    let reply = browser.send(Route::UpstreamReturn, false, parameters);
    assert_eq!(reply.status, 403, "{}", page(&reply));
    let text = page(&reply);
    let said = text.split("role=\"alert\">").nth(1).unwrap().split('<').next().unwrap();
    assert_eq!(said, sentence);
    assert!(text.contains("Back to the login page"));
    let logged = browser.world.failures().pop().unwrap();
    assert!(logged.len() > 10 && !logged.contains("oid-of-ann") && !logged.contains("cancelled"), "{logged}");
    let manage = browser.send(Route::Manage, false, &[]);
    assert_eq!(manage.status, 303, "nobody is logged in");
}

#[test]
fn a_person_of_the_provider_goes_on_with_what_an_app_asked() {
    let provider = Provider::new();
    let hinted = [("login_hint", "ann@example.org"), ("prompt", "login")];
    let (mut browser, query) = sent(&provider, &hinted);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "vesta"),
        ("redirect_uri", "https://ehr.example/auth/upstream/return"),
        ("scope", "openid profile"),
        ("code_challenge_method", "S256"),
        ("login_hint", "ann@example.org"),
        ("prompt", "login"),
    ] {
        assert_eq!(of(&query, name), value);
    }
    assert_eq!([of(&query, "state").len(), of(&query, "nonce").len()], [43, 43]);
    provider.gives(&provider.claims(of(&query, "nonce")));
    let back = [("state", of(&query, "state")), ("code", "the code"), ("iss", PROVIDER)];
    let cookie = browser.cookie.clone();
    let reply = browser.send(Route::UpstreamReturn, false, &back);
    assert_ne!(browser.cookie, cookie, "a new session");
    let form = provider.world.web.forms.lock().unwrap().pop().unwrap();
    assert_eq!(form.authorization.as_deref(), Some("Basic dmVzdGE6c2VjcmV0K29mK291cnM="));
    let body = query_of(&format!("?{}", String::from_utf8(form.body).unwrap()));
    assert_eq!(body["code"], "the code");
    assert_eq!(body["redirect_uri"], "https://ehr.example/auth/upstream/return");
    assert_eq!(challenge(&body["code_verifier"]), of(&query, "code_challenge"));
    assert_eq!(
        browser.follow(&reply).0,
        Route::Login,
        "the app wants a login that is newer than five seconds"
    );

    // Without that, the consent page is next, and the app learns who it is.
    let (mut browser, query) = sent(&provider, &[]);
    provider.gives(&provider.claims(of(&query, "nonce")));
    let back = [("state", of(&query, "state")), ("code", "c")];
    let reply = browser.send(Route::UpstreamReturn, false, &back);
    let (route, consent) = browser.follow(&reply);
    assert_eq!(route, Route::Consent);
    assert!(page(&consent).contains("You are logged in as Ann\u{fffd} Lee"));
    // The state counts once.
    let again = browser.send(Route::UpstreamReturn, false, &back);
    assert!(page(&again).contains("This page has expired"));
    // What the provider says of itself is asked for once an hour.
    assert_eq!(*provider.world.web.asked.lock().unwrap(), [CONFIGURATION, KEYS]);
}

#[test]
fn accounts_are_linked_by_a_claim() {
    let provider = Provider::new();
    let logged_in_as = |change: fn(&mut Value)| {
        let mut browser = Browser::new(&provider.world);
        let reply = browser.send(Route::Upstream, false, &[]);
        let query = query_of(reply.header("Location").unwrap());
        let mut claims = provider.claims(&query["nonce"]);
        change(&mut claims);
        provider.gives(&claims);
        let reply = browser.send(Route::UpstreamReturn, false, &[("state", &query["state"]), ("code", "c")]);
        let (route, manage) = browser.follow(&reply);
        assert_eq!(route, Route::Manage);
        page(&manage).split("You are logged in as ").nth(1).unwrap().split('<').next().unwrap().to_owned()
    };
    assert_eq!(logged_in_as(|claims| claims["oid"] = "oid-of-dr".into()), "Linked Dr.");
    assert_eq!(
        logged_in_as(|claims| claims["extension_FhirUser"] = format!("{BASE}/Practitioner/9").into()),
        "Ann\u{fffd} Lee."
    );
    // An account that has no password is not opened by none.
    let mut browser = Browser::new(&provider.world);
    let login = browser.send(Route::Login, false, &[]);
    let reply = browser.submit(Route::Login, &login, &[("username", "linked"), ("password", "")]);
    assert_eq!(reply.status, 401);
}

#[test]
fn whoever_is_nobody_here_is_told_so() {
    let provider = Provider::new();
    check_refused(
        &provider,
        |claims| drop(claims.as_object_mut().unwrap().remove("oid")),
        "The identity provider did not say who you are: its claim oid is missing, or is no short text.",
    );
    for reference in
        ["Device/1", "Patient", "Patient/1/2", "https://other.example/fhir/Patient/1", "Patient/\u{e9}"]
    {
        check_refused(
            &provider,
            |claims| claims["extension_FhirUser"] = reference.into(),
            "The claim extension_FhirUser of the identity provider names no Patient, Practitioner, RelatedPerson or Person.",
        );
    }
    let unnamed = |claims: &mut Value| claims["extension_FhirUser"] = Value::Null;
    check_refused(
        &provider,
        unnamed,
        "Nobody here is linked with you: whoever runs this server can link your account with oid 'oid-of-ann' (vesta user link).",
    );
    let closed = Provider::with(|upstream| upstream.fhir_user_claim = None);
    check_refused(
        &closed,
        |_| (),
        "Nobody here is linked with you: whoever runs this server can link your account with oid 'oid-of-ann' (vesta user link).",
    );
    let mut user = now(provider.world.server.user("linked")).unwrap().unwrap();
    user.enabled = false;
    now(provider.world.server.put_user(&user)).unwrap();
    check_refused(&provider, |claims| claims["oid"] = "oid-of-dr".into(), "Your account here is disabled.");
    // A link of another provider, or by another claim, is none.
    let other = Provider::with(|upstream| upstream.link_claim = "sub".into());
    now(other.world.server.put_user(&User { upstream: provider.world.server.upstream_link("x"), ..user }))
        .unwrap();
    check_refused(
        &other,
        |claims| (claims["sub"], claims["extension_FhirUser"]) = ("x".into(), Value::Null),
        "Nobody here is linked with you: whoever runs this server can link your account with sub 'x' (vesta user link).",
    );
}

#[test]
fn an_id_token_that_does_not_count_opens_nothing() {
    let provider = Provider::new();
    let not_counting = |why: &str| {
        format!(
            "What was said there cannot be relied on, or nothing was said: its id_token does not count: {why}."
        )
    };
    check_refused(
        &provider,
        |claims| claims["nonce"] = "another".into(),
        &not_counting("Invalid nonce: nonce mismatch"),
    );
    check_refused(
        &provider,
        |claims| drop(claims.as_object_mut().unwrap().remove("nonce")),
        &not_counting("Invalid nonce: missing nonce claim"),
    );
    check_refused(
        &provider,
        |claims| claims["aud"] = "another".into(),
        &not_counting("Invalid audiences: must contain `vesta` (found audiences: `another`)"),
    );
    check_refused(
        &provider,
        |claims| claims["iss"] = "https://login.example/other/v2.0/".into(),
        &not_counting(&format!(
            "Invalid issuer: expected `{PROVIDER}` (found `https://login.example/other/v2.0/`)"
        )),
    );
    let (mut browser, query) = sent(&provider, &[]);
    provider.gives(&provider.claims(of(&query, "nonce")));
    provider.world.wait(361);
    let reply = browser.send(Route::UpstreamReturn, false, &[("state", of(&query, "state")), ("code", "c")]);
    assert!(page(&reply).contains("does not count: Expired"), "{}", page(&reply));

    // Signed with a key that is not the provider's, with none, or with what everybody knows.
    let (mut browser, query) = sent(&provider, &[]);
    let claims = provider.claims(of(&query, "nonce"));
    let foreign = MemoryKey::generate("p1", Algorithm::Rs256).unwrap();
    provider.gives_token(&sign(&foreign, "JWT", &claims).unwrap());
    let back = [("state", of(&query, "state")), ("code", "c")];
    check_return(&mut browser, &back, &not_counting("Crypto error: bad signature"));
    for (header, signature) in [(r#"{"alg":"none"}"#, ""), (r#"{"alg":"HS256","kid":"p1"}"#, "c2lnbmVk")] {
        use base64::Engine as _;
        let encoded = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let (mut browser, query) = sent(&provider, &[]);
        let claims = provider.claims(of(&query, "nonce")).to_string();
        provider.gives_token(&format!("{}.{}.{signature}", encoded(header), encoded(&claims)));
        let reply =
            browser.send(Route::UpstreamReturn, false, &[("state", of(&query, "state")), ("code", "c")]);
        assert_eq!(reply.status, 403);
        assert!(page(&reply).contains("cannot be relied on"), "{}", page(&reply));
    }
}

#[test]
fn new_keys_of_the_provider_are_asked_for() {
    let provider = Provider::new();
    let (mut browser, query) = sent(&provider, &[]);
    let key = MemoryKey::generate("p2", Algorithm::Rs256).unwrap();
    provider.says(KEYS, &published(&[key.public()]));
    let gives = |nonce: &str| provider.gives_token(&sign(&key, "JWT", &provider.claims(nonce)).unwrap());
    gives(of(&query, "nonce"));
    // Not at once again and again.
    let back = [("state", of(&query, "state")), ("code", "c")];
    let reply = browser.send(Route::UpstreamReturn, false, &back);
    assert!(page(&reply).contains("No matching key found"), "{}", page(&reply));
    assert_eq!(provider.world.web.asked.lock().unwrap().len(), 2);
    provider.world.wait(60);
    let (mut browser, query) = sent(&provider, &[]);
    gives(of(&query, "nonce"));
    let back = [("state", of(&query, "state")), ("code", "c")];
    assert_eq!(browser.send(Route::UpstreamReturn, false, &back).status, 303);
    assert_eq!(provider.world.web.asked.lock().unwrap().len(), 4);
}

#[test]
fn only_the_browser_that_left_comes_back() {
    let provider = Provider::new();
    let (_, query) = sent(&provider, &[]);
    provider.gives(&provider.claims(of(&query, "nonce")));
    let back = [("state", of(&query, "state")), ("code", "c")];
    // The link of an attacker's own sign-in, opened by another: with a session of theirs, and with none.
    let mut victim = Browser::new(&provider.world);
    victim.send(Route::Login, false, &[]);
    for browser in [&mut victim, &mut Browser::new(&provider.world)] {
        let reply = browser.send(Route::UpstreamReturn, false, &back);
        assert!(page(&reply).contains("This page has expired"));
    }
    assert!(provider.world.web.forms.lock().unwrap().is_empty(), "the code was not even sent");
    let (mut browser, query) = sent(&provider, &[]);
    let state = of(&query, "state");
    for parameters in
        [&[("code", "c")][..], &[("state", "x"), ("code", "c")], &[("state", state), ("state", state)]]
    {
        let reply = browser.send(Route::UpstreamReturn, false, parameters);
        assert!(page(&reply).contains("This page has expired"));
    }
    provider.world.wait(900);
    let reply = browser.send(Route::UpstreamReturn, false, &[("state", state), ("code", "c")]);
    assert!(page(&reply).contains("This page has expired"));
}

#[test]
fn what_the_provider_refuses_is_said() {
    let provider = Provider::new();
    let back = |more: &[(&str, &str)], sentence: &str| {
        let (mut browser, query) = sent(&provider, &[]);
        let parameters = [&[("state", of(&query, "state"))], more].concat();
        check_return(&mut browser, &parameters, sentence);
    };
    let cancelled =
        [("error", "access_denied"), ("error_description", "AADB2C90091: The user\nhas cancelled")];
    back(
        &cancelled,
        "the identity provider refused: access_denied (AADB2C90091: The user\u{fffd}has cancelled).",
    );
    back(&[("code", "c"), ("iss", "https://evil.example")], "another identity provider answered.");
    back(&[], "the identity provider sent no code.");
    let relied = "What was said there cannot be relied on, or nothing was said: ";
    back(
        &[("code", "c")],
        &format!("{relied}its answer to the code could not be had: no answer: nobody is there."),
    );
    provider.answers_code(400, &json!({"error": "invalid_grant", "error_description": "expired"}));
    back(&[("code", "c")], &format!("{relied}it refused the code: invalid_grant: expired."));
    provider.answers_code(200, &json!({"access_token": "a", "token_type": "Bearer"}));
    back(&[("code", "c")], &format!("{relied}it answered without an id_token."));
}

#[test]
fn a_provider_that_is_not_the_one_is_not_gone_to() {
    let refused = |provider: &Provider, sentence: &str| {
        let reply = Browser::new(&provider.world).send(Route::Upstream, false, &[]);
        assert_eq!(reply.status, 403);
        assert!(page(&reply).contains(sentence), "{}", page(&reply));
    };
    let provider = Provider::new();
    provider.says(CONFIGURATION, &configuration("https://login.example/other/v2.0/"));
    refused(
        &provider,
        "it calls itself 'https://login.example/other/v2.0/', which is not the issuer that is configured",
    );
    provider.says(CONFIGURATION, &json!({}));
    refused(&provider, "its configuration cannot be read: missing field");
    provider.world.web.answers.lock().unwrap().clear();
    refused(&provider, "its configuration could not be had: no answer: 404");
    // Nothing that it says sends this server into its own network.
    for (name, url) in [
        ("jwks_uri", "https://169.254.169.254/keys"),
        ("jwks_uri", "http://login.example/keys"),
        ("authorization_endpoint", "https://localhost/authorize"),
    ] {
        let provider = Provider::new();
        let mut document = configuration(PROVIDER);
        document[name] = url.into();
        provider.says(CONFIGURATION, &document);
        refused(&provider, "could not be had: it");
        assert!(!provider.world.web.asked.lock().unwrap().iter().any(|asked| asked == url));
    }
    let provider = Provider::new();
    let mut document = configuration(PROVIDER);
    document["token_endpoint"] = "https://10.0.0.1/token".into();
    provider.says(CONFIGURATION, &document);
    let (mut browser, query) = sent(&provider, &[]);
    let reply = browser.send(Route::UpstreamReturn, false, &[("state", of(&query, "state")), ("code", "c")]);
    assert!(page(&reply).contains("it is in a network that is not public"), "{}", page(&reply));
    assert!(provider.world.web.forms.lock().unwrap().is_empty());
    // Without one, there is neither link nor page.
    let world = World::new();
    let mut browser = Browser::new(&world);
    let login = browser.send(Route::Login, false, &[]);
    assert!(!page(&login).contains("Sign in with"));
    assert_eq!(browser.send(Route::Upstream, false, &[]).status, 404);
    assert_eq!(browser.send(Route::UpstreamReturn, false, &[("state", "x")]).status, 404);
}

#[test]
fn the_secret_is_sent_in_the_form_where_the_provider_wants_it_there() {
    let provider = Provider::new();
    let mut document = configuration(PROVIDER);
    document["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    provider.says(CONFIGURATION, &document);
    let (mut browser, query) = sent(&provider, &[]);
    provider.gives(&provider.claims(of(&query, "nonce")));
    browser.send(Route::UpstreamReturn, false, &[("state", of(&query, "state")), ("code", "c")]);
    let form = provider.world.web.forms.lock().unwrap().pop().unwrap();
    let body = query_of(&format!("?{}", String::from_utf8(form.body).unwrap()));
    assert_eq!((form.authorization, body["client_secret"].as_str()), (None, "secret of ours"));
}
