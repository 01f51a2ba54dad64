//! A tenant's own parameters in the index: which it has, and the job that brings it from some to others while it is served.
//!
//! The job goes through the resources by ordinal. Those before its mark have the entries of the parameters that are wanted,
//! the others those of the parameters of before; so what entries a resource has is known at any time, also after a process
//! was killed. A parameter answers while the index has its entries for all resources: it was there before, and is still
//! wanted. Everything stands in one entry of `meta`, written with the index itself.

use std::ops::Bound;
use std::sync::Arc;

use heed::{RoTxn, RwTxn};
use serde::{Deserialize, Serialize};

use super::environment::Databases;
use super::meta::Meta;
use super::postings::Pending;
use super::records::{RecordRef, ordinal_of, stored_key};
use super::writer::entries_of;
use crate::{Entries, Indexer, Key, OwnParameter, OwnParameters, ParameterId, StoreError};

/// Most resources whose entries one step writes: commits wait for it.
const STEP_WRITES: usize = 500;
/// Most resources that one step looks at.
const STEP_RESOURCES: usize = 20_000;

/// What `meta` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnState {
    /// The parameters whose entries the resources from `next` on have; all, while there is no other.
    indexed: Vec<OwnParameter>,
    /// Those that the resources before `next` have.
    wanted: Option<Vec<OwnParameter>>,
    /// The first ordinal that the job has not done.
    next: u32,
}

impl OwnState {
    /// What the index of a snapshot has.
    pub(super) fn read(txn: &RoTxn<'_>, meta: &Meta) -> Result<OwnState, StoreError> {
        let Some(text) = meta.own(txn)? else { return Ok(OwnState::default()) };
        serde_json::from_slice(text)
            .map_err(|error| StoreError::Damaged(format!("meta entry own cannot be read: {error}")))
    }

    fn write(&self, txn: &mut RwTxn<'_>, meta: &Meta) -> Result<(), StoreError> {
        let text = serde_json::to_vec(self).map_err(|error| StoreError::Storage(error.to_string()))?;
        meta.set_own(txn, &text)
    }

    /// Those that are wanted.
    fn wanted(&self) -> &[OwnParameter] {
        self.wanted.as_ref().unwrap_or(&self.indexed)
    }

    fn answers(&self, id: ParameterId) -> bool {
        let has = |parameters: &[OwnParameter]| parameters.iter().any(|own| own.id == id);
        has(&self.indexed) && has(self.wanted())
    }

    fn progress(&self, ordinals: u32) -> Option<(u64, u64)> {
        self.wanted.as_ref().map(|_| (u64::from(self.next.min(ordinals)), u64::from(ordinals)))
    }
}

/// Refuses what would be answered from a part of the index.
///
/// # Errors
/// [`StoreError::NotIndexed`] names the first parameter that the index does not have for all resources.
pub(super) fn refuse_unindexed(
    txn: &RoTxn<'_>,
    databases: &Databases,
    asked: &[ParameterId],
) -> Result<(), StoreError> {
    if asked.is_empty() {
        return Ok(());
    }
    let state = OwnState::read(txn, &databases.meta)?;
    let Some(missing) = asked.iter().find(|id| !state.answers(**id)) else { return Ok(()) };
    let named = state.wanted().iter().find(|own| own.id == *missing);
    let ordinals = databases.meta.state(txn)?.next_ordinal;
    let (done, total) = state.progress(ordinals).unwrap_or((0, u64::from(ordinals)));
    Err(StoreError::NotIndexed { parameter: named.map(|own| own.name.as_str().into()), done, total })
}

/// What there is to say of a tenant's own parameters.
pub(super) fn report(txn: &RoTxn<'_>, databases: &Databases) -> Result<OwnParameters, StoreError> {
    let state = OwnState::read(txn, &databases.meta)?;
    let parameters = state.wanted().iter().map(|own| (own.clone(), state.answers(own.id))).collect();
    Ok(OwnParameters { parameters, progress: state.progress(databases.meta.state(txn)?.next_ordinal) })
}

/// What computes a tenant's own entries, at one state of the job.
#[derive(Default)]
pub(super) struct Own {
    state: OwnState,
    /// None where there are no parameters.
    before: Option<Arc<dyn Indexer>>,
    after: Option<Arc<dyn Indexer>>,
}

impl Own {
    /// As the index of a snapshot has them.
    pub(super) fn read(txn: &RoTxn<'_>, meta: &Meta, indexer: &dyn Indexer) -> Result<Own, StoreError> {
        Own::of(OwnState::read(txn, meta)?, indexer)
    }

    fn of(state: OwnState, indexer: &dyn Indexer) -> Result<Own, StoreError> {
        let before = of_parameters(&state.indexed, indexer)?;
        let after = match &state.wanted {
            Some(wanted) => of_parameters(wanted, indexer)?,
            None => None,
        };
        Ok(Own { state, before, after })
    }

