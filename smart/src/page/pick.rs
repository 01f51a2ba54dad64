//! The page to choose a patient or an encounter.

use maud::html;

use super::page;
use crate::message::Reply;
use crate::record::Pending;
use crate::server::AuthorizationServer;
use crate::services::Choice;

/// What the page is about.
pub struct Picking<'p> {
    pub secret: &'p str,
    pub pending: &'p Pending,
    pub encounters: bool,
    pub csrf: &'p str,
    pub typed: &'p str,
    pub choices: &'p [Choice],
    pub is_full: bool,
    pub missing: bool,
    pub path: String,
}

/// The page: a search form, which is not there for encounters, and the list to choose from.
pub fn pick(server: &AuthorizationServer, at: &Picking<'_>) -> Reply {
    let title = if at.encounters { "Choose an encounter" } else { "Choose a patient" };
    let content = html! {
        p { strong { (at.pending.client_name) } " will be opened for the one you choose." }
        @if at.missing { p.error role="alert" { "Choose one from the list." } }
        @if !at.encounters {
            form.find method="get" action=(at.path) role="search" {
                input type="hidden" name="request" value=(at.secret);
                label for="q" { "Name or identifier" }
                input type="search" id="q" name="q" value=(at.typed) maxlength="100";
                button.second type="submit" { "Search" }
            }
        }
        @if at.choices.is_empty() {
            p role="status" { "Nothing was found." }
        } @else {
            form method="post" action=(at.path) {
                input type="hidden" name="csrf" value=(at.csrf);
                input type="hidden" name="request" value=(at.secret);
                fieldset {
                    legend { (if at.encounters { "Encounters" } else { "Patients" }) }
                    @for (index, choice) in at.choices.iter().enumerate() {
                        div.choice {
                            input type="radio" id={ "choice-" (index) } name="choice" value=(choice.id) required;
                            label for={ "choice-" (index) } { (choice.title) " " span.soft { (choice.detail) } }
                        }
                    }
                }
                @if at.is_full { p.soft { "There may be more: search for a name to see others." } }
                div.actions { button type="submit" { "Continue" } }
            }
        }
    };
    page(server, 200, title, Some(&at.pending.redirect_uri), &content)
}
