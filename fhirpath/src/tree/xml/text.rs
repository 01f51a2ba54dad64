//! The texts of XML (<https://www.w3.org/TR/xml/>): characters, references, attribute values.

/// The longest reference that is read, bytes from `&` to `;`.
const MAX_REFERENCE: usize = 32;

/// An attribute's value without its escapes: references resolved, line breaks and tabs made spaces. What is no reference,
/// even if it should be, stays as it is.
pub(in crate::tree) fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\n', '\r', '\t']) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let (found, length) = match special.as_bytes() {
            [b'&', ..] => reference(special).unwrap_or(('&', 1)),
            [b'\r', b'\n', ..] => (' ', 2),
            _ => (' ', 1),
        };
        out.push(found);
        rest = special.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Reads the reference that `text` starts with: its character and how many bytes it takes. `None` when it is none, or
/// names an entity that XML does not have by itself.
pub(super) fn reference(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(MAX_REFERENCE).position(|byte| byte == b';')?;
    let found = match text.get(1..end)? {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        name => {
            let number = name.strip_prefix('#')?;
            let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
            let all_digits = digits.chars().all(|digit| digit.is_digit(radix));
            char::from_u32(u32::from_str_radix(digits, radix).ok().filter(|_| all_digits)?)
                .filter(|&char| is_char(char))?
        }
    };
    Some((found, end + 1))
}

/// The place of the first `&` that begins no reference.
pub(super) fn bad_reference(text: &str) -> Option<usize> {
    memchr::memchr_iter(b'&', text.as_bytes()).find(|&at| text.get(at..).and_then(reference).is_none())
}

/// Whether XML 1.0 has a character.
pub(super) fn is_char(char: char) -> bool {
    match char {
        '\t' | '\n' | '\r' => true,
        '\u{FFFE}' | '\u{FFFF}' => false,
        other => other >= ' ',
    }
}

/// The first character that XML 1.0 does not have, and its place.
pub(super) fn forbidden(text: &str) -> Option<(usize, char)> {
    // U+FFFE and U+FFFF are the only ones above U+001F, and begin with this byte.
    let suspect = |&byte: &u8| (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0xEF;
    if !text.as_bytes().iter().any(suspect) {
        return None;
    }
    text.char_indices().find(|&(_, char)| !is_char(char))
}

/// Whether a text is nothing but XML's white space.
pub(super) fn is_blank(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// Appends a text as it stands in an attribute's double quotes. It has no character that XML does not have.
pub(super) fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escaped: &[u8] = match byte {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'"' => b"&quot;",
            b'\t' => b"&#x9;",
            b'\n' => b"&#xA;",
            b'\r' => b"&#xD;",
            _ => continue,
        };
        out.extend_from_slice(bytes.get(plain..at).unwrap_or_default());
        out.extend_from_slice(escaped);
        plain = at + 1;
    }
    out.extend_from_slice(bytes.get(plain..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for (raw, expected) in [
            ("a", "a"),
            ("&amp;&lt;&gt;&quot;&apos;", "&<>\"'"),
            ("&#65;&#x41;&#x1F600;&#00000065;", "AA😀A"),
            ("a\r\nb\rc\nd\te&#xA;&#x9;&#xD;", "a b c d e\n\t\r"),
            ("&amp;lt;", "&lt;"),
        ] {
            assert_eq!(unescape(raw), expected, "{raw}");
            assert_eq!(bad_reference(raw), None, "{raw}");
        }
        for raw in [
            "&", "&;", "&nbsp;", "&#;", "&#x;", "&#0;", "&#1;", "&#xD800;", "&#xFFFF;", "&#+65;", "&#X41;",
            "&amp",
        ] {
            assert_eq!(bad_reference(raw), Some(0), "{raw}");
            assert_eq!(unescape(raw), raw);
        }
    }

    #[test]
    fn characters() {
        assert_eq!(forbidden("a\u{1}"), Some((1, '\u{1}')));
        assert_eq!(forbidden("é\u{FFFE}"), Some((2, '\u{FFFE}')));
        assert_eq!(forbidden("\u{FEFF}\u{FFFD}\t\r\n\u{7F}\u{85}"), None);
        let mut out = Vec::new();
        escape(&mut out, "<a b=\"c\">&'\r\n\t");
        assert_eq!(out, b"&lt;a b=&quot;c&quot;>&amp;'&#xD;&#xA;&#x9;");
    }
}
