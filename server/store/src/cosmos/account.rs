//! What the Cosmos engine is opened with: accounts, credentials, tenants. Connects to nothing; see `connect`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{Secret, TokenCredential};
use azure_data_cosmos_driver::models::ConnectionString;
use azure_identity::{
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential,
};

use crate::{StoreError, Tenant};

/// How to open the Cosmos engine.
#[derive(Debug, Clone)]
pub struct CosmosOptions {
    /// The accounts, by the names that the table of tenants uses.
    pub accounts: BTreeMap<String, AccountOptions>,
    /// Where the tenant of a server that has no others is.
    pub default: TenantHome,
    /// The table of tenants.
    pub tenants: BTreeMap<Tenant, TenantHome>,
    /// How long the service is waited for.
    pub patience: Patience,
    /// Which tenants' bodies are encrypted, and where large ones go.
    pub bodies: super::Bodies,
    /// Where indexes of texts are kept, a directory for each tenant; without it texts cannot be searched.
    pub text_directory: Option<PathBuf>,
}

impl CosmosOptions {
    /// One account for the default tenant, and no others.
    pub fn single(account: AccountOptions, database: &str, container: &str) -> CosmosOptions {
        let default = TenantHome {
            account: "default".into(),
            database: database.to_owned(),
            container: container.to_owned(),
        };
        CosmosOptions {
            accounts: BTreeMap::from([(default.account.clone(), account)]),
            default,
            tenants: BTreeMap::new(),
            patience: Patience::default(),
            bodies: super::Bodies::default(),
            text_directory: None,
        }
    }
}

/// One account.
#[derive(Debug, Clone)]
pub struct AccountOptions {
    /// `https://name.documents.azure.com:443/`; `http://` for a loopback host only.
    pub endpoint: String,
    /// How to prove who this server is.
    pub credential: Credential,
    /// Preferred regions, the nearest first; empty: as the account lists them.
    pub regions: Vec<String>,
}

impl AccountOptions {
    /// From `AccountEndpoint=https://...;AccountKey=...;`, as the portal shows it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the part that is missing; nothing of the text is repeated.
    pub fn from_connection_string(text: &str) -> Result<AccountOptions, StoreError> {
        let parsed: ConnectionString = text.trim().parse().map_err(|_| {
            StoreError::Unavailable(
                "the connection string is not of the form AccountEndpoint=https://...;AccountKey=...; copy it from \
                 the account's page Keys"
                    .into(),
            )
        })?;
        Ok(AccountOptions {
            endpoint: parsed.account_endpoint().to_owned(),
            credential: Credential::Key(parsed.account_key().clone()),
            regions: Vec::new(),
        })
    }
}

/// How to prove who this server is.
#[derive(Clone)]
pub enum Credential {
    /// The account's key.
    Key(Secret),
    /// Microsoft Entra ID.
    Entra(Arc<dyn TokenCredential>),
}

impl Credential {
    /// The managed identity of the machine or app service; `client_id` names one that the user assigned.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where there is no such thing.
    pub fn managed_identity(client_id: Option<&str>) -> Result<Credential, StoreError> {
        let options = ManagedIdentityCredentialOptions {
            user_assigned_id: client_id.map(|id| UserAssignedId::ClientId(id.to_owned())),
            ..ManagedIdentityCredentialOptions::default()
        };
        let credential = ManagedIdentityCredential::new(Some(options))
            .map_err(|error| no_identity("managed identity", &error))?;
        Ok(Credential::Entra(credential))
    }

    /// The workload identity of a Kubernetes pod, by `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and
    /// `AZURE_FEDERATED_TOKEN_FILE`, which the cluster sets.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where these are not set.
    pub fn workload_identity() -> Result<Credential, StoreError> {
        let credential = WorkloadIdentityCredential::new(None)
            .map_err(|error| no_identity("workload identity", &error))?;
        Ok(Credential::Entra(credential))
    }

    /// Whoever is signed in to the Azure CLI or the Azure Developer CLI.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where neither can be used.
    pub fn developer() -> Result<Credential, StoreError> {
        let credential =
            DeveloperToolsCredential::new(None).map_err(|error| no_identity("developer sign-in", &error))?;
        Ok(Credential::Entra(credential))
    }
}

fn no_identity(kind: &str, error: &azure_core::Error) -> StoreError {
    StoreError::Unavailable(format!("there is no {kind} here: {error}"))
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credential::Key(_) => "Key",
            Credential::Entra(_) => "Entra",
        })
    }
}

/// Where a tenant's documents are. Tier T1 shares a container with others, T2 has a database, T3 an account (and
/// with it keys and endpoint) of its own; the documents are the same in all three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantHome {
    /// The account's name in [`CosmosOptions::accounts`].
    pub account: String,
    /// The database.
    pub database: String,
    /// The container.
    pub container: String,
}

/// How long the service is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// One operation with its retries; at least 1 s. What is not answered by then fails: a write as
    /// [`StoreError::Unsettled`], a read as [`StoreError::Unavailable`].
    pub operation: Duration,
    /// How long one operation waits in all while the service answers 429; then [`StoreError::Throttled`].
    pub throttled: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { operation: Duration::from_secs(10), throttled: Duration::from_secs(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_are_read() {
        let read =
            AccountOptions::from_connection_string("AccountEndpoint=https://a.b:443/;AccountKey=c2VjcmV0;\n")
                .unwrap();
        assert_eq!(read.endpoint, "https://a.b:443/");
        assert!(matches!(&read.credential, Credential::Key(key) if key.secret() == "c2VjcmV0"));
        for text in
            ["", "AccountEndpoint=https://a.b:443/", "AccountKey=c2VjcmV0;", "https://a.b/?key=c2VjcmV0"]
        {
            let error = AccountOptions::from_connection_string(text).unwrap_err().to_string();
            assert_eq!(
                error,
                "the store is not available: the connection string is not of the form \
                 AccountEndpoint=https://...;AccountKey=...; copy it from the account's page Keys"
            );
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let read = AccountOptions::from_connection_string("AccountEndpoint=https://a.b;AccountKey=c2VjcmV0")
            .unwrap();
        assert!(!format!("{read:?}").contains("c2Vj"));
    }
}
