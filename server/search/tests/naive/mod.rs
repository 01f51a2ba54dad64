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

use std::cell::{OnceCell, RefCell};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use conformance::Definitions;
use conformance::terminology::Terminology;
use search::{Handling, ParseContext, SearchIndex, SearchRequest, parse};
use store::{Entries, Filter, Indexer, ParameterId, Query, SortBy, SortKey, Value, fold};

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
    pub entries: Entries,
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
        Stored { resource_type, id, key, last_updated, entries }
    }

    /// The values of one parameter.
    pub fn values(&self, parameter: ParameterId) -> impl Iterator<Item = Value<'_>> {
        self.entries.iter().filter(move |(id, _)| *id == parameter).map(|(_, value)| value)
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
        let mut found: Vec<&Stored> =
            self.all.iter().filter(of_type).filter(|r| asked.holds(&query.filter, r)).collect();
        found.sort_by(|a, b| compare_all(&query.sort, a, b));
        found.iter().map(|r| r.key.clone()).collect()
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
}

#[derive(Debug, PartialEq, PartialOrd)]
enum Place {
    Time(i64),
    Number(f64),
    Text(Vec<u8>),
}

fn compare_all(keys: &[SortKey], a: &Stored, b: &Stored) -> Ordering {
    let each = keys.iter().map(|key| match (place(key, a), place(key, b)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => {
            let order = a.partial_cmp(&b).expect("one parameter has one kind of value");
            if key.descending { order.reverse() } else { order }
        }
    });
    each.fold(Ordering::Equal, Ordering::then)
}

fn place(key: &SortKey, resource: &Stored) -> Option<Place> {
    let better = |a: Place, b: Place| {
        let b_is_less = b.partial_cmp(&a) == Some(Ordering::Less);
        if b_is_less != key.descending { b } else { a }
    };
    match key.by {
        SortBy::Id => Some(Place::Text(resource.id.as_bytes().to_vec())),
        SortBy::LastUpdated => Some(Place::Time(resource.last_updated)),
        SortBy::Parameter(id) => resource.values(id).map(|value| place_of(&value)).reduce(better),
    }
}

fn place_of(value: &Value<'_>) -> Place {
    let text = |text: &str| Place::Text(text.bytes().take(SortBy::TEXT_LENGTH).collect());
    match value {
        Value::Date { lo, .. } => Place::Time(*lo),
        Value::Number { lo, .. } | Value::Quantity { lo, .. } => Place::Number(*lo),
        Value::String(value) => text(&fold(value)),
        Value::Token { code, .. } => text(code),
        Value::Uri(uri) => text(uri),
        Value::Reference(target) => text(target),
        Value::Composite(_) => panic!("composites are not sorted by"),
    }
}
