//! The pages from which a user opens an app for a patient.

use maud::{Markup, html};

use super::page;
use crate::message::Reply;
use crate::record::Client;
use crate::server::{AuthorizationServer, NO_ENCOUNTER};
use crate::services::Choice;

/// What the first page is about.
pub struct Opening<'p> {
    pub clients: &'p [Client],
    pub patients: &'p [Choice],
    pub csrf: &'p str,
    pub typed: &'p str,
    pub is_full: bool,
    pub missing: bool,
    pub path: String,
}

/// What the second page is about.
pub struct Picked<'p> {
    pub client: &'p Client,
    pub patient: &'p Choice,
    pub encounters: &'p [Choice],
    pub csrf: &'p str,
    pub path: String,
}

/// The first page: an app and a patient.
pub fn apps(server: &AuthorizationServer, at: &Opening<'_>) -> Reply {
    let apps = at.clients.iter().map(|client| (client.id.as_str(), client.name.as_str(), ""));
    let patients = at.patients.iter().map(of_choice);
    let content = html! {
        @if at.clients.is_empty() {
            p role="status" { "No registered app has a launch address." }
        } @else {
            @if at.missing { p.error role="alert" { "Choose an app and a patient." } }
            form.find method="get" action=(at.path) role="search" {
                label for="q" { "Name or identifier of the patient" }
                input type="search" id="q" name="q" value=(at.typed) maxlength="100";
                button.second type="submit" { "Search" }
            }
            form method="post" action=(at.path) {
                input type="hidden" name="csrf" value=(at.csrf);
                (choices("Apps", "app", apps))
                @if at.patients.is_empty() {
                    p role="status" { "No patient was found." }
                } @else {
                    (choices("Patients", "patient", patients))
                    @if at.is_full { p.soft { "There may be more: search for a name to see others." } }
                    div.actions { button type="submit" { "Continue" } }
                }
            }
        }
    };
    page(server, 200, "Open an app", None, &content)
}

impl Picked<'_> {
    /// The second page: an encounter of the patient, or none.
    pub fn page(&self, server: &AuthorizationServer) -> Reply {
        let none = (NO_ENCOUNTER, "No encounter", "");
        let encounters = self.encounters.iter().map(of_choice).chain([none]);
        let content = html! {
            p { strong { (self.client.name) } " will be opened for " strong { (self.patient.title) } "." }
            form method="post" action=(self.path) {
                input type="hidden" name="csrf" value=(self.csrf);
                input type="hidden" name="app" value=(self.client.id);
                input type="hidden" name="patient" value=(self.patient.id);
                (choices("Encounters", "encounter", encounters))
                div.actions { button type="submit" { "Open" } }
            }
        };
        page(server, 200, "Choose an encounter", self.client.launch_uri.as_deref(), &content)
    }
}

fn of_choice(choice: &Choice) -> (&str, &str, &str) {
    (&choice.id, &choice.title, &choice.detail)
}

/// Buttons of which one is chosen: value, title, detail.
fn choices<'c>(legend: &str, name: &str, all: impl Iterator<Item = (&'c str, &'c str, &'c str)>) -> Markup {
    html! {
        fieldset {
            legend { (legend) }
            @for (index, (value, title, detail)) in all.enumerate() {
                div.choice {
                    input type="radio" id={ (name) "-" (index) } name=(name) value=(value) required;
                    label for={ (name) "-" (index) } { (title) " " span.soft { (detail) } }
                }
            }
        }
    }
}
