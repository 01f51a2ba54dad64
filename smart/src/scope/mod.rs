//! SMART scopes, version 1 and 2 (<https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html>): what one
//! scope says. Knows nothing of clients, users or tokens.

mod narrow;
mod parse;
mod set;
#[cfg(test)]
mod tests;

use std::fmt;

pub use parse::ScopeError;
pub use set::{ScopeSet, Unread};

/// The longest text of scopes that is read, in bytes.
pub const MAX_SCOPE_LENGTH: usize = 16 * 1024;
/// The most scopes that one request may name.
pub const MAX_SCOPES: usize = 500;

/// One scope, with the text it was asked for by: tokens give back that text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    text: Box<str>,
    meaning: Meaning,
}

/// What a scope asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// `launch`: the context of an EHR launch.
    Launch,
    /// `launch/patient`: a patient, chosen by the user if need be.
    LaunchPatient,
    /// `launch/encounter`: an encounter, chosen by the user if need be.
    LaunchEncounter,
    /// `openid`: an id_token.
    OpenId,
    /// `fhirUser`: the user's own resource, as a claim and to be read.
    FhirUser,
    /// `profile`: the user's name as a claim.
    Profile,
    /// `offline_access`: a refresh token that outlives the session.
    OfflineAccess,
    /// `online_access`: a refresh token for as long as the session lasts.
    OnlineAccess,
    /// Resources.
    Resources(ResourceScope),
}

/// `patient/Observation.rs?category=..|laboratory`, in parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceScope {
    /// Before the slash.
    pub level: Level,
    /// `None` is `*`.
    pub resource_type: Option<Box<str>>,
    /// After the dot.
    pub permissions: Permissions,
    /// After the question mark: search parameters that all must hold, decoded, sorted.
    pub filter: Filter,
}

/// Names and values of search parameters.
pub type Filter = Vec<(Box<str>, Box<str>)>;

/// Whose records a scope is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Those of the patient in context.
    Patient,
    /// Those that the user may see.
    User,
    /// Those that the client may see by itself.
    System,
}

impl Level {
    /// `patient`, `user`, `system`.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Patient => "patient",
            Level::User => "user",
            Level::System => "system",
        }
    }
}

/// A set of the letters `cruds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permissions(u8);

impl Permissions {
    /// `c`.
    pub const CREATE: Permissions = Permissions(1);
    /// `r`.
    pub const READ: Permissions = Permissions(2);
    /// `u`.
    pub const UPDATE: Permissions = Permissions(4);
    /// `d`.
    pub const DELETE: Permissions = Permissions(8);
    /// `s`.
    pub const SEARCH: Permissions = Permissions(16);
    /// What version 1 calls `read`: `rs`.
    pub const V1_READ: Permissions = Permissions(2 | 16);
    /// What version 1 calls `write`: `cud`.
    pub const V1_WRITE: Permissions = Permissions(1 | 4 | 8);
    /// `cruds`, in version 1 `*`.
    pub const ALL: Permissions = Permissions(31);
    const LETTERS: [(Permissions, char); 5] = [
        (Permissions::CREATE, 'c'),
        (Permissions::READ, 'r'),
        (Permissions::UPDATE, 'u'),
        (Permissions::DELETE, 'd'),
        (Permissions::SEARCH, 's'),
    ];

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Permissions) -> Permissions {
        Permissions(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub fn or(self, other: Permissions) -> Permissions {
        Permissions(self.0 | other.0)
    }

    /// Whether all of the other are in this one.
    pub fn contains(self, other: Permissions) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it permits nothing.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (permission, letter) in Permissions::LETTERS {
            if self.contains(permission) {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

impl Scope {
    /// As it was asked for.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    pub fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// The resources it is about, if it is about any.
    pub fn resources(&self) -> Option<&ResourceScope> {
        match &self.meaning {
            Meaning::Resources(scope) => Some(scope),
            _ => None,
        }
    }

    /// Whether it was written as version 1 writes it (`.read`, `.write`, `.*`).
    pub fn is_v1(&self) -> bool {
        let end = self.text.split('?').next().and_then(|scope| scope.rsplit('.').next());
        self.resources().is_some() && matches!(end, Some("read" | "write" | "*"))
    }
}

impl From<ResourceScope> for Scope {
    /// Written as version 2 writes it.
    fn from(scope: ResourceScope) -> Scope {
        Scope { text: scope.to_string().into(), meaning: Meaning::Resources(scope) }
    }
}

impl ResourceScope {
    /// The filter as a query string, `None` where there is none.
    pub fn query(&self) -> Option<String> {
        (!self.filter.is_empty()).then(|| {
            let pairs =
                self.filter.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
            pairs.collect::<Vec<_>>().join("&")
        })
    }
}

impl fmt::Display for ResourceScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource_type = self.resource_type.as_deref().unwrap_or("*");
        write!(f, "{}/{resource_type}.{}", self.level.as_str(), self.permissions)?;
        match self.query() {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

/// Percent-encodes what would end a value, or may not stand in a scope (RFC 6749 appendix A.4).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'&' | b'=' | b'%' | b'+' | b'"' | b'\\' | b'#' | 0..=b' ' | 127..=255 => {
                out.push_str(&format!("%{byte:02X}"));
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}
