//! Backend services (<https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html>): what they may export, and that nobody sees
//! another's jobs.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use procedure::Key;
use serde_json::{Value, json};

use super::super::support::{Answer, Server, directory, done};

const RECORDS: &[&str] = &[
    r#"{"resourceType":"Practitioner","id":"dr","active":true}"#,
    r#"{"resourceType":"Patient","id":"p1","generalPractitioner":[{"reference":"Practitioner/dr"}]}"#,
    r#"{"resourceType":"Patient","id":"p2"}"#,
    r#"{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p1"}}"#,
    r#"{"resourceType":"Provenance","id":"v1","recorded":"2026-01-01T00:00:00Z","target":[{"reference":"Observation/o1"}],"agent":[{"who":{"reference":"Practitioner/dr"}}]}"#,
    r#"{"resourceType":"Provenance","id":"v2","recorded":"2026-01-01T00:00:00Z","target":[{"reference":"Practitioner/dr"}],"agent":[{"who":{"reference":"Practitioner/dr"}}]}"#,
    r#"{"resourceType":"Group","id":"g","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/p1"}},{"entity":{"reference":"Patient/p2"}}]}"#,
];

struct World {
    data: tempfile::TempDir,
    key: Key,
    server: Server,
}

/// A backend service with a token.
struct Client<'w>(&'w World, String);

impl World {
    fn start(clients: &[(&str, &str)]) -> World {
        let data = directory();
        let key = Key::es384("k").unwrap();
        let (records, keys) = (data.path().join("records.ndjson"), data.path().join("jwks.json"));
        std::fs::write(&records, RECORDS.join("\n")).unwrap();
        std::fs::write(&keys, key.jwks().to_string()).unwrap();
        let of = ["--authorization", "--data", data.path().to_str().unwrap()];
        done(&[&["load", records.to_str().unwrap()], &of[..]].concat());
        for (id, scopes) in clients {
            let client = ["client", "add", id, "--name", id, "--backend", "--jwks", keys.to_str().unwrap()];
            done(&[&client[..], &["--scopes", scopes], &of[..]].concat());
        }
        let server = serve(data.path());
        World { data, key, server }
    }

    fn client(&self, id: &str, scopes: &str) -> Client<'_> {
        let url = format!("http://{}/auth/token", self.server.address);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let assertion = self.key.assertion(id, &url, now.as_secs(), &now.as_nanos().to_string()).unwrap();
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials").append_pair("scope", scopes);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        form.append_pair("client_assertion_type", kind).append_pair("client_assertion", &assertion);
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.server.send("POST", "/auth/token", &headers, form.finish().as_bytes());
        Client(self, answer.expect(200).json()["access_token"].as_str().unwrap().to_owned())
    }
}

fn serve(data: &Path) -> Server {
    Server::start_with(data, &["--authorization"])
}

