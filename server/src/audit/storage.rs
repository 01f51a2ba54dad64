//! Where records and the newest checkpoints are kept: in the store, and beside it in a directory.

use std::io::Write as _;
use std::path::PathBuf;

use async_trait::async_trait;
use audit::{CODES, Record, Storage, StorageError};
use interaction::Service;
use search::{Handling, ParseContext};
use store::{Access, Batch, CommitError, Entries, Indexer as _, Key, Method, Tenant, Version, Write};

use super::TYPE;

/// The records of all tenants.
pub struct Kept {
    pub service: Service,
    pub directory: PathBuf,
}

fn failed(error: impl std::fmt::Display) -> StorageError {
    StorageError::Failed(error.to_string())
}

fn tenant(name: &str) -> Result<Tenant, StorageError> {
    Tenant::new(name).ok_or_else(|| failed(format!("there is no tenant {name}")))
}

impl Kept {
    fn put(&self, record: &Record) -> Result<Write, StorageError> {
        let mut entries = Entries::new();
        self.service.index.entries(TYPE, &record.body, &mut entries).map_err(|error| failed(error.0))?;
        Ok(Write::Put {
            key: Key::new(TYPE, &record.id),
            previous: 0,
            method: Method::Post,
            body: record.body.clone(),
            stamp: record.stamp,
            entries,
        })
    }

    async fn current(&self, tenant: &Tenant, id: &str) -> Result<Option<Version>, StorageError> {
        let key = Key::new(TYPE, id);
        let found = self.service.store.read(tenant, &Access::unrestricted(), &key).await.map_err(failed)?;
        Ok(found.filter(|version| !version.is_deleted()))
    }

    /// Whether a record is there already: an attempt may have been made that the store did not answer.
    async fn is_there(&self, tenant: &Tenant, record: &Record) -> Result<bool, StorageError> {
        let end = record.stamp + Write::STAMP_LENGTH;
        let found = self.current(tenant, &record.id).await?;
        Ok(found.is_some_and(|version| {
            version.body.len() == record.body.len()
                && version.body.get(..record.stamp) == record.body.get(..record.stamp)
                && version.body.get(end..) == record.body.get(end..)
        }))
    }
}

#[async_trait]
impl Storage for Kept {
    async fn append(&self, name: &str, records: &[Record]) -> Result<(), StorageError> {
        let tenant = tenant(name)?;
        let writes = records.iter().map(|record| self.put(record)).collect::<Result<_, _>>()?;
        let batch = Batch { preconditions: Vec::new(), writes };
        match self.service.store.commit(&tenant, &Access::unrestricted(), batch).await {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict { .. }) => {
                for record in records {
                    if !self.is_there(&tenant, record).await? {
                        return Err(StorageError::Taken);
                    }
                }
                Ok(())
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn read(&self, name: &str, id: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.current(&tenant(name)?, id).await?.map(|version| version.body.to_vec()))
    }

    async fn checkpoints(&self, name: &str, limit: usize) -> Result<Vec<Vec<u8>>, StorageError> {
        let context = ParseContext {
            index: &self.service.index,
            handling: Handling::Strict,
            now: 0,
            default_count: limit,
            max_count: limit,
            terminology: None,
        };
        let sort = ("_sort".to_owned(), "-_lastUpdated".to_owned());
        let parameters = [("subtype".to_owned(), format!("{CODES}|checkpoint")), sort];
        let parsed = search::parse(&context, Some(TYPE), None, &parameters);
        let request = parsed
            .map_err(|issues| failed(issues.first().map_or("no search", |issue| issue.details.as_str())))?;
        let found = self.service.store.search(&tenant(name)?, &Access::unrestricted(), &request.query).await;
        Ok(found.map_err(failed)?.matches.into_iter().map(|version| version.body.to_vec()).collect())
    }

    async fn keep(&self, name: &str, checkpoint: &str) -> Result<(), StorageError> {
        let path = super::file(&self.directory, name);
        let (directory, text) = (self.directory.clone(), checkpoint.to_owned());
        let written = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&directory)?;
            let next = path.with_extension("new");
            let mut file = std::fs::File::create(&next)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&next, &path)
        });
        written.await.map_err(failed)?.map_err(failed)
    }
}
