//! Makes what a tenant's home needs: database and container, with the partition key and the indexing policy of the layout.
//! Changes nothing that exists.

use azure_data_cosmos::models::{
    ContainerProperties, IndexingMode, IndexingPolicy, PartitionKeyDefinition, ThroughputProperties,
};
use azure_data_cosmos::options::CreateContainerOptions;
use azure_data_cosmos::{CosmosClient, CosmosError};

use super::account::{CosmosOptions, TenantHome};
use super::connect::{Accounts, KEY_PATHS, check_key};
use super::fault::{self, Subject};
use crate::StoreError;

/// What is indexed; all else is not. `/tn` is the first level of the partition key.
const INDEXED: [&str; 15] = [
    "/tn/?", "/ty/?", "/rid/?", "/l/?", "/o/?", "/b/?", "/lu/?", "/te/?", "/to/?", "/v/?", "/x/[]/?", "/r/*",
    "/q/?", "/e/?", "/t/?",
];

/// The request units per second that a new container gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throughput {
    /// As the account has it: serverless, or the service's least.
    Account,
    /// So many, at least 400.
    Manual(u64),
    /// As many as are needed, up to this; at least 1000.
    Autoscale(u64),
}

/// What [`init`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// The database was not there.
    pub database: bool,
    /// The container was not there.
    pub container: bool,
}

/// Makes the database and the container of a home where they are missing. May be repeated, and run by several at once.
///
/// # Errors
/// [`StoreError::Unavailable`] with what to do: the account cannot be reached or refuses the credential (Entra ID may make
/// neither: use the account's key, or have them made by the portal); the container exists with another partition key.
pub async fn init(
    options: &CosmosOptions,
    home: &TenantHome,
    throughput: Throughput,
) -> Result<Made, StoreError> {
    let accounts = Accounts::new(options).await?;
    let client = accounts.client(&home.account).await?;
    let subject = Subject::Container(home);
    let failed = |error: CosmosError| match fault::status(&error) {
        403 => StoreError::Unavailable(format!(
            "the account {} lets this credential make no database or container ({}); run this command with the \
             account's key, or make {}/{} in the portal with the partition key {}",
            home.account,
            error.status(),
            home.database,
            home.container,
            KEY_PATHS.join(", ")
        )),
        _ => fault::write(&error, &subject),
    };
    let database = make_database(&client, home).await.map_err(failed)?;
    let container = make_container(&client, home, throughput).await.map_err(failed)?;
    if !container {
        let existing = client.database_client(home.database.clone());
        let existing = existing.container_client(home.container.clone(), None).await.map_err(failed)?;
        let properties = existing.read(None).await.map_err(failed)?.into_model().map_err(failed)?;
        check_key(home, properties.partition_key.paths())?;
    }
    Ok(Made { database, container })
}

async fn make_database(client: &CosmosClient, home: &TenantHome) -> Result<bool, CosmosError> {
    let database = client.database_client(home.database.clone());
    match database.read(None).await {
        Ok(_) => return Ok(false),
        Err(error) if fault::status(&error) == 404 => {}
        Err(error) => return Err(error),
    }
    made(client.create_database(&home.database, None).await)
}

async fn make_container(
    client: &CosmosClient,
    home: &TenantHome,
    throughput: Throughput,
) -> Result<bool, CosmosError> {
    let key = PartitionKeyDefinition::new(KEY_PATHS.map(Into::into).to_vec());
    let properties =
        ContainerProperties::new(home.container.clone(), key).with_indexing_policy(indexing_policy());
    let options = match throughput {
        Throughput::Account => CreateContainerOptions::default(),
        Throughput::Manual(units) => {
            CreateContainerOptions::default().with_throughput(ThroughputProperties::manual(units))
        }
        Throughput::Autoscale(most) => {
            CreateContainerOptions::default().with_throughput(ThroughputProperties::autoscale(most, None))
        }
    };
    let database = client.database_client(home.database.clone());
    made(database.create_container(properties, Some(options)).await)
}

/// Whether it was made now; that it exists, or that another makes it, is no fault.
fn made<T>(answer: Result<T, CosmosError>) -> Result<bool, CosmosError> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if fault::status(&error) == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

fn indexing_policy() -> IndexingPolicy {
    let mut policy =
        IndexingPolicy::default().with_indexing_mode(IndexingMode::Consistent).with_excluded_path("/*");
    policy.automatic = true;
    for path in INDEXED {
        policy = policy.with_included_path(path);
    }
    policy
}
