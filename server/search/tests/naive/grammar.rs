//! Queries made at random out of the values that resources have: every parameter type with its modifiers and prefixes,
//! behind links in both directions, in filters, compartments and lists, sorted and counted.

use std::collections::{BTreeMap, HashMap};

use conformance::{SearchParameter, SearchParameterType};
use store::{Indexer, ParameterId, Value};

use super::dice::{Dice, Made};
use super::filter::{ALONE, filter};
use super::queries::{date, hierarchy, plain, string, token};
use super::words::words;
use super::{INDEX, Naive, Stored, terms};

/// Links of a chain, at most.
const LINKS: usize = 4;

/// A parameter, or what a modifier asks of: those have the numbers after all parameters.
pub struct Asked {
    pub definition: &'static SearchParameter,
    /// `text` of `code:text`.
    pub aspect: Option<&'static str>,
}

/// What a number stands for.
pub fn parameter(id: ParameterId) -> Asked {
    let known = &INDEX.definitions().search_parameters;
    let stored = INDEX.parameters().get(usize::from(id.0)).expect("entries have known parameters");
    let (base, code) = stored.name.split_once('.').expect("names have a type");
    let (code, aspect) = code.split_once(':').map_or((code, None), |(code, aspect)| (code, Some(aspect)));
    let same = |parameter: &&SearchParameter| parameter.base == base && parameter.code == code;
    let definition = known.by_index(id.0).or_else(|| known.all().iter().find(same));
    Asked { definition: definition.expect("entries have known parameters"), aspect }
}

/// A resource by its number, and one of its entries by its own.
type Place = (usize, usize);

/// What queries are made of.
pub struct Corpus<'a> {
    naive: &'a Naive,
    /// By parameter type, and what modifiers ask of: by parameter, where it has values.
    kinds: Vec<Vec<Vec<Place>>>,
    /// By parameter that all types share.
    shared: Vec<Vec<Place>>,
    /// By type.
    peers: HashMap<&'a str, Vec<&'a Stored>>,
    /// What resources contain, as if it stood alone.
    contained: Vec<Stored>,
}

impl<'a> Corpus<'a> {
    pub fn new(naive: &'a Naive) -> Corpus<'a> {
        let mut by_parameter: BTreeMap<u16, Vec<Place>> = BTreeMap::new();
        let mut peers: HashMap<&str, Vec<&Stored>> = HashMap::new();
        for (number, stored) in naive.all().iter().enumerate() {
            peers.entry(&stored.resource_type).or_default().push(stored);
            for (entry, (id, _)) in stored.entries.iter().enumerate() {
                by_parameter.entry(id.0).or_default().push((number, entry));
            }
        }
        let mut kinds: BTreeMap<_, Vec<Vec<Place>>> = BTreeMap::new();
        let mut shared = Vec::new();
        for (id, places) in by_parameter {
            let asked = parameter(ParameterId(id));
            if asked.aspect.is_none()
                && matches!(asked.definition.base.as_str(), "Resource" | "DomainResource")
            {
                shared.push(places.clone());
            }
            kinds.entry((asked.definition.kind.as_str(), asked.aspect)).or_default().push(places);
        }
        let contained = naive.all().iter().flat_map(Stored::contained_alone).collect();
        Corpus { naive, kinds: kinds.into_values().collect(), shared, peers, contained }
    }

    /// Any value: each kind, and each parameter of it, as often as another.
    fn start(&self, dice: &mut Dice<'_>) -> Place {
        let kind = dice.pick(&self.kinds);
        let places: &Vec<Place> = dice.pick(kind);
        *dice.pick(places)
    }

    fn at(&self, (number, entry): Place) -> (&'a Stored, (ParameterId, Value<'a>)) {
        let stored = self.naive.all().get(number).expect("places are of resources");
        (stored, stored.entries.iter().nth(entry).expect("places are of entries"))
    }

    fn peers(&self, of: &Stored) -> &[&'a Stored] {
        self.peers.get(&*of.resource_type).expect("every resource is its own peer")
    }

