//! The tester's page: every input that Inferno's (g)(10) kit asks for, ready to copy.

use maud::{Markup, html};

use super::Base;
use super::frame::frame;
use crate::authorization::AUTH_PATH;
use crate::demo::inferno::{Input, PATIENT_USER, PRACTITIONER_USER, SECRET_UNKNOWN, shown};

/// Its path.
pub const INFERNO: &str = "/inferno";

/// The page; `preset` is what the kit reads.
pub fn inferno(base: Base<'_>, inputs: &[Input], preset: &str) -> Markup {
    let content = html! {
        h1 { "Certification with Inferno" }
        p {
            "What " a href="https://inferno.healthit.gov/test-kits/g10-certification/" { "Inferno's (g)(10) kit" }
            " asks for, where " code { "vesta demo --us-core --authorization" } " has loaded its patients and registered its apps "
            "and users. That command alone says the secret and the password, once; where a value here holds “"
            (SECRET_UNKNOWN) "”, put the secret."
        }
        p {
            "Log in as " code { (PATIENT_USER) } " to launch an app by itself, and as " code { (PRACTITIONER_USER) }
            " to open one for a patient, at " a href={ (AUTH_PATH) "/apps" } { "Open an app for a patient" } "."
        }
        h2 #inputs { "Inputs" }
        table aria-labelledby="inputs" {
            thead { tr { th scope="col" { "Input" } th scope="col" { "Value" } } }
            tbody {
                @for input in inputs {
                    tr {
                        td { (input.title) br; code.soft { (input.name) } }
                        td {
                            @match input.value.as_object() {
                                Some(parts) => {
                                    dl.facts {
                                        @for (name, value) in parts { dt { (name) } dd { code { (shown(value)) } } }
                                    }
                                }
                                None => { code { (shown(&input.value)) } }
                            }
                        }
                    }
                }
            }
        }
        h2 { "All of them, as a preset" }
        p {
            "For " code { "config/presets" } " of the kit. " code { "vesta demo --us-core --inferno-preset FILE" }
            " writes it with the secret in it."
        }
        pre.json { (preset) }
    };
    frame(base.path, "Certification with Inferno", &content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inputs_are_told() {
        let input = |name, value| Input { name, title: "An input", value };
        let inputs = [input("url", json!("http://x/fhir")), input("app", json!({"client_id": "<me>"}))];
        let page = inferno(Base { url: "http://x/fhir", path: "/fhir" }, &inputs, "{}").into_string();
        assert!(page.contains("<code>http://x/fhir</code>"), "{page}");
        assert!(page.contains("<dt>client_id</dt><dd><code>&lt;me&gt;</code></dd>"), "{page}");
    }
}
