use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::Definitions;

fn validator(structures: &[Value]) -> Validator {
    let mut library = Library::embedded();
    for structure in structures {
        library.add(Structure::from_json(structure).unwrap());
    }
    Validator::new(Definitions::embedded().unwrap().schema, library, Terminology::embedded())
}

fn profile(name: &str, base: &str, elements: Value) -> Value {
    json!({
        "resourceType": "StructureDefinition", "url": format!("http://x/{name}"), "kind": "resource", "type": "Patient",
        "derivation": "constraint", "baseDefinition": base, "differential": { "element": elements },
    })
}

const PATIENT: &str = "http://hl7.org/fhir/StructureDefinition/Patient";

/// The errors, as `code expression details`.
fn errors(validator: &Validator, resource: &Value, profiles: &[&str]) -> Vec<String> {
    let issues =
        validator.validate_json(&serde_json::to_vec(resource).unwrap(), profiles, &Options::default());
    let errors = issues.iter().filter(|issue| issue.severity <= Severity::Error);
    errors
        .map(|it| format!("{} {} {}", it.code.as_str(), it.expression.as_deref().unwrap_or("-"), it.details))
        .collect()
}

fn patient() -> Value {
    json!({ "resourceType": "Patient", "id": "p", "name": [{ "family": "A" }, { "family": "B" }], "gender": "male" })
}

#[test]
fn a_profile_that_derives_from_itself() {
    let looped = [profile("a", "http://x/b", json!([])), profile("b", "http://x/a", json!([]))];
    assert_eq!(
        errors(&validator(&looped), &patient(), &["http://x/a"]),
        [
            "structure Patient The profile cannot be used: http://x/a derives from itself, or through more than 32 others."
        ]
    );
}

#[test]
fn a_profile_without_its_base() {
    let orphan = profile("a", "http://x/gone", json!([{ "id": "Patient", "path": "Patient" }]));
    assert_eq!(
        errors(&validator(&[orphan]), &patient(), &["http://x/a"]),
        [
            "structure Patient The profile cannot be used: http://x/a derives from http://x/gone, which is not known."
        ]
    );
}

#[test]
fn a_profile_that_nobody_knows_is_an_error_when_asked_for_and_a_warning_when_claimed() {
    let validator = validator(&[]);
    assert_eq!(
        errors(&validator, &patient(), &["http://x/a"]),
        ["not-found Patient The profile http://x/a was not checked: it is not known here."]
    );
    let mut claiming = patient();
    claiming["meta"] = json!({ "profile": ["http://x/a"] });
    assert_eq!(errors(&validator, &claiming, &[]), Vec::<String>::new());
    let issues = validator.validate_json(&serde_json::to_vec(&claiming).unwrap(), &[], &Options::default());
    let told: Vec<_> = issues.iter().map(|it| (it.severity, it.expression.as_deref())).collect();
    assert_eq!(told, [(Severity::Warning, Some("Patient.meta.profile[0]"))]);
}

#[test]
fn an_element_that_is_not_there() {
    let wrong = profile("a", PATIENT, json!([{ "id": "Patient.nmae", "path": "Patient.nmae", "min": 1 }]));
    assert_eq!(
        errors(&validator(&[wrong]), &patient(), &["http://x/a"]),
        [
            "structure Patient The profile cannot be used: http://x/a constrains Patient.nmae, and there is no such element."
        ]
    );
}

#[test]
fn a_million_slices_end_in_an_issue() {
    // Their number alone is looked at.
    let million = vec![Value::Null; 1_000_000];
    let error = Structure::from_json(&profile("a", PATIENT, Value::Array(million))).unwrap_err();
    assert_eq!(error, StructureError::TooManyElements("http://x/a".to_owned()));
}

#[test]
fn as_many_slices_as_there_may_be_take_bounded_time() {
    let mut elements = vec![json!({ "id": "Patient.name", "path": "Patient.name", "slicing": {
        "discriminator": [{ "type": "value", "path": "family" }], "rules": "open" } })];
    for n in 0..3000 {
        elements.push(json!({ "id": format!("Patient.name:s{n}"), "path": "Patient.name", "sliceName": format!("s{n}") }));
        elements.push(json!({ "id": format!("Patient.name:s{n}.family"), "path": "Patient.name.family",
            "fixedString": format!("F{n}") }));
    }
    let validator = validator(&[profile("a", PATIENT, Value::Array(elements))]);
    let start = Instant::now();
    let found = errors(&validator, &patient(), &["http://x/a"]);
    let took = start.elapsed();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("has more than 20000 elements"), "{found:?}");
    assert!(took.as_secs() < 20, "{took:?}");
}

