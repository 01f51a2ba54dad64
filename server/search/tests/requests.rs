//! What query texts become, and how the wrong ones are refused: goldens to be read by people. `UPDATE_EXPECT=1` writes them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // in tests

mod naive;

use std::fmt::Write;

use expect_test::expect_file;
use naive::{INDEX, read};
use search::{Handling, Include, SearchRequest};
use store::{Filter, Indexer, ParameterId, SortBy};

const READ: &[&str] = &[
    "Patient?",
    "Patient?name=peter",
    "Patient?name=peter&_id=1,2",
    "Patient?gender:not=male,female",
    "Patient?gender:missing=true",
    "Patient?general-practitioner=1",
    "Patient?general-practitioner:Practitioner=1,http://vesta.test/fhir/Practitioner/2/_history/4",
    "Patient?organization.name=acme",
    "Patient?general-practitioner.identifier=x",
    "Patient?general-practitioner:Organization.name:exact=Acme",
    "Patient?general-practitioner._id=5",
    "Observation?date=ge2020-01-01&date=lt2020-02",
    "Observation?date=ap2026-11-12",
    "Observation?_lastUpdated=gt2020",
    "Observation?value-quantity=5.4|http://unitsofmeasure.org|mg,ap3||g",
    "Observation?code-value-quantity=http://loinc.org|1-1$gt5",
    "Patient?gender=http://hl7.org/fhir/administrative-gender|male,http://x|,|male",
    "Observation?combo-code=http://loinc.org|1-1,|1-1",
    "ActivityDefinition?topic=a|b",
    "RiskAssessment?probability=gt0.8,0.1",
    "Observation?patient=X&category=laboratory&_sort=-date&_count=20",
    "Observation?_sort=code,-_lastUpdated,_id,subject,value-quantity",
    "Observation?_sort=subject:Patient.birthdate,-subject.name,Patient:subject.family,encounter.subject._id",
    "Observation?_include=Observation:subject&_include=Observation:performer:Practitioner",
    "Observation?_include=Observation:device:",
    "Account?_include=*",
    "Account?_include=Account:*",
    "Patient?_revinclude=Provenance:target&_revinclude=Observation:subject",
    "?_include=*",
    "Group?_revinclude=*",
    "Patient?_include:iterate=Patient:link&_revinclude:iterate=Observation:subject:Patient",
    "Patient?_has:Observation:patient:code=1-1",
    "Patient?_has:Observation:patient:code:not=1-1,2-2",
    "Patient?_has:Group:member:_has:List:item:status=current",
    "Patient?_has:Observation:patient:performer:Practitioner.name=x",
    "Observation?subject:Patient._has:Group:member:_id=5",
    "Observation?subject:Patient.general-practitioner:Organization.partof.name:exact=x",
    "Encounter?patient.organization.name=x",
    "Patient?general-practitioner:identifier=x|y",
    "Patient?language:text=en,de",
    "Patient?identifier:of-type=http://x|MR|5",
    "Patient?gender:in=http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1",
    "Patient?gender:not-in=http://hl7.org/fhir/ValueSet/administrative-gender",
    "ValueSet?url:below=http://acme.org/fhir",
    "ValueSet?url:above=http://acme.org/fhir/ValueSet/1",
    "Patient?_list=x,List/y",
    "Condition?patient=1&_list=$current-problems",
    "AllergyIntolerance?_list=$current-drug-allergies,x",
    "MedicationStatement?_list=$current-medications",
    "?_list=$current-medications",
    "Observation?value-quantity=gt5.4|http://unitsofmeasure.org|mg&code-value-quantity=1-1$5|http://unitsofmeasure.org|mg",
    "Patient?_filter=name eq x",
    "Patient?_filter=not (name co \"p t\" or birthdate ge 2000) and organization:Organization.name sw a",
    "Observation?_filter=subject[_id eq 5 and active eq true].name ew \"a\\\"b\" or status ne final",
    "Observation?subject.general-practitioner.name=x",
    "Observation?subject:Patient.organization.name:missing=true",
    "?_has:Provenance:target:agent=Practitioner/1",
    "Patient?_count=0",
    "Patient?_count=5000",
    "Patient?_count=99999999999999999999999",
    "Patient?_total=none",
    "Patient?_total=estimate",
    "Patient?_total=accurate",
    "Patient?_summary=count",
    "Patient?_summary=true",
    "Patient?_elements=name,gender&_elements=active",
    "Patient?_format=json&_pretty=true&_contained=false&_type=Patient",
    "Patient?_cursor=abc&name=x",
    "Patient/1/Observation?status=final",
    "Patient/1/Patient?",
    "Encounter/1/Encounter?",
    "?_tag=http://x|y&_lastUpdated=2020",
    "?_type=Patient&name=x",
    "?_type=Patient,Observation&_lastUpdated=gt2020",
    "RelatedPerson/1/?_id=2",
    "Patient?_containedType=contained",
    "Medication?code=http://x|1&_contained=true",
    "Medication?code:not=1&_id=m1,m2&_lastUpdated=gt2026&_contained=both&_containedType=contained",
    "Patient?birthdate:missing=true&_contained=true&_containedType=container&_sort=-_lastUpdated&_total=accurate",
];

