//! The server on Cosmos DB, over HTTP: an account in memory stands for the service. What interactions do there is tested by the
//! suites of their crates; here is what only the whole server has: configuration, request units, budgets, readiness, tenants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cosmos_emulator::Account;
use support::{Answer, Server, directory, done, run, said};

struct Cosmos {
    account: Account,
    data: tempfile::TempDir,
    secret: String,
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Cosmos {
    fn new() -> Cosmos {
        let account = Account::start().unwrap();
        let data = directory();
        let file = data.path().join("connection-string");
        std::fs::write(&file, format!("{}\n", account.connection_string())).unwrap();
        Cosmos { account, secret: format!("file:{}", file.display()), data }
    }

    fn made() -> Cosmos {
        let cosmos = Cosmos::new();
        cosmos.command(&["cosmos", "init"], &[]);
        cosmos
    }

    fn table(&self) -> PathBuf {
        self.data.path().join("tenants.toml")
    }

    fn flags<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["--store", "cosmos", "--cosmos-connection-string", &self.secret], more].concat()
    }

    fn start(&self, more: &[&str]) -> Server {
        Server::start_with(self.data.path(), &self.flags(more))
    }

    fn arguments<'a>(&'a self, command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
        [command, &["--data", text(self.data.path())], &self.flags(more)].concat()
    }

    fn command(&self, command: &[&str], more: &[&str]) -> String {
        done(&self.arguments(command, more))
    }

    fn refused(&self, command: &[&str], more: &[&str]) -> String {
        let output = run(&self.arguments(command, more));
        assert!(!output.status.success(), "{}", said(&output));
        said(&output)
    }
}

/// The request units of an answer.
fn charge(answer: &Answer) -> f64 {
    let text = answer.header("x-vesta-request-charge");
    let (_, decimals) = text.split_once('.').unwrap_or_else(|| panic!("`{text}` has no decimals"));
    assert_eq!(decimals.len(), 2, "{text}");
    text.parse().unwrap()
}

fn details(answer: Answer, status: u16) -> String {
    answer.expect(status).json()["issue"][0]["details"]["text"].as_str().unwrap().to_owned()
}

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","name":[{"family":"Adams"}]}"#;

#[test]
fn served_with_request_units() {
    let cosmos = Cosmos::new();
    let missing = cosmos.refused(&["serve", "--bind", "127.0.0.1:0"], &[]);
    assert!(missing.contains("cannot open the records in Cosmos DB"), "{missing}");
    assert!(missing.contains("vesta cosmos init"), "it says what to do: {missing}");
    let made = cosmos.command(&["cosmos", "init"], &[]);
    assert_eq!(made, "default/vesta/vesta: database and container made\n");
    assert_eq!(cosmos.command(&["cosmos", "init"], &[]), "default/vesta/vesta: was there\n");

    let server = cosmos.start(&[]);
    assert_eq!(server.get("/readyz").expect(200).text(), "ready\n");
    let created = server.put("/fhir/Patient/p", PATIENT).expect(201);
    assert!(charge(&created) > 1.0);
    let read = server.get("/fhir/Patient/p").expect(200);
    assert_eq!(read.json()["name"][0]["family"], "Adams");
    assert!(charge(&read) >= 1.0);
    // The emulator charges nothing for a read that finds nothing; the service does.
    assert!(charge(&server.get("/fhir/Patient/none").expect(404)) >= 0.0);

    let found = server.get("/fhir/Patient?family=adams&_explain=true").expect(200);
    let entries = found.json()["entry"].as_array().unwrap().clone();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["search"]["mode"], "outcome");
    let issues = entries[1]["resource"]["issue"].as_array().unwrap();
    let texts: Vec<&str> = issues.iter().map(|issue| issue["details"]["text"].as_str().unwrap()).collect();
    assert!(texts.iter().any(|text| text.contains(" RU, items: ") && text.contains("SELECT")), "{texts:?}");
    assert!(texts.last().unwrap().contains(" RU in all, steps: "), "{texts:?}");
    let all: f64 = texts.last().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((charge(&found) - all).abs() < 0.02, "the header has what the steps sum up to");

    let metrics = server.get("/metrics").expect(200).text();
    for interaction in ["read", "update", "search-type"] {
        let series = format!("vesta_request_units_total{{tenant=\"default\",interaction=\"{interaction}\"}}");
        assert!(metrics.contains(&series), "{series} is missing in\n{metrics}");
    }
    assert!(metrics.contains("vesta_resources{tenant=\"default\",type=\"Patient\"} 1\n"), "{metrics}");

    // Commands open the account themselves, while the server runs.
    cosmos.command(&["demo", "--patients", "1"], &[]);
    let total = server.get("/fhir/Patient?_summary=count").expect(200).json()["total"].as_u64();
    assert_eq!(total, Some(2));
    assert!(cosmos.command(&["check"], &[]).contains("all agree"));
}

