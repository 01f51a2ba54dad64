//! The index against a naive one: random resources, commits and queries, evaluated by the engine and by
//! [`Predicate::matches`] over all entries in a list. The engine's limits are drawn too, so that small data takes
//! every way of running a query.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::explicit_auto_deref,
    reason = "draws from small ranges"
)]

use std::collections::BTreeSet;

use heed::{Env, EnvFlags, EnvOpenOptions, WithoutTls};

use super::own::Own;
use super::plan::{Context, LIMITS, Limits};
use super::postings::{IndexDatabases, Pending, compare};
use super::records::{RecordRef, Records};
use super::search;
use crate::fold;
use crate::*;

/// splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

pub(crate) const TYPES: [&str; 3] = ["Observation", "Patient", "Group"];
const SYSTEMS: [&str; 3] = ["", "http://loinc.org", "urn:s"];
const PARAMETERS: u16 = 11;
/// A reference to resources of this world.
pub(crate) const REFERENCE: ParameterId = ParameterId(3);

fn texts() -> Vec<String> {
    let mut texts: Vec<String> =
        ["", "a", "A", "ab", "á b", "Ab  B", "b", "\u{1}", "a\u{0}", "a\u{2}x", "Ωmega", "東京", " a "]
            .map(String::from)
            .into();
    for length in [64, 219, 220, 221, 400, 401, 900] {
        texts.push("x".repeat(length));
        texts.push(format!("{}Y", "x".repeat(length)));
        texts.push(format!("{} needle {}", "X".repeat(length), "é".repeat(length)));
    }
    texts
}

pub(crate) struct Pool {
    texts: Vec<String>,
    references: Vec<String>,
}

const HOUR: i64 = 3_600_000_000;

impl Pool {
    fn span(&self, random: &mut Random) -> (i64, i64) {
        let lo = random.below(40) as i64 * 12 * HOUR - 100 * HOUR;
        let length = *random.one(&[0, 1, HOUR, 24 * HOUR - 1, 25 * HOUR, 25 * HOUR + 1, 400 * HOUR]);
        *random.one(&[
            (lo, lo + length),
            (lo, lo + length),
            (lo, lo + length),
            (i64::MIN, lo),
            (lo, i64::MAX),
        ])
    }

    fn range(&self, random: &mut Random) -> (f64, f64) {
        let lo = *random.one(&[-1e9, -2.5, -0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 1e300]);
        let more = *random.one(&[0.0, 0.0, 0.0, 0.5, 1.0, f64::INFINITY]);
        (lo, lo + more)
    }

    fn text(&self, random: &mut Random) -> &str {
        let short = random.chance(80);
        if short { &self.texts[random.below(13)] } else { random.one::<String>(&self.texts) }
    }

