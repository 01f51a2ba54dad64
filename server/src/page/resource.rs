//! A resource or a Bundle as a page: its JSON, indented, with links where it points somewhere.

use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use super::Base;
use super::frame::frame;
use crate::http::json::{Layout, Token, Tokens, unescaped};

/// The page of a resource that a request to `address` (path and query) was answered with.
pub fn resource(base: Base<'_>, address: &str, status: u16, json: &[u8]) -> Markup {
    let text = String::from_utf8_lossy(json);
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let title = title(&value);
    let content = html! {
        h1 { (title) }
        @if identity(&value).is_some() { p { (summary(&value)) } }
        p.soft { code { (address) } @if status >= 400 { " answered " (status) } }
        nav.bar aria-label="Views" {
            a href=(with_format(address)) { "Raw JSON" }
            @if let Some((kind, id)) = identity(&value) {
                a href={ (base.path) "/" (kind) "/" (id) "/_history" } { "History" }
                a href={ (base.path) "/" (kind) } { "All " (kind) " resources" }
                a href={ (super::FHIRPATH) "?reference=" (kind) "/" (id) } { "FHIRPath" }
                @if kind == "Patient" {
                    @for held in ["Encounter", "Condition", "Observation", "MedicationRequest", "Procedure"] {
                        a href={ (base.path) "/Patient/" (id) "/" (held) } { (held) "s" }
                    }
                }
            }
            (paging(base, &value))
        }
        (issues(&value))
        (entries(base, &value))
        h2 { "JSON" }
        pre.json tabindex="0" { (highlighted(base, &text)) }
    };
    frame(base.path, &title, &content)
}

fn string<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn array<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn title(value: &Value) -> String {
    let kind = string(value, "resourceType");
    match (kind, string(value, "type"), value.get("total")) {
        ("Bundle", form, Some(total)) => format!("{} of {total}", capitalised(form)),
        ("Bundle", form, None) => capitalised(form),
        _ => match string(value, "id") {
            "" => kind.to_owned(),
            id => format!("{kind}/{id}"),
        },
    }
}

fn capitalised(form: &str) -> String {
    match form {
        "searchset" => "Search results".to_owned(),
        "history" => "History".to_owned(),
        other => format!("Bundle {other}"),
    }
}

fn identity(value: &Value) -> Option<(&str, &str)> {
    let (kind, id) = (string(value, "resourceType"), string(value, "id"));
    (!id.is_empty() && kind != "Bundle" && store::Key::parse(&format!("{kind}/{id}")).is_some())
        .then_some((kind, id))
}

fn with_format(address: &str) -> String {
    let separator = if address.contains('?') { '&' } else { '?' };
    format!("{}{separator}_format=json&_pretty=true", address.replace("_format=", "_was="))
        .replace("&_was=html", "")
        .replace("?_was=html&", "?")
}

fn paging(base: Base<'_>, value: &Value) -> Markup {
    html! {
        @for link in array(value, "link") {
            @let relation = string(link, "relation");
            @if relation != "self" && let Some(href) = local(base, string(link, "url")) {
                a href=(href) rel=[(relation == "next").then_some("next")] {
                    (match relation { "next" => "Next page", "previous" => "Previous page", "first" => "First page", other => other })
                }
            }
        }
    }
}

fn issues(value: &Value) -> Markup {
    html! {
        @if string(value, "resourceType") == "OperationOutcome" {
            ul.issues {
                @for issue in array(value, "issue") {
                    li {
                        b { (string(issue, "severity")) } " (" (string(issue, "code")) "): "
                        (issue.pointer("/details/text").and_then(Value::as_str).unwrap_or(string(issue, "diagnostics")))
                        @for expression in array(issue, "expression") { " " code { (expression.as_str().unwrap_or_default()) } }
                    }
                }
            }
        }
    }
}

