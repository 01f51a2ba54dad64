//! Operations on one container: each charges its request units to the open ledger, retries within bounds, and
//! turns the service's faults into [`StoreError`]s. Knows JSON documents, not what they mean.

use std::sync::Arc;
use std::time::Duration;

use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::diagnostics::DiagnosticsContext;
use azure_data_cosmos::feed::FeedScope;
use azure_data_cosmos::models::{
    ItemResponse, ResponseHeaders, TransactionalBatch, TransactionalBatchResponse,
};
use azure_data_cosmos::options::{
    BatchDeleteOptions, BatchReplaceOptions, FeedOptions, ItemReadOptions, ItemWriteOptions, Precondition,
    QueryOptions,
};
use azure_data_cosmos::{CosmosError, PartitionKey, Query};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryStreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::account::TenantHome;
use super::fault::{self, Subject};
use super::session::Sessions;
use crate::{StoreError, units};

/// What the service takes for one document, or for all of a batch.
pub(super) const MOST_BYTES: usize = 2 << 20;

/// To how many physical partitions one query goes at most. A container has one for each 50 GB.
const FAN_OUT: u32 = 1000;

/// How much longer than the SDK is told to take an operation is waited for.
const SLACK: Duration = Duration::from_millis(500);

/// When to try again where the service does not say.
const AFTER: Duration = Duration::from_secs(1);

/// The full partition key of a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub tenant: String,
    pub ty: String,
    pub rid: String,
}

impl Place {
    fn key(&self) -> PartitionKey {
        PartitionKey::from((self.tenant.clone(), self.ty.clone(), self.rid.clone()))
    }
}

/// What a query reads.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    /// All documents of a tenant.
    Tenant(String),
    /// All of a type.
    Type(String, String),
    /// One logical partition.
    One(Place),
}

impl Scope {
    fn feed(&self) -> FeedScope {
        match self {
            Scope::Tenant(tenant) => FeedScope::partition(PartitionKey::from(tenant.clone())),
            Scope::Type(tenant, ty) => FeedScope::partition(PartitionKey::from((tenant.clone(), ty.clone()))),
            Scope::One(place) => FeedScope::partition(place.key()),
        }
    }
}

/// A document as it was read.
#[derive(Debug, Clone)]
pub(super) struct Item<T> {
    pub document: T,
    pub etag: String,
}

/// What became of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    /// Done; the new etag.
    Yes(String),
    /// A document with this id exists (create), or has another etag or is gone (replace, delete).
    No,
}

/// One operation of a batch, all on one [`Place`].
pub(super) enum Operation<'d, T> {
    /// Fails where the id exists.
    Create(&'d T),
    /// Fails where the document has another etag.
    Replace { id: String, document: &'d T, etag: String },
    /// Fails where the document is gone.
    Delete { id: String },
}

/// The text of a query and its parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct Sql {
    pub text: String,
    pub parameters: Vec<(String, serde_json::Value)>,
}

/// One container. Cheap to clone.
#[derive(Clone)]
pub(super) struct Container {
    client: ContainerClient,
    home: Arc<TenantHome>,
    patience: Duration,
    /// What other processes wrote: reads must find it.
    learned: Arc<Sessions>,
    /// What this process saw.
    seen: Arc<Sessions>,
    /// What was written through this clone and its clones.
    written: Arc<Sessions>,
}

impl Container {
    pub(super) fn new(client: ContainerClient, home: &TenantHome, patience: Duration) -> Container {
        Container {
            client,
            home: Arc::new(home.clone()),
            patience,
            learned: Arc::default(),
            seen: Arc::default(),
            written: Arc::default(),
        }
    }

    /// The same container; [`Container::written`] of it tells of what is written through it from now on.
    pub(super) fn recording(&self) -> Container {
        Container { written: Arc::default(), ..self.clone() }
    }

    /// The session token of all writes that were done through this clone; `None` for none.
    pub(super) fn written(&self) -> Option<String> {
        self.written.token()
    }

    /// From now on reads and queries find what was written up to this token of another process.
    pub(super) fn learn(&self, token: &str) {
        self.learned.learn(token);
    }

    /// The token for a read; `None` leaves it to the SDK, which knows this process's own.
    fn session(&self) -> Option<String> {
        let learned = self.learned.token()?;
        self.seen.learn(&learned);
        self.seen.token()
    }

    fn saw(&self, headers: &ResponseHeaders) {
        if let Some(token) = headers.session_token() {
            self.seen.learn(token.as_str());
        }
    }

    fn wrote(&self, headers: &ResponseHeaders) {
        if let Some(token) = headers.session_token() {
            self.seen.learn(token.as_str());
            self.written.learn(token.as_str());
        }
    }