const REFUSED: &[&str] = &[
    "Patient?nmae=x",
    "Patient?colour=blue",
    "Patient?Name=x",
    "Patient?name:exakt=x",
    "Patient?name:below=x",
    "Patient?name:=x",
    "Patient?gender:text=male",
    "Patient?gender:in=http://x",
    "Patient?gender:exact=male",
    "Patient?gender:of-type=a|b|c",
    "Patient?identifier:of-type=a|b",
    "Patient?identifier:of-type=a||c",
    "Patient?gender:in=ValueSet/1",
    "Patient?language:below=en",
    "Patient?language:below=http://nobody.knows|en",
    "Patient?name:text=x",
    "Patient?general-practitioner:below=1",
    "ValueSet?url:below=urn:oid:1.2",
    "ValueSet?url:above=acme",
    "Patient?_list=$current-problems",
    "Condition?_list=$current-problem",
    "Patient?_list=a b",
    "Patient?_list:not=a",
    "Patient?_graph=x",
    "Patient?_maxresults=5",
    "Patient?_filter=name",
    "Patient?_filter=name eq",
    "Patient?_filter=name is x",
    "Patient?_filter=nmae eq x",
    "Patient?_filter=name gt x",
    "Patient?_filter=gender co x",
    "Patient?_filter=birthdate eq never",
    "Patient?_filter=birthdate pr maybe",
    "Patient?_filter=(name eq x",
    "Patient?_filter=name eq x)",
    "Patient?_filter=name eq \"x",
    "Patient?_filter=not name eq x",
    "Patient?_filter=name eq x and",
    "Patient?_filter=name eq x gender eq male",
    "Patient?_filter=organization.nmae eq x",
    "Patient?_filter=organization:Patient.name eq x",
    "Patient?_filter=organization[name eq x] eq y",
    "Patient?_filter=name.family eq x",
    "Patient?_filter=((((((((((((((((((name eq x))))))))))))))))))",
    "Patient?_filter:not=name eq x",
    "Observation?_filter=code-value-quantity eq 1$2",
    "Observation?_filter=value-quantity po 5",
    "Observation?_filter=_id gt 5",
    "Patient?birthdate:exact=2000",
    "Patient?gender:missing=yes",
    "Patient?general-practitioner:Patient=1",
    "Patient?general-practitioner:Nobody=1",
    "Patient?general-practitioner:Organization=Practitioner/1",
    "Patient?general-practitioner=not an id",
    "Patient?general-practitioner=Nobody/1",
    "Patient?birthdate=yesterday",
    "Patient?birthdate=20000101",
    "Patient?birthdate=2000-13",
    "Patient?birthdate=xx2000-01-01",
    "Patient?birthdate=eq",
    "Patient?name=",
    "Patient?name= ",
    "Patient?name:contains=\u{301}",
    "Patient?name=a,,b",
    "Patient?gender=a|b|c",
    "Patient?gender=|",
    "Patient?_id=a b",
    "Patient?_id:exact=a",
    "Patient?_lastUpdated=today",
    "Patient?_text:exact=x",
    "Patient?_text=(x",
    "Patient?_content=a AND,b",
    "Patient?_content=a,b OR d*e",
    "Bundle?_text=x",
    "Patient?_query=x",
    "Patient?age=5",
    "Location?near=1|2",
    "Patient?_has:Observation:patient",
    "Patient?_has=x",
    "Patient?_has:Observation:patient:kode=1-1",
    "Patient?_has:Observation:code:code=1-1",
    "Patient?_has:Observation:device:code=1-1",
    "Patient?_has:Nobody:patient:code=1-1",
    "Patient?_has:Observation:patient:date=never",
    "Patient?_has:Observation:patient:_has:AuditEvent:entity:agent.nmae=x",
    "Observation?subject:Patient.general-practitioner:Organization.partof.nmae=x",
    "Observation?subject:Patient.general-practitioner:Organization.partof.name:fuzzy=x",
    "Observation?subject.organization.birthdate=x",
    "Organization?partof.partof.partof.partof.partof.partof.partof.partof.partof.partof.partof.partof.partof.partof.partof.partof.partof.name=x",
    "Observation?subject.nmae=x",
    "Observation?patient.nmae=x",
    "Observation?subject:Nobody.name=x",
    "Observation?subject:Practitioner.name=x",
    "Observation?code.name=x",
    "Observation?patient.birthdate=never",
    "Bundle?composition.title=x",
    "Observation?code-value-quantity=1-1",
    "Observation?code-value-quantity=1-1$5$6",
    "Observation?code-value-quantity=1-1$five",
    "Observation?value-quantity=5|mg",
    "Observation?value-quantity=five",
    "Observation?value-quantity=>5",
    "RiskAssessment?probability=.5",
    "Observation?_sort=colour",
    "Observation?_sort=code-value-quantity",
    "Observation?_sort=subject.colour",
    "Observation?_sort=code.name",
    "Observation?_sort=subject:Device.birthdate",
    "Observation?_sort=subject:Medication.code",
    "Observation?_sort=subject._score",
    "Observation?_sort=status:missing",
    "Provenance?_sort=target._lastUpdated",
    "Encounter?_sort=part-of.part-of.part-of.part-of.date",
    "Observation?_sort=_score",
    "Observation?_sort=date,,code",
    "Observation?_sort:desc=date",
    "Observation?_count=-1",
    "Observation?_count=ten",
    "Observation?_count=1&_count=2",
    "Observation?_total=exact",
    "Observation?_summary=yes",
    "Observation?_elements=code,value[x]",
    "Observation?_include=Observation",
    "Observation?_include=Observation:subjekt",
    "Observation?_include=Observation:code",
    "Observation?_include=Observation:subject:Practitioner",
    "Observation?_include=Nobody:subject",
    "Observation?_include:recurse=Observation:subject",
    "Observation?_include:often=Observation:subject",
    "Observation?_contained=yes",
    "Observation?_contained=true&_containedType=both",
    "Observation?_contained=true&patient.name=x",
    "Observation?_contained=true&_has:Provenance:target:_id=x",
    "Observation?_contained=true&_text=x",
    "Observation?_contained=true&_list=x",
    "Observation?_contained=true&_sort=date",
    "Observation?_contained=true&_containedType=contained&_total=accurate",
    "Observation?_contained=true&_containedType=contained&_include=*",
    "?_contained=true&_id=x",
    "Observation?_type=Patient",
    "Observation?_format=",
    "Nobody?name=x",
    "?name=x",
    "?_type=Patient,Nobody",
    "?_type=Nobody",
    "?_include=Observation:subject:Patient:x",
    "Nobody/1/Observation?",
    "Patient/a b/Observation?",
    "Patient/1/Medication?",
    "Patient?nmae=x&birthdate=never&gender=male",
    "Patient?xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=x",
];

