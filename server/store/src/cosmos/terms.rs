//! The index fields of a document: what a query of the service narrows by. Decides nothing: whoever is found is
//! checked again on the entries of the body, so that fields may be few, short and shared between parameters.
//!
//! | field | from | form |
//! |---|---|---|
//! | `x` | token, by its code | `=8480-6` |
//! | | uri | `:urn:oid:1.2` |
//! | | reference | `@Patient/1` |
//! | | text, folded: its first 2, 3 and 6 characters | `^sm`, `^smi`, `^smith w` cut to `^smith ` |
//! | `r` | dates (ms since 1970), numbers, quantities, by parameter | `{"date":{"l":1306799945000,"h":1306799945999}}` |
//!
//! A term does not name its parameter: `subject` and `patient`, `code` and `combo-code` share theirs, and the
//! components of a composite share those of the parameters they are of. One of more than [`PLAIN`] bytes is its
//! kind, `#`, and eleven characters of a hash. Of a span, `h` is left out where it equals `l`; of several values
//! there is their hull, and `m`, the largest of their lower ends.
//!
//! What only modifiers ask of (`code:text`) has no field: it would be in every document. Quantities in the base units of UCUM
//! have spans of their own (`value-quantity:canonical`), for most searches by a unit ask of them.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use xxhash_rust::xxh3::xxh3_64;

use super::document::IndexFields;
use crate::{Entries, Parameter, ParameterId, Value, fold};

/// Longest term that is written out, in bytes.
const PLAIN: usize = 24;

/// How many characters of a folded text make terms.
const PREFIXES: [usize; 3] = [2, 3, 6];

/// Open ends of dates, and the ends of what is beyond them: more than any date has, and exact as a double.
const MOST_MS: i64 = 9_000_000_000_000_000;

/// The index fields of a resource with these entries.
pub(super) fn fields(parameters: &[Parameter], entries: &Entries) -> IndexFields {
    let (mut terms, mut hulls) = (BTreeSet::new(), std::collections::BTreeMap::new());
    for (parameter, value) in entries.iter() {
        if !has_fields(parameters, parameter) {
            continue;
        }
        collect(&value, &mut terms);
        let (Some(span), Some(name)) = (Span::of(&value), name(parameters, parameter)) else { continue };
        hulls.entry(name).and_modify(|hull: &mut Hull| hull.add(span)).or_insert_with(|| Hull::new(span));
    }
    IndexFields {
        x: terms.into_iter().collect(),
        r: hulls.into_iter().map(|(name, hull)| (name.to_owned(), hull.json())).collect(),
    }
}

