//! What the authorization server did, for the audit log. Texts that came from outside are cleaned before they are told.

/// The longest text from outside that an event has, in characters.
const MAX_TEXT: usize = 200;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// Why it failed, `None` if it did not.
    pub failure: Option<String>,
    /// The client, as it called itself.
    pub client: Option<String>,
    /// The user, as typed at a login.
    pub user: Option<String>,
    /// The id of the patient in context.
    pub patient: Option<String>,
    /// What an administrator asked for, `disable-client my-app`.
    pub order: Option<String>,
    /// Where the request came from.
    pub address: String,
    /// When, in seconds of the Unix epoch.
    pub at_s: i64,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// An app asked for authorization.
    Authorize,
    /// A user gave a password.
    Login,
    /// A user logged out.
    Logout,
    /// A user allowed or refused an app.
    Consent,
    /// A token was asked for.
    Token,
    /// A code or a refresh token came a second time; what stood on it is revoked.
    Replay,
    /// A token or a grant was revoked.
    Revoke,
    /// A token was asked about.
    Introspect,
    /// A client registered itself.
    Register,
    /// An EHR launch was prepared.
    Launch,
    /// An administrator changed what apps, people or jobs may do.
    Administer,
}

/// Takes events; it must neither wait nor fail.
pub trait Events: Send + Sync {
    /// Takes one.
    fn record(&self, event: Event);
}

/// A text from outside that cannot pretend to be more than one: no control characters, no direction marks, not long.
pub fn cleaned(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().take(MAX_TEXT).map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_from_outside_begins_a_line_or_turns_it() {
        assert_eq!(cleaned("ann\r\n2026 login bob ok"), "ann\u{fffd}\u{fffd}2026 login bob ok");
        assert_eq!(cleaned("a\u{1b}[31mb\u{202e}c\u{2028}d\0"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(cleaned(&"é".repeat(1000)).chars().count(), MAX_TEXT);
        assert_eq!(cleaned("Zoë O'Brien"), "Zoë O'Brien");
    }
}
