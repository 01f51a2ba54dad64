//! What a literal reference points to (<https://hl7.org/fhir/R4/references.html#literal>): the one form in which
//! targets are stored and asked for. Resolves nothing.

use fhirpath::Schema;
use fhirpath::primitive::is_id;

/// The target of a literal reference as [`store::Value::Reference`] has it.
///
/// `Type/id` for a relative reference and for an absolute one below one of `bases`, without its version; any
/// other absolute URL, `urn:` included, as it stands. `None` for what names no resource outside its own: a contained
/// one (`#x`), a conditional reference, a text that is no reference at all.
pub(crate) fn target<'a>(schema: &Schema, bases: &[String], text: &'a str) -> Option<&'a str> {
    for base in bases {
        let below = text.strip_prefix(base.as_str()).and_then(|rest| rest.strip_prefix('/'));
        if let Some(local) = below.and_then(|rest| local(schema, rest)) {
            return Some(local);
        }
    }
    if is_absolute(text) { Some(text) } else { local(schema, text) }
}

/// The `Type/id` that `Type/id[/_history/version]` begins with.
fn local<'a>(schema: &Schema, text: &'a str) -> Option<&'a str> {
    let (resource_type, rest) = text.split_once('/')?;
    let (id, version) = match rest.split_once('/') {
        Some((id, version)) => (id, Some(version)),
        None => (rest, None),
    };
    let versioned = version.is_none_or(|v| v.strip_prefix("_history/").is_some_and(is_id));
    if !versioned || !is_id(id) || !schema.is_resource(resource_type) {
        return None;
    }
    text.get(..resource_type.len() + 1 + id.len())
}

/// Whether a text begins with a URI's scheme.
pub(crate) fn is_absolute(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    })
}
