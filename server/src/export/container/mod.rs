//! Jobs and their files in a container of Azure Blob Storage, which several servers may share: `exports/TENANT/JOB/job.json`,
//! `exports/TENANT/JOB/patients.json`, `exports/TENANT/JOB/Patient-1.ndjson`. Who works on a job has the lease of its record.
//!
//! | module | its one job |
//! |---|---|
//! | `jobs` | records, and who works on them |
//! | `files` | files, block by block |
//! | `node` | as whom this process holds leases |

mod files;
mod jobs;
mod node;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, Etag, ExponentialRetryOptions, RetryOptions, Url};
use azure_storage_blob::clients::{BlobClient, BlobContainerClient, BlobContainerClientOptions};
use azure_storage_blob::models::BlobContainerClientListBlobsOptions;
use bulk::unreachable;
use futures_util::TryStreamExt as _;
use store::Tenant;
use tokio::runtime::Handle;

pub use node::Node;

/// Below this are the blobs of exports; others in the container are left alone.
const ROOT: &str = "exports";
/// The record of a job.
const RECORD: &str = "job.json";
/// How long a request may take, its second tries included.
const PATIENCE: Duration = Duration::from_secs(20);

/// A container of Azure Blob Storage with the jobs of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Container {
    client: Arc<BlobContainerClient>,
    node: Arc<Node>,
    /// Records that this process claimed and has not let go of, as they were saved last; `None` for those that it lost since.
    claimed: Arc<Mutex<HashMap<String, Option<Etag>>>>,
    runtime: Handle,
}

/// The jobs of a tenant in it.
#[derive(Clone)]
pub struct OfTenant {
    container: Container,
    tenant: Tenant,
}

/// The blobs of a job.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Their names.
    pub(super) names: Vec<String>,
    /// When the newest of them was written.
    pub(super) newest: Option<SystemTime>,
}

/// The URL is none of a container.
#[derive(Debug, thiserror::Error)]
#[error(
    "`export_container` is not of the form https://ACCOUNT.blob.core.windows.net/CONTAINER, without a query"
)]
pub struct NoContainer;

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the query, which may be a signature.
        write!(f, "Container({}{})", self.client.url().host_str().unwrap_or(""), self.client.url().path())
    }
}

impl Container {
    /// The container at a URL, with a credential, or with a shared access signature (`sv=...&sig=...`) that lets read, add,
    /// create, write, delete and list. Asks nothing yet. Lives on the runtime it is called on, which has several threads.
    ///
    /// # Errors
    /// The URL is none of a container, or with a credential and without TLS.
    pub fn open(
        url: &str,
        signature: Option<&str>,
        credential: Option<Arc<dyn TokenCredential>>,
        node: Node,
    ) -> std::result::Result<Container, NoContainer> {
        let mut url = Url::parse(url.trim()).map_err(|_| NoContainer)?;
        let names = url.path_segments().map(|parts| parts.filter(|part| !part.is_empty()).count());
        let is_one = matches!(url.scheme(), "https" | "http") && url.query().is_none();
        if !is_one || names.unwrap_or(0) == 0 {
            return Err(NoContainer);
        }
        url.set_query(signature.map(|text| text.trim().trim_start_matches('?')));
        let retry = RetryOptions::exponential(ExponentialRetryOptions {
            max_retries: 2,
            max_total_elapsed: azure_core::time::Duration::seconds(5),
            ..ExponentialRetryOptions::default()
        });
        let client_options = ClientOptions { retry, ..ClientOptions::default() };
        let options = BlobContainerClientOptions { client_options, ..BlobContainerClientOptions::default() };
        let client = BlobContainerClient::new(url, credential, Some(options)).map_err(|_| NoContainer)?;
        Ok(Container {
            client: Arc::new(client),
            node: Arc::new(node),
            claimed: Arc::default(),
            runtime: Handle::current(),
        })
    }

    /// What is a tenant's.
    pub fn of(&self, tenant: &Tenant) -> OfTenant {
        OfTenant { container: self.clone(), tenant: tenant.clone() }
    }

