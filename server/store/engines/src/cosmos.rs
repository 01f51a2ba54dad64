//! Somewhere on Cosmos DB: the emulator in this process, or the account that `AZURE_COSMOS_CONNECTION_STRING` names.

use std::sync::Arc;
use std::time::Duration;

use azure_data_cosmos::feed::FeedScope;
use azure_data_cosmos::options::ConnectionPoolOptions;
use azure_data_cosmos::{
    AccountReference, CosmosClient, CosmosRuntime, PartitionKey, Query, RoutingStrategy,
};
use cosmos_emulator::{Account, Options};
use futures_util::TryStreamExt as _;
use store::cosmos::{AccountOptions, CosmosOptions, Credential, Made, Throughput, init};
use store::{Indexer, Store, Tenant};

/// Names the account that is used instead of the emulator.
const CONNECTION_STRING: &str = "AZURE_COSMOS_CONNECTION_STRING";

/// What a container of a real account may use, request units per second.
const REAL_THROUGHPUT: Throughput = Throughput::Autoscale(4000);

/// A database with a container, as `vesta cosmos init` makes them. On a real account the database is this place's own,
/// and is deleted with it.
pub struct CosmosPlace {
    /// How to reach it.
    pub options: CosmosOptions,
    /// The emulator, if it is one.
    emulator: Option<Account>,
    /// Where indexes of texts are.
    _texts: tempfile::TempDir,
}

impl CosmosPlace {
    /// On the real account that the environment names, else on an emulator.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn new() -> CosmosPlace {
        match std::env::var(CONNECTION_STRING) {
            Ok(text) => CosmosPlace::real(&text).await,
            Err(_) => CosmosPlace::emulated(&Options::default(), Throughput::Account).await,
        }
    }

    /// On an emulator, for faults.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn emulated(options: &Options, throughput: Throughput) -> CosmosPlace {
        let account = Account::start_with(options).expect("a port and a thread");
        let (options, texts) = reached(&account.connection_string(), "vesta");
        make(&options, throughput).await;
        CosmosPlace { options, emulator: Some(account), _texts: texts }
    }

    async fn real(text: &str) -> CosmosPlace {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).expect("random bytes");
        let (options, texts) = reached(text, &format!("vesta-test-{:016x}", u64::from_be_bytes(random)));
        make(&options, REAL_THROUGHPUT).await;
        CosmosPlace { options, emulator: None, _texts: texts }
    }

    /// A store on it. Each has clients and caches of its own, as another process has.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn open(&self, indexer: Arc<dyn Indexer>) -> Store {
        Store::open_cosmos(self.options.clone(), indexer).await.expect("a store")
    }

    /// All documents of the default tenant, as the service holds them.
    ///
    /// # Panics
    /// When they cannot be read.
    pub async fn documents(&self) -> Vec<serde_json::Value> {
        let client = client(&self.options).await.expect("a client");
        let home = &self.options.default;
        let database = client.database_client(home.database.clone());
        let container = database.container_client(home.container.clone(), None).await.expect("a container");
        let scope = FeedScope::partition(PartitionKey::from(Tenant::default_tenant().as_str().to_owned()));
        let query = container.query_items(Query::from("SELECT * FROM c"), scope, None).await;
        query.expect("a query").try_collect().await.expect("documents")
    }

    /// The emulator.
    ///
    /// # Panics
    /// When this is a real account.
    pub fn account(&self) -> &Account {
        self.emulator.as_ref().expect("an emulator")
    }
}

/// How to reach an account, for the default tenant and one more, `clinic-2`, in the same container.
fn reached(connection_string: &str, database: &str) -> (CosmosOptions, tempfile::TempDir) {
    let account = AccountOptions::from_connection_string(connection_string).expect("a connection string");
    let mut options = CosmosOptions::single(account, database, "fhir");
    // The emulator looks at every document for a query, and copies a partition for a batch.
    options.patience.operation = Duration::from_secs(60);
    options.tenants.insert(Tenant::new("clinic-2").expect("a tenant's name"), options.default.clone());
    let texts = tempfile::tempdir().expect("a directory");
    options.text_directory = Some(texts.path().to_owned());
    (options, texts)
}

async fn make(options: &CosmosOptions, throughput: Throughput) {
    let made = init(options, &options.default, throughput).await.expect("a container");
    assert_eq!(made, Made { database: true, container: true });
}

impl Drop for CosmosPlace {
    fn drop(&mut self) {
        if self.emulator.is_some() {
            return;
        }
        let options = self.options.clone();
        // The test's own runtime may be ending.
        let deleted = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let deleted = tokio::time::timeout(Duration::from_secs(60), delete(&options)).await;
                deleted.expect("the account answers").expect("the database is deleted");
            });
        });
        if deleted.join().is_err() && !std::thread::panicking() {
            panic!("the database {} is left behind", self.options.default.database);
        }
    }
}

async fn client(options: &CosmosOptions) -> azure_data_cosmos::Result<CosmosClient> {
    let account = options.accounts.values().next().expect("an account");
    let Credential::Key(key) = &account.credential else { panic!("a connection string has a key") };
    let account = AccountReference::with_authentication_key(account.endpoint.parse()?, key.clone());
    // The emulator's host speaks no HTTP/2.
    let pool = ConnectionPoolOptions::builder().with_is_http2_allowed(false).build()?;
    let runtime = CosmosRuntime::builder().with_connection_pool(pool).build().await?;
    let regions = RoutingStrategy::PreferredRegions(Vec::new());
    CosmosClient::builder().with_runtime(runtime).build(account, regions).await
}

async fn delete(options: &CosmosOptions) -> azure_data_cosmos::Result<()> {
    let client = client(options).await?;
    client.database_client(options.default.database.clone()).delete(None).await?;
    Ok(())
}
