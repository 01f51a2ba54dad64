//! A server with authorization, two patients, an app and a practitioner.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test support: what fails here fails the test

use std::process::Command;

use super::super::support::{Answer, Server, directory, done, said, vesta};

pub const APP: &str = "app";
pub const REDIRECT: &str = "http://localhost:4567/redirect";
const PASSWORD: &str = "correct horse battery";
const SCOPES: &str =
    "launch launch/patient launch/encounter openid fhirUser offline_access patient/*.cruds user/*.cruds";
/// S256 of `VERIFIER` (RFC 7636 appendix B).
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

const RECORDS: &str = r#"{"resourceType":"Bundle","type":"transaction","entry":[
{"resource":{"resourceType":"Practitioner","id":"dr","name":[{"family":"Doe"}]},"request":{"method":"PUT","url":"Practitioner/dr"}},
{"resource":{"resourceType":"Patient","id":"p1","name":[{"family":"Testperson","given":["Ann"]}]},"request":{"method":"PUT","url":"Patient/p1"}},
{"resource":{"resourceType":"Patient","id":"p2","name":[{"family":"Otherman","given":["Bob"]}]},"request":{"method":"PUT","url":"Patient/p2"}},
{"resource":{"resourceType":"Encounter","id":"e1","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/p1"}},"request":{"method":"PUT","url":"Encounter/e1"}},
{"resource":{"resourceType":"Encounter","id":"e2","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/p2"}},"request":{"method":"PUT","url":"Encounter/e2"}}]}"#;

pub struct World {
    data: tempfile::TempDir,
    more: Vec<String>,
    tenant: Option<&'static str>,
    pub server: Server,
}

impl World {
    pub fn start() -> World {
        World::start_with(directory(), &[], None)
    }

    /// Registers and loads with the server stopped.
    pub fn start_with(data: tempfile::TempDir, more: &[&str], tenant: Option<&'static str>) -> World {
        let file = data.path().join("records.json");
        std::fs::write(&file, RECORDS.replace('\n', "")).unwrap();
        let of = |command: &[&str]| {
            let mut command = vesta(command);
            command.args(["--data", data.path().to_str().unwrap(), "--authorization"]).args(more);
            command.args(tenant.into_iter().flat_map(|name| ["--tenant", name]));
            let output = command.env("VESTA_PASSWORD", PASSWORD).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
        };
        of(&["load", file.to_str().unwrap()]);
        of(&["user", "add", "ann", "--fhir-user", "Practitioner/dr", "--full-name", "Dr Ann Doe"]);
        let client =
            ["client", "add", APP, "--name", "Growth chart", "--redirect-uri", REDIRECT, "--scopes", SCOPES];
        let launch = ["--launch-uri", "http://localhost:4567/launch"];
        of(&[client.as_slice(), launch.as_slice()].concat());
        let served = [&["--authorization"], more].concat();
        let server = Server::start_with(data.path(), &served);
        let more = more.iter().map(|text| (*text).to_owned()).collect();
        World { data, more, tenant, server }
    }

    pub fn data(&self) -> &str {
        self.data.path().to_str().unwrap()
    }

    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    pub fn stop(self) -> (tempfile::TempDir, ()) {
        self.server.stop();
        (self.data, ())
    }

    /// A command on the directory of the server.
    pub fn vesta(&self, command: &[&str]) -> Command {
        let mut command = vesta(command);
        command.args(["--data", self.data(), "--authorization"]).args(&self.more);
        command
    }

    /// Runs one that must succeed.
    pub fn command(&self, command: &[&str]) -> String {
        done(&[command, &["--data", self.data(), "--authorization"]].concat())
    }

    fn place(&self) -> String {
        self.tenant.map(|name| format!("/t/{name}")).unwrap_or_default()
    }

    pub fn issuer(&self) -> String {
        format!("http://{}{}/auth", self.server.address, self.place())
    }

    /// The path by which an app asks for scopes.
    pub fn authorize(&self, scopes: &str) -> String {
        let encoded =
            |text: &str| text.replace('%', "%25").replace('/', "%2F").replace(' ', "+").replace(':', "%3A");
        let place = self.place();
        let base = format!("http://{}{place}/fhir", self.server.address);
        format!(
            "{place}/auth/authorize?response_type=code&client_id={APP}&redirect_uri={}&scope={}&state=xyz&aud={}\
             &code_challenge={CHALLENGE}&code_challenge_method=S256",
            encoded(REDIRECT),
            encoded(scopes),
            encoded(&base)
        )
    }

    pub fn post(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let form = super::browser::form(fields);
        let headers = [&[("content-type", "application/x-www-form-urlencoded")], headers].concat();
        self.server.send("POST", &format!("{}{path}", self.place()), &headers, form.as_bytes())
    }

    /// The token endpoint, as the app.
    pub fn token(&self, fields: &[(&str, &str)]) -> Answer {
        self.post("/auth/token", &[fields, &[("client_id", APP)]].concat(), &[])
    }

    pub fn redeem(&self, code: &str) -> Answer {
        let grant = ("grant_type", "authorization_code");
        self.token(&[grant, ("code", code), ("redirect_uri", REDIRECT), ("code_verifier", VERIFIER)])
    }

    pub fn read(&self, key: &str, token: &str) -> Answer {
        let header = format!("Bearer {token}");
        self.server.send("GET", &format!("{}/fhir/{key}", self.place()), &[("authorization", &header)], b"")
    }
}
