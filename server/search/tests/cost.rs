//! What a resource costs on Cosmos DB: the US Core patients of Synthea are stored through the engine, their documents read back
//! as the service holds them, and each priced by the charges that Microsoft publishes. The table is part of the layout page;
//! `UPDATE_EXPECT=1` writes it anew.

#![allow(clippy::expect_used, clippy::panic)] // in tests
#![allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]

mod naive;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use engines::CosmosPlace;
use naive::INDEX;
use serde_json::Value;
use store::{Access, Batch, Entries, Indexer, Key, Method, Tenant, Write};

/// Resources of each type.
const OF_EACH: usize = 40;
/// Patients they are taken from.
const PATIENTS: usize = 12;
/// Resources of one commit: they share a record of the log.
const COMMIT: usize = 25;
const STAMP: &str = "2026-01-01T00:00:00.000Z";

/// RU of a create without indexed terms, by KB; and of a point read
/// (<https://learn.microsoft.com/azure/cosmos-db/understand-request-unit-consumption>). In between a straight line is drawn.
const CREATE: [(f64, f64); 4] = [(1.0, 4.95), (2.0, 6.29), (4.0, 6.67), (8.0, 7.04)];
const READ: [(f64, f64); 3] = [(1.0, 1.0), (2.0, 1.04), (4.0, 1.14)];
/// RU of a create for each indexed term, by the same page.
const TERM: f64 = 0.2;
/// What the service adds to each document: `_rid`, `_self`, `_etag`, `_attachments`, `_ts`.
const SYSTEM: [&str; 5] = ["_rid", "_self", "_etag", "_attachments", "_ts"];
/// Paths that are indexed in documents of resources, besides `x` and `r`.
const SCALARS: [&str; 10] = ["tn", "ty", "rid", "l", "o", "b", "lu", "te", "to", "v"];

fn priced(table: &[(f64, f64)], bytes: usize) -> f64 {
    let kb = bytes as f64 / 1024.0;
    let mut before = *table.first().expect("a table has lines");
    for &(size, units) in table {
        if kb <= size {
            let part = if size > before.0 { ((kb - before.0) / (size - before.0)).max(0.0) } else { 0.0 };
            return before.1 + part * (units - before.1);
        }
        before = (size, units);
    }
    // Beyond the table each KB costs what the last one in it does per KB.
    before.1 * kb / before.0
}

/// Values of indexed paths: how many, and their bytes with 8 for each path and posting, as an inverted index has them.
fn terms(document: &Value) -> (usize, usize) {
    let mut sizes = Vec::new();
    let mut add = |value: &Value| {
        sizes.push(16 + value.as_str().map_or(8, str::len));
    };
    SCALARS.iter().filter_map(|name| document.get(*name)).for_each(&mut add);
    document.get("x").and_then(Value::as_array).into_iter().flatten().for_each(&mut add);
    let spans = document.get("r").and_then(Value::as_object).into_iter().flat_map(|spans| spans.values());
    spans.filter_map(Value::as_object).flat_map(|span| span.values()).for_each(&mut add);
    (sizes.len(), sizes.iter().sum())
}

/// The resources of some patients, the references of a Bundle made those of a server.
fn resources(test: &str) -> Option<Vec<Value>> {
    let mut files = testdata::archive(test, "synthea-us-core.tar.gz")?;
    files.retain(|file| file.path.ends_with(".json"));
    files.sort_by(|one, other| one.path.cmp(&other.path));
    // Practitioners and organizations come in Bundles of their own, which sort last.
    let shared = files.len() - 2;
    let chosen = files.iter().enumerate().filter(|(index, _)| *index < PATIENTS || *index >= shared);
    let mut all = Vec::new();
    for (_, file) in chosen {
        let bundle: Value = serde_json::from_slice(&file.bytes).expect("a Bundle is JSON");
        let entries = bundle.get("entry").and_then(Value::as_array).expect("a Bundle has entries");
        let mut names = HashMap::new();
        for entry in entries {
            let resource = entry.get("resource").expect("an entry has a resource");
            let full = entry.get("fullUrl").and_then(Value::as_str).unwrap_or_default();
            names.insert(full.to_owned(), key(resource).as_str().to_owned());
        }
        for entry in entries {
            let mut resource = entry.get("resource").expect("an entry has a resource").clone();
            point(&mut resource, &names);
            all.push(resource);
        }
    }
    Some(all)
}

/// Has references name resources as a server does after a transaction.
fn point(value: &mut Value, names: &HashMap<String, String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get_mut("reference") {
                if let Some(name) = names.get(reference.as_str()) {
                    reference.clone_from(name);
                } else if let Some((kind, _)) = reference.clone().split_once('?') {
                    *reference = format!("{kind}/dbf9798e-4b52-4cd9-a9eb-ec36149c859a");
                }
            }
            object.values_mut().for_each(|child| point(child, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|child| point(child, names)),
        _ => {}
    }
}

fn key(json: &Value) -> Key {
    let text = |name: &str| json.get(name).and_then(Value::as_str).expect("resources have a type and an id");
    Key::new(text("resourceType"), text("id"))
}

