//! Media types, `urn:ietf:bcp:13` (RFC 6838 for names, RFC 2045 for parameters). Which subtypes are registered is not
//! looked at: anybody may have one of their own.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Result;
use crate::terminology::code_system::{Concept, Content, Description};

/// The top-level types (<https://www.iana.org/assignments/top-level-media-types>).
const TYPES: [&str; 12] = [
    "application",
    "audio",
    "chemical",
    "example",
    "font",
    "haptics",
    "image",
    "message",
    "model",
    "multipart",
    "text",
    "video",
];
/// What FHIR allows besides (<https://hl7.org/fhir/R4/capabilitystatement-definitions.html#CapabilityStatement.format>).
const SHORT: [&str; 3] = ["json", "ttl", "xml"];
/// Longest name of a type or subtype, bytes (RFC 6838, section 4.2).
const MAX_NAME: usize = 127;

pub(super) struct MediaTypes(Description);

impl MediaTypes {
    pub(super) fn new(description: Description) -> MediaTypes {
        MediaTypes(description)
    }
}

impl Content for MediaTypes {
    fn description(&self) -> &Description {
        &self.0
    }

    fn find(&self, code: &str) -> Result<Option<Arc<Concept>>> {
        Ok(is_media_type(code).then(|| Arc::new(super::concept(code, None))))
    }

    fn count(&self) -> Option<usize> {
        None
    }

    fn each(&self, _: &mut dyn FnMut(&Arc<Concept>) -> ControlFlow<()>) -> Result<()> {
        Ok(())
    }
}

fn is_media_type(text: &str) -> bool {
    let mut parts = text.split(';');
    let name = parts.next().unwrap_or_default().trim_end();
    if SHORT.contains(&name) && !text.contains(';') {
        return true;
    }
    let Some((kind, subtype)) = name.split_once('/') else { return false };
    let kind = kind.to_ascii_lowercase();
    (TYPES.contains(&kind.as_str()) || kind.strip_prefix("x-").is_some_and(is_name))
        && is_name(subtype)
        && parts.all(|parameter| is_parameter(parameter.trim()))
}

/// `restricted-name` of RFC 6838, and `*`, which FHIR's own examples use for "any".
fn is_name(name: &str) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_alphanumeric();
    let is_rest = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    name == "*"
        || (name.len() <= MAX_NAME
            && name.as_bytes().first().is_some_and(is_first)
            && name.bytes().all(is_rest))
}

/// `attribute=value`, the value a token or quoted.
fn is_parameter(parameter: &str) -> bool {
    let Some((attribute, value)) = parameter.split_once('=') else { return false };
    let is_token = |text: &str| {
        let special = b"()<>@,;:\\\"/[]?= \t";
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !special.contains(&byte))
    };
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    is_token(attribute) && (quoted.is_some_and(|value| !value.contains('"')) || is_token(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        let check = |text: &str, expected: bool| assert_eq!(is_media_type(text), expected, "{text}");
        for good in [
            "application/fhir+json",
            "text/plain; charset=utf-8",
            "text/cql;version=\"1.0\"",
            "image/*",
            "application/x-hl7",
            "x-world/x-3dmf",
            "Application/PDF",
            "xml",
        ] {
            check(good, true);
        }
        for bad in [
            "",
            "pdf",
            "application",
            "application/",
            "words/plain",
            "text/pl ain",
            "text/plain;charset",
            "a/b",
            "xml;a=b",
        ] {
            check(bad, false);
        }
    }
}
