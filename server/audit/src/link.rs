//! The extension that makes AuditEvents a chain, and the hash it is made of.

use std::fmt;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// The URL of the extension.
pub const EXTENSION: &str = "https://github.com/vesta-fhir/vesta/StructureDefinition/audit-chain";

/// The deepest nesting that is hashed; our own records have half of it.
const MAX_DEPTH: usize = 24;
/// Digits of a sequence number, so that ids sort as numbers do.
pub(crate) const DIGITS: usize = 12;

/// A SHA-256; its text is hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first record of a chain follows.
    pub(crate) const ZERO: Hash = Hash([0; 32]);

    /// Of its text.
    pub(crate) fn parse(text: &str) -> Option<Hash> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Hash(bytes))
    }

    /// Of a record that follows another.
    pub(crate) fn of(previous: Hash, record: &Value) -> Option<Hash> {
        let mut text = Vec::with_capacity(2048);
        canonical(record, &mut text, 0)?;
        Some(Hash(Sha256::new().chain_update(previous.0).chain_update(&text).finalize().into()))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which record: a chain and a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub chain: String,
    pub sequence: u64,
}

impl Place {
    /// The id of the record.
    pub(crate) fn id(&self) -> String {
        format!("{}-{:0DIGITS$}", self.chain, self.sequence)
    }

    /// Of an id of that form.
    pub(crate) fn of_id(id: &str) -> Option<Place> {
        let (chain, digits) = id.rsplit_once('-')?;
        let sequence = sequence(digits)?;
        is_chain(chain).then(|| Place { chain: chain.to_owned(), sequence })
    }
}

/// Whether a text names a chain: a UUID without hyphens.
fn is_chain(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn sequence(digits: &str) -> Option<u64> {
    (digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The extension, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub place: Place,
    pub previous: Hash,
    pub hash: Hash,
    pub checkpoint: Option<String>,
}

/// The parts of the extension that are hashed.
pub(crate) fn hashed_parts(place: &Place, previous: Hash) -> Vec<Value> {
    vec![
        json!({ "url": "chain", "valueId": place.chain }),
        json!({ "url": "sequence", "valueString": format!("{:0DIGITS$}", place.sequence) }),
        json!({ "url": "previous", "valueString": previous.to_string() }),
    ]
}

impl Link {
    /// Of a record; `None` if it has no such extension, or not in the one form that is written.
    pub(crate) fn of(record: &Map<String, Value>) -> Option<Link> {
        let [extension] = record.get("extension")?.as_array()?.as_slice() else { return None };
        if extension.get("url")?.as_str()? != EXTENSION {
            return None;
        }
        let parts = extension.get("extension")?.as_array()?;
        let text = |at: usize, url: &str, name: &str| {
            let part = parts.get(at)?;
            (part.get("url")?.as_str()? == url).then(|| part.get(name)?.as_str())?
        };
        let chain = text(0, "chain", "valueId").filter(|chain| is_chain(chain))?.to_owned();
        let place = Place { chain, sequence: sequence(text(1, "sequence", "valueString")?)? };
        let previous = Hash::parse(text(2, "previous", "valueString")?)?;
        let hash = Hash::parse(text(3, "hash", "valueString")?)?;
        let checkpoint = match parts.len() {
            4 => None,
            5 => Some(text(4, "checkpoint", "valueString")?.to_owned()),
            _ => return None,
        };
        Some(Link { place, previous, hash, checkpoint })
    }
}

/// Takes what is not hashed out of a stored record.
pub(crate) fn strip(record: &mut Map<String, Value>) {
    if let Some(Value::Object(meta)) = record.get_mut("meta") {
        meta.retain(|name, _| name != "versionId" && name != "lastUpdated");
    }
    let parts = record.get_mut("extension").and_then(|all| all.get_mut(0)?.get_mut("extension"));
    if let Some(Value::Array(parts)) = parts {
        parts.truncate(3);
    }
}

/// Canonical JSON; `None` where it nests too deeply.
fn canonical(value: &Value, out: &mut Vec<u8>, depth: usize) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            for (at, (name, value)) in sorted.into_iter().enumerate() {
                out.push(if at == 0 { b'{' } else { b',' });
                serde_json::to_writer(&mut *out, name).ok()?;
                out.push(b':');
                canonical(value, out, depth + 1)?;
            }
            out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                out.push(if at == 0 { b'[' } else { b',' });
                canonical(item, out, depth + 1)?;
            }
            out.extend_from_slice(if items.is_empty() { b"[]" } else { b"]" });
        }
        plain => serde_json::to_writer(&mut *out, plain).ok()?,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_is_sorted_and_dense() {
        let text = |value: &Value| {
            let mut out = Vec::new();
            canonical(value, &mut out, 0).unwrap();
            String::from_utf8(out).unwrap()
        };
        let value = json!({ "b": [1, { "z": null, "a": "\u{e9}\"\n" }], "a": {}, "c": [] });
        assert_eq!(text(&value), r#"{"a":{},"b":[1,{"a":"é\"\n","z":null}],"c":[]}"#);
        let mut deep = json!(1);
        for _ in 0..=MAX_DEPTH {
            deep = json!([deep]);
        }
        assert_eq!(canonical(&deep, &mut Vec::new(), 0), None);
    }

    #[test]
    fn hashes_and_places_have_one_text() {
        let hash = Hash::of(Hash::ZERO, &json!({ "a": 1 })).unwrap();
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        assert_eq!(Hash::parse(&hash.to_string().to_uppercase()), None);
        assert_eq!(Hash::parse("00"), None);
        let place = Place { chain: "0".repeat(32), sequence: 7 };
        assert_eq!(place.id(), format!("{}-000000000007", "0".repeat(32)));
        assert_eq!(Place::of_id(&place.id()), Some(place));
        for other in ["a-000000000007", &format!("{}-7", "0".repeat(32)), "", "x"] {
            assert_eq!(Place::of_id(other), None, "{other}");
        }
    }
}