    fn value(&self, random: &mut Random, kind: u16) -> Value<'_> {
        match kind {
            0 => Value::Token { system: *random.one::<&str>(&SYSTEMS), code: self.text(random) },
            1 => Value::String(self.text(random)),
            2 => Value::Uri(self.text(random)),
            3 => Value::Reference(random.one::<String>(&self.references)),
            4 => {
                let (lo, hi) = self.span(random);
                Value::Date { lo, hi }
            }
            5 => {
                let (lo, hi) = self.range(random);
                Value::Number { lo, hi }
            }
            6 => {
                let (lo, hi) = self.range(random);
                let system = *random.one::<&str>(&SYSTEMS);
                Value::Quantity { lo, hi, system, code: self.text(random), unit: self.text(random) }
            }
            7 => Value::Composite(vec![self.value(random, 0), self.value(random, 6)]),
            8 => Value::Composite(vec![self.value(random, 1), self.value(random, 4)]),
            9 => Value::Composite(vec![self.value(random, 3), self.value(random, 2), self.value(random, 5)]),
            // A parameter with values of every kind.
            _ => {
                let kind = random.below(10) as u16;
                self.value(random, kind)
            }
        }
    }

    pub(crate) fn entries(&self, random: &mut Random) -> Entries {
        let mut entries = Entries::new();
        for _ in 0..random.below(14) {
            let parameter = random.below(usize::from(PARAMETERS)) as u16;
            entries.push(ParameterId(parameter), &self.value(random, parameter));
        }
        entries
    }

    fn comparison(&self, random: &mut Random) -> Comparison {
        use Comparison::*;
        *random.one(&[
            Equal,
            NotEqual,
            Greater,
            Less,
            GreaterOrEqual,
            LessOrEqual,
            StartsAfter,
            EndsBefore,
            Approximately,
        ])
    }

    fn predicate(&self, random: &mut Random, kind: u16) -> Predicate {
        let some = |random: &mut Random, text: &str| random.chance(70).then(|| text.into());
        match kind {
            0 => {
                let system = *random.one::<&str>(&SYSTEMS);
                let (system, code) = (some(random, system), self.text(random));
                Predicate::Token { system, code: some(random, code) }
            }
            1 => {
                let how = *random.one(&[
                    StringMatch::StartsWith,
                    StringMatch::Contains,
                    StringMatch::Exact,
                    StringMatch::Same,
                    StringMatch::EndsWith,
                ]);
                let text = self.text(random);
                Predicate::String(how, if random.chance(20) { "needle".into() } else { text.into() })
            }
            2 if random.chance(30) => {
                let text = self.text(random);
                let end = text.floor_char_boundary(1 + random.below(Predicate::BELOW_LENGTH));
                Predicate::UriBelow(text.get(..end).unwrap_or(text).into())
            }
            2 => Predicate::Uri(self.text(random).into()),
            3 => {
                let count = random.below(4);
                Predicate::Reference(
                    (0..count).map(|_| random.one::<String>(&self.references).as_str().into()).collect(),
                )
            }
            4 => {
                let (lo, hi) = self.span(random);
                Predicate::Date(self.comparison(random), lo, hi)
            }
            5 => {
                let (lo, hi) = self.range(random);
                Predicate::Number(self.comparison(random), lo, hi)
            }
            6 => {
                let (lo, hi) = self.range(random);
                let system = *random.one::<&str>(&SYSTEMS);
                let (system, code) = (some(random, system), self.text(random));
                let code = some(random, code);
                Predicate::Quantity { comparison: self.comparison(random), lo, hi, system, code }
            }
            7 => Predicate::Composite(vec![self.predicate(random, 0), self.predicate(random, 6)]),
            8 => Predicate::Composite(vec![self.predicate(random, 1), self.predicate(random, 4)]),
            9 => Predicate::Composite(vec![
                self.predicate(random, 3),
                self.predicate(random, 2),
                self.predicate(random, 5),
            ]),
            _ => {
                let kind = random.below(10) as u16;
                let predicate = self.predicate(random, kind);
                if random.chance(30) { Predicate::NoneOf(vec![predicate]) } else { predicate }
            }
        }
    }

    pub(crate) fn filter(&self, random: &mut Random, depth: usize) -> Filter {
        let leaf = depth == 0 || random.chance(40);
        let several = |random: &mut Random| -> Vec<Filter> {
            (0..random.below(4)).map(|_| self.filter(random, depth - 1)).collect()
        };
        if !leaf {
            return match random.below(4) {
                0 => Filter::Or(several(random)),
                1 => Filter::Not(Box::new(self.filter(random, depth - 1))),
                _ => Filter::And(several(random)),
            };
        }
        match random.below(23) {
            21 | 22 => Filter::Has {
                resource_type: (*random.one::<&str>(&TYPES)).into(),
                parameter: if random.chance(80) { REFERENCE } else { ParameterId(10) },
                filter: Box::new(self.filter(random, depth.saturating_sub(1))),
            },
            20 => Filter::Type((*random.one::<&str>(&TYPES)).into()),
            0 => Filter::All,
            1 => Filter::None,
            2 => Filter::Present(ParameterId(random.below(usize::from(PARAMETERS) + 1) as u16)),
            3 => Filter::Ids((0..random.below(5)).map(|_| format!("{}", random.below(40)).into()).collect()),
            4 => {
                let lo = TIME + random.below(40) as i64 * 1_000_000;
                Filter::LastUpdated(self.comparison(random), lo, lo + random.below(3) as i64 * 999_999)
            }
            5 | 6 => Filter::Chain {
                parameter: if random.chance(80) { REFERENCE } else { ParameterId(10) },
                targets: (0..random.below(3))
                    .map(|_| {
                        ((*random.one::<&str>(&TYPES)).into(), self.filter(random, depth.saturating_sub(1)))
                    })
                    .collect(),
            },
            _ => {
                let parameter = random.below(usize::from(PARAMETERS)) as u16;
                let predicate = self.predicate(random, parameter);
                let not = random.chance(10);
                let predicate = if not {
                    Predicate::NoneOf(vec![predicate, self.predicate(random, parameter)])
                } else {
                    predicate
                };
                Filter::Match(ParameterId(parameter), predicate)
            }
        }
    }

    fn sort(&self, random: &mut Random) -> Vec<SortKey> {
        (0..random.below(4))
            .map(|_| {
                let parameter = SortBy::Parameter(ParameterId(random.below(usize::from(PARAMETERS)) as u16));
                let by = match random.below(8) {
                    0 => SortBy::LastUpdated,
                    1 => SortBy::Id,
                    2 | 3 => self.chain(random, 2),
                    _ => parameter,
                };
                SortKey { by, descending: random.chance(50) }
            })
            .collect()
    }

    /// A key of what references lead to, by so many links.
    fn chain(&self, random: &mut Random, links: usize) -> SortBy {
        let target = |random: &mut Random| match random.below(6) {
            0 => SortBy::LastUpdated,
            1 => SortBy::Id,
            2 | 3 if links > 1 => self.chain(random, links - 1),
            _ => SortBy::Parameter(ParameterId(random.below(usize::from(PARAMETERS)) as u16)),
        };
        let types = TYPES.iter().filter(|_| random.chance(70)).collect::<Vec<_>>();
        let targets = types.into_iter().map(|name| ((*name).into(), target(random))).collect();
        SortBy::Chain { parameter: REFERENCE, targets }
    }

    fn limits(&self, random: &mut Random) -> Limits {
        if random.chance(30) {
            return LIMITS;
        }
        Limits {
            few_candidates: *random.one(&[0, 3, 4_096]),
            first_entries: *random.one(&[0, 5, 8_192]),
            checked: *random.one(&[0, 10, 4_096]),
            few_matches: *random.one(&[0, 5, 20_000]),
            walked: *random.one(&[3, 40, 20_000]),
            walk_cost: *random.one(&[0, 0, 2]),
            sampled: *random.one(&[0, 2, 1_024]),
            estimated_chunks: *random.one(&[0, 512]),
            ..LIMITS
        }
    }
}

