//! What a request costs: request units, summed while it runs, and, where asked, the queries that ran for it.
//!
//! The transport opens a [`Ledger`] around a request; engines charge to the one that is open, if any. A search that is to be
//! explained opens another inside it, which keeps the steps ([`Ledger::explaining`]).

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
    /// The ledger that was open around it: what is charged here is charged there.
    around: Option<Ledger>,
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
        Ledger { inner: Arc::new(Inner { milli: AtomicU64::new(0), steps, around: None }) }
    }

    /// One that keeps each step; what it sums is summed in the open one too, if any.
    pub fn explaining() -> Ledger {
        let inner = Inner { milli: AtomicU64::new(0), steps: Some(Mutex::default()), around: open() };
        Ledger { inner: Arc::new(inner) }
    }

    /// Adds to it. `what` is called only where steps are kept.
    pub(crate) fn add(&self, units: f64, items: u64, what: impl FnOnce() -> String) {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "charges are small and not negative; a cast saturates"
        )]
        let milli = (units * 1000.0).round() as u64;
        let mut what = Some(what);
        let mut ledger = Some(self);
        while let Some(Ledger { inner }) = ledger {
            inner.milli.fetch_add(milli, Relaxed);
            // The steps of a search are kept where it is explained, once.
            if let Some(steps) = &inner.steps
                && let Some(what) = what.take()
            {
                let step = Step { what: what(), units, items };
                steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
            }
            ledger = inner.around.as_ref();
        }
    }

    /// Adds the share of one batch in what a commit of several cost.
    pub(crate) fn share(&self, units: f64, batches: usize) {
        let of = u32::try_from(batches.max(1)).unwrap_or(u32::MAX);
        self.add(units / f64::from(of), 0, || format!("the log's record, shared by {batches}"));
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
    let _ = OPEN.try_with(|ledger| ledger.add(units, items, what));
}

/// Whether what runs is to be explained: the open ledger keeps steps.
pub(crate) fn are_explained() -> bool {
    OPEN.try_with(|ledger| ledger.inner.steps.is_some()).unwrap_or(false)
}

/// The open ledger, to charge for work that another task does.
pub(crate) fn open() -> Option<Ledger> {
    OPEN.try_with(Clone::clone).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn steps_are_kept_inside_and_summed_around() {
        let outer = Ledger::new(false);
        let inner = outer
            .scope(async {
                charge(1.25, 1, || panic!("nobody keeps it"));
                let inner = Ledger::explaining();
                inner.scope(async { charge(2.5, 7, || "query".to_owned()) }).await;
                inner
            })
            .await;
        charge(9.0, 0, || panic!("nobody keeps it"));
        assert_eq!((outer.units(), inner.units()), (3.75, 2.5));
        assert_eq!(outer.steps(), []);
        assert_eq!(inner.steps(), [Step { what: "query".to_owned(), units: 2.5, items: 7 }]);
    }
}
