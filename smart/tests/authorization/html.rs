//! A strict reader of the pages: what is not nested, labelled and quoted as it must be is a failure.

use std::collections::BTreeSet;

use smart::{Body, Reply};

#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub depth: usize,
    /// Text directly behind the start tag and all within it.
    pub text: String,
}

impl Tag {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

const VOID: &[&str] = &["meta", "link", "input", "br", "hr", "img"];
const KNOWN: &[&str] = &[
    "a", "html", "head", "meta", "title", "link", "body", "header", "span", "main", "h1", "h2", "p",
    "strong", "form", "input", "label", "button", "fieldset", "div", "ul", "li", "details", "summary",
    "code", "h3", "textarea", "legend",
];

pub fn source(reply: &Reply) -> &str {
    match &reply.body {
        Body::Html(html) => html,
        other => panic!("no page: {other:?}"),
    }
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// All elements in order; panics where the nesting is wrong or something is not escaped.
pub fn read(reply: &Reply) -> Vec<Tag> {
    let html = source(reply).strip_prefix("<!DOCTYPE html>").expect("a doctype");
    let (mut tags, mut open): (Vec<Tag>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let (text, tail) = rest.split_at(start);
        assert!(!text.contains('>') && !text.contains('"'), "not escaped: {text}");
        for index in &open {
            tags[*index].text.push_str(&unescape(text));
        }
        let end = end_of_tag(tail);
        let inner = &tail[1..end];
        rest = &tail[end + 1..];
        if let Some(name) = inner.strip_prefix('/') {
            let last = open.pop().unwrap_or_else(|| panic!("</{name}> closes nothing"));
            assert_eq!(tags[last].name, name);
            continue;
        }
        let (name, attributes) = attributes(inner);
        assert!(KNOWN.contains(&name.as_str()), "<{name}> is not of our pages");
        tags.push(Tag { name: name.clone(), attributes, depth: open.len(), text: String::new() });
        if !VOID.contains(&name.as_str()) {
            open.push(tags.len() - 1);
        }
    }
    assert!(open.is_empty() && rest.is_empty(), "left open: {rest}");
    tags
}

fn end_of_tag(tail: &str) -> usize {
    let mut quoted = false;
    for (index, letter) in tail.char_indices().skip(1) {
        match letter {
            '"' => quoted = !quoted,
            '>' if !quoted => return index,
            '<' => panic!("not escaped: {tail}"),
            _ => {}
        }
    }
    panic!("a tag does not end: {tail}")
}

fn attributes(inner: &str) -> (String, Vec<(String, String)>) {
    let (name, mut rest) = inner.split_once(' ').unwrap_or((inner, ""));
    let mut attributes = Vec::new();
    while !rest.trim().is_empty() {
        rest = rest.trim_start();
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        let name = &rest[..end];
        assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c == b'-'), "attribute {name}");
        assert!(!name.starts_with("on") && name != "style", "{name} would run or style");
        if rest[end..].starts_with('=') {
            let value = rest[end + 1..].strip_prefix('"').expect("quotes");
            let close = value.find('"').expect("a closing quote");
            attributes.push((name.to_owned(), unescape(&value[..close])));
            rest = &value[close + 1..];
        } else {
            attributes.push((name.to_owned(), String::new()));
            rest = &rest[end..];
        }
    }
    (name.to_owned(), attributes)
}

/// What any page must have.
pub fn check_page(reply: &Reply) -> Vec<Tag> {
    let tags = read(reply);
    let of = |name: &str| tags.iter().filter(|tag| tag.name == name).collect::<Vec<_>>();
    for once in ["html", "head", "title", "body", "header", "main", "h1"] {
        assert_eq!(of(once).len(), 1, "{once}");
    }
    assert_eq!(of("html")[0].get("lang"), Some("en"));
    assert!(of("title")[0].text.ends_with(" · Vesta") && of("title")[0].text.starts_with(&of("h1")[0].text));
    let ids: Vec<&str> = tags.iter().filter_map(|tag| tag.get("id")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id is there twice");
    let typed = of("input").into_iter().filter(|input| input.get("type") != Some("hidden"));
    for input in typed.chain(of("textarea")) {
        let id = input.get("id").expect("an id");
        let labels: Vec<_> = of("label").into_iter().filter(|label| label.get("for") == Some(id)).collect();
        assert_eq!(labels.len(), 1, "labels of {id}");
        assert!(!labels[0].text.trim().is_empty(), "the label of {id} is empty");
        assert!(input.get("aria-describedby").is_none_or(|id| ids.contains(&id)));
    }
    for tag in &tags {
        match tag.name.as_str() {
            "button" => assert_eq!(tag.get("type"), Some("submit")),
            "fieldset" => {}
            "form" => assert!(tag.get("action").is_some_and(|action| action.starts_with("/auth/"))),
            _ => {}
        }
    }
    assert_eq!(of("fieldset").len(), of("legend").len());
    let posts = of("form").into_iter().filter(|form| form.get("method") == Some("post")).count();
    let tokens = of("input").into_iter().filter(|input| input.get("name") == Some("csrf")).count();
    assert_eq!(posts, tokens, "each form that changes something has its token");
    for (name, value) in
        [("X-Frame-Options", "DENY"), ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store")]
    {
        assert_eq!(reply.header(name), Some(value));
    }
    let policy = reply.header("Content-Security-Policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self';")
            && policy.contains("frame-ancestors 'none'")
    );
    tags
}

/// What a browser would send of the last form that changes something: hidden fields, what is typed in, what is ticked.
pub fn form(page: &Reply) -> Vec<(String, String)> {
    let tags = check_page(page);
    let start =
        tags.iter().rposition(|tag| tag.name == "form" && tag.get("method") == Some("post")).expect("a form");
    let depth = tags[start].depth;
    let inside = tags[start + 1..].iter().take_while(|tag| tag.depth > depth);
    inside
        .filter(|tag| tag.name == "input" && tag.get("type") != Some("radio"))
        .filter(|tag| tag.get("type") != Some("checkbox") || tag.get("checked").is_some())
        .map(|tag| (tag.get("name").unwrap().to_owned(), tag.get("value").unwrap_or_default().to_owned()))
        .collect()
}
