//! For tests: a process that dies at a step of a commit.

use std::sync::{Mutex, PoisonError};

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

/// The step at which the process dies, if it is to die.
#[derive(Debug, Default)]
pub(super) struct Stop(Mutex<Option<Step>>);

impl Stop {
    pub(super) fn set(&self, step: Step) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
    }
}

impl Shard {
    /// Does nothing more for ever, if it is to die here.
    pub(super) async fn at(&self, step: Step) {
        let dies = *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) == Some(step);
        if dies {
            std::future::pending::<()>().await;
        }
    }
}
