//! What a fault of the service means: nothing was done, or nobody knows, or less is asked for. Nothing of a document is
//! in the sentences.

use std::time::Duration;

use azure_data_cosmos::CosmosError;
use azure_data_cosmos_driver::diagnostics::RequestSentStatus;

use super::account::TenantHome;
use crate::StoreError;

/// When to try again where the service does not say.
const AFTER: Duration = Duration::from_secs(1);

/// What was asked for.
pub(super) enum Subject<'s> {
    /// Nothing of the service.
    Nothing,
    /// The account.
    Account { name: &'s str, endpoint: &'s str },
    /// A database or container, or what is in it.
    Container(&'s TenantHome),
}

/// The HTTP status; one that the SDK made where the service gave none.
pub(super) fn status(error: &CosmosError) -> u16 {
    u16::from(error.status().status_code())
}

/// Whether a document is not there; that its container is not, or that a replica lags behind, is another matter.
pub(super) fn no_document(error: &CosmosError) -> bool {
    status(error) == 404 && error.status().sub_status().is_none_or(|sub| sub.value() == 0)
}

/// A read's fault.
pub(super) fn read(error: &CosmosError, subject: &Subject<'_>) -> StoreError {
    if status(error) == 429 {
        return StoreError::Throttled { after: after(error) };
    }
    StoreError::Unavailable(sentence(error, subject))
}

/// A write's fault: unsettled where an attempt of it may have come through.
pub(super) fn write(error: &CosmosError, subject: &Subject<'_>) -> StoreError {
    if may_have_happened(error) {
        return StoreError::Unsettled(sentence(error, subject));
    }
    read(error, subject)
}

/// Whether an attempt of a failed operation may have been done: it was sent, and the answer was none of those that say
/// that nothing was.
fn may_have_happened(error: &CosmosError) -> bool {
    let last = status(error);
    if last == 408 {
        return true;
    }
    let Some(diagnostics) = error.diagnostics() else { return undecided(last) };
    let attempts = diagnostics.requests();
    // Of a long series of attempts only some are kept.
    if attempts.is_empty() || diagnostics.request_count() > attempts.len() {
        return undecided(last);
    }
    attempts.iter().any(|attempt| {
        attempt.request_sent() != RequestSentStatus::NotSent
            && undecided(u16::from(attempt.status().status_code()))
    })
}

fn undecided(status: u16) -> bool {
    matches!(status, 408 | 500..)
}

/// When to try again.
fn after(error: &CosmosError) -> Duration {
    let asked = error.response().and_then(|response| response.headers().retry_after_ms);
    asked.map_or(AFTER, Duration::from_millis)
}

/// That something was not over in time.
pub(super) fn late(subject: &Subject<'_>) -> String {
    format!("{} did not answer in time", name(subject))
}

fn name(subject: &Subject<'_>) -> String {
    match subject {
        Subject::Nothing => "the client".to_owned(),
        Subject::Account { name, endpoint } => format!("the account {name} at {endpoint}"),
        Subject::Container(home) => {
            format!("the container {}/{} of the account {}", home.database, home.container, home.account)
        }
    }
}

/// What is wrong, and what to do about it.
fn sentence(error: &CosmosError, subject: &Subject<'_>) -> String {
    let what = name(subject);
    match (status(error), subject) {
        (401, _) => {
            format!("{what} refuses the credential; configure its present key, or an identity it knows")
        }
        (403, _) => format!(
            "{what} forbids this ({}); give this server's identity the role Cosmos DB Built-in Data Contributor, and \
             let its address through the account's firewall",
            error.status()
        ),
        (404, Subject::Container(_)) => format!("there is not {what}; make it by `vesta cosmos init`"),
        (413, _) => format!("{what} takes no document or batch this large"),
        (408, _) => format!("{what} did not answer in time"),
        (503, _) => {
            format!("{what} cannot be reached ({}); it is asked again with the next request", error.status())
        }
        _ => format!("{what} answered {}", error.status()),
    }
}
