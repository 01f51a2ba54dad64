//! A user with a browser: follows redirects, keeps cookies, fills forms. What it knows of pages is HTML's forms alone.

use std::collections::BTreeMap;

use reqwest::Method;
use url::Url;

use crate::http::{Answer, Checked, Http, Wrong};
use crate::inputs::User;

/// Most pages of a launch.
const MAX_PAGES: usize = 20;

/// What a user chooses on the pages of a launch.
#[derive(Debug, Clone)]
pub(crate) struct Choices<'c> {
    pub user: &'c User,
    pub patient: &'c str,
    pub scopes: Scopes<'c>,
}

/// What is ticked.
#[derive(Debug, Clone)]
pub(crate) enum Scopes<'c> {
    /// What the page has ticked.
    AsOffered,
    /// What the page has ticked but the kinds of records that are not named here.
    Only(&'c [&'c str]),
    /// Just the boxes of these values, and all that is not about records.
    Exactly(&'c [&'c str]),
}

/// A browser: of one user.
pub(crate) struct Browser<'h> {
    http: &'h Http,
    cookies: BTreeMap<String, String>,
}

/// A form of a page.
#[derive(Debug, Default)]
pub(crate) struct Form {
    method: String,
    action: String,
    pub fields: Vec<Field>,
}

/// A field of a form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Field {
    pub kind: String,
    pub name: String,
    pub value: String,
    pub checked: bool,
}

impl<'h> Browser<'h> {
    pub fn new(http: &'h Http) -> Browser<'h> {
        Browser { http, cookies: BTreeMap::new() }
    }

    /// Opens an authorization URL and does what the pages ask, until it is sent to `end`: that URL, with all of its query.
    pub async fn authorize(&mut self, start: Visit, end: &str, choices: &Choices<'_>) -> Checked<Url> {
        match self.ended(start, end, choices).await? {
            Ended::App(url) => Ok(url),
            Ended::Refused(wrong) => Err(wrong),
        }
    }

    /// The same, where the server may also refuse on a page of its own.
    pub async fn ended(&mut self, start: Visit, end: &str, choices: &Choices<'_>) -> Checked<Ended> {
        let mut next = start;
        for _ in 0..MAX_PAGES {
            let page = match self.visit(&next, end).await? {
                Arrived::End(url) => return Ok(Ended::App(url)),
                Arrived::Refused(wrong) => return Ok(Ended::Refused(wrong)),
                Arrived::Page(page) => page,
            };
            next = page.answer(choices)?;
        }
        Err(Wrong(format!("after {MAX_PAGES} pages the app is not reached")))
    }

    /// Opens a page of the server's own, logging in where that is asked for.
    pub async fn page(&mut self, url: &Url, user: &User) -> Checked<Page> {
        let choices = Choices { user, patient: "", scopes: Scopes::AsOffered };
        for _ in 0..2 {
            let page = match self.visit(&Visit::get(url.clone()), "").await? {
                Arrived::Page(page) => page,
                Arrived::End(url) => return Err(Wrong(format!("the browser was sent to {url}"))),
                Arrived::Refused(wrong) => return Err(wrong),
            };
            match page.login() {
                Some(login) => _ = self.visit(&page.send(&login, &login.filled(&choices))?, "").await?,
                None => return Ok(page),
            }
        }
        Err(Wrong(format!("{url} asks for a login again and again")))
    }

    /// Opens a page, following redirects.
    pub async fn visit(&mut self, visit: &Visit, end: &str) -> Checked<Arrived> {
        let (mut method, mut url, mut body) = (visit.method.clone(), visit.url.clone(), visit.body.clone());
        for _ in 0..MAX_PAGES {
            let answer = self.send(method, &url, body.take()).await?;
            let Some(location) = answer.header("location").filter(|_| answer.status.is_redirection()) else {
                return match answer.expect(&[200]) {
                    Ok(_) => Ok(Arrived::Page(Page { url, answer })),
                    Err(wrong) if answer.status.is_client_error() => Ok(Arrived::Refused(wrong)),
                    Err(wrong) => Err(wrong),
                };
            };
            url = url
                .join(location)
                .map_err(|_| Wrong(format!("a redirect to {location}, which is no URL")))?;
            if url.as_str().split(['?', '#']).next() == Some(end) {
                return Ok(Arrived::End(url));
            }
            method = Method::GET;
        }
        Err(Wrong(format!("{MAX_PAGES} redirects lead nowhere")))
    }

    async fn send(&mut self, method: Method, url: &Url, body: Option<String>) -> Checked<Answer> {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let origin = url.origin().ascii_serialization();
        let mut headers = vec![("accept", "text/html")];
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        if body.is_some() {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
            headers.push(("origin", &origin));
        }
        let answer = self.http.send(method, url.as_str(), &headers, body).await?;
        for value in answer.headers.get_all("set-cookie") {
            let pair = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        Ok(answer)
    }
}

/// A page to open.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    method: Method,
    url: Url,
    body: Option<String>,
}

impl Visit {
    pub fn get(url: Url) -> Visit {
        Visit { method: Method::GET, url, body: None }
    }

