#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test
//! Queries that would cost too much end early and say which bound they exceed.

mod examples;

use std::time::{Duration, Instant};

use examples::Examples;
use fhirpath::IssueType;
use graphql::{Level, Request, limits};

async fn check(examples: &Examples, level: &Level, query: String, code: IssueType, says: &str) {
    let start = Instant::now();
    let response = examples.ask(level, &Request::of(query)).await;
    let issue = &response.errors.first().unwrap_or_else(|| panic!("{says}: is answered")).issue;
    assert_eq!((issue.code, issue.details.contains(says)), (code, true), "{}", issue.details);
    assert!(start.elapsed() < Duration::from_secs(60), "{says}: {:?}", start.elapsed());
}

#[tokio::test]
async fn bounds() {
    let Some(examples) = Examples::open("bounds", &["Patient/example"]) else { return };
    let patient = examples.instance("Patient/example");
    let (costly, invalid) = (IssueType::TooCostly, IssueType::Invalid);
    let system = Level::System;
    let long = "#".repeat(limits::MAX_QUERY + 1);
    check(&examples, &system, long, IssueType::TooLong, "bytes; at most").await;
    let deep = "{a".repeat(50_000);
    check(&examples, &system, deep, costly, "nests deeper").await;
    let deep_value = format!("{{ PatientList(name: {}) {{ id }} }}", "[".repeat(50_000));
    check(&examples, &system, deep_value, costly, "nests deeper").await;
    let many = format!("{{ {} }}", "id ".repeat(limits::MAX_TOKENS + 1));
    check(&examples, &patient, many, costly, "tokens").await;
    let aliases: String = (0..limits::MAX_FIELDS + 1).map(|n| format!("a{n}: id ")).collect();
    check(&examples, &patient, format!("{{ {aliases} }}"), costly, "fields").await;
    // Each fragment spreads the next one ten times: 10^12 fields.
    let mut bomb = "{ ...F0 }".to_owned();
    for n in 0..12 {
        bomb += &format!(" fragment F{n} on Patient {{ {} }}", format!("...F{} ", n + 1).repeat(10));
    }
    bomb += " fragment F12 on Patient { id }";
    check(&examples, &patient, bomb, costly, "fields").await;
    let cycle = "{ ...A } fragment A on Patient { ...B } fragment B on Patient { ...A }".to_owned();
    check(&examples, &patient, cycle, invalid, "part of itself").await;
    let mut chain = "{ ...F0 }".to_owned();
    for n in 0..100 {
        chain += &format!(" fragment F{n} on Patient {{ ...F{} }}", n + 1);
    }
    chain += " fragment F100 on Patient { id }";
    check(&examples, &patient, chain, costly, "nest deeper").await;
    // A chain of fragments that go down one level each.
    let mut down = "{ link { other { ...F0 } } }".to_owned();
    for n in 0..50 {
        down += &format!(
            " fragment F{n} on Reference {{ resource {{ ...on Patient {{ link {{ other {{ ...F{} }} }} }} }} }}",
            n + 1
        );
    }
    down += " fragment F50 on Reference { reference }";
    check(&examples, &patient, down, costly, "nest").await;
    let any: String = (0..4_000).map(|n| format!("a{n}: id ")).collect();
    let any = format!("{{ contained {{ {any} }} }}");
    check(&examples, &patient, any, costly, "any type of resource").await;
    let reads: String = (0..2_000).map(|n| format!("a{n}: Patient(id: b{n}) {{ id }} ")).collect();
    check(&examples, &system, format!("{{ {reads} }}"), IssueType::NotFound, "not there").await;
    let searches: String =
        (0..=limits::MAX_SEARCHES).map(|n| format!("a{n}: PatientList(name: b{n}) {{ id }} ")).collect();
    check(&examples, &system, format!("{{ {searches} }}"), costly, "searches").await;
    let changes: String =
        (0..=limits::MAX_MUTATIONS).map(|n| format!("a{n}: PatientDelete(id: b{n}) ")).collect();
    check(&examples, &system, format!("mutation {{ {changes} }}"), costly, "changes").await;
    // Each costs little; they count together.
    let steps = "%resource.descendants().select(%resource.descendants()).count() > 0";
    let steps: String = (0..1_000).map(|n| format!("a{n}: name(fhirpath: \"{steps}\") {{ use }} ")).collect();
    check(&examples, &patient, format!("{{ {steps} }}"), costly, "steps").await;
}

/// Nothing that is cut short or changed brings it down.
#[tokio::test]
async fn broken_queries() {
    let Some(examples) = Examples::open("broken_queries", &["Patient/example"]) else { return };
    let patient = examples.instance("Patient/example");
    let query = "query Q($a: [String!]! = [\"x\"]) { n: name(fhirpath: \"$this\", _count: 1) @first { ...F } \
                 ConditionList(_reference: patient, code: $a) @skip(if: true) { id } } \
                 fragment F on HumanName { given @include(if: true) _given { extension { url } } }";
    for end in 0..query.len() {
        let cut = &query[..end];
        let response = examples.ask(&patient, &Request::of(cut)).await;
        assert!(response.data.is_none() != response.errors.is_empty(), "{cut}");
        for put in ["{", "}", "(", "\"", "...", "@", "$", "\u{0}", "é"] {
            let changed = format!("{cut}{put}{}", &query[end..]);
            let response = examples.ask(&patient, &Request::of(changed.as_str())).await;
            assert!(response.data.is_some() == response.errors.is_empty(), "{changed}");
        }
    }
}
