//! What lives between the pages of one authorization.

use serde::{Deserialize, Serialize};

use super::{Grant, LaunchContext, SessionUser};
use crate::storage::{Stored, Table};

/// A browser. The cookie has the secret, the key is its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// What forms must bring back.
    pub csrf: String,
    pub user: Option<SessionUser>,
    /// When the user gave the password.
    pub authenticated_s: i64,
    pub expires_s: i64,
}

/// An authorization request whose client, redirect URI and audience are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub client_id: String,
    pub client_name: String,
    pub redirect_uri: String,
    pub state: String,
    /// Already narrowed to what the client may have.
    pub scopes: String,
    pub nonce: Option<String>,
    pub challenge: String,
    pub login_hint: Option<String>,
    /// The user must have logged in no earlier than that.
    pub login_after_s: i64,
    /// The digest of the browser's session: no other browser may go on with it.
    pub session: String,
    /// The digest of the launch, if it is an EHR launch.
    pub launch: Option<String>,
    pub launch_user: Option<String>,
    pub context: LaunchContext,
    pub patient_name: Option<String>,
    pub expires_s: i64,
}

/// An authorization code with what it is exchanged for. One that was used is kept, so that its second use is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Code {
    pub redirect_uri: String,
    pub challenge: String,
    pub nonce: Option<String>,
    pub authenticated_s: i64,
    pub grant_id: String,
    pub grant: Grant,
    pub used: bool,
    pub expires_s: i64,
}

/// Something that counts only once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Used {
    pub expires_s: i64,
}

/// A browser that was sent to the identity provider. Nonce, verifier and the authorization that it goes on with are worth nothing
/// without the cookie of the session, of which only the digest is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SigningIn {
    /// The digest of the browser's session: no other browser may come back.
    pub session: String,
    /// The authorization that the browser is in the middle of.
    pub request: Option<String>,
    pub nonce: String,
    /// Of PKCE.
    pub verifier: String,
    pub expires_s: i64,
}

/// Failed logins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failures {
    pub count: u32,
    pub locked_until_s: i64,
    pub expires_s: i64,
}

macro_rules! expiring {
    ($($record:ty => $table:expr,)*) => {$(
        impl Stored for $record {
            const TABLE: Table = $table;

            fn expires_s(&self) -> Option<i64> {
                Some(self.expires_s)
            }
        }
    )*};
}

impl Session {
    /// The group of all sessions of a user.
    pub fn of_user(sub: &str) -> String {
        format!("user:{sub}")
    }
}

impl Stored for Session {
    const TABLE: Table = Table::Session;

    fn groups(&self) -> Vec<String> {
        self.user.iter().map(|user| Session::of_user(&user.sub)).collect()
    }

    fn expires_s(&self) -> Option<i64> {
        Some(self.expires_s)
    }
}

impl Stored for Code {
    const TABLE: Table = Table::Code;

    fn groups(&self) -> Vec<String> {
        vec![Grant::of_user(&self.grant.user.sub), Grant::of_client(&self.grant.client_id)]
    }

    fn expires_s(&self) -> Option<i64> {
        Some(self.expires_s)
    }
}

expiring! {
    Pending => Table::Pending,
    Used => Table::Used,
    Failures => Table::Failures,
    SigningIn => Table::SigningIn,
}
