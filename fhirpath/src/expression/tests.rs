//! Evaluation over small resources, refusals, and random text.

mod environment;
mod functions;
mod hostile;

use super::*;
use crate::fixture;
use crate::tree::{Limits, Tree};

const PATIENT: &str = r##"{
    "resourceType": "Patient", "id": "p1", "meta": {"tag": [{"code": "a"}, {"code": "b"}]},
    "contained": [
        {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "inside"}},
        {"resourceType": "Patient", "id": "p2", "active": true}
    ],
    "extension": [{"url": "http://x/one", "valueString": "1"}, {"url": "http://x/two", "valueDateTime": "2020-01-02"}],
    "active": true, "deceasedDateTime": "2021-03-04T05:06:07Z", "birthDate": "1974-12-25",
    "_birthDate": {"extension": [{"url": "http://x/time", "valueDateTime": "1974-12-25T14:35:45-05:00"}]},
    "name": [
        {"use": "official", "family": "Chalmers", "given": ["Peter", "James"]},
        {"use": "usual", "given": ["Jim"], "period": {"start": "2001"}}
    ],
    "link": [
        {"other": {"reference": "Patient/7"}, "type": "seealso"},
        {"other": {"reference": "http://other.example/fhir/Patient/8/_history/2"}, "type": "seealso"},
        {"other": {"reference": "#p2"}, "type": "seealso"},
        {"other": {"reference": "#o1"}, "type": "seealso"},
        {"other": {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "type": "Patient"}, "type": "refer"},
        {"other": {"reference": "Patient?identifier=a/b"}, "type": "refer"},
        {"other": {"display": "someone"}, "type": "refer"},
        {"other": {"type": "Observation"}, "type": "refer"}
    ]
}"##;

const OBSERVATION: &str = r#"{
    "resourceType": "Observation", "status": "final", "code": {"text": "panel"},
    "subject": {"reference": "Patient/7"}, "effectivePeriod": {"start": "2020-01-01"},
    "valueQuantity": {"value": 1.50, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
    "component": [
        {"code": {"text": "a"}, "valueQuantity": {"value": 3}},
        {"code": {"text": "b"}, "valueCodeableConcept": {"text": "c"}},
        {"code": {"text": "d"}, "valueString": "e"}
    ]
}"#;

const BUNDLE: &str = r#"{
    "resourceType": "Bundle", "type": "collection", "entry": [
        {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "name": [{"family": "A"}]}},
        {"fullUrl": "http://x/fhir/Observation/2", "resource": {"resourceType": "Observation", "status": "final",
            "code": {"text": "t"}, "subject": {"reference": "urn:uuid:1"}}},
        {"resource": {"resourceType": "Bundle", "type": "collection"}}
    ]
}"#;

const QUESTIONNAIRE: &str = r#"{
    "resourceType": "Questionnaire", "status": "draft", "item": [
        {"linkId": "1", "item": [{"linkId": "1.1"}, {"linkId": "1.2", "item": [{"linkId": "1.2.1"}]}]},
        {"linkId": "2"}
    ]
}"#;

fn show(item: &Item) -> String {
    match item {
        Item::Element(element) => element.value().map_or_else(|| element.path(), |value| value.into_owned()),
        Item::Boolean(value) => value.to_string(),
        Item::Integer(value) => value.to_string(),
        Item::Decimal(value) => value.to_string(),
        Item::String(value) => format!("'{value}'"),
        Item::Date(value) => format!("@{value}"),
        Item::DateTime(value) => format!("@{value}"),
        Item::Time(value) => format!("@T{value}"),
        Item::Quantity(value) => value.to_string(),
        Item::TypeInfo(value) => format!("{}.{}", value.namespace, value.name),
    }
}

/// The result of an expression, its items separated by `, `.
fn result(json: &str, text: &str, dialect: Dialect) -> Result<String, String> {
    let schema = fixture::schema();
    let tree = Tree::parse_json(&schema, json.as_bytes().to_vec(), &Limits::DEFAULT).unwrap();
    let expression = Expression::compile_as(&schema, tree.resource_type(), text, dialect);
    let expression = expression.map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    let now = DateTime::parse("2026-01-02T03:04:05.678Z").unwrap();
    expression.evaluate_at(tree.root(), now, &mut out).map_err(|error| error.to_string())?;
    assert!(
        out.is_empty() || !expression.is_empty(),
        "{text} yields something though it is said to be empty"
    );
    Ok(out.iter().map(show).collect::<Vec<_>>().join(", "))
}

