//! How a text becomes words: runs of letters and digits, folded as string search folds them, each with its place. The index
//! and the evaluation of one text share it, so that they cannot disagree.

use unicode_normalization::char::is_combining_mark;

use crate::fold;

/// Stands between texts that no phrase spans.
pub(crate) const BOUNDARY: char = '\u{1f}';

/// Longer runs, bytes, are not words: hashes, keys, encoded data.
pub(crate) const MAX_WORD_BYTES: usize = 100;

/// Hands over each word with its place. Behind a [`BOUNDARY`] one place is left free.
pub(crate) fn each_word(text: &str, mut found: impl FnMut(u32, &str)) {
    let mut place = 0;
    let mut start = None;
    let mut end_run = |start: &mut Option<usize>, end: usize, place: &mut u32| {
        let Some(word) = start.take().and_then(|start| text.get(start..end)) else { return };
        if word.len() <= MAX_WORD_BYTES {
            found(*place, &fold(word));
        }
        *place = place.saturating_add(1);
    };
    for (at, c) in text.char_indices() {
        if is_written_without_spaces(c) {
            end_run(&mut start, at, &mut place);
            start = Some(at);
            end_run(&mut start, at + c.len_utf8(), &mut place);
        } else if c.is_alphanumeric() || (start.is_some() && is_combining_mark(c)) {
            start.get_or_insert(at);
        } else {
            end_run(&mut start, at, &mut place);
            if c == BOUNDARY {
                place = place.saturating_add(1);
            }
        }
    }
    end_run(&mut start, text.len(), &mut place);
}

/// Whether words of such characters are not set apart by spaces: each character is a word, several are a phrase.
fn is_written_without_spaces(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |text: &str, expected: &[(u32, &str)]| {
            let mut words = Vec::new();
            each_word(text, |place, word| words.push((place, word.to_owned())));
            let words: Vec<(u32, &str)> = words.iter().map(|(place, word)| (*place, word.as_str())).collect();
            assert_eq!(words, expected, "{text}");
        };
        check("", &[]);
        check("  ..", &[]);
        check("Crème  BRÛLÉE, 2.5mg", &[(0, "creme"), (1, "brulee"), (2, "2"), (3, "5mg")]);
        check("Cre\u{301}me", &[(0, "creme")]);
        check("covid-19\u{1f}b", &[(0, "covid"), (1, "19"), (3, "b")]);
        check("ΟΔΟΣ straße", &[(0, "οδοσ"), (1, "straße")]);
        check("糖尿病2型x", &[(0, "糖"), (1, "尿"), (2, "病"), (3, "2"), (4, "型"), (5, "x")]);
        check(&format!("a {} b", "x".repeat(101)), &[(0, "a"), (2, "b")]);
    }
}
