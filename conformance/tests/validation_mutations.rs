#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a test: an unexpected error should stop it
//! Examples of US Core 6.1.0, each with one rule broken: refused for just that, at the right place. The cases are the lines of
//! `validation/mutations.txt`; another error than the one that is expected fails, too, unless it is at the same place.

use std::collections::BTreeMap;

use conformance::Definitions;
use conformance::terminology::Terminology;
use conformance::validation::{Library, Options, Validator};
use fhirpath::{Issue, Severity};
use serde_json::Value;

struct Case<'t> {
    name: &'t str,
    file: &'t str,
    edits: &'t str,
    code: &'t str,
    expression: &'t str,
    details: &'t str,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let parts: Vec<&str> = line.split(" | ").collect();
            let [name, file, edits, code, expression, details] = parts.as_slice() else { panic!("{line}") };
            Case { name, file, edits, code, expression, details }
        })
        .collect()
}

/// `remove PATH`, `set PATH JSON`, `add PATH JSON`, `copy PATH PATH`, `rename PATH NAME JSON`.
fn edit(json: &mut Value, edit: &str) {
    let mut words = edit.splitn(3, ' ');
    let (kind, path, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
    let put = |json: &mut Value, path: &str, value: Value| {
        let (parent, name) = path.rsplit_once('/').unwrap();
        match json.pointer_mut(parent).unwrap_or_else(|| panic!("{edit}")) {
            Value::Array(list) if name == "-" => list.push(value),
            Value::Array(list) => *list.get_mut(name.parse::<usize>().unwrap()).unwrap() = value,
            Value::Object(fields) => {
                fields.insert(name.to_owned(), value);
            }
            _ => panic!("{edit}"),
        }
    };
    let remove = |json: &mut Value| {
        let (parent, name) = path.rsplit_once('/').unwrap();
        match json.pointer_mut(parent).unwrap_or_else(|| panic!("{edit}")) {
            Value::Array(list) => {
                list.remove(name.parse().unwrap());
            }
            Value::Object(fields) => {
                fields.remove(name);
            }
            _ => panic!("{edit}"),
        }
    };
    match kind {
        "remove" => remove(json),
        "set" | "add" => put(json, path, serde_json::from_str(rest).unwrap()),
        "copy" => {
            let value = json.pointer(path).unwrap().clone();
            put(json, rest, value);
        }
        "rename" => {
            remove(json);
            let (name, value) = rest.split_once(' ').unwrap();
            let parent = path.rsplit_once('/').unwrap().0;
            put(json, &format!("{parent}/{name}"), serde_json::from_str(value).unwrap());
        }
        _ => panic!("{edit}"),
    }
}

/// What is wrong with the outcome, if anything.
fn judge(case: &Case<'_>, issues: &[Issue]) -> Option<String> {
    let errors: Vec<&Issue> = issues.iter().filter(|issue| issue.severity <= Severity::Error).collect();
    let at = |issue: &&&Issue| issue.expression.as_deref() == Some(case.expression);
    let is = |issue: &&Issue| issue.code.as_str() == case.code && issue.details.contains(case.details);
    let is_told = errors.iter().filter(at).any(is);
    let is_alone = errors.iter().all(|issue| issue.expression.as_deref() == Some(case.expression));
    if is_told && is_alone {
        return None;
    }
    let told = |issue: &&Issue| {
        format!(
            "   {} | {} | {}",
            issue.code.as_str(),
            issue.expression.as_deref().unwrap_or("-"),
            issue.details
        )
    };
    Some(format!("{}\n{}", case.name, errors.iter().map(told).collect::<Vec<_>>().join("\n")))
}

#[test]
fn each_broken_rule_is_told_where_it_is_broken() {
    let Some(files) = testdata::archive("mutations", "packages/us_core_610.tgz") else { return };
    let examples: BTreeMap<&str, &[u8]> = files
        .iter()
        .filter_map(|file| {
            let name = file.path.strip_prefix("package/example/")?.strip_suffix(".json")?;
            Some((name, file.bytes.as_slice()))
        })
        .collect();
    let schema = Definitions::embedded().unwrap().schema;
    let validator = Validator::new(schema, Library::embedded(), Terminology::embedded());
    let cases = cases(include_str!("validation/mutations.txt"));
    let mut wrong = Vec::new();
    for case in &cases {
        let bytes = examples.get(case.file).unwrap_or_else(|| panic!("{}", case.file));
        let mut json: Value = serde_json::from_slice(bytes).unwrap();
        for one in case.edits.split(';') {
            edit(&mut json, one);
        }
        let issues = validator.validate_json(&serde_json::to_vec(&json).unwrap(), &[], &Options::default());
        wrong.extend(judge(case, &issues));
    }
    assert!(cases.len() >= 60, "{} cases", cases.len());
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