    /// A value of a resource.
    pub fn entry<'s>(&self, dice: &mut Dice<'_>, of: &'s Stored) -> Option<(ParameterId, Value<'s>)> {
        let number = dice.roll(of.entries.len());
        of.entries.iter().nth(number)
    }

    /// A link to a resource that a reference points to.
    pub fn target(&self, dice: &mut Dice<'_>, of: &Stored) -> Option<(String, &'a Stored)> {
        let found: Vec<(ParameterId, &Stored)> = of
            .entries
            .iter()
            .filter_map(|(id, value)| match value {
                Value::Reference(target) => Some((id, self.naive.find(target)?)),
                _ => None,
            })
            .collect();
        let (id, next) = *found.get(dice.roll(found.len()))?;
        let of_type = if dice.roll(2) == 0 { format!(":{}", next.resource_type) } else { String::new() };
        Some((format!("{}{of_type}.", parameter(id).definition.code), next))
    }

    /// A link to a resource that refers here.
    fn referrer(&self, dice: &mut Dice<'_>, of: &Stored) -> Option<(String, &'a Stored)> {
        let found: Vec<_> = self.naive.referrers(&of.key).collect();
        let (id, next) = *found.get(dice.roll(found.len()))?;
        Some((format!("_has:{}:{}:", next.resource_type, parameter(id).definition.code), next))
    }

    /// What has a link to a resource, in either direction: `c` or `h`, the link, and whence.
    fn before(&self, dice: &mut Dice<'_>, of: &Stored) -> Option<(char, String, &'a Stored)> {
        let referring: Vec<_> = self.naive.referrers(&of.key).collect();
        if dice.roll(2) == 1
            && let Some((id, from)) = referring.get(dice.roll(referring.len()))
        {
            let of_type = if dice.roll(2) == 0 { format!(":{}", of.resource_type) } else { String::new() };
            return Some(('c', format!("{}{of_type}.", parameter(*id).definition.code), from));
        }
        let referred = of.entries.iter().filter_map(|(id, value)| match value {
            Value::Reference(target) => Some((id, self.naive.find(target)?)),
            _ => None,
        });
        let referred: Vec<_> = referred.collect();
        let (id, from) = *referred.get(dice.roll(referred.len()))?;
        Some(('h', format!("_has:{}:{}:", of.resource_type, parameter(id).definition.code), from))
    }
}

/// Makes a query that some resource has something to do with.
pub fn make(dice: &mut Dice<'_>, corpus: &Corpus<'_>) -> Made {
    match dice.roll(24) {
        1 | 2 => return of_all_types(dice, corpus),
        3 | 4 if !corpus.contained.is_empty() => return of_contained(dice, corpus),
        _ => {}
    }
    let (mut subject, first) = corpus.at(corpus.start(dice));
    let mut parameters = Vec::new();
    if dice.roll(3) == 1
        && let Some((from, criterion)) = dice.attempt(|dice| leading_to(dice, subject, &first, corpus))
    {
        subject = from;
        parameters.push(criterion);
    } else if dice.roll(16) != 1 {
        parameters.extend(dice.attempt(|dice| criterion(dice, subject, Some(first), corpus)));
    }
    for _ in 0..*dice.pick(&[0_usize, 0, 0, 1, 1, 2]) {
        let other = *dice.pick(corpus.peers(subject));
        let of = *dice.pick(&[subject, subject, other]);
        parameters.extend(dice.attempt(|dice| criterion(dice, of, None, corpus)));
    }
    let compartment = (dice.roll(8) == 1).then(|| compartment(dice, subject)).flatten();
    result(dice, corpus.peers(subject), corpus, &mut parameters);
    Made { resource_type: Some(subject.resource_type.clone()), compartment, parameters }
}

