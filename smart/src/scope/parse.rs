//! Reads the text of scopes.

use super::{Filter, Level, MAX_SCOPE_LENGTH, Meaning, Permissions, ResourceScope, Scope};

/// Why a text is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Over [`MAX_SCOPE_LENGTH`] or [`super::MAX_SCOPES`].
    #[error("too many scopes: at most {} of {MAX_SCOPE_LENGTH} bytes are read", super::MAX_SCOPES)]
    TooLong,
    /// None that is known.
    #[error("the scope is not known")]
    Unknown,
    /// No letters of `cruds` in that order, nor `read`, `write`, `*`.
    #[error("what is permitted must be letters of 'cruds' in that order, or 'read', 'write' or '*'")]
    Permissions,
    /// No name of a type, nor `*`.
    #[error("a resource type, or '*', must follow the slash")]
    ResourceType,
    /// The query is not one of search parameters.
    #[error("a query in a scope has search parameters only, each with a value")]
    Filter,
}

/// Search parameters that say how to answer, not what to find; none of them restricts anything.
const RESULT_PARAMETERS: &[&str] = &[
    "_contained",
    "_containedType",
    "_count",
    "_cursor",
    "_elements",
    "_format",
    "_include",
    "_pretty",
    "_revinclude",
    "_sort",
    "_summary",
    "_total",
];

impl std::str::FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Scope, ScopeError> {
        if text.len() > MAX_SCOPE_LENGTH {
            return Err(ScopeError::TooLong);
        }
        // RFC 6749 appendix A.4.
        if !text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
            return Err(ScopeError::Unknown);
        }
        let meaning = match text {
            "launch" => Meaning::Launch,
            "launch/patient" => Meaning::LaunchPatient,
            "launch/encounter" => Meaning::LaunchEncounter,
            "openid" => Meaning::OpenId,
            "fhirUser" => Meaning::FhirUser,
            "profile" => Meaning::Profile,
            "offline_access" => Meaning::OfflineAccess,
            "online_access" => Meaning::OnlineAccess,
            _ => Meaning::Resources(resources(text)?),
        };
        Ok(Scope { text: text.into(), meaning })
    }
}

fn resources(text: &str) -> Result<ResourceScope, ScopeError> {
    let (level, rest) = text.split_once('/').ok_or(ScopeError::Unknown)?;
    let level = match level {
        "patient" => Level::Patient,
        "user" => Level::User,
        "system" => Level::System,
        _ => return Err(ScopeError::Unknown),
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (resource_type, letters) = rest.split_once('.').ok_or(ScopeError::Permissions)?;
    let resource_type = match resource_type {
        "*" => None,
        name if is_type_name(name) => Some(name.into()),
        _ => return Err(ScopeError::ResourceType),
    };
    let filter = query.map(filter).transpose()?.unwrap_or_default();
    Ok(ResourceScope { level, resource_type, permissions: permissions(letters)?, filter })
}

fn is_type_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn permissions(letters: &str) -> Result<Permissions, ScopeError> {
    match letters {
        "read" => return Ok(Permissions::V1_READ),
        "write" => return Ok(Permissions::V1_WRITE),
        "*" => return Ok(Permissions::ALL),
        _ => {}
    }
    let mut found = Permissions(0);
    let mut left = letters;
    for (permission, letter) in Permissions::LETTERS {
        if let Some(rest) = left.strip_prefix(letter) {
            found = found.or(permission);
            left = rest;
        }
    }
    if found.is_empty() || !left.is_empty() { Err(ScopeError::Permissions) } else { Ok(found) }
}

fn filter(query: &str) -> Result<Filter, ScopeError> {
    let mut pairs = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').ok_or(ScopeError::Filter)?;
        let (name, value) = (decoded(name)?, decoded(value)?);
        let bare = name.split([':', '.']).next().unwrap_or_default();
        if bare.is_empty() || value.is_empty() || RESULT_PARAMETERS.contains(&bare) {
            return Err(ScopeError::Filter);
        }
        pairs.push((name.into_boxed_str(), value.into_boxed_str()));
    }
    pairs.sort();
    pairs.dedup();
    Ok(pairs)
}

/// Percent-decoding; `+` stays what it is, since a scope has no spaces to encode.
fn decoded(text: &str) -> Result<String, ScopeError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(ScopeError::Filter) };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| ScopeError::Filter)?);
    }
    let text = String::from_utf8(bytes).map_err(|_| ScopeError::Filter)?;
    if text.chars().any(char::is_control) { Err(ScopeError::Filter) } else { Ok(text) }
}