fn parameter(id: ParameterId) -> String {
    INDEX.parameters()[usize::from(id.0)].name.clone()
}

fn filter(filter_: &Filter) -> String {
    let all = |filters: &[Filter], word: &str| {
        let texts: Vec<String> = filters.iter().map(filter).collect();
        format!("({})", texts.join(word))
    };
    match filter_ {
        Filter::And(filters) => all(filters, " and "),
        Filter::Or(filters) => all(filters, " or "),
        Filter::Not(not) => format!("not {}", filter(not)),
        Filter::Match(id, predicate) => format!("{} {predicate:?}", parameter(*id)),
        Filter::Present(id) => format!("{} present", parameter(*id)),
        Filter::Chain { parameter: id, targets } => {
            let texts: Vec<String> =
                targets.iter().map(|(name, f)| format!("{name} {}", filter(f))).collect();
            format!("{} -> [{}]", parameter(*id), texts.join("; "))
        }
        Filter::Has { resource_type, parameter: id, filter: there } => {
            format!("{resource_type} by {} <- {}", parameter(*id), filter(there))
        }
        Filter::Contained { resource_type, filter: there, .. } => {
            format!("contains {resource_type} {}", filter(there))
        }
        other => format!("{other:?}"),
    }
}

fn include(include: &Include) -> String {
    let by = |ids: &[ParameterId]| ids.iter().map(|id| parameter(*id)).collect::<Vec<_>>().join(", ");
    let from = match include.references.as_slice() {
        [one] => format!("{} by {}", one.source, by(&one.parameters)),
        several => format!("{} types", several.len()),
    };
    let again = if include.iterate { ", again" } else { "" };
    format!("{from} to {}{again}", include.target.as_deref().unwrap_or("any"))
}

