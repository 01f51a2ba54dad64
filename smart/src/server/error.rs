//! What fails, and how it is told: to apps as RFC 6749 section 5.2 says, to people as a page.

use serde_json::json;

use crate::jwt::SignError;
use crate::message::Reply;
use crate::secret::NoRandom;
use crate::storage::StorageError;

/// Something inside failed; for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The signing key.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The random numbers.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

/// An error of OAuth 2.0: its code, and a sentence in ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub error: &'static str,
    pub description: String,
}

impl Refusal {
    pub fn new(error: &'static str, description: impl Into<String>) -> Refusal {
        Refusal { status: 400, error, description: description.into() }
    }

    /// RFC 6749 section 5.2, `invalid_client`.
    pub fn client(description: &str) -> Refusal {
        Refusal { status: 401, error: "invalid_client", description: description.to_owned() }
    }

    pub fn reply(&self) -> Reply {
        let reply = oauth(self.status, self.error, &self.description).for_any_origin();
        if self.status == 401 { reply.with("WWW-Authenticate", "Basic realm=\"token\"") } else { reply }
    }
}

/// Either the caller is refused, or something inside failed.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(Refusal),
    Failed(ServerError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refused(refusal)
    }
}

impl From<ServerError> for Stop {
    fn from(error: ServerError) -> Stop {
        Stop::Failed(error)
    }
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Stop {
        Stop::Failed(error.into())
    }
}

impl From<SignError> for Stop {
    fn from(error: SignError) -> Stop {
        Stop::Failed(error.into())
    }
}

impl From<NoRandom> for Stop {
    fn from(error: NoRandom) -> Stop {
        Stop::Failed(error.into())
    }
}

pub(super) fn oauth(status: u16, error: &str, description: &str) -> Reply {
    let ascii: String = description.chars().map(printable).collect();
    Reply::json(status, json!({ "error": error, "error_description": ascii })).uncached()
}

/// RFC 6749 appendix A.8: what may stand in `error_description`.
fn printable(c: char) -> char {
    match c {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => c,
        _ => '?',
    }
}
