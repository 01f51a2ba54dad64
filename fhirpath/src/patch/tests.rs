//! Patches over the small schema: what each operation does, what it refuses and where, and hostile ones.

mod fhirpath;
mod json;

use crate::fixture::schema;
use crate::issue::Issue;
use crate::patch::Patch;
use crate::tree::{Limits, Tree};

fn tree(text: &str) -> Tree {
    Tree::parse_json(&schema(), text.as_bytes().to_vec(), &Limits::DEFAULT)
        .unwrap_or_else(|issues| panic!("{text}: {issues:#?}"))
}

fn written(tree: &Tree) -> String {
    let mut out = Vec::new();
    tree.write_json(&mut out);
    String::from_utf8(out).expect("UTF-8")
}

/// What becomes of a resource: its JSON, or a line for each issue (`code expression: details`).
fn outcome(patch: Result<Patch, Vec<Issue>>, before: &str) -> String {
    match patch.and_then(|patch| patch.apply(&tree(before), &Limits::DEFAULT)) {
        Ok(after) => written(&after),
        Err(issues) => issues.iter().map(shown).collect::<Vec<_>>().join("\n"),
    }
}

fn shown(issue: &Issue) -> String {
    let place = issue.expression.as_deref().unwrap_or("-");
    format!("{} {place}: {}", issue.code.as_str(), issue.details)
}
