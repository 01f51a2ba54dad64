//! Brings the index to the tenant's own parameters, in steps between commits.

use heed::RwTxn;

use super::{Writer, commit_error};
use crate::embedded::own::Own;
use crate::embedded::writer::Failed;
use crate::{OwnParameter, StoreError};

impl Writer {
    /// Begins to; the parameters with their numbers.
    pub(super) fn set_own(&mut self, wanted: &[(String, String)]) -> Result<Vec<OwnParameter>, StoreError> {
        let env = self.env.clone();
        let mut txn = self.begin(&env)?;
        let (own, numbered) = self.own.begin(&mut txn, &self.databases, &*self.indexer, wanted)?;
        self.keep(txn, own)?;
        Ok(numbered)
    }

    /// Does a step; whether something is left to do.
    pub(super) fn step_own(&mut self) -> Result<bool, StoreError> {
        let answer = self.stepped_own();
        if answer.is_err() {
            self.forget();
        }
        answer
    }

    fn stepped_own(&mut self) -> Result<bool, StoreError> {
        if self.own.is_settled() {
            return Ok(false);
        }
        let env = self.env.clone();
        let mut txn = self.begin(&env)?;
        let next = self.own.step(&mut txn, &self.databases, &*self.indexer, &mut self.pending)?;
        let Some(own) = next else { return Ok(false) };
        self.flush(&mut txn)?;
        self.keep(txn, own)?;
        Ok(!self.own.is_settled())
    }

    /// Makes the transaction durable; what it says of the parameters holds from then on.
    fn keep(&mut self, txn: RwTxn<'_>, own: Own) -> Result<(), StoreError> {
        if let Err(error) = txn.commit() {
            tracing::error!(%error, "a commit failed; the store refuses writes until it is opened again");
            let error = commit_error(error);
            let failed = self.failed.get_or_init(|| Failed::of(&error));
            return Err(failed.error());
        }
        self.own = own;
        Ok(())
    }
}
