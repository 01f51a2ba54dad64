//! String manipulation (<https://hl7.org/fhirpath/N1/#string-manipulation>), and what FHIR and the next version of the
//! language add to it. Positions count characters.

use std::borrow::Cow;

use super::super::EvaluationError;
use super::super::evaluate::{Call, Result};
use super::super::item::{Item, Items};
use super::super::operators;

/// The input's text.
fn input_text<'t>(call: &Call<'_, 't>, input: &Items<'t>) -> Result<Option<Cow<'t, str>>> {
    let text = operators::text(call.function.name, input)?;
    call.machine.step(text.as_ref().map_or(0, |text| text.len()))?;
    Ok(text)
}

fn text<'t>(found: impl Into<Cow<'t, str>>) -> Result<Items<'t>> {
    Ok(Items::from_iter([Item::String(found.into())]))
}

fn integer<'t>(value: usize) -> Result<Items<'t>> {
    Ok(Items::from_iter([Item::Integer(i64::try_from(value).unwrap_or(i64::MAX))]))
}

/// A test of the input's text against the argument's.
fn compare<'t>(
    call: &Call<'_, 't>,
    input: &Items<'t>,
    test: impl Fn(&str, &str) -> bool,
) -> Result<Items<'t>> {
    match (input_text(call, input)?, call.text(0)?) {
        (Some(found), Some(wanted)) => Ok(Items::from_iter([Item::Boolean(test(&found, &wanted))])),
        _ => Ok(Items::new()),
    }
}

/// The input's text made into another.
fn map<'t>(call: &Call<'_, 't>, input: &Items<'t>, change: impl Fn(&str) -> String) -> Result<Items<'t>> {
    match input_text(call, input)? {
        Some(found) => text(change(&found)),
        None => Ok(Items::new()),
    }
}

pub(super) fn index_of<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let (Some(found), Some(wanted)) = (input_text(call, &input)?, call.text(0)?) else {
        return Ok(Items::new());
    };
    match found.split_once(wanted.as_ref()) {
        Some((before, _)) => integer(before.chars().count()),
        None => Ok(Items::from_iter([Item::Integer(-1)])),
    }
}

pub(super) fn substring<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let (Some(found), Some(start)) = (input_text(call, &input)?, call.integer(0)?) else {
        return Ok(Items::new());
    };
    let length = if call.has(1) { call.integer(1)? } else { None };
    let Some(start) = usize::try_from(start).ok().filter(|start| *start < found.chars().count()) else {
        return Ok(Items::new());
    };
    let length = length.map_or(usize::MAX, |length| usize::try_from(length).unwrap_or(0));
    text(found.chars().skip(start).take(length).collect::<String>())
}

pub(super) fn starts_with<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    compare(call, &input, |found, wanted| found.starts_with(wanted))
}

pub(super) fn ends_with<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    compare(call, &input, |found, wanted| found.ends_with(wanted))
}

pub(super) fn contains<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    compare(call, &input, |found, wanted| found.contains(wanted))
}

pub(super) fn upper<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    map(call, &input, str::to_uppercase)
}

pub(super) fn lower<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    map(call, &input, str::to_lowercase)
}

pub(super) fn trim<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    map(call, &input, |found| found.trim().to_owned())
}

pub(super) fn replace<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let (Some(pattern), Some(by)) = (call.text(0)?, call.text(1)?) else { return Ok(Items::new()) };
    let Some(found) = input_text(call, &input)? else { return Ok(Items::new()) };
    call.machine.step((found.len() + 1).saturating_mul(by.len() + 1))?;
    text(found.replace(pattern.as_ref(), &by))
}

/// A regular expression, compiled.
#[derive(Debug, Clone)]
pub(in super::super) struct Pattern {
    regex: regex_lite::Regex,
    /// About how many states it has: with each character of a text, each may have to be visited.
    states: usize,
}

impl Pattern {
    /// A point also stands for the end of a line. `None` for no regular expression, or one too large.
    pub fn new(text: &str, is_whole: bool) -> Option<Pattern> {
        let whole = is_whole.then(|| format!("^(?:{text})$"));
        let built = whole.as_deref().unwrap_or(text);
        let mut builder = regex_lite::RegexBuilder::new(built);
        let regex = builder.dot_matches_new_line(true).size_limit(MAX_REGEX).build().ok()?;
        Some(Pattern { regex, states: states(text) })
    }

    /// Counts the work of going through a text.
    fn visit(&self, call: &Call<'_, '_>, text: &str) -> Result<()> {
        call.machine.step((text.len() + 1).saturating_mul(1 + self.states / STATES_PER_STEP))
    }
}

/// A bound from above: each repetition repeats all of it.
fn states(pattern: &str) -> usize {
    let repeated = pattern.split('{').skip(1).filter_map(|part| {
        let counts = part.split_once('}')?.0;
        counts.rsplit(',').find_map(|count| count.trim().parse::<usize>().ok())
    });
    repeated.fold(pattern.len() + 1, |states, count| states.saturating_mul(count + 1)).min(MAX_STATES)
}

/// Largest program of a regular expression, bytes, and the most states that fit.
const MAX_REGEX: usize = 1 << 20;
const MAX_STATES: usize = MAX_REGEX / 16;
/// States that are visited in the time of a step.
const STATES_PER_STEP: usize = 4;

