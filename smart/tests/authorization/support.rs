//! A server with two apps, two users and a browser to go through its pages with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use serde_json::Value;
use smart::fetch::Form;
use smart::jwt::Algorithm;
use smart::memory::{MemoryKey, MemorySigner, MemoryStorage};
use smart::{
    Authentication, AuthorizationServer, Body, Choice, Client, Clock, Config, Directory, Event, Events,
    Fetch, FetchError, Fetched, Job, Jobs, Passwords, Reply, Request, Route, ServerError, Services,
    SessionUser, StorageError, User,
};
use url::{Url, form_urlencoded};

pub const ISSUER: &str = "https://ehr.example/auth";
pub const BASE: &str = "https://ehr.example/fhir";
pub const CALLBACK: &str = "https://app.example/callback";
pub const VERIFIER: &str = "a-verifier-of-forty-three-characters-or-more-0123";
/// SHA-256 of [`VERIFIER`] in base64url.
pub static CHALLENGE: LazyLock<String> = LazyLock::new(|| challenge(VERIFIER));
pub const SECRET: &str = "a secret that nobody guesses";
const START: i64 = 1_800_000_000;

pub static KEY: LazyLock<Arc<MemoryKey>> =
    LazyLock::new(|| Arc::new(MemoryKey::generate("k1", Algorithm::Rs256).unwrap()));

pub fn challenge(verifier: &str) -> String {
    use base64::Engine as _;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}

/// Everything is in memory: nothing ever waits.
pub fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a future in memory waited"),
    }
}

pub struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_s(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Default)]
pub struct Log(pub Mutex<Vec<Event>>);

impl Events for Log {
    fn record(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// A hash is `hash of` the password; how many were computed is counted.
#[derive(Default)]
pub struct CountedPasswords(pub AtomicUsize);

#[async_trait]
impl Passwords for CountedPasswords {
    async fn verify(&self, hash: String, password: String) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        hash == format!("hash of {password}")
    }
}

/// What URLs answer, and which were asked.
#[derive(Default)]
pub struct Web {
    pub answers: Mutex<BTreeMap<String, Vec<u8>>>,
    pub asked: Mutex<Vec<String>>,
    /// How long they say that their answers may be used.
    pub max_age_s: Mutex<Option<i64>>,
    /// What forms are answered, and which were sent.
    pub posted: Mutex<BTreeMap<String, (u16, Vec<u8>)>>,
    pub forms: Mutex<Vec<Form>>,
}

#[async_trait]
impl Fetch for Web {
    async fn get(
        &self,
        url: &Url,
        max_bytes: usize,
        may_ask: fn(IpAddr) -> bool,
    ) -> Result<Fetched, FetchError> {
        assert!(!may_ask("10.0.0.1".parse().unwrap()) && may_ask("93.184.215.14".parse().unwrap()));
        self.asked.lock().unwrap().push(url.to_string());
        let answers = self.answers.lock().unwrap();
        let body = answers.get(url.as_str()).ok_or_else(|| FetchError::Failed("404".into()))?;
        if body.len() > max_bytes {
            return Err(FetchError::TooLong(max_bytes));
        }
        Ok(Fetched { body: body.clone(), max_age_s: *self.max_age_s.lock().unwrap() })
    }

    async fn post(
        &self,
        url: &Url,
        form: Form,
        _: usize,
        may_ask: fn(IpAddr) -> bool,
    ) -> Result<(u16, Vec<u8>), FetchError> {
        assert!(!may_ask("10.0.0.1".parse().unwrap()));
        self.forms.lock().unwrap().push(form);
        let answer = self.posted.lock().unwrap().get(url.as_str()).cloned();
        answer.ok_or_else(|| FetchError::Failed("nobody is there".into()))
    }
}

/// Patients 1 to 3; ann is patient 1, dr sees 1 and 2. Patient 2 has two encounters, patient 1 has one.
pub struct People;

fn patients_of(user: &SessionUser) -> Vec<Choice> {
    let patient = |id: &str, title: &str| Choice {
        id: id.into(),
        title: title.into(),
        detail: "born 1970-01-01".into(),
    };
    match user.fhir_user.as_str() {
        "Patient/1" => vec![patient("1", "Ann Lee")],
        "Practitioner/9" => vec![patient("1", "Ann Lee"), patient("2", "Bob <Ray> & \"Co\"")],
        _ => Vec::new(),
    }
}

#[async_trait]
impl Directory for People {
    async fn patients(
        &self,
        user: &SessionUser,
        _: Option<&smart::Policy>,
        text: &str,
        limit: usize,
    ) -> Result<Vec<Choice>, StorageError> {
        let text = text.to_lowercase();
        let found =
            patients_of(user).into_iter().filter(|choice| choice.title.to_lowercase().contains(&text));
        Ok(found.take(limit).collect())
    }

