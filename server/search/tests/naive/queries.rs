//! Queries made at random out of the values that resources have, so that they often match and often nearly do.

use conformance::{SearchParameter, SearchParameterType};
use store::{ParameterId, Value};

use super::{BASE, INDEX, Stored};

/// Choices, one number each; when they run out the first choice is taken. Shorter is simpler.
pub struct Dice<'a>(pub std::slice::Iter<'a, u32>);

impl Dice<'_> {
    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0.next().map_or(0, |number| usize::try_from(*number).unwrap_or(0) % sides.max(1))
    }

    pub fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        let number = self.roll(all.len());
        all.get(number).expect("there is something to pick")
    }
}

/// A query: its type, its compartment if any, and its parameters.
#[derive(Debug)]
pub struct Made {
    pub resource_type: String,
    pub compartment: Option<(String, String)>,
    pub parameters: Vec<(String, String)>,
}

const PREFIXES: [&str; 10] = ["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];

/// Makes a query that one of `resources` has something to do with.
pub fn make(dice: &mut Dice<'_>, resources: &[Stored]) -> Made {
    let subject = dice.pick(resources);
    let peers: Vec<&Stored> = resources.iter().filter(|r| r.resource_type == subject.resource_type).collect();
    let mut parameters = Vec::new();
    for _ in 0..*dice.pick(&[1_usize, 1, 1, 2, 2, 3, 0]) {
        let other = *dice.pick(&peers);
        let of = *dice.pick(&[subject, subject, other]);
        parameters.extend(criterion(dice, of, &peers, resources));
    }
    if let Some(sort) = sort(dice, &peers) {
        parameters.push(("_sort".to_owned(), sort));
    }
    parameters.push(("_count".to_owned(), dice.pick(&["50", "1", "2", "3", "7"]).to_string()));
    if dice.roll(3) == 1 {
        parameters.push(("_total".to_owned(), "accurate".to_owned()));
    }
    let compartment = (dice.roll(8) == 1).then(|| patient_of(subject)).flatten();
    Made { resource_type: subject.resource_type.clone(), compartment, parameters }
}

fn patient_of(subject: &Stored) -> Option<(String, String)> {
    let in_compartment = INDEX.definitions().compartments.parameters("Patient", &subject.resource_type)?;
    let patient = subject.entries.iter().find_map(|(_, value)| match value {
        Value::Reference(target) => target.strip_prefix("Patient/").map(str::to_owned),
        _ => None,
    });
    patient.filter(|_| !in_compartment.is_empty()).map(|id| ("Patient".to_owned(), id))
}

pub(super) fn parameter(id: ParameterId) -> &'static SearchParameter {
    INDEX.definitions().search_parameters.by_index(id.0).expect("entries have known parameters")
}

fn sort(dice: &mut Dice<'_>, peers: &[&Stored]) -> Option<String> {
    let keys: Vec<String> = (0..*dice.pick(&[0_usize, 1, 1, 2, 3]))
        .map(|_| {
            let peer = *dice.pick(peers);
            let sign = *dice.pick(&["", "-"]);
            let key = match dice.roll(6) {
                0 => "_id".to_owned(),
                1 => "_lastUpdated".to_owned(),
                _ => pick_entry(dice, peer).map_or("_id".to_owned(), |(id, _)| parameter(id).code.clone()),
            };
            format!("{sign}{key}")
        })
        .filter(|key| !is_composite(key, peers))
        .collect();
    (!keys.is_empty()).then(|| keys.join(","))
}

fn is_composite(key: &str, peers: &[&Stored]) -> bool {
    let code = key.trim_start_matches('-');
    let of = peers.first().expect("a resource is its own peer");
    let found = INDEX.definitions().search_parameters.get(&of.resource_type, code);
    found.is_some_and(|parameter| parameter.kind == SearchParameterType::Composite)
}

/// A value of a parameter itself: what modifiers ask of has the numbers after these.
fn pick_entry<'a>(dice: &mut Dice<'_>, of: &'a Stored) -> Option<(ParameterId, Value<'a>)> {
    let known = INDEX.definitions().search_parameters.all().len();
    let own = || of.entries.iter().filter(|(id, _)| usize::from(id.0) < known);
    let number = dice.roll(own().count());
    own().nth(number)
}

/// One criterion out of a value of `of`; sometimes with a second value out of a peer.
fn criterion(
    dice: &mut Dice<'_>,
    of: &Stored,
    peers: &[&Stored],
    all: &[Stored],
) -> Option<(String, String)> {
    let other = *dice.pick(peers);
    match dice.roll(14) {
        1 => return Some(id_criterion(dice, of, other)),
        2 => return Some(("_lastUpdated".to_owned(), date(dice, of.last_updated, of.last_updated))),
        _ => {}
    }
    let (id, value) = pick_entry(dice, of)?;
    let code = &parameter(id).code;
    match dice.roll(10) {
        1 => return Some((format!("{code}:missing"), dice.pick(&["true", "false"]).to_string())),
        2 | 3 => {
            if let Some(chain) = chain(dice, code, &value, all) {
                return Some(chain);
            }
        }
        _ => {}
    }
    let (modifier, mut text) = render(dice, &value, true)?;
    let second = other.values(id).next().filter(|_| dice.roll(3) == 1);
    if let Some((None, more)) = second.filter(|_| modifier.is_none()).and_then(|v| render(dice, &v, false)) {
        text = format!("{text},{more}");
    }
    Some((modifier.map_or(code.clone(), |modifier| format!("{code}:{modifier}")), text))
}