fn check(json: &str, text: &str, expected: &str) {
    assert_eq!(result(json, text, Dialect::SearchParameter).as_deref(), Ok(expected), "{text}");
}

fn refused(json: &str, text: &str, expected: &str) {
    assert_eq!(result(json, text, Dialect::Strict), Err(expected.to_owned()), "{text}");
}

#[test]
fn paths() {
    check(PATIENT, "Patient.name.given", "Peter, James, Jim");
    check(PATIENT, "name.given", "Peter, James, Jim");
    check(PATIENT, "Resource.meta.tag.code", "a, b");
    check(PATIENT, "DomainResource.extension.value", "1, 2020-01-02");
    check(PATIENT, "Patient.contained.code.text", "inside");
    check(PATIENT, "Patient.name[1].given[0]", "Jim");
    check(PATIENT, "Patient.name[7]", "");
    check(PATIENT, "%resource.id = %context.id and %rootResource.id = 'p1'", "true");
    check(PATIENT, "Patient.birthDate.extension('http://x/time').value", "1974-12-25T14:35:45-05:00");
    check(BUNDLE, "Bundle.entry.resource.name.family", "A");
    check(BUNDLE, "Bundle.entry[0].resource", "Bundle.entry[0].resource");
    check(BUNDLE, "Bundle.entry.resource.select(subject.resolve()).name.family", "A");
    check(
        BUNDLE,
        "entry.resource.where($this is Observation).subject.where(resolve() is Patient).reference",
        "urn:uuid:1",
    );
    check(QUESTIONNAIRE, "Questionnaire.repeat(item).linkId", "1, 2, 1.1, 1.2, 1.2.1");
}

#[test]
fn one_text_serves_several_types() {
    let text = "Patient.name.family | Observation.code.text | Bundle.type";
    check(PATIENT, text, "Chalmers");
    check(OBSERVATION, text, "panel");
    check(BUNDLE, text, "collection");
    check(QUESTIONNAIRE, text, "");
    let schema = fixture::schema();
    assert!(Expression::compile(&schema, "Questionnaire", text).unwrap().is_empty());
    let abstractly = Expression::compile(&schema, "Resource", text).unwrap();
    let tree = Tree::parse_json(&schema, OBSERVATION.as_bytes().to_vec(), &Limits::DEFAULT).unwrap();
    let mut out = Vec::new();
    abstractly.evaluate(tree.root(), &mut out).unwrap();
    assert_eq!(out.iter().map(show).collect::<Vec<_>>(), ["panel"]);
    refused(
        PATIENT,
        "Bundle.type",
        "'Bundle' is neither an element of Patient nor its type (at character 0)",
    );
}

#[test]
fn types() {
    check(OBSERVATION, "(Observation.value as Quantity).unit", "kg");
    check(OBSERVATION, "Observation.value.as(Quantity).value", "1.50");
    check(OBSERVATION, "Observation.component.value.as(Quantity).value", "3");
    check(OBSERVATION, "(Observation.component.value as CodeableConcept).text", "c");
    check(OBSERVATION, "Observation.component.value.ofType(string)", "e");
    check(
        OBSERVATION,
        "(Observation.effective as dateTime) | (Observation.effective as Period)",
        "Observation.effective",
    );
    check(OBSERVATION, "value is Quantity and (value is Period).not()", "true");
    check(PATIENT, "Patient.deceased.as(DateTime)", "2021-03-04T05:06:07Z");
    check(PATIENT, "Patient.deceased.exists() and Patient.deceased != false", "true");
    check(PATIENT, "Patient.extension.where(url = 'http://x/two').valueDateTime", "2020-01-02");
    check(PATIENT, "Patient.name as Quantity", "");
    refused(PATIENT, "Patient.name as HumanName", "single needs one item and has 2");
    refused(PATIENT, "Patient.deceased.as(Foo)", "'Foo' is no type (at character 20)");
    refused(
        PATIENT,
        "Patient.deceasedDateTime",
        "'deceasedDateTime' is no element of Patient (at character 8)",
    );
}