/// Microseconds of the first commit.
pub(crate) const TIME: i64 = 1_700_000_000_000_000;

/// A resource as the model knows it.
#[derive(Clone)]
pub(crate) struct Resource {
    pub(crate) ordinal: u32,
    pub(crate) key: Key,
    pub(crate) last_updated: Timestamp,
    pub(crate) entries: Entries,
}

/// The engine's databases beside a list of all resources.
struct World {
    _directory: tempfile::TempDir,
    env: Env<WithoutTls>,
    databases: IndexDatabases,
    records: Records,
    resources: Vec<Resource>,
    /// Keys once used: ordinal and version.
    known: Vec<(Key, u32, u64)>,
    next: u32,
    commits: i64,
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(1 << 30).max_dbs(16);
        #[allow(unsafe_code, reason = "the test alone uses the directory, and loses nothing with it")]
        let env = unsafe { options.flags(EnvFlags::NO_SYNC).open(directory.path()) }.unwrap();
        let mut txn = env.write_txn().unwrap();
        let databases = IndexDatabases::open(&env, &mut txn).unwrap();
        let mut table = |name| env.create_database(&mut txn, Some(name)).unwrap();
        let records = Records { ids: table("ids"), heads: table("heads"), versions: table("versions") };
        txn.commit().unwrap();
        let resources = Vec::new();
        World {
            _directory: directory,
            env,
            databases,
            records,
            resources,
            known: Vec::new(),
            next: 0,
            commits: 0,
        }
    }

    /// Creates, updates and deletes at random, in one transaction and sometimes several flushes. Does not touch
    /// what `spared` holds.
    fn commit(
        &mut self,
        random: &mut Random,
        pool: &Pool,
        writes: usize,
        gaps: bool,
        spared: &BTreeSet<u32>,
    ) {
        self.commits += 1;
        let time = Timestamp(TIME / 1_000 + self.commits * 1_000);
        let env = self.env.clone();
        let mut txn = env.write_txn().unwrap();
        let mut pending = Pending::new();
        for _ in 0..writes {
            let create = self.resources.is_empty() || random.chance(60);
            let revive = !create && random.chance(20);
            let (key, ordinal, version) = if create || (revive && self.known.is_empty()) {
                let id = format!("{}", self.known.len() % 40 + self.known.len() / 40 * 1000);
                let ordinal = self.next;
                self.next += if gaps && random.chance(5) { 1 + random.below(5_000) as u32 } else { 1 };
                (Key::new(random.one::<&str>(&TYPES), &id), ordinal, 1)
            } else if revive {
                let (key, ordinal, version) = random.one(&self.known).clone();
                (key, ordinal, version + 1)
            } else {
                let ordinal = random.one(&self.resources).ordinal;
                let (key, _, version) = self.known.iter().find(|known| known.1 == ordinal).unwrap().clone();
                (key, ordinal, version + 1)
            };
            if spared.contains(&ordinal) {
                continue;
            }
            let old = self.resources.iter().position(|resource| resource.ordinal == ordinal);
            if let Some(old) = old {
                let old = self.resources.remove(old);
                pending.remove(ordinal, &key, old.last_updated, &old.entries);
            }
            let delete = version > 1 && random.chance(30);
            let mut entries = if delete { Entries::new() } else { pool.entries(random) };
            if let (Some(old), true) = (old.and_then(|at| self.resources.get(at)), random.chance(50)) {
                // Mostly what another has: most postings stay.
                entries = old.entries.clone();
            }
            // What has no entries has a body all the same.
            let mut body = if delete { Vec::new() } else { vec![BODY] };
            for (parameter, value) in entries.iter().filter(|_| !delete) {
                body.extend_from_slice(&parameter.0.to_le_bytes());
                value.pack(&mut body);
            }
            let method = if delete { Method::Delete } else { Method::Put };
            let record = RecordRef {
                version,
                sequence: 1,
                last_updated: time,
                method,
                key: key.as_str(),
                body: &body,
            };
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            if version == 1 {
                self.records.create(&mut txn, ordinal, key.as_str(), &bytes).unwrap();
                self.known.push((key.clone(), ordinal, 1));
            } else {
                self.records.replace(&mut txn, ordinal, version - 1, &bytes, &mut Vec::new()).unwrap();
                self.known.iter_mut().find(|known| known.1 == ordinal).unwrap().2 = version;
            }
            if !delete {
                pending.add(ordinal, &key, time, &entries);
                self.resources.push(Resource { ordinal, key, last_updated: time, entries });
            }
            if random.chance(3) {
                pending.flush(&mut txn, &self.databases).unwrap();
            }
        }
        pending.flush(&mut txn, &self.databases).unwrap();
        txn.commit().unwrap();
        self.resources.sort_by_key(|resource| resource.ordinal);
    }

    fn fulfils(&self, resource: &Resource, filter: &Filter) -> bool {
        fulfils(&self.resources, resource, filter)
    }

    /// All matches in order.
    fn expected(&self, query: &Query) -> Vec<&Resource> {
        expected(&self.resources, query, &Filter::All)
    }

    fn run(&self, limits: Limits, query: &Query) -> Result<Page, StoreError> {
        self.run_for(&Access::unrestricted(), limits, query)
    }

    fn run_for(&self, access: &Access, limits: Limits, query: &Query) -> Result<Page, StoreError> {
        let txn = self.env.read_txn().unwrap();
        let mut context = Context::new(&txn, &self.databases, &self.records, access);
        context.limits = limits;
        search::run(&context, query)
    }

    /// Runs a query page by page and compares it with the model.
    fn check(&self, random: &mut Random, limits: Limits, mut query: Query) {
        let expected = self.expected(&query);
        let names: Vec<_> = expected.iter().map(|resource| resource.key.as_str().to_owned()).collect();
        let mut found = Vec::new();
        if query.limit > 0 {
            // A few pages are enough.
            query.limit = query.limit.max(names.len() / 6);
        }
        loop {
            let page = self.run(limits, &query).unwrap_or_else(|error| panic!("{error}: {query:?}"));
            if query.total {
                assert_eq!(page.total, Some(names.len() as u64), "{query:?} {limits:?}");
            } else {
                assert_eq!(page.total, None);
            }
            let full = page.matches.len() == query.limit;
            found.extend(page.matches.iter().map(|version| version.key.as_str().to_owned()));
            assert!(page.next.is_none() || full, "a page that is not full has a next one: {query:?}");
            let more = found.len() < names.len() && query.limit > 0;
            assert_eq!(page.next.is_some(), more, "{query:?} {limits:?}: {found:?} of {names:?}");
            query.after = page.next;
            query.total = random.chance(30);
            if query.after.is_none() {
                break;
            }
        }
        if query.limit > 0 {
            assert_eq!(found, names, "{query:?} {limits:?}");
        }
    }

    fn faults(&self) -> CheckReport {
        let txn = self.env.read_txn().unwrap();
        let mut report = CheckReport::default();
        compare(&txn, &self.databases, &self.records, &Packed, &Own::default(), &mut report, &|_| ())
            .unwrap();
        report
    }
}

