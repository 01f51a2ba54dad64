//! What a search asks of an engine, and what each condition means. Runs nothing.

use text::{TextQuery, fold};

use crate::{Entries, ParameterId, Timestamp, Value, Version};

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
    /// Its texts fulfil a query.
    Text(TextQuery),
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
    /// A resource that is contained in this one is of a type and fulfils a filter. That asks of nothing but its own entries,
    /// which follow one of `begin` among those of this resource ([`Filter::contained`]).
    Contained {
        /// The parameter whose tokens begin the entries of a contained resource: their codes are types.
        begin: ParameterId,
        /// The type.
        resource_type: Box<str>,
        /// What must hold of it.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey {
    /// By what.
    pub by: SortBy,
    /// Whether from the largest (by the largest value) rather than from the least (by the least value).
    /// Resources without a value come last either way.
    pub descending: bool,
}

/// What to sort by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortBy {
    /// The values of a parameter: dates and numbers by their lower ends, texts folded, tokens by code, references by target.
    /// Each of these that is a text counts with its first [`SortBy::TEXT_LENGTH`] bytes.
    Parameter(ParameterId),
    /// The time of the last commit.
    LastUpdated,
    /// The id.
    Id,
    /// How well the texts fulfil what the filter asks of them; never a sort key without that.
    Score,
    /// What a reference leads to, each type by its own key: the current resources that the caller may see. Of several the
    /// least counts, or the largest.
    Chain {
        /// The reference.
        parameter: ParameterId,
        /// Types of what it leads to, and by what each is sorted; never [`SortBy::Score`].
        targets: Vec<(Box<str>, SortBy)>,
    },
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
    /// How relevant each match is, above 0 and below 1, where texts were searched; else empty.
    pub scores: Vec<f32>,
}

impl Filter {
    /// Whether it asks of texts, of whichever resources.
    pub fn asks_texts(&self) -> bool {
        match self {
            Filter::Text(_) => true,
            Filter::And(filters) | Filter::Or(filters) => filters.iter().any(Filter::asks_texts),
            Filter::Not(filter) | Filter::Has { filter, .. } | Filter::Contained { filter, .. } => {
                filter.asks_texts()
            }
            Filter::Chain { targets, .. } => targets.iter().any(|(_, filter)| filter.asks_texts()),
            Filter::All
            | Filter::None
            | Filter::Match(..)
            | Filter::Present(_)
            | Filter::Ids(_)
            | Filter::Type(_)
            | Filter::LastUpdated(..) => false,
        }
    }

    /// What every match's own texts fulfil: what makes one more relevant than another.
    pub fn texts(&self) -> Vec<&TextQuery> {
        match self {
            Filter::Text(query) => vec![query],
            Filter::And(filters) => filters.iter().flat_map(Filter::texts).collect(),
            _ => Vec::new(),
        }
    }
}

