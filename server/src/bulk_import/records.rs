//! The store as an import writes it: every line is an update by the caller's rights, validated like one.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use bulk::import::{Committed, Destination, ImportError, Imported, Unready, UpsertBy};
use fhirpath::{Issue, IssueType};
use interaction::{Caller, Failure, Loading, Prepared, Service, Status};
use tokio::runtime::Handle;

/// How often a store that is throttled or away is asked again.
const TRIES: u32 = 8;
/// How long to wait for one that does not say.
const PAUSE_S: u32 = 2;

/// The record of a tenant. Its methods wait, so no thread of the runtime may call them.
pub struct Records<'a> {
    service: &'a Service,
    caller: &'a Caller,
    runtime: Handle,
    upsert_by: UpsertBy,
    validate_only: bool,
    /// How often in a row the store was away when something was to be committed.
    away: AtomicU32,
}

impl<'a> Records<'a> {
    /// By the rights of a caller, each line by the id that it has.
    pub fn new(service: &'a Service, caller: &'a Caller, runtime: Handle) -> Records<'a> {
        Records {
            service,
            caller,
            runtime,
            upsert_by: UpsertBy::Id,
            validate_only: false,
            away: AtomicU32::new(0),
        }
    }

    /// As asked. Where lines are only checked, the service says by what.
    #[must_use]
    pub fn asked(self, upsert_by: UpsertBy, validate_only: bool) -> Records<'a> {
        Records { upsert_by, validate_only, ..self }
    }

    /// Asks until the store answers. The failure is none of the store's being busy.
    fn answered<T>(&self, mut ask: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        for _ in 1..TRIES {
            match ask() {
                Err(failure) if is_away(&failure) => wait(&failure),
                answered => return answered,
            }
        }
        ask()
    }
}

/// Whether the store asks to be asked again.
fn is_away(failure: &Failure) -> bool {
    let is_full = failure.issues.iter().any(|issue| issue.code == IssueType::NoStore);
    matches!(failure.status, Status::TooManyRequests | Status::Unavailable) && !is_full
}

/// As long as the store asks for.
fn wait(failure: &Failure) {
    let wait_s = failure.retry_after_s.unwrap_or(PAUSE_S);
    std::thread::sleep(Duration::from_secs(wait_s.into()));
}

/// What the store, and not the line, is to blame for.
fn store_failed(failure: Failure) -> Result<Vec<Issue>, ImportError> {
    match failure.status {
        Status::TooManyRequests | Status::Unavailable | Status::Internal => {
            let issue = failure.issues.into_iter().next();
            let issue = issue.unwrap_or_else(|| Issue::error(IssueType::Exception, "The store failed."));
            Err(ImportError::Destination(Box::new(issue)))
        }
        _ => Ok(failure.issues),
    }
}

impl Destination for Records<'_> {
    type Prepared = Prepared;

    fn prepare(&self, line: &[u8], resource_type: Option<&str>) -> Result<Prepared, Unready> {
        let loading = Loading { resource_type, by_identifier: self.upsert_by == UpsertBy::Identifier };
        let ask =
            || self.runtime.block_on(interaction::prepare(self.service, self.caller, line.to_vec(), loading));
        self.answered(ask).map_err(|failure| match store_failed(failure) {
            Ok(issues) => Unready::Refused(issues),
            Err(error) => Unready::Failed(error),
        })
    }

    fn key<'p>(&self, prepared: &'p Prepared) -> &'p str {
        prepared.key().as_str()
    }

    fn commit(&self, prepared: Vec<Prepared>) -> Result<Committed, ImportError> {
        if self.validate_only {
            return Ok(Committed::Done(prepared.iter().map(|_| Ok(Imported::Unchanged)).collect()));
        }
        // What is given away cannot be given again: a store that is busy is asked by preparing again.
        match self.runtime.block_on(interaction::import(self.service, self.caller, prepared)) {
            Ok(Some(all)) => {
                self.away.store(0, Relaxed);
                Ok(Committed::Done(all.into_iter().map(|it| Ok(of(it))).collect()))
            }
            Ok(None) => Ok(Committed::Again),
            Err(failure) if is_away(&failure) && self.away.fetch_add(1, Relaxed) < TRIES => {
                wait(&failure);
                Ok(Committed::Again)
            }
            Err(failure) => store_failed(failure).map(Committed::Refused),
        }
    }
}

fn of(imported: interaction::Imported) -> Imported {
    match imported {
        interaction::Imported::Created => Imported::Created,
        interaction::Imported::Updated => Imported::Updated,
        interaction::Imported::Unchanged => Imported::Unchanged,
    }
}
