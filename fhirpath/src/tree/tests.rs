//! The tree's own tests: faults, edits, parts and round trips over the small schema.

mod edits;
mod faults;
mod robustness;
mod round_trip;
mod xml;

use crate::fixture::schema;
use crate::issue::Issue;
use crate::tree::{Limits, Tree};

fn parse(text: &str) -> Result<Tree, Vec<Issue>> {
    Tree::parse_json(&schema(), text.as_bytes().to_vec(), &Limits::DEFAULT)
}

fn valid(text: &str) -> Tree {
    parse(text).unwrap_or_else(|issues| panic!("{text}: {issues:#?}"))
}

fn json(tree: &Tree) -> String {
    let mut out = Vec::new();
    tree.write_json(&mut out);
    String::from_utf8(out).expect("UTF-8")
}