/// What a parameter is called in documents: unique for a type, and the same whatever its number is. `None` if
/// its name cannot be part of a path; then it has no spans.
pub(super) fn name(parameters: &[Parameter], parameter: ParameterId) -> Option<&str> {
    let full = parameters.get(usize::from(parameter.0))?.name.as_str();
    let name = full.split_once('.').map_or(full, |(_, name)| name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
    (!name.is_empty() && name.bytes().all(plain)).then_some(name)
}

/// What a modifier asks of, for a parameter that is kept for it: `text` of `Observation.code:text`.
pub(super) fn aspect(parameters: &[Parameter], parameter: ParameterId) -> Option<&str> {
    let name = parameters.get(usize::from(parameter.0))?.name.as_str();
    name.split_once(':').map(|(_, aspect)| aspect)
}

/// Whether a parameter has index fields: of those kept for a modifier only the quantities in base units do.
fn has_fields(parameters: &[Parameter], parameter: ParameterId) -> bool {
    matches!(aspect(parameters, parameter), None | Some("canonical"))
}

/// The term of a code; `None` for an empty one.
pub(super) fn code(code: &str) -> Option<String> {
    (!code.is_empty()).then(|| term('=', code))
}

/// The term of a uri.
pub(super) fn uri(uri: &str) -> String {
    term(':', uri)
}

/// The term of a reference.
pub(super) fn reference(target: &str) -> String {
    term('@', target)
}

/// The longest term that every text has whose folded form begins with this one; `None` if there is none.
pub(super) fn prefix(folded: &str) -> Option<String> {
    prefixes(folded).last()
}

fn prefixes(folded: &str) -> impl Iterator<Item = String> {
    let count = folded.chars().count();
    let lengths = PREFIXES.into_iter().filter(move |length| *length <= count);
    lengths.map(|length| term('^', &folded.chars().take(length).collect::<String>()))
}

fn term(kind: char, text: &str) -> String {
    if text.len() <= PLAIN {
        return format!("{kind}{text}");
    }
    let hash = xxh3_64(text.as_bytes());
    let digits = (0..11).map(|digit| {
        let index = usize::try_from((hash >> (6 * digit)) & 63).unwrap_or(0);
        char::from(DIGITS.get(index).copied().unwrap_or(b'A'))
    });
    [kind, '#'].into_iter().chain(digits).collect()
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn collect(value: &Value<'_>, terms: &mut BTreeSet<String>) {
    match value {
        Value::Token { code: text, .. } => terms.extend(code(text)),
        Value::Uri(text) => {
            terms.insert(uri(text));
        }
        Value::Reference(target) => {
            terms.insert(reference(target));
        }
        Value::String(text) => terms.extend(prefixes(&fold(text))),
        Value::Composite(values) => values.iter().for_each(|value| collect(value, terms)),
        Value::Date { .. } | Value::Number { .. } | Value::Quantity { .. } => {}
    }
}

/// A time in the unit of spans, as a lower end of what it may have been.
pub(super) fn ms(micros: i64) -> i64 {
    micros.div_euclid(1_000).clamp(-MOST_MS, MOST_MS)
}

/// A number as JSON can have it.
pub(super) fn finite(number: f64) -> f64 {
    number.clamp(f64::MIN, f64::MAX)
}

#[derive(Debug, Clone, Copy)]
enum Span {
    Time(i64, i64),
    Number(f64, f64),
}

impl Span {
    fn of(value: &Value<'_>) -> Option<Span> {
        match *value {
            Value::Date { lo, hi } => Some(Span::Time(ms(lo), ms(hi))),
            Value::Number { lo, hi } | Value::Quantity { lo, hi, .. } => {
                Some(Span::Number(finite(lo), finite(hi)))
            }
            _ => None,
        }
    }

    fn numbers(self) -> (f64, f64) {
        #[allow(clippy::cast_precision_loss, reason = "times are at most MOST_MS, below 2^53")]
        match self {
            Span::Time(lo, hi) => (lo as f64, hi as f64),
            Span::Number(lo, hi) => (lo, hi),
        }
    }
}

/// The values of one parameter of one resource. One of times and numbers both is of numbers.
enum Hull {
    One(Span),
    Several { least: f64, largest: f64, last: f64, times: bool },
}

impl Hull {
    fn new(span: Span) -> Hull {
        Hull::One(span)
    }

    fn add(&mut self, span: Span) {
        let (lo, hi) = span.numbers();
        let is_time = matches!(span, Span::Time(..));
        *self = match *self {
            Hull::One(first) => {
                let (least, largest) = first.numbers();
                let times = is_time && matches!(first, Span::Time(..));
                Hull::Several { least: least.min(lo), largest: largest.max(hi), last: least.max(lo), times }
            }
            Hull::Several { least, largest, last, times } => Hull::Several {
                least: least.min(lo),
                largest: largest.max(hi),
                last: last.max(lo),
                times: times && is_time,
            },
        }
    }

    fn json(&self) -> Json {
        match *self {
            Hull::One(Span::Time(lo, hi)) if lo == hi => json!({ "l": lo }),
            Hull::One(Span::Time(lo, hi)) => json!({ "l": lo, "h": hi }),
            Hull::One(Span::Number(lo, hi)) if lo.total_cmp(&hi).is_eq() => json!({ "l": number(lo) }),
            Hull::One(Span::Number(lo, hi)) => json!({ "l": number(lo), "h": number(hi) }),
            Hull::Several { least, largest, last, times: false } => {
                json!({ "l": number(least), "h": number(largest), "m": number(last) })
            }
            Hull::Several { least, largest, last, .. } => {
                json!({ "l": whole(least), "h": whole(largest), "m": whole(last) })
            }
        }
    }
}

/// Without a fraction where there is none: it is shorter.
fn number(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() < 1e15 { whole(number) } else { json!(number) }
}

fn whole(number: f64) -> Json {
    #[allow(clippy::cast_possible_truncation, reason = "whole, and below 2^53")]
    let whole = number as i64;
    json!(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Vec<Parameter> {
        ["O.date", "O.code", "O.subject", "O.patient", "O.name", "O.od\"d", "O.code:text", "O.date:canonical"]
            .map(|name| Parameter { name: name.into() })
            .into()
    }

    fn check(entries: &[(u16, Value<'_>)], expected: Json) {
        let mut all = Entries::new();
        for (parameter, value) in entries {
            all.push(ParameterId(*parameter), value);
        }
        let fields = fields(&parameters(), &all);
        assert_eq!(json!({ "x": fields.x, "r": fields.r }), expected);
    }

    #[test]
    fn parameters_share_terms() {
        let patient = Value::Reference("Patient/1");
        let code = Value::Token { system: "http://loinc.org", code: "8480-6" };
        let composite = Value::Composite(vec![code.clone(), Value::Number { lo: 1.0, hi: 1.0 }]);
        check(&[(2, patient.clone()), (3, patient)], json!({ "x": ["@Patient/1"], "r": {} }));
        check(&[(1, code), (4, composite)], json!({ "x": ["=8480-6"], "r": {} }));
        check(&[(1, Value::Token { system: "s", code: "" })], json!({ "x": [], "r": {} }));
    }

    #[test]
    fn texts_have_their_beginnings() {
        check(&[(4, Value::String("Ångström"))], json!({ "x": ["^an", "^ang", "^angstr"], "r": {} }));
        check(&[(4, Value::String(" Li "))], json!({ "x": ["^li"], "r": {} }));
        check(&[(4, Value::String("東"))], json!({ "x": [], "r": {} }));
        assert_eq!(prefix("angst"), Some("^ang".into()));
        assert_eq!(prefix("a"), None);
    }

    #[test]
    fn of_what_modifiers_ask_of_base_units_alone_have_fields() {
        check(&[(6, Value::String("Hemoglobin"))], json!({ "x": [], "r": {} }));
        let span = json!({ "x": [], "r": { "date:canonical": { "l": 1 } } });
        check(&[(7, Value::Number { lo: 1.0, hi: 1.0 })], span);
    }

    #[test]
    fn long_terms_are_hashed() {
        let target = "Patient/dbf9798e-4b52-4cd9-a9eb-ec36149c859a";
        let term = reference(target);
        assert_eq!((term.len(), term.get(..2)), (13, Some("@#")));
        assert_ne!(term, reference("Patient/dbf9798e-4b52-4cd9-a9eb-ec36149c859b"));
        assert_eq!(uri(&"u".repeat(PLAIN)).len(), PLAIN + 1);
    }

    #[test]
    fn spans() {
        let date = |lo, hi| (0, Value::Date { lo, hi });
        let number = |lo, hi| (0, Value::Number { lo, hi });
        check(&[date(5_000, 5_999)], json!({ "x": [], "r": { "date": { "l": 5 } } }));
        check(&[date(-1, 6_000)], json!({ "x": [], "r": { "date": { "l": -1, "h": 6 } } }));
        let open = json!({ "l": -MOST_MS, "h": MOST_MS });
        check(&[date(i64::MIN, i64::MAX)], json!({ "x": [], "r": { "date": open } }));
        let several = json!({ "l": 1, "h": 9, "m": 4 });
        check(&[date(1_000, 9_999), date(4_000, 5_000)], json!({ "x": [], "r": { "date": several } }));
        check(&[number(0.5, 0.5)], json!({ "x": [], "r": { "date": { "l": 0.5 } } }));
        let half_open = json!({ "l": 2, "h": f64::MAX });
        check(&[number(2.0, f64::INFINITY)], json!({ "x": [], "r": { "date": half_open } }));
        let mixed = json!({ "l": 1.5, "h": 9, "m": 9 });
        check(&[number(1.5, 2.0), date(9_000, 9_000)], json!({ "x": [], "r": { "date": mixed } }));
        check(&[(5, Value::Number { lo: 1.0, hi: 1.0 })], json!({ "x": [], "r": {} }));
    }
}
