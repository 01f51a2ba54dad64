//! A batch of which some resources break the schema: those are taken out, each with what is wrong with it, so that the others
//! are processed (<https://hl7.org/fhir/R4/http.html#brules>: "success or failure of one change should not alter the success or
//! failure of another"). Only ever reads what the parser refused.

use fhirpath::{Issue, Tree};
use serde_json::Value;

use crate::{Failure, Service, Status, commit};

/// How often the rest is parsed again; each round finds the faults that a bound on their number hid in the one before.
const ROUNDS: usize = 16;

/// Whether a body may be a batch.
pub(super) fn may_be_batch(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"\"batch\"").is_some()
}

/// Parses what is sound of a body that the parser refused for `failure`, and says which entries' resources were not.
///
/// # Errors
/// `failure`, when the body is no batch or the fault is not in an entry's resource.
pub(super) fn parse(
    service: &Service,
    body: &[u8],
    failure: Failure,
) -> Result<(Tree, Vec<(usize, Failure)>), Failure> {
    let Ok(mut bundle) = serde_json::from_slice::<Value>(body) else { return Err(failure) };
    if bundle.get("type").and_then(Value::as_str) != Some("batch") {
        return Err(failure);
    }
    let mut refused: Vec<(usize, Failure)> = Vec::new();
    let mut found = failure.issues.clone();
    for round in 0..ROUNDS {
        for issue in found {
            let issue = if round == 0 { issue } else { Issue { position: None, ..issue } };
            if !take_out(&mut bundle, &mut refused, issue) {
                return Err(failure);
            }
        }
        let Ok(rest) = serde_json::to_vec(&bundle) else { return Err(failure) };
        match commit::parse(service, "Bundle", rest) {
            Ok(tree) => return Ok((tree, refused)),
            Err(again) => found = again.issues,
        }
    }
    Err(failure)
}

/// Takes the resource that an issue is about out of the Bundle. False when it is about anything else.
fn take_out(bundle: &mut Value, refused: &mut Vec<(usize, Failure)>, issue: Issue) -> bool {
    let Some(number) = issue.expression.as_deref().and_then(entry_of_resource) else { return false };
    if let Some((_, failure)) = refused.iter_mut().find(|(entry, _)| *entry == number) {
        failure.issues.push(issue);
        return true;
    }
    let entry = bundle.get_mut("entry").and_then(|entries| entries.get_mut(number));
    let taken = entry.and_then(Value::as_object_mut).and_then(|entry| entry.shift_remove("resource"));
    refused.push((number, Failure::of(Status::Unprocessable, vec![issue])));
    taken.is_some()
}

/// 3 of `Bundle.entry[3].resource.name[0]`.
fn entry_of_resource(expression: &str) -> Option<usize> {
    let (number, rest) = expression.strip_prefix("Bundle.entry[")?.split_once(']')?;
    let inside = rest.strip_prefix(".resource")?;
    (inside.is_empty() || inside.starts_with('.')).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_expressions() {
        for (expression, expected) in [
            ("Bundle.entry[3].resource.name[0]", Some(3)),
            ("Bundle.entry[12].resource", Some(12)),
            ("Bundle.entry[3].request.url", None),
            ("Bundle.entry[3].resourceful", None),
            ("Bundle.entry[x].resource", None),
            ("Bundle.type", None),
        ] {
            assert_eq!(entry_of_resource(expression), expected, "{expression}");
        }
    }
}
