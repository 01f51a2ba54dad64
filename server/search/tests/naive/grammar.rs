//! Queries of the forms that one parameter alone has not: chains of several links in both directions, `_filter`, what
//! modifiers ask of, hierarchies of urls, quantities in other units; made at random out of the values that resources have.

use store::{Indexer, ParameterId, Value};

use super::queries::{Dice, Made, date, escape, number, render, string, token};
use super::{INDEX, Stored};

/// Makes a query that one of `resources` has something to do with.
pub fn make(dice: &mut Dice<'_>, resources: &[Stored]) -> Made {
    let subject = dice.pick(resources);
    let mut parameters = Vec::new();
    for _ in 0..*dice.pick(&[1_usize, 1, 1, 2]) {
        parameters.extend(criterion(dice, subject, resources));
    }
    parameters.push(("_count".to_owned(), dice.pick(&["50", "3", "7"]).to_string()));
    Made { resource_type: subject.resource_type.clone(), compartment: None, parameters }
}

fn criterion(dice: &mut Dice<'_>, of: &Stored, all: &[Stored]) -> Option<(String, String)> {
    match dice.roll(4) {
        1 => return Some(("_filter".to_owned(), filter(dice, of, all, 0)?)),
        2 | 3 => {
            if let Some(chain) = linked(dice, of, all, 0) {
                return Some(chain);
            }
        }
        _ => {}
    }
    last(dice, of)
}

fn pick_entry<'a>(dice: &mut Dice<'_>, of: &'a Stored) -> Option<(ParameterId, Value<'a>)> {
    let number = dice.roll(of.entries.len());
    of.entries.iter().nth(number)
}

/// The code of a parameter, and what a modifier asks of: `code:text` has the number after all parameters.
fn code(id: ParameterId) -> (&'static str, Option<&'static str>) {
    let stored = INDEX.parameters().get(usize::from(id.0)).expect("entries have known parameters");
    let (_, code) = stored.name.split_once('.').expect("names have a type");
    code.split_once(':').map_or((code, None), |(code, aspect)| (code, Some(aspect)))
}

/// A criterion with the modifier that asks of a value.
fn asked_of(dice: &mut Dice<'_>, code: &str, aspect: &str, value: &Value<'_>) -> Option<(String, String)> {
    let text = match value {
        Value::String(text) => string(dice, text, false)?.1,
        Value::Token { system, code } => token(dice, system, code),
        Value::Composite(parts) => match parts.as_slice() {
            [Value::Token { system, code }, Value::Token { code: value, .. }]
                if ![system, code, value].iter().any(|part| part.is_empty()) =>
            {
                format!("{}|{}|{}", escape(system), escape(code), escape(value))
            }
            _ => return None,
        },
        _ => return None,
    };
    Some((format!("{code}:{aspect}"), text))
}

/// A criterion on what is above or below a url.
fn hierarchy(dice: &mut Dice<'_>, code: &str, uri: &str) -> Option<(String, String)> {
    if !uri.starts_with("http") || uri.len() > 250 {
        return None;
    }
    let cuts: Vec<usize> = uri.match_indices('/').map(|(at, _)| at).filter(|at| *at > 8).collect();
    let cut = cuts.get(dice.roll(cuts.len() + 1)).copied().unwrap_or(uri.len());
    let part = uri.get(..cut + dice.roll(2)).unwrap_or(uri);
    Some(match dice.roll(2) {
        0 => (format!("{code}:below"), escape(part)),
        _ => (format!("{code}:above"), escape(&format!("{uri}{}", dice.pick(&["", "/", "/x/y", "x"])))),
    })
}

/// Conditions of a `_filter`, at most so many in one another.
const NESTED: usize = 3;

/// The text of a `_filter` that a resource has something to do with.
fn filter(dice: &mut Dice<'_>, of: &Stored, all: &[Stored], depth: usize) -> Option<String> {
    if depth < NESTED && dice.roll(3) == 1 {
        let (a, b) = (filter(dice, of, all, depth + 1)?, filter(dice, of, all, depth + 1)?);
        let joined = format!("{a} {} {b}", dice.pick(&["and", "or", "or"]));
        return Some(match dice.roll(3) {
            0 => joined,
            1 => format!("({joined})"),
            _ => format!("not ({joined})"),
        });
    }
    if dice.roll(4) == 1
        && let Some((link, next)) = target(dice, of, all)
    {
        let link = link.trim_end_matches('.');
        let inside = match dice.roll(3) {
            1 => format!("[{}]", filter(dice, next, all, NESTED)?),
            _ => String::new(),
        };
        return Some(format!("{link}{inside}.{}", filter(dice, next, all, NESTED)?));
    }
    condition(dice, of)
}

