//! The patients have every element, slice, extension, type and reference that the profiles of US Core mark as to be
//! supported, or as asked for by USCDI: read from the snapshots of the official packages. What is left out stands in
//! `must_support/left_out.txt` with its reason.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test

#[path = "must_support/profile.rs"]
mod profile;

use std::collections::BTreeSet;

use conformance::terminology::Terminology;
use conformance::validation::Validator;
use conformance::{Definitions, UsCore};
use profile::{Found, Profile};
use serde_json::Value;

const CORE: &str = "http://hl7.org/fhir/StructureDefinition/";

/// The profiles of a package on resources, and the value sets it is at hand with.
fn profiles(test: &str, package: &str) -> Option<(Vec<Profile>, Terminology)> {
    let name = format!("packages/{package}");
    let path = testdata::path(test, &name)?;
    let is_profile = |path: &str| path.starts_with("package/StructureDefinition-");
    let mut found = Vec::new();
    testdata::select(test, &name, is_profile, |file| {
        let definition: Value = serde_json::from_slice(&file.bytes).unwrap();
        if definition["kind"] == "resource" && definition["derivation"] == "constraint" {
            found.push(Profile::read(&definition));
        }
    })?;
    let schema = Definitions::embedded().unwrap().schema;
    let terminology = Validator::with_packages(schema, &[&path]).unwrap().terminology().clone();
    Some((found, terminology))
}

/// Whether a resource claims a profile, or one that is derived from it.
fn claims(resource: &Value, url: &str, profiles: &[Profile]) -> bool {
    let claimed = resource.pointer("/meta/profile").and_then(Value::as_array).into_iter().flatten();
    claimed.filter_map(Value::as_str).any(|claimed| {
        let mut at = Some(claimed.to_owned());
        while let Some(here) = at {
            if here == url {
                return true;
            }
            at = profiles.iter().find(|profile| profile.url == here).map(|profile| profile.base.clone());
        }
        false
    })
}

/// Whether something refers to a resource of a profile, or of a type of FHIR itself.
fn refers(found: &Found<'_>, target: &str, resources: &[Value], profiles: &[Profile]) -> bool {
    let Some(reference) = found.value.get("reference").and_then(Value::as_str) else { return false };
    let is_it = |resource: &&Value| {
        let (kind, id) = (resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        reference == format!("{kind}/{id}")
    };
    let Some(resource) = resources.iter().find(is_it) else { return false };
    match target.strip_prefix(CORE) {
        Some("Resource") => true,
        Some(kind) => resource["resourceType"] == kind,
        None => claims(resource, target, profiles),
    }
}

/// What is asked for and not there: `profile element` with the type or target, if it is that.
fn missing(us_core: UsCore, profiles: &[Profile], terminology: &Terminology) -> BTreeSet<String> {
    let resources = patients::resources(us_core).unwrap();
    let mut missing = BTreeSet::new();
    let mut asked = 0;
    for profile in profiles {
        let name = profile.url.rsplit('/').next().unwrap();
        let of_profile: Vec<&Value> =
            resources.iter().filter(|resource| claims(resource, &profile.url, profiles)).collect();
        if of_profile.is_empty() {
            missing.insert(name.to_owned());
            continue;
        }
        for element in profile.must_support() {
            let found: Vec<Found<'_>> =
                of_profile.iter().flat_map(|it| profile.find(it, &element.id, terminology)).collect();
            asked += 1 + element.types.len() + element.targets.len();
            if found.is_empty() {
                missing.insert(format!("{name} {}", element.id));
            }
            for kind in &element.types {
                if !found.iter().any(|it| it.is_of_type(kind)) {
                    missing.insert(format!("{name} {} as {kind}", element.id));
                }
            }
            for target in &element.targets {
                if !found.iter().any(|it| refers(it, target, &resources, profiles)) {
                    let target = target.rsplit('/').next().unwrap();
                    missing.insert(format!("{name} {} to {target}", element.id));
                }
            }
        }
    }
    assert!(asked > 600, "only {asked} things are asked for");
    missing
}

/// Compares with the lines of the list that are about a version: `versions | what | reason`.
fn check(test: &str, us_core: UsCore, package: &str) {
    let Some((profiles, terminology)) = profiles(test, package) else { return };
    let missing = missing(us_core, &profiles, &terminology);
    let mut left_out = BTreeSet::new();
    for line in include_str!("must_support/left_out.txt").lines() {
        let parts: Vec<&str> = line.split(" | ").collect();
        let [versions, what, _reason] = parts.as_slice() else { panic!("{line}") };
        if versions.split(' ').any(|version| version == us_core.version()) {
            left_out.insert((*what).to_owned());
        }
    }
    // A line stands for what is below its element, too.
    let covers = |listed: &str, what: &str| {
        what.strip_prefix(listed).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']))
    };
    let unlisted: Vec<&String> =
        missing.iter().filter(|what| !left_out.iter().any(|it| covers(it, what))).collect();
    let there: Vec<&String> = left_out.difference(&missing).collect();
    assert!(unlisted.is_empty(), "US Core {us_core} asks for what no patient has: {unlisted:#?}");
    assert!(there.is_empty(), "listed as left out of US Core {us_core}, and there: {there:#?}");
}

#[test]
fn everything_of_us_core_610_is_there() {
    check("everything_of_us_core_610_is_there", UsCore::V6_1_0, "us_core_610.tgz");
}

#[test]
fn everything_of_us_core_700_is_there() {
    check("everything_of_us_core_700_is_there", UsCore::V7_0_0, "us_core_700.tgz");
}

/// The test itself notices what is taken away.
#[test]
fn what_is_taken_away_is_missed() {
    let test = "what_is_taken_away_is_missed";
    let Some((profiles, terminology)) = profiles(test, "us_core_610.tgz") else { return };
    let profile = profiles.iter().find(|it| it.url.ends_with("/us-core-patient")).unwrap();
    let resources = patients::resources(UsCore::V6_1_0).unwrap();
    let mut patient = resources.iter().find(|it| it["id"] == patients::ADULT).unwrap().clone();
    let has = |patient: &Value, id: &str| !profile.find(patient, id, &terminology).is_empty();
    for id in ["Patient.extension:race", "Patient.name.suffix", "Patient.communication.language"] {
        assert!(has(&patient, id), "{id}");
    }
    patient["extension"].as_array_mut().unwrap().remove(0);
    patient["name"].as_array_mut().unwrap().iter_mut().for_each(|name| {
        name.as_object_mut().unwrap().remove("suffix");
    });
    assert!(!has(&patient, "Patient.extension:race"));
    assert!(!has(&patient, "Patient.name.suffix"));
    assert!(has(&patient, "Patient.extension:ethnicity"));
}
