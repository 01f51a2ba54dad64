//! `vesta demo`: a small made-up practice with patients, so that a newcomer has something to look at. The same number always
//! makes the same patients; ids are fixed, so loading them again changes nothing. Names, addresses and stories are invented
//! here; codes are those of the public code systems. The patients for certification are those of the crate `patients`.

mod chart;
mod codes;
pub mod inferno;
mod practice;
mod random;

use conformance::UsCore;
use serde_json::{Value, json};

use crate::load::{Destination, Refused, transaction_of};
use crate::progress::Progress;

/// The sample could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The destination is gone.
    #[error(transparent)]
    Gone(#[from] crate::load::LoadError),
    /// The destination refuses what we made.
    #[error("the sample was refused: {0}")]
    Refused(String),
    /// The patients in the program cannot be read.
    #[error("the patients for certification are broken: {0}")]
    Broken(#[from] serde_json::Error),
    /// The apps and users of the tester.
    #[error(transparent)]
    Inferno(#[from] inferno::InfernoError),
    /// There is nothing to write to a preset.
    #[error("a preset is of --us-core on a data directory with --authorization: where apps are registered")]
    NoPreset,
}

/// Loads the practice and this many patients.
///
/// # Errors
/// [`DemoError`].
pub fn demo(destination: &Destination, patients: u32) -> Result<(), DemoError> {
    let progress = Progress::new("Loading the sample");
    let mut resources = 0;
    for number in 0..=u64::from(patients) {
        let bundle = match u32::try_from(number).unwrap_or(0) {
            0 => transaction_of(&practice::resources()),
            number => transaction_of(&chart::resources(number)),
        };
        resources += send(destination, bundle)?;
        progress.at(number, u64::from(patients), &format!("{resources} resources"));
    }
    progress.end(&format!("Loaded {resources} resources of {patients} made-up patients"));
    Ok(())
}

/// Loads the patients for certification with a version of US Core, in one transaction.
///
/// # Errors
/// [`DemoError`].
pub fn us_core(destination: &Destination, version: UsCore) -> Result<(), DemoError> {
    let resources = send(destination, transaction_of(&patients::resources(version)?))?;
    println!("Loaded {resources} resources for certification with US Core {version}");
    println!("  patients: {}", patients::PATIENTS.join(", "));
    println!("  practitioner: {}", patients::PRACTITIONER);
    println!("  encounter to launch in: {}", patients::ENCOUNTER);
    println!("  group to export: {}", patients::GROUP);
    Ok(())
}

fn send(destination: &Destination, bundle: Vec<u8>) -> Result<usize, DemoError> {
    match destination.bundle(bundle) {
        Ok(entries) => Ok(entries.len()),
        Err(Refused::Gone(error)) => Err(error.into()),
        Err(Refused::Issues(issues)) => Err(DemoError::Refused(
            issues
                .iter()
                .map(|issue| format!("{} ({})", issue.details, issue.expression.as_deref().unwrap_or("")))
                .collect::<Vec<_>>()
                .join("; "),
        )),
    }
}

/// A resource of a US Core profile; the members of `rest` follow.
fn resource(resource_type: &str, id: &str, profile: &str, rest: Value) -> Value {
    let mut value = json!({"resourceType": resource_type, "id": id});
    if let (Value::Object(members), Value::Object(rest)) = (&mut value, rest) {
        if !profile.is_empty() {
            let url = format!("http://hl7.org/fhir/us/core/StructureDefinition/{profile}");
            members.insert("meta".to_owned(), json!({"profile": [url]}));
        }
        members.extend(rest);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhirpath::Tree;
    use std::collections::BTreeSet;

    fn all(patients: u32) -> Vec<Value> {
        (1..=patients).flat_map(chart::resources).chain(practice::resources()).collect()
    }

    #[test]
    fn always_the_same() {
        assert_eq!(all(3), all(3));
        assert_ne!(chart::resources(1), chart::resources(2));
    }

    #[test]
    fn every_type_is_there() {
        let types: BTreeSet<String> =
            all(5).iter().map(|resource| resource["resourceType"].as_str().unwrap().to_owned()).collect();
        let expected = [
            "AllergyIntolerance",
            "CarePlan",
            "CareTeam",
            "Condition",
            "Coverage",
            "DiagnosticReport",
            "DocumentReference",
            "Encounter",
            "Goal",
            "Immunization",
            "Location",
            "MedicationRequest",
            "Observation",
            "Organization",
            "Patient",
            "Practitioner",
            "PractitionerRole",
            "Procedure",
        ];
        assert_eq!(types.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn valid_and_closed() {
        let definitions = conformance::Definitions::embedded().unwrap();
        let limits = fhirpath::tree::Limits { bytes: 1 << 20, depth: 50, issues: 10 };
        let resources = all(20);
        let keys: BTreeSet<String> = resources
            .iter()
            .map(|r| format!("{}/{}", r["resourceType"].as_str().unwrap(), r["id"].as_str().unwrap()))
            .collect();
        assert_eq!(keys.len(), resources.len(), "ids are used twice");
        for resource in &resources {
            let text = resource.to_string();
            if let Err(issues) = Tree::parse_json(&definitions.schema, text.clone().into_bytes(), &limits) {
                panic!("{issues:?}\n{text}");
            }
            for part in text.split("\"reference\":\"").skip(1) {
                let reference = part.split('"').next().unwrap();
                assert!(keys.contains(reference), "{reference} is not there, in\n{text}");
            }
        }
    }
}
