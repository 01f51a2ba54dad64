//! Puts the parts of a server together over a data directory: definitions, search index, store, interactions.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use conformance::{Definitions, DefinitionsError};
use interaction::{Caller, Limits, Service};
use search::SearchIndex;
use store::{Access, EmbeddedOptions, Store, StoreError, Tenant, Timestamp};

use crate::config::Config;
use crate::progress::Progress;

/// The path below which the FHIR API answers.
pub const BASE_PATH: &str = "/fhir";

/// The parts cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works on the data.
    #[error(
        "{directory} is in use by another vesta process; stop it first, or choose another directory with --data"
    )]
    InUse {
        /// The data directory.
        directory: String,
    },
    /// The store cannot be opened.
    #[error("cannot open the data in {directory}: {error}")]
    Store {
        /// The data directory.
        directory: String,
        /// Why.
        error: StoreError,
    },
    /// The definitions cannot be had.
    #[error("cannot read the definitions: {0}")]
    Definitions(#[from] DefinitionsError),
    /// The log cannot be written as configured.
    #[error("`log` is not understood: {0}")]
    Log(String),
}

/// Opens the store of `config.data` and what works on it. `base` is the FHIR base URL, without a slash at the end.
///
/// # Errors
/// [`OpenError`], each saying what to do.
pub fn open(config: &Config, base: String) -> Result<Service, OpenError> {
    let packages: Vec<&Path> = config.package.iter().map(AsRef::as_ref).collect();
    let definitions = Arc::new(Definitions::with_packages(&packages)?);
    let index = Arc::new(SearchIndex::new(Arc::clone(&definitions), local_bases(config)));
    let store = open_store(config, &index)?;
    Ok(Service {
        store,
        definitions,
        index,
        limits: limits(config),
        base,
        clock: Arc::new(now),
        new_id: Arc::new(new_id),
    })
}

fn open_store(config: &Config, index: &Arc<SearchIndex>) -> Result<Store, OpenError> {
    let options = EmbeddedOptions { directory: config.data.clone() };
    let progress = Progress::new("Indexing with the new definitions");
    let indexer: Arc<dyn store::Indexer> = Arc::<SearchIndex>::clone(index);
    let opened = Store::open_embedded(&options, indexer, &|done, total| {
        progress.at(done, total, &format!("{done} of {total} resources"));
    });
    progress.clear();
    let directory = config.data.display().to_string();
    opened.map_err(|error| match error {
        StoreError::InUse(_) => OpenError::InUse { directory },
        error => OpenError::Store { directory, error },
    })
}

fn limits(config: &Config) -> Limits {
    Limits {
        body: fhirpath::tree::Limits {
            bytes: config.max_body_bytes,
            depth: config.max_depth,
            issues: config.max_issues,
        },
        bundle_entries: config.max_bundle_entries,
        default_count: config.default_count,
        max_count: config.max_count,
        includes: config.max_includes,
    }
}

/// The FHIR base URL of a configuration that listens on `address`.
pub fn base_url(config: &Config, address: std::net::SocketAddr) -> String {
    match &config.base_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{address}{BASE_PATH}"),
    }
}

/// The base URLs whose absolute references are taken as local by the index. They do not follow the port: the index would have to
/// be built anew for each.
fn local_bases(config: &Config) -> Vec<String> {
    match &config.base_url {
        Some(url) => vec![url.trim_end_matches('/').to_owned()],
        None => {
            ["127.0.0.1", "localhost"].iter().map(|host| format!("http://{host}:8080{BASE_PATH}")).collect()
        }
    }
}

/// The caller of an open server, and the server itself: everything of the one tenant.
pub fn everything() -> Caller {
    Caller { tenant: Tenant::default_tenant(), access: Access::unrestricted() }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Ids ascend with time, so that resources made together are found together.
fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