    pub fn post(url: Url, form: &[(String, String)]) -> Visit {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        Visit { method: Method::POST, url, body: Some(body) }
    }
}

/// Where a visit ends.
pub(crate) enum Arrived {
    /// At the app.
    End(Url),
    /// At a page of the server.
    Page(Page),
    /// At a page that refuses (4xx).
    Refused(Wrong),
}

/// Where a launch ends.
pub(crate) enum Ended {
    /// At the app.
    App(Url),
    /// At a page of the server that refuses.
    Refused(Wrong),
}

/// A page.
pub(crate) struct Page {
    pub url: Url,
    answer: Answer,
}

impl Page {
    /// Its forms.
    pub fn forms(&self) -> Vec<Form> {
        forms(&self.answer.text)
    }

    /// Sends a form with these values instead of its own.
    pub fn send(&self, form: &Form, values: &[(String, String)]) -> Checked<Visit> {
        let url = self.url.join(&form.action).map_err(|_| Wrong(format!("a form for {}", form.action)))?;
        if form.is_post() {
            return Ok(Visit::post(url, values));
        }
        let mut url = url;
        url.query_pairs_mut().clear().extend_pairs(values);
        Ok(Visit::get(url))
    }

    /// Its form with a password.
    fn login(&self) -> Option<Form> {
        let asks = |form: &Form| form.is_post() && form.fields.iter().any(|field| field.kind == "password");
        self.forms().into_iter().find(asks)
    }

    /// The form that takes the user on, filled.
    fn answer(&self, choices: &Choices<'_>) -> Checked<Visit> {
        if let Some(login) = self.login() {
            return self.send(&login, &login.filled(choices));
        }
        let forms = self.forms();
        let has = |form: &Form, kind: &str| form.fields.iter().any(|field| field.kind == kind);
        let posts = || forms.iter().filter(|form| form.is_post());
        if let Some(pick) = posts().find(|form| has(form, "radio")) {
            return self.send(pick, &pick.filled(choices));
        }
        if let Some(consent) = posts().find(|form| has(form, "checkbox")) {
            return self.send(consent, &consent.filled(choices));
        }
        let start: String = self.answer.text.chars().take(2000).collect();
        Err(Wrong(format!("{} has no form to go on with: {start}", self.url)))
    }
}

impl Form {
    pub fn is_post(&self) -> bool {
        self.method.eq_ignore_ascii_case("post")
    }

