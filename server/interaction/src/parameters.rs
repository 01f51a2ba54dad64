//! URL parameters in and out: `a=b&c=d` with percent escapes (<https://url.spec.whatwg.org/#urlencoded-parsing>), as
//! conditions in Bundles and headers hold them and as page links carry them. Knows no parameter's meaning.

/// The parameters of a query string, decoded, in order. Bytes that are no UTF-8 become U+FFFD.
pub(crate) fn decode(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_text(name), decode_text(value))
        })
        .collect()
}

fn decode_text(text: &str) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, tail @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = tail;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*byte),
        }
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Appends `name=value`, escaped but for what a query may hold as it stands, after a `&` unless it is the first.
pub(crate) fn encode(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push('&');
    }
    encode_text(out, name);
    out.push('=');
    encode_text(out, value);
}

fn encode_text(out: &mut String, text: &str) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/,$*!@'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend(DIGITS.get(usize::from(byte >> 4)));
            out.extend(DIGITS.get(usize::from(byte & 15)));
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.extend(char::from_digit(u32::from(digit), 16));
        }
    }
}

/// The bytes of hexadecimal digits; `None` for any other text.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(hex_digit(*high)? << 4 | hex_digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        for (query, expected) in [
            ("", vec![]),
            ("a=b&c", vec![("a", "b"), ("c", "")]),
            ("identifier=http%3A%2F%2Fx%7Cy+z&&n=%C3%A9", vec![("identifier", "http://x|y z"), ("n", "é")]),
            ("a=%zz%4&b=%", vec![("a", "%zz%4"), ("b", "%")]),
            ("a=%ff", vec![("a", "\u{fffd}")]),
            ("a=b=c", vec![("a", "b=c")]),
        ] {
            let found = decode(query);
            let found: Vec<(&str, &str)> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(found, expected, "{query}");
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let pairs = [("identifier", "http://x|y z&=+%"), ("name:exact", "Ünal\"\\"), ("_sort", "-date,_id")];
        let mut query = String::new();
        for (name, value) in pairs {
            encode(&mut query, name, value);
        }
        let found = decode(&query);
        let found: Vec<(&str, &str)> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(found, pairs);
        assert!(query.is_ascii() && !query.contains(['"', '\\', ' ', '|']), "{query}");
    }

    #[test]
    fn hexadecimal() {
        let mut text = String::new();
        to_hex(&[0, 15, 255, 16], &mut text);
        assert_eq!(text, "000fff10");
        assert_eq!(from_hex(&text), Some(vec![0, 15, 255, 16]));
        assert_eq!((from_hex("0"), from_hex("0g")), (None, None));
    }
}
