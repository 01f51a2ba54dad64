//! For tests: a process that stands still at a step of a commit, for ever or until it may go on.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::shard::Shard;

/// A step of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Before the write with this index is staged.
    Staging(usize),
    /// All is staged, and nothing appended.
    Staged,
    /// The record is appended, and nobody told.
    Appended,
}

/// The step at which the process stands still.
#[derive(Debug, Default)]
pub(super) struct Stop {
    step: Mutex<Option<Step>>,
    reached: Notify,
    goes_on: Notify,
}

impl Stop {
    pub(super) fn set(&self, step: Step) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
    }

    /// Waits until the step is reached.
    pub(super) async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets it go on.
    pub(super) fn release(&self) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.goes_on.notify_one();
    }
}

impl Shard {
    /// Stands still if this is the step to do so.
    pub(super) async fn at(&self, step: Step) {
        let here = *self.stop.step.lock().unwrap_or_else(PoisonError::into_inner) == Some(step);
        if here {
            self.stop.reached.notify_one();
            self.stop.goes_on.notified().await;
        }
    }
}
