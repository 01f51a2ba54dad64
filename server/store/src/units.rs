//! What a request costs: request units, summed while it runs, and, where asked, the queries that ran for it.
//!
//! The transport opens a [`Ledger`] around a request; engines charge to the one that is open, if any.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

tokio::task_local! {
    static OPEN: Ledger;
}

/// The cost of one request. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Thousandths of a request unit.
    milli: AtomicU64,
    steps: Option<Mutex<Vec<Step>>>,
}

/// One thing that ran for a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What ran: the text of a query with its parameters, or a point operation.
    pub what: String,
    /// Request units.
    pub units: f64,
    /// How many items came back.
    pub items: u64,
}

impl Ledger {
    /// An empty one; `explain` keeps each step.
    pub fn new(explain: bool) -> Ledger {
        let steps = explain.then(Mutex::default);
        Ledger { inner: Arc::new(Inner { milli: AtomicU64::new(0), steps }) }
    }

    /// Runs a future; what it costs is summed here.
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        OPEN.scope(self.clone(), future).await
    }

    /// The request units so far.
    pub fn units(&self) -> f64 {
        // Exact to 2^53 thousandths.
        #[allow(
            clippy::cast_precision_loss,
            reason = "nine million million units are more than any request has"
        )]
        let milli = self.inner.milli.load(Relaxed) as f64;
        milli / 1000.0
    }

    /// The steps so far, if they are kept.
    pub fn steps(&self) -> Vec<Step> {
        let Some(steps) = &self.inner.steps else { return Vec::new() };
        steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Adds to the open ledger. `what` is called only where steps are kept.
pub(crate) fn charge(units: f64, items: u64, what: impl FnOnce() -> String) {
    let _ = OPEN.try_with(|ledger| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "charges are small and not negative; a cast saturates"
        )]
        let milli = (units * 1000.0).round() as u64;
        ledger.inner.milli.fetch_add(milli, Relaxed);
        if let Some(steps) = &ledger.inner.steps {
            let step = Step { what: what(), units, items };
            steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
        }
    });
}

/// The open ledger, to charge for work that another task does.
pub(crate) fn open() -> Option<Ledger> {
    OPEN.try_with(Clone::clone).ok()
}
