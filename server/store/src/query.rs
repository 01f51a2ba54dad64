//! What a search asks of an engine, and what each condition means. Runs nothing.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::{ParameterId, Value, Version};

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
    /// The resource is of this type; where one type is searched this says nothing new.
    Type(Box<str>),
    /// The time of the last commit, as a point, compared with a span.
    LastUpdated(Comparison, i64, i64),
    /// The reference parameter points to a current resource that is of the type and fulfils the filter.
    Chain {
        /// The reference.
        parameter: ParameterId,
        /// Each type it may point to, with what must hold there.
        targets: Vec<(Box<str>, Filter)>,
    },
    /// A current resource that fulfils a filter refers to this one: a chain the other way round.
    Has {
        /// Its type.
        resource_type: Box<str>,
        /// The reference that points here.
        parameter: ParameterId,
        /// What must hold there.
        filter: Box<Filter>,
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
    /// This uri, or one whose path goes on from it; at most [`Predicate::BELOW_LENGTH`] bytes.
    UriBelow(Box<str>),
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
    /// A value of the kind that the first of these is about, which fulfils none of them.
    NoneOf(Vec<Predicate>),
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
    /// The folded value is the folded text.
    Same,
    /// The folded value ends with the folded text.
    EndsWith,
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
    /// Each of these that is a text counts with its first [`SortBy::TEXT_LENGTH`] bytes.
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
    /// Longest uri that others can be asked to be below of, bytes.
    pub const BELOW_LENGTH: usize = 300;

    /// Whether a value fulfils it. A value of another kind never does.
    pub fn matches(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Predicate::Token { system, code }, Value::Token { system: s, code: c }) => {
                asked(system, s) && asked(code, c)
            }
            (Predicate::String(how, text), Value::String(value)) => how.holds(text, value),
            (Predicate::Uri(text), Value::Uri(value)) => **text == **value,
            (Predicate::UriBelow(text), Value::Uri(value)) => is_below(text.as_bytes(), value.as_bytes()),
            (Predicate::NoneOf(predicates), value) => {
                self.is_about(value) && !predicates.iter().any(|predicate| predicate.matches(value))
            }
            (Predicate::Reference(targets), Value::Reference(value)) => {
                targets.iter().any(|target| **target == **value)
            }
            (&Predicate::Date(comparison, from, to), &Value::Date { lo, hi }) => {
                comparison.holds((from, to), (lo, hi))
            }
            (&Predicate::Number(comparison, from, to), &Value::Number { lo, hi }) => {
                comparison.holds((from, to), (lo, hi))
            }
            (
                Predicate::Quantity { comparison, lo: from, hi: to, system, code },
                &Value::Quantity { lo, hi, system: s, code: c, unit },
            ) => {
                let text = system.is_none() && asked(code, unit);
                comparison.holds((*from, *to), (lo, hi)) && asked(system, s) && (asked(code, c) || text)
            }
            (Predicate::Composite(parts), Value::Composite(values)) => {
                parts.len() == values.len() && parts.iter().zip(values).all(|(part, v)| part.matches(v))
            }
            _ => false,
        }
    }

    /// Whether a value is of the kind that it asks of.
    fn is_about(&self, value: &Value<'_>) -> bool {
        match self {
            Predicate::Token { .. } => matches!(value, Value::Token { .. }),
            Predicate::String(..) => matches!(value, Value::String(_)),
            Predicate::Uri(_) | Predicate::UriBelow(_) => matches!(value, Value::Uri(_)),
            Predicate::Reference(_) => matches!(value, Value::Reference(_)),
            Predicate::Date(..) => matches!(value, Value::Date { .. }),
            Predicate::Number(..) => matches!(value, Value::Number { .. }),
            Predicate::Quantity { .. } => matches!(value, Value::Quantity { .. }),
            Predicate::Composite(_) => matches!(value, Value::Composite(_)),
            Predicate::NoneOf(predicates) => predicates.first().is_some_and(|first| first.is_about(value)),
        }
    }
}