    /// The names of the tenants that have jobs.
    ///
    /// # Errors
    /// The container cannot be reached.
    pub fn tenants(&self) -> Result<Vec<String>> {
        let mut tenants: Vec<String> = self.list("")?.into_keys().map(|(tenant, _)| tenant).collect();
        tenants.dedup();
        Ok(tenants)
    }

    /// The blobs below a prefix, by tenant and job.
    fn list(&self, below: &str) -> Result<BTreeMap<(String, String), Listed>> {
        let prefix = Some(format!("{ROOT}/{below}"));
        let options = BlobContainerClientListBlobsOptions { prefix, ..Default::default() };
        let mut found: BTreeMap<(String, String), Listed> = BTreeMap::new();
        let items = self.wait(async {
            self.client.list_blobs(Some(options))?.into_stream().try_collect::<Vec<_>>().await
        })?;
        for item in items {
            let Some(name) = item.name else { continue };
            let mut parts = name.splitn(4, '/').skip(1);
            let (Some(tenant), Some(job)) = (parts.next(), parts.next()) else { continue };
            let written =
                item.properties.and_then(|properties| properties.last_modified).map(SystemTime::from);
            let listed = found.entry((tenant.to_owned(), job.to_owned())).or_default();
            listed.newest = listed.newest.max(written);
            listed.names.push(name);
        }
        Ok(found)
    }

    fn blob(&self, name: &str) -> BlobClient {
        self.client.blob_client(name)
    }

    /// Removes a blob; one that is not there is removed already.
    fn delete(&self, name: &str) -> Result<()> {
        match self.wait(async { self.blob(name).delete(None).await.map(|_| ()) }) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn claimed(&self) -> MutexGuard<'_, HashMap<String, Option<Etag>>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a request on a thread that may wait.
    fn wait<T>(&self, request: impl Future<Output = azure_core::Result<T>>) -> Result<T> {
        tokio::task::block_in_place(|| {
            self.runtime.block_on(async {
                match tokio::time::timeout(PATIENCE, request).await {
                    Ok(Ok(answer)) => Ok(answer),
                    Ok(Err(error)) => Err(fault(&error)),
                    Err(_) => Err(unreachable("the container does not answer in time")),
                }
            })
        })
    }
}

/// What went wrong. The client's own texts name the URL, which may hold a signature: they are not passed on.
fn fault(error: &azure_core::Error) -> Error {
    match (error.http_status().map(u16::from), code(error)) {
        (Some(404), "ContainerNotFound") => unreachable("the container does not exist"),
        (Some(404), _) => Error::from(ErrorKind::NotFound),
        (Some(401 | 403), code) => unreachable(format!(
            "the container refuses this server ({code}): its identity needs the role Storage Blob Data Contributor, or the \
             signature does not let it read, add, create, write, delete and list"
        )),
        (Some(409 | 412), _) if is_leased(error) => {
            unreachable("another server works on this job, or did a moment ago")
        }
        (Some(status), code) => unreachable(format!("the container answers {status} {code}")),
        (None, _) => unreachable("the container cannot be reached"),
    }
}

/// The service's code of an error, or nothing.
fn code(error: &azure_core::Error) -> &str {
    match error.kind() {
        azure_core::error::ErrorKind::HttpResponse { error_code, .. } => {
            error_code.as_deref().unwrap_or_default()
        }
        _ => "",
    }
}

/// Whether a request was refused because another has the lease of the blob.
fn is_leased(error: &azure_core::Error) -> bool {
    code(error).contains("Lease")
}

impl OfTenant {
    /// The name of a blob. Names come from URLs: none leads elsewhere.
    fn name(&self, job: &str, file: &str) -> Result<String> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_plain = |name: &str| {
            !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.bytes().all(good)
        };
        match is_plain(job) && is_plain(file) {
            true => Ok(format!("{ROOT}/{}/{job}/{file}", self.tenant.as_str())),
            false => Err(Error::from(ErrorKind::NotFound)),
        }
    }
}