/// The first argument as a regular expression: compiled with the expression when it is a literal.
fn pattern<'c>(call: &'c Call<'_, '_>, is_whole: bool) -> Result<Option<Cow<'c, Pattern>>> {
    if let Some(known) = call.pattern(0) {
        return Ok(Some(Cow::Borrowed(known)));
    }
    let Some(text) = call.text(0)? else { return Ok(None) };
    call.machine.step(states(&text).saturating_mul(STATES_PER_STEP))?;
    match Pattern::new(&text, is_whole) {
        Some(pattern) => Ok(Some(Cow::Owned(pattern))),
        None => {
            let name = call.function.name;
            Err(EvaluationError::new(format!("the pattern of {name}() is no regular expression")))
        }
    }
}

/// Whether the argument, a regular expression, is found in the input.
fn matches_as<'t>(call: &Call<'_, 't>, input: &Items<'t>, is_whole: bool) -> Result<Items<'t>> {
    let Some(found) = input_text(call, input)? else { return Ok(Items::new()) };
    let Some(pattern) = pattern(call, is_whole)? else { return Ok(Items::new()) };
    pattern.visit(call, &found)?;
    Ok(Items::from_iter([Item::Boolean(pattern.regex.is_match(&found))]))
}

/// Somewhere in the text.
pub(super) fn matches<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    matches_as(call, &input, false)
}

/// The whole text.
pub(super) fn matches_full<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    matches_as(call, &input, true)
}

/// An empty pattern replaces nothing.
pub(super) fn replace_matches<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let (Some(pattern), Some(by)) = (pattern(call, false)?, call.text(1)?) else { return Ok(Items::new()) };
    let Some(found) = input_text(call, &input)? else { return Ok(Items::new()) };
    if pattern.regex.as_str().is_empty() {
        return text(found);
    }
    pattern.visit(call, &found)?;
    call.machine.step((found.len() + 1).saturating_mul(by.len() + 1))?;
    text(pattern.regex.replace_all(&found, by.as_ref()).into_owned())
}

pub(super) fn length<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    match input_text(call, &input)? {
        Some(found) => integer(found.chars().count()),
        None => Ok(Items::new()),
    }
}

pub(super) fn to_chars<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let found = input_text(call, &input)?.unwrap_or_default();
    Ok(found.chars().map(|c| Item::String(c.to_string().into())).collect())
}

pub(super) fn split<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let (Some(found), Some(separator)) = (input_text(call, &input)?, call.text(0)?) else {
        return Ok(Items::new());
    };
    if separator.is_empty() {
        return to_chars(call, input);
    }
    Ok(found.split(separator.as_ref()).map(|part| Item::String(part.to_owned().into())).collect())
}

pub(super) fn join<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let separator = call.text(0)?.unwrap_or_default();
    let mut out = String::new();
    for (number, item) in input.iter().enumerate() {
        if number > 0 {
            out.push_str(&separator);
        }
        let part = operators::text("join", std::slice::from_ref(item))?.unwrap_or_default();
        call.machine.step(part.len() + separator.len())?;
        out.push_str(&part);
    }
    if input.is_empty() { Ok(Items::new()) } else { text(out) }
}

/// `html` and `json`.
pub(super) fn escape<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    match call.text(0)?.as_deref() {
        Some("html") => map(call, &input, |found| {
            let found = found.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            found.replace('"', "&quot;").replace('\'', "&#39;")
        }),
        Some("json") => map(call, &input, |found| found.replace('\\', "\\\\").replace('"', "\\\"")),
        Some(other) => Err(EvaluationError::new(format!("escape() knows html and json, not '{other}'"))),
        None => Ok(Items::new()),
    }
}

pub(super) fn unescape<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    match call.text(0)?.as_deref() {
        Some("html") => map(call, &input, |found| {
            let found = found.replace("&quot;", "\"").replace("&#39;", "'");
            found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        }),
        Some("json") => map(call, &input, |found| found.replace("\\\"", "\"").replace("\\\\", "\\")),
        Some(other) => Err(EvaluationError::new(format!("unescape() knows html and json, not '{other}'"))),
        None => Ok(Items::new()),
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// `hex`, `base64` and `urlbase64`, of the text as UTF-8.
pub(super) fn encode<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    match call.text(0)?.as_deref() {
        Some("hex") => map(call, &input, |found| found.bytes().map(|byte| format!("{byte:02x}")).collect()),
        Some("base64") => map(call, &input, |found| to_base64(found.as_bytes(), BASE64)),
        Some("urlbase64") => map(call, &input, |found| to_base64(found.as_bytes(), URL_BASE64)),
        Some(other) => {
            Err(EvaluationError::new(format!("encode() knows hex, base64 and urlbase64, not '{other}'")))
        }
        None => Ok(Items::new()),
    }
}

/// The reverse of [`encode`]; empty for what is no code of a text.
pub(super) fn decode<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let (Some(found), Some(format)) = (input_text(call, &input)?, call.text(0)?) else {
        return Ok(Items::new());
    };
    let bytes = match format.as_ref() {
        "hex" => from_hex(&found),
        "base64" => from_base64(&found, BASE64),
        "urlbase64" => from_base64(&found, URL_BASE64),
        other => {
            return Err(EvaluationError::new(format!(
                "decode() knows hex, base64 and urlbase64, not '{other}'"
            )));
        }
    };
    match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(decoded) => text(decoded),
        None => Ok(Items::new()),
    }
}

fn to_base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for sextet in 0..4usize {
            let index = bits >> (18 - 6 * sextet) & 63;
            let letter = usize::try_from(index).ok().and_then(|index| alphabet.get(index)).copied();
            out.push(if sextet > chunk.len() { '=' } else { letter.map_or('=', char::from) });
        }
    }
    out
}

fn from_base64(text: &str, alphabet: &[u8; 64]) -> Option<Vec<u8>> {
    let letters = text.trim_end_matches('=');
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for letter in letters.bytes() {
        let value = alphabet.iter().position(|other| *other == letter)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(out)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
        })
        .collect()
}
