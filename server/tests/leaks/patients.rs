//! What one patient asks and writes to come at the other's resources, besides what is asked of every resource there is.

use serde_json::{Value, json};

use super::requests::Request;
use super::seeds::{ASKING, OTHER};

/// Searches that lead out of the compartment and back.
pub fn reading() -> Vec<Request> {
    let get = |path: &str| Request::new("GET", path);
    let mut all = vec![
        get("/Observation").with("_list", "own"),
        get("/Observation").with("_list", "hidden"),
        get("/Patient").with("_list", "hidden"),
        get("/Observation").with("patient.family", OTHER),
        get("/Observation").with("has-member.code", "code-birchwald"),
        get("/Observation").with("has-member.derived-from.code", "said-birchwald"),
        get("/Observation").with("has-member:missing", "false"),
        get("/Observation").with("focus:Patient.identifier", "pat-birchwald"),
        get("/Observation").with("_filter", "code eq code-birchwald or code eq code-alderquist"),
        get("/Observation").with("_filter", "patient re Patient/hidden"),
        get("/Observation").with("_filter", "patient.family eq birchwald"),
        get("/Observation").with("code:not", "code-alderquist"),
        get("/Observation")
            .with("_include:iterate", "Observation:has-member")
            .with("_include", "Observation:subject"),
        get("/Patient")
            .with("_id", "pat")
            .with("_revinclude", "Observation:focus")
            .with("_revinclude", "List:item"),
        get("/Observation").with("_id", "obs").with("_revinclude", "Observation:has-member"),
        get("/Observation").with("_id", "obs").with("_revinclude:iterate", "Observation:derived-from"),
        get("/Practitioner").with("_id", "doc2").with("_revinclude", "Encounter:participant"),
        get("/Practitioner").with("_has:Encounter:participant:identifier", "enc-birchwald"),
        get("/Practitioner")
            .with("_has:Encounter:participant:_has:Observation:encounter:code", "code-birchwald"),
        get("/Organization").with("_has:Patient:organization:family", OTHER),
        get("/Patient").with("_explain", "true"),
        get("/Observation").with("code", "code-birchwald").with("_explain", "true"),
        get("/Observation").with("_content", OTHER),
        get("/Observation").with("_content", "alderquist OR birchwald").with("_sort", "-_score"),
        get("/Observation").with("_content", "final NOT alderquist").with("_total", "accurate"),
        get("/").with("_content", "hidden OR birchwald").with("_total", "accurate"),
        get("/Observation").with("patient._content", OTHER),
        get("/Patient").with("_has:Observation:subject:_content", OTHER),
        get("/Practitioner").with("_has:Encounter:participant:_content", OTHER),
        get("/Observation").with("_text", OTHER),
        get("/Observation/_history").with("_count", "1"),
        get("/").with("_type", "List,Provenance,Encounter,Condition"),
        get("/").with("_id", "hidden"),
    ];
    // Operations, by what they look for.
    for patient in ["pat", "hidden"] {
        for field in [
            "id",
            "birthDate",
            "ObservationList(_reference: subject) {id}",
            "managingOrganization {reference}",
        ] {
            let query = format!("{{Patient(id: \"{patient}\") {{{field}}}}}");
            all.push(get("/$graphql").with("query", &query));
        }
        all.push(
            get("/Observation/$lastn")
                .with("patient", patient)
                .with("code", "code-birchwald,code-alderquist"),
        );
    }
    let members = "{Observation(id: \"links\") {hasMember {resource {... on Observation {id status}}}}}";
    all.push(get("/$graphql").with("query", members));
    all
}

fn observation(id: &str, subject: &str, text: &str) -> Value {
    let mut body = json!({
        "resourceType": "Observation", "status": "final", "code": {"text": text},
        "subject": {"reference": format!("Patient/{subject}")},
    });
    if !id.is_empty() {
        body["id"] = json!(id);
    }
    body
}

/// A FHIRPath Patch that replaces one element of an Observation.
fn replace(path: &str, name: &str, value: Value) -> Value {
    json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": path},
        {"name": "value", name: value},
    ]}]})
}

/// Creates, changes and deletions at the border: into the other's compartment, out of it, and by criteria that only the other's
/// resources fulfil.
pub fn writing() -> Vec<Request> {
    const OTHERS: [(&str, &str); 5] = [
        ("code", "code-birchwald"),
        ("patient", "Patient/hidden"),
        ("patient.family", OTHER),
        ("_id", "hidden"),
        ("has-member", "Observation/hidden"),
    ];
    let mut all = Vec::new();
    for subject in ["pat", "hidden", "nobody"] {
        all.push(Request::new("POST", "/Observation").with_body(observation("", subject, "new")));
        for id in ["said", "hidden", "moved", "left", "fresh"] {
            let path = format!("/Observation/{id}");
            let body = observation(id, subject, &format!("put for {subject}"));
            all.push(Request::new("PUT", &path).with_body(&body));
            all.push(Request::new("PUT", &path).with_header("If-Match", "W/\"1\"").with_body(&body));
            all.push(Request::new("PUT", &path).with_header("If-None-Match", "*").with_body(body));
            let to = json!({"reference": format!("Patient/{subject}")});
            let patch = replace("Observation.subject", "valueReference", to);
            all.push(Request::new("PATCH", &path).with_body(patch));
        }
    }
    for (name, value) in OTHERS.into_iter().chain([("code", "said-alderquist")]) {
        let of_pat = |text: &str| observation("", "pat", &format!("{text} {ASKING}"));
        let criteria = format!("{name}={value}");
        all.push(
            Request::new("POST", "/Observation")
                .with_header("If-None-Exist", &criteria)
                .with_body(of_pat("create")),
        );
        all.push(Request::new("PUT", "/Observation").with(name, value).with_body(of_pat("update")));
        let patch = replace("Observation.status", "valueCode", json!("amended"));
        all.push(Request::new("PATCH", "/Observation").with(name, value).with_body(patch));
    }
    let patch = replace("Observation.status", "valueCode", json!("corrected"));
    all.push(Request::new("PATCH", "/Observation").with("identifier", "obs-alderquist").with_body(patch));
    for (name, value) in OTHERS {
        all.push(Request::new("DELETE", "/Observation").with(name, value));
    }
    for key in ["Observation/moved", "Observation/left", "Patient/hidden", "List/hidden", "Encounter/hidden"]
    {
        all.push(Request::new("DELETE", &format!("/{key}")));
    }
    all
}
