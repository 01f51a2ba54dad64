#![allow(missing_docs, clippy::unwrap_used)] // a benchmark
//! What validation asks of terminology for each coded element. `cargo bench -p conformance --bench terminology`.

use std::fmt::Write as _;

use conformance::terminology::import::{SnomedFiles, snomed};
use conformance::terminology::{ExpandRequest, Terminology, ValueSetSource};
use divan::{Bencher, black_box};
use fhirpath::expression::Coding;

fn main() {
    divan::main();
}

/// A binding, the codings of an element, and whether they are right.
struct Question {
    name: &'static str,
    value_set: &'static str,
    coding: Coding<'static>,
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

fn question(
    name: &'static str,
    value_set: &'static str,
    system: Option<&'static str>,
    code: &'static str,
) -> Question {
    let coding = Coding { system: system.map(Into::into), code: code.into(), ..Coding::default() };
    Question { name, value_set, coding }
}

const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const RACE: &str = "urn:oid:2.16.840.1.113883.6.238";

fn questions() -> Vec<Question> {
    vec![
        question("code", "http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1", None, "female"),
        question("coding", "http://hl7.org/fhir/ValueSet/observation-category", Some(CATEGORY), "laboratory"),
        question("not in", "http://hl7.org/fhir/ValueSet/observation-category", Some(CATEGORY), "nothing"),
        question(
            "listed, system not here",
            "http://hl7.org/fhir/us/core/ValueSet/us-core-clinical-note-type",
            Some("http://loinc.org"),
            "28570-0",
        ),
        question("imports", "http://hl7.org/fhir/us/core/ValueSet/omb-race-category", Some(RACE), "2106-3"),
        question("is-a", "http://hl7.org/fhir/us/core/ValueSet/detailed-race", Some(RACE), "1006-6"),
        question("language", "http://hl7.org/fhir/ValueSet/all-languages", None, "en-US"),
        question("unit", "http://hl7.org/fhir/ValueSet/ucum-units", None, "mg/dL"),
        question(
            "not checked",
            "http://hl7.org/fhir/us/core/ValueSet/us-core-procedure-code",
            Some("http://snomed.info/sct"),
            "1",
        ),
        question("unknown value set", "http://nowhere/ValueSet/x", Some("http://nowhere"), "1"),
    ]
}

#[divan::bench(args = questions())]
fn validate_code(bencher: Bencher, question: &Question) {
    let terminology = Terminology::embedded();
    let codings = std::slice::from_ref(&question.coding);
    // What is read once is not what is measured.
    black_box(terminology.validate_code(question.value_set, codings));
    bencher.bench(|| terminology.validate_code(black_box(question.value_set), black_box(codings)));
}

#[divan::bench]
fn validate_in_system(bencher: Bencher) {
    let terminology = Terminology::embedded();
    let coding = Coding { system: Some(CATEGORY.into()), code: "laboratory".into(), ..Coding::default() };
    bencher.bench(|| terminology.validate_in_system(black_box(&coding)));
}

/// The first question of a process: the index of all definitions, and one of them read.
#[divan::bench]
fn first_question() -> Terminology {
    let terminology = Terminology::embedded();
    let coding = Coding { code: "female".into(), ..Coding::default() };
    black_box(terminology.validate_code("http://hl7.org/fhir/ValueSet/administrative-gender", &[coding]));
    terminology
}

#[divan::bench(args = ["http://hl7.org/fhir/ValueSet/administrative-gender", "http://terminology.hl7.org/ValueSet/v3-ActCode"])]
fn expand(bencher: Bencher, url: &str) {
    let terminology = Terminology::embedded();
    let request = ExpandRequest::new(ValueSetSource::Canonical(url.to_owned()));
    bencher.bench(|| terminology.expand(&request).unwrap());
}

/// The concepts of a release in SNOMED CT's format, made up: each has three descriptions and three relationships.
const CONCEPTS: usize = 50_000;

fn release() -> [String; 3] {
    let mut concepts = "id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId\n".to_owned();
    let mut descriptions =
        "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId\n"
            .to_owned();
    let mut relationships = concat!(
        "id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId\t",
        "characteristicTypeId\tmodifierId\n"
    )
    .to_owned();
    let id = |number: usize| 100_000_000 + number * 10;
    for number in 0..CONCEPTS {
        let concept = id(number);
        let _ = writeln!(concepts, "{concept}\t20240301\t1\t900000000000207008\t900000000000074008");
        for (at, kind) in
            ["900000000000003001", "900000000000013009", "900000000000013009"].iter().enumerate()
        {
            let term = format!("Made up concept number {number}, its name {at} (finding)");
            let _ = writeln!(descriptions, "{concept}{at}\t20240301\t1\t9\t{concept}\ten\t{kind}\t{term}\t9");
        }
        for (at, (kind, to)) in
            [("116680003", number / 8), ("116680003", number / 9), ("363698007", number / 2)]
                .iter()
                .enumerate()
        {
            let to = id(*to);
            let _ = writeln!(
                relationships,
                "{concept}{at}\t20240301\t1\t9\t{concept}\t{to}\t0\t{kind}\t900000000000011006\t9"
            );
        }
    }
    [concepts, descriptions, relationships]
}

/// What a user waits for once for each release of SNOMED CT, which has ten times as many concepts.
#[divan::bench(sample_count = 3)]
fn import_50_000_concepts(bencher: Bencher) {
    let [concepts, descriptions, relationships] = release();
    bencher.bench(|| {
        let files = SnomedFiles {
            concepts: concepts.as_bytes(),
            descriptions: descriptions.as_bytes(),
            relationships: relationships.as_bytes(),
            languages: None,
            refsets: None,
        };
        let (mut pieces, mut bytes) = (0, 0);
        let put = |_, piece: Vec<u8>| -> Result<(), serde_json::Error> {
            pieces += 1;
            bytes += piece.len();
            Ok(())
        };
        snomed(files, "1").unwrap().write(put).unwrap();
        (pieces, bytes)
    });
}