/// Whether one of some resources fulfils a filter.
fn fulfils(resources: &[Resource], resource: &Resource, filter: &Filter) -> bool {
    match filter {
        Filter::All => true,
        Filter::None => false,
        Filter::And(filters) => filters.iter().all(|filter| fulfils(resources, resource, filter)),
        Filter::Or(filters) => filters.iter().any(|filter| fulfils(resources, resource, filter)),
        Filter::Not(filter) => !fulfils(resources, resource, filter),
        Filter::Match(parameter, predicate) => {
            resource.entries.iter().any(|(number, value)| number == *parameter && predicate.matches(&value))
        }
        Filter::Present(parameter) => resource.entries.iter().any(|(number, _)| number == *parameter),
        Filter::Type(name) => **name == *resource.key.resource_type(),
        Filter::Text(_) | Filter::Contained { .. } => unreachable!("none is made up"),
        Filter::Ids(ids) => ids.iter().any(|id| **id == *resource.key.id()),
        &Filter::LastUpdated(comparison, lo, hi) => {
            let point = resource.last_updated.0 * 1_000;
            comparison.holds((lo, hi), (point, point))
        }
        Filter::Chain { parameter, targets } => resource.entries.iter().any(|(number, value)| {
            let Value::Reference(target) = value else { return false };
            let Some(target) = resources.iter().find(|other| other.key.as_str() == target) else {
                return false;
            };
            number == *parameter
                && targets.iter().any(|(name, filter)| {
                    **name == *target.key.resource_type() && fulfils(resources, target, filter)
                })
        }),
        Filter::Has { resource_type, parameter, filter } => resources.iter().any(|other| {
            let refers = other.entries.iter().any(|(number, value)| {
                number == *parameter && value == Value::Reference(resource.key.as_str())
            });
            refers && **resource_type == *other.key.resource_type() && fulfils(resources, other, filter)
        }),
    }
}

