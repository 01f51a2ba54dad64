//! The embedded engine: LMDB through `heed`.

mod postings;
mod records;
mod search;

use std::sync::Arc;

use crate::*;

pub struct Embedded {}

impl Embedded {
    pub fn open(
        _: &EmbeddedOptions,
        _: Arc<dyn Indexer>,
        _: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Self, StoreError> {
        todo!()
    }
    pub fn read(&self, _: &Tenant, _: &Access, _: &Key) -> Result<Option<Version>, StoreError> {
        todo!()
    }
    pub fn vread(&self, _: &Tenant, _: &Access, _: &Key, _: u64) -> Result<Option<Version>, StoreError> {
        todo!()
    }
    pub async fn commit(&self, _: &Tenant, _: &Access, _: Batch) -> Result<Vec<Version>, CommitError> {
        todo!()
    }
    pub fn search(&self, _: &Tenant, _: &Access, _: &Query) -> Result<Page, StoreError> {
        todo!()
    }
    pub fn references(
        &self,
        _: &Tenant,
        _: &Access,
        _: &[Key],
        _: &[ParameterId],
    ) -> Result<Vec<Box<str>>, StoreError> {
        todo!()
    }
    pub fn history(&self, _: &Tenant, _: &Access, _: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        todo!()
    }
    pub fn changes(&self, _: &Tenant, _: &Access, _: u64, _: usize) -> Result<Vec<Change>, StoreError> {
        todo!()
    }
    pub fn counts(&self, _: &Tenant, _: &Access) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        todo!()
    }
    pub fn secret(&self) -> [u8; 32] {
        todo!()
    }
    pub fn check(&self, _: &Tenant, _: &(dyn Fn(u64, u64) + Sync)) -> Result<CheckReport, StoreError> {
        todo!()
    }
    pub fn backup(&self, _: &Tenant, _: &std::path::Path) -> Result<u64, StoreError> {
        todo!()
    }
}
