//! Types that the patient compartment says nothing of (<https://hl7.org/fhir/R4/compartmentdefinition-patient.html>), and how
//! `patient/` scopes reach them.

/// They are about no patient, and records refer to them: a `patient/` scope reads and searches all of them, and changes none.
pub const TYPES: &[&str] = &[
    "Endpoint",
    "HealthcareService",
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "Questionnaire",
    "Substance",
    "ValueSet",
];

/// They name their patient by the search parameter `patient`, though no compartment has them.
pub(super) const BY_PATIENT: &[&str] = &["Device"];