#[test]
fn what_is_wrong_with_the_account_is_said() {
    let cosmos = Cosmos::made();
    let wrong = cosmos.data.path().join("wrong");
    let text = format!("AccountEndpoint={};AccountKey=d3Jvbmc=;", cosmos.account.endpoint());
    std::fs::write(&wrong, text).unwrap();
    let flags = ["--store", "cosmos", "--cosmos-connection-string"];
    let with =
        |secret: &str| {
            let output =
                run(&[&["check", "--data", cosmos.data.path().to_str().unwrap()], &flags[..], &[secret]]
                    .concat());
            assert!(!output.status.success());
            said(&output)
        };
    let refused = with(&format!("file:{}", wrong.display()));
    assert!(refused.contains("cannot open the records in Cosmos DB"), "{refused}");
    assert!(!refused.contains("d3Jvbmc"), "no key is shown: {refused}");
    let missing = with("file:/nonexistent");
    assert_eq!(
        missing,
        "vesta: cannot read the secret in /nonexistent: No such file or directory (os error 2)\n"
    );
    let none = run(&["check", "--store", "cosmos"]);
    assert!(
        said(&none).starts_with("vesta: store = cosmos needs an account: set VESTA_COSMOS_CONNECTION_STRING")
    );
}

#[test]
fn not_ready_and_why() {
    let cosmos = Cosmos::made();
    let server = cosmos.start(&[]);
    server.put("/fhir/Patient/p", PATIENT).expect(201);
    let Cosmos { account, .. } = cosmos;
    drop(account);
    let text = server.get("/readyz").expect(503).text();
    assert!(text.starts_with("not ready: the store "), "{text}");
    let answer = server.get("/fhir/Patient/p");
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(
        details(answer, 503),
        "The store is not available at the moment; nothing was done. Try again later."
    );
    server.get("/healthz").expect(200);
}

#[test]
fn tenants_and_budgets() {
    let cosmos = Cosmos::made();
    let table = cosmos.table();
    let more = ["--tenants", text(&table)];
    cosmos.command(&["tenant", "add", "a", "--ru-per-day", "20"], &more);
    let made = cosmos.command(&["tenant", "add", "b", "--tier", "T2"], &more);
    assert!(made.contains("default/vesta-b/vesta: database and container made"), "{made}");
    let server = cosmos.start(&more);
    server.put("/t/b/fhir/Patient/p", PATIENT).expect(201);
    server.get("/t/a/fhir/Patient/p").expect(404);
    server.get("/fhir/Patient/p").expect(404);
    let spent = (0..40)
        .map(|_| {
            server.put("/t/a/fhir/Patient/p", &PATIENT.replace("Adams", &uuid::Uuid::new_v4().to_string()))
        })
        .find(|answer| answer.status != 201 && answer.status != 200)
        .expect("the budget ends");
    let after: u32 = spent.header("retry-after").parse().unwrap();
    assert!((1..=86_400).contains(&after), "{after}");
    assert_eq!(spent.header("x-vesta-request-charge"), "0.00");
    assert_eq!(
        details(spent, 429),
        "The budget of 20 request units a day (ru_per_day) is spent; nothing was done. Try again after the time in Retry-After."
    );
    server.get("/t/a/fhir/Patient/p").expect(429);
    server.get("/t/b/fhir/Patient/p").expect(200);

    // A tenant that is added is served without a restart, from a database of its own.
    cosmos.command(&["tenant", "add", "c", "--tier", "T2"], &more);
    let begun = std::time::Instant::now();
    while server.get("/t/c/fhir/Patient").status != 200 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    server.get("/t/c/fhir/Patient/p").expect(404);
    let listed = cosmos.command(&["tenant", "list"], &more);
    assert!(
        listed.lines().any(|line| line.starts_with("b ") && line.contains(" T2 ") && line.ends_with(" 1")),
        "{listed}"
    );
}

