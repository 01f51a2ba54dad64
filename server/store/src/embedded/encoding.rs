//! Values as parts of keys: how each is written, read back, and compared while it is still encoded. Touches no
//! database.
//!
//! The first byte is the space. Within one, keys sort as values do; each is self-delimiting, so that something
//! may follow.
//!
//! | space | after it | for |
//! |---|---|---|
//! | 10 token | code (text), hash of the system (8 bytes) | by code, or by system and code |
//! | 11 system | hash of the system | by system alone; not kept for tokens without one |
//! | 20 string | folded (text), then 00 if the original is the same, else 02 and the original (text) | prefixes; exact |
//! | 28 uri | text | |
//! | 30 reference | text | |
//! | 40 number | value | points |
//! | 41, 42 number | least, largest; and the other way round | ranges, by either end |
//! | 50 date | first microsecond (8 bytes), length (5 bytes) | spans of at most [`SHORT_SPAN`] |
//! | 51, 52 date | first, last; and the other way round | longer spans, by either end |
//! | 60 quantity | value, unit | points |
//! | 61, 62 quantity | least, largest, unit; the other way round | ranges, by either end |
//! | 70 composite | the components, one after another | |
//! | 71 composite | hash (16 bytes) | those longer than [`VALUE_LIMIT`], or with a text that is cut |
//!
//! A unit is its code (text), the hash of its system (8 bytes) and its text (text). A text is its bytes and 00;
//! within it 00 is written 01 02 and 01 is written 01 03. A text longer than its limit is cut there and ends in 01 01
//! and 16 bytes of hash; for a string, the hash names an entry of the database `long`, and no original follows.
//! Numbers are 8 bytes, big-endian, with the sign turned so that they sort; negative zero is zero.

use std::borrow::Cow;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::fold;
use crate::query::is_below;
use crate::{Comparison, Predicate, SortBy, StringMatch, Value};

pub(super) const TOKEN: u8 = 0x10;
pub(super) const SYSTEM: u8 = 0x11;
pub(super) const STRING: u8 = 0x20;
pub(super) const URI: u8 = 0x28;
pub(super) const REFERENCE: u8 = 0x30;
pub(super) const NUMBER: u8 = 0x40;
pub(crate) const DATE: u8 = 0x50;
pub(super) const QUANTITY: u8 = 0x60;
pub(super) const COMPOSITE: u8 = 0x70;
pub(super) const LONG_COMPOSITE: u8 = 0x71;

/// Added to a space of points: that of ranges by their least, and by their largest.
pub(super) const BY_LO: u8 = 1;
pub(super) const BY_HI: u8 = 2;

/// Longest span, in microseconds, of the dates that are found by their beginning alone: 25 hours, the longest day.
pub(super) const SHORT_SPAN: u64 = 25 * 3_600 * 1_000_000;

/// Longest value of a composite. LMDB's keys have 511 bytes, of which the parameter and the chunk take six.
const VALUE_LIMIT: usize = 500;
/// Longest code, uri or reference.
const TEXT_LIMIT: usize = 400;
/// Longest string, folded and not.
const STRING_LIMIT: usize = 220;
/// Longest code or text of a unit.
const UNIT_LIMIT: usize = 150;

/// The hash of a value that is kept in the database `long`.
pub(super) type LongHash = [u8; 16];

/// A number as eight bytes that sort.
pub(crate) fn ordered_i64(value: i64) -> u64 {
    value.cast_unsigned() ^ (1 << 63)
}

fn i64_of(ordered: u64) -> i64 {
    (ordered ^ (1 << 63)).cast_signed()
}

/// A number as eight bytes that sort.
pub(super) fn ordered_f64(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 0 { bits | (1 << 63) } else { !bits }
}

fn f64_of(ordered: u64) -> f64 {
    f64::from_bits(if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered })
}

/// The hash under which `long` keeps a value, given packed.
pub(super) fn long_hash(packed: &[u8]) -> LongHash {
    xxh3_128(packed).to_be_bytes()
}

