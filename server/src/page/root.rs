//! The root page: what this is, what it holds, and a box to search it.

use std::time::Duration;

use maud::{Markup, html};

use super::Base;
use super::frame::frame;

/// The root page. `counts` are the current resources by type.
pub fn root(base: Base<'_>, counts: &[(Box<str>, u64)], running: Duration) -> Markup {
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let content = html! {
        h1 { "FHIR R4 server" }
        p {
            "Vesta keeps health records as HL7 FHIR resources. Programs use the API at the base URL below; this page "
            "and those it links to show the same resources to people."
        }
        dl.facts {
            dt { "FHIR base URL" } dd { a href={ (base.path) "/metadata" } { code { (base.url) } } }
            dt { "Version" } dd { (env!("CARGO_PKG_VERSION")) ", FHIR 4.0.1" }
            dt { "Running for" } dd { (span(running)) }
            dt { "Resources" } dd { (grouped(total)) }
        }
        (find(counts))
        h2 #types { "Resources by type" }
        @if counts.is_empty() {
            p {
                "Nothing is stored yet. " code { "vesta demo" } " loads a few made-up patients; "
                code { "vesta load PATH" } " loads Bundles and NDJSON files."
            }
        } @else {
            ul.counts aria-labelledby="types" {
                @for (name, count) in counts {
                    li { a href={ (base.path) "/" (name) } { (name) } span { (grouped(*count)) } }
                }
            }
        }
    };
    frame(base.path, "FHIR R4 server", &content)
}

/// The first page where requests need a token: nothing of the records.
pub fn closed(base: Base<'_>, auth: &str) -> Markup {
    let content = html! {
        dl {
            dt { "FHIR base URL" } dd { a href={ (base.path) "/metadata" } { code { (base.url) } } }
            dt { "Version" } dd { (env!("CARGO_PKG_VERSION")) ", FHIR 4.0.1" }
        }
        p { "Requests need an access token; apps get one from this server by SMART App Launch." }
        ul {
            li { a href={ (auth) "/manage" } { "Apps with access to your records" } }
            li { a href={ (auth) "/apps" } { "Open an app for a patient" } }
            li { a href=(super::INFERNO) { "Certification with Inferno" } }
        }
    };
    frame(base.path, "FHIR R4 server", &content)
}

fn find(counts: &[(Box<str>, u64)]) -> Markup {
    let has_patients = counts.iter().any(|(name, _)| &**name == "Patient");
    html! {
        form.find action="/find" method="get" role="search" {
            label {
                "Type"
                select name="type" {
                    @if !has_patients { option { "Patient" } }
                    @for (name, _) in counts {
                        option selected[&**name == "Patient"] { (name) }
                    }
                }
            }
            label.wide {
                "A name, parameters (birthdate=ge1980&gender=female), or Type/id"
                input type="search" name="q" autocomplete="off" spellcheck="false";
            }
            button { "Search" }
        }
    }
}

/// `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!(span(Duration::from_secs(3 * 86_400 + 7200)), "3 d 2 h");
    }

    #[test]
    fn counts_link_to_searches() {
        let page =
            root(Base { url: "http://x/fhir", path: "/fhir" }, &[("Patient".into(), 1200)], Duration::ZERO)
                .into_string();
        assert!(page.contains("<a href=\"/fhir/Patient\">Patient</a><span>1,200</span>"), "{page}");
        assert!(
            root(Base { url: "b", path: "/fhir" }, &[], Duration::ZERO).into_string().contains("vesta demo")
        );
    }
}
