#![allow(missing_docs, clippy::unwrap_used)] // a test: an unexpected error should stop it
//! The SearchParameters of R4, US Core and packages added to them.

use std::fmt::Write as _;

use conformance::table::Table;
use conformance::{Definitions, SearchParameter, SearchParameterType};
use expect_test::{expect, expect_file};
use fhirpath::schema::TypeKind;
use fhirpath::{Expression, Schema};

#[test]
fn what_does_less_than_its_package_says() {
    let definitions = Definitions::embedded().unwrap();
    let mut text = String::new();
    for notice in definitions.search_parameters.notices() {
        writeln!(text, "{notice}").unwrap();
    }
    expect![[r#"
        http://hl7.org/fhir/SearchParameter/codesystem-extensions-CodeSystem-author as -?author: applies to no resource type
        http://hl7.org/fhir/SearchParameter/codesystem-extensions-CodeSystem-effective as -?effective: applies to no resource type
        http://hl7.org/fhir/SearchParameter/codesystem-extensions-CodeSystem-end as -?end: applies to no resource type
        http://hl7.org/fhir/SearchParameter/codesystem-extensions-CodeSystem-keyword as -?keyword: applies to no resource type
        http://hl7.org/fhir/SearchParameter/codesystem-extensions-CodeSystem-workflow as -?workflow: applies to no resource type
        http://hl7.org/fhir/SearchParameter/valueset-extensions-ValueSet-author as -?author: applies to no resource type
        http://hl7.org/fhir/SearchParameter/valueset-extensions-ValueSet-effective as -?effective: applies to no resource type
        http://hl7.org/fhir/SearchParameter/valueset-extensions-ValueSet-end as -?end: applies to no resource type
        http://hl7.org/fhir/SearchParameter/valueset-extensions-ValueSet-keyword as -?keyword: applies to no resource type
        http://hl7.org/fhir/SearchParameter/valueset-extensions-ValueSet-workflow as -?workflow: applies to no resource type
        http://hl7.org/fhir/SearchParameter/DomainResource-text as DomainResource?_text: has no expression
        http://hl7.org/fhir/SearchParameter/patient-extensions-Patient-age as Patient?age: has no expression
        http://hl7.org/fhir/SearchParameter/patient-extensions-Patient-birthOrderBoolean as Patient?birthOrderBoolean: has no expression
        http://hl7.org/fhir/SearchParameter/example-extension as Patient?part-agree: no part of its expression is about the resource type
        http://hl7.org/fhir/SearchParameter/Resource-content as Resource?_content: has no expression
        http://hl7.org/fhir/SearchParameter/filter as Resource?_filter: has no expression
        http://hl7.org/fhir/SearchParameter/Resource-query as Resource?_query: has no expression
    "#]].assert_eq(&text);
}

#[test]
fn packages_added_to_the_embedded_ones() {
    let test = "packages_added_to_the_embedded_ones";
    let names = [
        "carin4bb-200",
        "davinci-crd-2.0.1",
        "davinci-pdex-2.0.0",
        "davinci_dtr_2.0.1",
        "davinci_pas_2.2.1",
        "hl7.terminology.r4-7.0.1",
        "ips_v110",
        "us_core_311",
        "us_core_610",
        "us_core_700",
        "us_core_800",
    ];
    let embedded = Definitions::embedded().unwrap();
    let mut text = String::new();
    for name in names {
        let Some(path) = testdata::path(test, &format!("packages/{name}.tgz")) else { return };
        let definitions = Definitions::with_packages(&[&path]).unwrap();
        writeln!(text, "{name}").unwrap();
        let before = embedded.search_parameters.all();
        for (one, other) in before.iter().zip(definitions.search_parameters.all()) {
            assert_eq!((&one.base, &one.code), (&other.base, &other.code), "{name} moves an index");
        }
        for added in definitions.search_parameters.all().iter().skip(before.len()) {
            writeln!(text, "  + {}?{} = {}", added.base, added.code, added.expression_text).unwrap();
        }
        for notice in definitions.search_parameters.notices() {
            if !embedded.search_parameters.notices().contains(notice) {
                writeln!(text, "  ! {notice}").unwrap();
            }
        }
    }
    expect_file!["search_parameters/added.txt"].assert_eq(&text);
}

/// Every parameter that US Core's CapabilityStatement asks of a server is there, with the type it says.
#[test]
fn us_core_asks_for_no_other() {
    let test = "us_core_asks_for_no_other";
    let Some(files) = testdata::archive(test, "packages/us_core_610.tgz") else { return };
    let statement =
        files.iter().find(|file| file.path == "package/CapabilityStatement-us-core-server.json").unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&statement.bytes).unwrap();
    let definitions = Definitions::embedded().unwrap();
    let mut asked = 0;
    let mut missing = Vec::new();
    for resource in statement["rest"][0]["resource"].as_array().unwrap() {
        let resource_type = resource["type"].as_str().unwrap();
        for parameter in resource["searchParam"].as_array().into_iter().flatten() {
            let (code, kind) = (parameter["name"].as_str().unwrap(), parameter["type"].as_str().unwrap());
            let found = definitions.search_parameters.get(resource_type, code);
            if found.map(|it| it.kind) != SearchParameterType::from_code(kind) {
                missing.push(format!("{resource_type}?{code} {kind}"));
            }
            asked += 1;
        }
    }
    assert!(asked > 100, "{asked}");
    assert!(missing.is_empty(), "{missing:?}");
}

/// The SearchParameters of the embedded packages as their tables state them.
fn stated() -> Vec<conformance::table::SearchParameterDefinition> {
    let texts = [include_str!("../../ig/r4-4.0.1.jsonl"), include_str!("../../ig/us-core-6.1.0.jsonl")];
    texts.iter().flat_map(|text| Table::read(text).unwrap().search_parameters).collect()
}

#[test]
fn every_parameter_is_registered_for_each_of_its_bases() {
    let definitions = Definitions::embedded().unwrap();
    let mut missing = Vec::new();
    let mut count = 0;
    for (definition, base) in stated().iter().flat_map(|it| it.base.iter().map(move |base| (it, base))) {
        let found = definitions.search_parameters.get(base, &definition.code);
        if found.is_none_or(|it| !it.urls.contains(&definition.url)) {
            missing.push(format!("{} as {base}?{}", definition.url, definition.code));
        }
        count += 1;
    }
    assert_eq!(count, 1721 + 106);
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Of what has an expression nothing is dropped: it compiles, and it selects something. Components likewise.
#[test]
fn every_expression_compiles() {
    let definitions = Definitions::embedded().unwrap();
    let stated = stated();
    let mut wrong = Vec::new();
    for parameter in definitions.search_parameters.all().iter().filter(|it| !it.expression_text.is_empty()) {
        let name = format!("{}?{}", parameter.base, parameter.code);
        if parameter.expression.as_ref().is_none_or(Expression::is_empty) {
            wrong.push(format!("{name}: {}", parameter.expression_text));
        }
        let definition = stated.iter().find(|it| it.url == parameter.urls[0]).unwrap();
        if parameter.components.len() != definition.component.len() {
            wrong.push(format!("{name}: not all components"));
        }
        for component in parameter.components.iter().filter(|it| it.expression.is_empty()) {
            wrong.push(format!("{name}: component {}", component.code));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The types that values of a parameter may have (<https://hl7.org/fhir/R4/search.html#table>).
fn fits(kind: SearchParameterType, found: &str) -> bool {
    use SearchParameterType as Type;
    let allowed: &[&str] = match kind {
        Type::Number => &["integer", "decimal", "positiveInt", "unsignedInt"],
        Type::Date => &["date", "dateTime", "instant", "Period", "Timing"],
        Type::String => &["string", "markdown", "HumanName", "Address"],
        Type::Token => &[
            "Coding",
            "CodeableConcept",
            "Identifier",
            "ContactPoint",
            "code",
            "boolean",
            "id",
            "uri",
            "string",
            "System.Boolean",
        ],
        Type::Reference => &["Reference", "canonical", "uri"],
        Type::Quantity => &["Quantity", "Age", "Count", "Distance", "Duration", "Money", "Range"],
        Type::Uri => &["uri", "url", "canonical", "oid", "uuid"],
        Type::Composite | Type::Special => return true,
    };
    allowed.contains(&found)
}

#[test]
fn what_an_expression_selects_fits_the_type_of_its_parameter() {
    let definitions = Definitions::embedded().unwrap();
    let mut text = String::new();
    let mut check = |name: String, kind: SearchParameterType, expression: &Expression| {
        let types = expression.result_types();
        let odd: Vec<&str> = types.iter().map(String::as_str).filter(|found| !fits(kind, found)).collect();
        let first = odd.get(..3).unwrap_or(&odd).join(", ");
        if !odd.is_empty() {
            let counts = format!("{} of {} types do not fit: {first}", odd.len(), types.len());
            writeln!(text, "{name} ({}): {counts}", kind.as_str()).unwrap();
        }
    };
    for parameter in definitions.search_parameters.all() {
        let name = format!("{}?{}", parameter.base, parameter.code);
        if let Some(expression) = &parameter.expression {
            check(name.clone(), parameter.kind, expression);
        }
        for component in &parameter.components {
            check(format!("{name} / {}", component.code), component.kind, &component.expression);
        }
    }
    expect_file!["search_parameters/odd_types.txt"].assert_eq(&text);
}

#[test]
fn a_reference_parameter_names_resource_types() {
    let definitions = Definitions::embedded().unwrap();
    let is_resource = |schema: &Schema, name: &str| {
        schema.type_id(name).is_some_and(|id| schema.kind(id) == TypeKind::Resource)
    };
    let wrong =
        |it: &&SearchParameter| it.targets.iter().any(|target| !is_resource(&definitions.schema, target));
    let wrong: Vec<_> =
        definitions.search_parameters.all().iter().filter(wrong).map(|it| (&it.base, &it.code)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let references =
        definitions.search_parameters.all().iter().filter(|it| it.kind == SearchParameterType::Reference);
    let without: Vec<_> =
        references.filter(|it| it.targets.is_empty()).map(|it| format!("{}?{}", it.base, it.code)).collect();
    let odd = [
        "DiagnosticReport?assessed-condition",
        "QuestionnaireResponse?item-subject",
        "RequestGroup?instantiates-canonical",
    ];
    assert_eq!(without, odd, "of these R4 states no target: they may point to any type");
}

#[test]
fn where_r4_has_it_wrong() {
    let parameters = Definitions::embedded().unwrap().search_parameters;
    let relationship = parameters.get("DocumentReference", "relationship").unwrap();
    let components: Vec<_> = relationship
        .components
        .iter()
        .map(|it| (it.code.as_str(), it.kind, it.expression.result_types()))
        .collect();
    assert_eq!(
        components,
        [
            ("relation", SearchParameterType::Token, vec!["code".to_owned()]),
            ("relatesto", SearchParameterType::Reference, vec!["Reference".to_owned()]),
        ]
    );
    let name = parameters.get("Patient", "mothersMaidenName").unwrap();
    assert!(
        name.expression_text.starts_with("(Patient.extension('http://")
            && name.expression_text.ends_with(").value")
    );
    assert!(name.expression.as_ref().unwrap().result_types().contains(&"string".to_owned()));
}

/// The components of `Observation?combo-code-value-quantity` start from the resource and from its components.
#[test]
fn a_component_serves_all_that_its_composite_selects() {
    let parameters = Definitions::embedded().unwrap().search_parameters;
    let combo = parameters.get("Observation", "combo-code-value-quantity").unwrap();
    assert_eq!(combo.expression.as_ref().unwrap().result_types(), ["Observation", "Observation.component"]);
    let types: Vec<_> =
        combo.components.iter().map(|it| (it.code.as_str(), it.kind, it.expression.result_types())).collect();
    assert_eq!(
        types,
        [
            ("combo-code", SearchParameterType::Token, vec!["CodeableConcept".to_owned()]),
            ("combo-value-quantity", SearchParameterType::Quantity, vec!["Quantity".to_owned()]),
        ]
    );
}