/// A search of all types, or of some by `_type`.
fn of_all_types(dice: &mut Dice<'_>, corpus: &Corpus<'_>) -> Made {
    let places: &Vec<Place> = dice.pick(&corpus.shared);
    let (subject, entry) = corpus.at(*dice.pick(places));
    let mut parameters = Vec::new();
    let compartment = (dice.roll(3) == 1).then(|| compartment(dice, subject)).flatten();
    match dice.roll(3) {
        1 if compartment.is_none() => {
            let (other, _) = corpus.at(corpus.start(dice));
            let types = format!("{},{}", subject.resource_type, other.resource_type);
            parameters.push(("_type".to_owned(), types));
            dice.mark("several types");
        }
        2 if compartment.is_none() => {
            parameters.push(("_type".to_owned(), subject.resource_type.clone()));
            dice.mark("one of all types");
        }
        _ => dice.mark(if compartment.is_some() { "whole compartment" } else { "all types" }),
    }
    for _ in 0..*dice.pick(&[1, 1, 2, 0]) {
        let criterion = dice.attempt(|dice| match dice.roll(6) {
            1 => Some(id_criterion(dice, subject, subject)),
            2 => Some(last_updated(dice, subject)),
            3 => linked(dice, subject, corpus, 0).filter(|(name, _)| name.starts_with("_has:")),
            4 => list(dice, subject, corpus),
            _ => own(dice, subject, Some(entry.clone()), corpus),
        });
        parameters.extend(criterion);
    }
    result(dice, &[], corpus, &mut parameters);
    Made { resource_type: None, compartment, parameters }
}

/// A search for what others contain.
fn of_contained(dice: &mut Dice<'_>, corpus: &Corpus<'_>) -> Made {
    let subject = dice.pick(&corpus.contained);
    let mut parameters = Vec::new();
    for _ in 0..*dice.pick(&[1_usize, 1, 2, 0]) {
        let other = dice.pick(&corpus.contained);
        let of = if other.resource_type == subject.resource_type { other } else { subject };
        let of = *dice.pick(&[subject, of]);
        let made = match dice.roll(8) {
            1 => Some(("_id".to_owned(), of.id.clone())),
            2 => last_updated(dice, of).into(),
            _ => dice.attempt(|dice| own(dice, of, None, corpus)),
        };
        parameters.extend(made);
    }
    let which = *dice.pick(&["true", "both"]);
    dice.mark(format!("contained {which}"));
    parameters.push(("_contained".to_owned(), which.to_owned()));
    if dice.roll(3) == 1 {
        parameters.push(("_containedType".to_owned(), "container".to_owned()));
    }
    if dice.roll(3) == 1 {
        let key = *dice.pick(&["_id", "-_id", "_lastUpdated", "-_lastUpdated"]);
        parameters.push(("_sort".to_owned(), key.to_owned()));
    }
    parameters.push(("_count".to_owned(), dice.pick(&["50", "1", "3", "7"]).to_string()));
    if dice.roll(3) == 1 {
        parameters.push(("_total".to_owned(), dice.pick(&["accurate", "estimate"]).to_string()));
    }
    Made { resource_type: Some(subject.resource_type.clone()), compartment: None, parameters }
}

/// Order, page size and count.
fn result(
    dice: &mut Dice<'_>,
    peers: &[&Stored],
    corpus: &Corpus<'_>,
    parameters: &mut Vec<(String, String)>,
) {
    let keys = *dice.pick(&[0_usize, 1, 1, 2, 3]);
    let mut keys: Vec<String> = (0..keys).map(|_| sort_key(dice, peers, corpus)).collect();
    let asks_words = parameters.iter().any(|(name, _)| matches!(name.as_str(), "_text" | "_content"));
    if asks_words && dice.roll(2) == 1 {
        let sign = *dice.pick(&["-", ""]);
        dice.mark(format!("sort {sign}_score"));
        keys.insert(0, format!("{sign}_score"));
        keys.truncate(3);
    }
    if !keys.is_empty() {
        dice.mark(format!("sort keys {}", keys.len()));
        parameters.push(("_sort".to_owned(), keys.join(",")));
    }
    parameters.push(("_count".to_owned(), dice.pick(&["50", "1", "2", "3", "7"]).to_string()));
    if let Some(total) = dice.pick(&[None, None, None, Some("accurate"), Some("estimate"), Some("none")]) {
        dice.mark(format!("total {total}"));
        parameters.push(("_total".to_owned(), (*total).to_owned()));
    }
}

