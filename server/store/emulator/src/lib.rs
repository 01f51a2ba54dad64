//! For tests only: a Cosmos DB account in memory, behind a loopback HTTP host, with the faults of a network.
//!
//! Clients use it like any account, by [`Account::connection_string`]: the same code connects, signs, retries and fails as
//! with the service, and several processes share one account. The documents are kept by the emulator that the SDK's own
//! tests use; this crate adds what it lacks: the check of the key, and [`Fault`]s, which happen between the account and its
//! clients. Of the layout of what is stored it knows nothing. For Blob Storage there is [`Azurite`], a process beside it.
//!
//! | control | what it does |
//! |---|---|
//! | `POST /__faults` | adds a [`Fault`], as JSON |
//! | `GET /__faults` | all faults, with how often each happened |
//! | `DELETE /__faults` | ends all faults |
//! | `POST /__split/DATABASE/CONTAINER` | [`Account::split_all`], and answers when it is done |

mod azurite;
mod control;
mod fault;
mod host;
mod operation;
mod signature;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::Url;
use azure_data_cosmos_driver::in_memory_emulator::{
    ConsistencyLevel, InMemoryEmulatorHttpClient, VirtualAccountConfig, VirtualRegion,
};
use azure_data_cosmos_driver::models::PartitionKeyDefinition;
use tokio::sync::oneshot;

pub use self::azurite::Azurite;
pub use self::fault::{Effect, Fault, Injected};
pub use self::operation::Operation;

/// The account's key: the well-known one that every Cosmos DB emulator has, which is not a secret.
pub const KEY: &str =
    "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==";

/// The token of Microsoft Entra ID that the account takes. As in the service, it opens documents, and neither makes nor
/// deletes databases and containers.
pub const TOKEN: &str = "entra-token";

/// How long a partition answers 410 while it is split.
const SPLIT_LOCK: Duration = Duration::from_millis(50);

/// How an account is.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Port to listen on, on 127.0.0.1; 0 for any.
    pub port: u16,
    /// Whether a container with provisioned request units per second answers 429 beyond them.
    pub throttling: bool,
}

/// An account that is served until it is dropped.
#[derive(Debug)]
pub struct Account {
    served: Arc<host::Served>,
    address: SocketAddr,
    runtime: tokio::runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Account {
    /// An empty account on any port, without throttling.
    ///
    /// # Errors
    /// No port, or no thread, is to be had.
    pub fn start() -> io::Result<Account> {
        Account::start_with(&Options::default())
    }

    /// An empty account. It is served by a thread of its own, so that a test's runtime may end before it.
    ///
    /// # Errors
    /// The port is taken, or no thread is to be had.
    pub fn start_with(options: &Options) -> io::Result<Account> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let served = Arc::new(host::Served::new(emulator(address, options)?, address));
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&served);
        let thread = std::thread::Builder::new().name("cosmos-emulator".into()).spawn(move || {
            runtime.block_on(host::run(listener, shared, stopped));
            runtime.shutdown_background();
        })?;
        Ok(Account { served, address, runtime: handle, stop: Some(stop), thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT/`.
    pub fn endpoint(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// `AccountEndpoint=http://127.0.0.1:PORT/;AccountKey=...;`.
    pub fn connection_string(&self) -> String {
        format!("AccountEndpoint={};AccountKey={KEY};", self.endpoint())
    }

    /// Lets a fault happen from now on.
    pub fn inject(&self, fault: Fault) -> Injected {
        self.served.faults.add(fault)
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.served.faults.clear();
    }

    /// How many requests for documents came, those that met a fault included.
    pub fn requests(&self) -> u64 {
        self.served.requests()
    }

    /// Makes a container with any partition key, and its database.
    ///
    /// # Errors
    /// The key has no path.
    pub fn make_container(&self, database: &str, container: &str, key: &[&str]) -> io::Result<()> {
        let paths: Vec<_> = key.iter().map(|path| path.to_string().into()).collect();
        if paths.is_empty() {
            return Err(io::Error::other("a partition key has a path"));
        }
        let store = self.served.emulator.store();
        store.create_database(database);
        store.create_container(database, container, PartitionKeyDefinition::new(paths));
        Ok(())
    }

    /// Splits each physical partition that has documents of two logical ones; how many these were. All documents of a
    /// tenant are in one at first.
    ///
    /// # Errors
    /// There is no such container, in a sentence.
    pub async fn split_all(&self, database: &str, container: &str) -> io::Result<usize> {
        let (served, database, container) =
            (Arc::clone(&self.served), database.to_owned(), container.to_owned());
        // On the account's own threads: what it starts there must outlive the caller's runtime.
        let done =
            self.runtime.spawn(async move { control::split_all(&served, &database, &container).await });
        done.await.map_err(io::Error::other)?
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The SDK's emulator, as an account with one region whose address is ours.
fn emulator(address: SocketAddr, options: &Options) -> io::Result<InMemoryEmulatorHttpClient> {
    let url = Url::parse(&format!("http://{address}/")).map_err(io::Error::other)?;
    let config = VirtualAccountConfig::new(vec![VirtualRegion::new("East US", url)])
        .map_err(io::Error::other)?
        .with_consistency(ConsistencyLevel::Session)
        .with_throttling_enabled(options.throttling);
    InMemoryEmulatorHttpClient::try_new(config).map_err(io::Error::other)
}