    async fn patient(
        &self,
        user: &SessionUser,
        _: Option<&smart::Policy>,
        id: &str,
    ) -> Result<Option<Choice>, StorageError> {
        Ok(patients_of(user).into_iter().find(|choice| choice.id == id))
    }

    async fn encounters(
        &self,
        _: &SessionUser,
        _: Option<&smart::Policy>,
        patient: &str,
        limit: usize,
    ) -> Result<Vec<Choice>, StorageError> {
        let ids: &[&str] = match patient {
            "1" => &["e1"],
            "2" => &["e2", "e3"],
            _ => &[],
        };
        let choice =
            |id: &&str| Choice { id: (*id).into(), title: format!("Visit {id}"), detail: "2026".into() };
        Ok(ids.iter().map(choice).take(limit).collect())
    }

    fn knows_type(&self, resource_type: &str) -> bool {
        resource_type != "Nonsense"
    }

    fn knows_filter(&self, _: &str, query: &str) -> bool {
        query.split('&').all(|pair| pair.starts_with("category=") || pair.starts_with("_tag="))
    }
}

/// One job, until it is cancelled.
pub struct TestJobs(pub Mutex<Vec<Job>>);

impl Jobs for TestJobs {
    fn all(&self) -> Result<Vec<Job>, StorageError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn cancel(&self, id: &str) -> Result<bool, StorageError> {
        let mut jobs = self.0.lock().unwrap();
        let before = jobs.len();
        jobs.retain(|job| job.id != id);
        Ok(jobs.len() < before)
    }
}

pub struct World {
    pub server: AuthorizationServer,
    pub storage: Arc<MemoryStorage>,
    pub clock: Arc<TestClock>,
    pub log: Arc<Log>,
    pub passwords: Arc<CountedPasswords>,
    pub web: Arc<Web>,
    pub es256: Arc<MemorySigner>,
    pub jobs: Arc<TestJobs>,
}

impl World {
    pub fn new() -> World {
        World::with(|_| ())
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> World {
        let mut config = Config::new(ISSUER, BASE);
        change(&mut config);
        let storage = Arc::new(MemoryStorage::default());
        let clock = Arc::new(TestClock(AtomicI64::new(START)));
        let (log, passwords, web) =
            (Arc::new(Log::default()), Arc::new(CountedPasswords::default()), Arc::new(Web::default()));
        let key = MemoryKey::generate("e1", Algorithm::Es256).unwrap();
        let es256 = Arc::new(MemorySigner::new(key));
        let jobs = Arc::new(TestJobs(Mutex::new(vec![Job {
            id: "j1".into(),
            url: format!("{BASE}/$export"),
            owner: "backend".into(),
            is_active: true,
            state: "Export, 7 resources written".into(),
            begun_s: START,
        }])));
        let services = Services {
            jobs: jobs.clone(),
            storage: storage.clone(),
            directory: Arc::new(People),
            signer: KEY.clone(),
            es256: es256.clone(),
            fetch: web.clone(),
            passwords: passwords.clone(),
            clock: clock.clone(),
            events: log.clone(),
        };
        let world = World {
            server: AuthorizationServer::new(config, services),
            storage,
            clock,
            log,
            passwords,
            web,
            es256,
            jobs,
        };
        world.fill();
        world
    }

    fn fill(&self) {
        let scopes = "openid fhirUser profile launch launch/patient launch/encounter offline_access online_access \
                      patient/*.cruds user/*.cruds system/*.cruds";
        let app = |id: &str, authentication| Client {
            authentication,
            redirect_uris: vec![CALLBACK.into()],
            launch_uri: Some("https://app.example/launch?x=1".into()),
            scopes: scopes.into(),
            ..Client::new(id, &format!("The app {id}"))
        };
        for client in [
            app("public", Authentication::Public),
            app("other", Authentication::Public),
            app("confidential", Authentication::secret(SECRET).unwrap()),
            Client { introspects: true, ..app("resource-server", Authentication::secret(SECRET).unwrap()) },
        ] {
            now(self.server.put_client(&client)).unwrap().unwrap();
        }
        self.add_user("ann", "Patient/1", None);
        self.add_user("dr", "Practitioner/9", None);
        self.add_user("otp", "Patient/1", Some("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"));
        self.add_user("lonely", "Patient/77", None);
    }

    pub fn add_user(&self, name: &str, fhir_user: &str, totp_secret: Option<&str>) {
        let user = User {
            sub: format!("sub-{name}"),
            username: name.into(),
            password_hash: format!("hash of {name}'s password"),
            totp_secret: totp_secret.map(str::to_owned),
            name: format!("{name} <b>"),
            fhir_user: fhir_user.into(),
            enabled: true,
            upstream: None,
            policy: None,
            administrator: false,
        };
        now(self.server.put_user(&user)).unwrap();
    }

    pub fn wait(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn answer(&self, route: Route, request: &Request) -> Reply {
        self.try_answer(route, request).unwrap()
    }

    pub fn try_answer(&self, route: Route, request: &Request) -> Result<Reply, ServerError> {
        now(self.server.answer(route, request))
    }

    /// A POST without a browser.
    pub fn post(&self, route: Route, form: &[(&str, &str)]) -> Reply {
        self.answer(route, &form_request(form))
    }

    pub fn post_as(&self, route: Route, id: &str, secret: &str, form: &[(&str, &str)]) -> Reply {
        let mut request = form_request(form);
        request.authorization = Some(basic(id, secret));
        self.answer(route, &request)
    }

    /// A token for a code of the public client.
    pub fn redeem(&self, code: &str) -> Reply {
        self.redeem_with(code, &[])
    }

    /// With some parameters changed; an empty value takes one away.
    pub fn redeem_with(&self, code: &str, changes: &[(&str, &str)]) -> Reply {
        let usual = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("client_id", "public"),
            ("code_verifier", VERIFIER),
        ];
        self.post(Route::Token, &changed(&usual, changes))
    }

    pub fn refresh(&self, token: &str, more: &[(&str, &str)]) -> Reply {
        let usual = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "public")];
        self.post(Route::Token, &changed(&usual, more))
    }

