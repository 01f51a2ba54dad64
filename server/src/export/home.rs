//! Where a server keeps its export jobs and their files: in the data directory, or in a container of Azure Blob Storage.

use std::path::PathBuf;
use std::sync::Arc;

use bulk::{Directory, Job, Place};
use store::Tenant;

use super::container::{Container, Node};
use crate::config::Config;
use crate::open::{OpenError, secret};

/// Where they are.
#[derive(Debug, Clone)]
pub enum Home {
    /// Below a directory, one for each tenant.
    Disk(PathBuf),
    /// In a container, which other servers may work on too.
    Container(Container),
}

impl Home {
    /// Of a server, as configured. It lives on the runtime it is called on.
    ///
    /// # Errors
    /// A container that is not named rightly, a signature or an identity that cannot be had.
    pub async fn of_server(config: &Config) -> Result<Home, OpenError> {
        let node = || Node::of(&config.data).map_err(|error| OpenError::Exports(error.to_string()));
        Home::of(config, node).await
    }

    /// The same for a command, which works on no job.
    ///
    /// # Errors
    /// As [`Home::of_server`].
    pub async fn of_command(config: &Config) -> Result<Home, OpenError> {
        Home::of(config, || Ok(Node::passing())).await
    }

    async fn of(config: &Config, node: impl FnOnce() -> Result<Node, OpenError>) -> Result<Home, OpenError> {
        let Some(url) = &config.export_container else {
            return Ok(Home::Disk(config.data.join("exports")));
        };
        let signature = match config.export_container_signature.is_none() {
            true => None,
            false => Some(secret(config, &config.export_container_signature).await?),
        };
        let credential = match signature {
            Some(_) => None,
            None => Some(keys::entra(config.azure_identity.as_str())?),
        };
        let signature = signature.as_ref().map(|text| text.secret());
        let container = Container::open(url, signature, credential, node()?);
        container.map(Home::Container).map_err(|error| OpenError::Exports(error.to_string()))
    }

    /// What is a tenant's.
    pub fn place(&self, tenant: &Tenant) -> Arc<dyn Place> {
        match self {
            Home::Disk(root) => Arc::new(Directory::at(root.join(tenant.as_str()))),
            Home::Container(container) => Arc::new(container.of(tenant)),
        }
    }

    /// Removes what is of no job of a tenant.
    ///
    /// # Errors
    /// It cannot be read or removed.
    pub fn remove_strays(&self, tenant: &Tenant) -> std::io::Result<()> {
        match self {
            Home::Disk(root) => Directory::at(root.join(tenant.as_str())).remove_strays(),
            Home::Container(container) => container.of(tenant).remove_strays(),
        }
    }

    /// All jobs, with their tenants.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn jobs(&self) -> std::io::Result<Vec<(Tenant, Job)>> {
        let mut found = Vec::new();
        for tenant in self.tenants()?.iter().filter_map(|name| Tenant::new(name)) {
            let jobs = self.place(&tenant).all()?;
            found.extend(jobs.into_iter().map(|job| (tenant.clone(), job)));
        }
        Ok(found)
    }

    /// The names of the tenants that have jobs, and perhaps of others.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn tenants(&self) -> std::io::Result<Vec<String>> {
        let root = match self {
            Home::Container(container) => return container.tenants(),
            Home::Disk(root) => root,
        };
        match std::fs::read_dir(root) {
            Ok(entries) => {
                entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}