fn sort_key(dice: &mut Dice<'_>, peers: &[&Stored], corpus: &Corpus<'_>) -> String {
    let sign = *dice.pick(&["", "-"]);
    if dice.roll(5) == 1
        && let Some(peer) = peers.get(dice.roll(peers.len()))
        && let Some(path) = sort_path(dice, peer, corpus, 2)
    {
        dice.mark(format!("sort {sign}chain"));
        return format!("{sign}{path}");
    }
    let of_parameter = |dice: &mut Dice<'_>| {
        let peer = peers.get(dice.roll(peers.len()))?;
        let number = dice.roll(peer.entries.len());
        let (id, _) = peer.entries.iter().nth(number)?;
        Some(parameter(id).definition).filter(|definition| definition.is_sortable())
    };
    let found = match dice.roll(6) {
        0 | 1 => None,
        _ => of_parameter(dice),
    };
    match found {
        Some(definition) => {
            dice.mark(format!("sort {sign}{}", definition.kind.as_str()));
            format!("{sign}{}", definition.code)
        }
        None => {
            let key = *dice.pick(&["_id", "_lastUpdated"]);
            dice.mark(format!("sort {sign}{key}"));
            format!("{sign}{key}")
        }
    }
}

/// A chain through references that are there, to something that sorts.
fn sort_path(dice: &mut Dice<'_>, from: &Stored, corpus: &Corpus<'_>, links: usize) -> Option<String> {
    let (link, next) = corpus.target(dice, from)?;
    let link = match link.trim_end_matches('.').split_once(':') {
        Some((code, name)) if dice.roll(3) == 1 => format!("{name}:{code}."),
        _ => link,
    };
    if links > 1
        && dice.roll(3) == 1
        && let Some(rest) = sort_path(dice, next, corpus, links - 1)
    {
        return Some(format!("{link}{rest}"));
    }
    let last = match dice.roll(8) {
        1 => "_id",
        2 => "_lastUpdated",
        _ => {
            let (id, _) = corpus.entry(dice, next)?;
            let definition = Some(parameter(id).definition).filter(|definition| definition.is_sortable())?;
            definition.code.as_str()
        }
    };
    Some(format!("{link}{last}"))
}

/// A compartment that a resource is in, or may be.
fn compartment(dice: &mut Dice<'_>, subject: &Stored) -> Option<(String, String)> {
    let compartments = &INDEX.definitions().compartments;
    let of = |text: &str| {
        let (name, id) = text.split_once('/')?;
        let is_one =
            compartments.parameters(name, &subject.resource_type).is_some_and(|codes| !codes.is_empty());
        is_one.then(|| (name.to_owned(), id.to_owned()))
    };
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |(name, id): (String, String)| found.entry(name).or_default().push(id);
    of(&subject.key).map(&mut add);
    for (_, value) in subject.entries.iter() {
        if let Value::Reference(target) = value {
            of(target).map(&mut add);
        }
    }
    let (name, ids) = found.iter().nth(dice.roll(found.len()))?;
    let found = (name.clone(), dice.pick(ids).clone());
    dice.mark(format!("compartment {}", found.0));
    Some(found)
}

