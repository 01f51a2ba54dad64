//! What `_text` and `_content` are asked for: words that a resource has, and how they are put together.

use super::Stored;
use super::dice::Dice;

/// Words that join others.
const JOINING: [&str; 3] = ["and", "or", "not"];

/// A criterion on the words of a resource, if it has any.
pub fn words(dice: &mut Dice<'_>, of: &Stored) -> Option<(String, String)> {
    let (name, text) = *dice.pick(&[("_content", &of.texts.content), ("_text", &of.texts.narrative)]);
    let is_word = |word: &&str| !word.is_empty() && !JOINING.contains(&word.to_lowercase().as_str());
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(is_word).collect();
    let at = dice.roll(words.len());
    let word = words.get(at)?;
    let next = words.get(at + 1).unwrap_or(word);
    let start: String = word.chars().take(4).collect();
    let value = match dice.roll(9) {
        1 => format!("{word} {next}"),
        2 => format!("{word} OR {next}"),
        3 => format!("\"{word} {next}\""),
        4 if start.chars().all(|c| c.is_ascii_alphanumeric()) => format!("{start}*"),
        5 => format!("{word} NOT {next}"),
        6 => format!("({word} OR absent) AND {next}"),
        7 => format!("{word},{next}"),
        8 => format!("NOT {word}"),
        _ => (*word).to_owned(),
    };
    dice.mark(name);
    Some((name.to_owned(), value))
}