/// Whether a uri is another or goes on from it, by whole segments of the path.
pub(crate) fn is_below(above: &[u8], uri: &[u8]) -> bool {
    match uri.strip_prefix(above) {
        Some([]) => true,
        Some(rest) => above.ends_with(b"/") || rest.starts_with(b"/"),
        None => false,
    }
}

fn asked(text: &Option<Box<str>>, value: &str) -> bool {
    text.as_deref().is_none_or(|text| text == value)
}

impl StringMatch {
    fn holds(self, text: &str, value: &str) -> bool {
        match self {
            StringMatch::StartsWith => fold(value).starts_with(&*fold(text)),
            StringMatch::Contains => fold(value).contains(&*fold(text)),
            StringMatch::Exact => value == text,
            StringMatch::Same => fold(value) == fold(text),
            StringMatch::EndsWith => fold(value).ends_with(&*fold(text)),
        }
    }
}

/// The text as string search compares it: without accents and other combining marks (canonical decomposition),
/// in lower case, with each run of white space as one space and none at the ends.
/// See <https://hl7.org/fhir/R4/search.html#string>.
pub fn fold(text: &str) -> Cow<'_, str> {
    if is_folded_ascii(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    if text.is_ascii() {
        fold_into(text.chars(), &mut out);
    } else {
        fold_into(text.nfd().filter(|c| !is_combining_mark(*c)).flat_map(lower), &mut out);
    }
    Cow::Owned(out)
}

/// Lower case of one character; the two lower cases of sigma are one. What lower case adds is decomposed again
/// and loses its marks.
fn lower(c: char) -> impl Iterator<Item = char> {
    let c = if c == 'ς' { 'σ' } else { c };
    c.to_lowercase().nfd().filter(|c| !is_combining_mark(*c))
}

fn fold_into(chars: impl Iterator<Item = char>, out: &mut String) {
    let mut space = false;
    for c in chars {
        if c.is_whitespace() {
            space = true;
            continue;
        }
        if std::mem::take(&mut space) && !out.is_empty() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
    }
}

