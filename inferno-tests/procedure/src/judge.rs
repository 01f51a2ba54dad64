//! Who says whether a resource conforms to a profile: not this crate. Whoever runs the procedure brings a judge.

use serde_json::Value;

/// Judges resources, away from the server that they came from.
pub trait Judge: Sync {
    /// What is wrong with a resource by a profile: errors alone, each a sentence. The profile is a canonical URL, perhaps with
    /// `|version`, or empty for FHIR's own rules.
    fn errors(&self, resource: &Value, profile: &str) -> Vec<String>;
}
