//! What queries made at random must have had: whatever the server takes. It is asked itself, so what it learns to take
//! must be made as well.

use std::collections::BTreeSet;

use conformance::SearchParameterType;
use search::{Handling, parse};

use super::{INDEX, context};

/// The modifiers of R4 and R5.
const MODIFIERS: [&str; 15] = [
    "missing",
    "exact",
    "contains",
    "not",
    "text",
    "code-text",
    "text-advanced",
    "in",
    "not-in",
    "above",
    "below",
    "of-type",
    "identifier",
    "type",
    "Patient",
];
const PREFIXES: [&str; 9] = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];
const OPERATORS: [&str; 19] = [
    "eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po", "ss", "sb", "in",
    "ni", "re",
];

/// A parameter of each type and a value of it.
const EXAMPLES: [(SearchParameterType, &str, &str, &str); 8] = [
    (SearchParameterType::String, "Patient", "family", "a"),
    (SearchParameterType::Token, "Patient", "identifier", "a"),
    (SearchParameterType::Reference, "Observation", "subject", "a"),
    (SearchParameterType::Uri, "ValueSet", "url", "http://a"),
    (SearchParameterType::Date, "Observation", "date", "2020"),
    (SearchParameterType::Number, "RiskAssessment", "probability", "1"),
    (SearchParameterType::Quantity, "Observation", "value-quantity", "1"),
    (SearchParameterType::Composite, "Observation", "code-value-quantity", "a$1"),
];

/// All that must be marked.
pub fn required() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (kind, resource_type, code, value) in EXAMPLES {
        let name = kind.as_str();
        for modifier in MODIFIERS.into_iter().filter(|m| takes(resource_type, &format!("{code}:{m}"), value))
        {
            all.insert(format!("{name}:{}", if modifier == "Patient" { "[type]" } else { modifier }));
        }
        for operator in OPERATORS {
            if takes(resource_type, "_filter", &format!("{code} {operator} {value}")) {
                all.insert(format!("filter {name} {operator}"));
            }
        }
        let ordered = PREFIXES.into_iter().filter(|p| takes(resource_type, code, &format!("{p}{value}")));
        match kind {
            SearchParameterType::Date | SearchParameterType::Number | SearchParameterType::Quantity => {
                all.extend(ordered.map(|prefix| format!("{name} {prefix}")));
            }
            _ => drop(all.insert(name.to_owned())),
        }
        if takes(resource_type, "_sort", code) {
            all.extend([format!("sort {name}"), format!("sort -{name}")]);
        }
    }
    all.extend(PREFIXES.map(|prefix| format!("_lastUpdated {prefix}")));
    for operator in OPERATORS {
        for (code, value) in [("_id", "a"), ("_lastUpdated", "2020")] {
            if operator != "pr" && takes("Patient", "_filter", &format!("{code} {operator} {value}")) {
                all.insert(format!("filter {code} {operator}"));
            }
        }
    }
    let linked: Vec<String> =
        all.iter().filter(|mark| !mark.starts_with("sort")).map(|mark| format!("linked {mark}")).collect();
    all.extend(linked);
    all.extend(links().into_iter().map(|links| format!("chain {links}")));
    let compartments = INDEX.definitions().compartments.codes();
    all.extend(compartments.iter().map(|name| format!("compartment {name}")));
    let others = "_id;_id:not;_id:missing;_lastUpdated:missing;_list;filter and;filter or;filter not;linked filter path;\
        linked filter [];sort _id;sort -_id;sort _lastUpdated;sort -_lastUpdated;sort keys 1;sort keys 2;sort keys 3;\
        sort chain;sort -chain;sort _score;sort -_score;_text;_content;linked _text;linked _content;\
        total accurate;total estimate;total none;contained true;contained both;all types;several types;one of all types;whole compartment;\
        several values;quantity in base units;composite in base units;several pages;found";
    all.extend(others.split(';').map(str::to_owned));
    all
}

/// Every sequence of one to three links.
fn links() -> Vec<String> {
    let longer = |all: &[String]| -> Vec<String> {
        all.iter().flat_map(|links| ["c", "h"].map(|link| format!("{links}{link}"))).collect()
    };
    let one = longer(&[String::new()]);
    let two = longer(&one);
    let three = longer(&two);
    [one, two, three].concat()
}

/// Whether the server does not refuse the form of a parameter, whatever it says of the value.
fn takes(resource_type: &str, name: &str, value: &str) -> bool {
    let parameters = [(name.to_owned(), value.to_owned())];
    let Err(issues) = parse(&context(Handling::Strict), Some(resource_type), None, &parameters) else {
        return true;
    };
    const REFUSALS: [&str; 5] = [
        "is no modifier here",
        "is not supported. ",
        "which has the operators",
        "cannot be sorted",
        "begins with none of the prefixes",
    ];
    let refused = |text: &str| REFUSALS.iter().any(|refusal| text.contains(refusal));
    !issues.iter().any(|issue| refused(&issue.details))
}