#[test]
fn references_tell_their_type() {
    check(
        PATIENT,
        "Patient.link.other.where(resolve() is Patient).reference",
        "Patient/7, http://other.example/fhir/Patient/8/_history/2, #p2, \
         urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0, Patient?identifier=a/b",
    );
    check(PATIENT, "Patient.link.other.where(resolve() is Observation).count()", "2");
    check(PATIENT, "Patient.link.other.where($this.resolve().is(Patient)).count()", "5");
    check(PATIENT, "Patient.link.other.resolve().id", "p2, o1");
    check(PATIENT, "Patient.link[6].other.resolve() is Patient", "");
}

#[test]
fn extensions() {
    check(PATIENT, "Patient.extension('http://x/one').value", "1");
    check(PATIENT, "Patient.birthDate.hasExtension('http://x/time')", "true");
    check(PATIENT, "Patient.where(hasExtension('http://x/three')).id", "");
    check(PATIENT, "Patient.birthDate.hasValue()", "true");
}

#[test]
fn unions_have_no_duplicates() {
    check(PATIENT, "name.given | name.given", "Peter, James, Jim");
    check(PATIENT, "(1 | 2 | 1.0 | '1').count()", "3");
    check(PATIENT, "name.use.combine(name.use).count()", "4");
}

#[test]
fn logic_has_three_values() {
    for (text, expected) in [
        ("true and {}", ""),
        ("false and {}", "false"),
        ("{} and false", "false"),
        ("{} or true", "true"),
        ("{} or false", ""),
        ("true xor {}", ""),
        ("true xor false", "true"),
        ("false implies {}", "true"),
        ("{} implies true", "true"),
        ("{} implies false", ""),
        ("true implies false", "false"),
        ("active and name[0]", "true"),
        ("{}.not()", ""),
    ] {
        check(PATIENT, text, expected);
    }
    refused(PATIENT, "true and name", "a condition needs one item and has 2");
}

#[test]
fn refusals_name_the_fault() {
    refused(PATIENT, "Patient.nmae", "'nmae' is no element of Patient (at character 8)");
    refused(PATIENT, "Patient.name.foo()", "there is no function 'foo' (at character 13)");
    refused(PATIENT, "Patient.name.where()", "where() takes 1 argument, not 0 (at character 13)");
    refused(
        PATIENT,
        "Patient.name.where(HumanNam)",
        "'HumanNam' is no element of HumanName (at character 19)",
    );
    refused(PATIENT, "%who", "there is no constant '%who' (at character 0)");
    refused(PATIENT, "$index", "$index has no meaning outside of an iteration (at character 0)");
    refused(PATIENT, "-'a'", "only a number or a quantity has a sign (at character 0)");
    refused(PATIENT, "'a'.given", "'given' is no element of System.String (at character 4)");
    refused(PATIENT, "name.given.single()", "single needs one item and has 3");
    let schema = fixture::schema();
    let error = Expression::compile(&schema, "Nothing", "id").unwrap_err();
    assert_eq!(error.to_string(), "the context 'Nothing' is no type (at character 0)");
}

#[test]
fn evaluation_is_bounded() {
    let text = "name.given.aggregate($total & $total & $this & $this, 'aaaaaaaaaaaaaaaa')";
    check(PATIENT, &format!("{text}.count()"), "1");
    let doubling = "repeat($this & $this)";
    refused(PATIENT, &format!("'a'.{doubling}"), "the evaluation takes more than 20000000 steps");
}

#[test]
fn result_types_are_known() {
    let check = |context: &str, text: &str, expected: &[&str]| {
        let compiled = Expression::compile(&fixture::schema(), context, text).unwrap();
        assert_eq!(compiled.result_types(), expected, "{text}");
    };
    check(
        "Observation",
        "Observation.value.as(Quantity) | Observation.code",
        &["CodeableConcept", "Quantity"],
    );
    check("Observation.component", "value.as(Quantity)", &["Quantity"]);
    check("Observation.component", "$this", &["Observation.component"]);
    check("Observation.component", "%resource.subject", &["Reference"]);
    check("Patient", "Patient.deceased.exists()", &["System.Boolean"]);
    check("Resource", "Resource.meta.tag", &["Coding"]);
    check("Bundle", "Bundle.entry[0].resource", &["Resource"]);
    check("Patient", "descendants()", &["Any"]);
}
