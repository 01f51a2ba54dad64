#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_precision_loss)] // a benchmark
//! Full validation of the US Core Synthea resources, one thread: FHIR's own rules, the US Core profiles that the resources claim,
//! terminology. And the same without profiles, and beside that what else a create does with a resource: parse, canonical JSON,
//! what its search parameters select. Seconds are those that the thread had the processor for.
//! `cargo bench -p conformance --bench validate`

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use conformance::terminology::Terminology;
use conformance::validation::{Library, Options, Validator};
use conformance::{Definitions, SearchParameters};
use fhirpath::expression::Item;
use fhirpath::{Limits, Severity, Tree};
use serde_json::Value;

/// Least time that each is measured for.
const TIME: Duration = Duration::from_secs(3);

fn main() {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let found = testdata::each("benches/validate", "synthea-us-core.tar.gz", |file| {
        let Ok(bundle) = serde_json::from_slice::<Value>(&file.bytes) else { return };
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        texts.extend(entries.iter().map(|entry| serde_json::to_vec(&entry["resource"]).unwrap()));
    });
    if found.is_none() {
        return;
    }
    // Of each type as many as there are among all, so that a round is short.
    let step = (texts.len() / 20_000).max(1);
    let texts: Vec<Vec<u8>> = texts.into_iter().step_by(step).collect();
    let Definitions { schema, search_parameters, .. } = Definitions::embedded().unwrap();
    let validator = Validator::new(schema.clone(), Library::embedded(), Terminology::embedded());
    let parse = |text: &Vec<u8>| Tree::parse_json(&schema, text.clone(), &Limits::DEFAULT).unwrap();
    let trees: Vec<Tree> = texts.iter().map(parse).collect();
    let bytes: usize = texts.iter().map(Vec::len).sum();
    println!("{} resources, {} bytes each", trees.len(), bytes / trees.len());

    let full = Options::default();
    let base = Options { claimed_profiles: false, ..full };
    let (mut errors, mut warnings) = (BTreeMap::new(), BTreeMap::new());
    for tree in &trees {
        for issue in validator.validate(tree.root(), &[], &full) {
            let counted = if issue.severity <= Severity::Error { &mut errors } else { &mut warnings };
            *counted.entry(format!("{}: {}", tree.resource_type(), issue.details)).or_insert(0) += 1;
        }
    }
    for (name, counted) in [("errors", &errors), ("warnings", &warnings)] {
        println!("{name}: {}", counted.values().sum::<usize>());
        let mut list: Vec<_> = counted.iter().collect();
        list.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        list.iter().take(6).for_each(|(text, count)| println!("  {count:>7} {text}"));
    }
    let run = |options: &Options| {
        trees.iter().map(|tree| validator.validate(tree.root(), &[], options).len()).sum()
    };
    // Seconds of all of them.
    let rate = |name: &str, work: &dyn Fn() -> usize| {
        let rate = measure(work, trees.len());
        println!("{name:<40} {rate:>9.0} resources/s");
        trees.len() as f64 / rate
    };
    let parsing = rate("parse", &|| {
        texts.iter().map(|text| usize::from(!parse(text).resource_type().is_empty())).sum()
    });
    let writing = rate("canonical JSON", &|| {
        let mut out = Vec::new();
        let written = |tree: &Tree| {
            out.clear();
            tree.write_json(&mut out);
            out.len()
        };
        trees.iter().map(written).sum()
    });
    let selecting = rate("search parameters evaluated", &|| {
        let mut items = Vec::new();
        let selected = |tree| select(&search_parameters, tree, &mut items);
        trees.iter().map(selected).sum()
    });
    let validating = rate("base: FHIR's own rules", &|| run(&base));
    let share = 100.0 * validating / (parsing + writing + selecting + validating);
    println!("base is {share:.0} % of what a create does with a resource before it is stored");
    rate("full: with the profiles claimed", &|| run(&full));
    rate("parse, then full", &|| {
        texts.iter().map(|text| validator.validate_json(text, &[], &full).len()).sum()
    });
    let mut by_type: BTreeMap<&str, Vec<&Tree>> = BTreeMap::new();
    for tree in &trees {
        by_type.entry(tree.resource_type()).or_default().push(tree);
    }
    for (name, trees) in by_type {
        let work = || trees.iter().map(|tree| validator.validate(tree.root(), &[], &full).len()).sum();
        println!("  {name:<38} {:>9.0} resources/s of {}", measure(&work, trees.len()), trees.len());
    }
}

/// How many items the search parameters of its type select in a resource; entries of the index are made of them.
fn select<'t>(parameters: &SearchParameters, tree: &'t Tree, items: &mut Vec<Item<'t>>) -> usize {
    let expressions = parameters.of(tree.resource_type()).filter_map(|it| it.expression.as_ref());
    expressions
        .map(|expression| {
            items.clear();
            let _ = expression.evaluate(tree.root(), items);
            items.len()
        })
        .sum()
}

/// Resources a second.
fn measure(work: &dyn Fn() -> usize, count: usize) -> f64 {
    std::hint::black_box(work());
    let (mut rounds, start, clock) = (0_usize, Instant::now(), processor());
    while start.elapsed() < TIME.min(Duration::from_secs(1)) || rounds < 1 {
        std::hint::black_box(work());
        rounds += 1;
    }
    let seconds = processor().zip(clock).map_or(start.elapsed().as_secs_f64(), |(end, start)| end - start);
    (rounds * count) as f64 / seconds
}

/// Seconds this thread has had the processor for.
fn processor() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}