fn system_hash(system: &str) -> [u8; 8] {
    xxh3_64(system.as_bytes()).to_be_bytes()
}

/// Appends a text; whether it was whole.
fn put_text(out: &mut Vec<u8>, text: &str, limit: usize, hashed: impl FnOnce() -> LongHash) -> bool {
    let start = out.len();
    if text.bytes().any(|byte| byte <= 1) {
        for byte in text.bytes() {
            match byte {
                0 => out.extend_from_slice(&[1, 2]),
                1 => out.extend_from_slice(&[1, 3]),
                _ => out.push(byte),
            }
        }
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    if out.len() - start <= limit {
        out.push(0);
        return true;
    }
    cut_text(out, start + limit, hashed());
    false
}

/// Cuts a text at a length of `out`, not within an escape, and ends it with its hash.
fn cut_text(out: &mut Vec<u8>, length: usize, hash: LongHash) {
    out.truncate(length);
    if out.last() == Some(&1) {
        out.pop();
    }
    out.extend_from_slice(&[1, 1]);
    out.extend_from_slice(&hash);
}

fn put_plain_text(out: &mut Vec<u8>, text: &str, limit: usize) -> bool {
    put_text(out, text, limit, || xxh3_128(text.as_bytes()).to_be_bytes())
}

fn put_unit(out: &mut Vec<u8>, system: &str, code: &str, unit: &str) -> bool {
    let code = put_plain_text(out, code, UNIT_LIMIT);
    out.extend_from_slice(&system_hash(system));
    put_plain_text(out, unit, UNIT_LIMIT) && code
}

/// Appends a string; whether it was whole.
fn put_string(out: &mut Vec<u8>, text: &str, folded: &str) -> bool {
    let hash = || {
        let mut packed = Vec::with_capacity(text.len() + 8);
        Value::String(text).pack(&mut packed);
        long_hash(&packed)
    };
    out.push(STRING);
    let start = out.len();
    if !put_text(out, folded, STRING_LIMIT, hash) {
        return false;
    }
    if text == folded {
        out.push(0);
        return true;
    }
    let end = out.len();
    out.push(2);
    if put_text(out, text, STRING_LIMIT, || [0; 16]) {
        return true;
    }
    cut_text(out, (end - 1).max(start), hash());
    false
}

/// The beginning of the keys of the strings that begin with a folded text, so far as keys hold it.
pub(super) fn string_prefix(folded: &str) -> Vec<u8> {
    let mut prefix = vec![STRING];
    put_text(&mut prefix, folded, usize::MAX, || [0; 16]);
    prefix.pop();
    // A cut within an escape is one byte short of the limit.
    prefix.truncate(STRING_LIMIT);
    prefix
}

/// Two numbers that sort, and the space for them.
fn put_span(out: &mut Vec<u8>, points: u8, lo: u64, hi: u64) {
    out.push(if lo == hi { points } else { points + BY_LO });
    out.extend_from_slice(&lo.to_be_bytes());
    if lo != hi {
        out.extend_from_slice(&hi.to_be_bytes());
    }
}

/// Appends the first key of a value. Whether the key alone tells the value; if not, `long` must keep the value.
pub(super) fn put_value(out: &mut Vec<u8>, value: &Value<'_>) -> bool {
    match value {
        Value::String(text) => put_string(out, text, &fold(text)),
        Value::Composite(values) => {
            let start = out.len();
            out.push(COMPOSITE);
            let mut whole = true;
            for value in values {
                whole &= put_component(out, value);
            }
            if whole && out.len() - start <= VALUE_LIMIT {
                return true;
            }
            out.truncate(start);
            let mut packed = Vec::new();
            value.pack(&mut packed);
            out.push(LONG_COMPOSITE);
            out.extend_from_slice(&long_hash(&packed));
            false
        }
        _ => {
            // A cut text of these kinds is only ever asked for as a whole: its hash says enough.
            put_component(out, value);
            true
        }
    }
}

/// Appends a value that is not a composite; whether none of its texts was cut.
fn put_component(out: &mut Vec<u8>, value: &Value<'_>) -> bool {
    match value {
        Value::Token { system, code } => {
            out.push(TOKEN);
            let whole = put_plain_text(out, code, TEXT_LIMIT);
            out.extend_from_slice(&system_hash(system));
            whole
        }
        Value::String(text) => put_string(out, text, &fold(text)),
        Value::Uri(text) => {
            out.push(URI);
            put_plain_text(out, text, TEXT_LIMIT)
        }
        Value::Reference(text) => {
            out.push(REFERENCE);
            put_plain_text(out, text, TEXT_LIMIT)
        }
        &Value::Date { lo, hi } => {
            put_date(out, ordered_i64(lo), ordered_i64(hi));
            true
        }
        &Value::Number { lo, hi } => {
            put_span(out, NUMBER, ordered_f64(lo), ordered_f64(hi));
            true
        }
        &Value::Quantity { lo, hi, system, code, unit } => {
            put_span(out, QUANTITY, ordered_f64(lo), ordered_f64(hi));
            put_unit(out, system, code, unit)
        }
        // A composite within a composite: the whole is kept in `long`.
        Value::Composite(_) => false,
    }
}

fn put_date(out: &mut Vec<u8>, lo: u64, hi: u64) {
    match hi.checked_sub(lo) {
        Some(length) if length <= SHORT_SPAN => {
            out.push(DATE);
            out.extend_from_slice(&lo.to_be_bytes());
            out.extend(length.to_be_bytes().iter().skip(3));
        }
        _ => {
            out.push(DATE + BY_LO);
            out.extend_from_slice(&lo.to_be_bytes());
            out.extend_from_slice(&hi.to_be_bytes());
        }
    }
}

/// Appends the second key of a value, if it has one.
pub(super) fn put_second(out: &mut Vec<u8>, value: &Value<'_>) -> bool {
    match *value {
        Value::Token { system, .. } if !system.is_empty() => {
            out.push(SYSTEM);
            out.extend_from_slice(&system_hash(system));
            true
        }
        Value::Date { lo, hi } => {
            let (lo, hi) = (ordered_i64(lo), ordered_i64(hi));
            let long = hi.checked_sub(lo).is_none_or(|length| length > SHORT_SPAN);
            if long {
                put_by_hi(out, DATE, lo, hi);
            }
            long
        }
        Value::Number { lo, hi } => {
            let (lo, hi) = (ordered_f64(lo), ordered_f64(hi));
            if lo != hi {
                put_by_hi(out, NUMBER, lo, hi);
            }
            lo != hi
        }
        Value::Quantity { lo, hi, system, code, unit } => {
            let (lo, hi) = (ordered_f64(lo), ordered_f64(hi));
            if lo != hi {
                put_by_hi(out, QUANTITY, lo, hi);
                put_unit(out, system, code, unit);
            }
            lo != hi
        }
        _ => false,
    }
}

fn put_by_hi(out: &mut Vec<u8>, points: u8, lo: u64, hi: u64) {
    out.push(points + BY_HI);
    out.extend_from_slice(&hi.to_be_bytes());
    out.extend_from_slice(&lo.to_be_bytes());
}

/// A text as it stands in a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    /// With its end.
    encoded: &'a [u8],
    /// Without its end; escaped.
    body: &'a [u8],
    /// What its end names, if it was cut.
    hash: Option<LongHash>,
}