fn condition(dice: &mut Dice<'_>, of: &Stored) -> Option<String> {
    let (id, value) = pick_entry(dice, of)?;
    let (code, aspect) = code(id);
    if aspect.is_some() || dice.roll(8) == 1 {
        return Some(format!("{code} pr {}", dice.pick(&["true", "false"])));
    }
    let ordered = &["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];
    let (operator, text) = match &value {
        Value::Token { system, code } => (*dice.pick(&["eq", "ne"]), token(dice, system, code)),
        Value::String(text) => {
            let length = text.chars().count();
            let part = |from: usize, count: usize| text.chars().skip(from).take(count).collect::<String>();
            let (operator, part) = match dice.roll(5) {
                1 => ("ne", part(0, length)),
                2 => ("co", part(dice.roll(length), 1 + dice.roll(8))),
                3 => ("sw", part(0, 1 + dice.roll(length))),
                4 => ("ew", part(dice.roll(length), length)),
                _ => ("eq", part(0, length).to_uppercase()),
            };
            if store::fold(&part).is_empty() || part.len() > 1_000 {
                return None;
            }
            (operator, escape(&part))
        }
        Value::Uri(uri) => (*dice.pick(&["eq", "ne"]), escape(uri)),
        Value::Reference(target) => (*dice.pick(&["eq", "re", "ne"]), escape(target)),
        Value::Date { lo, hi } => {
            let text = date(dice, *lo, *hi);
            let text = text.trim_start_matches(|c: char| c.is_ascii_lowercase());
            (*dice.pick(&["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap", "po"]), text.to_owned())
        }
        Value::Number { lo, hi } | Value::Quantity { lo, hi, .. } => {
            let text = number(dice, *lo, *hi)?;
            let text = text.trim_start_matches(|c: char| c.is_ascii_lowercase());
            (*dice.pick(ordered), text.to_owned())
        }
        Value::Composite(_) => return Some(format!("{code} pr true")),
    };
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    Some(format!("{code} {operator} \"{text}\""))
}

/// Links of a chain, at most.
const LINKS: usize = 4;

/// A chain, in either direction and perhaps in both, through references that are there.
fn linked(dice: &mut Dice<'_>, of: &Stored, all: &[Stored], links: usize) -> Option<(String, String)> {
    let (link, next) = if dice.roll(3) == 1 { referrer(dice, of, all)? } else { target(dice, of, all)? };
    let further = (links + 1 < LINKS && dice.roll(2) == 1).then(|| linked(dice, next, all, links + 1));
    let (name, text) = match further.flatten() {
        Some(further) => further,
        None => last(dice, next)?,
    };
    Some((format!("{link}{name}"), text))
}

/// What a chain ends with.
fn last(dice: &mut Dice<'_>, of: &Stored) -> Option<(String, String)> {
    let (id, value) = pick_entry(dice, of)?;
    let (code, aspect) = code(id);
    if let Some(aspect) = aspect {
        return asked_of(dice, code, aspect, &value);
    }
    match dice.roll(12) {
        1 => return Some((format!("{code}:missing"), dice.pick(&["true", "false"]).to_string())),
        2 => return Some(("_id".to_owned(), of.id.clone())),
        _ => {}
    }
    match (&value, dice.roll(3)) {
        (Value::Uri(uri), 1) => return hierarchy(dice, code, uri),
        (Value::Quantity { lo, hi, system, code: unit, .. }, 1 | 2) => {
            if let Some(text) = in_other_unit(dice, *lo, *hi, system, unit) {
                return Some((code.to_owned(), text));
            }
        }
        _ => {}
    }
    let (modifier, text) = render(dice, &value, true)?;
    Some((format!("{code}{}", modifier.map_or(String::new(), |modifier| format!(":{modifier}"))), text))
}

/// A link to a resource that a reference points to.
fn target<'a>(dice: &mut Dice<'_>, of: &Stored, all: &'a [Stored]) -> Option<(String, &'a Stored)> {
    let found: Vec<(ParameterId, &Stored)> = of
        .entries
        .iter()
        .filter_map(|(id, value)| {
            let Value::Reference(target) = value else { return None };
            Some((id, all.iter().find(|resource| resource.key() == target)?))
        })
        .collect();
    let (id, next) = *found.get(dice.roll(found.len()))?;
    let of_type = if dice.roll(2) == 0 { format!(":{}", next.resource_type) } else { String::new() };
    Some((format!("{}{of_type}.", code(id).0), next))
}

/// A link to a resource that refers here.
fn referrer<'a>(dice: &mut Dice<'_>, of: &Stored, all: &'a [Stored]) -> Option<(String, &'a Stored)> {
    let here = of.key();
    let found: Vec<(ParameterId, &Stored)> = all
        .iter()
        .filter_map(|other| {
            let mut entries = other.entries.iter();
            let points = |value: &Value<'_>| matches!(value, Value::Reference(target) if *target == here);
            Some((entries.find(|(_, value)| points(value))?.0, other))
        })
        .collect();
    let (id, next) = *found.get(dice.roll(found.len()))?;
    Some((format!("_has:{}:{}:", next.resource_type, code(id).0), next))
}

/// A quantity in another unit of its kind.
fn in_other_unit(dice: &mut Dice<'_>, lo: f64, hi: f64, system: &str, code: &str) -> Option<String> {
    const UNITS: [(&str, &str, f64); 6] = [
        ("mg/dL", "g/L", 0.01),
        ("kg", "g", 1000.0),
        ("cm", "m", 0.01),
        ("mm[Hg]", "kPa", 0.133_322),
        ("%", "1", 0.01),
        ("/min", "/h", 60.0),
    ];
    let (_, other, factor) = UNITS.iter().find(|(unit, ..)| *unit == code)?;
    Some(format!("{}|{system}|{other}", number(dice, lo * factor, hi * factor)?))
}