fn is_folded_ascii(bytes: &[u8]) -> bool {
    let mut before = b' ';
    for &byte in bytes {
        let stays = byte.is_ascii_graphic() && !byte.is_ascii_uppercase() || (byte == b' ' && before != b' ');
        if !stays {
            return false;
        }
        before = byte;
    }
    bytes.is_empty() || before != b' '
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folding() {
        for (text, folded) in [
            ("", ""),
            ("  ", ""),
            ("peter", "peter"),
            ("Peter  James ", "peter james"),
            ("\tPeter\n\u{a0}James", "peter james"),
            ("Ångström", "angstrom"),
            ("ÉCOLE", "ecole"),
            ("Straße", "straße"),
            ("ΟΔΟΣ οδος", "οδοσ οδοσ"),
            ("İstanbul", "istanbul"),
            ("東京", "東京"),
        ] {
            assert_eq!(fold(text), folded, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,20}|[ -~\\t]{0,20}") {
            let once = fold(&text).into_owned();
            prop_assert_eq!(fold(&once).into_owned(), once);
        }
    }

    fn token(system: Option<&str>, code: Option<&str>) -> Predicate {
        Predicate::Token { system: system.map(Into::into), code: code.map(Into::into) }
    }

    #[test]
    fn tokens_and_texts() {
        let value = Value::Token { system: "http://loinc.org", code: "8480-6" };
        let bare = Value::Token { system: "", code: "final" };
        let string = |how, text: &str| Predicate::String(how, text.into());
        for (predicate, value, expected) in [
            (token(None, Some("8480-6")), &value, true),
            (token(Some("http://loinc.org"), Some("8480-6")), &value, true),
            (token(Some(""), Some("8480-6")), &value, false),
            (token(Some("http://loinc.org"), None), &value, true),
            (token(None, Some("8480-6 ")), &value, false),
            (token(Some(""), Some("final")), &bare, true),
            (token(None, None), &bare, true),
            (Predicate::Uri("final".into()), &bare, false),
            (string(StringMatch::StartsWith, "élé"), &Value::String("Elephant"), true),
            (string(StringMatch::StartsWith, "phant"), &Value::String("Elephant"), false),
            (string(StringMatch::Contains, "PHANT"), &Value::String("Elephant"), true),
            (string(StringMatch::Exact, "elephant"), &Value::String("Elephant"), false),
            (string(StringMatch::Exact, "Elephant"), &Value::String("Elephant"), true),
            (Predicate::Uri("urn:a".into()), &Value::Uri("urn:a"), true),
            (Predicate::Uri("urn:a".into()), &Value::Uri("urn:ab"), false),
            (string(StringMatch::Same, "élephant "), &Value::String("Elephant"), true),
            (string(StringMatch::Same, "elephan"), &Value::String("Elephant"), false),
            (string(StringMatch::EndsWith, "PHANT"), &Value::String("Elephant"), true),
            (string(StringMatch::EndsWith, "eleph"), &Value::String("Elephant"), false),
            (Predicate::UriBelow("http://a/b".into()), &Value::Uri("http://a/b"), true),
            (Predicate::UriBelow("http://a/b".into()), &Value::Uri("http://a/b/c"), true),
            (Predicate::UriBelow("http://a/b/".into()), &Value::Uri("http://a/b/c"), true),
            (Predicate::UriBelow("http://a/b".into()), &Value::Uri("http://a/bc"), false),
            (Predicate::NoneOf(vec![token(None, Some("final"))]), &bare, false),
            (Predicate::NoneOf(vec![token(None, Some("final"))]), &value, true),
            (Predicate::NoneOf(vec![token(None, Some("final"))]), &Value::Uri("final"), false),
            (Predicate::Reference(vec!["Patient/1".into()]), &Value::Reference("Patient/1"), true),
            (Predicate::Reference(vec![]), &Value::Reference("Patient/1"), false),
        ] {
            assert_eq!(predicate.matches(value), expected, "{predicate:?} {value:?}");
        }
    }

    #[test]
    fn quantities_and_composites() {
        let quantity = |system: Option<&str>, code: Option<&str>| Predicate::Quantity {
            comparison: Comparison::Equal,
            lo: 5.35,
            hi: 5.45,
            system: system.map(Into::into),
            code: code.map(Into::into),
        };
        let value =
            Value::Quantity { lo: 5.4, hi: 5.4, system: "http://ucum", code: "mg", unit: "milligram" };
        for (predicate, expected) in [
            (quantity(None, None), true),
            (quantity(None, Some("mg")), true),
            (quantity(None, Some("milligram")), true),
            (quantity(Some("http://ucum"), Some("mg")), true),
            (quantity(Some("http://ucum"), Some("milligram")), false),
            (quantity(Some("http://other"), Some("mg")), false),
        ] {
            assert_eq!(predicate.matches(&value), expected, "{predicate:?}");
        }
        let code = Value::Token { system: "", code: "a" };
        let both = Predicate::Composite(vec![token(None, Some("a")), quantity(None, Some("mg"))]);
        assert!(both.matches(&Value::Composite(vec![code.clone(), value.clone()])));
        assert!(!both.matches(&Value::Composite(vec![code.clone()])));
        assert!(!both.matches(&Value::Composite(vec![value, code])));
    }

    #[test]
    fn spans() {
        use Comparison::*;
        let search = (10, 20);
        for (target, holding) in [
            ((10, 20), vec![Equal, GreaterOrEqual, LessOrEqual, Approximately]),
            ((5, 9), vec![NotEqual, Less, LessOrEqual, EndsBefore]),
            ((21, 21), vec![NotEqual, Greater, GreaterOrEqual, StartsAfter]),
            ((15, 25), vec![NotEqual, Greater, GreaterOrEqual, Approximately]),
            ((5, 25), vec![NotEqual, Greater, Less, GreaterOrEqual, LessOrEqual, Approximately]),
        ] {
            let all = [
                Equal,
                NotEqual,
                Greater,
                Less,
                GreaterOrEqual,
                LessOrEqual,
                StartsAfter,
                EndsBefore,
                Approximately,
            ];
            let found: Vec<_> = all.into_iter().filter(|c| c.holds(search, target)).collect();
            assert_eq!(found, holding, "{target:?}");
        }
    }
}