/// Of some resources, those that a query finds, in order. Chained keys lead to what fulfils a rule.
pub(crate) fn expected<'r>(resources: &'r [Resource], query: &Query, rule: &Filter) -> Vec<&'r Resource> {
    let world = Linked { resources, rule };
    let mut found: Vec<_> = resources
        .iter()
        .filter(|resource| {
            query.resource_type.as_deref().is_none_or(|name| name == resource.key.resource_type())
        })
        .filter(|resource| fulfils(resources, resource, &query.filter))
        .map(|resource| {
            let each = query.sort.iter().map(|key| world.sort_value(resource, &key.by, key.descending));
            (each.collect::<Vec<_>>(), resource)
        })
        .collect();
    found.sort_by(|(a, x), (b, y)| {
        for ((a, b), key) in a.iter().zip(b).zip(&query.sort) {
            let order = match (a, b) {
                (None, None) => continue,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(_), None) => std::cmp::Ordering::Less,
                (Some(a), Some(b)) if key.descending => b.order(a),
                (Some(a), Some(b)) => a.order(b),
            };
            if order.is_ne() {
                return order;
            }
        }
        x.ordinal.cmp(&y.ordinal)
    });
    found.into_iter().map(|(_, resource)| resource).collect()
}

/// Takes bodies for packed entries.
struct Packed;

/// How a body begins.
const BODY: u8 = b'{';

impl Indexer for Packed {
    fn entries(&self, _: &str, body: &[u8], out: &mut Entries) -> Result<(), IndexError> {
        let mut rest = body.strip_prefix(&[BODY]).ok_or(IndexError("no body".into()))?;
        while let Some((parameter, packed)) = rest.split_first_chunk() {
            let (value, left) = Value::unpack(packed).ok_or(IndexError("unreadable".into()))?;
            out.push(ParameterId(u16::from_le_bytes(*parameter)), &value);
            rest = left;
        }
        Ok(())
    }

    fn parameters(&self) -> &[Parameter] {
        &[]
    }

    fn fingerprint(&self) -> u64 {
        0
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Sorted {
    Text(u8, Vec<u8>),
    Number(u8, f64),
    Time(u8, i64),
}

impl Sorted {
    fn rank(&self) -> u8 {
        let (Sorted::Text(rank, _) | Sorted::Number(rank, _) | Sorted::Time(rank, _)) = self;
        *rank
    }

    fn order(&self, other: &Sorted) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank()).then_with(|| match (self, other) {
            (Sorted::Text(_, a), Sorted::Text(_, b)) => a.cmp(b),
            (Sorted::Number(_, a), Sorted::Number(_, b)) => a.partial_cmp(b).unwrap(),
            (Sorted::Time(_, a), Sorted::Time(_, b)) => a.cmp(b),
            _ => unreachable!("ranks tell kinds apart"),
        })
    }
}

/// What chained keys lead to.
struct Linked<'r> {
    resources: &'r [Resource],
    rule: &'r Filter,
}

