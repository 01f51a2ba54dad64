#![allow(missing_docs, clippy::unwrap_used)] // a test: an unexpected error should stop it
//! The SearchParameters of R4, US Core and packages added to them.

use std::fmt::Write as _;

use conformance::{Definitions, SearchParameterType};
use expect_test::{expect, expect_file};

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
