#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test: an unexpected error should stop it
//! The cases of the reference validator (`validator-cases`), those of R4: whether a resource has errors is answered as the
//! reference answers it, or the difference stands in `validator_cases/differences.txt` with its reason. Cases that need what is
//! not here stand in `validator_cases/left_out.txt`, each with what it needs.

#[path = "validator_cases/xml.rs"]
mod xml;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conformance::Definitions;
use conformance::resources::{Resources, Unavailable};
use conformance::terminology::Terminology;
use conformance::validation::{Library, Options, Validator};
use fhirpath::{Issue, Limits, Schema, Severity, Tree};
use serde_json::Value;

/// Resources that a case brings along.
#[derive(Default)]
struct Supporting {
    trees: Vec<Arc<Tree>>,
}

impl Resources for Supporting {
    fn by_canonical(
        &self,
        resource_type: &str,
        url: &str,
        version: Option<&str>,
    ) -> Result<Option<Arc<Tree>>, Unavailable> {
        let value = |tree: &Arc<Tree>, name: &str| {
            tree.root().get(name).and_then(|it| it.value().map(std::borrow::Cow::into_owned))
        };
        let is = |tree: &&Arc<Tree>| {
            tree.resource_type() == resource_type
                && value(tree, "url").as_deref() == Some(url)
                && version
                    .is_none_or(|version| value(tree, "version").is_some_and(|it| it.starts_with(version)))
        };
        Ok(self.trees.iter().rev().find(is).cloned())
    }

    fn generation(&self) -> u64 {
        0
    }
}

struct Suite {
    cases: Vec<Value>,
    files: BTreeMap<String, Vec<u8>>,
    schema: Arc<Schema>,
    validator: Validator,
}

/// What is run of a case: the resource alone, or by a profile.
struct Run {
    id: String,
    /// Whether the reference tells errors.
    expected: bool,
    found: Vec<Issue>,
    /// The errors that the reference tells.
    told: Vec<String>,
}

fn suite(test: &str) -> Option<Suite> {
    let mut files = BTreeMap::new();
    testdata::each(test, "validator-cases.tar.gz", |file| {
        if let Some((_, name)) = file.path.split_once("validator/") {
            files.insert(name.to_owned(), file.bytes);
        }
    })?;
    let manifest: Value = serde_json::from_slice(files.get("manifest.json").unwrap()).unwrap();
    let is_r4 = |case: &&Value| case["version"].as_str().is_some_and(|version| version.starts_with("4.0"));
    let cases = manifest["test-cases"].as_array().unwrap().iter().filter(is_r4).cloned().collect();
    let schema = Definitions::embedded().unwrap().schema;
    let validator = Validator::new(schema.clone(), Library::embedded(), Terminology::embedded());
    Some(Suite { cases, files, schema, validator })
}

impl Suite {
    /// The JSON of a file, from XML where it is that.
    fn json(&self, name: &str) -> Result<Vec<u8>, String> {
        let bytes = self.files.get(name).ok_or_else(|| format!("{name} is not there"))?;
        let text = String::from_utf8_lossy(bytes);
        if text.trim_start_matches('\u{FEFF}').trim_start().starts_with('<') {
            return xml::to_json(&self.schema, &text).map(String::into_bytes);
        }
        Ok(bytes.clone())
    }

    fn tree(&self, name: &str) -> Option<Tree> {
        Tree::parse_json(&self.schema, self.json(name).ok()?, &Limits::DEFAULT).ok()
    }

    /// The profile and its company.
    fn runs(&self, case: &Value) -> Vec<Run> {
        let name = case["name"].as_str().unwrap();
        let mut support = Supporting::default();
        for list in [&case["supporting"], &case["profiles"]] {
            support.add(self, list);
        }
        let file = case["file"].as_str().unwrap();
        let mut runs = Vec::new();
        runs.extend(self.run(format!("{name}/base"), file, &case["java"], &support, None));
        let profile = &case["profile"];
        if let Some(source) = profile["source"].as_str() {
            support.add(self, &profile["supporting"]);
            let url = match self.tree(source) {
                Some(tree) => {
                    let url =
                        tree.root().get("url").and_then(|it| it.value().map(std::borrow::Cow::into_owned));
                    support.trees.push(Arc::new(tree));
                    url.unwrap_or_else(|| source.to_owned())
                }
                None => source.to_owned(),
            };
            runs.extend(self.run(format!("{name}/profile"), file, &profile["java"], &support, Some(&url)));
        }
        runs
    }

