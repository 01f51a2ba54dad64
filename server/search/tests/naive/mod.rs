#![allow(dead_code, clippy::expect_used, clippy::panic)] // test support: each suite uses its part, and stops at a fault
//! The meaning of a query, spelt out over all resources: no plan, no index, no shortcut. What the engines answer is held
//! against it.

pub mod coverage;
pub mod dice;
pub mod filter;
pub mod grammar;
pub mod odd;
pub mod queries;
pub mod terms;
pub mod words;

use std::cell::{OnceCell, RefCell};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use conformance::Definitions;
use conformance::terminology::Terminology;
use search::{Handling, ParseContext, SearchIndex, SearchRequest, parse};
use store::{Entries, Filter, Indexer, ParameterId, Query, SortBy, TextQuery, Value, fold};
use text::Texts;

/// The server's base in these tests.
pub const BASE: &str = "http://vesta.test/fhir";
/// 2026-11-22T00:00:00Z.
pub const NOW: i64 = 1_795_305_600_000_000;

/// The index of the embedded definitions.
pub static INDEX: LazyLock<Arc<SearchIndex>> = LazyLock::new(|| {
    let definitions = Arc::new(Definitions::embedded().expect("the embedded tables are whole"));
    Arc::new(SearchIndex::new(definitions, vec![BASE.to_owned()]))
});

/// The embedded code systems and value sets.
static TERMINOLOGY: LazyLock<Terminology> = LazyLock::new(Terminology::embedded);

/// What a query text is read with, by default strictly.
pub fn context(handling: Handling) -> ParseContext<'static> {
    ParseContext {
        index: &INDEX,
        handling,
        now: NOW,
        default_count: 20,
        max_count: 1_000,
        terminology: Some(&TERMINOLOGY),
    }
}

/// Reads `Type?name=value&name=value` or `?..`, nothing of it encoded but `%26` for `&` and `%3D` for `=`.
pub fn read(text: &str, handling: Handling) -> Result<SearchRequest, Vec<fhirpath::Issue>> {
    let (path, query) = text.split_once('?').expect("a query has a question mark");
    let (compartment, resource_type) = match path.split('/').collect::<Vec<_>>().as_slice() {
        [compartment, id, name] => (Some((*compartment, *id)), *name),
        [name] => (None, *name),
        _ => panic!("{path} is not a type or a compartment"),
    };
    let plain = |text: &str| text.replace("%26", "&").replace("%3D", "=");
    let parameters: Vec<(String, String)> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect();
    let resource_type = Some(resource_type).filter(|name| !name.is_empty());
    parse(&context(handling), resource_type, compartment, &parameters)
}

/// A resource and what it is found by.
pub struct Stored {
    pub resource_type: String,
    pub id: String,
    /// `Type/id`.
    pub key: String,
    /// Microseconds since 1970.
    pub last_updated: i64,
    /// Without those of what it contains.
    pub entries: Entries,
    /// What it contains: each type, with its id if it has one, and what it would be found by if it stood alone.
    pub contained: Vec<(String, Option<String>, Entries)>,
    pub texts: Texts,
}

impl Stored {
    /// Indexes a body.
    pub fn new(body: &[u8], last_updated: i64) -> Stored {
        let json: serde_json::Value = serde_json::from_slice(body).expect("a body is JSON");
        let text = |name: &str| json.get(name).and_then(|v| v.as_str()).unwrap_or("none").to_owned();
        let (resource_type, id) = (text("resourceType"), text("id"));
        let key = format!("{resource_type}/{id}");
        let mut entries = Entries::new();
        let indexed = INDEX.entries(&resource_type, body, &mut entries);
        indexed.unwrap_or_else(|error| panic!("{key}: {error}"));
        let texts = text::texts(body).expect("a body has texts");
        let first = first_contained();
        let mut own = Entries::new();
        entries.iter().filter(|(id, _)| id.0 < first).for_each(|(id, value)| own.push(id, &value));
        let contained = json.get("contained").and_then(|all| all.as_array()).cloned().unwrap_or_default();
        let contained = contained.iter().map(alone).collect();
        Stored { resource_type, id, key, last_updated, entries: own, contained, texts }
    }

    /// What it contains, each as a resource of its own that was committed when this one was.
    pub fn contained_alone(&self) -> Vec<Stored> {
        let each = self.contained.iter().map(|(resource_type, id, entries)| Stored {
            resource_type: resource_type.clone(),
            id: id.clone().unwrap_or_else(|| "none".to_owned()),
            key: String::new(),
            last_updated: self.last_updated,
            entries: entries.clone(),
            contained: Vec::new(),
            texts: Texts::default(),
        });
        each.collect()
    }

    /// The values of one parameter.
    pub fn values(&self, parameter: ParameterId) -> impl Iterator<Item = Value<'_>> {
        self.entries.iter().filter(move |(id, _)| *id == parameter).map(|(_, value)| value)
    }
}

