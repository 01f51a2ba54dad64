//! The consent page. The values of its boxes are the scopes themselves.

use maud::{Markup, html};

use super::names::{plain_name, type_name, what};
use super::page;
use crate::message::Reply;
use crate::record::{Pending, SessionUser};
use crate::scope::Scope;
use crate::server::{AuthorizationServer, Offer, Part};

/// What the page is about.
pub struct Consenting<'p> {
    pub secret: &'p str,
    pub pending: &'p Pending,
    pub user: &'p SessionUser,
    pub csrf: &'p str,
    pub offer: &'p Offer,
    pub path: String,
}

/// The page.
pub fn consent(server: &AuthorizationServer, at: &Consenting<'_>) -> Reply {
    let pending = at.pending;
    let content = html! {
        p {
            strong { (pending.client_name) } " asks "
            @match &pending.patient_name {
                Some(name) => { "for access to the records of " strong { (name) } "." },
                None => "for access to health records.",
            }
            " You are logged in as " (at.user.name) "."
        }
        form method="post" action=(at.path) {
            input type="hidden" name="csrf" value=(at.csrf);
            input type="hidden" name="request" value=(at.secret);
            @if !at.offer.plain.is_empty() {
                fieldset {
                    legend { "About you, and how long" }
                    @for (index, scope) in at.offer.plain.iter().enumerate() {
                        (tick(&format!("plain-{index}"), scope, plain_name(scope), None, true))
                    }
                }
            }
            @for (index, part) in at.offer.parts.iter().enumerate() { (part_of(index, part)) }
            p.soft { "Take away a tick to refuse that part. What you allow can be taken back at any time." }
            div.actions {
                button type="submit" name="decision" value="allow" { "Allow" }
                button.second type="submit" name="decision" value="deny" { "Deny" }
            }
        }
    };
    page(server, 200, "Allow access?", Some(&pending.redirect_uri), &content)
}

fn part_of(index: usize, part: &Part) -> Markup {
    let single = part.wildcard.is_none();
    let narrower = part.types.iter().any(|(_, narrower)| !narrower.is_empty());
    html! {
        fieldset {
            legend {
                @match (&part.wildcard, part.types.first()) {
                    (Some(scope), _) => { "All kinds of records: " (what(scope)) },
                    (None, Some((scope, _))) => (type_name(scope)),
                    (None, None) => "Records",
                }
            }
            @for (number, (scope, sub)) in part.types.iter().enumerate() {
                @let name = if single { what(scope) } else { type_name(scope) };
                (tick(&format!("scope-{index}-{number}"), scope, &name, scope.resources().and_then(|own| own.query()), true))
                @if !sub.is_empty() {
                    div.narrower role="group" aria-label={ "Only parts of " (type_name(scope)) } {
                        @for (place, (scope, title)) in sub.iter().enumerate() {
                            (tick(&format!("scope-{index}-{number}-{place}"), scope, title, None, false))
                        }
                    }
                }
            }
            @if let Some(scope) = &part.wildcard {
                (tick(&format!("scope-{index}-all"), scope, "Every other kind of record (only together with all of the above)", None, true))
            }
            @if narrower { p.soft { "To allow only some categories, take away the tick of the kind and tick its categories." } }
        }
    }
}

fn tick(id: &str, scope: &Scope, name: &str, detail: Option<String>, ticked: bool) -> Markup {
    html! {
        div.choice {
            input type="checkbox" id=(id) name="scope" value=(scope.text()) checked[ticked];
            label for=(id) { (name) @if let Some(detail) = &detail { " " span.soft { (detail) } } }
        }
    }
}