impl<'a> Text<'a> {
    fn take(bytes: &'a [u8]) -> Option<(Text<'a>, &'a [u8])> {
        let mut at = 0;
        loop {
            at += bytes.get(at..)?.iter().position(|&byte| byte <= 1)?;
            let (end, hash) = match (bytes.get(at)?, bytes.get(at + 1)) {
                (0, _) => (at + 1, None),
                (_, Some(1)) => (at + 18, Some(bytes.get(at + 2..at + 18)?.try_into().ok()?)),
                _ => {
                    at += 2;
                    continue;
                }
            };
            let (encoded, rest) = bytes.split_at_checked(end)?;
            return Some((Text { encoded, body: bytes.get(..at)?, hash }, rest));
        }
    }

    /// Its bytes, up to where it was cut.
    fn plain(&self) -> Cow<'a, [u8]> {
        if !self.body.contains(&1) {
            return Cow::Borrowed(self.body);
        }
        let mut out = Vec::with_capacity(self.body.len());
        let mut bytes = self.body.iter();
        while let Some(&byte) = bytes.next() {
            out.push(if byte == 1 { bytes.next().map_or(1, |escaped| escaped - 2) } else { byte });
        }
        Cow::Owned(out)
    }
}

/// A value as it stands in a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stored<'a> {
    Token { code: Text<'a>, system: &'a [u8; 8] },
    String { folded: Text<'a>, encoded: &'a [u8] },
    Text { space: u8, text: Text<'a> },
    Date(i64, i64),
    Number(f64, f64),
    Quantity { lo: f64, hi: f64, code: Text<'a>, system: &'a [u8; 8], unit: Text<'a> },
    Composite(&'a [u8]),
    Long(LongHash),
}

impl<'a> Stored<'a> {
    /// Reads a value at the beginning of `bytes`, and gives what follows it. `None` for a space that holds no values,
    /// and for what [`put_value`] and [`put_second`] did not write.
    pub(super) fn take(bytes: &'a [u8]) -> Option<(Stored<'a>, &'a [u8])> {
        let (&space, rest) = bytes.split_first()?;
        Some(match space {
            TOKEN => {
                let (code, rest) = Text::take(rest)?;
                let (system, rest) = rest.split_first_chunk()?;
                (Stored::Token { code, system }, rest)
            }
            STRING => {
                let (folded, after) = Text::take(rest)?;
                let after = match (folded.hash, after.split_first()) {
                    (Some(_), _) => after,
                    (None, Some((2, original))) => Text::take(original)?.1,
                    (None, same) => same?.1,
                };
                let encoded = bytes.get(..bytes.len() - after.len())?;
                (Stored::String { folded, encoded }, after)
            }
            URI | REFERENCE => {
                let (text, rest) = Text::take(rest)?;
                (Stored::Text { space, text }, rest)
            }
            COMPOSITE => (Stored::Composite(rest), &[]),
            LONG_COMPOSITE => {
                let (hash, rest) = rest.split_first_chunk()?;
                (Stored::Long(*hash), rest)
            }
            _ => return Stored::take_span(space, rest),
        })
    }

    fn take_span(space: u8, bytes: &'a [u8]) -> Option<(Stored<'a>, &'a [u8])> {
        let (points, by) = (space & 0xf0, space & 0x0f);
        let (first, rest) = take_ordered(bytes)?;
        let (second, rest) = match (points, by) {
            (DATE, 0) => {
                let (length, rest) = rest.split_first_chunk::<5>()?;
                let length = length.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
                (first.checked_add(length)?, rest)
            }
            (_, 0) => (first, rest),
            _ => take_ordered(rest)?,
        };
        let (lo, hi) = if by == BY_HI { (second, first) } else { (first, second) };
        Some(match points {
            _ if by > BY_HI => return None,
            DATE => (Stored::Date(i64_of(lo), i64_of(hi)), rest),
            NUMBER => (Stored::Number(f64_of(lo), f64_of(hi)), rest),
            QUANTITY => {
                let (code, rest) = Text::take(rest)?;
                let (system, rest) = rest.split_first_chunk()?;
                let (unit, rest) = Text::take(rest)?;
                (Stored::Quantity { lo: f64_of(lo), hi: f64_of(hi), code, system, unit }, rest)
            }
            _ => return None,
        })
    }

    /// What a resource with this value sorts by ([`sort_text`], [`sort_number`]). `None` for kinds that do not sort.
    pub(super) fn sort_component(&self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Stored::Token { code, .. } => sort_text(out, TOKEN, &code.plain()),
            Stored::String { folded, .. } => sort_text(out, STRING, &folded.plain()),
            Stored::Text { space, text } => sort_text(out, *space, &text.plain()),
            Stored::Date(lo, _) => sort_number(out, DATE, ordered_i64(*lo)),
            Stored::Number(lo, _) => sort_number(out, NUMBER, ordered_f64(*lo)),
            Stored::Quantity { lo, .. } => sort_number(out, QUANTITY, ordered_f64(*lo)),
            Stored::Composite(_) | Stored::Long(_) => return None,
        }
        Some(())
    }
}

fn take_ordered(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

/// A sort component of a text: its kind's space, and the first [`SortBy::TEXT_LENGTH`] bytes as a text.
pub(crate) fn sort_text(out: &mut Vec<u8>, space: u8, text: &[u8]) {
    out.push(space);
    for &byte in text.iter().take(SortBy::TEXT_LENGTH) {
        match byte {
            0 => out.extend_from_slice(&[1, 2]),
            1 => out.extend_from_slice(&[1, 3]),
            _ => out.push(byte),
        }
    }
    out.push(0);
}

/// A sort component of a number that sorts: its kind's space of points, and eight bytes.
pub(crate) fn sort_number(out: &mut Vec<u8>, space: u8, ordered: u64) {
    out.push(space);
    out.extend_from_slice(&ordered.to_be_bytes());
}

/// Appends the sort component of a value; whether its kind sorts.
pub(crate) fn sort_value(out: &mut Vec<u8>, value: &Value<'_>) -> bool {
    match *value {
        Value::Token { code, .. } => sort_text(out, TOKEN, code.as_bytes()),
        Value::String(text) => sort_text(out, STRING, fold(text).as_bytes()),
        Value::Uri(text) => sort_text(out, URI, text.as_bytes()),
        Value::Reference(text) => sort_text(out, REFERENCE, text.as_bytes()),
        Value::Date { lo, .. } => sort_number(out, DATE, ordered_i64(lo)),
        Value::Number { lo, .. } => sort_number(out, NUMBER, ordered_f64(lo)),
        Value::Quantity { lo, .. } => sort_number(out, QUANTITY, ordered_f64(lo)),
        Value::Composite(_) => return false,
    }
    true
}

/// A predicate prepared to be asked of encoded values.
#[derive(Debug)]
pub(super) enum Test {
    Token {
        code: Option<Vec<u8>>,
        system: Option<[u8; 8]>,
    },
    String {
        how: StringMatch,
        folded: Box<str>,
        exact: Vec<u8>,
    },
    Texts {
        space: u8,
        encoded: Vec<Vec<u8>>,
    },
    Date(Comparison, i64, i64),
    Number(Comparison, f64, f64),
    Quantity {
        comparison: Comparison,
        lo: f64,
        hi: f64,
        code: Option<Vec<u8>>,
        system: Option<[u8; 8]>,
    },
    Composite(Vec<Test>),
    /// Below a uri.
    Below(Box<[u8]>),
    NoneOf(Vec<Test>),
}

/// What a test says of an encoded value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// The key does not tell; the database `long` does.
    Long(LongHash),
}

impl From<bool> for Answer {
    fn from(yes: bool) -> Answer {
        if yes { Answer::Yes } else { Answer::No }
    }
}

impl Test {
    /// Prepares a predicate.
    pub(super) fn new(predicate: &Predicate) -> Test {
        let text = |text: &str, limit| {
            let mut out = Vec::new();
            put_plain_text(&mut out, text, limit);
            out
        };
        let hash = |system: &Option<Box<str>>| system.as_deref().map(system_hash);
        match predicate {
            Predicate::Token { system, code } => {
                Test::Token { code: code.as_deref().map(|code| text(code, TEXT_LIMIT)), system: hash(system) }
            }
            Predicate::String(how, text) => {
                let mut exact = Vec::new();
                put_string(&mut exact, text, &fold(text));
                Test::String { how: *how, folded: fold(text).into(), exact }
            }
            Predicate::Uri(uri) => Test::Texts { space: URI, encoded: vec![text(uri, TEXT_LIMIT)] },
            Predicate::Reference(targets) => Test::Texts {
                space: REFERENCE,
                encoded: targets.iter().map(|target| text(target, TEXT_LIMIT)).collect(),
            },
            &Predicate::Date(comparison, lo, hi) => Test::Date(comparison, lo, hi),
            &Predicate::Number(comparison, lo, hi) => Test::Number(comparison, lo, hi),
            Predicate::Quantity { comparison, lo, hi, system, code } => Test::Quantity {
                comparison: *comparison,
                lo: *lo,
                hi: *hi,
                code: code.as_deref().map(|code| text(code, UNIT_LIMIT)),
                system: hash(system),
            },
            Predicate::Composite(parts) => Test::Composite(parts.iter().map(Test::new).collect()),
            Predicate::UriBelow(uri) => Test::Below(uri.as_bytes().into()),
            Predicate::NoneOf(predicates) => Test::NoneOf(predicates.iter().map(Test::new).collect()),
        }
    }

    /// Asks it of a value.
    pub(super) fn ask(&self, value: &Stored<'_>) -> Answer {
        let same = |asked: &Option<Vec<u8>>, text: &Text<'_>| {
            asked.as_deref().is_none_or(|asked| asked == text.encoded)
        };
        let of = |asked: &Option<[u8; 8]>, hash: &[u8; 8]| asked.is_none_or(|asked| asked == *hash);
        match (self, value) {
            (_, Stored::Long(hash)) => Answer::Long(*hash),
            (Test::Token { code: asked, system: by }, Stored::Token { code, system }) => {
                (same(asked, code) && of(by, system)).into()
            }
            (Test::String { how, folded: asked, exact }, Stored::String { folded, encoded }) => {
                ask_string(*how, asked, exact, folded, encoded)
            }
            (Test::Texts { space, encoded }, Stored::Text { space: kind, text }) => {
                (space == kind && encoded.iter().any(|asked| asked == text.encoded)).into()
            }
            (&Test::Date(comparison, from, to), &Stored::Date(lo, hi)) => {
                comparison.holds((from, to), (lo, hi)).into()
            }
            (&Test::Number(comparison, from, to), &Stored::Number(lo, hi)) => {
                comparison.holds((from, to), (lo, hi)).into()
            }
            (
                Test::Quantity { comparison, lo: from, hi: to, code: asked, system: by },
                Stored::Quantity { lo, hi, code, system, unit },
            ) => {
                let unit_fits = same(asked, code) || (by.is_none() && same(asked, unit));
                (unit_fits && of(by, system) && comparison.holds((*from, *to), (*lo, *hi))).into()
            }
            (Test::Composite(parts), Stored::Composite(bytes)) => ask_parts(parts, bytes).into(),
            (Test::Below(above), Stored::Text { space: URI, text }) => is_below(above, &text.plain()).into(),
            (Test::NoneOf(tests), value) => {
                let answers = || tests.iter().map(|test| test.ask(value));
                if answers().any(|answer| answer == Answer::Yes) {
                    return Answer::No;
                }
                let long = answers().find(|answer| matches!(answer, Answer::Long(_)));
                long.unwrap_or(self.is_about(value).into())
            }
            _ => Answer::No,
        }
    }

    /// Whether a value is of the kind that it asks of.
    fn is_about(&self, value: &Stored<'_>) -> bool {
        match (self, value) {
            (Test::Token { .. }, Stored::Token { .. })
            | (Test::String { .. }, Stored::String { .. })
            | (Test::Date(..), Stored::Date(..))
            | (Test::Number(..), Stored::Number(..))
            | (Test::Quantity { .. }, Stored::Quantity { .. })
            | (Test::Composite(_), Stored::Composite(_))
            | (Test::Below(_), Stored::Text { space: URI, .. }) => true,
            (Test::Texts { space, .. }, Stored::Text { space: kind, .. }) => space == kind,
            (Test::NoneOf(tests), value) => tests.first().is_some_and(|first| first.is_about(value)),
            _ => false,
        }
    }

    /// The beginning of the keys of the uris below one.
    pub(super) fn below_prefix(above: &[u8]) -> Vec<u8> {
        let mut prefix = vec![URI];
        for &byte in above {
            match byte {
                0 => prefix.extend_from_slice(&[1, 2]),
                1 => prefix.extend_from_slice(&[1, 3]),
                _ => prefix.push(byte),
            }
        }
        prefix.truncate(TEXT_LIMIT);
        prefix
    }

    /// The beginning of the keys of the composites that fulfil it, so far as it is known: its first components
    /// as long as each has only one encoding.
    pub(super) fn composite_prefix(parts: &[Test]) -> Vec<u8> {
        let mut prefix = vec![COMPOSITE];
        for part in parts {
            match part {
                Test::Token { code: Some(code), system } => {
                    prefix.push(TOKEN);
                    prefix.extend_from_slice(code);
                    match system {
                        Some(system) => prefix.extend_from_slice(system),
                        None => break,
                    }
                }
                Test::Texts { space, encoded } if encoded.len() == 1 => {
                    prefix.push(*space);
                    encoded.iter().for_each(|text| prefix.extend_from_slice(text));
                }
                Test::String { how: StringMatch::Exact, exact, .. } => prefix.extend_from_slice(exact),
                _ => break,
            }
        }
        prefix.truncate(VALUE_LIMIT);
        prefix
    }
}

