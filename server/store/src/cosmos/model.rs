//! Searches against a naive model, on the emulator: random resources, each with versions that a snapshot must not
//! see beside it, and random queries. What the model finds and a query of the service does not would be missing
//! here; so it shows that conditions hold wherever their plans do.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "small numbers; a test that panics has failed"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cosmos_emulator::Account;
use serde_json::json;

use super::connect::Accounts;
use super::container::{Container, Written};
use super::document::Document;
use super::log::Log;
use super::shard::Shard;
use super::tail::{Sum, Tail};
use super::terms::fields;
use super::timings::{Settings, Timings};
use super::{AccountOptions, Codec, CosmosOptions, Throughput, init, search};
use crate::embedded::model::{self, Pool, Random, Resource, TYPES};
use crate::units::Ledger;
use crate::*;

/// Takes bodies for packed entries in hexadecimal.
struct Packed(Vec<Parameter>);

impl Packed {
    fn new() -> Packed {
        Packed((0..12).map(|number| Parameter { name: format!("Any.p-{number}") }).collect())
    }

    fn body(entries: &Entries) -> String {
        let mut bytes = Vec::new();
        for (parameter, value) in entries.iter() {
            bytes.extend_from_slice(&parameter.0.to_le_bytes());
            value.pack(&mut bytes);
        }
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Indexer for Packed {
    fn entries(&self, _: &str, body: &[u8], out: &mut Entries) -> Result<(), IndexError> {
        let text = std::str::from_utf8(body).map_err(|error| IndexError(error.to_string()))?;
        let bytes: Result<Vec<u8>, _> =
            (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16)).collect();
        let bytes = bytes.map_err(|error| IndexError(error.to_string()))?;
        let mut rest = bytes.as_slice();
        while let Some((parameter, packed)) = rest.split_first_chunk() {
            let (value, left) = Value::unpack(packed).ok_or(IndexError("unreadable".into()))?;
            out.push(ParameterId(u16::from_le_bytes(*parameter)), &value);
            rest = left;
        }
        Ok(())
    }

    fn parameters(&self) -> &[Parameter] {
        &self.0
    }

    fn fingerprint(&self) -> u64 {
        0
    }
}

/// A log by which all that began within a minute is committed; of later transactions nothing is known.
fn log(container: &Container, now: i64, sum: Sum) -> Log {
    let timings = Timings::default();
    let tail = Tail::new(sum, now + 60_000, &timings);
    Log::new(Tenant::default_tenant().as_str(), container.clone(), timings, tail)
}

/// A tenant on the emulator beside a list of all that a search may find.
struct World {
    _account: Account,
    shard: Shard,
    resources: Vec<Resource>,
    now: i64,
    transactions: u32,
}

impl World {
    async fn new() -> World {
        let account = Account::start().unwrap();
        let reached = AccountOptions::from_connection_string(&account.connection_string()).unwrap();
        let mut options = CosmosOptions::single(reached, "vesta", "fhir");
        // The emulator looks at every document.
        options.patience.operation = Duration::from_secs(60);
        init(&options, &options.default, Throughput::Account).await.unwrap();
        let container = Accounts::new(&options).await.unwrap().container(&options.default).await.unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
        let tenant = Tenant::default_tenant();
        let log = log(&container, now, Sum::default());
        let (indexer, settings) = (Arc::new(Packed::new()), Settings::default());
        let mut shard = Shard::open(&tenant, container, indexer, Codec::new(), &settings).await.unwrap();
        shard.log = log;
        World { _account: account, shard, resources: Vec::new(), now, transactions: 0 }
    }

    fn transaction(&mut self, committed: bool) -> String {
        self.transactions += 1;
        let began = self.now + if committed { 0 } else { 100_000 };
        format!("{began:012x}aaaaaa{:06x}", self.transactions)
    }

    async fn write(&self, id: &str, key: &Key, entries: &Entries, more: serde_json::Value) {
        let body = Packed::body(entries);
        let index = fields(self.shard.indexer.parameters(), entries);
        let place = self.shard.place(key);
        let mut document = json!({
            "id": id, "tn": place.tenant, "ty": place.ty, "rid": place.rid, "v": 1, "m": "PUT", "l": 1,
            "x": index.x, "r": index.r, "z": body,
        });
        let fields = document.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let document: Document = serde_json::from_value(document).unwrap();
        let written = self.shard.container.create(&place, id, &document).await.unwrap();
        assert!(matches!(written, Written::Yes(_)));
    }

