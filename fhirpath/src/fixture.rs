//! A small schema for the tests of this crate, cut out of R4 by hand.

use std::sync::Arc;

use crate::schema::{ElementDefinition, Schema, TypeDefinition, TypeKind, TypeReference};

/// A line per type (`kind name : base`), below it one per element: name (`[x]` for a choice), cardinality,
/// types, and `S` (summary) or `M` (modifier).
const TYPES: &str = include_str!("fixture.txt");

pub(crate) fn schema() -> Arc<Schema> {
    Arc::new(Schema::build(&definitions()).expect("the fixture is whole"))
}

pub(crate) fn definitions() -> Vec<TypeDefinition> {
    let mut types: Vec<TypeDefinition> = Vec::new();
    for line in TYPES.lines().filter(|line| !line.trim().is_empty()) {
        if let Some(element) = line.strip_prefix("  ") {
            let owner = types.last_mut().expect("a type comes first");
            owner.elements.push(self::element(element));
        } else {
            types.push(type_of(line));
        }
    }
    types
}

fn type_of(line: &str) -> TypeDefinition {
    let words: Vec<&str> = line.split_whitespace().collect();
    let kind = match words[0] {
        "primitive" => TypeKind::PrimitiveType,
        "complex" => TypeKind::ComplexType,
        "resource" => TypeKind::Resource,
        other => panic!("{other}"),
    };
    TypeDefinition {
        name: words[1].to_owned(),
        kind,
        base: words.get(3).map(|&base| base.to_owned()),
        is_abstract: matches!(words[1], "Element" | "BackboneElement" | "Resource" | "DomainResource"),
        elements: Vec::new(),
    }
}

fn element(line: &str) -> ElementDefinition {
    let mut words = line.split_whitespace();
    let name = words.next().expect("a name");
    let (min, max) = words.next().and_then(|range| range.split_once("..")).expect("a cardinality");
    let types = words.next().expect("types").split('|');
    let flags = words.next().unwrap_or_default();
    ElementDefinition {
        name: name.trim_end_matches("[x]").to_owned(),
        types: types.map(|code| TypeReference { code: code.to_owned(), targets: Vec::new() }).collect(),
        min: min.parse().expect("a number"),
        max: max.parse().ok(),
        is_choice: name.ends_with("[x]"),
        is_summary: flags.contains('S'),
        is_modifier: flags.contains('M'),
    }
}
