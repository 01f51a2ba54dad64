//! The texts of JSON (<https://www.rfc-editor.org/rfc/rfc8259>): strings with their escapes.

/// A string's text without its escapes. What is not an escape, even if it should be, stays as it is.
pub(super) fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at(at);
        out.push_str(plain);
        let (found, length) = read_escape(escape.as_bytes()).unwrap_or(('\\', 1));
        out.push(found);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Reads the escape that `bytes` starts with: its character and how many bytes it takes. `None` when it is
/// none of JSON's, or half of a surrogate pair.
pub(super) fn read_escape(bytes: &[u8]) -> Option<(char, usize)> {
    let short = |char| Some((char, 2));
    match bytes.get(1)? {
        b'"' => short('"'),
        b'\\' => short('\\'),
        b'/' => short('/'),
        b'b' => short('\u{8}'),
        b'f' => short('\u{c}'),
        b'n' => short('\n'),
        b'r' => short('\r'),
        b't' => short('\t'),
        b'u' => {
            let unit = hex4(bytes.get(2..6)?)?;
            if let Some(char) = char::from_u32(unit) {
                return Some((char, 6));
            }
            let low = bytes.get(6..12).filter(|next| next.starts_with(b"\\u"))?;
            let pair = [u16::try_from(unit).ok()?, u16::try_from(hex4(low.get(2..)?)?).ok()?];
            let char = char::decode_utf16(pair).next()?.ok()?;
            Some((char, 12))
        }
        _ => None,
    }
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, &digit| Some(sum * 16 + char::from(digit).to_digit(16)?))
}
