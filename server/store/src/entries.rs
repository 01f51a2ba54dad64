//! Index entries: what a resource is found by. Packs them; does not compute them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::OwnParameter;

/// A parameter that is indexed; the indexer gives the numbers, dense from 0, but for those of [`OwnParameter`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ParameterId(pub u16);

impl ParameterId {
    /// Numbers from here on belong to the engines.
    pub const RESERVED: u16 = 0xff00;
}

/// What an engine must know of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// `Observation.code`, for messages.
    pub name: String,
}

/// One value of a parameter on a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// A code; empty texts stand for what is absent.
    Token {
        /// Its system.
        system: &'a str,
        /// The code.
        code: &'a str,
    },
    /// A text as the resource has it; engines fold it ([`crate::Predicate::String`]).
    String(&'a str),
    /// A uri, as it stands.
    Uri(&'a str),
    /// `Type/id` for a resource of this server (a version is left out), an absolute URL for any other.
    Reference(&'a str),
    /// A span of time, microseconds since 1970 in UTC, both ends included; open ends are `i64::MIN`, `i64::MAX`.
    Date {
        /// Its first microsecond.
        lo: i64,
        /// Its last microsecond.
        hi: i64,
    },
    /// A number (`lo == hi`) or a range. Never NaN.
    Number {
        /// Least.
        lo: f64,
        /// Largest.
        hi: f64,
    },
    /// A quantity, its range of values (never NaN) and its unit.
    Quantity {
        /// Least.
        lo: f64,
        /// Largest.
        hi: f64,
        /// System of the unit's code, or empty.
        system: &'a str,
        /// The unit's code, or empty.
        code: &'a str,
        /// The unit's text, or empty.
        unit: &'a str,
    },
    /// The values of a composite's components; each is of another kind than this.
    Composite(Vec<Value<'a>>),
}

/// The index entries of one resource, packed: for each its parameter (u16 LE), then the value as
/// `Value::pack` writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    bytes: Vec<u8>,
    count: usize,
}

impl Entries {
    /// None yet.
    pub fn new() -> Entries {
        Entries::default()
    }

    /// Adds one.
    pub fn push(&mut self, parameter: ParameterId, value: &Value<'_>) {
        debug_assert!(parameter.0 < ParameterId::RESERVED, "the number belongs to the engines");
        self.bytes.extend_from_slice(&parameter.0.to_le_bytes());
        value.pack(&mut self.bytes);
        self.count += 1;
    }

    /// All, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterId, Value<'_>)> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (parameter, packed) = rest.split_first_chunk()?;
            let (value, left) = Value::unpack(packed)?;
            rest = left;
            Some((ParameterId(u16::from_le_bytes(*parameter)), value))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds those of another.
    pub(crate) fn append(&mut self, other: &Entries) {
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
    }

    /// Takes all out, and keeps the room for others.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

const TOKEN: u8 = 0;
const STRING: u8 = 1;
const URI: u8 = 2;
const REFERENCE: u8 = 3;
const DATE: u8 = 4;
const NUMBER: u8 = 5;
const QUANTITY: u8 = 6;
const COMPOSITE: u8 = 7;

impl<'a> Value<'a> {
    /// Appends the value: a byte for its kind, then its numbers (8 bytes LE each) and texts (length as a
    /// variable-length integer, then UTF-8); for a composite the number of components, then each.
    pub(crate) fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Value::Token { system, code } => {
                out.push(TOKEN);
                pack_text(out, system);
                pack_text(out, code);
            }
            Value::String(text) => pack_kind_text(out, STRING, text),
            Value::Uri(text) => pack_kind_text(out, URI, text),
            Value::Reference(text) => pack_kind_text(out, REFERENCE, text),
            Value::Date { lo, hi } => pack_span(out, DATE, lo.to_le_bytes(), hi.to_le_bytes()),
            Value::Number { lo, hi } => pack_span(out, NUMBER, lo.to_le_bytes(), hi.to_le_bytes()),
            Value::Quantity { lo, hi, system, code, unit } => {
                pack_span(out, QUANTITY, lo.to_le_bytes(), hi.to_le_bytes());
                pack_text(out, system);
                pack_text(out, code);
                pack_text(out, unit);
            }
            Value::Composite(values) => {
                out.push(COMPOSITE);
                pack_length(out, values.len());
                values.iter().for_each(|value| value.pack(out));
            }
        }
    }

    /// Reads a value that [`Value::pack`] wrote, and gives what follows it.
    pub(crate) fn unpack(bytes: &'a [u8]) -> Option<(Value<'a>, &'a [u8])> {
        let (&kind, rest) = bytes.split_first()?;
        Some(match kind {
            TOKEN => {
                let (system, rest) = unpack_text(rest)?;
                let (code, rest) = unpack_text(rest)?;
                (Value::Token { system, code }, rest)
            }
            STRING => unpack_text(rest).map(|(text, rest)| (Value::String(text), rest))?,
            URI => unpack_text(rest).map(|(text, rest)| (Value::Uri(text), rest))?,
            REFERENCE => unpack_text(rest).map(|(text, rest)| (Value::Reference(text), rest))?,
            DATE => {
                let (lo, hi, rest) = unpack_span(rest)?;
                (Value::Date { lo: i64::from_le_bytes(lo), hi: i64::from_le_bytes(hi) }, rest)
            }
            NUMBER => {
                let (lo, hi, rest) = unpack_span(rest)?;
                (Value::Number { lo: f64::from_le_bytes(lo), hi: f64::from_le_bytes(hi) }, rest)
            }
            QUANTITY => {
                let (lo, hi, rest) = unpack_span(rest)?;
                let (system, rest) = unpack_text(rest)?;
                let (code, rest) = unpack_text(rest)?;
                let (unit, rest) = unpack_text(rest)?;
                let (lo, hi) = (f64::from_le_bytes(lo), f64::from_le_bytes(hi));
                (Value::Quantity { lo, hi, system, code, unit }, rest)
            }
            COMPOSITE => {
                let (count, mut rest) = unpack_length(rest)?;
                let mut values = Vec::with_capacity(count.min(rest.len()));
                for _ in 0..count {
                    let (value, left) = Value::unpack(rest)?;
                    values.push(value);
                    rest = left;
                }
                (Value::Composite(values), rest)
            }
            _ => return None,
        })
    }
}

fn pack_kind_text(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    pack_text(out, text);
}

fn pack_span(out: &mut Vec<u8>, kind: u8, lo: [u8; 8], hi: [u8; 8]) {
    out.push(kind);
    out.extend_from_slice(&lo);
    out.extend_from_slice(&hi);
}

fn unpack_span(bytes: &[u8]) -> Option<([u8; 8], [u8; 8], &[u8])> {
    let (lo, rest) = bytes.split_first_chunk()?;
    let (hi, rest) = rest.split_first_chunk()?;
    Some((*lo, *hi, rest))
}

fn pack_text(out: &mut Vec<u8>, text: &str) {
    pack_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn unpack_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = unpack_length(bytes)?;
    let (text, rest) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Seven bits a byte, least first, the top bit set on all but the last.
fn pack_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        out.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap_or(0));
}

