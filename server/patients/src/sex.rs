//! The sex of a patient, whose extension carries a Coding since US Core 8.0.0, and a code before
//! (<https://hl7.org/fhir/us/core/StructureDefinition-us-core-sex.html>).

use serde_json::{Value, json};

const URL: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-sex";

/// Turns the code of a resource's extension into a Coding of SNOMED CT.
pub fn as_coding(resource: &mut Value) {
    let extensions = resource.get_mut("extension").and_then(Value::as_array_mut);
    for extension in extensions.into_iter().flatten().filter_map(Value::as_object_mut) {
        if extension.get("url").and_then(Value::as_str) == Some(URL)
            && let Some(code) = extension.remove("valueCode")
        {
            let coding = json!({"system": "http://snomed.info/sct", "code": code});
            extension.insert("valueCoding".to_owned(), coding);
        }
    }
}