    /// Adds the own entries of a resource.
    pub(super) fn append(
        &self,
        ordinal: u32,
        key: &Key,
        body: &[u8],
        out: &mut Entries,
    ) -> Result<(), StoreError> {
        let is_done = self.state.wanted.is_some() && ordinal < self.state.next;
        let indexer = if is_done { &self.after } else { &self.before };
        let own = own_entries(indexer.as_deref(), key, body)?;
        out.append(&own);
        Ok(())
    }

    /// Whether no job is under way.
    pub(super) fn is_settled(&self) -> bool {
        self.state.wanted.is_none()
    }

    /// Begins the job that brings the index to these parameters. One that is under way for others goes on first: they are
    /// to be asked for again when it has ended. The parameters with their numbers.
    pub(super) fn begin(
        &self,
        txn: &mut RwTxn<'_>,
        databases: &Databases,
        indexer: &dyn Indexer,
        wanted: &[(String, String)],
    ) -> Result<(Own, Vec<OwnParameter>), StoreError> {
        let known = self.state.indexed.iter().chain(self.state.wanted.iter().flatten());
        let known: Vec<OwnParameter> = known.cloned().collect();
        let numbered = OwnParameter::number(&known, wanted)?;
        // That all of them can be indexed is found out before anything is begun.
        of_parameters(&numbered, indexer)?;
        let state = match &self.state.wanted {
            Some(_) => self.state.clone(),
            None if same(&self.state.indexed, &numbered) => self.state.clone(),
            None => OwnState { wanted: Some(numbered.clone()), next: 0, ..self.state.clone() },
        };
        if state != self.state {
            state.write(txn, &databases.meta)?;
        }
        Ok((Own::of(state, indexer)?, numbered))
    }

    /// Does a step of the job, if there is one: changes go to `pending`. What holds when the transaction is committed.
    pub(super) fn step(
        &self,
        txn: &mut RwTxn<'_>,
        databases: &Databases,
        indexer: &dyn Indexer,
        pending: &mut Pending,
    ) -> Result<Option<Own>, StoreError> {
        let Some(wanted) = &self.state.wanted else { return Ok(None) };
        let (mut seen, mut written, mut next) = (0, 0, None);
        let first = self.state.next.to_be_bytes();
        let range = (Bound::Included(first.as_slice()), Bound::Unbounded);
        for item in databases.records.heads.range(txn, &range)? {
            let (ordinal, record) = item?;
            let (ordinal, record) = (ordinal_of(ordinal)?, RecordRef::decode(record)?);
            if seen == STEP_RESOURCES || written == STEP_WRITES {
                next = Some(ordinal);
                break;
            }
            seen += 1;
            if !record.is_deleted() && self.renew(ordinal, &record, indexer, pending)? {
                written += 1;
            }
        }
        let state = match next {
            Some(next) => OwnState { next, ..self.state.clone() },
            None => OwnState { indexed: wanted.clone(), wanted: None, next: 0 },
        };
        state.write(txn, &databases.meta)?;
        Ok(Some(Own::of(state, indexer)?))
    }

    /// Gives a resource the entries of the wanted parameters; whether it had others.
    fn renew(
        &self,
        ordinal: u32,
        record: &RecordRef<'_>,
        indexer: &dyn Indexer,
        pending: &mut Pending,
    ) -> Result<bool, StoreError> {
        let key = stored_key(record.key)?;
        let before = own_entries(self.before.as_deref(), &key, record.body)?;
        let after = own_entries(self.after.as_deref(), &key, record.body)?;
        if before == after {
            return Ok(false);
        }
        let shared = entries_of(indexer, &key, record.body)?;
        for (own, added) in [(before, false), (after, true)] {
            let mut entries = shared.clone();
            entries.append(&own);
            match added {
                true => pending.add(ordinal, &key, record.last_updated, &entries),
                false => pending.remove(ordinal, &key, record.last_updated, &entries),
            }
        }
        Ok(true)
    }
}

/// Whether two lists are of the same parameters.
fn same(one: &[OwnParameter], other: &[OwnParameter]) -> bool {
    let within = |one: &[OwnParameter], other: &[OwnParameter]| one.iter().all(|own| other.contains(own));
    within(one, other) && within(other, one)
}

fn of_parameters(
    parameters: &[OwnParameter],
    indexer: &dyn Indexer,
) -> Result<Option<Arc<dyn Indexer>>, StoreError> {
    if parameters.is_empty() {
        return Ok(None);
    }
    indexer.own(parameters).map(Some).map_err(|error| StoreError::Parameters(error.to_string()))
}

fn own_entries(indexer: Option<&dyn Indexer>, key: &Key, body: &[u8]) -> Result<Entries, StoreError> {
    match indexer {
        Some(indexer) => entries_of(indexer, key, body),
        None => Ok(Entries::new()),
    }
}