    /// Waits for an operation of the SDK no longer than for any; it bounds its attempts, and not all that it waits for
    /// between them. `None` if it is not over by then.
    async fn bounded<T>(
        &self,
        operation: BoxFuture<'_, Result<T, CosmosError>>,
    ) -> Option<Result<T, CosmosError>> {
        tokio::time::timeout(self.patience + SLACK, operation).await.ok()
    }

    /// What a read is told that was not over in time.
    fn unread(&self) -> StoreError {
        StoreError::Unavailable(fault::late(&self.subject()))
    }

    /// What a write is told that was not over in time.
    fn unwritten(&self) -> StoreError {
        StoreError::Unsettled(fault::late(&self.subject()))
    }

    fn subject(&self) -> Subject<'_> {
        Subject::Container(&self.home)
    }

    /// A document by its id; `None` if there is none. 1 RU for each KB begun.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        place: &Place,
        id: &str,
    ) -> Result<Option<Item<T>>, StoreError> {
        let mut options = ItemReadOptions::default();
        options.session_token = self.session().map(Into::into);
        let answer = self.bounded(self.client.read_item(place.key(), id, Some(options)).boxed()).await;
        match answer.ok_or_else(|| self.unread())? {
            Ok(response) => {
                charge(&response.diagnostics(), 1, || format!("read {id}"));
                self.saw(response.headers());
                let etag = etag(response.headers());
                let document = response.into_model().map_err(|error| fault::read(&error, &self.subject()))?;
                Ok(Some(Item { document, etag }))
            }
            Err(error) => {
                charge_error(&error, || format!("read {id}"));
                if fault::no_document(&error) { Ok(None) } else { Err(fault::read(&error, &self.subject())) }
            }
        }
    }

    /// A new document. `No` if one with this id exists.
    ///
    /// # Errors
    /// [`StoreError::Unsettled`] where it may have been written.
    pub(super) async fn create<T: Serialize + Sync>(
        &self,
        place: &Place,
        id: &str,
        document: &T,
    ) -> Result<Written, StoreError> {
        let answer = self.bounded(self.client.create_item(place.key(), id, document, None).boxed()).await;
        self.outcome(place, document, answer, || format!("create {id}"))
    }

    /// A document in place of the one with this etag. `No` if it has another, or is gone.
    ///
    /// # Errors
    /// [`StoreError::Unsettled`] where it may have been written.
    pub(super) async fn replace<T: Serialize + Sync>(
        &self,
        place: &Place,
        id: &str,
        document: &T,
        etag: &str,
    ) -> Result<Written, StoreError> {
        let options = ItemWriteOptions::default().with_precondition(Precondition::if_match(etag.to_owned()));
        let answer =
            self.bounded(self.client.replace_item(place.key(), id, document, Some(options)).boxed()).await;
        self.outcome(place, document, answer, || format!("replace {id}"))
    }

    /// Deletes the document with this etag. `No` if it has another, or is gone.
    ///
    /// # Errors
    /// [`StoreError::Unsettled`] where it may have been deleted.
    pub(super) async fn delete(&self, place: &Place, id: &str, etag: &str) -> Result<Written, StoreError> {
        let options = ItemWriteOptions::default().with_precondition(Precondition::if_match(etag.to_owned()));
        let answer = self.bounded(self.client.delete_item(place.key(), id, Some(options)).boxed()).await;
        self.outcome(place, &(), answer, || format!("delete {id}"))
    }

    fn outcome(
        &self,
        place: &Place,
        document: &impl Serialize,
        answer: Option<Result<ItemResponse, CosmosError>>,
        what: impl FnOnce() -> String,
    ) -> Result<Written, StoreError> {
        match answer.ok_or_else(|| self.unwritten())? {
            Ok(response) => {
                charge(&response.diagnostics(), 0, what);
                self.wrote(response.headers());
                Ok(Written::Yes(etag(response.headers())))
            }
            Err(error) => {
                charge_error(&error, what);
                match fault::status(&error) {
                    409 | 412 | 449 => Ok(Written::No),
                    404 if fault::no_document(&error) => Ok(Written::No),
                    413 => Err(too_large(place, &[document])),
                    _ => Err(fault::write(&error, &self.subject())),
                }
            }
        }
    }

    /// Several operations in one logical partition, all of them or none. `false` if one's condition did not hold.
    ///
    /// # Errors
    /// [`StoreError::Unsettled`] where they may have been done.
    pub(super) async fn batch<T: Serialize + Sync>(
        &self,
        place: &Place,
        operations: &[Operation<'_, T>],
    ) -> Result<bool, StoreError> {
        let what = || format!("batch of {}", operations.len());
        let batch = transactional(place, operations).map_err(|error| fault::read(&error, &self.subject()))?;
        let answer = self.bounded(self.client.execute_transactional_batch(batch, None).boxed()).await;
        let response = match answer.ok_or_else(|| self.unwritten())? {
            Ok(response) => response,
            Err(error) => {
                charge_error(&error, what);
                return match fault::status(&error) {
                    409 | 412 | 449 => Ok(false),
                    413 => Err(too_large(place, &documents(operations))),
                    _ => Err(fault::write(&error, &self.subject())),
                };
            }
        };
        charge(&response.diagnostics(), 0, what);
        self.wrote(response.headers());
        // The answer was read; that it is not understood says nothing about the write.
        let answer =
            response.into_model().map_err(|error| StoreError::Unsettled(error.status().to_string()))?;
        all_done(&answer, || too_large(place, &documents(operations)))
    }

    /// Runs a query and hands each page to `take`, which says whether to go on.
    pub(super) async fn query<T: DeserializeOwned + Send + 'static>(
        &self,
        scope: &Scope,
        sql: &Sql,
        mut take: impl FnMut(Vec<T>) -> bool,
    ) -> Result<(), StoreError> {
        let failed = |error: CosmosError| {
            charge_error(&error, || explained(sql));
            fault::read(&error, &self.subject())
        };
        let mut query = Query::from(sql.text.clone());
        for (name, value) in &sql.parameters {
            query = query.with_parameter(name.clone(), value).map_err(failed)?;
        }
        let mut options =
            QueryOptions::default().with_feed_options(FeedOptions::default().with_max_fan_out(FAN_OUT));
        options.session_token = self.session().map(Into::into);
        let pages =
            self.bounded(self.client.query_items::<T>(query, scope.feed(), Some(options)).boxed()).await;
        let mut pages = pages.ok_or_else(|| self.unread())?.map_err(failed)?.into_pages();
        while let Some(page) =
            self.bounded(pages.try_next().boxed()).await.ok_or_else(|| self.unread())?.map_err(failed)?
        {
            charge(&page.diagnostics(), page.items().len() as u64, || explained(sql));
            self.saw(page.headers());
            if !take(page.into_items()) {
                break;
            }
        }
        Ok(())
    }
}

