//! Pages for people: plain forms that work without scripts, one style sheet, everything from outside escaped. Each answers with
//! headers that let nobody frame it, and lets its forms go nowhere but here and, over here, to the app that asked.

mod admin;
mod apps;
mod consent;
mod login;
mod manage;
mod names;
mod pick;

use maud::{DOCTYPE, Markup, html};
use serde_json::json;
use url::Url;

use crate::message::{Body, Reply};
use crate::server::{AuthorizationServer, Route};

pub use admin::{Administering, Told, administer};
pub use apps::{Opening, Picked, apps};
pub use consent::{Consenting, consent};
pub use login::{LoggingIn, login};
pub use manage::{Managing, manage};
pub use pick::{Picking, pick};

const STYLE: &str = include_str!("style.css");

/// The style sheet.
pub fn style() -> Reply {
    Reply { status: 200, headers: Vec::new(), body: Body::Css(STYLE) }
        .with("Cache-Control", "public, max-age=3600")
        .with("X-Content-Type-Options", "nosniff")
}

/// What `smart_style_url` answers: the look of our own pages
/// (<https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#styling>).
pub fn smart_style() -> Reply {
    let style = json!({
        "color_background": "#ffffff",
        "color_error": "#b3261e",
        "color_highlight": "#0b5cad",
        "color_modal_backdrop": "#1d2430",
        "color_success": "#1a6b3c",
        "color_text": "#1d2430",
        "dim_border_radius": "6px",
        "dim_font_size": "16px",
        "dim_spacing_size": "16px",
        "font_family_body": "system-ui, sans-serif",
        "font_family_heading": "system-ui, sans-serif",
    });
    Reply::json(200, style).with("Cache-Control", "public, max-age=3600").for_any_origin()
}

/// A page of a title and a content. `redirect_uri` is where its forms may end up, beside this server.
fn page(
    server: &AuthorizationServer,
    status: u16,
    title: &str,
    redirect_uri: Option<&str>,
    content: &Markup,
) -> Reply {
    let style = format!("{}{}", server.config().issuer, Route::Style.path());
    let style = Url::parse(&style).map_or(style, |url| url.path().to_owned());
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Vesta" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href=(style);
            }
            body {
                header { span.brand { "Vesta" } }
                main { h1 { (title) } (content) }
            }
        }
    };
    let targets = redirect_uri.and_then(form_target).map_or_else(String::new, |target| format!(" {target}"));
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'{targets}; frame-ancestors 'none'; base-uri 'none'"
    );
    Reply { status, headers: Vec::new(), body: Body::Html(markup.into_string()) }
        .with("Content-Security-Policy", policy)
        .with("X-Frame-Options", "DENY")
        .with("X-Content-Type-Options", "nosniff")
        .with("Referrer-Policy", "no-referrer")
        .uncached()
}

/// Browsers hold a form's redirects to `form-action` too: the origin of the app, or its scheme.
fn form_target(redirect_uri: &str) -> Option<String> {
    let url = Url::parse(redirect_uri).ok()?;
    let origin = url.origin();
    Some(if origin.is_tuple() { origin.ascii_serialization() } else { format!("{}:", url.scheme()) })
}

/// Something that cannot go on, told to the person at the browser.
pub fn refusal(server: &AuthorizationServer, status: u16, title: &str, sentence: &str) -> Reply {
    let content = html! {
        p role="alert" { (sentence) }
        p.soft { "Close this page and start again from the app. If that does not help, tell the makers of the app what is said here." }
    };
    page(server, status, title, None, &content)
}

/// An authorization that is over, or of another browser.
pub fn lost(server: &AuthorizationServer) -> Reply {
    refusal(
        server,
        400,
        "This page has expired",
        "There is no such request, or it was begun in another browser.",
    )
}

/// Whoever came back from the identity provider, or could not be sent there, with what is wrong.
pub fn not_signed_in(
    server: &AuthorizationServer,
    name: &str,
    secret: Option<&str>,
    sentence: &str,
) -> Reply {
    let login = format!("{}{}", server.config().path(), Route::Login.path());
    let query = secret.map(|secret| format!("?request={secret}")).unwrap_or_default();
    let content = html! {
        p { "You are not logged in: signing in with " (name) " did not work." }
        p.error role="alert" { (sentence) }
        p { a href={ (login) (query) } { "Back to the login page" } }
    };
    page(server, 403, "Not signed in", None, &content)
}

/// Signing in elsewhere, where there is nowhere else.
pub fn no_upstream(server: &AuthorizationServer) -> Reply {
    refusal(
        server,
        404,
        "No such page",
        "People log in here with a password; no identity provider is set up.",
    )
}

/// A form that did not come from our page.
pub fn forged(server: &AuthorizationServer) -> Reply {
    refusal(server, 403, "This form has expired", "The form did not come from a page of this session.")
}
