//! Query text of every kind, made at random but the same in every run: none of it ends the process, and every refusal says
//! where and why.

mod naive;

use std::cell::Cell;

use naive::{INDEX, context};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use search::{Handling, parse};

const ROUNDS: u32 = 6_000;

/// Pieces that names and values are put together from, so that much of the text is nearly right.
const PIECES: [&str; 72] = [
    "name",
    "subject",
    "patient",
    "code",
    "date",
    "value-quantity",
    "code-value-quantity",
    "_id",
    "_lastUpdated",
    "_tag",
    "_sort",
    "_count",
    "_include",
    "_revinclude",
    "_summary",
    "_total",
    "_elements",
    "_has",
    "_filter",
    "_type",
    "_cursor",
    "birthdate",
    "identifier",
    "probability",
    "general-practitioner",
    ":",
    ".",
    ",",
    "|",
    "$",
    "\\",
    "-",
    "=",
    "&",
    "*",
    "exact",
    "contains",
    "missing",
    "not",
    "in",
    "iterate",
    "Patient",
    "Observation",
    "Resource",
    "eq",
    "ne",
    "gt",
    "ge",
    "ap",
    "sa",
    "2013",
    "2013-01-14",
    "T10:00",
    "Z",
    "+02:00",
    " 02:00",
    "9999",
    "0000",
    "1e400",
    "1e300",
    "-5.4",
    "5.4e-3",
    "0.00",
    "true",
    "false",
    "http://loinc.org",
    "urn:uuid:",
    "Patient/1",
    "/_history/",
    "é",
    "\u{0}",
    "",
];

const TYPES: [Option<&str>; 6] =
    [None, Some("Patient"), Some("Observation"), Some("RiskAssessment"), Some("Bundle"), Some("Nonsense")];

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => prop::sample::select(PIECES.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// A parameter's name: mostly one that is there.
fn name() -> impl Strategy<Value = String> {
    let known: Vec<String> =
        INDEX.definitions().search_parameters.all().iter().map(|p| p.code.clone()).collect();
    let known = prop::sample::select(known);
    prop_oneof![1 => text(), 3 => known.clone(), 2 => (known, text()).prop_map(|(a, b)| format!("{a}:{b}"))]
}

#[test]
fn any_text_is_read_or_refused() {
    let config = Config { cases: ROUNDS, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let types = prop::sample::select(TYPES.to_vec());
    let parameters = prop::collection::vec((name(), text()), 0..4);
    let (read, refused) = (Cell::new(0), Cell::new(0));
    let result = runner.run(&(types, parameters, any::<bool>()), |(resource_type, parameters, lenient)| {
        let handling = if lenient { Handling::Lenient } else { Handling::Strict };
        match parse(&context(handling), resource_type, None, &parameters) {
            Ok(request) => {
                read.set(read.get() + 1);
                prop_assert!(lenient || request.ignored.is_empty());
                prop_assert!(request.query.limit <= 1_000);
            }
            Err(issues) => {
                refused.set(refused.get() + 1);
                prop_assert!(!issues.is_empty());
                for issue in issues {
                    prop_assert!(issue.details.ends_with(['.', '?']), "{}", issue.details);
                    prop_assert!(issue.details.len() < 2_000, "{}", issue.details);
                    prop_assert!(issue.expression.is_some_and(|place| place.starts_with("http")));
                }
            }
        }
        Ok(())
    });
    result.unwrap();
    // Both happen often enough to mean something.
    assert!(read.get() > ROUNDS / 50 && refused.get() > ROUNDS / 50, "{read:?} read, {refused:?} refused");
}

#[test]
fn much_of_everything_is_too_costly() {
    let check = |resource_type: &str, name: &str, value: String, code: &str| {
        let issues =
            parse(&context(Handling::Lenient), Some(resource_type), None, &[(name.to_owned(), value)]);
        let codes: Vec<&str> = issues.unwrap_err().iter().map(|issue| issue.code.as_str()).collect();
        assert_eq!(codes, [code], "{name}");
    };
    let ids = |count: usize| vec!["a"; count].join(",");
    check("Observation", "code", ids(search::MAX_VALUES + 1), "too-costly");
    check("Observation", "code", "x".repeat(search::MAX_ALTERNATIVE_BYTES + 1), "too-long");
    check("Observation", "code", "x,".repeat(search::MAX_VALUE_BYTES), "too-long");
    check("Observation", "focus", ids(1_000), "too-costly");
    check("Observation", "focus.subject", ids(1_000), "too-costly");
    check("Observation", "_sort", ["date"; 9].join(","), "too-costly");
    let many = vec![("code".to_owned(), "x".to_owned()); search::MAX_PARAMETERS + 1];
    let issues = parse(&context(Handling::Lenient), Some("Observation"), None, &many).unwrap_err();
    assert_eq!(issues.len(), 1);
    assert_eq!(issues[0].code.as_str(), "too-costly");
    assert_eq!(issues[0].details, "A search may have 100 parameters; this one has 101.");
}
