//! What users read in place of scopes and resource types.

use crate::scope::{Meaning, Permissions, Scope};

/// A scope about the user or the time.
pub(super) fn plain_name(scope: &Scope) -> &'static str {
    match scope.meaning() {
        Meaning::OpenId => "Know who you are",
        Meaning::FhirUser => "Read your own entry (patient, practitioner or relative)",
        Meaning::Profile => "Know your name",
        Meaning::OfflineAccess => "Keep access while you are away, until you take it back",
        Meaning::OnlineAccess => "Keep access while you are logged in",
        Meaning::Launch | Meaning::LaunchPatient | Meaning::LaunchEncounter => "Know what it was opened for",
        Meaning::Resources(_) => "Records",
    }
}

/// The kind of records of a scope: the name of its type, in words.
pub(super) fn type_name(scope: &Scope) -> String {
    let name = scope.resources().and_then(|scope| scope.resource_type.as_deref());
    match name {
        None => "All kinds of records".into(),
        Some("AllergyIntolerance") => "Allergies and intolerances".into(),
        Some("Condition") => "Conditions (problems, diagnoses, concerns)".into(),
        Some("DocumentReference") => "Documents and notes".into(),
        Some("MedicationRequest") => "Prescriptions".into(),
        Some("Observation") => "Observations (results, vital signs, history)".into(),
        Some("Patient") => "Patient (name, birth date, address)".into(),
        Some("Provenance") => "Provenance (who recorded what)".into(),
        Some(name) => spaced(name),
    }
}

/// `MedicationDispense` as `Medication dispense`.
fn spaced(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for (index, letter) in name.chars().enumerate() {
        if index > 0 && letter.is_ascii_uppercase() {
            words.push(' ');
            words.push(letter.to_ascii_lowercase());
        } else {
            words.push(letter);
        }
    }
    words
}

/// What a scope permits, in words.
pub(super) fn what(scope: &Scope) -> String {
    let permissions = scope.resources().map_or(Permissions::ALL, |scope| scope.permissions);
    let words = [
        (Permissions::READ, "read"),
        (Permissions::SEARCH, "search"),
        (Permissions::CREATE, "add"),
        (Permissions::UPDATE, "change"),
        (Permissions::DELETE, "delete"),
    ];
    let words: Vec<&str> =
        words.iter().filter(|(letter, _)| permissions.contains(*letter)).map(|(_, word)| *word).collect();
    let mut text = words.join(", ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}
