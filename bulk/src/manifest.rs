//! What a finished job tells: the manifest (<https://hl7.org/fhir/uv/bulkdata/STU2/export.html#response---complete-status>), and the
//! lines that are no stored resources.

use serde_json::{Value, json};

use crate::{Job, Section};

/// The manifest of a job. `base` is the URL below which its files are; `time` the snapshot as an instant.
pub fn manifest(job: &Job, base: &str, time: &str, requires_access_token: bool) -> Value {
    let list = |section: Section| -> Vec<Value> {
        let files = job.files.iter().filter(|file| file.section == section);
        files
            .map(|file| {
                json!({
                    "type": file.resource_type,
                    "url": format!("{base}/{}", file.name),
                    "count": file.count,
                })
            })
            .collect()
    };
    json!({
        "transactionTime": time,
        "request": job.url,
        "requiresAccessToken": requires_access_token,
        "output": list(Section::Output),
        "deleted": list(Section::Deleted),
        "error": list(Section::Error),
    })
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