impl Linked<'_> {
    fn sort_value(&self, resource: &Resource, by: &SortBy, descending: bool) -> Option<Sorted> {
        let best = |some: &mut dyn Iterator<Item = Sorted>| {
            if descending { some.max_by(Sorted::order) } else { some.min_by(Sorted::order) }
        };
        let text =
            |rank, text: &str| Some(Sorted::Text(rank, text.bytes().take(SortBy::TEXT_LENGTH).collect()));
        let values = |parameter| resource.entries.iter().filter(move |entry| entry.0 == parameter);
        let parameter = match by {
            // By the time as by a date, where kinds meet.
            SortBy::LastUpdated => return Some(Sorted::Time(6, resource.last_updated.0 * 1_000)),
            SortBy::Id => return text(0, resource.key.id()),
            SortBy::Score => unreachable!("none is made up"),
            SortBy::Parameter(parameter) => *parameter,
            SortBy::Chain { parameter, targets } => {
                let referred = values(*parameter).filter_map(|(_, value)| match value {
                    Value::Reference(target) => self.seen(target),
                    _ => None,
                });
                return best(&mut referred.flat_map(|other| {
                    let here = targets.iter().filter(move |(name, _)| **name == *other.key.resource_type());
                    here.filter_map(move |(_, by)| self.sort_value(other, by, descending))
                }));
            }
        };
        let mut sorted = values(parameter).filter_map(|(_, value)| match value {
            Value::Token { code, .. } => text(1, code),
            Value::String(value) => text(2, &fold(value)),
            Value::Uri(value) => text(3, value),
            Value::Reference(value) => text(4, value),
            Value::Number { lo, .. } => Some(Sorted::Number(5, lo)),
            Value::Date { lo, .. } => Some(Sorted::Time(6, lo)),
            Value::Quantity { lo, .. } => Some(Sorted::Number(7, lo)),
            Value::Composite(_) => None,
        });
        best(&mut sorted)
    }

    fn seen(&self, key: &str) -> Option<&Resource> {
        let found = self.resources.iter().find(|other| other.key.as_str() == key);
        found.filter(|other| fulfils(self.resources, other, self.rule))
    }
}

pub(crate) fn pool(random: &mut Random) -> Pool {
    let mut references =
        vec!["http://other.org/Patient/1".to_owned(), format!("http://long.org/{}", "z".repeat(500))];
    for _ in 0..12 {
        references.push(format!("{}/{}", random.one::<&str>(&TYPES), random.below(40)));
    }
    Pool { texts: texts(), references }
}

pub(crate) fn query(random: &mut Random, pool: &Pool) -> Query {
    Query {
        resource_type: random.chance(75).then(|| (*random.one::<&str>(&TYPES)).into()),
        filter: pool.filter(random, 3),
        sort: pool.sort(random),
        after: None,
        limit: *random.one(&[0, 1, 2, 3, 7, 20, 1000]),
        total: random.chance(40),
    }
}

/// Worlds of a few resources, some far apart, and one whose postings become bitmaps.
/// The decision that of every type only what fulfils a rule is permitted.
pub(crate) fn only(rule: &Filter) -> Access {
    Access::granted(TYPES.map(|name| (name.into(), Rules::all(rule.clone()))))
}

/// What a caller who is held to a rule asks by a filter: chains lead through what fulfils it, and those of the rule through
/// everything.
pub(crate) fn held(filter: &Filter, rule: &Filter) -> Filter {
    Filter::And(vec![held_chains(filter, rule), rule.clone()])
}

fn held_chains(filter: &Filter, rule: &Filter) -> Filter {
    let each = |filters: &[Filter]| filters.iter().map(|filter| held_chains(filter, rule)).collect();
    match filter {
        Filter::And(filters) => Filter::And(each(filters)),
        Filter::Or(filters) => Filter::Or(each(filters)),
        Filter::Not(filter) => Filter::Not(Box::new(held_chains(filter, rule))),
        Filter::Chain { parameter, targets } => {
            let targets = targets.iter().map(|(name, filter)| (name.clone(), held(filter, rule)));
            Filter::Chain { parameter: *parameter, targets: targets.collect() }
        }
        Filter::Has { resource_type, parameter, filter } => Filter::Has {
            resource_type: resource_type.clone(),
            parameter: *parameter,
            filter: Box::new(held(filter, rule)),
        },
        plain => plain.clone(),
    }
}

fn worlds(seed: u64, each: impl Fn(&mut Random, &Pool, &mut World)) {
    let mut random = Random(seed);
    for number in 0..24 {
        let pool = pool(&mut random);
        let mut world = World::new();
        let (rounds, writes, gaps) = if number == 0 { (2, 1_000, false) } else { (6, 25, true) };
        for _ in 0..rounds {
            world.commit(&mut random, &pool, writes, gaps, &BTreeSet::new());
            each(&mut random, &pool, &mut world);
        }
    }
}

#[test]
fn queries_agree_with_the_model() {
    worlds(1, |random, pool, world| {
        for _ in 0..30 {
            let limits = pool.limits(random);
            let query = query(random, pool);
            world.check(random, limits, query);
        }
    });
}

