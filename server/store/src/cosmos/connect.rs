//! Connects to accounts, and opens their containers. Makes none; see `init`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use azure_data_cosmos::options::{
    BinaryEncodingOptions, ConnectionPoolOptions, EndToEndOperationLatencyPolicy, OperationOptions,
    OperationOptionsBuilder, PartitionFailoverOptions, Region, ThrottlingRetryOptionsBuilder,
};
use azure_data_cosmos::{
    AccountEndpoint, AccountReference, CosmosClient, CosmosError, CosmosRuntime, RoutingStrategy,
};

use super::account::{AccountOptions, CosmosOptions, Credential, Patience, TenantHome};
use super::container::Container;
use super::fault::{self, Subject};
use crate::StoreError;

/// The paths of the partition key: tenant, type, id.
pub(super) const KEY_PATHS: [&str; 3] = ["/tn", "/ty", "/rid"];

/// How often one operation goes to another region, or to the same one again, when a region does not answer.
const FAILOVERS: u32 = 2;

/// How often one operation waits while the service answers 429. [`Patience::throttled`] bounds the time.
const THROTTLED_RETRIES: u32 = 9;

/// After these an account that does not answer is asked again, when it is connected: the SDK asks once.
const CONNECT_AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// The accounts of an engine, each connected when it is first needed.
pub(super) struct Accounts {
    options: Mutex<BTreeMap<String, AccountOptions>>,
    patience: Patience,
    runtime: CosmosRuntime,
    clients: Mutex<BTreeMap<String, CosmosClient>>,
}

impl Accounts {
    pub(super) async fn new(options: &CosmosOptions) -> Result<Accounts, StoreError> {
        // HTTP/2 without TLS is spoken by no loopback host. The transport that speaks RNTBD takes no session token
        // of several partitions, which is how what other processes wrote is read.
        let plain = options.accounts.values().any(|account| account.endpoint.starts_with("http://"));
        let pool = ConnectionPoolOptions::builder()
            .with_is_http2_allowed(!plain)
            .with_gateway_v2_disabled(true)
            .build()
            .map_err(|error| fault::read(&error, &Subject::Nothing))?;
        let runtime = CosmosRuntime::builder()
            .with_connection_pool(pool)
            .build()
            .await
            .map_err(|error| fault::read(&error, &Subject::Nothing))?;
        Ok(Accounts {
            options: Mutex::new(options.accounts.clone()),
            patience: options.patience,
            runtime,
            clients: Mutex::default(),
        })
    }

    /// Other accounts from now on: each is connected anew. Containers that are open stay as they are.
    pub(super) fn configure(&self, accounts: BTreeMap<String, AccountOptions>) {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = accounts;
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The account's client. Connecting reads the account's regions: a wrong endpoint or key fails here.
    pub(super) async fn client(&self, name: &str) -> Result<CosmosClient, StoreError> {
        let known = self.clients.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(client) = known {
            return Ok(client);
        }
        let client = self.connect(name).await?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(clients.entry(name.to_owned()).or_insert(client).clone())
    }

    async fn connect(&self, name: &str) -> Result<CosmosClient, StoreError> {
        let options = self.options.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let Some(options) = options else {
            return Err(StoreError::Unavailable(format!(
                "the table of tenants names the account {name}, which is not configured; configure it"
            )));
        };
        let subject = Subject::Account { name, endpoint: &options.endpoint };
        let endpoint: AccountEndpoint =
            options.endpoint.parse().map_err(|error| fault::read(&error, &subject))?;
        let mut waits = CONNECT_AGAIN.into_iter();
        loop {
            let connected = self.connect_once(&options, endpoint.clone()).await;
            match (connected, waits.next()) {
                (Err(error), Some(wait)) if fault::status(&error) == 503 => tokio::time::sleep(wait).await,
                (connected, _) => return connected.map_err(|error| fault::read(&error, &subject)),
            }
        }
    }

    async fn connect_once(
        &self,
        options: &AccountOptions,
        endpoint: AccountEndpoint,
    ) -> Result<CosmosClient, CosmosError> {
        let account = match &options.credential {
            Credential::Key(key) => AccountReference::with_authentication_key(endpoint, key.clone()),
            Credential::Entra(credential) => AccountReference::with_credential(endpoint, credential.clone()),
        };
        let regions = options.regions.iter().map(|region| Region::from(region.clone())).collect();
        // Where there is one region only, a partition that the breaker shuts off is not elsewhere either.
        let failover = PartitionFailoverOptions::builder()
            .with_circuit_breaker_enabled(options.regions.len() > 1)
            .build()?;
        CosmosClient::builder()
            .with_runtime(self.runtime.clone())
            .with_partition_failover_options(failover)
            .with_default_operation_options(self.operation())
            // Numbers keep their digits in text; `serde_json::Value` would not keep them in binary JSON.
            .with_binary_encoding_options(BinaryEncodingOptions::new().with_enabled(false))
            .build(account, RoutingStrategy::PreferredRegions(regions))
            .await
    }

    fn operation(&self) -> OperationOptions {
        let throttling = ThrottlingRetryOptionsBuilder::new()
            .with_max_retry_count(THROTTLED_RETRIES)
            .with_max_retry_wait_time(self.patience.throttled)
            .build();
        OperationOptionsBuilder::new()
            .with_end_to_end_latency_policy(EndToEndOperationLatencyPolicy::new(self.patience.operation))
            .with_max_failover_retry_count(FAILOVERS)
            .with_throttling_retry_options(throttling)
            .build()
    }

    /// The container of a home.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with what to do: the account refuses the credential or cannot be reached; there is
    /// no such container, or one with another partition key.
    pub(super) async fn container(&self, home: &TenantHome) -> Result<Container, StoreError> {
        let client = self.client(&home.account).await?;
        let subject = Subject::Container(home);
        let database = client.database_client(home.database.clone());
        let container = database
            .container_client(home.container.clone(), None)
            .await
            .map_err(|error| fault::read(&error, &subject))?;
        let properties = container.read(None).await.map_err(|error| fault::read(&error, &subject))?;
        let properties = properties.into_model().map_err(|error| fault::read(&error, &subject))?;
        check_key(home, properties.partition_key.paths())?;
        Ok(Container::new(container, home, self.patience.operation))
    }
}

/// Refuses a container with another partition key.
pub(super) fn check_key(home: &TenantHome, paths: &[impl AsRef<str>]) -> Result<(), StoreError> {
    let found: Vec<&str> = paths.iter().map(AsRef::as_ref).collect();
    if found == KEY_PATHS {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!(
        "the container {}/{} has the partition key {}, and the store needs {}; name another container and make it by \
         `vesta cosmos init`",
        home.database,
        home.container,
        found.join(", "),
        KEY_PATHS.join(", ")
    )))
}
