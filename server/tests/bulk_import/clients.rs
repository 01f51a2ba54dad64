//! Backend services: what they may import, and that nobody sees another's jobs.

use std::time::{SystemTime, UNIX_EPOCH};

use procedure::Key;
use serde_json::Value;

use super::support::{Answer, Server, directory, done};
use super::{ASYNC, LINES, below, counts};

struct World {
    key: Key,
    server: Server,
    _data: tempfile::TempDir,
}

/// A backend service with a token.
struct Client<'w>(&'w Server, String);

impl World {
    fn start(clients: &[(&str, &str)]) -> World {
        let data = directory();
        let key = Key::es384("k").unwrap();
        let keys = data.path().join("jwks.json");
        std::fs::write(&keys, key.jwks().to_string()).unwrap();
        let of = ["--authorization", "--data", data.path().to_str().unwrap()];
        for (id, scopes) in clients {
            let client = ["client", "add", id, "--name", id, "--backend", "--jwks", keys.to_str().unwrap()];
            done(&[&client[..], &["--scopes", scopes], &of[..]].concat());
        }
        let server = Server::start_with(data.path(), &["--authorization"]);
        World { key, server, _data: data }
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
        Client(&self.server, answer.expect(200).json()["access_token"].as_str().unwrap().to_owned())
    }
}

impl Client<'_> {
    fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let token = format!("Bearer {}", self.1);
        let headers = [("authorization", token.as_str()), ASYNC, LINES];
        self.0.send(method, path, &headers[..if body.is_empty() { 1 } else { 3 }], body.as_bytes())
    }

    /// Imports lines: the path of its status.
    fn begin(&self, lines: &[&str]) -> String {
        let accepted = self.send("POST", "/fhir/$import", &lines.join("\n")).expect(202);
        below(accepted.header("content-location"))
    }

    fn wait(&self, status: &str) -> Value {
        loop {
            let answer = self.send("GET", status, "");
            if answer.status != 202 {
                return answer.expect(200).json();
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// What the errors of a job say.
    fn errors(&self, told: &Value) -> Vec<String> {
        let url = told["error"][0]["url"].as_str().unwrap();
        let text = self.send("GET", &below(url), "").expect(200).text();
        let said = |line: &str| {
            let outcome: Value = serde_json::from_str(line).unwrap();
            let issue = &outcome["issue"][0];
            format!("{}: {}", issue["diagnostics"].as_str().unwrap(), issue["code"].as_str().unwrap())
        };
        text.lines().map(said).collect()
    }
}

const P1: &str = r#"{"resourceType":"Patient","id":"p1"}"#;
const O1: &str = r#"{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p1"}}"#;

#[test]
fn nobody_sees_the_jobs_of_another() {
    let world = World::start(&[("one", "system/*.cud"), ("other", "system/*.cud")]);
    let (one, other) = (world.client("one", "system/*.cud"), world.client("other", "system/*.cud"));
    let status = one.begin(&[P1, "{"]);
    let told = one.wait(&status);
    let file = below(told["error"][0]["url"].as_str().unwrap());
    assert_eq!(one.errors(&told).len(), 1);
    world.server.send("POST", "/fhir/$import", &[ASYNC, LINES], P1.as_bytes()).expect(401);
    for path in [&status, &file] {
        world.server.get(path).expect(401);
        other.send("GET", path, "").expect(404);
    }
    other.send("DELETE", &status, "").expect(404);
    one.send("GET", &file, "").expect(200);
    one.send("DELETE", &status, "").expect(202);
    one.send("GET", &status, "").expect(404);
}

#[test]
fn scopes_limit_what_is_imported() {
    let world = World::start(&[("all", "system/*.cruds")]);
    let reader = world.client("all", "system/*.rs");
    let refused = reader.send("POST", "/fhir/$import", P1).expect(403).issues();
    assert_eq!(
        refused,
        [
            "error forbidden []: This access does not permit to change resources; an import needs a scope such as system/*.cu."
        ]
    );
    let patients = world.client("all", "system/Patient.cu");
    let refused = patients.send("POST", "/fhir/$import?type=Observation", O1).expect(403).issues();
    assert_eq!(refused, ["error forbidden []: This access does not permit to change Observation resources."]);
    let told = patients.wait(&patients.begin(&[P1, O1]));
    assert_eq!(counts(&told)["Patient"], (1, 0, 0));
    assert_eq!(patients.errors(&told), ["the body of the request, line 2: forbidden"]);
    // A line is an update, also where it makes a resource.
    let creator = world.client("all", "system/*.c");
    creator.send("POST", "/fhir/$import", P1).expect(403);
    let reader = world.client("all", "system/*.rs");
    reader.send("GET", "/fhir/Observation/o1", "").expect(404);
    reader.send("GET", "/fhir/Patient/p1", "").expect(200);
}
