//! A browser with one cookie that fills in forms and follows redirects within the server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test support: what fails here fails the test

use std::net::SocketAddr;

use super::super::support::{Answer, Server, exchange};

pub struct Browser {
    /// Who sits before it.
    pub user: &'static str,
    address: SocketAddr,
    cookie: String,
}

/// URL-encodes a form.
pub fn form(fields: &[(&str, &str)]) -> String {
    let encoded = |text: &str| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        text.bytes().map(one).collect()
    };
    fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

/// The values of the fields of a name on a page.
fn values(page: &str, name: &str) -> Vec<String> {
    let tags = page.split('<').filter(|tag| tag.contains(&format!("name=\"{name}\"")));
    let value = |tag: &str| Some(tag.split("value=\"").nth(1)?.split('"').next()?.replace("&amp;", "&"));
    tags.filter_map(value).collect()
}

impl Browser {
    pub fn new(server: &Server) -> Browser {
        Browser { user: "ann", address: server.address, cookie: String::new() }
    }

    fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let cookie = self.cookie.clone();
        let headers = [headers, &[("cookie", cookie.as_str()), ("accept", "text/html")]].concat();
        let answer = exchange(self.address, method, path, &headers, body.as_bytes()).unwrap();
        if let Some(set) = answer.header("set-cookie").split(';').next().filter(|set| !set.is_empty()) {
            self.cookie = set.to_owned();
        }
        answer
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "null")];
        self.send("POST", path, &headers, &form(fields))
    }

    /// Sends the form of a page, with what it hides.
    pub fn submit(&mut self, path: &str, page: &str, fields: &[(&str, &str)]) -> Answer {
        let hidden: Vec<(&str, String)> = ["csrf", "request"]
            .into_iter()
            .filter_map(|name| Some((name, values(page, name).into_iter().next()?)))
            .collect();
        let all: Vec<(&str, &str)> = hidden
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(fields.iter().copied())
            .collect();
        self.post(path, &all)
    }

    /// Logs the practitioner in on a login page; where that sends the browser.
    pub fn log_in(&mut self, path: &str, password: &str) -> String {
        let page = self.get(path).expect(200).text();
        let login = path.split('?').next().unwrap();
        let fields = [("username", self.user), ("password", password)];
        self.submit(login, &page, &fields).expect(303).header("location").to_owned()
    }

    /// Goes through all pages of an authorization, allowing everything; the code.
    pub fn authorize(&mut self, path: &str, patient: &str) -> String {
        let mut next = self.get(path).expect(303).header("location").to_owned();
        for _ in 0..5 {
            let place = next.split('?').next().unwrap().to_owned();
            next = match place.rsplit('/').next().unwrap() {
                "login" => self.log_in(&next, "correct horse battery"),
                "pick" => {
                    let page = self.get(&next).expect(200).text();
                    self.submit(&place, &page, &[("choice", patient)])
                        .expect(303)
                        .header("location")
                        .to_owned()
                }
                "consent" => {
                    let page = self.get(&next).expect(200).text();
                    let scopes = values(&page, "scope");
                    let ticked = scopes.iter().map(|scope| ("scope", scope.as_str()));
                    let fields: Vec<_> = ticked.chain([("decision", "allow")]).collect();
                    self.submit(&place, &page, &fields).expect(303).header("location").to_owned()
                }
                _ => break,
            };
        }
        let code = next.split("code=").nth(1).unwrap_or_else(|| panic!("no code in {next}"));
        assert!(next.contains("state=xyz"), "{next}");
        code.split('&').next().unwrap().to_owned()
    }
}
