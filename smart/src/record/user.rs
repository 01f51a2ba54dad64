//! A person who logs in.

use serde::{Deserialize, Serialize};

use crate::storage::{EVERYONE, Stored, Table};

/// A person who logs in, with the FHIR resource that stands for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// `sub`: never given to another person, at most 255 characters.
    pub sub: String,
    /// What is typed at the login; compared in lower case.
    pub username: String,
    /// Argon2id in PHC form (`password::hash`).
    pub password_hash: String,
    /// The secret of RFC 6238 in base32, if a one-time code is asked for.
    pub totp_secret: Option<String>,
    /// What the pages greet them by.
    pub name: String,
    /// `Patient/1`, `Practitioner/2`, `RelatedPerson/3` or `Person/4`.
    pub fhir_user: String,
    /// Whether they may log in.
    pub enabled: bool,
    /// What links them with a person at the identity provider ([`crate::AuthorizationServer::upstream_link`]).
    #[serde(default)]
    pub upstream: Option<String>,
    /// The name of the policy that all tokens of theirs are held to.
    #[serde(default)]
    pub policy: Option<String>,
    /// Whether the page of apps, people and jobs is theirs.
    #[serde(default)]
    pub administrator: bool,
}

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionUser {
    /// [`User::sub`].
    pub sub: String,
    /// [`User::username`].
    pub username: String,
    /// [`User::name`].
    pub name: String,
    /// [`User::fhir_user`].
    pub fhir_user: String,
}

impl User {
    /// The key that a user name is kept under.
    pub(crate) fn key(username: &str) -> String {
        username.trim().to_lowercase()
    }

    /// The group of all accounts that have a link.
    pub(crate) fn of_link(link: &str) -> String {
        format!("upstream:{link}")
    }

    pub(crate) fn session_user(&self) -> SessionUser {
        SessionUser {
            sub: self.sub.clone(),
            username: self.username.clone(),
            name: self.name.clone(),
            fhir_user: self.fhir_user.clone(),
        }
    }
}

impl Stored for User {
    const TABLE: Table = Table::User;

    fn groups(&self) -> Vec<String> {
        let link = self.upstream.as_deref().map(User::of_link);
        [EVERYONE.to_owned()].into_iter().chain(link).collect()
    }
}