    /// The whole way of ann with the public app, everything allowed.
    pub fn tokens(&self, scope: &str) -> Value {
        let mut browser = Browser::new(self);
        let code = browser.code("ann", &[("scope", scope)]);
        json(&self.redeem(&code))
    }

    pub fn failures(&self) -> Vec<String> {
        self.log.0.lock().unwrap().iter().filter_map(|event| event.failure.clone()).collect()
    }
}

pub fn changed<'a>(usual: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = usual.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    kept.chain(changes.iter().filter(|(_, value)| !value.is_empty())).copied().collect()
}

pub fn form_request(form: &[(&str, &str)]) -> Request {
    Request { post: true, parameters: owned(form), address: "192.0.2.7".into(), ..Request::default() }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}")))
}

#[track_caller]
pub fn json(reply: &Reply) -> Value {
    match &reply.body {
        Body::Json(value) => value.clone(),
        other => panic!("no JSON: {other:?}"),
    }
}

#[track_caller]
pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// An error of the token endpoint and its neighbours.
#[track_caller]
pub fn check_error(reply: &Reply, status: u16, error: &str) {
    let body = json(reply);
    assert_eq!((reply.status, text(&body, "error")), (status, error), "{body}");
    assert!(
        body.as_object().unwrap().keys().all(|key| key == "error" || key == "error_description"),
        "{body}"
    );
}

pub fn query_of(location: &str) -> BTreeMap<String, String> {
    let query = location.split_once('?').map(|(_, query)| query).unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// A browser with one cookie.
pub struct Browser<'w> {
    pub world: &'w World,
    pub cookie: Option<String>,
    pub address: String,
}

