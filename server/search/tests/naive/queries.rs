//! Values that resources have as queries write them, so that they often match and often nearly do.

use store::Value;

use super::BASE;
use super::dice::Dice;

const PREFIXES: [&str; 10] = ["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];
const UCUM: &str = "http://unitsofmeasure.org";

/// A value as a query without a modifier writes it; `None` when it cannot be written. The units of a `canonical` one are
/// base units of UCUM.
pub fn plain(dice: &mut Dice<'_>, value: &Value<'_>, canonical: bool) -> Option<String> {
    match value {
        Value::Token { system, code } => Some(token(dice, system, code)),
        Value::String(text) => string(dice, "", text),
        Value::Uri(text) => Some(escape(text)),
        Value::Reference(target) => Some(reference(dice, target)),
        Value::Date { lo, hi } => Some(date(dice, *lo, *hi)),
        Value::Number { lo, hi } => number(dice, *lo, *hi),
        Value::Quantity { lo, hi, code, .. } if canonical => {
            Some(format!("{}|{UCUM}|{}", number(dice, *lo, *hi)?, escape(code)))
        }
        Value::Quantity { lo, hi, system, code, unit } => quantity(dice, (*lo, *hi), (system, code, unit)),
        Value::Composite(parts) => {
            let texts: Option<Vec<String>> = parts.iter().map(|part| plain(dice, part, canonical)).collect();
            Some(texts?.join("$"))
        }
    }
}

fn quantity(dice: &mut Dice<'_>, (lo, hi): (f64, f64), of: (&str, &str, &str)) -> Option<String> {
    let (system, code, unit) = of;
    let form = dice.roll(6);
    if form >= 4
        && let Some(text) = in_other_unit(dice, lo, hi, system, code)
    {
        return Some(text);
    }
    let number = number(dice, lo, hi)?;
    let (system, code, unit) = (escape(system), escape(code), escape(unit));
    Some(match form {
        1 if !code.is_empty() => format!("{number}|{system}|{code}"),
        2 if !code.is_empty() => format!("{number}||{code}"),
        3 if !unit.is_empty() => format!("{number}||{unit}"),
        4 if !system.is_empty() => format!("{number}|{system}|"),
        _ => number,
    })
}

/// An implied system is written as any other: it does not matter.
pub fn token(dice: &mut Dice<'_>, system: &str, code: &str) -> String {
    let (system, code) = (escape(system.trim_start()), escape(code));
    match dice.roll(5) {
        _ if code.is_empty() => format!("{system}|"),
        1 if !system.is_empty() => format!("{system}|"),
        2 => format!("|{code}"),
        3 if !system.is_empty() => format!("{system}|{code}"),
        _ => code,
    }
}

/// A text, or what of it a modifier asks of.
pub fn string(dice: &mut Dice<'_>, modifier: &str, text: &str) -> Option<String> {
    let length = text.chars().count();
    let part: String = match (modifier, dice.roll(4)) {
        ("exact", 1) => text.to_lowercase(),
        ("exact", _) => text.to_owned(),
        ("contains", _) => {
            let from = dice.roll(length);
            text.chars().skip(from).take(1 + dice.roll(8)).collect()
        }
        (_, 3) => text.to_uppercase(),
        _ => text.chars().take(1 + dice.roll(length)).collect(),
    };
    let found = modifier == "exact" || !store::fold(&part).is_empty();
    // Longer than a query may be, or nothing to look for.
    (found && part.len() < 1_000).then(|| escape(&part))
}

fn reference(dice: &mut Dice<'_>, target: &str) -> String {
    match (target.split_once('/'), dice.roll(5)) {
        (Some((_, id)), 2) if !target.contains(':') => id.to_owned(),
        (Some(_), 3) if !target.contains(':') => format!("{BASE}/{target}"),
        _ => escape(target),
    }
}

/// An end of a span, or a moment near it, as exactly as the dice say.
pub fn date(dice: &mut Dice<'_>, lo: i64, hi: i64) -> String {
    let end = *dice.pick(&[lo, lo, hi]);
    let end = if (i64::MIN + 1..i64::MAX).contains(&end) { end } else { 0 };
    let moment = end + dice.pick(&[0, 0, 0, 1, -1, 86_400_000_000, -86_400_000_000]);
    let moment = jiff::Timestamp::from_microsecond(moment).expect("dates of resources are dates");
    let form = dice.pick(&[
        "%Y-%m-%d",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m",
        "%Y",
        "%Y-%m-%dT%H:%MZ",
        "%Y-%m-%dT%H:%M:%S.%3fZ",
        "%Y-%m-%dT%H:%M:%S-02:00",
    ]);
    format!("{}{}", dice.pick(&PREFIXES), moment.strftime(form))
}

/// An end of a range, as exactly as the dice say, or a little beside it.
pub fn number(dice: &mut Dice<'_>, lo: f64, hi: f64) -> Option<String> {
    let end = [lo, hi]
        .into_iter()
        .find(|end| end.is_finite() && end.abs() < 1e9 && (*end == 0.0 || end.abs() > 1e-6))?;
    let places = dice.roll(4);
    let beside = end + dice.pick(&[0.0, 0.0, 0.5, -0.01]);
    let text = if dice.roll(3) == 0 { format!("{end}") } else { format!("{beside:.places$}") };
    Some(format!("{}{text}", dice.pick(&PREFIXES)))
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

/// A url that others are below of, or above.
pub fn hierarchy(dice: &mut Dice<'_>, modifier: &str, uri: &str) -> Option<String> {
    if !uri.starts_with("http") || uri.len() > 250 {
        return None;
    }
    if modifier == "above" {
        return Some(escape(&format!("{uri}{}", dice.pick(&["", "/", "/x/y", "x"]))));
    }
    let cuts: Vec<usize> = uri.match_indices('/').map(|(at, _)| at).filter(|at| *at > 8).collect();
    let cut = cuts.get(dice.roll(cuts.len() + 1)).copied().unwrap_or(uri.len());
    Some(escape(uri.get(..cut + dice.roll(2)).unwrap_or(uri)))
}

/// A value as a query writes it.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, ',' | '$' | '|' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