    /// A resource, alone or with a version that is superseded, or not yet, or only begun.
    async fn add(&mut self, random: &mut Random, pool: &Pool, key: Key, entries: Entries) {
        let first = format!("{}00000", self.transaction(true));
        let last_updated = Timestamp(model::TIME / 1_000 + random.below(20) as i64 * 2_000);
        let other = pool.entries(random);
        let times = json!({ "lu": last_updated.0, "o": first, "b": first });
        match random.below(5) {
            0 => {
                let next = self.transaction(true);
                let older = json!({ "lu": 1, "o": first, "b": first, "to": next, "te": last_updated.0 });
                self.write("v1", &key, &other, older).await;
                let newer = json!({ "v": 2, "lu": last_updated.0, "o": format!("{next}00001"), "b": first });
                self.write("c", &key, &entries, newer).await;
            }
            1 => {
                let next = self.transaction(false);
                let mut older = times.clone();
                older.as_object_mut().unwrap().insert("to".into(), next.as_str().into());
                self.write("v1", &key, &entries, older).await;
                let newer = json!({ "v": 2, "lu": 1, "o": format!("{next}00001"), "b": first });
                self.write("c", &key, &other, newer).await;
            }
            2 => {
                let began = format!("{}00000", self.transaction(false));
                let alone = Key::new(key.resource_type(), &format!("{}.begun", key.id()));
                self.write("c", &alone, &other, json!({ "lu": 1, "o": began, "b": began })).await;
                self.write("c", &key, &entries, times).await;
            }
            _ => self.write("c", &key, &entries, times).await,
        }
        let mut sum = self.shard.snapshot().sum().clone();
        sum.counts.entry(key.resource_type().to_owned()).or_default().current += 1;
        self.shard.log = log(&self.shard.container, self.now, sum);
        let ordinal = self.resources.len() as u32;
        self.resources.push(Resource { ordinal, key, last_updated, entries });
    }

    async fn filled(random: &mut Random, pool: &Pool, count: usize) -> World {
        let mut world = World::new().await;
        for number in 0..count {
            let key = Key::new(random.one::<&str>(&TYPES), &format!("{}", number % 40 + number / 40 * 1000));
            let entries = pool.entries(random);
            world.add(random, pool, key, entries).await;
        }
        world
    }

    async fn run(&self, access: &Access, query: &Query) -> Page {
        let page = search::run(&self.shard, &self.shard.snapshot(), access, query, None).await;
        page.unwrap_or_else(|error| panic!("{error}: {query:?}"))
    }

