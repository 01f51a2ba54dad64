#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test
//! What queries yield and what is refused, beside the official suite.

mod examples;

use examples::Examples;
use graphql::{Change, Level, Request};
use serde_json::{Value, json};

const HELD: [&str; 3] = ["Patient/example", "Patient/xds", "Condition/example"];

async fn ask(examples: &Examples, level: &str, query: &str) -> Value {
    let level = if level.is_empty() { Level::System } else { examples.instance(level) };
    let response = examples.ask(&level, &Request::of(query)).await;
    serde_json::from_slice(&response.to_json()).unwrap()
}

#[tokio::test]
async fn answers() {
    let Some(examples) = Examples::open("answers", &HELD) else { return };
    let cases = [
        (
            "Patient/example",
            "{ __typename resourceType id }",
            json!({"__typename": "Patient", "resourceType": "Patient", "id": "example"}),
        ),
        ("Patient/example", "{ name(use: usual) { given } }", json!({"name": [{"given": ["Jim"]}]})),
        (
            "Patient/example",
            "{ n: name(_offset: 1, _count: 1) { g: given } }",
            json!({"n": [{"g": ["Jim"]}]}),
        ),
        (
            "Patient/example",
            "{ contact { __typename gender } }",
            json!({"contact": [{"__typename": "PatientContact", "gender": "female"}]}),
        ),
        // Equal fields are one, through fragments too.
        (
            "Patient/example",
            "{ name(use: usual) { given } ...F } fragment F on Patient { name(use: usual) { use } }",
            json!({"name": [{"given": ["Jim"], "use": "usual"}]}),
        ),
        (
            "Observation/example",
            "{ subject { resource { ... on Patient { name(use: usual) { given } } ... on Group { name } } } }",
            json!({"subject": {"resource": {"name": [{"given": ["Jim"]}]}}}),
        ),
        (
            "Observation/example",
            "{ subject @flatten { resource @flatten { id } } }",
            json!({"id": "example"}),
        ),
        (
            "",
            "{ a: Patient(id: example) { id } b: Patient(id: \"xds\") { id } }",
            json!({"a": {"id": "example"}, "b": {"id": "xds"}}),
        ),
        (
            "",
            "{ PatientList(fhirpath: \"name.exists(given = 'Jim')\") { id } }",
            json!({"PatientList": [{"id": "example"}]}),
        ),
        (
            "Patient/example",
            "{ ConditionConnection(_reference: patient) { pagesize edges { resource { id } } } }",
            json!({"ConditionConnection": {"pagesize": 0, "edges": [{"resource": {"id": "example"}}]}}),
        ),
        (
            "",
            "query ($c: String = \"next\") { PatientConnection(cursor: $c) { count __typename } }",
            json!({"PatientConnection": {"count": 50, "__typename": "PatientConnection"}}),
        ),
        (
            "Patient/example",
            "{ birthDate _birthDate { extension { url valueDateTime } } }",
            json!({"birthDate": "1974-12-25", "_birthDate": {"extension": [{
                "url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime",
                "valueDateTime": "1974-12-25T14:35:45-05:00"}]}}),
        ),
        (
            "Patient/example",
            "{ name @slice(path: \"$index\") @flatten { given @first @singleton family } }",
            json!({"given.0": "Peter", "family.0": ["Chalmers"], "given.1": "Jim", "given.2": "Peter",
                "family.2": ["Windsor"]}),
        ),
    ];
    for (level, query, expected) in cases {
        assert_eq!(ask(&examples, level, query).await, json!({ "data": expected }), "{query}");
    }
}

