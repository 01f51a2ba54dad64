//! All routes, in one table.

/// A route, below the issuer's URL; [`Route::SmartConfiguration`] is below the FHIR base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `[base]/.well-known/smart-configuration`.
    SmartConfiguration,
    /// OpenID Connect Discovery section 4.
    OpenIdConfiguration,
    /// Our public keys (RFC 7517).
    Jwks,
    /// The style sheet of the pages.
    Style,
    /// `smart_style_url`.
    SmartStyle,
    /// RFC 6749 section 3.1.
    Authorize,
    /// The login page and its form.
    Login,
    /// The form that ends a session.
    Logout,
    /// The page to choose a patient or an encounter, and its form.
    Pick,
    /// The consent page and its form.
    Consent,
    /// RFC 6749 section 3.2.
    Token,
    /// RFC 7009.
    Revoke,
    /// RFC 7662.
    Introspect,
    /// RFC 7591; its body is JSON.
    Register,
    /// The page of what a user granted, and its form.
    Manage,
    /// Sends the browser to the identity provider.
    Upstream,
    /// Where the identity provider sends the browser back to.
    UpstreamReturn,
    /// The page from which a user opens an app for a patient (EHR launch), and its form.
    Apps,
    /// The page of apps, people and jobs, and its forms.
    Admin,
}

const GET: &[&str] = &["GET"];
const POST: &[&str] = &["POST"];
const BOTH: &[&str] = &["GET", "POST"];

/// Path, methods, and whether scripts of any origin may call it.
const TABLE: &[(Route, &str, &[&str], bool)] = &[
    (Route::SmartConfiguration, "/.well-known/smart-configuration", GET, true),
    (Route::OpenIdConfiguration, "/.well-known/openid-configuration", GET, true),
    (Route::Jwks, "/jwks", GET, true),
    (Route::Style, "/style.css", GET, false),
    (Route::SmartStyle, "/smart-style.json", GET, true),
    (Route::Authorize, "/authorize", BOTH, false),
    (Route::Login, "/login", BOTH, false),
    (Route::Logout, "/logout", POST, false),
    (Route::Pick, "/pick", BOTH, false),
    (Route::Consent, "/consent", BOTH, false),
    (Route::Token, "/token", POST, true),
    (Route::Revoke, "/revoke", POST, true),
    (Route::Introspect, "/introspect", POST, true),
    (Route::Register, "/register", POST, true),
    (Route::Manage, "/manage", BOTH, false),
    (Route::Apps, "/apps", BOTH, false),
    (Route::Admin, "/admin", BOTH, false),
    (Route::Upstream, "/upstream", GET, false),
    (Route::UpstreamReturn, "/upstream/return", GET, false),
];

impl Route {
    /// All routes.
    pub fn all() -> impl Iterator<Item = Route> {
        TABLE.iter().map(|(route, ..)| *route)
    }

    fn row(self) -> (&'static str, &'static [&'static str], bool) {
        let row = TABLE.iter().find(|(route, ..)| *route == self);
        row.map_or(("", GET, false), |(_, path, methods, cors)| (path, methods, *cors))
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        self.row().0
    }

    /// The methods that it takes.
    pub fn methods(self) -> &'static [&'static str] {
        self.row().1
    }

    /// Whether scripts of any origin may call it: then OPTIONS is answered with its methods and the headers
    /// `Authorization` and `Content-Type`.
    pub fn is_for_any_origin(self) -> bool {
        self.row().2
    }

    pub(super) fn takes(self, post: bool) -> bool {
        self.methods().contains(if post { &"POST" } else { &"GET" })
    }
}
