//! Bytes as text for a JSON string, denser than base64: 13 bits in two of 91 characters, none of which JSON
//! escapes. 1.231 characters for a byte (base64: 1.333).

/// Printable ASCII without space, `"`, `'` and `\`. Part of the stored format.
const ALPHABET: &[u8; 91] =
    b"!#$%&()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~";

const BASE: u32 = 91;
/// Bits in two characters; the last character may stand alone for up to [`ALONE`].
const PAIR: u32 = 13;
const ALONE: u32 = 6;

/// What is no character of the alphabet, in [`VALUES`].
const NONE: u8 = 255;

const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut i = 0;
    #[allow(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "evaluated by the compiler, within bounds"
    )]
    while i < ALPHABET.len() {
        values[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    values
};

/// How many characters `bytes` bytes take.
pub(super) fn length(bytes: usize) -> usize {
    let bits = bytes.saturating_mul(8);
    let (pairs, rest) = (bits / PAIR as usize, bits % PAIR as usize);
    let last = match rest {
        0 => 0,
        rest if rest <= ALONE as usize => 1,
        _ => 2,
    };
    pairs * 2 + last
}

/// The text of some bytes.
pub(super) fn write(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(length(bytes.len()));
    let (mut queue, mut bits) = (0_u32, 0_u32);
    for &byte in bytes {
        queue |= u32::from(byte) << bits;
        bits += 8;
        if bits >= PAIR {
            let pair = queue & ((1 << PAIR) - 1);
            text.push(character(pair % BASE));
            text.push(character(pair / BASE));
            queue >>= PAIR;
            bits -= PAIR;
        }
    }
    if bits > 0 {
        text.push(character(queue % BASE));
        if bits > ALONE {
            text.push(character(queue / BASE));
        }
    }
    text
}

fn character(value: u32) -> char {
    ALPHABET.get(value as usize).copied().map_or('!', char::from)
}

/// Appends the bytes that `text` was written from; `None` if [`write`] never writes such a text.
pub(super) fn read(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let start = bytes.len();
    bytes.reserve(text.len() * PAIR as usize / 16 + 1);
    let (mut queue, mut bits) = (0_u32, 0_u32);
    for pair in text.as_bytes().chunks(2) {
        let (value, width) = match pair {
            [low, high] => (digit(*low)? + digit(*high)? * BASE, PAIR),
            [low] => (digit(*low)?, ALONE),
            _ => return None,
        };
        if value >> width != 0 {
            return None;
        }
        queue |= value << bits;
        bits += width;
        while bits >= 8 {
            bytes.push(u8::try_from(queue & 0xff).ok()?);
            queue >>= 8;
            bits -= 8;
        }
    }
    // What is left over is padding, and no whole character of it.
    (queue == 0 && length(bytes.len() - start) == text.len()).then_some(())
}

fn digit(character: u8) -> Option<u32> {
    VALUES.get(usize::from(character)).copied().filter(|value| *value != NONE).map(u32::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn characters_are_each_others_only_once_and_unescaped() {
        let mut seen = ALPHABET.to_vec();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), ALPHABET.len());
        let text = std::str::from_utf8(ALPHABET).unwrap();
        assert_eq!(serde_json::to_string(text).unwrap().len(), text.len() + 2);
    }

    #[test]
    fn texts_that_are_never_written_are_refused() {
        let check = |text: &str| assert_eq!(read(text, &mut Vec::new()), None, "{text}");
        check("!"); // six bits are no byte
        check("!!!!!!"); // four bytes take five characters, and five take seven
        check("!\""); // not of the alphabet
        check("é");
        check("~~"); // 90 * 91 + 90 is more than 13 bits
        check("!~"); // padding that is not zero
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = write(&bytes);
            prop_assert_eq!(text.len(), length(bytes.len()));
            let mut back = Vec::new();
            prop_assert_eq!(read(&text, &mut back), Some(()));
            prop_assert_eq!(back, bytes);
        }

        #[test]
        fn a_text_that_is_read_is_the_one_that_is_written(text in "[!-~]{0,40}") {
            let mut bytes = Vec::new();
            if read(&text, &mut bytes).is_some() {
                prop_assert_eq!(write(&bytes), text);
            }
        }
    }
}
