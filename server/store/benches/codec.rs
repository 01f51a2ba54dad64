//! Bodies to and from what a Cosmos document carries, beside a plain copy. Prints the bytes first.
//!
//! `cargo bench -p store --bench codec`. Resources of the Synthea archives, with the `meta` that a commit writes; skipped
//! where the archives are absent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that panics has failed"
)]

use std::sync::LazyLock;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use futures_util::FutureExt as _;
use serde_json::{Map, Value, json};
use store::Key;
use store::cosmos::{Codec, Encoded};

/// Every how many-th resource of an NDJSON file is taken.
const STEP: usize = 40;

struct Sample {
    name: &'static str,
    bodies: Vec<(Key, Vec<u8>)>,
}

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let us_core = |resource_type: &'static str| Sample {
        name: match resource_type {
            "Observation" => "us-core-observation",
            _ => "us-core-patient",
        },
        bodies: us_core(resource_type),
    };
    vec![us_core("Observation"), us_core("Patient"), Sample { name: "synthea-ndjson", bodies: ndjson() }]
});

fn us_core(resource_type: &str) -> Vec<(Key, Vec<u8>)> {
    let mut bodies = Vec::new();
    testdata::each("codec", "synthea-us-core.tar.gz", |file| {
        if bodies.len() < 1000 && file.path.ends_with(".json") {
            let bundle: Value = serde_json::from_slice(&file.bytes).unwrap();
            let entries = bundle.get("entry").and_then(Value::as_array).unwrap();
            let resources = entries.iter().filter_map(|entry| entry.get("resource"));
            let wanted = resources.filter(|resource| text(resource, "resourceType") == resource_type);
            bodies.extend(wanted.map(stored));
        }
    });
    bodies
}

fn ndjson() -> Vec<(Key, Vec<u8>)> {
    let mut bodies = Vec::new();
    testdata::each("codec", "synthea-bulk-ndjson.tar.gz", |file| {
        let lines = std::str::from_utf8(&file.bytes).unwrap().lines().step_by(STEP);
        bodies.extend(lines.map(|line| stored(&serde_json::from_str(line).unwrap())));
    });
    bodies
}

/// The resource as the first version of it is stored.
fn stored(resource: &Value) -> (Key, Vec<u8>) {
    let key = Key::new(text(resource, "resourceType"), text(resource, "id"));
    let mut meta = Map::new();
    meta.insert("versionId".into(), json!("1"));
    meta.insert("lastUpdated".into(), json!("2026-11-22T02:10:33.123Z"));
    meta.extend(resource.get("meta").and_then(Value::as_object).cloned().unwrap_or_default());
    let mut body = Map::new();
    body.insert("resourceType".into(), json!(key.resource_type()));
    body.insert("id".into(), json!(key.id()));
    body.insert("meta".into(), Value::Object(meta));
    let rest = resource.as_object().unwrap().iter().filter(|(name, _)| !body.contains_key(*name));
    let rest: Vec<(String, Value)> = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
    body.extend(rest);
    // References within a Bundle become those of the record.
    let text = serde_json::to_string(&body).unwrap().replace("urn:uuid:", "Patient/");
    (key, text.into_bytes())
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn encoded(codec: &Codec, (key, body): &(Key, Vec<u8>)) -> Encoded {
    codec.encode(key, 1, body).now_or_never().expect("nothing to wait for").unwrap()
}

fn main() {
    let codec = Codec::new();
    println!("mean bytes of a body, and characters of its document, escapes included:");
    for sample in SAMPLES.iter().filter(|sample| !sample.bodies.is_empty()) {
        let count = sample.bodies.len();
        let plain: usize = sample.bodies.iter().map(|(_, body)| body.len()).sum();
        let escaped = |text: &str| serde_json::to_string(text).unwrap().len() - 2;
        let as_text = |body: &[u8]| escaped(std::str::from_utf8(body).unwrap());
        let as_plain: usize = sample.bodies.iter().map(|(_, body)| as_text(body)).sum();
        let written: usize = sample.bodies.iter().map(|body| escaped(&encoded(&codec, body).z)).sum();
        println!(
            "  {:20} {count:6} bodies: {:6} bytes, {:6} characters plain, {:6} encoded",
            sample.name,
            plain / count,
            as_plain / count,
            written / count
        );
    }
    divan::main();
}

fn each(bencher: Bencher, sample: usize, work: impl Fn(&(Key, Vec<u8>)) + Sync) {
    let Some(sample) = SAMPLES.get(sample).filter(|sample| !sample.bodies.is_empty()) else { return };
    let bytes: usize = sample.bodies.iter().map(|(_, body)| body.len()).sum();
    bencher
        .counter(ItemsCount::new(sample.bodies.len()))
        .counter(BytesCount::new(bytes))
        .bench(|| sample.bodies.iter().for_each(&work));
}

#[divan::bench(args = [0, 1, 2])]
fn copy(bencher: Bencher, sample: usize) {
    each(bencher, sample, |(_, body)| {
        black_box(body.clone());
    });
}

#[divan::bench(args = [0, 1, 2])]
fn encode(bencher: Bencher, sample: usize) {
    let codec = Codec::new();
    each(bencher, sample, |body| {
        black_box(encoded(&codec, body));
    });
}

#[divan::bench(args = [0, 1, 2])]
fn decode(bencher: Bencher, sample: usize) {
    let Some(of) = SAMPLES.get(sample).filter(|sample| !sample.bodies.is_empty()) else { return };
    let codec = Codec::new();
    let written: Vec<(&Key, Encoded)> =
        of.bodies.iter().map(|body| (&body.0, encoded(&codec, body))).collect();
    let bytes: usize = of.bodies.iter().map(|(_, body)| body.len()).sum();
    bencher.counter(ItemsCount::new(written.len())).counter(BytesCount::new(bytes)).bench(|| {
        for (key, Encoded { z, e }) in &written {
            black_box(
                codec.decode(key, 1, z, e.as_deref()).now_or_never().expect("nothing to wait for").unwrap(),
            );
        }
    });
}