impl Filter {
    /// The numbers of the resources contained in one with these entries that fulfil it, from 0 in their order; none for
    /// another filter than [`Filter::Contained`]. The time of the last commit is the one's.
    pub fn contained(&self, entries: &Entries, last_updated: Timestamp) -> Vec<usize> {
        let Filter::Contained { begin, resource_type, filter } = self else { return Vec::new() };
        let all: Vec<(ParameterId, Value<'_>)> = entries.iter().collect();
        let starts: Vec<usize> =
            all.iter().enumerate().filter(|(_, (id, _))| id == begin).map(|(at, _)| at).collect();
        let ends = starts.iter().skip(1).copied().chain([all.len()]);
        let each = starts.iter().copied().zip(ends).enumerate();
        let fulfils = |own: &[(ParameterId, Value<'_>)]| {
            let of_type = |(id, value): &(ParameterId, Value<'_>)| {
                id == begin && matches!(value, Value::Token { code, .. } if **code == **resource_type)
            };
            own.first().is_some_and(of_type) && filter.holds_alone(own, last_updated)
        };
        each.filter(|(_, (from, to))| all.get(*from..*to).is_some_and(fulfils))
            .map(|(number, _)| number)
            .collect()
    }

    /// Whether entries fulfil it by themselves; what asks of anything else never holds.
    fn holds_alone(&self, entries: &[(ParameterId, Value<'_>)], last_updated: Timestamp) -> bool {
        match self {
            Filter::All => true,
            Filter::And(filters) => filters.iter().all(|filter| filter.holds_alone(entries, last_updated)),
            Filter::Or(filters) => filters.iter().any(|filter| filter.holds_alone(entries, last_updated)),
            Filter::Not(filter) => !filter.holds_alone(entries, last_updated),
            Filter::Match(parameter, predicate) => {
                entries.iter().any(|(id, value)| id == parameter && predicate.matches(value))
            }
            Filter::Present(parameter) => entries.iter().any(|(id, _)| id == parameter),
            &Filter::LastUpdated(comparison, lo, hi) => {
                let point = last_updated.0.saturating_mul(1_000);
                comparison.holds((lo, hi), (point, point))
            }
            Filter::None
            | Filter::Text(_)
            | Filter::Ids(_)
            | Filter::Type(_)
            | Filter::Chain { .. }
            | Filter::Has { .. }
            | Filter::Contained { .. } => false,
        }
    }

    /// What every resource fulfils that one of its contained resources makes fulfil [`Filter::Contained`], by its own entries;
    /// other resources may, too.
    pub(crate) fn around_contained(begin: ParameterId, resource_type: &str, filter: &Filter) -> Filter {
        let of_type = Predicate::Token { system: Some("".into()), code: Some(resource_type.into()) };
        Filter::And(vec![Filter::Match(begin, of_type), filter.widened()])
    }

    /// The same without what several contained resources together may fulfil or fail otherwise than each.
    fn widened(&self) -> Filter {
        match self {
            Filter::And(filters) => Filter::And(filters.iter().map(Filter::widened).collect()),
            Filter::Or(filters) => Filter::Or(filters.iter().map(Filter::widened).collect()),
            Filter::None | Filter::Match(..) | Filter::Present(_) | Filter::LastUpdated(..) => self.clone(),
            Filter::All
            | Filter::Not(_)
            | Filter::Text(_)
            | Filter::Ids(_)
            | Filter::Type(_)
            | Filter::Chain { .. }
            | Filter::Has { .. }
            | Filter::Contained { .. } => Filter::All,
        }
    }
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
    use super::*;

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
    fn contained_resources_are_asked_one_by_one() {
        let (begin, code, name) = (ParameterId(9), ParameterId(1), ParameterId(2));
        let token = |code| Value::Token { system: "", code };
        let mut entries = Entries::new();
        for (id, value) in [
            (code, token("own")),
            (begin, token("Medication")),
            (code, token("a")),
            (name, Value::String("One")),
            (begin, token("Medication")),
            (code, token("b")),
            (begin, token("Patient")),
            (code, token("a")),
        ] {
            entries.push(id, &value);
        }
        let asked =
            |code_: &str| Filter::Match(code, Predicate::Token { system: None, code: Some(code_.into()) });
        let both = |one, other| Filter::And(vec![one, other]);
        for (filter, expected) in [
            (Filter::All, vec![0, 1]),
            (asked("a"), vec![0]),
            (asked("own"), vec![]),
            (Filter::Not(Box::new(asked("a"))), vec![1]),
            (both(asked("b"), Filter::Present(name)), vec![]),
            (both(asked("a"), Filter::Present(name)), vec![0]),
            (Filter::Or(vec![asked("b"), Filter::Present(name)]), vec![0, 1]),
            (Filter::LastUpdated(Comparison::Equal, 0, 5_999), vec![0, 1]),
            (Filter::Ids(vec!["a".into()]), vec![]),
        ] {
            let contained =
                Filter::Contained { begin, resource_type: "Medication".into(), filter: Box::new(filter) };
            assert_eq!(contained.contained(&entries, Timestamp(5)), expected, "{contained:?}");
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