#[test]
fn estimates_are_exact_of_few_and_never_of_more_than_there_are() {
    worlds(9, |random, pool, world| {
        for _ in 0..20 {
            let (limits, query) = (pool.limits(random), query(random, pool));
            let (txn, access) = (world.env.read_txn().unwrap(), Access::unrestricted());
            let mut context = Context::new(&txn, &world.databases, &world.records, &access);
            context.limits = limits;
            let Some(estimate) = search::estimate(&context, &query).unwrap() else {
                panic!("the type of what is searched says how many there are: {query:?}")
            };
            let expected = world.expected(&query).len() as u64;
            assert!(estimate <= world.resources.len() as u64, "{query:?} {limits:?}");
            if limits.sampled >= world.resources.len() as u64 {
                assert_eq!(estimate, expected, "{query:?} {limits:?}");
            }
        }
    });
}

#[test]
fn the_index_agrees_with_the_resources() {
    worlds(2, |_, _, world| {
        let report = world.faults();
        assert_eq!(report.faults, Vec::<String>::new());
        assert!(report.postings > 0);
    });
}

#[test]
fn damage_is_found() {
    worlds(3, |random, _, world| {
        let env = world.env.clone();
        let mut txn = env.write_txn().unwrap();
        let databases = [world.databases.postings, world.databases.presence, world.databases.forward];
        let database = *random.one(&databases);
        let skip = random.below(database.len(&txn).unwrap() as usize);
        let (key, value) = database.iter(&txn).unwrap().nth(skip).unwrap().unwrap();
        let (mut key, mut value) = (key.to_vec(), value.to_vec());
        match random.below(3) {
            0 => {
                database.delete(&mut txn, &key).unwrap();
            }
            1 => {
                value.rotate_left(1);
                value.push(1);
                database.put(&mut txn, &key, &value).unwrap();
            }
            _ => {
                key.push(1);
                database.put(&mut txn, &key, &value).unwrap();
            }
        }
        let mut report = CheckReport::default();
        compare(&txn, &world.databases, &world.records, &Packed, &Own::default(), &mut report, &|_| ())
            .unwrap();
        assert!(!report.faults.is_empty(), "{key:?}");
        txn.abort();
    });
}

#[test]
fn whatever_is_deleted_leaves_nothing() {
    worlds(4, |random, pool, world| {
        if world.commits < 3 {
            return;
        }
        let env = world.env.clone();
        let mut txn = env.write_txn().unwrap();
        let mut pending = Pending::new();
        for resource in &world.resources {
            pending.remove(resource.ordinal, &resource.key, resource.last_updated, &resource.entries);
            if random.chance(10) {
                let other = pool.entries(random);
                pending.add(resource.ordinal, &resource.key, resource.last_updated, &other);
                pending.remove(resource.ordinal, &resource.key, resource.last_updated, &other);
            }
        }
        pending.flush(&mut txn, &world.databases).unwrap();
        let databases = world.databases;
        for database in [databases.postings, databases.presence, databases.long, databases.forward] {
            assert_eq!(database.len(&txn).unwrap(), 0);
        }
        txn.abort();
    });
}

#[test]
fn pages_stay_right_while_data_changes() {
    worlds(5, |random, pool, world| {
        for _ in 0..6 {
            let limits = pool.limits(random);
            let mut query = query(random, pool);
            query.total = false;
            // A chain's matches change with what others point to: these are not unchanged resources.
            if format!("{query:?}").contains("Chain") {
                continue;
            }
            let before: Vec<_> = world.expected(&query).into_iter().cloned().collect();
            query.limit = before.len() / 5 + 1;
            let spared =
                before.iter().filter(|_| random.chance(70)).map(|resource| resource.ordinal).collect();
            let (mut found, last) = (Vec::new(), world.commits + 6);
            loop {
                let page = world.run(limits, &query).unwrap();
                found.extend(page.matches.into_iter().map(|version| version.key));
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
                // Not for ever: what is new may come after every page.
                if world.commits < last {
                    world.commit(random, pool, 6, true, &spared);
                }
            }
            let unchanged =
                |key: &&Key| world.known.iter().any(|known| known.0 == **key && spared.contains(&known.1));
            let found: Vec<_> = found.iter().filter(unchanged).map(Key::as_str).collect();
            let all: Vec<_> =
                before.iter().map(|resource| &resource.key).filter(unchanged).map(Key::as_str).collect();
            assert_eq!(found, all, "{query:?} {limits:?}");
        }
    });
}

#[test]
fn searches_heed_the_access_decision() {
    worlds(6, |random, pool, world| {
        for _ in 0..40 {
            let (query, rule) = (query(random, pool), pool.filter(random, 2));
            let query = Query { limit: 100_000, total: true, ..query };
            let asked = Query { filter: held(&query.filter, &rule), ..query.clone() };
            let expected = expected(&world.resources, &asked, &rule).into_iter();
            let expected: Vec<_> = expected.map(|it| it.key.clone()).collect();
            let limits = pool.limits(random);
            let page = world.run_for(&only(&rule), limits, &query).unwrap();
            let found: Vec<_> = page.matches.into_iter().map(|version| version.key).collect();
            assert_eq!(found, expected, "{query:?} {rule:?} {limits:?}");
            assert_eq!(page.total, Some(found.len() as u64));
        }
    });
}

