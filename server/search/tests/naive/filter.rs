//! The text of a `_filter`, the whole grammar: conditions with every operator of their type, in parentheses, joined and
//! negated, through references and with filters on what these point to.

use conformance::SearchParameterType;
use store::{ParameterId, Value};

use super::Stored;
use super::dice::Dice;
use super::grammar::{Corpus, parameter};
use super::queries::{date, escape, number, token};
use super::terms;

/// Conditions in one another.
const NESTED: usize = 3;
/// The depth of a condition that neither is joined with others nor begins with a path.
pub const ALONE: usize = 4;

/// A filter that a resource has something to do with; its first condition is about `entry`, if there is one.
pub fn filter(
    dice: &mut Dice<'_>,
    of: &Stored,
    entry: Option<(ParameterId, Value<'_>)>,
    corpus: &Corpus<'_>,
    depth: usize,
) -> Option<String> {
    if depth < NESTED && dice.roll(3) == 1 {
        let first = filter(dice, of, entry, corpus, depth + 1)?;
        let second = filter(dice, of, None, corpus, depth + 1)?;
        let joint = *dice.pick(&["and", "or", "or"]);
        dice.mark(format!("filter {joint}"));
        let joined = format!("{first} {joint} {second}");
        return Some(match dice.roll(3) {
            0 => joined,
            1 => format!("({joined})"),
            _ => {
                dice.mark("filter not");
                format!("not ({joined})")
            }
        });
    }
    if depth < ALONE
        && dice.roll(4) == 1
        && let Some(path) = dice.attempt(|dice| path(dice, of, corpus))
    {
        return Some(path);
    }
    if dice.roll(10) == 1 {
        return Some(engine(dice, of));
    }
    condition(dice, of, entry, corpus)
}

fn path(dice: &mut Dice<'_>, of: &Stored, corpus: &Corpus<'_>) -> Option<String> {
    let (link, next) = corpus.target(dice, of)?;
    let link = link.trim_end_matches('.');
    dice.behind("c", |dice| {
        let inside = match dice.roll(3) {
            1 => {
                dice.mark("filter []");
                format!("[{}]", filter(dice, next, None, corpus, NESTED)?)
            }
            _ => String::new(),
        };
        let last = filter(dice, next, None, corpus, NESTED)?;
        dice.mark("filter path");
        Some(format!("{link}{inside}.{last}"))
    })
}

fn engine(dice: &mut Dice<'_>, of: &Stored) -> String {
    if dice.roll(2) == 1 {
        let operator = *dice.pick(&["eq", "ne"]);
        dice.mark(format!("filter _id {operator}"));
        return format!("_id {operator} {}", of.id);
    }
    let operator = *dice.pick(&DATE);
    dice.mark(format!("filter _lastUpdated {operator}"));
    let text = date(dice, of.last_updated, of.last_updated);
    format!("_lastUpdated {operator} {}", text.trim_start_matches(|c: char| c.is_ascii_lowercase()))
}

const ORDERED: [&str; 9] = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];
const DATE: [&str; 10] = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap", "po"];

fn condition(
    dice: &mut Dice<'_>,
    of: &Stored,
    entry: Option<(ParameterId, Value<'_>)>,
    corpus: &Corpus<'_>,
) -> Option<String> {
    let (id, value) = entry.or_else(|| corpus.entry(dice, of))?;
    let of_it = parameter(id);
    let (code, kind) = (of_it.definition.code.as_str(), of_it.definition.kind);
    if of_it.aspect.is_some() || kind == SearchParameterType::Composite || dice.roll(8) == 1 {
        dice.mark(format!("filter {} pr", kind.as_str()));
        return Some(format!("{code} pr {}", dice.pick(&["true", "false"])));
    }
    let bare = |text: String| text.trim_start_matches(|c: char| c.is_ascii_lowercase()).to_owned();
    let (operator, text) = match &value {
        Value::Token { system, code } => of_token(dice, system, code),
        Value::String(text) => of_string(dice, text)?,
        Value::Uri(uri) => (*dice.pick(&["eq", "ne"]), escape(uri)),
        Value::Reference(target) => (*dice.pick(&["eq", "re", "ne"]), escape(target)),
        Value::Date { lo, hi } => (*dice.pick(&DATE), bare(date(dice, *lo, *hi))),
        Value::Number { lo, hi } | Value::Quantity { lo, hi, .. } => {
            (*dice.pick(&ORDERED), bare(number(dice, *lo, *hi)?))
        }
        Value::Composite(_) => return None,
    };
    dice.mark(format!("filter {} {operator}", kind.as_str()));
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    Some(format!("{code} {operator} \"{text}\""))
}

fn of_token(dice: &mut Dice<'_>, system: &str, code: &str) -> (&'static str, String) {
    match *dice.pick(&["eq", "eq", "ne", "in", "ni", "ss", "sb"]) {
        operator @ ("in" | "ni") => (operator, terms::value_set(dice, code)),
        operator @ ("ss" | "sb") => match terms::concept(dice, code) {
            Some(text) => (operator, text),
            None => ("eq", token(dice, system, code)),
        },
        operator => (operator, token(dice, system, code)),
    }
}

fn of_string(dice: &mut Dice<'_>, text: &str) -> Option<(&'static str, String)> {
    let length = text.chars().count();
    let part = |from: usize, count: usize| text.chars().skip(from).take(count).collect::<String>();
    let (operator, part) = match dice.roll(5) {
        1 => ("ne", part(0, length)),
        2 => ("co", part(dice.roll(length), 1 + dice.roll(8))),
        3 => ("sw", part(0, 1 + dice.roll(length))),
        4 => ("ew", part(dice.roll(length), length)),
        _ => ("eq", part(0, length).to_uppercase()),
    };
    (!store::fold(&part).is_empty() && part.len() <= 1_000).then(|| (operator, escape(&part)))
}