/// The number of the first parameter of contained resources.
pub fn first_contained() -> u16 {
    let at = INDEX.parameters().iter().position(|parameter| parameter.name.starts_with("Contained."));
    at.and_then(|at| u16::try_from(at).ok()).expect("there are such parameters")
}

/// A contained resource as one that stands alone.
fn alone(json: &serde_json::Value) -> (String, Option<String>, Entries) {
    let text = |name: &str| json.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let resource_type = text("resourceType").expect("it has a type");
    let mut entries = Entries::new();
    INDEX.entries(&resource_type, json.to_string().as_bytes(), &mut entries).expect("it has entries");
    (resource_type, text("id"), entries)
}

/// Whether a contained resource fulfils a filter; `last_updated` is its container's.
fn holds_alone(filter: &Filter, id: Option<&str>, entries: &Entries, last_updated: i64) -> bool {
    let first = first_contained();
    let all = |filter: &Filter| holds_alone(filter, id, entries, last_updated);
    // The two last numbers are its type's and its id's.
    let is_id = |number: u16| usize::from(number) == INDEX.parameters().len() - 1;
    match filter {
        Filter::All => true,
        Filter::None => false,
        Filter::And(filters) => filters.iter().all(all),
        Filter::Or(filters) => filters.iter().any(all),
        Filter::Not(filter) => !all(filter),
        Filter::Match(number, predicate) if is_id(number.0) => {
            id.is_some_and(|id| predicate.matches(&Value::Token { system: "", code: id }))
        }
        Filter::Match(number, predicate) => {
            entries.iter().any(|(own, value)| own.0 + first == number.0 && predicate.matches(&value))
        }
        Filter::Present(number) => entries.iter().any(|(own, _)| own.0 + first == number.0),
        Filter::LastUpdated(comparison, lo, hi) => comparison.holds((*lo, *hi), (last_updated, last_updated)),
        other => panic!("{other:?} is not asked of contained resources"),
    }
}

/// All resources, in the order they came to be.
#[derive(Default)]
pub struct Naive {
    all: Vec<Stored>,
    links: OnceCell<Links>,
}

/// Which resource is where, and what points to it.
pub struct Links {
    by_key: HashMap<String, usize>,
    referrers: HashMap<String, Vec<(ParameterId, usize)>>,
}

impl Naive {
    pub fn all(&self) -> &[Stored] {
        &self.all
    }

    /// Puts a resource in place of what has its key, or at the end.
    pub fn put(&mut self, stored: Stored) {
        self.links.take();
        match self.all.iter_mut().find(|other| other.key == stored.key) {
            Some(older) => *older = stored,
            None => self.all.push(stored),
        }
    }

    /// Keeps what is not gone.
    pub fn retain(&mut self, is_there: impl FnMut(&Stored) -> bool) {
        self.links.take();
        self.all.retain(is_there);
    }

    fn links(&self) -> &Links {
        self.links.get_or_init(|| {
            let mut referrers: HashMap<String, Vec<_>> = HashMap::new();
            for (number, stored) in self.all.iter().enumerate() {
                for (id, value) in stored.entries.iter() {
                    if let Value::Reference(target) = value {
                        referrers.entry(target.to_owned()).or_default().push((id, number));
                    }
                }
            }
            let by_key = self.all.iter().enumerate().map(|(number, stored)| (stored.key.clone(), number));
            Links { by_key: by_key.collect(), referrers }
        })
    }

    /// The resource of a key.
    pub fn find(&self, key: &str) -> Option<&Stored> {
        self.links().by_key.get(key).and_then(|number| self.all.get(*number))
    }

    /// What points to a key, by what.
    pub fn referrers(&self, key: &str) -> impl Iterator<Item = (ParameterId, &Stored)> {
        let found = self.links().referrers.get(key).into_iter().flatten();
        found.filter_map(|(id, number)| Some((*id, self.all.get(*number)?)))
    }

    /// Whether a resource fulfils a filter.
    pub fn holds(&self, filter: &Filter, resource: &Stored) -> bool {
        Asked { all: self, answered: RefCell::default() }.holds(filter, resource)
    }

    /// The keys of all matches, in the order of the query's sort keys; its limit and position are not looked at.
    pub fn run(&self, query: &Query) -> Vec<String> {
        let of_type = |r: &&Stored| query.resource_type.as_deref().is_none_or(|name| name == r.resource_type);
        let asked = Asked { all: self, answered: RefCell::default() };
        let matches = self.all.iter().filter(of_type).filter(|r| asked.holds(&query.filter, r));
        let mut found: Vec<(Vec<Option<Place>>, &Stored)> =
            matches.map(|r| (asked.places(query, r), r)).collect();
        found.sort_by(|(a, _), (b, _)| compare_all(query, a, b));
        found.iter().map(|(_, r)| r.key.clone()).collect()
    }
}

/// One query's questions. Those that chains ask of other resources come again and again; each is answered once.
struct Asked<'a> {
    all: &'a Naive,
    answered: RefCell<HashMap<(*const Filter, *const Stored), bool>>,
}

