//! `vesta audit verify`: whether the log of a tenant is as it was written, on data that no server has open, or asked of the server
//! that has.

use std::path::Path;

use audit::{Report, Stored, Verifier};
use keys::SigningAlgorithm;
use smart::jwt::PublicKey;
use store::{Access, Filter, Query, Store, StoreError, Tenant};

use super::{Audit, TYPE, directory, file};
use crate::authorization::signer;
use crate::config::Config;
use crate::http::admin::{self, CheckRequest};
use crate::maintain::{MaintainError, Opened, ask, opened};

/// Records read at a time.
const PAGE: usize = 1000;

/// Verifies the log of a tenant, and says what it found.
///
/// # Errors
/// `MaintainError::Audit` when something is not as it was written.
pub fn verify(config: &Config, tenant: Option<&str>) -> Result<(), MaintainError> {
    let (tenant, opened) = opened(config, tenant)?;
    let report = match opened {
        Opened::Here { service, runtime } => {
            let keys = runtime.block_on(signer::open(config, SigningAlgorithm::Rs256))?.published();
            runtime.block_on(verified(&service.store, &tenant, keys, &directory(config)))?
        }
        Opened::There(server) => {
            ask(&server, admin::AUDIT, &CheckRequest { tenant: tenant.as_str().to_owned() })?
        }
    };
    for fault in &report.faults {
        println!("{fault}");
    }
    let Report { records, chains, checkpoints, unsigned, .. } = report;
    let found = match report.all_faults {
        0 => "all as written".to_owned(),
        faults => format!("{faults} faults"),
    };
    println!(
        "Verified {records} records in {chains} chains with {checkpoints} signatures ({unsigned} not signed yet): {found}"
    );
    match report.all_faults {
        0 => Ok(()),
        faults => Err(MaintainError::Audit(faults)),
    }
}

impl Audit {
    /// Verifies the log of a tenant.
    ///
    /// # Errors
    /// The store failed.
    pub async fn verified(&self, store: &Store, tenant: &Tenant) -> Result<Report, StoreError> {
        verified(store, tenant, self.signer.published(), &self.directory).await
    }
}

async fn verified(
    store: &Store,
    tenant: &Tenant,
    keys: Vec<PublicKey>,
    directory: &Path,
) -> Result<Report, StoreError> {
    // Before the records: what comes meanwhile is named by none that is read here.
    let kept = match std::fs::read_to_string(file(directory, tenant.as_str())) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let mut verifier = Verifier::new(tenant.as_str(), keys);
    let mut query = Query {
        resource_type: Some(TYPE.into()),
        filter: Filter::All,
        sort: Vec::new(),
        after: None,
        limit: PAGE,
        total: false,
    };
    loop {
        let page = store.search(tenant, &Access::unrestricted(), &query).await?;
        for version in &page.matches {
            let last_updated = version.last_updated.to_string();
            verifier.take(&Stored {
                id: version.key.id(),
                version: version.version,
                last_updated: &last_updated,
                body: &version.body,
            });
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(verifier.finish(kept.as_deref())),
        }
    }
}