#[tokio::test]
async fn refusals() {
    let Some(examples) = Examples::open("refusals", &HELD) else { return };
    let cases = [
        ("Patient/example", "{ nme { given } }", "not-supported", "nme is no field of Patient.", (1, 3)),
        (
            "Patient/example",
            "{ name }",
            "invalid",
            "name is no value: say which of its fields are wanted.",
            (1, 3),
        ),
        ("Patient/example", "{\n active { x } }", "invalid", "active is a value and has no fields.", (2, 2)),
        ("Patient/example", "{ active(x: 1) }", "not-supported", "active has no argument x.", (1, 3)),
        ("Patient/example", "{ name(x: 1) { given } }", "not-supported", "name has no argument x.", (1, 3)),
        (
            "Patient/example",
            "{ name(_count: -1) { given } }",
            "value",
            "The argument _count of name takes a whole number of 0 or more.",
            (1, 3),
        ),
        (
            "Patient/example",
            "{ name(fhirpath: \"fmily\") { given } }",
            "invalid",
            "the FHIRPath expression is refused: 'fmily' is no element of HumanName (at character 0)",
            (1, 3),
        ),
        (
            "Patient/example",
            "{ active @lower }",
            "not-supported",
            "There is no directive @lower here.",
            (1, 10),
        ),
        (
            "Patient/example",
            "{ active @flatten }",
            "invalid",
            "active has no fields that could take its place; @flatten cannot stand here.",
            (1, 3),
        ),
        ("Patient/example", "{ active @skip }", "required", "skip needs the argument if.", (1, 10)),
        (
            "Patient/example",
            "{ active @skip(if: $no) }",
            "not-found",
            "The operation declares no variable $no.",
            (1, 10),
        ),
        (
            "Patient/example",
            "query ($v: Int!) { active }",
            "required",
            "The variable $v needs a value.",
            (1, 8),
        ),
        ("Patient/example", "{ ...F }", "not-found", "There is no fragment F.", (1, 3)),
        (
            "Patient/example",
            "{ ...F } fragment F on Patient { ...F }",
            "invalid",
            "The fragment F is a part of itself.",
            (1, 34),
        ),
        (
            "Patient/example",
            "{ ... on Group { name } }",
            "not-supported",
            "Nothing here is of type Group.",
            (1, 3),
        ),
        ("Patient/example", "{ ... on Grp { name } }", "not-supported", "There is no type Grp.", (1, 3)),
        (
            "Patient/example",
            "{ id: active id }",
            "invalid",
            "Several fields are to be written as id; give them aliases.",
            (1, 14),
        ),
        (
            "Patient/example",
            "{ ConditionList { id } }",
            "required",
            "ConditionList needs the argument _reference.",
            (1, 3),
        ),
        (
            "Patient/example",
            "{ ConditionConnection(_reference: patient, cursor: \"x\") { count } }",
            "not-supported",
            "Condition has no search parameter cursor.",
            (1, 3),
        ),
        (
            "",
            "{ name { given } }",
            "not-supported",
            "name is no field of the system: it has Patient(id), PatientList and so on.",
            (1, 3),
        ),
        ("", "{ Patient { id } }", "required", "Patient needs the argument id.", (1, 3)),
        (
            "",
            "{ PatientList(_include: x) { id } }",
            "not-supported",
            "The search parameter _include has no use in GraphQL.",
            (1, 3),
        ),
        (
            "",
            "{ PatientList(nme: x) { id } }",
            "not-supported",
            "Patient has no search parameter nme.",
            (1, 3),
        ),
        (
            "",
            "{ __schema { types { name } } }",
            "not-supported",
            "Introspection (__schema, __type) is not offered; the fields are those of FHIR R4's types.",
            (1, 3),
        ),
        (
            "",
            "subscription { x }",
            "not-supported",
            "Subscriptions of GraphQL are not offered; use the resource Subscription.",
            (1, 1),
        ),
        (
            "",
            "{ Patient(id: a) { id ",
            "invalid",
            "The query is no GraphQL: expected R_CURLY, got EOF.",
            (1, 23),
        ),
    ];
    for (level, query, code, details, (line, column)) in cases {
        let issue = json!({"severity": "error", "code": code, "details": {"text": details}});
        let body = ask(&examples, level, query).await;
        let mut error = json!({
            "message": details,
            "locations": [{"line": line, "column": column}],
            "extensions": {"resource": {"resourceType": "OperationOutcome", "issue": [issue]}},
        });
        if let Some(path) = body["errors"][0].get("path") {
            error["path"] = path.clone();
        }
        assert_eq!(body, json!({"data": null, "errors": [error]}), "{query}");
    }
}