fn entries(base: Base<'_>, value: &Value) -> Markup {
    let entries = array(value, "entry");
    html! {
        @if string(value, "resourceType") == "Bundle" && !entries.is_empty() {
            table {
                thead { tr { th scope="col" { "Resource" } th scope="col" { "What" } th scope="col" { "Updated" } } }
                tbody {
                    @for entry in entries {
                        @let found = entry.get("resource").unwrap_or(&Value::Null);
                        tr {
                            td { (name(base, entry, found)) }
                            td { (summary(found)) @if entry.pointer("/search/mode").and_then(Value::as_str) == Some("include") { span.soft { " (included)" } } }
                            td.soft { (found.pointer("/meta/lastUpdated").and_then(Value::as_str).unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    }
}

fn name(base: Base<'_>, entry: &Value, found: &Value) -> Markup {
    let url = string(entry, "fullUrl");
    let version =
        entry.pointer("/request/method").and(found.pointer("/meta/versionId")).and_then(Value::as_str);
    let text = match identity(found) {
        Some((kind, id)) => format!("{kind}/{id}"),
        None => url.to_owned(),
    };
    let href = local(base, url).map(|href| match version {
        Some(version) => format!("{href}/_history/{version}"),
        None => href,
    });
    html! {
        @match href { Some(href) => a href=(href) { (text) }, None => (text) }
        @if let Some(method) = entry.pointer("/request/method").and_then(Value::as_str) {
            span.soft { " " (method) @if let Some(version) = version { " version " (version) } }
        }
    }
}

/// A few words that tell one resource of a type from another.
fn summary(found: &Value) -> String {
    let first = |paths: &[&str]| {
        paths
            .iter()
            .find_map(|path| found.pointer(path).and_then(Value::as_str))
            .unwrap_or_default()
            .to_owned()
    };
    let given: Vec<&str> = found
        .pointer("/name/0/given")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let who = format!("{} {}", given.join(" "), first(&["/name/0/family"])).trim().to_owned();
    let what = if who.is_empty() {
        first(&[
            "/code/text",
            "/code/coding/0/display",
            "/medicationCodeableConcept/text",
            "/medicationCodeableConcept/coding/0/display",
            "/vaccineCode/text",
            "/vaccineCode/coding/0/display",
            "/type/0/text",
            "/type/0/coding/0/display",
            "/type/text",
            "/type/coding/0/display",
            "/category/0/text",
            "/category/0/coding/0/display",
            "/description/text",
            "/name",
            "/title",
            "/status",
        ])
    } else {
        who
    };
    let when = first(&[
        "/birthDate",
        "/effectiveDateTime",
        "/onsetDateTime",
        "/authoredOn",
        "/occurrenceDateTime",
        "/performedDateTime",
        "/performedPeriod/start",
        "/period/start",
        "/date",
        "/issued",
    ]);
    match (what.is_empty(), when.get(..10).unwrap_or(&when)) {
        (_, "") => what,
        (true, day) => day.to_owned(),
        (false, day) => format!("{what}, {day}"),
    }
}

/// Where a URL or a reference leads on this server, as a path. `None` for anything that is not below the base.
fn local(base: Base<'_>, target: &str) -> Option<String> {
    let below = match target.strip_prefix(base.url) {
        Some(rest) if rest.starts_with(['/', '?']) => return Some(format!("{}{rest}", base.path)),
        Some(_) => return None,
        None => target,
    };
    let mut parts = below.splitn(3, '/');
    let key = format!("{}/{}", parts.next()?, parts.next()?);
    let versioned = parts.next().is_none_or(|rest| rest.starts_with("_history/"));
    let known_type = key.starts_with(|c: char| c.is_ascii_uppercase());
    (versioned && known_type && store::Key::parse(&key).is_some()).then(|| format!("{}/{below}", base.path))
}

/// The JSON, indented, each token in its colour, references and URLs of this server as links.
fn highlighted(base: Base<'_>, json: &str) -> PreEscaped<String> {
    let mut out = String::with_capacity(json.len() * 4);
    let mut layout = Layout::default();
    let mut named = "";
    for token in Tokens::of(json) {
        layout.before(token, &mut out);
        match token {
            Token::Open(c) | Token::Close(c) => out.push(c),
            Token::Comma => out.push(','),
            Token::Bare(text) => span("b", &escaped(text), &mut out),
            Token::Name(text) => {
                named = text;
                span("n", &format!("\"{}\"", escaped(text)), &mut out);
                out.push_str(": ");
            }
            Token::Text(text) => {
                let linked = matches!(named, "reference" | "fullUrl" | "url" | "location");
                match linked.then(|| local(base, &unescaped(text))).flatten() {
                    Some(href) => {
                        let link = format!("\"<a href=\"{}\">{}</a>\"", escaped(&href), escaped(text));
                        span("t", &link, &mut out);
                    }
                    None => span("t", &format!("\"{}\"", escaped(text)), &mut out),
                }
            }
        }
    }
    PreEscaped(out)
}

fn span(class: &str, inner: &str, out: &mut String) {
    for part in ["<span class=\"", class, "\">", inner, "</span>"] {
        out.push_str(part);
    }
}

fn escaped(text: &str) -> String {
    html! { (text) }.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Base<'_> = Base { url: "http://127.0.0.1:8080/fhir", path: "/fhir" };

    #[test]
    fn links_stay_on_this_server() {
        let cases = [
            ("Patient/1", Some("/fhir/Patient/1")),
            ("Patient/1/_history/2", Some("/fhir/Patient/1/_history/2")),
            ("http://127.0.0.1:8080/fhir/Patient/1", Some("/fhir/Patient/1")),
            ("http://127.0.0.1:8080/fhir?_cursor=x", Some("/fhir?_cursor=x")),
            ("http://127.0.0.1:8080/fhirx/Patient/1", None),
            ("http://other/fhir/Patient/1", None),
            ("urn:uuid:1", None),
            ("javascript:alert(1)//Patient/1", None),
            ("#contained", None),
            ("Patient/1/x", None),
            ("a/b", None),
        ];
        for (target, expected) in cases {
            assert_eq!(local(BASE, target).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn everything_is_escaped() {
        let json =
            r#"{"resourceType":"Patient","id":"1","name":[{"family":"<script>&\"'</script>"}],"x<y":1}"#;
        let page = resource(BASE, "/fhir/Patient/1?a=<b>\"", 200, json.as_bytes()).into_string();
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains("<b>\""), "{page}");
        assert!(!page.contains("x<y"), "{page}");
        assert!(page.contains("&lt;script&gt;"));
    }

    #[test]
    fn references_and_pages_are_links() {
        let json = r#"{"resourceType":"Bundle","type":"searchset","total":7,"link":[{"relation":"next","url":"http://127.0.0.1:8080/fhir/Condition?_cursor=abc&_count=1"}],"entry":[{"fullUrl":"http://127.0.0.1:8080/fhir/Condition/9","resource":{"resourceType":"Condition","id":"9","code":{"text":"Cold"},"subject":{"reference":"Patient/1"}}}]}"#;
        let page = resource(BASE, "/fhir/Condition", 200, json.as_bytes()).into_string();
        for part in [
            "<h1>Search results of 7</h1>",
            "<a href=\"/fhir/Condition?_cursor=abc&amp;_count=1\" rel=\"next\">Next page</a>",
            "<a href=\"/fhir/Condition/9\">Condition/9</a>",
            "<a href=\"/fhir/Patient/1\">Patient/1</a>",
            "<td>Cold</td>",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
    }

    #[test]
    fn raw_views_ask_for_json() {
        for (address, expected) in [
            ("/fhir/Patient/1", "/fhir/Patient/1?_format=json&_pretty=true"),
            ("/fhir/Patient?name=x", "/fhir/Patient?name=x&_format=json&_pretty=true"),
            ("/fhir/Patient?_format=html", "/fhir/Patient?_format=json&_pretty=true"),
        ] {
            assert_eq!(with_format(address), expected);
        }
    }
}
