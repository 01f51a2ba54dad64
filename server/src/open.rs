//! Puts the parts of a server together: definitions, search index, store, interactions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use conformance::terminology::{self, Terminology};
use conformance::validation::{self, Validator};
use conformance::{Definitions, DefinitionsError, UsCore};
use interaction::{Caller, Limits, Rulings, Service, Validation};
use search::SearchIndex;
use store::cosmos::{AccountOptions, CosmosOptions, Credential, TenantHome};
use store::{Access, EmbeddedOptions, Store, StoreError, Tenant, Timestamp};

use crate::authorization::reserved;
use crate::config::{Config, EngineKind, Secret};
use crate::progress::Progress;
use crate::secrets::{self, SecretError};
use crate::tenants::table::{AccountRow, OWN_ACCOUNT};
use crate::tenants::{Table, TableError};

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
    /// The Cosmos DB store cannot be opened.
    #[error("cannot open the records in Cosmos DB: {0}")]
    Cosmos(StoreError),
    /// The configuration does not say which account.
    #[error("{0}")]
    Account(String),
    /// A secret cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// As whom Entra ID knows this server.
    #[error(transparent)]
    Identity(#[from] keys::CredentialError),
    /// The table of tenants.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The tenant asked for.
    #[error("{0}")]
    Tenant(String),
    /// The definitions cannot be had.
    #[error("cannot read the definitions: {0}")]
    Definitions(#[from] DefinitionsError),
    /// `required_profiles` is not as it should be.
    #[error("`required_profiles`: {0}")]
    RequiredProfiles(String),
    /// `publish_types` has a type that is not to be published.
    #[error("`publish_types`: {0}")]
    Published(String),
    /// The keys of id_tokens.
    #[error("the signing keys: {0}")]
    Signing(String),
    /// Where exports are kept.
    #[error("the exports: {0}")]
    Exports(String),
    /// A certificate.
    #[error("TLS: {0}")]
    Tls(String),
    /// The log cannot be written as configured.
    #[error("`log` is not understood: {0}")]
    Log(String),
}

/// Opens the store of a configuration, with the tenants of its `table`, and what works on it. `base` is the FHIR base URL, without
/// a slash at the end. What it opens lives on the runtime it is called on.
///
/// # Errors
/// [`OpenError`], each saying what to do.
pub async fn open(config: &Config, table: Option<&Table>, base: String) -> Result<Service, OpenError> {
    let packages: Vec<&Path> = config.package.iter().map(AsRef::as_ref).collect();
    let definitions = Arc::new(Definitions::of(config.us_core, &packages)?);
    let index = Arc::new(SearchIndex::new(Arc::clone(&definitions), local_bases(config)));
    let (validator, terminology) = validator(config.us_core, &packages, &definitions)?;
    let required = required_profiles(config, &definitions)?;
    let store = match config.store {
        EngineKind::Embedded => open_embedded(config, &index)?,
        EngineKind::Cosmos => open_cosmos(config, &index, table).await?,
    };
    if let Some(table) = table {
        open_tenants(config, &store, table).await?;
    }
    Ok(Service {
        store,
        definitions,
        index,
        validation: Validation::new(config.validation, validator, terminology)
            .requiring(required)
            .reserving(config.is_audited().then_some(crate::audit::TYPE)),
        provenance: config.provenance.then(|| config.organization_name.as_deref().unwrap_or(&base).into()),
        rulings: Rulings::default(),
        limits: limits(config),
        base,
        clock: Arc::new(now),
        new_id: Arc::new(new_id),
    })
}

/// Validation and terminology by the definitions of the program and of packages.
///
/// # Errors
/// A package that cannot be read.
pub fn validator(
    us_core: UsCore,
    packages: &[&Path],
    definitions: &Definitions,
) -> Result<(Validator, Terminology), DefinitionsError> {
    let mut profiles = validation::Library::of(us_core);
    let mut terms = terminology::Library::of(us_core);
    for path in packages {
        let fault = |cause| DefinitionsError::Package { path: path.display().to_string(), cause };
        let open = || std::fs::File::open(path).map_err(|error| fault(error.into()));
        let limits = conformance::Limits::default();
        profiles.add_package(open()?, &limits).map_err(fault)?;
        terms.add_package(open()?, &limits).map_err(fault)?;
    }
    let terminology = Terminology::new(terms);
    Ok((Validator::new(Arc::clone(&definitions.schema), profiles, terminology.clone()), terminology))
}

/// The configured profiles by their types.
fn required_profiles(
    config: &Config,
    definitions: &Definitions,
) -> Result<BTreeMap<String, String>, OpenError> {
    let mut required = BTreeMap::new();
    for url in &config.required_profiles {
        let mut types = definitions.resource_types().iter();
        let of = types.find(|name| definitions.profiles(name).contains(&url.as_str())).ok_or_else(|| {
            OpenError::RequiredProfiles(format!("no profile {url} is known; add its package with --package"))
        })?;
        if let Some(other) = required.insert(of.clone(), url.clone()) {
            let why = format!("{other} and {url} are both of {of}; a type has one");
            return Err(OpenError::RequiredProfiles(why));
        }
    }
    Ok(required)
}

fn open_embedded(config: &Config, index: &Arc<SearchIndex>) -> Result<Store, OpenError> {
    let options = EmbeddedOptions { directory: config.data.clone() };
    let progress = Progress::new("Indexing with the new definitions");
    let indexer: Arc<dyn store::Indexer> = Arc::<SearchIndex>::clone(index);
    let opened = Store::open_embedded(&options, indexer, &|done, total| {
        progress.at(done, total, &format!("{done} of {total} resources"));
    });
    progress.clear();
    opened.map_err(|error| embedded_error(config, error))
}

async fn open_cosmos(
    config: &Config,
    index: &Arc<SearchIndex>,
    table: Option<&Table>,
) -> Result<Store, OpenError> {
    let options = cosmos_options(config, table).await?;
    let indexer: Arc<dyn store::Indexer> = Arc::<SearchIndex>::clone(index);
    Store::open_cosmos(options, indexer).await.map_err(OpenError::Cosmos)
}

/// Opens each tenant now, so that what is wrong with one is known before a request finds it.
async fn open_tenants(config: &Config, store: &Store, table: &Table) -> Result<(), OpenError> {
    if config.store == EngineKind::Embedded {
        let reserved = table.tenants.keys().filter_map(reserved);
        let tenants = table.tenants.keys().cloned().chain(reserved).map(|tenant| (tenant, None)).collect();
        let known = store.set_tenants(tenants, BTreeMap::new()).await;
        known.map_err(|error| embedded_error(config, error))?;
        for tenant in table.tenants.keys() {
            store.ready(tenant).await.map_err(|error| embedded_error(config, error))?;
        }
    }
    Ok(())
}

/// Tells an open store that the table of tenants is another.
///
/// # Errors
/// A secret or an account that cannot be had, a home that does not exist.
pub async fn tell_store(store: &Store, config: &Config, table: &Table) -> Result<(), OpenError> {
    match config.store {
        EngineKind::Embedded => open_tenants(config, store, table).await,
        EngineKind::Cosmos => {
            let options = cosmos_options(config, Some(table)).await?;
            let homes = options.tenants.into_iter().map(|(tenant, home)| (tenant, Some(home))).collect();
            store.set_tenants(homes, options.accounts).await.map_err(OpenError::Cosmos)
        }
    }
}

fn embedded_error(config: &Config, error: StoreError) -> OpenError {
    let directory = config.data.display().to_string();
    match error {
        StoreError::InUse(_) => OpenError::InUse { directory },
        error => OpenError::Store { directory, error },
    }
}

/// How to open the Cosmos engine.
///
/// # Errors
/// An account that is not named, or a secret that cannot be had.
pub async fn cosmos_options(config: &Config, table: Option<&Table>) -> Result<CosmosOptions, OpenError> {
    let own = own_account(config).await?;
    let mut options = CosmosOptions::single(own, &config.cosmos_database, &config.cosmos_container);
    options.patience.operation = Duration::from_secs(config.cosmos_timeout_s.max(1));
    options.text_directory = Some(config.data.join("text"));
    if let Some(table) = table {
        for (name, row) in &table.accounts {
            options.accounts.insert(name.clone(), other_account(config, row).await?);
        }
        options.tenants = table.homes(config);
    }
    // The records of their authorization servers are where the tenants are.
    let with_default = options
        .tenants
        .iter()
        .chain([(&Tenant::default_tenant(), &options.default)])
        .filter_map(|(tenant, home)| Some((reserved(tenant)?, home.clone())))
        .collect::<Vec<_>>();
    options.tenants.extend(with_default);
    Ok(options)
}

/// Where the tenant of a server without a table is.
pub fn own_home(config: &Config) -> TenantHome {
    TenantHome {
        account: OWN_ACCOUNT.to_owned(),
        database: config.cosmos_database.clone(),
        container: config.cosmos_container.clone(),
    }
}

async fn own_account(config: &Config) -> Result<AccountOptions, OpenError> {
    let refuse = |text: &str| Err(OpenError::Account(text.to_owned()));
    match (config.cosmos_connection_string.is_none(), &config.cosmos_endpoint) {
        (false, Some(_)) => refuse("give cosmos_connection_string or cosmos_endpoint, not both"),
        (false, None) if !config.cosmos_key.is_none() => {
            refuse("cosmos_connection_string has the account's key; leave cosmos_key out")
        }
        (true, None) => refuse(
            "store = cosmos needs an account: set VESTA_COSMOS_CONNECTION_STRING, or cosmos_endpoint (with cosmos_key, or known to the account by azure_identity)",
        ),
        (_, endpoint) => {
            let (connection, key) = (&config.cosmos_connection_string, &config.cosmos_key);
            account(config, endpoint.as_deref(), connection, key, &config.cosmos_regions).await
        }
    }
}

async fn other_account(config: &Config, row: &AccountRow) -> Result<AccountOptions, OpenError> {
    account(config, row.endpoint.as_deref(), &row.connection_string(), &row.key(), &row.regions).await
}

async fn account(
    config: &Config,
    endpoint: Option<&str>,
    connection_string: &Secret,
    key: &Secret,
    regions: &[String],
) -> Result<AccountOptions, OpenError> {
    let mut account = match endpoint {
        None => {
            let text = secret(config, connection_string).await?;
            AccountOptions::from_connection_string(text.secret()).map_err(OpenError::Cosmos)?
        }
        Some(endpoint) => {
            let credential = if key.is_none() {
                Credential::Entra(keys::entra(config.azure_identity.as_str())?)
            } else {
                Credential::Key(secret(config, key).await?)
            };
            AccountOptions { endpoint: endpoint.to_owned(), credential, regions: Vec::new() }
        }
    };
    account.regions = regions.to_vec();
    Ok(account)
}

/// The secret that the configuration gives or names.
///
/// # Errors
/// It cannot be had.
pub(crate) async fn secret(
    config: &Config,
    secret: &Secret,
) -> Result<azure_core::credentials::Secret, OpenError> {
    let text = secret.as_configured();
    let credential = match text.starts_with("keyvault:") {
        true => Some(keys::entra(config.azure_identity.as_str())?),
        false => None,
    };
    Ok(secrets::read(text, credential.as_ref()).await?)
}

/// Whom a command works for: the tenant named, or the only one there is.
///
/// # Errors
/// The name is not in the table, or there is a table and no name.
pub fn tenant(table: Option<&Table>, name: Option<&str>) -> Result<Tenant, OpenError> {
    let Some(name) = name else {
        return match table {
            Some(_) => {
                Err(OpenError::Tenant("there is a table of tenants; say which: --tenant NAME".to_owned()))
            }
            None => Ok(Tenant::default_tenant()),
        };
    };
    let found = Tenant::new(name).filter(|tenant| match table {
        Some(table) => table.tenants.contains_key(tenant),
        None => tenant.is_default(),
    });
    found.ok_or_else(|| OpenError::Tenant(format!("there is no tenant {name} in the table of tenants")))
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
        erasure: config.irrevocable_erasure,
    }
}

/// The FHIR base URL of a configuration that listens on `address`.
pub fn base_url(config: &Config, address: std::net::SocketAddr) -> String {
    match &config.base_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => {
            let scheme = if config.tls_certificate.is_some() { "https" } else { "http" };
            format!("{scheme}://{address}{BASE_PATH}")
        }
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

/// The caller of an open server, and the server itself: everything of a tenant.
pub fn everything(tenant: Tenant) -> Caller {
    Caller::new(tenant, Access::unrestricted())
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Ids ascend with time, so that resources made together are found together.
fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