fn ask_string(how: StringMatch, asked: &str, exact: &[u8], folded: &Text<'_>, encoded: &[u8]) -> Answer {
    let plain = folded.plain();
    let known = match how {
        StringMatch::Exact => return (exact == encoded).into(),
        // Of a text that was cut the end is not known.
        StringMatch::Same => folded.hash.is_none() && *plain == *asked.as_bytes(),
        StringMatch::EndsWith => folded.hash.is_none() && plain.ends_with(asked.as_bytes()),
        StringMatch::StartsWith => plain.starts_with(asked.as_bytes()),
        StringMatch::Contains => contains(&plain, asked.as_bytes()),
    };
    match folded.hash {
        Some(hash) if !known => Answer::Long(hash),
        _ => known.into(),
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    match (std::str::from_utf8(text), std::str::from_utf8(part)) {
        (Ok(text), Ok(part)) => text.contains(part),
        // A text that was cut within a character.
        _ => part.is_empty() || text.windows(part.len()).any(|window| window == part),
    }
}

fn ask_parts(parts: &[Test], mut bytes: &[u8]) -> bool {
    for part in parts {
        let Some((value, rest)) = Stored::take(bytes) else { return false };
        if part.ask(&value) != Answer::Yes {
            return false;
        }
        bytes = rest;
    }
    bytes.is_empty()
}

/// The end of the keys that begin with a prefix: the least bytes above them all. Empty if there are none.
pub(super) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-c\u{0}\u{1}\u{2} É]{0,6}",
            (".{0,2}", 0_usize..500).prop_map(|(end, length)| "a\u{1}".repeat(length) + &end),
            "[ab]{395,405}",
        ]
    }

    fn key(value: &Value<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        put_value(&mut out, value);
        out
    }

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![Just(0.0), Just(-0.0), -3.0..3.0, any::<f64>().prop_filter("NaN", |n| !n.is_nan())]
    }

    proptest! {
        #[test]
        fn numbers_sort_and_come_back(a in number(), b in number(), c in any::<i64>(), d in any::<i64>()) {
            prop_assert_eq!(ordered_f64(a).cmp(&ordered_f64(b)), a.partial_cmp(&b).unwrap());
            prop_assert_eq!(f64_of(ordered_f64(a)), a);
            prop_assert_eq!(ordered_i64(c).cmp(&ordered_i64(d)), c.cmp(&d));
            prop_assert_eq!(i64_of(ordered_i64(c)), c);
        }

        #[test]
        fn texts_sort_and_are_told_apart(a in text(), b in text()) {
            let (x, y) = (key(&Value::Uri(&a)), key(&Value::Uri(&b)));
            prop_assert_eq!(x == y, a == b);
            if a.len() < 190 && b.len() < 190 {
                prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            }
            let (x, y) = (key(&Value::String(&a)), key(&Value::String(&b)));
            prop_assert_eq!(x == y, a == b);
        }

        #[test]
        fn values_come_back(
            a in text(), b in text(), c in text(), lo in number(), more in number(), from in any::<i64>(), length in 0..1_i64 << 38,
        ) {
            let hi = lo.max(more);
            let to = from.saturating_add(length);
            for value in [
                Value::Token { system: &a, code: &b },
                Value::String(&a),
                Value::Uri(&a),
                Value::Reference(&b),
                Value::Date { lo: from, hi: to },
                Value::Number { lo, hi },
                Value::Quantity { lo, hi, system: &a, code: &b, unit: &c },
                Value::Composite(vec![Value::Token { system: &a, code: &b }, Value::Number { lo, hi }, Value::String(&c)]),
            ] {
                let mut keys = vec![key(&value)];
                let mut second = Vec::new();
                if put_second(&mut second, &value) && !matches!(value, Value::Token { .. }) {
                    keys.push(second);
                }
                for mut key in keys {
                    prop_assert!(key.len() <= 505, "{} bytes", key.len());
                    let composite = matches!(value, Value::Composite(_));
                    if !composite {
                        key.extend_from_slice(b"\x01\x00more");
                    }
                    let (stored, rest) = Stored::take(&key).unwrap();
                    prop_assert_eq!(rest, if composite { b"" } else { b"\x01\x00more".as_slice() });
                    let mut components = (Vec::new(), Vec::new());
                    let sorts = stored.sort_component(&mut components.0).is_some();
                    prop_assert_eq!(sorts, sort_value(&mut components.1, &value));
                    prop_assert_eq!(components.0, components.1);
                    for predicate in [
                        Predicate::Token { system: Some(a.as_str().into()), code: Some(b.as_str().into()) },
                        Predicate::Token { system: None, code: Some(a.as_str().into()) },
                        Predicate::String(StringMatch::Exact, a.as_str().into()),
                        Predicate::String(StringMatch::StartsWith, b.as_str().into()),
                        Predicate::String(StringMatch::Contains, c.as_str().into()),
                        Predicate::Uri(b.as_str().into()),
                        Predicate::Reference(vec![b.as_str().into(), c.as_str().into()]),
                        Predicate::Date(Comparison::Equal, from, to),
                        Predicate::Number(Comparison::Greater, more, more),
                        Predicate::Quantity { comparison: Comparison::Equal, lo, hi, system: None, code: Some(c.as_str().into()) },
                        Predicate::Quantity { comparison: Comparison::NotEqual, lo, hi: lo, system: Some(a.as_str().into()), code: None },
                        Predicate::Composite(vec![
                            Predicate::Token { system: None, code: Some(b.as_str().into()) },
                            Predicate::Number(Comparison::Equal, lo, hi),
                            Predicate::String(StringMatch::StartsWith, c.as_str().into()),
                        ]),
                    ] {
                        let told = match Test::new(&predicate).ask(&stored) {
                            Answer::Yes => true,
                            Answer::No => false,
                            Answer::Long(hash) => {
                                let mut packed = Vec::new();
                                value.pack(&mut packed);
                                prop_assert_eq!(hash, long_hash(&packed));
                                continue;
                            }
                        };
                        prop_assert_eq!(told, predicate.matches(&value), "{:?} {:?}", predicate, value);
                    }
                }
            }
        }
    }

    #[test]
    fn ends_of_prefixes() {
        for (prefix, end) in [(&b"ab"[..], &b"ac"[..]), (b"a\xff", b"b"), (b"\xff\xff", b""), (b"", b"")] {
            assert_eq!(prefix_end(prefix), end);
        }
    }
}