#[test]
fn what_asks_for_too_many_steps_is_told_so() {
    let mut elements = vec![json!({ "id": "Patient.name", "path": "Patient.name", "slicing": {
        "discriminator": [{ "type": "value", "path": "given" }], "rules": "open" } })];
    for n in 0..900 {
        elements.push(json!({ "id": format!("Patient.name:s{n}"), "path": "Patient.name", "sliceName": format!("s{n}") }));
        elements.push(json!({ "id": format!("Patient.name:s{n}.given"), "path": "Patient.name.given",
            "fixedString": format!("F{n}") }));
    }
    let validator = validator(&[profile("a", PATIENT, Value::Array(elements))]);
    let name = json!({ "given": ["a", "b", "c", "d"] });
    let many = json!({ "resourceType": "Patient", "name": vec![name; 4000] });
    let found = errors(&validator, &many, &["http://x/a"]);
    assert_eq!(
        found,
        [
            "too-costly - The resource was not checked to its end: its profiles ask for more than 5000000 steps."
        ]
    );
}

#[test]
fn a_profile_on_the_same_type_of_its_own_element_ends() {
    // An extension's definition that has itself inside.
    let looped = json!({
        "resourceType": "StructureDefinition", "url": "http://x/e", "kind": "complex-type", "type": "Extension",
        "derivation": "constraint", "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension",
        "context": [{ "type": "element", "expression": "Element" }],
        "differential": { "element": [
            { "id": "Extension.extension", "path": "Extension.extension", "min": 1, "type": [
                { "code": "Extension", "profile": ["http://x/e"] }] },
            { "id": "Extension.url", "path": "Extension.url", "fixedUri": "http://x/e" },
        ] },
    });
    let inner = json!({ "url": "http://x/e", "valueString": "x" });
    let resource =
        json!({ "resourceType": "Patient", "extension": [{ "url": "http://x/e", "extension": [inner] }] });
    let found = errors(&validator(&[looped]), &resource, &[]);
    assert_eq!(
        found,
        [
            "required Patient.extension[0].extension[0] Extension.extension: at least 1 required by http://x/e, and there is none."
        ]
    );
}

#[test]
fn slices_of_slices_closed_and_ordered() {
    let slice = |path: &str, name: &str, family: &str, slicing: Option<Value>| {
        let mut element =
            json!({ "id": format!("{path}:{name}"), "path": path, "sliceName": name, "max": "1" });
        if let Some(slicing) = slicing {
            element["slicing"] = slicing;
        }
        [
            element,
            json!({ "id": format!("{path}:{name}.use"), "path": format!("{path}.use"), "fixedCode": family, "min": 1 }),
        ]
    };
    let by = |path: &str, rules: &str, ordered: bool| json!({ "discriminator": [{ "type": "value", "path": path }], "rules": rules, "ordered": ordered });
    let mut elements =
        vec![json!({ "id": "Patient.name", "path": "Patient.name", "slicing": by("use", "closed", true) })];
    elements.extend(slice("Patient.name", "official", "official", Some(by("family", "closed", false))));
    elements
        .push(json!({ "id": "Patient.name:official/a", "path": "Patient.name", "sliceName": "official/a" }));
    elements.push(
        json!({ "id": "Patient.name:official/a.family", "path": "Patient.name.family", "fixedString": "A" }),
    );
    elements.extend(slice("Patient.name", "usual", "usual", None));
    let validator = validator(&[profile("a", PATIENT, Value::Array(elements))]);
    let check = |names: Value, expected: &[&str]| {
        let resource = json!({ "resourceType": "Patient", "name": names });
        assert_eq!(errors(&validator, &resource, &["http://x/a"]), expected);
    };
    let (official, usual) = (json!({ "use": "official", "family": "A" }), json!({ "use": "usual" }));
    check(json!([official, usual]), &[]);
    check(
        json!([usual, official]),
        &[
            "structure Patient.name[1] The slices of Patient.name have an order in http://x/a, and this comes too late.",
        ],
    );
    check(
        json!([official, { "use": "old" }]),
        &[
            "structure Patient.name[1] This is in no slice of Patient.name, and http://x/a allows nothing else.",
        ],
    );
    check(
        json!([{ "use": "official", "family": "B" }]),
        &[
            "structure Patient.name[0] This is in no slice of Patient.name:official, and http://x/a allows nothing else.",
        ],
    );
    check(
        json!([official, official]),
        &[
            "structure Patient Patient.name:official: at most 1 by http://x/a, and there are 2.",
            "structure Patient Patient.name:official/a: at most 1 by http://x/a, and there are 2.",
        ],
    );
}