impl<'w> Browser<'w> {
    pub fn new(world: &'w World) -> Browser<'w> {
        Browser { world, cookie: None, address: "192.0.2.7".into() }
    }

    pub fn send(&mut self, route: Route, post: bool, parameters: &[(&str, &str)]) -> Reply {
        let request = Request {
            post,
            parameters: owned(parameters),
            session: self.cookie.clone(),
            address: self.address.clone(),
            ..Request::default()
        };
        let reply = self.world.answer(route, &request);
        if let Some(cookie) = reply.header("Set-Cookie") {
            let (name, rest) = cookie.split_once('=').unwrap();
            assert_eq!(name, self.world.server.cookie_name());
            let value = rest.split(';').next().unwrap();
            self.cookie = (!value.is_empty()).then(|| value.to_owned());
        }
        reply
    }

    /// Follows a redirect within the server.
    #[track_caller]
    pub fn follow(&mut self, reply: &Reply) -> (Route, Reply) {
        assert_eq!(reply.status, 303, "{reply:?}");
        let location = reply.header("Location").unwrap().to_owned();
        let path = location.strip_prefix("/auth").unwrap_or_else(|| panic!("{location} is elsewhere"));
        let path = path.split('?').next().unwrap();
        let route = Route::all().find(|route| route.path() == path).unwrap();
        let query: Vec<(String, String)> = query_of(&location).into_iter().collect();
        let query: Vec<(&str, &str)> =
            query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        (route, self.send(route, false, &query))
    }

    pub fn authorize(&mut self, changes: &[(&str, &str)]) -> Reply {
        let usual = [
            ("response_type", "code"),
            ("client_id", "public"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid fhirUser launch/patient patient/*.rs"),
            ("state", "s t&te"),
            ("aud", BASE),
            ("code_challenge", CHALLENGE.as_str()),
            ("code_challenge_method", "S256"),
        ];
        self.send(Route::Authorize, false, &changed(&usual, changes))
    }

    /// Sends the form of a page, with fields of it replaced or added.
    #[track_caller]
    pub fn submit(&mut self, route: Route, page: &Reply, fields: &[(&str, &str)]) -> Reply {
        let form = crate::html::form(page);
        let mut parameters: Vec<(&str, &str)> = form
            .iter()
            .filter(|(name, _)| !fields.iter().any(|(other, _)| other == name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        parameters.extend(fields);
        self.send(route, true, &parameters)
    }

    /// Logs in on a login page.
    pub fn log_in(&mut self, page: &Reply, name: &str) -> Reply {
        self.submit(Route::Login, page, &[("username", name), ("password", &format!("{name}'s password"))])
    }

    /// From the authorization to the consent page.
    #[track_caller]
    pub fn reach_consent(&mut self, name: &str, changes: &[(&str, &str)]) -> Reply {
        let reply = self.authorize(changes);
        let (route, mut page) = self.follow(&reply);
        let mut at = route;
        if at == Route::Login {
            let reply = self.log_in(&page, name);
            (at, page) = self.follow(&reply);
        }
        assert_eq!(at, Route::Consent, "{page:?}");
        page
    }

    /// Allows all that is ticked; gives what the app gets.
    #[track_caller]
    pub fn allow(&mut self, page: &Reply) -> BTreeMap<String, String> {
        let reply = self.submit(Route::Consent, page, &[("decision", "allow")]);
        returned(&reply)
    }

    #[track_caller]
    pub fn code(&mut self, name: &str, changes: &[(&str, &str)]) -> String {
        let page = self.reach_consent(name, changes);
        let answer = self.allow(&page);
        answer.get("code").unwrap_or_else(|| panic!("{answer:?}")).clone()
    }
}

/// What the app is sent.
#[track_caller]
pub fn returned(reply: &Reply) -> BTreeMap<String, String> {
    assert_eq!(reply.status, 303, "{reply:?}");
    let location = reply.header("Location").unwrap();
    assert!(location.starts_with(&format!("{CALLBACK}?")), "{location}");
    query_of(location)
}

/// An error that the app is told.
#[track_caller]
pub fn check_returned(reply: &Reply, error: &str, description: &str) {
    let answer = returned(reply);
    let told = |name: &str| answer.get(name).map(String::as_str);
    assert_eq!((told("error"), told("error_description")), (Some(error), Some(description)));
    assert_eq!(told("iss"), Some(ISSUER));
    assert_eq!(told("code"), None);
}
