//! The page of administrators.

use maud::{Markup, html};

use super::manage::date;
use super::page;
use crate::message::{Reply, Request};
use crate::record::{Authentication, Client, SessionUser, User};
use crate::server::AuthorizationServer;
use crate::services::Job;

/// What became of what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It was done: a sentence.
    Done(String),
    /// It was not: a sentence.
    Refused(String),
    /// An app was registered, and has a secret that is told once.
    Secret {
        /// `client_id`.
        id: String,
        /// It.
        secret: String,
    },
}

/// What the page is about.
pub struct Administering<'p> {
    pub user: &'p SessionUser,
    pub csrf: &'p str,
    pub told: Option<Told>,
    /// What was typed before.
    pub typed: Option<&'p Request>,
    pub clients: &'p [Client],
    pub users: &'p [User],
    pub jobs: &'p [Job],
    pub path: String,
    pub manage: String,
}

/// The page.
pub fn administer(server: &AuthorizationServer, at: &Administering<'_>) -> Reply {
    let content = html! {
        p { "You are logged in as " (at.user.name) ". " a href=(at.manage) { "Apps with access to you" } }
        @match &at.told {
            None => {}
            Some(Told::Done(sentence)) => p role="status" { (sentence) },
            Some(Told::Refused(sentence)) => p.error role="alert" { (sentence) },
            Some(Told::Secret { id, secret }) => p role="status" {
                "The app " code { (id) } " is registered. Its secret, which is not shown again: " code { (secret) }
            },
        }
        h2 { "Apps" }
        @if at.clients.is_empty() { p { "None is registered." } }
        ul.grants { @for client in at.clients { li { (at.client(client)) } } }
        (at.registering())
        h2 { "People" }
        @if at.users.is_empty() { p { "Nobody can log in." } }
        ul.grants { @for user in at.users { li { (at.person(user)) } } }
        h2 { "Exports and imports" }
        @if at.jobs.is_empty() { p { "There are none." } }
        ul.grants { @for job in at.jobs { li { (at.job(job)) } } }
    };
    page(server, 200, "Administration", None, &content)
}

impl Administering<'_> {
    fn client(&self, client: &Client) -> Markup {
        let how = match &client.authentication {
            Authentication::Public => "public",
            Authentication::Secret(_) => "with a secret",
            Authentication::Keys(_) | Authentication::KeysAt(_) => "with keys",
        };
        html! {
            h3 { (client.name) }
            p.soft {
                code { (client.id) } ", " (how)
                @if client.backend { ", a backend service" }
                @if let Some(policy) = &client.policy { ", held to the policy " (policy) }
                @if !client.enabled { ", " strong { "disabled" } }
            }
            details {
                summary { "What it may ask for" }
                ul { @for scope in client.scopes.split_whitespace() { li { code { (scope) } } } }
                @if !client.redirect_uris.is_empty() {
                    p { "Codes are sent to:" }
                    ul { @for uri in &client.redirect_uris { li { code { (uri) } } } }
                }
            }
            div.actions {
                @if client.enabled {
                    (self.order("disable-client", &client.id, "Disable", &client.name))
                } @else {
                    (self.order("enable-client", &client.id, "Enable", &client.name))
                }
                (self.order("remove-client", &client.id, "Remove", &client.name))
            }
        }
    }

    fn person(&self, user: &User) -> Markup {
        html! {
            h3 { (user.name) }
            p.soft {
                code { (user.username) } ", " (user.fhir_user)
                @if user.administrator { ", administrator" }
                @if let Some(policy) = &user.policy { ", held to the policy " (policy) }
                @if !user.enabled { ", " strong { "disabled" } }
            }
            @if user.sub != self.user.sub {
                @if user.enabled {
                    (self.order("disable-user", &user.username, "Disable", &user.name))
                } @else {
                    (self.order("enable-user", &user.username, "Enable", &user.name))
                }
            }
        }
    }

    fn job(&self, job: &Job) -> Markup {
        let what = if job.is_active { "Cancel" } else { "Remove" };
        html! {
            h3 { (job.state) }
            p.soft { "Since " (date(job.begun_s)) @if !job.owner.is_empty() { ", for " (job.owner) } }
            p { code { (job.url) } }
            (self.order("cancel-job", &job.id, what, &job.state))
        }
    }

    /// A form of one button. Many have the same word on them: a screen reader says of what.
    fn order(&self, order: &str, of: &str, word: &str, name: &str) -> Markup {
        html! {
            form method="post" action=(self.path) {
                input type="hidden" name="csrf" value=(self.csrf);
                input type="hidden" name="order" value=(order);
                input type="hidden" name="of" value=(of);
                button.second type="submit" aria-label={ (word) " " (name) } { (word) }
            }
        }
    }

    fn registering(&self) -> Markup {
        let typed = |name: &str| self.typed.and_then(|request| request.get(name));
        let was_tried = typed("order") == Some("register");
        let how = typed("how").unwrap_or("public");
        let ways = [
            ("public", "It cannot keep a secret: PKCE alone"),
            ("secret", "By a secret, which is made now and shown once"),
            ("keys", "By keys that it publishes"),
        ];
        html! {
            details open[was_tried] {
                summary { "Register an app" }
                form method="post" action=(self.path) {
                    input type="hidden" name="csrf" value=(self.csrf);
                    input type="hidden" name="order" value="register";
                    label for="id" { "client_id" }
                    input type="text" id="id" name="id" value=[typed("id")] maxlength="200" required autocapitalize="none" spellcheck="false";
                    label for="name" { "What people read when they are asked for access" }
                    input type="text" id="name" name="name" value=[typed("name")] maxlength="200" required;
                    label for="redirect_uris" { "Where codes are sent, one address on each line" }
                    textarea id="redirect_uris" name="redirect_uris" rows="2" spellcheck="false" { (typed("redirect_uris").unwrap_or_default()) }
                    label for="launch_uri" { "Where it is opened for a patient " span.soft { "(if it is)" } }
                    input type="text" id="launch_uri" name="launch_uri" value=[typed("launch_uri")] maxlength="2000" spellcheck="false";
                    label for="scopes" { "All scopes that it may ever have" }
                    textarea id="scopes" name="scopes" rows="3" required spellcheck="false" { (typed("scopes").unwrap_or_default()) }
                    fieldset {
                        legend { "How it proves who it is" }
                        @for (value, sentence) in ways {
                            div.choice {
                                input type="radio" id={ "how-" (value) } name="how" value=(value) checked[value == how];
                                label for={ "how-" (value) } { (sentence) }
                            }
                        }
                        label for="jwks_url" { "Address of its keys " span.soft { "(a JSON Web Key Set)" } }
                        input type="text" id="jwks_url" name="jwks_url" value=[typed("jwks_url")] maxlength="2000" spellcheck="false";
                    }
                    div.choice {
                        input type="checkbox" id="backend" name="backend" value="yes" checked[typed("backend").is_some()];
                        label for="backend" { "It gets tokens of its own, for system/ scopes; it needs keys" }
                    }
                    div.actions { button type="submit" { "Register" } }
                }
            }
        }
    }
}
