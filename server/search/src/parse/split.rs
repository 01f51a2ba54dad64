//! Separators and escapes of values (<https://hl7.org/fhir/R4/search.html#escaping>): `\,` `\$` `\|` `\\` stand for the
//! character itself. A backslash before anything else is a backslash.

use std::borrow::Cow;

/// The parts between the separators that are not escaped, escapes kept.
pub(super) fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (part, next) = match position(text, separator) {
            Some(at) => (text.get(..at)?, text.get(at + 1..)),
            None => (text, None),
        };
        rest = next;
        Some(part)
    })
}

/// Where the first separator is that is not escaped.
fn position(text: &str, separator: u8) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let found = byte == separator && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

/// The text that an escaped one stands for.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        let escaped = if next == '\\' { rest.next_if(|c| matches!(c, ',' | '$' | '|' | '\\')) } else { None };
        plain.push(escaped.unwrap_or(next));
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::{split, unescape};

    fn check(text: &str, separator: char, expected: &[&str]) {
        let parts: Vec<String> =
            split(text, u8::try_from(separator).unwrap()).map(|part| unescape(part).into_owned()).collect();
        assert_eq!(parts, expected, "{text}");
    }

    #[test]
    fn separators() {
        check("a,b", ',', &["a", "b"]);
        check("a\\,b,c", ',', &["a,b", "c"]);
        check("a\\\\,b", ',', &["a\\", "b"]);
        check("", ',', &[""]);
        check(",", ',', &["", ""]);
        check("a|b\\|c", '|', &["a", "b|c"]);
        check("code$value\\$", '$', &["code", "value$"]);
        check("a\\b\\", ',', &["a\\b\\"]);
        check("é,ü\\,", ',', &["é", "ü,"]);
    }
}