#[test]
fn the_other_questions_agree_with_the_model() {
    worlds(6, |random, pool, world| {
        let (txn, access) = (world.env.read_txn().unwrap(), Access::unrestricted());
        for _ in 0..20 {
            let (name, filter) = (*random.one::<&str>(&TYPES), pool.filter(random, 2));
            let expected = world
                .resources
                .iter()
                .any(|resource| resource.key.resource_type() == name && world.fulfils(resource, &filter));
            let found =
                search::any_match(&txn, &world.databases, &world.records, &access, name, &filter).unwrap();
            assert_eq!(found, expected, "{name} {filter:?}");
        }
        let from: Vec<_> = world.known.iter().map(|known| known.0.clone()).collect();
        let parameters = [REFERENCE, ParameterId(10)];
        let found = search::references(&txn, &world.databases, &world.records, &from, &parameters).unwrap();
        let mut expected = Vec::<Box<str>>::new();
        for key in &from {
            let Some(resource) = world.resources.iter().find(|resource| resource.key == *key) else {
                continue;
            };
            for parameter in parameters {
                for (number, value) in resource.entries.iter() {
                    if let (true, Value::Reference(target)) = (number == parameter, value)
                        && !expected.iter().any(|other| **other == *target)
                    {
                        expected.push(target.into());
                    }
                }
            }
        }
        assert_eq!(found, expected);
        let mut counts: Vec<(Box<str>, u64)> = Vec::new();
        for name in ["Group", "Observation", "Patient"] {
            let count =
                world.resources.iter().filter(|resource| resource.key.resource_type() == name).count();
            if count > 0 {
                counts.push((name.into(), count as u64));
            }
        }
        assert_eq!(search::counts(&txn, &world.databases).unwrap(), counts);
    });
}

#[test]
fn too_costly_queries_are_refused() {
    let mut random = Random(7);
    let pool = pool(&mut random);
    let mut world = World::new();
    world.commit(&mut random, &pool, 300, false, &BTreeSet::new());
    let limits = Limits { entries_read: 10, ..LIMITS };
    let query = Query {
        resource_type: None,
        filter: Filter::Match(ParameterId(1), Predicate::String(StringMatch::Contains, "a".into())),
        sort: Vec::new(),
        after: None,
        limit: 10,
        total: false,
    };
    let error = world.run(limits, &query).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the search would read more than 10 index entries; add a parameter that few resources fulfil (a patient, \
         an identifier, a code) or narrow its dates, numbers or texts"
    );
    assert!(matches!(error, StoreError::TooCostly(_)));
}

#[test]
fn queries_that_would_be_too_costly_are_refused_before_they_run() {
    let mut random = Random(7);
    let pool = pool(&mut random);
    let mut world = World::new();
    world.commit(&mut random, &pool, 300, false, &BTreeSet::new());
    let limits = Limits { entries_read: 10, estimated_chunks: 0, ..LIMITS };
    let contains = |text: &str| Predicate::String(StringMatch::Contains, text.into());
    let query = |filter| Query {
        resource_type: None,
        filter,
        sort: Vec::new(),
        after: None,
        limit: 10,
        total: false,
    };
    let long = Filter::Match(ParameterId(1), contains("a"));
    let StoreError::TooCostly(text) = world.run(limits, &query(long.clone())).unwrap_err() else {
        panic!("it is refused for its cost")
    };
    assert!(text.contains("index entries, most of them of a parameter, and 10 are allowed"), "{text}");
    let nothing = Filter::Ids(vec!["absent".into()]);
    let narrow = Filter::And(vec![nothing, Filter::Match(ParameterId(1), contains("a"))]);
    assert!(world.run(Limits { entries_read: 10_000, ..limits }, &query(narrow)).is_ok());
    let chain = Filter::Chain { parameter: REFERENCE, targets: vec![("Patient".into(), long)] };
    assert!(matches!(world.run(limits, &query(chain)), Err(StoreError::TooCostly(_))));
}

#[test]
fn cursors_of_other_queries_are_refused() {
    let world = World::new();
    let sort = vec![SortKey { by: SortBy::LastUpdated, descending: true }];
    for bytes in [&b""[..], b"abc", b"0123456789abcdef"] {
        let query = Query {
            resource_type: None,
            filter: Filter::All,
            sort: sort.clone(),
            after: Some(Cursor(bytes.into())),
            limit: 1,
            total: false,
        };
        assert!(matches!(world.run(LIMITS, &query), Err(StoreError::Cursor)));
    }
}
