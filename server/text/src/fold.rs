//! Folding of text for comparison (<https://hl7.org/fhir/R4/search.html#string>). Splits nothing into words.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

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
}