impl Asked<'_> {
    fn holds(&self, filter: &Filter, resource: &Stored) -> bool {
        match filter {
            Filter::All => true,
            Filter::None => false,
            Filter::And(all) => all.iter().all(|one| self.holds(one, resource)),
            Filter::Or(any) => any.iter().any(|one| self.holds(one, resource)),
            Filter::Not(not) => !self.holds(not, resource),
            Filter::Match(id, predicate) => resource.values(*id).any(|value| predicate.matches(&value)),
            Filter::Present(id) => resource.values(*id).next().is_some(),
            Filter::Type(name) => **name == *resource.resource_type,
            Filter::Contained { resource_type, filter, .. } => resource.contained.iter().any(|one| {
                let (name, id, entries) = one;
                **resource_type == **name
                    && holds_alone(filter, id.as_deref(), entries, resource.last_updated)
            }),
            Filter::Text(query) => query.score_of(&resource.texts).is_some(),
            Filter::Ids(ids) => ids.iter().any(|id| **id == *resource.id),
            Filter::LastUpdated(comparison, lo, hi) => {
                comparison.holds((*lo, *hi), (resource.last_updated, resource.last_updated))
            }
            Filter::Chain { parameter, targets } => resource.values(*parameter).any(|value| {
                let Value::Reference(target) = value else { return false };
                let Some(other) = self.all.find(target) else { return false };
                targets.iter().any(|(name, f)| **name == *other.resource_type && self.of_other(f, other))
            }),
            Filter::Has { resource_type, parameter, filter } => {
                self.all.referrers(&resource.key).any(|(by, other)| {
                    by == *parameter
                        && **resource_type == *other.resource_type
                        && self.of_other(filter, other)
                })
            }
        }
    }

    fn of_other(&self, filter: &Filter, other: &Stored) -> bool {
        let question = (std::ptr::from_ref(filter), std::ptr::from_ref(other));
        if let Some(answer) = self.answered.borrow().get(&question) {
            return *answer;
        }
        let answer = self.holds(filter, other);
        self.answered.borrow_mut().insert(question, answer);
        answer
    }

    /// Where a resource stands by each key.
    fn places(&self, query: &Query, resource: &Stored) -> Vec<Option<Place>> {
        query.sort.iter().map(|key| self.place(query, &key.by, key.descending, resource)).collect()
    }

    fn place(&self, query: &Query, by: &SortBy, descending: bool, resource: &Stored) -> Option<Place> {
        let better = |a: Place, b: Place| {
            let b_is_less = b.partial_cmp(&a) == Some(Ordering::Less);
            if b_is_less != descending { b } else { a }
        };
        match by {
            SortBy::Id => Some(Place::Id(resource.id.as_bytes().to_vec())),
            SortBy::Score => {
                let texts = query.filter.texts();
                let scores = texts.iter().filter_map(|text| text.score_of(&resource.texts));
                TextQuery::together(scores).map(|score| Place::Number(f64::from(score)))
            }
            SortBy::LastUpdated => Some(Place::Time(resource.last_updated)),
            SortBy::Parameter(id) => resource.values(*id).map(|value| place_of(&value)).reduce(better),
            SortBy::Chain { parameter, targets } => {
                let places = resource.values(*parameter).filter_map(|value| {
                    let Value::Reference(target) = value else { return None };
                    let other = self.all.find(target)?;
                    let (_, by) = targets.iter().find(|(name, _)| **name == *other.resource_type)?;
                    self.place(query, by, descending, other)
                });
                places.reduce(better)
            }
        }
    }
}

/// Kinds of values in their order, where a chain leads to several.
#[derive(Debug, PartialEq, PartialOrd)]
enum Place {
    Id(Vec<u8>),
    Code(Vec<u8>),
    Text(Vec<u8>),
    Uri(Vec<u8>),
    Reference(Vec<u8>),
    Number(f64),
    Time(i64),
    Quantity(f64),
}

fn compare_all(query: &Query, a: &[Option<Place>], b: &[Option<Place>]) -> Ordering {
    let each = query.sort.iter().zip(a.iter().zip(b)).map(|(key, places)| match places {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => {
            let order = a.partial_cmp(b).expect("numbers that are indexed compare");
            if key.descending { order.reverse() } else { order }
        }
    });
    each.fold(Ordering::Equal, Ordering::then)
}

fn place_of(value: &Value<'_>) -> Place {
    let short = |text: &str| text.bytes().take(SortBy::TEXT_LENGTH).collect();
    match value {
        Value::Date { lo, .. } => Place::Time(*lo),
        Value::Number { lo, .. } => Place::Number(*lo),
        Value::Quantity { lo, .. } => Place::Quantity(*lo),
        Value::String(value) => Place::Text(short(&fold(value))),
        Value::Token { code, .. } => Place::Code(short(code)),
        Value::Uri(uri) => Place::Uri(short(uri)),
        Value::Reference(target) => Place::Reference(short(target)),
        Value::Composite(_) => panic!("composites are not sorted by"),
    }
}