impl Client<'_> {
    fn send(&self, server: &Server, method: &str, path: &str, prefer: &str) -> Answer {
        let token = format!("Bearer {}", self.1);
        server.send(method, path, &[("authorization", &token), ("prefer", prefer)], b"")
    }

    fn kick_off(&self, path: &str) -> Answer {
        self.send(&self.0.server, "GET", path, "respond-async")
    }

    fn complete(&self, server: &Server, status: &str) -> Value {
        loop {
            let answer = self.send(server, "GET", status, "");
            if answer.status != 202 {
                return answer.expect(200).json();
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// The keys of what an export of this path has.
    fn exported(&self, path: &str) -> Vec<String> {
        let accepted = self.kick_off(path).expect(202);
        let status = below(accepted.header("content-location"));
        self.keys(&self.0.server, &self.complete(&self.0.server, &status))
    }

    fn keys(&self, server: &Server, manifest: &Value) -> Vec<String> {
        assert_eq!(manifest["requiresAccessToken"], true);
        let mut keys = Vec::new();
        for file in manifest["output"].as_array().unwrap() {
            let text = self.send(server, "GET", &below(file["url"].as_str().unwrap()), "").expect(200).text();
            for line in text.lines() {
                let resource: Value = serde_json::from_str(line).unwrap();
                let of = |name: &str| resource[name].as_str().unwrap().to_owned();
                keys.push(format!("{}/{}", of("resourceType"), of("id")));
            }
        }
        keys.sort();
        keys
    }
}

fn below(url: &str) -> String {
    url.split_once("/fhir").map(|(_, path)| format!("/fhir{path}")).unwrap_or_else(|| panic!("{url}"))
}

#[test]
fn nobody_sees_the_jobs_of_another() {
    let world = World::start(&[("all", "system/*.rs"), ("other", "system/*.rs")]);
    let (all, other) = (world.client("all", "system/*.rs"), world.client("other", "system/*.rs"));
    let server = &world.server;
    let asked = [("prefer", "respond-async")];
    for path in ["/fhir/$export", "/fhir/Patient/$export", "/fhir/Group/g/$export", "/fhir/bulk/none"] {
        let refused = server.send("GET", path, &asked, b"").expect(401);
        assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"fhir\"", "{path}");
    }
    let accepted = all.kick_off("/fhir/Group/g/$export").expect(202);
    let status = below(accepted.header("content-location"));
    let manifest = all.complete(server, &status);
    let of_group =
        ["Group/g", "Observation/o1", "Patient/p1", "Patient/p2", "Practitioner/dr", "Provenance/v1"];
    assert_eq!(all.keys(server, &manifest), of_group);
    let file = below(manifest["output"][0]["url"].as_str().unwrap());
    for path in [&status, &file] {
        server.get(path).expect(401);
        other.send(server, "GET", path, "").expect(404);
    }
    other.send(server, "DELETE", &status, "").expect(404);
    all.send(server, "GET", &file, "").expect(200);
    all.send(server, "DELETE", &status, "").expect(202);
    assert_eq!(all.send(server, "GET", &status, "").expect(404).issues().len(), 1);
    assert_eq!(all.exported("/fhir/Patient/$export"), of_group);
}

#[test]
fn scopes_limit_what_is_exported() {
    let world = World::start(&[("all", "system/*.rs")]);
    let narrow = world.client("all", "system/Patient.rs system/Group.rs");
    assert_eq!(narrow.exported("/fhir/$export"), ["Group/g", "Patient/p1", "Patient/p2"]);
    assert_eq!(narrow.exported("/fhir/Group/g/$export"), ["Group/g", "Patient/p1", "Patient/p2"]);
    let refused = |client: &Client<'_>, path: &str, expected: &str| {
        assert_eq!(client.kick_off(path).expect(403).issues(), [expected], "{path}");
    };
    let observations = "error forbidden []: This access does not permit to export Observation resources.";
    refused(&narrow, "/fhir/$export?_type=Patient,Observation", observations);
    let prefer = "respond-async, handling=lenient";
    let path = "/fhir/$export?_type=Patient,Observation";
    let accepted = narrow.send(&world.server, "GET", path, prefer).expect(202);
    assert_eq!(
        accepted.issues(),
        ["warning not-supported []: This access does not permit to export Observation resources."]
    );
    let practitioners = world.client("all", "system/Practitioner.rs");
    let none = "error forbidden []: This access does not permit to export any of these resources.";
    refused(&practitioners, "/fhir/Patient/$export", none);
    // Who asks for everything of a patient is told what they do not get; what they may not see is not there.
    let accepted = narrow.kick_off("/fhir/Patient/p1/$ehi-export").expect(202);
    assert!(accepted.issues()[0].contains("This access does not permit to export these types: Account, "));
    let manifest = narrow.complete(&world.server, &below(accepted.header("content-location")));
    let kinds: Vec<&str> =
        manifest["output"].as_array().unwrap().iter().map(|file| file["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Group", "Patient", "DocumentReference"], "the last tells of the dictionary");
    assert_eq!(manifest["error"].as_array().unwrap().len(), 1);
    let one = world.client("all", "system/Patient.rs?general-practitioner=Practitioner/dr");
    one.kick_off("/fhir/Patient/p2/$ehi-export").expect(404);
    // Who is in a group, a backend service is told by the patients alone.
    let patients = world.client("all", "system/Patient.rs");
    assert_eq!(patients.exported("/fhir/Group/g/$export"), ["Patient/p1", "Patient/p2"]);
    patients.kick_off("/fhir/Group/none/$export").expect(404);
    let others = world.client("all", "system/Patient.rs system/Group.rs?code=x");
    others.kick_off("/fhir/Group/g/$export").expect(404);
    // What may only be read or only be found is not exported.
    for scope in ["system/Patient.r", "system/Patient.s"] {
        refused(&world.client("all", scope), "/fhir/$export", none);
    }
    // A condition on a scope holds for files as well.
    let one = world.client("all", "system/Patient.rs?general-practitioner=Practitioner/dr");
    assert_eq!(one.exported("/fhir/$export"), ["Patient/p1"]);
    // Through what may not be seen no filter leads.
    let through =
        "/fhir/$export?_type=Patient&_typeFilter=Patient%3Fgeneral-practitioner:Practitioner.active%3Dtrue";
    assert_eq!(narrow.exported(through), [""; 0]);
    assert_eq!(world.client("all", "system/*.rs").exported(through), ["Patient/p1"]);
}

#[test]
fn a_job_goes_on_with_the_rights_it_was_asked_with() {
    let mut world = World::start(&[("all", "system/*.rs")]);
    for scopes in ["system/Patient.rs?general-practitioner=Practitioner/dr", "system/*.rs"] {
        let client = world.client("all", scopes);
        let token = client.1.clone();
        let accepted = client.kick_off("/fhir/$export?_type=Patient").expect(202);
        let status = below(accepted.header("content-location"));
        let again = serve(directory().path());
        std::mem::replace(&mut world.server, again).kill();
        let again = serve(world.data.path());
        std::mem::replace(&mut world.server, again).kill();
        let client = Client(&world, token);
        let manifest = client.complete(&world.server, &status);
        let keys = client.keys(&world.server, &manifest);
        let expected: &[&str] =
            if scopes.len() > 15 { &["Patient/p1"] } else { &["Patient/p1", "Patient/p2"] };
        assert_eq!(keys, expected, "{scopes}");
        assert_eq!(manifest["error"], json!([]));
    }
}
