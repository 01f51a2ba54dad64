#![allow(missing_docs, clippy::unwrap_used)] // a benchmark
//! FHIRPath evaluations per second over R4 examples and Synthea's resources, one thread: the search parameters and
//! invariants of R4 that `workload.json` holds, the cases of `micro.json`, and beside each what npm `fhirpath` makes of the same, in one run.
//! Seconds are those that the thread had the processor for, so that a busy machine changes little.
//! `cargo bench -p conformance --bench fhirpath`; the other side needs node, and `npm install fhirpath` to work.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance::Definitions;
use fhirpath::expression::{DateTime, Dialect, Environment, Expression};
use fhirpath::{Limits, Schema, Tree};
use serde::{Deserialize, Serialize};

/// Least time that each side is measured for.
const TIME: Duration = Duration::from_secs(2);
/// Of Synthea's resources, each how manieth is taken.
const SYNTHEA_STEP: usize = 200;

#[derive(Deserialize)]
struct Workload {
    search: BTreeMap<String, Vec<Text>>,
    invariants: BTreeMap<String, Vec<Text>>,
}

#[derive(Deserialize)]
struct Text {
    expression: String,
}

#[derive(Deserialize)]
struct Micro {
    expression: String,
    resource: serde_json::Value,
}

/// Expressions and what they are evaluated over.
struct Group {
    name: String,
    dialect: Dialect,
    /// Text, and the number of a resource.
    pairs: Vec<(String, usize)>,
}

impl Group {
    fn new(name: String, dialect: Dialect, pairs: Vec<(String, usize)>) -> Group {
        Group { name, dialect, pairs }
    }
}

/// The same, for the other side.
#[derive(Serialize)]
struct Handed<'a> {
    seconds: u64,
    resources: &'a [serde_json::Value],
    groups: Vec<(&'a str, &'a [(String, usize)])>,
}

fn main() {
    let test = "benches/fhirpath";
    let (Some(suite), Some(examples)) = (
        testdata::archive(test, "fhirpath-suite.tar.gz"),
        testdata::archive(test, "r4-examples-json.tar.gz"),
    ) else {
        return;
    };
    let file = |ending: &str| suite.iter().find(|file| file.path.ends_with(ending)).unwrap().bytes.clone();
    let workload: Workload = serde_json::from_slice(&file("/workload.json")).unwrap();
    let micro: Vec<Micro> = serde_json::from_slice(&file("/micro.json")).unwrap();
    let schema = Definitions::embedded().unwrap().schema;

    let mut resources: Vec<serde_json::Value> = Vec::new();
    let mut trees: Vec<Tree> = Vec::new();
    let mut add = |bytes: Vec<u8>| {
        let value = serde_json::from_slice(&bytes).ok()?;
        trees.push(Tree::parse_json(&schema, bytes, &Limits::DEFAULT).ok()?);
        resources.push(value);
        Some(trees.len() - 1)
    };
    for example in examples.into_iter().filter(|file| file.path.ends_with(".json")) {
        add(example.bytes);
    }
    let examples = 0..add(LAST.to_vec()).unwrap() + 1;
    testdata::each(test, "synthea-bulk-ndjson.tar.gz", |file| {
        let lines = file.bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        if file.path.ends_with(".ndjson") {
            lines.step_by(SYNTHEA_STEP).for_each(|line| {
                add(line.to_vec());
            });
        }
    });
    let synthea = examples.end..add(LAST.to_vec()).unwrap() + 1;
    let cases: Vec<(String, usize)> = micro
        .into_iter()
        .filter_map(|case| Some((case.expression, add(serde_json::to_vec(&case.resource).unwrap())?)))
        .collect();
    let over = |texts: &BTreeMap<String, Vec<Text>>, places: &Range<usize>| {
        let of = |(number, tree): (usize, &Tree)| {
            let texts = texts.get(tree.resource_type()).map_or(&[][..], Vec::as_slice);
            texts.iter().map(move |text| (text.expression.clone(), number)).collect::<Vec<_>>()
        };
        let some = trees.iter().enumerate().take(places.end).skip(places.start);
        some.flat_map(of).collect::<Vec<_>>()
    };
    let mut groups = Vec::new();
    for (name, places) in [("R4 examples", &examples), ("Synthea", &synthea)] {
        let search = Dialect::SearchParameter;
        groups.push(Group::new(format!("search parameters, {name}"), search, over(&workload.search, places)));
        let standard = Dialect::Standard;
        groups.push(Group::new(format!("invariants, {name}"), standard, over(&workload.invariants, places)));
    }
    groups.extend(cases.into_iter().enumerate().map(|(number, case)| {
        let name = format!("{} {}", number + 1, case.0.chars().take(56).collect::<String>());
        Group::new(name, Dialect::SearchParameter, vec![case])
    }));

    // `-- invariants, R4`: only the groups whose name holds the text.
    if let Some(wanted) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) {
        groups.retain(|group| group.name.contains(&wanted));
    }

    println!("{} R4 examples, {} of Synthea's resources", examples.len(), synthea.len());
    let ours: Vec<Option<f64>> = groups.iter_mut().map(|group| measure(&schema, &trees, group)).collect();
    // `ALONE=1`: without the other side.
    let alone = std::env::var_os("ALONE").is_some();
    let theirs = if alone { BTreeMap::new() } else { npm(&groups, &resources) };
    println!("{:<62} {:>9} {:>12} {:>12} {:>7}", "", "pairs", "here /s", "npm /s", "ratio");
    for (group, ours) in groups.iter().zip(ours) {
        let theirs = theirs.get(&group.name).copied();
        let number = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
        let ratio = ours.zip(theirs).map(|(ours, theirs)| ours / theirs);
        let (pairs, ratio) = (group.pairs.len(), number(ratio));
        println!("{:<62} {pairs:>9} {:>12} {:>12} {ratio:>7}", group.name, number(ours), number(theirs));
    }
    trap(&schema);
}

