//! The login page.

use maud::html;

use super::page;
use crate::message::Reply;
use crate::record::Pending;
use crate::server::AuthorizationServer;

/// What the page is about.
pub struct LoggingIn<'p> {
    pub secret: Option<&'p str>,
    pub pending: Option<&'p Pending>,
    pub csrf: &'p str,
    pub failed: bool,
    pub username: Option<&'p str>,
    pub path: String,
    /// What the identity provider is called, where there is one.
    pub upstream: Option<&'p str>,
    pub upstream_path: String,
}

/// The page. What is wrong is said in one sentence, whatever it is.
pub fn login(server: &AuthorizationServer, at: &LoggingIn<'_>) -> Reply {
    let content = html! {
        @match at.pending {
            Some(pending) => p { strong { (pending.client_name) } " asks for access to health records. Log in to go on." },
            None => p { "Log in to see which apps have access." },
        }
        @if at.failed {
            p.error role="alert" id="wrong" {
                "That did not work. Check the user name, the password and the one-time code; after several failures, wait a few minutes."
            }
        }
        form method="post" action=(at.path) {
            input type="hidden" name="csrf" value=(at.csrf);
            @if let Some(secret) = at.secret { input type="hidden" name="request" value=(secret); }
            label for="username" { "User name" }
            input type="text" id="username" name="username" value=[at.username] autocomplete="username" autocapitalize="none"
                spellcheck="false" maxlength="256" required autofocus[!at.failed] aria-describedby=[at.failed.then_some("wrong")];
            label for="password" { "Password" }
            input type="password" id="password" name="password" autocomplete="current-password" maxlength="512" required
                autofocus[at.failed] aria-describedby=[at.failed.then_some("wrong")];
            label for="code" { "One-time code " span.soft { "(if your account uses one)" } }
            input type="text" id="code" name="code" autocomplete="one-time-code" inputmode="numeric" maxlength="8";
            div.actions { button type="submit" { "Log in" } }
        }
        @if let Some(name) = at.upstream {
            @let query = at.secret.map(|secret| format!("?request={secret}")).unwrap_or_default();
            p.or { "or" }
            p { a.button href={ (at.upstream_path) (query) } { "Sign in with " (name) } }
        }
    };
    let redirect_uri = at.pending.map(|pending| pending.redirect_uri.as_str());
    page(server, 200, "Log in", redirect_uri, &content)
}