fn write(resource: &Value) -> Write {
    let mut resource = resource.clone();
    let object = resource.as_object_mut().expect("a resource is an object");
    let meta = object.entry("meta").or_insert_with(|| serde_json::json!({}));
    let meta = meta.as_object_mut().expect("meta is an object");
    meta.insert("versionId".to_owned(), "1".into());
    meta.insert("lastUpdated".to_owned(), STAMP.into());
    let body = serde_json::to_vec(&resource).expect("JSON is written");
    let (key, mut entries) = (key(&resource), Entries::new());
    INDEX.entries(key.resource_type(), &body, &mut entries).expect("the resource is indexed");
    let stamp = body.windows(STAMP.len()).position(|text| text == STAMP.as_bytes()).expect("a stamp");
    Write::Put { key, previous: 0, method: Method::Put, body, stamp, entries }
}

/// Of the documents of one type.
#[derive(Default)]
struct Sum {
    documents: usize,
    bodies: usize,
    bytes: usize,
    terms: usize,
    index: usize,
    create: f64,
    read: f64,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_layout_page_says_what_resources_cost() {
    let Some(all) = resources("the_layout_page_says_what_resources_cost") else { return };
    let place = CosmosPlace::new().await;
    let store = place.open(INDEX.clone()).await;
    let (mut of_type, mut bodies) = (HashMap::<String, usize>::new(), HashMap::<String, usize>::new());
    let mut writes = Vec::new();
    for resource in &all {
        let write = write(resource);
        let Write::Put { key, body, .. } = &write else { panic!("a resource is put") };
        let taken = of_type.entry(key.resource_type().to_owned()).or_default();
        if *taken < OF_EACH && bodies.insert(key.as_str().to_owned(), body.len()).is_none() {
            *taken += 1;
            writes.push(write);
        }
    }
    while !writes.is_empty() {
        let batch =
            Batch { preconditions: Vec::new(), writes: writes.drain(..COMMIT.min(writes.len())).collect() };
        store.commit(&Tenant::default_tenant(), &Access::unrestricted(), batch).await.expect("a commit");
    }
    let (mut types, mut records): (BTreeMap<String, Sum>, Vec<f64>) = Default::default();
    for mut document in place.documents().await {
        let object = document.as_object_mut().expect("a document is an object");
        SYSTEM.iter().for_each(|name| drop(object.remove(*name)));
        let bytes = document.to_string().len();
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match text("ty").as_str() {
            "$log" => {
                // Its key, kind, transaction, sequence numbers and types are indexed.
                let types = document.get("x").and_then(Value::as_array).map_or(0, Vec::len);
                records.push(priced(&CREATE, bytes) + TERM * (7 + types) as f64);
            }
            "$meta" => {}
            name => {
                let sum = types.entry(name.to_owned()).or_default();
                let (terms, index) = terms(&document);
                sum.documents += 1;
                sum.bodies += bodies.get(&format!("{name}/{}", text("rid"))).expect("it was written");
                sum.bytes += bytes;
                sum.terms += terms;
                sum.index += index;
                sum.create += priced(&CREATE, bytes) + TERM * terms as f64;
                sum.read += priced(&READ, bytes);
            }
        }
    }
    let record = records.iter().sum::<f64>() / records.len() as f64;
    let observation = types.get("Observation").expect("there are Observations");
    let observation = observation.create / observation.documents as f64 + record / COMMIT as f64;
    assert!(observation <= 10.0, "an Observation costs {observation:.2} RU");
    let page = page(&types, record);
    if !agree(include_str!("../../store/src/cosmos/costs.md"), &page) {
        expect_test::expect_file!["../../store/src/cosmos/costs.md"].assert_eq(&page);
    }
}

/// Whether two tables say the same. The time of a commit stands in the bodies, and one byte of a compressed body comes and goes with it.
fn agree(one: &str, other: &str) -> bool {
    let close = |(one, other): (&str, &str)| match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => (one - other).abs() <= 0.01_f64.max(one.abs() * 0.005),
        _ => one == other,
    };
    one.split_whitespace().count() == other.split_whitespace().count()
        && one.split_whitespace().zip(other.split_whitespace()).all(close)
}

fn page(types: &BTreeMap<String, Sum>, record: f64) -> String {
    let mut page = String::from(
        "| type | n | JSON, bytes | document, bytes | indexed terms | index, bytes | create, RU | in a commit of 25 | read, RU |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (name, sum) in types {
        let count = sum.documents as f64;
        let mean = |total: usize| total as f64 / count;
        writeln!(
            page,
            "| {name} | {} | {:.0} | {:.0} | {:.1} | {:.0} | {:.2} | {:.2} | {:.2} |",
            sum.documents,
            mean(sum.bodies),
            mean(sum.bytes),
            mean(sum.terms),
            mean(sum.index),
            sum.create / count + record,
            sum.create / count + record / COMMIT as f64,
            sum.read / count,
        )
        .expect("a string takes text");
    }
    page
}
