//! How a document is written: IHE renamed the code system of formats after R4, and US Core 6.1.0 binds to R4's
//! (<https://hl7.org/fhir/R4/valueset-formatcodes.html>).

use serde_json::{Value, json};

const SYSTEM: &str = "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode";
const SYSTEM_IN_R4: &str = "http://ihe.net/fhir/ValueSet/IHE.FormatCode.codesystem";

/// Names the code system of a document's formats as R4 does.
pub fn as_in_r4(resource: &mut Value) {
    let content = resource.get_mut("content").and_then(Value::as_array_mut);
    let formats = content.into_iter().flatten().filter_map(|content| content.get_mut("format"));
    for system in formats.filter_map(|format| format.get_mut("system")) {
        if system.as_str() == Some(SYSTEM) {
            *system = json!(SYSTEM_IN_R4);
        }
    }
}
