//! Connects to accounts: keys, Entra ID, regions; makes databases and containers. Knows no documents.

use std::collections::BTreeMap;

use crate::Tenant;

/// How to open the Cosmos engine.
#[derive(Debug, Clone)]
pub struct CosmosOptions {
    /// The accounts, by the names that the table of tenants uses.
    pub accounts: BTreeMap<String, AccountOptions>,
    /// Where the tenant of a server that has no others is.
    pub default: TenantHome,
    /// The table of tenants.
    pub tenants: BTreeMap<Tenant, TenantHome>,
}

/// One account.
#[derive(Debug, Clone)]
pub struct AccountOptions {
    /// `https://name.documents.azure.com:443/`; `http://` for a loopback host only.
    pub endpoint: String,
    /// How to prove who this server is.
    pub credential: Credential,
    /// Preferred regions, the nearest first.
    pub regions: Vec<String>,
}

/// How to prove who this server is.
#[derive(Clone)]
pub enum Credential {
    /// The account's key.
    Key(azure_core::credentials::Secret),
    /// Microsoft Entra ID.
    Entra(std::sync::Arc<dyn azure_core::credentials::TokenCredential>),
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