fn unpack_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    let mut rest = bytes;
    for shift in (0..usize::BITS).step_by(7) {
        let (&byte, left) = rest.split_first()?;
        rest = left;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((length, rest));
        }
    }
    None
}

/// Computes the entries of a resource; `search` implements it. An engine asks it for what a replaced version
/// had, to build the index anew, and to check it.
pub trait Indexer: Send + Sync {
    /// Appends the entries of a resource given as canonical JSON.
    ///
    /// # Errors
    /// A body that is not a resource, in a sentence.
    fn entries(&self, resource_type: &str, body: &[u8], out: &mut Entries) -> Result<(), IndexError>;

    /// What computes the entries of a tenant's own parameters, and of these alone. What takes none refuses them.
    ///
    /// # Errors
    /// A definition that gives no entries, in a sentence.
    fn own(&self, parameters: &[OwnParameter]) -> Result<Arc<dyn Indexer>, IndexError> {
        let names = parameters.iter().map(|own| own.name.as_str()).collect::<Vec<_>>().join(", ");
        Err(IndexError(format!("this index takes no parameters of a tenant, as {names}")))
    }

    /// All parameters, by number.
    fn parameters(&self) -> &[Parameter];

    /// Changes whenever the entries of some resource would.
    fn fingerprint(&self) -> u64;
}

/// A stored body has no entries.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct IndexError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were_pushed() {
        let long = "x".repeat(70_000);
        let values = [
            Value::Token { system: "", code: "final" },
            Value::Token { system: "http://loinc.org", code: "" },
            Value::String("Ångström  \u{0} é"),
            Value::String(&long),
            Value::Uri("urn:oid:1.2"),
            Value::Reference("Patient/1"),
            Value::Date { lo: i64::MIN, hi: i64::MAX },
            Value::Number { lo: -0.5, hi: f64::INFINITY },
            Value::Quantity { lo: 1.0, hi: 1.0, system: "http://unitsofmeasure.org", code: "mg", unit: "mg" },
            Value::Composite(vec![Value::Token { system: "s", code: "c" }, Value::Date { lo: 1, hi: 2 }]),
        ];
        let mut entries = Entries::new();
        for (number, value) in (0..).zip(&values) {
            entries.push(ParameterId(number * 300), value);
        }
        let back: Vec<_> = entries.iter().collect();
        let given: Vec<_> = (0..).zip(values.clone()).map(|(n, v)| (ParameterId(n * 300), v)).collect();
        assert_eq!(back, given);
        assert_eq!(entries.len(), values.len());
        entries.clear();
        assert!(entries.is_empty() && entries.iter().next().is_none());
    }
}
