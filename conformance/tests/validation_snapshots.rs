#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)] // a test: an unexpected error should stop it
//! Snapshots made from the differentials of R4's and US Core's profiles say what the published ones say. Where they don't, the
//! line stands in `validation/snapshots_*.txt` with its reason.

use std::collections::{BTreeMap, BTreeSet};

use conformance::Limits;
use conformance::validation::{ElementRule, Library, Snapshot, Structure};
use serde_json::Value;

/// What an element says, as a line: what a snapshot is compared by.
fn said(rule: &ElementRule) -> BTreeMap<&'static str, String> {
    // The type of `Resource.id` is told as `string` by some and as `id` by others; the schema knows.
    let stated = rule.types.iter().filter(|_| !rule.path.ends_with(".id"));
    let types: BTreeSet<String> = stated
        .map(|it| {
            let mut targets = it.target_profile.clone();
            targets.sort_unstable();
            format!("{}({})->({})", it.code, it.profile.join(","), targets.join(","))
        })
        .collect();
    // Those of every element are not kept: its type has them.
    let keys =
        rule.constraint.iter().map(|it| it.key.as_str()).filter(|key| !matches!(*key, "ele-1" | "ext-1"));
    let keys: BTreeSet<&str> = keys.collect();
    let json = |value: &Option<Value>| value.as_ref().map_or(String::new(), Value::to_string);
    BTreeMap::from([
        ("min", rule.min.unwrap_or(0).to_string()),
        ("max", rule.max.unwrap_or(u32::MAX).to_string()),
        ("type", format!("{types:?}")),
        ("fixed", json(&rule.fixed)),
        ("pattern", json(&rule.pattern)),
        (
            "binding",
            rule.binding.as_ref().map_or(String::new(), |it| {
                format!("{} {}", it.strength, it.value_set.as_deref().unwrap_or_default())
            }),
        ),
        ("constraint", format!("{keys:?}")),
        ("mustSupport", (rule.must_support == Some(true)).to_string()),
        (
            "content",
            rule.content_reference
                .as_deref()
                .map_or(String::new(), |it| it.rsplit_once('#').map_or(it, |(_, id)| id).to_owned()),
        ),
        ("maxLength", rule.max_length.map_or(String::new(), |it| it.to_string())),
    ])
}

/// The differences between the published snapshots and those made, as `profile | element | what: published <> made`.
fn differences(test: &str, package: &str) -> Option<(usize, usize, BTreeSet<String>)> {
    let files = testdata::archive(test, &format!("packages/{package}"))?;
    let mut library = Library::embedded();
    library
        .add_package(
            std::fs::File::open(testdata::path(test, &format!("packages/{package}"))?).unwrap(),
            &Limits::default(),
        )
        .unwrap();
    let mut found = BTreeSet::new();
    let (mut profiles, mut elements) = (0, 0);
    for file in files.iter().filter(|file| file.path.starts_with("package/StructureDefinition-")) {
        let json: Value = serde_json::from_slice(&file.bytes).unwrap();
        let is_profile = json["derivation"] == "constraint" && json["kind"] != "logical";
        if !is_profile || json.pointer("/snapshot/element").is_none() {
            continue;
        }
        let Some(bare) = Structure::differential_from_json(&json).unwrap() else { continue };
        profiles += 1;
        let name = bare.url.rsplit('/').next().unwrap().to_owned();
        let published = Structure::from_json(&json).unwrap();
        let published = Snapshot::of(&library, &published).unwrap();
        let made = match Snapshot::of(&library, &bare) {
            Ok(made) => made,
            Err(error) => {
                found.insert(format!("{name} | - | {error}"));
                continue;
            }
        };
        let published = published.listed();
        let made: BTreeMap<String, &ElementRule> = made.listed().into_iter().collect();
        elements += published.len();
        for (id, rule) in &published {
            let Some(other) = made.get(id) else {
                found.insert(format!("{name} | {id} | is missing"));
                continue;
            };
            let other = said(other);
            for (what, value) in said(rule) {
                if other.get(what) != Some(&value) {
                    found.insert(format!("{name} | {id} | {what}: {value} <> {}", other.get(what).unwrap()));
                }
            }
        }
        let known: BTreeSet<&String> = published.iter().map(|(id, _)| id).collect();
        found.extend(
            made.keys().filter(|id| !known.contains(id)).map(|id| format!("{name} | {id} | is added")),
        );
    }
    Some((profiles, elements, found))
}

fn check(test: &str, package: &str, list: &str) {
    let Some((profiles, elements, found)) = differences(test, package) else { return };
    println!("{package}: {profiles} profiles, {elements} elements, {} differences", found.len());
    let listed: BTreeMap<&str, &str> = list.lines().map(|line| line.split_once(" -- ").unwrap()).collect();
    let unlisted: Vec<&String> = found.iter().filter(|line| !listed.contains_key(line.as_str())).collect();
    let gone: Vec<&&str> = listed.keys().filter(|line| !found.contains(**line)).collect();
    unlisted.iter().for_each(|line| println!("not listed: {line}"));
    gone.iter().for_each(|line| println!("listed and not found: {line}"));
    assert!(unlisted.is_empty() && gone.is_empty(), "{} not listed, {} gone", unlisted.len(), gone.len());
}

#[test]
fn r4() {
    check("snapshots_r4", "hl7.fhir.r4.core-4.0.1.tgz", include_str!("validation/snapshots_r4.txt"));
}

#[test]
fn us_core_610() {
    check("snapshots_us_core_610", "us_core_610.tgz", include_str!("validation/snapshots_us_core_610.txt"));
}

#[test]
fn us_core_700() {
    check("snapshots_us_core_700", "us_core_700.tgz", include_str!("validation/snapshots_us_core_700.txt"));
}