/// Ends a row of resources.
const LAST: &[u8] = br#"{"resourceType":"Basic","code":{"text":"the last"}}"#;

/// Evaluations per second; pairs whose expression is refused are dropped, and named.
fn measure(schema: &Arc<Schema>, trees: &[Tree], group: &mut Group) -> Option<f64> {
    let mut compiled: BTreeMap<(String, String), Option<Expression>> = BTreeMap::new();
    let dialect = group.dialect;
    let mut refused = Vec::new();
    let mut compile = |text: &str, kind: &str| {
        let build = || {
            let result = Expression::compile_as(schema, kind, text, dialect);
            result.inspect_err(|error| refused.push(format!("{kind}: {error}"))).ok()
        };
        compiled.entry((kind.to_owned(), text.to_owned())).or_insert_with(build).is_some()
    };
    group
        .pairs
        .retain(|(text, number)| trees.get(*number).is_some_and(|it| compile(text, it.resource_type())));
    if let Some(first) = refused.first() {
        // The workload has elements that later versions of FHIR added.
        println!(
            "{}: {} of {} expressions refused, the first: {first}",
            group.name,
            refused.len(),
            compiled.len()
        );
    }
    let now = DateTime::parse("2026-01-02T03:04:05.678Z");
    let environment = Environment { now, ..Environment::default() };
    let pair = |(text, number): &(String, usize)| {
        let tree = trees.get(*number)?;
        let expression = compiled.get(&(tree.resource_type().to_owned(), text.clone()))?.as_ref()?;
        Some((expression, tree))
    };
    let pairs: Vec<_> = group.pairs.iter().filter_map(pair).collect();
    let mut out = Vec::new();
    let mut failed = BTreeMap::new();
    let mut done = 0u32;
    let start = Processor::now();
    let round = u32::try_from(1 + 20_000 / pairs.len().max(1)).unwrap_or(1);
    while done == 0 || start.elapsed() < TIME {
        // The time is asked for once in a while.
        for (expression, tree) in (0..round).flat_map(|_| &pairs) {
            out.clear();
            if let Err(error) = expression.evaluate_in(tree.root(), &environment, &mut out) {
                *failed.entry(error.to_string()).or_insert(0usize) += 1;
            }
            black_box(&out);
        }
        done += round;
    }
    let seconds = start.elapsed().as_secs_f64();
    slowest(&group.name, &pairs, &environment);
    for (error, times) in failed {
        println!("{}: {times} of {done} runs stopped: {error}", group.name);
    }
    let each = u32::try_from(pairs.len()).ok()?;
    (each > 0).then(|| f64::from(done) * f64::from(each) / seconds)
}