fn id_criterion(dice: &mut Dice<'_>, of: &Stored, other: &Stored) -> (String, String) {
    let name = *dice.pick(&["_id", "_id", "_id:not"]);
    (
        name.to_owned(),
        dice.pick(&[of.id.clone(), format!("{},{}", of.id, other.id), "absent".to_owned()]).clone(),
    )
}

/// A chain through a reference to a resource that is there.
fn chain(dice: &mut Dice<'_>, code: &str, value: &Value<'_>, all: &[Stored]) -> Option<(String, String)> {
    let Value::Reference(target) = value else { return None };
    let target = all.iter().find(|resource| resource.key() == *target)?;
    let (id, value) = pick_entry(dice, target)?;
    let (modifier, text) = render(dice, &value, true)?;
    let of_type = if dice.roll(2) == 0 { format!(":{}", target.resource_type) } else { String::new() };
    let modifier = modifier.map_or(String::new(), |modifier| format!(":{modifier}"));
    Some((format!("{code}{of_type}.{}{modifier}", parameter(id).code), text))
}

/// A value as a query writes it, with a modifier where one is allowed. `None` when it cannot be written.
pub(super) fn render(
    dice: &mut Dice<'_>,
    value: &Value<'_>,
    modified: bool,
) -> Option<(Option<String>, String)> {
    let plain = |text: String| Some((None, text));
    match value {
        Value::Token { system, code } => {
            let not = modified && dice.roll(5) == 1;
            Some((not.then(|| "not".to_owned()), token(dice, system, code)))
        }
        Value::String(text) => string(dice, text, modified),
        Value::Uri(text) => plain(escape(text)),
        Value::Reference(target) => Some(reference(dice, target, modified)),
        Value::Date { lo, hi } => plain(date(dice, *lo, *hi)),
        Value::Number { lo, hi } => number(dice, *lo, *hi).map(|text| (None, text)),
        Value::Quantity { lo, hi, system, code, unit } => {
            let number = number(dice, *lo, *hi)?;
            let (system, code, unit) = (escape(system), escape(code), escape(unit));
            plain(match dice.roll(4) {
                1 if !code.is_empty() => format!("{number}|{system}|{code}"),
                2 if !code.is_empty() => format!("{number}||{code}"),
                3 if !unit.is_empty() => format!("{number}||{unit}"),
                _ => number,
            })
        }
        Value::Composite(parts) => {
            let texts: Option<Vec<String>> =
                parts.iter().map(|part| render(dice, part, false).map(|(_, text)| text)).collect();
            plain(texts?.join("$"))
        }
    }
}

/// An implied system is written as any other: it does not matter.
pub(super) fn token(dice: &mut Dice<'_>, system: &str, code: &str) -> String {
    let (system, code) = (escape(system.trim_start()), escape(code));
    match dice.roll(5) {
        _ if code.is_empty() => format!("{system}|"),
        1 if !system.is_empty() => format!("{system}|"),
        2 => format!("|{code}"),
        3 if !system.is_empty() => format!("{system}|{code}"),
        _ => code,
    }
}

pub(super) fn string(dice: &mut Dice<'_>, text: &str, modified: bool) -> Option<(Option<String>, String)> {
    let length = text.chars().count();
    let (modifier, part): (Option<&str>, String) = match dice.roll(4) {
        1 if modified => (Some("exact"), text.to_owned()),
        2 if modified => {
            let from = dice.roll(length);
            (Some("contains"), text.chars().skip(from).take(1 + dice.roll(8)).collect())
        }
        3 => (None, text.to_uppercase()),
        _ => (None, text.chars().take(1 + dice.roll(length)).collect()),
    };
    let found = modifier == Some("exact") || !store::fold(&part).is_empty();
    // Longer than a query may be, or nothing to look for.
    (found && part.len() < 1_000).then(|| (modifier.map(str::to_owned), escape(&part)))
}

fn reference(dice: &mut Dice<'_>, target: &str, modified: bool) -> (Option<String>, String) {
    match (target.split_once('/'), dice.roll(5)) {
        (Some((name, id)), 1) if modified && !target.contains(':') => (Some(name.to_owned()), id.to_owned()),
        (Some((_, id)), 2) if !target.contains(':') => (None, id.to_owned()),
        (Some(_), 3) if !target.contains(':') => (None, format!("{BASE}/{target}")),
        _ => (None, escape(target)),
    }
}

/// An end of a span, or a moment near it, as exactly as the dice say.
pub(super) fn date(dice: &mut Dice<'_>, lo: i64, hi: i64) -> String {
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
    ]);
    format!("{}{}", dice.pick(&PREFIXES), moment.strftime(form))
}

/// An end of a range, as exactly as the dice say, or a little beside it.
pub(super) fn number(dice: &mut Dice<'_>, lo: f64, hi: f64) -> Option<String> {
    let end = [lo, hi]
        .into_iter()
        .find(|end| end.is_finite() && end.abs() < 1e9 && (*end == 0.0 || end.abs() > 1e-6))?;
    let places = dice.roll(4);
    let beside = end + dice.pick(&[0.0, 0.0, 0.5, -0.01]);
    let text = if dice.roll(3) == 0 { format!("{end}") } else { format!("{beside:.places$}") };
    Some(format!("{}{text}", dice.pick(&PREFIXES)))
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
