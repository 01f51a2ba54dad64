#![allow(missing_docs, clippy::unwrap_used)] // a test: an unexpected error should stop it
//! Expansions of R4's value sets are those that HL7 published with R4 (npm `hl7.fhir.r4.expansions` 4.0.1). Each that is
//! not is listed in `expansions/differences.txt` with the reason; one that is although it is listed fails the test.
//!
//! All value sets, those that HL7 published no expansion of too, are compared with a naive expansion written for the test.

#[path = "expansions/naive.rs"]
mod naive;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::Limits;
use conformance::terminology::{
    CodeCheck, Contained, ExpandRequest, Library, Terminology, ValueSetSource, model,
};
use fhirpath::expression::Coding;
use serde_json::Value;

/// System, code and display of each code.
type Codes = BTreeSet<(String, String, String)>;

/// The package of expansions, fetched from npm once.
fn published(test: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hl7.fhir.r4.expansions");
    let package = folder.join("node_modules/hl7.fhir.r4.expansions");
    if !package.join("package.json").exists() {
        std::fs::create_dir_all(&folder).unwrap();
        let manifest = r#"{"private":true,"dependencies":{"hl7.fhir.r4.expansions":"4.0.1"}}"#;
        std::fs::write(folder.join("package.json"), manifest).unwrap();
        let npm = Command::new("npm")
            .args(["install", "--silent", "--ignore-scripts"])
            .current_dir(&folder)
            .status();
        if !npm.is_ok_and(|status| status.success()) {
            let required = std::env::var_os("VESTA_REQUIRE_SUITES").is_some();
            assert!(!required, "{test}: npm hl7.fhir.r4.expansions is required here and cannot be had");
            eprintln!("skipped: {test} (npm cannot install hl7.fhir.r4.expansions)");
            return None;
        }
    }
    Some(package)
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn published_codes(contains: &Value, codes: &mut Codes) {
    for entry in contains.as_array().into_iter().flatten() {
        codes.insert((text(entry, "system"), text(entry, "code"), text(entry, "display")));
        published_codes(entry.get("contains").unwrap_or(&Value::Null), codes);
    }
}

fn our_codes(contains: &[Contained], codes: &mut Codes) {
    for entry in contains {
        let display = entry.display.clone().unwrap_or_default();
        codes.insert((entry.system.to_string(), entry.code.to_string(), display));
        our_codes(&entry.contains, codes);
    }
}

/// Code systems that are not here: what HL7 displayed of them cannot be told.
const ELSEWHERE: [&str; 2] = ["http://snomed.info/sct", "http://loinc.org"];

/// `url: reason`, a line each.
fn listed(text: &str) -> BTreeMap<&str, &str> {
    text.lines().map(|line| line.split_once(": ").unwrap()).collect()
}

/// All codes of a value set, listed.
fn request(url: &str) -> ExpandRequest {
    ExpandRequest::new(ValueSetSource::Canonical(url.to_owned()))
}

/// What is different about our expansion of a value set, if anything. HL7's leave out headings.
fn difference(terminology: &Terminology, url: &str, published: &Codes) -> Option<String> {
    let expansion = match terminology.expand(&ExpandRequest { exclude_not_for_ui: true, ..request(url) }) {
        Ok(expansion) => expansion,
        Err(error) => return Some(error.to_string()),
    };
    let mut ours = Codes::new();
    our_codes(&expansion.contains, &mut ours);
    assert_eq!(ours.len(), expansion.total, "{url}");
    let comparable = |codes: &Codes| -> Codes {
        let shown = |(system, code, display): &(String, String, String)| {
            let display = if ELSEWHERE.contains(&system.as_str()) { "" } else { display };
            (system.clone(), code.clone(), display.to_owned())
        };
        codes.iter().map(shown).collect()
    };
    let (ours, theirs) = (comparable(&ours), comparable(published));
    let shown = |codes: Vec<&(String, String, String)>| {
        let first: Vec<&str> = codes.iter().take(3).map(|(_, code, _)| code.as_str()).collect();
        format!("{} ({})", codes.len(), first.join(", "))
    };
    let missing = shown(theirs.difference(&ours).collect());
    let surplus = shown(ours.difference(&theirs).collect());
    (ours != theirs).then(|| format!("missing {missing}, surplus {surplus}"))
}

#[test]
fn r4_expansions_are_those_that_were_published() {
    let Some(package) = published("r4_expansions_are_those_that_were_published") else { return };
    let terminology = Terminology::embedded();
    let listed: BTreeMap<&str, &str> = include_str!("expansions/differences.txt")
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .collect();
    let (mut wrong, mut same) = (Vec::new(), 0);
    for entry in std::fs::read_dir(package).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "json") || path.ends_with("package.json") {
            continue;
        }
        let set: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let url = text(&set, "url");
        let mut codes = Codes::new();
        published_codes(&set["expansion"]["contains"], &mut codes);
        match (difference(&terminology, &url, &codes), listed.get(url.as_str())) {
            (None, None) => same += 1,
            (Some(_), Some(_)) => {}
            (None, Some(_)) => wrong.push(format!("{url}: is the same and is listed")),
            (Some(difference), None) => wrong.push(format!("{url}: {difference}")),
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "not as expansions/differences.txt says:\n{}", wrong.join("\n"));
    assert_eq!((same, listed.len()), (477, 76), "expansions that are the same, and that are listed");
}

