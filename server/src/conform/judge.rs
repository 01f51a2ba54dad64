//! Judges what the procedure read, by the validator of this workspace, on this side of the wire: what the server under test
//! says of its own resources does not count.

use std::path::Path;

use conformance::validation::{Options, Validator};
use conformance::{Definitions, DefinitionsError};
use fhirpath::Severity;
use procedure::Judge;
use serde_json::Value;

/// What is found against a largest value set (`elementdefinition-maxValueSet`). The reference validator, with which certification is
/// decided, holds to it where the binding is extensible alone; those of US Core are all on preferred bindings.
const LARGEST_VALUE_SET: &str = "Terminology_TX_NoValid_10";

/// The validator with the packages of one version of US Core.
pub struct Conformance {
    validator: Validator,
}

impl Conformance {
    /// With the definitions of FHIR R4 and those of packages.
    ///
    /// # Errors
    /// A package that cannot be read.
    pub fn new(packages: &[&Path]) -> Result<Conformance, DefinitionsError> {
        let schema = Definitions::embedded()?.schema;
        Ok(Conformance { validator: Validator::with_packages(schema, packages)? })
    }
}

impl Judge for Conformance {
    fn errors(&self, resource: &Value, profile: &str) -> Vec<String> {
        let named = [profile];
        let profiles: &[&str] = if profile.is_empty() { &[] } else { &named };
        // What a resource claims besides is not what is asked.
        let options = Options { claimed_profiles: false, ..Options::default() };
        let issues = self.validator.validate_json(resource.to_string().as_bytes(), profiles, &options);
        let errors = issues.iter().filter(|issue| issue.severity <= Severity::Error);
        errors
            .filter(|issue| issue.message_id.as_deref() != Some(LARGEST_VALUE_SET))
            .map(|issue| format!("{}: {}", issue.expression.as_deref().unwrap_or("-"), issue.details))
            .collect()
    }
}
