//! The page of what a user granted.

use maud::html;

use super::page;
use crate::message::Reply;
use crate::record::SessionUser;
use crate::server::{AuthorizationServer, Granted};

/// What the page is about.
pub struct Managing<'p> {
    pub user: &'p SessionUser,
    pub csrf: &'p str,
    pub granted: &'p [Granted],
    pub revoked: bool,
    pub path: String,
    pub logout: String,
    pub apps: String,
    /// Where the user administers the server, if they may.
    pub admin: Option<String>,
}

/// The page.
pub fn manage(server: &AuthorizationServer, at: &Managing<'_>) -> Reply {
    let content = html! {
        p { "You are logged in as " (at.user.name) "." }
        @if at.revoked { p role="status" { "The app has no access any more." } }
        @if at.granted.is_empty() {
            p { "No app has access through you." }
        } @else {
            ul.grants {
                @for granted in at.granted {
                    li {
                        h2 { (granted.client_name) }
                        @if let Some(name) = &granted.patient_name { p { "Records of " (name) } }
                        p.soft { "Since " (date(granted.granted_s)) }
                        details {
                            summary { "What it may do" }
                            ul { @for scope in granted.scopes.split(' ') { li { code { (scope) } } } }
                        }
                        form method="post" action=(at.path) {
                            input type="hidden" name="csrf" value=(at.csrf);
                            input type="hidden" name="grant" value=(granted.id);
                            button.second type="submit" aria-label={ "Take back access from " (granted.client_name) } { "Take back" }
                        }
                    }
                }
            }
        }
        p { a href=(at.apps) { "Open an app for a patient" } }
        @if let Some(admin) = &at.admin { p { a href=(admin) { "Administration" } } }
        form method="post" action=(at.logout) {
            input type="hidden" name="csrf" value=(at.csrf);
            div.actions { button.second type="submit" { "Log out" } }
        }
    };
    page(server, 200, "Apps with access", None, &content)
}

/// The day of a time in UTC, `2026-11-22` (from days of the proleptic Gregorian calendar, counted from March).
pub(super) fn date(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_795_305_599, "2026-11-21"),
            (-1, "1969-12-31"),
        ] {
            assert_eq!(date(seconds), day);
        }
    }
}
