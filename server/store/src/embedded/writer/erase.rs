//! Erases the content of older versions. The current ones, the index and the change log stay as they are.

use super::{Failed, Writer, commit_error};
use crate::{Erasure, StoreError};

impl Writer {
    /// One transaction: all of it, or after an error none. How many versions had content.
    pub(super) fn erase(&mut self, erasures: &[Erasure]) -> Result<u64, StoreError> {
        if let Some(tenant) = &self.sealed {
            return Err(StoreError::Moving(tenant.clone()));
        }
        let env = self.env.clone();
        let mut txn = self.begin(&env)?;
        let (records, mut erased) = (self.databases.records, 0);
        for erasure in erasures {
            let Some(ordinal) = records.ordinal(&txn, erasure.key.as_str())? else { continue };
            let versions = records.erasable(&txn, ordinal, erasure)?;
            let more = versions.len() as u64;
            for version in versions {
                records.erase(&mut txn, ordinal, version, &mut self.record)?;
            }
            self.databases.meta.add_erased(&mut txn, erasure.key.resource_type(), more)?;
            erased += more;
        }
        if erased == 0 {
            return Ok(0);
        }
        if let Err(error) = txn.commit() {
            tracing::error!(%error, "a commit failed; the store refuses writes until it is opened again");
            let error = commit_error(error);
            let failed = self.failed.get_or_init(|| Failed::of(&error));
            return Err(failed.error());
        }
        Ok(erased)
    }
}
