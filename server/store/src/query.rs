//! What a search asks of an engine.

use crate::{ParameterId, Version};

/// A search over current resources.
#[derive(Debug, Clone)]
pub struct Query {
    /// The type, or `None` for all.
    pub resource_type: Option<Box<str>>,
    /// Which of them.
    pub filter: Filter,
    /// In what order; then, and without any, in the order the resources came to be.
    pub sort: Vec<SortKey>,
    /// Continue after a position that an earlier page gave, for the same filter and sort.
    pub after: Option<Cursor>,
    /// Most matches to return; 0 to count only.
    pub limit: usize,
    /// Whether to count all matches.
    pub total: bool,
}

/// A tree of conditions.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Every resource.
    All,
    /// No resource.
    None,
    /// All of these.
    And(Vec<Filter>),
    /// Any of these.
    Or(Vec<Filter>),
    /// Those that do not.
    Not(Box<Filter>),
    /// Some value of the parameter fulfils the predicate.
    Match(ParameterId, Predicate),
    /// The parameter has a value.
    Present(ParameterId),
    /// The id is one of these.
    Ids(Vec<Box<str>>),
    /// The time of the last commit, as a point, compared with a span.
    LastUpdated(Comparison, i64, i64),
    /// The reference parameter points to a current resource that is of the type and fulfils the filter.
    Chain {
        /// The reference.
        parameter: ParameterId,
        /// Each type it may point to, with what must hold there.
        targets: Vec<(Box<str>, Filter)>,
    },
}

/// A condition on one value. What it means is [`Predicate::matches`]; engines must agree with it.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    /// `None` is any; an empty text is none at all.
    Token {
        /// System.
        system: Option<Box<str>>,
        /// Code.
        code: Option<Box<str>>,
    },
    /// A text.
    String(StringMatch, Box<str>),
    /// A uri, exactly.
    Uri(Box<str>),
    /// One of these targets, `Type/id` or an absolute URL.
    Reference(Vec<Box<str>>),
    /// A span of time against a span of time, microseconds.
    Date(Comparison, i64, i64),
    /// A range against a range.
    Number(Comparison, f64, f64),
    /// A range against a range, in a unit.
    Quantity {
        /// How to compare.
        comparison: Comparison,
        /// Least.
        lo: f64,
        /// Largest.
        hi: f64,
        /// System of the unit; `None` is any.
        system: Option<Box<str>>,
        /// Code of the unit or, where no system is asked for, its text; `None` is any.
        code: Option<Box<str>>,
    },
    /// One for each component.
    Composite(Vec<Predicate>),
}

/// How texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StringMatch {
    /// The folded value begins with the folded text (case and accents ignored, white space runs are one space).
    StartsWith,
    /// The folded value holds the folded text.
    Contains,
    /// The value is the text.
    Exact,
}

/// The prefixes of <https://hl7.org/fhir/R4/search.html#prefix>, for a search span `[lo, hi]` and a target's
/// span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The search span contains the target's.
    Equal,
    /// It does not.
    NotEqual,
    /// The target reaches above the search span.
    Greater,
    /// The target reaches below the search span.
    Less,
    /// Greater or equal.
    GreaterOrEqual,
    /// Less or equal.
    LessOrEqual,
    /// The target begins after the search span.
    StartsAfter,
    /// The target ends before the search span.
    EndsBefore,
    /// The spans overlap (the caller widened the search span).
    Approximately,
}

/// One sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey {
    /// By what.
    pub by: SortBy,
    /// Whether from the largest (by the largest value) rather than from the least (by the least value).
    /// Resources without a value come last either way.
    pub descending: bool,
}

/// What to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// The values of a parameter: dates and numbers by their lower ends, texts folded, tokens by code, references by target.
    /// Texts count with their first [`SortBy::TEXT_LENGTH`] bytes.
    Parameter(ParameterId),
    /// The time of the last commit.
    LastUpdated,
    /// The id.
    Id,
}

impl SortBy {
    /// How many bytes of a text take part in sorting.
    pub const TEXT_LENGTH: usize = 64;
}

/// A position in a result: opaque bytes of the engine, to be signed before a client sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub Box<[u8]>);

/// A page of matches.
#[derive(Debug, Clone)]
pub struct Page {
    /// The matches, in order.
    pub matches: Vec<Version>,
    /// Where the next page starts, if there is more.
    pub next: Option<Cursor>,
    /// How many match in all, if that was asked.
    pub total: Option<u64>,
}

impl Predicate {
    /// Whether a value fulfils it. A value of another kind never does.
    pub fn matches(&self, value: &crate::Value<'_>) -> bool {
        let _ = value;
        todo!()
    }
}

impl Comparison {
    /// Whether a target's span `[lo, hi]` compares so with the search span, both in one unit and ends included.
    pub fn holds<T: PartialOrd>(self, search: (T, T), target: (T, T)) -> bool {
        let equal = search.0 <= target.0 && target.1 <= search.1;
        match self {
            Comparison::Equal => equal,
            Comparison::NotEqual => !equal,
            Comparison::Greater => target.1 > search.1,
            Comparison::Less => target.0 < search.0,
            Comparison::GreaterOrEqual => equal || target.1 > search.1,
            Comparison::LessOrEqual => equal || target.0 < search.0,
            Comparison::StartsAfter => target.0 > search.1,
            Comparison::EndsBefore => target.1 < search.0,
            Comparison::Approximately => target.0 <= search.1 && search.0 <= target.1,
        }
    }
}
