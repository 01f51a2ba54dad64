//! The tenants' requests, sent to a server that tells them apart by the path.

use std::collections::HashMap;
use std::sync::Mutex;

use cosmos_emulator::Account;
use engines::Engine;
use vesta::http::route::Interaction;

use super::requests::Request;
use super::world::{Said, Who};
use crate::support::{Answer, Server, said, vesta};

/// A server with a table of both tenants.
pub struct OverHttp {
    server: Server,
    /// Ids that the server made, and the names that take their place.
    ids: Mutex<HashMap<String, String>>,
    _directory: tempfile::TempDir,
    _account: Option<Account>,
}

/// What is served outside the tenants' bases.
const SITE: [&str; 5] = ["/", "/metrics", "/healthz", "/readyz", "/find?type=Patient&q=Patient/hidden"];

impl OverHttp {
    pub fn new(engine: Engine) -> OverHttp {
        let directory = tempfile::tempdir().unwrap();
        let table = directory.path().join("tenants.toml");
        std::fs::write(&table, "[tenants.asking]\n[tenants.other]\n").unwrap();
        let account = (engine == Engine::Cosmos).then(|| Account::start().unwrap());
        let command = |arguments: &[&str]| {
            let mut command = vesta(arguments);
            command.arg("--data").arg(directory.path().join("data")).arg("--tenants").arg(&table);
            if let Some(account) = &account {
                let connection = account.connection_string();
                command.args(["--store", "cosmos"]).env("VESTA_COSMOS_CONNECTION_STRING", connection);
            }
            command
        };
        if account.is_some() {
            let output = command(&["cosmos", "init"]).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
        }
        let server =
            Server::start_command(&mut command(&["serve", "--bind", "127.0.0.1:0", "--irrevocable-erasure"]));
        OverHttp { server, ids: Mutex::default(), _directory: directory, _account: account }
    }

    /// Sends a request.
    pub fn send(&self, who: Who, request: &Request) -> Said {
        let tenant = match who {
            Who::Asking => "asking",
            Who::Other => "other",
        };
        let query: Vec<String> = request
            .parameters
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        let query = query.join("&");
        let mut path = format!("/t/{tenant}/fhir{}", request.path);
        let mut headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let is_form = request.method == "POST"
            && matches!(
                request.interaction(),
                Interaction::SearchType | Interaction::SearchSystem | Interaction::SearchCompartment
            );
        let mut body = request.body.clone().unwrap_or_default();
        if is_form {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
            body = query;
        } else if !query.is_empty() {
            path = format!("{path}?{query}");
        }
        let operation = request.path.rsplit_once('$').map(|(_, name)| name);
        let is_export = operation.is_some_and(vesta::export::is_export);
        if is_export {
            headers.push(("prefer", "respond-async"));
        }
        let answer = self.server.send(request.method, &path, &headers, body.as_bytes());
        if is_export && answer.status == 202 {
            return Said { status: 200, head: String::new(), body: self.exported(&answer) };
        }
        let head =
            ["etag", "location", "content-location"].map(|name| answer.header(name).to_owned()).join(" ");
        Said { status: answer.status, head: self.named(&head), body: self.named(&answer.text()) }
    }

    /// The lines of all files of an export that was begun.
    fn exported(&self, accepted: &Answer) -> String {
        let origin = format!("http://{}", self.server.address);
        let below = |url: &str| url.strip_prefix(&origin).expect("a URL of the server").to_owned();
        let status = below(accepted.header("content-location"));
        let ended = loop {
            let answer = self.server.get(&status);
            if answer.status != 202 {
                break answer;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let is_of_views = ended.status == 303;
        let told = match is_of_views {
            true => self.server.get(&below(ended.header("location"))),
            false => ended,
        };
        let told = told.expect(200).json();
        let all = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        let (files, member): (Vec<_>, _) = if is_of_views {
            let outputs = all(&told["parameter"]).into_iter().flat_map(|output| all(&output["part"]));
            (outputs.filter(|part| part["name"] == "location").collect(), "valueUri")
        } else {
            let lists = ["output", "deleted", "error"].map(|list| all(&told[list]));
            let documentation = all(&told["extension"]["documentation"]);
            (lists.into_iter().flatten().chain(documentation).collect(), "url")
        };
        let read = |file: &serde_json::Value| {
            self.server.get(&below(file[member].as_str().unwrap())).expect(200).text()
        };
        let text: String = files.iter().map(read).collect();
        self.server.send("DELETE", &status, &[], b"").expect(202);
        // The id of a job cannot be guessed.
        let job = status.rsplit('/').next().unwrap_or_default();
        self.named(&text.replace(job, "JOB"))
    }

    /// The whole history.
    pub fn state(&self, who: Who) -> String {
        let answer = self.send(who, &Request::new("GET", "/_history").with("_count", "1000"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(!answer.body.contains("\"next\""), "the history has one page");
        answer.body
    }

    /// What those see who run the server.
    pub fn site(&self) -> Vec<(&'static str, String)> {
        let text = |answer: Answer| format!("{:?} {}", answer.headers, answer.text());
        let mut all: Vec<(&str, String)> =
            SITE.iter().map(|path| (*path, text(self.server.get(path)))).collect();
        for path in ["/admin/backup", "/admin/check"] {
            let answer = self.server.post(path, "{}");
            assert_eq!(answer.status, 401, "{path}: {}", answer.text());
            all.push((path, text(answer)));
        }
        all
    }

    /// Names ids that the server made by their order, and the server itself, so that two servers can be compared.
    fn named(&self, text: &str) -> String {
        let mut text = text.replace(&self.server.address.to_string(), "HOST");
        let mut ids = self.ids.lock().unwrap();
        let mut at = 0;
        while let Some(found) = text.get(at..).and_then(find_uuid) {
            let (from, to) = (at + found, at + found + UUID.len());
            let next = format!("id{}", ids.len() + 1);
            let name = ids.entry(text[from..to].to_owned()).or_insert(next).clone();
            text.replace_range(from..to, &name);
            at = from + name.len();
        }
        text
    }
}

const UUID: &[u8] = b"00000000-0000-0000-0000-000000000000";

/// Where the first UUID begins.
fn find_uuid(text: &str) -> Option<usize> {
    let is_uuid =
        |at: &[u8]| at.iter().zip(UUID).all(|(a, b)| if *b == b'0' { a.is_ascii_hexdigit() } else { a == b });
    text.as_bytes().windows(UUID.len()).position(is_uuid)
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/$*,".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