    /// Whether it has a field of that name.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// What is sent: hidden fields as they are, the user's name and password, the patient, ticks, and the first button.
    fn filled(&self, choices: &Choices<'_>) -> Vec<(String, String)> {
        let mut out = Vec::new();
        let mut pressed = false;
        for field in self.fields.iter().filter(|field| !field.name.is_empty()) {
            let value = match field.kind.as_str() {
                "hidden" => Some(field.value.clone()),
                "password" => Some(choices.user.password.clone()),
                "text" | "email" if field.name.contains("user") => Some(choices.user.name.clone()),
                "text" | "email" | "search" => Some(field.value.clone()),
                "radio" => (field.value == choices.patient).then(|| field.value.clone()),
                "checkbox" => choices.ticks(field).then(|| field.value.clone()),
                "submit" if !pressed => {
                    pressed = true;
                    Some(field.value.clone())
                }
                _ => None,
            };
            out.extend(value.map(|value| (field.name.clone(), value)));
        }
        out
    }
}

impl Choices<'_> {
    fn ticks(&self, field: &Field) -> bool {
        let about_records = field.value.contains('/') && !field.value.starts_with("launch");
        match &self.scopes {
            Scopes::AsOffered => field.checked,
            _ if !about_records => field.checked,
            Scopes::Only(types) => {
                let kind = field.value.split(['/', '.']).nth(1).unwrap_or_default();
                field.checked && types.contains(&kind)
            }
            Scopes::Exactly(values) => values.contains(&field.value.as_str()),
        }
    }
}

/// The forms of a page. Knows as much of HTML as forms need: tags, attributes, and the five entities.
fn forms(page: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut open = false;
    for tag in page.split('<').skip(1).filter_map(|part| part.split_once('>').map(|(tag, _)| tag)) {
        let name = tag.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default();
        let attribute = |name: &str| attribute(tag, name);
        match name.to_ascii_lowercase().as_str() {
            "form" => {
                open = true;
                let method = attribute("method").unwrap_or_else(|| "get".to_owned());
                forms.push(Form {
                    method,
                    action: attribute("action").unwrap_or_default(),
                    fields: Vec::new(),
                });
            }
            "" if tag.starts_with("/form") => open = false,
            kind @ ("input" | "button") if open => {
                let default = if kind == "button" { "submit" } else { "text" };
                let field = Field {
                    kind: attribute("type").unwrap_or_else(|| default.to_owned()),
                    name: attribute("name").unwrap_or_default(),
                    value: attribute("value").unwrap_or_default(),
                    checked: attribute("checked").is_some(),
                };
                if let Some(form) = forms.last_mut() {
                    form.fields.push(field);
                }
            }
            _ => {}
        }
    }
    forms
}

/// An attribute of a tag; one without a value is empty.
fn attribute(tag: &str, wanted: &str) -> Option<String> {
    let mut rest = tag.trim_end_matches('/');
    rest = rest.split_once(char::is_whitespace)?.1;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let mut value = "";
        rest = after;
        if let Some(after) = after.strip_prefix('=') {
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
            match quote.and_then(|quote| after.get(1..)?.split_once(quote)) {
                Some((inside, behind)) => (value, rest) = (inside, behind),
                None => {
                    let end = after.find(char::is_whitespace).unwrap_or(after.len());
                    (value, rest) = after.split_at(end);
                }
            }
        }
        if name.eq_ignore_ascii_case(wanted) {
            return Some(unescaped(value));
        }
    }
}

fn unescaped(text: &str) -> String {
    let entities =
        [("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, char)| text.replace(entity, char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_page() {
        let page = r#"<p>x</p><form method="post" action="/a?b=1&amp;c"><input type=hidden name="h" value="1 &lt; 2">
            <input type="checkbox" name="s" value="patient/Observation.rs?category=x|y" checked><button name='go' value="yes">Go</button></form>
            <input name="outside">"#;
        let forms = forms(page);
        assert_eq!(forms.len(), 1);
        let form = forms.first().unwrap();
        assert_eq!((form.method.as_str(), form.action.as_str()), ("post", "/a?b=1&c"));
        let fields: Vec<(&str, &str, &str, bool)> = form
            .fields
            .iter()
            .map(|field| (field.kind.as_str(), field.name.as_str(), field.value.as_str(), field.checked))
            .collect();
        let expected = [
            ("hidden", "h", "1 < 2", false),
            ("checkbox", "s", "patient/Observation.rs?category=x|y", true),
            ("submit", "go", "yes", false),
        ];
        assert_eq!(fields, expected);
    }
}
