//! batch and transaction (<https://hl7.org/fhir/R4/http.html#transaction>), by the Bundle's type. The Bundle is parsed once;
//! entries are taken out of its tree.

mod batch;
mod entry;
mod get;
mod links;
mod response;
mod tolerant;
mod transaction;

use fhirpath::{Issue, IssueType, Tree};

use crate::{Caller, Failure, Outcome, Return, Service, Status, commit};

/// Processes a Bundle of type `batch` or `transaction`. Always Ok: a batch reports each entry's own failure in its response
/// entry; a transaction fails as a whole. Where `prefer` says nothing, response entries carry no resources.
///
/// # Errors
/// BadRequest for a body that is not JSON or not such a Bundle, Unprocessable for one that breaks the schema,
/// PayloadTooLarge for more entries than [`crate::Limits::bundle_entries`]; for a transaction any entry's failure.
pub async fn bundle(
    service: &Service,
    caller: &Caller,
    body: Vec<u8>,
    prefer: Option<Return>,
) -> Result<Outcome, Failure> {
    let prefer = prefer.unwrap_or(Return::Minimal);
    // Only a batch can go on with the entries that are sound, and whether it is one is not known before it is parsed.
    let spare = tolerant::may_be_batch(&body).then(|| body.clone());
    let (tree, refused) = match (commit::parse(service, "Bundle", body), spare) {
        (Ok(tree), _) => (tree, Vec::new()),
        (Err(failure), Some(body)) if failure.status == Status::Unprocessable => {
            tolerant::parse(service, &body, failure)?
        }
        (Err(failure), _) => return Err(failure),
    };
    check_size(service, &tree)?;
    match tree.root().get("type").and_then(|kind| kind.value()).as_deref() {
        Some("transaction") => transaction::transaction(service, caller, tree, prefer).await,
        Some("batch") => batch::batch(service, caller, &tree, refused, prefer).await,
        other => {
            let details = match other {
                Some(kind) => {
                    format!("A Bundle of type {kind} cannot be processed; send a batch or a transaction.")
                }
                None => "The Bundle has no type; send a batch or a transaction.".to_owned(),
            };
            let issue = Issue::error(IssueType::Value, details).at("Bundle.type");
            Err(Failure::of(Status::BadRequest, vec![issue]))
        }
    }
}

fn check_size(service: &Service, tree: &Tree) -> Result<(), Failure> {
    let most = service.limits.bundle_entries;
    let entries = tree.root().all("entry").count();
    if entries <= most {
        return Ok(());
    }
    let details = format!("The Bundle has {entries} entries; at most {most} are processed at once.");
    let issue = Issue::error(IssueType::TooCostly, details).at("Bundle.entry");
    Err(Failure::of(Status::PayloadTooLarge, vec![issue]))
}
