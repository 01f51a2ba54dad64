//! What bindings ask, answered from the embedded definitions.

mod hostile;

use fhirpath::expression::Coding;

use super::*;

fn coding<'a>(system: Option<&'a str>, code: &'a str) -> Coding<'a> {
    Coding { system: system.map(Into::into), code: code.into(), ..Coding::default() }
}

/// What is said of `system#code`, or of a lone code, as a binding asks.
fn check(value_set: &str, code: &str, expected: &str) {
    let (system, code) = code.split_once('#').map_or((None, code), |(system, code)| (Some(system), code));
    let said = match Terminology::embedded().validate_code(value_set, &[coding(system, code)]) {
        CodeCheck::Valid { display_issue: None } => "valid".to_owned(),
        CodeCheck::Valid { display_issue: Some(issue) } => issue.to_string(),
        CodeCheck::Invalid { why } => format!("invalid: {why}"),
        CodeCheck::NotChecked { why } => format!("not checked: {why}"),
    };
    assert_eq!(said, expected, "{code} in {value_set}");
}

const GENDER: &str = "http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1";

#[test]
fn bindings_to_whole_code_systems() {
    check(GENDER, "female", "valid");
    check(GENDER, "http://hl7.org/fhir/administrative-gender#female", "valid");
    check(GENDER, "Female", &format!("invalid: the code Female is not in the value set {GENDER}"));
    let other = "http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender#F";
    check(GENDER, other, &format!("invalid: the code {other} is not in the value set {GENDER}"));
}

#[test]
fn bindings_to_listed_codes_of_systems_that_are_not_here() {
    let smoking = "http://hl7.org/fhir/us/core/ValueSet/us-core-clinical-note-type";
    check(smoking, "http://loinc.org#18842-5", "valid");
    let no = format!("invalid: the code http://loinc.org#1-8 is not in the value set {smoking}");
    check(smoking, "http://loinc.org#1-8", &no);
}

#[test]
fn bindings_with_filters() {
    let set = "http://terminology.hl7.org/ValueSet/v3-ActEncounterCode";
    let system = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
    check(set, &format!("{system}#AMB"), "valid");
    let out = format!("{system}#OPTIN");
    check(set, &out, &format!("invalid: the code {out} is not in the value set {set}"));
}

#[test]
fn what_is_not_here_is_not_checked() {
    check("http://nowhere/v", "a", "not checked: the value set http://nowhere/v is not known here");
    check(
        "http://hl7.org/fhir/us/core/ValueSet/us-core-laboratory-test-codes",
        "http://loinc.org#1-8",
        "not checked: the code system http://loinc.org is not known here",
    );
    check(
        "http://hl7.org/fhir/ValueSet/administrative-gender|9",
        "female",
        "not checked: the value set http://hl7.org/fhir/ValueSet/administrative-gender|9 is not known here",
    );
}

#[test]
fn codes_in_their_system() {
    let check = |system: Option<&str>, code: &str, display: Option<&str>, expected: &str| {
        let asked = Coding { display: display.map(Into::into), ..coding(system, code) };
        let said = match Terminology::embedded().validate_in_system(&asked) {
            CodeCheck::Valid { display_issue: None } => "valid".to_owned(),
            CodeCheck::Valid { display_issue: Some(issue) } => issue.to_string(),
            CodeCheck::Invalid { why } => why.to_string(),
            CodeCheck::NotChecked { why } => format!("not checked: {why}"),
        };
        assert_eq!(said, expected);
    };
    let category = "http://terminology.hl7.org/CodeSystem/observation-category";
    check(Some(category), "vital-signs", Some("vital  signs"), "valid");
    check(
        Some(category),
        "vital-signs",
        Some("Signs"),
        "the code vital-signs is displayed as \"Vital Signs\", not \"Signs\"",
    );
    check(Some(category), "vitals", None, &format!("the code system {category} has no code vitals"));
    check(None, "vitals", None, "not checked: the code vitals has no system");
    let sct = "http://snomed.info/sct";
    check(Some(sct), "1", None, &format!("not checked: the code system {sct} is not known here"));
}

/// What FHIRPath asks.
#[test]
fn member_of_and_subsumes() {
    use fhirpath::expression::Environment;
    use fhirpath::{Expression, Limits, Tree};
    let schema = crate::Definitions::embedded().unwrap().schema;
    let json = br#"{"resourceType":"Observation","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB"}]}],"code":{"coding":[{"system":"http://nowhere","code":"a"}]}}"#;
    let tree = Tree::parse_json(&schema, json.to_vec(), &Limits::DEFAULT).unwrap();
    let terminology = Terminology::embedded();
    let environment = Environment { terminology: Some(&terminology), ..Environment::default() };
    let check = |text: &str, expected: &str| {
        let expression = Expression::compile(&schema, "Observation", text).unwrap();
        let mut found = Vec::new();
        let outcome = expression.evaluate_in(tree.root(), &environment, &mut found);
        let said = outcome.map_or_else(|error| error.to_string(), |()| format!("{found:?}"));
        assert_eq!(said, expected, "{text}");
    };
    let set = "http://terminology.hl7.org/ValueSet";
    check(&format!("category.first().memberOf('{set}/v3-ActEncounterCode')"), "[Boolean(true)]");
    check(&format!("category.first().memberOf('{set}/v3-ActConsentDirective')"), "[Boolean(false)]");
    check("code.memberOf('http://hl7.org/fhir/ValueSet/observation-codes')", "[Boolean(false)]");
    check("code.memberOf('http://nowhere/v')", "the value set http://nowhere/v is not known here");
    check("category.first().coding.first().subsumes(category.first().coding.first())", "[Boolean(true)]");
    check("code.coding.first().subsumes(category.first().coding.first())", "[Boolean(false)]");
}
