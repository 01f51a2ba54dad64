//! What all pages share: head, style, header and footer.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// A page of a title and a content; `path` is that of the FHIR base.
pub fn frame(path: &str, title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Vesta" }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                header.top {
                    a.brand href="/" { "Vesta" }
                    nav aria-label="Site" {
                        a href={ (path) "/metadata" } { "CapabilityStatement" }
                        a href=(super::FHIRPATH) { "FHIRPath" }
                        a href="/metrics" { "Metrics" }
                    }
                }
                main { (content) }
            }
        }
    }
}