/// Compares our expansions of all value sets of packages with those written for the test. Where that cannot be made of the
/// packages, ours is refused. Returns how many are the same, and how many neither can make.
fn compare(
    test: &str,
    terminology: &Terminology,
    packages: &[&str],
    differences: &str,
) -> Option<(usize, usize)> {
    let mut files = Vec::new();
    for package in packages {
        let archive = testdata::archive(test, &format!("packages/{package}"))?;
        let is_definition = |path: &str| path.starts_with("package/") && path.matches('/').count() == 1;
        files.extend(archive.into_iter().filter(|file| is_definition(&file.path)).map(|file| file.bytes));
    }
    let naive = naive::Naive::new(files.into_iter());
    let listed = listed(differences);
    let (mut wrong, mut expanded, mut refused) = (Vec::new(), 0, 0);
    for url in naive.urls() {
        let expected = naive.expand(url);
        let ours = terminology.expand(&request(url)).map(|expansion| {
            let mut codes = Codes::new();
            our_codes(&expansion.contains, &mut codes);
            codes.into_iter().map(|(system, code, _)| (system, code)).collect::<naive::Codes>()
        });
        let is_same = match (&expected, &ours) {
            (Some(expected), Ok(ours)) if expected == ours => {
                expanded += 1;
                true
            }
            (None, Err(_)) => {
                refused += 1;
                true
            }
            _ => false,
        };
        if is_same == listed.contains_key(url) {
            let ours = ours.map(|codes| codes.len());
            wrong.push(format!("{url}: {ours:?} for {:?}", expected.map(|it| it.len())));
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "not as the list of differences says:\n{}", wrong.join("\n"));
    Some((expanded, refused))
}

#[test]
fn all_expansions_are_those_of_a_naive_one() {
    let packages = ["hl7.fhir.r4.core-4.0.1.tgz", "us_core_610.tgz"];
    let differences = include_str!("expansions/naive_differences.txt");
    let test = "all_expansions_are_those_of_a_naive_one";
    let Some(found) = compare(test, &Terminology::embedded(), &packages, differences) else { return };
    assert_eq!(found, (1231, 110), "expansions that are the same, and that neither can make");
}

/// The same for HL7's terminology, a package that is added and has newer versions of much that R4 has.
#[test]
fn expansions_of_an_added_package_are_those_of_a_naive_one() {
    let test = "expansions_of_an_added_package_are_those_of_a_naive_one";
    let added = "hl7.terminology.r4-7.0.1.tgz";
    let Some(path) = testdata::path(test, &format!("packages/{added}")) else { return };
    let mut library = Library::embedded();
    library.add_package(std::fs::File::open(path).unwrap(), &Limits::default()).unwrap();
    let packages = ["hl7.fhir.r4.core-4.0.1.tgz", "us_core_610.tgz", added];
    let differences = include_str!("expansions/added_differences.txt");
    let Some(found) = compare(test, &Terminology::new(library), &packages, differences) else { return };
    assert_eq!(found, (2655, 576), "expansions that are the same, and that neither can make");
}

/// Of each code system that a value set is made of, the codes that its expansion lists are in it, and the others are not.
#[test]
fn what_is_listed_is_what_is_in() {
    let terminology = Terminology::embedded();
    let urls: Vec<String> = include_str!("../../ig/r4-4.0.1.terminology.jsonl")
        .lines()
        .chain(include_str!("../../ig/us-core-6.1.0.terminology.jsonl").lines())
        .filter_map(|line| line.strip_prefix(r#"{"valueSet":{"url":""#)?.split_once('"'))
        .map(|(url, _)| url.to_owned())
        .collect();
    let whole = |system: &str| -> BTreeSet<String> {
        let include = model::Include { system: Some(system.to_owned()), ..Default::default() };
        let compose = model::Compose { include: vec![include], ..Default::default() };
        let set = model::ValueSet { compose: Some(compose), ..Default::default() };
        let request = ExpandRequest {
            exclude_nested: true,
            ..ExpandRequest::new(ValueSetSource::Given(Box::new(set)))
        };
        let codes = terminology.expand(&request).map(|it| it.contains).unwrap_or_default();
        codes.into_iter().map(|it| it.code.to_string()).chain(["no such code".to_owned()]).collect()
    };
    let (mut wholes, mut within, mut without) = (BTreeMap::new(), 0, 0);
    for url in &urls {
        let Ok(expansion) = terminology.expand(&ExpandRequest { exclude_nested: true, ..request(url) })
        else {
            continue;
        };
        let mut listed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for entry in &expansion.contains {
            listed.entry(&entry.system).or_default().insert(&entry.code);
        }
        for (system, codes) in listed {
            let all = wholes.entry(system.to_owned()).or_insert_with(|| whole(system));
            for code in codes.iter().copied().chain(all.iter().map(String::as_str)) {
                let (system, code_text) = (Some(system.into()), code.into());
                let coding = Coding { system, code: code_text, ..Coding::default() };
                let is_listed = codes.contains(code);
                let said = terminology.validate_code(url, &[coding]);
                let is_right = match said {
                    CodeCheck::Valid { .. } => is_listed,
                    CodeCheck::Invalid { .. } => !is_listed,
                    CodeCheck::NotChecked { .. } => false,
                };
                assert!(is_right, "{code} in {url}: {said:?}");
                if is_listed { within += 1 } else { without += 1 }
            }
        }
    }
    assert!(within > 50_000 && without > 50_000, "{within} codes in, {without} out");
}
