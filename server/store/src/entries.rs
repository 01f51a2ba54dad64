//! Index entries: what a resource is found by.

/// A parameter that is indexed; the indexer gives the numbers, dense from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParameterId(pub u16);

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
    /// A number (`lo == hi`) or a range.
    Number {
        /// Least.
        lo: f64,
        /// Largest.
        hi: f64,
    },
    /// A quantity, its range of values and its unit.
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

/// The index entries of one resource, packed.
#[derive(Debug, Clone, Default)]
pub struct Entries {}

impl Entries {
    /// None yet.
    pub fn new() -> Entries {
        Entries::default()
    }

    /// Adds one.
    pub fn push(&mut self, parameter: ParameterId, value: &Value<'_>) {
        let _ = (parameter, value);
        todo!()
    }

    /// All, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterId, Value<'_>)> {
        std::iter::empty()
    }
}

/// Computes the entries of a resource; `search` implements it. An engine asks it for what a replaced version
/// had, to build the index anew, and to check it.
pub trait Indexer: Send + Sync {
    /// Appends the entries of a resource given as canonical JSON.
    ///
    /// # Errors
    /// A body that is not a resource, in a sentence.
    fn entries(&self, resource_type: &str, body: &[u8], out: &mut Entries) -> Result<(), IndexError>;

    /// All parameters, by number.
    fn parameters(&self) -> &[Parameter];

    /// Changes whenever the entries of some resource would.
    fn fingerprint(&self) -> u64;
}

/// A stored body has no entries.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct IndexError(pub String);