    fn run(
        &self,
        id: String,
        file: &str,
        outcome: &Value,
        support: &Supporting,
        profile: Option<&str>,
    ) -> Option<Run> {
        let told = self.told(outcome)?;
        let support = Supporting { trees: support.trees.clone() };
        let validator = self.validator.with_resources(Arc::new(support));
        let profiles: Vec<&str> = profile.into_iter().collect();
        let options = Options { information: true, ..Options::default() };
        let found = match self.json(file) {
            Ok(json) => validator.validate_json(&json, &profiles, &options),
            Err(why) => vec![Issue::error(fhirpath::IssueType::Structure, why)],
        };
        Some(Run { id, expected: !told.is_empty(), found, told })
    }

    /// The errors of the reference's outcome: of a file, of the manifest itself, or a number of them.
    fn told(&self, outcome: &Value) -> Option<Vec<String>> {
        let file = outcome.as_str().map(|name| {
            let name = format!("outcomes/{name}");
            let bytes = self.files.get(&name).or_else(|| self.files.get(&format!("{name}.json")))?;
            serde_json::from_slice::<Value>(bytes).ok()
        });
        let outcome = match file {
            Some(found) => found?,
            None => outcome.clone(),
        };
        if let Some(count) = outcome["errorCount"].as_u64() {
            return Some((0..count).map(|_| "an error".to_owned()).collect());
        }
        let outcome = if outcome.get("outcome").is_some() { &outcome["outcome"] } else { &outcome };
        if outcome["resourceType"] != "OperationOutcome" {
            return None;
        }
        let issues = outcome["issue"].as_array().map_or(&[][..], Vec::as_slice);
        let is_error = |issue: &&Value| matches!(issue["severity"].as_str(), Some("error" | "fatal"));
        let text = |issue: &Value| {
            let place = issue["expression"][0].as_str().unwrap_or("-");
            format!("{place}: {}", issue["details"]["text"].as_str().unwrap_or("-"))
        };
        Some(issues.iter().filter(is_error).map(text).collect())
    }
}

impl Supporting {
    fn add(&mut self, suite: &Suite, names: &Value) {
        for name in names.as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str) {
            self.trees.extend(suite.tree(name).map(Arc::new));
        }
    }
}

/// `id -- reason` lines.
fn listed(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter(|line| !line.is_empty()).map(|line| line.split_once(" -- ").unwrap()).collect()
}

#[test]
fn errors_are_where_the_reference_has_them() {
    let Some(suite) = suite("validator_cases") else { return };
    let left_out = listed(include_str!("validator_cases/left_out.txt"));
    let differences = listed(include_str!("validator_cases/differences.txt"));
    // Shows all that is told of one run.
    let wanted = std::env::var("VALIDATOR_CASE").ok();
    let mut differing = BTreeSet::new();
    let (mut count, mut unlisted) = (0, 0);
    // Packages are named as those of the reference's registry; none of them is at hand.
    let needs_package = |case: &Value| case["packages"].is_array() || case["profile"]["packages"].is_array();
    for case in suite.cases.iter().filter(|case| !needs_package(case)) {
        for run in suite.runs(case) {
            if left_out.contains_key(run.id.as_str()) || left_out.contains_key(case["name"].as_str().unwrap())
            {
                continue;
            }
            count += 1;
            if wanted.as_deref() == Some(run.id.as_str()) {
                run.found.iter().for_each(|issue| println!("{issue:?}"));
            }
            let errors: Vec<&Issue> = run.found.iter().filter(|it| it.severity <= Severity::Error).collect();
            if errors.is_empty() != run.expected {
                continue;
            }
            if !differences.contains_key(run.id.as_str()) {
                unlisted += 1;
                println!("{} [{}] {}", run.id, case["module"].as_str().unwrap_or("-"), case["file"]);
                run.told.iter().take(4).for_each(|told| println!("   reference: {told}"));
                for issue in errors.iter().take(4) {
                    println!("   here: {}: {}", issue.expression.as_deref().unwrap_or("-"), issue.details);
                }
            }
            differing.insert(run.id);
        }
    }
    let gone: Vec<&&str> = differences.keys().filter(|id| !differing.contains(**id)).collect();
    println!("{count} runs, {} differ", differing.len());
    assert!(gone.is_empty(), "listed, and no difference: {gone:?}");
    assert!(unlisted == 0, "{unlisted} differences are not listed");
    assert!(differing.len() * 20 <= count, "more than 5 % differ");
}