#[test]
fn discriminators_by_existence_type_and_profile() {
    let check = |discriminator: Value, slices: Value, resource: Value, expected: &[&str]| {
        let mut elements = vec![json!({ "id": "Patient.contact", "path": "Patient.contact", "slicing": {
            "discriminator": [discriminator], "rules": "open" } })];
        elements.extend(slices.as_array().unwrap().iter().cloned());
        let validator = validator(&[profile("a", PATIENT, Value::Array(elements))]);
        assert_eq!(errors(&validator, &resource, &["http://x/a"]), expected);
    };
    let patient = |contact: Value| json!({ "resourceType": "Patient", "contact": contact });
    let with = json!([
        { "id": "Patient.contact:with", "path": "Patient.contact", "sliceName": "with", "max": "1" },
        { "id": "Patient.contact:with.gender", "path": "Patient.contact.gender", "min": 1 },
    ]);
    let gender = json!({ "gender": "male", "name": { "text": "x" } });
    check(
        json!({ "type": "exists", "path": "gender" }),
        with.clone(),
        patient(json!([gender, gender, { "name": { "text": "x" } }])),
        &["structure Patient Patient.contact:with: at most 1 by http://x/a, and there are 2."],
    );
    let to_organization = json!([
        { "id": "Patient.contact:o", "path": "Patient.contact", "sliceName": "o", "max": "0" },
        { "id": "Patient.contact:o.organization", "path": "Patient.contact.organization", "type": [
            { "code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Organization"] }] },
    ]);
    check(
        json!({ "type": "type", "path": "organization.resolve()" }),
        to_organization,
        patient(json!([{ "organization": { "reference": "Organization/1" } }])),
        &["structure Patient Patient.contact:o: is not allowed by http://x/a, and there is 1."],
    );
    let by_profile = json!([
        { "id": "Patient.contact:m", "path": "Patient.contact", "sliceName": "m", "max": "0" },
        { "id": "Patient.contact:m.name", "path": "Patient.contact.name", "type": [
            { "code": "HumanName", "profile": ["http://x/family"] }] },
    ]);
    let family = json!({
        "resourceType": "StructureDefinition", "url": "http://x/family", "kind": "complex-type", "type": "HumanName",
        "derivation": "constraint", "baseDefinition": "http://hl7.org/fhir/StructureDefinition/HumanName",
        "differential": { "element": [{ "id": "HumanName.family", "path": "HumanName.family", "min": 1 }] },
    });
    let mut elements = vec![json!({ "id": "Patient.contact", "path": "Patient.contact", "slicing": {
        "discriminator": [{ "type": "profile", "path": "name" }], "rules": "open" } })];
    elements.extend(by_profile.as_array().unwrap().iter().cloned());
    let validator = validator(&[profile("a", PATIENT, Value::Array(elements)), family]);
    let contacts = patient(json!([{ "name": { "family": "x" } }, { "name": { "text": "x" } }]));
    assert_eq!(
        errors(&validator, &contacts, &["http://x/a"]),
        ["structure Patient Patient.contact:m: is not allowed by http://x/a, and there is 1."]
    );
}

