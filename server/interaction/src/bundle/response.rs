//! The Bundle that answers a batch or transaction (<https://hl7.org/fhir/R4/http.html#transaction-response>).

use crate::json::Object;
use crate::page::etag;
use crate::time::instant;
use crate::{Failure, Outcome, OutcomeBody, outcome};

/// What became of one entry.
pub(super) struct Answer {
    pub(super) result: Result<Outcome, Failure>,
    /// Whether the body only tells about the interaction, and is no resource that was asked for.
    pub(super) tells: bool,
}

/// Writes the Bundle.
pub(super) fn write(bundle_type: &str, answers: &[Answer]) -> Outcome {
    let bodies: usize = answers.iter().map(|answer| answer.result.as_ref().map_or(512, size)).sum();
    let mut out = Vec::with_capacity(128 + bodies + answers.len() * 192);
    let mut bundle = Object::open(&mut out);
    bundle.text("resourceType", "Bundle").text("type", bundle_type);
    if !answers.is_empty() {
        bundle.objects("entry", answers, entry);
    }
    bundle.close();
    Outcome::resource(out)
}

fn size(outcome: &Outcome) -> usize {
    match &outcome.body {
        OutcomeBody::Empty => 0,
        OutcomeBody::Resource(bytes) | OutcomeBody::Other { bytes, .. } => bytes.len(),
    }
}

fn entry(answer: &Answer, entry: &mut Object<'_>) {
    let body = match &answer.result {
        Ok(Outcome { body: OutcomeBody::Resource(bytes), .. }) => Some(bytes),
        Ok(_) | Err(_) => None,
    };
    if let Some(bytes) = body.filter(|_| !answer.tells) {
        entry.member("resource").extend_from_slice(bytes);
    }
    entry.object("response", |response| {
        match &answer.result {
            Ok(outcome) => succeeded(outcome, response),
            Err(failure) => {
                response.text("status", failure.status.line());
                outcome::write_outcome(response.member("outcome"), &failure.issues);
            }
        }
        if let Some(bytes) = body.filter(|_| answer.tells) {
            response.member("outcome").extend_from_slice(bytes);
        }
    });
}

fn succeeded(outcome: &Outcome, response: &mut Object<'_>) {
    response.text("status", outcome.status.line());
    if let Some(location) = &outcome.location {
        response.text("location", location);
    }
    if let Some(version) = outcome.version {
        response.text("etag", &etag(version));
    }
    if let Some(time) = outcome.last_modified {
        response.text("lastModified", &instant(time));
    }
}