/// One criterion. It is about `entry`, if there is one.
fn criterion(
    dice: &mut Dice<'_>,
    of: &Stored,
    entry: Option<(ParameterId, Value<'_>)>,
    corpus: &Corpus<'_>,
) -> Option<(String, String)> {
    let other = *dice.pick(corpus.peers(of));
    match dice.roll(20) {
        1 => Some(id_criterion(dice, of, other)),
        2 => Some(last_updated(dice, of)),
        3 => dice.attempt(|dice| list(dice, of, corpus)).or_else(|| own(dice, of, entry, corpus)),
        4..=6 => Some(("_filter".to_owned(), filter(dice, of, entry, corpus, 0)?)),
        7..=11 => dice.attempt(|dice| linked(dice, of, corpus, 0)).or_else(|| own(dice, of, entry, corpus)),
        12 => dice.attempt(|dice| words(dice, of)).or_else(|| own(dice, of, entry, corpus)),
        _ => own(dice, of, entry, corpus),
    }
}

fn id_criterion(dice: &mut Dice<'_>, of: &Stored, other: &Stored) -> (String, String) {
    let modifier = *dice.pick(&["", "", ":not", ":missing"]);
    dice.mark(format!("_id{modifier}"));
    let value = match modifier {
        ":missing" => dice.pick(&["true", "false"]).to_string(),
        _ => dice.pick(&[of.id.clone(), format!("{},{}", of.id, other.id), "absent".to_owned()]).clone(),
    };
    (format!("_id{modifier}"), value)
}

fn last_updated(dice: &mut Dice<'_>, of: &Stored) -> (String, String) {
    if dice.roll(8) == 1 {
        dice.mark("_lastUpdated:missing");
        return ("_lastUpdated:missing".to_owned(), dice.pick(&["true", "false"]).to_string());
    }
    let text = date(dice, of.last_updated, of.last_updated);
    dice.mark(format!("_lastUpdated {}", prefix_of(&text)));
    ("_lastUpdated".to_owned(), text)
}

/// Membership in a list that has the resource, or in one that has it not.
fn list(dice: &mut Dice<'_>, of: &Stored, corpus: &Corpus<'_>) -> Option<(String, String)> {
    let having: Vec<&Stored> = corpus
        .naive
        .referrers(&of.key)
        .map(|(_, other)| other)
        .filter(|other| other.resource_type == "List")
        .collect();
    let any = corpus.peers.get("List")?;
    let all = if having.is_empty() || dice.roll(4) == 1 { any } else { &having };
    let (one, other): (&Stored, &Stored) = (*dice.pick(all), *dice.pick(any));
    dice.mark("_list");
    let text = dice.pick(&[one.id.clone(), one.key.clone(), format!("{},{}", one.id, other.id)]).clone();
    Some(("_list".to_owned(), text))
}

/// A chain, in either direction and perhaps in both, through references that are there.
fn linked(dice: &mut Dice<'_>, of: &Stored, corpus: &Corpus<'_>, links: usize) -> Option<(String, String)> {
    let backward = dice.roll(3) == 1;
    let (link, next) = if backward { corpus.referrer(dice, of)? } else { corpus.target(dice, of)? };
    let (name, text) = dice.behind(if backward { "h" } else { "c" }, |dice| {
        if links + 1 < LINKS
            && dice.roll(2) == 1
            && let Some(further) = dice.attempt(|dice| linked(dice, next, corpus, links + 1))
        {
            return Some(further);
        }
        let last = match dice.roll(12) {
            1 => id_criterion(dice, next, next),
            2 => last_updated(dice, next),
            4 => words(dice, next)?,
            3 if backward => ("_filter".to_owned(), filter(dice, next, None, corpus, 1)?),
            _ => own(dice, next, None, corpus)?,
        };
        dice.mark_chain();
        Some(last)
    })?;
    Some((format!("{link}{name}"), text))
}

/// A chain that ends at a value, and a resource that it leads from.
fn leading_to<'a>(
    dice: &mut Dice<'_>,
    end: &'a Stored,
    entry: &(ParameterId, Value<'_>),
    corpus: &Corpus<'a>,
) -> Option<(&'a Stored, (String, String))> {
    let (mut from, mut links, mut text) = (end, String::new(), String::new());
    for _ in 0..*dice.pick(&[1, 1, 2, 3]) {
        let Some((way, link, before)) = corpus.before(dice, from) else { break };
        (from, links, text) = (before, format!("{way}{links}"), format!("{link}{text}"));
    }
    let forward = !links.is_empty() && !links.contains('h');
    let criterion = dice.behind(&links, |dice| {
        dice.mark_chain();
        if forward && dice.roll(2) == 1 {
            dice.mark("filter path");
            let last = filter(dice, end, Some(entry.clone()), corpus, ALONE)?;
            return Some(("_filter".to_owned(), format!("{text}{last}")));
        }
        let (name, value) = own(dice, end, Some(entry.clone()), corpus)?;
        Some((format!("{text}{name}"), value))
    });
    Some((from, criterion?))
}

/// A criterion on a value of a resource itself.
fn own(
    dice: &mut Dice<'_>,
    of: &Stored,
    entry: Option<(ParameterId, Value<'_>)>,
    corpus: &Corpus<'_>,
) -> Option<(String, String)> {
    let (id, value) = entry.or_else(|| corpus.entry(dice, of))?;
    let asked = parameter(id);
    let (code, kind) = (asked.definition.code.as_str(), asked.definition.kind);
    if dice.roll(12) == 1 {
        dice.mark(format!("{}:missing", kind.as_str()));
        return Some((format!("{code}:missing"), dice.pick(&["true", "false"]).to_string()));
    }
    let canonical = asked.aspect == Some("canonical");
    let mut modifier = modifier(dice, &asked);
    let mut text = value_of(dice, modifier, &value, canonical);
    if text.is_none() && asked.aspect.is_none() && !modifier.is_empty() {
        modifier = "";
        text = value_of(dice, modifier, &value, canonical);
    }
    let mut text = text?;
    let mark = match kind {
        SearchParameterType::Date | SearchParameterType::Number | SearchParameterType::Quantity => {
            format!("{} {}", kind.as_str(), prefix_of(&text))
        }
        _ if modifier.is_empty() => kind.as_str().to_owned(),
        _ => format!("{}:{modifier}", kind.as_str()),
    };
    dice.mark(mark);
    if canonical {
        dice.mark(format!("{} in base units", kind.as_str()));
    }
    let of_type = match &value {
        Value::Reference(target) if modifier == "[type]" => target.split_once('/').map(|(name, _)| name),
        _ => None,
    };
    // What is contained may have no peer that stands alone.
    let peers = corpus.peers.get(&*of.resource_type).map_or(&[][..], Vec::as_slice);
    let other = peers.get(dice.roll(peers.len()));
    let second = other.and_then(|other| other.values(id).next());
    let second = second.filter(|_| of_type.is_none() && dice.roll(4) == 1);
    if let Some(second) = second.and_then(|value| value_of(dice, modifier, &value, canonical)) {
        dice.mark("several values");
        text = format!("{text},{second}");
    }
    Some(match of_type.unwrap_or(modifier) {
        "" => (code.to_owned(), text),
        modifier => (format!("{code}:{modifier}"), text),
    })
}

/// One that can be asked of such values; of a reference to a type `[type]`.
fn modifier(dice: &mut Dice<'_>, asked: &Asked) -> &'static str {
    let all: &[&'static str] = match (asked.aspect, asked.definition.kind) {
        (Some("text"), _) => &["text", "code-text"],
        (Some("canonical"), _) => &[""],
        (Some(aspect), _) => return aspect,
        (None, SearchParameterType::String) => &["", "exact", "contains"],
        (None, SearchParameterType::Token) => &["", "", "", "not", "in", "not-in", "above", "below"],
        (None, SearchParameterType::Reference) => &["", "", "[type]"],
        (None, SearchParameterType::Uri) => &["", "above", "below"],
        (None, _) => &[""],
    };
    all.get(dice.roll(all.len())).copied().unwrap_or_default()
}

fn value_of(dice: &mut Dice<'_>, modifier: &str, value: &Value<'_>, canonical: bool) -> Option<String> {
    match (modifier, value) {
        ("", value) => plain(dice, value, canonical),
        ("not" | "identifier", Value::Token { system, code }) => Some(token(dice, system, code)),
        ("in" | "not-in", Value::Token { code, .. }) => Some(terms::value_set(dice, code)),
        ("above" | "below", Value::Token { code, .. }) => terms::concept(dice, code),
        ("above" | "below", Value::Uri(uri)) => hierarchy(dice, modifier, uri),
        ("[type]", Value::Reference(target)) => {
            let (name, id) = target.split_once('/')?;
            let known = INDEX.definitions().schema.is_resource(name);
            known.then(|| dice.pick(&[id, id, target]).to_string())
        }
        ("of-type", Value::Composite(parts)) => match parts.as_slice() {
            [Value::Token { system, code }, Value::Token { code: value, .. }] => {
                let parts = [system, code, value].map(|part| super::queries::escape(part));
                parts.iter().all(|part| !part.is_empty()).then(|| parts.join("|"))
            }
            _ => None,
        },
        (_, Value::String(text)) => string(dice, modifier, text),
        _ => None,
    }
}

/// The prefix of a value; `eq` if it is written without one.
fn prefix_of(text: &str) -> &str {
    text.get(..2).filter(|prefix| prefix.bytes().all(|byte| byte.is_ascii_lowercase())).unwrap_or("eq")
}