fn sorted_by(by: &SortBy) -> String {
    match by {
        SortBy::Parameter(id) => parameter(*id),
        SortBy::Chain { parameter: id, targets } => {
            let each = targets.iter().map(|(name, by)| format!("{name}: {}", sorted_by(by)));
            format!("{} -> [{}]", parameter(*id), each.collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn show(request: &SearchRequest, out: &mut String) {
    let query = &request.query;
    let name = query.resource_type.as_deref().unwrap_or("all types");
    writeln!(out, "  {name}: {}", filter(&query.filter)).unwrap();
    let total = match (query.total, request.estimate) {
        (true, _) => ", counted",
        (false, true) => ", about counted",
        (false, false) => "",
    };
    writeln!(out, "  {} matches{total}", query.limit).unwrap();
    for key in &query.sort {
        writeln!(
            out,
            "  sorted by {}{}",
            sorted_by(&key.by),
            if key.descending { ", descending" } else { "" }
        )
        .unwrap();
    }
    for (word, includes) in [("include", &request.includes), ("revinclude", &request.revincludes)] {
        includes.iter().for_each(|one| writeln!(out, "  {word} {}", include(one)).unwrap());
    }
    if let Some(summary) = request.summary {
        writeln!(out, "  summary {summary:?}").unwrap();
    }
    if !request.elements.is_empty() {
        writeln!(out, "  elements {:?}", request.elements).unwrap();
    }
    if let Some(cursor) = &request.cursor {
        writeln!(out, "  cursor {cursor}").unwrap();
    }
    let honoured: Vec<String> =
        request.honoured.iter().map(|(name, value)| format!("{name}={value}")).collect();
    writeln!(out, "  honoured {}", honoured.join("&")).unwrap();
}

#[test]
fn what_is_understood() {
    let mut out = String::new();
    for text in READ {
        let request = read(text, Handling::Strict).unwrap_or_else(|issues| panic!("{text}: {issues:?}"));
        writeln!(out, "{text}").unwrap();
        show(&request, &mut out);
    }
    expect_file!["requests.txt"].assert_eq(&out);
}

#[test]
fn what_is_refused() {
    let mut out = String::new();
    for text in REFUSED {
        let Err(issues) = read(text, Handling::Strict) else { panic!("{text} was read") };
        writeln!(out, "{text}").unwrap();
        for issue in issues {
            let (severity, code) = (issue.severity.as_str(), issue.code.as_str());
            let place = issue.expression.as_deref().unwrap_or("nowhere");
            writeln!(out, "  {severity} {code} at {place}: {}", issue.details).unwrap();
            assert_eq!(issue.position, None, "{text}");
        }
    }
    expect_file!["refused.txt"].assert_eq(&out);
}

#[test]
fn lenient_handling_leaves_out_what_is_unknown() {
    let text = "Patient?nmae=x&name=peter&gender:fuzzy=male&_has:Observation:patient:kode=x&family=&_count=3";
    let request = read(text, Handling::Lenient).unwrap();
    let honoured: Vec<&str> = request.honoured.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(honoured, ["name", "_count"]);
    let left_out: Vec<String> = request
        .ignored
        .iter()
        .map(|i| {
            format!("{} {} {}", i.severity.as_str(), i.code.as_str(), i.expression.as_deref().unwrap_or(""))
        })
        .collect();
    assert_eq!(
        left_out,
        [
            "warning invalid http.nmae",
            "warning invalid http.gender:fuzzy",
            "warning invalid http._has:Observation:patient:kode",
            "warning required http.family",
        ]
    );
    let only_name = read("Patient?name=peter&_count=3", Handling::Strict).unwrap();
    assert_eq!(request.query.filter, only_name.query.filter);
}

#[test]
fn lenient_handling_still_refuses_bad_values() {
    for text in [
        "Patient?birthdate=never&nmae=x",
        "Patient?_count=ten",
        "Patient?gender:missing=maybe",
        "Patient?_sort=x",
    ] {
        assert!(read(text, Handling::Lenient).is_err(), "{text}");
    }
}