#[test]
fn what_must_be_supported_is_told_when_asked() {
    let must = profile(
        "a",
        PATIENT,
        json!([
            { "id": "Patient.birthDate", "path": "Patient.birthDate", "mustSupport": true },
            { "id": "Patient.gender", "path": "Patient.gender", "mustSupport": true },
        ]),
    );
    let validator = validator(&[must]);
    let options = Options { must_support: true, information: true, ..Options::default() };
    let text = serde_json::to_vec(&patient()).unwrap();
    let issues = validator.validate_json(&text, &["http://x/a"], &options);
    let told: Vec<&str> = issues.iter().map(|it| it.details.as_str()).collect();
    assert_eq!(told, ["Patient.birthDate must be supported by http://x/a, and is not there."]);
    assert_eq!(validator.validate_json(&text, &["http://x/a"], &Options::default()), []);
}

#[test]
fn issues_have_lines() {
    let text = b"{\n \"resourceType\": \"Patient\",\n \"name\": [\n  { \"use\": \"x\" } ] }";
    let issues = validator(&[]).validate_json(text, &[], &Options::default());
    let told: Vec<_> = issues.iter().map(|it| (it.expression.as_deref(), it.position)).collect();
    assert_eq!(told, [(Some("Patient.name[0].use"), Some((4, 12)))]);
}

#[test]
fn a_long_chain_of_references_ends() {
    let linked = profile(
        "a",
        PATIENT,
        json!([{ "id": "Patient.link.other", "path": "Patient.link.other", "type": [
            { "code": "Reference", "targetProfile": ["http://x/a"] }] }]),
    );
    let entry = |n: usize| {
        let others: Vec<Value> = [n + 1, n + 2]
            .iter()
            .map(|to| json!({ "other": { "reference": format!("Patient/p{to}") }, "type": "seealso" }))
            .collect();
        let resource = json!({ "resourceType": "Patient", "id": format!("p{n}"), "link": others,
            "meta": { "profile": ["http://x/a"] } });
        json!({ "fullUrl": format!("http://x/Patient/p{n}"), "resource": resource })
    };
    let entries: Vec<Value> = (0..300).map(entry).collect();
    let bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": entries });
    assert_eq!(errors(&validator(&[linked]), &bundle, &[]), Vec::<String>::new());
}

#[test]
fn an_invariant_that_costs_too_much_is_evaluated_once() {
    let costly = profile(
        "a",
        PATIENT,
        json!([{ "id": "Patient.name", "path": "Patient.name", "constraint": [{
            "key": "c", "severity": "error", "human": "x",
            "expression": "'a'.repeat($this & 'a').empty()" }] }]),
    );
    let names: Vec<Value> = (0..400).map(|n| json!({ "family": format!("F{n}"), "given": ["a"] })).collect();
    let found =
        errors(&validator(&[costly]), &json!({ "resourceType": "Patient", "name": names }), &["http://x/a"]);
    assert_eq!(
        found,
        ["too-costly Patient.name[0] c cannot be evaluated: the evaluation takes more than 20000000 steps."]
    );
}

#[test]
fn many_references_in_a_large_resource_take_time_in_proportion() {
    let count = 20_000;
    let contained: Vec<Value> = (0..count)
        .map(|n| json!({ "resourceType": "Organization", "id": format!("o{n}"), "name": "x" }))
        .collect();
    let references: Vec<Value> = (0..count).map(|n| json!({ "reference": format!("#o{n}") })).collect();
    let resource =
        json!({ "resourceType": "Patient", "contained": contained, "generalPractitioner": references });
    let entry = |n: usize| {
        let resource = json!({ "resourceType": "Patient", "managingOrganization": {
            "reference": format!("urn:uuid:{:08x}-0000-4000-8000-000000000000", (n + 1) % count) } });
        json!({ "fullUrl": format!("urn:uuid:{n:08x}-0000-4000-8000-000000000000"), "resource": resource })
    };
    let entries: Vec<Value> = (0..count).map(entry).collect();
    let bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": entries });
    let validator = validator(&[]);
    let start = Instant::now();
    assert_eq!(errors(&validator, &resource, &[]), Vec::<String>::new());
    let options = Options { issues: 1, ..Options::default() };
    let found = validator.validate_json(&serde_json::to_vec(&bundle).unwrap(), &[], &options);
    let told: Vec<&str> = found.iter().map(|it| it.details.as_str()).collect();
    assert_eq!(
        told,
        ["This must not refer to Patient, only to Organization."],
        "the type is that of the entry referred to"
    );
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
