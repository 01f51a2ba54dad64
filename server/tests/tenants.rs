//! Tenants of a table, over HTTP, on the embedded engine: who is served where, that nobody sees another's records, and that
//! the table may change while the server runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::{Answer, Server, directory, done, run, said};

const TABLE: &str = "[tenants.a]\nhosts = [\"a.example.org\"]\n\n[tenants.b]\n";

struct Tenants {
    data: tempfile::TempDir,
    table: PathBuf,
}

impl Tenants {
    fn new(table: &str) -> Tenants {
        let data = directory();
        let path = data.path().join("tenants.toml");
        std::fs::write(&path, table).unwrap();
        Tenants { data, table: path }
    }

    fn flags(&self) -> [&str; 4] {
        ["--data", text(self.data.path()), "--tenants", text(&self.table)]
    }

    fn start(&self) -> Server {
        Server::start_with(self.data.path(), &["--tenants", text(&self.table)])
    }

    fn command(&self, arguments: &[&str]) -> String {
        done(&[arguments, &self.flags()].concat())
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = run(&[arguments, &self.flags()].concat());
        assert!(!output.status.success(), "{}", said(&output));
        said(&output)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn at_host(server: &Server, host: &str, path: &str) -> Answer {
    server.send("GET", path, &[("host", host)], b"")
}

fn details(answer: Answer, status: u16) -> String {
    answer.expect(status).json()["issue"][0]["details"]["text"].as_str().unwrap().to_owned()
}

fn soon(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn each_sees_its_own() {
    let tenants = Tenants::new(TABLE);
    let server = tenants.start();
    let name =
        |family: &str| format!(r#"{{"resourceType":"Patient","id":"p","name":[{{"family":"{family}"}}]}}"#);
    server.put("/t/a/fhir/Patient/p", &name("Adams")).expect(201);
    server.put("/t/b/fhir/Patient/p", &name("Brown")).expect(201);
    server.put("/t/b/fhir/Patient/q", &name("Clark").replace("\"p\"", "\"q\"")).expect(201);
    let port = server.address.port();

    let by_host = at_host(&server, "a.example.org", "/fhir/Patient/p").expect(200).json();
    assert_eq!(by_host["name"][0]["family"], "Adams");
    let found = at_host(&server, "a.example.org", "/fhir/Patient").expect(200).json();
    assert_eq!(found["entry"].as_array().unwrap().len(), 1);
    assert_eq!(
        found["entry"][0]["fullUrl"].as_str().unwrap(),
        format!("http://a.example.org:{port}/fhir/Patient/p")
    );
    let found = server.get("/t/b/fhir/Patient?_count=1").expect(200).json();
    let next = found["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").unwrap();
    let next = next["url"].as_str().unwrap();
    let base = format!("http://{}", server.address);
    let below = next.strip_prefix(&base).expect("links are to this server");
    assert!(below.starts_with("/t/b/fhir/Patient?"), "{below}");
    server.get(below).expect(200);
    // The same page is no page of another tenant.
    server.get(&below.replace("/t/b/", "/t/a/")).expect(400);
    server.get("/t/a/fhir/Patient/q").expect(404);

    let made = server.post("/t/a/fhir/Patient", &name("Davis")).expect(201);
    let location = made.header("location").to_owned();
    assert!(location.starts_with(&format!("{base}/t/a/fhir/Patient/")), "{location}");
    let statement = server.get("/t/b/fhir/metadata").expect(200).json();
    assert_eq!(statement["implementation"]["url"].as_str().unwrap(), format!("{base}/t/b/fhir"));
    let metrics = String::from_utf8(server.get("/metrics").expect(200).body).unwrap();
    assert!(metrics.contains("vesta_resources{tenant=\"a\",type=\"Patient\"} 2\n"), "{metrics}");
    assert!(metrics.contains("vesta_resources{tenant=\"b\",type=\"Patient\"} 2\n"), "{metrics}");
    assert_eq!(server.get("/t/a/fhir/Patient/p").header("x-vesta-request-charge"), "", "nothing is metered");
    let page = server.send("GET", "/t/b/fhir/Patient/p", &[("accept", "text/html")], b"").expect(200).body;
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("href=\"/t/b/fhir/Patient/p/_history\""), "{page}");
    assert!(!page.contains("\"/fhir/"), "no link leads out of the tenant:\n{page}");
}

#[test]
fn nobody_else_is_served() {
    let tenants = Tenants::new(TABLE);
    let server = tenants.start();
    let no_tenant = "No such tenant is served here.";
    let no_host =
        "No tenant is served at this host; name one by its own host, or in the path: /t/TENANT/fhir.";
    for path in
        ["/t/c/fhir/Patient", "/t/default/fhir/Patient", "/t//fhir/metadata", "/t/%2e%2e/fhir/Patient"]
    {
        assert_eq!(details(server.get(path), 404), no_tenant, "{path}");
    }
    for path in ["/fhir/Patient", "/fhir/metadata", "/", "/find?type=Patient", "/fhirpath"] {
        assert_eq!(details(server.get(path), 404), no_host, "{path}");
    }
    assert_eq!(details(at_host(&server, "a.example.org", "/t/b/fhir/Patient"), 404), no_tenant);
    at_host(&server, "evil.example.org", "/fhir/Patient").expect(421);
    server.get("/healthz").expect(200);
    server.get("/readyz").expect(200);
    assert!(!tenants.data.path().join("c").exists(), "nothing is made for a tenant that there is not");
}

#[test]
fn without_a_table_no_tenant_can_be_named() {
    let data = directory();
    let server = Server::start(data.path());
    server.get("/fhir/Patient").expect(200);
    assert_eq!(details(server.get("/t/default/fhir/Patient"), 404), "No such tenant is served here.");
}

#[test]
fn the_table_may_change() {
    let tenants = Tenants::new(TABLE);
    let server = tenants.start();
    server.put("/t/a/fhir/Patient/p", r#"{"resourceType":"Patient","id":"p"}"#).expect(201);
    let added = tenants.command(&["tenant", "add", "c", "--host", "c.example.org"]);
    assert!(added.contains("Added tenant c to"), "{added}");
    soon(|| server.get("/t/c/fhir/Patient").status == 200);
    at_host(&server, "c.example.org", "/fhir/Patient").expect(200);
    let listed = tenants.command(&["tenant", "list"]);
    assert!(listed.lines().any(|line| line.starts_with("a ") && line.ends_with(" 1")), "{listed}");
    assert!(listed.lines().any(|line| line.starts_with("c ") && line.ends_with(" 0")), "{listed}");

    // A table that cannot be used leaves the one before.
    let good = std::fs::read_to_string(&tenants.table).unwrap();
    std::fs::write(&tenants.table, "[tenants.a]\nhost = 1\n").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    server.get("/t/c/fhir/Patient").expect(200);
    std::fs::write(&tenants.table, good.replace("[tenants.b]", "[tenants.d]")).unwrap();
    soon(|| server.get("/t/d/fhir/Patient").status == 200);
    server.get("/t/b/fhir/Patient").expect(404);
    server.get("/t/a/fhir/Patient/p").expect(200);
}

#[test]
fn commands_work_for_a_tenant() {
    let tenants = Tenants::new(TABLE);
    tenants.command(&["demo", "--patients", "2", "--tenant", "a"]);
    assert!(tenants.command(&["check", "--tenant", "a"]).contains("all agree"));
    assert!(tenants.command(&["check", "--tenant", "b"]).starts_with("Checked 0 resources"));
    let server = tenants.start();
    let total = |tenant: &str| {
        let found = server.get(&format!("/t/{tenant}/fhir/Patient?_summary=count")).expect(200).json();
        found["total"].as_u64().unwrap()
    };
    assert_eq!((total("a"), total("b")), (2, 0));
    let sent = tenants.command(&["demo", "--patients", "3", "--tenant", "b"]);
    assert!(sent.contains("/t/b/fhir"), "through the running server: {sent}");
    assert_eq!((total("a"), total("b")), (2, 3));
    assert!(tenants.command(&["check", "--tenant", "b"]).contains("all agree"));

    let which = "vesta: there is a table of tenants; say which: --tenant NAME\n";
    assert_eq!(tenants.refused(&["check"]), which);
    assert_eq!(
        tenants.refused(&["check", "--tenant", "x"]),
        "vesta: there is no tenant x in the table of tenants\n"
    );
    let twice = tenants.refused(&["tenant", "add", "a"]);
    assert!(twice.ends_with("tenant a: it is there already\n"), "{twice}");
    let name = tenants.refused(&["tenant", "add", "A/b"]);
    assert_eq!(
        name,
        "vesta: A/b cannot be a tenant's name: 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit\n"
    );
    let none = run(&["tenant", "list", "--data", text(tenants.data.path())]);
    assert!(said(&none).starts_with("vesta: there is no table of tenants; name its file: --tenants FILE"));
    let moved = tenants.refused(&["tenant", "move", "a", "--tier", "T2"]);
    assert_eq!(
        moved,
        "vesta: a tenant of the embedded store is a directory of its own; `vesta backup` and `vesta restore` take it to another store\n"
    );
    let init = tenants.refused(&["cosmos", "init"]);
    assert_eq!(
        init,
        "vesta: the store is embedded, and needs no containers; with store = cosmos this makes them\n"
    );
}
