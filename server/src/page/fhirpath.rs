//! The page that evaluates a FHIRPath expression: a form, and what the expression yields with types.

use maud::{Markup, html};

use super::Base;
use super::frame::frame;

/// Its path.
pub const FHIRPATH: &str = "/fhirpath";

/// What the user filled in.
#[derive(Debug, Default)]
pub struct Form {
    /// The expression.
    pub expression: String,
    /// `Type/id` of a stored resource; counts where no resource is given.
    pub reference: String,
    /// A resource in JSON.
    pub resource: String,
}

/// What came of it.
#[derive(Debug)]
pub enum Evaluated {
    /// Nothing was asked yet.
    Nothing,
    /// It cannot be evaluated: the reason, in lines.
    Refused(String),
    /// It was.
    Items {
        /// Types and values, in order.
        items: Vec<(String, String)>,
        /// What `trace()` said: its name, a type and a value.
        traces: Vec<(String, String, String)>,
    },
}

/// The page.
pub fn fhirpath(base: Base<'_>, form: &Form, evaluated: &Evaluated) -> Markup {
    let content = html! {
        h1 { "FHIRPath" }
        p {
            "An expression of " a href="https://hl7.org/fhirpath/N1/" { "FHIRPath" } ", evaluated over a resource. Nothing is stored."
        }
        form.evaluate action=(FHIRPATH) method="post" {
            label for="expression" { "Expression" }
            textarea #expression name="expression" rows="3" spellcheck="false" required { (form.expression) }
            label for="reference" { "A stored resource (Patient/123), or" }
            input #reference name="reference" autocomplete="off" spellcheck="false" value=(form.reference);
            label for="resource" { "a resource in JSON" }
            textarea #resource name="resource" rows="12" spellcheck="false" { (form.resource) }
            button { "Evaluate" }
        }
        (result(evaluated))
    };
    frame(base.path, "FHIRPath", &content)
}

fn result(evaluated: &Evaluated) -> Markup {
    match evaluated {
        Evaluated::Nothing => html! {},
        Evaluated::Refused(why) => html! {
            h2 #result { "Not evaluated" }
            pre.json role="alert" { (why) }
        },
        Evaluated::Items { items, traces } => html! {
            h2 #result { (items.len()) @if items.len() == 1 { " item" } @else { " items" } }
            @if !items.is_empty() {
                table aria-labelledby="result" {
                    thead { tr { th scope="col" { "Type" } th scope="col" { "Value" } } }
                    tbody {
                        @for (kind, value) in items { tr { td { code { (kind) } } td { code { (value) } } } }
                    }
                }
            }
            @if !traces.is_empty() {
                h2 #traces { "Traces" }
                table aria-labelledby="traces" {
                    thead { tr { th scope="col" { "Name" } th scope="col" { "Type" } th scope="col" { "Value" } } }
                    tbody {
                        @for (name, kind, value) in traces {
                            tr { td { (name) } td { code { (kind) } } td { code { (value) } } }
                        }
                    }
                }
            }
        },
    }
}
