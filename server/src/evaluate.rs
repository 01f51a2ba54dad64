//! `vesta fhirpath`: evaluates a FHIRPath expression over a resource of a file, so that a user sees what it yields and of
//! which types. Terminology is that of the definitions; other resources are not looked for.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use conformance::terminology::Terminology;
use conformance::{Definitions, DefinitionsError};
use fhirpath::expression::{DateTime, Dialect, Environment, Expression, Item, Trace};
use fhirpath::tree::write_string;
use fhirpath::{Issue, Limits, Tree};
use jiff::Timestamp;

use crate::config::Config;

/// The expression is not evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not a resource.
    #[error("{} is not a resource:{}", .path.display(), lines(.issues))]
    Resource {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        issues: Vec<Issue>,
    },
    /// The expression cannot be compiled, or not be evaluated.
    #[error("{0}")]
    Expression(String),
    /// The definitions cannot be had.
    #[error("cannot read the definitions: {0}")]
    Definitions(#[from] DefinitionsError),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
}

/// A line for each issue, with its place.
pub(crate) fn lines(issues: &[Issue]) -> String {
    let line = |issue: &Issue| {
        let position = issue.position.map(|(line, column)| format!("line {line}, column {column}: "));
        let place = issue.expression.as_ref().map(|place| format!(" ({place})"));
        format!("\n  {}{}{}", position.unwrap_or_default(), issue.details, place.unwrap_or_default())
    };
    issues.iter().map(line).collect()
}

/// Evaluates `text` over the resource of a file, `-` being standard input, and writes what it yields: a line for each item, or
/// with `json` a list of objects with `type` and `value`.
///
/// # Errors
/// A file that holds no resource, and an expression that is wrong, with the position of what is wrong in them.
pub fn evaluate(
    config: &Config,
    text: &str,
    path: &Path,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), EvaluateError> {
    let packages: Vec<&Path> = config.package.iter().map(AsRef::as_ref).collect();
    let definitions = Definitions::of(config.us_core, &packages)?;
    let failed = |error| EvaluateError::File { path: path.to_owned(), error };
    let bytes = read(path).map_err(failed)?;
    let tree = Tree::parse_json(&definitions.schema, bytes, &Limits::DEFAULT)
        .map_err(|issues| EvaluateError::Resource { path: path.to_owned(), issues })?;
    let written = with_items(&tree, text, &Terminology::embedded(), &Told, |items| {
        let mut written = Vec::new();
        if json {
            write_json(items, &mut written);
        } else {
            items
                .iter()
                .for_each(|item| written.extend_from_slice(format!("{}\n", item.pair().1).as_bytes()));
        }
        written
    });
    let written = written.map_err(EvaluateError::Expression)?;
    out.write_all(&written)?;
    Ok(())
}

/// Evaluates `text` over a resource, now, and makes something of the items.
///
/// # Errors
/// What is wrong with the expression, for a user to read; lines below it point at the place.
pub(crate) fn with_items<T>(
    tree: &Tree,
    text: &str,
    terminology: &Terminology,
    trace: &dyn Trace,
    then: impl FnOnce(&[Item<'_>]) -> T,
) -> Result<T, String> {
    let schema = tree.root().tree().schema();
    let expression = Expression::compile_as(schema, tree.resource_type(), text, Dialect::Standard)
        .map_err(|error| format!("{error}{}", pointer(text, error.position)))?;
    let environment = Environment {
        now: DateTime::parse(&format!("{:.3}", Timestamp::now())),
        terminology: Some(terminology),
        trace: Some(trace),
        ..Environment::default()
    };
    let mut items = Vec::new();
    expression.evaluate_in(tree.root(), &environment, &mut items).map_err(|error| error.to_string())?;
    Ok(then(&items))
}

/// The bytes of a file, or of standard input.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return std::fs::read(path);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The line of the expression that is wrong, with a mark below its character.
fn pointer(text: &str, position: usize) -> String {
    let before: String = text.chars().take(position).collect();
    let line = text.lines().nth(before.matches('\n').count()).unwrap_or_default();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    format!("\n  {line}\n  {}^", " ".repeat(column))
}

/// `[{"type": .., "value": ..}]`; values are JSON's where JSON has such, else texts.
fn write_json(items: &[Item<'_>], out: &mut Vec<u8>) {
    out.push(b'[');
    for (number, item) in items.iter().enumerate() {
        let (kind, text) = item.pair();
        out.extend_from_slice(if number == 0 { b"\n  {\"type\": " } else { b",\n  {\"type\": " });
        write_string(out, &kind);
        out.extend_from_slice(b", \"value\": ");
        match item {
            Item::Element(element) => element.write_json(out),
            Item::Boolean(_) | Item::Integer(_) | Item::Decimal(_) => out.extend_from_slice(text.as_bytes()),
            _ => write_string(out, &text),
        }
        out.push(b'}');
    }
    out.extend_from_slice(if items.is_empty() { b"]\n" } else { b"\n]\n" });
}

/// Tells what `trace()` says on standard error.
struct Told;

impl Trace for Told {
    fn trace(&self, name: &str, items: &[Item<'_>]) {
        for item in items {
            let (kind, value) = item.pair();
            eprintln!("trace {name}: {kind} {value}");
        }
    }
}
