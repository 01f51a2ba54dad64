#![allow(missing_docs, clippy::unwrap_used)] // a test: an unexpected error should stop it
//! Every search parameter's expression compiles for its base, and yields over the official examples.

use std::fmt::Write as _;

use conformance::Definitions;
use expect_test::expect_file;
use fhirpath::Expression;

#[test]
fn every_expression_compiles_to_something() {
    let definitions = Definitions::embedded().unwrap();
    let mut text = String::new();
    let mut count = 0;
    for parameter in definitions.search_parameters.all() {
        if parameter.expression_text.is_empty() {
            continue;
        }
        count += 1;
        let (base, code) = (&parameter.base, &parameter.code);
        match Expression::compile(&definitions.schema, base, &parameter.expression_text) {
            Ok(compiled) if compiled.is_empty() => writeln!(text, "{base}?{code}: empty").unwrap(),
            Ok(compiled) => writeln!(text, "{base}?{code}: {}", compiled.result_types().join(" ")).unwrap(),
            Err(error) => writeln!(text, "{base}?{code}: {error}").unwrap(),
        }
    }
    assert!(count > 1300, "{count}");
    expect_file!["fhirpath_search/result_types.txt"].assert_eq(&text);
}