#[tokio::test]
async fn an_error_tells_the_path_of_the_answer() {
    let Some(examples) = Examples::open("an_error_tells_the_path_of_the_answer", &HELD) else { return };
    let query = "{ all: PatientList { id managingOrganization { of: resource { id } } } }";
    let body = ask(&examples, "", query).await;
    assert_eq!(body["errors"][0]["path"], json!(["all", 0, "managingOrganization", "of"]));
    assert_eq!(body["errors"][0]["message"], "The resource is not there, or may not be seen.");
}

/// All that one round needs is read at once, and each resource once.
#[tokio::test]
async fn reads_are_batched() {
    let Some(examples) = Examples::open("reads_are_batched", &HELD) else { return };
    let query =
        "{ a: Patient(id: example) { id } b: Patient(id: xds) { id } c: Patient(id: example) { active } }";
    assert_eq!(ask(&examples, "", query).await["errors"], Value::Null);
    assert_eq!(*examples.reads.lock().unwrap(), [2]);
}

#[tokio::test]
async fn searches_are_asked_as_a_url_has_them() {
    let Some(examples) = Examples::open("searches_are_asked_as_a_url_has_them", &HELD) else { return };
    let query =
        "{ ConditionList(clinical_status: [active, \"a,b\"], _sort: \"-onset-date\", _count: 5) { id } }";
    assert_eq!(ask(&examples, "", query).await["errors"], Value::Null);
    let asked = examples.searches.lock().unwrap().clone();
    let expected = [("clinical-status", "active,a\\,b"), ("_sort", "-onset-date"), ("_count", "5")];
    let mut parameters = asked[0].parameters.clone();
    parameters.sort();
    let mut expected: Vec<_> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    expected.sort();
    assert_eq!(parameters, expected);
}

#[tokio::test]
async fn a_list_is_whole_or_an_error() {
    let Some(examples) = Examples::open("a_list_is_whole_or_an_error", &HELD) else { return };
    let body = ask(&examples, "", "{ ObservationList { id } }").await;
    assert_eq!(body["errors"][0]["extensions"]["resource"]["issue"][0]["code"], "too-costly");
    let counted = ask(&examples, "", "{ ObservationList(_count: 1) { id } }").await;
    assert_eq!(counted, json!({"data": {"ObservationList": [{"id": "example"}]}}));
}

#[tokio::test]
async fn mutations() {
    let Some(examples) = Examples::open("mutations", &HELD) else { return };
    let mut request = Request::of(
        "mutation ($new: Patient!) { a: PatientCreate(res: $new) { active name { family } } \
         b: PatientUpdate(id: \"1\", res: {active: false, multipleBirthInteger: 2}) { id active } \
         PatientDelete(id: 1) }",
    );
    request.variables.insert("new".to_owned(), json!({"active": true, "name": [{"family": "A"}]}));
    let response = examples.ask(&Level::System, &request).await;
    let expected = json!({
        "a": {"active": true, "name": [{"family": "A"}]},
        "b": {"id": "1", "active": false},
        "PatientDelete": null,
    });
    assert_eq!((response.data, response.errors), (Some(expected), Vec::new()));
    let changes = examples.changes.lock().unwrap().clone();
    assert_eq!(changes.len(), 3);
    assert_eq!(changes[2], Change::Delete { id: "1".to_owned() });
    let refused = examples.ask(&examples.instance("Patient/example"), &request).await;
    assert_eq!(refused.errors[0].issue.details, "Mutations are asked of the system: [base]/$graphql.");
    let other = ask(&examples, "", "mutation { PatientUpdate(id: \"1\", res: {id: \"2\"}) { id } }").await;
    assert_eq!(other["errors"][0]["message"], "The argument res states another id than the mutation.");
}

#[test]
fn bodies() {
    let ok =
        Request::from_json(br#"{"query": "{id}", "operationName": null, "variables": {"a": 1}}"#).unwrap();
    assert_eq!((ok.query.as_str(), ok.operation_name, ok.variables.len()), ("{id}", None, 1));
    let bad = [&b"[]"[..], b"{}", br#"{"query": 1}"#, br#"{"query": "{id}", "x": 1}"#, b"{"];
    for body in bad {
        assert!(Request::from_json(body).is_err(), "{}", String::from_utf8_lossy(body));
    }
}