    /// Runs a query page by page and compares it with the model, which runs `asked`.
    async fn check(
        &self,
        random: &mut Random,
        access: &Access,
        mut query: Query,
        asked: &Query,
        rule: &Filter,
    ) {
        let expected = model::expected(&self.resources, asked, rule);
        let names: Vec<_> = expected.iter().map(|resource| resource.key.as_str().to_owned()).collect();
        let mut found = Vec::new();
        if query.limit > 0 {
            // A few pages are enough.
            query.limit = query.limit.max(names.len() / 4);
        }
        loop {
            let page = self.run(access, &query).await;
            assert_eq!(page.total, query.total.then_some(names.len() as u64), "{query:?}");
            let full = page.matches.len() == query.limit;
            found.extend(page.matches.iter().map(|version| version.key.as_str().to_owned()));
            assert!(page.next.is_none() || full, "a page that is not full has a next one: {query:?}");
            let more = found.len() < names.len() && query.limit > 0;
            assert_eq!(page.next.is_some(), more, "{query:?}: {found:?} of {names:?}");
            query.after = page.next;
            query.total = random.chance(30);
            if query.after.is_none() {
                break;
            }
        }
        if query.limit > 0 {
            assert_eq!(found, names, "{query:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_agree_with_the_model() {
    let mut random = Random(11);
    for _ in 0..3 {
        let pool = model::pool(&mut random);
        let world = World::filled(&mut random, &pool, 70).await;
        for _ in 0..30 {
            let query = model::query(&mut random, &pool);
            world.check(&mut random, &Access::unrestricted(), query.clone(), &query, &Filter::All).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_heed_the_access_filter() {
    let mut random = Random(12);
    let pool = model::pool(&mut random);
    let world = World::filled(&mut random, &pool, 70).await;
    for _ in 0..60 {
        let query = model::query(&mut random, &pool);
        let rule = pool.filter(&mut random, 2);
        let asked = Query { filter: model::held(&query.filter, &rule), ..query.clone() };
        world.check(&mut random, &model::only(&rule), query, &asked, &rule).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_questions_agree_with_the_model() {
    let mut random = Random(13);
    let pool = model::pool(&mut random);
    let world = World::filled(&mut random, &pool, 70).await;
    let (access, snapshot) = (Access::unrestricted(), world.shard.snapshot());
    for _ in 0..40 {
        let (name, filter) = (*random.one::<&str>(&TYPES), pool.filter(&mut random, 2));
        let query = Query {
            resource_type: Some(name.into()),
            filter: filter.clone(),
            sort: Vec::new(),
            after: None,
            limit: 1,
            total: false,
        };
        let expected = !model::expected(&world.resources, &query, &Filter::All).is_empty();
        let found = search::any_match(&world.shard, &snapshot, &access, name, &filter).await.unwrap();
        assert_eq!(found, expected, "{name} {filter:?}");
    }
    let from: Vec<_> = world.resources.iter().map(|resource| resource.key.clone()).collect();
    let parameters = [model::REFERENCE, ParameterId(10)];
    let found = search::references(&world.shard, &snapshot, &access, &from, &parameters).await.unwrap();
    let mut expected = Vec::<Box<str>>::new();
    for (parameter, resource) in
        world.resources.iter().flat_map(|resource| parameters.map(|parameter| (parameter, resource)))
    {
        for (number, value) in resource.entries.iter() {
            if let (true, Value::Reference(target)) = (number == parameter, value)
                && !expected.iter().any(|other| **other == *target)
            {
                expected.push(target.into());
            }
        }
    }
    assert_eq!(found, expected);
}

/// More targets than one query names, in several orders, and what ran.
#[tokio::test(flavor = "multi_thread")]
async fn chains_have_no_limit() {
    let mut random = Random(14);
    let pool = model::pool(&mut random);
    let mut world = World::new().await;
    for number in 0..150 {
        let (patient, observation) = (Key::new("Patient", &format!("{number}")), format!("{}", 149 - number));
        let mut entries = Entries::new();
        let code = if number % 7 == 0 { "other" } else { "asked" };
        entries.push(ParameterId(0), &Value::Token { system: "", code });
        world.add(&mut random, &pool, patient, entries).await;
        let mut entries = Entries::new();
        for target in [number, (number + 70) % 150] {
            entries.push(model::REFERENCE, &Value::Reference(&format!("Patient/{target}")));
        }
        world.add(&mut random, &pool, Key::new("Observation", &observation), entries).await;
    }
    let asked = Filter::Match(ParameterId(0), Predicate::Token { system: None, code: Some("asked".into()) });
    let filter = Filter::Chain { parameter: model::REFERENCE, targets: vec![("Patient".into(), asked)] };
    let by = |by, descending| vec![SortKey { by, descending }];
    let orders = [
        Vec::new(),
        by(SortBy::LastUpdated, true),
        by(SortBy::LastUpdated, false),
        by(SortBy::Parameter(model::REFERENCE), true),
    ];
    for sort in orders {
        let query = Query {
            resource_type: Some("Observation".into()),
            filter: filter.clone(),
            sort,
            after: None,
            limit: 50,
            total: false,
        };
        let ledger = Ledger::new(true);
        ledger
            .scope(world.check(&mut random, &Access::unrestricted(), query.clone(), &query, &Filter::All))
            .await;
        let steps = ledger.steps();
        assert!(ledger.units() > 0.0 && steps.len() >= 6, "{steps:?}");
        assert!(steps.iter().any(|step| step.what.contains("ORDER BY")), "{steps:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_of_other_queries_are_refused() {
    let world = World::new().await;
    for bytes in [&b""[..], b"abc", b"0123456789abcdef"] {
        let query = Query {
            resource_type: None,
            filter: Filter::All,
            sort: vec![SortKey { by: SortBy::LastUpdated, descending: true }],
            after: Some(Cursor(bytes.into())),
            limit: 1,
            total: false,
        };
        let found =
            search::run(&world.shard, &world.shard.snapshot(), &Access::unrestricted(), &query, None).await;
        assert!(matches!(found, Err(StoreError::Cursor)));
    }
}