/// What the clients of a tenant were told is done, by resource: the last version.
type Done = std::sync::Mutex<std::collections::BTreeMap<String, u64>>;

/// Writes new resources and new versions until the end. While the tenant is sealed it is told to come again.
fn write_until(end: &AtomicBool, server: &Server, done: &Done, writer: usize) {
    for number in 0.. {
        let id = format!("w{writer}-{}", number / 2);
        let body = format!(r#"{{"resourceType":"Basic","id":"{id}","code":{{"text":"{number}"}}}}"#);
        loop {
            if end.load(Ordering::Relaxed) {
                return;
            }
            let answer = server.put(&format!("/t/acme/fhir/Basic/{id}"), &body);
            if let Ok(version) = answer.header("etag").trim_matches(['W', '/', '"']).parse() {
                assert!([200, 201].contains(&answer.status), "{}", answer.text());
                done.lock().unwrap().insert(id, version);
                break;
            }
            assert_eq!(answer.status, 503, "{}", answer.text());
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// From the container that tenants share to a database of its own, by the command, while clients write through a server: each
/// acknowledged version is there afterwards, and no other.
#[test]
fn a_tenant_moves_while_it_is_written() {
    let cosmos = Cosmos::made();
    let table = cosmos.table();
    let more = ["--tenants", text(&table)];
    cosmos.command(&["tenant", "add", "acme"], &more);
    let server = cosmos.start(&more);
    let (end, done) = (AtomicBool::new(false), Done::default());
    let said = std::thread::scope(|scope| {
        let writers = (0..3).map(|writer| {
            let (end, server, done) = (&end, &server, &done);
            scope.spawn(move || write_until(end, server, done, writer))
        });
        let writers: Vec<_> = writers.collect();
        let writes = || done.lock().unwrap().values().sum::<u64>();
        let wait = |least: u64| {
            let begun = Instant::now();
            while writes() < least {
                assert!(begun.elapsed() < Duration::from_secs(60), "the writers stand still at {}", writes());
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        wait(20);
        let said = cosmos.command(&["tenant", "move", "acme", "--tier", "T2"], &more);
        // They go on at the new home.
        wait(writes() + 10);
        end.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        said
    });
    let moved = "Moved tenant acme from default/vesta/vesta to default/vesta-acme/vesta: ";
    assert!(said.contains(moved), "{said}");
    let done = done.into_inner().unwrap();
    for (id, version) in &done {
        let read = server.get(&format!("/t/acme/fhir/Basic/{id}")).expect(200);
        assert_eq!(read.header("etag"), format!("W/\"{version}\""), "{id}");
    }
    let history = server.get("/t/acme/fhir/_history?_summary=count").expect(200).json();
    assert_eq!(history["total"].as_u64(), Some(done.values().sum()), "{history}");
    let listed = cosmos.command(&["tenant", "list"], &more);
    assert!(listed.lines().any(|line| line.starts_with("acme ") && line.contains(" T2 ")), "{listed}");
    drop(server);
    let check = run(&cosmos.arguments(&["check", "--tenant", "acme"], &more));
    assert!(check.status.success(), "{}", support::said(&check));
}
