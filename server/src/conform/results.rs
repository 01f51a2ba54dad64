//! What was found, for people (Markdown) and for programs (JSON).

use std::fmt::Write;

use procedure::{KitTest, Outcome, Report, table};
use serde_json::{Value, json};

use super::inputs::Known;

/// The report: what is not as it should be, then all tests, by the kit's numbers where its list is at hand.
pub(super) fn text(known: &Known, report: &Report) -> String {
    let mut out = format!("# What was found of {}\n\n", known.inputs.base);
    let count = |name: &str| report.seen.iter().filter(|seen| seen.outcome.name() == name).count();
    let _ = writeln!(
        out,
        "{} passed, {} failed, {} found no records to test with, {} do not apply.\n",
        count("passed"),
        count("failed"),
        count("lacking"),
        count("omitted")
    );
    for seen in &report.seen {
        if let Outcome::Failed(why) | Outcome::Lacking(why) = &seen.outcome {
            let _ = writeln!(out, "- {} {}: **{}**: {why}", seen.group, seen.test, seen.outcome.name());
        }
    }
    out.push('\n');
    if known.tests.is_empty() {
        for seen in &report.seen {
            let _ = writeln!(out, "- {} {}: {}", seen.group, seen.test, seen.outcome.name());
        }
    } else {
        out.push_str(&table(&known.tests, &[("found", report)], &known.attested));
    }
    out
}

/// The same for programs; each with the numbers that the kit has for it.
pub(super) fn json(known: &Known, report: &Report) -> Value {
    let mut results = report.json();
    for one in results.as_array_mut().into_iter().flatten() {
        let is = |test: &&KitTest| {
            let own = |name: &str| one.get(name).and_then(Value::as_str);
            own("group") == Some(&test.group)
                && own("test") == Some(&test.test)
                && own("option").is_none_or(|option| test.option_set.starts_with(option))
        };
        let mut numbers: Vec<&str> =
            known.tests.iter().filter(is).map(|test| test.short_id.as_str()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let numbers = json!(numbers);
        if let Value::Object(members) = one {
            members.insert("numbers".to_owned(), numbers);
        }
    }
    json!({"base": known.inputs.base, "results": results})
}