fn transactional<T: Serialize + Sync>(
    place: &Place,
    operations: &[Operation<'_, T>],
) -> Result<TransactionalBatch, CosmosError> {
    let mut batch = TransactionalBatch::new(place.key());
    for operation in operations {
        batch = match operation {
            Operation::Create(document) => batch.create_item(document)?,
            Operation::Replace { id, document, etag } => {
                let options =
                    BatchReplaceOptions::default().with_precondition(Precondition::if_match(etag.clone()));
                batch.replace_item(id.clone(), document, Some(options))?
            }
            Operation::Delete { id } => batch.delete_item(id.clone(), None::<BatchDeleteOptions>),
        };
    }
    Ok(batch)
}

fn documents<'d, T>(operations: &[Operation<'d, T>]) -> Vec<&'d T> {
    operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::Create(document) | Operation::Replace { document, .. } => Some(*document),
            Operation::Delete { .. } => None,
        })
        .collect()
}

/// Whether all operations of a batch were done. One that was not makes the others 424.
fn all_done(
    answer: &TransactionalBatchResponse,
    too_large: impl FnOnce() -> StoreError,
) -> Result<bool, StoreError> {
    for result in answer.results() {
        match result.status_code() {
            200..=299 | 404 | 409 | 412 | 424 | 449 => {}
            413 => return Err(too_large()),
            429 => return Err(StoreError::Throttled { after: result.retry_after().unwrap_or(AFTER) }),
            other => return Err(StoreError::Unsettled(format!("a batch's operation answered {other}"))),
        }
    }
    Ok(answer.results().iter().all(|result| result.is_success()))
}

fn too_large(place: &Place, documents: &[impl Serialize]) -> StoreError {
    let size = |document| serde_json::to_vec(document).map_or(0, |bytes| bytes.len());
    StoreError::TooLarge {
        key: format!("{}/{}", place.ty, place.rid).into(),
        bytes: documents.iter().map(size).sum(),
        most: MOST_BYTES,
    }
}

fn etag(headers: &ResponseHeaders) -> String {
    headers.etag().map(ToString::to_string).unwrap_or_default()
}

fn explained(sql: &Sql) -> String {
    let parameters: Vec<String> =
        sql.parameters.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    if parameters.is_empty() { sql.text.clone() } else { format!("{} [{}]", sql.text, parameters.join(", ")) }
}

/// Charges for all attempts of an operation.
fn charge(diagnostics: &DiagnosticsContext, items: u64, what: impl FnOnce() -> String) {
    units::charge(diagnostics.total_request_charge().value(), items, what);
}

fn charge_error(error: &CosmosError, what: impl FnOnce() -> String) {
    if let Some(diagnostics) = error.diagnostics() {
        charge(&diagnostics, 0, what);
    }
}

#[cfg(test)]
mod tests;
