//! What a finished job tells: the manifest (<https://hl7.org/fhir/uv/bulkdata/STU2/export.html#response---complete-status>), and the
//! lines that are no stored resources.

use serde_json::{Value, json};

use crate::{File, Job, PATIENT, Section};

/// The media type of tables.
const TABLE: &str = "text/csv";

/// The manifest of a job. `base` is the URL below which its files are; `time` the snapshot as an instant.
pub fn manifest(job: &Job, base: &str, time: &str, requires_access_token: bool) -> Value {
    let list = |section: Section| -> Vec<Value> {
        let files = job.files.iter().filter(|file| file.section == section);
        files
            .map(|file| {
                let mut item = json!({"url": format!("{base}/{}", file.name), "count": file.count});
                if let (Some(members), false) =
                    (item.as_object_mut(), job.request.organized && section == Section::Output)
                {
                    members.insert("type".to_owned(), json!(file.resource_type));
                }
                if let Some(sha256) = &file.sha256 {
                    extend(&mut item, json!({"size": file.bytes, "sha256": sha256}));
                }
                item
            })
            .collect()
    };
    let mut manifest = json!({
        "transactionTime": time,
        "request": job.url,
        "requiresAccessToken": requires_access_token,
        "output": list(Section::Output),
        "deleted": list(Section::Deleted),
        "error": list(Section::Error),
    });
    if let (Some(members), true) = (manifest.as_object_mut(), job.request.organized) {
        members.insert("outputOrganizedBy".to_owned(), json!(PATIENT));
    }
    if job.request.documented {
        let all = job.files.iter().filter(|file| file.section == Section::Documentation);
        let told = |file: &File| {
            let url = format!("{base}/{}", file.name);
            json!({"contentType": TABLE, "url": url, "size": file.bytes, "sha256": file.sha256})
        };
        extend(&mut manifest, json!({"documentation": all.map(told).collect::<Vec<_>>()}));
    }
    manifest
}

/// Sets the member that is reserved for what the guide does not have.
fn extend(of: &mut Value, extension: Value) {
    if let Some(members) = of.as_object_mut() {
        members.insert("extension".to_owned(), extension);
    }
}

/// A DocumentReference to a data dictionary, as the Argonaut guide has it of what is no FHIR
/// (<https://build.fhir.org/ig/argonautproject/ehi-api/ehi-export.html#documentreference-resources>).
pub(crate) fn reference(file: &File, base: &str) -> String {
    let attachment = json!({"contentType": TABLE, "url": format!("{base}/{}", file.name), "size": file.bytes, "title": "Data dictionary"});
    let format = json!({"system": env!("CARGO_PKG_REPOSITORY"), "code": "data-dictionary", "display": "Table of elements"});
    json!({
        "resourceType": "DocumentReference",
        "meta": {"tag": [{"code": "ehi-export", "display": "made for this export"}]},
        "status": "current",
        "description": "The elements of the exported types: definition, path, slice, type, cardinality, description.",
        "content": [{"attachment": attachment, "format": format}],
    })
    .to_string()
}

/// What a block of a patient begins with.
pub(crate) fn header(patient: &str) -> String {
    let reference = json!({"reference": format!("{PATIENT}/{patient}")});
    let header = json!({"name": "header", "valueReference": reference});
    json!({"resourceType": "Parameters", "parameter": [header]}).to_string()
}

/// A Bundle that deletes a resource.
pub(crate) fn deletion(resource_type: &str, id: &str) -> String {
    let request = json!({"method": "DELETE", "url": format!("{resource_type}/{id}")});
    json!({"resourceType": "Bundle", "type": "transaction", "entry": [{"request": request}]}).to_string()
}

/// An OperationOutcome about what was left out of a request.
pub(crate) fn ignored(what: &[String]) -> String {
    let issue = |details: &String| json!({"severity": "warning", "code": "not-supported", "details": {"text": details}});
    let issues: Vec<Value> = what.iter().map(issue).collect();
    json!({"resourceType": "OperationOutcome", "issue": issues}).to_string()
}
