//! Operations on one container: each charges its request units to the open ledger, retries within bounds, and
//! turns the service's faults into [`StoreError`]s. Knows JSON documents, not what they mean.

use std::time::Duration;

use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::feed::FeedScope;
use azure_data_cosmos::models::TransactionalBatch;
use azure_data_cosmos::options::{BatchReplaceOptions, ItemWriteOptions, Precondition, QueryOptions};
use azure_data_cosmos::{CosmosError, PartitionKey, Query};
use futures_util::TryStreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{StoreError, units};

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

/// One container.
#[derive(Clone)]
pub(super) struct Container {
    client: ContainerClient,
}

impl Container {
    pub(super) fn new(client: ContainerClient) -> Container {
        Container { client }
    }

    /// A document by its id; `None` if there is none. 1 RU for each KB begun.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        place: &Place,
        id: &str,
    ) -> Result<Option<Item<T>>, StoreError> {
        match self.client.read_item(place.key(), id, None).await {
            Ok(response) => {
                let headers = response.headers();
                charge(headers.request_charge().map(|c| c.value()), 1, || format!("read {id}"));
                let etag = headers.etag().map(|etag| etag.to_string()).unwrap_or_default();
                let document = response.into_model().map_err(|error| fault(&error))?;
                Ok(Some(Item { document, etag }))
            }
            Err(error) if status(&error) == 404 => {
                charge_error(&error, || format!("read {id}"));
                Ok(None)
            }
            Err(error) => Err(fault(&error)),
        }
    }

    /// A new document.
    pub(super) async fn create<T: Serialize>(
        &self,
        place: &Place,
        id: &str,
        document: &T,
    ) -> Result<Written, StoreError> {
        written(self.client.create_item(place.key(), id, document, None).await, 409, || {
            format!("create {id}")
        })
    }

    /// A document in place of the one with this etag.
    pub(super) async fn replace<T: Serialize>(
        &self,
        place: &Place,
        id: &str,
        document: &T,
        etag: &str,
    ) -> Result<Written, StoreError> {
        let options = ItemWriteOptions::default().with_precondition(Precondition::if_match(etag.to_owned()));
        written(self.client.replace_item(place.key(), id, document, Some(options)).await, 412, || {
            format!("replace {id}")
        })
    }

    /// Deletes the document with this etag.
    pub(super) async fn delete(&self, place: &Place, id: &str, etag: &str) -> Result<Written, StoreError> {
        let options = ItemWriteOptions::default().with_precondition(Precondition::if_match(etag.to_owned()));
        written(self.client.delete_item(place.key(), id, Some(options)).await, 412, || format!("delete {id}"))
    }

    /// Several operations in one logical partition, all of them or none. `false` if one's condition did not hold.
    pub(super) async fn batch<T: Serialize>(
        &self,
        place: &Place,
        operations: &[Operation<'_, T>],
    ) -> Result<bool, StoreError> {
        let mut batch = TransactionalBatch::new(place.key());
        for operation in operations {
            batch = match operation {
                Operation::Create(document) => batch.create_item(document),
                Operation::Replace { id, document, etag } => {
                    let options = BatchReplaceOptions::default()
                        .with_precondition(Precondition::if_match(etag.clone()));
                    batch.replace_item(id.clone(), document, Some(options))
                }
                Operation::Delete { id } => Ok(batch.delete_item(id.clone(), None)),
            }
            .map_err(|error| fault(&error))?;
        }
        let response =
            self.client.execute_transactional_batch(batch, None).await.map_err(|error| fault(&error))?;
        charge(response.headers().request_charge().map(|c| c.value()), 0, || {
            format!("batch of {}", operations.len())
        });
        let answer = response.into_model().map_err(|error| fault(&error))?;
        let mut throttled = None;
        for result in answer.results() {
            match result.status_code() {
                200..=299 | 404 | 409 | 412 | 424 => {}
                429 => throttled = Some(result.retry_after().unwrap_or(AFTER)),
                other => {
                    return Err(StoreError::Unavailable(format!("a batch's operation answered {other}")));
                }
            }
        }
        if let Some(after) = throttled {
            return Err(StoreError::Throttled { after });
        }
        Ok(answer.results().iter().all(|result| result.is_success()))
    }

    /// Runs a query and hands each page to `take`, which says whether to go on.
    pub(super) async fn query<T: DeserializeOwned + Send + 'static>(
        &self,
        scope: &Scope,
        sql: &Sql,
        mut take: impl FnMut(Vec<T>) -> bool,
    ) -> Result<(), StoreError> {
        let mut query = Query::from(sql.text.clone());
        for (name, value) in &sql.parameters {
            query = query.with_parameter(name.clone(), value).map_err(|error| fault(&error))?;
        }
        let pages = self.client.query_items::<T>(query, scope.feed(), Some(QueryOptions::default())).await;
        let mut pages = pages.map_err(|error| fault(&error))?.into_pages();
        while let Some(page) = pages.try_next().await.map_err(|error| fault(&error))? {
            let items = page.items().len() as u64;
            charge(page.headers().request_charge().map(|c| c.value()), items, || explained(sql));
            if !take(page.into_items()) {
                break;
            }
        }
        Ok(())
    }
}

/// When to try again where the service does not say.
const AFTER: Duration = Duration::from_secs(1);

fn explained(sql: &Sql) -> String {
    let parameters: Vec<String> =
        sql.parameters.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    if parameters.is_empty() { sql.text.clone() } else { format!("{} [{}]", sql.text, parameters.join(", ")) }
}

fn charge(units: Option<f64>, items: u64, what: impl FnOnce() -> String) {
    units::charge(units.unwrap_or(0.0), items, what);
}

fn charge_error(error: &CosmosError, what: impl FnOnce() -> String) {
    let charge = error.response().and_then(|response| response.headers().request_charge.map(|c| c.value()));
    units::charge(charge.unwrap_or(0.0), 0, what);
}

fn status(error: &CosmosError) -> u16 {
    u16::from(error.status().status_code())
}

fn written(
    answer: Result<azure_data_cosmos::models::ItemResponse, CosmosError>,
    refused: u16,
    what: impl FnOnce() -> String,
) -> Result<Written, StoreError> {
    match answer {
        Ok(response) => {
            let headers = response.headers();
            charge(headers.request_charge().map(|c| c.value()), 0, what);
            Ok(Written::Yes(headers.etag().map(|etag| etag.to_string()).unwrap_or_default()))
        }
        Err(error) if status(&error) == refused || (refused == 412 && status(&error) == 404) => {
            charge_error(&error, what);
            Ok(Written::No)
        }
        Err(error) => Err(fault(&error)),
    }
}

/// A fault as the store tells it. Nothing of a document is in it.
fn fault(error: &CosmosError) -> StoreError {
    match status(error) {
        429 => StoreError::Throttled { after: AFTER },
        _ => StoreError::Unavailable(error.status().to_string()),
    }
}