/// With `SLOWEST` set, the expressions that take the most time of a group.
fn slowest<'t>(name: &str, pairs: &[(&Expression, &'t Tree)], environment: &Environment<'t>) {
    if pairs.len() < 2 || std::env::var_os("SLOWEST").is_none() {
        return;
    }
    let mut costs: BTreeMap<*const Expression, (Duration, usize)> = BTreeMap::new();
    let mut out = Vec::new();
    for (expression, tree) in pairs {
        let start = Instant::now();
        for _ in 0..5 {
            out.clear();
            let _ = expression.evaluate_in(tree.root(), environment, &mut out);
        }
        let cost = costs.entry(*expression).or_default();
        *cost = (cost.0 + start.elapsed() / 5, cost.1 + 1);
    }
    let mut costs: Vec<_> = costs.into_iter().collect();
    costs.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
    for (expression, (time, times)) in costs.into_iter().take(25) {
        let text = pairs.iter().find(|(other, _)| std::ptr::eq(*other, expression));
        println!(
            "{name}: {time:?} in {times}: {:?}",
            text.map(|(expression, tree)| (expression.text(), tree.resource_type()))
        );
    }
}

/// A moment by the time that this thread has had the processor for; by the clock where the system does not tell.
struct Processor {
    used: Option<Duration>,
    clock: Instant,
}

impl Processor {
    fn now() -> Processor {
        Processor { used: Processor::used(), clock: Instant::now() }
    }

    fn used() -> Option<Duration> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }

    fn elapsed(&self) -> Duration {
        match (self.used, Processor::used()) {
            (Some(before), Some(after)) => after.saturating_sub(before),
            _ => self.clock.elapsed(),
        }
    }
}

/// What npm `fhirpath` does in a second, by name; nothing where it is not to be had.
fn npm(groups: &[Group], resources: &[serde_json::Value]) -> BTreeMap<String, f64> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm-fhirpath");
    let Some(()) = install(&folder) else {
        println!("npm fhirpath cannot be installed: this side alone");
        return BTreeMap::new();
    };
    let groups = groups.iter().map(|group| (group.name.as_str(), group.pairs.as_slice())).collect();
    let handed = Handed { seconds: TIME.as_secs(), resources, groups };
    let input = folder.join("bench.json");
    std::fs::write(&input, serde_json::to_vec(&handed).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fhirpath_suite/npm_bench.mjs");
    let run = Command::new("node").args([&script, &folder, &input]).output().unwrap();
    if !run.status.success() {
        println!("npm fhirpath: {}", String::from_utf8_lossy(&run.stderr));
    }
    serde_json::from_slice(&run.stdout).unwrap_or_default()
}

fn install(folder: &PathBuf) -> Option<()> {
    if folder.join("node_modules/fhirpath/package.json").exists() {
        return Some(());
    }
    std::fs::create_dir_all(folder).ok()?;
    let package = include_str!("../tests/fhirpath_suite/package.json");
    std::fs::write(folder.join("package.json"), package).ok()?;
    let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"];
    let done = Command::new("npm").args(install).current_dir(folder).output().ok()?;
    done.status.success().then_some(())
}

/// dom-3, which asks for all references of the resource once for each contained one, over many of them.
fn trap(schema: &Arc<Schema>) {
    let text = "contained.where((('#'+id in (%resource.descendants().reference | \
        %resource.descendants().as(canonical) | %resource.descendants().as(uri) | \
        %resource.descendants().as(url))) or descendants().where(reference = '#').exists() or \
        descendants().where(as(canonical) = '#').exists()).not()).trace('unmatched', id).empty()";
    for count in [100, 1000, 5000] {
        let contained =
            (0..count).map(|id| format!(r#"{{"resourceType":"Basic","id":"{id}","code":{{"text":"x"}}}}"#));
        let links = (0..count).map(|id| format!(r##"{{"item":{{"reference":"#{id}"}}}}"##));
        let json = format!(
            r#"{{"resourceType":"List","status":"current","mode":"working","contained":[{}],"entry":[{}]}}"#,
            contained.collect::<Vec<_>>().join(","),
            links.collect::<Vec<_>>().join(",")
        );
        let tree = Tree::parse_json(schema, json.into_bytes(), &Limits::DEFAULT).unwrap();
        let expression = Expression::compile_as(schema, "List", text, Dialect::Standard).unwrap();
        let mut out = Vec::new();
        let start = Processor::now();
        expression.evaluate(tree.root(), &mut out).unwrap();
        println!("dom-3 over {count} contained resources: {:?} in {:.1?}", out, start.elapsed());
    }
}
